"""The routes that the rendered service answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.scaffold.model import camel_case, pascal_case
from senior_backend.scaffold.stacks.contract import Route
from senior_backend.scaffold.stacks.fastapi import context
from senior_backend.scaffold.stacks.fastapi.context import ADMIN, API

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.scaffold.model import Operation, Resource, Service


def routes(service: Service) -> list[Route]:
    """Return every route, in the order of the resources."""
    found: list[Route] = []
    identity = service.identity
    if identity is not None:
        names = (["register"] if context.can_register(identity) else []) + ["login", "refresh", "logout"]
        found += [Route("POST", f"{API}/auth/{name}", name, auth=False) for name in names]
    for resource in service.resources:
        found += _operations(resource)
        found += _actions(resource)
        for nested in context.nested_lists(service, resource):
            found.append(Route("GET", nested.path, nested.operation_id, auth=True, roles=resource.roles_for("list")))
        found += _links(service, resource)
    return found + [Route("GET", path, path.strip("/"), auth=False) for path in ("/livez", "/readyz", "/metrics")]


def _operations(resource: Resource) -> Iterator[Route]:
    ids, collection, item = context.operation_ids(resource), f"{API}/{resource.path}", context.item_path(resource)
    rows: list[tuple[Operation, str, str, str]] = [
        ("list", "GET", collection, "list"),
        ("create", "POST", collection, "create"),
        ("read", "GET", item, "read"),
        ("update", "PUT", item, "replace"),
        ("update", "PATCH", item, "update"),
        ("delete", "DELETE", item, "delete"),
    ]
    for operation, method, path, name in rows:
        if operation in resource.operations:
            roles = resource.roles_for(operation)
            if resource.identity and operation == "create" and not roles:
                roles = (ADMIN,)
            yield Route(method, path, ids[name], auth=True, roles=roles)


def _actions(resource: Resource) -> Iterator[Route]:
    for action in resource.actions:
        name = f"{camel_case(action.name)}{resource.class_name}"
        path, roles = context.action_path(resource, action), context.action_roles(resource, action)
        yield Route("POST", path, name, auth=True, roles=roles)


def _links(service: Service, resource: Resource) -> Iterator[Route]:
    for link in resource.links:
        many, path = pascal_case(link.name), context.link_item_path(service, resource, link)
        read, write = resource.roles_for("list") or resource.roles_for("read"), context.link_roles(resource)
        yield Route("GET", context.link_path(resource, link), f"list{resource.class_name}{many}", auth=True, roles=read)
        yield Route("PUT", path, f"add{resource.class_name}{many}", auth=True, roles=write)
        yield Route("DELETE", path, f"remove{resource.class_name}{many}", auth=True, roles=write)
