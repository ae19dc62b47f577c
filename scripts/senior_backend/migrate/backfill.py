"""Backfills: one UPDATE as many short transactions, each with its place in the ledger.

    -- migrate:up transaction:false
    -- db_migrate: backfill table=users key=id batch=1000
    UPDATE users SET email_lower = lower(email) WHERE email_lower IS NULL;

`table` is the table of the UPDATE, as it stands there (with its schema; an alias is found in the statement). `key` is
one or more columns (`a,b`) with a unique index and without NULL; it must not be changed by the statement. `batch` is
the number of rows to look at in one transaction, 1000 if not given; `pause=50ms` waits after each.

The walk ends at the highest key that the table has when it begins: with writers who add rows faster than it walks it
would never catch up otherwise. Rows added behind that key are the business of what was deployed before the backfill: a
trigger, a default, or an application that writes the new column.

Each batch reads the key that ends it through the index, adds `key > last AND key <= end` to the statement's own WHERE,
runs it, and commits together with the new place and the end of the walk: a crash loses at most the batch under way, no
row is changed twice, and a run that goes on ends where the first one would have. Between batches the run pauses while a
replica is too far behind; on MySQL and MariaDB one that the call names. A batch that meets a row lock is rolled back
and tried again, and the next ones are smaller; they grow back when the way is free.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import InputError
from senior_backend.console.progress import Progress
from senior_backend.migrate import keyset, ledger, replicas
from senior_backend.migrate.options import seconds
from senior_backend.migrate.statements import Statement
from senior_backend.migrate.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.ledger import Record
    from senior_backend.migrate.plan import Item, Step
    from senior_backend.migrate.runner import Runner
    from senior_backend.migrate.statements import Engine

_NAME_PARTS = re.compile(r"""\"[^"]*\"|`[^`]*`|\[[^\]]*\]|\.|[^.]+""")
DEFAULT_BATCH = 1000
SMALLEST_BATCH = 10
LAG_POLL = 1.0
BATCH_SECONDS = 1.0
"""Batches shrink when they take longer: their row locks are what writers wait for."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """What a directive and its UPDATE say. `head` ends where WHERE begins, `condition` is its text or empty."""

    table: str
    key: tuple[str, ...]
    batch: int
    pause: float
    alias: str
    head: str
    condition: str
    tail: str


def understand(step: Step, engine: Engine) -> Backfill:
    """Return the backfill of a statement.

    Raises:
        InputError: the directive or the UPDATE is not one that can be cut into batches.
    """
    directive = step.backfill
    assert directive is not None
    arguments = dict(directive.arguments)
    unknown = sorted(arguments.keys() - {"table", "key", "batch", "pause"})
    if unknown or "table" not in arguments or "key" not in arguments:
        wrong = f"unknown {unknown[0]}=" if unknown else "table= or key= is missing"
        raise _wrong(step, wrong, "Write -- db_migrate: backfill table=users key=id batch=1000")
    try:
        batch = int(arguments.get("batch", DEFAULT_BATCH))
        pause = seconds(arguments.get("pause", "0"))
    except ValueError as error:
        raise _wrong(step, "batch= is a number of rows and pause= a time, such as 50ms", "Correct it.") from error
    if not 1 <= batch <= 1_000_000:
        raise _wrong(step, "batch= must be between 1 and 1000000", "1000 is a good start.")
    found = tokens(step.statement.text, engine)
    values = [token.value for token in found]
    if values[:1] != ["UPDATE"]:
        raise _wrong(step, "a backfill is an UPDATE", "Put the directive right before its UPDATE.")
    if step.traits.table is None or _plain(step.traits.table) != _plain(arguments["table"]):
        raise _wrong(step, f"the UPDATE is of {step.traits.table}, not of {arguments['table']}", "Name its table.")
    depth, where_at, tail_at = 0, None, len(step.statement.text)
    set_at = values.index("SET") if "SET" in values else len(values)
    for token in found:
        depth += {"(": 1, ")": -1}.get(token.value, 0)
        if depth == 0 and token.value == "WHERE" and where_at is None:
            where_at = token.start
        elif depth == 0 and token.kind == "word" and token.value in ("LIMIT", "ORDER"):
            raise _wrong(step, f"{token.value} and batches do not go together", "Leave it out.")
        elif depth == 0 and token.value == "RETURNING":
            tail_at = min(tail_at, token.start)
    text = step.statement.text
    head = text[: where_at if where_at is not None else tail_at].rstrip()
    condition = text[where_at + len("WHERE") : tail_at].strip() if where_at is not None else ""
    names = [
        token for token in found[1:set_at] if token.kind in ("word", "quoted") and token.value not in ("ONLY", "AS")
    ]
    alias = names[-1].raw if names and found[set_at - 2].value != "." else ""
    qualified = text[names[0].start : names[-1].start + len(names[-1].raw)] if names else arguments["table"]
    return Backfill(
        arguments["table"],
        tuple(part.strip() for part in arguments["key"].split(",")),
        batch,
        pause,
        alias or qualified,
        head,
        condition,
        text[tail_at:].strip(),
    )


def run(runner: Runner, item: Item, step: Step, record: Record | None) -> int:
    """Run or go on with a backfill; return how often it gave way to locks.

    Raises:
        InputError: the directive cannot be followed.
        StatementFailedError: the server refused a batch.
    """
    database = runner.database
    plan = understand(step, database.engine)
    work = _Batches(runner, item, step, plan)
    place: dict[str, Any] = dict(record.note) if record is not None and record.checksum == step.checksum else {}
    last: list[Any] | None = place.get("last")
    rows, seen = int(place.get("rows", 0)), int(place.get("seen", 0))
    final: list[Any] | None = place.get("end") or work.final()
    total = work.count()
    size, retries = plan.batch, 0
    started, seen_before, asked = runner.clock(), seen, float("-inf")
    with Progress(f"backfill {plan.table}", float(total or 0)) as progress:
        while final is not None and (end := work.end_of(last, final, size)) is not None:
            begun = runner.clock()
            changed, gave_way = work.batch(last, end[0], {"rows": rows, "seen": seen + end[1], "end": final})
            rows, seen, last = rows + changed, seen + end[1], end[0]
            retries += gave_way
            took = runner.clock() - begun
            if gave_way or took > BATCH_SECONDS:
                size = max(min(SMALLEST_BATCH, plan.batch), size // 2)
            else:
                size = min(plan.batch, size * 2)
            rate = (seen - seen_before) / max(runner.clock() - started, 1e-9)
            left = f", {max(total - seen, 0) / rate:.0f} s left" if total and rate else ""
            progress.update(seen, f"{rate:,.0f} rows/s{left}")
            # SQLite has one writer and no queue: without a gap as long as the batch the others would starve.
            gap = min(max(took, 0.002), 0.05) if database.engine == "sqlite" else 0.0
            if plan.pause or gap:
                runner.sleep(max(plan.pause, gap))
            if runner.clock() >= asked + LAG_POLL:
                while (lag := _lag(runner)) > runner.settings.max_lag:
                    what = f"is {lag:.0f} s behind" if lag < math.inf else "does not replicate, or does not answer"
                    progress.update(seen, f"paused: a replica {what}")
                    runner.sleep(LAG_POLL)
                asked = runner.clock()
    work.finish({"rows": rows, "seen": seen, "last": last, "end": final})
    return retries


def _lag(runner: Runner) -> float:
    return max(runner.database.lag_seconds(), replicas.lag(runner.settings.replicas))


class _Batches:
    """The SQL of one backfill."""

    def __init__(self, runner: Runner, item: Item, step: Step, plan: Backfill) -> None:
        self.runner, self.item, self.step, self.plan = runner, item, step, plan
        database = runner.database
        self.table = database.quoted(_plain(plan.table))
        self.columns = [database.quoted(_plain(column)) for column in plan.key]
        self.listed = ", ".join(self.columns)
        self.kinds = self._kinds()

    def _kinds(self) -> dict[str, str]:
        """Return the type of each key column, so that a place kept as text becomes a value of its type again."""
        database = self.runner.database
        if database.engine != "postgresql":
            return {}
        rows = database.query(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            (self.table,),
        )
        return {str(name): str(kind) for name, kind in rows}

    def count(self) -> int:
        """Return about how many rows the table has."""
        database = self.runner.database
        with_estimate = {
            "postgresql": "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)",
            "mysql": "SELECT table_rows FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_name = %s",
        }
        if database.engine == "sqlite":
            return int(database.query(f"SELECT count(*) FROM {self.table}")[0][0])  # noqa: S608
        kind = "postgresql" if database.engine == "postgresql" else "mysql"
        name = self.table if kind == "postgresql" else _plain(self.plan.table).rpartition(".")[2]
        rows = database.query(with_estimate[kind], (name,))
        return max(int(rows[0][0] or 0), 0) if rows else 0

    def final(self) -> list[Any] | None:
        """Return the highest key of the table, None where it has no rows."""
        downwards = ", ".join(f"{column} DESC" for column in self.columns)
        rows = self.runner.database.query(
            f"SELECT {self.listed} FROM {self.table} ORDER BY {downwards} LIMIT 1"  # noqa: S608 - quoted names
        )
        return self._key(rows[0]) if rows else None

    def end_of(self, last: Sequence[Any] | None, final: Sequence[Any], size: int) -> tuple[list[Any], int] | None:
        """Return the key that ends the next batch and how many rows it looks at, None where none are left."""
        bounds = [self._compare("<=", final, self.columns)]
        if last is not None:
            bounds.append(self._compare(">", last, self.columns))
        rows = self.runner.database.query(
            f"SELECT {self.listed} FROM {self.table} WHERE {' AND '.join(bounds)} "  # noqa: S608 - quoted names
            f"ORDER BY {self.listed} LIMIT {size}"
        )
        return (self._key(rows[-1]), len(rows)) if rows else None

    def _key(self, row: Sequence[Any]) -> list[Any]:
        """Return the key of a row as the ledger keeps it."""
        key = [_kept(value) for value in row]
        if any(value is None for value in key):
            raise _wrong(self.step, f"the key {', '.join(self.plan.key)} has NULL in it", "Name a key without NULL.")
        return key

    def batch(self, last: Sequence[Any] | None, end: list[Any], note: dict[str, Any]) -> tuple[int, int]:
        """Run one batch in one transaction with its place; return the rows changed and how often it gave way."""
        plan, runner = self.plan, self.runner
        qualified = [f"{plan.alias}.{column}" for column in self.columns]
        bounds = [self._compare("<=", end, qualified)]
        if last is not None:
            bounds.append(self._compare(">", last, qualified))
        if plan.condition:
            bounds.append(f"({plan.condition}\n)")
        text = f"{plan.head} WHERE {' AND '.join(bounds)} {plan.tail}".rstrip()
        at = self.step.statement
        statement = Statement(text, at.start, at.end, at.line, at.column)
        changed = 0

        def attempt() -> None:
            nonlocal changed
            runner.limit(self.step, runner.settings.lock)
            runner.database.begin()
            changed = max(runner.send(self.step, statement), 0)
            self._note("started", {**note, "rows": note["rows"] + changed, "last": end})
            runner.database.commit()

        retries = runner.with_retries(self.step, attempt)
        return changed, retries

    def finish(self, note: dict[str, Any]) -> None:
        """Write down that all batches are done."""
        self.runner.with_retries(self.step, lambda: self._note("done", note))

    def _note(self, state: str, note: dict[str, Any]) -> None:
        runner, step = self.runner, self.step
        ledger.note_step(
            runner.database,
            self.item.migration,
            self.item.direction,
            step=step.number,
            state=state,
            checksum=step.checksum,
            note=note,
        )

    def _compare(self, sign: str, values: Sequence[Any], columns: Sequence[str]) -> str:
        """Return a comparison of keys; its literals are keys that the database itself has returned."""
        literals = [self._literal(name, value) for name, value in zip(self.plan.key, values, strict=True)]
        return keyset.compared(columns, sign, literals, self.runner.database.engine)

    def _literal(self, column: str, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        engine = self.runner.database.engine
        text = str(value).replace("'", "''")
        if engine in ("mysql", "mariadb"):
            text = text.replace("\\", "\\\\")
        kind = self.kinds.get(_plain(column))
        return f"'{text}'::{kind}" if kind else f"'{text}'"


def _kept(value: Any) -> Any:
    """Return a key as JSON can keep it without changing it: whole numbers as they are, all else as its text."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview, float)):
        message = "keys of type binary or floating point cannot be kept exactly"
        raise InputError(message, code="bad-backfill", hint="Name a key of whole numbers, text, dates or UUIDs.")
    return str(value)


def _plain(name: str) -> str:
    """Return a name without its quotes; unquoted ones in lower case, as PostgreSQL folds them."""
    return "".join(part.strip('"`[]') if part[:1] in '"`[' else part.lower() for part in _NAME_PARTS.findall(name))


def _wrong(step: Step, message: str, hint: str) -> InputError:
    return InputError(message, code="bad-backfill", where=step.where, hint=hint)
