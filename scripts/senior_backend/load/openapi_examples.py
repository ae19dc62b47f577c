"""Valid values from the schemas of an OpenAPI document: its own examples first, else made to fit the constraints.

Strings that a server usually wants to be unique (emails, UUIDs) become run-time placeholders.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from senior_backend.load.templates import Expression, Template, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_DEPTH = 12

_FORMATS: dict[str, Template] = {
    "uuid": Template((Expression("uuid", (), is_call=True),)),
    "email": Template(("load-", Expression("random_string", ("12",), is_call=True), "@example.com")),
    "idn-email": Template(("load-", Expression("random_string", ("12",), is_call=True), "@example.com")),
    "date-time": literal("2024-05-17T09:30:00Z"),
    "date": literal("2024-05-17"),
    "time": literal("09:30:00Z"),
    "duration": literal("PT30S"),
    "uri": literal("https://example.com/"),
    "url": literal("https://example.com/"),
    "uri-reference": literal("/example"),
    "hostname": literal("example.com"),
    "ipv4": literal("192.0.2.1"),
    "ipv6": literal("2001:db8::1"),
    "byte": literal("bG9hZA=="),
}


class NoExampleError(ValueError):
    """No valid value could be made; the message says why."""


class Examples:
    """Makes values; `resolve` follows a `$ref` to what it names."""

    def __init__(self, resolve: Callable[[Any], Any]) -> None:
        self.resolve = resolve

    def value(self, schema: Any, depth: int = 0) -> Any:
        """Return a JSON value that the schema accepts, strings as templates.

        Raises:
            NoExampleError: a reference without target, endless nesting that is required, or a pattern out of reach.
        """
        schema = self.merged(schema)
        if depth > MAX_DEPTH:
            raise NoExampleError("the schema requires itself without end")
        given = _given(schema)
        if given is not None:
            return templated(given[0])
        for key in ("oneOf", "anyOf"):
            if schema.get(key):
                return self._alternative(schema, key, depth)
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        if kind == "boolean":
            return True
        return None if kind == "null" else _string(schema)

    def merged(self, schema: Any) -> Mapping[str, Any]:
        """Return a schema with its reference followed and its `allOf` joined."""
        schema = self.resolve(schema)
        if not isinstance(schema, dict):
            return {}
        if not schema.get("allOf"):
            return schema
        joined: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            for key, value in self.merged(part).items():
                if key == "properties":
                    joined["properties"] = {**value, **joined.get("properties", {})}
                elif key == "required":
                    joined["required"] = list(dict.fromkeys([*joined.get("required", []), *value]))
                else:
                    joined.setdefault(key, value)
        return joined

    def _alternative(self, schema: Mapping[str, Any], key: str, depth: int) -> Any:
        reason = NoExampleError(f"no alternative of {key} can be met")
        base = {name: value for name, value in schema.items() if name not in ("oneOf", "anyOf")}
        for choice in schema[key]:
            option = self.merged(choice)
            if _kind(option) == "null" and len(schema[key]) > 1:
                continue
            try:
                return self.value({**base, "allOf": [option]} if base else option, depth + 1)
            except NoExampleError as error:
                reason = error
        raise reason

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        made: dict[str, Any] = {}
        for name, rule in properties.items():
            resolved = self.merged(rule)
            if resolved.get("readOnly"):
                continue
            try:
                if name in required:
                    made[name] = self.value(rule, depth + 1)
                elif not required and depth < 3:
                    # Many documents name no required field at all; then a body of everything is the likelier one.
                    made[name] = self.value(rule, depth + 1)
            except NoExampleError:
                if name in required:
                    raise
        for name in required - set(properties):
            made[str(name)] = literal("load")
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least = max(int(schema.get("minItems") or 0), 0)
        wanted = max(least, 1) if schema.get("maxItems") != 0 else 0
        if wanted > 100:
            raise NoExampleError(f"a list of at least {wanted} items")
        try:
            items = [self.value(schema.get("items", {}), depth + 1) for _ in range(wanted)]
        except NoExampleError:
            if least:
                raise
            return []
        choices = self.merged(schema.get("items", {})).get("enum")
        if schema.get("uniqueItems") and wanted > 1 and choices:
            return [templated(choice) for choice in choices[:wanted]]
        return items


def templated(value: Any) -> Any:
    """Return a JSON value with its strings as templates in which nothing is a placeholder."""
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, dict):
        return {str(key): templated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [templated(item) for item in value]
    return value


def _given(schema: Mapping[str, Any]) -> tuple[Any] | None:
    """Return the value that the document itself gives, in a tuple, or None."""
    for key in ("const", "example", "default"):
        if key in schema and (schema[key] is not None or key == "const"):
            return (schema[key],)
    for key in ("examples", "enum"):
        values = schema.get(key)
        if isinstance(values, list) and values:
            return (next((value for value in values if value is not None), None),)
    return None


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((word for word in kind if word != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "additionalProperties" in schema or "required" in schema:
        return "object"
    if "items" in schema:
        return "array"
    return "integer" if "minimum" in schema or "maximum" in schema else "string"


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = 1.0 if whole else 0.5
    # OpenAPI 3.0 writes the exclusive limits as booleans beside the inclusive ones, 3.1 as numbers.
    if above is True and least is not None:
        least = least + step if whole else least + _gap(least, most)
    elif above is not None and not isinstance(above, bool):
        least = above + step if whole else above + _gap(above, below if not isinstance(below, bool) else most)
    if below is True and most is not None:
        most = most - step if whole else most - _gap(least, most)
    elif below is not None and not isinstance(below, bool):
        most = below - step if whole else below - _gap(least, below)
    value = float(least) if least is not None else min(1.0, float(most)) if most is not None else 1.0
    if multiple := schema.get("multipleOf"):
        value = -(-value // multiple) * multiple
        if value == 0 and (most is None or multiple <= most):
            value = float(multiple)
    elif whole:
        value = float(-(-value // 1))
    if most is not None and value > most:
        raise NoExampleError("no number fits its limits")
    return int(value) if whole or value.is_integer() else value


def _gap(low: float | None, high: float | None) -> float:
    return min(0.5, (high - low) / 4) if low is not None and high is not None and high > low else 0.5


def _string(schema: Mapping[str, Any]) -> Template:
    least, most = int(schema.get("minLength") or 0), schema.get("maxLength")
    if least > 100_000:
        raise NoExampleError(f"a text of at least {least} characters")
    if pattern := schema.get("pattern"):
        from senior_backend.load.openapi_patterns import matching

        made = matching(str(pattern), least, most)
        if made is None:
            raise NoExampleError(f"no text could be made for the pattern {pattern}")
        return literal(made)
    form = _FORMATS.get(str(schema.get("format")))
    if form is not None and (most is None or most >= 36):
        return form
    text = "load test"
    text = text[: int(most)] if most is not None else text
    if len(text) < least:
        text = (text + "x" * least)[:least]
    return literal(re.sub(r"\s$", "x", text))
