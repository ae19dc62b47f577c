"""The third front door: an OpenAPI document. Paths decide which resources there are, schemas what they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.errors import InputError
from senior_backend.console.report import Finding
from senior_backend.scaffold import naming, yaml_nodes
from senior_backend.scaffold.drafts import FieldDraft, LinkDraft, Located, ResourceDraft
from senior_backend.scaffold.model import OPERATIONS
from senior_backend.scaffold.sources.tables import allowed_name, field_name

if TYPE_CHECKING:
    from senior_backend.scaffold.yaml_nodes import Node

_METHODS: Final = ("get", "put", "post", "delete", "patch", "options", "head", "trace")
_HELPERS: Final = re.compile(
    r"(error|errors|problem|problemdetails?|response|request|input|output|list|page|pagination|meta|links|envelope|params|"
    r"query|filter|token|credentials|login|health|status|exception)$",
    re.IGNORECASE,
)
"""Schemas of messages, not of things, where a document has no paths to tell."""
_VARIANTS: Final = re.compile(
    r"^(create|new|update|patch|base|public)_|_(create|in|out|read|update|patch|base|public|dto)$"
)
_STRINGS: Final = {
    "date": "date",
    "date-time": "datetime",
    "uuid": "uuid",
    "email": "email",
    "uri": "url",
    "url": "url",
    "password": "password",
}
_SIZE_LIMIT: Final = 4 * yaml_nodes.SIZE_LIMIT
"""The documents of large public APIs have some ten million characters."""
_PAIR: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
"""A character beyond U+FFFF as JSON escapes it (RFC 8259, section 7), which YAML does not know."""
_WRAPPERS: Final = ("data", "items", "results", "content", "records", "value")
_REF_DEPTH: Final = 50


@dataclass(slots=True)
class _Found:
    """A resource as paths and schemas show it."""

    name: str
    node: Node
    operations: set[str] = field(default_factory=set)
    schemas: list[Node] = field(default_factory=list)
    required: set[str] = field(default_factory=set)


def read_openapi(text: str, name: str) -> tuple[str, list[ResourceDraft], list[Finding]]:
    """Return a name for the service, the resources of an OpenAPI 3 (or Swagger 2) document, and what is lost.

    Raises:
        InputError: it is no such document.
    """
    root = yaml_nodes.parse(_unescaped(text), name, limit=_SIZE_LIMIT)
    if root is None or root.kind != "mapping" or (root.get("openapi") or root.get("swagger")) is None:
        raise InputError(
            "not an OpenAPI document: it has no `openapi:` version",
            code="not-openapi",
            where=name,
            hint="Name an OpenAPI 3 file in YAML or JSON.",
        )
    reader = _Reader(root, name)
    drafts = reader.resources()
    info = root.get("info")
    title = info.get("title") if info is not None and info.kind == "mapping" else None
    return str(title.value) if title is not None else "service", drafts, reader.findings


def _unescaped(text: str) -> str:
    """Return JSON with its surrogate pairs as the characters that they stand for; YAML is left as it is."""
    if not text.lstrip().startswith("{"):
        return text
    return _PAIR.sub(lambda found: found[1] + bytes.fromhex(found[2] + found[3]).decode("utf-16-be"), text)


class _Reader:
    def __init__(self, root: Node, name: str) -> None:
        self.root = root
        self.name = name
        self.findings: list[Finding] = []
        self.names: set[str] = set()
        self.by_schema: dict[int, str] = {}
        self._properties_of: dict[int, dict[str, Node]] = {}
        self._required_of: dict[int, set[str]] = {}

    def where(self, node: Node) -> str:
        return f"{self.name}:{node.line + 1}:{node.column + 1}"

    def lossy(self, node: Node, message: str) -> None:
        self.findings.append(Finding("lossy", "warning", message, self.where(node), "Review it in the specification."))

    def resources(self) -> list[ResourceDraft]:
        found = self._from_paths() or self._from_schemas()
        self.names = set(found)
        for item in found.values():
            for schema in item.schemas:
                self.by_schema[id(schema.pairs)] = item.name
        drafts = []
        for item in found.values():
            draft = self._draft(item)
            if draft is not None:
                drafts.append(draft)
        return drafts

    # Which resources there are

    def _from_paths(self) -> dict[str, _Found]:
        paths = _mapping(self.root.get("paths"))
        items = {str(key.value).rstrip("/"): (key, node) for key, node in paths if node.kind == "mapping"}
        found: dict[str, _Found] = {}
        for path, (key, node) in items.items():
            collection = re.fullmatch(r"(?:/[\w.~-]+)*?/([A-Za-z][\w-]*)", path)
            one = next((other for other in items if re.fullmatch(re.escape(path) + r"/\{[^}/]+\}", other)), None)
            if not collection or (one is None and "post" not in _methods(node)):
                continue
            name = allowed_name(naming.singular(field_name(collection[1])))
            if one is None and not naming.is_plural(field_name(collection[1])):
                continue  # POST /login is no collection
            item = found.setdefault(name, _Found(name, key))
            self._collect(item, node, {"get": "list", "post": "create"})
            if one is not None:
                self._collect(
                    item, items[one][1], {"get": "read", "put": "update", "patch": "update", "delete": "delete"}
                )
        found = {name: item for name, item in found.items() if item.schemas}
        if found:
            self._tell_rest(items, found)
        return found

    def _collect(self, item: _Found, node: Node, meanings: dict[str, str]) -> None:
        for method, operation in meanings.items():
            described = node.get(method)
            if described is None or described.kind != "mapping":
                continue
            item.operations.add(operation)
            body = self._body(described)
            answer = self._answer(described)
            if answer is not None and (thing := self._thing(answer, item.name)) is not None:
                item.schemas.insert(0, thing)
            if body is not None and (thing := self._thing(body, item.name)) is not None:
                item.schemas.append(thing)
                if operation == "create":
                    item.required |= self._required(thing)

    def _tell_rest(self, items: dict[str, tuple[Node, Node]], found: dict[str, _Found]) -> None:
        for path, (key, node) in items.items():
            collection = re.sub(r"/\{[^}/]+\}$", "", path)
            name = allowed_name(naming.singular(field_name(collection.rpartition("/")[2])))
            if name in found and "{" not in collection:
                continue
            for method in _methods(node):
                self.lossy(key, f"{method.upper()} {path} is no create, read, update or delete; it is left out")

    def _from_schemas(self) -> dict[str, _Found]:
        components = self.root.get("components")
        schemas = components.get("schemas") if components is not None else self.root.get("definitions")
        found: dict[str, _Found] = {}
        for key, node in _mapping(schemas):
            name = _VARIANTS.sub("", field_name(str(key.value)))
            resolved = self._resolved(node)
            if resolved is None or _HELPERS.search(name) or not self._properties(resolved):
                continue
            name = allowed_name(naming.singular(name))
            item = found.setdefault(name, _Found(name, key, set(OPERATIONS)))
            item.schemas.append(resolved)
            item.required |= self._required(resolved)
        return found

    # Schemas

    def _body(self, operation: Node) -> Node | None:
        body = self._resolved(operation.get("requestBody"))
        if body is not None:
            return self._media(body)
        for parameter in (operation.get("parameters") or Nothing).items:
            place = parameter.get("in") if parameter.kind == "mapping" else None
            if place is not None and place.value == "body":
                return parameter.get("schema")
        return None

    def _answer(self, operation: Node) -> Node | None:
        responses = operation.get("responses")
        for code in ("200", "201", "2XX", "202"):
            for key, node in _mapping(responses):
                if str(key.value) == code and (response := self._resolved(node)) is not None:
                    return self._media(response) or response.get("schema")
        return None

    def _media(self, node: Node) -> Node | None:
        for key, media in _mapping(node.get("content")):
            if "json" in str(key.value) and media.kind == "mapping":
                return media.get("schema")
        return None

    def _resolved(self, node: Node | None) -> Node | None:
        """Follow local references; those to other files and those that go round give None."""
        for _ in range(_REF_DEPTH):
            if node is None or node.kind != "mapping":
                return None
            reference = node.get("$ref")
            if reference is None:
                return node
            text = str(reference.value)
            if not text.startswith("#/"):
                self.lossy(reference, f"{text} is in another file, which is not read")
                return None
            node = self._at(text)
        return None

    def _at(self, pointer: str) -> Node | None:
        node: Node | None = self.root
        for part in pointer.removeprefix("#/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            node = next((value for key, value in _mapping(node) if str(key.value) == name), None)
        return node

    def _thing(self, schema: Node, name: str, depth: int = 0) -> Node | None:
        """Return the schema of one resource inside of lists and envelopes."""
        node = self._resolved(schema)
        if node is None or depth > 4:
            return None
        if _type(node)[0] == "array":
            items = node.get("items")
            return self._thing(items, name, depth + 1) if items is not None else None
        properties = self._properties(node)
        wrappers = (*_WRAPPERS, name, naming.plural(name))
        inner = [value for key, value in properties.items() if field_name(key) in wrappers]
        if len(properties) <= 4 and len(inner) == 1:
            resolved = self._resolved(inner[0])
            if resolved is not None and (_type(resolved)[0] == "array" or self._properties(resolved)):
                return self._thing(resolved, name, depth + 1) or node
        return node if properties else None

    def _properties(self, node: Node, depth: int = 0) -> dict[str, Node]:
        """Return the properties, those of allOf included; each schema is looked at once, however often it is named."""
        known = self._properties_of.get(id(node.pairs))
        if known is not None:
            return known
        found = self._properties_of[id(node.pairs)] = {}
        for part in self._all_of(node) if depth < _REF_DEPTH else ():
            found |= self._properties(part, depth + 1)
        found |= {str(key.value): value for key, value in _mapping(node.get("properties"))}
        return found

    def _required(self, node: Node, depth: int = 0) -> set[str]:
        known = self._required_of.get(id(node.pairs))
        if known is not None:
            return known
        found = self._required_of[id(node.pairs)] = set()
        found |= {str(item.value) for item in (node.get("required") or Nothing).items}
        for part in self._all_of(node) if depth < _REF_DEPTH else ():
            found |= self._required(part, depth + 1)
        return found

    def _all_of(self, node: Node) -> list[Node]:
        parts = (self._resolved(part) for part in (node.get("allOf") or Nothing).items)
        return [part for part in parts if part is not None]

    # Fields

    def _draft(self, item: _Found) -> ResourceDraft | None:
        properties: dict[str, Node] = {}
        for schema in item.schemas:
            for key, value in self._properties(schema).items():
                properties.setdefault(key, value)
        required = item.required or set().union(*(self._required(schema) for schema in item.schemas))
        fields: dict[str, FieldDraft] = {}
        links: list[LinkDraft] = []
        unbounded: list[str] = []
        for key, node in properties.items():
            name = field_name(key)
            if name in naming.RESERVED_FIELDS:
                continue
            target = self._linked(node)
            if target is not None and target != item.name:
                links.append(LinkDraft(target=Located(target, self.where(node)), name=Located(name, self.where(node))))
                continue
            if naming.is_python_keyword(name) or name in naming.SHADOWING:
                better = naming.better_field_name(name, item.name)
                self.lossy(node, f"'{key}' cannot name a field; it becomes '{better}'")
                name = better
            draft = self._field(name, node, optional=key not in required, unbounded=unbounded)
            if draft is not None:
                fields.setdefault(draft.name.value, draft)
        if not fields:
            self.lossy(item.node, f"'{item.name}' has no fields; it is left out")
            return None
        if unbounded:
            self.lossy(item.node, f"no maxLength, so 255 is assumed: {', '.join(unbounded)}")
        logs_in = item.name == "user" and {"email", "password"} <= set(fields)
        if logs_in:
            self._make_identity(fields)
        where = self.where(item.node)
        return ResourceDraft(
            name=Located(item.name, where),
            fields=tuple(fields.values()),
            operations=tuple(Located(operation, where) for operation in OPERATIONS if operation in item.operations),
            links=tuple(links),
            identity=Located(True, where) if logs_in else None,
        )

    def _make_identity(self, fields: dict[str, FieldDraft]) -> None:
        email = fields["email"]
        fields["email"] = FieldDraft(
            name=email.name,
            type=Located("email", email.type.where),
            settings={"unique": Located(True, email.type.where)},
        )
        fields["password"] = FieldDraft(
            name=fields["password"].name, type=Located("password", fields["password"].type.where)
        )
        self.findings.append(
            Finding("lossy", "warning", "`user` is taken as the resource that logs in", email.name.where, "Review it.")
        )

    def _linked(self, node: Node) -> str | None:
        resolved = self._resolved(node)
        if resolved is None or _type(resolved)[0] != "array":
            return None
        items = self._resolved(resolved.get("items"))
        return self.by_schema.get(id(items.pairs)) if items is not None else None

    def _field(self, name: str, node: Node, *, optional: bool, unbounded: list[str]) -> FieldDraft | None:
        where = self.where(node)
        resolved, nullable = self._without_null(node)
        if resolved is None:
            self.lossy(node, f"'{name}' has no schema that can be read; it is left out")
            return None
        settings: dict[str, Located[Any]] = {}
        if optional or nullable:
            settings["optional"] = Located(True, where)
        target = self.by_schema.get(id(resolved.pairs))
        stem = re.sub(r"_(id|uuid)$", "", name)
        if target is None and stem != name and stem in self.names:
            target, name = stem, stem
        if target is not None:
            settings["target"] = Located(target, where)
            return FieldDraft(name=Located(name, where), type=Located("ref", where), settings=settings)
        kind = self._kind(name, resolved, settings, unbounded)
        if kind is None:
            return None
        default = resolved.get("default")
        if default is not None and default.kind == "scalar" and default.value is not None:
            settings["default"] = Located(default.value, self.where(default))
        return FieldDraft(name=Located(name, where), type=Located(kind, where), settings=settings)

    def _without_null(self, node: Node) -> tuple[Node | None, bool]:
        """Return a schema without its alternative of null, and whether it had one."""
        resolved = self._resolved(node)
        if resolved is None:
            return None, False
        for key in ("anyOf", "oneOf"):
            parts = (resolved.get(key) or Nothing).items
            kept = [part for part in parts if part.kind == "mapping" and _type(part)[0] != "null"]
            if len(kept) == 1 and len(parts) > 1:
                return self._resolved(kept[0]), True
            if parts:
                return None, False
        if len((resolved.get("allOf") or Nothing).items) == 1 and resolved.get("properties") is None:
            return self._without_null(resolved.get("allOf").items[0])  # type: ignore[union-attr]
        flag = resolved.get("nullable")
        return resolved, _type(resolved)[1] or (flag is not None and flag.value is True)

    def _kind(self, name: str, node: Node, settings: dict[str, Located[Any]], unbounded: list[str]) -> str | None:
        kind = _type(node)[0]
        form = str(node.get("format").value) if node.get("format") is not None else ""  # type: ignore[union-attr]
        values = node.get("enum")
        if values is not None:
            texts = [item.value for item in values.items if item.value is not None]
            settings["values"] = Located(texts, self.where(values))
            return "enum"
        if kind == "string" or (kind is None and form in _STRINGS):
            return self._string(name, node, form, settings, unbounded)
        if kind in ("integer", "number"):
            self._bounds(node, settings)
            if kind == "number":
                return "float"
            return "bigint" if form == "int64" else "int"
        if kind == "boolean":
            return "bool"
        if kind == "object" or (kind is None and node.get("additionalProperties") is not None):
            self.lossy(node, f"'{name}' is an object of its own; it becomes a flat json field")
            return "json"
        self.lossy(node, f"no field type fits '{name}' ({kind or 'no type'}); it is left out")
        return None

    def _string(self, name: str, node: Node, form: str, settings: dict[str, Located[Any]], unbounded: list[str]) -> str:
        if form in _STRINGS:
            return _STRINGS[form]
        if name == "password":
            return "password"
        if name == "email":
            return "email"
        for key, setting in (("minLength", "min"), ("maxLength", "length"), ("pattern", "pattern")):
            value = node.get(key)
            if value is not None and value.kind == "scalar":
                settings[setting] = Located(value.value, self.where(value))
        length = settings.get("length")
        if length is None:
            unbounded.append(name)
        elif isinstance(length.value, int) and length.value > 1000:
            settings["max"] = settings.pop("length")
            return "text"
        return "str"

    def _bounds(self, node: Node, settings: dict[str, Located[Any]]) -> None:
        for key, setting in (("minimum", "min"), ("maximum", "max")):
            value = node.get(key)
            if value is not None and value.kind == "scalar":
                settings[setting] = Located(value.value, self.where(value))
        for key in ("exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
            if (value := node.get(key)) is not None and value.value is not False:
                self.lossy(value, f"{key} is left out")


Nothing: Final = yaml_nodes.Node("sequence", 0, 0, 0, 0)


def _mapping(node: Node | None) -> list[tuple[Node, Node]]:
    return node.pairs if node is not None and node.kind == "mapping" else []


def _methods(node: Node) -> list[str]:
    return [method for method in _METHODS if node.get(method) is not None]


def _type(node: Node) -> tuple[str | None, bool]:
    """Return the type of a schema and whether it allows null (`type: [string, "null"]`)."""
    found = node.get("type")
    if found is None:
        return ("object" if node.get("properties") is not None else None), False
    if found.kind == "sequence":
        names = [str(item.value) for item in found.items]
        rest = [name for name in names if name not in ("null", "None")]
        return (rest[0] if len(rest) == 1 else None), len(rest) < len(names)
    return str(found.value), False
