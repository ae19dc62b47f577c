"""NATS client protocol: INFO, CONNECT, PING, PONG."""

from __future__ import annotations

import json
from typing import Any

from senior_backend.health.config.values import WORD, Example, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.steps import Answer, Conversation, Exactly, Failure, Send, StartTls, Until, stranger

_ERRORS = {
    "authorization violation": "auth_failed",
    "authentication": "auth_failed",
    "maximum connections": "too_many_connections",
}


def converse(service: Service) -> Conversation:
    """Read INFO, connect with what credentials there are, and ping."""
    options = service.options
    yield connect_step(service)
    start = yield Exactly(5)
    if start.startswith(b"-ERR"):
        line = yield Until(b"\r\n", 4096)
        raise _error(line.decode("utf-8", "replace"))
    if start != b"INFO ":
        raise stranger("NATS", start)
    info = json.loads((yield Until(b"\r\n", 65536)))
    facts: dict[str, Any] = {"version": info.get("version"), "jetstream": bool(info.get("jetstream"))}
    if (info.get("tls_required") or options.get("starttls")) and service.tls is None:
        try:
            yield StartTls(service.host, service.tls_options)
        except Failure as failure:
            if failure.reason != "protocol_mismatch":
                raise
            raise _error((yield Until(b"\r\n", 4096)).decode("utf-8", "replace").strip().removeprefix("-ERR")) from None
    user, token = options.get("user"), options.get("token")
    if info.get("auth_required") and user is None and token is None:
        return Answer(f"NATS {facts['version']}; it wants a login, none was configured", facts)
    login: dict[str, Any] = {"verbose": False, "pedantic": False, "name": "health_check", "lang": "python"}
    login.update({key: value for key, value in (("auth_token", token), ("user", user),
                                                ("pass", options.get("password"))) if value is not None})  # fmt: skip
    yield Send(b"CONNECT " + json.dumps(login).encode() + b"\r\nPING\r\n")
    while True:
        line = (yield Until(b"\r\n", 65536)).decode("utf-8", "replace").strip()
        if line == "PONG":
            return Answer(f"NATS {facts['version']} PONG", facts)
        if line.startswith("-ERR"):
            raise _error(line[4:])


def _error(text: str) -> Failure:
    text = text.strip().strip("'")
    reason = next((reason for start, reason in _ERRORS.items() if text.lower().startswith(start)), "server_error")
    return Failure(reason, text)


_INFO = b'INFO {"server_id":"x","version":"2.10.1","auth_required":false}\r\n'

PROBE = Probe(
    type="nats",
    title="NATS ping",
    converse=converse,
    schemes={"nats": False, "tls+nats": True},
    port=4222,
    tls_port=4222,
    fields=(
        Field("user", WORD, "User."),
        Field("password", WORD, "Password.", secret=True),
        Field("token", WORD, "Token.", secret=True),
    ),
    facts={"version": "text", "jetstream": "boolean"},
    examples=(
        Example("PONG", (_INFO, b"PONG\r\n")),
        Example("a login is wanted", (_INFO.replace(b"false", b"true"),), note="wants a login"),
        Example("a wrong password", (_INFO.replace(b"false", b"true"), b"-ERR 'Authorization Violation'\r\n"),
                "auth_failed", options={"user": "u", "password": "p"}),
        Example("too many clients", (_INFO, b"-ERR 'maximum connections exceeded'\r\n"), "too_many_connections"),
        Example("INFO that is not JSON", (b"INFO {broken\r\n",), "protocol_mismatch"),
        Example("an SSH server", (b"SSH-2.0-OpenSSH_9.2\r\n",), "protocol_mismatch"),
    ),
)  # fmt: skip
