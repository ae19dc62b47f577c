"""Expressions that give the generated tests valid values for every field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from senior_backend.scaffold.model import MISSING, OPERATIONS
from senior_backend.scaffold.stacks.fastapi import context, schema_types
from senior_backend.scaffold.stacks.fastapi.literals import python
from senior_backend.scaffold.stacks.fastapi.tables import STRING_LENGTH, default_value, digits

if TYPE_CHECKING:
    from senior_backend.scaffold.model import Field, Resource, Service

HIGHEST = {"int": 2**31 - 1, "bigint": 2**53 - 1, "money": 2**53 - 1}


def sample_context(resource: Resource) -> dict[str, Any]:
    """Return what tests/samples.py prints about a resource."""
    plain = [one for one in resource.fields if one.type != "ref"]
    references = [one for one in resource.fields if one.type == "ref" and one.name != resource.owner]
    rights = {one.name for one in context.admin_only(resource)}
    roles = {operation: resource.roles_for(operation) for operation in resource.operations}
    if resource.identity and "create" in resource.operations and not roles["create"]:
        roles["create"] = (context.ADMIN,)
    owner = resource.field(resource.owner) if resource.owner else None
    return {
        "samples": [
            {"name": one.wire_name, "expression": expression(one)}
            for one in plain
            if one.name not in rights or default_value(one) is MISSING
        ],
        "empty_names": {
            **{one.wire_name: None for one in resource.fields if one.optional and not one.write_only},
            **{one.wire_name: _shown_default(one) for one in plain if default_value(one) is not MISSING},
        },
        "owner_wire": owner.wire_name if owner else None,
        "owner_name": (owner.target or "") if owner else "",
        "required_references": {one.wire_name: one.target for one in references if not one.optional},
        "roles": {operation: roles.get(operation, ()) for operation in OPERATIONS},
        "unique_names": tuple(one.wire_name for one in plain if one.unique and not one.write_only),
        "secret_names": tuple(one.wire_name for one in plain if one.write_only),
        "required_names": tuple(
            one.wire_name
            for one in resource.fields
            if not one.optional and default_value(one) is MISSING and one.name != resource.owner
        ),
        "name_field": "name" if any(one.name == "name" and one.type == "str" for one in resource.fields) else "",
    }


def testable(service: Service) -> list[str]:
    """Return the resources whose rows some caller may make and see."""
    return [
        resource.name
        for resource in service.resources
        if not resource.identity or any(one.name == "role" and context.ADMIN in one.values for one in resource.fields)
    ]


def reference_operations(service: Service) -> list[str]:
    """Return the operations that answer 422 to a body whose schema is right: what it refers to is not there."""
    found = []
    for resource in service.resources:
        bounded = any(one.type == "decimal" and (one.minimum or one.maximum is not None) for one in resource.fields)
        if bounded or any(one.type == "ref" and one.name != resource.owner for one in resource.fields):
            ids = context.operation_ids(resource)
            found += [ids["create"]] if "create" in resource.operations else []
            found += [ids["replace"], ids["update"]] if "update" in resource.operations else []
    return found


def _shown_default(one: Field) -> Any:
    value = default_value(one)
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


def expression(one: Field) -> str:
    """Return a Python expression, in terms of `number`, for a valid value as JSON shows it."""
    low, high = one.minimum, one.maximum
    if one.type in ("str", "text"):
        longest = int(high or one.length or (200 if one.type == "text" else STRING_LENGTH))
        shortest = int(low if low is not None else 1)
        if one.pattern is not None:
            return f"values.matching({python(one.pattern)}, {shortest}, {longest})"
        return f"values.text(number, {shortest}, {longest})"
    if one.type == "password":
        bounds = schema_types.PASSWORD_LENGTH
        return f"values.secret({int(low or bounds[0])}, {int(high or bounds[1])})"
    if one.type in HIGHEST:
        first = int(low) if low is not None else 0
        last = int(high) if high is not None else HIGHEST[one.type]
        amount = f"values.whole(number, {first}, {max(first, last)})"
        if one.type != "money":
            return amount
        return f'{{"amount": {amount}, "currency": {python((one.currencies or ("EUR",))[0])}}}'
    if one.type == "float":
        first_real = float(low) if low is not None else 0.0
        return f"values.real(number, {first_real}, {float(high) if high is not None else 1e9})"
    if one.type == "decimal":
        return _decimal(one)
    simple = {
        "email": 'f"user{number}@example.com"',
        "url": 'f"https://example.com/{number}"',
        "bool": "True",
        "date": "values.day(number)",
        "datetime": "values.moment(number)",
        "uuid": "str(uuid.uuid4())",
        "json": '{"number": number, "list": [1, "two", None]}',
    }
    return simple.get(one.type) or f"{python(list(one.values))}[number % {len(one.values)}]"


def _decimal(one: Field) -> str:
    precision, scale = digits(one)
    low = str(one.minimum) if one.minimum is not None else "0"
    high = str(one.maximum) if one.maximum is not None else "9" * max(precision - scale, 1)
    return f"values.exact(number, {scale}, {python(low)}, {python(high)})"
