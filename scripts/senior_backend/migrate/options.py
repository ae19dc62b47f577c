"""Options that several sub-commands share, and what they mean together. Light: loaded for `--help`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from senior_backend.migrate.statements import Engine

DEFAULT_FOLDER = Path("db/migrations")
ENGINES: tuple[Engine, ...] = ("postgresql", "mysql", "mariadb", "sqlite")
DEFAULT_URL = "sqlite:db/database.sqlite3"
URL_VARIABLE = "DATABASE_URL"


def add_folder_option(parser: argparse.ArgumentParser) -> None:
    """Add `--migrations-dir`."""
    parser.add_argument(
        "-d",
        "--migrations-dir",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help=f"folder of migrations (default {DEFAULT_FOLDER})",
    )


def add_url_option(parser: argparse.ArgumentParser) -> None:
    """Add `--database-url`."""
    parser.add_argument(
        "--database-url",
        metavar="URL",
        help=f"sqlite:PATH, postgresql://… or mysql://… (default ${URL_VARIABLE}, else {DEFAULT_URL})",
    )


def add_engine_option(parser: argparse.ArgumentParser) -> None:
    """Add `--engine`."""
    parser.add_argument("--engine", choices=ENGINES, help="the engine, where no database is at hand")


def database_url(options: argparse.Namespace) -> str:
    """Return the URL of the database that the call names."""
    return str(options.database_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL)


def engine_of(options: argparse.Namespace) -> Engine:
    """Return the engine that the call names: `--engine`, else that of the database's URL.

    `mysql://` cannot tell MySQL from MariaDB; a live connection can.

    Raises:
        InputError: the URL is not understood.
    """
    from senior_backend.migrate.databases.urls import parse_url

    named: Engine | None = options.engine
    return named or parse_url(database_url(options)).engine


def positive(text: str) -> int:
    """Return a whole number above zero.

    Raises:
        ValueError: it is none.
    """
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def seconds(text: str) -> float:
    """Return a number of seconds from `2`, `2s`, `500ms` or `1.5m`.

    Raises:
        ValueError: it is no duration.
    """
    for suffix, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("", 1.0)):
        if text.endswith(suffix):
            value = float(text.removesuffix(suffix) if suffix else text) * factor
            if not 0 <= value < 1e6:
                raise ValueError
            return value
    raise ValueError


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what `up` and `down` share: the token and the limits."""
    parser.add_argument("--token", metavar="TOKEN", help="the token that `plan` printed for this plan and database")
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--lock-timeout", type=seconds, default=2.0, metavar="TIME",
        help="longest wait for a lock, and so the longest that others wait behind it (default 2s)",
    )  # fmt: skip
    limits.add_argument(
        "--lock-retries", type=positive, default=30, metavar="N", help="how often to try against locks (default 30)"
    )
    limits.add_argument(
        "--statement-timeout", type=seconds, default=60.0, metavar="TIME",
        help="longest run of a statement that blocks others (default 60s; 0 for none)",
    )  # fmt: skip
    limits.add_argument(
        "--wait", type=seconds, default=60.0, metavar="TIME", help="how long to wait for another runner (default 60s)"
    )
    limits.add_argument(
        "--reconnect",
        type=seconds,
        default=60.0,
        metavar="TIME",
        help="how long to wait for a server that went away (default 60s)",
    )
    limits.add_argument(
        "--max-lag", type=seconds, default=5.0, metavar="TIME",
        help="backfills pause while a replica is further behind (default 5s)",
    )  # fmt: skip
    limits.add_argument(
        "--replica", action="append", default=[], metavar="URL",
        help="a replica to ask for its lag, for MySQL and MariaDB, whose source does not know it; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--interrupted", choices=("done", "again"),
        help="what to do with an interrupted statement of which nobody can see whether it took effect",
    )  # fmt: skip
