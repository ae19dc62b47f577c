"""Running processes of this machine, found by their command line."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from senior_backend.health.config.values import REGEX, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe
from senior_backend.health.steps import Answer, Call, Conversation, Failure


def converse(service: Service) -> Conversation:
    """Count the processes whose command line matches."""
    pattern: re.Pattern[str] = service.options["match"]
    count = yield Call(lambda: sum(1 for line in command_lines() if pattern.search(line)))
    facts: dict[str, Any] = {"count": count}
    if not count and not any(rule.subject == "count" for rule in service.expect):
        raise Failure("process_missing", f"no command line matches {pattern.pattern!r}", facts)
    return Answer(f"{count} running", facts)


def command_lines(proc: Path = Path("/proc")) -> list[str]:
    """Return the command line of every process but this one and its parents.

    Raises:
        Failure: the processes cannot be listed.
    """
    if not (proc / "self").exists():
        return _from_ps()
    lines = []
    own = _ancestors(proc)
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        try:
            raw = (entry / "cmdline").read_bytes() or (entry / "comm").read_bytes()
        except OSError:
            continue  # it has just ended, or is hidden
        lines.append(raw.replace(b"\0", b" ").decode("utf-8", "replace").strip())
    if not lines and os.getpid() != 1:
        raise Failure("permission", "no process of anybody else can be seen (hidepid?)")
    return lines


def _ancestors(proc: Path) -> set[int]:
    """Return this process and its parents: their command lines may hold the pattern itself."""
    own, pid = set(), os.getpid()
    while pid > 1 and pid not in own:
        own.add(pid)
        try:
            pid = int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return own


def _from_ps() -> list[str]:
    try:
        done = subprocess.run(
            ["ps", "-axo", "pid=,command="],  # noqa: S607 - the system's own ps, found where it is installed
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Failure("unsupported", f"processes cannot be listed here: {error}") from None
    pairs = (line.strip().partition(" ") for line in done.stdout.splitlines())
    return [command for pid, _, command in pairs if pid.isdigit() and int(pid) not in (os.getpid(), os.getppid())]


PROBE = Probe(
    type="process",
    title="running processes",
    converse=converse,
    local=True,
    fields=(Field("match", REGEX, "A regular expression for the command line.", required=True),),
    facts={"count": "number"},
)
