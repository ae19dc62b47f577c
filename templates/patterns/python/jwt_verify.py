"""JWT access tokens: verified with everything pinned, keys from a JWKS that rotates.

Guarantees: only tokens of the given algorithm, issuer, audience and type (`at+jwt`, RFC 9068) with exp, iat and sub
    are accepted; `none`, HMAC with a public key, missing exp and tokens of other audiences are refused; an unknown
    `kid` fetches the key set at most once in `refetch` seconds, however many requests ask; a key that the issuer
    takes back is refused `max_age` seconds later.
Needs: PyJWT[crypto] >= 2.10; `fetch` returns the JWKS document (over TLS, with a time-out, from a fixed URL: never
    from the token's `jku` or `x5u`).
Fails: `InvalidToken` (answer 401 with WWW-Authenticate: Bearer error="invalid_token"). Key sets that cannot be
    fetched leave the known keys in force; a token of another key is then `KeysUnavailable` (answer 503: with a 401
    the client would log its user out).
Fit: issuers that do not type their tokens (Auth0, Cognito, Entra): `token_type=None`. Tokens that you issue yourself:
    `SharedSecret`. Catch the two exceptions in one dependency or middleware and raise your own there.
Prove: pytest test_jwt_verify.py

RFC 8725 (best current practices), RFC 9068 (access tokens), RFC 7517 (key sets).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import jwt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

Algorithm = Literal["EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512", "PS256"]
KEY_TYPES = {"Ed": "OKP", "ES": "EC", "RS": "RSA", "PS": "RSA"}
LONGEST = 8192
SHORTEST_SECRET = 32


class InvalidToken(Exception):  # noqa: N818 - an outcome
    """The token is not one of ours; the reason is for the log, not for the client."""


class KeysUnavailable(Exception):  # noqa: N818
    """The key of the token is not known, and the issuer does not answer."""


class Keys(Protocol):
    """Where keys come from, and the one algorithm that they are for."""

    @property
    def algorithm(self) -> str:
        """The name that `alg` must have."""

    async def find(self, kid: str) -> Any:
        """Return the key called `kid`.

        Raises:
            InvalidToken: there is none.
            KeysUnavailable: that cannot be told now.
        """


class Verifier:
    """One instance for the process; `leeway` is in seconds.

    `token_type` may be None for issuers that do not type their tokens: then the audience alone keeps other tokens out.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str,
        audience: str,
        token_type: str | None = "at+jwt",  # noqa: S107 - a type, not a secret
        leeway: float = 30.0,
    ) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience
        self._type, self._leeway = token_type, leeway

    async def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid token.

        Raises:
            InvalidToken: it is not valid.
            KeysUnavailable: its key cannot be had now.
        """
        try:
            if len(token) > LONGEST:
                raise InvalidToken("too long")
            header = jwt.get_unverified_header(token)
            given = str(header.get("typ", "")).lower().removeprefix("application/")
            if self._type is not None and given != self._type:
                raise InvalidToken("type")
            if header.get("alg") != self._keys.algorithm or "crit" in header:
                raise InvalidToken("algorithm or critical header")
            return dict(
                jwt.decode(
                    token,
                    await self._keys.find(str(header.get("kid", ""))),
                    algorithms=[self._keys.algorithm],
                    issuer=self._issuer,
                    audience=self._audience,
                    leeway=self._leeway,
                    options={"require": ["exp", "iat", "iss", "aud", "sub"]},
                )
            )
        except (jwt.PyJWTError, UnicodeError) as error:
            raise InvalidToken(str(error)) from error


class KeySet:
    """The keys that an issuer publishes (RFC 7517); `refetch` and `max_age` are seconds."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        algorithm: Algorithm,
        refetch: float = 60.0,
        max_age: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.algorithm = algorithm
        self._fetch, self._refetch, self._max_age, self._clock = fetch, refetch, max_age, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._away = False
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> jwt.PyJWK:
        """Return the key called `kid`, fetching the set where that may help."""
        if kid not in self._keys or self._is_due(kid):
            async with self._lock:
                if self._is_due(kid):
                    self._fetched_at = self._clock()
                    await self._load()
        if kid not in self._keys:
            raise KeysUnavailable("the key set cannot be fetched") if self._away else InvalidToken("unknown key")
        return self._keys[kid]

    def _is_due(self, kid: str) -> bool:
        return self._clock() - self._fetched_at >= (self._max_age if kid in self._keys else self._refetch)

    async def _load(self) -> None:
        try:
            published = [key for key in (await self._fetch())["keys"] if isinstance(key, dict)]
        except Exception:  # noqa: BLE001 - whatever the fetch raises or returns, the known keys stay in force
            self._away = True
            return
        self._away = False
        # Symmetric and foreign keys are left out: they would let their readers sign.
        usable = [
            key
            for key in published
            if key.get("kty") == KEY_TYPES[self.algorithm[:2]]
            and key.get("use", "sig") == "sig"
            and key.get("alg", self.algorithm) == self.algorithm
            and key.get("kid")
        ]
        keys = {}
        for key in usable:
            # One that is broken, or of another curve, must not keep the others out (RFC 7517, section 5).
            with contextlib.suppress(jwt.PyJWTError, ValueError):
                keys[key["kid"]] = jwt.PyJWK(key, algorithm=self.algorithm)
        self._keys = keys


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """One key to sign and to verify with, for a service that issues its own tokens: whoever can verify can sign."""

    secret: bytes = field(repr=False)
    algorithm: Literal["HS256"] = "HS256"

    def __post_init__(self) -> None:
        if len(self.secret) < SHORTEST_SECRET:
            raise ValueError(f"a secret for HS256 has at least {SHORTEST_SECRET} bytes (RFC 7518, section 3.2)")

    async def find(self, kid: str) -> bytes:  # noqa: ARG002 - there is one key
        """Return the secret."""
        return self.secret
