"""Consumer of a Redis stream: order per key, crashed consumers' messages taken over, poison set aside.

Guarantees: each message reaches `handle` at least once and is acknowledged after it; messages of one key in one stream
    are handled in order (a key's later messages wait while an earlier one is retried); a message that failed
    `attempts` times, or killed its consumers as often, goes to `<stream>:dead` with its error and stops blocking its
    key; what a crashed consumer had taken is taken over after `idle` seconds.
Needs: redis-py >= 5 (`redis.asyncio`, decode_responses=True, no socket_timeout below two seconds, because `step` blocks
    for one), Redis >= 6.2 or Valkey. One consumer process for each stream at a time for order (shard keys over several
    streams for more); `handle` must be idempotent: see inbox.py.
Fails: while Redis is away, at the start too, `run` waits and reconnects. Redis replicates asynchronously: a failover
    may lose messages. Trim by MINID older than your longest outage, never below pending messages.
Prove: pytest test_redis_streams_consumer.py   (REDIS_URL, default redis://127.0.0.1:6379/0)
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the stream; `key` is its field of that name."""

    id: str
    key: str
    fields: dict[str, str]


class Consumer:
    """`redis` decodes responses (`decode_responses=True`); `idle` and `backoff` are seconds."""

    def __init__(
        self,
        redis: Redis,
        stream: str,
        group: str,
        name: str,
        handle: Callable[[Message], Awaitable[None]],
        *,
        attempts: int = 5,
        idle: float = 60.0,
        backoff: float = 0.5,
        batch: int = 50,
    ) -> None:
        if not redis.get_encoder().decode_responses:  # type: ignore[no-untyped-call]
            raise ValueError("the client must have decode_responses=True")
        self._redis, self._stream, self._group, self._name, self._handle = redis, stream, group, name, handle
        self._attempts, self._idle, self._backoff, self._batch = attempts, idle, backoff, batch

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; the message in hand is finished first."""
        ready = False
        while not stop.is_set():
            try:
                if not ready:
                    await self._create_group()
                    ready = True
                await self.step()
            except (RedisError, OSError) as error:
                ready = False  # a server that came back without its data has lost the group
                log.warning("stream %s: %s", self._stream, error)
                await asyncio.sleep(self._backoff)

    async def _create_group(self) -> None:
        try:
            await self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # it exists
                raise

    async def step(self, block: float = 1.0) -> int:
        """Handle what is pending, else what is new, and return how many messages were finished."""
        pending = await self._pending()
        if not pending:
            new: Any = await self._redis.xreadgroup(
                self._group, self._name, {self._stream: ">"}, count=self._batch, block=round(block * 1000)
            )
            pending = _messages(new[0][1]) if new else []
        finished, blocked = 0, set[str]()
        for message in pending:
            if message.key in blocked:
                continue
            if await self._one(message):
                finished += 1
            else:
                blocked.add(message.key)
        if blocked:
            await asyncio.sleep(self._backoff)
        return finished

    async def _pending(self) -> list[Message]:
        # First what others left behind, then everything that is ours and not acknowledged, oldest first.
        await self._redis.xautoclaim(
            self._stream, self._group, self._name, min_idle_time=round(self._idle * 1000), count=self._batch
        )
        mine: Any = await self._redis.xreadgroup(self._group, self._name, {self._stream: "0"}, count=self._batch)
        return _messages(mine[0][1]) if mine else []

    async def _one(self, message: Message) -> bool:
        # Counted before it is tried, so that a message which kills its consumer is counted too.
        attempt = await self._redis.hincrby(self._failures(), message.id, 1)
        try:
            if attempt > self._attempts:
                raise RuntimeError("its consumers died")
            await self._handle(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stream goes on
            if attempt < self._attempts:
                log.warning("message %s failed %d times: %r", message.id, attempt, error)
                return False
            entry = {**message.fields, "dead_id": message.id, "dead_error": _readable(error)}
        else:
            entry = {}
        async with self._redis.pipeline(transaction=True) as pipe:
            if entry:
                pipe.xadd(f"{self._stream}:dead", entry)  # type: ignore[arg-type]
            pipe.xack(self._stream, self._group, message.id)
            pipe.hdel(self._failures(), message.id)
            await pipe.execute()
        return True

    def _failures(self) -> str:
        return f"{self._stream}:{self._group}:failures"


def _readable(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500].encode("utf-8", "replace").decode()


def _messages(entries: list[tuple[str, dict[str, Any]]]) -> list[Message]:
    # An entry that was trimmed while pending comes back without fields.
    return [Message(entry_id, fields.get("key", ""), fields) for entry_id, fields in entries if fields]
