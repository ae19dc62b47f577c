"""Prove a generated project: each step is a real run of a real tool, in an environment made from its own lock."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.console.environment import build, cache_folder
from senior_backend.scaffold.stacks.contract import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from senior_backend.scaffold.model import Service
    from senior_backend.scaffold.stacks.contract import VerifyLevel

LOCK = "requirements-dev.txt"
SHOWN_LINES = 25
SHOWN_CHARACTERS = 200
EXAMPLES = 100
POSTGRESQL_VARIABLES = ("DATABASE_URL", "TEST_POSTGRESQL_URL")
POSTGRESQL_DEFAULT = "postgresql://postgres@127.0.0.1:5432/postgres"
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "XDG_CACHE_HOME")
_PLACE = re.compile(r"\S+\.py:\d+:")
_FAILURE_MARKS = ("error", "fail", "assert", "traceback", "exception", "E ", "- ST")

# Builds the application with a throw-away secret and checks its document; prints how much there is.
_OPENAPI = """
import secrets
from app.config import Settings
from app.main import create_app
app = create_app(Settings(_env_file=None, jwt_secret=secrets.token_urlsafe(48)))
document = app.openapi()
operations = [one for path in document["paths"].values() for one in path.values()]
ids = [one["operationId"] for one in operations]
assert operations, "the document has no operation"
assert len(ids) == len(set(ids)), "operation ids repeat"
import schemathesis
from schemathesis.config import SchemathesisConfig
schemathesis.openapi.from_dict(document, config=SchemathesisConfig()).validate()
print(f"{len(document['paths'])} paths, {len(operations)} operations")
"""

# A server of the developer's own may want a password, or a role that makes databases: then it is not ours to use.
_MAY_CREATE = """
import asyncio, sys
import asyncpg
async def main():
    connection = await asyncpg.connect(sys.argv[1], timeout=3)
    allowed = await connection.fetchval("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
    await connection.close()
    return allowed
try:
    if not asyncio.run(main()):
        print("PostgreSQL: its user may not make databases")
        sys.exit(1)
except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
    print(f"PostgreSQL: {type(error).__name__}")
    sys.exit(1)
"""


@dataclass(frozen=True)
class Check:
    """One command of a verification; `seconds` bounds it, `skip` says why it cannot run."""

    name: str
    command: tuple[str, ...]
    seconds: float
    database_url: str = ""
    skip: str = ""


def verify(project: Path, service: Service, level: VerifyLevel, report: Callable[[Step], None]) -> list[Step]:  # noqa: ARG001 - part of the contract
    """Run the checks of `level`, stop at the first that fails, and report each as it ends.

    Raises:
        UnavailableError: the locked packages cannot be installed.
    """
    started = time.monotonic()
    python = str(build(project / LOCK, "fastapi"))
    steps = [Step("environment", ok=True, seconds=time.monotonic() - started, detail=f"from {LOCK}")]
    report(steps[0])
    for check in checks(python, level):
        step = _skipped(check) if check.skip else _run(project, check)
        steps.append(step)
        report(step)
        if not step.ok and not step.skipped:
            break
    return steps


def checks(python: str, level: VerifyLevel) -> list[Check]:
    """Return what a level consists of; each level holds the ones below it."""
    module = (python, "-m")
    found = [
        Check("lint", (*module, "ruff", "check", "--no-cache", "--output-format", "concise", "."), 60),
        Check("compile", (*module, "compileall", "-q", "-f", "app", "tests", "migrations"), 60),
        Check("openapi", (python, "-c", _OPENAPI), 60),
    ]
    if level == "fast":
        return found
    found.append(Check("tests on SQLite", (*module, "pytest", "-x", "-p", "no:cacheprovider"), 900))
    if level == "test":
        return found
    url, why = _postgresql(python)
    fuzz = (*module, "tests.fuzz", "--examples", str(EXAMPLES))
    return [
        *found,
        Check("types", (*module, "mypy"), 300),
        Check("security", (*module, "bandit", "-q", "-r", "app", "-c", "pyproject.toml"), 120),
        Check("fuzzing on SQLite, two users", fuzz, 1800),
        Check("tests on PostgreSQL", (*module, "pytest", "-x", "-p", "no:cacheprovider"), 900, url, why),
        Check("fuzzing on PostgreSQL, two users", fuzz, 1800, url, why),
    ]


def _postgresql(python: str) -> tuple[str, str]:
    """Return the URL of a server on which tests may make databases, or why there is none."""
    for variable in POSTGRESQL_VARIABLES:
        if os.environ.get(variable, "").startswith("postgres"):
            return os.environ[variable], ""
    command = (python, "-c", _MAY_CREATE, POSTGRESQL_DEFAULT)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        why = done.stdout.strip() or "no PostgreSQL answers on this machine"
        return "", f"{why}; set DATABASE_URL to a server on which databases may be made"
    return POSTGRESQL_DEFAULT, ""


def _skipped(check: Check) -> Step:
    return Step(check.name, ok=False, seconds=0.0, detail=check.skip, skipped=True)


def _run(project: Path, check: Check) -> Step:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    caches = cache_folder() / "verification"
    environment |= {
        "NO_COLOR": "1",
        "PYTHONPATH": str(project),
        "PYTHONPYCACHEPREFIX": str(caches / "bytecode"),
        "MYPY_CACHE_DIR": str(caches / "mypy"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(caches / "hypothesis"),
    }
    if check.database_url:
        environment["DATABASE_URL"] = check.database_url
    started = time.monotonic()
    code, output = _call(check, project, environment)
    seconds = time.monotonic() - started
    if code == 0:
        return Step(check.name, ok=True, seconds=seconds, detail=_result(output.splitlines()))
    why = f"took longer than {check.seconds:.0f} s" if code is None else f"exit code {code}"
    return Step(check.name, ok=False, seconds=seconds, detail=why, output="\n".join(failing_lines(output.splitlines())))


def _result(lines: Sequence[str]) -> str:
    """Return the line that says what was done: the fuzzer's count of cases, else the last one."""
    told = [line.strip(" =") for line in lines if line.strip(" =") and "WARNING" not in line]
    counts = [line for line in told if " generated, " in line]
    return (counts or told or [""])[-1][:SHOWN_CHARACTERS]


def _call(check: Check, project: Path, environment: dict[str, str]) -> tuple[int | None, str]:
    process = subprocess.Popen(
        check.command,
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=sys.platform != "win32",
    )
    try:
        output, _ = process.communicate(timeout=check.seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        output, _ = process.communicate()
        return None, output
    except BaseException:
        _end(process)
        process.wait()
        raise
    return process.returncode, output


def _end(process: subprocess.Popen[str]) -> None:
    """End the command and what it started: a service under test is a process of its own."""
    if sys.platform == "win32":
        process.kill()
        return
    os.killpg(process.pid, signal.SIGKILL)


def failing_lines(lines: Sequence[str]) -> list[str]:
    """Return the first lines that tell of a failure; where none does, the last ones."""
    for index, line in enumerate(lines):
        if _PLACE.match(line) or any(mark in line or mark in line.lower() for mark in _FAILURE_MARKS):
            chosen = lines[index : index + SHOWN_LINES]
            break
    else:
        chosen = lines[-SHOWN_LINES:]
    if lines and lines[-1] not in chosen:
        chosen = [*chosen[:-2], "...", lines[-1]]  # a traceback says at its end what went wrong
    return [line.rstrip()[:SHOWN_CHARACTERS] for line in chosen]
