"""Commands worth running next, spelled so that they can be run as they stand."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.migrate.options import DEFAULT_FOLDER

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from senior_backend.migrate.statements import Engine

FROM_ENVIRONMENT = '"$DATABASE_URL"'


def command(*words: str, like: argparse.Namespace | None = None) -> str:
    """Return a call of this tool, on the same folder and database as the call `like`."""
    script = sys.argv[0] if sys.argv and sys.argv[0].endswith("db_migrate.py") else "scripts/db_migrate.py"
    call = shlex.join(["python3", script, *words])
    if like is None:
        return call
    folder = getattr(like, "migrations_dir", DEFAULT_FOLDER)
    if Path(folder) != DEFAULT_FOLDER:
        call += " " + shlex.join(["--migrations-dir", str(folder)])
    url = getattr(like, "database_url", None)
    if url:
        from senior_backend.migrate.databases.urls import parse_url

        # A URL with a password is not repeated: it would end in logs.
        secret = parse_url(url).password or "password=" in url
        call += f" --database-url {FROM_ENVIRONMENT if secret else shlex.quote(url)}"
    return call


def rehearsal(paths: Sequence[str | Path], like: argparse.Namespace, engine: Engine) -> str:
    """Return the call that rehearses the files of a call, or the newest migration of its folder."""
    files = [str(path) for path in paths if Path(path).is_file()]
    folder = [] if files or not paths or str(paths[0]) == "." else ["--migrations-dir", str(paths[0])]
    given = None if files or folder else like
    return f"{command('rehearse', *files, *folder, like=given)} --engine {engine}"
