"""The checker's own trouble is never an outage: load, descriptors, stalling names, busy CPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.documents import ROOT
from tests.health import servers
from tests.health.checking import passed

DOOR = str(ROOT / "scripts" / "health_check.py")
HEALTHY = 1000


@pytest.fixture(scope="module")
def ports() -> Iterator[list[int]]:
    """Ports of a fast HTTP server in a process of its own."""
    command = [sys.executable, str(ROOT / "benchmarks" / "health_targets.py"), "250", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        good = [int(port) for port in process.stdout.readline().split()]
        silent = [int(port) for port in process.stdout.readline().split()]
        yield [*good, *silent]
        process.terminate()


def written(folder: Path, ports: list[int], count: int = HEALTHY, **defaults: Any) -> Path:
    file = folder / "services.json"
    items = [{"name": f"s{i}", "url": f"http://127.0.0.1:{ports[i % 250]}/x{i}"} for i in range(count)]
    file.write_text(json.dumps({"defaults": {"timeout": "2s", **defaults}, "services": items}))
    return file


def run(file: Path, *arguments: str, **options: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, DOOR, "--services", str(file), "--json", *arguments],
        capture_output=True, text=True, check=False, timeout=120, **options,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    data = json.loads(done.stdout)["data"]
    assert isinstance(data, dict)
    return data


@pytest.mark.timing
def test_crowded_measurements_make_nobody_degraded(tmp_path: Path, ports: list[int]) -> None:
    data = run(written(tmp_path, ports, degraded={"total": "50ms"}), "--concurrency", "1000")
    assert data["counts"]["up"] == HEALTHY, data["counts"]


@pytest.mark.timing
def test_a_really_slow_service_stays_degraded_among_many(tmp_path: Path, ports: list[int]) -> None:
    with servers.serving(servers.http(200, delay=0.15)) as port:
        file = written(tmp_path, ports, count=300, degraded={"total": "50ms"})
        document = json.loads(file.read_text())
        document["services"].append({"name": "slow", "url": f"http://127.0.0.1:{port}/"})
        file.write_text(json.dumps(document))
        data = run(file, "--concurrency", "300")
    worst = data["services"][0]
    assert data["counts"]["down"] == data["counts"]["unknown"] == 0
    assert (worst["name"], worst["state"], worst["reason"]) == ("slow", "degraded", "slow")
    assert min(worst["looks_ms"] or [worst["phases_ms"]["total"]]) >= 150


@pytest.mark.timing
def test_few_descriptors_are_no_outage(tmp_path: Path, ports: list[int]) -> None:
    resource = pytest.importorskip("resource")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    data = run(written(tmp_path, ports), "--concurrency", "1000", preexec_fn=limit)
    assert data["counts"]["up"] == HEALTHY, data["counts"]

    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))

    data = run(written(tmp_path, ports, count=100), "--concurrency", "1000", preexec_fn=starve)
    assert data["counts"]["down"] == data["counts"]["blocked"] == 0, data["counts"]


@pytest.mark.timing
def test_a_busy_machine_is_no_outage(tmp_path: Path, ports: list[int]) -> None:
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)]
    try:
        data = run(written(tmp_path, ports, degraded={"total": "50ms"}), "--concurrency", "1000")
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    counts = data["counts"]
    assert counts["down"] == counts["degraded"] == counts["blocked"] == 0, counts
    assert counts["up"] >= HEALTHY * 0.99


@pytest.mark.timing
def test_silent_targets_are_reported_and_delay_little(tmp_path: Path, ports: list[int]) -> None:
    file = written(tmp_path, ports)
    whole = min(run(file)["seconds"] for _ in range(2))
    document = json.loads(file.read_text())
    for index in range(10):
        document["services"][index * 100]["url"] = f"http://127.0.0.1:{ports[250 + index]}/"
    document["defaults"]["timeout"] = "1s"
    file.write_text(json.dumps(document))
    data = min((run(file) for _ in range(2)), key=lambda item: item["seconds"])
    assert (data["counts"]["down"], data["counts"]["up"]) == (10, HEALTHY - 10)
    assert data["seconds"] - whole < 1.5


def test_stalling_names_hold_up_nobody() -> None:
    asked: list[str] = []

    def stalling(host: str) -> list[tuple[Any, ...]]:
        asked.append(host)
        if host.startswith("stalls"):
            time.sleep(3)
        return [(2, 1, 6, "", ("127.0.0.1", 0))]

    with servers.serving(servers.http(200)) as port:
        items = [{"name": f"n{i}", "url": f"http://stalls{i}.example:{port}/", "timeout": "700ms"} for i in range(100)]
        items += [{"name": f"h{i}", "url": f"http://fine{i % 5}.example:{port}/x{i}"} for i in range(20)]
        began = time.perf_counter()
        done = passed(*items, getaddrinfo=stalling)
    states = {result.service.name: (result.state, result.reason) for result in done.results}
    assert all(states[f"h{i}"] == ("up", None) for i in range(20)), states
    assert {states[f"n{i}"][1] for i in range(100)} == {"dns_timeout"}
    assert time.perf_counter() - began < 2.9
    assert len(asked) == len(set(asked)) == 105


def test_a_dead_resolver_is_the_checkers_trouble() -> None:
    import socket

    def dead(host: str) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    items = [{"name": name, "url": f"http://{name}.example/"} for name in ("a", "b")]
    assert {(item.state, item.reason) for item in passed(*items, getaddrinfo=dead).results} == {
        ("unknown", "checker_resolver")
    }

    def partly(host: str) -> list[tuple[Any, ...]]:
        return dead(host) if host.startswith("a") else [(2, 1, 6, "", ("127.0.0.1", 0))]

    with servers.serving(servers.http(200)) as port:
        items = [{"name": name, "url": f"http://{name}.example:{port}/"} for name in ("a", "b")]
        states = [(item.state, item.reason) for item in passed(*items, getaddrinfo=partly).results]
    assert states == [("down", "dns_failure"), ("up", None)]


def test_a_small_server_is_not_blamed_for_our_burst() -> None:
    """A server that answers 503 when more than four clients come at once is healthy for each of them."""
    lock, inside = threading.Lock(), [0]

    def limited(peer: Any) -> None:
        with lock:
            inside[0] += 1
            full = inside[0] > 4
        try:
            servers.http(503 if full else 200, delay=0.02)(peer)
        finally:
            with lock:
                inside[0] -= 1

    with servers.serving(limited) as port:
        items = [{"name": f"s{i}", "url": f"http://127.0.0.1:{port}/x{i}"} for i in range(40)]
        done = passed(*items)
    assert {result.state for result in done.results} == {"up"}
    assert done.second_looks > 0
