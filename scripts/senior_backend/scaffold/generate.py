"""One run from call to plan: target, state, specification, model, rendered files, comparison."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, UnavailableError, UndecidedError
from senior_backend.console.report import Finding
from senior_backend.scaffold import apply, extend, naming, plan, stack_loader, state, target, yaml_nodes
from senior_backend.scaffold.drafts import Located, Problems, ServiceDraft
from senior_backend.scaffold.fields import build_field
from senior_backend.scaffold.sources.flags import Flags, read_flags
from senior_backend.scaffold.spec import SERVICE_NAME, build_service
from senior_backend.scaffold.spec_file import read_spec

if TYPE_CHECKING:
    from senior_backend.scaffold.model import Service
    from senior_backend.scaffold.plan import Plan
    from senior_backend.scaffold.stacks.contract import Route, Stack
    from senior_backend.scaffold.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the command line asks for; exactly one of `flags`, `spec`, `remove` is set, or none for a re-run."""

    folder: Path
    out: Path | None = None
    flags: Flags | None = None
    spec: Path | None = None
    remove: str | None = None
    stack: str | None = None
    errors: str | None = None
    require_if_match: bool = False
    writes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that is ready: nothing was written yet."""

    target: Target
    service: Service
    stack: Stack
    plan: Plan
    routes: tuple[Route, ...]
    spec_text: str
    findings: tuple[Finding, ...]


def prepare(call: Call) -> Prepared:
    """Return the plan of `call`; only an interrupted earlier run is undone on the way, and only by a call that writes.

    Raises:
        ToolError: the call, its input or its target does not allow it.
    """
    place = _target(call)
    findings: list[Finding] = []
    if apply.interrupted(place.root):
        if not call.writes:
            raise UndecidedError(
                "an earlier run was interrupted; the project is half-written",
                code="interrupted",
                where=str(place.root / apply.JOURNAL),
                hint="Run the tool without --check, --diff or --dry-run: it undoes that run first.",
            )
        target.check_paths(place, apply.journal_paths(place.root))
        count = apply.repair(place.root)
        findings.append(
            Finding(
                "repaired", "warning", f"an earlier run was interrupted; {count} files of it were undone", place.shown
            )
        )
    previous = state.load(place.root) or state.State()
    fallback = previous.service.name if previous.service else _service_name(place.root)
    text, name = _specification(call, place, previous, fallback)
    draft = read_spec(text, name, service=fallback)
    service = build(draft)
    stack = stack_loader.load(service.stack)
    routes = tuple(stack.routes(service))
    _check_routes(routes, name)
    rendered = stack.render(service)
    migrations = []
    if not state.equal_models(previous.service, service):
        change = stack.migration(
            previous.service,
            service,
            number=previous.migrations + 1,
            down_revision=plan.check_heads(stack.heads(place.root) if place.generated else [], place.root),
        )
        if change.file is None and any(finding.severity == "error" for finding in change.findings):
            raise UndecidedError(
                "the database cannot be brought to the new specification safely; nothing was written",
                code="unsafe-migration",
                findings=change.findings,
            )
        findings += change.findings
        migrations = [change.file] if change.file is not None else []
    target.check_paths(place, [*(file.path for file in (*rendered, *migrations)), target.SPEC_FILE, state.MANIFEST])
    made = plan.make_plan(
        place,
        previous,
        service,
        rendered,
        migrations=migrations,
        spec_text=text,
        skip=[located.value for located in draft.skip],
    )
    target.check_paths(place, [change.path for change in made.changes])
    return Prepared(
        target=place,
        service=service,
        stack=stack,
        plan=made,
        routes=routes,
        spec_text=text,
        findings=(*findings, *made.findings),
    )


def check_early(call: Call) -> None:
    """Check what can be checked of flags and target with the standard library alone, before packages are prepared.

    Raises:
        ToolError: the flags do not hold, or the target does not allow it.
    """
    if call.flags is None:
        return
    draft = read_flags(call.flags)
    problems = Problems()
    for field in draft.fields or ():
        build_field(field, draft.name.value, problems)
    problems.raise_if_any()
    _target(call)


def _target(call: Call) -> Target:
    if call.out is not None:
        return target.locate(call.out)
    if target.is_generated(call.folder):
        return target.locate(call.folder, shown=".")
    if call.flags is not None:
        draft = read_flags(call.flags)
        folder = f"{draft.name.value.replace('_', '-')}-service"
        return target.locate(call.folder / folder, shown=folder)
    if call.spec is not None:
        beside = call.spec.parent
        if call.spec.name == target.SPEC_FILE and target.is_generated(beside):
            return target.locate(beside)
        spec = read_spec(read_file(call.spec), str(call.spec), service=_service_name(call.spec.absolute().parent))
        name = build(spec).name.removesuffix("-service")
        return target.locate(call.folder / f"{name}-service", shown=f"{name}-service")
    raise InputError(
        "no resource is named, and this folder is not a generated project",
        code="nothing-to-do",
        where=str(call.folder),
        hint="Start with `--name user --crud`, or name a generated project with --out.",
    )


def _specification(call: Call, place: Target, previous: state.State, fallback: str | None) -> tuple[str, str]:
    """Return the specification that the project will have, and its name in messages."""
    there = place.spec if place.spec.is_file() else None
    name = _shown(place.spec, call.folder)
    if call.spec is not None:
        text = read_file(call.spec)
        if there is not None and not call.spec.samefile(there):
            _refuse_lost_edits(there, text, name, previous, fallback)
        name = str(call.spec)
    elif call.flags is not None and (there is not None or previous.service is None):
        draft = read_flags(call.flags)
        if there is None:
            empty = ServiceDraft(
                name=Located(fallback or draft.name.value.replace("_", "-"), "--out"),
                resources=(),
                stack=Located(call.stack, "--stack") if call.stack else None,
                errors=Located(call.errors, "--errors") if call.errors else None,
                require_if_match=Located(True, "--require-if-match") if call.require_if_match else None,
            )
            text = extend.new_text(draft, empty, build)
        else:
            text = extend.extended_text(read_file(there), name, draft, build)
    elif there is None:
        raise InputError(
            "the project has no specification",
            code="no-spec",
            where=str(place.spec),
            hint=f"Bring {target.SPEC_FILE} back from version control, or name one with --spec.",
        )
    elif call.remove is not None:
        text = extend.without(read_file(there), name, naming.snake_case(call.remove), build)
    else:
        text = read_file(there)
    return _with_settings(call, text, name, fallback), name


def _with_settings(call: Call, text: str, name: str, fallback: str | None) -> str:
    for key, value in (
        ("stack", call.stack),
        ("errors", call.errors),
        ("require_if_match", "true" if call.require_if_match else None),
    ):
        if value is None:
            continue
        service = build(read_spec(text, name, service=fallback))
        current = getattr(service, key)
        wanted = True if key == "require_if_match" else value
        if current != wanted:
            changed = dataclasses.replace(service, **{key: wanted})  # type: ignore[arg-type]
            text = extend.with_setting(text, name, (key, value), changed, build)
    return text


def _refuse_lost_edits(there: Path, text: str, name: str, previous: state.State, fallback: str | None) -> None:
    """Refuse to replace a specification in the project that says something which was never generated."""
    disk = read_file(there)
    if disk == text:
        return
    try:
        known = state.equal_models(previous.service, build(read_spec(disk, name, service=fallback)))
    except InputError:
        known = False
    if not known:
        raise UndecidedError(
            "the project's own specification has changes that were not generated yet; this would lose them",
            code="two-specifications",
            where=name,
            hint=f"Bring them into your file, or run with `--spec {name}` and keep one specification, in the project.",
        )


def build(draft: ServiceDraft) -> Service:
    """Return the model of `draft`, judged with the words that its stack reserves.

    Raises:
        InputError: it does not hold.
    """
    known = stack_loader.available()
    chosen = draft.stack.value if draft.stack and draft.stack.value in known else known[0]
    return build_service(draft, stacks=known, reserved=stack_loader.reserved(chosen))


def _service_name(root: Path) -> str | None:
    """Return the name that the folder of a project suggests: `web-shop-service` -> `web-shop`."""
    name = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")
    name = name.removesuffix("-service")
    return name if SERVICE_NAME.fullmatch(name) and len(name) <= naming.NAME_LIMIT else None


def _check_routes(routes: tuple[Route, ...], name: str) -> None:
    doubled = [pair for pair, count in Counter((route.method, route.path) for route in routes).items() if count > 1]
    if doubled:
        raise InputError(
            f"{len(doubled)} routes would be there twice; nothing was written",
            code="route-collision",
            findings=[
                Finding(
                    "route-collision",
                    "error",
                    f"{method} {path} would be two routes",
                    name,
                    "Rename a link, an action or a plural.",
                )
                for method, path in doubled
            ],
        )


def read_file(path: Path) -> str:
    """Return the text of a specification or an OpenAPI document.

    Raises:
        InputError: there is none, or it is no text.
        UnavailableError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(yaml_nodes.SIZE_LIMIT * 4 + 1)
    except FileNotFoundError:
        raise InputError(
            "no such file", code="no-file", where=str(path), hint="Check the path; `--schema` says what it holds."
        ) from None
    except OSError as error:
        raise UnavailableError(
            f"cannot be read: {error.strerror or error}", code="not-readable", where=str(path), hint="Check the path."
        ) from None
    return yaml_nodes.read_text(data, str(path)).replace("\r\n", "\n")


def _shown(path: Path, folder: Path) -> str:
    try:
        return str(path.relative_to(folder.resolve()))
    except ValueError:
        return str(path)
