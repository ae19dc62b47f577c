"""Migration files as scripts to rehearse: which run before, which are rehearsed, and what the schema starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError
from senior_backend.migrate import adapters, files, lint_projects, lint_sources, statements
from senior_backend.migrate.rehearse.batches import Batches
from senior_backend.migrate.rehearse.model import Script, Step
from senior_backend.migrate.traits import traits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.hazards.rule import Unit
    from senior_backend.migrate.statements import Engine


REWRITTEN = ".rewritten"
"""How the folder ends into which `rewrite` puts its files."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What to build first, and what to rehearse on top of it; the flag marks files that wait for a deployment."""

    earlier: tuple[Script, ...]
    rehearsed: tuple[tuple[Script, bool], ...]


def choose(paths: Sequence[Path], folder: Path, schema: Path | None, engine: Engine) -> Chosen:
    """Return the scripts for a call: `paths`, or the newest migration of `folder`; before them all older ones.

    In a project of another migration tool its adapter reads them, with the way down where the tool keeps one as SQL.

    Raises:
        InputError: a file is no migration, two versions collide, or there is nothing to rehearse.
        UnavailableError: a file cannot be read, or the project's tool not be run.
    """
    if not paths and not folder.is_dir():
        found = adapters.find(Path())
        folder = found.root if found is not None and found.name == "dbmate" else folder
    project = of_project(paths, folder)
    if project is not None:
        units, written_for = project
        if written_for not in (None, engine) and not {written_for, engine} <= {"mysql", "mariadb"}:
            raise InputError(
                f"the project's migrations are for {written_for}, and {engine} was asked for", code="other-engine",
                where=units[0].path,
                hint=f"Say --engine {written_for}, or configure the project (DATABASE_URL) for {engine}.",
            )  # fmt: skip
        return _chosen_units(units, schema, engine, newest=not paths)
    if not paths:
        whole = files.load_folder(folder).migrations
        targets: list[files.Migration] = [whole[-1]]
        siblings: list[files.Migration] = list(whole[:-1])
    else:
        listed = [path for one in paths for path in (sorted(one.glob("*.sql")) if one.is_dir() else [one])]
        if not listed:
            raise InputError(
                f"there are no SQL files in {paths[0]}", code="no-migrations", where=str(paths[0]),
                hint="Name migration files.",
            )  # fmt: skip
        targets = [load(path, engine) for path in listed]
        siblings = [] if schema else _older(targets)
    earlier = (plain(schema, engine),) if schema else tuple(script(one, engine) for one in siblings)
    if not schema and not siblings:
        earlier = tuple(unit_script(unit, engine) for unit in _replaced_in_project(targets))
    rehearsed = tuple((script(one, engine), one.after_deploy) for one in targets)
    if not any(one.up for one, _ in rehearsed):
        raise InputError(
            "there is no statement to rehearse", code="nothing-to-rehearse", where=str(targets[0].path),
            hint="Write statements behind `-- migrate:up`.",
        )  # fmt: skip
    return Chosen(earlier, rehearsed)


def of_project(paths: Sequence[Path], folder: Path) -> tuple[list[Unit], Engine | None] | None:
    """Return the migrations of another tool's project that a call names, and its engine; None where it has none.

    Those before the named ones are among them, to be replayed only. Without `paths` the project is that of `folder`,
    or of the current folder where `folder` does not exist.
    """
    units: dict[str, Unit] = {}
    engine: Engine | None = None
    for path in paths or [folder if folder.is_dir() else Path()]:
        found = None if path.exists() and lint_sources.native(path) else lint_projects.units_at(path)
        if found is None:
            return None
        engine = engine or found[1]
        for unit in found[0]:
            if unit.path not in units or unit.lint:
                units[unit.path] = unit
    return list(units.values()), engine


def _chosen_units(units: Sequence[Unit], schema: Path | None, engine: Engine, *, newest: bool) -> Chosen:
    targets = units[-1:] if newest else [unit for unit in units if unit.lint]
    first = units.index(targets[0])
    earlier = (plain(schema, engine),) if schema else tuple(unit_script(unit, engine) for unit in units[:first])
    rehearsed = tuple((unit_script(unit, engine), False) for unit in targets)
    if not any(one.up for one, _ in rehearsed):
        raise InputError(
            "there is no statement to rehearse", code="nothing-to-rehearse", where=targets[0].path,
            hint="Name a migration that changes the schema.",
        )  # fmt: skip
    return Chosen(earlier, rehearsed)


def unit_script(unit: Unit, engine: Engine) -> Script:
    """Return another tool's migration as a script; a way back without a statement is none."""
    back = unit.rollback
    return Script(
        file=unit.path,
        transactional=unit.transaction is not False,
        up=_unit_steps(unit, engine),
        down_transactional=back is None or back.transaction is not False,
        down=(_unit_steps(back, engine) or None) if back else None,
        unknown_down=unit.unknown_rollback,
    )


def _unit_steps(unit: Unit, engine: Engine) -> tuple[Step, ...]:
    """Return the statements; a BEGIN and a COMMIT around nothing are none."""
    found = statements.split(unit.text, engine, file=Path(unit.path))
    steps = tuple(Step(unit.path, one.line, one.column, one.text) for one in found if not one.meta)
    return () if all(traits(step.text, engine).control for step in steps) else steps


def groups(steps: Sequence[Step], engine: Engine, *, transactional: bool) -> list[tuple[tuple[Step, ...], bool]]:
    """Return the steps that run together, and whether in a transaction; BEGIN and COMMIT in a file set its bounds."""
    found: list[tuple[tuple[Step, ...], bool]] = []
    block: list[Step] | None = [] if transactional else None
    for step in steps:
        kind = traits(step.text, engine)
        if kind.control and kind.verb in ("BEGIN", "START"):
            block = block or []
        elif kind.control and kind.verb in ("COMMIT", "END") and block is not None:
            found.append((tuple(block), True))
            block = None
        elif block is not None:
            block.append(step)
        else:
            found.append(((step,), False))
    return [group for group in (*found, (tuple(block or ()), True)) if group[0]]


def load(path: Path, engine: Engine) -> files.Migration:
    """Return a migration; a file without marks and version is taken as its own up section, without a way down.

    Nothing says how such a file is sent. A statement that the server refuses inside a transaction tells that it is sent
    as psql does, one at a time; otherwise its locks are held to its end, as most migration tools do.
    """
    text = files.read_text(path)
    if "migrate:up" in text:
        return files.parse(path, text)
    sent_alone = any(
        traits(one.text, engine).alone for one in statements.split(text, engine, file=path) if not one.meta
    )
    section = files.Section(0, len(text), 1, transaction=not sent_alone)
    return files.Migration("", path.stem, path, text, section, None, tuple(files.directives(text, path)), "")


def _older(targets: Sequence[files.Migration]) -> list[files.Migration]:
    first = min(targets, key=lambda one: one.version)
    if not first.version:
        return []
    rehearsed = {one.path.resolve() for one in targets}
    folder = first.path.resolve().parent
    replaced: set[str] = set()
    if folder.name.endswith(REWRITTEN):
        # What `rewrite` wrote stands in a folder beside the migration that it replaces.
        replaced = {folder.name.removesuffix(REWRITTEN)}
        folder = folder.parent
        if not lint_sources.native(folder):
            return []
    return [
        one
        for one in files.load_folder(folder).migrations
        if one.version < first.version and one.path.resolve() not in rehearsed and one.path.stem not in replaced
    ]


def _replaced_in_project(targets: Sequence[files.Migration]) -> list[Unit]:
    """Return what comes before the migration of another tool that `rewrite` replaced by `targets`."""
    folder = targets[0].path.resolve().parent
    if not folder.name.endswith(REWRITTEN):
        return []
    for original in sorted(folder.parent.glob(f"{folder.name.removesuffix(REWRITTEN)}.*")):
        found = lint_projects.units_at(original) if original.is_file() else None
        if found is not None:
            return [unit for unit in found[0] if not unit.lint]
    return []


def plain(path: Path, engine: Engine) -> Script:
    """Return a file of SQL (a schema dump) as a script that runs statement by statement."""
    text = files.read_text(path)
    found = statements.split(text, engine, file=path)
    steps = tuple(Step(str(path), one.line, one.column, one.text) for one in found if not one.meta)
    return Script(str(path), False, steps, False, None)


def script(migration: files.Migration, engine: Engine) -> Script:
    """Return a migration as a script."""
    irreversible = any(directive.name == "irreversible" for directive in migration.in_section("down"))
    down = migration.down_section
    return Script(
        file=str(migration.path),
        transactional=migration.transaction,
        up=_steps(migration, "up", engine),
        down_transactional=down is None or down.transaction,
        down=None if down is None or irreversible else _steps(migration, "down", engine),
    )


def _steps(migration: files.Migration, direction: files.Direction, engine: Engine) -> tuple[Step, ...]:
    directives = [one for one in migration.in_section(direction) if one.name == "backfill"]
    found: list[Step] = []
    begin = 0
    for one in migration.statements(direction, engine):
        directive = next((each for each in directives if begin <= each.start < one.start), None)
        begin = one.end
        if not one.meta:
            batches = _batches(directive) if directive else None
            found.append(Step(str(migration.path), one.line, one.column, one.text, batches))
    return tuple(found)


def _batches(directive: files.Directive) -> Batches:
    key = tuple(part.strip() for part in directive.arguments.get("key", "id").split(","))
    size = directive.arguments.get("batch", "")
    return Batches(key, int(size) if size.isdigit() and int(size) > 0 else 1000)
