"""Values as Python source. Nothing that a user wrote reaches generated code by any other way."""

from __future__ import annotations

import json
import keyword
import math
import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from senior_backend.console.errors import InputError

MAX_IDENTIFIER_BYTES = 63
"""PostgreSQL cuts longer names; two of them would collide."""

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_BASE_MODEL = frozenset(
    "construct copy dict from_orm json parse_file parse_obj parse_raw schema schema_json "  # noqa: SIM905 - one list
    "update_forward_refs validate".split()
)


def identifier(name: str, where: str) -> str:
    """Return `name` when it can stand in source as it is.

    Raises:
        InputError: it is not a snake_case name of ASCII letters, digits and underscores, or it is too long.
    """
    if not _IDENTIFIER.fullmatch(name) or len(name) > MAX_IDENTIFIER_BYTES:
        raise InputError(
            f"{where}: {name!r} is not a snake_case name",
            code="bad-name",
            where=where,
            hint=f"Use a-z, 0-9 and _, beginning with a letter, at most {MAX_IDENTIFIER_BYTES} characters.",
        )
    return name


def storable(value: Any, where: str) -> None:
    """Let text through that every database can hold, inside lists and objects too.

    Raises:
        InputError: it holds a control character other than a tab or a line break, or half of a surrogate pair.
    """
    if isinstance(value, str):
        if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n\r" for char in value):
            raise InputError(
                f"{where}: {value!r} holds a character that a database cannot store",
                code="bad-text",
                where=where,
                hint="Leave control characters out.",
            )
    elif isinstance(value, dict):
        for inner in (*value.keys(), *value.values()):
            storable(inner, where)
    elif isinstance(value, list | tuple):
        for inner in value:
            storable(inner, where)


def module_name(plural: str) -> str:
    """Return the name of a resource's package; a keyword gets an underscore."""
    return f"{plural}_" if keyword.iskeyword(plural) else plural


def attribute(name: str) -> str:
    """Return the attribute of a Pydantic model for a column; names that Python or Pydantic need get an underscore."""
    taken = keyword.iskeyword(name) or name in _BASE_MODEL or name.startswith(("model_", "_"))
    return f"{name}_" if taken else name


def python(value: Any) -> str:
    """Return `value` as a Python expression, with double quotes and nothing but ASCII.

    Raises:
        TypeError: there is no literal for it.
    """
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, str):
        quote = "'" if value.count('"') > value.count("'") else '"'
        return f"{quote}{''.join(_escaped(char, quote) for char in value)}{quote}"
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value()
        return f"Decimal({int(value)})" if whole else f"Decimal({python(str(value))})"
    if isinstance(value, UUID):
        return f"UUID({python(str(value))})"
    if isinstance(value, datetime):
        return f"Moment.fromisoformat({python(value.isoformat())})"
    if isinstance(value, date):
        return f"Day({value.year}, {value.month}, {value.day})"
    if isinstance(value, tuple):
        return f"({arguments(value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{arguments(value)}]"
    if isinstance(value, set | frozenset):
        return f"{{{arguments(sorted(value))}}}" if value else "set()"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{python(key)}: {python(inner)}" for key, inner in value.items()) + "}"
    raise TypeError(f"no literal for {type(value).__name__}")


def arguments(values: Any) -> str:
    """Return values as the arguments of a call."""
    return ", ".join(python(value) for value in values)


def json_literal(value: Any) -> str:
    """Return `value` as JSON, which is also YAML and TOML."""
    return json.dumps(value)


def words(name: str) -> str:
    """Return a name as plain words for titles and prose: letters, digits and spaces."""
    return " ".join(re.findall(r"[A-Za-z0-9]+", name)) or "service"


def distribution(name: str) -> str:
    """Return a name as distributions, images and Kubernetes objects are called: lower case, digits and hyphens."""
    parts = re.findall(r"[a-z0-9]+", name.lower())
    return "-".join(parts)[:50].strip("-") or "service"


def import_line(module: str, names: set[str], width: int = 120) -> str:
    """Return a sorted `from module import names`, wrapped as ruff formats it."""
    ordered = sorted(names, key=lambda name: (_rank(name), name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= width:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in ordered) + ")"


def _escaped(char: str, quote: str) -> str:
    if char in (quote, "\\"):
        return f"\\{char}"
    code = ord(char)
    if 0x20 <= code < 0x7F:
        return char
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _rank(name: str) -> int:
    bare = name.partition(" as ")[0]
    if bare.isupper() and len(bare) > 1:
        return 0
    return 1 if bare[0].isupper() else 2
