"""Views that read a column which is about to be replaced: they hold on to the column itself, not to its name.

What a view is beside its query (owner, privileges, comments, options, defaults, triggers and rules of its own) is
seldom in the migrations of a project, so the server is asked when the step runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.migrate.operations import Name
from senior_backend.migrate.rewrites.model import Unknown
from senior_backend.migrate.rewrites.sql import ident, literal, table_name, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.catalog import Table
    from senior_backend.migrate.rewrites.model import Context

KEPT = "db_migrate.views"
"""A setting of the transaction, in which the definitions wait between the drop and the creation."""


@dataclass(frozen=True, slots=True)
class Readers:
    """Views that may read a column, and all views above them, each behind what it reads."""

    all: tuple[Name, ...] = ()

    def dropped(self) -> tuple[str, ...]:
        """Return the statements that note what the views are and drop them; one that is not known keeps them all."""
        if not self.all:
            return ()
        names = ", ".join(map(table_name, reversed(self.all)))
        return (_noted(self.all), f"DROP VIEW {names}")

    def created(self) -> tuple[str, ...]:
        """Return the statement that makes them again, with the columns that have the names now."""
        if not self.all:
            return ()
        return (f"DO $$\nBEGIN\n  EXECUTE current_setting({literal(KEPT)});\nEND $$",)


def readers(table: Table, written: Name, column: str, context: Context) -> Readers | Unknown:
    """Return the views to which replacing a column matters, or why it cannot be replaced.

    `written` is the table as the migration writes it; the views are written alike.
    """
    catalog = context.catalog
    views = {key: view for key, view in catalog.tables.items() if view.kind in ("view", "materialized-view")}
    reads = {key: {catalog.key(one) for one in view.reads} for key, view in views.items()}
    own = catalog.key(table.name)
    direct = [key for key in views if own in reads[key] and _mentions(context.memory.views.get(key), column)]
    found: list[tuple[str, str]] = []
    while True:
        # A view is behind what it reads: a round takes those that read nothing more which is still to come.
        above = [key for key in views if key not in found and (key in direct or reads[key] & set(found))]
        ready = [key for key in above if not reads[key] & set(above)]
        if not ready:
            break
        found += ready
    stored = next((views[key].name for key in found if views[key].kind == "materialized-view"), None)
    if stored is not None:
        return Unknown(
            f"the materialized view {stored} reads {table.name}.{column} and holds on to the old column",
            "Drop it in a migration before, and create it again WITH NO DATA behind, then REFRESH it.",
        )
    return Readers(tuple(_as_written(views[key].name, table.name, written) for key in found))


def _as_written(view: Name, table: Name, written: Name) -> Name:
    """Return a view without its schema where that is the table's own, and the table is written without it."""
    return Name(view.name) if written.schema is None and view.schema == table.schema else view


def holders(table: Table, column: str) -> Unknown | None:
    """Return why a column cannot be replaced where something but a view, index or constraint names it."""
    name = f"{table.name}.{column}"
    for other in table.columns.values():
        if other.generated and (other.generation is None or column in other.generation.columns):
            t, g = table_name(table.name), ident(other.name)
            return Unknown(
                f"the generated column {other.name} is computed from {name}, and would be from the old column for ever",
                f"Before it: a trigger that computes {other.name}, then ALTER TABLE {t} ALTER COLUMN {g} DROP "
                f"EXPRESSION (PostgreSQL 13 and later: it reads no row). Or move the application off {other.name} and "
                "drop it.",
            )
    for dependent in table.dependents:
        if dependent.kind in ("policy", "rule", "trigger") and dependent.uses(column):
            return Unknown(
                f"the {dependent.kind} {dependent.name} names {name} and holds on to the old column",
                f"Drop it in a migration before, and create it again behind: the {dependent.kind} does not hold "
                "meanwhile.",
            )
    return None


def _mentions(view: str | None, column: str) -> bool:
    """Whether the text of a view may name a column; one that is not known may."""
    if view is None:
        return True
    words = {match.group().strip('"').lower() for match in tokens(view)}
    return column in words or "*" in words


def _noted(views: Sequence[Name]) -> str:
    """Return the query that keeps the statements which make views again, in the order given."""
    listed = ", ".join(f"{literal(table_name(view))}::regclass" for view in views)
    return f"""SELECT set_config({literal(KEPT)}, string_agg(statement, E';\\n' ORDER BY place, step), true)
FROM (
  WITH views AS (
    SELECT place, view, view::regclass AS name, relowner::regrole AS owner, relacl, reloptions
    FROM unnest(ARRAY[{listed}]) WITH ORDINALITY AS v (view, place) JOIN pg_class ON pg_class.oid = view
  ), columns AS (
    SELECT views.*, attname, attnum, attacl
    FROM views JOIN pg_attribute ON attrelid = view AND attnum > 0 AND NOT attisdropped
  ), rights AS (
    SELECT place, name, relacl AS acl, '' AS of FROM views WHERE relacl IS NOT NULL
    UNION ALL SELECT place, name, attacl, format(' (%I)', attname) FROM columns WHERE attacl IS NOT NULL
  )
  SELECT place, 1 AS step, format(
    'CREATE VIEW %s%s AS %s', name, ' WITH (' || array_to_string(reloptions, ', ') || ')',
    rtrim(pg_get_viewdef(view), ';')
  ) AS statement FROM views
  UNION ALL
  SELECT place, 2, format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s', name, attname, pg_get_expr(adbin, adrelid))
  FROM columns JOIN pg_attrdef ON adrelid = view AND adnum = attnum
  UNION ALL
  SELECT place, 3, rtrim(pg_get_ruledef(pg_rewrite.oid), ';')
  FROM views JOIN pg_rewrite ON ev_class = view AND rulename <> '_RETURN'
  UNION ALL
  SELECT place, 4, pg_get_triggerdef(pg_trigger.oid) FROM views JOIN pg_trigger ON tgrelid = view AND NOT tgisinternal
  UNION ALL
  SELECT place, 5, format('COMMENT ON VIEW %s IS %L', name, obj_description(view, 'pg_class'))
  FROM views WHERE obj_description(view, 'pg_class') IS NOT NULL
  UNION ALL
  SELECT place, 5, format('COMMENT ON COLUMN %s.%I IS %L', name, attname, col_description(view, attnum))
  FROM columns WHERE col_description(view, attnum) IS NOT NULL
  UNION ALL
  SELECT place, 6, format('ALTER VIEW %s OWNER TO %s', name, owner) FROM views
  UNION ALL
  SELECT place, 7, format('REVOKE ALL ON %s FROM %s', name, owner) FROM views WHERE relacl IS NOT NULL
  UNION ALL
  SELECT place, 8, format(
    'GRANT %s%s ON %s TO %s%s', privilege_type, of, name,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
  ) FROM rights, aclexplode(acl)
) AS statements"""  # noqa: S608 - literals are quoted
