"""From a file to a `Configuration`, or to all of its problems."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from senior_backend.console.errors import InputError
from senior_backend.console.report import Finding
from senior_backend.health.config.nodes import MAX_BYTES, Node, Problem, Unreadable
from senior_backend.health.config.services import ServiceReader
from senior_backend.health.config.values import Reader
from senior_backend.health.model import Configuration, Service


def load(path: Path, environment: Mapping[str, str], *, lenient: bool = False) -> tuple[Configuration, list[Finding]]:
    """Read `path` (`-` is standard input); return the configuration and its warnings.

    With `lenient`, unknown keys are warnings.

    Raises:
        InputError: with every problem of the file; nothing has been checked.
    """
    text = _text(path)
    name = "standard input" if str(path) == "-" else str(path)
    return read(text, name, path.suffix.lower(), environment, lenient=lenient)


def read(
    text: str, name: str, suffix: str, environment: Mapping[str, str], *, lenient: bool = False
) -> tuple[Configuration, list[Finding]]:
    """Read the text of a file that is called `name`.

    Raises:
        InputError: with every problem of the text.
    """
    reader = Reader(environment)
    root: Node | None = None
    services: tuple[Service, ...] = ()
    allowed: tuple[str, ...] = ()
    try:
        root, found = _parse(text, suffix)
        reader.problems.extend(found)
        if root is None or root.empty:
            reader.problems.append(Problem(1, 1, "empty", "the file is empty", "Begin it with `services:`."))
        else:
            services, allowed = ServiceReader(reader).read(root)
    except Unreadable as error:
        reader.problems.append(error.problem)
    problems = sorted(set(reader.problems))
    if lenient:
        problems = [_softened(problem) for problem in problems]
    findings = [
        Finding(item.code, item.severity, item.message, f"{name}:{item.line}:{item.column}", item.fix)
        for item in problems
    ]
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        count = f"{len(errors)} problem{'s' if len(errors) > 1 else ''}"
        raise InputError(f"{name} has {count}; nothing was checked", code="config", where=name, findings=findings)
    secrets = frozenset(secret for secret in reader.secrets if secret and secret.lower() not in ("basic", "bearer"))
    return Configuration(name, services, secrets, allowed), findings


def _parse(text: str, suffix: str) -> tuple[Node | None, list[Problem]]:
    if suffix == ".toml":
        from senior_backend.health.config.toml_source import parse

        return parse(text)
    if suffix == ".json" or (suffix not in (".yaml", ".yml") and text.lstrip()[:1] == "{"):
        from senior_backend.health.config.json_source import parse

        return parse(text)
    from senior_backend.console.environment import ensure

    ensure("health", ["yaml"])
    from senior_backend.health.config.yaml_source import parse

    return parse(text)


def _text(path: Path) -> str:
    def refuse(message: str, fix: str) -> InputError:
        return InputError(message, code="config", where=str(path), hint=fix)

    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            if path.is_dir():
                raise refuse(f"{path} is a folder", "Name the file in it, such as services.yaml.")
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = sorted(item.name for item in Path().glob("services.*"))[:3]
        found = f"Here is {', '.join(near)}. " if near else ""
        hint = f"{found}Make one with `health_check.py --discover compose.yaml`, or name the file with --services."
        raise refuse(f"{path} does not exist", hint) from None
    except OSError as error:
        raise refuse(f"cannot read {path}: {error.strerror}", "Check its permissions.") from None
    if len(data) > MAX_BYTES:
        raise refuse(f"{path} is larger than {MAX_BYTES // 1_000_000} MB", "Split it into several files and runs.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"{path} is not UTF-8 text"
        raise InputError(message, code="encoding", where=f"{path}:{line}:1", hint="Save it as UTF-8.") from None
    if "\0" in text:
        raise refuse(f"{path} is a binary file", "Name a YAML, JSON or TOML file.")
    return text


def _softened(problem: Problem) -> Problem:
    if problem.code != "unknown-key":
        return problem
    return Problem(problem.line, problem.column, problem.code, problem.message, problem.fix, "warning")
