"""`rehearse`: apply migrations to a scratch database under load, and report who would have waited."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    from senior_backend.console.report import Report

NAME = "rehearse"
SUMMARY = "Apply migrations to a scratch database under load and measure locks, rewrites and waits"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("paths", nargs="*", type=Path, metavar="FILE", help="migrations (default: the newest)")
    shared.add_folder_option(parser)
    shared.add_url_option(parser)
    shared.add_engine_option(parser)
    parser.add_argument(
        "--schema",
        type=Path,
        metavar="FILE",
        help="SQL that builds what is there before, in place of earlier migrations",
    )
    parser.add_argument(
        "--scratch-url", metavar="URL", help="server to make scratch databases on (default: an embedded one)"
    )
    parser.add_argument(
        "--rows", type=_count, default=10_000, metavar="N", help="rows in each touched table (default 10000)"
    )
    parser.add_argument(
        "--max-wait",
        type=_seconds,
        default=0.5,
        metavar="TIME",
        help="longest wait of a query, such as 500ms or 2s (default 500ms)",
    )
    parser.add_argument(
        "--production-rows",
        type=_count,
        default=1_000_000,
        metavar="N",
        help="size of the table to reckon with; 0 judges only what was measured (default 1000000)",
    )
    parser.add_argument("--readers", type=_count, default=2, metavar="N", help="reading sessions (default 2)")
    parser.add_argument("--writers", type=_count, default=2, metavar="N", help="writing sessions (default 2)")
    parser.add_argument("--no-down", action="store_true", help="do not rehearse down and up again")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the invented rows (default 1)")
    parser.add_argument("--timeline", type=Path, metavar="FILE", help="write a picture of who waited for whom (HTML)")


def _count(text: str) -> int:
    number = int(text.replace("_", "").replace(",", ""))
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def _seconds(text: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0}
    for unit in ("ms", "s", "m"):
        if text.endswith(unit):
            try:
                seconds = float(text.removesuffix(unit)) * units[unit]
            except ValueError:
                break
            if 0 < seconds < 3600:
                return seconds
            break
    raise argparse.ArgumentTypeError(f"'{text}' is no time; write 500ms or 2s")


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Rehearse and return the verdict."""
    from senior_backend.migrate.rehearse.command import rehearse_command

    return rehearse_command(options)
