"""Who calls, and may they: bearer tokens verified with everything pinned (RFC 8725), and roles."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from math import ceil
from typing import Any, cast
from uuid import UUID

import jwt
from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from app import service
from app.calls import Call, Caller
from app.columns import now
from app.config import Settings
from app.errors import ApiError
from app.patterns.jwt_verify import InvalidToken, KeySet, KeysUnavailable, SharedSecret, Verifier
from app.ratelimit import Limiter

Roles = frozenset[str]
FindRoles = Callable[[UUID], Awaitable[Roles | None]]
LEEWAY_SECONDS = 5
MAX_SUBJECT = 255
MAX_CACHED = 10_000
JWKS_REFRESH_SECONDS = 30.0
JWKS_MAX_AGE_SECONDS = 300.0
JWT_TYPE = "at+jwt"


def verifier(settings: Settings) -> Verifier:
    """Return what verifies tokens: with the issuer's keys, or with the secret.

    Few issuers type their access tokens, so only our own must be: elsewhere the audience keeps other tokens out.
    """
    issuer, audience = settings.jwt_issuer, settings.jwt_audience
    token_type = JWT_TYPE if service.ISSUES_TOKENS else None
    if settings.jwt_jwks_url is None:
        secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else ""
        shared = SharedSecret(secret.encode())
        return Verifier(shared, issuer=issuer, audience=audience, token_type=token_type, leeway=LEEWAY_SECONDS)
    client = jwt.PyJWKClient(settings.jwt_jwks_url, cache_jwk_set=False, timeout=5)

    async def fetch() -> dict[str, Any]:
        return cast("dict[str, Any]", await asyncio.to_thread(client.fetch_data))

    keys = KeySet(fetch, algorithm=settings.jwt_algorithm, refetch=JWKS_REFRESH_SECONDS, max_age=JWKS_MAX_AGE_SECONDS)
    return Verifier(keys, issuer=issuer, audience=audience, token_type=token_type, leeway=LEEWAY_SECONDS)


class Authenticator:
    """Turns a bearer token into a caller; `find_roles` looks the account up where accounts are kept here."""

    def __init__(self, settings: Settings, find_roles: FindRoles | None) -> None:
        self._settings, self._find_roles = settings, find_roles
        self._verifier = verifier(settings)
        self._claims: dict[str, dict[str, Any]] = {}
        self._accounts: dict[UUID, tuple[float, Roles | None]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """Return who sent the Authorization header.

        Raises:
            ApiError: 401, without saying which part of the token was wrong.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthenticated()
        claims = await self._verified(token.strip())
        subject = claims["sub"]
        account = _uuid(subject)
        if self._find_roles is None:
            return Caller(subject, _roles_claim(claims), account)
        roles = None if account is None else await self._roles_of(account, self._find_roles)
        if roles is None:
            raise unauthenticated("invalid_token")
        return Caller(subject, roles, account)

    def forget(self, account: UUID) -> None:
        """Look the account up again on its next call: its roles changed, or it is gone."""
        self._accounts.pop(account, None)

    async def _verified(self, token: str) -> dict[str, Any]:
        claims = self._claims.get(token)
        if claims is None:
            try:
                claims = await self._verifier.verify(token)
            except KeysUnavailable as error:
                raise ApiError(503, "The issuer's keys cannot be had now", headers={"Retry-After": "5"}) from error
            except InvalidToken as error:
                raise unauthenticated("invalid_token") from error
            subject = claims["sub"]
            if not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
                raise unauthenticated("invalid_token")
            if len(self._claims) >= MAX_CACHED:
                self._claims.clear()
            self._claims[token] = claims
        elif claims["exp"] + LEEWAY_SECONDS <= time.time():
            del self._claims[token]
            raise unauthenticated("invalid_token")
        return claims

    async def _roles_of(self, account: UUID, find_roles: FindRoles) -> Roles | None:
        known = self._accounts.get(account)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        roles = await find_roles(account)
        if len(self._accounts) >= MAX_CACHED:
            self._accounts.clear()
        self._accounts[account] = (time.monotonic() + self._settings.account_cache_seconds, roles)
        return roles


class Guard(SecurityBase):
    """The dependency of every protected route: it gives a `Call`, or answers 401, 403 or 429.

    With `roles`, the caller must have one of them; one of `see_all` lifts the limit to one's own account.
    """

    def __init__(self, *roles: str, see_all: tuple[str, ...] = ()) -> None:
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = "bearerAuth"
        self.roles, self.see_all = frozenset(roles), frozenset(see_all)

    async def __call__(self, request: Request) -> Call:
        """Return the call."""
        state = request.app.state
        authenticator: Authenticator = state.authenticator
        try:
            caller = await authenticator.caller(request.headers.get("authorization"))
        except ApiError:
            await limit(request, f"refused:{client(request)}", state.settings.rate_limit_per_minute)
            raise
        request.scope["subject"] = caller.subject
        await limit(request, f"caller:{caller.subject}", state.settings.rate_limit_per_minute)
        if self.roles and not self.roles & caller.roles:
            raise ApiError(403, f"This takes one of the roles {', '.join(sorted(self.roles))}")
        return Call(request, caller, not self.see_all.isdisjoint(caller.roles))


async def limit(request: Request, key: str, per_minute: int) -> None:
    """Count one call under `key`.

    Raises:
        ApiError: 429, there were too many.
    """
    limiter: Limiter = request.app.state.limiter
    seconds = await limiter.wait(key, per_minute)
    if seconds > 0:
        raise ApiError(429, "Too many requests", headers={"Retry-After": str(ceil(seconds))})


def client(request: Request) -> str:
    """Return the address of the client; behind a proxy set FORWARDED_ALLOW_IPS so that it is the client's."""
    return request.client.host if request.client else "unknown"


def unauthenticated(error: str | None = None) -> ApiError:
    """Return the answer to a call without a valid token (RFC 6750)."""
    challenge = "Bearer" if error is None else f'Bearer error="{error}"'
    return ApiError(401, "A valid bearer token is required", headers={"WWW-Authenticate": challenge})


def access_token(settings: Settings, subject: str, roles: Roles = frozenset()) -> str:
    """Return a signed token; `roles` are only put in where no account holds them."""
    time_now = now()
    claims: dict[str, Any] = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": subject,
        "iat": time_now,
        "exp": time_now + timedelta(seconds=settings.access_token_seconds),
    }
    if roles:
        claims["roles"] = sorted(roles)
    if settings.jwt_secret is None:
        raise ValueError("tokens come from elsewhere: JWT_JWKS_URL is set")
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), algorithm="HS256", headers={"typ": JWT_TYPE})


def _roles_claim(claims: dict[str, Any]) -> Roles:
    roles = claims.get("roles", [])
    return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else frozenset()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
