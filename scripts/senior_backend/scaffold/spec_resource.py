"""From a resource as written to one of the model: what must hold inside of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from senior_backend.console.errors import did_you_mean
from senior_backend.scaffold import naming, presets
from senior_backend.scaffold.actions import build_action
from senior_backend.scaffold.drafts import FieldDraft, Located, Problems, ResourceDraft
from senior_backend.scaffold.fields import build_field
from senior_backend.scaffold.model import OPERATIONS, Action, Field, ManyToMany, Operation, Resource
from senior_backend.scaffold.spec_checks import plural_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

FIELD_LIMIT: Final = 200
"""Fields of one resource; PostgreSQL ends at 1,600 columns, a request body at what a client can send."""


class ResourceBuilder:
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
        """Return the resource, or None after noting what is wrong."""
        before = len(self.problems)
        self._check_name()
        fields, owner = self._fields()
        actions = self._actions(fields)
        links = self._links()
        resource = Resource(
            name=self.name,
            plural=plural_of(self.draft),
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
        many = plural_of(self.draft)
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

    def _actions(self, fields: tuple[Field, ...]) -> tuple[Action, ...]:
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


def _target(draft: FieldDraft) -> str | None:
    located = draft.settings.get("target")
    return str(located.value) if located else None


def _doubles(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
