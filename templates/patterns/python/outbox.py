"""Transactional outbox on PostgreSQL, with its relay.

Guarantees: an event is published if and only if the transaction that wrote it commits; at least once; for one key
    in the order in which its transactions committed their rows, also with many relays and across their crashes.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the table of `SCHEMA`; for the relay a connection of its own. Transactions on
    one key must be serialised by the row that the key names (update or lock the aggregate before `enqueue`), as they
    are when that row has a version.
Fails: while publishing fails, a key's later events wait and other keys go on; nothing is dropped. Consumers see
    repeats after a crash (same `id`), so they must be idempotent: see inbox.py.
Fit: a table of yours with another name or more columns: change `SCHEMA` and the three statements. CloudEvents, Kafka or
    NATS: `publish` maps an `Event` to the broker's message.
Prove: pytest test_outbox.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

Rows are found by being there, never by `id > last seen`: ids are given before commit, so a smaller one can appear
later and would be skipped for ever.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from psycopg import AsyncConnection

SCHEMA = """
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    payload json NOT NULL, -- jsonb refuses \\u0000
    headers json NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_key_position ON outbox (key, position);
"""


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is the consumers' handle for repeats; `key` names the aggregate and so the unit of order."""

    id: uuid.UUID
    key: str
    type: str
    payload: Any
    headers: Mapping[str, str]


async def enqueue(
    connection: AsyncConnection[Any],
    *,
    key: str,
    type: str,  # noqa: A002 - the field's name in CloudEvents
    payload: object,
    headers: Mapping[str, str] | None = None,
) -> uuid.UUID:
    """Write an event in the caller's open transaction and return its id; put `traceparent` into `headers`."""
    event_id = uuid.uuid4()
    await connection.execute(
        "INSERT INTO outbox (id, key, type, payload, headers) VALUES (%s, %s, %s, %s, %s)",
        [event_id, key, type, json.dumps(payload), json.dumps(dict(headers or {}))],
    )
    return event_id


async def relay_once(
    connection: AsyncConnection[Any],
    publish: Callable[[Event], Awaitable[None]],
    *,
    batch: int = 100,
    idle: float = 30.0,
) -> int:
    """Publish up to `batch` waiting events and return how many went out; call it again at once while that is `batch`.

    `publish` returns when the broker has confirmed, within `idle` seconds: after them the relay counts as lost, and the
    server ends its connection. The oldest event of a key is locked with SKIP LOCKED, so that two relays never work on
    one key at a time.

    Raises:
        Exception: what `publish` raised first; that event and the rest of its key stay, other keys were sent.
        RuntimeError: the connection is in a transaction, or another task is using it.
    """
    if connection.info.transaction_status.name not in {"IDLE", "UNKNOWN"}:  # unknown: it is closed, and will say so
        raise RuntimeError("relay_once() needs a connection that is in no transaction and that no other task uses")
    sent, failed = 0, dict[str, Exception]()
    cursor = connection.cursor(row_factory=tuple_row)
    while sent + len(failed) < batch:
        async with connection.transaction():
            # Whatever the defaults are: with repeatable read, relays would fail on each other's rows.
            await cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            await cursor.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [f"{round(idle * 1000)}ms"]
            )
            await cursor.execute(
                """
                SELECT position, id, key, type, payload, headers FROM outbox AS o
                WHERE NOT EXISTS (SELECT FROM outbox AS e WHERE e.key = o.key AND e.position < o.position)
                AND key <> ALL(%s::text[])
                ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED
                """,
                [list(failed)],
            )
            row = await cursor.fetchone()
            if row is None:
                break
            event = Event(row[1], row[2], row[3], row[4], row[5])
            try:
                await publish(event)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other keys go on
                failed[event.key] = error
                continue
            await cursor.execute("DELETE FROM outbox WHERE position = %s", [row[0]])
        sent += 1
    for first in failed.values():
        raise first
    return sent
