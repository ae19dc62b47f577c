"""Fields of `new`: `name[:type[{modifiers}]][!][=default][:index|:unique]`, such as `role:string{30}!=member:index`.

`!` is NOT NULL. `references` makes a foreign key: `user:references` is `user_id` to `users`, and
`author:references{users}` is `author_id` to `users`. A bare name is a string, unless it ends like something else
(`…_at`, `…_on`, `…_id`, `…_count`) or starts with `is_` or `has_`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, did_you_mean
from senior_backend.console.report import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.statements import Engine

TYPES: dict[str, dict[str, str]] = {
    "string": {"postgresql": "text", "mysql": "varchar(255)", "sqlite": "text"},
    "text": {"postgresql": "text", "mysql": "text", "sqlite": "text"},
    "integer": {"postgresql": "integer", "mysql": "int", "sqlite": "integer"},
    "bigint": {"postgresql": "bigint", "mysql": "bigint", "sqlite": "integer"},
    "smallint": {"postgresql": "smallint", "mysql": "smallint", "sqlite": "integer"},
    "float": {"postgresql": "double precision", "mysql": "double", "sqlite": "real"},
    "decimal": {"postgresql": "numeric", "mysql": "decimal(19,4)", "sqlite": "numeric"},
    "boolean": {"postgresql": "boolean", "mysql": "boolean", "sqlite": "boolean"},
    "date": {"postgresql": "date", "mysql": "date", "sqlite": "date"},
    "time": {"postgresql": "time", "mysql": "time(6)", "sqlite": "time"},
    "datetime": {"postgresql": "timestamptz", "mysql": "datetime(6)", "sqlite": "datetime"},
    "uuid": {"postgresql": "uuid", "mysql": "char(36) CHARACTER SET ascii", "sqlite": "text"},
    "json": {"postgresql": "jsonb", "mysql": "json", "sqlite": "text"},
    "binary": {"postgresql": "bytea", "mysql": "longblob", "sqlite": "blob"},
    "references": {"postgresql": "bigint", "mysql": "bigint", "sqlite": "integer"},
}
ALIASES = {
    "str": "string", "varchar": "string", "int": "integer", "bool": "boolean", "timestamp": "datetime",
    "timestamptz": "datetime", "numeric": "decimal", "jsonb": "json", "bytes": "binary", "blob": "binary",
    "double": "float", "real": "float", "reference": "references", "belongs_to": "references",
}  # fmt: skip
_SIZED = {"string": {"postgresql": "varchar({})", "mysql": "varchar({})", "sqlite": "varchar({})"}}
_SIZED["decimal"] = {"postgresql": "numeric({})", "mysql": "decimal({})", "sqlite": "numeric({})"}
_FIELD = re.compile(
    r"(?P<name>[A-Za-z_]\w*)"
    r"(?::(?P<type>[A-Za-z_]\w*)(?:\{(?P<modifiers>[^}]*)\})?)?(?P<required>!)?(?:=(?P<default>'(?:[^']|'')*'|[^:]*))?"
    r"(?::(?P<index>[A-Za-z_]+))?"
)
_INDEXES = {"index": "index", "idx": "index", "unique": "unique", "uniq": "unique"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Field:
    """One column to be. `refers` is the table of a foreign key, `index` is `index`, `unique` or None."""

    name: str
    type: str
    modifiers: str = ""
    required: bool = False
    default: str | None = None
    index: str | None = None
    refers: str | None = None
    guessed: bool = False

    def sql_type(self, engine: Engine) -> str:
        """Return the engine's type; a reference's is overridden by that of the column it refers to."""
        dialect = "mysql" if engine == "mariadb" else engine
        if self.modifiers and self.type in _SIZED:
            return _SIZED[self.type][dialect].format(self.modifiers)
        return TYPES[self.type][dialect]

    def sql_default(self, engine: Engine) -> str | None:
        """Return the default as SQL."""
        if self.default is None:
            return None
        if self.type == "datetime":
            return {"postgresql": "now()", "sqlite": "CURRENT_TIMESTAMP"}.get(engine, "CURRENT_TIMESTAMP(6)")
        if self.type == "boolean":
            return "true" if self.default.lower() in ("true", "t", "1", "yes") else "false"
        if self.type in ("integer", "bigint", "smallint", "float", "decimal"):
            return self.default
        text = self.default.replace("'", "''")
        return "'" + (text.replace("\\", "\\\\") if engine in ("mysql", "mariadb") else text) + "'"

    def filler(self, engine: Engine) -> str | None:
        """Return a value that satisfies NOT NULL and means nothing, None where there is none."""
        values = {"string": "''", "text": "''", "integer": "0", "bigint": "0", "smallint": "0", "float": "0"}
        values |= {"decimal": "0", "boolean": "false"}
        return values.get(self.type) if not (self.type == "text" and engine in ("mysql", "mariadb")) else None


def parse_fields(texts: Sequence[str]) -> tuple[Field, ...]:
    """Return the fields that the words of a call describe.

    Raises:
        InputError: a word is no field, or a name comes twice; all of them are told.
    """
    found: list[Field] = []
    problems: list[Finding] = []
    for text in texts:
        try:
            field = _field(text)
            if any(other.name == field.name for other in found):
                raise _wrong(text, f"column {field.name} comes twice")
            found.append(field)
        except InputError as error:
            problems.extend(error.findings)
    if problems:
        first = problems[0]
        raise InputError(first.message, code=first.code, where=first.where, hint=first.fix, findings=tuple(problems))
    return tuple(found)


def guess(name: str) -> Field:
    """Return the field that a bare name most likely means."""
    kind = "string"
    if name.endswith("_id") and len(name) > 3:
        return Field(name, "references", refers=plural(name[:-3]), guessed=True)
    if name.endswith("_at"):
        kind = "datetime"
    elif name.endswith(("_on", "_date")):
        kind = "date"
    elif name.endswith("_count"):
        kind = "integer"
    elif name.startswith(("is_", "has_")):
        kind = "boolean"
    return Field(name, kind, guessed=True)


def plural(word: str) -> str:
    """Return the plural of an English noun, by the common rules."""
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|x|z|ch|sh)$", word) else "s")


def singular(word: str) -> str:
    """Return the singular of an English plural, by the common rules."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(ss|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _field(text: str) -> Field:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise _wrong(text, f"'{text}' is no field")
    name = match["name"].lower()
    index = None
    if match["index"] is not None:
        index = _INDEXES.get(match["index"].lower())
        if index is None:
            raise _wrong(text, f"unknown index '{match['index']}'{did_you_mean(match['index'], _INDEXES)}")
    if match["type"] is None:
        simple = guess(name)
        default = _default(text, simple.type, match["default"])
        return Field(name, simple.type, "", bool(match["required"]), default, index, simple.refers, guessed=True)
    kind = match["type"].lower()
    kind = ALIASES.get(kind, kind)
    if kind in _INDEXES and match["index"] is None:
        simple = guess(name)
        return Field(name, simple.type, index=_INDEXES[kind], refers=simple.refers, guessed=True)
    if kind not in TYPES:
        expanded = kind.startswith(("decimal", "numeric")) and kind.rstrip("0123456789") in (*TYPES, *ALIASES)
        guess_at = (
            " (a shell takes braces with a comma apart: put the field in quotes)"
            if expanded
            else did_you_mean(kind, [*TYPES, *ALIASES])
        )
        raise _wrong(text, f"unknown type '{match['type']}'{guess_at}")
    modifiers = match["modifiers"] or ""
    refers = None
    if kind == "references":
        refers = modifiers or plural(name.removesuffix("_id"))
        name, modifiers = name.removesuffix("_id") + "_id", ""
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", refers):
            raise _wrong(text, f"'{refers}' is no name of a table")
    elif modifiers and kind not in _SIZED:
        raise _wrong(text, f"type {kind} takes no modifiers")
    elif modifiers and not re.fullmatch(r"\d{1,5}" + (r"(,\d{1,3})?" if kind == "decimal" else ""), modifiers):
        raise _wrong(text, f"'{{{modifiers}}}' is no size of {kind}")
    default = _default(text, kind, match["default"])
    return Field(name, kind, modifiers, bool(match["required"]), default, index, refers)


def _default(text: str, kind: str, value: str | None) -> str | None:
    if value is None:
        return None
    value = value[1:-1].replace("''", "'") if len(value) > 1 and value[0] == value[-1] == "'" else value
    fits = {
        "integer": re.fullmatch(r"-?\d+", value),
        "bigint": re.fullmatch(r"-?\d+", value),
        "smallint": re.fullmatch(r"-?\d+", value),
        "float": _NUMBER.fullmatch(value),
        "decimal": _NUMBER.fullmatch(value),
        "boolean": value.lower() in ("true", "false", "t", "f", "1", "0", "yes", "no"),
        "datetime": value == "now",
        "references": False,
        "binary": False,
    }
    if not fits.get(kind, True):
        hint = "; for datetime only `now` is understood" if kind == "datetime" else ""
        raise _wrong(text, f"'{value}' is no default of type {kind}{hint}")
    return value


def _wrong(text: str, message: str) -> InputError:
    return InputError(
        message,
        code="bad-field",
        where=text,
        hint="Write name:type, such as role:string{30}!=member:index or user:references. Types: "
        + ", ".join(TYPES)
        + ".",
    )
