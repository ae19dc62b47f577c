"""One pass over the services: first look, second look at what is doubtful, judgement, dependency graph."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from senior_backend.health import graph, judge
from senior_backend.health.attempts import Trace, attempts
from senior_backend.health.engine import Engine
from senior_backend.health.model import Result, Service
from senior_backend.health.outcomes import Job, Outcome
from senior_backend.health.probes import is_loopback, of_type
from senior_backend.health.steps import Failure

CONCURRENCY = 64
"""Moderate on purpose: more checks in flight finish no sooner, and the times they measure are those of a queue."""
QUIET_LOOKS = 3
QUICK = 200.0
"""Milliseconds within which a refusal has to come to be worth a third look."""
OTHER_ADDRESSES = 7
"""Further addresses of one name that are checked: enough for a set of replicas, little for a large provider."""
WAITING = 32
"""Slots of a second look at timeouts: they wait, and do not disturb each other's times."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The results of one pass, in the order of the file, and how the checker fared. Times are in seconds."""

    results: tuple[Result, ...]
    started_at: float
    seconds: float
    lag_p99: float
    second_looks: int
    interrupted: bool = False


class Checker:
    """Checks services with one engine; keep it for repeated passes."""

    def __init__(
        self,
        engine: Engine,
        *,
        concurrency: int = CONCURRENCY,
        clock: Callable[[], float] = time.perf_counter,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._concurrency = concurrency
        self._clock = clock
        self._unix_time = unix_time

    def check(
        self,
        services: Sequence[Service],
        *,
        until: float | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Pass:
        """Check all services; at `until` (time of the clock) what is unfinished becomes `unknown`."""
        started_at, began = self._unix_time(), self._clock()
        final: dict[str, Result] = {}
        doubtful: list[Service] = []

        def first(result: Result, outcome: Outcome) -> None:
            final[result.service.name] = result
            if judge.doubtful(result, outcome):
                doubtful.append(result.service)
            progress(len(final))

        _load_authorities(services)
        interrupted, second_looks = False, 0
        try:
            self._look(services, self._concurrency, until, first)
            second_looks = len(doubtful)
            for turn in range(QUIET_LOOKS):
                if not doubtful or (until is not None and self._clock() >= until):
                    break
                doubtful = self._second_look(doubtful, final, until, turn)
            self._other_addresses(services, final, until)
        except KeyboardInterrupt:
            interrupted = True
            for service in services:
                final.setdefault(service.name, Result(service, "unknown", "checker_deadline", "interrupted"))
        results = [self._resolver_trouble(final[service.name]) for service in services]
        return Pass(
            tuple(graph.resolve(results)),
            started_at,
            self._clock() - began,
            self._engine.lag.percentile(0.99),
            second_looks,
            interrupted,
        )

    def forget_names(self) -> None:
        """Let the next pass ask the resolver again."""
        self._engine.resolver.forget()

    def _look(
        self,
        services: Sequence[Service],
        concurrency: int,
        until: float | None,
        take: Callable[[Result, Outcome], None],
    ) -> None:
        def finished(outcome: Outcome) -> None:
            service, trace = outcome.key
            take(judge.judge(service, outcome, trace, self._unix_time()), outcome)

        self._engine.run((_job(service) for service in services), finished, concurrency=concurrency, until=until)

    def _other_addresses(self, services: Sequence[Service], final: dict[str, Result], until: float | None) -> None:
        """Check the further addresses of each name: a dead replica fails every client that happens to take it.

        The state is the same whichever address comes first: with one that works and one that fails, degraded. What the
        checker itself, or this machine's lack of one of the two families, may have done is not held against an address:
        a silent one counts when something else was reached over its family.
        """
        jobs: list[Job] = []
        for service in services:
            if _more_to_learn(final[service.name]):
                first = final[service.name].address
                others = [item for item in self._engine.resolver.addresses(service.host) if item != first]
                jobs += (_job(service, address) for address in others[:OTHER_ADDRESSES])
        working: dict[str, Result] = {}
        failing: list[Result] = []
        reached = {_family(result) for result in final.values() if result.phases.get("connect") is not None}

        def finished(outcome: Outcome) -> None:
            service, trace = outcome.key
            result = judge.judge(service, outcome, trace, self._unix_time())
            if result.phases.get("connect") is not None:
                reached.add(_family(result))
            if result.state in ("up", "degraded"):
                working.setdefault(service.name, result)
            elif result.state == "down" and result.reason != "unreachable" and not judge.doubtful(result, outcome):
                failing.append(result)

        if jobs:
            self._engine.run(jobs, finished, concurrency=judge.QUIET * 4, until=until)
        by_name: dict[str, list[Result]] = {}
        for result in failing:
            if result.reason != "connect_timeout" or _family(result) in reached:
                by_name.setdefault(result.service.name, []).append(result)
        for name in {**working, **by_name}:
            base, found = final[name], by_name.get(name, [])
            if base.state == "down" and name in working:
                base, found = working[name], [base, *found]
            if found and base.state != "down" and base.service.every_address:
                base = judge.with_failing_addresses(
                    base, found, len(self._engine.resolver.addresses(base.service.host))
                )
            final[name] = base

    def _second_look(
        self, services: list[Service], final: dict[str, Result], until: float | None, turn: int
    ) -> list[Service]:
        """Look again with few in flight, in later turns one at a time; return those that stay doubtful."""
        remaining: list[Service] = []
        last = turn == QUIET_LOOKS - 1
        few = judge.QUIET if turn == 0 else 1

        def take(result: Result, outcome: Outcome) -> None:
            before = final[result.service.name]
            if result.reason == "checker_deadline":
                final[result.service.name] = result
                return
            looks = (*(before.looks or (_total(before),)), _total(result))
            result = result._replace(looks=looks)
            quick = judge.crowding(result) and _total(result) < QUICK
            if (judge.is_slow(result) or quick) and not last:
                remaining.append(result.service)
            final[result.service.name] = judge.overloaded(result, outcome) or result

        slow = [service for service in services if judge.is_slow(final[service.name])]
        waiting = [service for service in services if not judge.is_slow(final[service.name])]
        self._look(waiting, WAITING if _only_timeouts(waiting, final) else few, until, take)
        self._look(slow, judge.QUIET, until, take)
        return remaining

    def _resolver_trouble(self, result: Result) -> Result:
        if result.reason in ("dns_timeout", "dns_failure") and not self._engine.resolver.any_name_resolved():
            return judge.without_resolver(result)
        return result


def _job(service: Service, address: str = "") -> Job:
    trace = Trace()
    probe = of_type(service.type)
    assert probe is not None
    return Job((service, trace), lambda: attempts(service, probe.converse, trace), service.timeout, address)


def _more_to_learn(result: Result) -> bool:
    """Whether another address of the name could change the state, and more of the same check does no harm.

    Where nothing accepted the connection, every address has been tried already; `localhost` is two ways to one service.
    """
    service = result.service
    harmless = service.options.get("method", "GET") in ("GET", "HEAD") and not service.options.get("publish")
    works = result.state in ("up", "degraded")
    changes = service.every_address if works else result.state == "down" and result.reason not in graph.NOT_REACHED
    return harmless and changes and service.host != "localhost"


def _family(result: Result) -> str:
    """Return the family of the address, loopback apart: that it works says nothing about the network."""
    address = result.address or ""
    return "loopback" if is_loopback(address) else "IPv6" if ":" in address else "IPv4"


def _load_authorities(services: Sequence[Service]) -> None:
    """Load certificates before the first measurement: the loop stands still for the tens of milliseconds it takes."""
    wanted = dict.fromkeys(service.tls for service in services if service.tls)
    if wanted:
        from senior_backend.health import tls

        for options in wanted:
            with contextlib.suppress(Failure):
                tls.context(options)


def _total(result: Result) -> float:
    return result.phases.get("total") or 0.0


def _only_timeouts(services: Sequence[Service], final: dict[str, Result]) -> bool:
    return all((final[service.name].reason or "").endswith("timeout") for service in services)
