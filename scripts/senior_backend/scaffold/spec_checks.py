"""What must hold between the resources of a service: names, references, roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.console.errors import did_you_mean
from senior_backend.scaffold import naming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.scaffold.drafts import Problems, ResourceDraft, ServiceDraft
    from senior_backend.scaffold.model import Resource


def plural_of(draft: ResourceDraft) -> str:
    """Return the plural of a resource as written, or by the rules."""
    return draft.plural.value if draft.plural else naming.plural(draft.name.value)


def unique_names(draft: ServiceDraft, built: Sequence[Resource | None], problems: Problems) -> None:
    """Note resources, plurals and join tables that share a name."""
    taken: dict[str, str] = {}
    tables: dict[str, str] = {}
    for item in draft.resources:
        name, many = item.name.value, plural_of(item)
        if name in taken:
            problems.add("duplicate-name", f"resource '{name}' is there twice", item.name.where, "Keep one of them.")
            continue
        taken[name] = name
        if many in tables:
            problems.add(
                "name-collision",
                f"resources '{tables[many]}' and '{name}' have the same plural '{many}'",
                (item.plural or item.name).where,
                "Give one of them another plural: `--plural`, in YAML `plural:`.",
            )
        tables.setdefault(many, name)
    for resource, item in zip(built, draft.resources, strict=True):
        for link in resource.links if resource else ():
            if link.table in tables:
                problems.add(
                    "name-collision",
                    f"the join table '{link.table}' of '{item.name.value}' is also the table of '{tables[link.table]}'",
                    item.name.where,
                    "Rename the link: `links: {NAME: RESOURCE}`.",
                )
            tables.setdefault(link.table, item.name.value)


def check_refs(draft: ServiceDraft, resources: tuple[Resource, ...], problems: Problems) -> None:
    """Note references to nothing, links that collide, and required references that go round."""
    names = {resource.name for resource in resources}
    places = _field_places(draft)
    for resource in resources:
        for field in resource.fields:
            if field.type == "ref" and field.target not in names:
                problems.add(
                    "unknown-resource",
                    f"field '{field.name}' of '{resource.name}' refers to an unknown resource '{field.target}'"
                    f"{did_you_mean(str(field.target), names)}",
                    places.get((resource.name, field.name)),
                    f"Add '{field.target}' first: in the specification, or by `--name {field.target} --crud` with the "
                    f"same --out. There are {', '.join(sorted(names)[:5])}.",
                )
    for item, resource in zip(draft.resources, resources, strict=True):
        for link in resource.links:
            other = next(candidate for candidate in resources if candidate.name == link.target)
            children = {child.plural for child in resources for field in child.fields if field.target == resource.name}
            if resource.name in {back.target for back in other.links} and resource.name > other.name:
                problems.add(
                    "name-collision",
                    f"'{resource.name}' and '{other.name}' link to each other; one link serves both directions",
                    item.name.where,
                    "Keep the link on one side.",
                )
            if link.name in children:
                problems.add(
                    "name-collision",
                    f"/{resource.path}/{{id}}/{link.name} would be both a link and what refers to '{resource.name}'",
                    item.name.where,
                    "Rename the link: `links: {NAME: RESOURCE}`.",
                )
    required = {
        resource.name: {
            field.target: field
            for field in resource.fields
            if field.type == "ref" and not field.optional and field.target in names
        }
        for resource in resources
    }
    for cycle in _cycles({name: [str(target) for target in targets] for name, targets in required.items()}):
        first = required[cycle[0]][cycle[1 % len(cycle)]]
        problems.add(
            "cyclic-refs",
            f"required refs go round: {' -> '.join([*cycle, cycle[0]])}; the first row could never be created",
            places.get((cycle[0], first.name)),
            f"Make one of them optional: `{first.name}: ref({first.target})?`.",
        )


def _field_places(draft: ServiceDraft) -> dict[tuple[str, str], str]:
    places = {}
    for item in draft.resources:
        if item.owner:
            places[item.name.value, item.owner.value] = item.owner.where
        for field in item.fields or ():
            target = field.settings.get("target")
            places[item.name.value, field.name.value] = target.where if target else field.name.where
    return places


def _cycles(graph: dict[str, list[str]]) -> list[list[str]]:
    """Return one cycle of each strongly connected part, without recursion: a chain may be as long as a service."""
    state: dict[str, int] = {}
    found: list[list[str]] = []
    for root, targets in graph.items():
        if root in state:
            continue
        path: list[str] = [root]
        state[root] = 1
        stack = [iter(targets)]
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                state[path.pop()] = 2
            elif state.get(following) == 1:
                found.append(path[path.index(following) :])
            elif following not in state:
                state[following] = 1
                path.append(following)
                stack.append(iter(graph[following]))
    return found


def check_roles(draft: ServiceDraft, resources: tuple[Resource, ...], problems: Problems) -> None:
    """Note roles that no row of the identity can have."""
    identity = next((resource for resource in resources if resource.identity), None)
    if identity is None:
        return
    field = next((field for field in identity.fields if field.name == "role" and field.type == "enum"), None)
    for item in draft.resources:
        written = [role for _, roles in item.roles or () for role in roles]
        written += [role for action in item.actions for role in action.roles]
        for role in written:
            if field is None:
                problems.add(
                    "unknown-role",
                    f"role '{role.value}': '{identity.name}' has no field `role`, so nobody has one",
                    role.where,
                    f"Add `role: enum({role.value},user)=user` to '{identity.name}'.",
                )
            elif role.value not in field.values:
                problems.add(
                    "unknown-role",
                    f"unknown role '{role.value}'{did_you_mean(role.value, field.values)}",
                    role.where,
                    f"Roles are the values of {identity.name}.role: {', '.join(field.values)}.",
                )
