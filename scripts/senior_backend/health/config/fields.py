"""The keys that every service has, whatever its type."""

from __future__ import annotations

from senior_backend.health.config.values import (
    BOOLEAN,
    DURATION,
    PORT,
    TEXT,
    TEXTS,
    WORD,
    Field,
    Kind,
    integer,
)

TOP_KEYS = ("services", "defaults", "allow_addresses")
_MAP = Kind(lambda _, node: node, {"type": "object"})

COMMON: tuple[Field, ...] = (
    Field("name", TEXT, "Unique name: letters, digits, dot, dash, underscore."),
    Field("type", WORD, "Type of check; follows from the scheme of `url`."),
    Field("url", TEXT, "Address, such as https://host/health or postgresql://user@host/db."),
    Field("host", TEXT, "Name or address, instead of `url`."),
    Field("port", PORT, "Port, where it is not the type's own."),
    Field("timeout", DURATION, "Longest time for the whole check, retry included (default 5s)."),
    Field("interval", DURATION, "Time between checks with --watch (default 30s)."),
    Field("retries", integer(0, 10), "Repetitions after a transport failure (default 1)."),
    Field("critical", BOOLEAN, "false: shown, but a failure does not fail the run (default true)."),
    Field(
        "every_address",
        BOOLEAN,
        "false: one working address of the name is enough; by default each is checked, and "
        "one that fails makes the service degraded.",
    ),
    Field("depends_on", TEXTS, "Names of the services that this one needs."),
    Field("tags", TEXTS, "Words for --only."),
    Field("description", TEXT, "A line for people."),
    Field("expect", _MAP, "What must hold, else the service is down."),
    Field("degraded", _MAP, "What should hold, else the service is degraded."),
    Field("tls", _MAP, "false, true, or: ca, cert, key, server_name, insecure."),
    Field("auth", _MAP, "user and password, or bearer."),
)
READ_HERE = {field.name: field for field in COMMON if field.name not in ("name", "type", "url")}
DEFAULTS = ("timeout", "interval", "retries", "critical", "every_address", "tags", "tls", "degraded", "headers")
TLS_KEYS = ("ca", "cert", "key", "server_name", "insecure")
AUTH_KEYS = ("user", "password", "bearer")

BETTER_THAN_TCP = {
    3306: "mysql",
    5432: "postgresql",
    6379: "redis",
    5672: "amqp",
    4222: "nats",
    9092: "kafka",
    27017: "mongodb",
    22: "ssh",
    1883: "mqtt",
}
