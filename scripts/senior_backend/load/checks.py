"""Judges responses against a request's checks, and takes variables out of them."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

from senior_backend.load import jsonpath
from senior_backend.load.http import head_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from senior_backend.load.model import Response
    from senior_backend.load.scenario import Check, Extract, RequiredFields

MAX_DECODED = 8 * 1024 * 1024
_UNREADABLE = object()


class Document:
    """A response whose body is decoded and parsed once, and only when asked for."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self._text: str | None = None
        self._json: Any = _UNREADABLE
        self._tried = False

    @property
    def text(self) -> str:
        """The body as text, unzipped; a charset that is not UTF-8 compatible shows as replacement characters."""
        if self._text is None:
            self._text = _decoded(self.response).decode("utf-8", "replace")
        return self._text

    def json(self) -> Any:
        """Return the parsed body.

        Raises:
            ValueError: it is not JSON.
        """
        if not self._tried:
            self._tried = True
            try:
                self._json = json.loads(self.text)
            except (ValueError, RecursionError):
                self._json = _UNREADABLE
        if self._json is _UNREADABLE:
            raise ValueError("the body is not JSON")
        return self._json


def _decoded(response: Response) -> bytes:
    if (response.header("Content-Encoding") or "").lower() in ("gzip", "x-gzip", "deflate"):
        try:
            if response.header("Content-Encoding") == "deflate":
                return zlib.decompressobj().decompress(response.body, MAX_DECODED)
            return gzip.GzipFile(fileobj=io.BytesIO(response.body)).read(MAX_DECODED)
        except (OSError, EOFError, zlib.error):
            return response.body
    return response.body


def compile_check(check: Check) -> Callable[[Document], str | None]:
    """Return a function that says what is wrong with a response, or None."""
    tests: list[Callable[[Document], str | None]] = []
    if check.documented:
        tests.append(lambda document: documented_fault(document, check.documented))
    for name, text in check.headers:
        tests.append(_header_test(name, text))
    if (wanted := check.contains) is not None:
        tests.append(lambda document: None if wanted in document.text else f"the body does not contain {wanted!r}")
    if (unwanted := check.not_contains) is not None:
        tests.append(lambda document: f"the body contains {unwanted!r}" if unwanted in document.text else None)
    if check.matches is not None:
        pattern = re.compile(check.matches)
        fault = f"nothing in the body matches {check.matches!r}"
        tests.append(lambda document: None if pattern.search(document.text) else fault)
    tests += [_path_test(written) for written in check.has]
    tests += [_value_test(written, expected) for written, expected in check.json]

    def judge(document: Document) -> str | None:
        for test in tests:
            if problem := test(document):
                return problem
        return None

    return judge


def _header_test(name: str, text: str) -> Callable[[Document], str | None]:
    def test(document: Document) -> str | None:
        value = document.response.header(name)
        if value is not None and text.lower() in value.lower():
            return None
        return f"the header {name} is {value!r}, not {text!r}" if value is not None else f"no header {name}"

    return test


def _path_test(written: str) -> Callable[[Document], str | None]:
    path = jsonpath.parse(written)

    def test(document: Document) -> str | None:
        try:
            return None if jsonpath.find(document.json(), path) else f"nothing at {written}"
        except ValueError as error:
            return str(error)

    return test


def _value_test(written: str, expected: Any) -> Callable[[Document], str | None]:
    path = jsonpath.parse(written)

    def test(document: Document) -> str | None:
        try:
            found = jsonpath.find(document.json(), path)
        except ValueError as error:
            return str(error)
        if any(_same(value, expected) for value in found):
            return None
        seen = json.dumps(found[0])[:80] if found else "nothing"
        return f"{written} is {seen}, not {json.dumps(expected)[:80]}"

    return test


def _same(value: Any, expected: Any) -> bool:
    return bool(value == expected) and isinstance(value, bool) == isinstance(expected, bool)


def documented_fault(document: Document, rules: Sequence[tuple[str, RequiredFields]]) -> str | None:
    """Return how a response departs from an OpenAPI document: its status, media type or required fields."""
    status = document.response.status
    by_status = dict(rules)
    rule = by_status.get(str(status)) or by_status.get(f"{status // 100}XX") or by_status.get("default")
    if rule is None:
        return f"status {status} is not documented (only {', '.join(by_status)})"
    if not rule.content_types or not document.response.body:
        return None
    media = (document.response.header("Content-Type") or "").partition(";")[0].strip().lower()
    if not any(_media_fits(media, wanted) for wanted in rule.content_types):
        return f"Content-Type {media or 'missing'} is not documented (only {', '.join(rule.content_types)})"
    return _field_fault(document, rule) if "json" in media else None


def _media_fits(media: str, wanted: str) -> bool:
    return wanted in ("*/*", media) or (wanted.endswith("/*") and media.startswith(wanted[:-1]))


def _field_fault(document: Document, rule: RequiredFields) -> str | None:
    try:
        value = document.json()
    except ValueError as error:
        return str(error)
    if rule.shape == "object" and not isinstance(value, dict):
        return f"the body is {_kind(value)}, not an object"
    if rule.shape == "array" and not isinstance(value, list):
        return f"the body is {_kind(value)}, not a list"
    if isinstance(value, dict):
        absent = [name for name in rule.required if name not in value]
        return f"required fields are missing: {', '.join(absent)}" if absent else None
    if isinstance(value, list):
        for number, item in enumerate(value):
            absent = [name for name in rule.item_required if not isinstance(item, dict) or name not in item]
            if absent:
                return f"item {number} lacks required fields: {', '.join(absent)}"
    return None


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def compile_extract(extract: Extract) -> Callable[[Document], list[Any]]:
    """Return a function that finds the values of a variable in a response, none when there are none."""
    path = jsonpath.parse(extract.json) if extract.json else None
    pattern = re.compile(extract.regex) if extract.regex else None

    def find(document: Document) -> list[Any]:
        values: list[Any]
        if path is not None:
            try:
                values = jsonpath.find(document.json(), path)
            except ValueError:
                return []
        elif extract.header:
            header = document.response.header(extract.header)
            values = [] if header is None else [header]
        elif extract.cookie:
            values = _cookies(document.response, extract.cookie)
        else:
            values = [document.text]
        if pattern is None:
            return [value for value in values if value is not None]
        matches = [pattern.search(value if isinstance(value, str) else json.dumps(value)) for value in values]
        return [match[1] if match.re.groups else match[0] for match in matches if match]

    return find


def _cookies(response: Response, name: str) -> list[Any]:
    found: list[Any] = []
    for line in head_lines(response.head)[1:]:
        key, _, value = line.decode("latin-1").partition(":")
        if key.strip().lower() == "set-cookie":
            pair = value.strip().partition(";")[0].partition("=")
            if pair[0].strip() == name:
                found.append(pair[2].strip())
    return found[-1:]
