"""`verify`: whether files and database still fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    import argparse

    from senior_backend.console.report import Report

NAME = "verify"
SUMMARY = "Check that nothing is edited, missing, late, half-way, invalid or pending; changes nothing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    shared.add_folder_option(parser)
    shared.add_url_option(parser)


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Return 0 where all holds, 1 where something does not."""
    from senior_backend.migrate import inspection

    return inspection.verify(options)
