"""The fourth front door: an existing database, by URL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from senior_backend.console import environment
from senior_backend.console.errors import InputError, did_you_mean
from senior_backend.scaffold.sources import tables

if TYPE_CHECKING:
    from senior_backend.console.report import Finding
    from senior_backend.scaffold.drafts import ResourceDraft

SCHEMES: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
DRIVERS: Final = {"postgresql": "psycopg", "mysql": "pymysql"}


def read_database(url: str) -> tuple[str, list[ResourceDraft], list[Finding]]:
    """Return a name for the service, the resources that the tables make, and what is lost.

    Raises:
        InputError: the URL names no database that can be read.
        UnavailableError: the database cannot be reached.
    """
    scheme, separator, rest = url.partition("://")
    plain = scheme.partition("+")[0].lower()
    if not separator:
        if re.search(r"\.(db|sqlite3?)$", url, re.IGNORECASE):
            plain, rest = "sqlite", "/" + url
        else:
            raise _unknown("--from-db needs a URL")
    engine = SCHEMES.get(plain)
    if engine is None:
        raise _unknown(f"unknown database '{plain}'{did_you_mean(plain, SCHEMES)}")
    if engine == "sqlite":
        from senior_backend.scaffold.sources import sqlite

        path = unquote(rest.partition("?")[0]).removeprefix("/")
        found = sqlite.read_tables(path)
        name = re.sub(r"\.\w+$", "", path.rpartition("/")[2])
    else:
        try:
            parts = urlsplit(f"{engine}://{rest}")
            _ = parts.port
        except ValueError as error:
            raise InputError(
                f"not a URL: {error}", code="bad-url", where="--from-db", hint="postgresql://USER@HOST:5432/DATABASE"
            ) from None
        environment.ensure("scaffold", [DRIVERS[engine]])
        shown = masked(f"{engine}://{rest}")
        if engine == "postgresql":
            from senior_backend.scaffold.sources import postgresql

            found = postgresql.read_tables(f"{engine}://{rest}", shown)
        else:
            from senior_backend.scaffold.sources import mysql

            found = mysql.read_tables(f"{engine}://{rest}", shown)
        name = parts.path.strip("/")
    drafts, findings = tables.to_drafts(found)
    return name, drafts, findings


def masked(url: str) -> str:
    """Return the URL with its password hidden, wherever it stands."""
    url = re.sub(r"://([^/:@]*):.*@", r"://\1:***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", url)


def _unknown(message: str) -> InputError:
    return InputError(
        message,
        code="bad-url",
        where="--from-db",
        hint="For example sqlite:///shop.db, postgresql://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE.",
    )
