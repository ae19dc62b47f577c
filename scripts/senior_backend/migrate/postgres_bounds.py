"""Whether the CHECK constraints of a table prove that its rows fit a partition, as PostgreSQL's planner would.

Two questions: may ATTACH PARTITION skip reading the partition (its constraints imply the bound), and may it skip the
default partition (its constraints rule the bound out)? Where values cannot be compared here, the constraints get the
benefit of the doubt. Source: predtest.c, and ATTACH PARTITION in the manual's ALTER TABLE; measured on PostgreSQL 15.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

from senior_backend.migrate.postgres_operations import PostgresExpression
from senior_backend.migrate.postgres_tree import NOTHING, Node, opened, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from senior_backend.migrate.catalog import Table
    from senior_backend.migrate.operations import Name, PartitionBound

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


class _Comparison(NamedTuple):
    """`column operator value`; `operator` is one of <, <=, >, >=, =."""

    column: str
    operator: str
    value: str


def fits(child: Table, column: str, bound: PartitionBound) -> bool:
    """Whether valid constraints of `child` prove that its rows belong to the partition of `column` with `bound`.

    For a key of several columns, `column` is the first one, of which alone the proof is asked.
    """
    checks = list(_checks(child))
    facts = [fact for check in checks for fact in _conjuncts(check)]
    known = child.columns.get(column)
    not_null = (known is not None and known.not_null) or child.proves_not_null(column)
    mine = [fact for fact in facts if _names(fact, column)]
    if bound.strategy == "hash":
        return False
    if bound.strategy == "list":
        if None not in bound.values and not not_null:
            return False
        return any(_listed(fact, bound) for fact in mine)
    if not not_null:
        return False
    several = len(bound.lower) > 1
    lower, upper = _ends(bound)
    return all(
        end is None or any(_at_end(fact, column, end, operators, several=several) for fact in mine)
        for end, operators in ((lower, (">=", ">")), (upper, ("<", "<=")))
    )


def excludes(default: Table, column: str, bound: PartitionBound) -> bool:
    """Whether valid constraints of a default partition prove that none of its rows belongs to `bound`."""
    if bound.strategy not in ("range", "list"):
        return False
    return any(_contradicts(check, column, bound) for check in _checks(default))


def inside(column: str, bound: PartitionBound) -> str:
    """Return the condition of a CHECK that proves that rows fit `bound`; `column` is the first key column, as SQL."""
    if bound.strategy == "list":
        values = ", ".join(value for value in bound.values if value is not None)
        return f"{column} IN ({values})" if None in bound.values else f"{column} IS NOT NULL AND {column} IN ({values})"
    lower, upper = _ends(bound)
    # Of a key of several columns only the first is compared, so its upper end belongs to the partition as well.
    below = "<=" if len(bound.upper) > 1 else "<"
    ends = (f"{column} IS NOT NULL", lower and f"{column} >= {lower}", upper and f"{column} {below} {upper}")
    return " AND ".join(end for end in ends if end)


def outside(column: str, bound: PartitionBound) -> str:
    """Return the condition of a CHECK that proves that no row belongs to `bound`; `column` is the key, as SQL."""
    if bound.strategy == "list":
        values = ", ".join(value for value in bound.values if value is not None)
        return f"{column} IS NULL OR {column} NOT IN ({values})"
    lower, upper = _ends(bound)
    ends = (f"{column} IS NULL", lower and f"{column} < {lower}", upper and f"{column} >= {upper}")
    return " OR ".join(end for end in ends if end)


def scanned_default(parent: Table, bound: PartitionBound, table: Callable[[Name], Table | None]) -> Table | None:
    """Return the default partition of `parent` that PostgreSQL reads for a new partition with `bound`, if it does."""
    if bound.strategy == "default":
        return None
    partitions = (table(partition) for partition in sorted(parent.partitions))
    default = next(
        (one for one in partitions if one is not None and one.bound is not None and one.bound.strategy == "default"),
        None,
    )
    if default is None:
        return None
    column = parent.partition_key.columns[0] if parent.partition_key is not None else None
    if column is None:
        return None if any(_checks(default)) else default
    return None if excludes(default, column, bound) else default


def _ends(bound: PartitionBound) -> tuple[str | None, str | None]:
    """Return the ends of a range of the first key column; None where it is open."""
    return (bound.lower or (None,))[0], (bound.upper or (None,))[0]


def _checks(table: Table) -> Iterator[Node]:
    for constraint in table.constraints.values():
        if constraint.kind == "check" and constraint.valid and isinstance(constraint.expression, PostgresExpression):
            yield constraint.expression.node


def _conjuncts(node: Node) -> Iterator[Node]:
    """Yield the conditions that are joined by AND, with BETWEEN taken apart by `_comparisons`."""
    if within(node, "BoolExpr").get("boolop") == "AND_EXPR":
        for argument in node["BoolExpr"]["args"]:
            yield from _conjuncts(argument)
    else:
        yield node


def _names(node: Node, column: str) -> bool:
    return column in PostgresExpression(node).columns


def _comparisons(node: Node) -> list[_Comparison] | None:
    """Return the comparisons that a condition is, joined by AND; None for anything else."""
    if "A_Expr" not in node:
        return None
    expression = node["A_Expr"]
    kind, other = expression["kind"], expression.get("rexpr", NOTHING)
    left, right = PostgresExpression(expression.get("lexpr", NOTHING)), PostgresExpression(other)
    if kind == "AEXPR_BETWEEN" and left.cast_of:
        ends = [PostgresExpression(item).sql for item in other["List"]["items"]]
        return [_Comparison(left.cast_of, ">=", ends[0]), _Comparison(left.cast_of, "<=", ends[1])]
    operator = _operator(expression)
    if kind != "AEXPR_OP" or operator not in _FLIPPED:
        return None
    if left.cast_of:
        return [_Comparison(left.cast_of, operator, right.sql)]
    return [_Comparison(right.cast_of, _FLIPPED[operator], left.sql)] if right.cast_of else None


def _operator(expression: Node) -> str:
    name: str = expression["name"][-1]["String"]["sval"]
    return name


def _values(node: Node, operator: str = "=") -> list[str] | None:
    """Return the values of `column IN (…)`, `= ANY (ARRAY[…])` or `= …`; None for anything else.

    With the operator `<>` those of `NOT IN (…)`, `<> ALL (ARRAY[…])` and `<> …`.
    """
    if "A_Expr" not in node or _operator(node["A_Expr"]) != operator:
        return None
    kind, right = node["A_Expr"]["kind"], PostgresExpression(node["A_Expr"].get("rexpr", NOTHING))
    if kind == "AEXPR_IN":
        return [PostgresExpression(item).sql for item in right.node["List"]["items"]]
    if kind in ("AEXPR_OP_ANY", "AEXPR_OP_ALL"):
        elements = within(right.without_casts, "A_ArrayExpr").get("elements", ())
        return [PostgresExpression(item).sql for item in elements]
    return [right.sql] if kind == "AEXPR_OP" else None


def _listed(fact: Node, bound: PartitionBound) -> bool:
    values = _values(fact)
    if values is None:
        return False
    wanted = [value for value in bound.values if value is not None]
    return all(_among(value, wanted) for value in values)


def _at_end(fact: Node, column: str, end: str, operators: tuple[str, str], *, several: bool) -> bool:
    """Whether a condition keeps rows on the right side of one end of a range."""
    at_lower = operators[0] == ">="
    for comparison in _comparisons(fact) or ():
        if comparison.column != column or comparison.operator not in (*operators, "="):
            continue
        order = _compare(comparison.value, end)
        if order is None or (order > 0 if at_lower else order < 0):
            return True
        if order == 0 and (several or at_lower or comparison.operator == "<"):
            return True
    return False


def _contradicts(node: Node, column: str, bound: PartitionBound) -> bool:
    """Whether a condition is false for every row of `bound`."""
    kind, body = opened(node)
    if kind == "BoolExpr":
        arguments = body["args"]
        if body["boolop"] == "NOT_EXPR":
            return _follows(arguments[0], column, bound)
        every: Callable[[Any], bool] = all if body["boolop"] == "OR_EXPR" else any
        return every(_contradicts(argument, column, bound) for argument in arguments)
    if kind == "NullTest":
        return body["nulltesttype"] == "IS_NULL" and None not in bound.values
    if bound.strategy == "list":
        values, ruled_out = _values(node), _values(node, "<>")
        wanted = [value for value in bound.values if value is not None]
        if ruled_out is not None:
            return None not in bound.values and all(_among(value, ruled_out) for value in wanted)
        return values is not None and not any(_among(value, values) for value in wanted)
    lower, upper = _ends(bound)
    for comparison in _comparisons(node) or ():
        if comparison.column != column:
            continue
        if comparison.operator in ("<", "<=", "=") and lower is not None:
            order = _compare(comparison.value, lower)
            if order is None or order < 0 or (order == 0 and comparison.operator == "<"):
                return True
        if comparison.operator in (">", ">=", "=") and upper is not None:
            order = _compare(comparison.value, upper)
            if order is None or order >= 0:
                return True
    return False


def _follows(node: Node, column: str, bound: PartitionBound) -> bool:
    """Whether a condition is true for every row of `bound`."""
    kind, body = opened(node)
    if kind == "BoolExpr":
        arguments = body["args"]
        if body["boolop"] == "NOT_EXPR":
            return _contradicts(arguments[0], column, bound)
        every: Callable[[Any], bool] = all if body["boolop"] == "AND_EXPR" else any
        return every(_follows(argument, column, bound) for argument in arguments)
    if kind == "NullTest":
        return bool(body["nulltesttype"] == "IS_NOT_NULL")
    if bound.strategy == "list":
        values = _values(node)
        return values is not None and all(_among(other, values) for other in bound.values if other is not None)
    lower, upper = _ends(bound)
    found = _comparisons(node)
    return found is not None and all(_inside(one, column, lower, upper) for one in found)


def _inside(comparison: _Comparison, column: str, lower: str | None, upper: str | None) -> bool:
    if comparison.column != column:
        return False
    if comparison.operator in (">", ">="):
        order = None if lower is None else _compare(lower, comparison.value)
        return lower is not None and (order is None or order > 0 or (order == 0 and comparison.operator == ">="))
    if comparison.operator in ("<", "<="):
        order = None if upper is None else _compare(upper, comparison.value)
        return upper is not None and (order is None or order <= 0)
    return False


def _literal(text: str) -> Decimal | datetime | str:
    """Return a literal as a value that can be compared, its casts taken off."""
    word = text.split("::", maxsplit=1)[0].strip("() ")
    if word.startswith("'") and word.endswith("'"):
        word = word[1:-1].replace("''", "'")
    try:
        return Decimal(word)
    except InvalidOperation:
        pass
    try:
        return datetime.fromisoformat(word.replace(" BC", ""))
    except ValueError:
        return word


def _among(value: str, others: list[str]) -> bool:
    return any(_literal(value) == _literal(other) for other in others)


def _compare(first: str, second: str) -> int | None:
    """Return -1, 0 or 1 as `first` is less than, equal to or greater than `second`; None where nobody can tell."""
    one, other = _literal(first), _literal(second)
    if one == other:
        return 0
    try:
        return -1 if one < other else 1  # type: ignore[operator]
    except TypeError:
        return None
