"""Applies the migrations statement by statement to a table with rows and looks at locks, scans and rewrites."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from evals.grading import Check, check_async, scalar, schema

if TYPE_CHECKING:
    from pathlib import Path

ROWS = """
INSERT INTO accounts SELECT FROM generate_series(1, 100);
INSERT INTO payments (account_id, amount_cents, reference) SELECT 1 + n % 100, n, 'r' || n FROM generate_series(1, 30000) n;
"""
BLOCKING = ("AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock", "ShareLock")
OBSERVE = """
SELECT array_agg(DISTINCT l.mode), max(pg_stat_get_xact_tuples_returned(c.oid)), max(c.relfilenode)
FROM pg_class c LEFT JOIN pg_locks l ON l.relation = c.oid AND l.pid = pg_backend_pid() AND l.granted
WHERE c.oid = 'payments'::regclass
"""


def statements(file: Path) -> list[tuple[str, bool]]:
    """Return the statements of the up section, each with whether the file runs in one transaction."""
    postgast = importlib.import_module("postgast")
    head, _, rest = file.read_text().partition("-- migrate:up")
    assert rest or not head, f"{file.name} has no -- migrate:up"
    first, _, body = rest.partition("\n")
    return [(one, "transaction:false" not in first) for one in postgast.split(body.split("-- migrate:down")[0])]


async def apply(connection: Any, folder: Path) -> list[str]:
    """Apply every file and return what blocked: statements that read or rewrote the table under a blocking lock."""
    found: list[str] = []
    files = sorted(folder.glob("*.sql"))
    assert files, "there are no migrations"
    for file in files:
        held: set[str] = set()
        parts = statements(file)
        one_transaction = bool(parts) and parts[0][1]
        if one_transaction:
            await connection.execute(b"BEGIN")
        for text, _ in parts:
            if "CONCURRENTLY" in text.upper():
                assert not one_transaction, f"{file.name}: CONCURRENTLY in a transaction"
                await connection.execute(text.encode())
                continue
            if not one_transaction:
                held = set()
                await connection.execute(b"BEGIN")
            before = await (await connection.execute(OBSERVE.encode())).fetchone()
            await connection.execute(text.encode())
            after = await (await connection.execute(OBSERVE.encode())).fetchone()
            held |= set(after[0] or [])
            worked = after[1] - before[1] >= 30000 or after[2] != before[2]
            blocking = sorted(held & set(BLOCKING))
            if worked and blocking and not text.strip().upper().startswith("UPDATE"):
                found.append(f"{file.name}: {text.strip()[:70]} reads or rewrites under {blocking[0]}")
            if text.strip().upper().startswith("UPDATE") and after[1] - before[1] >= 30000:
                found.append(f"{file.name}: one UPDATE of the whole table")
            if not one_transaction:
                await connection.execute(b"COMMIT")
        if one_transaction:
            await connection.execute(b"COMMIT")
    return found


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with schema.sql and migrations/."""
    ddl = (workspace / "schema.sql").read_text() + ROWS

    async def reached() -> str:
        async with schema(ddl) as connect:
            connection = await connect()
            await apply(connection, workspace / "migrations")
            nullable = await scalar(
                connection,
                "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'payments'::regclass AND attname = 'reference'",
            )
            assert nullable is True, "reference is not NOT NULL"
            key = await scalar(
                connection,
                "SELECT convalidated FROM pg_constraint WHERE conrelid = 'payments'::regclass AND contype = 'f'",
            )
            assert key is True, "there is no validated foreign key"
            index = await scalar(
                connection,
                "SELECT bool_or(indisvalid AND indkey[0] = (SELECT attnum FROM pg_attribute WHERE attrelid = indrelid AND"
                " attname = 'account_id')) FROM pg_index WHERE indrelid = 'payments'::regclass",
            )
            assert index is True, "no valid index leads with account_id"
            return "NOT NULL, foreign key and index are there"

    async def harmless() -> str:
        async with schema(ddl) as connect:
            found = await apply(await connect(), workspace / "migrations")
            assert not found, "; ".join(found)
            return "nothing scans or rewrites under a blocking lock"

    async def patient() -> str:
        text = "\n".join(file.read_text() for file in (workspace / "migrations").glob("*.sql"))
        assert "lock_timeout" in text.lower(), "no lock_timeout: an ALTER that waits queues every query behind it"
        return "lock_timeout is set"

    return [
        check_async("the schema is what was asked for", reached),
        check_async("no statement scans or rewrites the table under a blocking lock", harmless),
        check_async("waiting for locks is bounded", patient),
    ]
