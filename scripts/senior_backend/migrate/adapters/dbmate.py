"""dbmate: its format is this tool's own, so there is nothing to translate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import files
from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "dbmate"
APPLY = "db_migrate.py up"
MAY_EXTEND = False


def detect(project: Path) -> Path | None:
    """Return the folder whose SQL files have dbmate's marks."""
    return shared.folder_with(project, "*.sql", text="migrate:up")


def engine(root: Path) -> Engine | None:
    """Return the engine that an environment file near by names."""
    return shared.engine_of(root, (folder / ".env" for folder in [root, *list(root.parents)[:3]]))


def read(root: Path) -> Iterable[Unit]:
    """Yield the up sections."""
    for one in files.load_folder(root).migrations:
        yield Unit(one.path, one.up, one.transaction, engine(root), one.up_section.start)


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return the files for `parts`."""
    from senior_backend.migrate import creation

    del engine
    return creation.own_files(root, parts, now)
