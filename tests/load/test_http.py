from __future__ import annotations

import random

import pytest

from senior_backend.load.http import Head, ProtocolError, ResponseParser, parse_head, request_bytes
from senior_backend.load.model import Response, Target
from tests.load.servers import ANSWER, FIXED

TARGET = Target("http", "127.0.0.1", 8000)


def parser(*, head: bool = False, max_head: int = 10_000, max_body: int = 10_000, keep: int = 10_000) -> ResponseParser:
    return ResponseParser(to_head_request=head, max_head=max_head, max_body=max_body, keep=keep)


def in_pieces(data: bytes, sizes: list[int], *, head: bool = False) -> ResponseParser:
    """Feed data in pieces of the given sizes, then the rest; fail when it is complete too early."""
    one = parser(head=head)
    position = 0
    for size in sizes:
        piece = data[position : position + size]
        position += size
        if piece and one.feed(piece):
            assert position >= len(data), "complete before its end"
            return one
    assert position < len(data)
    assert one.feed(data[position:])
    return one


BODIES = {
    "fine": (200, b'{"ok": true}'),
    "chunked": (200, b"abcde"),
    "interim": (200, b'{"ok": true}'),
    "no-content": (204, b""),
    "not-modified": (304, b""),
    "redirect": (302, b""),
    "gzip": (200, b"\x1f\x8b\x08"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_response_is_the_same_however_it_is_cut(name: str) -> None:
    status, body = BODIES[name]
    data = FIXED[name]
    draw = random.Random(name)
    cuts = [[1] * (len(data) - 1), [len(data) - 1], []]
    cuts += [[draw.randint(1, 9) for _ in range(draw.randint(1, 20))] for _ in range(50)]
    for sizes in cuts:
        total = 0
        kept = [size for size in sizes if (total := total + size) < len(data)]
        one = in_pieces(data, kept)
        assert one.head is not None
        assert (one.head.status, bytes(one.kept), one.body_bytes) == (status, body, len(body))
        assert not one.surplus


def test_answers_to_head_have_no_body_whatever_their_length_says() -> None:
    one = in_pieces(FIXED["head"], [5], head=True)
    assert one.head == Head(200, 0, chunked=False, close=False)


def test_a_body_without_length_ends_with_the_connection() -> None:
    one = parser()
    assert not one.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    assert not one.feed(b"cd")
    assert one.end()
    assert bytes(one.kept) == b"abcd"
    assert one.head is not None
    assert one.head.close


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "after 2 of 5 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "after 2 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent", "inside the head"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "inside the body"),
    ],
)
def test_an_end_before_the_end_is_an_error(data: bytes, said: str) -> None:
    one = parser()
    assert not one.feed(data)
    with pytest.raises(ProtocolError, match=said):
        one.end()


@pytest.mark.parametrize(
    "data",
    [
        *(FIXED[name] for name in ("garbage", "bad-status", "bad-length", "two-lengths", "both-framings", "bad-chunk")),
        b"HTTP/1.1 200 OK\r\n folded: line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nspace before : colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000,
    ],
)
def test_broken_messages_are_protocol_errors(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        assert parser().feed(data)


def test_limits_hold() -> None:
    with pytest.raises(ProtocolError, match="head"):
        parser(max_head=100).feed(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200)
    with pytest.raises(ProtocolError, match="body"):
        parser(max_body=10).feed(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b"a" * 11)
    one = parser(keep=3)
    assert one.feed(ANSWER)
    assert bytes(one.kept) == b'{"o'
    assert one.body_bytes == 12


def test_surplus_bytes_are_noticed() -> None:
    one = parser()
    assert one.feed(FIXED["too-long"])
    assert one.surplus
    one = parser()
    assert one.feed(FIXED["chunked"] + b"HTTP")
    assert one.surplus


@pytest.mark.parametrize(
    ("head", "close"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive, Close", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", True),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x", True),
    ],
)
def test_whether_the_connection_can_be_used_again(head: bytes, close: bool) -> None:
    assert parse_head(head).close is close


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: a\r\n  b\r\n\tc\r\nContent-Length: 3",
        b"HTTP/1.1 200 OK\nX-Long: a b c\nContent-Length: 3",
    ],
)
def test_folded_fields_and_bare_line_feeds_are_read(head: bytes) -> None:
    for size in (1, 7, 1000):
        one, message, done = parser(), head + (b"\n\n" if b"\r" not in head else b"\r\n\r\n") + b"abc", False
        for start in range(0, len(message), size):
            done = one.feed(message[start : start + size])
        assert done
        assert one.body_bytes == 3
        assert Response(200, one.head_bytes, b"").header("x-long") == "a b c"


@pytest.mark.parametrize("size", [1, 5, 64, 100_000])
def test_thousands_of_chunks_in_any_pieces(size: int) -> None:
    one, done = parser(keep=100_000), False
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    message = head + b"2;a=b\r\nxy\r\n" * 3000 + b"0\r\nT: 1\r\n\r\n"
    for start in range(0, len(message), size):
        assert not done
        done = one.feed(message[start : start + size])
    assert done
    assert bytes(one.kept) == b"xy" * 3000


def test_retry_after_is_read() -> None:
    assert parse_head(FIXED["too-many"].split(b"\r\n\r\n", maxsplit=1)[0]).retry_after_s == 7
    assert parse_head(b"HTTP/1.1 503 X\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT").retry_after_s is None
    dated = b"HTTP/1.1 503 X\r\nDate: Wed, 21 Oct 2026 07:27:15 GMT\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT"
    assert parse_head(dated).retry_after_s == 45
    assert parse_head(dated.replace(b":28:00", b":20:00")).retry_after_s == 0
    assert parse_head(b"HTTP/1.1 503 X\r\nRetry-After: soon").retry_after_s is None


def test_requests_have_what_they_need_and_nothing_twice() -> None:
    sent = request_bytes(TARGET, "POST", "/a?b=c", [("Accept", "text/plain"), ("host", "other")], b"{}")
    assert sent.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert sent.endswith(b"Content-Length: 2\r\n\r\n{}")
    assert sent.lower().count(b"host:") == sent.lower().count(b"accept:") == 1
    assert b"Content-Length" not in request_bytes(TARGET, "GET", "/")
    assert b"Content-Length: 0" in request_bytes(TARGET, "POST", "/")
    assert b"Host: [::1]:8000" in request_bytes(Target("http", "::1", 8000), "GET", "/")
    assert b"Host: x\r\n" in request_bytes(Target("https", "x", 443), "GET", "/")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET /", "/", []),
        ("GET", "/a b", []),
        ("GET", "/ü", []),
        ("GET", "relative", []),
        ("GET", "/", [("X", "a\r\nY: b")]),
        ("GET", "/", [("X Y", "a")]),
    ],
)
def test_nothing_can_be_smuggled_into_a_request(method: str, path: str, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"not a|line break"):
        request_bytes(TARGET, method, path, headers)
