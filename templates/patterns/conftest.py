"""Which server each pattern's proof needs; the proofs themselves know nothing of this file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import services

VARIABLES = {
    "DATABASE_URL": "postgresql",
    "pg_proof": "postgresql",
    "REDIS_URL": "redis",
    "RABBITMQ_URL": "rabbitmq",
    "NATS_URL": "nats",
}

for variable, name in VARIABLES.items():
    if variable.isupper():
        os.environ[variable] = services.SERVICES[name].url


@pytest.fixture(autouse=True)
def _server(request: pytest.FixtureRequest) -> None:
    text = Path(request.path).read_text(encoding="utf-8")
    for name in {name for variable, name in VARIABLES.items() if variable in text}:
        services.require(name)
