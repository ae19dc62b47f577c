"""SSH: the identification lines (RFC 4253, section 4.2)."""

from __future__ import annotations

from senior_backend.health.config.values import Example
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.steps import Answer, Conversation, Failure, Send, Until, printable

MAX_LINES = 50


def converse(service: Service) -> Conversation:
    """Exchange identifications; a server may send other lines first."""
    yield connect_step(service)
    for _ in range(MAX_LINES):
        line = (yield Until(b"\n", 1024)).decode("utf-8", "replace").strip()
        if line.startswith("SSH-"):
            if not line.startswith(("SSH-2.0-", "SSH-1.99-")):
                raise Failure("version_mismatch", line)
            yield Send(b"SSH-2.0-health_check\r\n")
            return Answer(line, {"version": line.split("-", 2)[2]})
        if line.startswith(("HTTP/", "220 ", "* OK", "-ERR", "INFO ")):
            raise Failure("protocol_mismatch", f"not SSH: the answer begins {printable(line)}")
        if "Exceeded MaxStartups" in line:
            raise Failure("too_many_connections", line)
    raise Failure("protocol_mismatch", "no identification came")


PROBE = Probe(
    type="ssh",
    title="SSH identification",
    converse=converse,
    schemes={"ssh": False, "sftp": False},
    port=22,
    facts={"version": "text"},
    examples=(
        Example("OpenSSH", (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",)),
        Example("a notice first", (b"Welcome\r\nSSH-2.0-dropbear\r\n",)),
        Example("version 1 only", (b"SSH-1.5-old\r\n",), "version_mismatch"),
        Example("too many start-ups", (b"Exceeded MaxStartups\r\n",), "too_many_connections"),
        Example("an HTTP server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
    ),
)
