"""From two models to an Alembic revision that adds, and never takes away what old releases still use."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from senior_backend.console.errors import InputError
from senior_backend.console.report import Finding
from senior_backend.scaffold.model import MISSING
from senior_backend.scaffold.stacks.contract import MigrationChange, RenderedFile
from senior_backend.scaffold.stacks.fastapi import tables
from senior_backend.scaffold.stacks.fastapi.rendering import render_template

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from senior_backend.scaffold.model import Service
    from senior_backend.scaffold.stacks.fastapi.tables import Check, Column, Named, Table

_T = TypeVar("_T")
VERSIONS = "migrations/versions"
SLUG_LENGTH = 40


@dataclass
class TableChange:
    """What changes in one table; `rebuild` is what SQLite can only do by making the table anew."""

    before: Table
    add: list[Column] = field(default_factory=list)
    relax: list[Column] = field(default_factory=list)
    require: list[Column] = field(default_factory=list)
    widen: list[tuple[Column, Column]] = field(default_factory=list)
    checks_out: list[Check] = field(default_factory=list)
    checks_in: list[Check] = field(default_factory=list)
    uniques_out: list[Named] = field(default_factory=list)
    uniques_in: list[Named] = field(default_factory=list)
    indexes_out: list[Named] = field(default_factory=list)
    indexes_in: list[Named] = field(default_factory=list)

    @property
    def rebuild(self) -> bool:
        """Whether SQLite has to make the table anew."""
        references = any(column.reference for column in self.add)
        changes = (self.relax, self.require, self.widen, self.checks_out, self.checks_in)
        return references or any((*changes, self.uniques_out, self.uniques_in))

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.rebuild or self.add or self.indexes_in or self.indexes_out)

    @property
    def after(self) -> Table:
        """The table as the revision leaves it: columns that the model no longer has stay, without NOT NULL."""
        changed = {column.name: _with(column, nullable=True) for column in self.relax}
        changed |= {column.name: _with(column, nullable=False) for column in self.require}
        changed |= {column.name: column for _, column in self.widen}
        columns = [changed.get(column.name, column) for column in self.before.columns]
        return tables.Table(
            self.before.name,
            (*columns, *self.add),
            (*_without(self.before.uniques, self.uniques_out), *self.uniques_in),
            (*_without(self.before.checks, self.checks_out), *self.checks_in),
            (*_without(self.before.indexes, self.indexes_out), *self.indexes_in),
        )


def migration(previous: Service | None, current: Service, *, number: int, down_revision: str | None) -> MigrationChange:
    """Return the revision from `previous` to `current`; without a change there is no file."""
    old = _tables(previous) if previous is not None else {}
    new = _tables(current)
    findings: list[Finding] = []
    made = _in_order([new[name] for name in new if name not in old])
    changes = [_change(old[name], new[name], findings) for name in new if name in old]
    changes = [change for change in changes if not change.empty]
    links_old = {link.table for one in old.values() for link, _ in one.links}
    links = [
        (link, one.name, target) for one in new.values() for link, target in one.links if link.table not in links_old
    ]
    findings += [_left("table", name, f'op.drop_table("{name}")') for name in old if name not in new]
    identity = current.identity if previous is None or previous.identity is None else None
    if any(finding.severity == "error" for finding in findings):
        return MigrationChange(None, tuple(findings))
    if not (made or changes or links or previous is None or identity):
        return MigrationChange(None, tuple(findings))
    # Two branches may both write revision N: the hash keeps them apart, so that Alembic and `heads` see two heads.
    content_key = hashlib.sha256(repr((previous, current, down_revision)).encode()).hexdigest()[:6]
    revision = f"{number:04d}_{content_key}"
    deferred = _deferred(made)
    title = "initial" if previous is None else _title(made, changes, links)
    content = render_template(
        "migration/revision.py.jinja",
        revision=revision,
        down_revision=down_revision,
        title=title.replace("_", " "),
        first=previous is None,
        accounts=identity.plural if identity else None,
        made=made,
        deferred=deferred,
        changes=changes,
        links=links,
        ID_TYPE=tables.ID_TYPE,
        TIME_TYPE=tables.TIME_TYPE,
        server_default=server_default,
    )
    return MigrationChange(RenderedFile(f"{VERSIONS}/{revision}_{title}.py", content), tuple(findings))


def heads(project: Path) -> list[str]:
    """Return the revisions that no other one follows.

    Raises:
        InputError: a revision file cannot be read.
    """
    revisions: dict[str, tuple[str, ...]] = {}
    for path in sorted((project / VERSIONS).glob("*.py")):
        try:
            values = _assigned(ast.parse(path.read_bytes()))
        except (SyntaxError, ValueError) as error:
            raise InputError(
                f"{path.name} is not a revision: {error}", code="bad-revision", where=str(path), hint="Repair the file."
            ) from error
        if isinstance(values.get("revision"), str):
            down = values.get("down_revision")
            revisions[values["revision"]] = (down,) if isinstance(down, str) else tuple(down or ())
    followed = {down for downs in revisions.values() for down in downs}
    return sorted(set(revisions) - followed)


def _assigned(tree: ast.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in ("revision", "down_revision"):
                    found[target.id] = ast.literal_eval(node.value)
    return found


def server_default(column: Column, dialect: str) -> str | None:
    """Return the text of a constant default, which the database quotes; None where the column has none."""
    value = column.default
    if value is MISSING:
        return None
    if isinstance(value, bool):
        return ("1" if value else "0") if dialect == "sqlite" else ("true" if value else "false")
    if isinstance(value, Decimal):
        scale = int(column.type.rpartition(",")[2].strip(" )"))
        return str(int(value.scaleb(scale))) if dialect == "sqlite" else str(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def _tables(service: Service) -> dict[str, Table]:
    found = (tables.table(service, resource) for resource in service.resources)
    return {one.name: one for one in found}


def _in_order(made: list[Table]) -> list[Table]:
    """Return tables so that each comes after those it refers to, as far as cycles allow."""
    waiting, done = list(made), []
    names = {one.name for one in made}
    placed: set[str] = set()
    while waiting:
        ready = [one for one in waiting if not (_targets(one) & names) - placed - {one.name}]
        for one in ready or waiting[:1]:
            waiting.remove(one)
            done.append(one)
            placed.add(one.name)
    return done


def _deferred(made: list[Table]) -> set[str]:
    """Return the foreign keys that have to wait until every table is there."""
    placed: set[str] = set()
    names = {one.name for one in made}
    found = set()
    for one in made:
        placed.add(one.name)
        later = {column.foreign_key for column in one.columns if column.reference in names - placed}
        found |= later
    return found


def _targets(one: Table) -> set[str]:
    return {column.reference for column in one.columns if column.reference}


def _change(before: Table, after: Table, findings: list[Finding]) -> TableChange:
    change = TableChange(before)
    old, new = ({column.name: column for column in one.columns} for one in (before, after))
    for name, column in new.items():
        where = f"{after.name}.{name}"
        if name not in old:
            _add(change, column, where, findings)
        elif name in old:
            _alter(change, old[name], column, where, findings)
    for name, column in old.items():
        if name not in new:
            if not column.nullable:
                change.relax.append(column)
            findings.append(_left("column", f"{before.name}.{name}", f'op.drop_column("{before.name}", "{name}")'))
    gone = set(old) - set(new)
    change.checks_out, change.checks_in = _differences(before.checks, after.checks)
    change.uniques_out, change.uniques_in = _differences(before.uniques, after.uniques)
    change.indexes_out, change.indexes_in = _differences(before.indexes, after.indexes)
    change.checks_out = [check for check in change.checks_out if check.column not in gone]
    on_old_rows = [unique for unique in change.uniques_in if not set(unique.columns) <= set(new) - set(old)]
    findings += [
        Finding(
            "unique-on-existing-rows",
            "warning",
            f"{after.name}: the migration fails when two rows share {', '.join(unique.columns)}",
            f"{after.name}.{unique.columns[0]}",
            f"Look first for duplicates: group {after.name} by {unique.columns[0]} having count(*) > 1.",
        )
        for unique in on_old_rows
    ]
    _explain_checks(change, findings)
    return change


def _add(change: TableChange, column: Column, where: str, findings: list[Finding]) -> None:
    if not column.nullable and column.default is MISSING:
        findings.append(
            Finding(
                "required-without-default",
                "error",
                f"{where} is required and has no default: rows that are there have no value for it, and running "
                "releases do not send one",
                where,
                "Give it a default; or make it optional, migrate, fill it in, and make it required in a later run.",
            )
        )
        return
    change.add.append(column)


def _alter(change: TableChange, old: Column, new: Column, where: str, findings: list[Finding]) -> None:
    if old.migration_type != new.migration_type:
        if not _wider(old.migration_type, new.migration_type):
            findings.append(
                Finding(
                    "type-change",
                    "error",
                    f"{where} changes from {old.type} to {new.type}, which rewrites or loses data",
                    where,
                    "Add a field of the new type, copy the values, and remove the old one later.",
                )
            )
            return
        change.widen.append((old, new))
    if old.reference != new.reference or old.on_delete != new.on_delete:
        findings.append(
            Finding(
                "reference-change",
                "error",
                f"{where} refers to another table, or deletes in another way",
                where,
                "Add a field for the new reference, copy the values, and remove the old one later.",
            )
        )
    if old.nullable and not new.nullable:
        change.require.append(new)
        findings.append(
            Finding(
                "required-on-existing-rows",
                "warning",
                f"the migration fails when a row has no value in {where}",
                where,
                f"Fill in {new.name} of {change.before.name} first, in batches, where it is null.",
            )
        )
    elif new.nullable and not old.nullable:
        change.relax.append(new)


def _wider(old: str, new: str) -> bool:
    if new == "sa.Text()":
        return old.startswith("sa.String(")
    if old == "sa.Integer()":
        return False  # a rewrite of the table on PostgreSQL
    if not (old.startswith("sa.String(") and new.startswith("sa.String(")):
        return False
    return int(new[10:-1]) > int(old[10:-1])


def _explain_checks(change: TableChange, findings: list[Finding]) -> None:
    old = {check.column: check for check in change.checks_out}
    for check in change.checks_in:
        lost = [value for value in old[check.column].values if value not in check.values] if check.column in old else []
        if lost:
            findings.append(
                Finding(
                    "enum-value-removed",
                    "warning",
                    f"the migration fails when a row still has one of {lost} in {change.before.name}.{check.column}",
                    f"{change.before.name}.{check.column}",
                    "Change those rows first, with a release that no longer writes the value.",
                )
            )


def _left(kind: str, where: str, drop: str) -> Finding:
    return Finding(
        f"{kind}-left-in-place",
        "warning",
        f"{kind} {where} is no longer in the model; the migration leaves it and its data",
        where,
        f"When no release uses it any more, write a revision with {drop}; before that its name cannot be used again.",
    )


def _differences(old: Iterable[_T], new: Iterable[_T]) -> tuple[list[_T], list[_T]]:
    before, after = list(old), list(new)
    return [one for one in before if one not in after], [one for one in after if one not in before]


def _without(all_of: Iterable[Any], out: Iterable[Any]) -> list[Any]:
    gone = list(out)
    return [one for one in all_of if one not in gone]


def _with(column: Column, *, nullable: bool) -> Column:
    return replace(column, nullable=nullable)


def _title(made: list[Table], changes: list[TableChange], links: list[Any]) -> str:
    parts = [f"add_{one.name}" for one in made]
    for change in changes:
        parts += [f"add_{change.before.name}_{column.name}" for column in change.add]
    parts += [f"link_{source}_{target}" for _, source, target in links]
    if not parts:
        parts = [f"change_{change.before.name}" for change in changes]
    return "_and_".join(parts)[:SLUG_LENGTH].rstrip("_") or "change"
