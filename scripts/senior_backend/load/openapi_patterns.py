"""A text that matches a regular expression, for the patterns that API schemas hold: classes, repeats, groups."""

from __future__ import annotations

import re

# The parser has no public name, and is the only reader of the whole syntax that `re` accepts.
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_WORD = {
    constants.CATEGORY_DIGIT: "1",
    constants.CATEGORY_WORD: "a",
    constants.CATEGORY_SPACE: " ",
    constants.CATEGORY_NOT_DIGIT: "a",
    constants.CATEGORY_NOT_WORD: "-",
    constants.CATEGORY_NOT_SPACE: "a",
}
_TRIED = "a1A-_. @/:+x0Z"


def matching(pattern: str, least: int = 0, most: int | None = None) -> str | None:
    """Return a text in which `pattern` is found and whose length fits, or None where none was found."""
    try:
        compiled, tree = re.compile(pattern), parser.parse(pattern)
        for extra in range(65):
            text = _of_sequence(tree, extra)
            if len(text) < least and not pattern.endswith("$"):
                text += "a" * (least - len(text))
            if len(text) >= least and (most is None or len(text) <= most) and compiled.search(text):
                return text
    except (re.error, RecursionError, OverflowError, _Unsupported):
        return None
    return None


class _Unsupported(Exception):  # noqa: N818 - caught in this module
    pass


def _of_sequence(tree: Any, extra: int) -> str:
    return "".join(_of_node(kind, detail, extra) for kind, detail in tree)


def _of_node(kind: Any, detail: Any, extra: int) -> str:
    if kind is constants.LITERAL:
        return chr(detail)
    if kind is constants.ANY:
        return "a"
    if kind is constants.NOT_LITERAL:
        return next(letter for letter in _TRIED if ord(letter) != detail)
    if kind is constants.IN:
        return _of_class(detail)
    if kind in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
        low, high, inner = detail
        return _of_sequence(inner, 0) * min(low + extra, high, low + 64) if high else ""
    if kind is constants.SUBPATTERN:
        return _of_sequence(detail[3], extra)
    if kind is constants.BRANCH:
        return _of_sequence(detail[1][0], extra)
    if kind is constants.AT or kind in (constants.ASSERT, constants.ASSERT_NOT):
        return ""
    raise _Unsupported


def _of_class(items: Any) -> str:
    negated = bool(items) and items[0][0] is constants.NEGATE
    if negated:
        for letter in _TRIED:
            if not any(_holds(item, letter) for item in items[1:]):
                return letter
        raise _Unsupported
    kind, detail = items[0]
    if kind is constants.LITERAL:
        return chr(detail)
    if kind is constants.RANGE:
        return chr(detail[0])
    if kind is constants.CATEGORY and detail in _WORD:
        return _WORD[detail]
    raise _Unsupported


def _holds(item: Any, letter: str) -> bool:
    kind, detail = item
    if kind is constants.LITERAL:
        return ord(letter) == int(detail)
    if kind is constants.RANGE:
        return int(detail[0]) <= ord(letter) <= int(detail[1])
    if detail is constants.CATEGORY_DIGIT:
        return letter.isdigit()
    if detail is constants.CATEGORY_SPACE:
        return letter.isspace()
    if detail is constants.CATEGORY_WORD:
        return letter.isalnum() or letter == "_"
    return True
