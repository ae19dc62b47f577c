"""From a field as written to a field of the model: each type's own rules."""

from __future__ import annotations

from typing import Any, Final

from senior_backend.console.errors import did_you_mean
from senior_backend.scaffold import naming
from senior_backend.scaffold.drafts import FieldDraft, Problems
from senior_backend.scaffold.model import FIELD_TYPES, MISSING, Field, FieldType
from senior_backend.scaffold.values import NUMERIC, READ, TEXTUAL, BadValueError, refused_value

STR_LENGTH: Final = 255
DECIMAL: Final = (12, 2)

SYNONYMS: Final = {
    "string": "str",
    "varchar": "str",
    "char": "str",
    "integer": "int",
    "number": "int",
    "serial": "int",
    "smallint": "int",
    "long": "bigint",
    "int64": "bigint",
    "double": "float",
    "real": "float",
    "numeric": "decimal",
    "boolean": "bool",
    "timestamp": "datetime",
    "timestamptz": "datetime",
    "date-time": "datetime",
    "time": "datetime",
    "guid": "uuid",
    "jsonb": "json",
    "object": "json",
    "dict": "json",
    "choice": "enum",
    "choices": "enum",
    "currency": "money",
    "price": "money",
    "references": "ref",
    "reference": "ref",
    "fk": "ref",
    "foreign_key": "ref",
    "belongs_to": "ref",
    "uri": "url",
    "link": "url",
    "mail": "email",
    "secret": "password",
    "longtext": "text",
}
"""What other tools call a type, and the name to suggest."""

_UNINDEXED: Final = ("text", "json", "password", "money", "float", "bool")
_NO_DEFAULT: Final = ("password", "ref", "money")
SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "length": ("str",),
    "precision": ("decimal",),
    "scale": ("decimal",),
    "values": ("enum",),
    "currencies": ("money",),
    "target": ("ref",),
    "on_delete": ("ref",),
    "min": (*TEXTUAL, *NUMERIC, "password"),
    "max": ("text", "email", "url", *NUMERIC, "password"),
    "pattern": ("str", "text"),
    "optional": FIELD_TYPES,
    "unique": tuple(kind for kind in FIELD_TYPES if kind not in _UNINDEXED),
    "index": tuple(kind for kind in FIELD_TYPES if kind not in _UNINDEXED),
    "default": tuple(kind for kind in FIELD_TYPES if kind not in _NO_DEFAULT),
}
"""Which settings a type takes."""


def build_field(draft: FieldDraft, resource: str, problems: Problems) -> Field | None:
    """Return the model's field, or None after noting everything that is wrong with the draft."""
    before = len(problems)
    name = draft.name.value
    _check_name(draft, resource, problems)
    kind = _check_type(draft, problems)
    if kind is None:
        return None
    values: dict[str, Any] = {}
    for key, located in draft.settings.items():
        if key not in SETTINGS:
            message = f"'{kind}' takes no arguments" if key == "arguments" else f"unknown setting '{key}'"
            fix = f"Write `{name}:{kind}`." if key == "arguments" else f"Known are {', '.join(SETTINGS)}."
            hint = "" if key == "arguments" else did_you_mean(key, SETTINGS)
            problems.add("bad-field", f"field '{name}': {message}{hint}", located.where, fix)
        elif kind not in SETTINGS[key]:
            problems.add(
                "bad-field",
                f"field '{name}': '{key}' does not go with {kind}",
                located.where,
                _why_not(key, kind),
            )
        else:
            try:
                values[key] = READ[key](located.value, kind)
            except BadValueError as bad:
                problems.add("bad-field", f"field '{name}': {bad.message}", located.where, bad.fix)
    if len(problems) > before:
        return None
    return _assemble(draft, kind, values, problems)


def _check_name(draft: FieldDraft, resource: str, problems: Problems) -> None:
    name, where = draft.name.value, draft.name.where
    better = naming.better_field_name(name, resource)
    if reason := naming.invalid_name(name, "field"):
        near = naming.snake_case(name)
        fix = f"Call it '{near}'." if naming.invalid_name(near, "field") is None else "Use letters, digits and _."
        problems.add("bad-name", reason, where, fix)
    elif name in naming.RESERVED_FIELDS:
        problems.add(
            "reserved-name",
            f"field '{name}' is reserved: {naming.RESERVED_FIELDS[name]}",
            where,
            f"Leave it out, or call yours '{resource}_{name}'.",
        )
    elif name in naming.SHADOWING and draft.type.value != "ref":
        problems.add(
            "reserved-name",
            f"field '{name}' would hide Python's type of that name",
            where,
            f"Call it '{better}', for example.",
        )
    elif naming.is_python_keyword(name) and draft.type.value != "ref":
        problems.add(
            "reserved-name", f"field '{name}' is a keyword of Python", where, f"Call it '{better}', for example."
        )


def _check_type(draft: FieldDraft, problems: Problems) -> FieldType | None:
    written = draft.type.value
    for kind in FIELD_TYPES:
        if kind == written:
            return kind
    near = SYNONYMS.get(written)
    hint = f" (did you mean '{near}'?)" if near else did_you_mean(written, FIELD_TYPES)
    problems.add(
        "unknown-type",
        f"field '{draft.name.value}': unknown type '{written}'{hint}",
        draft.type.where,
        f"Types are {', '.join(FIELD_TYPES)}.",
    )
    return None


def _why_not(key: str, kind: str) -> str:
    if key in ("unique", "index"):
        return f"Take it away; a {kind} is not looked up by value. For short text use `str`."
    if key == "default":
        return f"Take it away: a {kind} is always given by the client, or make it optional with `?`."
    if key == "max" and kind == "str":
        return "The length of a `str` is its maximum: `str(100)`."
    return f"Take it away; it goes with {', '.join(SETTINGS[key])}."


def _assemble(draft: FieldDraft, kind: FieldType, values: dict[str, Any], problems: Problems) -> Field | None:
    before = len(problems)

    def wrong(message: str, key: str, fix: str) -> None:
        where = draft.settings[key].where if key in draft.settings else draft.type.where
        problems.add("bad-field", f"field '{draft.name.value}': {message}", where, fix)

    if kind == "str":
        values.setdefault("length", STR_LENGTH)
    if kind == "decimal":
        precision, scale = values.get("precision"), values.get("scale")
        values["precision"] = DECIMAL[0] if precision is None else precision
        values["scale"] = (0 if precision is not None else DECIMAL[1]) if scale is None else scale
        if values["scale"] > values["precision"]:
            wrong("more digits behind the point than in all", "scale", "For example `decimal(12,2)`.")
    if kind == "enum" and "values" not in values:
        wrong("an enum needs its values", "values", "For example `enum(draft,published)`.")
    if kind == "ref" and "target" not in values:
        wrong("a ref needs the resource it points at", "target", "For example `ref(user)`.")
    if values.get("on_delete") == "set_null" and not values.get("optional"):
        wrong(
            "set_null needs a field that may be empty", "on_delete", f"Write `ref({values.get('target')},set_null)?`."
        )
    low, high = values.get("min"), values.get("max", values.get("length"))
    if low is not None and high is not None and low > high:
        wrong(f"min {low:g} is above max {high:g}", "min", "Swap them.")
    default = values.get("default", MISSING)
    if default is None and not values.get("optional"):
        wrong("a default of null needs a field that may be empty", "default", "Add `?`, or take the default away.")
    if len(problems) > before:
        return None
    field = Field(
        name=draft.name.value,
        type=kind,
        optional=values.get("optional", False),
        unique=values.get("unique", False),
        index=values.get("index", False),
        default=default,
        length=values.get("length"),
        precision=values.get("precision"),
        scale=values.get("scale"),
        values=values.get("values", ()),
        target=values.get("target"),
        on_delete=values.get("on_delete", "restrict"),
        currencies=values.get("currencies", ()),
        minimum=values.get("min"),
        maximum=values.get("max"),
        pattern=values.get("pattern"),
    )
    if default is not MISSING and (reason := refused_value(field, default)):
        wrong(f"the default {reason}", "default", "Change the default or the rule.")
        return None
    return field
