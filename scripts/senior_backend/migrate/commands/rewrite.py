"""`rewrite`: turn unsafe migrations into a sequence of files that never blocks the application."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    import argparse

    from senior_backend.console.report import Report

NAME = "rewrite"
SUMMARY = "turn unsafe migrations into steps that never block the application"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("paths", nargs="*", type=Path, metavar="FILE", help="migrations, or folders of them")
    shared.add_folder_option(parser)
    shared.add_engine_option(parser)
    parser.add_argument("--database-url", metavar="URL", help="read the schema of this database instead of replaying")
    parser.add_argument("--schema", type=Path, metavar="FILE", help="a schema dump to start from")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default FILE.rewritten/)")
    parser.add_argument("--dry-run", action="store_true", help="print the files instead of writing them")


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Rewrite and return what was written."""
    from senior_backend.migrate.rewrites.command import rewrite_command

    return rewrite_command(options)
