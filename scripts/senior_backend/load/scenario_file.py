"""Scenario files: text to tree, tree against the schema, then to a `Scenario`; all problems are told at once."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, TypeVar, cast

from senior_backend.console.errors import InputError, ToolError, did_you_mean
from senior_backend.load import feeds, jsonpath, schema_check, slo, templates
from senior_backend.load.document import (
    Mapping,
    Node,
    Problems,
    Scalar,
    Sequence,
    parse_json,
    read_text,
    to_plain,
)
from senior_backend.load.scenario import (
    Body,
    Check,
    Extract,
    Feed,
    Request,
    Scenario,
    ScenarioStage,
    Step,
    parse_duration,
    parse_statuses,
)
from senior_backend.load.templates import Template

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as Dict
    from pathlib import Path

    from senior_backend.load.document import Mark

_Read = TypeVar("_Read")
_BODY_KEYS = ("json", "body", "body_file", "form")


def is_yaml(path: Path) -> bool:
    """Whether the file is read as YAML, for which PyYAML must be there."""
    return path.suffix.lower() != ".json"


def load(path: Path, environment: Dict[str, str]) -> Scenario:
    """Return the scenario of a YAML or JSON file.

    Raises:
        InputError: every problem of the file with its line and column.
        UnavailableError: it, a feed or a body file may not be read.
    """
    text = read_text(path, "scenario")
    problems = Problems(str(path))
    if is_yaml(path):
        from senior_backend.load.document_yaml import parse_yaml

        node = parse_yaml(text, problems)
    else:
        node = parse_json(text, problems)
    if node is None:
        problems.raise_if_any()
        raise AssertionError("a tree or a problem")
    node = _with_environment(node, environment, problems)
    schema_check.check(node, problems)
    scenario = None
    if isinstance(node, Mapping) and isinstance(node.get("requests"), Sequence):
        scenario = _Reader(path, environment, problems).scenario(node)
    problems.raise_if_any()
    assert scenario is not None
    return scenario


def _with_environment(node: Node, environment: Dict[str, str], problems: Problems) -> Node:
    """Return the tree with values expanded; each scalar's `text` stays as it was written."""
    if isinstance(node, Mapping):
        return Mapping(
            tuple((key, _with_environment(value, environment, problems)) for key, value in node.entries), node.mark
        )
    if isinstance(node, Sequence):
        return Sequence(tuple(_with_environment(item, environment, problems) for item in node.items), node.mark)
    if not isinstance(node.value, str) or "${" not in node.value:
        return node
    try:
        expanded = templates.parse(node.value, environment).static()
    except templates.TemplateError as error:
        problems.add("placeholder", str(error), node.mark)
        return node
    return Scalar(expanded, node.text, node.plain, node.mark)


class _Reader:
    """Turns the parts of a tree into parts of a scenario; what the schema found wrong is passed over in silence."""

    def __init__(self, path: Path, environment: Dict[str, str], problems: Problems) -> None:
        self.path, self.environment, self.problems = path, environment, problems
        self.used: list[tuple[templates.Expression, Mark]] = []

    def scenario(self, root: Mapping) -> Scenario:
        steps = [self.step(node, "login", is_login=True) for node in [root.get("login")] if isinstance(node, Mapping)]
        steps += [self.step(node, "setup", is_login=False) for node in _items(root.get("setup"))]
        nodes = _items(root.get("requests"))
        requests = tuple(self.request(node) for node in nodes)
        self.unique_names(requests, nodes)
        made = Scenario(
            requests=requests,
            base_url=self.optional_template(root.get("base_url")),
            headers=self.pairs(root.get("headers"), header=True),
            variables=self.pairs(root.get("variables")),
            feeds=self.feeds(root.get("feeds")),
            steps=tuple(steps),
            stages=tuple(filter(None, (self.stage(node) for node in _items(root.get("stages"))))),
            arrivals=_value(root.get("arrivals"), str),
            warmup_s=self.duration(root.get("warmup")),
            timeout_s=self.duration(root.get("timeout")),
            connections=_value(root.get("connections"), int),
            seed=_value(root.get("seed"), int),
            slo=_value(root.get("slo"), str),
        )
        self.check_variables(made, nodes)
        self.check_totals(made, root)
        return made

    # Pieces

    def template(self, node: Node, text: str | None = None) -> Template:
        source = text if text is not None else node.text if isinstance(node, Scalar) else ""
        try:
            made = templates.parse(source, self.environment)
        except templates.TemplateError as error:
            self.problems.add("placeholder", str(error), node.mark)
            return Template(())
        self.used += [(expression, node.mark) for expression in made.expressions]
        return made

    def optional_template(self, node: Node | None) -> Template | None:
        return self.template(node) if isinstance(node, Scalar) else None

    def pairs(self, node: Node | None, *, header: bool = False) -> tuple[tuple[str, Template], ...]:
        if not isinstance(node, Mapping):
            return ()
        found = []
        for key, value in node.entries:
            made = self.template(value)
            if header and re.search(r"[\r\n\0]", made.static()):
                self.problems.add("bad-value", f"the header {key.text} holds a line break", value.mark)
            found.append((key.text, made))
        return tuple(found)

    def duration(self, node: Node | None) -> float | None:
        if not isinstance(node, Scalar) or node.value is None:
            return None
        try:
            return parse_duration(cast("str", node.value))
        except ValueError:
            return None  # the schema has said so

    def stage(self, node: Node) -> ScenarioStage | None:
        if not isinstance(node, Mapping):
            return None
        seconds, rate, end = self.duration(node.get("duration")), _number(node.get("rate")), _number(node.get("to"))
        if seconds is None or rate is None:
            return None
        if seconds == 0:
            self.problems.add("out-of-range", "the stage has no duration", node.mark, "Give it seconds.")
        return ScenarioStage(seconds, rate, rate if end is None else end)

    def step(self, node: Node, name: str, *, is_login: bool) -> Step:
        assert isinstance(node, Mapping) or not is_login
        if not isinstance(node, Mapping) or not isinstance(node.get("request"), Mapping):
            return Step(Request(name, "GET", Template(())), is_login=is_login)
        request = self.request(cast("Mapping", node.get("request")), self.extracts(node.get("extract")))
        return Step(request, _value(node.get("repeat"), int) or 1, is_login)

    def request(self, node: Node, more: tuple[Extract, ...] = ()) -> Request:
        if not isinstance(node, Mapping):
            return Request("", "GET", Template(()))
        path = node.get("path")
        made_path = self.template(path) if isinstance(path, Scalar) else Template(())
        fixed = re.sub(r"\{\{.*?\}\}", "", made_path.static())
        if isinstance(path, Scalar) and re.search(r"[\s\x00-\x1f#]", fixed):
            message = f"the path '{path.text}' holds a space or #"
            self.problems.add("bad-value", message, path.mark, "Percent-encode it: %20, %23.")
        body = self.body(node)
        method = _value(node.get("method"), str) or ("POST" if body else "GET")
        source = made_path.source().partition("?")[0]
        return Request(
            name=_value(node.get("name"), str) or f"{method} {source}",
            method=method,
            path=made_path,
            weight=_number(node.get("weight")) or 1.0,
            query=self.pairs(node.get("query")),
            headers=self.pairs(node.get("headers"), header=True),
            body=body,
            check=self.check(node.get("check")),
            extract=self.extracts(node.get("extract")) + more,
        )

    def body(self, node: Mapping) -> Body | None:
        given = [(key, value) for key, value in node.entries if key.text in _BODY_KEYS]
        for key, _ in given[1:]:
            self.problems.add("two-bodies", f"'{key.text}' stands beside '{given[0][0].text}'", key.mark, "Keep one.")
        if not given:
            return None
        key, value = given[0]
        method = node.get("method")
        if isinstance(method, Scalar) and method.value in ("GET", "HEAD"):
            self.problems.add("body-of-get", f"{method.value} has a body", key.mark, "Use POST, PUT or PATCH.")
        if key.text == "json":
            return Body("json", self.json_value(value))
        if key.text == "form":
            return Body("form", self.pairs(value))
        if not isinstance(value, Scalar):
            return None
        if key.text == "body":
            return Body("text", self.template(value))
        text = self.beside(value, "body_file", lambda path: read_text(path, "body", 64 * 1024 * 1024))
        return Body("text", self.template(value, text)) if text is not None else None

    def json_value(self, node: Node) -> Any:
        if isinstance(node, Mapping):
            return {key.text: self.json_value(value) for key, value in node.entries}
        if isinstance(node, Sequence):
            return [self.json_value(item) for item in node.items]
        if isinstance(node.value, str):
            return self.template(node)
        if isinstance(node.value, float) and abs(node.value) == float("inf"):
            self.problems.add("bad-value", "JSON has no infinite numbers", node.mark)
        return node.value

    def check(self, node: Node | None) -> Check:
        if not isinstance(node, Mapping):
            return Check()
        status = node.get("status")
        words = [item for item in (_items(status) or (status,)) if isinstance(item, Scalar)]
        statuses: frozenset[int] = frozenset()
        for word in words:
            try:
                statuses |= parse_statuses(str(word.value))
            except ValueError:
                continue  # the schema has said so
        matches = node.get("matches")
        if isinstance(matches, Scalar):
            self.pattern(matches)
        expected = node.get("json")
        entries = expected.entries if isinstance(expected, Mapping) else ()
        has = [item for item in _items(node.get("has")) if isinstance(item, Scalar)]
        for path in [*(key for key, _ in entries), *has]:
            self.json_path(path)
        header = node.get("header")
        return Check(
            statuses=statuses or None,
            contains=_text(node.get("contains")),
            not_contains=_text(node.get("not_contains")),
            matches=_text(matches),
            json=tuple((key.text, to_plain(value)) for key, value in entries),
            has=tuple(str(item.value) for item in has),
            headers=tuple((key.text, str(_text(value))) for key, value in header.entries)
            if isinstance(header, Mapping)
            else (),
        )

    def pattern(self, node: Scalar) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                re.compile(str(node.value))
        except re.error as error:
            self.problems.add("bad-regex", f"'{node.text}' is not a regular expression: {error}", node.mark)

    def json_path(self, node: Scalar) -> None:
        try:
            jsonpath.parse(str(node.value))
        except ValueError as error:
            if str(node.value).startswith("$"):  # else the schema has said so
                self.problems.add("bad-path", f"not a JSON path: {error}", node.mark, "For example $.data[0].id.")

    def extracts(self, node: Node | None) -> tuple[Extract, ...]:
        if not isinstance(node, Mapping):
            return ()
        found = []
        for key, value in node.entries:
            if isinstance(value, Scalar):
                self.json_path(value)
                found.append(Extract(key.text, json=str(value.value)))
            elif isinstance(value, Mapping):
                sources = [name for name in ("json", "header", "cookie") if value.get(name) is not None]
                if len(sources) > 1:
                    self.problems.add("two-sources", f"{key.text} has both {' and '.join(sources)}", value.mark)
                for name in ("json", "regex"):
                    part = value.get(name)
                    if isinstance(part, Scalar):
                        (self.json_path if name == "json" else self.pattern)(part)
                known = {name: _text(value.get(name)) for name in ("json", "header", "cookie", "regex")}
                found.append(Extract(key.text, **known))
        return tuple(found)

    def feeds(self, node: Node | None) -> tuple[Feed, ...]:
        if not isinstance(node, Mapping):
            return ()
        found = []
        for key, value in node.entries:
            file = value.get("file") if isinstance(value, Mapping) else value
            pick = _value(value.get("pick"), str) if isinstance(value, Mapping) else None
            if not isinstance(file, Scalar):
                continue
            rows = self.beside(file, "feed", feeds.read_feed)
            place = self.path.parent / str(file.value)
            found.append(Feed(key.text, rows or (), "random" if pick == "random" else "sequential", place))
        return tuple(found)

    def beside(self, node: Scalar, what: str, read: Callable[[Path], _Read]) -> _Read | None:
        """Return what `read` makes of a file in the scenario's folder or below; note what is wrong with it."""
        folder = self.path.parent.resolve()
        path = (folder / str(node.value)).resolve()
        if not path.is_relative_to(folder):
            message = f"the {what} '{node.text}' lies outside the scenario's folder"
            self.problems.add("outside-folder", message, node.mark, "Put it beside the scenario.")
            return None
        try:
            return read(path)
        except InputError as error:
            for finding in error.findings:
                if finding.where and re.search(r":\d+:\d+$", finding.where):
                    self.problems.findings.append(finding)
                else:
                    self.problems.add(finding.code, finding.message, node.mark, finding.fix)
        except ToolError as error:
            self.problems.add(error.code, error.message, node.mark, error.hint)
        return None

    # What only the whole can show

    def unique_names(self, requests: tuple[Request, ...], nodes: tuple[Node, ...]) -> None:
        seen: set[str] = set()
        for request, node in zip(requests, nodes, strict=True):
            if request.name in seen and request.name:
                message = f"two requests are called '{request.name}'"
                self.problems.add("duplicate-name", message, node.mark, "Give each a name.")
            seen.add(request.name)

    def check_variables(self, scenario: Scenario, nodes: tuple[Node, ...]) -> None:
        """Note names that nothing defines, and requests whose variables no earlier response can supply."""
        columns = {f"{feed.name}.{column}" for feed in scenario.feeds for column in (feed.rows or ({},))[0]}
        unread = {feed.name for feed in scenario.feeds if not feed.rows}
        constants = {name for name, _ in scenario.variables}
        sources = [step.request for step in scenario.steps] + list(scenario.requests)
        extracted = {extract.name for request in sources for extract in request.extract}
        known = columns | constants | extracted
        for expression, mark in self.used:
            name = expression.variable
            if name is None or name in known or name.partition(".")[0] in unread:
                if expression.name == "take" and name not in extracted and name in known:
                    self.problems.add("placeholder", f"take() needs an extracted variable, not '{name}'", mark)
                continue
            near = did_you_mean(name, known)
            near = near or (" (write uuid() with parentheses)" if name in templates.FUNCTIONS else "")
            available = ", ".join(sorted(known)) or "none"
            self.problems.add("unknown-variable", f"nothing defines '{name}'{near}", mark, f"Known: {available}.")
        if self.problems.findings:
            return
        from senior_backend.load.flow import never_sent

        for number, missing in never_sent(scenario):
            message = f"'{scenario.requests[number].name}' can never be sent: no response supplies {', '.join(missing)}"
            fix = "Extract it in login, setup, or a request that does not need it."
            self.problems.add("no-supplier", message, nodes[number].mark, fix)

    def check_totals(self, scenario: Scenario, root: Mapping) -> None:
        stages = root.get("stages")
        if stages and scenario.stages and not any(stage.rate + stage.end_rate > 0 for stage in scenario.stages):
            self.problems.add("out-of-range", "no stage has a rate above 0", stages.mark, "Give one a rate.")
        node = root.get("slo")
        if scenario.slo and node is not None:
            try:
                slo.parse(scenario.slo, [request.name for request in scenario.requests])
            except InputError as error:
                for finding in error.findings:
                    self.problems.add(finding.code, finding.message, node.mark, finding.fix)


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _number(node: Node | None) -> float | None:
    value = schema_check.number_of(node) if isinstance(node, Scalar) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(node: Node | None) -> str | None:
    if not isinstance(node, Scalar) or node.value is None:
        return None
    return node.value if isinstance(node.value, str) else node.text


def _value(node: Node | None, kind: type) -> Any:
    if kind is int:
        number = _number(node)
        return None if number is None else int(number)
    return _text(node)
