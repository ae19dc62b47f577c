"""Fill a schema with invented rows: parents before children, keys unique, checks satisfied."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from senior_backend.migrate.rehearse.model import Column, Filled, ForeignKey, Server, Session, Table, Value
from senior_backend.migrate.rehearse.values import invent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROUNDS = 30
"""Attempts to make up for rows that a check or key refused."""
FEW = 50
"""So few rows may all be refused by chance."""
NULL_SHARE = 0.1
LITERAL_SHARE = 0.75
"""How often a column of a check takes a value that the check itself names."""
PARENT_KEYS = 20_000
"""Keys of a parent that children choose from."""
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")
_STRING = re.compile(r"'((?:[^']|'')*)'")


def in_order(tables: Sequence[Table]) -> list[Table]:
    """Return parents before children; a cycle is entered at the table with the fewest unmet parents."""
    left = {table.name: table for table in tables}
    ordered: list[Table] = []
    while left:
        waiting = {
            name: {key.parent for key in table.foreign_keys if key.parent in left and key.parent != name}
            for name, table in left.items()
        }
        name = min(waiting, key=lambda name: (len(waiting[name]), name))
        ordered.append(left.pop(name))
    return ordered


def merged(now: Sequence[Table], later: Sequence[Table]) -> tuple[Table, ...]:
    """Return the tables of `now`, with the constraints that the migrated schema will put on the same columns.

    Rows for the rehearsal must be rows for which the migration can succeed: a column that becomes a foreign key has to
    name parents already, as in production it does.
    """
    after = {table.label: table for table in later}
    names = {table.name: table for table in now}
    return tuple(_merge(table, after[table.label], names) if table.label in after else table for table in now)


def _merge(table: Table, later: Table, known: Mapping[str, Table]) -> Table:
    own = {column.name for column in table.columns}
    becomes_not_null = {column.name for column in later.columns if column.not_null}
    return replace(
        table,
        columns=tuple(
            replace(column, not_null=column.not_null or column.name in becomes_not_null) for column in table.columns
        ),
        uniques=tuple(
            dict.fromkeys(
                key for key in (*table.uniques, *later.uniques, later.primary_key) if key and own.issuperset(key)
            )
        ),
        foreign_keys=tuple(
            dict.fromkeys(
                key
                for key in (*table.foreign_keys, *later.foreign_keys)
                if own.issuperset(key.columns)
                and key.parent in known
                and {column.name for column in known[key.parent].columns}.issuperset(key.parent_columns)
            )
        ),
        checks=tuple(
            dict.fromkeys((*table.checks, *(check for check in later.checks if _speaks_of(check, later, own))))
        ),
    )


def _speaks_of(check: str, table: Table, own: set[str]) -> bool:
    return mentioned(check, {column.name for column in table.columns}) <= own


def mentioned(expression: str, names: set[str]) -> set[str]:
    """Return those of `names` that occur as whole words in an expression."""
    return set(re.findall(r"\w+", _STRING.sub("", expression))) & names | {
        name for name in names if not name.isidentifier() and name in expression
    }


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes rows of one table; `keys` holds the rows of parents that foreign keys may name."""

    table: Table
    columns: tuple[Column, ...]
    keys: Mapping[ForeignKey, Sequence[tuple[Value, ...]]]
    literals: Mapping[str, tuple[str, ...]]
    unique: frozenset[str]
    nulls: bool

    def row(self, ordinal: int, random: random.Random) -> list[Value]:
        """Return one row in the order of `columns`."""
        values: dict[str, Value] = {}
        for key, parents in self.keys.items():
            chosen = self._parent(key, parents, ordinal, random)
            values.update(zip(key.columns, chosen, strict=True))
        for column in self.columns:
            if column.name not in values:
                values[column.name] = self._value(column, ordinal, random)
        for key in self.table.foreign_keys:
            if key.parent == self.table.name and key not in self.keys:
                for child, parent in zip(key.columns, key.parent_columns, strict=True):
                    nullable = not self.table.column(child).not_null
                    values[child] = None if nullable else values.get(parent)
        return [values[column.name] for column in self.columns]

    def _parent(
        self, key: ForeignKey, parents: Sequence[tuple[Value, ...]], ordinal: int, random: random.Random
    ) -> tuple[Value, ...]:
        nullable = all(not self.table.column(name).not_null for name in key.columns)
        if not parents or (self.nulls and nullable and random.random() < NULL_SHARE):
            return (None,) * len(key.columns)
        together = [names for names in (self.table.primary_key, *self.table.uniques) if set(key.columns) <= set(names)]
        if not together:
            return random.choice(parents)
        # Keys made of several parents (join tables): count through their combinations instead of drawing them.
        step = 1
        for other, rows in self.keys.items():
            if other == key:
                break
            if any(set(other.columns) <= set(names) for names in together):
                step *= max(len(rows), 1)
        return parents[(ordinal // step) % len(parents)]

    def _value(self, column: Column, ordinal: int, random: random.Random) -> Value:
        unique = column.name in self.unique
        if self.nulls and not unique and not column.not_null and random.random() < NULL_SHARE:
            return None
        literals = self.literals.get(column.name)
        if literals and not unique and random.random() < LITERAL_SHARE:
            return random.choice(literals)
        try:
            return invent(column, ordinal, random, unique=unique)
        except ValueError:
            return None


def maker(table: Table, keys: Mapping[str, Sequence[tuple[Value, ...]]], *, nulls: bool) -> Maker:
    """Return what makes rows of `table`; `keys` holds, for each foreign key as text, the rows of its parent."""
    own = {key: keys[key_of(key)] for key in table.foreign_keys if key.parent != table.name and key_of(key) in keys}
    taken = {name for key in own for name in key.columns}
    # The server numbers its own keys unless something must be known about them beforehand.
    columns = tuple(column for column in table.writable if column.kind != "unknown" or not column.has_default)
    unique = set()
    for names in (table.primary_key, *table.uniques):
        free = [name for name in names if name not in taken]
        if free:
            unique.add(max(free, key=lambda name: _room(table.column(name))))
    return Maker(table, columns, own, _literals(table), frozenset(unique), nulls)


def key_of(key: ForeignKey) -> str:
    """Return a name under which the rows of a foreign key's parent are kept."""
    return f"{key.parent}({','.join(key.parent_columns)})"


def _room(column: Column) -> int:
    if column.kind in ("boolean", "enum", "unknown"):
        return 0
    return {"integer": column.bits, "text": min(column.size or 64, 64), "uuid": 128}.get(column.kind, 24)


def _literals(table: Table) -> dict[str, tuple[str, ...]]:
    names = {column.name for column in table.columns}
    found: dict[str, list[str]] = {}
    for check in table.checks:
        strings = [text.replace("''", "'") for text in _STRING.findall(check)]
        numbers = [float(text) for text in _NUMBER.findall(_STRING.sub("", check))]
        for name in mentioned(check, names):
            column = table.column(name)
            if column.kind in ("integer", "decimal", "float"):
                found.setdefault(name, []).extend(
                    f"{number + step:g}" for number in numbers for step in (-1, 0, 1, 10) if abs(number) < 1e15
                )
            elif column.kind == "text":
                found.setdefault(name, []).extend(
                    text for text in strings if not column.size or len(text) <= column.size
                )
    return {name: tuple(dict.fromkeys(values)) for name, values in found.items() if values}


def fill(
    server: Server,
    session: Session,
    tables: Sequence[Table],
    rows: int,
    *,
    seed: int,
    nulls: bool,
    progress: Callable[[float, str], None] = lambda _done, _note: None,
) -> tuple[Filled, ...]:
    """Give every table `rows` rows, or as many as its constraints let through."""
    results: list[Filled] = []
    keys: dict[str, Sequence[tuple[Value, ...]]] = {}
    ordered = in_order(tables)
    wanted = {key_of(key): key for table in tables for key in table.foreign_keys}
    for number, table in enumerate(ordered):
        progress(number / len(ordered), table.label)
        source = random.Random(f"{seed}{table.name}")  # noqa: S311 - not for secrets
        results.append(_fill_one(server, session, maker(table, keys, nulls=nulls), rows, source))
        for text, key in wanted.items():
            if key.parent == table.name:
                keys[text] = server.sample(session, table, key.parent_columns, PARENT_KEYS)
    server.finish_loading(session, ordered)
    return tuple(results)


def _fill_one(server: Server, session: Session, making: Maker, rows: int, random: random.Random) -> Filled:
    began, kept, ordinal, problem = time.monotonic(), 0, 0, None
    names = [column.name for column in making.columns]
    if not names and server.engine != "postgresql":  # elsewhere a table needs a column that takes values
        return Filled(making.table.label, 0, 0.0, "no column takes a value from a client")
    for _ in range(ROUNDS):
        missing = rows - kept
        if missing <= 0:
            break
        try:
            added = server.load(session, making.table, names, _rows(making, ordinal, missing, random))
        except Exception as error:  # noqa: BLE001 - whatever the server says belongs into the report
            problem = str(error).strip().splitlines()[0]
            break
        ordinal += missing
        kept += added
        if added == 0 and missing > FEW:
            problem = "no invented row satisfies its checks and keys"
            break
    if kept < rows and problem is None:
        problem = f"only {kept:,} different rows satisfy its checks and keys"
    return Filled(making.table.label, kept, time.monotonic() - began, problem if kept < rows else None)


def _rows(making: Maker, start: int, count: int, random: Any) -> Iterator[list[Value]]:
    for ordinal in range(start, start + count):
        yield making.row(ordinal, random)
