"""Proof of jwt_verify.py: every forgery that RFC 8725 names, key rotation, a key server that is away or hammered."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from jwt_verify import InvalidToken, KeySet, KeysUnavailable, SharedSecret, Verifier

PRIVATE, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


def public_jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


class Issuer:
    """A key server that counts how often it is asked and can be away."""

    def __init__(self) -> None:
        self.keys = [public_jwk(PRIVATE, "k1")]
        self.calls, self.away, self.now = 0, False, 0.0

    async def fetch(self) -> dict[str, Any]:
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise ConnectionError
        return {"keys": self.keys}

    def verifier(self) -> Verifier:
        keys = KeySet(self.fetch, algorithm="ES256", clock=lambda: self.now)
        return Verifier(keys, issuer="https://id.example", audience="api")


def token(key: Any = PRIVATE, *, kid: str = "k1", typ: str = "at+jwt", alg: str = "ES256", **claims: Any) -> str:
    now = int(time.time())
    payload = {"iss": "https://id.example", "aud": "api", "sub": "u1", "iat": now, "exp": now + 60, **claims}
    kept = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(kept, key, algorithm=alg, headers={"kid": kid, "typ": typ})


def test_a_good_token_is_accepted() -> None:
    assert asyncio.run(Issuer().verifier().verify(token()))["sub"] == "u1"
    assert asyncio.run(Issuer().verifier().verify(token(typ="application/at+jwt")))["sub"] == "u1"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"aud": "other"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"nbf": int(time.time()) + 86400},
    ],
)
def test_wrong_or_missing_claims_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        asyncio.run(Issuer().verifier().verify(token(**claims)))


def unsigned(header: dict[str, Any]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = jwt.decode(token(), options={"verify_signature": False})
    return f"{part(header)}.{part(claims)}."


PEM = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "forged",
    [
        token(OTHER),
        token(typ="JWT"),
        token(kid="unknown"),
        unsigned({"alg": "none", "typ": "at+jwt", "kid": "k1"}),
        unsigned({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}),
        token(base64.b64encode(PEM), alg="HS256"),
        token()[:-4] + "AAAA",
        "a.b.c",
        "",
        "x" * 10_000,
    ],
)
def test_forged_tokens_are_refused(forged: str) -> None:
    with pytest.raises(InvalidToken):
        asyncio.run(Issuer().verifier().verify(forged))


def test_keys_rotate_and_unknown_kids_cannot_hammer_the_issuer() -> None:
    async def run() -> None:
        issuer = Issuer()
        verifier = issuer.verifier()
        results = await asyncio.gather(*(verifier.verify(token()) for _ in range(100)))
        assert len(results) == 100
        assert issuer.calls == 1
        issuer.keys = [public_jwk(OTHER, "k2")]
        await asyncio.gather(*(verifier.verify(token(kid=f"x{n}")) for n in range(100)), return_exceptions=True)
        assert issuer.calls == 1
        issuer.now = 61
        assert await verifier.verify(token(OTHER, kid="k2"))
        with pytest.raises(InvalidToken):
            await verifier.verify(token())
        assert issuer.calls == 2

    asyncio.run(run())


def test_an_issuer_that_is_away_leaves_the_known_keys_in_force() -> None:
    async def run() -> None:
        issuer = Issuer()
        verifier = issuer.verifier()
        await verifier.verify(token())
        issuer.away, issuer.now = True, 1000
        assert await verifier.verify(token())
        for _ in range(2):
            with pytest.raises(KeysUnavailable):  # not the client's fault
                await verifier.verify(token(kid="unknown"))
        assert issuer.calls == 2
        issuer.away, issuer.now = False, 1100
        with pytest.raises(InvalidToken):
            await verifier.verify(token(kid="unknown"))

    asyncio.run(run())


def test_a_key_that_the_issuer_takes_back_is_refused_in_time() -> None:
    async def run() -> None:
        issuer = Issuer()
        verifier = issuer.verifier()
        await verifier.verify(token())
        issuer.keys, issuer.now = [public_jwk(OTHER, "k2")], 601
        with pytest.raises(InvalidToken):
            await verifier.verify(token())

    asyncio.run(run())


def test_a_service_can_verify_what_it_issues() -> None:
    secret = b"s" * 64
    own = Verifier(SharedSecret(secret), issuer="https://id.example", audience="api")
    assert asyncio.run(own.verify(token(secret, alg="HS256")))["sub"] == "u1"
    for forged in (token(b"t" * 64, alg="HS256"), token(secret, alg="HS256", typ="JWT"), token(secret, alg="HS512")):
        with pytest.raises(InvalidToken):
            asyncio.run(own.verify(forged))
    with pytest.raises(ValueError, match="32 bytes"):
        SharedSecret(b"short")


def test_tokens_without_a_type_are_accepted_only_where_that_is_said() -> None:
    keys = KeySet(Issuer().fetch, algorithm="ES256")
    untyped = Verifier(keys, issuer="https://id.example", audience="api", token_type=None)
    assert asyncio.run(untyped.verify(token(typ="JWT")))["sub"] == "u1"


def test_symmetric_keys_of_a_key_set_are_not_used() -> None:
    issuer = Issuer()
    secret = b"s" * 32
    issuer.keys = [{"kty": "oct", "k": base64.urlsafe_b64encode(secret).decode(), "kid": "k1"}]
    with pytest.raises(InvalidToken):
        asyncio.run(issuer.verifier().verify(token(secret, alg="HS256")))


@pytest.mark.parametrize(
    "broken",
    [{"kty": "EC", "crv": "P-256", "kid": "x"}, {"kty": "EC", "crv": "P-256", "kid": "x", "x": "?", "y": "?"}, "text"],
)
def test_a_broken_key_does_not_keep_the_others_out(broken: Any) -> None:
    issuer = Issuer()
    issuer.keys = [broken, *issuer.keys]
    assert asyncio.run(issuer.verifier().verify(token()))["sub"] == "u1"


@pytest.mark.parametrize("document", [{"error": "maintenance"}, ["keys"], {"keys": None}, None])
def test_an_answer_that_is_no_key_set_is_an_issuer_that_is_away(document: Any) -> None:
    async def fetch() -> Any:
        return document

    keys = KeySet(fetch, algorithm="ES256")
    with pytest.raises(KeysUnavailable):
        asyncio.run(Verifier(keys, issuer="https://id.example", audience="api").verify(token()))
