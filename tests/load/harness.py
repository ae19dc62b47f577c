"""Start a server of known behaviour, and run plans against it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from senior_backend.load import engine
from senior_backend.load.http import request_bytes
from senior_backend.load.model import Plan, Prepared, RunResult, Stage, StaticWorkload, Target, TLSOptions
from tests.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

CERTIFICATES = ROOT / "tests" / "load" / "certificates"


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[int]:
    """Run a server of `tests.load.servers` and give its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.load.servers", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def target(port: int, tls: TLSOptions | None = None) -> Target:
    return Target("https" if tls else "http", "localhost" if tls else "127.0.0.1", port, tls)


def get(port: int, tls: TLSOptions | None = None, **prepared: Any) -> StaticWorkload:
    """Return the workload of one GET."""
    method = "HEAD" if prepared.get("head") else "GET"
    payload = request_bytes(target(port, tls), method, "/")
    return StaticWorkload(("root",), (Prepared(payload, **prepared),), (1.0,))


def plan(port: int, rate: float, seconds: float, *, tls: TLSOptions | None = None, **options: Any) -> Plan:
    return Plan(target(port, tls), (Stage(seconds, rate, rate),), **options)


def run(port: int, rate: float, seconds: float, **options: Any) -> RunResult:
    """Send GETs at a rate."""
    return engine.run(plan(port, rate, seconds, **options), get(port))
