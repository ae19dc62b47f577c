"""Targets and generators of the load benchmarks: the target on one core, the generator on another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
CERTIFICATE = ROOT / "tests" / "load" / "certificates" / "server.pem"
CONNECTIONS = 64

NGINX = """
worker_processes 1; worker_cpu_affinity 01; daemon off; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate};
    location / {{
      default_type application/json;
      return 200 '{{"id":42,"name":"Ada Lovelace","email":"ada@example.com"}}';
    }}
  }}
}}
"""

LOCUST_FILE = """
from locust import FastHttpUser, task
class User(FastHttpUser):
    @task
    def root(self):
        self.client.get("/")
"""


def cores() -> tuple[int, int]:
    """Return the core of the target and that of the generator."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        sys.exit("this benchmark needs two cores: one for the target, one for the generator")
    return usable[0], usable[1]


def pinned(core: int) -> Callable[[], None]:
    """Return what a child process calls to stay on one core."""
    return lambda: os.sched_setaffinity(0, {core})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def c_target() -> Iterator[str]:
    """Compile and run `target.c` on the first core; give its URL."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "target"
        source = str(ROOT / "benchmarks" / "target.c")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", str(program), source], check=True)
        with running([str(program), str(port)], port):
            yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def tls_target() -> Iterator[str | None]:
    """Run nginx with TLS on the first core; give its URL, or None where there is no nginx."""
    if not shutil.which("nginx"):
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(NGINX.format(folder=folder, port=port, certificate=CERTIFICATE))
        with running(["nginx", "-c", str(configuration), "-e", "stderr"], port):
            yield f"https://127.0.0.1:{port}/"


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Run a target on the first core until the block ends."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=pinned(cores()[0]))  # noqa: PLW1509
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def output(command: list[str], *, folder: str | None = None) -> tuple[str, float]:
    """Run a generator on the second core; return what it prints and the CPU seconds it used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}{os.pathsep}{ROOT}"},
        preexec_fn=pinned(cores()[1]),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@dataclass(frozen=True)
class Rate:
    """Requests per second, and per second of CPU that the whole generator process used."""

    per_second: float
    per_cpu_second: float


@dataclass(frozen=True)
class Generator:
    """A load generator: how to find it, what version it is, and its requests per second in a closed loop."""

    name: str
    version: str
    rate: Callable[[str, float], Rate]


def first_number(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    return float(match[1]) if match else float("nan")


def ours(url: str, seconds: float, **options: object) -> dict[str, float]:
    """Run our engine in a process of its own and return its figures."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    text, _ = output([sys.executable, "-m", "benchmarks.load_runner", url, str(seconds), *arguments], folder=str(ROOT))
    figures: dict[str, float] = json.loads(text)
    return figures


def ours_closed(url: str, seconds: float) -> Rate:
    command = [sys.executable, "-m", "benchmarks.load_runner", url, str(seconds)]
    figures = json.loads(output(command, folder=str(ROOT))[0])
    return Rate(figures["rate"], figures["requests"] / (figures["cpu"] * figures["elapsed_s"]))


def wrk(url: str, seconds: float) -> Rate:
    text, cpu = output(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", url])
    return Rate(first_number(r"Requests/sec:\s+([\d.]+)", text), first_number(r"(\d+) requests in", text) / cpu)


def hey(url: str, seconds: float) -> Rate:
    text, cpu = output(["hey", "-z", f"{seconds:g}s", "-c", str(CONNECTIONS), "-cpus", "1", url])
    rate = first_number(r"Requests/sec:\s+([\d.]+)", text)
    return Rate(rate, rate * first_number(r"Total:\s+([\d.]+)", text) / cpu)


def autocannon_command() -> list[str] | None:
    """Return how to call autocannon: on the path, or in the folder named by AUTOCANNON_HOME (after npm install)."""
    found = shutil.which("autocannon")
    home = os.environ.get("AUTOCANNON_HOME", "")
    local = Path(home, "node_modules", "autocannon", "autocannon.js") if home else None
    if local and local.is_file():
        return ["node", str(local)]
    return [found] if found else None


def autocannon(url: str, seconds: float) -> Rate:
    command = autocannon_command() or []
    text, cpu = output([*command, "-c", str(CONNECTIONS), "-d", f"{max(1, round(seconds)):d}", "-j", "-n", url])
    requests = json.loads(text)["requests"]
    return Rate(float(requests["average"]), requests["total"] / cpu)


def peers_python() -> str:
    """Return the Python of the environment with the peers of requirements/peers.txt."""
    from senior_backend.console.environment import REQUIREMENTS, build

    return str(build(REQUIREMENTS / "peers.txt", "peers"))


def locust(url: str, seconds: float) -> Rate:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "locustfile.py").write_text(LOCUST_FILE)
        users = ["-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", f"{max(3, round(seconds)):d}s"]
        text, cpu = output(
            [peers_python(), "-m", "locust", "--headless", *users, "--json", "-H", url.rstrip("/")], folder=folder
        )
    stats = json.loads(text)[0]
    seconds = stats["last_request_timestamp"] - stats["start_time"]
    return Rate(stats["num_requests"] / seconds, stats["num_requests"] / cpu)


def version_of(command: list[str], pattern: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout + done.stderr)
    return match[1] if match else "?"


def generators() -> list[Generator]:
    """Return ours and all peers that are installed."""
    from senior_backend import __version__

    found = [Generator("load_test.py", __version__, ours_closed)]
    if shutil.which("wrk"):
        found.append(Generator("wrk", version_of(["wrk", "-v"], r"wrk (?:debian/)?([\d.]+)"), wrk))
    if shutil.which("hey"):
        debian = ["dpkg-query", "-W", "-f", "${Version}", "hey"]
        found.append(Generator("hey", version_of(debian, r"([\d.]+)") if shutil.which("dpkg-query") else "?", hey))
    command = autocannon_command()
    if command:
        found.append(Generator("autocannon", version_of([*command, "--version"], r"v([\d.]+)"), autocannon))
    locust_version = version_of([peers_python(), "-m", "locust", "--version"], r"locust ([\d.]+)")
    found.append(Generator("locust FastHttpUser", locust_version, locust))
    return found
