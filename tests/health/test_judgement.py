"""States, reasons, bodies, conditions, doubt, and the dependency graph."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from senior_backend.console.exit_codes import ExitCode
from senior_backend.health import graph, judge
from senior_backend.health.attempts import Trace
from senior_backend.health.bodies import interpret
from senior_backend.health.check import Pass
from senior_backend.health.model import Result, Service
from senior_backend.health.outcomes import Outcome, Phases
from senior_backend.health.reasons import REASONS, next_step
from senior_backend.health.security import Redactor
from senior_backend.health.steps import Answer, Certificate, Failure, stranger
from senior_backend.health.verdict import exit_code, findings, reach
from senior_backend.health.watch import SAMPLES, Track
from tests.health.checking import configured


def service(**fields: Any) -> Service:
    return configured({"name": "s", "url": "http://h/", **fields}).services[0]


def judged(answer: Answer | Failure, *, total: float = 0.01, days: float | None = None, **fields: Any) -> Result:
    certificate = None if days is None else Certificate(days * 86400, "f")
    outcome = Outcome(None, answer, Phases(total=total), certificate=certificate)
    return judge.judge(service(**fields), outcome, Trace(), 0.0)


def http(status: int, body: Any = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(f"HTTP {status}", {"status": status}, headers, raw)


BODIES: list[tuple[Any, str | None, list[str]]] = [
    ({"status": "pass"}, "up", []),
    ({"status": "warn", "checks": {"db:time": [{"status": "pass"}, {"status": "warn", "output": "slow"}]}}, "degraded",
     ["db:time"]),
    ({"status": "UP", "components": {"db": {"status": "UP"}, "disk": {"status": "UP"}}}, "up", []),
    ({"status": "DOWN", "components": {"db": {"status": "DOWN", "details": {"error": "refused"}},
      "r": {"status": "UP"}}}, "down", ["db"]),
    ({"status": "DOWN", "components": {"all": {"status": "DOWN", "components": {"one": {"status": "DOWN"}}}}}, "down",
     ["all", "all.one"]),
    ({"status": "OUT_OF_SERVICE"}, "down", []),
    ({"status": "UP", "checks": [{"name": "db", "status": "UP"}, {"name": "mq", "status": "DOWN"}]}, "up", ["mq"]),
    ({"status": "Unhealthy", "entries": {"sql": {"status": "Unhealthy", "description": "timeout"}}}, "down", ["sql"]),
    ({"status": "error", "error": {"redis": {"status": "down", "message": "x"}}, "details": {}}, "down", ["redis"]),
    ({"Cache backend: default": "working", "DatabaseBackend": "unavailable: refused"}, "down", ["DatabaseBackend"]),
    ({"CacheBackend": "working"}, "up", []),
    ({"mode": "working", "version": 3}, None, []),
    ({"finishedAt": 1, "checkResults": [{"name": "Queue", "status": "ok"}, {"name": "Db", "status": "failed"}]}, "down",
     ["Db"]),
    ({"status": "Service Unavailable", "failures": {"db": "dial tcp: refused"}}, "down", ["db"]),
    ({"status": "DOWN", "checks": [{"name": "db", "status": "DOWN", "data": {"<default>": "no"}}]}, "down", ["db"]),
    ({"status": "ok", "checks": {"database": "ok", "cache": "down"}}, "up", ["cache"]),
    ({"status": "ok", "database": {"rows": 3}}, "up", []),
    ({"healthy": False}, "down", []),
    ({"success": False, "message": "no database"}, "down", []),
    ({"status": "shipped", "id": 3}, None, []),
    ({"status": {"nested": 1}}, None, []),
    ([1], None, []),
    (b"Healthy", "up", []),
    (b"Unhealthy", "down", []),
    (b"<html>Healthy</html>", None, []),
    (b"{broken", None, []),
    (b'{"status":' + b"[" * 100_000, None, []),
]  # fmt: skip


@pytest.mark.parametrize(("body", "level", "worst"), BODIES)
def test_health_bodies(body: Any, level: str | None, worst: list[str]) -> None:
    health = interpret(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert (health.level if health else None) == level
    assert (health.worst() if health else []) == worst


def test_a_failing_component_is_named_whatever_the_status() -> None:
    body = {"status": "DOWN", "components": {"db": {"status": "DOWN", "details": {"error": "refused"}}}}
    for status in (200, 503):
        result = judged(http(status, body))
        assert (result.state, result.reason) == ("down", "component_down")
        assert "db is down (refused)" in result.detail
    assert judged(http(200, body), health_body=False).state == "up"
    partly = judged(http(200, {"status": "UP", "components": {"mq": {"status": "DOWN"}}}))
    assert (partly.state, partly.reason) == ("degraded", "component_degraded")


@pytest.mark.parametrize(
    ("expect", "answer", "holds"),
    [
        ({"json": {"queue.depth": "< 100"}}, http(200, {"queue": {"depth": 99}}), True),
        ({"json": {"queue.depth": "< 100"}}, http(200, {"queue": {}}), False),
        ({"json": {"queue.depth": "< 100"}}, http(200, b"<html>502</html>"), False),
        ({"json": {"queue.depth": "< 100"}}, http(200, {"queue": {"depth": "3"}}), False),
        ({"json": {"rate": "<= 0.5"}}, http(200, {"rate": 0.9}), False),
        ({"json": {"rate": "< 0.5"}}, http(200, {"rate": 0.4}), True),
        ({"json": {"ready": True}}, http(200, {"ready": True}), True),
        ({"json": {"ready": True}}, http(200, {"ready": 1}), False),
        ({"json": {"ready": True}}, http(200, {"ready": "true"}), False),
        ({"json": {"items[1].id": 2}}, http(200, {"items": [{"id": 1}, {"id": 2}]}), True),
        ({"json": {"items[2].id": 2}}, http(200, {"items": []}), False),
        ({"json": {'["a.b"]': "!= x"}}, http(200, {"a.b": "y"}), True),
        ({"json": {"v": "~ ^1\\."}}, http(200, {"v": "1.2"}), True),
        ({"json": {"v": "== 'up'"}}, http(200, {"v": "up"}), True),
        ({"json": {"v": "!= 1"}}, http(200, {}), False),
        ({"headers": {"Content-Type": "~ json"}}, http(200, **{"content-type": "application/json"}), True),
        ({"headers": {"X-Build": "7"}}, http(200), False),
        ({"contains": "ok"}, http(200, b"all ok"), True),
        ({"matches": "^ok$"}, http(200, b"all ok"), False),
        ({"status": [200, "3xx"]}, http(301), True),
        ({"status": "200-204"}, http(205), False),
        ({"status": 404}, http(404), True),
        ({"total": "1s"}, http(200), True),
        ({"total": "5ms"}, http(200), False),
        ({"tls_days": 5}, http(200), False),
    ],
)
def test_conditions_are_typed_and_a_missing_value_fails(expect: dict[str, Any], answer: Answer, holds: bool) -> None:
    result = judged(answer, expect=expect)
    assert (result.state == "up") is holds, result
    if not holds:
        assert result.reason in ("assertion", "http_status")


def test_a_failed_transport_decides_before_any_condition() -> None:
    result = judged(Failure("refused", "x"), expect={"status": "500-599"}, degraded={"total": "1ms"})
    assert (result.state, result.reason) == ("down", "refused")


def test_degraded_thresholds() -> None:
    assert judged(http(200), total=0.4, degraded={"total": "300ms"}).reason == "slow"
    assert judged(http(200), days=10, degraded={"tls_days": 14}).reason == "tls_expiring"
    assert judged(http(200, {"q": 9}), degraded={"json": {"q": "< 5"}}).reason == "threshold"
    assert judged(http(200), total=0.2, degraded={"total": "300ms"}).state == "up"


def test_every_reason_has_a_next_step_and_the_list_is_closed() -> None:
    for code, reason in REASONS.items():
        step = next_step(code, host="h", port=1, causes="c")
        assert step.endswith(".")
        assert not re.search(r"\{(?!(ca|cert|server_name|status|Host)\b)", step), code
        if code.startswith("checker_"):
            assert reason.state == "unknown"


def outcome(result: Answer | Failure, **fields: Any) -> Outcome:
    return Outcome(None, result, fields.pop("phases", Phases(total=0.1)), **fields)


def doubtful(result: Answer | Failure, settings: dict[str, Any] | None = None, **fields: Any) -> bool:
    seen = outcome(result, **fields)
    return judge.doubtful(judge.judge(service(**(settings or {})), seen, Trace(), 0.0), seen)


def test_what_the_checker_may_have_caused_is_doubted() -> None:
    slow = {"degraded": {"total": "50ms"}}
    assert doubtful(http(200), slow, active=64)
    assert doubtful(http(200), slow, active=1, phases=Phases(total=0.06))
    assert doubtful(http(200), slow, active=1, phases=Phases(total=3), lag=0.02)
    assert not doubtful(http(200), slow, active=1, phases=Phases(total=3))
    assert doubtful(Failure("read_timeout"), lag=0.6)
    assert not doubtful(Failure("read_timeout"), lag=0.01)
    assert doubtful(Failure("too_many_connections"), same_address=20)
    assert not doubtful(Failure("too_many_connections"), same_address=1)
    assert doubtful(Failure("checker_fd_limit"))
    assert doubtful(http(503), same_address=20)
    assert not doubtful(Failure("refused"), active=64)


def test_a_quiet_look_that_was_spoilt_is_unknown() -> None:
    slow = service(degraded={"total": "50ms"})
    late = outcome(http(200), phases=Phases(total=0.09), lag=0.03)
    result = judge.judge(slow, late, Trace(), 0.0)
    spoilt = judge.overloaded(result, late)
    assert spoilt
    assert (spoilt.state, spoilt.reason) == ("unknown", "checker_overloaded")
    assert judge.overloaded(result, outcome(http(200), phases=Phases(total=0.09), lag=0.001)) is None


# -- the graph ----------------------------------------------------------------------------------------------------


def results(*items: tuple[str, str, list[str]], **more: Any) -> list[Result]:
    """Return results of (name, reason or empty for up, dependencies)."""
    made = configured(*({"name": name, "url": f"http://{name}/", "depends_on": needs} for name, _, needs in items))
    return [
        Result(item, REASONS[reason].state if reason else "up", reason or None, **more)
        for item, (_, reason, _) in zip(made.services, items, strict=True)
    ]


def test_one_cause_and_all_that_it_blocks() -> None:
    solved = graph.resolve(results(
        ("web", "http_status", ["api", "auth"]), ("api", "component_down", ["db", "cache"]),
        ("auth", "refused", ["db"]),
        ("db", "too_many_connections", []), ("cache", "", []), ("alone", "refused", ["cache"]),
    ))  # fmt: skip
    states = {item.service.name: item.state for item in solved}
    assert states == {
        "web": "blocked",
        "api": "blocked",
        "auth": "blocked",
        "db": "down",
        "cache": "up",
        "alone": "down",
    }
    causes = {cause.service: cause.affected for cause in graph.root_causes(solved)}
    assert causes == {"db": ("web", "api", "auth"), "alone": ()}
    assert {item.service.name: item.causes for item in solved}["web"] == ("db",)
    assert {item.service.name: item.own_reason for item in solved}["auth"] == "refused"


def test_a_dependency_that_is_unknown_or_up_blocks_nobody() -> None:
    solved = graph.resolve(results(("api", "refused", ["db"]), ("db", "checker_overloaded", [])))
    assert [item.state for item in solved] == ["down", "unknown"]
    solved = graph.resolve(results(("api", "", ["db"]), ("db", "refused", [])))
    assert [item.state for item in solved] == ["up", "down"]


def test_a_failure_two_steps_away_is_a_hint_and_no_verdict() -> None:
    done = graph.resolve(results(("db", "refused", []), ("api", "", ["db"]), ("web", "http_status", ["api"])))
    assert [item.state for item in done] == ["down", "up", "down"]
    assert "this fails: db; look there" in done[2].next_step
    assert "db" not in graph.resolve(results(("db", "", []), ("web", "refused", ["db"])))[1].next_step


def test_deep_chains_need_no_recursion() -> None:
    chain = [(f"s{i}", "refused", [f"s{i + 1}"]) for i in range(3000)] + [("s3000", "refused", list[str]())]
    solved = graph.resolve(results(*chain))
    assert [item.state for item in solved].count("blocked") == 3000
    assert solved[0].causes == ("s3000",)


def test_causes_that_nobody_declared() -> None:
    lost = results(("a", "dns_timeout", []), ("b", "dns_timeout", []), ("c", "", []))
    assert [cause.kind for cause in graph.shared_causes(lost)] == ["resolver"]
    absent = results(("a", "dns_nxdomain", []), ("b", "dns_nxdomain", []), ("c", "", []))
    assert "right network" in graph.shared_causes(absent)[0].message
    assert graph.shared_causes([*absent[:2], absent[2]._replace(address="192.0.2.1")]) == []
    expired = results(("a", "tls_expired", []), ("b", "tls_expired", []), fingerprint="f" * 64)
    assert [cause.kind for cause in graph.shared_causes(expired)] == ["certificate"]
    early = results(("a", "tls_not_yet_valid", []), ("b", "tls_not_yet_valid", []))
    two = [result._replace(fingerprint=result.service.name) for result in early]
    assert [cause.kind for cause in graph.shared_causes(two)] == ["clock"]
    wrong = [
        *results(("a", "tls_expired", [])),
        *(item._replace(clock_ahead=9000.0) for item in results(("b", "", []))),
    ]
    assert "2.5 hours ahead of the Date that b sent" in graph.shared_causes(wrong)[0].message
    assert graph.shared_causes([*wrong, *(item._replace(clock_ahead=0.4) for item in results(("c", "", [])))]) == []
    down = configured({"name": "a", "url": "http://h:1/"}, {"name": "b", "url": "http://h:2/"}).services
    gone = [Result(item, "down", "connect_timeout", address="192.0.2.1") for item in down]
    assert [(cause.kind, cause.services) for cause in graph.shared_causes(gone)] == [("host", ("a", "b"))]
    one_lives = [gone[0], Result(down[1], "up", address="192.0.2.1")]
    assert graph.shared_causes(one_lives) == []


def verdict_of(*items: tuple[str, str, list[str]], critical: dict[str, bool] | None = None) -> Any:
    entries = [{"name": n, "url": f"http://{n}/", "depends_on": d, "critical": (critical or {}).get(n, True)}
               for n, _, d in items]  # fmt: skip
    made = configured(*entries)
    found = [
        Result(s, REASONS[r].state if r else "up", r or None) for s, (_, r, _) in zip(made.services, items, strict=True)
    ]
    return reach(Pass(tuple(graph.resolve(found)), 0.0, 0.1, 0.0, 0), "services.yaml", Redactor())


def test_exit_codes() -> None:
    assert verdict_of(("a", "", [])).exit_code is ExitCode.OK
    assert verdict_of(("a", "", []), ("b", "slow", [])).exit_code is ExitCode.OK
    assert verdict_of(("a", "", []), ("b", "refused", [])).exit_code is ExitCode.FAILED
    assert verdict_of(("a", "", []), ("b", "refused", []), critical={"b": False}).exit_code is ExitCode.OK
    assert verdict_of(("a", "", []), ("b", "permission", [])).exit_code is ExitCode.UNDECIDED
    assert verdict_of(("a", "refused", []), ("b", "permission", [])).exit_code is ExitCode.FAILED
    assert verdict_of(("a", "refused", []), critical={"a": False}).exit_code is ExitCode.FAILED
    assert exit_code([]) is ExitCode.UNDECIDED
    degraded = verdict_of(("b", "slow", []))
    assert exit_code(degraded.results, fail_on_degraded=True) is ExitCode.FAILED


def test_findings_tell_the_cause_once() -> None:
    verdict = verdict_of(("web", "http_status", ["db"]), ("db", "refused", []))
    found = findings(verdict)
    assert [item.code for item in found] == ["refused"]
    assert "blocks web" in found[0].message
    assert "1 cause (db: refused), 1 affected" in verdict.summary


def test_flapping_is_scored_as_nagios_does() -> None:
    steady, flapping = Track(), Track()
    for index in range(SAMPLES):
        assert steady.add("up", index) is None
        flapping.add("up" if index % 2 else "down", index)
    assert steady.flap_score() == 0.0
    assert flapping.flap_score() == pytest.approx(100.0)
    late, early = Track(), Track()
    for index in range(SAMPLES):
        late.add("down" if index == SAMPLES - 1 else "up", index)
        early.add("down" if index == 0 else "up", index)
    assert late.flap_score() > early.flap_score() > 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "database unavailable"}, "database unavailable"),
        ({"errors": [{"message": "pool exhausted"}], "data": None}, "pool exhausted"),
        ({"error": None, "data": 1}, None),
        ({"errors": []}, None),
        ({"status": "ok", "error": {}}, None),
        ({"status": "ok", "error": "one old error"}, None),
    ],
)
def test_an_error_that_comes_with_status_200_is_a_failure(body: dict[str, Any], said: str | None) -> None:
    result = judged(http(200, body))
    assert result.state == ("down" if said else "up"), result
    assert (said or "") in result.detail
    assert judged(http(200, body), health_body=False).state == "up"


@pytest.mark.parametrize(
    ("status", "word"),
    [(401, "auth"), (403, "rights"), (404, "`url`"), (405, "`method`"), (429, "limits its callers"), (500, "log"),
     (502, "proxy"), (503, "proxy"), (504, "proxy"), (418, "log")],
)  # fmt: skip
def test_each_usual_status_has_its_own_next_step(status: int, word: str) -> None:
    result = judged(http(status, {"error": "no"}))
    assert (result.reason, word in result.next_step) == ("http_status", True), result.next_step


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"\x15\x03\x01\0\x02", "TLS"), (b"HTTP/", "HTTP"), (b"SSH-2", "SSH"), (b"220 m", "SMTP"),
     (b"J\0\0\0\x0a8.0", "MySQL"), (b"+PONG", "Redis")],
)  # fmt: skip
def test_what_speaks_on_the_wrong_port_is_named(data: bytes, name: str) -> None:
    assert f"it looks like {name}" in stranger("AMQP", data).detail
    assert "looks like" not in stranger("AMQP", b"garbage").detail


def test_a_component_that_is_a_failing_service_is_an_undeclared_cause() -> None:
    def found(needs: list[str]) -> list[graph.SharedCause]:
        made = configured({"name": "api", "url": "http://a/", "depends_on": needs}, {"name": "db", "url": "http://b/"})
        api = Result(made.services[0], "down", "component_down", components={"db": "down", "cache": "down"})
        return graph.shared_causes([api, Result(made.services[1], "down", "refused")])

    assert [(cause.kind, cause.subject, cause.services) for cause in found([])] == [("component", "db", ("api", "db"))]
    assert "add `depends_on: [db]` to api" in found([])[0].message
    assert found(["db"]) == []
