"""Migrations of projects that use another tool, read by that tool's adapter."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.migrate.files import read_text
from senior_backend.migrate.hazards.rule import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from senior_backend.migrate import adapters
    from senior_backend.migrate.statements import Engine

_LEVELS = 6
"""How far above a path its project is looked for."""


def paths_named(paths: Sequence[str | Path], folder: str | Path) -> list[str]:
    """Return the paths of a call: without any `folder`, else the project in the current folder."""
    if paths:
        return [str(path) for path in paths]
    if not Path(folder).exists():
        from senior_backend.migrate import adapters

        found = adapters.find(Path())
        if found is not None:
            return [str(found.root)]
    return [str(folder)]


def units_at(path: Path) -> tuple[list[Unit], Engine | None] | None:
    """Return the migrations of the project to which `path` belongs, and its engine where the project names one.

    A folder gives those below it (all, where it is the project's own folder or above its migrations). A file gives
    itself behind those before it, which are only replayed. None where `path` is of no other tool's migrations.

    Raises:
        UndecidedError: the folder holds several projects.
        InputError: the tool's files are malformed.
        UnavailableError: the tool has to be run and cannot be.
    """
    place = path.resolve()
    if place.is_file() and not _may_belong(place):
        return None
    found = _adapter(place)
    if found is None:
        return None
    units = [(unit.path.resolve(), unit, _unit(unit)) for unit in found.module.read(found.root)]
    engine = next((unit.engine for _, unit, _ in units if unit.engine), None) or found.module.engine(found.root)
    if place.is_file():
        chosen = list(_behind_its_past(place, units))
    else:
        root = found.root.resolve()
        whole = place == root or place in root.parents
        chosen = [unit for where, _, unit in units if whole or place in where.parents]
    return (chosen, engine) if chosen else None


def _behind_its_past(place: Path, units: list[tuple[Path, adapters.Unit, Unit]]) -> Iterator[Unit]:
    positions = [index for index, (where, _, _) in enumerate(units) if where == place]
    if not positions:
        return
    for where, _, unit in units[: positions[-1] + 1]:
        yield unit if where == place else replace(unit, lint=False)


_NAMES = re.compile(r"[VRU]\d.*__.*\.sql|.*\.up\.sql|(?:migration|up|deploy)\.sql", re.IGNORECASE)
_FOLDERS = frozenset(("prisma", "drizzle", "supabase", "deploy", "sqitch", "atlas", "db", "versions", "migrate"))
_MARKS = re.compile(rb"\+goose|liquibase formatted|statement-breakpoint|atlas:|__EFMigrationsHistory", re.IGNORECASE)


def _may_belong(path: Path) -> bool:
    """Whether a file looks like one of another tool's: adapters take longer to load than most files to check."""
    if path.suffix != ".sql":
        return path.suffix in (".py", ".rb", ".cs", ".xml", ".yaml", ".yml", ".json")
    if _NAMES.fullmatch(path.name) or _FOLDERS & set(path.parts[-5:-1]):
        return True
    beside = ("atlas.sum", "meta", "sqitch.plan", "dbconfig.yml")
    if any((path.parent / name).exists() for name in beside):
        return True
    with path.open("rb") as file:
        return _MARKS.search(file.read(65536)) is not None


def _adapter(place: Path) -> adapters.Adapter | None:
    """Return the tool of the project around `place`; else, for a folder without SQL of its own, of the one below it."""
    from senior_backend.migrate import adapters

    start = place if place.is_dir() else place.parent
    for folder in (start, *start.parents[:_LEVELS]):
        found = adapters.detect(folder)
        if found is not None:
            return found
        if (folder / ".git").exists() or folder == Path.home():
            break
    return None if place.is_file() or any(place.glob("*.sql")) else adapters.only_one_below(place)


def _unit(unit: adapters.Unit) -> Unit:
    """Return the unit with the offsets of its file, where its text is in the file."""
    found = Unit(
        str(unit.path),
        unit.text,
        unit.transaction,
        rollback=_unit(unit.rollback) if unit.rollback is not None else None,
        unreadable=unit.unreadable,
        unknown_rollback=unit.unknown_rollback,
    )
    if unit.start is None:
        return found
    text = read_text(unit.path)
    end = unit.start + len(unit.text)
    if text[unit.start : end].count("\n") != unit.text.count("\n"):
        return found
    return replace(found, text=re.sub(r"[^\n]", " ", text[: unit.start]) + unit.text)
