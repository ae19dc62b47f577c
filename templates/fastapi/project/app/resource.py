"""What the generic machinery knows about a resource: its table, its names on the wire and its rules."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, cached_property
from typing import Any

import orjson
import sqlalchemy as sa

from app.columns import Document, Exact
from app.db import Row

Item = dict[str, Any]
_known: dict[str, "Resource"] = {}


def camel_case(name: str) -> str:
    """Return the name of a column as JSON shows it: `created_at` is `createdAt`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@dataclass(frozen=True, eq=False, kw_only=True)
class Resource:
    """One kind of thing.

    `scope` names the column that must hold the caller's id. Accounts are such rows too (`identity`), but a caller
    whose role allows it sees all of them.
    `references` gives the resource that a column refers to. `secrets` maps a write-only name on the wire to its
    column. `money` holds the names of amounts, each kept in two columns. `admin_only` are names on the wire that
    only an admin may set.
    """

    name: str
    path: str
    table: sa.Table
    scope: str | None = None
    identity: bool = False
    references: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    money: tuple[str, ...] = ()
    admin_only: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _known[self.name] = self

    @cached_property
    def visible(self) -> list[sa.Column[Any]]:
        """The columns that a client sees, in the order of the table."""
        return [column for column in self.table.c if column.name not in self.secrets.values()]

    @cached_property
    def wire_names(self) -> dict[str, str]:
        """The name on the wire of each column."""
        names = {column.name: camel_case(column.name) for column in self.table.c}
        names |= {column: name for name, column in self.secrets.items()}
        return names | {f"{name}_{part}": camel_case(name) for name in self.money for part in ("minor", "currency")}

    @cached_property
    def columns(self) -> dict[str, str]:
        """The column of each name on the wire."""
        return {name: column for column, name in self.wire_names.items()}

    def to_columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the columns hold, from values as a client sends them; secrets are the caller's to hash."""
        found = {self.columns[name]: value for name, value in values.items()}
        for name in self.money:
            wire = camel_case(name)
            if wire in values:
                amount = values[wire] or {"amount": None, "currency": None}
                found[f"{name}_minor"], found[f"{name}_currency"] = amount["amount"], amount["currency"]
        return found


def known(name: str) -> Resource:
    """Return the resource called `name`."""
    return _known[name]


class View:
    """Rows of a resource as JSON shows them, for one database."""

    def __init__(self, resource: Resource, dialect: str) -> None:
        columns = resource.visible
        self._names = [
            resource.wire_names[column.name] if not _is_money(resource, column.name) else camel_case(column.name)
            for column in columns
        ]
        found = [(index, _converter(column.type, dialect)) for index, column in enumerate(columns)]
        self._converters = [(index, convert) for index, convert in found if convert is not None]
        self._money = [
            (camel_case(name), camel_case(f"{name}_minor"), camel_case(f"{name}_currency")) for name in resource.money
        ]

    def item(self, row: Row) -> Item:
        """Return one row."""
        values = list(row)
        for index, convert in self._converters:
            if values[index] is not None:
                values[index] = convert(values[index])
        item = dict(zip(self._names, values, strict=True))
        for name, minor, currency in self._money:
            amount, unit = item.pop(minor), item.pop(currency)
            item[name] = None if amount is None else {"amount": amount, "currency": unit}
        return item

    def items(self, rows: Iterable[Row]) -> list[Item]:
        """Return several rows."""
        return [self.item(row) for row in rows]


@cache
def view(resource: Resource, dialect: str) -> View:
    """Return the view of a resource, made once."""
    return View(resource, dialect)


def _is_money(resource: Resource, column: str) -> bool:
    return any(column in (f"{name}_minor", f"{name}_currency") for name in resource.money)


def _converter(kind: sa.types.TypeEngine[Any], dialect: str) -> Callable[[Any], Any] | None:
    if isinstance(kind, Document):
        return orjson.Fragment
    if isinstance(kind, Exact):
        scale = kind.scale
        if dialect == "sqlite":
            return lambda value: format(Decimal(value).scaleb(-scale), "f")
        return lambda value: format(value, "f")
    if dialect == "sqlite":
        return bool if isinstance(kind, sa.Boolean) else None
    # asyncpg's UUID is a class of its own, which orjson does not take.
    return str if isinstance(kind, sa.Uuid) else None
