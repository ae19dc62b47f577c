"""Every file of a generated project, and how to start it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from senior_backend.console.environment import SKILL_ROOT
from senior_backend.scaffold.stacks.contract import RenderedFile
from senior_backend.scaffold.stacks.fastapi.context import API, resource_context
from senior_backend.scaffold.stacks.fastapi.rendering import SUFFIX, TEMPLATES, render_template
from senior_backend.scaffold.stacks.fastapi.samples import reference_operations, sample_context, testable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.scaffold.model import Service

PROJECT, RESOURCE = "project", "resource"
PATTERNS = SKILL_ROOT / "templates" / "patterns" / "python"
_USED = (
    "etag",
    "graceful_shutdown",
    "idempotency",
    "jwt_verify",
    "keyset_cursor",
    "passwords",
    "problem_details",
    "rate_limiter",
)
_USED_BY_ACCOUNTS = ("refresh_tokens",)
_PROVEN = ("graceful_shutdown", "jwt_verify", "passwords", "problem_details")
"""Of these the proof runs with the project's own packages; the others race on servers through other drivers."""
_ENV_FILE = ".env"
_CACHES = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
_ONLY_WITH_ACCOUNTS = frozenset({"app/accounts.py", "tests/test_accounts.py"})


def render(service: Service) -> list[RenderedFile]:
    """Return every file except migrations; equal models give equal bytes, `.env` apart."""
    resources = [resource_context(service, resource) | sample_context(resource) for resource in service.resources]
    identity = next((resource for resource in resources if resource["identity"]), None)
    values: dict[str, Any] = {"service": service, "resources": resources, "resource": identity, "api": API}
    values["testable"] = testable(service)
    values["uses_uuid"] = any(field.type == "uuid" for resource in service.resources for field in resource.fields)
    values["reference_operations"] = reference_operations(service)
    values["has_references"] = bool(values["reference_operations"])
    files = _patterns(() if identity is None else _USED_BY_ACCOUNTS)
    for source in sorted(
        path for path in (TEMPLATES / PROJECT).rglob("*") if path.is_file() and not _CACHES & {*path.parts}
    ):
        name = source.relative_to(TEMPLATES / PROJECT).as_posix()
        path = name.removesuffix(SUFFIX)
        if path in _ONLY_WITH_ACCOUNTS and identity is None:
            continue
        if name.endswith(SUFFIX):
            secret = path == _ENV_FILE
            more = {"secret": secrets.token_urlsafe(48)} if secret else {}
            content = render_template(f"{PROJECT}/{name}", **values, **more)
            files.append(RenderedFile(path, content, secret=secret))
        else:
            files.append(RenderedFile(path, source.read_text(encoding="utf-8")))
    for one in resources:
        for source in sorted((TEMPLATES / RESOURCE).glob(f"*{SUFFIX}")):
            name = source.name.removesuffix(SUFFIX)
            content = render_template(f"{RESOURCE}/{source.name}", **{**values, "resource": one})
            files.append(RenderedFile(f"app/resources/{one['module']}/{name}", content))
    return sorted(files, key=lambda file: file.path)


def _patterns(more: Sequence[str]) -> list[RenderedFile]:
    """Return the modules of the pattern collection that the service uses, as they are, with their proofs."""
    places = {f"app/patterns/{name}.py": f"{name}.py" for name in (*_USED, *more)}
    places |= {f"tests/patterns/test_{name}.py": f"test_{name}.py" for name in _PROVEN}
    return [RenderedFile(path, (PATTERNS / source).read_text(encoding="utf-8")) for path, source in places.items()]


def environment(service: Service) -> list[dict[str, Any]]:
    """Return the variables that the service reads."""
    rows: list[tuple[str, bool, str | None, str]] = [
        ("JWT_SECRET", service.identity is not None, None, "Signs and verifies access tokens; 32 random bytes or more"),
        ("DATABASE_URL", False, "sqlite:///./app.db", "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"),
        ("REDIS_URL", False, None, "Shares rate limits between processes"),
        ("JWT_ISSUER", False, service.name, "The issuer that tokens must name"),
        ("JWT_AUDIENCE", False, service.name, "The audience that tokens must name"),
        ("ACCESS_TOKEN_SECONDS", False, "600", "How long an access token is good"),
        ("RATE_LIMIT_PER_MINUTE", False, "6000", "Calls of one caller"),
        ("LOGIN_LIMIT_PER_MINUTE", False, "10", "Logins of one address to one account"),
        ("MAX_BODY_BYTES", False, "1048576", "Largest request body"),
        ("CORS_ORIGINS", False, "[]", "Browser origins that may call, as a JSON list"),
        ("DOCS_ENABLED", False, "true", "Whether /docs and /openapi.json are served"),
        ("LOG_LEVEL", False, "INFO", "DEBUG, INFO, WARNING or ERROR"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", False, None, "OpenTelemetry collector that receives traces"),
        ("HOST", False, "127.0.0.1", "Address to listen on"),
        ("PORT", False, "8000", "Port to listen on"),
        ("SHUTDOWN_LEAD_SECONDS", False, "0", "How long to serve on after SIGTERM while /readyz answers 503"),
    ]
    if service.identity is None:
        rows.insert(1, ("JWT_JWKS_URL", False, None, "Keys of the issuer of the tokens, instead of JWT_SECRET"))
    return [
        {"name": name, "required": required, "default": default, "meaning": meaning}
        for name, required, default, meaning in rows
    ]


def next_commands(service: Service) -> Sequence[tuple[str, str]]:
    """Return commands that start and call the service from its folder."""
    commands = [
        (
            "python3 -m venv .venv && .venv/bin/pip install --require-hashes -r requirements-dev.txt",
            "install the locked packages",
        ),
        (".venv/bin/alembic upgrade head", "create the tables"),
        (".venv/bin/python -m app", "start the service on http://127.0.0.1:8000"),
    ]
    if service.identity is not None:
        commands.append((".venv/bin/python -m app.cli create-admin admin@example.com", "make the first admin"))
    else:
        commands.append((".venv/bin/python -m app.cli token dev", "print an access token for development"))
    commands.append((".venv/bin/pytest", "run its tests"))
    return commands
