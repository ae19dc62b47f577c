"""From an intent to the statements of its files: already safe for the engine, with the way back.

PostgreSQL: indexes on existing tables are built CONCURRENTLY in files of their own, foreign keys are added NOT VALID
and validated by a later transaction. MySQL and MariaDB: every change of a table states its ALGORITHM and LOCK, so that
the server refuses instead of copying. SQLite: its ALTER TABLE is short, and what it cannot do is said.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from senior_backend.console.errors import InputError
from senior_backend.migrate import lock_waits
from senior_backend.migrate.fields import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from senior_backend.migrate.naming import Intent
    from senior_backend.migrate.statements import Engine

    Tables = Mapping[str, Mapping[str, str]]

# Words that at least one engine reserves and that people do name tables and columns.
_RESERVED_WORDS = (
    "all analyze and any array as asc between both by case cast check collate column condition constraint create cross "
    "cube current_date current_time current_timestamp current_user database default delete desc distinct div do drop "
    "else end except exists explain false fetch for foreign freeze from full function grant group groups having in "
    "index inner insert intersect interval into is join key keys kill lateral leading left like limit lines load lock "
    "match mod natural not null of offset on only option or order out outer over overlaps partition placing precision "
    "primary procedure range rank read recursive references regexp release rename repeat replace require return "
    "revoke right rlike row rows schema select session_user set show similar some spatial sql symmetric system table "
    "then to trailing trigger true union unique unlock unsigned update usage use user using values variadic verbose "
    "virtual when where while window with write"
)
_RESERVED = frozenset(_RESERVED_WORDS.split())


OperationKind = Literal["create-table", "add-column", "create-index", "drop-index", "foreign-key", "validate"]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a part does, for tools whose files are not SQL; `key` are the columns of a primary key."""

    kind: OperationKind
    table: str
    fields: tuple[Field, ...] = ()
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    unique: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One file to be: its slug, the statements of both directions, and what its header and marks say.

    `operations` say the same as the statements, where they can.
    """

    slug: str
    up: tuple[str, ...]
    down: tuple[str, ...] = ()
    transaction: bool = True
    irreversible: str | None = None
    after_deploy: bool = False
    notes: tuple[str, ...] = ()
    draft: bool = False
    operations: tuple[Operation, ...] = ()


def write(name: str, intent: Intent, engine: Engine, tables: Tables | None, *, timestamps: bool = True) -> list[Part]:
    """Return the files for an intent.

    Raises:
        InputError: the engine cannot do it to a table with rows, and nothing harmless comes near it.
    """
    parts = _Writer(name, intent, engine, tables or {}, timestamps=timestamps).parts()
    first = replace(parts[0], notes=(*intent.assumptions, *parts[0].notes))
    draft = intent.draft or any(part.draft for part in parts)
    return [replace(part, draft=draft) for part in (first, *parts[1:])]


def quoted(name: str, engine: Engine) -> str:
    """Return a name as SQL, in quotes only where it needs them."""
    if name.lower() not in _RESERVED and name.isidentifier() and name.isascii() and name == name.lower():
        return name
    mark = "`" if engine in ("mysql", "mariadb") else '"'
    return mark + name.replace(mark, mark * 2) + mark


class _Writer:
    def __init__(self, name: str, intent: Intent, engine: Engine, tables: Tables, *, timestamps: bool) -> None:
        self.name = name
        self.intent = intent
        self.engine = engine
        self.dialect = "mysql" if engine == "mariadb" else engine
        self.tables = tables
        self.timestamps = timestamps

    def parts(self) -> list[Part]:
        writers = {
            "create-table": self.create_table,
            "join-table": self.create_table,
            "add-columns": self.add_columns,
            "remove-columns": self.remove_columns,
            "add-index": self.add_index,
            "remove-index": self.remove_index,
            "rename-table": self.rename_table,
            "rename-column": self.rename_column,
            "drop-table": self.drop_table,
            "blank": self.blank,
        }
        return writers[self.intent.kind]()

    def blank(self) -> list[Part]:
        return [Part(self.name, ())]

    def q(self, name: str) -> str:
        return quoted(name, self.engine)

    def constraint(self, *words: str) -> str:
        """Return a name for an index or constraint, within 63 characters."""
        name = "_".join(words)
        if len(name) > 63:
            name = f"{name[:52]}_{hashlib.sha256(name.encode()).hexdigest()[:10]}"
        return self.q(name)

    def type_of(self, field: Field) -> str:
        if field.refers:
            kind = self.tables.get(field.refers, {}).get("id", "")
            kind = kind.replace("bigserial", "bigint").replace("BIGSERIAL", "bigint")
            if kind.lower() == "serial":
                kind = "integer"
            return kind or field.sql_type(self.engine)
        return field.sql_type(self.engine)

    def column(self, field: Field) -> str:
        text = f"{self.q(field.name)} {self.type_of(field)}"
        if field.required:
            text += " NOT NULL"
        default = field.sql_default(self.engine)
        return text + (f" DEFAULT {default}" if default is not None else "")

    def foreign_key(self, table: str, field: Field) -> str:
        action = " ON DELETE CASCADE" if self.intent.kind == "join-table" else ""
        return (
            f"CONSTRAINT {self.constraint(table, field.name, 'fkey')} FOREIGN KEY ({self.q(field.name)}) "
            f"REFERENCES {self.q(field.refers or '')} (id){action}"
        )

    def create_table(self) -> list[Part]:
        intent, table = self.intent, self.intent.table
        join = intent.kind == "join-table"
        sides = [field for field in intent.fields if field.refers and field.required] if join else []
        lines: list[str] = []
        if not join:
            key = {
                "postgresql": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                "mysql": "bigint NOT NULL AUTO_INCREMENT PRIMARY KEY",
                "sqlite": "integer PRIMARY KEY",
            }[self.dialect]
            if not any(field.name == "id" for field in intent.fields):
                lines.append(f"id {key}")
        lines.extend(self.column(field) for field in self._stamped())
        if join:
            lines.append(f"PRIMARY KEY ({', '.join(self.q(field.name) for field in sides[:2])})")
        lines.extend(
            f"CONSTRAINT {self.constraint(table, field.name, 'key')} UNIQUE ({self.q(field.name)})"
            for field in intent.fields
            if field.index == "unique"
        )
        lines.extend(self.foreign_key(table, field) for field in intent.fields if field.refers)
        body = ",\n".join(f"    {line}" for line in lines)
        end = ") ENGINE=InnoDB" if self.dialect == "mysql" else ")"
        up = [f"CREATE TABLE {self.q(table)} (\n{body}\n{end}"]
        # The first side of a join table is led by its primary key; MySQL makes the index of a foreign key itself.
        led = {sides[0].name} if sides else set()
        up.extend(
            f"CREATE INDEX {self.constraint(table, field.name, 'idx')} ON {self.q(table)} ({self.q(field.name)})"
            for field in intent.fields
            if field.index == "index" or (field.refers and field.index is None and field.name not in led)
            if not (self.dialect == "mysql" and field.refers)
        )
        parents = {field.refers for field in intent.fields if field.refers}
        done = Operation(
            "create-table", table, self._stamped(), key=tuple(side.name for side in sides[:2]), cascade=join
        )
        busy = self.engine == "postgresql" and parents
        statements = ((lock_waits.local(len(parents)),) if busy else ()) + tuple(up)
        return [Part(self.name, statements, (f"DROP TABLE {self.q(table)}",), operations=(done,))]

    def _stamped(self) -> tuple[Field, ...]:
        """Return the fields of a new table, with the times that rows are made and changed."""
        fields = self.intent.fields
        names = {field.name for field in fields}
        wanted = ("created_at",) if self.intent.kind == "join-table" else ("created_at", "updated_at")
        times = [Field(name, "datetime", required=True, default="now") for name in wanted if name not in names]
        return (*fields, *(times if self.timestamps else ()))

    def add_columns(self) -> list[Part]:
        fields, notes = self._filled(self.intent.fields)
        up = [self._alter(f"ADD COLUMN {self.column(field)}{self._inline(field)}", "INSTANT") for field in fields]
        down = [self._drop_column(field) for field in reversed(fields)]
        if self.engine == "sqlite":
            up.extend(self._index(field) for field in fields if self._wants_index(field))
            dropped = [
                f"DROP INDEX {self._index_name(field)}" for field in reversed(fields) if self._wants_index(field)
            ]
            return [Part(self.name, tuple(up), (*dropped, *down), draft=bool(notes), notes=notes)]
        added = tuple(Operation("add-column", self.intent.table, (field,)) for field in fields)
        guarded = self._guarded(up), self._guarded(down)
        parts = [Part(self.name, *guarded, draft=bool(notes), notes=notes, operations=added)]
        for field in fields:
            if self._wants_index(field):
                parts.append(self._index_part(field))
            if field.refers:
                parts.extend(self._foreign_key_parts(field))
        return parts

    def remove_columns(self) -> list[Part]:
        table, known = self.intent.table, self.tables.get(self.intent.table, {})
        specs = {field.name: field for field in self.intent.fields if not field.guessed}
        up = [self._alter(f"DROP COLUMN {self.q(column)}", "INPLACE, LOCK=NONE") for column in self.intent.columns]
        down: list[str] = []
        unknown = []
        for column in self.intent.columns:
            kind = self.type_of(specs[column]) if column in specs else known.get(column)
            if kind:
                down.append(self._alter(f"ADD COLUMN {self.q(column)} {kind}", "INSTANT"))
            else:
                unknown.append(column)
        reason = f"the type of {', '.join(unknown)} is not known" if unknown else None
        notes = (
            f"Deploy an application that no longer reads or writes {', '.join(self.intent.columns)} of {table} first.",
            "down brings the column back, empty; its values are gone for good.",
        )
        return [
            Part(
                self.name,
                self._guarded(up),
                () if unknown else self._guarded(down),
                irreversible=reason,
                after_deploy=True,
                notes=notes,
            )
        ]

    def add_index(self) -> list[Part]:
        return [self._whole_index(self.name, remove=False)]

    def remove_index(self) -> list[Part]:
        return [self._whole_index(self.name, remove=True)]

    def rename_table(self) -> list[Part]:
        old, new = self.q(self.intent.table), self.q(self.intent.other)
        if self.engine == "sqlite":
            notes = ("The running application must use the new name from then on.",)
            there, back = f"ALTER TABLE {old} RENAME TO {new}", f"ALTER TABLE {new} RENAME TO {old}"
            return [Part(self.name, (there,), (back,), notes=notes)]
        view = f"CREATE VIEW {old} AS SELECT * FROM {new}"  # noqa: S608 - quoted names
        if self.dialect == "mysql":
            up = (f"RENAME TABLE {old} TO {new}", view)
            down = (f"DROP VIEW {old}", f"RENAME TABLE {new} TO {old}")
        else:
            up = (f"ALTER TABLE {old} RENAME TO {new}", view)
            down = (f"DROP VIEW {old}", f"ALTER TABLE {new} RENAME TO {old}")
        note = (
            f"The view {self.intent.table} serves applications that still use the old name, for reading and writing; "
            "drop it when none does."
        )
        return [Part(self.name, self._guarded(up), self._guarded(down), notes=(note,))]

    def rename_column(self) -> list[Part]:
        table, old, new = self.q(self.intent.table), self.q(self.intent.columns[0]), self.q(self.intent.other)
        note = (
            "A renamed column breaks every application that is running. `db_migrate.py rewrite FILE` turns this into "
            "steps that keep old and new applications working: a new column, a trigger, a backfill, a later drop."
        )
        up = (f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}",)
        down = (f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}",)
        return [Part(self.name, self._guarded(up), self._guarded(down), notes=(note,), draft=True)]

    def drop_table(self) -> list[Part]:
        table = self.intent.table
        notes = (f"Deploy an application that no longer uses {table} first.",)
        reason = "the rows are gone; restore them from a backup"
        return [
            Part(
                self.name,
                self._guarded((f"DROP TABLE {self.q(table)}",)),
                irreversible=reason,
                after_deploy=True,
                notes=notes,
            )
        ]

    def _filled(self, fields: tuple[Field, ...]) -> tuple[tuple[Field, ...], tuple[str, ...]]:
        """Return the fields with a value for the rows that exist, and notes where it is not what anybody asked for."""
        done: list[Field] = []
        notes: list[str] = []
        for field in fields:
            if self.engine == "sqlite" and field.default == "now" and field.type == "datetime":
                raise InputError(
                    "SQLite adds no column whose default is an expression",
                    code="engine-cannot",
                    where=field.name,
                    hint="Leave the default out, and let the application set the time.",
                )
            if not field.required or field.default is not None:
                done.append(field)
                continue
            filler = field.filler(self.engine)
            if filler is None:
                raise InputError(
                    f"{field.name} is NOT NULL, and there is no value for the rows that exist",
                    code="needs-value",
                    where=field.name,
                    hint="Give it a default (name:type!=value), or add it without `!`, fill it, and make it NOT NULL "
                    "in a later migration.",
                )
            notes.append(
                f"{field.name} is NOT NULL: rows that exist get {filler}. Give the value that they should have."
            )
            done.append(replace(field, default=filler.strip("'")))
        return tuple(done), tuple(notes)

    def _wants_index(self, field: Field) -> bool:
        return field.index is not None or field.refers is not None

    def _index_name(self, field: Field) -> str:
        return self.constraint(self.intent.table, field.name, "key" if field.index == "unique" else "idx")

    def _index(self, field: Field) -> str:
        unique = "UNIQUE " if field.index == "unique" else ""
        return f"CREATE {unique}INDEX {self._index_name(field)} ON {self.q(self.intent.table)} ({self.q(field.name)})"

    def _index_part(self, field: Field) -> Part:
        columns = (field.name,)
        slug = f"add_index_to_{self.intent.table}_{field.name}"
        return self._index_file(slug, columns, self._index_name(field), unique=field.index == "unique", remove=False)

    def _whole_index(self, slug: str, *, remove: bool) -> Part:
        intent = self.intent
        name = self.constraint(intent.table, *intent.columns, "key" if intent.unique else "idx")
        return self._index_file(slug, intent.columns, name, unique=intent.unique, remove=remove)

    def _index_file(self, slug: str, columns: tuple[str, ...], name: str, *, unique: bool, remove: bool) -> Part:
        table = self.q(self.intent.table)
        kind = "UNIQUE INDEX" if unique else "INDEX"
        listed = ", ".join(self.q(column) for column in columns)
        if self.dialect == "postgresql":
            make = f"CREATE {kind} CONCURRENTLY {name} ON {table} ({listed})"
            away = f"DROP INDEX CONCURRENTLY {name}"
        elif self.dialect == "mysql":
            make = f"ALTER TABLE {table} ADD {kind} {name} ({listed}), ALGORITHM=INPLACE, LOCK=NONE"
            away = f"ALTER TABLE {table} DROP INDEX {name}, ALGORITHM=INPLACE, LOCK=NONE"
        else:
            make, away = f"CREATE {kind} {name} ON {table} ({listed})", f"DROP INDEX {name}"
        up, down = (away, make) if remove else (make, away)
        done = Operation("drop-index" if remove else "create-index", self.intent.table, columns=columns, unique=unique)
        return Part(slug, (up,), (down,), transaction=self.engine != "postgresql", operations=(done,))

    def _inline(self, field: Field) -> str:
        if self.engine == "sqlite" and field.refers:
            return f" REFERENCES {self.q(field.refers)} (id)"
        return ""

    def _foreign_key_parts(self, field: Field) -> list[Part]:
        table = self.intent.table
        name = self.constraint(table, field.name, "fkey")
        slug = f"{table}_{field.name}_foreign_key"
        alter = f"ALTER TABLE {self.q(table)}"
        if self.engine == "postgresql":
            waits = lock_waits.in_transaction([self.q(one) for one in dict.fromkeys((table, field.refers)) if one])
            away = (*waits, f"{alter} DROP CONSTRAINT {name}")
            added = (*waits, f"{alter} ADD {self.foreign_key(table, field)} NOT VALID")
            note = "Validating changes no row and cannot be taken back; the way back is that of the file before it."
            return [
                Part(f"add_{slug}", added, away, operations=(Operation("foreign-key", table, (field,)),)),
                Part(
                    f"validate_{slug}",
                    (f"{alter} VALIDATE CONSTRAINT {name}",),
                    ("SELECT 1",),
                    notes=(note,),
                    operations=(Operation("validate", table, (field,)),),
                ),
            ]
        # With checks on the server copies the table; the column is new, so there is nothing to check.
        add = f"{alter} ADD {self.foreign_key(table, field)}, ALGORITHM=INPLACE, LOCK=NONE"
        up = ("SET SESSION foreign_key_checks = 0", add, "SET SESSION foreign_key_checks = 1")
        down = (f"{alter} DROP FOREIGN KEY {name}, ALGORITHM=INPLACE, LOCK=NONE",)
        return [Part(f"add_{slug}", up, down)]

    def _alter(self, action: str, algorithm: str) -> str:
        clause = f", ALGORITHM={algorithm}" if self.dialect == "mysql" else ""
        return f"ALTER TABLE {self.q(self.intent.table)} {action}{clause}"

    def _drop_column(self, field: Field) -> str:
        return self._alter(f"DROP COLUMN {self.q(field.name)}", "INPLACE, LOCK=NONE")

    def _guarded(self, statements: tuple[str, ...] | list[str]) -> tuple[str, ...]:
        return (lock_waits.local(1), *statements) if self.engine == "postgresql" else tuple(statements)
