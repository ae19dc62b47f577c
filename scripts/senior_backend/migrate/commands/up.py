"""`up`: apply what is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    import argparse

    from senior_backend.console.report import Report

NAME = "up"
SUMMARY = "Apply the pending migrations; goes on exactly where an interrupted run stopped"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    shared.add_folder_option(parser)
    shared.add_url_option(parser)
    parser.add_argument("--to", metavar="VERSION", help="up to and with this version (default: all)")
    parser.add_argument("--after-deploy", action="store_true", help="also run files that wait for a deploy: it is done")
    shared.add_run_options(parser)


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Apply, and return what was applied."""
    from senior_backend.migrate import execution

    return execution.up(options)
