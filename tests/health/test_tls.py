"""TLS: verification, named failures, end dates of certificates that do not verify, STARTTLS."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from senior_backend.health import tls
from senior_backend.health.attempts import Trace
from senior_backend.health.judge import judge
from senior_backend.health.outcomes import Outcome, Phases
from senior_backend.health.steps import Certificate, Failure
from tests import services
from tests.health import servers
from tests.health.checking import check, configured, one


def certificate(folder: Path, name: str, days: int, *, subject: str = "localhost", key: str = "ec") -> Path:
    """Return the file of a self-signed certificate with its key, which ends in `days` days."""
    made = folder / f"{name}.pem"
    secret, request, signed = folder / f"{name}.key", folder / f"{name}.csr", folder / f"{name}.crt"
    names = folder / f"{name}.ext"
    names.write_text(f"subjectAltName=DNS:{subject}\nbasicConstraints=CA:TRUE\n")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else ["-newkey", "rsa:2048"]
    _openssl("req", "-new", *kind, "-nodes", "-subj", f"/CN={subject}", "-keyout", secret, "-out", request)
    _openssl("x509", "-req", "-in", request, "-signkey", secret, "-days", str(days), "-extfile", names, "-out", signed)
    made.write_text(signed.read_text() + secret.read_text())
    return made


def _openssl(*words: Any) -> str:
    services.program("openssl", "it makes certificates")
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def encrypted(file: Path, behave: servers.Behaviour) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def wrapped(peer: socket.socket) -> None:
        peer.settimeout(5)
        with context.wrap_socket(peer, server_side=True) as secure:
            behave(secure)

    with servers.serving(wrapped) as port:
        yield port


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def good(folder: Path) -> Path:
    return certificate(folder, "good", 100)


def test_a_trusted_certificate(good: Path) -> None:
    with encrypted(good, servers.http(200, b'{"status":"ok"}')) as port:
        results = check(
            {"name": "http", "url": f"https://localhost:{port}/", "tls": {"ca": str(good)}, "expect": {"tls_days": 90}},
            {
                "name": "soon",
                "url": f"https://localhost:{port}/",
                "tls": {"ca": str(good)},
                "degraded": {"tls_days": 120},
            },
            {"name": "tls", "type": "tls", "host": "localhost", "port": port, "tls": {"ca": str(good)}},
            {"name": "insecure", "url": f"https://127.0.0.1:{port}/", "tls": {"insecure": True}},
            {"name": "untrusted", "url": f"https://localhost:{port}/"},
            {"name": "other name", "url": f"https://127.0.0.1:{port}/", "tls": {"ca": str(good)}}
            | {"name": "hostname"},
        )
    assert results["http"].state == results["tls"].state == results["insecure"].state == "up"
    assert results["soon"].reason == "tls_expiring"
    assert results["untrusted"].reason == "tls_untrusted"
    assert results["hostname"].reason == "tls_hostname"
    for result in results.values():
        assert 99 < (result.tls_days or 0) <= 100, result
    assert (results["http"].phases["tls"] or 0) > 0


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_an_expired_certificate_still_tells_its_date(folder: Path, key: str) -> None:
    old = certificate(folder, f"old-{key}", -1, key=key)
    with encrypted(old, servers.http(200)) as port:
        result = one({"url": f"https://localhost:{port}/", "tls": {"ca": str(old)}})
    assert (result.state, result.reason) == ("down", "tls_expired")
    assert -1.1 < (result.tls_days or 0) < -0.9


def test_the_date_agrees_with_openssl(folder: Path, good: Path) -> None:
    said = _openssl("x509", "-in", good, "-noout", "-enddate").strip().partition("=")[2]
    expected = datetime.datetime.strptime(said, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=datetime.UTC)
    der = ssl.PEM_cert_to_DER_cert(good.read_text().split("-----BEGIN PRIVATE")[0])
    assert tls.validity(der)[1] == expected.timestamp()
    for end in range(0, len(der), 7):
        with contextlib.suppress(ValueError):
            tls.validity(der[:end])


def test_a_server_that_wants_a_client_certificate(folder: Path, good: Path) -> None:
    """Under TLS 1.3 the refusal comes after the handshake: as an alert, or as a close without a word."""
    ours = certificate(folder, "client", 10, subject="client")

    def demanding(peer: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(good)
        context.load_verify_locations(ours)
        context.verify_mode = ssl.CERT_REQUIRED
        peer.settimeout(5)
        with context.wrap_socket(peer, server_side=True) as secure:
            servers.http(200)(secure)

    with servers.serving(demanding) as port, encrypted(good, servers.closing) as mute:
        url = f"https://localhost:{port}/"
        results = check(
            {"name": "without", "url": url, "tls": {"ca": str(good)}},
            {"name": "with", "url": url, "tls": {"ca": str(good), "cert": str(ours)}},
            {"name": "mute", "url": f"https://localhost:{mute}/", "tls": {"ca": str(good)}},
        )
    assert (results["without"].state, results["without"].reason) == ("down", "tls_client_certificate")
    assert results["with"].state == "up"
    assert results["mute"].reason == "connection_closed"
    assert "may want a client certificate" in results["mute"].detail


def test_a_certificate_tells_what_is_wrong_with_it(folder: Path) -> None:
    other = certificate(folder, "other", 100, subject="shop.example")
    with encrypted(other, servers.http(200)) as port:
        wrong = one({"url": f"https://localhost:{port}/", "tls": {"ca": str(other)}})
    assert (wrong.reason, "it is for shop.example" in wrong.detail) == ("tls_hostname", True), wrong
    der = ssl.PEM_cert_to_DER_cert(other.read_text().split("-----BEGIN PRIVATE")[0])
    assert tls.names(der) == ("shop.example",)
    assert all(isinstance(tls.names(der[:end]), tuple) for end in range(0, len(der), 7))
    ends = time.time() + 86400
    valid = Certificate(ends, "f", "", ends - 10 * 86400, ())
    for reason, now, said in (
        ("tls_expired", ends - 86400, "tls_chain_expired"),
        ("tls_expired", ends + 2 * 86400, "2.0 days ago"),
        ("tls_not_yet_valid", ends - 13 * 86400, "in 3.0 days by this machine's clock"),
    ):
        seen = Outcome(None, Failure(reason, "x"), Phases(), certificate=valid)
        result = judge(configured({"name": "a", "url": "https://a.example/"}).services[0], seen, Trace(), now)
        assert said in f"{result.reason} {result.detail}"


def test_a_plain_server_does_not_speak_tls() -> None:
    with servers.serving(servers.http(200)) as port:
        result = one({"url": f"https://127.0.0.1:{port}/"})
    assert result.reason == "tls_handshake"


def test_credentials_are_never_sent_without_verification(good: Path) -> None:
    heard: list[bytes] = []

    def listening(peer: socket.socket) -> None:
        heard.append(peer.recv(65536))

    with encrypted(good, listening) as port:
        result = one({"url": f"https://user:s3cret@localhost:{port}/"})
    assert result.reason == "tls_untrusted"
    assert b"".join(heard) == b""


def test_starttls(good: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(good)

    def mail(peer: socket.socket) -> None:
        peer.settimeout(5)
        peer.sendall(b"220 mail\r\n")
        peer.recv(100)
        peer.sendall(b"250-mail\r\n250 STARTTLS\r\n")
        peer.recv(100)
        peer.sendall(b"220 go on\r\n")
        with context.wrap_socket(peer, server_side=True) as secure:
            secure.recv(100)
            secure.sendall(b"250 mail\r\n")
            secure.recv(100)
            secure.sendall(b"221 bye\r\n")

    with servers.serving(mail) as port:
        result = one({"type": "smtp", "host": "localhost", "port": port, "starttls": True, "tls": {"ca": str(good)}})
        untrusted = one({"type": "smtp", "host": "localhost", "port": port, "starttls": True})
    assert result.state == "up"
    assert 99 < (result.tls_days or 0) <= 100
    assert untrusted.reason == "tls_untrusted"


def test_a_port_that_waits_for_tls_is_told_to_a_check_without(good: Path) -> None:
    with encrypted(good, servers.http(200)) as port, servers.serving(servers.closing) as plain:
        results = check(
            {"name": "tls", "url": f"redis://localhost:{port}", "retries": 0},
            {"name": "plain", "url": f"redis://localhost:{plain}", "retries": 0},
        )
    assert (results["tls"].state, results["tls"].reason) == ("down", "tls_expected")
    assert results["plain"].reason == "connection_closed"
