"""The command line of `api_scaffold.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.command import add_output_options, run, tool_parser
from senior_backend.console.exit_codes import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from senior_backend.console.report import Finding, Report
    from senior_backend.scaffold.generate import Call, Prepared

TOOL = "api_scaffold"
EXAMPLES = """\
  api_scaffold.py --name user --crud
  api_scaffold.py --name order --crud --owner user --fields "total:money note:text? status:enum(open,paid)=open"
  api_scaffold.py --spec resources.yaml --verify=test
  api_scaffold.py --out user-service --check
  api_scaffold.py --from-db postgresql://shop@127.0.0.1/shop
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = tool_parser(
        TOOL, "Generate a running CRUD service from a resource, prove it, and keep it up to date.", EXAMPLES
    )
    source = parser.add_argument_group("what to generate (without any: the project's own resources.yaml again)")
    source.add_argument("--name", metavar="NAME", help="a resource, in the singular: user, order_item")
    source.add_argument("--spec", type=Path, metavar="FILE", help="a specification (YAML); --schema describes it")
    source.add_argument("--from-openapi", type=Path, metavar="FILE", help="write resources.yaml from it, for review")
    source.add_argument("--from-db", metavar="URL", help="write resources.yaml from a database, for review")
    source.add_argument("--remove", metavar="NAME", help="take a resource out of a generated project")
    source.add_argument("--schema", action="store_true", help="print the JSON Schema of specifications")
    resource = parser.add_argument_group("the resource that --name names")
    resource.add_argument("--crud", action="store_true", help="all five operations (default: list and read)")
    resource.add_argument("--operations", metavar="LIST", help="some of list,create,read,update,delete")
    resource.add_argument("--fields", metavar="TEXT", help='"email:email:unique name:str(100) org:ref(org)?"')
    resource.add_argument("--plural", metavar="NAME", help="where the rules of English fail")
    resource.add_argument(
        "--owner", metavar="NAME", help="the resource that logs in; callers reach only their own rows"
    )
    resource.add_argument(
        "--action", action="append", default=[], metavar="VERB[:FIELD=VALUE]", help="a custom action; may be repeated"
    )
    project = parser.add_argument_group("the project")
    project.add_argument(
        "--out", type=Path, metavar="DIR", help="its folder (default: this project, else ./NAME-service)"
    )
    project.add_argument("--stack", metavar="NAME", help="what to generate with (default: fastapi)")
    project.add_argument("--errors", choices=("problem", "envelope"), help="format of error bodies (default: problem)")
    project.add_argument("--require-if-match", action="store_true", help="refuse updates without If-Match (428)")
    mode = parser.add_argument_group("how far to go").add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="show what would be written")
    mode.add_argument("--diff", action="store_true", help="show it as a patch")
    mode.add_argument("--check", action="store_true", help="exit 1 where the tree is not what the specification says")
    mode.add_argument(
        "--verify",
        nargs="?",
        const="fast",
        choices=("fast", "test", "full"),
        metavar="LEVEL",
        help="prove the result: fast (default), test or full",
    )
    add_output_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--schema"]:
        import json

        from senior_backend.scaffold.schema import specification_schema

        sys.stdout.write(json.dumps(specification_schema(), indent=2) + "\n")
        return int(ExitCode.OK)
    return run(TOOL, build_parser(), _handle, arguments)


def _handle(options: argparse.Namespace) -> tuple[Report, str]:
    _check_combination(options)
    if options.schema:
        return _schema()

    from senior_backend.console import environment

    if options.name is not None:
        from senior_backend.scaffold.generate import check_early

        check_early(_call(options))
    environment.ensure("scaffold", ["yaml", "jinja2"])
    if options.from_openapi is not None or options.from_db is not None:
        return _import(options)
    return _generate(options)


def _check_combination(options: argparse.Namespace) -> None:
    from senior_backend.console.errors import InputError, did_you_mean

    doors = {
        "--name": options.name,
        "--spec": options.spec,
        "--from-openapi": options.from_openapi,
        "--from-db": options.from_db,
        "--remove": options.remove,
        "--schema": options.schema or None,
    }
    given = [door for door, value in doors.items() if value is not None]
    if len(given) > 1:
        raise InputError(
            f"{' and '.join(given)} do not go together", code="usage", hint="Give one source of the model."
        )
    only_with_name = {
        "--crud": options.crud,
        "--operations": options.operations is not None,
        "--fields": options.fields is not None,
        "--plural": options.plural is not None,
        "--owner": options.owner is not None,
        "--action": bool(options.action),
    }
    orphans = [flag for flag, value in only_with_name.items() if value]
    if orphans and options.name is None:
        raise InputError(
            f"{' and '.join(orphans)} describe the resource of --name, and there is none",
            code="usage",
            hint="Add `--name NAME`, or write it into the specification.",
        )
    imported = options.from_openapi is not None or options.from_db is not None
    if imported and (options.verify or options.check or options.diff):
        raise InputError(
            "an import writes resources.yaml for review and generates nothing",
            code="usage",
            hint="Import first; then `--spec resources.yaml --verify`.",
        )
    if options.crud and options.operations is not None:
        raise InputError("--crud and --operations do not go together", code="usage", hint="--crud means all five.")
    if options.stack is not None:
        from senior_backend.scaffold.stack_loader import available

        if options.stack not in available():
            raise InputError(
                f"unknown stack '{options.stack}'{did_you_mean(options.stack, available())}",
                code="unknown-stack",
                where="--stack",
                hint=f"One of {', '.join(available())}.",
            )


def _schema() -> tuple[Report, str]:
    import json

    from senior_backend.console.report import Report
    from senior_backend.scaffold.schema import specification_schema

    schema = specification_schema()
    return Report(TOOL, ExitCode.OK, "the JSON Schema of specifications", data={"schema": schema}), json.dumps(
        schema, indent=2
    )


def _call(options: argparse.Namespace) -> Call:
    from senior_backend.scaffold.generate import Call
    from senior_backend.scaffold.sources.flags import Flags

    flags = None
    if options.name is not None:
        flags = Flags(
            name=options.name,
            crud=options.crud,
            fields=options.fields,
            plural=options.plural,
            operations=options.operations,
            owner=options.owner,
            actions=tuple(options.action),
        )
    return Call(
        folder=Path.cwd(),
        out=options.out,
        flags=flags,
        spec=options.spec,
        remove=options.remove,
        stack=options.stack,
        errors=options.errors,
        require_if_match=options.require_if_match,
        writes=not (options.check or options.diff or options.dry_run),
    )


def _generate(options: argparse.Namespace) -> tuple[Report, str]:
    from senior_backend.scaffold import apply, report
    from senior_backend.scaffold.generate import prepare
    from senior_backend.scaffold.verify import Verification, verify

    call = _call(options)
    prepared = prepare(call)
    if options.check:
        return report.checked(prepared)
    if options.diff:
        return report.compared(prepared)
    if options.dry_run:
        return report.planned(prepared)
    apply.apply(prepared.target.root, prepared.plan.changes)
    verification: Verification | None = None
    if options.verify and not prepared.plan.conflicts:
        verification = verify(prepared.stack, prepared.target.root, prepared.service, options.verify)
    return report.written(prepared, verification, _notes(options, prepared))


def _notes(options: argparse.Namespace, prepared: Prepared) -> tuple[Finding, ...]:
    """Return the resource of the flags as YAML, and whether its fields are the usual ones because none were named."""
    from senior_backend.console.report import Finding
    from senior_backend.scaffold.naming import snake_case
    from senior_backend.scaffold.spec_text import resource_lines

    if options.name is None:
        return ()
    spec = f"{prepared.target.shown}/resources.yaml"
    resource = prepared.service.resource(snake_case(options.name))
    text = "\n" + "\n".join(["resources:", *resource_lines(resource, 2)])
    if resource.name == "user" and prepared.service.identity is None:
        message = (
            "`user` does not log in: that takes `email:email:unique password:password`; tokens come from elsewhere"
        )
        return (Finding("no-login", "warning", message, spec), Finding("as-yaml", "info", f"as YAML ({spec}):{text}"))
    if options.fields is None and any(item.action == "created" for item in prepared.plan.files):
        return (Finding("default-fields", "info", f"no --fields, so the usual ones; as YAML ({spec}):{text}"),)
    return (Finding("as-yaml", "info", f"as YAML ({spec}):{text}"),)


def _import(options: argparse.Namespace) -> tuple[Report, str]:
    from senior_backend.scaffold import generate, importing

    if options.from_db is not None:
        from senior_backend.scaffold.sources.database import read_database

        name, drafts, findings = read_database(options.from_db)
    else:
        from senior_backend.scaffold.sources.openapi import read_openapi

        name, drafts, findings = read_openapi(generate.read_file(options.from_openapi), str(options.from_openapi))
    return importing.write_specification(name, drafts, findings, out=options.out or Path(), write=not options.dry_run)
