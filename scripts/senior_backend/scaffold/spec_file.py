"""`resources.yaml`: from its text to a draft of the service. What it may hold is published by `schema.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.errors import InputError, did_you_mean
from senior_backend.scaffold import yaml_nodes
from senior_backend.scaffold.drafts import (
    ActionDraft,
    FieldDraft,
    LinkDraft,
    Located,
    Problems,
    ResourceDraft,
    ServiceDraft,
)
from senior_backend.scaffold.field_text import parse_fields, parse_short
from senior_backend.scaffold.fields import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.scaffold.yaml_nodes import Node

SERVICE_KEYS: Final = ("service", "stack", "errors", "require_if_match", "resources", "skip")
RESOURCE_KEYS: Final = (
    "plural",
    "identity",
    "owner",
    "operations",
    "fields",
    "links",
    "roles",
    "indexes",
    "actions",
)
FIELD_KEYS: Final = ("type", *SETTINGS)


def read_spec(text: str, name: str, *, service: str | None = None) -> ServiceDraft:
    """Return the draft that `text` describes; `name` is the file's name in messages, `service` a name to fall back to.

    Raises:
        InputError: not YAML, or not shaped like a specification; every problem is among the findings.
    """
    root = yaml_nodes.parse(text, name)
    if root is None:
        raise InputError(
            "the specification is empty", code="empty", where=name, hint="Start with `resources:`; see --schema."
        )
    reader = _Reader(name)
    draft = reader.service(root, service)
    reader.problems.raise_if_any()
    return draft


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.problems = Problems()

    def where(self, node: Node, offset: int = 0) -> str:
        return f"{self.name}:{node.line + 1}:{node.column + 1 + offset}"

    def service(self, root: Node, fallback: str | None) -> ServiceDraft:
        pairs = self.mapping(root, "the specification", SERVICE_KEYS)
        resources = pairs.get("resources")
        drafts: list[ResourceDraft] = []
        if resources is None:
            self.problems.add(
                "bad-spec",
                "no `resources:`",
                self.where(root),
                "For example `resources: {user: {fields: {email: email}}}`.",
            )
        else:
            drafts = [self.resource(key, value) for key, value in self.entries(resources, "resources")]
        name = self.text(pairs.get("service"), "service")
        return ServiceDraft(
            name=name or Located(fallback or "service", self.where(root)),
            resources=tuple(drafts),
            stack=self.text(pairs.get("stack"), "stack"),
            errors=self.text(pairs.get("errors"), "errors"),
            require_if_match=self.flag(pairs.get("require_if_match"), "require_if_match"),
            skip=tuple(self.texts(pairs.get("skip"), "skip")),
        )

    def resource(self, key: Node, node: Node) -> ResourceDraft:
        name = str(key.value)
        pairs = self.mapping(node, f"resource '{name}'", RESOURCE_KEYS) if not _empty(node) else {}
        fields = pairs.get("fields")
        return ResourceDraft(
            name=Located(name, self.where(key)),
            fields=None if fields is None else tuple(self.fields(fields)),
            plural=self.text(pairs.get("plural"), "plural"),
            operations=self.optional_texts(pairs.get("operations"), "operations"),
            owner=self.text(pairs.get("owner"), "owner"),
            roles=self.roles(pairs.get("roles")),
            indexes=tuple(self.indexes(pairs.get("indexes"))),
            actions=tuple(self.actions(pairs.get("actions"))),
            links=tuple(self.links(pairs.get("links"))),
            identity=self.flag(pairs.get("identity"), "identity"),
        )

    def fields(self, node: Node) -> list[FieldDraft]:
        if node.kind == "scalar" and isinstance(node.value, str):
            return parse_fields(node.value, lambda at: self.where(node, at), self.problems)
        drafts = []
        torn = False
        for key, value in self.entries(node, "fields"):
            if torn:  # the rest of a short form that a comma of {…} has cut
                torn = ")" not in str(key.value)
                continue
            if node.flow and isinstance(value.value, str) and value.value.count("(") > value.value.count(")"):
                torn = True
                self.problems.add(
                    "bad-field",
                    f"field '{key.value}': inside of {{…}} the comma ends the value '{value.value}'",
                    self.where(value),
                    f'Quote the short form: `{key.value}: "{value.value},…)"`.',
                )
                continue
            name = Located(str(key.value), self.where(key))
            draft = self.field(name, value)
            if draft is not None:
                drafts.append(draft)
        return drafts

    def field(self, name: Located[str], node: Node) -> FieldDraft | None:
        if node.kind == "scalar" and isinstance(node.value, str):
            return parse_short(name, node.value, lambda at: self.where(node, at), self.problems)
        if node.kind != "mapping":
            self.problems.add(
                "bad-field",
                f"field '{name.value}' has no type",
                self.where(node),
                f"Write `{name.value}: str(100)`, or a mapping with `type:`.",
            )
            return None
        settings = {
            key: Located(_plain_data(value), self.where(value))
            for key, value in self.mapping(node, f"field '{name.value}'", FIELD_KEYS).items()
        }
        kind = settings.pop("type", None)
        if kind is None or not isinstance(kind.value, str):
            self.problems.add(
                "bad-field", f"field '{name.value}' has no type", self.where(node), "Add `type: str`, for example."
            )
            return None
        # `type: str(100)` beside other settings: the short form gives the rest.
        short = parse_short(name, kind.value, lambda _: kind.where, self.problems)
        if short is None:
            return None
        return FieldDraft(name=name, type=short.type, settings={**short.settings, **settings})

    def roles(self, node: Node | None) -> tuple[tuple[Located[str], tuple[Located[str], ...]], ...] | None:
        if node is None:
            return None
        return tuple(
            (Located(str(key.value), self.where(key)), tuple(self.texts(value, f"roles of {key.value}")))
            for key, value in self.entries(node, "roles")
        )

    def indexes(self, node: Node | None) -> list[Located[tuple[str, ...]]]:
        return [
            Located(tuple(item.value for item in self.texts(entry, "an index")), self.where(entry))
            for entry in self.sequence(node, "indexes", "[[created_at]]")
        ]

    def actions(self, node: Node | None) -> list[ActionDraft]:
        if node is None:
            return []
        if node.kind == "sequence":
            return [ActionDraft(name=name) for name in self.texts(node, "actions")]
        return [
            self.action(Located(str(key.value), self.where(key)), value) for key, value in self.entries(node, "actions")
        ]

    def action(self, name: Located[str], node: Node) -> ActionDraft:
        if _empty(node):
            return ActionDraft(name=name)
        pairs = self.mapping(node, f"action '{name.value}'", ("set", "roles"))
        assign = pairs.get("set")
        return ActionDraft(
            name=name,
            assign=None
            if assign is None
            else tuple(
                (Located(str(key.value), self.where(key)), Located(_plain_data(value), self.where(value)))
                for key, value in self.entries(assign, "set")
            ),
            roles=tuple(self.texts(pairs.get("roles"), f"roles of {name.value}")),
        )

    def links(self, node: Node | None) -> list[LinkDraft]:
        if node is None:
            return []
        if node.kind == "mapping":
            found = []
            for key, value in self.entries(node, "links"):
                target = self.text(value, f"link '{key.value}'")
                if target is not None:
                    found.append(LinkDraft(target=target, name=Located(str(key.value), self.where(key))))
            return found
        return [LinkDraft(target=target) for target in self.texts(node, "links")]

    # Shapes

    def mapping(self, node: Node, what: str, known: Sequence[str]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in self.entries(node, what):
            name = str(key.value)
            if name not in known:
                self.problems.add(
                    "unknown-key",
                    f"{what} has no key '{name}'{did_you_mean(name, known)}",
                    self.where(key),
                    f"Known are {', '.join(known)}.",
                )
            else:
                found[name] = value
        return found

    def entries(self, node: Node, what: str) -> list[tuple[Node, Node]]:
        if node.kind == "mapping":
            return node.pairs
        if not _empty(node) or what != "resources":
            self.problems.add(
                "bad-spec", f"{what} must be a mapping, not {_shown(node)}", self.where(node), "Write `name: …` lines."
            )
        return []

    def sequence(self, node: Node | None, what: str, example: str) -> list[Node]:
        if node is None:
            return []
        if node.kind != "sequence":
            self.problems.add(
                "bad-spec",
                f"{what} must be a list, not {_shown(node)}",
                self.where(node),
                f"For example `{what}: {example}`.",
            )
            return []
        return node.items

    def text(self, node: Node | None, what: str) -> Located[str] | None:
        if node is None:
            return None
        if node.kind != "scalar" or not isinstance(node.value, str):
            self.problems.add(
                "bad-spec",
                f"{what} must be a text, not {_shown(node)}",
                self.where(node),
                f"Write `{what}: NAME`." if node.kind != "scalar" or node.value is None else "Quote it.",
            )
            return None
        return Located(node.value, self.where(node))

    def texts(self, node: Node | None, what: str) -> list[Located[str]]:
        if node is not None and node.kind == "scalar" and isinstance(node.value, str):
            return [Located(node.value, self.where(node))]
        return [
            located
            for item in self.sequence(node, what, "[a, b]")
            if (located := self.text(item, f"an entry of {what}")) is not None
        ]

    def optional_texts(self, node: Node | None, what: str) -> tuple[Located[str], ...] | None:
        return None if node is None else tuple(self.texts(node, what))

    def flag(self, node: Node | None, what: str) -> Located[bool] | None:
        if node is None:
            return None
        if node.kind != "scalar" or not isinstance(node.value, bool):
            surprising = node.kind == "scalar" and node.surprising
            self.problems.add(
                "bad-spec",
                f"{what} must be true or false, not {_shown(node)}",
                self.where(node),
                f"Write `{what}: {_truth(node.value)}`." if surprising else f"Write `{what}: true`.",
            )
            return None
        return Located(node.value, self.where(node))


def _truth(value: Any) -> str:
    return "true" if str(value).lower() in ("yes", "on", "y") else "false"


def _empty(node: Node) -> bool:
    return node.kind == "scalar" and node.value is None


def _shown(node: Node) -> str:
    if node.kind != "scalar":
        return f"a {node.kind}"
    return "nothing" if node.value is None else repr(node.value)


def _plain_data(node: Node) -> Any:
    if node.kind == "scalar":
        return node.value
    if node.kind == "sequence":
        return [_plain_data(item) for item in node.items]
    return {str(key.value): _plain_data(value) for key, value in node.pairs}
