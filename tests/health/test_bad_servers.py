"""Every remote probe against servers that are silent, slow, truncating, of another protocol, or hostile."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from senior_backend.health.probes import all_probes
from senior_backend.health.reasons import REASONS
from tests.health import servers
from tests.health.checking import check, one

TYPES = sorted(probe.type for probe in all_probes().values() if not probe.local and probe.type not in ("tcp", "dns"))
TIMEOUT = 0.6
GREETED = {"ssh", "smtp", "nats", "mysql"}

SPOKEN = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "smtp": b"220 mail ESMTP\r\n500 what\r\n500 what\r\n",
    "redis": b"-ERR unknown command\r\n",
    "zeros": b"\0" * 64,
}
BEHAVIOURS = {
    "silent": servers.silent,
    "closing": servers.closing,
    "resetting": servers.resetting,
    "dripping": servers.dripping,
    "flooding": servers.flooding,
    **{f"speaking {name}": servers.saying(text) for name, text in SPOKEN.items()},
}


def described(kind: str, port: int, **more: Any) -> dict[str, Any]:
    return {"name": kind, "type": kind, "host": "127.0.0.1", "port": port, "timeout": f"{TIMEOUT}s", **more}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_no_probe_is_fooled_held_up_or_broken(name: str) -> None:
    with servers.serving(BEHAVIOURS[name]) as port:
        began = time.perf_counter()
        results = check(*(described(kind, port) for kind in TYPES))
        took = time.perf_counter() - began
    spoken = name.removeprefix("speaking ")
    for kind, result in results.items():
        if kind == spoken == "ssh":
            assert result.state == "up", result
            continue
        assert result.state == "down", (kind, result.reason, result.detail)
        assert result.reason in REASONS
        assert result.reason != "checker_error", (kind, result.detail)
    assert took < 2 * TIMEOUT + 1.5


def test_a_silent_server_is_told_apart_by_who_speaks_first() -> None:
    with servers.serving(servers.silent) as port:
        results = check(*(described(kind, port) for kind in TYPES))
    for kind, result in results.items():
        waits_for = "tls_timeout" if kind == "tls" else "read_timeout"
        assert result.reason == ("no_greeting" if kind in GREETED else waits_for), kind


def test_a_wrong_protocol_is_named_with_what_came() -> None:
    with servers.serving(servers.saying(SPOKEN["ssh"])) as port:
        results = check(*(described(kind, port) for kind in TYPES if kind not in ("ssh", "tls")))
        encrypted = one(described("tls", port))
    assert {result.reason for result in results.values()} == {"protocol_mismatch"}
    assert "SSH-2" in results["http"].detail
    assert encrypted.reason == "tls_handshake"


def test_refused_unreachable_and_reset_are_not_confused() -> None:
    port = servers.free_port()
    assert one(described("http", port)).reason == "refused"
    with servers.serving(servers.resetting) as port:
        assert one(described("redis", port)).reason in ("connection_reset", "connection_closed")
    assert one({"url": "http://no-such-name.invalid/"}).reason == "dns_nxdomain"


def test_a_transport_failure_is_repeated_once_and_marked() -> None:
    connections = []

    def first_resets(peer: Any) -> None:
        connections.append(1)
        (servers.resetting if len(connections) == 1 else servers.http(200))(peer)

    with servers.serving(first_resets) as port:
        result = one({"url": f"http://127.0.0.1:{port}/"})
    assert (result.state, result.flaky, result.attempts) == ("up", True, 2)
    with servers.serving(servers.http(500)) as port:
        assert one({"url": f"http://127.0.0.1:{port}/"}).attempts == 1


def test_a_redirect_is_followed_only_when_asked_and_never_to_a_metadata_address() -> None:
    with servers.serving(servers.http(200, b"ok")) as goal:
        moved = servers.http(302, b"", f"Location: http://127.0.0.1:{goal}/")
        with servers.serving(moved) as port:
            url = f"http://127.0.0.1:{port}/"
            assert one({"url": url}).reason == "redirect_blocked"
            assert one({"url": url, "follow_redirects": True}).state == "up"
            assert one({"url": url, "expect": {"status": 302}}).state == "up"
    with servers.serving(servers.http(302, b"", "Location: http://169.254.169.254/latest/")) as port:
        result = one({"url": f"http://127.0.0.1:{port}/", "follow_redirects": True})
    assert (result.state, result.reason) == ("unknown", "address_blocked")
    with servers.serving(servers.http(302, b"", "Location: /again")) as port:
        assert one({"url": f"http://127.0.0.1:{port}/", "follow_redirects": True}).reason == "redirect_blocked"


def test_names_are_judged_by_the_address_that_they_lead_to() -> None:
    def rebinding(host: str) -> list[tuple[Any, ...]]:
        return [(2, 1, 6, "", ("169.254.169.254", 0))]

    result = one({"url": "http://harmless.example/"}, getaddrinfo=rebinding)
    assert result.reason == "address_blocked"
    for address in ("[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]", "169.254.1.1", "[64:ff9b::a9fe:a9fe]"):
        assert one({"url": f"http://{address}/"}).reason == "address_blocked", address
    allowed = one({"url": "http://169.254.169.254:9/", "timeout": "100ms"}, allow_addresses=["169.254.169.254"])
    assert allowed.reason != "address_blocked"


def test_the_next_address_is_tried_when_one_refuses_or_is_silent() -> None:
    def several(host: str) -> list[tuple[Any, ...]]:
        return [(2, 1, 6, "", ("127.0.0.2", 0)), (2, 1, 6, "", ("127.0.0.1", 0))]

    def only_the_first(host: str) -> list[tuple[Any, ...]]:
        return several(host)[:1]

    with servers.serving(servers.http(200)) as port:
        url = f"http://two.example:{port}/"
        result = one({"url": url}, getaddrinfo=several)
        assert (result.state, result.address) == ("degraded", "127.0.0.1")
        assert one({"url": url}, getaddrinfo=only_the_first).reason == "refused"


def test_a_unix_socket(tmp_path: Any) -> None:
    import socket
    import threading

    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=lambda: listener.accept()[0].sendall(b"hello\n"), daemon=True).start()
        assert one({"type": "tcp", "socket": path, "receive": "hello"}).state == "up"
    assert one({"type": "tcp", "socket": path + "-absent"}).reason == "refused"


def test_dns_asks_the_server_that_is_named() -> None:
    import socket
    import threading

    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer() -> None:
        server.recvfrom(512)  # the first packet is lost on the way
        for _ in range(2):
            query, peer = server.recvfrom(512)
            flags = b"\x81\x80" if b"good" in query else b"\x81\x83"
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\5" if b"good" in query else b""
            server.sendto(
                query[:2] + flags + b"\0\1" + (b"\0\1" if record else b"\0\0") + b"\0\0\0\0" + query[12:] + record, peer
            )

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    port = server.getsockname()[1]
    base = {"type": "dns", "host": "127.0.0.1", "port": port, "timeout": "1s"}
    good = one({**base, "query_name": "good.example", "expect": {"address": "127.0.0.5"}})
    assert (good.state, good.detail) == ("up", "good.example A 127.0.0.5")
    assert one({**base, "query_name": "bad.example"}).reason == "not_found"
    thread.join(5)
    silent = one({**base, "query_name": "good.example", "timeout": "200ms"})
    assert (silent.reason, silent.attempts) == ("no_answer", 1)
    server.close()
    assert one({**base, "query_name": "good.example"}).reason == "refused"


@pytest.mark.parametrize("dead", ["127.0.0.9", "::1"])
def test_a_failing_address_of_a_name_is_told_though_another_answers(dead: str) -> None:
    """A replica that is gone, or IPv6 records of a service that listens on IPv4 alone."""
    family = socket.AF_INET6 if ":" in dead else socket.AF_INET
    live = (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))

    def first(_: str) -> list[tuple[Any, ...]]:
        return [(family, 1, 6, "", (dead, 0)), live]

    with servers.serving(servers.http(200, b"ok")) as port:
        url = f"http://app:{port}/"
        results = [one({"url": url}, getaddrinfo=order) for order in (first, lambda host: first(host)[::-1])]
        spared = [
            one({"url": f"http://localhost:{port}/"}, getaddrinfo=first),
            one({"url": url, "every_address": False}, getaddrinfo=first),
            one({"url": url, "method": "POST"}, getaddrinfo=first),
            one({"url": url}, getaddrinfo=lambda _: [live]),
        ]
    for result in results:
        assert (result.state, result.reason, result.address) == ("degraded", "address_failing", "127.0.0.1")
        assert f"1 of 2 addresses of app fail: {dead}: refused" in result.detail
    assert {item.detail for item in spared} == {"HTTP 200"}


def test_a_replica_that_answers_with_an_error_is_told_and_a_missing_route_is_not() -> None:
    """One of two addresses answers 503; a third, IPv6 without a route, is this machine's matter."""
    good, bad = ((socket.AF_INET, 1, 6, "", (f"127.0.0.{last}", 0)) for last in (1, 2))
    unrouted = (socket.AF_INET6, 1, 6, "", ("2001:db8::1", 0))

    def by_address(peer: socket.socket) -> None:
        servers.http(200 if peer.getsockname()[0] == "127.0.0.1" else 503)(peer)

    service: dict[str, Any] = {"timeout": "1s", "retries": 0}
    with servers.serving(by_address, host="0.0.0.0") as port:
        service["url"] = f"http://app:{port}/"
        for order in ([good, bad, unrouted], [bad, good]):
            result = one(service, getaddrinfo=lambda _, order=order: order)
            assert (result.state, result.reason, result.address) == ("degraded", "address_failing", "127.0.0.1")
            assert f"1 of {len(order)} addresses of app fail: 127.0.0.2: http_status (HTTP 503)" in result.detail
        assert one({**service, "every_address": False}, getaddrinfo=lambda _: [bad, good]).state == "up"
        assert one(service, getaddrinfo=lambda _: [bad]).reason == "http_status"


def test_a_login_behind_which_no_query_runs_is_no_health() -> None:
    """What a proxy or pooler does that has no living server: it lets in, and then nothing comes."""
    examples = {kind: all_probes()[kind].examples for kind in ("postgresql", "mysql")}
    login = {kind: next(item for item in found if item.name in ("trust: ready", "a login"))
             for kind, found in examples.items()}  # fmt: skip

    def letting_in(kind: str) -> servers.Behaviour:
        def behave(peer: socket.socket) -> None:
            peer.settimeout(5)
            for answer in login[kind].sent[:-1]:
                if kind == "postgresql":
                    peer.recv(4096)
                peer.sendall(answer)
                if kind == "mysql":
                    peer.recv(4096)
            servers.silent(peer)

        return behave

    for kind in login:
        with servers.serving(letting_in(kind)) as port:
            service = {"type": kind, "host": "127.0.0.1", "port": port, "timeout": "300ms", "retries": 0}
            result = one({**service, "user": "app", "password": "x"})
        assert (result.state, result.reason) == ("down", "upstream_down"), result


def test_a_socket_whose_queue_is_full(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(path)
        listener.listen(0)
        waiting.connect(path)
        result = one({"type": "mysql", "socket": path, "retries": 0})
    assert (result.state, result.reason) == ("down", "queue_full")
