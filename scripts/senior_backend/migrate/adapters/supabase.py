"""Supabase: `supabase/migrations/<time>_<name>.sql`, forward only, PostgreSQL."""

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

NAME = "supabase"
APPLY = "supabase db push"
MAY_EXTEND = False


def detect(project: Path) -> Path | None:
    """Return the migrations folder where there is a Supabase configuration or such a folder."""
    folder = project / "supabase" / "migrations"
    return folder if folder.is_dir() or (project / "supabase" / "config.toml").is_file() else None


def engine(root: Path) -> Engine | None:
    """Supabase is PostgreSQL."""
    del root
    return "postgresql"


def read(root: Path) -> Iterable[Unit]:
    """Yield the migrations."""
    for path, text in shared.texts(sorted(root.glob("*.sql"))):
        yield Unit(path, text, engine="postgresql")


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return the files for `parts`."""
    del engine
    shared.needs_statements(parts, NAME)
    parts = [shared.in_one_transaction(part, NAME) for part in parts]
    existing = [match[1] for path in root.glob("*.sql") if (match := re.match(r"(\d+)_", path.name))]
    numbers = shared.next_versions(existing, len(parts), now)
    return [
        (root / f"{number}_{part.slug}.sql", shared.comments(part) + shared.statements(part.up))
        for number, part in zip(numbers, parts, strict=True)
    ]
