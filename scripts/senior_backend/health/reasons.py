"""The closed list of reasons why a service is not simply `up`, each with the state it leads to and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["up", "degraded", "down", "unknown", "blocked"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a check did not end with `up`; `transport` marks failures that are worth one retry."""

    code: str
    state: State
    means: str
    next_step: str
    transport: bool = False


_ALL = (
    # Reaching the service.
    Reason("dns_nxdomain", "down", "the name does not exist", "Check the spelling, or whether the container or record "
           "that owns the name exists: `getent hosts {host}`."),
    Reason("dns_timeout", "down", "the resolver did not answer in time", "Ask the resolver by hand (`getent hosts "
           "{host}`); check /etc/resolv.conf and the network to the name server."),
    Reason("dns_failure", "down", "the resolver could not answer", "Ask the resolver by hand (`getent hosts {host}`); "
           "a temporary failure points at the name server, not at the service."),
    Reason("refused", "down", "nothing listens on the port", "Start the service, or correct the port: `ss -ltnp` on "
           "{host} shows what listens.", transport=True),
    Reason("queue_full", "down", "the socket's listen queue is full", "The process accepts no connections, or too "
           "slowly: look at its state, and at the queue with `ss -lx`.", transport=True),
    Reason("unreachable", "down", "there is no route to the host", "Check the address, routes and firewall: `ip route "
           "get {host}`.", transport=True),
    Reason("connect_timeout", "down", "the connection was not accepted in time", "A firewall that drops packets, a "
           "host that is gone, or a full listen queue: compare with another port of {host}, and see `ss -ltn` there."),
    Reason("connection_reset", "down", "the peer reset the connection", "Look into the service's log at this time; a "
           "proxy without a backend, a crashing worker and a port that expects TLS reset alike.", transport=True),
    Reason("connection_closed", "down", "the peer closed the connection before its answer was complete",
           "Look into the service's log at this time; a TCP proxy without a living backend closes so, and so does a "
           "port that expects another protocol or TLS.",
           transport=True),
    Reason("read_timeout", "down", "the service accepted the request and did not answer in time", "The port "
           "accepts, the process does not answer: look whether it is stopped, stuck or out of threads; raise "
           "`timeout` only if it may be slow."),
    Reason("no_answer", "down", "nothing came back over UDP", "Nobody tells what became of the packets: check that the "
           "server runs (`ss -lnup` on {host}), the servers that it asks itself, and the firewalls between."),
    Reason("no_greeting", "down", "the port accepts connections but never greets", "A port forwarder or load balancer "
           "without a running backend does this, and a port that waits for TLS: look behind {host}:{port}."),
    Reason("protocol_mismatch", "down", "something else answers on the port", "Check `type` and `port`: the answer is "
           "not this protocol (the excerpt shows what came)."),
    Reason("version_mismatch", "down", "the server speaks another version of the protocol", "Check the port (AMQP 1.0 "
           "and 0-9-1, HTTP/1 and HTTP/2 listen apart) and the server's enabled plugins."),
    # TLS.
    Reason("tls_expired", "down", "the certificate has expired", "Renew the certificate and reload the service."),
    Reason("tls_not_yet_valid", "down", "the certificate is not valid yet", "Check the clocks of both machines and the "
           "certificate's start date."),
    Reason("tls_untrusted", "down", "the certificate is not signed by a trusted authority", "Serve the whole chain, or "
           "name the private authority with `tls: {{ca: file.pem}}`."),
    Reason("tls_weak", "down", "a key or signature of the certificate is too weak", "Have it issued again with RSA of "
           "2048 bits or an elliptic curve, signed with SHA-256."),
    Reason("tls_chain_expired", "down", "a certificate above the server's own has expired", "Serve the chain anew, "
           "without the expired certificate: the authority's present intermediate, and update the authorities here."),
    Reason("tls_hostname", "down", "the certificate is for another name", "Check the name in the URL, or set `tls: "
           "{{server_name: …}}` when the address is not the name."),
    Reason("tls_timeout", "down", "the TLS handshake was not answered in time", "Either the process is stuck, or the "
           "port does not speak TLS: compare with the same check without TLS."),
    Reason("tls_client_certificate", "down", "the server asks for a client certificate that it trusts", "Name one that "
           "its authority signed: `tls: {{cert: file.pem, key: file.key}}`."),
    Reason("tls_expected", "down", "the port speaks TLS, and the check does not", "Write the scheme for TLS "
           "(https, rediss, amqps, …), or set `tls: true`."),
    Reason("tls_handshake", "down", "the TLS handshake failed", "Check that the port speaks TLS, and the protocol "
           "versions and client certificate it asks for.", transport=True),
    # What the service says about itself.
    Reason("http_status", "down", "the status is not the expected one", "Read the response and the service's log; set "
           "`expect: {{status: …}}` when this status is right."),
    Reason("redirect_blocked", "down", "the service redirects, and redirects are not followed", "A redirect to a login "
           "page is not health. Take the address that it leads to, such as https, or set `follow_redirects: true`."),
    Reason("body_too_large", "down", "the response is larger than a health answer may be", "Point `url` at a health "
           "endpoint instead of a page or a download."),
    Reason("assertion", "down", "an expectation does not hold", "Compare the value with `expect` in services.yaml."),
    Reason("component_down", "down", "the service reports a failing component", "Follow the component that is named; "
           "add it as a service with `depends_on` to see its cause."),
    Reason("auth_failed", "down", "the credentials were refused", "Check user and password of this service."),
    Reason("not_allowed", "down", "the server lets no client of this machine in", "Let this machine in on the server: "
           "pg_hba.conf, `user@host` accounts of MySQL, an address list. `no encryption` in the message asks for TLS."),
    Reason("not_found", "down", "what the check asks for does not exist there", "Create it, or correct the name in "
           "services.yaml."),
    Reason("too_many_connections", "down", "the server refuses new clients: its connection limit is reached",
           "Find who holds the connections, lower the pools' sizes or raise the server's limit."),
    Reason("starting_up", "down", "the server is starting or recovering", "Wait (`--wait 60s`); if it stays so, read "
           "the server's log."),
    Reason("shutting_down", "down", "the server is shutting down", "Find out who stopped it."),
    Reason("loading", "down", "the server is loading its data set", "Wait (`--wait 60s`); `INFO persistence` says how "
           "much is left. If that stands still, read the server's log."),
    Reason("replica_disconnected", "down", "the replica has lost its primary", "Check the primary and the replication "
           "link."),
    Reason("host_blocked", "down", "the server blocks this host after too many connection errors", "Unblock it: "
           "`FLUSH HOSTS`, or `TRUNCATE TABLE performance_schema.host_cache` in MySQL 8; then find the client that "
           "connects without a handshake, such as a TCP check."),
    Reason("upstream_down", "down", "a proxy answers, the server behind it does not", "Check the server behind the "
           "proxy or pooler, and the pool itself (PgBouncer: `SHOW POOLS`); list that server under `depends_on`."),
    Reason("writes_refused", "down", "it answers, and refuses every write", "Free memory or disk on the server, or "
           "raise its limit: the message says which of them stops the writes."),
    Reason("not_serving", "down", "the service says that it is not serving", "Read its log: services say this during "
           "start and drain, and when something that they need fails."),
    Reason("server_error", "down", "the server answered with an error", "Read the message and the server's log."),
    Reason("query_failed", "down", "the query failed", "Run the query by hand with the same user."),
    Reason("process_missing", "down", "no such process runs", "Start it, or correct `match`."),
    Reason("command_failed", "down", "the command did not succeed", "Run the command by hand."),
    # Degraded.
    Reason("slow", "degraded", "it answers, but slower than its threshold", "Look at the phase that takes the time: "
           "dns, connect, tls or first byte."),
    Reason("tls_expiring", "degraded", "the certificate expires soon", "Renew the certificate now."),
    Reason("threshold", "degraded", "a threshold for `degraded` is passed", "Compare the value with `degraded` in "
           "services.yaml."),
    Reason("address_failing", "degraded", "an address of its name does not work", "Clients that happen to take this "
           "address fail: mend what stands behind it, or remove it from the name's records."),
    Reason("replica_stale", "degraded", "the replica answers with old data", "Check the primary and the replication "
           "link: nothing new arrives."),
    Reason("component_degraded", "degraded", "the service reports a component in trouble", "Follow the component that "
           "is named."),
    # The checker's own trouble: never an outage.
    Reason("checker_overloaded", "unknown", "the checker was too busy to measure this", "Lower `--concurrency`, or run "
           "it on a quieter machine."),
    Reason("checker_fd_limit", "unknown", "the checker ran out of file descriptors", "Raise `ulimit -n` or lower "
           "`--concurrency`."),
    Reason("checker_ports", "unknown", "the checker ran out of local ports", "Wait a minute, or widen "
           "net.ipv4.ip_local_port_range."),
    Reason("checker_dns", "unknown", "the checker's look-ups were stuck behind slow ones", "Fix the resolver (see the "
           "names that time out) or raise the timeout."),
    Reason("checker_resolver", "unknown", "this machine's resolver answers for no name", "Check /etc/resolv.conf and "
           "the network of this machine; the services may be fine."),
    Reason("checker_deadline", "unknown", "the overall deadline came first", "Raise `--deadline` or lower `timeout`."),
    Reason("checker_error", "unknown", "the checker failed on this service", "This is a bug of the checker: report it "
           "with the message."),
    Reason("permission", "unknown", "the checker has no permission for this check", "Run it as a user who may, or drop "
           "the check."),
    Reason("exec_not_allowed", "unknown", "commands are only run with --allow-exec", "Add `--allow-exec` if you trust "
           "services.yaml."),
    Reason("address_blocked", "unknown", "the address is one that checks must not reach", "Link-local and metadata "
           "addresses are only checked when `allow_addresses` lists them."),
    Reason("unsupported", "unknown", "this check cannot be made here", "The message says what is missing."),
    Reason("dependency", "blocked", "it fails, and a service it depends on is down", "Mend {causes} first."),
)  # fmt: skip

REASONS: dict[str, Reason] = {reason.code: reason for reason in _ALL}
TIMEOUTS = frozenset(
    {"connect_timeout", "read_timeout", "no_greeting", "no_answer", "dns_timeout", "tls_timeout", "upstream_down"}
)


_CDN = "A CDN answers, the origin behind it does not: check the origin, and the network and certificate between."
STATUS_STEPS: dict[int, str] = {
    400: "The request itself is refused, the answer says why: plain HTTP to a TLS port wants `https://`, a client "
    "certificate `tls: {cert, key}`, a name that the server does not know `headers: {Host: …}`.",
    401: "The check is not let in: give it `auth`, or point `url` at a health path that needs no login.",
    403: "The check is not let in: look at its rights and at allow lists, or point `url` at an open health path.",
    404: "The path does not exist there: correct `url`; when it is right, another service or version answers.",
    405: "The path does not take this method: set `method`.",
    421: "The server has no site of this name: set `headers: {Host: …}` and `tls: {server_name: …}` alike.",
    429: "The service limits its callers: check less often, or exempt the health path from the limit.",
    500: "The service fails while it handles the request: read its log at this time.",
    502: "A proxy answers, and the service behind it does not: check that one, and list it under `depends_on`.",
    503: "It says itself that it is not ready (overload, drain), or a proxy has no healthy backend left: read the "
    "response, then check what stands behind it.",
    504: "A proxy answers, and the service behind it is too slow or unreachable: check that one, and list it under "
    "`depends_on`.",
    **dict.fromkeys((520, 521, 522, 523, 524, 525, 526), _CDN),
}
"""What to do about an HTTP status (RFC 9110, section 15) that is not the expected one."""


def next_step(code: str, *, host: str = "", port: int | None = None, causes: str = "") -> str:
    """Return what to do about a reason, with the service's address filled in."""
    return REASONS[code].next_step.format(host=host or "the host", port=port or "", causes=causes)
