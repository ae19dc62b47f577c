"""Applies a plan so that neither a crash nor a busy database can lose or repeat anything.

One runner at a time, by a lock that is polled (a runner that waited inside PostgreSQL for an advisory lock would hold
a snapshot that CREATE INDEX CONCURRENTLY waits for, and both would stop). One statement is sent at a time. A file is
one transaction unless its mark says otherwise or MySQL cannot do it; then each statement commits together with its
row in the ledger, or leaves one row before and one after. Who holds a lock is never waited for longer than the limit:
the runner gives way, and tries again later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import RefusedError, ToolError, UnavailableError, UndecidedError
from senior_backend.console.report import Finding
from senior_backend.migrate import failures, ledger, plan, probes, replicas
from senior_backend.migrate.databases.base import DatabaseError
from senior_backend.migrate.failures import StatementFailedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from senior_backend.console.progress import Progress
    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.databases.urls import Address
    from senior_backend.migrate.ledger import Record, State
    from senior_backend.migrate.plan import Item, Plan, Step
    from senior_backend.migrate.statements import Statement

LOCK_POLL = (0.1, 0.5)
LONGEST_PAUSE = 15.0
SHORTEST_LOCK_WAIT = 0.1
MOST_LOSSES = 5  # a statement that crashes the server each time must not go on for ever


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of a run, in seconds; `attempts` is how often one file or statement is tried against locks.

    `interrupted` says what to do with a statement of which nobody can see whether it took effect: `done` or `again`.
    """

    lock: float = 2.0
    statement: float = 60.0
    attempts: int = 30
    wait: float = 60.0
    reconnect: float = 60.0
    interrupted: str | None = None
    max_lag: float = 5.0
    replicas: tuple[Address, ...] = ()
    pause: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What a run did. `error` is why it stopped before its end."""

    finished: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    error: ToolError | None = None
    failed: Finding | None = None
    backup: str | None = None
    interrupted: bool = False


@dataclass(slots=True)
class Runner:
    """One run over one connection. Clock, sleep and random source come from outside."""

    database: Database
    settings: Settings
    outcome: Outcome
    random: Random
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    progress: Progress

    def lock(self) -> None:
        """Take the runner's lock, polling.

        Raises:
            UnavailableError: another runner has held it for too long.
        """
        deadline = self.clock() + self.settings.wait
        while not self.database.try_lock():
            if self.clock() >= deadline:
                raise UnavailableError(
                    f"another runner has held the lock for {self.settings.wait:g} s",
                    code="runner-locked",
                    where=self.database.address.shown,
                    hint="Wait for it to end; or give this one more time with --wait SECONDS.",
                )
            self.sleep(self.random.uniform(*LOCK_POLL))

    def run(self, wanted: Plan, state: State) -> None:
        """Run every file of the plan.

        Raises:
            StatementFailedError: the server refused a statement.
            ToolError: the run cannot go on; what is finished stays finished.
            DatabaseError: the connection is lost.
        """
        for number, item in enumerate(wanted.items, 1):
            self.progress.update(number - 1, item.migration.path.name)
            started = self.clock()
            if item.mode == "transaction":
                retries = self._transaction(item)
            else:
                retries = self._steps(item, dict(state.steps.get(item.migration.version, {})))
            if any(step.traits.setting for step in item.steps):
                self.database.restore_session()
            self.outcome.finished.append(
                {
                    "version": item.migration.version,
                    "file": str(item.migration.path),
                    "direction": item.direction,
                    "seconds": round(self.clock() - started, 3),
                    "statements": len(item.steps),
                    "retries": retries,
                }
            )

    def _transaction(self, item: Item) -> int:
        def attempt() -> None:
            self.limit(item.steps[0], self.settings.lock)
            self.database.begin()
            broken = self.database.broken_references() if _may_break_references(item) else 0
            locked_at: float | None = None
            for step in item.steps:
                # Locks of earlier statements are held meanwhile: the limit is for the transaction, not for each.
                held = self.clock() - locked_at if locked_at is not None else 0.0
                self.limit(step, max(self.settings.lock - held, SHORTEST_LOCK_WAIT))
                if step.traits.locks and locked_at is None:
                    locked_at = self.clock()
                self.send(step)
            if _may_break_references(item) and self.database.broken_references() > broken:
                raise StatementFailedError(
                    Finding(
                        "broken-references",
                        "error",
                        f"{item.migration.path.name} would leave rows that refer to rows that are gone",
                        str(item.migration.path),
                        "Nothing was changed. Copy all rows before the old table goes; PRAGMA foreign_key_check lists "
                        "the rows.",
                    )
                )
            if any(step.traits.verb == "SET" for step in item.steps):
                self.database.as_itself()
            ledger.finish(self.database, item.migration, item.direction, {"mode": "transaction"})
            self.database.commit()

        return self.with_retries(item.steps[0], attempt)

    def _steps(self, item: Item, records: dict[int, Record]) -> int:
        retries = 0
        for step in item.steps:
            record = records.get(step.number)
            if record is not None and record.state == "done":
                if record.checksum != step.checksum:
                    raise failures.edited_half_way(step)
                if step.traits.setting:
                    self.send(step)
                continue
            retries += self._step(item, step, record)

        def close() -> None:
            self.database.begin()
            ledger.finish(self.database, item.migration, item.direction, {"mode": "steps"})
            self.database.commit()

        return retries + self.with_retries(item.steps[-1], close)

    def _step(self, item: Item, step: Step, record: Record | None) -> int:
        if step.backfill is not None:
            from senior_backend.migrate import backfill

            return backfill.run(self, item, step, record)
        if not step.traits.alone:

            def together() -> None:
                self.limit(step, self.settings.lock)
                self.database.begin()
                self.send(step)
                self._note(item, step, "done")
                self.database.commit()

            return self.with_retries(step, together)
        if record is not None and record.state == "started":
            verdict = self._settled(step, record)
            if verdict == "done":
                self.outcome.notes.append(
                    Finding("resumed", "info", "had taken effect before the interruption; not sent again", step.where)
                )
                self._note(item, step, "done")
                return 0
        else:
            self._note(item, step, "started", probes.before(self.database, step))

        def alone() -> None:
            repaired = probes.repair(self.database, step)
            if repaired:
                self.outcome.notes.append(Finding("repaired", "info", repaired, step.where))
            self.limit(step, 0 if step.traits.concurrently else self.settings.lock)
            self.send(step)
            self._note(item, step, "done")

        try:
            retries = self.with_retries(step, alone)
        except StatementFailedError:
            repaired = probes.repair(self.database, step)
            if repaired:
                self.outcome.notes.append(Finding("repaired", "info", repaired, step.where))
            raise
        probes.verify(self.database, step)
        return retries

    def _settled(self, step: Step, record: Record) -> str:
        verdict = probes.outcome(self.database, step, record.note, same=record.checksum == step.checksum)
        if verdict == "unknown":
            verdict = self.settings.interrupted or "unknown"
        if verdict == "unknown":
            raise UndecidedError(
                "the run was interrupted at this statement, and nobody can see whether it took effect",
                code="interrupted-statement",
                where=step.where,
                hint="Look at the database, then run up again with --interrupted done or --interrupted again.",
            )
        return verdict

    def _note(self, item: Item, step: Step, state: str, note: dict[str, Any] | None = None) -> None:
        ledger.note_step(
            self.database,
            item.migration,
            item.direction,
            step=step.number,
            state=state,
            checksum=step.checksum,
            note=note,
        )

    def limit(self, step: Step, lock: float) -> None:
        """Set the limits for a step; what blocks nobody may take its time, and a file may set its own."""
        own = None if step.traits.own_timeout else self.settings.statement
        self.database.limit(lock, 0 if step.traits.slow and own is not None else own)

    def send(self, step: Step, statement: Statement | None = None) -> int:
        """Send the statement of a step, or one made from it; return the rows that it changed, -1 if unknown.

        Raises:
            StatementFailedError: the server refused it.
            DatabaseError: it met a lock, or the connection is lost.
        """
        try:
            return self.database.run(statement or step.statement)
        except DatabaseError as error:
            if error.trouble in ("lock", "lost"):
                raise
            raise failures.refused(step, error) from error

    def with_retries(self, step: Step, attempt: Callable[[], None]) -> int:
        """Call `attempt` until it does not meet a lock; return how often it gave way."""
        for tried in range(self.settings.attempts):
            try:
                attempt()
            except DatabaseError as error:
                if error.trouble == "lost":
                    raise
                self.database.rollback()
                if error.trouble != "lock":
                    raise failures.refused(step, error) from error
                if tried + 1 == self.settings.attempts:
                    raise failures.gave_way(
                        step, self.settings.attempts, self.database.blockers(step.traits.table)
                    ) from error
                pause = self.random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, 0.25 * 2**tried)
                self.progress.update(0, f"{step.where}: somebody holds a lock; trying again in {pause:.1f} s")
                self.sleep(pause)
            except BaseException:
                self.database.rollback()
                raise
            else:
                return tried
        raise AssertionError  # pragma: no cover - attempts is at least 1


def apply(
    connect: Callable[[], Database],
    make_plan: Callable[[State, Database], Plan],
    *,
    settings: Settings,
    token: str | None,
    random: Random,
    progress: Progress,
    before: Callable[[Database, Plan], str | None] = lambda _database, _plan: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Run the plan that `make_plan` makes of the locked database's state; go on after a lost connection.

    `before` is called once, under the lock, before the first statement; it returns the path of a backup or None.

    Raises:
        ToolError: nothing was run.
    """
    outcome = Outcome()
    approved = False
    losses = 0
    lost_at = 0.0
    while True:
        database: Database | None = None
        try:
            database = connect()
            runner = Runner(database, settings, outcome, random, sleep, clock, progress)
            runner.lock()
            if not approved:
                ledger.refuse_foreign(database)
            state = ledger.read(database)
            wanted = make_plan(state, database)
            if not approved:
                _check_token(wanted, state, database, token)
                ledger.create(database)
                outcome.backup = before(database, wanted)
                outcome.notes.extend(_cautions(wanted, database, settings))
                approved = True
            runner.run(wanted, state)
        except StatementFailedError as error:
            outcome.failed = error.finding
        except KeyboardInterrupt:
            outcome.interrupted = True
        except DatabaseError as error:
            if error.trouble != "lost":
                outcome.error = failures.environment(error, database)
            elif losses == MOST_LOSSES:
                outcome.error = failures.lost(error, database)
            else:
                losses += 1
                lost_at = clock()
                _say_lost(outcome)
                sleep(random.uniform(0.3, 0.7))
                continue
        except ToolError as error:
            # While a server restarts, connecting fails.
            restarting = bool(losses) and error.code == "database-unavailable"
            if restarting and clock() - lost_at < settings.reconnect:
                sleep(random.uniform(0.3, 0.7))
                continue
            if not approved:
                raise
            outcome.error = error
        finally:
            if database is not None:
                _close(database)
        if outcome.error is not None and not approved:
            raise outcome.error
        return outcome


def _say_lost(outcome: Outcome) -> None:
    message = f"the connection was lost after {len(outcome.finished)} files; went on from the ledger"
    outcome.notes.append(Finding("reconnected", "info", message))


def _close(database: Database) -> None:
    try:
        database.close()
    except DatabaseError:
        return  # the connection is gone, and its lock with it


def _cautions(wanted: Plan, database: Database, settings: Settings) -> list[Finding]:
    if not wanted.items:
        return []
    return [*probes.cautions(database), *replicas.cautions(database, wanted, settings.replicas)]


def _check_token(wanted: Plan, state: State, database: Database, token: str | None) -> None:
    found = plan.reasons(wanted, local=database.address.local, shown=database.address.shown)
    expected = plan.token_of(wanted, state, database.identity())
    if token is not None and wanted.items and token != expected:
        raise RefusedError(
            "the token belongs to another plan or another database",
            code="wrong-token",
            where=database.address.shown,
            hint="Something changed since it was printed. Read the new plan: db_migrate.py plan"
            + (" --down" if wanted.direction == "down" else ""),
        )
    if found and token is None:
        reason = found[0].message + (f", and {len(found) - 1} more" if len(found) > 1 else "")
        raise RefusedError(
            f"this needs the token of its plan: {reason}",
            code="token-needed",
            where=found[0].where,
            hint="Read what would happen, then pass the token that is printed with it: db_migrate.py plan"
            + (" --down" if wanted.direction == "down" else ""),
            findings=[
                Finding("token-needed", "error", one.message, one.where, "Read the plan; it prints the token.")
                for one in found
            ],
        )


def _may_break_references(item: Item) -> bool:
    # Rebuilding a table is what breaks references on SQLite, where enforcement is off while migrations run.
    return any(step.traits.verb in ("DROP", "ALTER") for step in item.steps)
