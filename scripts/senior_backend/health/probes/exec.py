"""A command, run without a shell and only with --allow-exec; its exit code decides."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import tempfile
from typing import Any

from senior_backend.health.config.values import BOOLEAN, TEXTS, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe
from senior_backend.health.steps import Answer, Call, Conversation, Failure

OUTPUT_LIMIT = 65536
_running: set[subprocess.Popen[bytes]] = set()


def converse(service: Service) -> Conversation:
    """Run the command in a thread."""
    if not service.options.get("allowed"):
        raise Failure("exec_not_allowed", service.options["command"][0])
    command = list(service.options["command"])
    timeout = service.timeout
    code, output = yield Call(lambda: run(command, timeout))
    first = output.decode("utf-8", "replace").strip().partition("\n")[0][:200]
    facts: dict[str, Any] = {"exit_code": code}
    if service.options.get("plugin"):
        # The exit codes of Nagios plugins: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
        if code == 1:
            return Answer(first, facts, body=output, reason="threshold")
        if code in (3, 126, 127):
            raise Failure("unsupported", first or f"exit code {code}", facts)
    if code and not any(rule.subject == "exit_code" for rule in service.expect):
        raise Failure("command_failed", f"exit code {code}: {first}" if first else f"exit code {code}", facts)
    return Answer(first or "exit code 0", facts, body=output)


def run(command: list[str], timeout: float) -> tuple[int, bytes]:
    """Return exit code and the start of the output; the whole process group is killed after `timeout` seconds.

    Raises:
        Failure: the command cannot be run, or takes too long.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise Failure("unsupported", f"there is no command {command[0]}") from None
        except OSError as error:
            raise Failure("permission", f"{command[0]}: {error.strerror}") from None
        _running.add(process)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure("read_timeout", f"{command[0]} still ran after {timeout:g} s") from None
        finally:
            _kill(process)
            _running.discard(process)
        output.seek(0)
        return code, output.read(OUTPUT_LIMIT)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the command's process group."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)


@atexit.register
def _kill_all() -> None:
    for process in list(_running):
        _kill(process)


PROBE = Probe(
    type="exec",
    title="a command",
    converse=converse,
    local=True,
    aliases=("command",),
    fields=(
        Field("command", TEXTS, "The command and its arguments as a list; no shell is involved.", required=True),
        Field("plugin", BOOLEAN, "true: exit codes as Nagios plugins give them (1 is degraded, 3 unknown)."),
    ),
    facts={"exit_code": "number", "json": "map", "contains": "text", "matches": "text"},
)
