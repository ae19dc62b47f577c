"""`baseline`: write down that files are applied, without running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    import argparse

    from senior_backend.console.report import Report

NAME = "baseline"
SUMMARY = "Write down that migrations are applied, without running them: for a database that is already as they say"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("version", nargs="?", help="all files up to and with this version")
    parser.add_argument("--only", metavar="VERSION", help="this file alone; also accepts an edited file as it is now")
    shared.add_folder_option(parser)
    shared.add_url_option(parser)
    parser.add_argument("--token", metavar="TOKEN", help="needed where the database is not local; printed without it")
    parser.add_argument("--wait", type=shared.seconds, default=60.0, metavar="TIME", help="for another runner (60s)")


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Write the rows and return which."""
    from senior_backend.migrate import inspection

    return inspection.baseline(options)
