from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from senior_backend.console.errors import InputError, RefusedError, UnavailableError
from senior_backend.load import rails
from senior_backend.load.model import ErrorKind, Progress, Stage, TLSOptions

TLS = TLSOptions()


def resolver(*addresses: str) -> Any:
    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return resolve


def aim(url: str, *addresses: str, owned: tuple[str, ...] = (), answering: str | None = None) -> rails.Destination:
    return rails.destination(
        url, owned, TLS, resolve=resolver(*addresses), answers=lambda address, _: address == answering
    )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "::1",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.1",
        "192.168.1.1",
        "fd00::1",
        "::ffff:10.0.0.1",
    ],
)
def test_loopback_and_private_addresses_are_accepted(address: str) -> None:
    assert aim("http://service:8000", address).private


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.32.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "2001:4860::1",
        "fe80::1",
        "::ffff:8.8.8.8",
    ],
)
def test_others_are_refused_unless_owned(address: str) -> None:
    with pytest.raises(RefusedError) as caught:
        aim("https://service.example:8443/api", address)
    assert "--i-own service.example" in str(caught.value.hint)
    to = aim("https://service.example:8443/api", address, owned=("SERVICE.example",))
    assert not to.private
    assert to.target.host == address
    assert to.authority == "service.example:8443"
    assert to.base_path == "/api"
    assert to.target.tls is not None
    assert to.target.tls.server_name == "service.example"


def test_one_public_address_among_private_ones_is_enough_to_refuse() -> None:
    with pytest.raises(RefusedError):
        aim("http://rebind.example", "127.0.0.1", "93.184.216.34")
    with pytest.raises(RefusedError):
        aim("http://service", "8.8.8.8", owned=("other",))


def test_the_address_that_was_checked_is_the_one_that_is_used() -> None:
    calls = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        calls.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(calls) == 1 else "8.8.8.8", port))]

    to = rails.destination("http://rebind.example:1", (), TLS, resolve=resolve, answers=lambda *_: False)
    assert (to.target.host, to.authority) == ("127.0.0.1", "rebind.example:1")
    assert calls == ["rebind.example"]


def test_names_beyond_ascii_are_sent_in_their_ascii_form() -> None:
    assert aim("http://bücher.test:8000", "127.0.0.1").authority == "xn--bcher-kva.test:8000"


def test_the_address_that_answers_is_chosen() -> None:
    assert aim("http://localhost:8000", "::1", "127.0.0.1", answering="127.0.0.1").target.host == "127.0.0.1"


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://h/", "localhost:8000", "http://", "http://u:p@h/", "http://h/?q=1", "http://h:99999/",
     "http://[::1/", "http://h/a b", "gopher://127.0.0.1", "", "http://h/#x"],
)  # fmt: skip
def test_what_is_not_a_base_url(url: str) -> None:
    with pytest.raises(InputError):
        aim(url, "127.0.0.1")


def test_an_unknown_host_is_unavailable() -> None:
    def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(UnavailableError) as caught:
        rails.destination("http://nowhere.invalid", (), TLS, resolve=resolve)
    assert caught.value.code == "dns"


def test_nothing_listening_is_unavailable() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(UnavailableError) as caught:
        rails.require_reachable(aim(f"http://127.0.0.1:{port}", "127.0.0.1"))
    assert caught.value.code == "refused"


def test_a_server_that_does_not_speak_tls_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(UnavailableError) as caught:
            rails.require_reachable(aim(f"https://127.0.0.1:{port}", "127.0.0.1"))
        thread.join()
    assert caught.value.code == "tls"


def test_caps() -> None:
    calm = (Stage(10, 100, 400),)
    assert rails.require_caps(calm, 100, private=False, rate=None, duration_s=None) == rails.PUBLIC_CAPS
    with pytest.raises(RefusedError) as caught:
        rails.require_caps((Stage(700, 10, 501),), 201, private=False, rate=None, duration_s=None)
    assert "--max-rate 501" in str(caught.value.hint)
    assert "--max-duration 700s" in str(caught.value.hint)
    assert "connections" in caught.value.message
    rails.require_caps((Stage(700, 10, 501),), 10, private=False, rate=501, duration_s=700)
    with pytest.raises(RefusedError):
        rails.require_caps((Stage(1, 60_000, 60_000),), 10, private=True, rate=None, duration_s=None)


def test_a_slow_start_leads_to_the_first_rate() -> None:
    stages = rails.with_warmup((Stage(10, 1000, 1000),), 2)
    assert stages == (Stage(1, 100, 1000), Stage(1, 1000, 1000), Stage(10, 1000, 1000))
    assert rails.with_warmup((Stage(10, 20, 20),), 2)[0] == Stage(2, 20, 20)
    assert rails.with_warmup((Stage(10, 20, 20),), 0) == (Stage(10, 20, 20),)


class Seconds:
    """Feeds a watch one second after the other."""

    def __init__(self, watch: rails.Watch) -> None:
        self.watch, self.completed, self.failed = watch, 0, 0

    def next(self, count: int, failed: int = 0, shed: int = 0, retry_after: float | None = None) -> str | None:
        self.completed += count
        self.failed += failed
        return self.watch(
            Progress(
                elapsed_s=1, total_s=10, asked_rate=count, rate=count, p50_ms=1, p99_ms=1, completed=self.completed,
                failed=self.failed, failed_now=failed, statuses_now={503: shed} if shed else {200: count},
                errors_now={ErrorKind.STATUS: failed}, in_flight=0, waiting=0, retry_after_s=retry_after,
            )
        )  # fmt: skip


def test_the_error_budget_stops_a_failing_run() -> None:
    feed = Seconds(rails.Watch(0.5))
    assert feed.next(100, 100) is None
    assert feed.next(100, 100) is None
    assert "300 of 300 requests failed" in str(feed.next(100, 100))
    assert not feed.watch.asked_to_stop


@pytest.mark.parametrize(("budget", "failed"), [(0.5, 40), (None, 100), (0.5, 0)])
def test_within_its_budget_a_run_goes_on(budget: float | None, failed: int) -> None:
    feed = Seconds(rails.Watch(budget))
    assert all(feed.next(100, failed) is None for _ in range(10))


def test_a_few_failures_are_no_pattern() -> None:
    feed = Seconds(rails.Watch(0.5))
    assert all(feed.next(3, 3) is None for _ in range(5))


def test_an_old_burst_of_errors_is_forgotten() -> None:
    feed = Seconds(rails.Watch(0.5))
    feed.next(100, 90)
    assert all(feed.next(100, 0) is None for _ in range(9))


def test_a_surge_of_429_or_503_stops_the_run() -> None:
    feed = Seconds(rails.Watch(None))
    assert feed.next(100, 20, 20) is None
    assert "sheds load" in str(feed.next(100, 40, 40))
    assert feed.watch.asked_to_stop


def test_a_status_that_is_expected_is_no_overload() -> None:
    feed = Seconds(rails.Watch(None, expected=frozenset({503})))
    assert all(feed.next(100, 0, 100) is None for _ in range(5))


def test_a_watch_can_be_shared_by_runs_after_each_other() -> None:
    feed = Seconds(rails.Watch(0.5))
    feed.next(1000)
    feed.completed = 0
    assert feed.next(10, 5) is None
    assert sum(second[0] for second in feed.watch._seconds) == 1010


def test_retry_after_is_honoured_sooner() -> None:
    feed = Seconds(rails.Watch(None))
    assert "asks to wait 30 s" in str(feed.next(100, 12, 12, retry_after=30))
    assert feed.watch.retry_after_s == 30
    through = Seconds(rails.Watch(None, surge=False))
    assert through.next(100, 100, 100, retry_after=30) is None
