"""Where the servers for tests are, and what happens when one does not answer."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
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
        Service("redis", "TEST_REDIS_URL", "redis://127.0.0.1:6379/0"),
        Service("rabbitmq", "TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/"),
        Service("nats", "TEST_NATS_URL", "nats://127.0.0.1:4222"),
        Service("mosquitto", "TEST_MQTT_URL", "mqtt://127.0.0.1:1883"),
    )
}


def require(name: str) -> str:
    """Return the URL of a server that answers; skip the test, or fail it where services are required."""
    service = SERVICES[name]
    if service.answers():
        return service.url
    message = f"{name} does not answer at {service.url}; set {service.variable} to use another server"
    if os.environ.get(REQUIRE_VARIABLE):
        pytest.fail(message)
    pytest.skip(message)


def program(name: str, why: str) -> str:
    """Return the path of a program beyond Python; skip the test, or fail it where services are required."""
    path = shutil.which(name)
    if path:
        return path
    message = f"{name} is not on PATH: {why}"
    if os.environ.get(REQUIRE_VARIABLE):
        pytest.fail(message)
    pytest.skip(message)
