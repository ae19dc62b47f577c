"""Statements that a team may want to see in review whatever they do; all opt-in (`--enable policy`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class _Policy:
    """One kind of statement; `matches` looks at one operation."""

    id: str
    what: str
    on: tuple[type[ops.Operation], ...]
    matches: Callable[[Any], bool]
    bad: str
    setup: str = ""
    runs: bool = True

    def rule(self) -> Rule:
        """Return the rule."""

        def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
            if not self.matches(operation):
                return
            table = getattr(operation, "table", None)
            if table is not None and not isinstance(operation, ops.CreateObject) and context.is_new(table):
                return
            yield Hazard(
                f"policy: {self.what}",
                "Agree on it in review, and silence this line with the reason.",
                str(table) if table is not None else None,
            )

        return Rule(
            id=f"pg-policy-{self.id}",
            summary=f"Policy: {self.what}",
            why="A rule of the house, not a hazard by itself.",
            catalogue="B1.53",
            severity="warning",
            group="policy",
            on=self.on,
            check=check,
            bad=(Example(self.bad, setup=self.setup, runs=self.runs),),
            good=(Example("SELECT 1;"),),
        )


def _object(kind: str, action: str | None = None) -> Callable[[Any], bool]:
    return lambda operation: operation.kind == kind and (action is None or operation.action == action)


def _action(*actions: str) -> Callable[[Any], bool]:
    return lambda operation: operation.action in actions


def _always(_: Any) -> bool:
    return True


_POLICIES = (
    _Policy("add-column", "a column is added", (ops.AddColumn,), _always, "ALTER TABLE users ADD COLUMN n int;"),
    _Policy(
        "set-default",
        "a default is set",
        (ops.SetDefault,),
        _always,
        "ALTER TABLE users ALTER COLUMN age SET DEFAULT 1;",
    ),
    _Policy(
        "add-enum-value", "an enum gets a value", (ops.AddEnumValue,), _always, "ALTER TYPE mood ADD VALUE 'great';"
    ),
    _Policy(
        "add-composite-attribute",
        "a composite type changes",
        (ops.AlterObject,),
        _object("type", "attribute"),
        "ALTER TYPE pair ADD ATTRIBUTE c int;",
        "CREATE TYPE pair AS (a int, b int);",
    ),
    _Policy(
        "alter-policy-condition",
        "the condition of a row security policy changes",
        (ops.AlterObject,),
        _object("policy", "condition"),
        "ALTER POLICY own ON users USING (true);",
        "CREATE POLICY own ON users USING (false);",
    ),
    _Policy(
        "alter-policy-roles",
        "the roles of a row security policy change",
        (ops.AlterObject,),
        _object("policy", "roles"),
        "ALTER POLICY own ON users TO postgres;",
        "CREATE POLICY own ON users USING (false);",
    ),
    _Policy(
        "create-policy",
        "a row security policy is created",
        (ops.CreateObject,),
        lambda operation: operation.kind == "policy",
        "CREATE POLICY own ON users USING (true);",
    ),
    _Policy(
        "drop-policy",
        "a row security policy is dropped",
        (ops.DropObject,),
        lambda operation: operation.kind == "policy",
        "DROP POLICY own ON users;",
        "CREATE POLICY own ON users USING (true);",
    ),
    _Policy(
        "alter-row-security",
        "row security is switched on or off",
        (ops.AlterTable,),
        _action("enable-rls", "disable-rls", "force-rls", "no-force-rls"),
        "ALTER TABLE users DISABLE ROW LEVEL SECURITY;",
    ),
    _Policy(
        "alter-function",
        "the options of a function change",
        (ops.AlterObject,),
        _object("function", "options"),
        "ALTER FUNCTION touch() COST 5;",
    ),
    _Policy(
        "alter-view",
        "the options of a view change",
        (ops.AlterObject,),
        lambda operation: operation.kind in ("view", "materialized-view"),
        "ALTER VIEW active_users SET (security_barrier = true);",
    ),
    _Policy(
        "replace-view-or-function",
        "a view or function is replaced",
        (ops.CreateView, ops.CreateObject),
        lambda operation: operation.replace,
        "CREATE OR REPLACE VIEW active_users AS SELECT id, name FROM users;",
    ),
    _Policy(
        "alter-role",
        "the options of a role change",
        (ops.AlterObject,),
        _object("role"),
        "ALTER ROLE CURRENT_USER SET search_path = public;",
        runs=False,
    ),
    _Policy(
        "alter-database",
        "the options of a database change",
        (ops.AlterObject,),
        _object("database"),
        "ALTER DATABASE app SET timezone = 'UTC';",
        runs=False,
    ),
    _Policy(
        "alter-system",
        "a setting of the server changes",
        (ops.AlterObject,),
        _object("system"),
        "ALTER SYSTEM SET work_mem = '8MB';",
        runs=False,
    ),
    _Policy(
        "alter-sequence",
        "the values of a sequence change",
        (ops.AlterObject,),
        _object("sequence"),
        "ALTER SEQUENCE numbers RESTART WITH 5;",
        "CREATE SEQUENCE numbers;",
    ),
    _Policy(
        "alter-extension",
        "an extension is updated",
        (ops.AlterObject,),
        _object("extension"),
        "ALTER EXTENSION plpgsql UPDATE;",
    ),
    _Policy(
        "alter-generated-expression",
        "a generated column changes",
        (ops.AlterGeneration,),
        _always,
        "ALTER TABLE sums ALTER COLUMN b DROP EXPRESSION;",
        "CREATE TABLE sums (a int, b int GENERATED ALWAYS AS (a + 1) STORED);",
    ),
    _Policy("drop-index", "an index is dropped", (ops.DropIndex,), _always, "DROP INDEX users_email;"),
    _Policy(
        "drop-constraint",
        "a constraint is dropped",
        (ops.DropConstraint,),
        _always,
        "ALTER TABLE orders DROP CONSTRAINT orders_user_fk;",
    ),
    _Policy(
        "drop-trigger",
        "a trigger is dropped",
        (ops.DropObject,),
        lambda operation: operation.kind == "trigger",
        "DROP TRIGGER users_touch ON users;",
    ),
    _Policy(
        "disable-trigger",
        "a trigger or rule is disabled",
        (ops.AlterTable,),
        _action("disable-trigger", "disable-rule"),
        "ALTER TABLE users DISABLE TRIGGER users_touch;",
    ),
    _Policy(
        "detach-inheritance",
        "a table leaves its parent",
        (ops.AlterTable,),
        _action("no-inherit"),
        "ALTER TABLE child NO INHERIT logs;",
        "CREATE TABLE child () INHERITS (logs);",
    ),
    _Policy(
        "replica-identity",
        "the replica identity changes",
        (ops.AlterTable,),
        _action("replica-identity"),
        "ALTER TABLE logs REPLICA IDENTITY FULL;",
    ),
    _Policy(
        "change-owner",
        "the owner of an object changes",
        (ops.AlterTable, ops.AlterObject),
        _action("owner"),
        "ALTER TABLE users OWNER TO CURRENT_USER;",
    ),
    _Policy(
        "create-rule",
        "a rewrite rule is created",
        (ops.CreateObject,),
        lambda operation: operation.kind == "rule",
        "CREATE RULE r AS ON DELETE TO logs DO INSTEAD NOTHING;",
    ),
    _Policy(
        "revoke",
        "a privilege is taken away",
        (ops.Other,),
        lambda operation: operation.kind == "revoke",
        "REVOKE ALL ON users FROM PUBLIC;",
    ),
    _Policy(
        "new-write-restriction",
        "a constraint refuses values that were accepted until now",
        (ops.AddConstraint, ops.SetNotNull),
        _always,
        "ALTER TABLE users ADD CONSTRAINT aged CHECK (age > 0) NOT VALID;",
    ),
    _Policy(
        "alter-identity",
        "an identity changes",
        (ops.AlterIdentity,),
        _always,
        "ALTER TABLE users ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY;",
    ),
)

RULES = tuple(policy.rule() for policy in _POLICIES)
