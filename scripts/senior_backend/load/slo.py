"""Service level objectives: `p99<200ms,errors<0.1%`, parsed with all their mistakes and judged with enough samples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from senior_backend.console.errors import InputError, did_you_mean
from senior_backend.console.report import Finding
from senior_backend.load.samples import enough, needed
from senior_backend.load.statistics import MS, binomial_tail, percentile_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.load.model import RunResult
    from senior_backend.load.samples import Distribution
    from senior_backend.load.statistics import Summary

State = Literal["holds", "broken", "undecided"]
Relation = Literal["<", "<=", ">", ">="]

CERTAINTY = 0.01
"""With too few samples for a percentile, a limit counts as broken only when luck is less likely than this."""

_PART = re.compile(
    r"\s*(?P<metric>[A-Za-z]+[\d.]*)\s*(?:\[(?P<request>[^\]]+)\])?\s*(?P<relation><=|>=|<|>)\s*"
    r"(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-zµ%/]*)\s*\Z"
)
_TIME_UNITS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_METRICS = ("p50", "p90", "p95", "p99", "p99.9", "mean", "max", "errors", "rps")


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective. `limit` is in ms for times, a share (0 to 1) for errors, 1/s for rps; `share` of a percentile."""

    text: str
    metric: str
    relation: Relation
    limit: float
    share: float | None = None
    request: str | None = None

    @property
    def is_time(self) -> bool:
        """Whether the objective is about response time."""
        return self.metric not in ("errors", "rps")


@dataclass(frozen=True, slots=True)
class Judged:
    """An objective beside what was measured (in the objective's unit; None where it cannot be told)."""

    objective: Objective
    state: State
    measured: float | None
    message: str

    def to_json(self) -> dict[str, object]:
        """Return it as the report shows it."""
        return {
            "objective": self.objective.text,
            "state": self.state,
            "measured": None if self.measured is None else round(self.measured, 6),
            "limit": self.objective.limit,
            "unit": "ms" if self.objective.is_time else ("share" if self.objective.metric == "errors" else "1/s"),
            "message": self.message,
        }


def parse(text: str, requests: Sequence[str] | None = None) -> tuple[Objective, ...]:
    """Read objectives separated by commas; raise InputError that tells every mistake at once.

    Metrics are p50 to p99.999, mean, max, errors and rps; `p99[list users]<200ms` is about one request.
    """
    objectives: list[Objective] = []
    problems: list[Finding] = []
    offset = 0
    for part in re.split(r",(?![^\[\]]*\])", text):
        found = _objective(part, requests)
        if isinstance(found, Objective):
            objectives.append(found)
        else:
            column = offset + len(part) - len(part.lstrip()) + 1
            problems.append(
                Finding("slo-syntax", "error", found, f"--slo:1:{column}", "write for example p99<200ms,errors<0.1%")
            )
        offset += len(part) + 1
    if problems:
        raise InputError(problems[0].message, code="slo-syntax", where=problems[0].where, findings=problems)
    return tuple(objectives)


def _objective(part: str, requests: Sequence[str] | None) -> Objective | str:
    """Return the objective, or what is wrong with it."""
    shown = part.strip()
    match = _PART.match(part)
    if match is None:
        return f"not an objective: '{shown}' (expected METRIC < VALUE UNIT)"
    metric, request = match["metric"].lower(), match["request"]
    relation: Relation = match["relation"]  # type: ignore[assignment] # the pattern allows nothing else
    value, unit = float(match["value"]), match["unit"]
    if request is not None and requests is not None and request not in requests:
        return f"no request is named '{request}'{did_you_mean(request, requests)}"
    if metric == "errors":
        if unit not in ("%", ""):
            return f"errors are a share: '{shown}' has the unit '{unit}' (expected % or none)"
        limit = value / 100 if unit == "%" else value
        if limit > 1:
            return f"'{shown}': a share of errors is at most 100%"
        return Objective(shown, metric, relation, limit, request=request)
    if metric == "rps":
        if unit not in ("", "/s", "rps") or request is not None:
            return f"'{shown}': rps takes a plain number of the whole run"
        return Objective(shown, metric, relation, value)
    return _time_objective(shown, match)


def _time_objective(shown: str, match: re.Match[str]) -> Objective | str:
    metric, request, unit = match["metric"].lower(), match["request"], match["unit"]
    relation: Relation = match["relation"]  # type: ignore[assignment] # the pattern allows nothing else
    value = float(match["value"])
    percent = re.fullmatch(r"p(\d{1,2}(?:\.\d{1,4})?)", metric)
    share = round(float(percent[1]) / 100, 8) if percent else None
    if share == 0 or (share is None and metric not in ("mean", "max")):
        return f"unknown metric '{metric}'{did_you_mean(metric, _METRICS)}; known are {', '.join(_METRICS)}"
    if unit not in _TIME_UNITS:
        return f"'{shown}' needs a unit of time (ms, s or us)" + (f", not '{unit}'" if unit else "")
    return Objective(shown, metric, relation, value * _TIME_UNITS[unit], share, request)


def judge(objectives: Sequence[Objective], result: RunResult, summary: Summary) -> tuple[Judged, ...]:
    """Set each objective beside what was measured."""
    return tuple(_judged(objective, result, summary) for objective in objectives)


def _judged(objective: Objective, result: RunResult, summary: Summary) -> Judged:
    index = result.names.index(objective.request) if objective.request in result.names else None
    if objective.metric == "rps":
        return _compared(objective, summary.achieved_rate, f"{summary.achieved_rate:.1f}/s answered")
    if objective.metric == "errors":
        count, failed = summary.planned, summary.failed
        if index is not None:
            count, failed = summary.requests[index].count, summary.requests[index].failed
        if not count:
            return Judged(objective, "undecided", None, "no request was measured")
        note = f"{failed:,} of {count:,} requests failed ({failed / count:.3%})"
        if not failed and objective.limit and count < 3 / objective.limit:
            note += f"; so few requests cannot exclude {3 / count:.2%}"
        return _compared(objective, failed / count, note)
    return _judged_time(objective, result.samples.distribution("response", index))


def _judged_time(objective: Objective, distribution: Distribution) -> Judged:
    if not distribution.count:
        return Judged(objective, "undecided", None, "no request was measured")
    if objective.share is None:
        value = (distribution.mean if objective.metric == "mean" else distribution.greatest) or 0.0
        return _compared(objective, value / MS, f"{objective.metric} {value / MS:.1f} ms")
    value = (distribution.at(objective.share) or 0.0) / MS
    name = percentile_name(objective.share)
    if enough(distribution.count, objective.share):
        return _compared(objective, value, f"{name} {value:.1f} ms")
    needs = f"{distribution.count:,} samples; {name} needs {needed(objective.share):,}"
    over = _above(distribution, objective.limit * MS)
    chance = binomial_tail(distribution.count, over, 1 - objective.share)
    if objective.relation in ("<", "<=") and chance < CERTAINTY:
        return Judged(
            objective, "broken", value, f"{over:,} of {distribution.count:,} took longer, too many for {name}"
        )
    return Judged(objective, "undecided", None, f"not enough data: {needs}")


def _above(distribution: Distribution, limit: float) -> int:
    """Return how many values exceed the limit, by bisection on ranks."""
    low, high = 0, distribution.count
    while low < high:
        middle = (low + high) // 2
        if (distribution.at((middle + 1) / distribution.count) or 0.0) > limit:
            high = middle
        else:
            low = middle + 1
    return distribution.count - low


def _compared(objective: Objective, value: float, message: str) -> Judged:
    holds = {
        "<": value < objective.limit,
        "<=": value <= objective.limit,
        ">": value > objective.limit,
        ">=": value >= objective.limit,
    }[objective.relation]
    return Judged(objective, "holds" if holds else "broken", value, message)
