"""The demo API as a fixture, and the load tester called as its users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
DOOR = ROOT / "scripts" / "load_test.py"


@dataclass(frozen=True)
class Demo:
    """A running demo API."""

    url: str
    pid: int

    def seen(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/__seen", timeout=10) as response:
            found: list[dict[str, Any]] = json.load(response)
            return found


def running(service_s: float = 0.03) -> Iterator[Demo]:
    """Start a demo API for the time of a test; every answer takes `service_s` seconds."""
    program = Path(__file__).with_name("demo_api.py")
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DEMO_SERVICE_S": str(service_s)},
    ) as process:
        assert process.stdout is not None
        yield Demo(f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid)
        process.kill()


@dataclass(frozen=True)
class Outcome:
    """What a call of the tool left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def call(*arguments: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> Outcome:
    """Call the door in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(DOOR), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
