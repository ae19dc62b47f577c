"""The rehearsal itself: build, dry run on empty tables, fill, apply under load, down, up again."""

from __future__ import annotations

import contextlib
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from senior_backend.migrate.rehearse import fill, workload
from senior_backend.migrate.rehearse.model import (
    Difference,
    QueryRun,
    Rehearsal,
    RoundTrip,
    Script,
    Server,
    Session,
    StatementRun,
    Table,
    Wait,
)
from senior_backend.migrate.rehearse.observe import Watch, run_scripts, waits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

BASELINE_SECONDS = 0.6
TAIL_SECONDS = 0.3
"""The application runs this long before and after the migration."""
LOCK_TIMEOUT = 5.0
"""How long a statement of the migration may wait for its lock."""
TABLES_UNDER_LOAD = 6
"""Where a migration touches no table, the application works on the first tables."""


class Source(Protocol):
    """A server on which scratch databases can be made."""

    def database(self) -> AbstractContextManager[Server]:
        """Yield a new empty database and drop it afterwards."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a caller chooses."""

    rows: int = 10_000
    seed: int = 1
    readers: int = 2
    writers: int = 2
    max_wait: float = 0.5
    round_trip: bool = True


class BuildError(Exception):
    """The schema before the rehearsed migrations cannot be built; `run` is the statement that failed."""

    def __init__(self, run: StatementRun) -> None:
        super().__init__(run.error or "")
        self.run = run


@dataclass(frozen=True, slots=True)
class _Preview:
    """What a run on empty tables showed: the tables after each phase, those that were locked, and fixed times."""

    statements: tuple[StatementRun, ...]
    tables: tuple[tuple[Table, ...], ...]
    touched: frozenset[str]


def phases(scripts: Sequence[tuple[Script, bool]]) -> list[list[Script]]:
    """Return the scripts in groups between two deployments; the flag says that a script waits for one."""
    groups: list[list[Script]] = [[]]
    for script, after_deploy in scripts:
        if after_deploy and groups[-1]:
            groups.append([])
        groups[-1].append(script)
    return [group for group in groups if group]


def rehearse(
    source: Source,
    earlier: Sequence[Script],
    groups: Sequence[Sequence[Script]],
    settings: Settings,
    *,
    say: Callable[[str, float], None] = lambda _stage, _share: None,
    clock: Callable[[], float] = time.monotonic,
) -> Rehearsal:
    """Rehearse `groups` of scripts, with a deployment of the application between two groups, and return what was seen.

    Raises:
        BuildError: the earlier scripts do not run.
    """
    say("dry run on empty tables", 0.0)
    files = tuple(script.file for group in groups for script in group)
    with source.database() as server, contextlib.closing(server.connect("rehearsal dry run")) as session:
        _build(server, session, earlier)
        preview = _dry_run(server, session, groups, clock=clock)
        result = Rehearsal(server.engine, server.label, settings.rows, files, preview.statements)
        if preview.statements and preview.statements[-1].error:
            return result
    with source.database() as server, contextlib.closing(server.connect("rehearsal migration")) as session:
        _build(server, session, earlier)
        server.limit_waits(session, LOCK_TIMEOUT)
        result = replace(
            result, touched=tuple(sorted(preview.touched)), fixed=tuple(run.seconds for run in preview.statements)
        )
        result = _fill(server, session, preview, settings, result, say=say)
        schema_before = server.fingerprint(session)
        result = _apply(
            server,
            session,
            groups,
            preview=preview,
            settings=settings,
            result=result,
            say=say,
            clock=clock,
        )
        if settings.round_trip and not any(run.error for run in result.statements):
            say("down, and up again", 0.8)
            result = _round_trip(
                server,
                session,
                groups,
                schema_before=schema_before,
                result=result,
                clock=clock,
            )
    say("done", 1.0)
    return result


def _build(server: Server, session: Session, earlier: Sequence[Script]) -> None:
    for run in run_scripts(server, session, earlier, "up", clock=time.monotonic):
        if run.error:
            raise BuildError(run)


def _dry_run(
    server: Server,
    session: Session,
    groups: Sequence[Sequence[Script]],
    *,
    clock: Callable[[], float],
) -> _Preview:
    states = [server.describe(session)]
    known = {table.label for table in states[0]}
    statements: list[StatementRun] = []
    for group in groups:
        statements.extend(run_scripts(server, session, group, "up", clock=clock))
        if statements and statements[-1].error:
            break
        states.append(server.describe(session))
    touched = {relation for run in statements for relation, mode in run.cost.locks if mode != "AccessShareLock"}
    words = {
        word.strip('"`[]();,').rpartition(".")[2].strip('"`') for run in statements for word in run.step.text.split()
    }
    named = {label for label in known if label in words}
    return _Preview(tuple(statements), tuple(states), frozenset(known & touched) or frozenset(named))


def _fill(
    server: Server,
    session: Session,
    preview: _Preview,
    settings: Settings,
    result: Rehearsal,
    *,
    say: Callable[[str, float], None],
) -> Rehearsal:
    now = fill.merged(preview.tables[0], preview.tables[-1])
    wanted = _with_parents(now, preview.touched)
    filled = fill.fill(
        server, session, wanted, settings.rows, seed=settings.seed, nulls=True,
        progress=lambda share, note: say(f"filling {note}", 0.1 + 0.3 * share),
    )  # fmt: skip
    return replace(result, filled=filled)


def _with_parents(tables: Sequence[Table], touched: frozenset[str]) -> list[Table]:
    """Return the touched tables and all that they refer to; every table where nothing is touched."""
    by_name = {table.name: table for table in tables}
    todo = [table.name for table in tables if table.label in touched] or [table.name for table in tables]
    chosen: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in chosen and name in by_name:
            chosen.add(name)
            todo.extend(key.parent for key in by_name[name].foreign_keys)
    return [table for table in tables if table.name in chosen]


def application(before: Sequence[Table], after: Sequence[Table], *, deployed: bool) -> list[Table]:
    """Return the tables as the running application knows them.

    Until a deployment it is the schema from before the migration; after one, it no longer names what is about to go.
    """
    if not deployed:
        return list(before)
    later = {table.label: {column.name for column in table.columns} for table in after}
    known: list[Table] = []
    for table in before:
        kept = tuple(column for column in table.columns if column.name in later.get(table.label, ()))
        if kept:
            names = {column.name for column in kept}
            known.append(
                replace(
                    table,
                    columns=kept,
                    primary_key=table.primary_key if names.issuperset(table.primary_key) else (),
                    uniques=tuple(key for key in table.uniques if names.issuperset(key)),
                    foreign_keys=tuple(key for key in table.foreign_keys if names.issuperset(key.columns)),
                )
            )
    return known


def _apply(
    server: Server,
    session: Session,
    groups: Sequence[Sequence[Script]],
    *,
    preview: _Preview,
    settings: Settings,
    result: Rehearsal,
    say: Callable[[str, float], None],
    clock: Callable[[], float],
) -> Rehearsal:
    statements: list[StatementRun] = []
    queries: list[QueryRun] = []
    waited: list[Wait] = []
    unusable: list[tuple[str, str, str]] = []
    baseline: list[float] = []
    bounds: list[float] = []
    for number, group in enumerate(groups):
        say("readers and writers warm up", 0.4 + 0.4 * number / len(groups))
        known = application(preview.tables[number], preview.tables[number + 1], deployed=number > 0)
        # Like the rows that are there, those of the workload respect what the migration is about to demand.
        known = list(fill.merged(known, preview.tables[-1]))
        under_load = [table for table in known if table.label in preview.touched] or known[:TABLES_UNDER_LOAD]
        candidates = [
            query
            for table in under_load
            for query in workload.queries(server, session, table, settings.rows, phase=number)
        ]
        mix, bad = workload.usable(session, candidates)
        unusable.extend((query.table, query.kind, reason) for query, reason in bad)
        load = workload.Workload(server, mix, readers=settings.readers, writers=settings.writers, clock=clock)
        with load, Watch(server, session.identity, clock) as watch:
            time.sleep(BASELINE_SECONDS)
            began = clock()
            done = run_scripts(server, session, group, "up", clock=clock, watch=watch)
            ended = clock()
            time.sleep(TAIL_SECONDS)
        offset = statements[-1].transaction + 1 if statements else 0
        done = [replace(run, transaction=run.transaction + offset) for run in done]
        found = waits(
            load.runs,
            watch.blocked,
            done,
            migration=session.identity,
            long=settings.max_wait,
            watched=server.engine != "sqlite",
        )
        shift = len(statements)
        waited.extend(
            replace(wait, statement=None if wait.statement is None else wait.statement + shift) for wait in found
        )
        baseline.extend(run.seconds for run in load.runs if run.ended < began)
        statements.extend(done)
        queries.extend(load.runs)
        bounds += [began, ended]
        if any(run.error for run in done):
            break
    return replace(
        result,
        statements=tuple(statements),
        queries=tuple(sorted(queries, key=lambda run: run.started)),
        waits=tuple(waited),
        unusable=tuple(unusable),
        typical=statistics.median(baseline) if baseline else 0.0,
        began=bounds[0],
        ended=bounds[-1],
    )


def _round_trip(
    server: Server,
    session: Session,
    groups: Sequence[Sequence[Script]],
    *,
    schema_before: dict[str, str],
    result: Rehearsal,
    clock: Callable[[], float],
) -> Rehearsal:
    scripts = [script for group in groups for script in group]
    one_way = [script for script in scripts if script.down is None]
    if one_way:
        unknown = next((script.unknown_down for script in one_way if script.unknown_down), None)
        return replace(result, down=RoundTrip("unknown" if unknown else "irreversible", error=unknown))
    schema_after = server.fingerprint(session)
    counted = _counts(server, session)
    down = run_scripts(server, session, scripts[::-1], "down", clock=clock)
    if down and down[-1].error:
        return replace(result, statements=(*result.statements, *down), down=RoundTrip("failed", error=down[-1].error))
    differences = compare(schema_before, server.fingerprint(session))
    result = replace(result, down=RoundTrip("different" if differences else "same", differences))
    again = run_scripts(server, session, scripts, "again", clock=clock)
    result = replace(result, statements=(*result.statements, *down, *again))
    if again and again[-1].error:
        return replace(result, again=RoundTrip("failed", error=again[-1].error))
    differences = compare(schema_after, server.fingerprint(session))
    now = _counts(server, session)
    lost = tuple((label, rows, now[label]) for label, rows in counted.items() if label in now and now[label] < rows)
    return replace(result, again=RoundTrip("different" if differences else "same", differences), lost_rows=lost)


def _counts(server: Server, session: Session) -> dict[str, int]:
    return {
        table.label: int(session.query(f"SELECT count(*) FROM {table.name}")[0][0])  # noqa: S608 - quoted by the server
        for table in server.describe(session)
    }


def compare(before: dict[str, str], after: dict[str, str]) -> tuple[Difference, ...]:
    """Return the objects in which two schemas differ, by name."""
    return tuple(
        Difference(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )
