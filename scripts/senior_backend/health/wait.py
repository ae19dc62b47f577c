"""Waiting until everything critical is up, for start-up scripts and CI."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from senior_backend.console.exit_codes import ExitCode
from senior_backend.health.check import Checker, Pass
from senior_backend.health.model import Service
from senior_backend.health.verdict import exit_code

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0


def wait(
    checker: Checker,
    services: Sequence[Service],
    *,
    until: float,
    stable: int,
    fail_on_degraded: bool = False,
    told: Callable[[Pass, int], None] = lambda _, __: None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Pass, bool]:
    """Repeat passes until `stable` in a row hold or the clock reaches `until`; return the last whole pass and whether.

    The pauses grow from 0.2 to 2 s. A pass that the end cuts short counts only when there was none before it: its
    services are `unknown` for lack of time, which says less than the pass before.
    """
    streak, pause = 0, FIRST_PAUSE
    last: Pass | None = None
    while True:
        done = checker.check(services, until=until)
        if done.interrupted:
            raise KeyboardInterrupt
        cut = any(result.reason == "checker_deadline" for result in done.results)
        if last is None or not cut:
            last = done
        holds = not cut and exit_code(done.results, fail_on_degraded=fail_on_degraded) is ExitCode.OK
        streak = streak + 1 if holds else 0
        told(done, streak)
        if streak >= stable:
            return done, True
        remaining = until - clock()
        if remaining <= 0 or cut:
            return last, False
        sleep(min(pause, remaining))
        pause = FIRST_PAUSE if holds else min(pause * 1.5, LONGEST_PAUSE)
        checker.forget_names()
