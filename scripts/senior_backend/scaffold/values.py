"""The values in a field: its settings and defaults, read from text or YAML into the field's own Python type."""

from __future__ import annotations

import datetime
import json
import math
import re
import uuid
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.errors import did_you_mean
from senior_backend.scaffold import naming
from senior_backend.scaffold.field_text import Text
from senior_backend.scaffold.model import Field, FieldType

if TYPE_CHECKING:
    from collections.abc import Callable

STR_LIMIT: Final = 10_000
DECIMAL_LIMIT: Final = 18
"""Digits that every database keeps exactly: where there is no NUMERIC, a stack keeps a 64-bit integer."""
ENUM_LIMIT: Final = 100
INT32: Final = 2**31
INT64: Final = 2**63

TEXTUAL: Final = ("str", "text", "email", "url")
NUMERIC: Final = ("int", "bigint", "float", "decimal", "money")
_BACKTRACKING: Final = 16
_ANCHORED: Final = re.compile(r"\^.*\$", re.DOTALL)
_NOT_PORTABLE: Final = re.compile(r"\(\?[=!<P#iLmsuxa(>:-]|\\[1-9ABGZzbpP]|\\[ux]|[*+?}]\+")


class BadValueError(Exception):
    """A value that its field does not take, with what to do about it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def refused_value(field: Field, value: Any) -> str | None:
    """Return why `value`, of the field's own type, breaks a rule of `field`; None where it holds."""
    if value is None:
        return None
    if field.type == "enum" and value not in field.values:
        return f"'{value}' is none of {', '.join(field.values)}{did_you_mean(str(value), field.values)}"
    size = len(value) if field.type in TEXTUAL else value if field.type in NUMERIC else None
    if size is not None:
        high = field.maximum if field.maximum is not None else field.length
        if field.minimum is not None and size < field.minimum:
            return f"{value!r} is below min {field.minimum:g}"
        if high is not None and size > high:
            return f"{value!r} is above max {high:g}"
    if field.pattern is not None and _quick(field.pattern, value) and not re.search(field.pattern, value):
        return f"{value!r} does not match {field.pattern}"
    if field.type == "decimal" and field.precision is not None and field.scale is not None:
        exponent = value.as_tuple().exponent
        if -exponent > field.scale or value.adjusted() + 1 > field.precision - field.scale:
            return f"{value} does not fit decimal({field.precision},{field.scale})"
    return None


def _quick(pattern: str, value: str) -> bool:
    """Whether Python's backtracking matcher surely ends soon: a repetition inside of one may take 2^n steps."""
    return len(value) <= _BACKTRACKING or not re.search(r"[*+}]\??[^()]*\)[*+{]", pattern)


def read_value(value: Any, kind: FieldType) -> Any:
    """Return a default or assigned value in the Python type of the field.

    Raises:
        ValueError: it is no value of that type; the message says what was expected.
    """
    try:
        return _default(value, kind)
    except BadValueError as bad:
        raise ValueError(bad.message) from None


def _flag(value: Any, _: FieldType) -> bool:
    if isinstance(value, bool):
        return value
    raise BadValueError(f"{value!r} is neither true nor false", "Write `true` or `false`.")


def _whole(value: Any, low: int, high: int, what: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,19}", text):
        raise BadValueError(f"{what} {text!r} is not a whole number", f"Write a number from {low} to {high}.")
    if not low <= int(text) <= high:
        raise BadValueError(f"{what} {text} is not between {low} and {high}", f"Write a number from {low} to {high}.")
    return int(text)


def _bound(value: Any, kind: FieldType) -> float:
    if kind in (*TEXTUAL, "password"):
        return _whole(value, 0, 1_000_000, "length")
    if kind in ("int", "money", "bigint"):
        limit = INT32 if kind == "int" else INT64
        return _whole(value, -limit, limit - 1, "bound")
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise BadValueError(f"bound {value!r} is not a number", "Write a number.")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _words(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise BadValueError(f"{what} must be a list of texts", f"For example `{what}: [a, b]`; quote numbers.")
    if doubled := sorted({item for item in value if value.count(item) > 1}):
        raise BadValueError(f"'{doubled[0]}' is among the {what} twice", "Keep one of them.")
    return value


def _values(value: Any, _: FieldType) -> tuple[str, ...]:
    words = _words(value, "values")
    if len(words) > ENUM_LIMIT:
        raise BadValueError(
            f"{len(words)} values; {ENUM_LIMIT} are allowed", "Make it a resource of its own, and a `ref` to it."
        )
    for word in words:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.+/-]{0,62}", word):
            raise BadValueError(
                f"value {word!r} has characters that no enum value may have",
                "Use letters, digits, spaces and _ . + / -, at most 63 characters.",
            )
    return tuple(words)


def _currencies(value: Any, _: FieldType) -> tuple[str, ...]:
    words = [word.upper() for word in _words(value, "currencies")]
    for word in words:
        if not re.fullmatch(r"[A-Z]{3}", word):
            raise BadValueError(f"'{word}' is not a currency code", "Use ISO 4217 codes: EUR, USD.")
    return tuple(words)


def _target(value: Any, _: FieldType) -> str:
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is not a resource's name", "For example `target: user`.")
    return naming.snake_case(value)


def _on_delete(value: Any, _: FieldType) -> str:
    text = naming.snake_case(str(value))
    known = ("restrict", "cascade", "set_null")
    if text not in known:
        raise BadValueError(f"unknown on_delete '{value}'{did_you_mean(text, known)}", f"One of {', '.join(known)}.")
    return text


def _pattern(value: Any, _: FieldType) -> str:
    text = str(value)
    if not isinstance(value, str) or len(text) > 500:
        raise BadValueError("a pattern is a text of at most 500 characters", "Quote it.")
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadValueError(f"pattern {text!r} does not compile: {error}", "Mend the regular expression.") from None
    if not _ANCHORED.fullmatch(text):
        raise BadValueError(f"pattern {text!r} is not anchored", f"Write `^{text.strip('^$')}$`.")
    if found := _NOT_PORTABLE.search(text.replace(r"\\", "").replace("(?:", "(")):
        raise BadValueError(
            f"pattern {text!r} uses {found[0]!r}, which Python, JSON Schema and RE2 do not read alike",
            "Use classes, groups and repetition only.",
        )
    return text


def _default(value: Any, kind: FieldType) -> Any:
    text = str(value)
    if value is None or (isinstance(value, Text) and text == "null"):
        return None
    untyped = isinstance(value, Text)
    if kind in ("int", "bigint", "money"):
        limit = INT32 if kind == "int" else INT64
        if isinstance(value, str) and not untyped:
            raise BadValueError(f"{value!r} is a text, not a number", "Take the quotes away.")
        return _whole(value, -limit, limit - 1, "default")
    if kind == "bool":
        if untyped and text in ("true", "false"):
            return text == "true"
        return _flag(value, kind)
    if kind == "json":
        return _json_default(value)
    if isinstance(value, bool | dict | list):
        raise BadValueError(f"{value!r} is not a {kind}", f"Give a {kind}.")
    if kind == "float":
        return float(_bound(value, kind))
    if kind == "decimal":
        return _decimal(text)
    reader = _TEXT_VALUES.get(kind)
    if reader is not None:
        return reader(text)
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is a number, not a text", f'Quote it: "{value}".')
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
        raise BadValueError("control characters in a default", "Take them away.")
    return text


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > DECIMAL_LIMIT:
        raise BadValueError(f"'{text}' is not a decimal number", "For example `9.99`.")
    return number


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise BadValueError(f"'{text}' is not a date", "Write it as 2031-12-24.") from None


def _datetime(text: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise BadValueError(f"'{text}' is not a time", "Write it as 2031-12-24T18:00:00Z.") from None
    if moment.tzinfo is None:
        raise BadValueError(f"'{text}' has no time zone", f"Write `{text}Z` for UTC.")
    return moment.astimezone(datetime.UTC)


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise BadValueError(f"'{text}' is not a UUID", "Write 32 hexadecimal digits in five groups.") from None


def _email(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
        raise BadValueError(f"'{text}' is not an e-mail address", "For example `a@example.com`.")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s]+", text):
        raise BadValueError(f"'{text}' is not an http(s) address", "For example `https://example.com/`.")
    return text


def _json_default(value: Any) -> Any:
    if isinstance(value, Text):
        try:
            value = json.loads(str(value))
        except (ValueError, RecursionError):
            raise BadValueError(f"'{value}' is not JSON", "For example `={}` or, in YAML, `default: {}`.") from None
    if not isinstance(value, dict):
        raise BadValueError("the default of a json field is an object", "For example `{}`.")
    for name, item in value.items():
        if not isinstance(item, str | int | float | bool | None) or not isinstance(name, str):
            raise BadValueError(
                "the default of a json field is flat: names with texts, numbers, true, false or null", "`{}`"
            )
    return dict(value)


_TEXT_VALUES: Final = {"date": _date, "datetime": _datetime, "uuid": _uuid, "email": _email, "url": _url}
READ: Final[dict[str, Callable[[Any, FieldType], Any]]] = {
    "length": lambda value, _: _whole(value, 1, STR_LIMIT, "length"),
    "precision": lambda value, _: _whole(value, 1, DECIMAL_LIMIT, "precision"),
    "scale": lambda value, _: _whole(value, 0, DECIMAL_LIMIT, "scale"),
    "values": _values,
    "currencies": _currencies,
    "target": _target,
    "on_delete": _on_delete,
    "min": _bound,
    "max": _bound,
    "pattern": _pattern,
    "optional": _flag,
    "unique": _flag,
    "index": _flag,
    "default": _default,
}
"""How the value of each setting is read, by the setting's name; each raises `BadValueError`."""
