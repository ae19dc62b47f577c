"""SCRAM (RFC 5802, RFC 7677), client side, as PostgreSQL, MongoDB and Kafka use it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from senior_backend.health.steps import Failure

MAX_ITERATIONS = 100_000
"""A server chooses how long the client computes, and the loop stands still meanwhile: this many take some 50 ms."""


@dataclass(slots=True)
class Scram:
    """One login; `digest` is sha1, sha256 or sha512."""

    user: str
    password: str
    digest: str = "sha256"
    nonce: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(18)).decode())
    _bare: str = ""
    _expected: bytes = b""

    def first(self) -> bytes:
        """Return the client's first message, without channel binding."""
        name = self.user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self.nonce}"
        return f"n,,{self._bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Return the proof that answers the server's challenge.

        Raises:
            Failure: the challenge is not one.
        """
        values = _values(server_first)
        nonce, iterations = values.get("r", ""), int(values.get("i", "0"))
        if not nonce.startswith(self.nonce) or not 1 <= iterations <= MAX_ITERATIONS:
            raise Failure("protocol_mismatch", "the server's SCRAM challenge is not valid")
        salted = hashlib.pbkdf2_hmac(self.digest, self.password.encode(), base64.b64decode(values["s"]), iterations)
        client_key = hmac.digest(salted, b"Client Key", self.digest)
        without_proof = f"c=biws,r={nonce}"
        message = f"{self._bare},{server_first.decode()},{without_proof}".encode()
        stored = hashlib.new(self.digest, client_key).digest()
        signature = hmac.digest(stored, message, self.digest)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._expected = hmac.digest(hmac.digest(salted, b"Server Key", self.digest), message, self.digest)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final: bytes) -> None:
        """Check that the server knows the password too.

        Raises:
            Failure: it does not, or says that the login failed.
        """
        values = _values(server_final)
        if "e" in values:
            raise Failure("auth_failed", values["e"])
        if not hmac.compare_digest(base64.b64decode(values.get("v", "")), self._expected):
            raise Failure("auth_failed", "the server's own proof is wrong: it does not know the password")


def _values(message: bytes) -> dict[str, str]:
    return dict(part.split("=", 1) for part in message.decode().split(",") if "=" in part)
