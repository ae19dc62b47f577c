"""The short form of a field, `role:enum(admin,user)=user`: read into drafts and written from the model.

    field     = name ":" short
    short     = type [ "(" argument { "," argument } ")" ] [ "?" ] { ":" modifier } [ "=" default ]
    modifier  = "unique" | "index" | "optional" | valued ( "=" value | "(" value ")" )
    valued    = "min" | "max" | "pattern" | "on_delete" | "default"

A value is bare or in double quotes, where a backslash escapes. The default may also stand before the modifiers.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.errors import did_you_mean
from senior_backend.scaffold import naming
from senior_backend.scaffold.drafts import FieldDraft, Located, Problems
from senior_backend.scaffold.model import MISSING, Field

if TYPE_CHECKING:
    from collections.abc import Callable

FLAGS: Final = ("unique", "index", "optional")
VALUED: Final = ("min", "max", "pattern", "on_delete", "default")
_MODIFIER: Final = re.compile(r":\s*(?:(?:" + "|".join(FLAGS) + r")(?![\w])|(?:" + "|".join(VALUED) + r")\s*[=(])")
_WORD: Final = re.compile(r"[A-Za-z_][\w-]*")
_PLAIN: Final = re.compile(r"[\w.+-]+")
_BARE: Final = re.compile(r'[^\s,"()\\:?=]+')


class Text(str):
    """A value that was written without a type of its own; the field's type decides how it is read."""

    __slots__ = ()


class FieldTextError(Exception):
    """The short form ends or goes wrong at `offset`."""

    def __init__(self, message: str, offset: int, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.fix = fix


def split(text: str) -> list[tuple[int, str]]:
    """Return the fields of a `--fields` value with their offsets, split at spaces and commas outside brackets.

    Raises:
        FieldTextError: a quote or a bracket is not closed, or a bracket closes nothing.
    """
    parts: list[tuple[int, str]] = []
    start, depth, opened, index = None, 0, 0, 0
    while index < len(text):
        character = text[index]
        if character == '"':
            index = _quoted_end(text, index) - 1
            start = index if start is None else start
        elif character == "(":
            depth, opened = depth + 1, index if depth == 0 else opened
        elif character == ")":
            depth -= 1
            if depth < 0:
                raise FieldTextError(
                    "this bracket closes nothing", index, 'Write a type as `str(100)`, or quote the text: "…".'
                )
        if depth == 0 and (character.isspace() or character == ","):
            if start is not None:
                parts.append((start, text[start:index]))
            start = None
        elif start is None:
            start = index
        index += 1
    if depth:
        raise FieldTextError("this bracket is never closed", opened, "Close it: `str(100)`, `enum(a,b)`.")
    if start is not None:
        parts.append((start, text[start:]))
    return parts


def parse_fields(text: str, locate: Callable[[int], str], problems: Problems) -> list[FieldDraft]:
    """Return the fields of a `--fields` value; what is wrong goes to `problems`, one entry for each field."""
    try:
        parts = split(text)
    except FieldTextError as failure:
        problems.add("bad-field", failure.message, locate(failure.offset), failure.fix)
        return []
    drafts = []
    for offset, part in parts:
        name, colon, short = part.partition(":")
        if not colon or not short:
            problems.add(
                "bad-field",
                f"'{part}' has no type",
                locate(offset),
                f"Write `{name or 'name'}:TYPE`, for example `{name or 'name'}:str(100)`.",
            )
            continue
        located = Located(naming.snake_case(name), locate(offset))
        start = offset + len(name) + 1
        draft = parse_short(located, short, lambda at, start=start: locate(start + at), problems)  # type: ignore[misc]
        if draft is not None:
            drafts.append(draft)
    return drafts


def parse_short(name: Located[str], text: str, locate: Callable[[int], str], problems: Problems) -> FieldDraft | None:
    """Return the field that `text` (all behind the name) describes, or None after noting what is wrong."""
    try:
        kind, settings = _short(text)
    except FieldTextError as failure:
        problems.add("bad-field", f"field '{name.value}': {failure.message}", locate(failure.offset), failure.fix)
        return None
    return FieldDraft(
        name=name,
        type=Located(kind.value, locate(kind.where)),
        settings={key: Located(value, locate(offset)) for key, (value, offset) in settings.items()},
    )


class _At(tuple[str, int]):
    __slots__ = ()

    @property
    def value(self) -> str:
        return self[0]

    @property
    def where(self) -> int:
        return self[1]


def _short(text: str) -> tuple[_At, dict[str, tuple[Any, int]]]:
    settings: dict[str, tuple[Any, int]] = {}
    index = _skip(text, 0)
    word = _WORD.match(text, index)
    if not word:
        raise FieldTextError(
            "a type is expected here", index, "For example `str(100)`, `int`, `enum(a,b)` or `ref(user)`."
        )
    kind = _At((word[0].lower(), index))
    index = word.end()
    if index < len(text) and text[index] == "(":
        arguments, index = _arguments(text, index)
        _apply_arguments(kind, arguments, settings)
    while (index := _skip(text, index)) < len(text):
        if text[index] == "?":
            settings["optional"] = (True, index)
            index += 1
        elif text[index] == "=":
            _once(settings, "default", index)
            value, end = _default(text, index + 1)
            settings["default"] = (value, index + 1)
            index = end
        elif text[index] == ":":
            index = _modifier(text, index + 1, settings)
        else:
            raise FieldTextError(
                f"'{text[index:]}' is not expected here", index, "Behind the type come `?`, `:unique` or `=default`."
            )
    return kind, settings


def _skip(text: str, index: int) -> int:
    while index < len(text) and text[index].isspace():
        index += 1
    return index


def _once(settings: dict[str, tuple[Any, int]], key: str, index: int) -> None:
    if key in settings:
        raise FieldTextError(f"'{key}' is given twice", index, "Keep one of them.")


def _modifier(text: str, index: int, settings: dict[str, tuple[Any, int]]) -> int:
    index = _skip(text, index)
    word = _WORD.match(text, index)
    name = word[0].lower() if word else ""
    known = (*FLAGS, *VALUED)
    if not word or name not in known:
        raise FieldTextError(
            f"unknown modifier '{word[0] if word else text[index:]}'{did_you_mean(name, known)}",
            index,
            f"Known are {', '.join(FLAGS)} and {', '.join(f'{key}=…' for key in VALUED)}.",
        )
    _once(settings, name, index)
    end = word.end()
    if name in FLAGS:
        settings[name] = (True, index)
        return end
    if end < len(text) and text[end] == "(":
        close = _balanced_end(text, end)
        inner = text[end + 1 : close - 1].strip()
        settings[name] = (Text(_unquote(inner, end + 1) if inner.startswith('"') else inner), index)
        return close
    if end < len(text) and text[end] == "=":
        # A number or a word ends by itself; texts that may hold anything end where the next modifier begins.
        plain = _PLAIN.match(text, end + 1) if name in ("min", "max", "on_delete") else None
        value, close = (Text(plain[0]), plain.end()) if plain else _default(text, end + 1)
        settings[name] = (value, index)
        return close
    raise FieldTextError(f"'{name}' needs a value", index, f"Write `{name}=VALUE`.")


def _default(text: str, index: int) -> tuple[Text, int]:
    """Return a bare or quoted value; a bare one ends where a modifier begins, so that times and URLs stay whole."""
    if index < len(text) and text[index] == '"':
        end = _quoted_end(text, index)
        return Text(_unquote(text[index:end], index)), end
    following = _MODIFIER.search(text, index)
    end = following.start() if following else len(text)
    if end == index:
        raise FieldTextError(
            "a value is expected behind '='", index, 'For example `=user`, or `=""` for an empty text.'
        )
    return Text(text[index:end].strip()), end


def _arguments(text: str, index: int) -> tuple[list[tuple[str, int]], int]:
    close = _balanced_end(text, index)
    arguments: list[tuple[str, int]] = []
    at = index + 1
    while (at := _skip(text, at)) < close - 1:
        if text[at] == '"':
            end = _quoted_end(text, at)
            arguments.append((_unquote(text[at:end], at), at))
        else:
            end = next((i for i in range(at, close) if text[i] in ",)"), close - 1)
            arguments.append((text[at:end].strip(), at))
        if arguments[-1][0] == "":
            raise FieldTextError("an empty argument", at, "Remove a comma, or write what belongs there.")
        at = _skip(text, end)
        if at < close - 1:
            if text[at] != ",":
                raise FieldTextError(
                    f"a comma is expected before '{text[at : close - 1]}'", at, "Separate arguments by commas."
                )
            at += 1
            if _skip(text, at) >= close - 1:
                raise FieldTextError("an empty argument", at, "Remove a comma, or write what belongs there.")
    return arguments, close


def _apply_arguments(kind: _At, arguments: list[tuple[str, int]], settings: dict[str, tuple[Any, int]]) -> None:
    if not arguments:
        return
    first, at = arguments[0]
    limits = {"str": 1, "decimal": 2, "ref": 2}
    if kind.value in limits and len(arguments) > limits[kind.value]:
        extra, place = arguments[limits[kind.value]]
        raise FieldTextError(f"'{kind.value}' takes no argument '{extra}'", place, "Remove it.")
    if kind.value == "str":
        settings["length"] = (Text(first), at)
    elif kind.value == "decimal":
        settings["precision"] = (Text(first), at)
        if len(arguments) > 1:
            settings["scale"] = (Text(arguments[1][0]), arguments[1][1])
    elif kind.value == "enum":
        settings["values"] = ([value for value, _ in arguments], at)
    elif kind.value == "money":
        settings["currencies"] = ([value for value, _ in arguments], at)
    elif kind.value == "ref":
        settings["target"] = (naming.snake_case(first), at)
        if len(arguments) > 1:
            settings["on_delete"] = (Text(arguments[1][0]), arguments[1][1])
    else:
        # An unknown type is told as that, not as one with wrong arguments.
        settings["arguments"] = ([value for value, _ in arguments], at)


def _quoted_end(text: str, index: int) -> int:
    at = index + 1
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == '"':
            return at + 1
        at += 1
    raise FieldTextError("this quote is never closed", index, 'Close it with ".')


def _balanced_end(text: str, index: int) -> int:
    depth, at = 0, index
    while at < len(text):
        if text[at] == '"':
            at = _quoted_end(text, at) - 1
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    raise FieldTextError("this bracket is never closed", index, "Close it: `str(100)`, `enum(a,b)`.")


def _unquote(text: str, offset: int) -> str:
    end = _quoted_end(text, 0)
    if end != len(text):
        raise FieldTextError(f"'{text[end:]}' is not expected behind the quote", offset + end, "Remove it.")
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def short_form(field: Field) -> str:
    """Return the text that reads back as `field`, without its name."""
    text = field.type + _written_arguments(field)
    if field.optional:
        text += "?"
    text += ":unique" if field.unique else ""
    text += ":index" if field.index else ""
    for key, value in (("min", field.minimum), ("max", field.maximum)):
        if value is not None:
            text += f":{key}={number_text(value)}"
    if field.pattern is not None:
        text += f":pattern={_quote(field.pattern)}"
    if field.default is not MISSING:
        text += f"={_written(default_text(field.default))}"
    return text


def _written_arguments(field: Field) -> str:
    if field.type == "str":
        return f"({field.length})"
    if field.type == "decimal":
        return f"({field.precision},{field.scale})"
    if field.type == "enum":
        return f"({','.join(_written(value) for value in field.values)})"
    if field.type == "money" and field.currencies:
        return f"({','.join(field.currencies)})"
    if field.type == "ref":
        return f"({field.target})" if field.on_delete == "restrict" else f"({field.target},{field.on_delete})"
    return ""


def number_text(value: float) -> str:
    """Return a bound as people write it: whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def default_text(value: Any) -> str:
    """Return a default as text that the field's type reads back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).replace("+00:00", "Z")
    return str(value)


def _written(value: str) -> str:
    return value if _BARE.fullmatch(value) else _quote(value)


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
