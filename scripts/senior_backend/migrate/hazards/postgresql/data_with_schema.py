"""Data changed in the transaction of a schema change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_locks, row_changes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Name


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report an UPDATE, DELETE or INSERT ... SELECT that runs while the transaction holds a blocking lock."""
    if context.in_transaction is not True or not row_changes.take_time(operation, context):
        return
    state = context.transaction
    told = state.notes.get(RULE.id)
    if told == postgres_locks.ACCESS_EXCLUSIVE:
        return  # one report a transaction is enough
    held = _held(context)
    if held is None or (told is not None and held[1] != postgres_locks.ACCESS_EXCLUSIVE):
        return
    table, mode, line = held
    state.notes[RULE.id] = mode
    blocked = "read" if mode == postgres_locks.ACCESS_EXCLUSIVE else "write to"
    yield Hazard(
        f"the change of data runs while the transaction holds the {mode} lock on {table} of line {line}: nobody can "
        f"{blocked} {table} until all of it is done",
        "Put the change of data into the next migration, in batches, without a change of schema beside it.",
        str(table),
        lock=mode,
    )


def _held(context: Context) -> tuple[Name, str, int] | None:
    """Return the strongest lock that stops writers of a table in use: the table, the mode, and the line that took it.

    What was looked at is kept in the notes, so that many changes behind many statements cost no more than one of each.
    """
    state = context.transaction
    examined, strongest = state.notes.get("examined", (0, None))
    for step, parsed in state.operations[examined:]:
        for table, mode in postgres_locks.locks(step, context.catalog):
            exclusive = mode == postgres_locks.ACCESS_EXCLUSIVE
            found = context.table(table)
            if found is None or context.is_new(table) or not (exclusive or mode in postgres_locks.BLOCKING):
                continue
            if not exclusive and (strongest is not None or found.kind == "materialized-view"):
                continue  # what is weaker than ACCESS EXCLUSIVE on such a view stops only another REFRESH
            if strongest is None or strongest[1] != postgres_locks.ACCESS_EXCLUSIVE:
                strongest = (table, mode, parsed.statement.line)
    state.notes["examined"] = (len(state.operations), strongest)
    return strongest  # type: ignore[no-any-return]


RULE = Rule(
    id="pg-data-change-with-schema-change",
    summary="Changing data in the transaction of a schema change holds its lock for the whole time",
    why="Locks are kept until the transaction ends, so that one of milliseconds becomes one of minutes: that of ALTER "
    "TABLE locks out readers, those of ADD FOREIGN KEY and CREATE TRIGGER lock out writers.",
    catalogue="B1.37",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.Update, ops.Delete, ops.Insert),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN n int; UPDATE users SET n = 1 WHERE n IS NULL;"),
        Example(
            "BEGIN; ALTER TABLE users ADD COLUMN n int; UPDATE users SET n = age WHERE age > 1; COMMIT;",
            transaction=False,
            runs=False,
        ),
        Example(
            "ALTER TABLE users ADD CONSTRAINT o FOREIGN KEY (org_id) REFERENCES orgs NOT VALID;"
            "UPDATE users SET age = 1 WHERE age > 1;",
            lock="SHARE ROW EXCLUSIVE",
        ),
        Example(
            "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION touch();"
            "DELETE FROM logs WHERE line IS NULL;",
            lock="SHARE ROW EXCLUSIVE",
        ),
        Example(
            "CREATE TABLE emails (user_id bigint REFERENCES users, email text);"
            "INSERT INTO emails SELECT id, email FROM users;",
            lock="SHARE ROW EXCLUSIVE",
        ),
        Example(
            "CREATE TABLE emails (user_id bigint REFERENCES users, email text);"
            "WITH e AS (SELECT id, email FROM users) INSERT INTO emails SELECT id, email FROM e;",
            lock="SHARE ROW EXCLUSIVE",
        ),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN n int; UPDATE users SET n = 1 WHERE id < 10;", transaction=False),
        Example("CREATE TABLE tags (a int); INSERT INTO tags SELECT id FROM users; UPDATE tags SET a = 2 WHERE a = 1;"),
        Example("CREATE TABLE kinds (id int); INSERT INTO kinds VALUES (1), (2);"),
        Example(
            "CREATE TABLE kinds (org_id bigint REFERENCES orgs, name text); INSERT INTO kinds (name) VALUES ('a');"
            "INSERT INTO kinds (name) SELECT k.name FROM (VALUES ('a'), ('b')) AS k (name);"
            "WITH k AS (SELECT 'c' AS name) INSERT INTO kinds (name) SELECT name FROM k;",
        ),
        Example("REFRESH MATERIALIZED VIEW CONCURRENTLY user_names; DELETE FROM logs WHERE id < 0;", runs=False),
        Example("ALTER TABLE users ALTER age SET STATISTICS 500; UPDATE users SET age = 1 WHERE id = 1;"),
    ),
)
