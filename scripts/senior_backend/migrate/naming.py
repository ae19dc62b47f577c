"""What the name of a migration asks for: a fixed grammar, and the catalogue where the grammar leaves a choice.

create_X                             a table
create_join_table_X_Y                a join table; also create_X_Y_join_table
add_A_and_B_to_X                     columns
remove_A_and_B_from_X                the same, away
add_index_on_X_A_and_B               an index; also add_unique_index_on_…, add_A_index_to_X
remove_index_on_X_A                  the same, away
rename_A_to_B_in_X                   a column
rename_X_to_Y                        a table
drop_X                               a table
add_X_Y                              no rule: tables X and Y exist -> join table; only X -> a choice
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from senior_backend.console.errors import InputError, did_you_mean
from senior_backend.migrate.fields import Field, guess, plural, singular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Tables = Mapping[str, Mapping[str, str]]

Kind = Literal[
    "create-table", "join-table", "add-columns", "remove-columns", "add-index", "remove-index", "rename-table",
    "rename-column", "drop-table", "blank",
]  # fmt: skip
_INDEX_TO = re.compile(
    r"(?P<verb>add|remove)_(?P<columns>\w+?)_(?P<unique>unique_)?index_(?:on|to|from)_(?P<table>\w+)"
)
_SEPARATOR = re.compile(r"_and_")


@dataclass(frozen=True, slots=True)
class Intent:
    """What to write. `assumptions` are told in the file's header, `draft` says that somebody has to decide."""

    kind: Kind
    table: str = ""
    fields: tuple[Field, ...] = ()
    columns: tuple[str, ...] = ()
    other: str = ""
    unique: bool = False
    assumptions: tuple[str, ...] = ()
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """One reading of an ambiguous name, chosen with `--choose CHOICE`."""

    choice: str
    summary: str
    intent: Intent

    def to_json(self) -> dict[str, str]:
        """Return the candidate as JSON."""
        return {"choice": self.choice, "summary": self.summary, "kind": self.intent.kind, "table": self.intent.table}


def snake(name: str) -> str:
    """Return a name in snake case.

    Raises:
        InputError: it cannot be one.
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip()).replace("-", "_").lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", text) or "__" in text or text.endswith("_"):
        raise InputError(
            f"'{name[:60]}' is no name of a migration",
            code="bad-name",
            hint="Use letters, digits and single underscores, such as add_role_to_users.",
        )
    return text


def read_name(name: str, fields: Sequence[Field], tables: Tables | None) -> list[Candidate]:
    """Return the readings of a name; one where it is clear.

    `tables` is the catalogue, None where nothing is known about the database.
    """
    given = tuple(fields)
    for pattern, build in _RULES:
        match = pattern.fullmatch(name)
        if match:
            found = build(match.groupdict(), given, tables)
            if found is not None:
                return found
    return _without_rule(name, given, tables)


def spelled(intent: Intent, tables: Tables | None) -> Intent:
    """Return an intent with its table spelled as the catalogue has it: names here are snake case, `User` is not."""
    if tables is None or intent.table in tables or intent.kind in ("create-table", "join-table", "blank"):
        return intent
    plain = intent.table.replace("_", "")
    same = [table for table in tables if table.replace("_", "").lower() == plain]
    return replace(intent, table=same[0]) if len(same) == 1 else intent


def check(intent: Intent, tables: Tables | None) -> None:
    """Compare an intent with the catalogue.

    Raises:
        InputError: it needs a table or column that is not there, or makes one that is.
    """
    if tables is None or intent.kind == "blank":
        return
    if intent.kind in ("create-table", "join-table"):
        if intent.table in tables:
            raise _mismatch(f"table {intent.table} exists already", "Name another table, or add columns to this one.")
        for field in intent.fields:
            if field.refers and field.refers not in tables and field.refers != intent.table:
                raise _missing_table(field.refers, tables)
        return
    if intent.table not in tables:
        raise _missing_table(intent.table, tables)
    columns = tables[intent.table]
    if intent.kind == "add-columns":
        for field in intent.fields:
            if field.name in columns:
                raise _mismatch(
                    f"column {intent.table}.{field.name} exists already", "Name another column, or change this one."
                )
            if field.refers and field.refers not in tables:
                raise _missing_table(field.refers, tables)
    elif intent.kind in ("remove-columns", "add-index", "rename-column"):
        for column in intent.columns:
            if columns and column not in columns:
                raise _mismatch(
                    f"table {intent.table} has no column {column}{did_you_mean(column, columns)}",
                    f"Its columns are {', '.join(columns)}.",
                )
        if intent.kind == "rename-column" and intent.other in columns:
            raise _mismatch(f"column {intent.table}.{intent.other} exists already", "Choose another name.")
    elif intent.kind == "rename-table" and intent.other in tables:
        raise _mismatch(f"table {intent.other} exists already", "Choose another name.")


def _one(intent: Intent) -> list[Candidate]:
    return [Candidate(intent.kind, "", intent)]


def _create(groups: dict[str, str], fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate]:
    del tables
    return _one(Intent("create-table", groups["table"], fields, assumptions=_guessed(fields)))


def _join(groups: dict[str, str], fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate] | None:
    words = (groups.get("pair") or "").split("_")
    for position in range(1, len(words)):
        left, right = "_".join(words[:position]), "_".join(words[position:])
        pair = (_table_for(left, tables), _table_for(right, tables))
        if tables is None and len(words) != 2:
            continue
        if tables is None or (pair[0] in tables and pair[1] in tables):
            return _one(_join_intent(f"{singular(pair[0])}_{pair[1]}", pair, fields))
    raise InputError(
        "the name does not say which two tables to join",
        code="bad-name",
        hint="Write create_join_table_users_roles with two tables that exist.",
    )


def _add(groups: dict[str, str], fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate] | None:
    del tables
    chosen = fields or tuple(guess(name) for name in _SEPARATOR.split(groups["columns"]))
    return _one(Intent("add-columns", groups["table"], chosen, assumptions=_guessed(chosen)))


def _remove(groups: dict[str, str], fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate] | None:
    del tables
    columns = tuple(field.name for field in fields) or tuple(_SEPARATOR.split(groups["columns"]))
    return _one(Intent("remove-columns", groups["table"], fields, columns))


def _index(groups: dict[str, str], fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate] | None:
    kind: Kind = "remove-index" if groups["verb"] in ("remove", "drop") else "add-index"
    unique = bool(groups.get("unique"))
    rest = groups.get("rest") or ""
    if groups.get("table"):
        columns = tuple(_SEPARATOR.split(groups["columns"]))
        return _one(Intent(kind, groups["table"], columns=columns, unique=unique))
    if fields:
        return _one(Intent(kind, rest, columns=tuple(field.name for field in fields), unique=unique))
    if "_on_" in rest:
        table, _, columns_text = rest.partition("_on_")
        return _one(Intent(kind, table, columns=tuple(_SEPARATOR.split(columns_text)), unique=unique))
    words = rest.split("_")
    splits = [("_".join(words[:at]), "_".join(words[at:])) for at in range(1, len(words))]
    if tables is not None:
        for table, text in reversed(splits):
            if table in tables:
                return _one(Intent(kind, table, columns=tuple(_SEPARATOR.split(text)), unique=unique))
    if not splits:
        raise InputError(
            f"the name does not say which column of {rest} the index is on",
            code="bad-name",
            hint=f"Write add_index_on_{rest}_COLUMN.",
        )
    table, text = next((split for split in splits if split[0].endswith("s")), splits[0])
    note = f"{table} is the table and {text} the column"
    sure = len(splits) == 1
    return _one(
        Intent(
            kind,
            table,
            columns=tuple(_SEPARATOR.split(text)),
            unique=unique,
            assumptions=() if sure else (note,),
            draft=not sure,
        )
    )


def _rename_column(groups: dict[str, str], fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate]:
    del fields, tables
    return _one(Intent("rename-column", groups["table"], columns=(groups["old"],), other=groups["new"], draft=True))


def _rename_table(groups: dict[str, str], fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate]:
    del fields, tables
    return _one(Intent("rename-table", groups["old"], other=groups["new"]))


def _drop(groups: dict[str, str], fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate]:
    del fields, tables
    return _one(Intent("drop-table", groups["table"]))


_RULES = (
    (re.compile(r"create_join_table_(?P<pair>\w+)|create_(?P<pair2>\w+)_join_table|add_(?P<pair3>\w+)_join_table"),
     lambda groups, fields, tables: _join(
         {"pair": groups["pair"] or groups["pair2"] or groups["pair3"]}, fields, tables)),
    (re.compile(r"create_(?P<table>\w+?)(?:_table)?"), _create),
    (re.compile(r"drop_(?!index_|unique_)(?P<table>\w+?)(?:_table)?"), _drop),
    (re.compile(r"(?P<verb>add|remove|drop)_(?P<unique>unique_)?index_(?:on|to|from)_(?P<rest>\w+)"), _index),
    (_INDEX_TO, _index),
    (re.compile(r"add_(?P<columns>\w+)_to_(?P<table>\w+)"), _add),
    (re.compile(r"remove_(?P<columns>\w+)_from_(?P<table>\w+)"), _remove),
    (re.compile(r"rename_(?P<old>\w+)_to_(?P<new>\w+)_(?:in|on|of)_(?P<table>\w+)"), _rename_column),
    (re.compile(r"rename_(?P<old>\w+)_to_(?P<new>\w+)"), _rename_table),
)  # fmt: skip


def _without_rule(name: str, fields: tuple[Field, ...], tables: Tables | None) -> list[Candidate]:
    words = name.split("_")
    if words[0] != "add" or len(words) < 3:
        note = "the name follows no rule, so the statements are yours to write"
        return _one(Intent("blank", assumptions=(note,), draft=True))
    rest = words[1:]
    splits = [("_".join(rest[:at]), "_".join(rest[at:])) for at in range(1, len(rest))]
    if tables is not None:
        for left, right in splits:
            owner, other = _table_for(left, tables), _table_for(right, tables)
            if owner in tables and other in tables:
                return _one(_join_intent("_".join(rest), (owner, other), fields))
        for left, right in splits:
            owner = _table_for(left, tables)
            if owner in tables:
                return _choices("_".join(rest), owner, right, fields)
    left, right = splits[0]
    owner, other = _table_for(left, tables), _table_for(right, tables)
    intent = _join_intent("_".join(rest), (owner, other), fields)
    instead = f"if {owner} has no table {other} to join, use a column instead: add_{singular(right)}_to_{owner}"
    known = "the database has neither table" if tables is not None else "nothing is known about the database"
    assumption = f"{known}; assumed: {owner} and {other} are tables with a key id, and {intent.table} joins them"
    return _one(Intent(intent.kind, intent.table, intent.fields, assumptions=(assumption, instead), draft=True))


def _choices(table: str, owner: str, right: str, fields: tuple[Field, ...]) -> list[Candidate]:
    thing = singular(right)
    reference = Field(f"{singular(owner)}_id", "references", required=True, refers=owner, index="index")
    own = fields or (Field(thing, "string", required=True, guessed=True),)
    as_table = Intent("create-table", table, (reference, *own))
    column = fields or (Field(thing, "string", guessed=True),)
    return [
        Candidate("table", f"a new table {table}, many {right} for each row of {owner}", as_table),
        Candidate("column", f"a column {owner}.{column[0].name}", Intent("add-columns", owner, column)),
    ]


def _join_intent(table: str, pair: tuple[str, str], fields: tuple[Field, ...]) -> Intent:
    sides = tuple(Field(f"{singular(side)}_id", "references", required=True, refers=side) for side in pair)
    return Intent("join-table", table, (*sides, *fields))


def _table_for(word: str, tables: Tables | None) -> str:
    options = (word, plural(word), singular(word), plural(singular(word)))
    if tables is not None:
        for option in options:
            if option in tables:
                return option
    return plural(singular(word))


def _guessed(fields: Sequence[Field]) -> tuple[str, ...]:
    named = [f"{field.name} is {field.type}" for field in fields if field.guessed]
    return (f"types not given, assumed: {', '.join(named)}",) if named else ()


def _missing_table(table: str, tables: Tables) -> InputError:
    known = ", ".join(sorted(tables)[:20]) or "none"
    return _mismatch(f"there is no table {table}{did_you_mean(table, tables)}", f"Known tables: {known}.")


def _mismatch(message: str, hint: str) -> InputError:
    return InputError(message, code="catalogue-mismatch", hint=hint)
