"""Rights of the objects that a rewrite adds: applications seldom own what they read and write.

Grants are in the migrations of few projects, so the statements here ask the server when the step runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate.rewrites.sql import ident, literal, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name

_GRANTEE = "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END"
_OPTION = "CASE WHEN one.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"


def of_column(table: Name, column: str, copy: str) -> str:
    """Return the statement that gives a column's copy the comment and the privileges that the column has."""
    relation = literal(table_name(table))
    own = f"attrelid = {relation}::regclass AND attname = {literal(column)}"
    return f"""DO $$
DECLARE
  note text;
  one record;
BEGIN
  SELECT col_description(attrelid, attnum) INTO note FROM pg_attribute WHERE {own};
  EXECUTE format('COMMENT ON COLUMN %s IS %L', {literal(f"{table_name(table)}.{ident(copy)}")}, note);
  FOR one IN
    SELECT privilege_type, is_grantable, {_GRANTEE} AS grantee FROM pg_attribute, aclexplode(attacl) WHERE {own}
  LOOP
    EXECUTE format(
      'GRANT %s (%I) ON %s TO %s%s', one.privilege_type, {literal(copy)}, {relation}, one.grantee, {_OPTION}
    );
  END LOOP;
END $$"""  # noqa: S608 - identifiers and literals are quoted


def of_sequence(table: Name, sequence: str) -> str:
    """Return the statement that lets every role that may insert into `table` draw from `sequence`.

    A default that calls nextval() runs with the rights of who inserts (PostgreSQL manual, GRANT: USAGE on sequences).
    """
    relation = literal(table_name(table))
    return f"""DO $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT DISTINCT {_GRANTEE} AS grantee FROM (
      SELECT relacl AS acl FROM pg_class WHERE oid = {relation}::regclass
      UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = {relation}::regclass
    ) AS granted, aclexplode(acl) WHERE privilege_type = 'INSERT'
  LOOP
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', {literal(sequence)}, one.grantee);
  END LOOP;
END $$"""  # noqa: S608 - identifiers and literals are quoted


def of_view(view: Name, table: Name) -> str:
    """Return the statement that gives a view of a whole table the table's privileges, and keeps its row security.

    A view reads with the rights of its owner, for whom row security does not hold; one with security_invoker reads
    with those of who asks, for all its columns (PostgreSQL manual, CREATE VIEW; 15 and newer).
    """
    relation = literal(table_name(table))
    return f"""DO $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT privilege_type, '' AS part, is_grantable, {_GRANTEE} AS grantee
    FROM pg_class, aclexplode(relacl) WHERE oid = {relation}::regclass
    UNION ALL
    SELECT privilege_type, format(' (%I)', attname), is_grantable, {_GRANTEE}
    FROM pg_attribute, aclexplode(attacl) WHERE attrelid = {relation}::regclass
  LOOP
    EXECUTE format(
      'GRANT %s%s ON %s TO %s%s', one.privilege_type, one.part, {literal(table_name(view))}, one.grantee, {_OPTION}
    );
  END LOOP;
  IF (SELECT relrowsecurity FROM pg_class WHERE oid = {relation}::regclass) THEN
    IF current_setting('server_version_num')::int < 150000
      OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = {relation}::regclass AND attacl IS NOT NULL)
    THEN
      RAISE EXCEPTION 'no view can stand for %: its row security needs security_invoker', {relation} USING HINT =
        'That is in PostgreSQL 15 and newer, and checks all columns: rename it while the application is stopped.';
    END IF;
    ALTER VIEW {table_name(view)} SET (security_invoker = true);
  END IF;
END $$"""  # noqa: S608 - identifiers and literals are quoted
