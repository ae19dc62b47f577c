"""From the model to tables: columns, constraints and indexes, and how a revision and table.py spell them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from senior_backend.scaffold.model import MISSING, SERVER_OWNED, Field
from senior_backend.scaffold.stacks.fastapi import literals
from senior_backend.scaffold.stacks.fastapi.literals import identifier

if TYPE_CHECKING:
    from collections.abc import Iterable

    from senior_backend.scaffold.model import ManyToMany, Resource, Service

STRING_LENGTH = 255
EMAIL_LENGTH, URL_LENGTH = 254, 2048
DECIMAL = (18, 2)
MAX_DECIMAL_DIGITS = 18
ENUM_LENGTH = 64


def limited(name: str) -> str:
    """Return the name of a constraint or index, cut to what PostgreSQL keeps; a hash keeps it unique."""
    if len(name) <= literals.MAX_IDENTIFIER_BYTES:
        return name
    return f"{name[:54]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Column:
    """A column; `type` is the expression of table.py, `migration_type` that of a revision."""

    name: str
    type: str
    migration_type: str
    nullable: bool
    default: Any = MISSING
    reference: str = ""
    foreign_key: str = ""
    on_delete: str = ""


@dataclass(frozen=True)
class Named:
    """A constraint or an index."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """A column that holds one of some values."""

    name: str
    column: str
    values: list[str]


@dataclass(frozen=True)
class LinkTable:
    """A join table."""

    table: str
    columns: tuple[str, str]
    foreign_keys: tuple[str, str]
    index: str


@dataclass(frozen=True)
class Table:
    """What the database knows of a resource; equal tables need no migration."""

    name: str
    columns: tuple[Column, ...]
    uniques: tuple[Named, ...]
    checks: tuple[Check, ...]
    indexes: tuple[Named, ...]
    links: tuple[tuple[LinkTable, str], ...] = field(default=())


def table(service: Service, resource: Resource) -> Table:
    """Return the table of `resource`, its join tables with the table that each leads to."""
    name = identifier(resource.plural, f"resource {resource.name}")
    columns = tuple(column for one in resource.fields for column in _columns(service, resource, one))
    uniques = tuple(Named(limited(f"uq_{name}_{one.column}"), (one.column,)) for one in resource.fields if one.unique)
    checks = tuple(
        Check(limited(f"ck_{name}_{one.column}"), one.column, list(one.values))
        for one in resource.fields
        if one.type == "enum"
    )
    links = tuple(
        (link_table(service, resource, link), service.resource(link.target).plural) for link in resource.links
    )
    return Table(name, columns, uniques, checks, _indexes(resource), links)


def link_table(service: Service, resource: Resource, link: ManyToMany) -> LinkTable:
    """Return the join table of a many-to-many link."""
    name = identifier(link.table, f"link {resource.name}.{link.name}")
    target = service.resource(link.target).name
    second = f"{target}_id" if target != resource.name else f"other_{target}_id"
    columns = (f"{resource.name}_id", second)
    keys = (limited(f"fk_{name}_{columns[0]}"), limited(f"fk_{name}_{columns[1]}"))
    return LinkTable(name, columns, keys, limited(f"ix_{name}_{columns[1]}"))


def _columns(service: Service, resource: Resource, one: Field) -> Iterable[Column]:
    where = f"field {resource.name}.{one.name}"
    identifier(one.name, where)
    literals.storable(one.values, where)
    literals.storable(one.default, where)
    kind, migration = _column_type(one)
    default = default_value(one)
    if one.type == "money":
        amount, unit = (MISSING, MISSING) if default is MISSING else (default["amount"], default["currency"])
        currency = "sa.String(3)"
        yield Column(one.column, kind, migration, one.optional, amount)
        yield Column(one.currency_column, currency, currency, one.optional, unit)
        return
    column = Column(one.column, kind, migration, one.optional, default)
    if one.type == "ref" and one.target is not None:
        on_delete = one.on_delete.replace("_", " ").upper()
        target = service.resource(one.target).plural
        key = limited(f"fk_{resource.plural}_{one.column}")
        column = replace(column, reference=target, foreign_key=key, on_delete=on_delete)
    yield column


_SIMPLE_TYPES = {
    "text": "sa.Text()",
    "int": "sa.Integer()",
    "bigint": "sa.BigInteger()",
    "money": "sa.BigInteger()",
    "float": "sa.Double()",
    "bool": "sa.Boolean()",
    "email": f"sa.String({EMAIL_LENGTH})",
    "url": f"sa.String({URL_LENGTH})",
    "password": "sa.String(255)",
}
_OWN_TYPES = {
    "date": ("DATE", 'sa.Date().with_variant(sa.String(10), "sqlite")'),
    "datetime": ("TIME", 'sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")'),
    "uuid": ("ID", 'sa.Uuid().with_variant(sa.String(36), "sqlite")'),
    "ref": ("ID", 'sa.Uuid().with_variant(sa.String(36), "sqlite")'),
    "json": ("Document()", 'postgresql.JSONB().with_variant(sa.Text(), "sqlite")'),
}
ID_TYPE, TIME_TYPE = _OWN_TYPES["uuid"][1], _OWN_TYPES["datetime"][1]


def _column_type(one: Field) -> tuple[str, str]:
    if one.type in _OWN_TYPES:
        return _OWN_TYPES[one.type]
    if one.type == "decimal":
        precision, scale = digits(one)
        return (
            f"Exact({precision}, {scale})",
            f'sa.Numeric({precision}, {scale}).with_variant(sa.BigInteger(), "sqlite")',
        )
    if one.type == "str":
        simple = f"sa.String({one.length or STRING_LENGTH})"
    elif one.type == "enum":
        simple = f"sa.String({max(ENUM_LENGTH, *(len(value) for value in one.values))})"
    else:
        simple = _SIMPLE_TYPES[one.type]
    return simple, simple


def digits(one: Field) -> tuple[int, int]:
    """Return the precision and scale of a decimal."""
    precision = one.precision or DECIMAL[0]
    scale = DECIMAL[1] if one.scale is None and one.precision is None else (one.scale or 0)
    return precision, scale


def _indexes(resource: Resource) -> tuple[Named, ...]:
    owner = (resource.field(resource.owner).column,) if resource.owner else ()
    wanted: list[tuple[str, ...]] = [(*owner, "created_at", "id")]
    for one in resource.fields:
        if one.name == resource.owner:
            continue
        if one.type == "ref":
            wanted.append((one.column, "created_at", "id"))
        elif one.sortable and (owner or not one.unique):
            wanted.append((*owner, one.column, "id"))
        elif one.index and not one.sortable and not one.unique:
            wanted.append((*owner, one.column, "created_at", "id"))
    wanted += [tuple(_column_of(resource, name) for name in names) for names in resource.indexes]
    table_name = resource.plural
    return tuple(Named(limited(f"ix_{table_name}_{'_'.join(columns)}"), columns) for columns in dict.fromkeys(wanted))


def _column_of(resource: Resource, name: str) -> str:
    return name if name in SERVER_OWNED else resource.field(name).column


def default_value(one: Field) -> Any:
    """Return the default of a field in its own Python type, or MISSING."""
    value = one.default
    if value is MISSING or value is None:
        return MISSING
    if one.type == "decimal":
        return Decimal(str(value))
    if one.type == "money":
        return value if isinstance(value, dict) else {"amount": value[0], "currency": value[1]}
    if isinstance(value, str):
        if one.type == "date":
            return date.fromisoformat(value)
        if one.type == "datetime":
            return datetime.fromisoformat(value)
        if one.type in ("uuid", "ref"):
            return UUID(value)
    if one.type == "float":
        return float(value)
    return value
