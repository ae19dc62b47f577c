"""The application while the migration runs: readers and writers that know only the schema from before it."""

from __future__ import annotations

import contextlib
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.migrate.rehearse.model import Column, QueryRun, Server, Session, Table, Value
from senior_backend.migrate.rehearse.values import invent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SAMPLES = 200
PAGE = 20
PACE = 0.005
"""Seconds between two queries of a session: busy enough to meet every lock, without using up the machine."""
QUERY_TIMEOUT = 60.0
FIRST_FRESH = 50_000_000
KEYS_OF_A_PHASE = 1_000_000


@dataclass(frozen=True, slots=True)
class Query:
    """One kind of query on one table; `parameters` holds the variants that sessions choose from."""

    table: str
    kind: str
    sql: str
    parameters: tuple[tuple[Value, ...], ...] = ((),)
    fresh: Callable[[int], tuple[Value, ...]] | None = None
    """Makes parameters that were never used, from a number that was never used."""

    def arguments(self, number: int, random: random.Random) -> tuple[Value, ...]:
        """Return the parameters for one call."""
        return self.fresh(number) if self.fresh else random.choice(self.parameters)


def queries(server: Server, session: Session, table: Table, rows: int, *, phase: int = 0) -> tuple[Query, ...]:
    """Return what an application does with `table`, every column named as its queries would name them.

    `phase` counts the deployments before: each has keys of its own for the rows that it inserts.
    """
    q, mark = server.quote, server.placeholder
    names = [column.name for column in table.columns]
    key = table.primary_key or next((unique for unique in table.uniques), ())
    samples = server.sample(session, table, names, SAMPLES)
    found: list[Query] = []
    columns = ", ".join(map(q, names))
    if not key:
        found.append(Query(table.label, "page", f"SELECT {columns} FROM {table.name} LIMIT {PAGE}"))  # noqa: S608 - quoted names
    where = " AND ".join(f"{q(name)} = {mark}" for name in key)
    keys = tuple(tuple(row[names.index(name)] for name in key) for row in samples)
    if key and keys:
        order = ", ".join(map(q, key))
        found.append(Query(table.label, "read", f"SELECT {columns} FROM {table.name} WHERE {where}", keys))  # noqa: S608
        found.append(
            Query(
                table.label,
                "page",
                f"SELECT {columns} FROM {table.name} WHERE {q(key[0])} >= {mark} ORDER BY {order} LIMIT {PAGE}",  # noqa: S608
                tuple((row[0],) for row in keys),
            )
        )
        plain = [column.name for column in table.writable if column.name not in key and not _unique(table, column.name)]
        for name in plain[:3]:
            variants = tuple((row[names.index(name)], *values) for row, values in zip(samples, keys, strict=True))
            sql = f"UPDATE {table.name} SET {q(name)} = {mark} WHERE {where}"  # noqa: S608
            found.append(Query(table.label, "update", sql, variants))
    if samples:
        found.append(_insert(server, table, names, samples, rows * 2 + phase * KEYS_OF_A_PHASE))
    return tuple(found)


def _unique(table: Table, name: str) -> bool:
    return any(name in unique for unique in table.uniques)


def _insert(server: Server, table: Table, names: list[str], samples: Sequence[tuple[Value, ...]], first: int) -> Query:
    """Return an insert that copies a row and gives it keys of its own, so that checks and foreign keys hold."""
    foreign = {name for key in table.foreign_keys for name in key.columns}
    given = [column for column in table.writable if not (column.has_default and column.name in table.primary_key)]
    fresh = set()
    for unique in (table.primary_key, *table.uniques):
        free = [column for column in given if column.name in unique and column.name not in foreign]
        if free:
            fresh.add(free[0].name)

    start = _first_fresh(given, fresh, first)

    def make(number: int) -> tuple[Value, ...]:
        source = random.Random(number)  # noqa: S311 - not for secrets
        row = samples[number % len(samples)]
        return tuple(
            invent(column, start + number, source, unique=True)
            if column.name in fresh
            else row[names.index(column.name)]
            for column in given
        )

    columns = ", ".join(server.quote(column.name) for column in given)
    marks = ", ".join([server.placeholder] * len(given))
    values = f"({columns}) VALUES ({marks})" if given else "DEFAULT VALUES"
    sql = f"INSERT INTO {table.name} {values}"
    return Query(table.label, "insert", sql, (), make)


def _first_fresh(given: Sequence[Column], fresh: set[str], first: int) -> int:
    """Return a number from which on keys are free: far behind those of the loaded rows where the types allow it."""
    narrow = any(
        (column.kind == "integer" and column.bits < 32) or (column.kind == "text" and (column.size or 99) < 6)
        for column in given
        if column.name in fresh
    )
    return first if narrow else FIRST_FRESH + first


def usable(session: Session, candidates: Sequence[Query]) -> tuple[tuple[Query, ...], tuple[tuple[Query, str], ...]]:
    """Return the queries that work before the migration, and those that do not with the reason.

    A query that fails on the old schema says nothing about the migration.
    """
    good: list[Query] = []
    bad: list[tuple[Query, str]] = []
    for number, query in enumerate(candidates):
        try:
            session.query(query.sql, query.arguments(number, random.Random(number)))  # noqa: S311 - not for secrets
            good.append(query)
        except Exception as error:  # noqa: BLE001 - the driver's words belong into the report
            bad.append((query, str(error).strip().splitlines()[0]))
    return tuple(good), tuple(bad)


class Workload:
    """Sessions that query until told to stop. Use as a context manager; `runs` is complete after the end."""

    def __init__(
        self, server: Server, mix: Sequence[Query], *, readers: int, writers: int, clock: Callable[[], float]
    ) -> None:
        self._server = server
        self._clock = clock
        self._stop = threading.Event()
        self._numbers = iter(range(1000, 1 << 62))
        self._lock = threading.Lock()
        self.runs: list[QueryRun] = []
        reads = [query for query in mix if query.kind in ("read", "page")]
        writes = [query for query in mix if query.kind not in ("read", "page")]
        parts = [(reads, f"reader-{i}") for i in range(readers)] + [(writes, f"writer-{i}") for i in range(writers)]
        self._threads = [
            threading.Thread(target=self._work, args=(part, name, number), name=name, daemon=True)
            for number, (part, name) in enumerate(parts)
            if part
        ]

    def __enter__(self) -> Workload:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(QUERY_TIMEOUT + 5)

    def _number(self) -> int:
        with self._lock:
            return next(self._numbers)

    def _work(self, mix: Sequence[Query], name: str, seed: int) -> None:
        source = random.Random(seed)  # noqa: S311 - not for secrets
        session = self._server.connect(f"rehearsal {name}")
        with contextlib.closing(session):
            self._server.limit_queries(session, QUERY_TIMEOUT)
            turn = seed
            while not self._stop.is_set():
                query = mix[turn % len(mix)]
                turn += 1
                arguments = query.arguments(self._number(), source)
                began, error = self._clock(), None
                try:
                    session.query(query.sql, arguments)
                except Exception as problem:  # noqa: BLE001 - what the application would see
                    error = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
                self.runs.append(QueryRun(began, self._clock(), session.identity, query.kind, query.table, error))
                self._stop.wait(PACE * source.uniform(0.5, 1.5))
