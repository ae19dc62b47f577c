"""Run migration statements one by one and watch, from another connection, who waits for whom."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate.rehearse import batches
from senior_backend.migrate.rehearse.model import (
    Blocked,
    Direction,
    Probe,
    QueryRun,
    Script,
    Server,
    Session,
    StatementRun,
    Step,
    Wait,
)
from senior_backend.migrate.rehearse.scripts import groups as groups_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SLOW = 0.02
"""Seconds from which a query counts as waiting where the engine does not tell."""
INTERVAL = 0.01
"""Seconds between two looks at the lock table: shorter waits than this hurt nobody."""


class Watch:
    """A thread that samples waiting sessions and the locks of the migration. Use as a context manager."""

    def __init__(self, server: Server, migration: int, clock: Callable[[], float]) -> None:
        self._server = server
        self._migration = migration
        self._clock = clock
        self._stop = threading.Event()
        self._held: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="rehearsal watch", daemon=True)
        self.blocked: list[Blocked] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def forget(self) -> None:
        """Forget the locks seen so far."""
        self._held = {}

    def held(self) -> dict[str, str]:
        """Return the locks seen since `forget`."""
        return dict(self._held)

    def _run(self) -> None:
        session = self._server.connect("rehearsal watch")
        with contextlib.closing(session):
            sampler = self._server.sampler(session, self._migration)
            while not self._stop.is_set():
                waiting, held = sampler.sample(self._clock())
                self.blocked.extend(waiting)
                self._held.update(held)
                self._stop.wait(INTERVAL)


def run_scripts(
    server: Server,
    session: Session,
    scripts: Sequence[Script],
    direction: Direction,
    *,
    clock: Callable[[], float],
    watch: Watch | None = None,
) -> list[StatementRun]:
    """Run one direction of `scripts` as the runner would and return what each statement did; stop at an error."""
    probe = server.probe(session)
    runs: list[StatementRun] = []
    for script in scripts:
        steps = script.down if direction == "down" else script.up
        transactional = script.down_transactional if direction == "down" else script.transactional
        if not steps:
            continue
        if server.transactional:
            groups = groups_of(steps, server.engine, transactional=transactional)
        else:
            groups = [((step,), False) for step in steps]
        for group, together in groups:
            done = _run_group(
                server, session, probe, group, direction=direction, transaction=len(runs),
                clock=clock, watch=watch, transactional=together,
            )  # fmt: skip
            runs.extend(done)
            if any(run.error for run in done):
                return runs
    return runs


def _run_group(
    server: Server,
    session: Session,
    probe: Probe,
    steps: Sequence[Step],
    *,
    direction: Direction,
    transaction: int,
    clock: Callable[[], float],
    watch: Watch | None,
    transactional: bool,
) -> list[StatementRun]:
    # A lone statement means the same with and without BEGIN; with it, its locks can be read before they are gone.
    wrapped = server.transactional and (transactional or not server.needs_autocommit(steps[0].text))
    runs: list[StatementRun] = []
    error: str | None = None
    for step in steps:
        if watch:
            watch.forget()
        if not transactional:
            started = clock()
            try:
                if batches.run(server, session, step):
                    runs.append(StatementRun(step, direction, transaction, started, clock(), released=clock()))
                    continue
            except Exception as problem:  # noqa: BLE001 - the server's words belong into the report
                failed = StatementRun(step, direction, transaction, started, clock(), error=_words(problem))
                return [*runs, replace(failed, released=clock())]
        if wrapped and step is steps[0]:
            session.query(server.begin)
            probe.transaction_began()
        probe.begin(transaction=wrapped)
        started = clock()
        try:
            session.query(step.text)
        except Exception as problem:  # noqa: BLE001 - the server's words belong into the report
            error = _words(problem)
        ended = clock()
        run = StatementRun(step, direction, transaction, started, ended, error=error)
        if error is None:
            cost = probe.end(transaction=wrapped, sampled=watch.held() if watch else None)
            run = replace(run, cost=cost)
        runs.append(run)
        if error is not None:
            break
    if wrapped:
        try:
            session.query("ROLLBACK" if error else "COMMIT")
        except Exception as problem:  # noqa: BLE001 - deferred constraints speak up only now
            runs[-1] = replace(runs[-1], error=_words(problem))
    released = clock()
    return [replace(run, released=released) for run in runs]


def _words(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def waits(
    queries: Sequence[QueryRun],
    blocked: Sequence[Blocked],
    statements: Sequence[StatementRun],
    *,
    migration: int,
    long: float,
    watched: bool = True,
) -> tuple[Wait, ...]:
    """Return the queries that waited for the migration, and those that took `long` seconds for no visible reason.

    Where the engine does not tell who waits (`watched` is False), a slow query beside the migration waited for it.
    """
    by_waiter: dict[int, list[Blocked]] = {}
    at_time: dict[float, dict[int, set[int]]] = {}
    for look in blocked:
        by_waiter.setdefault(look.waiter, []).append(look)
        at_time.setdefault(look.at, {}).setdefault(look.waiter, set()).add(look.blocker)
    found: list[Wait] = []
    for query in queries:
        looks = [look for look in by_waiter.get(query.session, ()) if query.started <= look.at <= query.ended]
        first = next((look for look in looks if _leads_to(look.waiter, migration, at_time[look.at])), None)
        if first:
            found.append(Wait(query, _statement_at(statements, first), first.relation, first.mode))
        elif not watched and query.seconds >= SLOW and (number := _beside(statements, query)) is not None:
            found.append(Wait(query, number))
        elif query.seconds >= long:
            found.append(Wait(query, None))
    return tuple(found)


def _beside(statements: Sequence[StatementRun], query: QueryRun) -> int | None:
    """Return the statement whose transaction covers most of a query; a query slow for reasons of its own has none."""

    def shared(number: int) -> float:
        run = statements[number]
        return min(query.ended, run.released) - max(query.started, run.started)

    longest = max(range(len(statements)), key=shared, default=None)
    return longest if longest is not None and shared(longest) >= query.seconds / 2 else None


def _leads_to(waiter: int, target: int, blockers: dict[int, set[int]]) -> bool:
    seen: set[int] = set()
    todo = [waiter]
    while todo:
        session = todo.pop()
        for blocker in blockers.get(session, ()):
            if blocker == target:
                return True
            if blocker not in seen:
                seen.add(blocker)
                todo.append(blocker)
    return False


def _statement_at(statements: Sequence[StatementRun], look: Blocked) -> int | None:
    """Return the statement whose lock is in the way: the first holder of the relation, else the one that runs."""
    candidates = [i for i, run in enumerate(statements) if run.started <= look.at <= run.released]
    for i in candidates:
        if any(relation == look.relation for relation, _ in statements[i].cost.locks):
            return i
    running = [i for i in candidates if statements[i].started <= look.at <= statements[i].ended]
    return next(iter(running or candidates), None)
