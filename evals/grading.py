"""What the graders share: checks, loading a workspace's module, throw-away schemas, servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import sys
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    import psycopg

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
PATIENCE = 60.0
"""Seconds that one check may take; a solution that hangs fails it."""


@dataclass(frozen=True)
class Check:
    """One assertion about the result, and what was seen."""

    text: str
    passed: bool
    evidence: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(text: str, body: Callable[[], str | None]) -> Check:
    """Run `body`; it returns evidence, and fails the check by raising (AssertionError or anything else)."""
    try:
        evidence = body()
    except AssertionError as error:
        return Check(text, passed=False, evidence=str(error) or "not so")
    except Exception as error:  # noqa: BLE001 - whatever the solution does wrong is a failed check
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Check(
            text, passed=False, evidence=f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"[:500]
        )
    return Check(text, passed=True, evidence=evidence or "so it is")


def check_async(text: str, body: Callable[[], Awaitable[str | None]]) -> Check:
    """Like `check` for a coroutine, bounded by `PATIENCE`."""

    async def bounded() -> str | None:
        async with asyncio.timeout(PATIENCE):
            return await body()

    return check(text, lambda: asyncio.run(bounded()))


@contextlib.contextmanager
def module(workspace: Path, name: str) -> Iterator[ModuleType]:
    """Import `name`.py of the workspace, with the workspace first on the path, and forget everything afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(workspace))
    try:
        spec = importlib.util.spec_from_file_location(f"workspace_{name}", workspace / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = loaded
        spec.loader.exec_module(loaded)
        yield loaded
    finally:
        sys.path.remove(str(workspace))
        for name_ in set(sys.modules) - before:
            source = getattr(sys.modules[name_], "__file__", None) or ""
            if source.startswith(str(workspace)) or name_.startswith("workspace_"):
                del sys.modules[name_]


@contextlib.asynccontextmanager
async def schema(ddl: str) -> AsyncIterator[Callable[..., Awaitable[psycopg.AsyncConnection[Any]]]]:
    """Yield a function that opens autocommit connections to a fresh schema with `ddl`; it passes on psycopg's options."""
    import psycopg

    name = f"eval_{secrets.token_hex(6)}"
    opened: list[psycopg.AsyncConnection[Any]] = []

    async def connect(**options: Any) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            POSTGRESQL, autocommit=True, options=f"-csearch_path={name}", **options
        )
        opened.append(connection)
        return connection

    async with await psycopg.AsyncConnection.connect(POSTGRESQL, autocommit=True) as admin:
        await admin.execute(f"CREATE SCHEMA {name}".encode())
        try:
            first = await connect()
            await first.execute(ddl.encode())
            yield connect
        finally:
            for connection in opened:
                with contextlib.suppress(psycopg.Error):
                    await connection.close()
            await admin.execute(f"DROP SCHEMA {name} CASCADE".encode())


def slow_cursor(seconds: float) -> type[psycopg.AsyncCursor[Any]]:
    """Return a cursor that waits so long before each statement, so that others come in between two of them."""
    import psycopg

    class SlowCursor(psycopg.AsyncCursor[Any]):
        async def execute(self, *arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(seconds)
            return await super().execute(*arguments, **options)

    return SlowCursor


async def scalar(connection: psycopg.AsyncConnection[Any], query: str) -> Any:
    """Return the first column of the first row."""
    row = await (await connection.execute(query.encode())).fetchone()
    return row[0] if row else None
