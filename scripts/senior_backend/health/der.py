"""DER, as far as certificates and public keys need it (ITU-T X.690)."""

from __future__ import annotations


def element(der: bytes, at: int) -> tuple[int, int, int]:
    """Return tag, start and end of the DER element at `at`."""
    tag, length, at = der[at], der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        length, at = int.from_bytes(der[at : at + octets], "big"), at + octets
    return tag, at, at + length
