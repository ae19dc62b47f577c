"""golang-migrate and sqlx: `<version>_<name>.up.sql` and `.down.sql`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "golang-migrate"
APPLY = 'migrate -path MIGRATIONS -database "$DATABASE_URL" up'
MAY_EXTEND = False


def detect(project: Path) -> Path | None:
    """Return the folder with `*.up.sql` files."""
    return shared.folder_with(project, "*.up.sql")


def engine(root: Path) -> Engine | None:
    """Return the engine that a module file or an environment file near by names."""
    near = [root, *list(root.parents)[:3]]
    return shared.engine_of(
        root, (folder / name for folder in near for name in ("go.mod", ".env", "Makefile", "Cargo.toml"))
    )


def read(root: Path) -> Iterable[Unit]:
    """Yield the up files. A file is one message: several statements in it are one implicit transaction.

    On SQLite one with a BEGIN of its own can only run where the driver is told to wrap none (`x-no-tx-wrap`).
    """
    for path, text in shared.texts(sorted(root.glob("*.up.sql"), key=shared.natural)):
        down = path.with_name(path.name.removesuffix("up.sql") + "down.sql")
        back = next((_unit(other, body, root) for other, body in shared.texts([down] if down.is_file() else [])), None)
        yield replace(_unit(path, text, root), rollback=back)


def _unit(path: Path, text: str, root: Path) -> Unit:
    return Unit(path, text, shared.is_transaction(text) and not shared.begins(text), engine(root))


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return a pair of files for each part."""
    del engine
    shared.needs_statements(parts, NAME)
    existing = [match[1] for path in root.glob("*.up.sql") if (match := re.match(r"(\d+)_", path.name))]
    files: list[tuple[Path, str]] = []
    for number, part in zip(shared.next_versions(existing, len(parts), now), parts, strict=True):
        files.append((root / f"{number}_{part.slug}.up.sql", shared.comments(part) + shared.statements(part.up)))
        down = shared.statements(part.down) or "-- There is no way back.\n"
        files.append((root / f"{number}_{part.slug}.down.sql", down))
    return files
