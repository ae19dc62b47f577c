"""Twenty workers, workers that die, workers that are too slow."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from evals.grading import Check, check_async, module, schema

if TYPE_CHECKING:
    from pathlib import Path


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with jobs.py and schema.sql."""
    ddl = (workspace / "schema.sql").read_text()
    with module(workspace, "jobs") as jobs:

        async def once() -> str:
            async with schema(ddl) as connect:
                connections = [await connect() for _ in range(20)]
                for n in range(200):
                    await jobs.add(connections[0], str(n))
                runs: Counter[str] = Counter()

                async def work(connection: Any) -> None:
                    while taken := await jobs.take(connection, 30):
                        runs[taken[1]] += 1
                        assert sum(runs.values()) <= 1000, "jobs run again and again"
                        await jobs.finish(connection, taken[0])

                await asyncio.gather(*map(work, connections))
                assert set(runs.values()) == {1}, f"{sum(n > 1 for n in runs.values())} jobs ran more than once"
                assert len(runs) == 200, f"{200 - len(runs)} jobs never ran"
                return "200 jobs, once each"

        async def lease() -> str:
            async with schema(ddl) as connect:
                slow, fast = await connect(), await connect()
                await jobs.add(slow, "x")
                first = await jobs.take(slow, 0.3)
                assert await jobs.take(fast, 30) is None, "two workers have the same job"
                await asyncio.sleep(0.5)
                second = await jobs.take(fast, 30)
                assert second is not None, "the job of a dead worker is lost"
                assert await jobs.finish(slow, first[0]) is False, "a worker that lost its lease finished the job"
                assert await jobs.finish(fast, second[0]) is True
                return "taken over, and only its new worker could finish it"

        async def poison() -> str:
            async with schema(ddl) as connect:
                connection = await connect()
                await jobs.add(connection, "kills its worker")
                for attempt in range(3):
                    assert await jobs.take(connection, 0.05) is not None, f"attempt {attempt + 1} was not given"
                    await asyncio.sleep(0.1)
                assert await jobs.take(connection, 0.05) is None, "a job that kills its workers runs for ever"
                assert await jobs.dead(connection) == 1, "the dead job is nowhere to be seen"
                return "dead after 3 attempts"

        return [
            check_async("20 workers run 200 jobs once each", once),
            check_async("a lease that ran out passes the job on and shuts the slow worker out", lease),
            check_async("a job that kills its workers ends dead", poison),
        ]
