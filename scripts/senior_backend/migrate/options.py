"""Options that several sub-commands share, and what they mean together. Light: loaded for `--help`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.migrate.files import DEFAULT_FOLDER
from senior_backend.migrate.statements import ENGINES, Engine

if TYPE_CHECKING:
    import argparse

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
