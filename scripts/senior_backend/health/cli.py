"""The command line of health_check.py; what needs more than argparse is imported where it is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.command import add_output_options, run, tool_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from senior_backend.console.report import Document, Report
    from senior_backend.health.session import Session

TOOL = "health_check"
DEFAULT_FILE = Path("services.yaml")
FORMATS = ("table", "json", "junit", "prometheus", "health-json", "nagios", "github", "html")

DESCRIPTION = """\
Tell which services are up, degraded or down, which one is the cause, and what to do next.
States: up, degraded, down, blocked (fails because a service it depends on is down) and unknown (the checker
could not judge). Trouble of the checker itself is never reported as an outage.
"""
EXAMPLES = """\
  health_check.py --url http://127.0.0.1:8000/readyz --url redis://127.0.0.1
  health_check.py --services services.yaml
  health_check.py --services services.yaml --json
  health_check.py --services services.yaml --write html=health.html --write junit=health.xml
  health_check.py --services services.yaml --wait 60s --stable 2 -- ./run-tests.sh
  health_check.py --services services.yaml --watch --history health.jsonl
  health_check.py --discover compose.yaml > services.yaml
  health_check.py --services services.yaml --export gatus > gatus.yaml
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = tool_parser(TOOL, DESCRIPTION, EXAMPLES)
    parser.add_argument("--services", type=Path, metavar="FILE", help="YAML, JSON or TOML (default services.yaml)")
    parser.add_argument(
        "--url", action="append", metavar="[NAME=]URL", help="check this in place of a file; may be repeated"
    )
    parser.add_argument("--only", action="append", metavar="WORD", help="check services with this tag or name only")
    parser.add_argument("--fail-on", choices=("down", "degraded"), default="down", help="what makes the exit code 1")
    parser.add_argument("--deadline", metavar="TIME", help="end after this time, whatever the services do (30s)")
    parser.add_argument("--concurrency", type=int, metavar="N", help="checks in progress at once (default 64)")
    parser.add_argument("--allow-exec", action="store_true", help="run the commands of `exec` services")
    parser.add_argument("--lenient", action="store_true", help="unknown keys in the file are warnings")
    parser.add_argument("--all", action="store_true", help="show every service, also in long tables")
    parser.add_argument("--format", choices=FORMATS, default="table", help="what to print (default table)")
    parser.add_argument("--write", action="append", metavar="FORMAT=FILE", help="write a format to a file, too")
    add_output_options(parser)
    modes = parser.add_argument_group("instead of one pass")
    modes.add_argument("--check-config", action="store_true", help="read the file, check nothing")
    modes.add_argument("--schema", action="store_true", help="print the JSON Schema of services.yaml for editors")
    modes.add_argument("--wait", metavar="TIME", help="repeat until all critical services are up, at most this long")
    modes.add_argument("--stable", type=int, default=1, metavar="N", help="with --wait: passes in a row that are up")
    modes.add_argument("--watch", action="store_true", help="repeat for ever, with a live view")
    modes.add_argument("--passes", type=int, metavar="N", help="with --watch: end after N passes")
    modes.add_argument("--history", type=Path, metavar="FILE", help="with --watch: append each result as a JSON line")
    modes.add_argument(
        "--discover",
        action="extend",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="print a services.yaml made from compose files, manifests, openapi, .env, Procfile, or a folder of them",
    )
    modes.add_argument("--export", choices=("gatus", "blackbox"), help="print a configuration for that monitor")
    parser.add_argument("command", nargs="*", help="with --wait: a command to run once everything is up (after --)")
    return parser


def handle(options: argparse.Namespace) -> tuple[Report, str | Document]:
    """Do what was asked and return the report with the text for people, or the document to print in its place.

    Raises:
        ToolError: as the contract of exit codes says.
    """
    if options.command and not options.wait:
        from senior_backend.console.errors import InputError

        target = "://" in options.command[0]
        raise InputError(
            f"unexpected argument {options.command[0]!r}",
            code="usage",
            hint=f"Write --url {options.command[0]}" if target else "A command is only run after --wait.",
        )
    if options.schema:
        from senior_backend.health.modes import schema

        return schema()
    if options.discover:
        from senior_backend.health.modes import discover

        return discover(options.discover)
    if options.format == "html":
        from senior_backend.console.environment import ensure

        ensure("health", ["jinja2"])  # before any check: the program begins anew where the package is missing
    from senior_backend.health import modes
    from senior_backend.health.session import open_session

    session: Session = open_session(options, os.environ)
    if options.check_config:
        return modes.check_config(session)
    if options.export:
        return modes.export(session, options.export)
    if options.wait:
        return modes.wait(session, options)
    if options.watch:
        return modes.watch(session, options)
    return modes.once(session, options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit code."""
    return run(TOOL, build_parser(), handle, argv)
