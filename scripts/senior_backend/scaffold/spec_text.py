"""Writes and edits `resources.yaml`: by offset, so that comments, order and style of the user's text stay.

Every edit is read back and compared with what was wanted; text that is too unusual to edit is refused, with the
lines to put there by hand.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.errors import UndecidedError
from senior_backend.scaffold import naming, yaml_nodes
from senior_backend.scaffold.field_text import default_text, short_form
from senior_backend.scaffold.model import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.scaffold.model import Action, Field, Resource, Service
    from senior_backend.scaffold.yaml_nodes import Node

_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_()?=.+/-]*(?:[:,][A-Za-z0-9_()?=.+/-]+)*")
INDENT: Final = 2


def scalar(value: Any, *, flow: bool = False) -> str:
    """Return `value` as YAML text that reads back the same, also by tools of YAML 1.1."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    bare = _BARE.fullmatch(value) and not (flow and re.search(r"[,\[\]{}:?]", value))
    if bare and isinstance((read := yaml_nodes.plain(value))[0], str) and not read[1]:
        return value
    return json.dumps(value, ensure_ascii=False)


def service_text(service: Service) -> str:
    """Return a whole specification."""
    lines = [f"service: {scalar(service.name)}"]
    if service.stack != "fastapi":
        lines.append(f"stack: {scalar(service.stack)}")
    if service.errors != "problem":
        lines.append(f"errors: {service.errors}")
    if service.require_if_match:
        lines.append("require_if_match: true")
    lines.append("resources:")
    for resource in service.resources:
        lines += resource_lines(resource, INDENT)
    return "\n".join(lines) + "\n"


def resource_lines(resource: Resource, indent: int, step: int = INDENT) -> list[str]:
    """Return the block of one resource, its name at column `indent`."""
    outer, inner, deep = " " * indent, " " * (indent + step), " " * (indent + 2 * step)
    lines = [f"{outer}{resource.name}:"]
    if resource.plural != naming.plural(resource.name):
        lines.append(f"{inner}plural: {scalar(resource.plural)}")
    if resource.identity:
        lines.append(f"{inner}identity: true")
    if resource.owner:
        lines.append(f"{inner}owner: {resource.owner}")
    if resource.operations != OPERATIONS:
        lines.append(f"{inner}operations: {flow_list(resource.operations)}")
    lines.append(f"{inner}fields:")
    lines += [f"{deep}{field_line(field)}" for field in resource.fields]
    if resource.links:
        lines.append(f"{inner}links:")
        lines += [f"{deep}{link.name}: {link.target}" for link in resource.links]
    if resource.roles:
        lines.append(f"{inner}roles:")
        lines += [f"{deep}{operation}: {flow_list(roles)}" for operation, roles in resource.roles]
    if resource.indexes:
        lines.append(f"{inner}indexes:")
        lines += [f"{deep}- {flow_list(index)}" for index in resource.indexes]
    if resource.actions:
        lines.append(f"{inner}actions:")
        lines += [f"{deep}{action_line(action)}" for action in resource.actions]
    return lines


def field_line(field: Field) -> str:
    """Return `name: short form`."""
    return f"{field.name}: {scalar(short_form(field))}"


def action_line(action: Action) -> str:
    """Return `name: {set: {field: value}}`."""
    assigned = ", ".join(f"{name}: {_flow_value(value)}" for name, value in action.assign)
    roles = f", roles: {flow_list(action.roles)}" if action.roles else ""
    return f"{action.name}: {{set: {{{assigned}}}{roles}}}"


def _flow_value(value: Any) -> str:
    return scalar(value if isinstance(value, bool | int | float | str | None) else default_text(value), flow=True)


def flow_list(words: Sequence[str]) -> str:
    """Return `[a, b]`."""
    return "[" + ", ".join(scalar(word, flow=True) for word in words) + "]"


class Editor:
    """The text of a specification with its tree; each edit returns the new text."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        root = yaml_nodes.parse(text, name)
        if root is None:
            raise ValueError("nothing to edit")
        self.root = root

    def add_resource(self, resource: Resource) -> str:
        """Return the text with `resource` behind the others.

        Raises:
            UndecidedError: the resources are written in a way that cannot be edited safely.
        """
        node = self.root.get("resources")
        if node is not None and node.kind == "mapping" and not node.flow and node.pairs:
            step = self._step(node)
            return self._insert_after(node, resource_lines(resource, node.column, step))
        raise self._refused(f"resource '{resource.name}'", "resources", resource_lines(resource, INDENT))

    def add_field(self, resource: str, field: Field) -> str:
        """Return the text with `field` behind the other fields of `resource`.

        Raises:
            UndecidedError: the fields are written in a way that cannot be edited safely.
        """
        node = self._resource(resource)
        fields = node.get("fields") if node is not None else None
        line = field_line(field)
        if fields is not None and fields.kind == "mapping" and fields.pairs:
            if not fields.flow:
                return self._insert_after(fields, [" " * fields.column + line])
            if self.text[fields.end - 1 : fields.end] == "}":
                return self._insert_flow(fields, f"{field.name}: {scalar(short_form(field), flow=True)}")
        short = f"{field.name}:{short_form(field)}"
        if fields is not None and isinstance(fields.value, str) and not re.search(r"[\"'\\]", short):
            quoted = self.text[fields.end - 1] in "\"'"
            at = fields.end - 1 if quoted else fields.end
            return f"{self.text[:at]} {short}{self.text[at:]}"
        raise self._refused(f"field '{field.name}'", f"resources.{resource}.fields", [line])

    def set_setting(self, key: str, value: str) -> str:
        """Return the text with the top-level `key` set to the YAML text `value`.

        Raises:
            UndecidedError: the text cannot be edited safely.
        """
        node = self.root.get(key)
        if node is not None:
            if node.kind == "scalar":
                return self.text[: node.start] + value + self.text[node.end :]
            raise self._refused(f"`{key}`", "the top level", [f"{key}: {value}"])
        resources = next((name for name, _ in self.root.pairs if name.value == "resources"), None)
        if resources is None or self.root.flow:
            raise self._refused(f"`{key}`", "the top level", [f"{key}: {value}"])
        return f"{self.text[: resources.start]}{key}: {value}\n{self.text[resources.start :]}"

    def set_in_resource(self, resource: str, key: str, lines: list[str]) -> str:
        """Return the text with `key` of `resource` set to what `lines` say; a flow or scalar value is replaced.

        Raises:
            UndecidedError: the text cannot be edited safely.
        """
        node = self._resource(resource)
        if node is not None and node.kind == "mapping" and node.pairs:
            old = node.get(key)
            _, _, value = lines[0].partition(": ")
            if old is not None and len(lines) == 1 and (old.flow or old.kind == "scalar"):
                return self.text[: old.start] + value + self.text[old.end :]
            if old is None and not node.flow:
                return self._insert_after(node, [" " * node.column + line for line in lines])
            if old is None and len(lines) == 1 and self.text[node.end - 1 : node.end] == "}":
                return self._insert_flow(node, lines[0])
            if old is not None and old.kind == "mapping" and not old.flow and old.pairs and len(lines) > 1:
                return self._insert_after(old, [" " * old.column + line.strip() for line in lines[1:]])
        raise self._refused(f"`{key}`", f"resources.{resource}", lines)

    def remove_resource(self, name: str) -> str:
        """Return the text without the resource called `name`, comments directly above it included.

        Raises:
            UndecidedError: the text cannot be edited safely.
        """
        node = self.root.get("resources")
        found = None
        if node is not None and node.kind == "mapping" and not node.flow and len(node.pairs) > 1:
            found = next(((key, value) for key, value in node.pairs if key.value == name), None)
        if found is None:
            raise UndecidedError(
                f"'{name}' cannot be taken out of the specification automatically",
                code="cannot-edit",
                where=self.name,
                hint=f"Delete its lines under `resources:` in {self.name} yourself, and run the tool again.",
            )
        key, value = found
        start = self._line_start(key.start)
        while start > 0:
            above = self._line_start(start - 1)
            line = self.text[above:start]
            if not (line.strip().startswith("#") and len(line) - len(line.lstrip()) == key.column):
                break
            start = above
        end = self._line_end(max(value.end, key.end))
        return self.text[:start] + self.text[end:]

    def place_of(self, resource: str) -> str:
        """Return `file:line:column` of a resource."""
        node = self.root.get("resources")
        key = next((key for key, _ in node.pairs if key.value == resource), self.root) if node else self.root
        return f"{self.name}:{key.line + 1}:{key.column + 1}"

    def _resource(self, name: str) -> Node | None:
        node = self.root.get("resources")
        return node.get(name) if node is not None else None

    def _step(self, node: Node) -> int:
        for _, value in node.pairs:
            if value.kind == "mapping" and not value.flow and value.pairs:
                return max(1, value.column - node.column)
        return INDENT

    def _insert_after(self, node: Node, lines: list[str]) -> str:
        end = self._line_end(node.end)
        before = self.text[:end]
        newline = "" if before.endswith("\n") else "\n"
        return before + newline + "\n".join(lines) + "\n" + self.text[end:]

    def _insert_flow(self, node: Node, entry: str) -> str:
        at = node.pairs[-1][1].end
        return f"{self.text[:at]}, {entry}{self.text[at:]}"

    def _line_start(self, offset: int) -> int:
        return self.text.rfind("\n", 0, offset) + 1

    def _line_end(self, offset: int) -> int:
        # A block scalar ends behind its last line break already.
        if offset > 0 and self.text[offset - 1] == "\n":
            return offset
        end = self.text.find("\n", offset)
        return len(self.text) if end < 0 else end + 1

    def _refused(self, what: str, place: str, lines: Sequence[str]) -> UndecidedError:
        snippet = "\n".join(lines)
        return UndecidedError(
            f"{what} cannot be added to the specification automatically: it is not written as a plain block",
            code="cannot-edit",
            where=self.name,
            hint=f"Add this under {place} in {self.name} and run the tool again:\n{snippet}",
        )
