"""From a specification as written to the model."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from senior_backend.console.errors import did_you_mean
from senior_backend.scaffold import naming, presets
from senior_backend.scaffold.drafts import Located, Problems, ResourceDraft, ServiceDraft
from senior_backend.scaffold.model import ErrorFormat, Service
from senior_backend.scaffold.spec_checks import check_refs, check_roles, plural_of, unique_names
from senior_backend.scaffold.spec_resource import ResourceBuilder

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

RESOURCE_LIMIT: Final = 500
"""Resources of one service; generation stays linear, but nobody reviews or runs more in one process."""
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
    plurals = {item.name.value: plural_of(item) for item in draft.resources}
    built = [ResourceBuilder(item, plurals, identity, problems, reserved).build() for item in draft.resources]
    unique_names(draft, built, problems)
    resources = tuple(resource for resource in built if resource is not None)
    if len(resources) == len(built):
        check_refs(draft, resources, problems)
        check_roles(draft, resources, problems)
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


def with_implied(draft: ResourceDraft) -> ResourceDraft:
    """Return a resource as flags mean it: with the fields and the identity that its name implies."""
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
    return dataclasses.replace(draft, fields=fields, identity=Located(True, where) if logs_in else draft.identity)
