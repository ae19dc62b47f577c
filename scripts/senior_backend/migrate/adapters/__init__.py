"""Migration tools that projects already have; one module each, found by name.

A module has `NAME`, `APPLY` (the command that applies its files), `MAY_EXTEND` (whether `new` rewrites files that
exist, such as a list of changes), `detect(root)` (the folder that its files are under, or None), `engine(root)`,
`read(root)` (the SQL of its migrations in their order) and `new(root, parts, engine, now)` (paths and texts).
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from senior_backend.migrate.statements import Engine


@dataclass(frozen=True, slots=True)
class Unit:
    """One migration of another tool: its up SQL, and whether the tool runs it in one transaction.

    `start` is the offset of `text` in the file at `path`, None where the text is not in the file (it was rendered).
    `rollback` is its way back.
    """

    path: Path
    text: str
    transaction: bool = True
    engine: Engine | None = None
    start: int | None = 0
    rollback: Unit | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """A tool that a project uses; `root` is the folder of its migrations or its configuration."""

    name: str
    root: Path
    module: Any


def detect(project: Path) -> Adapter | None:
    """Return the migration tool of a project, None where it has none (or dbmate's, whose format is ours)."""
    for name in sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name[0] != "_"):
        module = importlib.import_module(f"{__name__}.{name}")
        root = module.detect(project)
        if root is not None:
            return Adapter(module.NAME, root, module)
    return None
