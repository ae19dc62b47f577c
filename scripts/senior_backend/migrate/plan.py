"""What would run, what it would destroy, and the token that stands for having seen exactly that.

The token is a hash of the plan (files, their text, where a run would start) and of the database (its identity and
what is applied there). It fits one run on one database; nothing has to be stored.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from senior_backend.console.errors import InputError, RefusedError, did_you_mean
from senior_backend.console.report import Finding
from senior_backend.migrate.statements import Engine, Statement, where
from senior_backend.migrate.traits import Traits, traits, unknown_verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.files import Direction, Directive, Folder, Migration
    from senior_backend.migrate.ledger import State

_TIMEOUT = re.compile(r"\b(?:statement_timeout|max_statement_time)\b", re.IGNORECASE)
Mode = Literal["transaction", "steps"]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a plan; `number` counts from 1 in its file, `backfill` is the directive in front of it."""

    number: int
    statement: Statement
    traits: Traits
    where: str
    checksum: str
    backfill: Directive | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a plan. `mode` says whether it runs in one transaction or statement by statement."""

    migration: Migration
    direction: Direction
    mode: Mode
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would run, in order. `risks` need the token, `held` are the files that wait for a deploy."""

    engine: Engine
    direction: Direction
    items: tuple[Item, ...]
    risks: tuple[Finding, ...] = ()
    held: tuple[Migration, ...] = ()


def plan_up(folder: Folder, state: State, engine: Engine, *, to: str | None = None, after_deploy: bool = False) -> Plan:
    """Return what `up` would run, up to and with version `to`.

    Raises:
        InputError: a file is empty or holds what the runner cannot run; all problems are told.
        RefusedError: a draft is due, an applied file was edited, or a `down` is half-way.
    """
    known = _known(folder, to)
    _refuse_edited(folder, state)
    for version in state.steps:
        if state.interrupted(version) == "down":
            raise _half_way(version, "down")
    pending = [one for one in folder.migrations if one.version not in state.applied and one.version <= known]
    held: list[Migration] = []
    if not after_deploy:
        first = next((index for index, one in enumerate(pending) if one.after_deploy), len(pending))
        pending, held = pending[:first], pending[first:]
    drafts = [one for one in pending if one.draft]
    if drafts:
        raise _drafts(drafts)
    items = tuple(_items(pending, "up", engine))
    latest = max(state.applied, default="")
    late = [one for one in pending if one.version < latest and not state.steps.get(one.version)]
    risks = [_late(one, latest) for one in late]
    risks.extend(_destruction(step) for item in items for step in item.steps if step.traits.destroys)
    return Plan(engine, "up", items, tuple(risks), tuple(held))


def plan_down(
    folder: Folder, state: State, engine: Engine, database: Database | None, *, count: int = 1, to: str | None = None
) -> Plan:
    """Return what `down` would run: the last `count` applied files, or all behind version `to`.

    Destroying a table that has no rows is no risk; where rows cannot be counted they are assumed.

    Raises:
        InputError: a version has no file, or a file cannot be run.
        RefusedError: a file has no way back, or an `up` is half-way.
    """
    if to is not None and to != "0":
        _known(folder, to)
    for version in state.steps:
        if state.interrupted(version) == "up":
            raise _half_way(version, "up")
    applied = sorted(state.applied, reverse=True)
    chosen = [version for version in applied if version > to] if to is not None else applied[:count]
    files = {one.version: one for one in folder.migrations}
    missing = [version for version in chosen if version not in files]
    if missing:
        raise InputError(
            f"version {missing[0]} is applied but has no file in {folder.path}",
            code="missing-file",
            where=str(folder.path),
            hint="Restore the file from version control.",
        )
    migrations = [files[version] for version in chosen]
    closed = [one for one in migrations if not one.in_section("down") and not (one.down or "").strip()]
    closed += [one for one in migrations if any(found.name == "irreversible" for found in one.in_section("down"))]
    if closed:
        raise RefusedError(
            f"{closed[0].path.name} has no way back",
            code="irreversible",
            where=str(closed[0].path),
            hint="Write a new migration that goes forward to the state you want, or restore a backup.",
        )
    items = tuple(_items(migrations, "down", engine))
    risks = [
        _destruction(step)
        for item in items
        for step in item.steps
        if step.traits.destroys and (database is None or _has_rows(database, step))
    ]
    return Plan(engine, "down", items, tuple(risks))


def token_of(plan: Plan, state: State, identity: str) -> str:
    """Return the token of a plan on a database."""
    content = {
        "direction": plan.direction,
        "engine": plan.engine,
        "files": [[item.migration.version, [step.checksum for step in item.steps]] for item in plan.items],
        "database": identity,
        "applied": sorted(state.applied),
        "half-way": {version: sorted(steps) for version, steps in state.steps.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def reasons(plan: Plan, *, local: bool, shown: str) -> tuple[Finding, ...]:
    """Return why a plan needs its token; empty where it needs none or runs nothing."""
    if not plan.items:
        return ()
    remote = Finding("not-local", "warning", f"{shown} is not on this machine", shown, None)
    return (*plan.risks, *(() if local else (remote,)))


def edited(folder: Folder, state: State) -> list[Finding]:
    """Return a finding for each applied file whose up section has changed since."""
    found = []
    for one in folder.migrations:
        record = state.files.get(one.version)
        if one.version in state.applied and record is not None and record.checksum != one.checksum:
            found.append(
                Finding(
                    "edited",
                    "error",
                    f"{one.path.name} was changed after it was applied",
                    str(one.path),
                    "Restore it from version control and write a new migration for the change. If the database already "
                    f"is as the file says: db_migrate.py baseline --only {one.version}",
                )
            )
    return found


def _items(migrations: Sequence[Migration], direction: Direction, engine: Engine) -> Iterable[Item]:
    problems: list[Finding] = []
    items: list[Item] = []
    for migration in migrations:
        try:
            items.append(_item(migration, direction, engine))
        except InputError as error:
            problems.extend(error.findings)
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        first = problems[0]
        raise InputError(
            first.message + more, code=first.code, where=first.where, hint=first.fix, findings=tuple(problems)
        )
    return items


def _item(migration: Migration, direction: Direction, engine: Engine) -> Item:
    section = migration.section(direction)
    statements = migration.statements(direction, engine)
    if section is None or not statements:
        raise InputError(
            f"the {direction} section of {migration.path.name} is empty: nothing would run",
            code="empty-migration",
            where=f"{migration.path}:{section.line if section else 1}:1",
            hint="Write its statements, or delete the file.",
        )
    backfills = {found.start: found for found in migration.in_section(direction) if found.name == "backfill"}
    steps: list[Step] = []
    problems: list[Finding] = []
    timeout = False
    for number, statement in enumerate(statements, 1):
        previous = statements[number - 2].end if number > 1 else section.start
        directive = next((one for start, one in backfills.items() if previous <= start < statement.start), None)
        if directive is not None:
            del backfills[directive.start]
        kind = traits(statement.text, engine)
        if directive is not None and kind.verb == "UPDATE":
            kind = replace(kind, destroys=None)  # the directive says that filling every row is what is meant
        kind = replace(kind, own_timeout=timeout)
        timeout = timeout or (kind.verb == "SET" and _TIMEOUT.search(statement.text) is not None)
        step = Step(
            number,
            statement,
            kind,
            where(migration.path, statement.line, statement.column),
            hashlib.sha256(
                f"{statement.text}\0{statement.data or ''}\0{directive and directive.rest}".encode()
            ).hexdigest(),
            directive,
        )
        problems.extend(_problems(step, engine, transaction=section.transaction))
        steps.append(step)
    problems.extend(
        Finding("bad-backfill", "error", "no statement follows the directive", f"{migration.path}:{left.line}:1", None)
        for left in backfills.values()
    )
    if problems:
        first = problems[0]
        raise InputError(first.message, code=first.code, where=first.where, hint=first.fix, findings=tuple(problems))
    return Item(migration, direction, _mode(steps, engine, transaction=section.transaction), tuple(steps))


def _mode(steps: Sequence[Step], engine: Engine, *, transaction: bool) -> Mode:
    # MySQL commits around DDL: only a file of nothing but data changes can be one transaction there.
    if engine in ("mysql", "mariadb") and any(step.traits.alone or step.traits.verb == "CALL" for step in steps):
        return "steps"
    return "transaction" if transaction else "steps"


def _problems(step: Step, engine: Engine, *, transaction: bool) -> Iterable[Finding]:
    if step.statement.meta:
        word = step.statement.text.split()[0]
        yield Finding(
            "psql-command", "error", f"{word} is a command of psql, which no server understands", step.where,
            "Leave it out, or run the file with psql.",
        )  # fmt: skip
        return
    complaint = unknown_verb(step.statement.text, engine)
    if complaint:
        yield Finding("not-sql", "error", complaint, step.where, "Nothing was sent. Correct the statement.")
    if step.traits.control:
        yield Finding(
            "transaction-control", "error", f"{step.traits.verb} belongs to the runner, not to a migration", step.where,
            "Leave it out: a file is one transaction, unless its mark says transaction:false.",
        )  # fmt: skip
    if step.traits.verb == "LOCK" and engine in ("mysql", "mariadb"):
        yield Finding(
            "lock-tables",
            "error",
            "LOCK TABLES would lock the runner out of its own tables",
            step.where,
            "Leave it out: each statement takes the locks that it needs.",
        )
    if transaction and step.traits.alone and engine == "postgresql":
        yield Finding(
            "needs-no-transaction", "error", f"PostgreSQL refuses this {step.traits.verb} inside a transaction",
            step.where, "Move it to a file of its own whose mark is `-- migrate:up transaction:false`.",
        )  # fmt: skip
    if transaction and step.backfill is not None:
        yield Finding(
            "needs-no-transaction", "error", "a backfill in one transaction would hold every row lock to its end",
            step.where, "Write `-- migrate:up transaction:false` and nothing but the backfill in the file.",
        )  # fmt: skip


def _has_rows(database: Database, step: Step) -> bool:
    from senior_backend.migrate.databases.base import DatabaseError
    from senior_backend.migrate.tokens import tokens

    names = [step.traits.table] if step.traits.table else []
    if step.traits.verb == "DROP":
        found = tokens(step.statement.text, database.engine)
        if any(token.value in ("CASCADE", "SCHEMA", "DATABASE", "SEQUENCE") for token in found):
            return True
        keywords = {"DROP", "TABLE", "IF", "EXISTS", "RESTRICT", "TEMPORARY"}
        names = [token.name for token in found if token.kind in ("word", "quoted") and token.value not in keywords]
        if any(token.value == "." for token in found):
            return True
    if not names or step.traits.verb not in ("DROP", "ALTER", "DELETE", "TRUNCATE", "UPDATE"):
        return True
    try:
        return any(
            bool(database.query(f"SELECT 1 FROM {database.quoted(name)} LIMIT 1"))  # noqa: S608 - a quoted identifier
            for name in names
        )
    except DatabaseError:
        return True


def _destruction(step: Step) -> Finding:
    return Finding("destructive", "warning", f"destroys {step.traits.destroys}", step.where, None)


def _late(one: Migration, latest: str) -> Finding:
    return Finding(
        "out-of-order",
        "warning",
        f"{one.path.name} is older than {latest}, which is already applied",
        str(one.path),
        "Rename it to a version behind the latest, unless it cannot depend on the order.",
    )


def _refuse_edited(folder: Folder, state: State) -> None:
    found = edited(folder, state)
    if found:
        raise RefusedError(
            found[0].message, code="edited", where=found[0].where, hint=found[0].fix, findings=tuple(found)
        )


def _half_way(version: str, direction: str) -> RefusedError:
    return RefusedError(
        f"{direction} of version {version} stopped half-way",
        code="half-way",
        where=version,
        hint=f"Finish it first: db_migrate.py {direction}",
    )


def _drafts(drafts: Sequence[Migration]) -> RefusedError:
    findings = []
    for one in drafts:
        mark = next(found for found in one.directives if found.name == "draft")
        findings.append(
            Finding(
                "draft",
                "error",
                f"{one.path.name} is a draft",
                f"{one.path}:{mark.line}:1",
                "Read its header, make its statements what you want, and delete the line `-- db_migrate: draft`.",
            )
        )
    first = findings[0]
    return RefusedError(first.message, code="draft", where=first.where, hint=first.fix, findings=tuple(findings))


def _known(folder: Folder, to: str | None) -> str:
    """Return the highest version that may run.

    Raises:
        InputError: there is no file of that version.
    """
    versions = [one.version for one in folder.migrations]
    if to is None:
        return versions[-1]
    if to not in versions:
        raise InputError(
            f"there is no version {to}{did_you_mean(to, versions)}",
            code="unknown-version",
            where=str(folder.path),
            hint="`db_migrate.py status` lists the versions.",
        )
    return to
