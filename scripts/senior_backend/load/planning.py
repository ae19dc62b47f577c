"""The plan of a run, from the flags and what the scenario says; flags win."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError
from senior_backend.load import rails, slo
from senior_backend.load.model import Plan, Stage
from senior_backend.load.samples import needed
from senior_backend.load.scenario import parse_duration
from senior_backend.load.statistics import REDIRECTS

if TYPE_CHECKING:
    import argparse

    from senior_backend.load.rails import Destination
    from senior_backend.load.scenario import Scenario

DEFAULT_RATE = 10.0
DEFAULT_DURATION_S = 10.0
LONGEST_FOR_OBJECTIVE_S = 120.0
LONGEST_FOR_P99_S = 15.0
SAMPLES_MARGIN = 1.1
"""Poisson arrivals vary: with a tenth more, a percentile practically always has its samples."""
DEFAULT_WARMUP_S = 2.0
DEFAULT_CONNECTIONS = 100
DEFAULT_TIMEOUT_S = 10.0
DEFAULT_SLO = "errors<1%"

_STAGE = re.compile(r"(?P<time>[\dhms.]+)@(?P<rate>\d+(?:\.\d+)?)(?:(?:-|\.\.)(?P<end>\d+(?:\.\d+)?))?\Z")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about a run that is not its target."""

    plan: Plan
    slo: str
    slo_is_default: bool
    error_budget: float | None


def settings(options: argparse.Namespace, scenario: Scenario, to: Destination) -> Settings:
    """Return plan and objectives.

    Raises:
        InputError: every value that is wrong.
        RefusedError: the plan is above the caps.
    """
    stages = _stages(options, scenario)
    warmup = _time("--warmup", options.warmup, scenario.warmup_s, DEFAULT_WARMUP_S, least=0.0)
    timeout = _time("--timeout", options.timeout, scenario.timeout_s, DEFAULT_TIMEOUT_S)
    connections = _whole("--connections", options.connections, scenario.connections, DEFAULT_CONNECTIONS)
    processes = _whole("--processes", options.processes, None, 1)
    longest = _time("--max-duration", options.max_duration, None, 0.0) if options.max_duration else None
    if options.max_rate is not None and not options.max_rate > 0:
        raise InputError("--max-rate must be above 0", code="out-of-range")
    rails.require_caps(stages, connections, private=to.private, rate=options.max_rate, duration_s=longest)
    seed = options.seed if options.seed is not None else scenario.seed if scenario.seed is not None else 1
    if seed < 0:
        raise InputError("--seed must be 0 or more", code="out-of-range")
    plan = Plan(
        target=to.target,
        stages=rails.with_warmup(stages, warmup),
        arrivals=options.arrivals or scenario.arrivals or "poisson",
        seed=seed,
        connections=connections,
        timeout_s=timeout,
        connect_timeout_s=min(5.0, timeout),
        warmup_s=warmup,
        grace_s=timeout,
        processes=processes,
        redirects_expected=frozenset(
            number for number, request in enumerate(scenario.requests) if REDIRECTS & (request.check.statuses or set())
        ),
    )
    wanted = options.slo or scenario.slo
    return Settings(plan, wanted or DEFAULT_SLO, not wanted, _budget(options.error_budget))


def watch(options: argparse.Namespace, scenario: Scenario) -> rails.Watch:
    """Return the rail that stops a run, by the options and by the statuses that the requests expect."""
    statuses = [request.check.statuses for request in scenario.requests if request.check.statuses]
    expected: frozenset[int] = frozenset().union(*statuses)
    return rails.Watch(_budget(options.error_budget), surge=not options.through_overload, expected=expected)


def _stages(options: argparse.Namespace, scenario: Scenario) -> tuple[Stage, ...]:
    if options.stages and (options.rps is not None or options.duration):
        raise InputError(
            "--stages stands beside --rps or --duration",
            code="two-plans",
            hint="The stages say both: --stages 30s@50,1m@200.",
        )
    if options.stages:
        return parse_stages(options.stages)
    if scenario.stages and options.rps is None and not options.duration:
        return tuple(Stage(stage.seconds, stage.rate, stage.end_rate) for stage in scenario.stages)
    rate = options.rps
    if rate is None:
        # A scenario's own rates, for the time that --duration says.
        rate = max((max(s.rate, s.end_rate) for s in scenario.stages), default=DEFAULT_RATE)
    if not 0 < rate < float("inf"):
        raise InputError("--rps must be above 0", code="out-of-range", where="--rps")
    own = sum(stage.seconds for stage in scenario.stages) or default_duration(rate, options.slo or scenario.slo)
    seconds = _time("--duration", options.duration, None, own)
    return (Stage(seconds, rate, rate),)


def default_duration(rate: float, objectives: str | None) -> float:
    """Return 10 s, or as long as the objectives' percentile (else p99) needs for its samples, within reason."""
    shares = [item.share for item in slo.parse(objectives) if item.share] if objectives else []
    seconds = math.ceil(SAMPLES_MARGIN * needed(max(shares, default=0.99)) / rate)
    longest = LONGEST_FOR_OBJECTIVE_S if shares else LONGEST_FOR_P99_S
    return max(DEFAULT_DURATION_S, float(seconds)) if seconds <= longest else DEFAULT_DURATION_S


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Return the stages of `30s@50,1m@50-200,10s@500`.

    Raises:
        InputError: every part that is not TIME@RATE or TIME@RATE-RATE.
    """
    from senior_backend.console.report import Finding

    stages: list[Stage] = []
    problems: list[Finding] = []
    column = 1
    for part in text.split(","):
        match = _STAGE.match(part.strip())
        try:
            if not match:
                raise ValueError(f"'{part.strip()}' is not TIME@RATE or TIME@RATE-RATE")
            seconds = parse_duration(match["time"])
            if seconds <= 0:
                raise ValueError(f"'{part.strip()}' has no duration")
            rate = float(match["rate"])
            stages.append(Stage(seconds, rate, float(match["end"] or rate)))
        except ValueError as error:
            problems.append(
                Finding("bad-stage", "error", str(error), f"--stages:1:{column}", "For example 30s@50,1m@50-200.")
            )
        column += len(part) + 1
    if not problems and not any(stage.expected for stage in stages):
        problems.append(Finding("bad-stage", "error", "no stage has a rate above 0", "--stages:1:1"))
    if problems:
        raise InputError(problems[0].message, code="bad-stage", where=problems[0].where, findings=problems)
    return tuple(stages)


def _time(flag: str, given: str | None, own: float | None, default: float, *, least: float = 0.001) -> float:
    if given is None:
        return own if own is not None and own >= least else default
    try:
        seconds = parse_duration(given)
    except ValueError as error:
        raise InputError(f"{flag}: {error}", code="bad-duration", where=flag) from error
    if seconds < least:
        raise InputError(f"{flag} must be above 0", code="out-of-range", where=flag)
    return seconds


def _whole(flag: str, given: int | None, own: int | None, default: int) -> int:
    value = given if given is not None else own if own is not None else default
    if value < 1:
        raise InputError(f"{flag} must be 1 or more", code="out-of-range", where=flag)
    return value


def _budget(text: str) -> float | None:
    if text.lower() in ("off", "none"):
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 < share <= 1:
        raise InputError(
            f"--error-budget '{text}' is not a share", code="bad-share", where="--error-budget", hint="50%, 0.5 or off."
        )
    return share
