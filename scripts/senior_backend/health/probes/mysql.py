"""MySQL and MariaDB, client/server protocol 4.1, always with the whole handshake.

A connection that is dropped before its end counts toward max_connect_errors and can get this host blocked.

Without credentials the login is tried as `health_check` with no password; "access denied" (1045) is then the answer of
a working server. Where a login needs the whole password and there is no TLS, it is encrypted with the server's RSA key:
over loopback always, elsewhere with `allow_public_key_retrieval`, since whoever answers in the server's place could
hand out a key too.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote

from senior_backend.health.config.values import BOOLEAN, TEXT, WORD, Example, Field, plain_value
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, _rsa, is_loopback
from senior_backend.health.steps import (
    Answer,
    Connect,
    Conversation,
    Exactly,
    Failure,
    Send,
    StartTls,
    Step,
    printable,
)

# Capability flags of the protocol.
LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, SSL, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH = (
    0x1, 0x8, 0x200, 0x800, 0x2000, 0x8000, 0x80000,
)  # fmt: skip
UTF8MB4 = 45
_PLUGINS = ("mysql_native_password", "caching_sha2_password", "sha256_password", "mysql_clear_password")
MAX_PACKET = 1 << 20
_REASONS = {
    1040: "too_many_connections",
    1203: "too_many_connections",
    1226: "too_many_connections",
    1129: "host_blocked",
    1130: "not_allowed",
    1044: "auth_failed",
    1045: "auth_failed",
    1698: "auth_failed",
    1049: "not_found",
    1053: "shutting_down",
    1927: "shutting_down",
    1820: "auth_failed",
    1862: "auth_failed",
    9001: "upstream_down",
}


def converse(service: Service) -> Conversation:
    """Log in, run the query, else the least that proves a session, and quit."""
    options = service.options
    socket = options.get("socket")
    yield Connect(socket, 0, transport="unix") if socket else Connect(service.host, service.port)
    _, greeting = yield from _packet()
    version, salt, capabilities, plugin = _greeting(greeting)
    facts: dict[str, Any] = {"version": version}
    user, password = options.get("user"), options.get("password") or ""
    database = options.get("database")
    flags = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH
    flags |= CONNECT_WITH_DB if database else 0
    number = 1
    if service.tls or options.get("ssl"):
        if not capabilities & SSL:
            raise Failure("tls_handshake", "the server has no TLS", facts)
        flags |= SSL
        yield Send(_wrap(struct.pack("<IIB23x", flags, 1 << 24, UTF8MB4), number))
        yield StartTls(service.host, service.tls or service.tls_options)
        number += 1
    if plugin not in ("mysql_native_password", "caching_sha2_password", "sha256_password"):
        plugin = "mysql_native_password"
    safe = bool(flags & SSL or socket)
    proof = _first_proof(plugin, password, salt, safe=safe)
    body = struct.pack("<IIB23x", flags, 1 << 24, UTF8MB4) + (user or "health_check").encode() + b"\0"
    body += bytes([len(proof)]) + proof
    body += database.encode() + b"\0" if database else b""
    yield Send(_wrap(body + plugin.encode() + b"\0", number))
    denied = yield from _authenticate(service, plugin, password, salt, safe=safe)
    if denied:
        if user is None and denied.reason == "auth_failed":
            return Answer(f"accepts connections, {version}; no login was configured", facts)
        raise Failure(denied.reason, denied.detail, facts)
    if options.get("query"):
        yield Send(_wrap(b"\x03SET SESSION TRANSACTION READ ONLY", 0))
        yield from _ok()
        facts["value"] = yield from _query(options["query"], "query_failed")
    else:
        try:
            yield from _query("SELECT 1")  # a proxy answers COM_PING by itself
        except Failure as failure:
            if failure.reason != "read_timeout":
                raise
            waits = "the login is accepted, and no query runs: so does a proxy without a living server"
            raise Failure("upstream_down", f"{failure.detail}; {waits}", facts) from None
    yield Send(_wrap(b"\x01", 0))  # COM_QUIT
    return Answer(f"logged in as {user or 'health_check'}, {version}", facts)


def _greeting(data: bytes) -> tuple[str, bytes, int, str]:
    if data[:1] == b"\xff":
        raise _error(data)
    if data[:1] != b"\x0a":
        raise Failure("protocol_mismatch", f"not MySQL: the greeting begins {printable(data[:40])}")
    end = data.index(0, 1)
    version = data[1:end].decode("utf-8", "replace")
    if "MariaDB" in version:
        version = version.removeprefix("5.5.5-")  # put before it for old replicas' sake
    at = end + 5
    salt = data[at : at + 8]
    low, _, _, high, size = struct.unpack("<HBHHB", data[at + 9 : at + 17])
    rest = data[at + 27 : at + 27 + max(13, size - 8)]
    plugin = data[at + 27 + max(13, size - 8) :].split(b"\0")[0].decode("utf-8", "replace")
    return version, salt + rest.rstrip(b"\0")[:12], low | high << 16, plugin


def scramble(plugin: str, password: str, salt: bytes) -> bytes:
    """Return the proof of the password that a plugin wants, empty for an empty password."""
    if not password:
        return b""
    if plugin == "caching_sha2_password":
        inner = hashlib.sha256(password.encode()).digest()
        outer = hashlib.sha256(hashlib.sha256(inner).digest() + salt).digest()
    else:
        inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
        twice = hashlib.sha1(inner, usedforsecurity=False).digest()
        outer = hashlib.sha1(salt + twice, usedforsecurity=False).digest()
    return bytes(a ^ b for a, b in zip(inner, outer, strict=True))


def _first_proof(plugin: str, password: str, salt: bytes, *, safe: bool) -> bytes:
    """Return what begins a login with a plugin; `safe` says that nobody else can read what is sent."""
    if plugin in ("mysql_clear_password", "sha256_password") and (safe or not password):
        return password.encode() + b"\0"
    return b"\1" if plugin == "sha256_password" else scramble(plugin, password, salt)


def _authenticate(
    service: Service, plugin: str, password: str, salt: bytes, *, safe: bool
) -> Generator[Step, Any, Failure | None]:
    """Go through the answers to the login; return the server's refusal, None when it is accepted."""
    for _ in range(6):
        number, data = yield from _packet()
        if data[:1] == b"\0":
            return None
        if data[:1] == b"\xff":
            return _error(data)
        if data[:1] == b"\xfe":
            name, _, rest = data[1:].partition(b"\0")
            plugin, salt = name.decode("utf-8", "replace"), rest.rstrip(b"\0")[:20]
            if plugin == "mysql_clear_password" and not safe:
                raise Failure("unsupported", "the server wants the password in clear text; set `tls: true`")
            if plugin not in _PLUGINS:
                if service.options.get("user") is None:
                    return Failure("auth_failed", plugin)
                raise Failure("unsupported", f"the login needs the plugin {plugin}, which is not understood here")
            if plugin == "sha256_password" and password and not safe:
                _may_ask_for_key(service, plugin)
            yield Send(_wrap(_first_proof(plugin, password, salt, safe=safe), number + 1))
        elif data == b"\x01\x04" and safe:
            yield Send(_wrap(password.encode() + b"\0", number + 1))
        elif data == b"\x01\x04":
            _may_ask_for_key(service, plugin)
            yield Send(_wrap(b"\2", number + 1))
        elif data.startswith(b"\x01-----BEGIN"):
            _may_ask_for_key(service, plugin)
            secret = bytes(byte ^ salt[i % len(salt)] for i, byte in enumerate(password.encode() + b"\0"))
            yield Send(_wrap(_rsa.encrypt(secret, _rsa.public_key(data[1:])), number + 1))
        elif data != b"\x01\x03":
            raise Failure("protocol_mismatch", f"unexpected answer to the login {printable(data[:20])}")
    raise Failure("protocol_mismatch", "the login does not come to an end")


def _may_ask_for_key(service: Service, plugin: str) -> None:
    if not is_loopback(service.host) and not service.options.get("allow_public_key_retrieval"):
        choice = "`tls: true`, or `allow_public_key_retrieval: true` in a network that you trust"
        raise Failure("unsupported", f"{plugin} wants the whole password, which needs {choice}")


def _ok() -> Generator[Step, Any, None]:
    _, data = yield from _packet()
    if data[:1] == b"\xff":
        raise _error(data)


def _query(text: str, reason: str = "") -> Generator[Step, Any, str | int | float | bool | None]:
    """Run a query; return the first column of the first row. It fails for `reason`, else for what its error tells."""
    yield Send(_wrap(b"\x03" + text.encode(), 0))
    _, data = yield from _packet()
    if data[:1] == b"\xff":
        failure = _error(data)
        raise Failure(reason or failure.reason, failure.detail)
    if data[:1] == b"\0":
        return None  # no result set
    columns, _ = _length(data, 0)
    for _ in range(columns or 0):
        yield from _packet()
    yield from _packet()  # end of the columns
    value: str | int | float | bool | None = None
    first = True
    while True:
        _, data = yield from _packet()
        if data[:1] == b"\xff":
            raise Failure("query_failed", _error(data).detail)
        if data[:1] == b"\xfe" and len(data) < 9:
            return value
        if first and data[:1] != b"\xfb":
            size, at = _length(data, 0)
            value = plain_value(data[at : at + (size or 0)].decode("utf-8", "replace"))
        first = False


def _length(data: bytes, at: int) -> tuple[int | None, int]:
    """Return a length-encoded integer and where it ends."""
    first = data[at]
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def _packet() -> Generator[Step, Any, tuple[int, bytes]]:
    head = yield Exactly(4)
    size = int.from_bytes(head[:3], "little")
    if not 0 < size <= MAX_PACKET:
        raise Failure("protocol_mismatch", f"not MySQL: the answer begins {printable(head)}")
    return head[3], (yield Exactly(size))


def _error(data: bytes) -> Failure:
    (code,) = struct.unpack("<H", data[1:3])
    text = data[9:] if data[3:4] == b"#" else data[3:]
    return Failure(_REASONS.get(code, "server_error"), f"{code} {text.decode('utf-8', 'replace')}")


def _wrap(body: bytes, number: int) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number & 255]) + body


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    options: dict[str, Any] = {}
    if database := unquote(parts.path.strip("/")):
        options["database"] = database
    query = parse_qs(parts.query)
    if query.get("ssl", [""])[-1].lower() in ("true", "1") or query.get("ssl-mode"):
        options["ssl"] = True
    if query.get("allowPublicKeyRetrieval", [""])[-1].lower() == "true":
        options["allow_public_key_retrieval"] = True
    if query.get("unix_socket"):
        options["socket"] = query["unix_socket"][-1]
    return options


_HELLO = _wrap(
    b"\x0a" + b"8.0.36\0" + struct.pack("<I", 7) + b"12345678\0" + struct.pack("<HBHHB", 0xF7FF, 45, 2, 0x81FF, 21)
    + b"\0" * 10 + b"123456789012\0" + b"mysql_native_password\0", 0,
)  # fmt: skip
_OK = _wrap(b"\0\0\0\2\0\0\0", 2)


def _err(code: int, text: bytes, number: int = 2) -> bytes:
    return _wrap(b"\xff" + struct.pack("<H", code) + b"#HY000" + text, number)


def _rows(*values: bytes) -> bytes:
    packets = [b"\1", b"column", b"\xfe\0\0\2\0", *(bytes([len(item)]) + item for item in values), b"\xfe\0\0\2\0"]
    return b"".join(_wrap(packet, number) for number, packet in enumerate(packets, 1))


_LOGIN = {"user": "app", "password": "x"}
_TRUSTING = {**_LOGIN, "allow_public_key_retrieval": True}
_SWITCH = _wrap(b"\xfecaching_sha2_password\0" + b"a" * 20 + b"\0", 2)
_KEY = b"""\x01-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDN89NQGKTIFdFM2UziI909Qhz9
HV4+1h538I0XjE/79csLYEC/mMZ3B/PqJIHgtEHCzXmnT/jT2p/ZrFyRy224HJF6
D3OKVkrWy+AX7rJ7vu9Ieawv59AQZfMoNnrYRs/8r4JJc+FijZGQ4w89Ddx1cQe6
8KXhSQXQIZBIUoGfpwIDAQAB
-----END PUBLIC KEY-----
"""

PROBE = Probe(
    type="mysql",
    title="MySQL or MariaDB handshake, login, query",
    converse=converse,
    schemes={"mysql": False, "mariadb": False},
    port=3306,
    tls_port=3306,
    aliases=("mariadb",),
    fields=(
        Field("user", WORD, "User; without one the server's refusal of an unknown user counts as up."),
        Field("password", WORD, "Password of the login.", secret=True),
        Field("database", WORD, "Database."),
        Field("query", TEXT, "A query, run read-only; its first value is the fact `value`."),
        Field("socket", TEXT, "Path of the Unix socket, instead of a host."),
        Field("allow_public_key_retrieval", BOOLEAN,
              "true: without TLS, encrypt the password with the key that the server sends."),
    ),
    facts={"value": "any", "version": "text"},
    from_url=_from_url,
    examples=(
        Example("a login", (_HELLO, _OK, _rows(b"1")), options=_LOGIN),
        Example("a query", (_HELLO, _OK, _OK, _rows(b"42")), options={**_LOGIN, "query": "select 42"}),
        Example("a proxy without a server", (_HELLO, _OK, _err(9001, b"Max connect timeout", 1)), "upstream_down",
                options=_LOGIN),
        Example("no login configured", (_HELLO, _err(1045, b"Access denied")), note="accepts connections"),
        Example("a wrong password", (_HELLO, _err(1045, b"Access denied")), "auth_failed", options=_LOGIN),
        Example("too many connections", (_err(1040, b"Too many connections", 0),), "too_many_connections"),
        Example("this host is not let in", (_err(1130, b"Host 'h' is not allowed to connect", 0),), "not_allowed"),
        Example("this host is blocked", (_err(1129, b"Host is blocked", 0),), "host_blocked"),
        Example("shutting down", (_err(1053, b"Server shutdown in progress", 0),), "shutting_down"),
        Example("another login plugin", (_HELLO, _wrap(b"\xfemysql_native_password\0" + b"a" * 20 + b"\0", 2),
                _wrap(b"\0\0\0\2\0\0\0", 4), _rows(b"1")), options=_LOGIN),
        Example("a full login with the server's key", (_HELLO, _SWITCH, _wrap(b"\x01\x04", 4), _wrap(_KEY, 6),
                _wrap(b"\0\0\0\2\0\0\0", 8), _rows(b"1")), options=_TRUSTING),
        Example("a key that is none", (_HELLO, _wrap(b"\x01-----BEGIN x\n!\n", 2)), "protocol_mismatch",
                options=_TRUSTING),
        Example("a key from a server that may be anybody", (_HELLO, _wrap(_KEY, 2)), "unsupported", options=_LOGIN),
        Example("a full login without TLS", (_HELLO, _wrap(b"\x01\x04", 2)), "unsupported", options=_LOGIN),
        Example("an SSH server", (b"SSH-2.0-OpenSSH_9.2\r\n" + b"x" * 80,), "protocol_mismatch"),
        Example("truncated", (_HELLO[:30],), "connection_closed", closes=True),
    ),
)  # fmt: skip
