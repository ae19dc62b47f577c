"""Prisma Migrate: `prisma/migrations/<time>_<name>/migration.sql`, forward only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "prisma"
APPLY = "npx prisma migrate deploy"
MAY_EXTEND = False
_PROVIDER = re.compile(r"datasource\s+\w+\s*\{[^}]*?provider\s*=\s*\"(\w+)\"", re.DOTALL)


def detect(project: Path) -> Path | None:
    """Return the `prisma` folder with a schema or migrations."""
    folder = project / "prisma"
    return folder if (folder / "schema.prisma").is_file() or (folder / "migrations").is_dir() else None


def engine(root: Path) -> Engine | None:
    """Return the provider of the schema, else that of the lock file."""
    match = _PROVIDER.search(shared.head(root / "schema.prisma", 65536))
    named: dict[str, Engine] = {
        "postgresql": "postgresql", "cockroachdb": "postgresql", "mysql": "mysql", "sqlite": "sqlite",
    }  # fmt: skip
    return named.get(match[1]) if match else shared.engine_in([root / "migrations" / "migration_lock.toml"])


def read(root: Path) -> Iterable[Unit]:
    """Yield the migrations; Prisma sends a file as one text, which only PostgreSQL runs in one transaction."""
    found = engine(root)
    for path, text in shared.texts(sorted((root / "migrations").glob("*/migration.sql"), key=_order)):
        whole = shared.is_transaction(text) and not shared.begins(text)
        yield Unit(path, text, found in (None, "postgresql") and whole, found)


def _order(path: Path) -> str:
    return path.parent.name  # Prisma applies the folders in the order of their names as texts


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return the files for `parts`; the models in `schema.prisma` are the developer's to change."""
    del engine
    shared.needs_statements(parts, NAME)
    folder = root / "migrations"
    existing = [match[1] for path in folder.glob("*/") if (match := re.match(r"(\d+)_", path.name))]
    numbers = shared.next_versions(existing, len(parts), now)
    note = "-- Change the models in schema.prisma to match; `prisma migrate diff` shows whether they do.\n"
    return [
        (folder / f"{number}_{part.slug}" / "migration.sql", shared.comments(part) + note + shared.statements(part.up))
        for number, part in zip(numbers, parts, strict=True)
    ]
