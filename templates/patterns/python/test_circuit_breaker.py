"""Proof of circuit_breaker.py with a clock of its own: opening, one probe among 100 callers, closing, 4xx ignored."""

from __future__ import annotations

import asyncio

import pytest

from circuit_breaker import CircuitBreaker, Open


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Time) -> CircuitBreaker:
    return CircuitBreaker(is_failure=lambda error: isinstance(error, ConnectionError), volume=10, clock=clock)


async def good() -> str:
    return "ok"


async def bad() -> str:
    raise ConnectionError


async def rejected() -> str:
    raise ValueError("404")


async def fail(circuit: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await circuit.call(bad)


def test_it_opens_at_half_of_enough_calls_and_not_before() -> None:
    async def run() -> None:
        circuit = breaker(Time())
        for _ in range(5):
            await circuit.call(good)
        await fail(circuit, 4)
        assert circuit.state == "closed"
        await fail(circuit, 1)
        assert circuit.state == "open"
        with pytest.raises(Open) as refused:
            await circuit.call(good)
        assert refused.value.retry_after == 10

    asyncio.run(run())


def test_old_failures_are_forgotten() -> None:
    async def run() -> None:
        clock = Time()
        circuit = breaker(clock)
        await fail(circuit, 9)
        clock.now = 11
        await fail(circuit, 1)
        assert circuit.state == "closed"

    asyncio.run(run())


def test_client_errors_do_not_open_it() -> None:
    async def run() -> None:
        circuit = breaker(Time())
        for _ in range(50):
            with pytest.raises(ValueError, match="404"):
                await circuit.call(rejected)
        assert circuit.state == "closed"

    asyncio.run(run())


def test_half_open_admits_one_of_100_concurrent_callers() -> None:
    async def run() -> None:
        clock, calls = Time(), 0
        circuit = breaker(clock)
        await fail(circuit, 10)
        clock.now = 10

        async def slow() -> None:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0.01)

        results = await asyncio.gather(*(circuit.call(slow) for _ in range(100)), return_exceptions=True)
        assert calls == 1
        assert sum(isinstance(result, Open) for result in results) == 99

    asyncio.run(run())


def test_it_closes_after_its_probes_and_opens_again_at_a_failing_one() -> None:
    async def run() -> None:
        clock = Time()
        circuit = breaker(clock)
        await fail(circuit, 10)
        clock.now = 10
        await circuit.call(good)
        await fail(circuit, 1)
        assert circuit.state == "open"
        clock.now = 20
        await circuit.call(good)
        assert circuit.state == "half_open"
        await circuit.call(good)
        assert circuit.state == "closed"

    asyncio.run(run())


def test_a_cancelled_probe_makes_room_for_the_next() -> None:
    async def run() -> None:
        clock = Time()
        circuit = breaker(clock)
        await fail(circuit, 10)
        clock.now = 10
        probe = asyncio.create_task(circuit.call(lambda: asyncio.sleep(5)))
        await asyncio.sleep(0)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert await circuit.call(good) == "ok"

    asyncio.run(run())


def test_calls_that_began_before_it_opened_do_not_close_it() -> None:
    async def run() -> None:
        clock, circuit = Time(), breaker(Time())
        release = asyncio.Event()
        old = asyncio.create_task(circuit.call(release.wait))
        await asyncio.sleep(0)
        await fail(circuit, 10)
        release.set()
        await old
        assert circuit.state == "open"
        assert clock.now == 0

    asyncio.run(run())
