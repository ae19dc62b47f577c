"""What a custom action does: its fixed values as written, or inferred from its verb and the resource's fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.errors import did_you_mean
from senior_backend.scaffold import naming
from senior_backend.scaffold.model import Action, Field
from senior_backend.scaffold.values import read_value, refused_value

if TYPE_CHECKING:
    from collections.abc import Collection

    from senior_backend.scaffold.drafts import ActionDraft, Problems

_PARTICIPLES: Final = {
    "activate": ("active", "activated"),
    "enable": ("enabled",),
    "disable": ("disabled",),
    "pay": ("paid",),
    "send": ("sent",),
    "win": ("won",),
    "lose": ("lost",),
    "hide": ("hidden",),
    "show": ("shown", "visible"),
    "freeze": ("frozen",),
    "begin": ("begun",),
    "start": ("started", "running", "in_progress"),
    "stop": ("stopped",),
    "cancel": ("cancelled", "canceled"),
    "submit": ("submitted",),
    "ship": ("shipped",),
    "ban": ("banned",),
    "drop": ("dropped",),
    "open": ("open", "opened"),
    "complete": ("complete", "completed", "done"),
    "finish": ("finished", "done"),
    "feature": ("featured",),
    "hold": ("held", "on_hold"),
}
_OPPOSITES: Final = {"disable": "enable", "hide": "show", "unhide": "hide"}


def build_action(
    draft: ActionDraft, fields: tuple[Field, ...], broken: Collection[str], problems: Problems
) -> Action | None:
    """Return the action, or None after noting why it cannot be had; `broken` fields have been told already."""
    name = draft.name.value
    if reason := naming.invalid_name(name, "action"):
        problems.add("bad-name", reason, draft.name.where, "For example `activate`.")
        return None
    roles = tuple(role.value for role in draft.roles)
    if draft.assign is None:
        found = candidates(name, fields)
        if len(found) == 1:
            return Action(name=name, assign=tuple(found), roles=roles)
        if broken:
            return None
        shown = " or ".join(f"{field}={_text(value)}" for field, value in found)
        problems.add(
            "unknown-action",
            f"what '{name}' does cannot be inferred: " + (f"{shown}?" if found else "no field fits the verb"),
            draft.name.where,
            f"Say which values it sets: `--action {name}:FIELD=VALUE`, "
            f"in YAML `actions: {{{name}: {{set: {{FIELD: VALUE}}}}}}`.",
        )
        return None
    before = len(problems)
    by_name = {field.name: field for field in fields}
    assigned: dict[str, Any] = {}
    for key, value in draft.assign:
        field = by_name.get(key.value)
        if key.value in broken:
            return None
        if field is None:
            hint = did_you_mean(key.value, by_name)
            problems.add(
                "unknown-field",
                f"action '{name}': no field '{key.value}'{hint}",
                key.where,
                f"Fields: {', '.join(by_name)}.",
            )
        elif field.type in ("ref", "password", "money", "json"):
            problems.add(
                "bad-action",
                f"action '{name}' cannot set a {field.type}",
                key.where,
                "Set an enum, a bool, text or number.",
            )
        elif key.value in assigned:
            problems.add("bad-action", f"action '{name}' sets '{key.value}' twice", key.where, "Keep one of them.")
        else:
            try:
                assigned[key.value] = read_value(value.value, field.type)
                reason = refused_value(field, assigned[key.value])
            except ValueError as error:
                reason = str(error)
            if assigned.get(key.value) is None and not field.optional and reason is None:
                reason = "null needs a field that may be empty"
            if reason:
                problems.add("bad-action", f"action '{name}': {reason}", value.where, "Mend the value.")
    if not draft.assign:
        problems.add("bad-action", f"action '{name}' sets nothing", draft.name.where, "Name a field and its value.")
    return None if len(problems) > before else Action(name=name, assign=tuple(assigned.items()), roles=roles)


def candidates(verb: str, fields: tuple[Field, ...]) -> list[tuple[str, Any]]:
    """Return the assignments that `verb` may mean: a bool or an enum value named by its participle."""
    found = _named_by(verb, fields, truth=True)
    base = _OPPOSITES.get(verb) or next(
        (verb.removeprefix(prefix) for prefix in ("de", "un", "dis") if verb.startswith(prefix)), None
    )
    if base:
        taken = {field for field, _ in found}
        found += [
            (field, value)
            for field, value in _named_by(base, fields, truth=False)
            if field not in taken and isinstance(value, bool)
        ]
    return found


def _named_by(verb: str, fields: tuple[Field, ...], *, truth: bool) -> list[tuple[str, Any]]:
    words = set(_words(verb))
    found: list[tuple[str, Any]] = []
    for field in fields:
        if field.type == "bool" and field.name.removeprefix("is_") in words:
            found.append((field.name, truth))
        elif field.type == "enum" and truth:
            found += [(field.name, value) for value in field.values if naming.snake_case(value) in words]
    return found


def _words(verb: str) -> tuple[str, ...]:
    if verb in _PARTICIPLES:
        return _PARTICIPLES[verb]
    if verb.endswith("e"):
        return (verb + "d",)
    if verb.endswith("y") and verb[-2:-1] not in tuple("aeiou"):
        return (verb[:-1] + "ied",)
    return (verb + "ed", verb + verb[-1] + "ed")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
