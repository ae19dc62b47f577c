"""`down`: take back what was applied last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    import argparse

    from senior_backend.console.report import Report

NAME = "down"
SUMMARY = "Take back the last migration; what would destroy rows needs the token of `plan --down`"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    shared.add_folder_option(parser)
    shared.add_url_option(parser)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--steps", type=shared.positive, default=1, metavar="N", help="so many files (default 1)")
    choice.add_argument("--to", metavar="VERSION", help="all files behind this version; 0 for all")
    shared.add_run_options(parser)


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Take back, and return what was taken back."""
    from senior_backend.migrate import execution

    return execution.down(options)
