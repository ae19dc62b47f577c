"""The JSON Schema of `resources.yaml`, made from the constants that `spec_file.py`, `fields.py` and `spec.py` obey.

It tells the shape; what holds between resources (references, collisions, cycles) only the tool checks.
"""

from __future__ import annotations

from typing import Any

from senior_backend.scaffold import naming
from senior_backend.scaffold.fields import SETTINGS
from senior_backend.scaffold.model import FIELD_TYPES, OPERATIONS
from senior_backend.scaffold.spec import ERROR_FORMATS, RESOURCE_LIMIT, SERVICE_NAME
from senior_backend.scaffold.spec_resource import FIELD_LIMIT
from senior_backend.scaffold.values import DECIMAL_LIMIT, ENUM_LIMIT, STR_LIMIT

_SHORT = (
    'TYPE with arguments, "?" when it may be empty, ":unique", ":index", ":min=…", ":max=…", ":pattern=…", and '
    '"=default" last: str(100), email:unique, enum(admin,user)=user, ref(org)?, decimal(12,2):min=0'
)


def specification_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Specification of a service for api_scaffold.py",
        "type": "object",
        "required": ["resources"],
        "additionalProperties": False,
        "properties": {
            "service": {
                "type": "string",
                "pattern": f"^{SERVICE_NAME.pattern}$",
                "maxLength": naming.NAME_LIMIT,
                "description": "Name of the service in kebab-case; without it the folder names it.",
            },
            "stack": {"type": "string", "default": "fastapi", "description": "What the service is built with."},
            "errors": {
                "enum": list(ERROR_FORMATS),
                "default": "problem",
                "description": "Error bodies: RFC 9457 problem details, or the standard envelope.",
            },
            "require_if_match": {
                "type": "boolean",
                "default": False,
                "description": "Refuse updates without If-Match (428).",
            },
            "skip": {
                **_words("Files never to generate, update or remove, as shell patterns: `deploy/*`."),
            },
            "resources": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": RESOURCE_LIMIT,
                "propertyNames": {"$ref": "#/$defs/name"},
                "additionalProperties": {"$ref": "#/$defs/resource"},
                "description": "By singular name, in snake_case.",
            },
        },
        "$defs": {
            "name": {"type": "string", "pattern": f"^{naming.NAME.pattern}$", "maxLength": naming.NAME_LIMIT},
            "resource": _resource(),
            "field": _field(),
            "action": _action(),
        },
    }


def _words(description: str, items: dict[str, Any] | None = None) -> dict[str, Any]:
    item = items or {"type": "string"}
    return {"description": description, "anyOf": [item, {"type": "array", "items": item}]}


def _resource() -> dict[str, Any]:
    name = {"$ref": "#/$defs/name"}
    operation = {"enum": list(OPERATIONS)}
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "plural": {**name, "description": "Table and path, where the rules of English fail."},
            "identity": {
                "type": "boolean",
                "description": "Its rows log in; it has `email: email:unique` and `password: password`.",
            },
            "owner": {
                **name,
                "description": "The resource that logs in, or a ref to it: callers reach only their own rows.",
            },
            "operations": _words("Default: all five.", operation),
            "fields": {
                "description": "By name, in snake_case; without it, the usual ones.",
                "anyOf": [
                    {"type": "string", "description": "All in one text, as for --fields."},
                    {
                        "type": "object",
                        "minProperties": 1,
                        "maxProperties": FIELD_LIMIT,
                        "propertyNames": {"allOf": [name, {"not": {"enum": list(naming.RESERVED_FIELDS)}}]},
                        "additionalProperties": {"$ref": "#/$defs/field"},
                    },
                ],
            },
            "links": {
                "description": "Many-to-many: names of resources, or names of links to them.",
                "anyOf": [
                    _words("Names of resources.", name),
                    {"type": "object", "propertyNames": name, "additionalProperties": name},
                ],
            },
            "roles": {
                "type": "object",
                "description": "Who may call an operation; without it every authenticated caller.",
                "propertyNames": operation,
                "additionalProperties": _words("Values of the identity's field `role`."),
            },
            "indexes": {
                "type": "array",
                "description": "Fields of each, created_at and updated_at included.",
                "items": _words("Names of fields."),
            },
            "actions": {
                "description": "POST /RESOURCES/{id}/ACTION sets fixed values; known verbs need none.",
                "anyOf": [
                    _words("Verbs.", name),
                    {"type": "object", "propertyNames": name, "additionalProperties": {"$ref": "#/$defs/action"}},
                ],
            },
        },
    }


def _action() -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "set": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
            "roles": _words("Who may call it."),
        },
    }


def _field() -> dict[str, Any]:
    settings: dict[str, dict[str, Any]] = {
        "length": {"type": "integer", "minimum": 1, "maximum": STR_LIMIT},
        "precision": {"type": "integer", "minimum": 1, "maximum": DECIMAL_LIMIT},
        "scale": {"type": "integer", "minimum": 0, "maximum": DECIMAL_LIMIT},
        "values": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": ENUM_LIMIT,
            "uniqueItems": True,
        },
        "currencies": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z]{3}$"}, "minItems": 1},
        "target": {"$ref": "#/$defs/name"},
        "on_delete": {"enum": ["restrict", "cascade", "set_null"]},
        "min": {"type": "number", "description": "Of a number, or of a text's length."},
        "max": {"type": "number", "description": "Of a number, or of a text's length."},
        "pattern": {"type": "string", "pattern": r"^\^.*\$$", "maxLength": 500},
        "optional": {"type": "boolean"},
        "unique": {"type": "boolean"},
        "index": {"type": "boolean"},
        "default": {},
    }
    for key, schema in settings.items():
        kinds = SETTINGS[key]
        if len(kinds) < len(FIELD_TYPES):
            text = f"Goes with {', '.join(kinds)}."
            schema["description"] = f"{schema.get('description', '')} {text}".strip()
    return {
        "anyOf": [
            {"type": "string", "description": _SHORT},
            {
                "type": "object",
                "required": ["type"],
                "additionalProperties": False,
                "properties": {
                    "type": {"type": "string", "description": f"One of {', '.join(FIELD_TYPES)}, or a short form."},
                    **settings,
                },
            },
        ]
    }
