"""Redis and what speaks its protocol (RESP2): AUTH where credentials are given, then PING."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import SplitResult

from senior_backend.health.config.values import TEXT, WORD, Example, Field, integer
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.steps import Answer, Conversation, Exactly, Failure, Send, Step, Until, printable

_ERRORS = {
    "LOADING": "loading",
    "MASTERDOWN": "replica_disconnected",
    "WRONGPASS": "auth_failed",
    "NOPERM": "auth_failed",
    "NOAUTH": "auth_failed",
    "BUSY": "not_serving",
    "CLUSTERDOWN": "not_serving",
    "MISCONF": "not_serving",
    "TRYAGAIN": "starting_up",
}


def converse(service: Service) -> Conversation:
    """Log in where credentials are given, PING, and ask for what `key` or the replication facts need."""
    options = service.options
    yield connect_step(service)
    password = options.get("password")
    if password:
        user = options.get("user")
        yield Send(_command("AUTH", *([user] if user else []), password))
        yield from _reply()
    yield Send(_command("PING"))
    try:
        pong = yield from _reply()
    except Failure as failure:
        if failure.reason == "auth_failed" and failure.detail.startswith("NOAUTH") and not password:
            return Answer("accepts connections; it wants a password, so no command was tried")
        raise
    if pong != "PONG":
        raise Failure("protocol_mismatch", f"PING was answered with {printable(str(pong))}")
    facts: dict[str, Any] = {}
    if _asked_for(service) & {"role", "link", "replicas", "memory_bytes"}:
        facts.update((yield from _info()))
    if options.get("key"):
        if options.get("db"):
            yield Send(_command("SELECT", str(options["db"])))
            yield from _reply()
        yield Send(_command("LLEN", options["key"]))
        facts["length"] = yield from _reply()
    return Answer("PONG", facts)


def _asked_for(service: Service) -> set[str]:
    return {rule.subject for rule in (*service.expect, *service.degraded)}


def _command(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _reply() -> Generator[Step, Any, str | int | None]:
    kind = yield Exactly(1)
    if kind not in b"+-:$*":
        raise Failure("protocol_mismatch", f"not Redis: the answer begins {printable(kind)}")
    line: str = (yield Until(b"\r\n", 4096)).decode("utf-8", "replace").strip()
    if kind == b"-":
        if line.startswith("ERR Client sent AUTH, but no password is set"):
            return str(line)
        word = line.split(" ", 1)[0]
        if "max number of clients" in line:
            raise Failure("too_many_connections", line)
        raise Failure(_ERRORS.get(word, "server_error"), line)
    if kind == b":":
        return int(str(line))
    if kind == b"$":
        size = int(line)
        if size < 0:
            return None
        data = yield Exactly(size + 2)
        return str(data[:-2].decode("utf-8", "replace"))
    return str(line)


def _info() -> Generator[Step, Any, dict[str, Any]]:
    yield Send(_command("INFO"))
    text = yield from _reply()
    values = dict(line.split(":", 1) for line in str(text).splitlines() if ":" in line)
    facts: dict[str, Any] = {"role": values.get("role")}
    if "master_link_status" in values:
        facts["link"] = values["master_link_status"]
    for name, key in (("replicas", "connected_slaves"), ("memory_bytes", "used_memory")):
        if values.get(key, "").isdigit():
            facts[name] = int(values[key])
    return facts


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    number = parts.path.strip("/")
    return {"db": int(number)} if number.isdigit() else {}


PROBE = Probe(
    type="redis",
    title="Redis PING",
    converse=converse,
    schemes={"redis": False, "rediss": True, "valkey": False, "valkeys": True},
    port=6379,
    tls_port=6379,
    aliases=("valkey", "keydb"),
    fields=(
        Field("user", WORD, "ACL user."),
        Field("password", WORD, "Password; without one only the server's own answer is judged.", secret=True),
        Field("db", integer(0, 1_000_000), "Database number, for `key`."),
        Field("key", TEXT, "A list whose `length` can be asserted, such as a queue."),
    ),
    facts={"role": "text", "link": "text", "replicas": "number", "memory_bytes": "number", "length": "number"},
    from_url=_from_url,
    examples=(
        Example("PONG", (b"+PONG\r\n",)),
        Example("a password is wanted", (b"-NOAUTH Authentication required.\r\n",), note="wants a password"),
        Example("a wrong password", (b"-WRONGPASS invalid username-password pair\r\n",), "auth_failed",
                options={"password": "x"}),
        Example("loading", (b"-LOADING Redis is loading the dataset in memory\r\n",), "loading"),
        Example("primary lost", (b"-MASTERDOWN Link with MASTER is down\r\n",), "replica_disconnected"),
        Example("too many clients", (b"-ERR max number of clients reached\r\n",), "too_many_connections"),
        Example("an HTTP server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
        Example("truncated", (b"+PO",), "connection_closed", closes=True),
    ),
)  # fmt: skip
