"""The catalogue of a live database: PostgreSQL's own tables, or the CREATE statements that MySQL and SQLite give."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import UnavailableError
from senior_backend.migrate.catalog import Catalog, Dependent, Domain, Index, Table, TableKind
from senior_backend.migrate.catalog_replay import apply
from senior_backend.migrate.operations import (
    Column,
    Constraint,
    ConstraintKind,
    CreateIndex,
    Name,
    PartitionKey,
    Type,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.operations import PartitionBound


def read(url: str) -> tuple[Catalog, set[str]]:
    """Return the catalogue of the database at `url`, and the versions of the migrations that it has already.

    Raises:
        InputError: the URL is not understood.
        UnavailableError: the database does not answer, or refuses to be read.
    """
    from senior_backend.console import environment
    from senior_backend.migrate.databases.base import DatabaseError
    from senior_backend.migrate.databases.opening import open_database
    from senior_backend.migrate.databases.urls import parse_url

    address = parse_url(url)
    if address.engine == "postgresql":
        environment.ensure("migrate", ["psycopg", "postgast"])
    database = open_database(address, read_only=True)
    try:
        applied = _applied(database)
        if database.engine == "postgresql":
            return read_postgresql(database), applied
        if database.engine == "sqlite":
            return read_sqlite(database), applied
        return read_mysql(database), applied
    except DatabaseError as error:
        raise UnavailableError(
            f"the schema of {address.shown} cannot be read: {error.message}",
            code="schema-not-readable",
            where=address.shown,
            hint="Use a role that may read the catalogue.",
        ) from error
    finally:
        database.close()


def _applied(database: Database) -> set[str]:
    if not database.has_table("schema_migrations"):
        return set()
    rows = database.query(f"SELECT version FROM {database.own('schema_migrations')}")  # noqa: S608 - our own name
    return {str(row[0]) for row in rows}


def read_sqlite(database: Database) -> Catalog:
    """Return the catalogue of an SQLite database, out of the statements that made it."""
    rows = database.query(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type = 'table' DESC, type = 'index' DESC, rowid"
    )
    catalog = _replayed(Catalog("sqlite", complete=True, version=database.version), (str(row[0]) for row in rows))
    enforced = database.query("PRAGMA foreign_keys")
    if enforced:
        catalog.settings["foreign_keys"] = "on" if enforced[0][0] else "off"
    return catalog


def read_mysql(database: Database) -> Catalog:
    """Return the catalogue of a MySQL or MariaDB database, out of SHOW CREATE TABLE."""
    listed = database.query(
        "SELECT table_name, table_type, table_rows FROM information_schema.tables WHERE table_schema = DATABASE()"
    )
    tables = [str(name) for name, kind, _ in listed if str(kind).upper().endswith("TABLE")]
    statements = []
    for table in tables:
        quoted = "`" + table.replace("`", "``") + "`"
        statements.append(str(database.query(f"SHOW CREATE TABLE {quoted}")[0][1]))
    catalog = _replayed(Catalog(database.engine, complete=True, version=database.version), statements)
    for name, _, rows in listed:
        found = catalog.table(Name(str(name)))
        if found is not None and rows is not None:
            found.rows = int(rows)
    timeout = database.query("SELECT @@GLOBAL.lock_wait_timeout")
    catalog.settings["lock_wait_timeout"] = str(timeout[0][0])
    return catalog


def _replayed(catalog: Catalog, statements: Iterable[str]) -> Catalog:
    from senior_backend.migrate import generic

    for parsed in generic.read(";\n".join(statements), catalog.engine):
        for operation in parsed.operations:
            apply(catalog, operation)
    return catalog


def read_postgresql(database: Database) -> Catalog:
    """Return the catalogue of a PostgreSQL database."""
    catalog = Catalog("postgresql", complete=True, version=_postgres_version(database))
    for name, value in database.query(
        "SELECT lower(name), reset_val FROM pg_settings WHERE lower(name) IN ('lock_timeout', 'statement_timeout', "
        "'timezone')"
    ):
        catalog.settings[str(name)] = str(value)
    path = database.query("SELECT current_schemas(false)")
    catalog.search_path = tuple(path[0][0]) if path and path[0][0] else catalog.search_path
    names = _relations(database, catalog)
    _columns(database, names)
    _constraints(database, catalog, names)
    _indexes(database, catalog, names)
    _partitions(database, names)
    _dependents(database, catalog, names)
    _types(database, catalog)
    return catalog


def _postgres_version(database: Database) -> tuple[int, ...]:
    number = int(str(database.query("SELECT current_setting('server_version_num')")[0][0]))
    return number // 10000, number % 10000


_KINDS: dict[str, TableKind] = {
    "r": "table",
    "p": "partitioned",
    "v": "view",
    "m": "materialized-view",
    "f": "foreign",
}


def _relations(database: Database, catalog: Catalog) -> dict[int, Table]:
    tables: dict[int, Table] = {}
    parents: dict[int, int] = {}
    for oid, schema, name, kind, rows, security, parent in database.query(
        "SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.reltuples::bigint, c.relrowsecurity, "
        "(SELECT i.inhparent::bigint FROM pg_inherits AS i WHERE i.inhrelid = c.oid AND c.relispartition) "
        "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
        "AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') "
        "AND n.nspname NOT LIKE 'pg\\_temp%' ORDER BY c.oid"
    ):
        table = Table(Name(name, schema), _KINDS[kind], rows=max(int(rows), 0) or None, row_security=bool(security))
        tables[oid] = catalog.tables[(schema, name)] = table
        if parent is not None:
            parents[oid] = parent
    for child, parent in parents.items():
        if parent in tables:
            tables[child].parent = tables[parent].name
            tables[parent].partitions.add(tables[child].name)
    for oid, trigger in database.query("SELECT tgrelid::bigint, tgname FROM pg_trigger WHERE NOT tgisinternal"):
        if oid in tables:
            tables[oid].triggers.add(trigger)
    return tables


def _columns(database: Database, tables: dict[int, Table]) -> None:
    for oid, name, type_, not_null, default, generated, identity, collation in database.query(
        "SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
        "pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text, a.attidentity::text, "
        "CASE WHEN a.attcollation <> t.typcollation THEN l.collname END "
        "FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid "
        "LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
        "LEFT JOIN pg_collation AS l ON l.oid = a.attcollation "
        "WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"
    ):
        table = tables.get(oid)
        if table is None:
            continue
        expression = _expression(default)
        table.columns[name] = Column(
            name,
            _type(type_),
            not_null,
            None if generated else expression,
            {"s": "stored", "v": "virtual"}.get(generated),  # type: ignore[arg-type]
            expression if generated else None,
            {"a": "always", "d": "by default"}.get(identity),
            collation,
        )


def _expression(text: str | None) -> Any:
    if text is None:
        return None
    from senior_backend.migrate.postgres import expression

    try:
        return expression(text)
    except ValueError:  # a newer server's syntax, or nested too deeply: the rules do without it
        return None


def _type(text: str) -> Type:
    from senior_backend.migrate.postgres import type_of

    try:
        return type_of(text)
    except ValueError:
        return Type(text)


_CONSTRAINT_KINDS: dict[str, ConstraintKind] = {
    "c": "check",
    "f": "foreign-key",
    "u": "unique",
    "p": "primary-key",
    "x": "exclude",
    "n": "not-null",
}
_ACTIONS = {"c": "cascade", "n": "set null", "d": "set default", "r": "restrict"}


def _constraints(database: Database, catalog: Catalog, tables: dict[int, Table]) -> None:
    for oid, name, kind, valid, columns, parent, keys, delete, update, deferrable, check in database.query(
        "SELECT c.conrelid::bigint, c.conname, c.contype::text, c.convalidated, "
        "(SELECT array_agg(a.attname ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place) "
        "JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number), c.confrelid::bigint, "
        "(SELECT array_agg(a.attname ORDER BY k.place) FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place) "
        "JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.number), "
        "c.confdeltype::text, c.confupdtype::text, c.condeferrable, pg_get_expr(c.conbin, c.conrelid) "
        "FROM pg_constraint AS c WHERE c.conrelid <> 0"
    ):
        table = tables.get(oid)
        if table is None or kind not in _CONSTRAINT_KINDS:
            continue
        parent_table = tables.get(parent)
        table.constraints[name] = Constraint(
            _CONSTRAINT_KINDS[kind],
            name,
            tuple(columns or ()) if kind != "c" else (),
            _expression(check) if kind == "c" else None,
            parent_table.name if parent_table else None,
            tuple(keys or ()),
            valid,
            on_delete=_ACTIONS.get(delete),
            on_update=_ACTIONS.get(update),
            deferrable=deferrable,
        )
        if parent_table is not None:
            catalog.referrers.setdefault(catalog.key(parent_table.name), set()).add(catalog.key(table.name))


def _indexes(database: Database, catalog: Catalog, tables: dict[int, Table]) -> None:
    rows = database.query(
        "SELECT i.indrelid::bigint, c.relname, "
        "(SELECT array_agg(a.attname ORDER BY k.place) "
        "FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) "
        "LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number <> 0), "
        "i.indnkeyatts, i.indisunique, i.indisvalid, m.amname, pg_get_expr(i.indpred, i.indrelid), "
        "(SELECT array_agg(DISTINCT a.attname) FROM pg_depend AS d JOIN pg_attribute AS a "
        "ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid "
        "WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid), "
        "(SELECT x.contype::text FROM pg_constraint AS x "
        "WHERE x.conindid = i.indexrelid AND x.contype IN ('p', 'u', 'x') LIMIT 1), "
        "pg_get_indexdef(i.indexrelid) "
        "FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS m ON m.oid = c.relam"
    )
    known = [row for row in rows if row[0] in tables]
    for row, definition in zip(known, _definitions([row[-1] for row in known]), strict=True):
        oid, name, columns, keys, unique, valid, method, where, mentioned, backs = row[:-1]
        table = tables[oid]
        key_columns = tuple(columns or ())[:keys]
        table.indexes[name] = Index(
            name,
            key_columns,
            unique,
            valid,
            method,
            _expression(where),
            frozenset(mentioned or ()) | frozenset(column for column in (columns or ()) if column),
            _CONSTRAINT_KINDS.get(backs) if backs else None,
            keys=definition.columns if definition else (),
            include=tuple(columns or ())[keys:],
            nulls_distinct=definition is None or definition.nulls_distinct,
        )
        schema = table.name.schema or ""
        catalog.index_tables[(schema, name)] = (schema, table.name.name)


def _definitions(texts: list[str]) -> list[CreateIndex | None]:
    """Return what the statements that would make the indexes say; None where a newer server's syntax is not known."""
    from senior_backend.migrate.postgres import read as read_statements

    operations = [parsed.operations[0] for parsed in read_statements(";\n".join(texts))]
    return [one if isinstance(one, CreateIndex) else None for one in operations]


_STRATEGIES = {"r": "range", "l": "list", "h": "hash"}


def _partitions(database: Database, tables: dict[int, Table]) -> None:
    for oid, strategy, columns in database.query(
        "SELECT p.partrelid::bigint, p.partstrat::text, "
        "(SELECT array_agg(a.attname ORDER BY k.place) "
        "FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (number, place) "
        "LEFT JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = k.number AND k.number <> 0) "
        "FROM pg_partitioned_table AS p"
    ):
        if oid in tables:
            tables[oid].partition_key = PartitionKey(_STRATEGIES[strategy], tuple(columns))
    for oid, bound in database.query(
        "SELECT oid::bigint, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relpartbound IS NOT NULL"
    ):
        if oid in tables:
            tables[oid].bound = _bound(bound)


def _bound(text: str) -> PartitionBound | None:
    from senior_backend.migrate.postgres import bound

    try:
        return bound(text)
    except ValueError:
        return None


def _dependents(database: Database, catalog: Catalog, tables: dict[int, Table]) -> None:
    """Read which columns views, rules, policies and triggers name, and which tables the views read."""
    reads: dict[int, set[Name]] = {}
    for oid, kind, name, view, columns in database.query(
        "SELECT d.refobjid::bigint, CASE WHEN v.relkind = 'm' THEN 'materialized-view' WHEN r.rulename = '_RETURN' "
        "THEN 'view' WHEN r.oid IS NOT NULL THEN 'rule' WHEN p.oid IS NOT NULL THEN 'policy' ELSE 'trigger' END, "
        "coalesce(CASE WHEN r.rulename <> '_RETURN' THEN r.rulename END, p.polname, t.tgname), "
        "CASE WHEN r.rulename = '_RETURN' THEN r.ev_class::bigint END, "
        "array_agg(DISTINCT a.attname) FILTER (WHERE a.attname IS NOT NULL) "
        "FROM pg_depend AS d "
        "LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid "
        "LEFT JOIN pg_class AS v ON v.oid = r.ev_class AND r.rulename = '_RETURN' "
        "LEFT JOIN pg_policy AS p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid "
        "LEFT JOIN pg_trigger AS t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid AND NOT t.tgisinternal "
        "LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0 "
        "WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> coalesce(v.oid, 0) "
        "AND (r.oid IS NOT NULL OR p.oid IS NOT NULL OR t.oid IS NOT NULL) GROUP BY 1, 2, 3, 4"
    ):
        source, reader = tables.get(oid), tables.get(view)
        if source is None:
            continue
        if reader is not None:
            reads.setdefault(view, set()).add(source.name)
        if columns:
            own = reader.name if reader is not None else Name(str(name))
            source.dependents.append(Dependent(str(kind), own, frozenset(columns)))
    for oid, names in reads.items():
        tables[oid].reads = tuple(sorted(names))
    catalog.views.update(catalog.key(tables[oid].name) for oid in reads)


def _types(database: Database, catalog: Catalog) -> None:
    for name, labels in database.query(
        "SELECT t.typname, array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_type AS t "
        "JOIN pg_enum AS e ON e.enumtypid = t.oid GROUP BY t.typname"
    ):
        catalog.enums[name] = tuple(labels)
    domains: dict[str, Domain] = {}
    for name, base, not_null, names, checks, default in database.query(
        "SELECT t.typname, format_type(t.typbasetype, t.typtypmod), t.typnotnull, "
        "(SELECT array_agg(c.conname ORDER BY c.oid) FROM pg_constraint AS c "
        "WHERE c.contypid = t.oid AND contype = 'c'), "
        "(SELECT array_agg(pg_get_expr(c.conbin, 0) ORDER BY c.oid) FROM pg_constraint AS c "
        "WHERE c.contypid = t.oid AND contype = 'c'), pg_get_expr(t.typdefaultbin, 0) FROM pg_type AS t "
        "JOIN pg_namespace AS n ON n.oid = t.typnamespace "
        "WHERE t.typtype = 'd' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
    ):
        conditions = dict(zip(names or (), checks or (), strict=True))
        constrained = bool(not_null or conditions)
        domains[name] = Domain(_type(base), constrained, conditions, bool(not_null), _expression(default))
    for name, domain in domains.items():
        inherited = domain.base.name in domains and domains[domain.base.name].constrained
        catalog.domains[name] = replace(domain, constrained=domain.constrained or inherited)
    for name, volatility in database.query(
        "SELECT p.proname, max(CASE p.provolatile WHEN 'v' THEN '3volatile' WHEN 's' THEN '2stable' ELSE '1immutable' "
        "END) FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace "
        "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') GROUP BY p.proname"
    ):
        catalog.functions[name] = str(volatility)[1:]
