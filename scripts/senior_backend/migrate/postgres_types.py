"""What a change of a column's type costs in PostgreSQL: nothing but the catalogue, or a new table.

Sources: `ATColumnChangeRequiresRewrite` and the casts marked binary coercible (pg_cast), measured on PostgreSQL 15
(`tests/migrate/measured/`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from senior_backend.migrate.catalog import Catalog
    from senior_backend.migrate.operations import Type

Change = Literal["free", "rewrite", "unknown", "utc"]
"""`utc` is free where the session's time zone is UTC, and a rewrite elsewhere."""

_WITH_PRECISION = frozenset(("timestamp", "timestamptz", "time", "timetz", "interval"))
_FULL_PRECISION = 6
_LENGTHS = frozenset(("varchar", "varbit"))
# Pairs of types with the same stored form; the second takes no modifiers that could refuse a value.
_SAME_FORM = frozenset(
    (
        *(
            ("varchar", "text"),
            ("text", "varchar"),
            ("cidr", "inet"),
            ("xml", "text"),
            ("int4", "oid"),
            ("oid", "int4"),
        ),
        *(("citext", "text"), ("text", "citext"), ("varchar", "citext"), ("citext", "varchar"), ("xml", "varchar")),
    )
)


def type_change(old: Type | None, new: Type, catalog: Catalog) -> Change:
    """Return what changing a column of type `old` to `new` does to the table."""
    if old is None:
        return "unknown"
    old, new = _base(old, catalog), _base_if_free(new, catalog)
    if old.array or new.array:
        return "free" if old == new else "rewrite"
    if old.name == new.name and old.schema == new.schema:
        return "free" if _modifiers_widen(old, new) else "rewrite"
    if {old.name, new.name} == {"timestamp", "timestamptz"}:
        return "utc" if _precision(new) >= _precision(old) else "rewrite"
    if (old.name, new.name) in _SAME_FORM:
        return "free" if not new.modifiers else "rewrite"
    return "rewrite"


def _base(type_: Type, catalog: Catalog) -> Type:
    """Return the type below a domain: values are stored in its form."""
    seen = 0
    while (domain := catalog.domains.get(type_.name)) is not None and seen < len(catalog.domains) + 1:
        type_, seen = domain.base, seen + 1
    return type_


def _base_if_free(type_: Type, catalog: Catalog) -> Type:
    return type_ if catalog.is_constrained(type_) else _base(type_, catalog)


def _numbers(type_: Type) -> tuple[int, ...]:
    return tuple(value for value in type_.modifiers if isinstance(value, int))


def _precision(type_: Type) -> int:
    numbers = _numbers(type_)
    return min(numbers[0], _FULL_PRECISION) if numbers else _FULL_PRECISION


def _modifiers_widen(old: Type, new: Type) -> bool:
    before, after = _numbers(old), _numbers(new)
    if before == after:
        return True
    if new.name in _WITH_PRECISION:
        return _precision(new) >= _precision(old)
    if new.name in _LENGTHS:
        return not after or bool(before and after[0] >= before[0])
    if new.name == "numeric":
        if not after:
            return True
        if not before:
            return False
        scale_before = before[1] if len(before) > 1 else 0
        scale_after = after[1] if len(after) > 1 else 0
        return scale_before == scale_after and after[0] >= before[0]
    return False
