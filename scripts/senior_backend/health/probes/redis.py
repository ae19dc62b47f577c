"""Redis and what speaks its protocol (RESP2): AUTH where credentials are given, PING, and what INFO tells of trouble.

A server answers PING while it refuses every write, serves stale data or, as a Sentinel, watches a dead primary; INFO
says so. Where INFO may not be asked, PONG is enough.
"""

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
    "MISCONF": "writes_refused",
    "TRYAGAIN": "starting_up",
}


def converse(service: Service) -> Conversation:
    """Log in where credentials are given, PING, and ask for INFO and the length of `key`."""
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
        if failure.detail.startswith("NOAUTH") and not password:
            return Answer("accepts connections; it wants a password, so no command was tried")
        if failure.detail.startswith("NOPERM"):
            return Answer("the login is accepted; the user may not PING")
        raise
    if pong != "PONG":
        raise Failure("protocol_mismatch", f"PING was answered with {printable(str(pong))}")
    values = yield from _fields(
        "INFO", required=bool(_asked_for(service) & {"role", "link", "replicas", "memory_bytes"})
    )
    facts = _facts(values)
    if options.get("key"):
        if options.get("db"):
            yield Send(_command("SELECT", str(options["db"])))
            yield from _reply()
        yield Send(_command("LLEN", options["key"]))
        facts["length"] = yield from _reply()
    if values.get("cluster_enabled") == "1":
        cluster = yield from _fields("CLUSTER", "INFO")
        if cluster.get("cluster_state") == "fail":
            served = f"{cluster.get('cluster_slots_ok')} of 16384 slots are served"
            raise Failure("not_serving", f"cluster_state:fail, {served}", facts)
    if trouble := _refuses_writes(values):
        raise Failure("writes_refused", trouble, facts)
    if values.get("master_link_status") == "down":
        primary = f"{values.get('master_host')}:{values.get('master_port')}"
        return Answer(f"a replica whose link to its primary {primary} is down", facts, reason="replica_stale")
    if lost := _lost_primaries(values):
        return Answer(f"Sentinel finds {lost}", facts, reason="component_degraded")
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
        if line.startswith(("ERR Client sent AUTH, but no password is set", "ERR AUTH <password> called without")):
            return line  # a server without a password takes anybody
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


def _fields(*command: str, required: bool = False) -> Generator[Step, Any, dict[str, str]]:
    """Return the fields that INFO or the like answers; nothing, unless `required`, where we or a proxy may not ask."""
    try:
        yield Send(_command(*command))
        text = yield from _reply()
    except Failure as failure:
        if required or failure.reason == "read_timeout":
            raise
        return {}
    return dict(line.split(":", 1) for line in str(text).splitlines() if ":" in line)


def _facts(values: Mapping[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"role": values["role"]} if "role" in values else {}
    if "master_link_status" in values:
        facts["link"] = values["master_link_status"]
    for name, key in (("replicas", "connected_slaves"), ("memory_bytes", "used_memory")):
        if values.get(key, "").isdigit():
            facts[name] = int(values[key])
    return facts


def _refuses_writes(values: Mapping[str, str]) -> str:
    """Say whether the memory is full and nothing may be evicted, as `getMaxmemoryState` of Redis counts it."""
    used, limit, apart = (_number(values, key) for key in ("used_memory", "maxmemory", "mem_not_counted_for_evict"))
    if values.get("maxmemory_policy") == "noeviction" and 0 < limit < used - apart:
        return f"memory is full: {used} bytes of maxmemory {limit}, policy noeviction"
    return ""


def _lost_primaries(values: Mapping[str, str]) -> str:
    """Return the primaries that a Sentinel finds down (INFO: `master0:name=x,status=odown,address=…`)."""
    masters = [dict(part.split("=", 1) for part in value.split(",") if "=" in part)
               for key, value in values.items() if key.startswith("master") and "status=" in value]  # fmt: skip
    lost = [f"{item.get('name')} at {item.get('address')} down" for item in masters if "down" in item["status"]]
    return ", ".join(lost[:3])


def _number(values: Mapping[str, str], key: str) -> int:
    text = values.get(key, "")
    return int(text) if text.isdigit() else 0


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    number = parts.path.strip("/")
    return {"db": int(number)} if number.isdigit() else {}


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


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
        Example("PONG", (b"+PONG\r\n", _bulk(b"role:master\r\n"))),
        Example("INFO may not be asked", (b"+PONG\r\n", b"-NOPERM no permissions to run the 'info' command\r\n")),
        Example("a proxy that closes at INFO", (b"+PONG\r\n",), closes=True),
        Example("PING may not be asked", (b"+OK\r\n", b"-NOPERM no permissions to run the 'ping' command\r\n"),
                note="login is accepted", options={"password": "x"}),
        Example("a password is wanted", (b"-NOAUTH Authentication required.\r\n",), note="wants a password"),
        Example("a password that is not needed", (b"-ERR AUTH <password> called without any password configured for \
the default user\r\n", b"+PONG\r\n", _bulk(b"")), options={"password": "x"}),
        Example("a wrong password", (b"-WRONGPASS invalid username-password pair\r\n",), "auth_failed",
                options={"password": "x"}),
        Example("loading", (b"-LOADING Redis is loading the dataset in memory\r\n",), "loading"),
        Example("primary lost", (b"-MASTERDOWN Link with MASTER is down\r\n",), "replica_disconnected"),
        Example("primary lost, old data served", (b"+PONG\r\n", _bulk(b"role:slave\r\nmaster_link_status:down\r\n")),
                "replica_stale"),
        Example("a Sentinel whose primary is lost", (b"+PONG\r\n", _bulk(
                b"redis_mode:sentinel\r\nmaster0:name=m,status=odown,address=192.0.2.1:6379,slaves=0,sentinels=1\r\n")),
                "component_degraded"),
        Example("a cluster that serves not all slots", (b"+PONG\r\n", _bulk(b"cluster_enabled:1\r\n"),
                _bulk(b"cluster_state:fail\r\ncluster_slots_ok:9\r\n")), "not_serving"),
        Example("a cluster", (b"+PONG\r\n", _bulk(b"cluster_enabled:1\r\n"), _bulk(b"cluster_state:ok\r\n"))),
        Example("memory is full", (b"+PONG\r\n", _bulk(
                b"used_memory:1100\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\nmem_not_counted_for_evict:1\r\n")),
                "writes_refused"),
        Example("the disk is full", (b"-MISCONF Redis is configured to save RDB snapshots\r\n",), "writes_refused"),
        Example("too many clients", (b"-ERR max number of clients reached\r\n",), "too_many_connections"),
        Example("an HTTP server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
        Example("truncated", (b"+PO",), "connection_closed", closes=True),
    ),
)  # fmt: skip
