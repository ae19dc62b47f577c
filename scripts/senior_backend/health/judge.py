"""From the outcome of a conversation to a state with a reason; no I/O, no clock besides the one passed in."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from senior_backend.health.assertions import Assertion, Observation
from senior_backend.health.attempts import Trace
from senior_backend.health.bodies import BodyHealth, interpret, reported_error
from senior_backend.health.model import NO_OPTIONS, Result, Service
from senior_backend.health.outcomes import Outcome
from senior_backend.health.reasons import REASONS, STATUS_STEPS, TIMEOUTS, State, next_step
from senior_backend.health.security import excerpt
from senior_backend.health.steps import Answer, Certificate, Failure

QUIET = 4
"""Checks in flight during a second look: few enough that they do not disturb each other."""

# What a burst of checks against one address can cause by itself.
_BURST = frozenset({"queue_full", "connection_reset", "connection_closed", "connect_timeout", "too_many_connections"})
_SELF_INFLICTED = frozenset({429, 503})
_OWN_TROUBLE = frozenset({"checker_fd_limit", "checker_ports", "checker_dns"})
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TAGS = re.compile(rb"<(script|style|title)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class Ruling(NamedTuple):
    """A state with its reason, before it becomes a result."""

    state: State
    reason: str | None = None
    detail: str = ""
    excerpt: str = ""


def judge(service: Service, outcome: Outcome, trace: Trace, now: float) -> Result:
    """Return the state of one service by itself; `now` is Unix time, for certificates.

    A failed transport decides before any condition, then what must hold, then what the body says, then what should.
    """
    result = outcome.result
    days = (outcome.certificate.not_after - now) / 86400 if outcome.certificate else None
    phases = outcome.phases.milliseconds()
    health = None
    if isinstance(result, Failure):
        reason, detail = _certificate_trouble(result, outcome.certificate, now)
        ruling = Ruling(REASONS[reason].state, reason, detail)
    else:
        health = _body_health(service, result)
        seen = Observation(result.facts, phases, result.headers, result.body, days)
        ruling = _rule(service, result, seen, health)
    return Result(
        service,
        ruling.state,
        ruling.reason,
        ruling.detail,
        phases=phases,
        facts=result.facts,
        components=health.components if health else NO_OPTIONS,
        excerpt=ruling.excerpt,
        address=outcome.address,
        fingerprint=outcome.certificate.fingerprint if outcome.certificate else None,
        tls_days=None if days is None else round(days, 2),
        clock_ahead=_clock_ahead(result, now),
        attempts=trace.attempts,
        flaky=trace.attempts > 1 and ruling.state in ("up", "degraded"),
        lag_ms=round(outcome.lag * 1000, 2),
        active=outcome.active,
        next_step=_step(service, ruling, result.facts.get("status")),
    )


def _certificate_trouble(failure: Failure, certificate: Certificate | None, now: float) -> tuple[str, str]:
    """Return reason and detail of a failure, with what the server's own certificate says about it."""
    reason, detail = failure.reason, failure.detail
    if certificate is None:
        return reason, detail
    if reason == "tls_expired" and certificate.not_after > now:
        return "tls_chain_expired", f"the server's own certificate is valid until {_day(certificate.not_after)}"
    if reason == "tls_expired":
        return reason, f"on {_day(certificate.not_after)}, {(now - certificate.not_after) / 86400:.1f} days ago"
    if reason == "tls_not_yet_valid" and certificate.not_before > now:
        ahead = (certificate.not_before - now) / 86400
        return reason, f"it begins on {_day(certificate.not_before)}, in {ahead:.1f} days by this machine's clock"
    if reason == "tls_hostname" and certificate.names:
        return reason, f"it is for {', '.join(certificate.names[:5])}; {detail}"
    return reason, detail


def _clock_ahead(result: Answer | Failure, now: float) -> float | None:
    """Return how far `now` is ahead of the Date of an answer (RFC 9110, section 6.6.1) that no cache has kept."""
    headers = result.headers if isinstance(result, Answer) else None
    if not headers or "date" not in headers or "age" in headers:
        return None
    from datetime import UTC, datetime  # not loaded for other checks

    try:
        _, day, month, year, clock, _ = headers["date"].split()
        hour, minute, second = clock.split(":")
        sent = datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    return now - sent.timestamp()


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def _step(service: Service, ruling: Ruling, status: int | None) -> str:
    if ruling.reason is None:
        return ""
    if ruling.reason == "http_status" and status in STATUS_STEPS:
        return STATUS_STEPS[status]
    return next_step(ruling.reason, host=service.host, port=service.port)


def _rule(service: Service, answer: Answer, seen: Observation, health: BodyHealth | None) -> Ruling:
    failed = _first_failure(service.expect, seen)
    bad_status = _bad_status(service, answer, failed)
    if bad_status:
        if health and (health.worst() or health.level != "up"):
            return Ruling("down", "component_down", f"HTTP {answer.facts.get('status')}: {health.explain()}")
        return Ruling("down", "http_status", bad_status, _shown(answer))
    if failed:
        shown = _shown(answer) if failed[0].subject in ("json", "contains", "matches") else ""
        return Ruling("down", "assertion", failed[1], shown)
    if health and health.level == "down":
        return Ruling("down", "component_down", health.explain())
    if answer.reason:
        return Ruling(REASONS[answer.reason].state, answer.reason, answer.note)
    if health and (health.level == "degraded" or health.worst()):
        return Ruling("degraded", "component_degraded", health.explain())
    weak = _first_failure(service.degraded, seen)
    if weak:
        reason = "slow" if weak[0].limits_time else "tls_expiring" if weak[0].subject == "tls_days" else "threshold"
        return Ruling("degraded", reason, weak[1])
    return Ruling("up", None, answer.note)


def _bad_status(service: Service, answer: Answer, failed: tuple[Assertion, str] | None) -> str:
    """Return what is wrong with an HTTP status, by `expect` or, where that says nothing, outside of 200 to 299."""
    if failed and failed[0].subject == "status" and service.type == "http":
        return failed[1]
    status = int(answer.facts.get("status") or 0)
    if service.type == "http" and not _names_status(service) and not 200 <= status < 300:
        wait = (answer.headers or {}).get("retry-after")
        return f"HTTP {status}, Retry-After: {excerpt(wait, 40)}" if wait else f"HTTP {status}"
    return ""


def _shown(answer: Answer) -> str:
    """Return what the answer says, of a page only its words."""
    body = (answer.body or b"")[:8192]
    if "html" in (answer.headers or {}).get("content-type", ""):
        body = _TAGS.sub(b" ", body)
    return excerpt(body)


def _body_health(service: Service, answer: Answer) -> BodyHealth | None:
    if answer.body is None or service.options.get("health_body") is False:
        return None
    health = interpret(answer.body, (answer.headers or {}).get("content-type", ""))
    if health is None and 200 <= (answer.facts.get("status") or 0) < 300:
        return reported_error(answer.body)
    return health


def _names_status(service: Service) -> bool:
    return any(rule.subject == "status" for rule in service.expect)


def _first_failure(rules: Iterable[Assertion], seen: Observation) -> tuple[Assertion, str] | None:
    """Return the first rule that fails; the status first, since the others follow from it, and times last."""
    if not rules:
        return None
    for rule in sorted(rules, key=lambda rule: (rule.subject != "status", rule.limits_time)):
        message = rule.failure(seen)
        if message:
            return rule, message
    return None


def _with(base: Result, state: State, reason: str, detail: str) -> Result:
    service = base.service
    step = next_step(reason, host=service.host, port=service.port)
    return base._replace(state=state, reason=reason, detail=detail, next_step=step)


# -- doubt --------------------------------------------------------------------------------------------------------


def is_slow(result: Result) -> bool:
    """Whether only a time limit stands between this result and a better one."""
    return result.reason == "slow" or (result.reason == "assertion" and _broken_limit(result) is not None)


def _broken_limit(result: Result) -> tuple[float, float] | None:
    """Return the measured and the allowed ms of the first phase limit that is passed."""
    rules = result.service.degraded if result.reason == "slow" else result.service.expect
    for rule in rules:
        value = result.phases.get(rule.subject) if rule.limits_time else None
        if value is not None and value > rule.condition * 1000:
            return value, rule.condition * 1000
    return None


def doubtful(result: Result, outcome: Outcome) -> bool:
    """Whether a bad result may be the checker's own doing, so that it has to be seen again with few in flight.

    A timeout counts at once when the loop was never late for a tenth of the time that was allowed: then the checker
    sat idle and the service did not answer. A time just above its limit, or one that was taken among many others,
    is measured again.
    """
    if result.reason in _OWN_TROUBLE:
        return True
    if crowding(result) and outcome.same_address > QUIET:
        return True
    if result.reason in TIMEOUTS:
        return outcome.lag > result.service.timeout / 10
    if is_slow(result):
        measured, limit = _broken_limit(result) or (0.0, 0.0)
        crowded = outcome.active > 4 * QUIET or outcome.same_address > QUIET
        return crowded or measured < 3 * limit + 200 or outcome.lag * 1000 > limit / 10
    return False


def crowding(result: Result) -> bool:
    """Whether a burst of checks against one address could by itself have this result."""
    return result.reason in _BURST or (result.reason is not None and result.facts.get("status") in _SELF_INFLICTED)


def overloaded(result: Result, outcome: Outcome) -> Result | None:
    """Return the result as `unknown` where even the last, quiet look was spoilt by the checker's own lag."""
    broken = _broken_limit(result) if is_slow(result) else None
    late = outcome.lag * 1000
    spoilt = broken is not None and broken[0] - 2 * late <= broken[1]
    if result.reason in TIMEOUTS:
        spoilt = outcome.lag > result.service.timeout / 4
    if not spoilt:
        return None
    detail = f"{result.detail}; the checker itself was {late:.0f} ms late"
    return _with(result, "unknown", "checker_overloaded", detail)


def with_failing_addresses(result: Result, failing: Sequence[Result], count: int) -> Result:
    """Return a good result as degraded, since `failing` of the `count` addresses of its name do not work."""
    shown = [f"{item.address}: {item.reason} ({item.detail})" for item in failing[:3]]
    detail = f"{len(failing)} of {count} addresses of {result.service.host} fail: {', '.join(shown)}"
    if result.state == "degraded":
        return result._replace(detail=f"{result.detail}; {detail}")
    return _with(result, "degraded", "address_failing", detail)


def without_resolver(result: Result) -> Result:
    """Return a failed look-up as the checker's trouble: nothing at all was resolved, so the resolver is to blame."""
    return _with(result, "unknown", "checker_resolver", result.detail)
