"""Proof of retry.py with a clock of its own: attempts, deadline, budget in an outage, Retry-After."""

from __future__ import annotations

import asyncio

import pytest

from retry import Budget, RetryableError, retry


class World:
    """Time that only sleeping moves, and a dependency that fails the first `failures` calls."""

    def __init__(self, failures: int = 10**9, error: Exception | None = None, cost: float = 0.0) -> None:
        self.now, self.calls, self.sleeps = 0.0, 0, list[float]()
        self.failures, self.error, self.cost = failures, error or ConnectionError("down"), cost

    async def call(self, left: float) -> str:
        assert left > 0
        self.calls += 1
        self.now += self.cost
        if self.calls <= self.failures:
            raise self.error
        return "ok"

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    async def run(self, budget: Budget | None = None, deadline: float = 1000.0, attempts: int = 3) -> str:
        return await retry(
            self.call,
            retryable=lambda error: isinstance(error, (ConnectionError, RetryableError)),
            budget=budget or Budget(),
            deadline=deadline,
            attempts=attempts,
            sleep=self.sleep,
            clock=lambda: self.now,
        )


def test_a_passing_fault_is_retried_with_growing_jitter() -> None:
    world = World(failures=2)
    assert asyncio.run(world.run()) == "ok"
    assert world.calls == 3
    assert 0 <= world.sleeps[0] <= 0.1
    assert 0 <= world.sleeps[1] <= 0.2


def test_attempts_are_bounded_and_the_last_error_is_raised_as_it_is() -> None:
    world = World()
    with pytest.raises(ConnectionError, match="down"):
        asyncio.run(world.run(attempts=4))
    assert world.calls == 4


def test_a_final_error_is_not_retried() -> None:
    world = World(error=ValueError("400"))
    with pytest.raises(ValueError, match="400"):
        asyncio.run(world.run())
    assert world.calls == 1


def test_no_retry_outlives_the_deadline() -> None:
    world = World(cost=1.0, error=RetryableError("busy", retry_after=5))
    with pytest.raises(RetryableError):
        asyncio.run(world.run(deadline=6.0))
    assert (world.calls, world.sleeps) == (1, [])
    with pytest.raises(TimeoutError):
        asyncio.run(world.run(deadline=0.5))


def test_retry_after_is_honoured() -> None:
    world = World(failures=1, error=RetryableError("busy", retry_after=7))
    assert asyncio.run(world.run()) == "ok"
    assert world.sleeps == [7]


def test_an_outage_is_not_multiplied() -> None:
    async def outage() -> int:
        budget, calls = Budget(ratio=0.1, reserve=10), 0
        for _ in range(1000):
            world = World()
            with pytest.raises(ConnectionError):
                await world.run(budget)
            calls += world.calls
        return calls

    # Without a budget three attempts make 3,000 calls.
    assert 1000 < asyncio.run(outage()) <= 1000 * 1.1 + 10


@pytest.mark.parametrize("wish", [None, "soon"])
def test_another_librarys_retry_after_that_is_no_number_is_left_alone(wish: object) -> None:
    error = ConnectionError("down")
    error.retry_after = wish  # type: ignore[attr-defined]
    world = World(failures=1, error=error)
    assert asyncio.run(world.run()) == "ok"
