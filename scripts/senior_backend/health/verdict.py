"""What a whole pass amounts to: counts, causes, findings, the exit code and one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.report import Finding, NextCommand, Severity
from senior_backend.health import graph
from senior_backend.health.check import Pass
from senior_backend.health.graph import Cause, SharedCause
from senior_backend.health.model import Result
from senior_backend.health.reasons import REASONS, State
from senior_backend.health.security import Redactor

STANDARD_INPUT = "standard input"
URLS = "--url"
NO_FILES = (STANDARD_INPUT, URLS)
"""Where services come from that no further command can name."""
STATES: tuple[State, ...] = ("down", "blocked", "unknown", "degraded", "up")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A pass with its meaning; every text in it is free of secrets, so that every output is."""

    path: str
    results: tuple[Result, ...]
    counts: dict[State, int]
    causes: tuple[Cause, ...]
    shared: tuple[SharedCause, ...]
    exit_code: ExitCode
    summary: str
    started_at: float
    seconds: float
    lag_p99: float
    second_looks: int

    def worst_first(self) -> list[Result]:
        """Return the results by state, the worst first, else in the order of the file."""
        return sorted(self.results, key=lambda result: STATES.index(result.state))


def reach(done: Pass, path: str, redactor: Redactor, *, fail_on_degraded: bool = False) -> Verdict:
    """Return the verdict on a pass."""
    results = tuple(_clean(result, redactor) for result in done.results)
    counts = Counter(result.state for result in results)
    causes = tuple(graph.root_causes(results))
    code = exit_code(results, fail_on_degraded=fail_on_degraded)
    return Verdict(
        path,
        results,
        {state: counts.get(state, 0) for state in STATES},
        causes,
        tuple(graph.shared_causes(results)),
        code,
        _summary(results, counts, causes, done.seconds),
        done.started_at,
        done.seconds,
        done.lag_p99,
        done.second_looks,
    )


def exit_code(results: Sequence[Result], *, fail_on_degraded: bool = False) -> ExitCode:
    """Return 1 when a critical service fails, else 3 when one could not be judged, else 0.

    Where nothing is critical, something must at least be up. Nothing checked is undecided.
    """
    if not results:
        return ExitCode.UNDECIDED
    critical = [result for result in results if result.service.critical]
    if any(result.failing or (fail_on_degraded and result.state == "degraded") for result in critical):
        return ExitCode.FAILED
    if any(result.state == "unknown" for result in critical):
        return ExitCode.UNDECIDED
    if not critical and not any(result.state in ("up", "degraded") for result in results):
        return ExitCode.FAILED if any(result.failing for result in results) else ExitCode.UNDECIDED
    return ExitCode.OK


def findings(verdict: Verdict) -> tuple[Finding, ...]:
    """Return a finding for everything that is not up: shared causes, root causes, then the rest."""
    found = [
        Finding(
            "shared-cause",
            "error" if _any_failing(verdict, cause) else "warning",
            cause.message,
            ", ".join(cause.services[:8]) + (" …" if len(cause.services) > 8 else ""),
            None,
        )
        for cause in verdict.shared
    ]
    for result in verdict.worst_first():
        if result.state in ("up", "blocked"):
            continue  # what is blocked is told with its cause
        failing = result.failing and result.service.critical
        severity: Severity = "error" if failing else "warning"
        code = (result.reason or result.state).replace("_", "-")
        message = f"{result.service.name} is {result.state}: {explain(result)}{_blocks(verdict, result)}"
        found.append(Finding(code, severity, message, result.service.target, result.next_step or None))
    return tuple(found)


def explain(result: Result, *, excerpt: bool = True) -> str:
    """Return why a result is what it is, in one line; `excerpt` adds the start of the service's answer."""
    if result.state == "blocked":
        own = REASONS[result.own_reason].means if result.own_reason else "it fails"
        detail = f" ({result.detail})" if result.detail else ""
        return f"{own}{detail}, behind {', '.join(result.causes)}"
    if result.reason is None:
        return result.detail
    means = REASONS[result.reason].means
    text = f"{means} ({result.detail})" if result.detail else means
    if result.reason in ("assertion", "slow", "threshold", "component_down", "component_degraded", "http_status"):
        text = result.detail or means
    return f"{text}; it answered: {result.excerpt}" if result.excerpt and excerpt else text


def next_commands(verdict: Verdict, services_path: str, *, waited: bool = False) -> tuple[NextCommand, ...]:
    """Return what is worth running now, after a run that has `waited` or not."""
    if services_path in NO_FILES:
        return ()
    again = f"python3 scripts/health_check.py --services {services_path}"
    reasons = {result.reason for result in verdict.results}
    steps = []
    if reasons & {"starting_up", "loading", "refused"} and not waited:
        steps.append(NextCommand(f"{again} --wait 60s", "waits until everything is up, for services that are starting"))
    if reasons & {"exec_not_allowed"}:
        steps.append(NextCommand(f"{again} --allow-exec", "runs the commands of services.yaml too"))
    if verdict.counts["down"] or verdict.counts["degraded"]:
        steps.append(NextCommand(f"{again} --write html=health.html", "draws the dependencies with their states"))
    return tuple(steps)


def _summary(results: Sequence[Result], counts: Counter[State], causes: Sequence[Cause], seconds: float) -> str:
    total = len(results)
    if not total:
        return "nothing was checked"
    if counts["up"] == total:
        return f"all {total} services are up ({seconds:.2f} s)" if total > 1 else f"the service is up ({seconds:.2f} s)"
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    text = f"of {total} services: {', '.join(parts)} ({seconds:.2f} s)"
    if total == 1:
        text = f"{results[0].service.name} is {results[0].state}: {results[0].reason} ({seconds:.2f} s)"
    affected = len({name for cause in causes for name in cause.affected})
    if causes and affected:
        named = ", ".join(f"{cause.service}: {cause.reason}" for cause in causes[:3])
        more = ", …" if len(causes) > 3 else ""
        text += f"; {len(causes)} cause{'s' if len(causes) > 1 else ''} ({named}{more}), {affected} affected"
    return text


def _blocks(verdict: Verdict, result: Result) -> str:
    affected = next((cause.affected for cause in verdict.causes if cause.service == result.service.name), ())
    if not affected:
        return ""
    more = f" and {len(affected) - 6} more" if len(affected) > 6 else ""
    return f"; it blocks {', '.join(affected[:6])}{more}"


def _any_failing(verdict: Verdict, cause: SharedCause) -> bool:
    return any(
        result.failing and result.service.critical
        for result in verdict.results
        if result.service.name in cause.services
    )


def _clean(result: Result, redactor: Redactor) -> Result:
    service = result.service
    target, detail = redactor.text(service.target), _one_line(redactor.text(result.detail))
    if not redactor.active and detail == result.detail:
        return result
    service = service._replace(target=target, description=redactor.text(service.description))
    return result._replace(
        service=service,
        detail=detail,
        excerpt=redactor.text(result.excerpt),
        facts=redactor.tree(result.facts),
        components=redactor.tree(result.components),
        next_step=redactor.text(result.next_step),
    )


def _one_line(text: str) -> str:
    if text.isprintable() and len(text) <= 300:
        return text
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= 300 else shown[:299] + "…"
