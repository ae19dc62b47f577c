"""Proof of webhook.py: altered bodies, times and headers, rotation, replays that are too old, clocks that differ."""

from __future__ import annotations

import pytest

from webhook import BadSignature, sign, verify

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
BODY = '{"id": "evt_1", "amount": 5, "name": "Zoë"}'.encode()


def test_what_was_signed_is_accepted_also_with_clocks_that_differ() -> None:
    header = sign([NEW], BODY, now=1000)
    for now in (700, 1000, 1300):
        verify([NEW], BODY, header, now=now)


def test_rotation_works_in_both_orders() -> None:
    verify([OLD], BODY, sign([OLD, NEW], BODY))
    verify([NEW], BODY, sign([OLD, NEW], BODY))
    verify([NEW, OLD], BODY, sign([OLD], BODY))


@pytest.mark.parametrize("now", [699, 1301])
def test_a_delivery_that_is_too_old_or_from_the_future_is_refused(now: int) -> None:
    with pytest.raises(BadSignature):
        verify([NEW], BODY, sign([NEW], BODY, now=1000), now=now)


def test_every_altered_byte_of_the_body_is_refused() -> None:
    header = sign([NEW], BODY)
    for index in range(len(BODY)):
        changed = BODY[:index] + bytes([BODY[index] ^ 1]) + BODY[index + 1 :]
        with pytest.raises(BadSignature):
            verify([NEW], changed, header)


def test_the_time_is_part_of_what_is_signed() -> None:
    header = sign([NEW], BODY, now=1000).replace("t=1000", "t=2000")
    with pytest.raises(BadSignature):
        verify([NEW], BODY, header, now=2000)


@pytest.mark.parametrize(
    "header",
    [None, "", "t=1", "v1=" + "0" * 64, "t=1,v1=", "t=1,v0=" + "0" * 64, "t=١,v1=" + "0" * 64, "t=1" + ",v1=0" * 9],
)
def test_malformed_headers_are_refused(header: str | None) -> None:
    with pytest.raises(BadSignature):
        verify([NEW], BODY, header, now=1)


def test_the_wrong_secret_and_no_secret_are_refused_and_a_short_one_is_a_fault() -> None:
    header = sign([NEW], BODY)
    for secrets in ([OTHER], []):
        with pytest.raises(BadSignature):
            verify(secrets, BODY, header)
    with pytest.raises(ValueError, match="32 random bytes"):
        sign([b"short"], BODY)
