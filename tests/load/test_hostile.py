"""Servers that misbehave: every request is counted, in the right class, and the run ends in time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

import pytest

from senior_backend.load import engine, findings, rails, statistics, validity, verdict
from senior_backend.load.http import request_bytes
from senior_backend.load.model import ErrorKind, Prepared, RunResult, StaticWorkload, Target, TLSOptions
from senior_backend.load.sockets import Unreachable, reach
from tests.documents import ROOT
from tests.load import harness
from tests.load.harness import CERTIFICATES, server

RATE, SECONDS, TIMEOUT, GRACE = 60.0, 0.5, 0.4, 0.6
SLACK = 0.75
"""What a machine that runs other tests at the same time may add, in seconds."""
PATIENT = 5.0
"""A timeout for servers that do answer; the run ends earlier, when all have."""
NONE = ErrorKind.NONE


def attack(
    behaviour: str,
    *,
    certificate: str | None = None,
    tls: TLSOptions | None = None,
    head: bool = False,
    timeout: float = TIMEOUT,
) -> RunResult:
    arguments = ["hostile", behaviour]
    if certificate:
        arguments += ["--certificate", str(CERTIFICATES / certificate)]
    with server(*arguments) as port:
        plan = harness.plan(
            port,
            RATE,
            SECONDS,
            tls=tls,
            connections=20,
            timeout_s=timeout,
            connect_timeout_s=timeout,
            grace_s=timeout + GRACE - TIMEOUT,
            max_body_bytes=1_000_000,
        )
        return engine.run(plan, harness.get(port, tls, head=head))


def check_books(result: RunResult) -> None:
    """Every request that fell due is in the samples once, and the run ended in time."""
    samples = result.samples
    assert result.planned == len(samples) > 10
    assert sum(result.errors.values()) == sum(1 for error in samples.error if error)
    assert result.elapsed_s < SECONDS + result.plan.grace_s + SLACK
    assert set(result.examples) == set(result.errors)
    assert min(samples.response) >= 0
    assert min(samples.first_byte) >= 0
    assert min(samples.lag) >= 0
    assert min(samples.wait) >= 0


CLASSES = {
    "fine": (NONE, 200),
    "chunked": (NONE, 200),
    "pieces": (NONE, 200),
    "interim": (NONE, 200),
    "no-content": (NONE, 204),
    "not-modified": (NONE, 304),
    "redirect": (NONE, 302),
    "gzip": (NONE, 200),
    "until-close": (NONE, 200),
    "close-header": (NONE, 200),
    "silent-close": (NONE, 200),
    "mixed-close": (NONE, 200),
    "folded": (NONE, 200),
    "bare-line-feeds": (NONE, 200),
    "no-reason": (NONE, 200),
    "same-lengths": (NONE, 200),
    "list-of-lengths": (NONE, 200),
    "keep-alive-1.0": (NONE, 200),
    "closed-1.0": (NONE, 200),
    "many-chunks": (NONE, 200),
    "interim-flood": (NONE, 200),
    "late-interim": (NONE, 200),
    "half-close": (NONE, 200),
    "errors": (ErrorKind.STATUS, 500),
    "switching": (ErrorKind.STATUS, 101),
    "too-many": (ErrorKind.STATUS, 429),
    "early-answer": (ErrorKind.STATUS, 413),
    "never": (ErrorKind.READ_TIMEOUT, 0),
    "half-and-wait": (ErrorKind.READ_TIMEOUT, 200),
    "drip": (ErrorKind.READ_TIMEOUT, 0),
    "endless-chunks": (ErrorKind.READ_TIMEOUT, 200),
    "endless-body": (ErrorKind.PROTOCOL, 200),
    "big-head": (ErrorKind.PROTOCOL, 0),
    "half-head": (ErrorKind.PROTOCOL, 0),
    "half-body": (ErrorKind.PROTOCOL, 200),
    "half-chunk": (ErrorKind.PROTOCOL, 200),
    "garbage": (ErrorKind.PROTOCOL, 0),
    "bad-status": (ErrorKind.PROTOCOL, 0),
    "bad-length": (ErrorKind.PROTOCOL, 0),
    "two-lengths": (ErrorKind.PROTOCOL, 0),
    "both-framings": (ErrorKind.PROTOCOL, 0),
    "bad-chunk": (ErrorKind.PROTOCOL, 200),
    "too-long": (ErrorKind.PROTOCOL, 200),
    "signed-length": (ErrorKind.PROTOCOL, 0),
    "no-content-with-body": (ErrorKind.PROTOCOL, 204),
    "two-answers": (ErrorKind.PROTOCOL, 200),
    "http2": (ErrorKind.PROTOCOL, 0),
    "no-last-line": (ErrorKind.PROTOCOL, 200),
    "close": (ErrorKind.RESET, 0),
    "reset": (ErrorKind.RESET, 0),
    "reset-in-body": (ErrorKind.RESET, 200),
}
"""The class of error, and the status of the response as far as it came."""


@pytest.mark.parametrize("behaviour", CLASSES)
def test_each_misbehaviour_has_its_class(behaviour: str) -> None:
    kind, status = CLASSES[behaviour]
    result = attack(behaviour, timeout=TIMEOUT if kind is ErrorKind.READ_TIMEOUT else PATIENT)
    check_books(result)
    kinds = {kind for kind in result.errors if kind}
    if kind is NONE:
        assert not kinds, result.examples
        assert set(result.statuses) == {status}
        return
    # With every connection held, what came last was never sent or not yet timed out when the run ended.
    assert kinds - {ErrorKind.NO_CONNECTION, ErrorKind.UNFINISHED} == {kind}, result.examples
    assert set(result.statuses) == ({status} if status else set())
    assert result.errors[kind] > 5
    summary = statistics.summarize(result)
    assert summary.succeeded == 0
    code, sentence = verdict.decide(result, summary, validity.judge(result, summary))
    assert code == 1
    assert "none of" in sentence


def test_a_body_that_must_not_be_there_breaks_the_next_request() -> None:
    result = attack("late-body", timeout=PATIENT)
    check_books(result)
    assert set(result.errors) == {ErrorKind.PROTOCOL}
    assert "body" in result.examples[ErrorKind.PROTOCOL].message


def explained(behaviour: str, rate: float, seconds: float) -> tuple[RunResult, dict[str, str]]:
    with server("hostile", behaviour) as port:
        plan = harness.plan(port, rate, seconds, connections=40, timeout_s=PATIENT, grace_s=1.0)
        result = engine.run(plan, harness.get(port))
    found = findings.explain(result, statistics.summarize(result))
    return result, {finding.code: finding.message for finding in found}


def test_a_limit_of_connections_is_named() -> None:
    result, found = explained("few-connections", 400, 1.0)
    assert set(result.errors) == {ErrorKind.RESET}
    assert "a limit of 4?" in found["connection-limit"]


def test_a_server_that_goes_away_is_named() -> None:
    result, found = explained("gone", 100, 1.5)
    assert set(result.errors) <= {ErrorKind.REFUSED, ErrorKind.RESET}
    assert "the server went away" in found["outage"]
    assert 0.3 * result.planned < result.failed < 0.9 * result.planned


def test_timed_out_requests_stay_in_the_distribution_at_the_time_they_took() -> None:
    result = attack("never")
    timed_out = [
        service
        for service, error in zip(result.samples.service, result.samples.error, strict=True)
        if error == ErrorKind.READ_TIMEOUT
    ]
    assert timed_out
    assert min(timed_out) >= TIMEOUT * 1e9
    assert max(timed_out) < (TIMEOUT + SLACK) * 1e9


def test_silent_closes_are_survived_and_counted() -> None:
    result = attack("silent-close", timeout=PATIENT)
    assert not result.errors
    assert result.generator.server_closes + result.generator.keep_alive_races > 3


def test_a_request_that_is_not_idempotent_is_never_sent_twice() -> None:
    """A server that answers once and drops the second request: safe methods are retried, others are failures."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        port = listener.getsockname()[1]
        import threading

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(4096)
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    client.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        results = {}
        for idempotent in (True, False):
            plan = harness.plan(port, 50, 0.5, connections=1, timeout_s=1.0, grace_s=1.0)
            results[idempotent] = engine.run(plan, harness.get(port, idempotent=idempotent))
        listener.shutdown(socket.SHUT_RDWR)
    assert not results[True].errors
    assert results[True].generator.keep_alive_races > 5
    assert results[False].generator.keep_alive_races == 0
    assert results[False].errors[ErrorKind.RESET] > 5


def test_head_has_no_body() -> None:
    result = attack("head", head=True, timeout=PATIENT)
    check_books(result)
    assert not result.errors


def test_large_requests_are_sent_whole() -> None:
    with server("hostile", "fine") as port:
        body = b"x" * 3_000_000
        payload = request_bytes(harness.target(port), "POST", "/", body=body)
        workload = StaticWorkload(("upload",), (Prepared(payload),), (1.0,))
        result = engine.run(harness.plan(port, 30, 0.5, timeout_s=2.0, grace_s=2.0), workload)
    assert not result.errors
    assert set(result.statuses) == {200}


def test_early_answers_to_large_requests_count_as_what_they_say() -> None:
    with server("hostile", "early-answer") as port:
        payload = request_bytes(harness.target(port), "POST", "/", body=b"x" * 3_000_000)
        workload = StaticWorkload(("upload",), (Prepared(payload, idempotent=False),), (1.0,))
        result = engine.run(harness.plan(port, 30, 0.5, timeout_s=1.0, grace_s=1.0), workload)
    assert result.errors.get(ErrorKind.STATUS, 0) > 0.5 * result.planned, result.examples
    assert set(result.errors) <= {ErrorKind.STATUS, ErrorKind.RESET}


def test_failed_checks_have_their_own_class() -> None:
    with server("hostile", "fine") as port:
        workload = harness.get(port, check=lambda response: None if b"false" in response.body else "not false")
        result = engine.run(harness.plan(port, 60, 0.5), workload)
    assert set(result.errors) == {ErrorKind.CHECK}
    assert result.examples[ErrorKind.CHECK].message == "not false"


# -- connections that do not come about ------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_refused() -> None:
    port = closed_port()
    result = engine.run(harness.plan(port, RATE, SECONDS, grace_s=GRACE), harness.get(port))
    check_books(result)
    assert set(result.errors) == {ErrorKind.REFUSED}
    summary = statistics.summarize(result)
    assert verdict.decide(result, summary, validity.judge(result, summary))[0] == 4
    with pytest.raises(Unreachable) as caught:
        reach(harness.target(port), 1.0)
    assert caught.value.kind is ErrorKind.REFUSED


def test_a_closed_loop_does_not_spin_on_a_refused_port() -> None:
    port = closed_port()
    result = engine.run(harness.plan(port, 0, SECONDS, arrivals="closed", connections=4), harness.get(port))
    assert set(result.errors) == {ErrorKind.REFUSED}
    assert result.planned < 50


def test_unknown_name() -> None:
    from senior_backend.load.model import Plan, Stage

    target = Target("http", "name.invalid", 80)
    plan = Plan(target, (Stage(0.1, 10, 10),))
    with pytest.raises(Unreachable) as caught:
        engine.run(plan, harness.get(80))
    assert caught.value.kind is ErrorKind.DNS


def test_connects_without_answer_time_out() -> None:
    with server("full-backlog") as port:
        plan = harness.plan(port, RATE, SECONDS, timeout_s=TIMEOUT, connect_timeout_s=0.3, grace_s=GRACE)
        result = engine.run(plan, harness.get(port))
    assert result.elapsed_s < SECONDS + GRACE + SLACK
    assert result.planned == len(result.samples) > 10
    assert set(result.errors) - {ErrorKind.NO_CONNECTION} == {ErrorKind.CONNECT_TIMEOUT}, result.examples


VERIFIED = TLSOptions(ca_file=str(CERTIFICATES / "authority.pem"))


@pytest.mark.parametrize("behaviour", ["fine", "chunked", "pieces", "until-close", "mixed-close", "close-header"])
def test_tls_works_like_plain_connections(behaviour: str) -> None:
    result = attack(behaviour, certificate="server.pem", tls=VERIFIED, timeout=PATIENT)
    check_books(result)
    assert not result.errors, result.examples
    assert len(result.samples.handshakes) > 0


@pytest.mark.parametrize(
    ("certificate", "options", "said"),
    [
        ("server.pem", TLSOptions(), "certificate not accepted"),
        ("elsewhere.pem", VERIFIED, "certificate not accepted"),
        ("expired.pem", VERIFIED, "expired"),
        (None, VERIFIED, "WRONG_VERSION_NUMBER"),
    ],
)
def test_bad_certificates_and_plain_servers_are_tls_errors(
    certificate: str | None, options: TLSOptions, said: str
) -> None:
    result = attack("fine" if certificate else "greeting", certificate=certificate, tls=options, timeout=PATIENT)
    check_books(result)
    assert set(result.errors) == {ErrorKind.TLS}, result.examples
    assert said in result.examples[ErrorKind.TLS].message
    summary = statistics.summarize(result)
    assert verdict.decide(result, summary, validity.judge(result, summary))[0] == 4


def test_unverified_tls_is_possible_when_asked_for() -> None:
    assert not attack("fine", certificate="expired.pem", tls=TLSOptions(verify=False), timeout=PATIENT).errors


def test_a_handshake_that_never_comes_times_out() -> None:
    result = attack("never", tls=VERIFIED)
    assert ErrorKind.CONNECT_TIMEOUT in result.errors or ErrorKind.TLS in result.errors, result.examples
    assert result.elapsed_s < SECONDS + GRACE + SLACK


def test_broken_ca_file_is_said_at_once(tmp_path: object) -> None:
    with pytest.raises(Unreachable) as caught:
        reach(harness.target(1, TLSOptions(ca_file=f"{tmp_path}/missing.pem")), 1.0)
    assert caught.value.kind is ErrorKind.TLS


# -- the generator's own limits --------------------------------------------------------------------------------------

FEW_DESCRIPTORS = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from senior_backend.load import engine, statistics, validity
from tests.load import harness
port = int(sys.argv[1])
result = engine.run(harness.plan(port, 300, 1.0, connections=500, timeout_s=3.0, grace_s=4.0), harness.get(port))
judged = validity.judge(result, statistics.summarize(result))
print(json.dumps({
    "planned": result.planned, "errors": {kind.label: count for kind, count in result.errors.items()},
    "peak": result.generator.connections_peak, "limited": result.generator.fd_limited,
    "limit": judged.limit, "valid": judged.valid, "codes": [reason.code for reason in judged.reasons],
}))
"""


@pytest.mark.slow
def test_few_file_descriptors_queue_requests_and_are_named_as_the_limit() -> None:
    """Each request takes 0.5 s: 300 a second need 150 connections, 64 descriptors carry less than half of that."""
    with server("queue", "--workers", "1000", "--service-ms", "500") as port:
        run = subprocess.run(
            [sys.executable, "-c", FEW_DESCRIPTORS, str(port)],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
    seen = json.loads(run.stdout)
    assert seen["limited"]
    assert 30 < seen["peak"] < 64
    assert not seen["errors"]
    assert seen["planned"] > 250
    assert (seen["limit"], seen["valid"]) == ("generator", False)
    assert "fd-limit" in seen["codes"]


def test_an_address_of_ipv6_alone_is_reached() -> None:
    """A name that resolves to an address nothing listens on is tried at its other ones."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        probe.listen(8)
        port = probe.getsockname()[1]
        target = Target("http", "::1", port)
        assert reach(target, 1.0).sockaddr[0] == "::1"
        resolved = [(socket.AF_INET, 1, 6, "", (host, port)) for host in ("127.0.0.1", "::1")]
        to = rails.destination(f"http://localhost:{port}", [], TLSOptions(), resolve=lambda *_, **__: resolved)
        assert to.target.host == "::1"
        assert to.authority == f"localhost:{port}"


def test_a_run_ends_in_time_against_a_server_that_never_answers() -> None:
    started = time.monotonic()
    with server("hostile", "never") as port:
        plan = harness.plan(port, 500, 0.5, connections=5, timeout_s=30, grace_s=0.5)
        result = engine.run(plan, harness.get(port))
    assert time.monotonic() - started < 6
    assert set(result.errors) == {ErrorKind.UNFINISHED, ErrorKind.NO_CONNECTION}
    assert result.errors[ErrorKind.UNFINISHED] == 5
