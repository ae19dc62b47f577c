"""The resource model: what every source produces and every stack renders.

It knows nothing of files, frameworks or databases. Values are validated by `spec.py` before they get here, so
a stack may rely on the invariants that the docstrings state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

FieldType = Literal[
    "str",
    "text",
    "email",
    "url",
    "int",
    "bigint",
    "float",
    "decimal",
    "bool",
    "date",
    "datetime",
    "uuid",
    "json",
    "enum",
    "money",
    "password",
    "ref",
]
Operation = Literal["list", "create", "read", "update", "delete"]
OnDelete = Literal["restrict", "cascade", "set_null"]
ErrorFormat = Literal["problem", "envelope"]

FIELD_TYPES: Final[tuple[FieldType, ...]] = FieldType.__args__  # type: ignore[attr-defined]
OPERATIONS: Final[tuple[Operation, ...]] = Operation.__args__  # type: ignore[attr-defined]

SERVER_OWNED: Final = ("id", "version", "created_at", "updated_at")
"""Columns that every resource has and no client writes."""


class Missing:
    """The type of `MISSING`: a field without a default, where None is a default of its own."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


def camel_case(name: str) -> str:
    """Return the name of a snake_case field as the wire shows it: `created_at` -> `createdAt`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def pascal_case(name: str) -> str:
    """Return the name of a snake_case thing as a class: `order_item` -> `OrderItem`."""
    return "".join(part.capitalize() for part in name.split("_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One attribute of a resource that clients see or write.

    `name` is snake_case and unique in its resource; for a `ref` it is the name without `_id`.
    `length` is the maximum of a `str` in characters; `precision` and `scale` belong to `decimal`;
    `values` to `enum` (not empty, unique); `target` to `ref` (the name of a resource of the service);
    `currencies` to `money` (ISO 4217 codes; empty means any). `minimum` and `maximum` bound numbers, or the
    length of text. `pattern` is an anchored regular expression in the subset that RE2, Python and
    JSON Schema read alike. `default` is a value of the field's own Python type, or MISSING.
    """

    name: str
    type: FieldType
    optional: bool = False
    unique: bool = False
    index: bool = False
    default: Any = MISSING
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    values: tuple[str, ...] = ()
    target: str | None = None
    on_delete: OnDelete = "restrict"
    currencies: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None

    @property
    def column(self) -> str:
        """The name of its column; a `money` field has a second one, `currency_column`."""
        if self.type == "ref":
            return f"{self.name}_id"
        if self.type == "password":
            return f"{self.name}_hash"
        if self.type == "money":
            return f"{self.name}_minor"
        return self.name

    @property
    def currency_column(self) -> str:
        """The second column of a `money` field, ISO 4217."""
        return f"{self.name}_currency"

    @property
    def wire_name(self) -> str:
        """Its name in JSON and in query strings, camelCase; a reference shows its id: `org` -> `orgId`."""
        return camel_case(f"{self.name}_id" if self.type == "ref" else self.name)

    @property
    def write_only(self) -> bool:
        """Whether it is accepted but never returned."""
        return self.type == "password"

    @property
    def filterable(self) -> bool:
        """Whether a list may be filtered on it by equality."""
        return self.type in ("str", "email", "url", "int", "bigint", "bool", "date", "datetime", "uuid", "enum", "ref")

    @property
    def sortable(self) -> bool:
        """Whether a list may be sorted on it: it always has a value, and an index serves the order."""
        return (
            not self.optional
            and (self.index or self.unique)
            and self.type in ("str", "email", "url", "int", "bigint", "decimal", "date", "datetime", "uuid")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A custom action, `POST /users/{id}/activate`: it sets fields to fixed values in one guarded statement."""

    name: str
    assign: tuple[tuple[str, Any], ...]
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyToMany:
    """A link to another resource, `PUT|DELETE /users/{id}/groups/{groupId}` and `GET /users/{id}/groups`.

    `name` is the plural under which it is reached; the join table is named by `table`.
    """

    name: str
    target: str
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of thing the service keeps.

    `name` is the singular and `plural` the table and path, both snake_case and unique in the service.
    `owner` names the field (a `ref` to the identity resource) whose value scopes every access; the server
    fills it from the caller. `roles` says per operation who may call it: empty means every authenticated caller.
    `identity` marks the resource whose rows log in; it has an `email` that is unique and a `password`.
    """

    name: str
    plural: str
    fields: tuple[Field, ...]
    operations: tuple[Operation, ...] = OPERATIONS
    owner: str | None = None
    roles: tuple[tuple[Operation, tuple[str, ...]], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    actions: tuple[Action, ...] = ()
    links: tuple[ManyToMany, ...] = ()
    identity: bool = False

    @property
    def class_name(self) -> str:
        """The name of its class in generated code."""
        return pascal_case(self.name)

    @property
    def path(self) -> str:
        """The last part of its collection's URL, kebab-case."""
        return self.plural.replace("_", "-")

    def field(self, name: str) -> Field:
        """Return the field called `name`.

        Raises:
            KeyError: there is none.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    def roles_for(self, operation: Operation) -> tuple[str, ...]:
        """Return the roles that may call `operation`; empty means every authenticated caller."""
        return dict(self.roles).get(operation, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything that is generated, in the order in which the user wrote it."""

    name: str
    resources: tuple[Resource, ...]
    stack: str = "fastapi"
    errors: ErrorFormat = "problem"
    require_if_match: bool = False

    @property
    def identity(self) -> Resource | None:
        """The resource whose rows log in, or None where tokens come from elsewhere."""
        return next((resource for resource in self.resources if resource.identity), None)

    def resource(self, name: str) -> Resource:
        """Return the resource called `name`.

        Raises:
            KeyError: there is none.
        """
        for resource in self.resources:
            if resource.name == name:
                return resource
        raise KeyError(name)

    def children(self, name: str) -> tuple[tuple[Resource, Field], ...]:
        """Return every (resource, ref field) that points at the resource called `name`."""
        return tuple(
            (resource, field)
            for resource in self.resources
            for field in resource.fields
            if field.type == "ref" and field.target == name
        )
