"""CPU per request of a generated service, against the same endpoints with FastAPI and SQLAlchemy's ORM.

    python benchmarks/scaffold_requests.py [--rounds 5] [--requests 2000]

Both run under the same uvicorn on the same database with 1,000 users; authentication, middleware and logging are on.
The CPU time of the server process (user and system) over a fixed number of requests is measured in alternating rounds,
so that a busy machine disturbs all of them alike. The peer runs twice: loading the caller's row, as the templates do,
and without, which is what the goal of 0.70 is held against. PostgreSQL is measured where a server answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from senior_backend.console import environment  # noqa: E402
from senior_backend.console.files import write_atomically  # noqa: E402
from senior_backend.scaffold.model import Field, Resource, Service  # noqa: E402
from senior_backend.scaffold.stacks import fastapi as stack  # noqa: E402

USERS = 1000
CONNECTIONS = 16
SECRET = secrets.token_urlsafe(48)
POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
TICKS = os.sysconf("SC_CLK_TCK")
SERVICE = Service(
    name="bench",
    resources=(
        Resource(
            name="user",
            plural="users",
            identity=True,
            fields=(
                Field(name="email", type="email", unique=True),
                Field(name="password", type="password"),
                Field(name="name", type="str", length=100),
                Field(name="role", type="enum", values=("admin", "user"), default="user"),
                Field(name="is_active", type="bool", default=True),
                Field(name="metadata", type="json", default={}),
            ),
        ),
    ),
)


@dataclass
class Server:
    """A server under measurement."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the user and system time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    """Measure and print a table, and the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000, help="in each round, of each kind")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        first = stack.migration(None, SERVICE, number=1, down_revision=None).file
        assert first is not None
        for file in [*stack.render(SERVICE), first]:
            write_atomically(project / file.path, file.content)
        (project / ".env").unlink()
        python = str(environment.build(project / "requirements-dev.txt", "fastapi"))
        databases = {"sqlite": f"sqlite:///{folder}/bench.db"}
        name = f"bench_{secrets.token_hex(4)}"
        if _answers(POSTGRESQL):
            _sql(python, POSTGRESQL, f"CREATE DATABASE {name}")
            databases["postgresql"] = f"{POSTGRESQL.rpartition('/')[0]}/{name}"
        try:
            for kind, url in databases.items():
                results[kind] = _measure(python, project, url, arguments.rounds, arguments.requests)
        finally:
            if "postgresql" in databases:
                _sql(python, POSTGRESQL, f"DROP DATABASE {name} WITH (FORCE)")
    print(json.dumps(results, indent=2))


def _measure(python: str, project: Path, url: str, rounds: int, requests: int) -> dict[str, Any]:
    variables = {
        "PATH": os.environ["PATH"],
        "JWT_SECRET": SECRET,
        "DATABASE_URL": url,
        "PEER_DATABASE_URL": _async(url),
    }
    variables |= {"RATE_LIMIT_PER_MINUTE": "100000000", "PYTHONPATH": str(project)}
    subprocess.run(
        [python, "-m", "alembic", "upgrade", "head"], cwd=project, env=variables, check=True, capture_output=True
    )
    peer = ["-m", "uvicorn", "benchmarks.peer_fastapi_orm.app:app", "--port"]
    servers: list[Server] = []
    try:
        servers.append(_start("generated", [python, "-m", "app"], project, variables))
        at_root = {**variables, "PYTHONPATH": str(ROOT)}
        servers.append(_start("orm", [python, *peer], ROOT, {**at_root, "LOAD_USER": "0"}))
        servers.append(_start("orm, loads the caller", [python, *peer], ROOT, {**at_root, "LOAD_USER": "1"}))
        admin, ids = _fill(python, project, variables)
        token = _token(python, admin)
        figures: dict[str, dict[str, list[float]]] = {server.name: {"read": [], "list": []} for server in servers}
        for number in range(rounds + 1):
            for server in servers:
                for kind in ("read", "list"):
                    paths = [f"/api/v1/users/{one}" for one in ids] if kind == "read" else ["/api/v1/users?limit=20"]
                    cost = asyncio.run(_cost(server, paths, token, requests))
                    if number:  # the first round warms up
                        figures[server.name][kind].append(cost)
    finally:
        for server in servers:
            server.process.terminate()
            server.process.wait(30)
    return _table(figures)


def _table(figures: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("read", "list"):
        ours = figures["generated"][kind]
        found[kind] = {
            name: {"min_us": round(min(by[kind])), "median_us": round(median(by[kind]))} for name, by in figures.items()
        }
        found[kind]["ratio"] = {
            name: {
                "of_min": round(min(ours) / min(by[kind]), 2),
                "of_median": round(median(ours) / median(by[kind]), 2),
            }
            for name, by in figures.items()
            if name != "generated"
        }
    return found


async def _cost(server: Server, paths: list[str], token: str, requests: int) -> float:
    """Return the microseconds of CPU that the server used for one request."""
    each = requests // CONNECTIONS
    before = server.cpu_seconds()
    await asyncio.gather(*(_client(server.port, paths, token, each, start) for start in range(CONNECTIONS)))
    return (server.cpu_seconds() - before) / (each * CONNECTIONS) * 1e6


async def _client(port: int, paths: list[str], token: str, times: int, start: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(times):
        path = paths[(start * times + number) % len(paths)]
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{path}: {head[:200]!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()


def _start(name: str, command: list[str], folder: Path, variables: dict[str, str]) -> Server:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    command = [*command, str(port)] if command[-1] == "--port" else command
    variables = {**variables, "PORT": str(port), "JWT_ISSUER": "bench", "JWT_AUDIENCE": "bench"}
    process = subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return Server(name, port, process)
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise SystemExit(f"{name} did not start")


_FILL = """
import asyncio, json, sys
sys.path.insert(0, ".")
from datetime import timedelta
from app import db, config, statements
from app.columns import new_id, now
from app.resources.users.table import RESOURCE
async def main():
    settings = config.load()
    database = db.connect(settings.database_url, pool_size=1, timeout=30)
    await database.open()
    ids = []
    start = now()
    for number in range(int(sys.argv[1])):
        row = {"id": new_id(), "email": f"u{number}@example.com", "password_hash": "x", "name": f"User {number}",
               "role": "admin" if number == 0 else "user", "is_active": True, "metadata": {"a": number}, "version": 1,
               "created_at": start + timedelta(seconds=number), "updated_at": start}
        await database.write(statements.insert(RESOURCE), {f"v_{name}": value for name, value in row.items()})
        ids.append(row)
    await database.close()
    print(json.dumps([str(row["id"]) for row in ids]))
asyncio.run(main())
"""
_FILL_PEER = """
import asyncio, json, sys, uuid
from datetime import UTC, datetime, timedelta
from benchmarks.peer_fastapi_orm.app import User, engine, sessions
async def main():
    start = datetime.now(UTC)
    async with sessions() as session:
        for number, one in enumerate(json.loads(sys.argv[1])):
            session.add(User(id=uuid.UUID(one), email=f"u{number}@example.com", name=f"User {number}",
                role="user", is_active=True, meta={"a": number}, version=1,
                created_at=start + timedelta(seconds=number), updated_at=start))
        await session.commit()
    await engine.dispose()
asyncio.run(main())
"""


def _fill(python: str, project: Path, variables: dict[str, str]) -> tuple[str, list[str]]:
    done = subprocess.run(
        [python, "-c", _FILL, str(USERS)], cwd=project, env=variables, check=True, capture_output=True, text=True
    )
    ids: list[str] = json.loads(done.stdout)
    peer = {**variables, "PYTHONPATH": str(ROOT)}
    subprocess.run([python, "-c", _FILL_PEER, json.dumps(ids)], cwd=ROOT, env=peer, check=True)
    return ids[0], ids


def _token(python: str, subject: str) -> str:
    now = datetime.now(UTC)
    claims = {
        "iss": "bench",
        "aud": "bench",
        "sub": subject,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(hours=6)).timestamp()),
    }
    code = "import json, jwt, sys; print(jwt.encode(*map(json.loads, sys.argv[1:3]), headers=json.loads(sys.argv[3])))"
    arguments = [json.dumps(one) for one in (claims, SECRET, {"typ": "at+jwt"})]
    done = subprocess.run([python, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _async(url: str) -> str:
    return url.replace("sqlite:///", "sqlite+aiosqlite:///").replace("postgresql://", "postgresql+asyncpg://")


def _answers(url: str) -> bool:
    address = url.rpartition("@")[2].partition("/")[0]
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port or 5432)), timeout=1).close()
    except OSError:
        return False
    return True


def _sql(python: str, url: str, statement: str) -> None:
    code = (
        "import asyncio, asyncpg, sys\n"
        "async def main():\n"
        "    connection = await asyncpg.connect(sys.argv[1])\n"
        "    await connection.execute(sys.argv[2])\n"
        "    await connection.close()\n"
        "asyncio.run(main())"
    )
    subprocess.run([python, "-c", code, url, statement], check=True)


if __name__ == "__main__":
    main()
