"""The frame of every tool: an argument parser that fails politely, and the run that turns results into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from senior_backend import __version__
from senior_backend.console.exit_codes import EPILOG, ExitCode

# What a run needs beyond its parser is imported where it is used: `--help` needs none of it.
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from senior_backend.console.report import Document, Report


DOORS = ("api_scaffold", "db_migrate", "load_test", "health_check")
DOOR = rf"((?:^|(?<=&& )|(?<=; )))(?:python3? )?(?:\S*/)?((?:{'|'.join(DOORS)})\.py)(?= |$)"
"""The call of a door at the beginning of a command: `python3 scripts/db_migrate.py`, `db_migrate.py`."""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, as argparse makes it; that asks `shutil`, which loads every kind of compression."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return 80


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `InputError` instead of ending the process, and accepts no abbreviations."""

    url_option: str | None = None
    """The option that takes a URL which somebody wrote without one."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("formatter_class", _HelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise the usage error with the nearest known option.

        Raises:
            InputError: always.
        """
        from senior_backend.console.errors import InputError, did_you_mean

        hint = f"See `{self.prog} --help`."
        prefix, marker, rest = message.partition("unrecognized arguments: ")
        if marker and not prefix:
            first = rest.split()[0]
            if self.url_option and "://" in first:
                hint = f"Write {self.url_option} {first}"
            known = [option for action in self._actions for option in action.option_strings]
            message += did_you_mean(first.partition("=")[0], known)
        raise InputError(message, code="usage", hint=hint)


def tool_parser(tool: str, description: str, examples: str) -> Parser:
    """Return the top-level parser of `tool` (the door's name without `.py`), with `--version` and the shared epilog."""
    parser = Parser(
        prog=f"{tool}.py",
        description=description,
        epilog=f"examples:\n{examples.rstrip()}\n\n{EPILOG}",
    )
    parser.add_argument("--version", action="version", version=f"{tool}.py {__version__}")
    return parser


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command shares: `--json` and `--output FILE`."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    group.add_argument("--output", type=_path, metavar="FILE", help="also write the whole JSON document to FILE")


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def runnable(report: Report, program: str) -> Report:
    """Return the report with next commands that work where the user is, who called `program`.

    Tools name each other's doors in short (`db_migrate.py plan`); the doors lie beside `program`. Behind a `cd`
    the path is absolute.
    """
    import dataclasses
    import re
    import shlex
    from pathlib import Path

    folder = Path(program).parent
    if Path(program).stem not in DOORS or not folder.joinpath(f"{report.tool}.py").is_file():
        return report

    def call(text: str) -> str:
        place = folder.resolve() if text.startswith("cd ") else folder
        return re.sub(DOOR, lambda match: f"{match[1]}python3 {shlex.quote(str(place / match[2]))}", text)

    return dataclasses.replace(
        report, next=tuple(dataclasses.replace(step, command=call(step.command)) for step in report.next)
    )


def run(
    tool: str,
    parser: argparse.ArgumentParser,
    handle: Callable[[argparse.Namespace], tuple[Report, str | Document]],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse `argv`, call `handle`, print its report and return the exit code.

    `handle` returns the report with the text that people see above its findings, or with the document that is printed
    in its place. A `ToolError` becomes a report, an interrupt ends with 130, any other exception is a bug: traceback
    and 70.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json, output = "--json" in arguments, None
    body: str | Document = ""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    refused: Exception | None = None
    try:
        options = parser.parse_args(arguments)  # `--help` and `--version` end the process here
    except Exception as error:
        refused = error

    from senior_backend.console.errors import ToolError
    from senior_backend.console.output import emit
    from senior_backend.console.report import Finding, Report

    try:
        try:
            if refused is not None:
                raise refused
            as_json, output = options.json, options.output
            report, body = handle(options)
        except ToolError as error:
            report = error.to_report(tool)
        except KeyboardInterrupt:
            report = Report(tool, ExitCode.INTERRUPTED, "interrupted")
        except BrokenPipeError:
            raise
        except Exception as error:
            import traceback

            traceback.print_exc()
            message = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
            finding = Finding("internal-error", "error", message, None, "This is a bug; the traceback says where.")
            report = Report(tool, ExitCode.INTERNAL, message, (finding,))
        report = runnable(report, sys.argv[0])
        try:
            return emit(report, body, as_json=as_json, output=output)
        except ToolError as error:
            return emit(error.to_report(tool), as_json=as_json)
    except BrokenPipeError:
        import contextlib

        # The reader (`| head`) went away; without this the interpreter complains again while it shuts down.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.ENVIRONMENT)
