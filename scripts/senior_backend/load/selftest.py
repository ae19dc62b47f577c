"""Check the load tester itself: stall a server of our own and compare what is reported with what must be.

A server that answers at once stands still for S seconds of a run of T seconds at a constant rate. Requests due inside
the stall wait from S down to 0 seconds, all others about nothing. So the response time at percentile p is
x(p) = S - T * (1 - p), or about 0 where that is negative. A tool that sends late, drops requests or starts its clock
late cannot show that.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.load import engine, statistics, validity
from senior_backend.load.http import request_bytes
from senior_backend.load.model import Plan, Prepared, Stage, StaticWorkload, Target
from senior_backend.load.statistics import MS, percentile_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.load.model import ProgressCallback, RunResult

PERCENTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
RELATIVE, ABSOLUTE_MS = 0.02, 5.0
"""A percentile is right within 2 % or 5 ms, whichever is more."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Check:
    """One percentile: what must be, and what was reported, in milliseconds."""

    name: str
    truth_ms: float
    measured_ms: float

    @property
    def right(self) -> bool:
        """Whether the report is close enough to the truth."""
        return abs(self.measured_ms - self.truth_ms) <= max(RELATIVE * self.truth_ms, ABSOLUTE_MS)

    def to_json(self) -> dict[str, object]:
        """Return it as the report shows it."""
        return {
            "percentile": self.name,
            "truth_ms": round(self.truth_ms, 3),
            "measured_ms": round(self.measured_ms, 3),
            "right": self.right,
        }


@dataclass(frozen=True, slots=True)
class SelfTestResult:
    """The outcome of the self-test. Without `valid`, the machine disturbed the generator and nothing is proven."""

    stall_s: float
    run_s: float
    rate: float
    sent: int
    planned: int
    checks: tuple[Check, ...]
    valid: bool
    limit_reason: str
    lag_p99_ms: float

    @property
    def passed(self) -> bool:
        """Whether every request was sent and every percentile is right."""
        return self.sent == self.planned and all(check.right for check in self.checks)

    def to_json(self) -> dict[str, object]:
        """Return it as the report shows it."""
        return {
            "passed": self.passed,
            "valid": self.valid,
            "reason": self.limit_reason,
            "stall_s": self.stall_s,
            "run_s": self.run_s,
            "rate": self.rate,
            "sent": self.sent,
            "planned": self.planned,
            "lag_p99_ms": round(self.lag_p99_ms, 3),
            "checks": [check.to_json() for check in self.checks],
        }


def truth_ms(share: float, stall_s: float, run_s: float) -> float:
    """Return x(p) = S - T (1 - p) in milliseconds, 0 where that is negative."""
    return max(0.0, stall_s - run_s * (1 - share)) * 1000


def run(
    *,
    stall_s: float = 1.0,
    run_s: float = 5.0,
    rate: float = 200.0,
    connections: int = 10,
    progress: ProgressCallback | None = None,
) -> SelfTestResult:
    """Run the self-test; `connections` are far fewer than the requests that fall due inside the stall."""
    with stalling_server(run_s * 0.4, stall_s) as port:
        target = Target("http", "127.0.0.1", port)
        plan = Plan(
            target, (Stage(run_s, rate, rate),), arrivals="constant", connections=connections, preopen=connections
        )
        workload = StaticWorkload(("selftest",), (Prepared(request_bytes(target, "GET", "/")),), (1.0,))
        result = engine.run(plan, workload, progress)
    return judged(result, stall_s, run_s, rate)


def judged(result: RunResult, stall_s: float, run_s: float, rate: float) -> SelfTestResult:
    """Compare a finished run with the truth."""
    response = result.samples.distribution()
    trusted = validity.judge(result, statistics.summarize(result))
    generator = trusted.limit == "generator" and not trusted.valid
    return SelfTestResult(
        stall_s=stall_s,
        run_s=run_s,
        rate=rate,
        sent=sum(1 for status in result.samples.status if status),
        planned=round(rate * run_s),
        checks=tuple(
            Check(
                "max" if share == 1.0 else percentile_name(share),
                truth_ms(share, stall_s, run_s),
                (response.at(share) or 0.0) / MS,
            )
            for share in PERCENTILES
        ),
        valid=not generator and not result.interrupted,
        limit_reason=trusted.reasons[0].message if generator else "",
        lag_p99_ms=(result.samples.distribution("lag").at(0.99) or 0.0) / MS,
    )


@contextlib.contextmanager
def stalling_server(stall_at_s: float, stall_s: float) -> Iterator[int]:
    """Run the server in a process of its own and give its port."""
    command = [sys.executable, "-m", "senior_backend.load.selftest", str(stall_at_s), str(stall_s)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def serve(stall_at_s: float, stall_s: float) -> None:
    """Answer every request at once, except that everything stands still once; end when standard input does."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    clients: list[socket.socket] = []
    stall_at: float | None = None
    stalled = False
    while True:
        now = time.perf_counter()
        if stall_at is not None and not stalled and now >= stall_at:
            time.sleep(max(0.0, stall_at + stall_s - now))
            stalled = True
        pause = 1.0 if stall_at is None or stalled else max(0.0, stall_at - now)
        ready = select.select([listener, sys.stdin, *clients], [], [], min(pause, 1.0))[0]
        if sys.stdin in ready:
            return
        if listener in ready:
            client = listener.accept()[0]
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            clients.append(client)
        for client in [each for each in clients if each in ready]:
            stall_at = stall_at or time.perf_counter() + stall_at_s
            if not _answer(client):
                clients.remove(client)
                client.close()


def _answer(client: socket.socket) -> bool:
    """Answer what has come; return whether the connection goes on."""
    try:
        data = client.recv(65536)
        client.sendall(ANSWER * data.count(b"\r\n\r\n"))
    except OSError:
        return False
    return bool(data)


if __name__ == "__main__":
    serve(float(sys.argv[1]), float(sys.argv[2]))
