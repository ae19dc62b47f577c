"""Where a scenario comes from: flags, a scenario file, or an OpenAPI document."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from senior_backend.console import environment
from senior_backend.console.errors import InputError, UnavailableError, did_you_mean
from senior_backend.load import flow
from senior_backend.load.scenario import (
    DEFAULT_BASE_URL,
    Body,
    Request,
    Scenario,
    parse_statuses,
)
from senior_backend.load.templates import TemplateError, literal, parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from senior_backend.load.model import TLSOptions
    from senior_backend.load.templates import Template

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
DEFAULT_SCENARIO = "load-scenario.yaml"
MAX_BODY_FILE = 64 * 1024 * 1024
MAX_SPECIFICATION = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A scenario, the base URL that goes with it, and how people call it."""

    scenario: Scenario
    base_url: str
    label: str


def read(options: argparse.Namespace, variables: Mapping[str, str], tls: TLSOptions) -> Source:
    """Return the scenario that the options ask for.

    Raises:
        InputError: no source or several, or one with problems.
        UnavailableError: a file may not be read, or a URL does not answer.
    """
    given = [name for name in ("scenario", "openapi") if getattr(options, name)]
    if len(given) == 2:
        raise InputError("--scenario stands beside --openapi", code="two-sources", hint="Give one of them.")
    if options.scenario:
        source = _from_file(options, variables)
    elif options.openapi:
        source = _from_openapi(options, variables, tls)
    else:
        source = _from_flags(options, variables)
    headers = _headers(options.header)
    overridden = {name.lower() for name, _ in headers}
    kept = tuple(pair for pair in source.scenario.headers if pair[0].lower() not in overridden)
    scenario = replace(
        source.scenario,
        headers=kept + headers,
        requests=tuple(_without_headers(request, overridden) for request in source.scenario.requests),
        steps=tuple(
            replace(step, request=_without_headers(step.request, overridden)) for step in source.scenario.steps
        ),
    )
    if options.expect_status:
        statuses = _statuses(options.expect_status)
        requests = tuple(
            replace(request, check=replace(request.check, statuses=statuses)) for request in scenario.requests
        )
        scenario = replace(scenario, requests=requests)
    return replace(source, scenario=scenario)


def _without_headers(request: Request, names: set[str]) -> Request:
    return replace(request, headers=tuple(pair for pair in request.headers if pair[0].lower() not in names))


def _from_file(options: argparse.Namespace, variables: Mapping[str, str]) -> Source:
    scenario = load_file(options.scenario, variables)
    if options.endpoint:
        return _from_flags(options, variables, scenario)
    for flag in ("method", "body"):
        if getattr(options, flag):
            raise InputError(
                f"--{flag} stands beside --scenario",
                code="two-sources",
                hint="The scenario file has the requests; with --endpoint only its login, variables and headers count.",
            )
    own = scenario.base_url.static() if scenario.base_url else None
    base_url = options.base_url or own or variables.get("BASE_URL") or DEFAULT_BASE_URL
    return Source(scenario, base_url, str(options.scenario))


def load_file(path: Path, variables: Mapping[str, str]) -> Scenario:
    """Return the scenario of a file.

    Raises:
        InputError: with every problem of the file.
        UnavailableError: it may not be read.
    """
    from senior_backend.load import scenario_file

    if scenario_file.is_yaml(path):
        environment.ensure("load", ["yaml"])
    return scenario_file.load(path, variables)


def with_setting(scenario: Scenario, lent: Scenario) -> Scenario:
    """Return the requests of one scenario with login, setup, variables, feeds and headers of another.

    Raises:
        InputError: a header of the other needs a variable that only its own requests supply.
    """
    own = {name.lower() for name, _ in scenario.headers}
    made = replace(
        scenario,
        headers=tuple(pair for pair in lent.headers if pair[0].lower() not in own) + scenario.headers,
        variables=lent.variables,
        feeds=lent.feeds,
        steps=lent.steps,
    )
    supplied = _supplied(made)
    for request in made.requests:
        for expression in flow.of_request(made, request, flow.common_headers(made, request)):
            if expression.variable is not None and expression.variable not in supplied:
                raise InputError(
                    f"{request.name} needs '{expression.variable}', which no login or setup step supplies",
                    code="no-supplier",
                    where=request.name,
                    hint="Extract it in a setup step, or run the scenario without --endpoint.",
                )
    return made


def _supplied(scenario: Scenario) -> set[str]:
    """Return the variables that a request may use before any request was answered."""
    extracted = {extract.name for step in scenario.steps for extract in step.request.extract}
    columns = {f"{feed.name}.{column}" for feed in scenario.feeds for column in (feed.rows or ({},))[0]}
    return extracted | columns | {name for name, _ in scenario.variables}


def _from_flags(options: argparse.Namespace, variables: Mapping[str, str], lent: Scenario | None = None) -> Source:
    if options.allow_writes:
        raise InputError("--allow-writes belongs to --openapi", code="usage", hint="Use --method for --endpoint.")
    if not options.endpoint:
        here = Path(DEFAULT_SCENARIO).is_file()
        hint = (
            f"Here is one: --scenario {DEFAULT_SCENARIO}." if here else "For example --endpoint /api/users --rps 100."
        )
        raise InputError("nothing to request: give --endpoint, --scenario or --openapi", code="no-request", hint=hint)
    known = _supplied(lent) if lent else set()
    body = _body(options.body, known)
    base_url = options.base_url
    requests = []
    for text in options.endpoint:
        request, origin = _endpoint(text, options.method, body, known)
        if origin and base_url and origin != base_url:
            raise InputError(
                f"'{text}' names another server than {base_url}",
                code="two-servers",
                hint="Give paths, and the server once with --base-url.",
            )
        base_url = origin or base_url
        requests.append(request)
    names = [request.name for request in requests]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"the endpoint {name} is given twice", code="duplicate-name", hint="Give it a weight.")
    own = lent.base_url.static() if lent and lent.base_url else None
    base_url = base_url or own or variables.get("BASE_URL") or DEFAULT_BASE_URL
    scenario = Scenario(tuple(requests))
    return Source(with_setting(scenario, lent) if lent else scenario, base_url, ", ".join(names))


def _endpoint(text: str, method: str | None, body: Body | None, known: AbstractSet[str]) -> tuple[Request, str | None]:
    match = re.fullmatch(r"(?:(?P<weight>\d+(?:\.\d+)?)\*)?(?:(?P<method>[A-Za-z]+)\s+)?(?P<path>\S.*)", text.strip())
    if not match:
        raise InputError(
            f"'{text}' is not an endpoint", code="bad-endpoint", hint="A path, or '3*POST /api/orders'; %20 for spaces."
        )
    path, origin = match["path"], None
    if "://" in path:
        parts = urlsplit(path)
        origin = f"{parts.scheme}://{parts.netloc}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.startswith("/"):
        raise InputError(f"the endpoint '{path}' does not start with /", code="bad-endpoint", hint=f"Try /{path}.")
    if re.search(r"[\x00-\x20\x7f#]", re.sub(r"\{\{.*?\}\}", "", path)):
        raise InputError(f"the endpoint '{path}' holds a control character or #", code="bad-endpoint")
    wanted = (match["method"] or method or ("POST" if body else "GET")).upper()
    if wanted not in METHODS:
        near = did_you_mean(wanted, METHODS)
        raise InputError(f"'{wanted}' is not a method{near}", code="bad-method", hint=f"One of {', '.join(METHODS)}.")
    weight = float(match["weight"] or 1)
    if weight <= 0:
        raise InputError(f"the weight in '{text}' must be above 0", code="bad-endpoint")
    carried = body if wanted not in ("GET", "HEAD", "OPTIONS") else None
    path = "".join(
        letter if letter.isascii() else "".join(f"%{byte:02X}" for byte in letter.encode()) for letter in path
    )
    headers = (("Content-Type", literal("application/json")),) if carried and _is_json(carried) else ()
    name = f"{wanted} {path.partition('?')[0]}"
    return Request(name, wanted, _template(path, "--endpoint", known), weight, headers=headers, body=carried), origin


def _body(text: str | None, known: AbstractSet[str]) -> Body | None:
    if text is None:
        return None
    if text.startswith("@"):
        from senior_backend.load.document import read_text

        text = read_text(Path(text[1:]), "body", MAX_BODY_FILE)
    return Body("text", _template(text, "--body", known))


def _is_json(body: Body) -> bool:
    text = body.content.static()
    try:
        json.loads(re.sub(r"\{\{.*?\}\}", "0", text))
    except (ValueError, RecursionError):
        return False
    return True


def _template(text: str, where: str, known: AbstractSet[str] = frozenset()) -> Template:
    """Return a text of the command line; the shell has filled in the environment, so only {{ }} is a placeholder."""
    try:
        made = parse(text, None)
    except TemplateError as error:
        raise InputError(f"{where}: {error}", code="placeholder", where=where) from error
    for expression in made.expressions:
        if expression.variable is not None and expression.variable not in known:
            raise InputError(
                f"{where}: nothing defines '{expression}'",
                code="unknown-variable",
                where=where,
                hint="Functions such as {{ uuid() }} work here; variables and feeds need a scenario file.",
            )
    return made


def _headers(given: list[str]) -> tuple[tuple[str, Template], ...]:
    found = []
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()):
            raise InputError(f"'{name}' is not a header", code="bad-header", hint="Write --header 'Name: value'.")
        if re.search(r"[\r\n\0]", value):
            raise InputError(f"the header {name} holds a line break", code="bad-header")
        found.append((name.strip(), _template(value.strip(), "--header")))
    return tuple(found)


def _statuses(text: str) -> frozenset[int]:
    try:
        return parse_statuses(text)
    except ValueError as error:
        raise InputError(f"--expect-status: {error}", code="bad-status", hint="For example 200,404 or 2xx.") from error


def _from_openapi(options: argparse.Namespace, variables: Mapping[str, str], tls: TLSOptions) -> Source:
    from senior_backend.load import openapi

    if options.body or options.method:
        raise InputError("--method and --body belong to --endpoint", code="two-sources", hint="Leave them out.")
    location = options.openapi
    remote = location.startswith(("http://", "https://"))
    text = _fetched(location, options.i_own, tls) if remote else _specification(Path(location))
    if text.lstrip()[:1] != "{":
        environment.ensure("load", ["yaml"])
    document = openapi.parse_document(text, location)
    server = urlsplit(openapi.server_url(document))
    origin = f"{server.scheme}://{server.netloc}" if server.scheme and server.netloc else None
    if remote and not origin:
        parts = urlsplit(location)
        origin = f"{parts.scheme}://{parts.netloc}"
    chosen = options.base_url or variables.get("BASE_URL")
    base_url = chosen or origin or DEFAULT_BASE_URL
    # A base URL with a path of its own replaces the document's.
    prefix = "" if chosen and urlsplit(chosen).path.strip("/") else server.path.rstrip("/")
    authorized = any(name.lower() in ("authorization", "cookie") for name, _ in _headers(options.header))
    wanted = openapi.Options(options.allow_writes, tuple(options.endpoint), variables, authorized, prefix)
    unknown = [path for path in options.endpoint if path not in document["paths"]]
    if unknown:
        near = did_you_mean(unknown[0], [str(path) for path in document["paths"]])
        message = f"{location} has no path {unknown[0]}{near}"
        raise InputError(message, code="no-such-path", where=location, hint="Give paths as the document writes them.")
    return Source(openapi.scenario_of(document, location, wanted), base_url, location)


def _specification(path: Path) -> str:
    from senior_backend.load.document import read_text

    return read_text(path, "OpenAPI document", MAX_SPECIFICATION)


def _fetched(url: str, owned: list[str], tls: TLSOptions) -> str:
    from senior_backend.load import rails
    from senior_backend.load.single import get

    parts = urlsplit(url)
    to = rails.destination(f"{parts.scheme}://{parts.netloc}", owned, tls)
    rails.require_reachable(to)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    response = get(to.target, to.authority, path, 30.0)
    if response.status != 200:
        raise UnavailableError(
            f"{url} answered with status {response.status}",
            code="openapi-unavailable",
            where=url,
            hint="Check the path; FastAPI serves /openapi.json.",
        )
    return response.body.decode("utf-8", "replace")
