"""A stack small enough to reason about: what the engine does must not depend on what is generated."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from senior_backend.console.report import Finding
from senior_backend.scaffold import state
from senior_backend.scaffold.stacks.contract import MigrationChange, RenderedFile, Route, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from senior_backend.scaffold.model import Resource, Service
    from senior_backend.scaffold.stacks.contract import VerifyLevel

RESERVED_RESOURCES = ("core",)


def module(resource: Resource) -> str:
    lines = [f"# {resource.plural}", ""]
    for field in resource.fields:
        quote = "'''" if field.type == "json" else "'"
        lines += [f"{field.name} = {quote}{field.type}{quote}", ""]
    lines += [f"operations = {resource.operations!r}", "", "# end"]
    return "\n".join(lines) + "\n"


def render(service: Service) -> list[RenderedFile]:
    names = [resource.plural for resource in service.resources]
    files = [
        RenderedFile("README.md", f"# {service.name}\n\n" + "".join(f"- {name}\n" for name in names)),
        RenderedFile("app/__init__.py", ""),
        RenderedFile("run.sh", "#!/bin/sh\necho run\n", executable=True),
        RenderedFile(".env", f"SECRET={secrets.token_hex(8)}\n", secret=True),
    ]
    for resource in service.resources:
        files.append(RenderedFile(f"app/{resource.plural}/model.py", module(resource)))
        files.append(RenderedFile(f"app/{resource.plural}/hooks.py", f"# yours: {resource.name}\n", owner="user"))
    return files


def migration(previous: Service | None, current: Service, *, number: int, down_revision: str | None) -> MigrationChange:
    if previous is not None:
        for resource in current.resources:
            old = next((item for item in previous.resources if item.name == resource.name), None)
            for field in resource.fields if old else ():
                if old and field.name == "unsafe" and field not in old.fields:
                    return MigrationChange(None, (Finding("unsafe", "error", "cannot add 'unsafe'"),))
    text = json.dumps(state.encode(current), sort_keys=True)
    revision = hashlib.sha256(text.encode()).hexdigest()[:6]
    content = f"# {down_revision} -> {revision}\n"
    return MigrationChange(RenderedFile(f"migrations/{number:04}_{revision}.py", content))


def heads(project: Path) -> list[str]:
    files = sorted((project / "migrations").glob("*.py")) if (project / "migrations").is_dir() else []
    branches = [file for file in files if "branch" in file.name]
    return [file.stem for file in (branches or files[-1:])]


def routes(service: Service) -> list[Route]:
    found = []
    for resource in service.resources:
        found.append(Route("GET", f"/{resource.path}", f"list_{resource.plural}", True))
        found += [
            Route("POST", f"/{resource.path}/{{id}}/{action.name}", f"{action.name}_{resource.name}", True)
            for action in resource.actions
        ]
        found += [
            Route("GET", f"/{resource.path}/{{id}}/{child.path}", f"list_{resource.name}_{child.plural}", True)
            for child, _ in service.children(resource.name)
        ]
    return found


def environment(service: Service) -> list[dict[str, Any]]:
    return [{"name": "SECRET", "required": True, "default": None, "meaning": "signs tokens"}]


def next_commands(service: Service) -> Sequence[tuple[str, str]]:
    return [("./run.sh", "starts it")]


def verify(project: Path, service: Service, level: VerifyLevel, report: Callable[[Step], None]) -> list[Step]:
    steps = []
    for resource in service.resources:
        started = time.perf_counter()
        try:
            compile((project / f"app/{resource.plural}/model.py").read_text(), resource.name, "exec")
            step = Step(resource.name, True, time.perf_counter() - started)
        except SyntaxError as error:
            step = Step(resource.name, False, time.perf_counter() - started, "does not compile", str(error))
        report(step)
        steps.append(step)
    return steps
