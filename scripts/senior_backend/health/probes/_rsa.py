"""RSA-OAEP encryption with SHA-1 (RFC 8017, section 7.1.1), as MySQL asks for a password without TLS."""

from __future__ import annotations

import base64
import hashlib
import secrets

from senior_backend.health.der import element

_HASH = 20
"""Bytes of a SHA-1 digest."""
_LARGEST_KEY = 16384
"""Bits; a server chooses its key, and the loop stands still while this one is used."""


def public_key(pem: bytes) -> tuple[int, int]:
    """Return modulus and exponent of a PEM SubjectPublicKeyInfo (RFC 5280, section 4.1; RFC 8017, appendix A.1.1).

    Raises:
        ValueError: the bytes are not such a key.
    """
    lines = [line for line in pem.strip(b"\0\n ").split(b"\n") if not line.startswith(b"-----")]
    der = base64.b64decode(b"".join(lines), validate=True)
    _, at, _ = element(der, 0)
    _, _, at = element(der, at)  # the algorithm
    _, at, _ = element(der, at)
    _, at, _ = element(der, at + 1)  # behind the count of unused bits
    _, start, end = element(der, at)
    modulus = int.from_bytes(der[start:end], "big")
    _, start, end = element(der, end)
    exponent = int.from_bytes(der[start:end], "big")
    if not 512 <= modulus.bit_length() <= _LARGEST_KEY or not 3 <= exponent < 1 << 32:
        raise ValueError("not a usable RSA key")
    return modulus, exponent


def encrypt(message: bytes, key: tuple[int, int], seed: bytes | None = None) -> bytes:
    """Return `message` encrypted for the owner of `key`; `seed` is for tests.

    Raises:
        ValueError: the message is too long for the key.
    """
    modulus, exponent = key
    size = (modulus.bit_length() + 7) // 8
    padding = size - len(message) - 2 * _HASH - 2
    if padding < 0:
        raise ValueError("the message is too long for the key")
    block = hashlib.sha1(b"", usedforsecurity=False).digest() + b"\0" * padding + b"\1" + message
    seed = seed or secrets.token_bytes(_HASH)
    masked = _xor(block, _mask(seed, len(block)))
    encoded = _xor(seed, _mask(masked, _HASH)) + masked
    return pow(int.from_bytes(encoded, "big"), exponent, modulus).to_bytes(size, "big")


def _mask(seed: bytes, length: int) -> bytes:
    blocks = range((length + _HASH - 1) // _HASH)
    digests = (hashlib.sha1(seed + number.to_bytes(4, "big"), usedforsecurity=False).digest() for number in blocks)
    return b"".join(digests)[:length]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
