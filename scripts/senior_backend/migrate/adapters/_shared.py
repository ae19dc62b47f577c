"""What several adapters need: folders to look into, versions, engines named in configuration, and SQL as text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError
from senior_backend.migrate import files
from senior_backend.migrate.files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

FOLDERS = (
    ".", "db/migrations", "migrations", "db/migration", "database/migrations", "sql/migrations", "db/migrate", "sql",
    "schema", "internal/db/migrations", "internal/database/migrations", "src/main/resources/db/migration",
)  # fmt: skip
_ENGINES: tuple[tuple[str, Engine], ...] = (
    ("postgres", "postgresql"), ("mariadb", "mariadb"), ("mysql", "mysql"), ("sqlite", "sqlite"),
    ("turso", "sqlite"), ("cockroach", "postgresql"), ("npgsql", "postgresql"), ("pomelo", "mysql"),
)  # fmt: skip


_FOLDER_WORDS: dict[str, Engine] = {
    "postgres": "postgresql", "postgresql": "postgresql", "pg": "postgresql", "pgsql": "postgresql", "mysql": "mysql",
    "mariadb": "mariadb", "sqlite": "sqlite", "sqlite3": "sqlite",
}  # fmt: skip


_MAY_BE_ALONE = re.compile(
    r"\b(?:CONCURRENTLY|VACUUM|CALL|COMMIT|ROLLBACK|DATABASE|TABLESPACE|SYSTEM|CLUSTER|SUBSCRIPTION|REINDEX)\b",
    re.IGNORECASE,
)


def folder_with(project: Path, pattern: str, *, text: str | None = None) -> Path | None:
    """Return the first usual folder with a file of that name pattern, whose text holds `text`."""
    for name in FOLDERS:
        folder = project / name
        if folder.is_dir() and any(
            text is None or text in head(path) for path in sorted(folder.glob(pattern))[:20] if path.is_file()
        ):
            return folder
    return None


def head(path: Path, size: int = 4096) -> str:
    """Return the beginning of a file as text, empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size).decode("utf-8", errors="replace")
    except OSError:
        return ""


def engine_in(paths: Iterable[Path]) -> Engine | None:
    """Return the engine that the first of these files with one names."""
    for path in paths:
        found = head(path, 65536).lower()
        named = [(found.find(word), engine) for word, engine in _ENGINES if word in found]
        if named:
            return min(named)[1]
    return None


def engine_of(root: Path, paths: Iterable[Path]) -> Engine | None:
    """Return the engine that the folder of the migrations is called after, else the first that a file names.

    A project for several databases has a folder for each, and drivers for all of them.
    """
    for part in reversed(root.resolve().parts[-3:]):
        for word in re.split(r"[^a-z0-9]+", part.lower()):
            if word in _FOLDER_WORDS:
                return _FOLDER_WORDS[word]
    return engine_in(paths)


def texts(paths: Iterable[Path]) -> Iterable[tuple[Path, str]]:
    """Yield each file with its text."""
    for path in paths:
        yield path, read_text(path)


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key of a file's name under which V10 follows V9."""
    return files.natural(path.name)


def next_versions(existing: Sequence[str], count: int, now: datetime) -> list[str]:
    """Return versions behind the existing ones, in their style: a timestamp, or a number of their width."""
    last = max(existing, key=lambda version: (len(version.lstrip("0")), version), default="")
    stamp = now.strftime("%Y%m%d%H%M%S")
    if last and len(last) < 12:
        return [str(int(last) + 1 + index).zfill(len(last)) for index in range(count)]
    first = max(int(stamp), int(last[:14]) + 1 if last else 0)
    return [str(first + index) for index in range(count)]


def is_transaction(text: str) -> bool:
    """Whether a file that is sent as one message is a transaction: PostgreSQL makes one of several statements.

    A lone statement is one too, unless it needs to be none. Source: the PostgreSQL manual, 55.2.2.1 (multiple
    statements in a simple query).
    """
    from senior_backend.migrate.statements import split
    from senior_backend.migrate.traits import traits

    if _MAY_BE_ALONE.search(text) is None:
        return True
    found = split(text, "postgresql")
    return len(found) != 1 or not traits(found[0].text, "postgresql").alone


_BEGIN = re.compile(
    r"^\s*BEGIN(?:\s+(?:TRANSACTION|WORK|DEFERRED|IMMEDIATE|EXCLUSIVE))*\s*;", re.MULTILINE | re.IGNORECASE
)


def begins(text: str) -> bool:
    """Whether a file that is sent as one message has a BEGIN, which makes a transaction of what follows it."""
    return _BEGIN.search(text) is not None


def statements(lines: Sequence[str]) -> str:
    """Return statements as SQL text, each ended by a semicolon."""
    return "".join(f"{line};\n" for line in lines)


def comments(part: Part, mark: str = "-- ") -> str:
    """Return the notes of a part as comment lines; a draft says that it is one."""
    from senior_backend.migrate.render import header

    lines = header(part, mark)
    if part.draft:
        lines.append(f"{mark}DRAFT: make this what you want before you apply it.")
    if part.irreversible:
        lines.append(f"{mark}There is no way back: {part.irreversible}.")
    return "".join(f"{line}\n" for line in lines)


def needs_statements(parts: Sequence[Part], tool: str) -> None:
    """Refuse to write a file without statements into a project whose tool would apply it.

    Raises:
        InputError: there are none.
    """
    if not all(part.up for part in parts):
        raise InputError(
            f"the name follows no rule, and {tool} would apply an empty file",
            code="bad-name",
            hint="Use a name such as add_role_to_users (see `db_migrate.py new --help`).",
        )


def in_one_transaction(part: Part, tool: str) -> Part:
    """Return a part for a tool that runs every file in a transaction: without CONCURRENTLY, and with a way around."""
    if part.transaction:
        return part
    by_hand = part.up[0]
    note = (
        f"{tool} cannot leave its transaction, and this blocks writes to the table while it works. On a large table "
        f"run `{by_hand}` by hand before you deploy: what is there already is then left alone."
    )
    plain = [
        one.replace("INDEX CONCURRENTLY ", "INDEX IF NOT EXISTS " if one.startswith("CREATE") else "INDEX IF EXISTS ")
        for one in part.up
    ]
    return replace(part, up=tuple(plain), transaction=True, notes=(*part.notes, note))
