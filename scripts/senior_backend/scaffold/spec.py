"""From a specification as written to the model: everything that must hold between fields, resources and routes."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from senior_backend.console.errors import did_you_mean
from senior_backend.scaffold import naming, presets
from senior_backend.scaffold.actions import build_action
from senior_backend.scaffold.drafts import FieldDraft, Located, Problems, ResourceDraft, ServiceDraft
from senior_backend.scaffold.fields import build_field
from senior_backend.scaffold.model import OPERATIONS, ErrorFormat, Field, ManyToMany, Operation, Resource, Service

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

RESOURCE_LIMIT: Final = 500
"""Resources of one service; generation stays linear, but nobody reviews or runs more in one process."""
FIELD_LIMIT: Final = 200
"""Fields of one resource; PostgreSQL ends at 1,600 columns, a request body at what a client can send."""
SERVICE_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
ERROR_FORMATS: Final[tuple[ErrorFormat, ...]] = ErrorFormat.__args__  # type: ignore[attr-defined]


def build_service(
    draft: ServiceDraft, *, stacks: Sequence[str] = ("fastapi",), reserved: Collection[str] = ()
) -> Service:
    """Return the model of `draft`; `reserved` are names that the stack's own modules and tables use.

    Raises:
        InputError: it does not hold; every problem is among the findings.
    """
    problems = Problems()
    if len(draft.resources) > RESOURCE_LIMIT:
        problems.add(
            "too-many-resources",
            f"{len(draft.resources)} resources; one service has at most {RESOURCE_LIMIT}",
            draft.resources[RESOURCE_LIMIT].name.where,
            "Split the specification into several services.",
        )
        problems.raise_if_any()
    if not draft.resources:
        problems.add(
            "nothing-to-do",
            "the specification has no resources",
            draft.name.where,
            "Add one: `resources: {user: {fields: {email: email}}}`.",
        )
    if not SERVICE_NAME.fullmatch(draft.name.value) or len(draft.name.value) > naming.NAME_LIMIT:
        problems.add(
            "bad-name",
            f"service name {draft.name.value!r} is not kebab-case with at most {naming.NAME_LIMIT} characters",
            draft.name.where,
            "For example `shop` or `web-shop`.",
        )
    stack = _choice(draft.stack, "stack", stacks, stacks[0], problems)
    errors = _choice(draft.errors, "errors", ERROR_FORMATS, "problem", problems)
    identity = _identity(draft, problems)
    plurals = {item.name.value: _plural(item) for item in draft.resources}
    built = [_Builder(item, plurals, identity, problems, reserved).build() for item in draft.resources]
    _unique_names(draft, built, problems)
    resources = tuple(resource for resource in built if resource is not None)
    if len(resources) == len(built):
        _check_refs(draft, resources, problems)
        _check_roles(draft, resources, problems)
    problems.raise_if_any()
    return Service(
        name=draft.name.value,
        resources=resources,
        stack=stack,
        errors="envelope" if errors == "envelope" else "problem",
        require_if_match=bool(draft.require_if_match and draft.require_if_match.value),
    )


def _choice(located: Located[str] | None, what: str, known: Sequence[str], default: str, problems: Problems) -> str:
    if located is None:
        return default
    if located.value not in known:
        problems.add(
            "unknown-value",
            f"unknown {what} '{located.value}'{did_you_mean(located.value, known)}",
            located.where,
            f"One of {', '.join(known)}.",
        )
    return located.value


def _identity(draft: ServiceDraft, problems: Problems) -> str | None:
    marked = [item for item in draft.resources if item.identity is not None and item.identity.value]
    for extra in marked[1:]:
        problems.add(
            "two-identities",
            f"'{extra.name.value}' is marked as identity, and so is '{marked[0].name.value}'",
            extra.identity.where if extra.identity else extra.name.where,
            "One resource logs in; give the others a `ref` to it.",
        )
    return marked[0].name.value if marked else None


class _Builder:
    """Builds one resource; what needs the whole service is checked afterwards."""

    def __init__(
        self,
        draft: ResourceDraft,
        plurals: Mapping[str, str],
        identity: str | None,
        problems: Problems,
        reserved: Collection[str],
    ) -> None:
        self.draft = draft
        self.name = draft.name.value
        self.plurals = plurals
        self.identity = identity
        self.problems = problems
        self.reserved = reserved
        self.broken: set[str] = set()

    def build(self) -> Resource | None:
        before = len(self.problems)
        self._check_name()
        fields, owner = self._fields()
        actions = self._actions(fields)
        links = self._links()
        resource = Resource(
            name=self.name,
            plural=_plural(self.draft),
            fields=fields,
            operations=self._operations(),
            owner=owner,
            roles=self._roles(),
            indexes=self._indexes(fields),
            actions=actions,
            links=links,
            identity=self.name == self.identity,
        )
        self._check_identity(resource)
        self._check_columns(resource)
        self._check_subpaths(resource)
        return resource if len(self.problems) == before else None

    def _check_name(self) -> None:
        name, where = self.draft.name.value, self.draft.name.where
        if reason := naming.invalid_name(name, "resource"):
            self.problems.add("bad-name", reason, where, "For example `user` or `order_item`.")
            return
        if self.draft.plural is None and naming.is_plural(name):
            self.problems.add(
                "plural-name",
                f"resource '{name}' is a plural",
                where,
                f"Call it '{naming.singular(name)}'; its path is /{name.replace('_', '-')} then. "
                f"If '{name}' is right, say so with a plural of its own: `--plural`, in YAML `plural:`.",
            )
        many = _plural(self.draft)
        plural_where = self.draft.plural.where if self.draft.plural else where
        if reason := naming.invalid_name(many, "plural"):
            self.problems.add("bad-name", reason, plural_where, "For example `users` or `order_items`.")
        if naming.is_python_keyword(name) or name in naming.RESERVED_RESOURCES or name in self.reserved:
            self.problems.add(
                "reserved-name",
                f"resource '{name}' is reserved: the service itself, Python or its libraries use the name",
                where,
                f"Call it '{name}_record' or, better, what it is in your domain.",
            )
        if many in naming.RESERVED_PLURALS or many in self.reserved or naming.is_python_keyword(many):
            self.problems.add(
                "reserved-name",
                f"'{many}' is a path, table or module of the service itself",
                plural_where,
                f"Choose another plural: `--plural`, in YAML `plural:`, for example '{many}_list'.",
            )

    def _fields(self) -> tuple[tuple[Field, ...], str | None]:
        drafts = self.draft.fields
        if drafts is None:
            drafts = presets.fields_for(self.name, self.draft.name.where)
        if len(drafts) > FIELD_LIMIT:
            self.problems.add(
                "too-many-fields",
                f"resource '{self.name}' has {len(drafts)} fields; {FIELD_LIMIT} are allowed",
                drafts[FIELD_LIMIT].name.where,
                "Split it into several resources.",
            )
            return (), None
        if not drafts:
            self.problems.add(
                "no-fields",
                f"resource '{self.name}' has no fields",
                self.draft.name.where,
                "Give it one: `name: str(100)`.",
            )
        for name in _doubles(draft.name.value for draft in drafts):
            second = [draft for draft in drafts if draft.name.value == name][1]
            self.problems.add(
                "duplicate-name", f"field '{name}' is there twice", second.name.where, "Keep one of them."
            )
        owner = self._owner(drafts)
        if owner is not None and owner.name.value not in {draft.name.value for draft in drafts}:
            drafts = (owner, *drafts)
        fields = tuple(field for draft in drafts if (field := build_field(draft, self.name, self.problems)))
        self.broken = {draft.name.value for draft in drafts} - {field.name for field in fields}
        return fields, owner.name.value if owner else None

    def _owner(self, drafts: tuple[FieldDraft, ...]) -> FieldDraft | None:
        """Return the field that `owner` names: one of the resource's own, or an implicit ref to the identity."""
        located = self.draft.owner
        if located is None:
            return None
        name = located.value
        if self.identity is None:
            self.problems.add(
                "no-identity",
                f"owner '{name}': no resource logs in, so nobody can own anything",
                located.where,
                "Mark the resource that logs in with `identity: true`; it has an email and a password.",
            )
            return None
        if self.name == self.identity:
            self.problems.add(
                "bad-owner",
                f"'{self.name}' logs in and owns itself; it cannot have an owner",
                located.where,
                "Take `owner` away.",
            )
            return None
        field = next((draft for draft in drafts if draft.name.value == name), None)
        if field is None and name == self.identity:
            field = next((draft for draft in drafts if draft.type.value == "ref" and _target(draft) == name), None)
            return field or FieldDraft(
                name=Located(name, located.where),
                type=Located("ref", located.where),
                settings={"target": Located(name, located.where)},
            )
        if field is None:
            known = [self.identity, *(draft.name.value for draft in drafts if _target(draft) == self.identity)]
            self.problems.add(
                "bad-owner",
                f"owner '{name}' is neither a field of '{self.name}' nor the resource that logs in"
                f"{did_you_mean(name, known)}",
                located.where,
                f"Write `owner: {self.identity}`.",
            )
            return None
        optional = field.settings.get("optional")
        if field.type.value != "ref" or _target(field) != self.identity or (optional and optional.value):
            self.problems.add(
                "bad-owner",
                f"the owner field '{name}' is not a required ref to '{self.identity}'",
                located.where,
                f"Write `{name}: ref({self.identity})`.",
            )
        return field

    def _operations(self) -> tuple[Operation, ...]:
        if self.draft.operations is None:
            return OPERATIONS
        chosen = set()
        for located in self.draft.operations:
            if located.value not in OPERATIONS:
                self.problems.add(
                    "unknown-operation",
                    f"unknown operation '{located.value}'{did_you_mean(located.value, OPERATIONS)}",
                    located.where,
                    f"Operations are {', '.join(OPERATIONS)}.",
                )
            chosen.add(located.value)
        if not chosen:
            self.problems.add(
                "no-operations",
                f"resource '{self.name}' has no operations",
                self.draft.name.where,
                f"Name some of {', '.join(OPERATIONS)}.",
            )
        return tuple(operation for operation in OPERATIONS if operation in chosen)

    def _roles(self) -> tuple[tuple[Operation, tuple[str, ...]], ...]:
        if self.draft.roles is None:
            return ()
        written = {operation.value: tuple(role.value for role in roles) for operation, roles in self.draft.roles}
        for operation, _ in self.draft.roles:
            if operation.value not in OPERATIONS:
                self.problems.add(
                    "unknown-operation",
                    f"roles for an unknown operation '{operation.value}'{did_you_mean(operation.value, OPERATIONS)}",
                    operation.where,
                    f"Operations are {', '.join(OPERATIONS)}.",
                )
        return tuple((operation, written[operation]) for operation in OPERATIONS if written.get(operation))

    def _indexes(self, fields: tuple[Field, ...]) -> tuple[tuple[str, ...], ...]:
        known = {field.name: field for field in fields}
        seen: set[tuple[str, ...]] = set()
        for located in self.draft.indexes:
            for name in located.value:
                field = known.get(name)
                if field is None and name not in ("created_at", "updated_at", *self.broken):
                    hint = did_you_mean(name, [*known, "created_at", "updated_at"])
                    self.problems.add(
                        "unknown-field", f"index on an unknown field '{name}'{hint}", located.where, "Name its fields."
                    )
                elif field is not None and field.type in ("text", "json", "password"):
                    self.problems.add(
                        "bad-index",
                        f"a {field.type} field ('{name}') cannot be indexed",
                        located.where,
                        "Leave it out.",
                    )
            if not located.value or len(located.value) > 8 or len(set(located.value)) < len(located.value):
                self.problems.add(
                    "bad-index", "an index has one to eight different fields", located.where, "`[status, created_at]`"
                )
            if located.value in seen:
                self.problems.add("duplicate-index", "the same index is there twice", located.where, "Keep one.")
            seen.add(located.value)
        return tuple(located.value for located in self.draft.indexes)

    def _actions(self, fields: tuple[Field, ...]) -> tuple:  # type: ignore[type-arg]
        built = (build_action(action, fields, self.broken, self.problems) for action in self.draft.actions)
        return tuple(action for action in built if action is not None)

    def _links(self) -> tuple[ManyToMany, ...]:
        links = []
        for draft in self.draft.links:
            target = draft.target.value
            if target not in self.plurals:
                self.problems.add(
                    "unknown-resource",
                    f"link to an unknown resource '{target}'{did_you_mean(target, self.plurals)}",
                    draft.target.where,
                    "Add the resource, or take the link away.",
                )
                continue
            if target == self.name:
                self.problems.add(
                    "self-link",
                    f"'{target}' cannot be linked to itself",
                    draft.target.where,
                    f"Make the link a resource of its own with two refs to '{target}'.",
                )
                continue
            name = draft.name.value if draft.name else self.plurals[target]
            if reason := naming.invalid_name(name, "link"):
                self.problems.add("bad-name", reason, (draft.name or draft.target).where, "For example `tags`.")
                continue
            links.append(ManyToMany(name=name, target=target, table=f"{self.name}_{name}"))
        return tuple(links)

    def _check_identity(self, resource: Resource) -> None:
        if not resource.identity:
            return
        where = self.draft.identity.where if self.draft.identity else self.draft.name.where
        known = {field.name: field for field in resource.fields}
        email, password = known.get("email"), known.get("password")
        if {"email", "password"} & self.broken:
            return
        if email is None or email.type != "email" or not email.unique or email.optional:
            self.problems.add(
                "bad-identity",
                f"'{self.name}' logs in, but has no required, unique field `email` of type email",
                where,
                "Add `email: email:unique`.",
            )
        if password is None or password.type != "password" or password.optional:
            self.problems.add(
                "bad-identity",
                f"'{self.name}' logs in, but has no required field `password` of type password",
                where,
                "Add `password: password`.",
            )

    def _check_columns(self, resource: Resource) -> None:
        """Two fields may not share a column or a name on the wire: `org: ref(org)` and `org_id: int` would."""
        columns: dict[str, str] = {name: name for name in ("id", "version", "created_at", "updated_at")}
        wires: dict[str, str] = {"id": "id", "version": "version", "createdAt": "created_at", "updatedAt": "updated_at"}
        places = {draft.name.value: draft.name.where for draft in self.draft.fields or ()}
        for field in resource.fields:
            where = places.get(field.name, self.draft.name.where)
            pair = (field.column, field.currency_column) if field.type == "money" else (field.column,)
            for column in pair:
                other = columns.setdefault(column, field.name)
                if other != field.name:
                    self.problems.add(
                        "name-collision",
                        f"fields '{other}' and '{field.name}' would both use the column '{column}'",
                        where,
                        "Rename one of them.",
                    )
            other = wires.setdefault(field.wire_name, field.name)
            if other not in (field.name, field.column):
                self.problems.add(
                    "name-collision",
                    f"fields '{other}' and '{field.name}' would both be called '{field.wire_name}' in JSON",
                    where,
                    "Rename one of them.",
                )

    def _check_subpaths(self, resource: Resource) -> None:
        names = Counter([action.name for action in resource.actions] + [link.name for link in resource.links])
        for name, count in names.items():
            if count > 1:
                self.problems.add(
                    "name-collision",
                    f"'{name}' is more than one action or link of '{self.name}'",
                    self.draft.name.where,
                    "Rename one of them; a link is renamed by `links: {NAME: RESOURCE}`.",
                )


def _plural(draft: ResourceDraft) -> str:
    return draft.plural.value if draft.plural else naming.plural(draft.name.value)


def _target(draft: FieldDraft) -> str | None:
    located = draft.settings.get("target")
    return str(located.value) if located else None


def _doubles(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _unique_names(draft: ServiceDraft, built: Sequence[Resource | None], problems: Problems) -> None:
    taken: dict[str, str] = {}
    tables: dict[str, str] = {}
    for item in draft.resources:
        name, many = item.name.value, _plural(item)
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


def _check_refs(draft: ServiceDraft, resources: tuple[Resource, ...], problems: Problems) -> None:
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


def _check_roles(draft: ServiceDraft, resources: tuple[Resource, ...], problems: Problems) -> None:
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


def with_implied(draft: ResourceDraft) -> ResourceDraft:
    """Return a resource as flags mean it: with the fields, roles and identity that its name implies."""
    where = draft.name.where
    fields = presets.fields_for(draft.name.value, where) if draft.fields is None else draft.fields
    kinds = {field.name.value: field for field in fields}
    email, password = kinds.get("email"), kinds.get("password")
    logs_in = (
        draft.name.value == "user"
        and email is not None
        and email.type.value == "email"
        and "unique" in email.settings
        and password is not None
        and password.type.value == "password"
    )
    roles = draft.roles
    if draft.fields is None and draft.name.value == "user":
        roles = tuple(
            (Located(operation, where), tuple(Located(role, where) for role in names))
            for operation, names in presets.USER_ROLES.items()
        )
    return dataclasses.replace(
        draft, fields=fields, roles=roles, identity=Located(True, where) if logs_in else draft.identity
    )
