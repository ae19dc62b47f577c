"""The JSON Schema of services.yaml for editors, made from the same fields that the reader uses."""

from __future__ import annotations

from typing import Any

from senior_backend.health.assertions import PHASES
from senior_backend.health.config.fields import COMMON, DEFAULTS
from senior_backend.health.config.values import DURATION, TEXT_MAP
from senior_backend.health.probes import Probe, all_probes, by_word

_LIMIT = {**DURATION.schema, "description": "Upper limit of this phase."}
_CONDITION = {
    "type": ["string", "number", "boolean", "null"],
    "description": 'A value, or a comparison such as "< 100", "!= down", "~ ^regex".',
}
_STATUS = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": "^([1-5][0-9]{2}|[1-5][xX]{2}|[1-5][0-9]{2} *- *[1-5][0-9]{2})$"},
    ]
}
_FACTS: dict[str, Any] = {
    "status": {"anyOf": [_STATUS, {"type": "array", "items": _STATUS}]},
    "map": {"type": "object", "additionalProperties": _CONDITION},
    "text": _CONDITION,
    "number": {"type": ["number", "string"]},
    "boolean": {"type": "boolean"},
    "any": _CONDITION,
}
_TLS = {
    "anyOf": [
        {"type": "boolean"},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "ca": {"type": "string", "description": "File with the authorities to trust."},
                "cert": {"type": "string", "description": "File with the client certificate."},
                "key": {"type": "string", "description": "File with the client's key."},
                "server_name": {"type": "string", "description": "Name to ask for and to verify."},
                "insecure": {"type": "boolean", "description": "true: do not verify; shown in every output."},
            },
        },
    ]
}
_AUTH = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"user": {"type": "string"}, "password": {"type": "string"}, "bearer": {"type": "string"}},
}
_EXTENSIONS: dict[str, Any] = {"^x-": {}}


def schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12)."""
    named = _service(named=True)
    unnamed = _service(named=False)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Services to check with health_check.py",
        "type": "object",
        "required": ["services"],
        "additionalProperties": False,
        "patternProperties": _EXTENSIONS,
        "properties": {
            "services": {
                "anyOf": [
                    {"type": "array", "minItems": 1, "items": named},
                    {"type": "object", "minProperties": 1, "additionalProperties": unnamed},
                ]
            },
            "defaults": {
                "type": "object",
                "additionalProperties": False,
                "patternProperties": _EXTENSIONS,
                "properties": {
                    **{field.name: _common(field.name) for field in COMMON if field.name in DEFAULTS},
                    "headers": dict(TEXT_MAP.schema),
                },
            },
            "allow_addresses": {
                "description": "Link-local or metadata addresses that may be checked all the same.",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
        },
    }


def _common(name: str) -> dict[str, Any]:
    field = next(field for field in COMMON if field.name == name)
    special: dict[str, Any] = {
        "tls": _TLS,
        "auth": _AUTH,
        "type": {"enum": sorted(by_word())},
        "expect": {"type": "object"},
        "degraded": {"type": "object", "properties": dict.fromkeys(PHASES, _LIMIT)},
    }
    return {**special.get(name, dict(field.kind.schema)), "description": field.help}


def _service(*, named: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {field.name: _common(field.name) for field in COMMON}
    rules = []
    for probe in all_probes().values():
        properties.update(
            {field.name: {} for field in probe.fields if field.name not in properties},
        )
        rules.append({"if": _is(probe), "then": {"properties": _of(probe)}})
    return {
        "type": "object",
        "required": ["name"] if named else [],
        "anyOf": [{"required": ["url"]}, {"required": ["type"]}],
        "patternProperties": _EXTENSIONS,
        "additionalProperties": False,
        "properties": properties,
        "allOf": rules,
    }


def _is(probe: Probe) -> dict[str, Any]:
    words = [word for word, owner in by_word().items() if owner is probe]
    tests: list[dict[str, Any]] = [{"properties": {"type": {"enum": sorted(words)}}, "required": ["type"]}]
    if probe.schemes:
        pattern = f"^({'|'.join(sorted(probe.schemes))})(\\+[a-z0-9]+)?://"
        tests.append({"properties": {"url": {"pattern": pattern}}, "required": ["url"]})
    return {"anyOf": tests}


def _of(probe: Probe) -> dict[str, Any]:
    checks = {name: {**_FACTS[kind]} for name, kind in probe.facts.items()}
    checks.update(dict.fromkeys(PHASES, _LIMIT))
    checks["tls_days"] = {"type": ["number", "string"], "description": "Days that the certificate must still be valid."}
    conditions = {
        "type": "object",
        "additionalProperties": False,
        "patternProperties": _EXTENSIONS,
        "properties": checks,
    }
    fields = {field.name: {**field.kind.schema, "description": field.help} for field in probe.fields}
    return {**fields, "expect": conditions, "degraded": conditions}
