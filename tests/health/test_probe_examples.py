"""Every probe's own examples, and what each must withstand on any bytes."""

from __future__ import annotations

import contextlib
import random
import subprocess
from pathlib import Path

import pytest

from senior_backend.health.config.values import Example
from senior_backend.health.probes import Probe, _rsa, all_probes, by_scheme, by_word, of_scheme, of_type, of_word
from senior_backend.health.reasons import REASONS
from senior_backend.health.steps import Answer, Conversation, Failure, Send
from tests import services
from tests.health.conversations import StalledError, hold, judged, service_of

PROBES = all_probes()
EXAMPLES = [(probe, example) for probe in PROBES.values() for example in probe.examples]
REMOTE = [probe for probe in PROBES.values() if not probe.local]
MINIMAL = {"dns": {"query_name": "example.org"}}


@pytest.mark.parametrize(("probe", "example"), EXAMPLES, ids=[f"{p.type}: {e.name}" for p, e in EXAMPLES])
def test_examples(probe: Probe, example: Example) -> None:
    result = judged(probe, service_of(probe, example.options), example.sent, closes=example.closes)
    assert result.reason == example.reason, result
    assert example.note in result.detail
    if example.reason is None:
        assert result.state == "up"


def test_nineteen_types_are_found_by_folder() -> None:
    assert set(PROBES) == {
        *("http", "tcp", "tls", "dns", "grpc", "websocket", "postgresql", "mysql", "redis", "amqp"),
        *("nats", "kafka", "mongodb", "smtp", "ssh", "mqtt", "disk", "process", "exec"),
    }
    assert {"postgres", "mariadb", "rabbitmq"} <= set(by_word())
    assert by_scheme()["https"][1]


def test_every_remote_probe_shows_an_answer_and_a_wrong_protocol() -> None:
    for probe in REMOTE:
        reasons = {example.reason for example in probe.examples}
        assert None in reasons, probe.type
        if probe.type not in ("tls", "tcp"):
            assert "protocol_mismatch" in reasons, probe.type


@pytest.mark.parametrize("probe", REMOTE, ids=lambda probe: probe.type)
def test_any_cut_of_a_good_answer_is_a_failure_and_never_an_exception(probe: Probe) -> None:
    for example in probe.examples:
        whole = b"".join(example.sent)
        for end in range(0, len(whole), max(1, len(whole) // 40)):
            service = service_of(probe, example.options)
            try:
                result = judged(probe, service, [whole[:end]] if end else [], closes=True)
            except StalledError:
                pytest.fail(f"waits for ever after {end} bytes of {example.name}")
            assert result.reason is None or result.reason in REASONS


@pytest.mark.parametrize(
    "probe", [item for item in REMOTE if item.type not in ("tls", "tcp")], ids=lambda item: item.type
)
def test_noise_never_looks_like_the_protocol(probe: Probe) -> None:
    chance = random.Random(probe.type)
    for _ in range(200):
        noise = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 200)))
        result = judged(probe, service_of(probe, MINIMAL.get(probe.type)), [noise], closes=True)
        assert result.state != "up", noise


@pytest.mark.timeout(60)
@pytest.mark.parametrize("probe", REMOTE, ids=lambda item: item.type)
def test_damaged_answers_come_to_an_end(probe: Probe) -> None:
    chance = random.Random(f"damage {probe.type}")
    for example in probe.examples:
        whole = b"".join(example.sent)
        for _ in range(150 if whole else 0):
            damaged = bytearray(whole)
            for _ in range(chance.randrange(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            result = judged(probe, service_of(probe, example.options), [bytes(damaged)], closes=True)
            assert result.reason is None or result.reason in REASONS


def test_a_bson_document_that_leads_backwards_is_refused() -> None:
    from senior_backend.health.probes.mongodb import fields

    for size in (b"\0\0\0\0", b"\xf0\xff\xff\xff", b"\xff\xff\xff\x7f"):
        for kind in (b"\x02", b"\x03", b"\x04", b"\x05"):
            with pytest.raises(ValueError, match="length"):
                fields(b"\x20\0\0\0" + kind + b"a\0" + size + b"\0" * 20)


@pytest.mark.parametrize("probe", [item for item in REMOTE if item.type != "dns"], ids=lambda item: item.type)
def test_every_example_is_read_byte_by_byte_alike(probe: Probe) -> None:
    for example in probe.examples:
        parts = [bytes([byte]) for byte in b"".join(example.sent)]
        result = judged(probe, service_of(probe, example.options), parts, closes=example.closes)
        assert result.reason == example.reason, example.name


def test_a_probe_sends_the_credentials_only_where_they_belong() -> None:
    redis = PROBES["redis"]
    _, said = hold(redis.converse(service_of(redis, {"password": "s3cret"})), [b"+OK\r\n", b"+PONG\r\n", b"$0\r\n\r\n"])
    assert said == b"*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nINFO\r\n"
    http = PROBES["http"]
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n"
    options = {"bearer": "s3cret", "follow_redirects": True, "path": "/"}
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    _, said = hold(http.converse(service_of(http, options)), [moved, ok])
    first, second = said.split(b"GET ")[1:]
    assert b"s3cret" in first
    assert b"s3cret" not in second
    same = moved.replace(b"http://other.example/", b"/there")
    _, said = hold(http.converse(service_of(http, options)), [same, ok])
    assert said.count(b"s3cret") == 2


def test_a_query_leaves_no_setting_in_a_session_that_a_pooler_gives_to_others() -> None:
    probe = PROBES["postgresql"]
    examples = [item for item in probe.examples if item.name in ("the query's value", "the query fails")]
    assert len(examples) == 2
    for example in examples:
        heard: list[bytes] = []
        with contextlib.suppress(Failure):
            hold(overheard(probe.converse(service_of(probe, example.options)), heard), example.sent)
        said = b"".join(heard)
        assert said.index(b"BEGIN READ ONLY") < said.index(example.options["query"].encode()) < said.index(b"ROLLBACK")
        assert said.count(b"SET ") == said.count(b"SET LOCAL ") == 1


def overheard(conversation: Conversation, heard: list[bytes]) -> Conversation:
    """Hold a conversation on, and keep what the probe sends."""
    try:
        step = next(conversation)
        while True:
            if isinstance(step, Send):
                heard.append(step.data)
            value = yield step
            step = conversation.send(value)
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer


def test_a_probe_is_found_by_the_name_of_its_module() -> None:
    for name, probe in all_probes().items():
        assert of_type(name) is of_word(name) is probe
        assert probe.type == name
        for word in probe.aliases:
            assert of_word(word) is probe
        for scheme, tls in probe.schemes.items():
            assert of_scheme(scheme) == (probe, tls)
    assert of_type("_scram") is None
    assert of_word("htp") is None
    assert of_scheme("htps") is None


def test_rsa_is_what_openssl_decrypts(tmp_path: Path) -> None:
    program = services.program("openssl", "it makes a key")
    key, public, sealed = str(tmp_path / "key"), str(tmp_path / "public"), tmp_path / "sealed"
    subprocess.run([program, "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    subprocess.run([program, "rsa", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    for message in (b"", b"right, p\xc3\xa4ssword\0", b"x" * 214):
        sealed.write_bytes(_rsa.encrypt(message, _rsa.public_key(Path(public).read_bytes())))
        command = [
            program,
            "pkeyutl",
            "-decrypt",
            "-inkey",
            key,
            "-in",
            str(sealed),
            "-pkeyopt",
            "rsa_padding_mode:oaep",
        ]
        assert subprocess.run(command, check=True, capture_output=True).stdout == message
    with pytest.raises(ValueError, match="too long"):
        _rsa.encrypt(b"x" * 215, _rsa.public_key(Path(public).read_bytes()))
