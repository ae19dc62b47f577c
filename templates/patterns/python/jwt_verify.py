"""JWT access tokens: verified with everything pinned, keys from a JWKS that rotates.

Guarantees: only tokens of the given algorithm, issuer, audience and type (`at+jwt`, RFC 9068) with exp, iat and sub
    are accepted; `none`, HMAC with a public key, missing exp and tokens of other audiences are refused; an unknown
    `kid` fetches the key set at most once in `refetch` seconds, however many requests ask.
Needs: PyJWT[crypto] >= 2.10; `fetch` returns the JWKS document (over TLS, with a time-out, from a fixed URL: never
    from the token's `jku` or `x5u`).
Fails: `InvalidToken` (answer 401 with WWW-Authenticate: Bearer error="invalid_token"). Key sets that cannot be
    fetched leave the known keys in force.
Prove: pytest test_jwt_verify.py

RFC 8725 (best current practices), RFC 9068 (access tokens), RFC 7517 (key sets).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal

import jwt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

Algorithm = Literal["EdDSA", "ES256", "RS256", "PS256"]
KEY_TYPES = {"EdDSA": "OKP", "ES256": "EC", "RS256": "RSA", "PS256": "RSA"}
LONGEST = 8192


class InvalidToken(Exception):  # noqa: N818 - an outcome
    """The token is not one of ours; the reason is for the log, not for the client."""


class Verifier:
    """One instance for the process; `leeway` and `refetch` are seconds."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        issuer: str,
        audience: str,
        algorithm: Algorithm,
        token_type: str = "at+jwt",  # noqa: S107 - a type, not a secret
        leeway: float = 30.0,
        refetch: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._issuer, self._audience, self._algorithm = fetch, issuer, audience, algorithm
        self._type, self._leeway, self._refetch, self._clock = token_type, leeway, refetch, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid token.

        Raises:
            InvalidToken: it is not valid.
        """
        try:
            if len(token) > LONGEST:
                raise InvalidToken("too long")
            header = jwt.get_unverified_header(token)
            if str(header.get("typ", "")).lower().removeprefix("application/") != self._type:
                raise InvalidToken("type")
            if header.get("alg") != self._algorithm or "crit" in header:
                raise InvalidToken("algorithm or critical header")
            key = await self._key(str(header.get("kid", "")))
            return dict(
                jwt.decode(
                    token,
                    key,
                    algorithms=[self._algorithm],
                    issuer=self._issuer,
                    audience=self._audience,
                    leeway=self._leeway,
                    options={"require": ["exp", "iat", "iss", "aud", "sub"]},
                )
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(str(error)) from error

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys:
            async with self._lock:
                if kid not in self._keys and self._clock() - self._fetched_at >= self._refetch:
                    self._fetched_at = self._clock()
                    await self._load()
        try:
            return self._keys[kid]
        except KeyError:
            raise InvalidToken("unknown key") from None

    async def _load(self) -> None:
        try:
            document = await self._fetch()
        except Exception:  # noqa: BLE001 - whatever the fetch raises, the known keys stay in force
            return
        # Symmetric and foreign keys are left out: they would let their readers sign.
        usable = [
            key
            for key in document.get("keys", [])
            if key.get("kty") == KEY_TYPES[self._algorithm]
            and key.get("use", "sig") == "sig"
            and key.get("alg", self._algorithm) == self._algorithm
            and key.get("kid")
        ]
        self._keys = {key["kid"]: jwt.PyJWK(key, algorithm=self._algorithm) for key in usable}
