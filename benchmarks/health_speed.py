"""Speed and truth of health checks beside aiohttp, httpx and blackbox_exporter: python3 benchmarks/health_speed.py.

Whole processes, local targets, minimum of interleaved rounds; CPU seconds are user and system time of the checker.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from senior_backend.console.environment import REQUIREMENTS, build  # noqa: E402

DOOR = ROOT / "scripts" / "health_check.py"
COMPILED = Path(tempfile.gettempdir()) / "health-benchmark-compiled"
PORTS = 500
ROUNDS = 3


@dataclass(frozen=True)
class Run:
    """One run of a process: seconds of wall clock and CPU, MB of memory, what it printed, its exit code."""

    wall: float
    cpu: float
    megabytes: float
    output: str
    code: int


def run(command: list[str], **options: object) -> Run:
    """Run a command to its end and measure it alone, with Python's compiled files kept from one run to the next."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(COMPILED)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, env=environment, **options)  # type: ignore[call-overload]
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    scale = 1024 if sys.platform != "darwin" else 1024 * 1024
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale, text, process.returncode)


@contextlib.contextmanager
def targets(answering: int, silent: int) -> Iterator[tuple[list[int], list[int]]]:
    """Serve; yield the ports that answer and those that stay silent."""
    command = [sys.executable, str(ROOT / "benchmarks" / "health_targets.py"), str(answering), str(silent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            good = [int(port) for port in process.stdout.readline().split()]
            hung = [int(port) for port in process.stdout.readline().split()]
            yield good, hung
        finally:
            process.terminate()


def urls(ports: list[int], count: int) -> list[str]:
    """Return `count` URLs over the ports, each with a path of its own."""
    return [f"http://127.0.0.1:{ports[index % len(ports)]}/x{index}" for index in range(count)]


def services(path: Path, wanted: list[str], **defaults: object) -> Path:
    """Write the services file of these URLs."""
    entries = [{"name": f"s{index}", "url": url} for index, url in enumerate(wanted)]
    path.write_text(json.dumps({"defaults": {"timeout": "1s", **defaults}, "services": entries}))
    return path


def check(path: Path, *arguments: str, **options: object) -> Run:
    """Run the checker on a file."""
    command = [sys.executable, str(DOOR), "--services", str(path), "--json", *arguments]
    return run(command, **options)


def counts(done: Run) -> dict[str, int]:
    """Return the states of a run, without those that nothing has."""
    found = json.loads(done.output)["data"]["counts"]
    return {state: number for state, number in found.items() if number}


def best(runs: list[Run]) -> Run:
    """Return the run with the least CPU time, with the least wall clock and memory of all."""
    least = min(runs, key=lambda item: item.cpu)
    return Run(min(r.wall for r in runs), least.cpu, min(r.megabytes for r in runs), least.output, least.code)


def speed(folder: Path, ports: list[int], count: int, rounds: int) -> None:
    """Print wall, CPU and memory of all checkers for `count` targets."""
    wanted = urls(ports, count)
    file = services(folder / "s.json", wanted)
    few = services(folder / "few.json", wanted[:5])
    peer_python = str(build(REQUIREMENTS / "peers.txt", "peers"))
    peers = str(ROOT / "benchmarks" / "health_peers.py")
    runs: dict[str, list[Run]] = {"health_check": [], "aiohttp": [], "httpx": []}
    reading = []
    starting: dict[str, list[Run]] = {"health_check": [], "aiohttp": [], "httpx": []}
    for _ in range(rounds):
        runs["health_check"].append(check(file))
        reading.append(check(file, "--check-config"))
        for name in ("aiohttp", "httpx"):
            runs[name].append(run([peer_python, peers, name, str(file), "100"]))
            starting[name].append(run([peer_python, peers, name, str(few), "100"]))
        starting["health_check"].append(check(few))
    ours = best(runs["health_check"])
    alone = ours.cpu - best(reading).cpu
    print(f"\n{count:,} targets            wall s   CPU s   MB    CPU ratio   result")
    for name, values in runs.items():
        done = best(values)
        result = counts(done) if name == "health_check" else f"{done.output.strip()} answered 200"
        ratio = ours.cpu / done.cpu
        print(f"  {name:<20}{done.wall:7.2f}{done.cpu:8.2f}{done.megabytes:6.0f}{ratio:10.2f}x   {result}")
    each = {name: (best(values).cpu - best(starting[name]).cpu) / (count - 5) for name, values in runs.items()}
    told = ", ".join(f"{name} {seconds * 1e6:.0f} us" for name, seconds in each.items())
    print(f"  each further target:  {told}: {each['health_check'] / each['aiohttp']:.2f}x aiohttp")
    shares = ", ".join(f"{alone / best(runs[name]).cpu:.2f}x {name}" for name in ("aiohttp", "httpx"))
    print(f"  without start-up and reading the file: {alone:.2f} CPU s, {shares}")
    blackbox(folder, wanted[:1000], ours.cpu / count)


def blackbox(folder: Path, wanted: list[str], ours: float) -> None:
    """Print the CPU of blackbox_exporter for each check, its driver left out."""
    program = shutil.which("prometheus-blackbox-exporter")
    if not program:
        print("  blackbox_exporter    is not installed")
        return
    (folder / "bb.yml").write_text("modules: {http: {prober: http, timeout: 1s}}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, f"--config.file={folder / 'bb.yml'}", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            before = _cpu(process.pid)
            started = time.perf_counter()

            def probe(url: str) -> bool:
                asked = f"http://127.0.0.1:{port}/probe?module=http&target={url}"
                with urllib.request.urlopen(asked) as answer:
                    return b"\nprobe_success 1" in answer.read()

            with ThreadPoolExecutor(50) as pool:
                good = sum(pool.map(probe, wanted))
            wall, cpu = time.perf_counter() - started, _cpu(process.pid) - before
        finally:
            process.terminate()
    ratio = ours / (cpu / len(wanted))
    print(f"  {'blackbox_exporter':<20}{wall:7.2f}{cpu:8.2f}{'':6}{ratio:10.2f}x   {good} of {len(wanted)} succeeded")


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hung(folder: Path, ports: list[int], silent: list[int]) -> None:
    """Print what 1 % of silent targets add, and that they and no others are reported."""
    for count in (1000, 10000):
        wanted = urls(ports, count)
        whole = best([check(services(folder / "h.json", wanted)) for _ in range(2)])
        for index in range(0, count, 100):
            wanted[index] = f"http://127.0.0.1:{silent[index // 100 % len(silent)]}/x{index}"
        done = best([check(services(folder / "h.json", wanted)) for _ in range(2)])
        print(f"  {count:,} with 1 % silent: +{done.wall - whole.wall:.2f} s   {counts(done)}")


def truth(folder: Path, ports: list[int]) -> None:
    """Print the states of 1,000 healthy targets under conditions that make checkers lie."""
    file = services(folder / "t.json", urls(ports, 1000), degraded={"total": "50ms"})
    done = check(file, "--concurrency", "1000")
    looks = json.loads(done.output)["data"]["checker"]["second_looks"]
    print(f"  concurrency 1,000, threshold 50 ms: {counts(done)}, {looks} second looks, {done.wall:.2f} s")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    done = check(file, "--concurrency", "1000", preexec_fn=limit)
    print(f"  ulimit -n 256, concurrency 1,000:   {counts(done)}, {done.wall:.2f} s")
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)]
    try:
        done = check(file, "--concurrency", "1000")
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    print(f"  every CPU hogged, concurrency 1,000: {counts(done)}, {done.wall:.2f} s")


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, minimum of {rounds} interleaved rounds")
    with tempfile.TemporaryDirectory() as name, targets(PORTS, 20) as (good, silent):
        folder = Path(name)
        five = best([check(services(folder / "five.json", urls(good, 5))) for _ in range(7)])
        print(f"5 targets, whole process: {five.wall * 1000:.0f} ms, {five.megabytes:.0f} MB")
        for count, times in ((1000, rounds), (10000, 1)):
            speed(folder, good, count, times)
        print("\nsilent targets at a timeout of 1 s")
        hung(folder, good, silent)
        print("\nfalse states (all targets are healthy)")
        truth(folder, good)
    return 0


if __name__ == "__main__":
    sys.exit(main())
