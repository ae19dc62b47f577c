"""What a rewrite is made of: steps in an order that is safe, each with its way back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from senior_backend.migrate.rewrites.sql import in_schema, made

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from senior_backend.migrate.catalog import Catalog, Table
    from senior_backend.migrate.operations import Name, Operation

_NEXTVAL = re.compile(r"nextval\('(?P<sequence>[^']+)'(?:::(?:pg_catalog\.)?regclass)?\)", re.IGNORECASE)

Stage = Literal["keep", "expand", "backfill", "validate", "switch", "contract"]


@dataclass(frozen=True, slots=True)
class Step:
    """Statements that belong into one migration file.

    `transaction` says whether they run in one transaction or each in its own. `down` undoes them, in its own order;
    `irreversible` is the reason why nothing can. `after_deploy` marks what may only run once no running version of the
    application needs the old schema.
    """

    stage: Stage
    purpose: str
    up: tuple[str, ...]
    down: tuple[str, ...] = ()
    transaction: bool = True
    after_deploy: bool = False
    irreversible: str | None = None
    draft: str | None = None
    """What a person has to decide before the step may run."""
    tables: frozenset[str] = frozenset()
    """Tables that are locked strongly; two of them do not share a transaction unless one step says so."""
    alone: bool = False
    """Shares its transaction, and so its file, with no other step."""
    changes_rows: bool = False
    """Changes or copies rows of a table in use: no strong lock may be held meanwhile."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The steps that take the place of one statement, and what was taken for granted."""

    steps: tuple[Step, ...]
    assumptions: tuple[str, ...] = ()
    undone_by: tuple[str, ...] = ()
    """Subjects (see `subject`) whose statements in the user's down section the steps undo themselves."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No rewrite: why, and what to do instead."""

    reason: str
    advice: str


@dataclass(slots=True)
class Memory:
    """What was seen in statements and the catalogue does not keep.

    `serials` are (key of a table, column) of columns declared as serial, `views` the statements that made views,
    `sqlite` is a copy of the schema that SQLite itself keeps, for SQLite only.
    """

    serials: set[tuple[tuple[str, str], str]] = field(default_factory=set)
    views: dict[tuple[str, str], str] = field(default_factory=dict)
    sqlite: sqlite3.Connection | None = None


@dataclass(slots=True)
class Context:
    """What a transformation may look at."""

    catalog: Catalog
    """The schema right before the operation."""
    text: str
    """The statement, with one action where it is an ALTER TABLE."""
    transaction: bool
    """Whether the user's file runs in one transaction."""
    number: int = 0
    """Number of the file among those that were replayed."""
    earlier: Sequence[Operation] = ()
    """Operations of the file before this one."""
    later: Sequence[Operation] = ()
    """Operations of the file behind this statement."""
    memory: Memory = field(default_factory=Memory)
    assumptions: list[str] = field(default_factory=list)

    def table(self, name: Name) -> Table | None:
        """Return what is known about a table."""
        return self.catalog.table(name)

    def is_new(self, name: Name) -> bool:
        """Whether the file itself creates the table, so that nobody uses it yet."""
        found = self.catalog.table(name)
        return found is not None and (found.unit == self.number or found.temporary)

    def sequence_of(self, name: Name, column: str) -> str | None:
        """Return the sequence that a serial column draws from and owns, as SQL; None for any other column."""
        if (self.catalog.key(name), column) in self.memory.serials:
            return in_schema(name, made(name.name, column, "seq"))
        own = self.catalog.column(name, column)
        match = _NEXTVAL.match(own.default.sql) if own is not None and own.default is not None else None
        return match["sequence"] if match else None
