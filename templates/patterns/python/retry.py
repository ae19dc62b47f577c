"""Retry with full jitter, inside the caller's deadline and a budget.

Guarantees: at most `attempts` calls; no sleep that would outlive the deadline; over time at most `ratio` retries for
    each first call (plus a small reserve), so that retries cannot multiply an outage. A `retry_after` that the server
    gave is honoured.
Needs: the standard library. One instance of `Budget` for each dependency and process. Retry at one layer only.
Fails: the last exception is raised as it is; only exceptions that `retryable` accepts are retried. Do not retry what
    is not idempotent: a POST needs an Idempotency-Key first. With httpx, `httpx.TransportError` is the class:
    `httpx.ConnectError` is neither ConnectionError nor OSError.
Prove: pytest test_retry.py

M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog (2015); SRE book, chapter 22 (retry budgets).
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class RetryableError(Exception):
    """Raise it for an answer worth a retry (429, 503); `retry_after` is the server's wish in seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Budget:
    """Tokens for retries: each first call adds `ratio`, each retry takes 1, `reserve` is the most that is saved."""

    def __init__(self, ratio: float = 0.1, reserve: float = 10.0) -> None:
        self._ratio, self._reserve, self._tokens = ratio, reserve, reserve

    def deposit(self) -> None:
        """Count a first call."""
        self._tokens = min(self._tokens + self._ratio, self._reserve)

    def withdraw(self) -> bool:
        """Take a token for a retry; False when the budget is spent."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


async def retry(
    call: Callable[[float], Awaitable[T]],
    *,
    retryable: Callable[[Exception], bool],
    budget: Budget,
    deadline: float,
    attempts: int = 3,
    base: float = 0.1,
    cap: float = 2.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call `call(seconds left)` until it succeeds, its exception is final, or attempts, budget or time run out.

    `deadline` is a reading of `clock`; `base` and `cap` are seconds of backoff before jitter.

    Raises:
        TimeoutError: the deadline had passed before the first attempt.
        Exception: what the last attempt raised.
    """
    budget.deposit()
    if clock() >= deadline:
        raise TimeoutError("the deadline had passed before the first attempt")
    for attempt in range(1, attempts + 1):
        try:
            return await call(deadline - clock())
        except Exception as error:
            delay = random.uniform(0, min(cap, base * 2 ** (attempt - 1)))  # noqa: S311 - jitter
            wish = getattr(error, "retry_after", None)  # other libraries' errors may have one too, of any type
            delay = max(delay, wish if isinstance(wish, int | float) else 0.0)
            hopeless = attempt == attempts or not retryable(error) or clock() + delay >= deadline
            if hopeless or not budget.withdraw():
                raise
        await sleep(delay)
    raise AssertionError("unreachable: the last attempt returns or raises")
