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

from senior_backend.console.errors import UndecidedError

if TYPE_CHECKING:
    from pathlib import Path

    from senior_backend.migrate.statements import Engine


@dataclass(frozen=True, slots=True)
class Unit:
    """One migration of another tool: its up SQL, and whether the tool runs it in one transaction.

    `start` is the offset of `text` in the file at `path`, None where the text is not in the file (it was rendered).
    Marks of the tool inside it may be overwritten, so long as the offsets hold.
    `rollback` is its way back; `unknown_rollback` says why the tool does not tell it, None where it has none.
    `unreadable` says why the tool does not tell the SQL of this one.
    """

    path: Path
    text: str
    transaction: bool = True
    engine: Engine | None = None
    start: int | None = 0
    rollback: Unit | None = None
    unreadable: str | None = None
    unknown_rollback: str | None = None


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


def find(project: Path) -> Adapter | None:
    """Return the migration tool of the project at `project`, of the one around it, or of the only one below it.

    Elsewhere than at `project`, dbmate's format is no sign: it is that of this tool.

    Raises:
        UndecidedError: there are several below.
    """
    from senior_backend.migrate.adapters import _search

    here = detect(project)
    if here is not None:
        return here
    around = next(filter(_other, map(detect, _search.above(project))), None)
    return around if around is not None else only_one_below(project)


def only_one_below(project: Path) -> Adapter | None:
    """Return the migration tool of the only project below a folder, None where there is none.

    Raises:
        UndecidedError: there are several.
    """
    from senior_backend.migrate.adapters import _search

    below = {one.root: one for one in filter(None, map(detect, _search.below(project))) if _other(one)}
    if len(below) > 1:
        places = "; ".join(f"{one.root} ({one.name})" for one in list(below.values())[:_SHOWN])
        more = f"; and {len(below) - _SHOWN} more" if len(below) > _SHOWN else ""
        raise UndecidedError(
            f"{len(below)} folders here have migrations of a tool: {places}{more}",
            code="several-tools",
            where=str(project),
            hint="Change into the one that is meant and call again; or name a folder for this tool's own migrations "
            "with --migrations-dir.",
        )
    return next(iter(below.values()), None)


def _other(found: Adapter | None) -> bool:
    return found is not None and found.name != "dbmate"


_SHOWN = 5
