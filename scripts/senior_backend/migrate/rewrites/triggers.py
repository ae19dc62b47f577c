"""Triggers that keep two columns in step, or compute one: their functions in PL/pgSQL, and how they go away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.migrate.rewrites.sql import ident, in_schema, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name


@dataclass(frozen=True, slots=True)
class Trigger:
    """A BEFORE trigger for every row with a function of its own: statements that make it, and that remove it.

    BEFORE triggers run in the order of their names: `zz_` puts this one behind those of the application, whose changes
    to the row it has to see. It changes only NEW, so it calls no other trigger and cannot recurse.
    """

    create: tuple[str, str]
    drop: tuple[str, str]


def trigger(table: Name, name: str, body: str) -> Trigger:
    """Return a trigger on INSERT and UPDATE of `table` whose function has `body` between BEGIN and END."""
    t, function = table_name(table), in_schema(table, name)
    label = ident(made("zz", name))
    create = f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n{body}\nEND\n$$"
    attach = f"CREATE TRIGGER {label} BEFORE INSERT OR UPDATE ON {t}\n  FOR EACH ROW EXECUTE FUNCTION {function}()"
    return Trigger(
        (create, attach), (f"DROP TRIGGER IF EXISTS {label} ON {t}", f"DROP FUNCTION IF EXISTS {function}()")
    )


def computed(table: Name, column: str, expression: str, name: str) -> Trigger:
    """Return a trigger that sets `column` to an expression over the row's own columns."""
    row = f"FROM (SELECT NEW.*) AS {ident(table.name)}"
    return trigger(table, name, f"  SELECT {expression} INTO NEW.{ident(column)} {row};\n  RETURN NEW;")


def assigned(table: Name, column: str, source: str, name: str) -> Trigger:
    """Return a trigger that assigns `source` to `column`.

    Like ALTER COLUMN TYPE, an assignment in PL/pgSQL refuses what a cast would silently cut off.
    """
    return trigger(table, name, f"  NEW.{ident(column)} := NEW.{ident(source)};\n  RETURN NEW;")


def followed(table: Name, column: str, source: str, name: str) -> Trigger:
    """Return a trigger that lets `column` follow `source`, and be NULL where its type cannot hold the value."""
    c, s = ident(column), ident(source)
    body = (
        f"  NEW.{c} := NEW.{s};\n  RETURN NEW;\nEXCEPTION WHEN data_exception THEN\n  NEW.{c} := NULL;\n  RETURN NEW;"
    )
    return trigger(table, name, body)


def equal(table: Name, old: str, new: str, name: str) -> Trigger:
    """Return a trigger that keeps two columns equal, whichever of them a version of the application writes."""
    o, n = ident(old), ident(new)
    lines = (
        "IF TG_OP = 'INSERT' THEN",
        f"  IF NEW.{n} IS NULL THEN NEW.{n} := NEW.{o}; ELSE NEW.{o} := NEW.{n}; END IF;",
        f"ELSIF NEW.{n} IS DISTINCT FROM OLD.{n} THEN",
        f"  NEW.{o} := NEW.{n};",
        "ELSE",
        f"  NEW.{n} := NEW.{o};",
        "END IF;",
        "RETURN NEW;",
    )
    return trigger(table, name, "\n".join(f"  {line}" for line in lines))
