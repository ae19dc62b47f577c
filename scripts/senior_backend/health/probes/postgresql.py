"""PostgreSQL, frontend/backend protocol 3.0 (manual, chapter "Frontend/Backend Protocol").

The startup packet alone tells what an open port and pg_isready do not: 53300 (too many clients), 57P03 (starting up).
With a password the login is completed (SCRAM-SHA-256, md5, cleartext over TLS), and `query` runs read-only. A startup
packet that is followed by a close leaves nothing in the server's log.

A login says little about what stands behind a pooler, so a session is only good once a query has run in it; and since
a pooler gives the session to others afterwards, settings are local to a transaction that is rolled back.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Generator, Mapping
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qs, unquote

from senior_backend.health.config.values import TEXT, WORD, Example, Field, one_of, plain_value
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, is_loopback
from senior_backend.health.probes._scram import Scram
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
    stranger,
)

T = TypeVar("T")
PROTOCOL_3 = 196608
SSL_REQUEST = 80877103
MAX_MESSAGE = 65536
BOOLEAN, NUMBERS = 16, frozenset({0, 20, 21, 23, 26, 700, 701, 1700})
# What was received is replayed and more would come: then the time since the last transaction is no lag, but idleness.
_LAG_QUERY = "SELECT CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() AND \
EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0 ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END"
# Only a standby that has streamed since its start is known to have a primary; others may be fed from an archive.
_ORPHAN_QUERY = "SELECT pg_last_wal_receive_lsn() IS NOT NULL AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"

_REASONS = {
    "53300": "too_many_connections",
    "57P03": "starting_up",
    "57P01": "shutting_down",
    "57P02": "shutting_down",
    "3D000": "not_found",
    "42501": "auth_failed",
}
_MESSAGES = (
    ("pg_hba.conf", "not_allowed"),
    ("client certificate", "tls_client_certificate"),
    ("shutting down", "shutting_down"),
    ("Hot standby mode is disabled", "not_serving"),
)
# PgBouncer has one code for all that it says: 08P01.
_POOLER_MESSAGES = (
    ("no such database", "not_found"),
    ("authentication failed", "auth_failed"),
    ("no more connections allowed", "too_many_connections"),
    ("query_wait_timeout", "upstream_down"),
    ("server login", "upstream_down"),
    ("cannot connect to server", "upstream_down"),
    ("pg_hba.conf", "not_allowed"),
)


def converse(service: Service) -> Conversation:
    """Start up, log in as far as the credentials allow, and run the query."""
    options = service.options
    path = options.get("socket")
    if path:
        yield Connect(f"{path}/.s.PGSQL.{service.port}" if not path.rpartition("/")[2].startswith(".s.") else path, 0,
                      transport="unix")  # fmt: skip
    else:
        yield Connect(service.host, service.port)
        if options.get("sslmode") in ("require", "verify-ca", "verify-full") or service.tls:
            yield Send(struct.pack("!II", 8, SSL_REQUEST))
            answer = yield Exactly(1)
            if answer == b"E":
                raise _refusal((yield from _rest_of_message()))
            if answer != b"S":
                reason = "tls_handshake" if answer == b"N" else "protocol_mismatch"
                raise Failure(reason, "the server has no TLS" if answer == b"N" else f"not PostgreSQL: {answer!r}")
            yield StartTls(service.host, service.tls or service.tls_options)
    user = options.get("user") or "postgres"
    database = options.get("database") or options.get("user") or "postgres"
    parameters = {"user": user, "database": database, "application_name": "health_check"}
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items()) + b"\0"
    yield Send(struct.pack("!II", len(body) + 8, PROTOCOL_3) + body)
    return (yield from _log_in(service, user))


def _log_in(service: Service, user: str) -> Conversation:
    password = service.options.get("password")
    scram = Scram("", password or "")  # the server takes the user from the startup packet
    facts: dict[str, Any] = {}
    ready = proven = False
    while not ready:
        kind, data = yield from (_behind_the_login(_message()) if proven else _message())
        if kind == b"R":
            (code,) = struct.unpack("!I", data[:4])
            proven = code in (0, 3, 5, 12)
            if code in (3, 5, 10) and password is None:
                return Answer("accepts connections; it wants a password, so no login was tried", facts)
            if code not in (0, 3, 5, 10, 11, 12):
                return Answer(f"accepts connections; it wants authentication method {code}", facts)
            if response := _authentication(service, user, scram, code, data[4:]):
                yield Send(_frame(b"p", response))
        elif kind == b"E":
            failure = _refusal(data)
            named = service.options.get("user") or service.options.get("database")
            if failure.reason in ("auth_failed", "not_allowed", "not_found") and password is None and not named:
                return Answer(f"accepts connections; login refused ({failure.detail})", facts)
            raise failure
        elif kind == b"S":
            name, _, value = data.rstrip(b"\0").partition(b"\0")
            if name == b"server_version":
                facts["version"] = value.decode("utf-8", "replace")
            elif name == b"in_hot_standby":  # told since PostgreSQL 14
                facts["role"] = "standby" if value == b"on" else "primary"
        elif kind == b"Z":
            ready = True
        elif kind not in (b"K", b"N", b"v"):
            raise Failure("protocol_mismatch", f"not PostgreSQL: message {kind!r}")
    try:
        orphan = yield from _queries(service, facts)
    except Failure as failure:
        if failure.reason == "query_failed":
            yield Send(_frame(b"X", b""))
        raise
    yield Send(_frame(b"X", b""))
    if orphan:
        return Answer("a standby that receives nothing from its primary", facts, reason="replica_stale")
    role = ", standby" if facts.get("role") == "standby" else ""
    return Answer(f"logged in as {user}, PostgreSQL {facts.get('version', '?')}{role}", facts)


def _behind_the_login(steps: Generator[Step, Any, T]) -> Generator[Step, Any, T]:
    """Tell a session that does not begin from a server that does not answer at all."""
    try:
        return (yield from steps)
    except Failure as failure:
        if failure.reason != "read_timeout":
            raise
        waits = "the login was sent, and no session came of it: so does a pooler without a free or living server"
        raise Failure("upstream_down", f"{failure.detail}; {waits}") from None


def _authentication(service: Service, user: str, scram: Scram, code: int, data: bytes) -> bytes:
    """Return what to answer to an authentication request, nothing where it only reports success."""
    password = str(service.options.get("password"))
    if code == 10:
        if b"SCRAM-SHA-256\0" not in data:
            raise Failure("unsupported", "the server offers no SCRAM-SHA-256 without channel binding")
        first = scram.first()
        return b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first
    if code == 11:
        return scram.final(data)
    if code == 12:
        scram.verify(data)
    if code == 5:
        inner = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
        return b"md5" + hashlib.md5(inner.encode() + data[:4], usedforsecurity=False).hexdigest().encode() + b"\0"
    if code == 3:
        if service.tls is None and service.options.get("sslmode") in (None, "disable") and not _is_local(service):
            raise Failure("unsupported", "the server wants the password in clear text; use sslmode=require")
        return password.encode() + b"\0"
    return b""


def _queries(service: Service, facts: dict[str, Any]) -> Generator[Step, Any, bool]:
    """Run what the service asks for, else the least that proves a session; return whether it is an orphaned standby."""
    query = service.options.get("query")
    if "bouncer" in facts.get("version", ""):  # the console of PgBouncer, which knows SHOW and little else
        if query:
            facts["value"] = yield from _query(query)
        return False
    with_lag = "replication_lag" in {rule.subject for rule in (*service.expect, *service.degraded)}
    if query or with_lag:
        milliseconds = max(1, int(service.timeout * 1000))
        yield from _behind_the_login(_query(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}"))
        try:
            if query:
                facts["value"] = yield from _query(query)
            if with_lag:
                lag = yield from _query(_LAG_QUERY)
                facts["replication_lag"] = float(lag) if lag is not None else None
        except Failure as failure:
            if failure.reason == "query_failed":
                yield from _query("ROLLBACK")
            raise
        yield from _query("ROLLBACK")
    elif facts.get("role") != "standby":
        yield from _behind_the_login(_query("SELECT 1"))
    if facts.get("role") != "standby":
        return False
    try:
        return (yield from _query(_ORPHAN_QUERY)) is True
    except Failure as failure:
        if failure.reason != "query_failed":
            raise
        return False  # some managed standbys have no such functions


def _query(text: str) -> Generator[Step, Any, str | int | float | bool | None]:
    """Run a simple query; return the first column of its first row as text or number."""
    yield Send(_frame(b"Q", text.encode() + b"\0"))
    value: str | int | float | bool | None = None
    seen = False
    column = 0
    failure: Failure | None = None
    while True:
        kind, data = yield from _message()
        if kind == b"T":
            at = data.index(0, 2) + 7
            (column,) = struct.unpack("!I", data[at : at + 4])
        elif kind == b"D" and not seen:
            seen = True
            (count,) = struct.unpack("!H", data[:2])
            if count:
                (size,) = struct.unpack("!i", data[2:6])
                value = None if size < 0 else _typed(column, data[6 : 6 + size].decode("utf-8", "replace"))
        elif kind == b"E":
            failure = Failure("query_failed", _refusal(data).detail)
        elif kind == b"Z":
            if failure:
                raise failure
            return value


def _typed(column: int, text: str) -> str | int | float | bool | None:
    """Return a value by the object identifier of its type: boolean 16, numbers, all else text."""
    if column == BOOLEAN:
        return text == "t"
    return plain_value(text) if column in NUMBERS else text


def _message() -> Generator[Step, Any, tuple[bytes, bytes]]:
    kind = yield Exactly(1)
    if kind not in b"RSKZENDTCIvGHdcsA1235tn":
        raise Failure("protocol_mismatch", f"not PostgreSQL: the answer begins {printable(kind)}")
    return kind, (yield from _rest_of_message(kind))


def _rest_of_message(kind: bytes = b"E") -> Generator[Step, Any, bytes]:
    head = yield Exactly(4)
    (size,) = struct.unpack("!I", head)
    if not 4 <= size <= MAX_MESSAGE:
        raise stranger("PostgreSQL", kind + head)
    return (yield Exactly(size - 4)) if size > 4 else b""


def _refusal(data: bytes) -> Failure:
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in data.split(b"\0") if part}
    code, message, detail = fields.get(b"C", "?????"), fields.get(b"M", ""), fields.get(b"D", "")
    text = f"{code} {message}" + (f" ({detail})" if detail else "")
    if code == "08P01":
        reason = next((reason for words, reason in _POOLER_MESSAGES if words in message), "server_error")
    elif code in _REASONS or code[:2] == "28":
        known = _REASONS.get(code, "auth_failed")
        reason = next((reason for words, reason in _MESSAGES if words in text), known)
    else:
        reason = "server_error"
    return Failure(reason, text)


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _is_local(service: Service) -> bool:
    return bool(service.options.get("socket")) or is_loopback(service.host)


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    options: dict[str, Any] = {}
    if database := unquote(parts.path.strip("/")):
        options["database"] = database
    query = parse_qs(parts.query)
    if query.get("sslmode"):
        options["sslmode"] = query["sslmode"][-1]
    if query.get("host", [""])[-1].startswith("/"):
        options["socket"] = query["host"][-1]
    for name in ("user", "password"):
        if query.get(name):
            options[name] = query[name][-1]
    return options


def _error(code: bytes, message: bytes) -> bytes:
    return _frame(b"E", b"SFATAL\0C" + code + b"\0M" + message + b"\0\0")


_AUTHENTICATED = _frame(b"R", struct.pack("!I", 0))
_READY = _AUTHENTICATED + _frame(b"S", b"server_version\0" + b"16.1\0") + _frame(b"Z", b"I")
_STANDBY = _AUTHENTICATED + _frame(b"S", b"in_hot_standby\0" + b"on\0") + _frame(b"Z", b"I")
_CONSOLE = _AUTHENTICATED + _frame(b"S", b"server_version\0" + b"1.18.0/bouncer\0") + _frame(b"Z", b"I")


def _row(value: bytes, column: int = 25, end: bytes = b"I") -> bytes:
    described = struct.pack("!H", 1) + b"c\0" + struct.pack("!IHIHIH", 0, 0, column, 0, 0, 0)
    row = struct.pack("!Hi", 1, len(value)) + value
    return _frame(b"T", described) + _frame(b"D", row) + _frame(b"C", b"SELECT 1\0") + _frame(b"Z", end)


_BEGUN, _ROLLED_BACK = _frame(b"C", b"SET\0") + _frame(b"Z", b"T"), _frame(b"C", b"ROLLBACK\0") + _frame(b"Z", b"I")

PROBE = Probe(
    type="postgresql",
    title="PostgreSQL start-up, login, query",
    converse=converse,
    schemes={"postgresql": False, "postgres": False},
    port=5432,
    tls_port=5432,
    aliases=("postgres", "pg", "cockroachdb", "timescaledb"),
    fields=(
        Field("user", WORD, "User; without a password only the server's willingness is judged."),
        Field("password", WORD, "Password of the login.", secret=True),
        Field("database", WORD, "Database; defaults to the user's name."),
        Field("query", TEXT, "A query, run read-only; its first value is the fact `value`."),
        Field("sslmode", one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
              "require and above ask for TLS, always verified."),
        Field("socket", TEXT, "Folder of the Unix socket, instead of a host."),
    ),
    facts={"value": "any", "version": "text", "role": "text", "replication_lag": "number"},
    from_url=_from_url,
    examples=(
        Example("trust: ready", (_READY, _row(b"1"))),
        Example("a standby", (_STANDBY, _row(b"f", BOOLEAN)), note="standby"),
        Example("a standby without its primary", (_STANDBY, _row(b"t", BOOLEAN)), "replica_stale"),
        Example("a standby without such functions", (_STANDBY, _error(b"0A000", b"not supported") +
                _frame(b"Z", b"I")), note="standby"),
        Example("the console of PgBouncer", (_CONSOLE, _row(b"x")), options={"query": "show pools"}),
        Example("a pooler whose server is down", (_AUTHENTICATED,
                _error(b"08P01", b"pgbouncer cannot connect to server")), "upstream_down"),
        Example("a pooler that is full", (_error(b"08P01", b"no more connections allowed (max_client_conn)"),),
                "too_many_connections"),
        Example("a host that is not let in", (_error(b"28000", b"no pg_hba.conf entry for host"),), "not_allowed",
                options={"user": "app"}),
        Example("a client certificate is wanted", (
                _error(b"28000", b"connection requires a valid client certificate"),), "tls_client_certificate",
                options={"user": "app"}),
        Example("a standby that takes no sessions", (_frame(b"E", b"SFATAL\0C57P03\0"
                b"Mthe database system is not accepting connections\0DHot standby mode is disabled.\0\0"),),
                "not_serving"),
        Example("SCRAM is wanted, no password given", (_frame(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"),),
                note="wants a password"),
        Example("an unknown user, no password given", (_error(b"28000", b"no pg_hba.conf entry"),),
                note="login refused"),
        Example("a wrong password", (_error(b"28P01", b"password authentication failed"),), "auth_failed",
                options={"password": "x"}),
        Example("too many clients", (_error(b"53300", b"sorry, too many clients already"),), "too_many_connections"),
        Example("starting", (_error(b"57P03", b"the database system is starting up"),), "starting_up"),
        Example("stopping", (_error(b"57P03", b"the database system is shutting down"),), "shutting_down"),
        Example("the query's value", (_READY, _BEGUN, _row(b"1", end=b"T"), _ROLLED_BACK),
                options={"query": "select 1"}),
        Example("the query fails", (_READY, _BEGUN, _error(b"42P01", b"relation does not exist") + _frame(b"Z", b"E"),
                _ROLLED_BACK), "query_failed", options={"query": "select * from absent"}),
        Example("an HTTP server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
        Example("truncated", (b"R\0\0\0\x08\0",), "connection_closed", closes=True),
    ),
)  # fmt: skip
