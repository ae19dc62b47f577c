"""Free space and inodes of a file system on this machine."""

from __future__ import annotations

import os
from typing import Any

from senior_backend.health.config.values import TEXT, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe
from senior_backend.health.steps import Answer, Call, Conversation, Failure

DEFAULT_FREE_PERCENT = 5.0
"""Below this a file system counts as full when `expect` says nothing about space."""


def converse(service: Service) -> Conversation:
    """Measure in a thread: a network file system may not answer."""
    path = service.options["path"]
    facts = yield Call(lambda: measure(path))
    named = {rule.subject for rule in service.expect} & set(PROBE.facts)
    if not named and facts["free_percent"] < DEFAULT_FREE_PERCENT:
        raise Failure("assertion", f"{facts['free_percent']} % free, expected at least {DEFAULT_FREE_PERCENT:g}", facts)
    return Answer(f"{facts['free_percent']} % free", facts)


def measure(path: str) -> dict[str, Any]:
    """Return space and inodes that unprivileged users have, in bytes and percent.

    Raises:
        Failure: there is no such path.
    """
    try:
        state = os.statvfs(path)
    except FileNotFoundError:
        raise Failure("assertion", f"{path} does not exist") from None
    except OSError as error:
        raise Failure("permission", f"{path}: {error.strerror}") from None
    used, free = state.f_blocks - state.f_bfree, state.f_bavail
    inodes = 100.0 * state.f_favail / state.f_files if state.f_files else 100.0
    return {
        "free_bytes": free * state.f_frsize,
        "free_percent": round(100.0 * free / (used + free), 2) if used + free else 100.0,
        "inodes_free_percent": round(inodes, 2),
    }


PROBE = Probe(
    type="disk",
    title="free space of a file system",
    converse=converse,
    local=True,
    fields=(Field("path", TEXT, "A path on the file system.", required=True),),
    facts={"free_bytes": "number", "free_percent": "number", "inodes_free_percent": "number"},
)
