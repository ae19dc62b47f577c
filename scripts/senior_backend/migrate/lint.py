"""The linter: migrations in, hazards out. Pure: it reads no file and opens no connection."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError
from senior_backend.migrate import operations as ops
from senior_backend.migrate.catalog_replay import apply
from senior_backend.migrate.hazards.rule import Context, Hazard, Rule, TransactionState, Unit
from senior_backend.migrate.lint_suppressions import Suppression, suppressions_in
from senior_backend.migrate.placeholders import as_names
from senior_backend.migrate.values import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from senior_backend.console.report import Severity
    from senior_backend.migrate.catalog import Catalog
    from senior_backend.migrate.operations import Operation, ParsedStatement
    from senior_backend.migrate.statements import Engine


@value
class Found:
    """A hazard at its place; `rule` is None where the linter itself speaks (a comment without a reason)."""

    path: str
    line: int
    column: int
    start: int
    end: int
    code: str
    severity: Severity
    hazard: Hazard
    rule: Rule | None = None

    @property
    def where(self) -> str:
        """The place as messages show it."""
        return f"{self.path}:{self.line}:{self.column}"


@value
class NotUnderstood:
    """A statement, or part of one, that nobody could read; it was not checked."""

    path: str
    line: int
    column: int
    start: int
    end: int
    reason: str

    @property
    def where(self) -> str:
        """The place as messages show it."""
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(slots=True)
class LintResult:
    """What the linter found; `statements` counts those that were checked."""

    found: list[Found] = field(default_factory=list)
    not_understood: list[NotUnderstood] = field(default_factory=list)
    suppressed: list[tuple[Found, str]] = field(default_factory=list)
    statements: int = 0
    files: int = 0


def read_statements(text: str, engine: Engine) -> list[ParsedStatement]:
    """Return the statements of a script with what each does.

    Raises:
        InputError: a quote or comment never ends.
    """
    if engine == "postgresql":
        from senior_backend.migrate.postgres import read as read_postgresql

        return read_postgresql(text)
    from senior_backend.migrate.generic import read

    return read(text, engine)


class Linter:
    """Checks migrations one after the other against `catalog`, which it changes as they would change the database."""

    def __init__(self, catalog: Catalog, rules: Sequence[Rule], version: tuple[int, ...] | None = None) -> None:
        self.catalog = catalog
        self.version = version or catalog.version
        self.result = LintResult()
        self._rules = rules
        self._checks: dict[type[Operation], list[Rule]] = {}
        for rule in rules:
            for operation in rule.on:
                self._checks.setdefault(operation, []).append(rule)
        self._rollback_checks = {
            operation: [rule for rule in found if rule.checks_rollback] for operation, found in self._checks.items()
        }
        self._finishers = [rule for rule in rules if rule.finish is not None]
        self._said: set[tuple[str, str]] = set()
        self._number = 0
        self._search_path = catalog.search_path

    def run(self, units: Iterable[Unit]) -> LintResult:
        """Check, or only replay, each migration in order; return all that was found.

        Raises:
            InputError: a quote or comment of a file never ends.
        """
        # A parsed file is a large, acyclic heap: the collector would walk it again and again and free nothing.
        collecting = gc.isenabled()
        gc.disable()
        try:
            for unit in units:
                self._unit(unit)
        finally:
            if collecting:
                gc.enable()
        return self.result

    def _unit(self, unit: Unit) -> None:
        self._number += 1
        self.catalog.search_path = self._search_path  # each migration has a session of its own
        engine = self.catalog.engine
        statements = _read(unit, engine)
        if unit.unreadable is not None and unit.lint:
            self.result.not_understood.append(NotUnderstood(unit.path, 1, 1, 0, 0, unit.unreadable))
        if not unit.lint:
            for parsed in statements:
                for operation in parsed.operations:
                    apply(self.catalog, operation, self._number)
            return
        self.result.files += 1
        self.result.statements += len(statements)
        context = self._lint(unit, statements)
        if unit.rollback is not None:
            self._way_back(unit.rollback, statements, context)

    def _way_back(self, unit: Unit, undone: list[ParsedStatement], before: Context | None) -> None:
        """Check how a migration is undone, on the schema that it leaves behind, which stays as it is."""
        statements = _read(unit, self.catalog.engine)
        self.result.statements += len(statements)
        schema, self.catalog = self.catalog, self.catalog.copy()
        try:
            self._lint(unit, statements, tuple(undone), before.added if before is not None else set())
        finally:
            self.catalog = schema

    def _lint(
        self,
        unit: Unit,
        statements: list[ParsedStatement],
        undone: tuple[ParsedStatement, ...] | None = None,
        added: Iterable[tuple[tuple[str, str], str]] = (),
    ) -> Context | None:
        """Check a migration, or the way back from `undone`, which has added the columns `added`."""
        found: list[Found] = []
        context = None
        if statements:
            context = Context(
                self.catalog,
                unit,
                self._number,
                statements,
                self.version,
                statements[0],
                TransactionState(),
                unit.transaction,
                added=set(added),
                undone=undone or (),
            )
            checks = self._checks if undone is None else self._rollback_checks
            for rule, hazard, parsed in self._check(context, checks):
                found.append(_at(unit, hazard.statement or parsed, rule, hazard))
        self._keep(unit, found, suppressions_in(unit.text, statements))
        return context

    def _check(
        self, context: Context, checks: dict[type[Operation], list[Rule]]
    ) -> Iterator[tuple[Rule, Hazard, ParsedStatement]]:
        unit, statements, catalog, number = context.unit, context.statements, self.catalog, self._number
        wrapped = unit.transaction is True
        for position, parsed in enumerate(statements):
            context.position = position
            if not wrapped and not context.transaction.explicit:
                # Autocommit, or nobody knows: what a statement locks it gives back; SET LOCAL is believed.
                kept = context.transaction.settings if unit.transaction is None else {}
                context.transaction = TransactionState(settings=kept)
            context.statement = parsed
            context.in_transaction = True if (context.transaction.explicit or parsed.block) else unit.transaction
            for operation in parsed.operations:
                kind = type(operation)
                for rule in checks.get(kind, ()):
                    for hazard in rule.check(operation, context):  # type: ignore[misc]
                        yield rule, hazard, parsed
                if kind in _REMEMBERED:
                    _remember(context, operation, parsed)
                elif isinstance(operation, ops.Opaque):
                    self._not_understood(unit, parsed, operation)
                context.transaction.operations.append((operation, parsed))
                apply(catalog, operation, number)
        for rule in self._rules:
            if rule.finish is not None and (checks is self._checks or rule.checks_rollback):
                for hazard in rule.finish(context):
                    yield rule, hazard, statements[-1]

    def _not_understood(self, unit: Unit, parsed: ParsedStatement, operation: ops.Opaque) -> None:
        statement = parsed.statement
        if operation.offset is None:
            # The same for the same reason, such as another CALL of one procedure: said once a migration.
            key = (unit.path, operation.reason)
            if key in self._said:
                return
            self._said.add(key)
        line, column = statement.line, statement.column
        if operation.offset is not None:
            before = unit.text[: operation.offset]
            line, column = before.count("\n") + 1, operation.offset - before.rfind("\n")
        self.result.not_understood.append(
            NotUnderstood(unit.path, line, column, statement.start, statement.end, operation.reason)
        )

    def _keep(self, unit: Unit, found: list[Found], suppressions: list[Suppression]) -> None:
        known = {rule.id for rule in self._rules}
        used: set[int] = set()
        for one in found:
            for index, suppression in enumerate(suppressions):
                if suppression.reason and suppression.covers(one.code, one.start):
                    used.add(index)
                    self.result.suppressed.append((one, suppression.reason))
                    break
            else:
                self.result.found.append(one)
        for index, suppression in enumerate(suppressions):
            hazard = suppression.problem(known, used=index in used)
            if hazard is not None:
                code, severity, message, fix = hazard
                self.result.found.append(
                    Found(
                        unit.path,
                        suppression.line,
                        suppression.column,
                        suppression.start,
                        suppression.end,
                        code,
                        severity,
                        Hazard(message, fix),
                    )
                )


def _read(unit: Unit, engine: Engine) -> list[ParsedStatement]:
    """Read a migration; errors of its text name its file."""
    try:
        return read_statements(as_names(unit.text), engine)
    except InputError as error:
        where = error.where.replace("<sql>", unit.path, 1) if error.where else unit.path
        raise InputError(error.message, code=error.code, hint=error.hint, where=where) from error


def _at(unit: Unit, parsed: ParsedStatement, rule: Rule, hazard: Hazard) -> Found:
    place = parsed.statement
    return Found(
        unit.path,
        place.line,
        place.column,
        place.start,
        place.end,
        rule.id,
        hazard.severity or rule.severity,
        hazard,
        rule,
    )


_REMEMBERED = frozenset((ops.AddColumn, ops.Transaction, ops.SetVariable, ops.Insert, ops.Update, ops.Delete))


def _remember(context: Context, operation: Operation, parsed: ParsedStatement) -> None:
    """Write down in the context what later statements of the same transaction may have to know."""
    state = context.transaction
    if isinstance(operation, ops.Transaction):
        if operation.kind == "begin":
            context.transaction = TransactionState(explicit=True)
        elif operation.kind in ("commit", "rollback", "prepare"):
            context.transaction = TransactionState()
    elif isinstance(operation, ops.SetVariable):
        if operation.name == "all":
            state.settings.clear()
            context.settings.clear()
        elif operation.local:
            state.settings[operation.name] = operation.value
        else:
            context.settings[operation.name] = operation.value
    elif isinstance(operation, ops.AddColumn):
        context.added.add((context.catalog.key(operation.table), context.catalog.fold(operation.column.name)))
    elif state.data is None:
        state.data = parsed
