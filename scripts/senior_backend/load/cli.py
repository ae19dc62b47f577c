"""The command line of the load tester."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.console.report import Report

TOOL = "load_test"

_EXAMPLES = """\
  load_test.py --endpoint /api/users --rps 100
  load_test.py --endpoint /api/users --rps 200 --duration 1m --slo 'p99<200ms,errors<0.1%' --html report.html
  load_test.py --endpoint "4*/api/users" --endpoint "POST /api/orders" --body @order.json --stages 30s@50,1m@200
  load_test.py --scenario load-scenario.yaml --find-max --slo 'p99<200ms,errors<1%'
  load_test.py --endpoint /api/v1/users --scenario load-scenario.yaml      (signed in by the login of the file)
  load_test.py --openapi http://127.0.0.1:8000/openapi.json --dry-run
  load_test.py --endpoint /api/users --save before.json      (after the change: --baseline before.json)
"""


class _PrintSchema(argparse.Action):
    """Prints the schema and nothing else, so that it can be sent into a file."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002 - argparse
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the schema and end."""
        sys.stdout.write((Path(__file__).parent / "scenario.schema.json").read_text(encoding="utf-8"))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `load_test.py`."""
    parser = command.tool_parser(
        TOOL,
        "Load-test an HTTP service with an open-loop schedule: latency counts from when each request was due, so a\n"
        "stall is seen as its users feel it; the report says whether the measurement can be trusted.",
        _EXAMPLES,
    )
    parser.url_option = "--endpoint"
    _add_requests(parser)
    _add_load(parser)
    _add_goals(parser)
    _add_rails(parser)
    command.add_output_options(parser)
    group = parser.add_argument_group("more output")
    group.add_argument("--html", type=Path, metavar="FILE", help="write a self-contained HTML report")
    group.add_argument("--csv", type=Path, metavar="FILE", help="write one row for each second of the run")
    return parser


def _add_requests(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to request (--endpoint, --scenario or --openapi)")
    group.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="[N*][METHOD ]PATH",
        help="a path such as /api/users, with a weight and a method where wanted; may be repeated; "
        "with --openapi: a path of the document to keep; with --scenario: measured with its login and headers",
    )
    group.add_argument("--scenario", type=Path, metavar="FILE", help="a scenario in YAML or JSON (see --schema)")
    group.add_argument("--openapi", metavar="FILE|URL", help="an OpenAPI 3 or Swagger 2 document; read-only methods")
    group.add_argument("--allow-writes", action="store_true", help="with --openapi: also POST, PUT, PATCH and DELETE")
    group.add_argument("--base-url", metavar="URL", help="default: BASE_URL, the scenario's, http://127.0.0.1:8000")
    group.add_argument("--method", metavar="METHOD", help="method of --endpoint (default GET, with --body POST)")
    group.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    group.add_argument("--body", metavar="TEXT|@FILE", help="request body; JSON is sent as application/json")
    group.add_argument("--expect-status", metavar="LIST", help="statuses that are right, such as 200,404 or 2xx")
    group.add_argument("--schema", action=_PrintSchema, help="print the JSON Schema of scenario files and end")
    group.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")


def _add_load(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how much")
    group.add_argument("--rps", type=float, metavar="N", help="requests per second (default 10)")
    group.add_argument("--duration", metavar="TIME", help="measured time such as 30s or 2m (default 10s)")
    group.add_argument("--stages", metavar="PLAN", help="30s@50,1m@200; 1m@50-500 ramps; instead of --rps, --duration")
    group.add_argument("--warmup", metavar="TIME", help="slow start before the measured time, left out (default 2s)")
    group.add_argument("--arrivals", choices=("poisson", "constant"), help="default poisson: independent users")
    group.add_argument("--seed", type=int, metavar="N", help="repeats arrivals and random values (default 1)")
    group.add_argument("--connections", type=int, metavar="N", help="most connections at once (default 100)")
    group.add_argument("--timeout", metavar="TIME", help="for one response (default 10s)")
    group.add_argument("--processes", type=int, default=1, metavar="K", help="generator processes (default 1)")
    group.add_argument("--ca-file", metavar="FILE", help="authority to verify the server's certificate with")
    group.add_argument("--insecure", action="store_true", help="do not verify the server's certificate")


def _add_goals(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to find out")
    group.add_argument("--slo", metavar="TERMS", help="p99<200ms,errors<0.1%% (default errors<1%%); broken: exit 1")
    group.add_argument("--find-max", action="store_true", help="find the highest rate that meets the SLO")
    group.add_argument("--save", type=Path, metavar="FILE", help="keep the run, to compare later ones with it")
    group.add_argument("--baseline", type=Path, metavar="FILE", help="compare with a kept run; slower: exit 1")
    group.add_argument("--compare", nargs=2, metavar=("URL_A", "URL_B"), help="compare two services in one run")
    group.add_argument("--selftest", action="store_true", help="check this tool against a server of known behaviour")
    group.add_argument("--metrics-url", metavar="URL", help="Prometheus metrics of the service, shown beside ours")
    group.add_argument("--pid", type=int, metavar="PID", help="sample CPU and memory of this local process (Linux)")
    group.add_argument("--export", choices=("k6", "locust"), help="write the same test for k6 or Locust; send nothing")
    group.add_argument("--export-file", type=Path, metavar="FILE", help="default load-test.k6.js or locustfile.py")


def _add_rails(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rails")
    group.add_argument(
        "--i-own",
        action="append",
        default=[],
        metavar="HOST",
        help="allow this host, which is not private; it is yours",
    )
    group.add_argument("--max-rate", type=float, metavar="N", help="raise the cap of 50000/s (500/s with --i-own)")
    group.add_argument("--max-duration", metavar="TIME", help="raise the cap of 1h (10m with --i-own)")
    group.add_argument(
        "--error-budget", default="50%", metavar="SHARE|off", help="stop when more fail in 5 s (default 50%%)"
    )
    group.add_argument("--through-overload", action="store_true", help="do not stop on a surge of 429 or 503")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return command.run(TOOL, build_parser(), _handle, argv)


def _handle(options: argparse.Namespace) -> tuple[Report, str]:
    from senior_backend.load import application

    return application.handle(options, os.environ)
