"""From flags to the text of `resources.yaml`: a new one, or the user's own with a resource or fields added."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, UndecidedError, did_you_mean
from senior_backend.scaffold import state
from senior_backend.scaffold.drafts import Located, ResourceDraft, ServiceDraft
from senior_backend.scaffold.model import Service
from senior_backend.scaffold.sources.flags import READ_ONLY
from senior_backend.scaffold.spec import with_implied
from senior_backend.scaffold.spec_file import read_spec
from senior_backend.scaffold.spec_text import Editor, action_line, flow_list, service_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from senior_backend.scaffold.model import Resource

    Build = Callable[[ServiceDraft], Service]


def new_text(draft: ResourceDraft, service: ServiceDraft, build: Build) -> str:
    """Return a new specification with the resource of `draft`, and the user it needs where it has an owner.

    Raises:
        InputError: the resource does not hold.
    """
    resource = with_implied(_with_operations(draft))
    resources = [resource]
    if draft.owner is not None and draft.owner.value == "user" and draft.name.value != "user":
        where = draft.owner.where
        resources.insert(0, with_implied(ResourceDraft(name=Located("user", where))))
    return service_text(build(dataclasses.replace(service, resources=tuple(resources))))


def extended_text(text: str, name: str, draft: ResourceDraft, build: Build) -> str:
    """Return the specification `text` with what `draft` adds; the text itself where it adds nothing.

    Raises:
        InputError: the result does not hold, or changes what is there.
        UndecidedError: the text cannot be edited; the error has the lines to add.
    """
    spec = read_spec(text, name)
    current = build(spec)
    if draft.name.value in {resource.name for resource in current.resources}:
        return _with_additions(text, name, draft, build)
    added = with_implied(_with_operations(draft))
    if current.identity is not None:
        added = dataclasses.replace(added, identity=None)
    resources = (*spec.resources, added)
    if draft.owner is not None and draft.owner.value == "user" and current.identity is None:
        user = with_implied(ResourceDraft(name=Located("user", draft.owner.where)))
        if "user" not in {resource.name for resource in current.resources}:
            resources = (*spec.resources, user, added)
    wanted = build(dataclasses.replace(spec, resources=resources))
    for resource in wanted.resources[len(current.resources) :]:
        text = Editor(text, name).add_resource(resource)
    return _checked(text, name, wanted, build)


def with_setting(text: str, name: str, setting: tuple[str, str], wanted: Service, build: Build) -> str:
    """Return the specification with a top-level (key, YAML value), read back and compared with `wanted`."""
    return _checked(Editor(text, name).set_setting(*setting), name, wanted, build)


def without(text: str, name: str, resource: str, build: Build) -> str:
    """Return the specification without `resource`.

    Raises:
        InputError: there is no such resource, it is the last, or others refer to it.
        UndecidedError: the text cannot be edited.
    """
    spec = read_spec(text, name)
    current = build(spec)
    names = [item.name for item in current.resources]
    if resource not in names:
        raise InputError(
            f"there is no resource '{resource}'{did_you_mean(resource, names)}",
            code="unknown-resource",
            where=name,
            hint=f"Resources are {', '.join(names)}.",
        )
    if len(names) == 1:
        raise InputError(
            f"'{resource}' is the only resource", code="last-resource", where=name, hint="Delete the project instead."
        )
    kept = tuple(item for item in spec.resources if item.name.value != resource)
    wanted = build(dataclasses.replace(spec, resources=kept))
    return _checked(Editor(text, name).remove_resource(resource), name, wanted, build)


def _with_operations(draft: ResourceDraft) -> ResourceDraft:
    if draft.operations is not None:
        return draft
    return dataclasses.replace(draft, operations=tuple(Located(operation, "--name") for operation in READ_ONLY))


def _with_additions(text: str, name: str, draft: ResourceDraft, build: Build) -> str:
    spec = read_spec(text, name)
    current = build(spec)
    old = next(item for item in spec.resources if item.name.value == draft.name.value)
    there = current.resource(draft.name.value)
    place = Editor(text, name).place_of(there.name)
    known = {field.name for field in there.fields}
    fields = tuple(field for field in draft.fields or () if field.name.value not in known)
    actions = tuple(
        action for action in draft.actions if action.name.value not in {known.name for known in there.actions}
    )
    changed = dataclasses.replace(
        old,
        fields=(*(old.fields if old.fields is not None else with_implied(old).fields or ()), *fields),
        operations=draft.operations if draft.operations is not None else old.operations,
        owner=draft.owner if draft.owner is not None else old.owner,
        actions=(*old.actions, *actions),
    )
    wanted_service = build(_replaced(spec, changed))
    wanted = wanted_service.resource(there.name)
    _refuse_changes(draft, old, there, place, lambda rebuilt: build(_replaced(spec, rebuilt)).resource(there.name))
    for field in wanted.fields:
        if field.name in {item.name.value for item in fields}:
            text = Editor(text, name).add_field(there.name, field)
    if wanted.operations != there.operations:
        text = Editor(text, name).set_in_resource(
            there.name, "operations", [f"operations: {flow_list(wanted.operations)}"]
        )
    if wanted.owner != there.owner:
        if there.owner is not None:
            raise _already(f"the owner of '{there.name}' is '{there.owner}'", place)
        text = Editor(text, name).set_in_resource(there.name, "owner", [f"owner: {wanted.owner}"])
    for action in wanted.actions:
        if action.name in {item.name.value for item in actions}:
            text = Editor(text, name).set_in_resource(there.name, "actions", ["actions:", f"  {action_line(action)}"])
    return _checked(text, name, wanted_service, build)


def _refuse_changes(
    draft: ResourceDraft, old: ResourceDraft, there: Resource, place: str, rebuilt: Callable[[ResourceDraft], Resource]
) -> None:
    """Refuse flags that would change what is there; the file is the place for that, where it is reviewed."""
    if draft.plural is not None and draft.plural.value != there.plural:
        raise _already(f"the plural of '{there.name}' is '{there.plural}'", place)
    again = {field.name.value: field for field in draft.fields or ()}
    kept = tuple(again.get(item.name.value, item) for item in old.fields or ())
    if kept == old.fields:
        return
    as_flags = rebuilt(dataclasses.replace(old, fields=kept))
    for field in there.fields:
        if as_flags.field(field.name) != field:
            raise _already(f"the field '{field.name}' of '{there.name}' is there already, and is another", place)


def _replaced(spec: ServiceDraft, resource: ResourceDraft) -> ServiceDraft:
    """Return `spec` with another draft of the resource of that name."""
    resources = tuple(resource if item.name.value == resource.name.value else item for item in spec.resources)
    return dataclasses.replace(spec, resources=resources)


def _already(what: str, place: str) -> InputError:
    return InputError(
        f"{what}; flags only add",
        code="already-there",
        where=place,
        hint="Change it in that file, and run the tool again without flags for this resource.",
    )


def _checked(text: str, name: str, wanted: Service, build: Build) -> str:
    """Return `text` if it reads back as `wanted`.

    Raises:
        UndecidedError: the edit did not give what was wanted; the file is too unusual.
    """
    try:
        found = build(read_spec(text, name, service=wanted.name))
    except InputError:
        found = None
    if found is None or not state.equal_models(found, wanted):
        raise UndecidedError(
            "the specification is written in a way that cannot be edited automatically",
            code="cannot-edit",
            where=name,
            hint="Make it say this, and run the tool again:\n" + service_text(wanted),
        )
    return text
