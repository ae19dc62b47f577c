"""Short ways to check things in tests."""

from __future__ import annotations

import json
from typing import Any

from senior_backend.health.check import Checker, Pass
from senior_backend.health.config.load import read
from senior_backend.health.engine import Engine
from senior_backend.health.model import Configuration, Result
from senior_backend.health.resolver import Getaddrinfo, system_getaddrinfo
from senior_backend.health.security import AddressPolicy


def configured(*services: dict[str, Any], environment: dict[str, str] | None = None, **top: Any) -> Configuration:
    """Return the configuration of these services, read as JSON."""
    text = json.dumps({**top, "services": list(services)})
    return read(text, "services.json", ".json", environment or {})[0]


def check(
    *services: dict[str, Any], getaddrinfo: Getaddrinfo = system_getaddrinfo, **options: Any
) -> dict[str, Result]:
    """Check services and return the results by name."""
    return {result.service.name: result for result in passed(*services, getaddrinfo=getaddrinfo, **options).results}


def passed(
    *services: dict[str, Any],
    getaddrinfo: Getaddrinfo = system_getaddrinfo,
    concurrency: int = 64,
    until: float | None = None,
    **top: Any,
) -> Pass:
    """Return one pass over services."""
    configuration = configured(*services, **top)
    engine = Engine(AddressPolicy(configuration.allow_addresses), getaddrinfo=getaddrinfo)
    return Checker(engine, concurrency=concurrency).check(configuration.services, until=until)


def one(service: dict[str, Any], **options: Any) -> Result:
    """Return the result of one service."""
    return check({**service, "name": "s"}, **options)["s"]
