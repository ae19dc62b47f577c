"""What the generated service shares with others: rate limits in Redis, and keys of a token issuer."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests import services

if TYPE_CHECKING:
    from tests.scaffold_fastapi.conftest import Project

LIMITS = """
import asyncio, json, sys
from app.ratelimit import Limiter

async def main():
    shared = [Limiter(sys.argv[1]) for _ in range(4)]
    waits = await asyncio.gather(*(shared[n % 4].wait(sys.argv[2], 10) for n in range(60)))
    away = Limiter("redis://127.0.0.1:1/0")
    alone = [await away.wait("x", 10) for _ in range(30)]
    for limiter in (*shared, away):
        await limiter.close()
    print("RESULT", json.dumps({"shared": waits, "alone": alone}))

asyncio.run(main())
"""
KEYS = """
import asyncio, http.server, json, threading, time
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from app.auth import Authenticator
from app.config import Settings
from app.errors import ApiError

own, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
fetches, answering = 0, True

class Issuer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global fetches
        fetches += 1
        key = {**ECAlgorithm.to_jwk(own.public_key(), as_dict=True), "kid": "k1", "use": "sig", "alg": "ES256"}
        body = json.dumps({"keys": [key]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

def token(key=own, kid="k1", algorithm="ES256", **changes):
    now = int(time.time())
    claims = {"iss": "issuer", "aud": "api", "sub": "u1", "iat": now, "exp": now + 60, **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm, headers={"kid": kid})

async def status(authenticator, text):
    try:
        return (await authenticator.caller(f"bearer {text}")).subject
    except ApiError as error:
        return error.status_code

async def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = Settings(_env_file=None, jwt_jwks_url=f"http://127.0.0.1:{server.server_port}/", jwt_algorithm="ES256",
                        jwt_issuer="issuer", jwt_audience="api")
    guard = Authenticator(settings, None)
    good = await asyncio.gather(*(status(guard, token(jti=str(n))) for n in range(50)))
    bad = [await status(guard, text) for text in (
        token(other), token(exp=int(time.time()) - 60), token(exp=None), token(aud="other"), token(iss="other"),
        token("s" * 32, algorithm="HS256"), token()[:-4] + "AAAA", "a.b.c", "",
    )]
    before = fetches
    flood = [await status(guard, token(kid=f"x{n}")) for n in range(50)]
    print("RESULT", json.dumps({"good": good, "bad": bad, "flood": flood, "fetches": [before, fetches]}))

asyncio.run(main())
"""


def result(output: str) -> dict[str, Any]:
    """Return the document behind RESULT; the service's own log lines stand on the same stream."""
    document = json.loads(
        next(line for line in output.splitlines() if line.startswith("RESULT ")).removeprefix("RESULT ")
    )
    assert isinstance(document, dict)
    return document


@pytest.mark.timing  # Redis has a second to answer: on a busy machine a process counts for itself, as it should
def test_processes_share_their_limit_in_redis_and_count_alone_without_it(plain: Project) -> None:
    key = f"test:{secrets.token_hex(8)}"
    found = result(plain.run("-c", LIMITS, services.require("redis"), key).stdout)
    assert found["shared"].count(0) == 10, "ten a minute, over four processes and sixty calls at once"
    assert all(0 < wait <= 60 for wait in found["shared"] if wait)
    assert found["alone"].count(0) == 10


def test_tokens_of_an_issuer_are_verified_with_its_keys(plain: Project) -> None:
    found = result(plain.run("-c", KEYS).stdout)
    assert found["good"] == ["u1"] * 50
    assert set(found["bad"]) == {401}
    assert set(found["flood"]) == {401}
    assert found["fetches"][1] - found["fetches"][0] <= 1, "made-up key ids must not become fetches"
