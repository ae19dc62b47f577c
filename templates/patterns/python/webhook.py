"""Webhook signatures: sign what you send, verify what you get.

Guarantees: a body is accepted only when it was signed, byte for byte, with one of the secrets within `tolerance`
    seconds of now; comparison takes the same time whatever differs. Two secrets at once make rotation possible.
Needs: the standard library; secrets of at least 32 random bytes; the raw body, before any JSON parser saw it.
Fails: `BadSignature` (answer 400 and log; never say which part was wrong). A valid delivery can be repeated within
    `tolerance`: note its event id (inbox.py) before its effect, answer 2xx fast and work later.
Prove: pytest test_webhook.py

Header `Webhook-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">[,v1=…]`: the scheme that Stripe uses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = re.compile(r"t=(?P<time>[0-9]{1,12})(?P<signatures>(?:,v1=[0-9a-f]{64}){1,5})", re.ASCII)
MINIMUM_SECRET = 32


class BadSignature(Exception):  # noqa: N818 - an outcome
    """The delivery is not from who it says, or too old."""


def sign(secrets: Sequence[bytes], body: bytes, *, now: float | None = None) -> str:
    """Return the header for `body`, signed with every secret (during a rotation the old and the new one)."""
    seconds = int(time.time() if now is None else now)
    return f"t={seconds}" + "".join(f",v1={_digest(secret, seconds, body)}" for secret in secrets)


def verify(
    secrets: Sequence[bytes], body: bytes, header: str | None, *, tolerance: float = 300.0, now: float | None = None
) -> None:
    """Return if the header signs `body` with one of `secrets`.

    Raises:
        BadSignature: it does not, or its time is more than `tolerance` seconds away.
    """
    match = HEADER.fullmatch(header or "")
    if match is None:
        raise BadSignature
    seconds = int(match["time"])
    given = match["signatures"].split(",v1=")[1:]
    # Every pair is compared, so that time says nothing about which one fits.
    fits = [hmac.compare_digest(_digest(secret, seconds, body), one) for secret in secrets for one in given]
    if not any(fits) or abs((time.time() if now is None else now) - seconds) > tolerance:
        raise BadSignature


def _digest(secret: bytes, seconds: int, body: bytes) -> str:
    if len(secret) < MINIMUM_SECRET:
        raise ValueError(f"a webhook secret has at least {MINIMUM_SECRET} random bytes")
    return hmac.digest(secret, b"%d." % seconds + body, hashlib.sha256).hex()
