"""Where the servers for tests are, and what happens when one does not answer."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

REQUIRE_VARIABLE = "SENIOR_BACKEND_REQUIRE_SERVICES"


@dataclass(frozen=True)
class Service:
    """A server that tests may use; `variable` overrides `default_url`."""

    name: str
    variable: str
    default_url: str

    @property
    def url(self) -> str:
        return os.environ.get(self.variable, self.default_url)

    def answers(self) -> bool:
        """Whether something accepts connections at the address."""
        parts = urlsplit(self.url)
        try:
            socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 0), timeout=2).close()
        except OSError:
            return False
        return True


SERVICES = {
    service.name: service
    for service in (
        Service("postgresql", "TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
        Service("mariadb", "TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306/test"),
        Service("mysql", "TEST_MYSQL_URL", "mysql://root@127.0.0.1:33306/"),
        Service("redis", "TEST_REDIS_URL", "redis://127.0.0.1:6379/0"),
        Service("rabbitmq", "TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/"),
        Service("nats", "TEST_NATS_URL", "nats://127.0.0.1:4222"),
        Service("mosquitto", "TEST_MQTT_URL", "mqtt://127.0.0.1:1883"),
    )
}


def require(name: str) -> str:
    """Return the URL of a server that answers; skip the test, or fail it where services are required."""
    service = SERVICES[name]
    if not service.answers():
        missing(f"{name} does not answer at {service.url}; set {service.variable} to use another server")
    return service.url


def program(name: str, why: str, path: str | None = None) -> str:
    """Return the path of a program beyond Python; skip the test, or fail it where services are required."""
    found = shutil.which(name, path=path)
    if not found:
        missing(f"{name} is not installed or not on PATH: {why}")
    return found


def missing(message: str) -> NoReturn:
    """Skip the test because the machine lacks something, or fail it where services are required."""
    if os.environ.get(REQUIRE_VARIABLE):
        pytest.fail(message)
    pytest.skip(message)
