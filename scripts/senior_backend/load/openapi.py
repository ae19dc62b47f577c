"""Makes a scenario from an OpenAPI 3 or Swagger 2 document: operations, valid parameters and bodies, checks.

A request for one item takes its identifier from the list beside it where there is one (`/users` for `/users/{id}`),
so that the load meets records that exist.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from senior_backend.console.errors import InputError
from senior_backend.load.openapi_examples import Examples, NoExampleError, templated
from senior_backend.load.scenario import Body, Check, Extract, Request, RequiredFields, Scenario
from senior_backend.load.templates import Env, Expression, Part, Template, literal

if TYPE_CHECKING:
    from collections.abc import Mapping

READ_METHODS = ("get", "head")
WRITE_METHODS = ("post", "put", "patch", "delete")
TOKEN_VARIABLE, KEY_VARIABLE = "API_TOKEN", "API_KEY"
INVALID = (AttributeError, TypeError, ValueError, KeyError)
"""What reading a document raises where it does not have the form that OpenAPI demands."""
_PATH_SAFE = "/%:@-._~!$&'()*+,;="
_LISTS = ("", "data", "items", "results", "content", "records", "value")
"""Where responses keep a list: the body itself, or one of these fields."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    allow_writes: bool = False
    only: tuple[str, ...] = ()
    """Paths of the document to keep; all when empty."""
    environment: Mapping[str, str] = field(default_factory=dict)
    has_authorization: bool = False
    """Whether a header with credentials was given already."""
    prefix: str = ""
    """What stands before every path of the document."""


def parse_document(text: str, name: str) -> Mapping[str, Any]:
    """Return an OpenAPI document as plain values.

    Raises:
        InputError: neither JSON nor YAML, or not an OpenAPI document of version 2 or 3.
    """
    document: Any
    if text.lstrip()[:1] == "{":
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            where = f"{name}:{error.lineno}:{error.colno}"
            raise InputError(f"{name} is not valid JSON: {error.msg}", code="json-syntax", where=where) from error
        except RecursionError as error:
            raise InputError(f"{name} is nested too deeply", code="too-deep", where=name) from error
    else:
        from senior_backend.load.document import Problems, to_plain
        from senior_backend.load.document_yaml import parse_yaml

        problems = Problems(name)
        node = parse_yaml(text, problems, max_nodes=1_000_000)
        problems.raise_if_any()
        document = to_plain(node) if node else None
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise InputError(f"{name} is not an OpenAPI document: it has no paths", code="not-openapi", where=f"{name}:1:1")
    version = str(document.get("openapi") or document.get("swagger") or "")
    if not version.startswith(("2.", "3.")):
        raise InputError(
            f"{name} is of OpenAPI version '{version}'",
            code="not-openapi",
            where=f"{name}:1:1",
            hint="2.0, 3.0 or 3.1.",
        )
    return document


def server_url(document: Mapping[str, Any]) -> str:
    """Return the first server of a document, variables filled in; it may be a path only."""
    try:
        if "basePath" in document or "host" in document:
            scheme = (document.get("schemes") or ["http"])[0]
            host = document.get("host")
            return (f"{scheme}://{host}" if host else "") + str(document.get("basePath") or "").rstrip("/")
        first = (document.get("servers") or [{}])[0]
        url = str(first.get("url") or "")
        for name, variable in (first.get("variables") or {}).items():
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
        return url.rstrip("/")
    except INVALID:
        return ""


def scenario_of(document: Mapping[str, Any], name: str, options: Options) -> Scenario:
    """Return the scenario of a document; what was left out, and why, is in its notes.

    Raises:
        InputError: no operation is left.
    """
    made = _Maker(document, options)
    made.operations()
    if not made.made:
        raise InputError(
            f"{name} has no operation to send" + (f" for {', '.join(options.only)}" if options.only else ""),
            code="no-operations",
            where=name,
            hint="; ".join(made.notes[:5]) or "Add --allow-writes to send POST, PUT, PATCH and DELETE.",
        )
    return Scenario(requests=tuple(made.linked()), notes=tuple(made.notes))


class _Skip(Exception):  # noqa: N818 - caught in this module
    pass


@dataclass(frozen=True, slots=True)
class _Made:
    """A request, its path in the document, and the path parameters that the document gives no value for."""

    path: str
    request: Request
    values: Mapping[tuple[str, str], Any]
    unknown: tuple[str, ...]


class _Maker:
    def __init__(self, document: Mapping[str, Any], options: Options) -> None:
        self.document, self.options = document, options
        self.examples = Examples(self.resolve)
        self.made: list[_Made] = []
        self.notes: list[str] = []
        self.without_credentials: dict[str, list[str]] = {}
        """Operations whose credentials are missing, by the variable that would hold them."""

    def resolve(self, value: Any) -> Any:
        """Follow references inside the document."""
        for _ in range(32):
            if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
                return value
            reference = value["$ref"]
            if not reference.startswith("#/"):
                raise NoExampleError(f"{reference} lies in another file")
            target: Any = self.document
            for word in reference[2:].split("/"):
                key = word.replace("~1", "/").replace("~0", "~")
                target = target.get(key) if isinstance(target, dict) else None
            if target is None:
                raise NoExampleError(f"{reference} names nothing")
            value = target
        raise NoExampleError("references go in a circle")

    def operations(self) -> None:
        """Collect a request for every operation that can be sent."""
        methods = READ_METHODS + (WRITE_METHODS if self.options.allow_writes else ())
        withheld = 0
        for path, item in self.document["paths"].items():
            if not isinstance(item, dict) or (self.options.only and path not in self.options.only):
                continue
            for method in READ_METHODS + WRITE_METHODS:
                operation = item.get(method)
                if not isinstance(operation, dict):
                    continue
                if method not in methods:
                    withheld += 1
                    continue
                try:
                    self.operation(str(path), method, item, operation)
                except (_Skip, NoExampleError) as reason:
                    self.notes.append(f"{method.upper()} {path} is left out: {reason}")
                except INVALID as error:
                    self.notes.append(f"{method.upper()} {path} is left out: it is not valid OpenAPI ({error})")
        for variable, names in self.without_credentials.items():
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            verb = "needs" if len(names) == 1 else "need"
            self.notes.append(f"{shown} {verb} credentials: set {variable}, or add --header 'Authorization: …'")
        if withheld:
            what = "operation that writes is" if withheld == 1 else "operations that write are"
            self.notes.append(f"{withheld} {what} left out; --allow-writes sends them")

    def operation(self, path: str, method: str, item: Mapping[str, Any], operation: Mapping[str, Any]) -> None:
        """Add the request of one operation."""
        if operation.get("deprecated"):
            raise _Skip("it is deprecated")
        values = self.parameters(item, operation)
        template = self.path(path, values)
        headers = [(name, Template(_parts(value))) for (where, name), value in values.items() if where == "header"]
        cookies = [(name, value) for (where, name), value in values.items() if where == "cookie"]
        if cookies:
            parts = [part for name, value in cookies for part in (f"{name}=", *_parts(value), "; ")]
            headers.append(("Cookie", Template(tuple(parts[:-1]))))
        queries = [(name, value) for (where, name), value in values.items() if where == "query"]
        headers += self.credentials(operation, path, method, queries)
        body, media = self.body(operation)
        if media:
            headers.append(("Content-Type", literal(media)))
        request = Request(
            name=f"{method.upper()} {path}",
            method=method.upper(),
            path=template,
            query=tuple((name, Template(_parts(item))) for name, value in queries for item in _several(value)),
            headers=tuple(headers),
            body=body,
            check=self.check(operation),
        )
        unknown = tuple(name for where, name in values if where == "unknown")
        self.made.append(_Made(path, request, values, unknown))

    def parameters(self, item: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        """Return values for the parameters that are required, or that the document shows by example."""
        rules: dict[tuple[str, str], Mapping[str, Any]] = {}
        for raw in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
            rule = self.resolve(raw)
            rules[str(rule["in"]), str(rule["name"])] = rule
        values: dict[tuple[str, str], Any] = {}
        for key, rule in rules.items():
            if key[0] in ("body", "formData"):
                continue
            schema = rule.get("schema") or rule
            if "content" in rule:
                media: list[Mapping[str, Any]] = list(rule["content"].values())
                schema = media[0].get("schema", {}) if media else {}
            shown = _shown(rule)
            if shown is not None:
                values[key] = templated(shown[0])
            elif rule.get("required") or key[0] == "path":
                values[key] = self.examples.value({k: v for k, v in schema.items() if k not in ("in", "required")})
                if key[0] == "path" and not _has_own_example(self.examples.merged(schema)):
                    values["unknown", key[1]] = True
        return values

    def path(self, path: str, values: Mapping[tuple[str, str], Any]) -> Template:
        """Return the path with its parameters filled in."""
        parts: list[Part] = [quote(self.options.prefix, safe=_PATH_SAFE)]
        for number, piece in enumerate(re.split(r"\{([^{}]+)\}", path)):
            if number % 2 == 0:
                parts.append(quote(piece, safe=_PATH_SAFE))
                continue
            if ("path", piece) not in values:
                raise _Skip(f"the parameter {piece} of its path is not described")
            found = _parts(values["path", piece])
            parts += [quote(part, safe="") if isinstance(part, str) else part for part in found]
        return Template(tuple(part for part in parts if part != ""))

    def credentials(
        self, operation: Mapping[str, Any], path: str, method: str, queries: list[tuple[str, Any]]
    ) -> list[tuple[str, Template]]:
        """Return the headers that the operation's security asks for, filled from the environment."""
        wanted = operation.get("security", self.document.get("security")) or []
        if not wanted or {} in wanted or self.options.has_authorization:
            return []
        components: Mapping[str, Any] = self.document.get("components") or {}
        schemes: Mapping[str, Any] = components.get("securitySchemes") or self.document.get("securityDefinitions") or {}
        for name in wanted[0]:
            scheme: Mapping[str, Any] = self.resolve(schemes.get(name)) or {}
            key = scheme.get("type") == "apiKey"
            variable = KEY_VARIABLE if key else TOKEN_VARIABLE
            value = self.options.environment.get(variable)
            if not value:
                self.without_credentials.setdefault(variable, []).append(f"{method.upper()} {path}")
                return []
            secret = Env(variable, None, value)
            if key and scheme.get("in") == "query":
                queries.append((str(scheme["name"]), Template((secret,))))
                return []
            if key:
                return [(str(scheme["name"]), Template((secret,)))] if scheme.get("in") == "header" else []
            basic = scheme.get("scheme") == "basic" or scheme.get("type") == "basic"
            return [("Authorization", Template(("Basic " if basic else "Bearer ", secret)))]
        return []

    def body(self, operation: Mapping[str, Any]) -> tuple[Body | None, str | None]:
        """Return the request body, and the media type where it is not the usual one of the body's kind."""
        described = self.resolve(operation.get("requestBody")) or self.old_body(operation)
        content = (described or {}).get("content") or {}
        if not content:
            return None, None
        for media, entry in content.items():
            plain = str(media).partition(";")[0].strip().lower()
            shown = _shown(entry, self.resolve)
            if plain == "application/json" or plain.endswith("+json"):
                value = templated(shown[0]) if shown else self.examples.value(entry.get("schema", {}))
                return Body("json", value), None if plain == "application/json" else str(media)
            if plain == "application/x-www-form-urlencoded":
                value = templated(shown[0]) if shown else self.examples.value(entry.get("schema", {}))
                pairs = tuple((name, Template(_parts(item))) for name, item in value.items())
                return Body("form", pairs), None
            if plain.startswith("text/"):
                return Body("text", Template(_parts(templated(shown[0] if shown else "load test")))), str(media)
        if not (described or {}).get("required"):
            return None, None
        raise _Skip(f"a body of {', '.join(content)} cannot be made")

    def old_body(self, operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the body of a Swagger 2 operation in the form of OpenAPI 3."""
        rules = [self.resolve(raw) for raw in operation.get("parameters") or []]
        media = (operation.get("consumes") or self.document.get("consumes") or ["application/json"])[0]
        for rule in rules:
            if rule.get("in") == "body":
                return {"content": {media: {"schema": rule.get("schema", {})}}, "required": rule.get("required")}
        fields = {rule["name"]: rule for rule in rules if rule.get("in") == "formData"}
        if not fields:
            return None
        required = [name for name, rule in fields.items() if rule.get("required")]
        plain = {name: {k: v for k, v in rule.items() if k not in ("in", "required")} for name, rule in fields.items()}
        schema = {"type": "object", "properties": plain, "required": required}
        return {"content": {"application/x-www-form-urlencoded": {"schema": schema}}, "required": bool(required)}

    def check(self, operation: Mapping[str, Any]) -> Check:
        """Return what the document says of the responses; only its 2xx and 3xx count as success."""
        rules: list[tuple[str, RequiredFields]] = []
        statuses: set[int] = set()
        for status, raw in (operation.get("responses") or {}).items():
            key = str(status).upper() if str(status).lower() != "default" else "default"
            rules.append((key, self.response(self.resolve(raw))))
            if re.fullmatch(r"[23]\d\d", key):
                statuses.add(int(key))
            elif key in ("2XX", "3XX"):
                statuses.update(range(int(key[0]) * 100, int(key[0]) * 100 + 100))
        return Check(statuses=frozenset(statuses) or None, documented=tuple(rules) if statuses else ())

    def response(self, described: Mapping[str, Any]) -> RequiredFields:
        """Return media types and required fields of one response."""
        content = described.get("content") or {}
        schema: Any = described.get("schema")
        media = tuple(str(name).partition(";")[0].strip().lower() for name in content)
        for name, entry in content.items():
            if "json" in str(name):
                schema = entry.get("schema")
        try:
            merged = self.examples.merged(schema) if schema else {}
            items = self.examples.merged(merged.get("items", {}))
        except NoExampleError:
            return RequiredFields(media)
        kind = merged.get("type")
        return RequiredFields(
            content_types=media,
            required=tuple(str(name) for name in merged.get("required") or ()),
            item_required=tuple(str(name) for name in items.get("required") or ()),
            shape=kind if kind in ("object", "array") and not merged.get("nullable") else "any",
        )

    def linked(self) -> list[Request]:
        """Return the requests; an identifier that the document gives no value for comes from the list before it."""
        found = {made.request.name: made.request for made in self.made}
        for made in self.made:
            values = dict(made.values)
            for name in made.unknown:
                parent = made.path.partition(f"/{{{name}}}")[0]
                listing = found.get(f"GET {parent}")
                source = self.identifier(parent, name) if listing and "{" not in parent else None
                if not listing or not source:
                    self.notes.append(
                        f"{made.request.name}: {name} has no example in the document; "
                        "a made-up value is sent, and a 404 counts as an error"
                    )
                    continue
                variable = re.sub(r"\W+", "_", f"{parent.rpartition('/')[2]}_{name}").strip("_")
                values["path", name] = Template((Expression(variable),))
                if variable not in {extract.name for extract in listing.extract}:
                    extract = (*listing.extract, Extract(variable, json=source))
                    found[listing.name] = replace(listing, extract=extract)
            if made.unknown:
                path = self.path(made.path, values)
                found[made.request.name] = replace(found[made.request.name], path=path)
        return list(found.values())

    def identifier(self, path: str, parameter: str) -> str | None:
        """Return the JSON path of the identifiers in the list at `path`, by the schema of its response."""
        responses = self.document["paths"][path]["get"].get("responses") or {}
        for status, raw in responses.items():
            try:
                found = self.identifier_in(self.resolve(raw), parameter) if str(status).startswith("2") else None
            except INVALID:
                continue
            if found:
                return found
        return None

    def identifier_in(self, described: Mapping[str, Any], parameter: str) -> str | None:
        """Return the same for one response."""
        content = described.get("content") or {}
        schema = next((entry.get("schema") for media, entry in content.items() if "json" in str(media)), None)
        merged = self.examples.merged(schema or described.get("schema") or {})
        for name in _LISTS:
            rule = self.examples.merged((merged.get("properties") or {}).get(name)) if name else merged
            if rule.get("type") != "array":
                continue
            fields: Mapping[str, Any] = self.examples.merged(rule.get("items")).get("properties") or {}
            for wanted in (parameter, "id", "uuid", "slug", "key", "name"):
                if wanted in fields:
                    return f"$.{name}[*].{wanted}" if name else f"$[*].{wanted}"
        return None


def _shown(rule: Mapping[str, Any], resolve: Any = None) -> tuple[Any] | None:
    """Return the example of a parameter or media type, in a tuple, or None."""
    if rule.get("example") is not None:
        return (rule["example"],)
    examples = rule.get("examples")
    if isinstance(examples, dict):
        for entry in examples.values():
            found = resolve(entry) if resolve else entry
            if isinstance(found, dict) and "value" in found:
                return (found["value"],)
    return None


def _has_own_example(schema: Mapping[str, Any]) -> bool:
    return any(key in schema for key in ("example", "examples", "default", "enum", "const"))


def _parts(value: Any) -> tuple[Part, ...]:
    if isinstance(value, Template):
        return value.parts
    if isinstance(value, list):
        return tuple(part for number, item in enumerate(value) for part in ((",",) if number else ()) + _parts(item))
    if value is None:
        return ()
    if isinstance(value, bool):
        return ("true" if value else "false",)
    return (str(value),) if isinstance(value, (int, float)) else (json.dumps(value, default=str),)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
