"""One migration as a sequence of files: the user's statements where they are safe, steps in place of the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import row_changes
from senior_backend.migrate.catalog_replay import apply
from senior_backend.migrate.lint import read_statements
from senior_backend.migrate.postgres_locks import locks
from senior_backend.migrate.rewrites import constraints
from senior_backend.migrate.rewrites.add_column import SERIAL
from senior_backend.migrate.rewrites.model import Context, Memory, Rewrite, Stage, Step, Unknown
from senior_backend.migrate.rewrites.registry import transformations
from senior_backend.migrate.rewrites.sql import commands, table_name
from senior_backend.migrate.rewrites.sqlite.rebuild import follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.catalog import Catalog
    from senior_backend.migrate.operations import Column, Name, Operation, ParsedStatement
    from senior_backend.migrate.statements import Engine

NUMBERS = 1000
"""How far the numbers of two migrations are apart; those in between are for the files into which one is parted."""
NO_WAY_BACK = "the migration that this came from has no way back"


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement, or one action of an ALTER TABLE, with what it does."""

    text: str
    operations: tuple[Operation, ...]
    line: int
    column: int
    head: str = ""
    """The head of an ALTER TABLE of which this is one of several actions."""
    action: str = ""
    parted: bool = False
    """Whether it is one of several drops that stood in one statement."""


@dataclass(frozen=True, slots=True)
class Part:
    """What goes into a file: a comment of the user, then a statement of theirs or the step that replaces it."""

    lead: str
    step: Step
    kept: bool
    head: str = ""
    action: str = ""
    tail: str = ""
    """Comments behind the last statement."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A statement that stays as it is although it is not safe, or was not understood."""

    line: int
    column: int
    code: str
    message: str
    advice: str


@dataclass(frozen=True, slots=True)
class File:
    """One migration file to write."""

    stage: Stage
    transaction: bool
    after_deploy: bool
    parts: tuple[Part, ...]
    down: tuple[str, ...]
    """Statements of the way back, in the order in which they run."""
    irreversible: str | None
    draft: str | None


@dataclass(slots=True)
class Plan:
    """The whole sequence."""

    files: list[File] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    rewritten: int = 0
    kept: int = 0

    @property
    def changed(self) -> bool:
        """Whether the sequence differs from the migration: a statement was replaced, or transactions were parted."""
        return self.rewritten > 0 or len(self.files) > 1


def pieces(parsed: ParsedStatement, engine: Engine) -> list[Piece]:
    """Return a statement as pieces: the actions of an ALTER TABLE one by one, where each can be read alone."""
    statement = parsed.statement
    whole = [Piece(statement.text, parsed.operations, statement.line, statement.column)]
    if len(parsed.operations) > 1 and engine == "postgresql":
        drops = [_one_drop(one) for one in parsed.operations]
        if all(drops):
            return [
                Piece(text, (one,), statement.line, statement.column, parted=True)
                for text, one in zip(drops, parsed.operations, strict=True)
                if text
            ]
    found = commands(statement.text)
    if found is None or len(found[1]) < 2 or parsed.clauses:
        return whole
    head, spans = found
    several: list[Piece] = []
    for start, end in spans:
        action = statement.text[start:end].strip()
        text = f"{head} {action}"
        read = read_statements(text, engine)
        if len(read) != 1 or any(isinstance(one, ops.Opaque) for one in read[0].operations):
            return whole
        line = statement.line + statement.text.count("\n", 0, start)
        several.append(Piece(text, read[0].operations, line, statement.column, head, action))
    return several


def _one_drop(operation: Operation) -> str | None:
    """Return the statement that drops one of several indexes or tables, None for any other operation."""
    if isinstance(operation, ops.DropIndex):
        words = ["DROP INDEX", "CONCURRENTLY" if operation.concurrently else ""]
        name = operation.index
    elif isinstance(operation, ops.DropTable):
        words, name = ["DROP TABLE"], operation.table
    else:
        return None
    words += ["IF EXISTS" if operation.if_exists else "", table_name(name), "CASCADE" if operation.cascade else ""]
    return " ".join(filter(None, words))


def plan(
    text: str,
    start: int,
    end: int,
    *,
    transaction: bool,
    catalog: Catalog,
    number: int,
    memory: Memory,
    down: str | None,
) -> Plan:
    """Return the sequence for the up section `text[start:end]`; `catalog` is changed as the section would change it.

    `down` is the text of the user's own way back, which goes with the statements that stay.
    """
    result = Plan()
    blanked = "".join("\n" if character == "\n" else " " for character in text[:start]) + text[start:end]
    engine = catalog.engine
    statements = read_statements(blanked, engine)
    parts: list[Part] = []
    keys = _ForeignKeys()
    earlier: list[Operation] = []
    undone: set[str] = set()
    position, lead = start, ""
    for place, parsed in enumerate(statements):
        later = tuple(operation for one in statements[place + 1 :] for operation in one.operations)
        lead = "\n".join(filter(None, (lead, _comments(text[position : parsed.statement.start]))))
        position = _behind(text, parsed.statement.end, end)
        for piece in pieces(parsed, engine):
            context = Context(catalog, piece.text, transaction, number, tuple(earlier), later, memory)
            steps = _rewrite(piece, context, result, undone)
            if memory.sqlite is not None and steps is None:
                follow(memory.sqlite, piece.text)
            if steps is None:
                result.kept += 1
                result.rewritten += piece.parted
                found = [_kept(piece, lead, context, transaction=transaction)]
                if found[0].step.changes_rows and any(one.step.tables for one in parts):
                    number += 1  # a file of its own: tables that were new until here may be in use behind it
            else:
                result.rewritten += 1
                found = [Part(lead if i == 0 else "", step, kept=False) for i, step in enumerate(steps)]
            keys.place(parts, found, piece, context)
            if steps != ():
                lead = ""
            for operation in piece.operations:
                if isinstance(operation, ops.Transaction):
                    transaction = operation.kind == "begin" or (transaction and operation.kind != "commit")
                remember(operation, piece.text, catalog, memory)
                apply(catalog, operation, number)
                earlier.append(operation)
    tail = _comments(text[position:end])
    if tail and parts:
        parts[-1] = replace(parts[-1], tail=tail)
    result.files = group(
        parts, _own_way_back(down, undone, engine), has_way_back=bool(down and read_statements(down, engine))
    )
    return result


@dataclass(frozen=True, slots=True)
class _ForeignKey:
    """A foreign key that the migration adds: the first part that does so, and the columns that there are by then."""

    table: Name
    columns: tuple[str, ...]
    first: Part
    there: frozenset[str]


@dataclass(slots=True)
class _ForeignKeys:
    """The foreign keys added so far: an index that serves one belongs in front of it, wherever the user made it."""

    added: list[_ForeignKey] = field(default_factory=list)

    def place(self, parts: list[Part], found: list[Part], piece: Piece, context: Context) -> None:
        """Put what a piece became into `parts`: in front of the foreign key that it serves, else behind all."""
        served = next((key for key in self.added if _goes_before(piece, key, context)), None)
        at = len(parts) if served is None else next(i for i, part in enumerate(parts) if part is served.first)
        parts[at:at] = found
        for operation in piece.operations:
            self._remember(operation, found, context)

    def _remember(self, operation: Operation, found: list[Part], context: Context) -> None:
        first = next((part for part in found if "foreign key" in " ".join(part.step.up).lower()), None)
        if first is None or not isinstance(operation, (ops.AddConstraint, ops.AddColumn)):
            return
        table = context.table(operation.table)
        own = operation.column.constraints if isinstance(operation, ops.AddColumn) else (operation.constraint,)
        for one in own:
            if one.kind == "foreign-key" and not context.is_new(operation.table):
                there = frozenset((*one.columns, *(table.columns if table is not None else ())))
                self.added.append(_ForeignKey(operation.table, one.columns, first, there))


def _goes_before(piece: Piece, key: _ForeignKey, context: Context) -> bool:
    if len(piece.operations) != 1 or not isinstance(index := piece.operations[0], ops.CreateIndex):
        return False
    named = {*(column.name for column in index.columns), *index.include}
    return named <= key.there and constraints.serves(index, key.table, key.columns, context.catalog)


def remember(operation: Operation, text: str, catalog: Catalog, memory: Memory) -> None:
    """Remember what the catalogue does not keep: columns declared as serial, and the text of views."""
    if isinstance(operation, ops.CreateView):
        memory.views[catalog.key(operation.name)] = text
    columns: tuple[Column, ...] = ()
    if isinstance(operation, ops.CreateTable):
        columns = operation.columns
    elif isinstance(operation, ops.AddColumn):
        columns = (operation.column,)
    for column in columns:
        if column.type is not None and column.type.name in SERIAL and isinstance(operation, ops.TableOperation):
            memory.serials.add((catalog.key(operation.table), column.name))


def _rewrite(piece: Piece, context: Context, result: Plan, undone: set[str]) -> tuple[Step, ...] | None:
    """Return the steps of a piece, None where it stays."""
    found = transformations(context.catalog.engine)
    for operation in piece.operations:
        if isinstance(operation, ops.Opaque):
            result.problems.append(
                Problem(piece.line, piece.column, "not-understood", f"not understood: {operation.reason}",
                        "It stays as it is; check it by hand.")
            )  # fmt: skip
            return None
        transformation = found.get(type(operation))
        if transformation is None:
            continue
        answer = transformation(operation, context)
        if isinstance(answer, Unknown):
            result.problems.append(Problem(piece.line, piece.column, "no-rewrite", answer.reason, answer.advice))
        elif isinstance(answer, Rewrite) and len(piece.operations) == 1:
            undone.update(answer.undone_by)
            result.assumptions.extend(one for one in context.assumptions if one not in result.assumptions)
            return answer.steps
        elif isinstance(answer, Rewrite):
            result.problems.append(
                Problem(piece.line, piece.column, "no-rewrite", "one statement does several things at once",
                        "Write one statement for each, and rewrite again.")
            )  # fmt: skip
    return None


def _kept(piece: Piece, lead: str, context: Context, *, transaction: bool) -> Part:
    catalog, tables = context.catalog, set()
    for operation in piece.operations:
        for name, _ in locks(operation, catalog) if catalog.engine == "postgresql" else ():
            known = catalog.table(name)
            if known is None or known.unit != context.number:
                tables.add(str(name))
    changes = any(row_changes.take_time(operation, context) for operation in piece.operations)
    step = Step("keep", "", (piece.text,), transaction=transaction, tables=frozenset(tables), changes_rows=changes)
    return Part(lead, step, True, piece.head, piece.action)


def _comments(text: str) -> str:
    return text.strip()


def _behind(text: str, position: int, end: int) -> int:
    """Return the offset behind a statement's semicolon."""
    while position < end and text[position].isspace():
        position += 1
    return position + 1 if position < end and text[position] == ";" else position


def group(parts: Sequence[Part], way_back: Sequence[str], *, has_way_back: bool) -> list[File]:
    """Return the parts as files: those that wait for a deployment last, and together only what may be.

    `way_back` is what is left of the user's own one; it goes with their own statements, else with a step that has none.
    """
    files: list[list[Part]] = []
    for after_deploy in (False, True):
        current: list[Part] = []
        for part in parts:
            if part.step.after_deploy != after_deploy:
                continue
            if current and not _fits(current, part):
                files.append(current)
                current = []
            current.append(part)
        if current:
            files.append(current)
    own = [i for i, one in enumerate(files) if any(part.kept for part in one)]
    lost = [i for i, one in enumerate(files) if any(part.step.irreversible for part in one)]
    holder = next(iter([*own, *lost, 0]))
    return [_file(one, way_back if i == holder else (), has_way_back=has_way_back) for i, one in enumerate(files)]


def _fits(current: Sequence[Part], part: Part) -> bool:
    first, step = current[0].step, part.step
    if (first.transaction, bool(first.irreversible)) != (step.transaction, bool(step.irreversible)):
        return False
    if {"backfill", "switch"} & {first.stage, step.stage} or first.draft or step.draft:
        return False
    if first.alone or step.alone:
        return False
    if not step.transaction:
        # Some tools send a file as one query, and so as one transaction: only what the user kept together stays so.
        return first.stage == step.stage == "keep"
    if step.changes_rows and any(one.step.tables for one in current):
        return False
    together = step.tables.union(*(one.step.tables for one in current))
    return len(together) <= 1 or together == first.tables


def _file(parts: Sequence[Part], way_back: Sequence[str], *, has_way_back: bool) -> File:
    first = parts[0].step
    stages = [part.step.stage for part in parts if part.step.stage != "keep"]
    down = [statement for part in reversed(parts) for statement in part.step.down]
    irreversible = next((part.step.irreversible for part in parts if part.step.irreversible), None)
    if way_back and not any(part.kept for part in parts):
        irreversible = None
    elif not has_way_back and any(part.kept for part in parts):
        irreversible = irreversible or NO_WAY_BACK
    return File(
        stage=stages[0] if stages else "keep",
        transaction=first.transaction,
        after_deploy=first.after_deploy,
        parts=tuple(parts),
        down=(*down, *way_back),
        irreversible=irreversible,
        draft=next((part.step.draft for part in parts if part.step.draft), None),
    )


def _own_way_back(down: str | None, undone: set[str], engine: Engine) -> list[str]:
    """Return those statements of the user's down section that the steps do not undo themselves."""
    if not down:
        return []
    kept: list[str] = []
    for parsed in read_statements(down, engine):
        left = [
            piece
            for piece in pieces(parsed, engine)
            if not piece.operations or not all(subject(operation) & undone for operation in piece.operations)
        ]
        kept.extend(piece.text for piece in left)
    return kept


def subject(operation: Operation) -> set[str]:  # noqa: PLR0911 - one for each kind of operation
    """Return what an operation is about, in the words of `Rewrite.undone_by`."""
    if isinstance(operation, ops.CreateIndex):
        return {f"index {operation.name}"}
    if isinstance(operation, ops.DropIndex):
        return {f"index {operation.index.name}"}
    if isinstance(operation, ops.AddColumn):
        return {f"column {operation.table}.{operation.column.name}"}
    if isinstance(operation, (ops.SetNotNull, ops.DropNotNull)):
        return {f"not null {operation.table}.{operation.column}"}
    if isinstance(operation, ops.AlterColumnType):
        return {f"type {operation.table}.{operation.column}"}
    if isinstance(operation, (ops.DropColumn, ops.RenameColumn)):
        return {f"column {operation.table}.{operation.column}"}
    if isinstance(operation, ops.AddConstraint):
        return {f"constraint {operation.constraint.name}"}
    if isinstance(operation, ops.DropConstraint):
        return {f"constraint {operation.name}"}
    if isinstance(operation, (ops.CreateTable, ops.DropTable, ops.RenameTable)):
        return {f"table {operation.table.name}"}
    if isinstance(operation, (ops.AttachPartition, ops.DetachPartition)):
        return {f"partition {operation.child.name}"}
    return set()
