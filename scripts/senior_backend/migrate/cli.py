"""The command line of db_migrate: finds the sub-commands in `commands/` and runs one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from senior_backend import __version__
from senior_backend.console import command
from senior_backend.migrate import commands

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from senior_backend.console.report import Report

TOOL = "db_migrate"
DESCRIPTION = "Write, check, rehearse and apply SQL migrations that keep production running."
EXAMPLES = """\
  db_migrate.py --name add_user_roles                     the same as: new add_user_roles
  db_migrate.py new add_role_to_users role:string!=member:index
  db_migrate.py status --json
  db_migrate.py plan && db_migrate.py up                  default database: sqlite:db/database.sqlite3
  db_migrate.py lint db/migrations --engine postgresql
"""
ORDER = ("new", "status", "plan", "up", "down", "lint", "rewrite", "rehearse", "baseline", "verify")


class _Parser(command.Parser):
    """A parser for which `--name X …` is `new X …`."""

    def error(self, message: str) -> NoReturn:
        """Raise the usage error, with the nearest command."""
        _, marker, rest = message.partition("argument COMMAND: invalid choice: '")
        if marker:
            from senior_backend.console.errors import did_you_mean

            message += did_you_mean(rest.partition("'")[0], ORDER)
        super().error(message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_known_args(_spelled_out(sys.argv[1:] if args is None else args), namespace)


class _Command(command.Parser):
    """The parser of one sub-command, which gets its options when they are read: a call reads those of one command."""

    def __init__(self, *, configure: Callable[[argparse.ArgumentParser], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._configure: Callable[[argparse.ArgumentParser], None] | None = configure

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        configure, self._configure = self._configure, None
        if configure is not None:
            configure(self)
            command.add_output_options(self)
        return super().parse_known_args(args, namespace)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every sub-command."""
    from senior_backend.console.exit_codes import EPILOG

    parser = _Parser(prog=f"{TOOL}.py", description=DESCRIPTION, epilog=f"examples:\n{EXAMPLES}\n{EPILOG}")
    parser.add_argument("--version", action="version", version=f"{TOOL}.py {__version__}")
    parser.add_argument("--name", metavar="NAME", help="write a migration: the same as `new NAME`")
    modules = [
        importlib.import_module(f"{commands.__name__}.{found.stem}")
        for found in Path(str(commands.__file__)).parent.glob("[!_]*.py")
    ]
    modules.sort(key=lambda module: (ORDER.index(module.NAME) if module.NAME in ORDER else len(ORDER), module.NAME))
    choices = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands", parser_class=_Command
    )
    for module in modules:
        choices.add_parser(
            module.NAME, help=module.SUMMARY, description=module.SUMMARY + ".", configure=module.configure
        ).set_defaults(handle=module.handle)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    return command.run(TOOL, build_parser(), _handle, argv)


def _handle(options: argparse.Namespace) -> tuple[Report, str]:
    from senior_backend.console.errors import UnavailableError
    from senior_backend.migrate.databases.base import DatabaseError

    try:
        result: tuple[Report, str] = options.handle(options)
    except DatabaseError as error:
        raise UnavailableError(
            f"the database refused: {error.message}",
            code="database-unavailable",
            hint="Check its state, its disk and the permissions of the URL's user; then run the command again.",
        ) from error
    return result


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return `--name X …`, in front of any sub-command, as `new X …`."""
    words = list(arguments)
    for index, word in enumerate(words):
        if not word.startswith("-"):
            break
        if word == "--name" and index + 1 < len(words):
            return ["new", words[index + 1], *words[:index], *words[index + 2 :]]
        if word.startswith("--name="):
            return ["new", word.removeprefix("--name="), *words[:index], *words[index + 1 :]]
    return words
