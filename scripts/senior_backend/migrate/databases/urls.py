"""Database URLs: what they mean, and how they are shown without their secrets."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from senior_backend.console.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from senior_backend.migrate.statements import Engine

SCHEMES: dict[str, Engine] = {
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
}
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is. `path` is SQLite's file, None for a database in memory; `text` is the URL itself."""

    engine: Engine
    text: str = field(repr=False)
    path: Path | None = None
    host: str = ""
    port: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The address as messages show it: no password, no parameters."""
        if self.engine == "sqlite":
            return f"sqlite:{self.path or ':memory:'}"
        account = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port and not self.host.startswith("/") else ""
        return f"{self.engine}://{account}{self.host or 'localhost'}{port}/{self.database}"

    @property
    def local(self) -> bool:
        """Whether the database is on this machine: a file, a socket or a loopback address."""
        if self.engine == "sqlite" or not self.host or self.host.startswith(("/", "@")):
            return True
        if self.host.lower() in ("localhost", "localhost.localdomain"):
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def parse_url(text: str) -> Address:
    """Return the address that a URL names.

    SQLite: `sqlite:relative/path`, `sqlite:///relative/path` and `sqlite:////absolute/path` (SQLAlchemy's forms),
    `sqlite:/absolute/path`, `sqlite::memory:`. A driver behind a plus sign (`postgresql+psycopg`) is ignored.

    Raises:
        InputError: the URL is not understood.
    """
    scheme, colon, rest = text.strip().partition(":")
    plain = scheme.lower().partition("+")[0]
    if not colon or plain not in SCHEMES:
        problem = f"unknown database scheme '{scheme}'" if colon else "this is no database URL"
        raise _wrong(problem + did_you_mean(plain, SCHEMES))
    engine = SCHEMES[plain]
    if engine == "sqlite":
        return _sqlite(text, rest)
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise _wrong(f"the database URL is malformed: {error}") from error
    if not rest.startswith("//"):
        raise _wrong("the database URL lacks // behind its scheme")
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    host = unquote(parts.hostname or "") or parameters.get("host", parameters.get("socket", ""))
    database = unquote(parts.path.lstrip("/")) or parameters.get("dbname", "")
    if not database:
        raise _wrong("the database URL names no database")
    return Address(
        engine,
        text.strip(),
        host=host,
        port=port or int(PORTS[engine]),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        database=database,
        parameters=parameters,
    )


def _sqlite(text: str, rest: str) -> Address:
    path = rest.partition("?")[0]
    if path.startswith("///"):
        path = path[3:]
    elif path.startswith("//"):
        path = path[2:]
    path = unquote(path)
    if not path:
        raise _wrong("the database URL names no file")
    return Address("sqlite", text, path=None if path == ":memory:" else Path(path), database=path)


def _wrong(message: str) -> InputError:
    return InputError(
        message,
        code="bad-database-url",
        hint="Write sqlite:PATH, postgresql://USER:PASSWORD@HOST:PORT/NAME or mysql://USER:PASSWORD@HOST:PORT/NAME, "
        "with special characters percent-encoded, in --database-url or DATABASE_URL.",
    )
