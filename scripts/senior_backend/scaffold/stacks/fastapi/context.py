"""From the model to what the templates print: the names, paths and guards of every resource."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from senior_backend.scaffold.model import MISSING, camel_case, pascal_case
from senior_backend.scaffold.stacks.fastapi import literals
from senior_backend.scaffold.stacks.fastapi.literals import identifier, python
from senior_backend.scaffold.stacks.fastapi.schema_types import Attribute, Imports, SchemaTypes
from senior_backend.scaffold.stacks.fastapi.tables import default_value, link_table, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from senior_backend.scaffold.model import Action, Field, ManyToMany, Operation, Resource, Service

API = "/api/v1"
ADMIN = "admin"
_RIGHTS = frozenset({"bool", "enum", "ref", "money"})
"""Types of an account's fields that may carry rights: only an admin sets them."""


def admin_only(resource: Resource) -> list[Field]:
    """Return the fields of an identity resource that may carry rights."""
    return [one for one in resource.fields if resource.identity and one.type in _RIGHTS]


def can_register(resource: Resource) -> bool:
    """Return whether people may make an account for themselves: no right is left for them to choose."""
    return resource.identity and all(one.optional or default_value(one) is not MISSING for one in admin_only(resource))


def guard(resource: Resource, operation: Operation, *, touches: Iterable[Resource] = ()) -> str:
    """Return the dependency that lets callers through to an operation.

    Accounts that are not limited by the model may be made by an admin, and are otherwise seen by themselves and by
    admins.
    """
    roles = resource.roles_for(operation)
    if not resource.identity:
        return guard_call(roles, (ADMIN,) if any(one.identity for one in touches) else ())
    if roles:
        return guard_call(roles, roles)
    return guard_call((ADMIN,) if operation == "create" else (), (ADMIN,))


def guard_call(roles: Iterable[str], see_all: Iterable[str]) -> str:
    """Return the expression of a guard."""
    see = tuple(dict.fromkeys(see_all))
    parts = [python(role) for role in roles]
    if see:
        parts.append(f"see_all={python(see)}")
    return f"Guard({', '.join(parts)})"


def action_roles(resource: Resource, action: Action) -> tuple[str, ...]:
    """Return the roles that may call an action: an admin where it sets what only an admin may set."""
    limited_names = {one.name for one in admin_only(resource)}
    if not action.roles and limited_names & {name for name, _ in action.assign}:
        return (ADMIN,)
    return action.roles


@dataclass(frozen=True)
class Nested:
    """A list under the path of the row that its rows refer to."""

    resource: Resource
    parent: Resource
    field: Field
    path: str
    operation_id: str
    function: str


def nested_lists(service: Service, resource: Resource) -> list[Nested]:
    """Return the lists of `resource` under each resource that it refers to."""
    if "list" not in resource.operations:
        return []
    found = []
    for one in resource.fields:
        if one.type != "ref" or one.target is None:
            continue
        parent = service.resource(one.target)
        siblings = [other for other in resource.fields if other.type == "ref" and other.target == one.target]
        taken = {link.name for link in parent.links}
        plain = len(siblings) == 1 and resource.plural not in taken
        last = resource.path if plain else f"{resource.path}-by-{one.name.replace('_', '-')}"
        by = "" if plain else f"By{pascal_case(one.name)}"
        found.append(
            Nested(
                resource,
                parent,
                one,
                f"{item_path(parent)}/{last}",
                f"list{pascal_case(parent.name)}{pascal_case(resource.plural)}{by}",
                f"list_{parent.name}_{resource.plural}" + ("" if plain else f"_by_{one.name}"),
            )
        )
    return found


def item_path(resource: Resource) -> str:
    """Return the path of one row, with the name of its parameter."""
    return f"{API}/{resource.path}/{{{resource.name}_id}}"


def action_path(resource: Resource, action: Action) -> str:
    """Return the path of an action."""
    return f"{item_path(resource)}/{action.name.replace('_', '-')}"


def link_path(resource: Resource, link: ManyToMany) -> str:
    """Return the path of a many-to-many list."""
    return f"{item_path(resource)}/{link.name.replace('_', '-')}"


def link_item_path(service: Service, resource: Resource, link: ManyToMany) -> str:
    """Return the path of one link."""
    return f"{link_path(resource, link)}/{{{link_parameter(service, resource, link)}}}"


def link_parameter(service: Service, resource: Resource, link: ManyToMany) -> str:
    """Return the path parameter that names the linked row."""
    target = service.resource(link.target)
    return f"{target.name}_id" if target.name != resource.name else f"other_{target.name}_id"


def operation_ids(resource: Resource) -> dict[str, str]:
    """Return the operation ids of the five operations; `update` is PATCH and `replace` PUT."""
    one, many = resource.class_name, pascal_case(resource.plural)
    if one == many:
        many = f"{many}List"
    return {
        "list": f"list{many}",
        "create": f"create{one}",
        "read": f"read{one}",
        "replace": f"replace{one}",
        "update": f"update{one}",
        "delete": f"delete{one}",
    }


def resource_context(service: Service, resource: Resource) -> dict[str, Any]:
    """Return everything that the templates of one resource print."""
    identifier(resource.name, f"resource {resource.name}")
    shape = table(service, resource)
    module = literals.module_name(resource.plural)
    table_imports = Imports()
    table_imports.add("app.columns", "ID", "TIME", "metadata")
    for column in shape.columns:
        name = column.type.partition("(")[0]
        if not name.startswith("sa."):
            table_imports.add("app.columns", name)
    rights = admin_only(resource)
    context: dict[str, Any] = {
        "name": resource.name,
        "cls": resource.class_name,
        "module": module,
        "table": shape.name,
        "title": resource.plural.replace("_", " "),
        "path": f"{API}/{resource.path}",
        "path_name": resource.path,
        "item_path": item_path(resource),
        "parameter": f"{resource.name}_id",
        "operations": resource.operations,
        "operation": operation_ids(resource),
        "identity": resource.identity,
        "register": can_register(resource),
        "has_role": resource.identity and any(one.name == "role" for one in resource.fields),
        "has_active": resource.identity
        and any(one.name == "is_active" and one.type == "bool" for one in resource.fields),
        "scope": _scope(resource),
        "columns": shape.columns,
        "uniques": shape.uniques,
        "checks": shape.checks,
        "indexes": shape.indexes,
        "table_imports": table_imports.lines(),
        "references": {
            one.column: one.target for one in resource.fields if one.type == "ref" and one.name != resource.owner
        },
        "secrets": {one.wire_name: one.column for one in resource.fields if one.type == "password"},
        "money": tuple(one.name for one in resource.fields if one.type == "money"),
        "admin_only": sorted(one.wire_name for one in rights),
        "listed": is_listed(service, resource),
        "guard": {
            operation: guard(resource, operation) for operation in ("list", "create", "read", "update", "delete")
        },
        "on_secret_change": ", on_secret_change=accounts.end_sessions" if resource.identity else "",
    }
    context |= _schemas(service, resource)
    context |= _routes(service, resource)
    return context


def is_listed(service: Service, resource: Resource) -> bool:
    """Return whether some route lists `resource`."""
    linked = any(link.target == resource.name for other in service.resources for link in other.links)
    return "list" in resource.operations or linked


def _scope(resource: Resource) -> str | None:
    if resource.identity:
        return "id"
    return resource.field(resource.owner).column if resource.owner else None


def _schemas(service: Service, resource: Resource) -> dict[str, Any]:
    types = SchemaTypes(resource)
    types.imports.add("app.schemas", "Item")
    writable = [one for one in resource.fields if one.name != resource.owner]
    rights = {one.name for one in admin_only(resource)}
    registers, updates = can_register(resource), "update" in resource.operations
    creates = "create" in resource.operations or resource.identity
    found: dict[str, Any] = {
        "money_models": [types.money(one) for one in resource.fields if one.type == "money"],
        "create_fields": [],
        "replace_fields": [],
        "patch_fields": [],
        "register_fields": [],
        "query_fields": [],
    }

    def named(one: Field) -> str:
        return literals.attribute(f"{one.name}_id" if one.type == "ref" else one.name)

    if creates or updates:
        types.imports.add("app.schemas", "Body")
    if creates:
        found["create_fields"] = [Attribute(named(one), types.input(one), types.default(one)) for one in writable]
    if registers:
        found["register_fields"] = [
            Attribute(named(one), types.input(one), types.default(one)) for one in writable if one.name not in rights
        ]
    if updates:
        found["replace_fields"] = [
            Attribute(named(one), types.input(one), types.absent() if one.write_only else types.default(one))
            for one in writable
        ]
        found["patch_fields"] = [Attribute(named(one), types.input(one), types.absent()) for one in writable]
    found["out_fields"] = [Attribute(named(one), types.output(one)) for one in resource.fields if not one.write_only]
    found["sort_keys"] = ()
    if is_listed(service, resource):
        types.imports.add("app.schemas", "PageQuery")
        types.imports.add("typing", "Literal")
        sorts = ["createdAt", *(one.wire_name for one in resource.fields if one.sortable and not one.write_only)]
        found["sort_keys"] = tuple(name for key in sorts for name in (key, f"-{key}"))
        found["query_fields"] = [
            Attribute(named(one), types.query(one))
            for one in resource.fields
            if one.filterable and one.name not in ("limit", "cursor", "sort", "total")
        ]
    found["schema_imports"] = types.imports.lines()
    return found


def _routes(service: Service, resource: Resource) -> dict[str, Any]:
    imports = Imports()
    imports.add("typing", "Annotated")
    imports.add("fastapi", "APIRouter", "Depends", "Response")
    imports.add("app", "crud")
    imports.add("app.auth", "Guard")
    imports.add("app.calls", "Call")
    imports.add("app.openapi", "JsonRoute", "documented")
    here = f"app.resources.{literals.module_name(resource.plural)}"
    imports.add(f"{here}.table", "RESOURCE")
    schemas: set[str] = set()
    cls, operations = resource.class_name, resource.operations
    actions = [_action(resource, action) for action in resource.actions]
    nested = [_nested(resource, one, imports) for one in nested_lists(service, resource)]
    links = [_link(service, resource, link, imports) for link in resource.links]
    if set(operations) & {"list", "create", "read", "update"} or actions:
        schemas.add(f"{cls}Out")
    if "list" in operations or nested:
        schemas.add(f"{cls}Query")
    if "list" in operations or nested or links:
        imports.add("app.schemas", "Page")
        imports.add("fastapi", "Query")
    if set(operations) & {"create", "read", "update"} or actions:
        imports.add("app.schemas", "Data")
    if set(operations) & {"read", "update", "delete"} or actions or nested or links:
        imports.add("app.schemas", "Id")
    if "create" in operations:
        schemas.add(f"{cls}Create")
        imports.add("app.openapi", "IDEMPOTENCY_KEY", "with_body")
    if "read" in operations:
        imports.add("app.openapi", "IF_NONE_MATCH", "NOT_MODIFIED")
    if "update" in operations:
        schemas |= {f"{cls}Replace", f"{cls}Patch"}
        imports.add("app.openapi", "with_body")
        if resource.identity:
            imports.add("app", "accounts")
    if set(operations) & {"update", "delete"} or actions:
        imports.add("app.openapi", "CONDITIONAL", "IF_MATCH")
    if schemas:
        imports.add(f"{here}.schemas", *schemas)
    return {"actions": actions, "nested": nested, "links": links, "route_imports": imports.lines()}


def _action(resource: Resource, action: Action) -> dict[str, Any]:
    identifier(action.name, f"action {resource.name}.{action.name}")
    values = {
        resource.field(name).column: default_value(replace(resource.field(name), default=value))
        for name, value in action.assign
    }
    roles = action_roles(resource, action)
    see_all = (roles or (ADMIN,)) if resource.identity else ()
    return {
        "name": action.name,
        "path": action_path(resource, action),
        "operation_id": f"{camel_case(action.name)}{resource.class_name}",
        "function": f"{action.name}_{resource.name}",
        "guard": guard_call(roles, see_all),
        "values": python({name: None if value is MISSING else value for name, value in values.items()}),
    }


def _nested(resource: Resource, one: Nested, imports: Imports) -> dict[str, Any]:
    constant = "RESOURCE" if one.parent.name == resource.name else one.parent.name.upper()
    if constant != "RESOURCE":
        module = literals.module_name(one.parent.plural)
        imports.add(f"app.resources.{module}.table", f"RESOURCE as {constant}")
    return {
        "path": one.path,
        "operation_id": one.operation_id,
        "function": one.function,
        "parameter": f"{one.parent.name}_id",
        "parent_title": one.parent.name.replace("_", " "),
        "constant": constant,
        "column": one.field.column,
        "guard": guard(resource, "list", touches=(one.parent,)),
    }


def link_roles(resource: Resource) -> tuple[str, ...]:
    """Return the roles that may change the links of `resource`."""
    roles = resource.roles_for("update")
    return roles or ((ADMIN,) if resource.identity else ())


def _link(service: Service, resource: Resource, link: ManyToMany, imports: Imports) -> dict[str, Any]:
    identifier(link.name, f"link {resource.name}.{link.name}")
    target = service.resource(link.target)
    shape = link_table(service, resource, link)
    own = target.name == resource.name
    target_constant = "RESOURCE" if own else target.name.upper()
    constant = f"{link.name.upper()}_LINK"
    here = f"app.resources.{literals.module_name(resource.plural)}"
    imports.add(f"{here}.table", constant)
    module = f"app.resources.{literals.module_name(target.plural)}"
    if not own:
        imports.add(f"{module}.table", f"RESOURCE as {target_constant}")
    imports.add(f"{module}.schemas", f"{target.class_name}Out", f"{target.class_name}Query")
    read, write = resource.roles_for("list") or resource.roles_for("read"), link_roles(resource)
    sees = (ADMIN,) if resource.identity or target.identity else ()
    many = pascal_case(link.name)
    return {
        "constant": constant,
        "table": shape.table,
        "columns": shape.columns,
        "foreign_keys": shape.foreign_keys,
        "index": shape.index,
        "path": link_path(resource, link),
        "item_path": link_item_path(service, resource, link),
        "parameter": link_parameter(service, resource, link),
        "target": {"cls": target.class_name, "table": target.plural},
        "target_constant": target_constant,
        "title": link.name.replace("_", " "),
        "function": f"{resource.name}_{link.name}",
        "guard": {
            "list": guard_call(read, (*read, *sees) if resource.identity else sees),
            "update": guard_call(write, (*write, *sees) if resource.identity else sees),
        },
        "operation": {
            "list": f"list{resource.class_name}{many}",
            "add": f"add{resource.class_name}{many}",
            "remove": f"remove{resource.class_name}{many}",
        },
    }
