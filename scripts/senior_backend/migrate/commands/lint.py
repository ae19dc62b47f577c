"""`lint`: find what would hurt production, in migrations of any tool."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from senior_backend.migrate.options import add_engine_option

if TYPE_CHECKING:
    from senior_backend.console.report import Report

NAME = "lint"
SUMMARY = "find statements that lock, rewrite, fail or break running code"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="SQL files, folders, or - for standard input (default: --migrations-dir)",
    )
    parser.add_argument(
        "-d", "--migrations-dir", default="db/migrations", metavar="DIR", help="the folder where no PATH is given"
    )
    add_engine_option(parser)
    parser.add_argument("--database-url", metavar="URL", help="read the schema of this database instead of replaying")
    parser.add_argument("--schema", metavar="FILE", help="a schema dump to start from")
    parser.add_argument("--pg-version", metavar="VERSION", help="the PostgreSQL server, such as 15 or 14.2")
    parser.add_argument(
        "--mysql-version", metavar="VERSION", help="the MySQL or MariaDB server, such as 8.0.29 or 10.11"
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "sarif", "github"),
        default="text",
        action=_Format,
        help="how to print (default text)",
    )
    parser.add_argument(
        "--fail-on", choices=("error", "warning", "info"), default="error", help="the least severity that ends with 1"
    )
    parser.add_argument("--enable", action="append", default=[], metavar="NAME", help="also run this rule or group")
    parser.add_argument("--disable", action="append", default=[], metavar="NAME", help="do not run this rule or group")
    parser.add_argument(
        "--in-transaction",
        action=argparse.BooleanOptionalAction,
        help="whether the runner wraps each file in a transaction, for files that do not say",
    )
    parser.add_argument("--list-rules", action="store_true", help="list the rules of the engine and end")


class _Format(argparse.Action):
    """`--format json` is the same as `--json`."""

    def __call__(self, _parser: Any, namespace: argparse.Namespace, values: Any, _option: str | None = None) -> None:
        namespace.format = values
        if values == "json":
            namespace.json = True


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Check the migrations and return the report."""
    from senior_backend.migrate.lint_command import run

    return run(options)
