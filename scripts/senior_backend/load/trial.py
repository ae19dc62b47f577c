"""One request before the load: is each endpoint there, and may it be called?

A path that answers 404 or 405 is looked up in the service's own OpenAPI document, and missing credentials come from the
login of a scenario file. What can be known is used and said; what cannot is never guessed: then nothing is measured,
and the error names what to write instead. An endpoint that writes is not sent for a look: a GET of its path is, and an
answer to that decides nothing alone.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urljoin, urlsplit

from senior_backend.console.errors import InputError, ToolError, UnavailableError, UndecidedError
from senior_backend.console.report import Finding
from senior_backend.load import advice, flow, openapi, paths, rails, sources
from senior_backend.load.render import Compiler, Draw, Values
from senior_backend.load.scenario import READ_ONLY_METHODS
from senior_backend.load.single import ExchangeError, closing, exchange, get
from senior_backend.load.statistics import REDIRECTS
from senior_backend.load.steps import run_steps
from senior_backend.load.templates import is_secret_name, parse
from senior_backend.load.workload import build

if TYPE_CHECKING:
    from senior_backend.load.application import Prepared
    from senior_backend.load.model import Response, StaticWorkload
    from senior_backend.load.scenario import Request, Scenario
    from senior_backend.load.workload import DynamicWorkload

LONGEST_S = 3.0
"""A service that is slower than this is left to the load, which says so better."""
ABSENT, LOCKED = frozenset({404, 405}), frozenset({401, 403})
DOCUMENTS = ("/openapi.json", "/api/openapi.json", "/api/v1/openapi.json", "/v3/api-docs", "/swagger.json")
"""Where frameworks serve their OpenAPI document by default."""


def opened(call: Prepared) -> tuple[Prepared, StaticWorkload | DynamicWorkload]:
    """Return the call as it can be carried out, and its requests; login and setup have been taken.

    Raises:
        ToolError: see `settled`; nothing was measured.
    """
    call = settled(call)
    scenario, to, plan = call.source.scenario, call.to, call.settings.plan
    values = call.values or run_steps(scenario, to, plan.seed, plan.timeout_s)
    return call, build(scenario, to.authority, to.base_path, plan.seed, values)


def settled(call: Prepared) -> Prepared:
    """Return the call as it can be carried out, with a note on everything that differs from what was asked.

    Only calls with `--endpoint` are looked at: scenario files and OpenAPI documents say what they mean.

    Raises:
        InputError: nothing is at a path, or it leads elsewhere, and no other path is certain.
        UndecidedError: several paths could be meant.
        UnavailableError: credentials are missing or not accepted, or a login fails.
    """
    if not call.options.endpoint or call.options.openapi:
        return call
    trial = _Trial(call)
    while trial.goes_on():
        pass
    return trial.call


class _Trial:
    """The call while it is being settled; each request is looked up at most once, and there is one login."""

    def __init__(self, call: Prepared) -> None:
        self.call = call
        self.looked_up: set[int] = set()
        self.known: tuple[paths.Documented, ...] | None = None
        self.document_url = ""
        self.signed_in_by: str | None = None
        if call.source.scenario.steps:
            self._take_steps(str(call.options.scenario))

    def goes_on(self) -> bool:
        """Try every endpoint; mend what is wrong and return True, or return False when there is nothing to mend."""
        answers = [self._answer(request) for request in self._scenario.requests]
        absent = [
            (number, answer)
            for number, answer in enumerate(answers)
            if answer is not None and answer.status in ABSENT and self._is_certain(number, answer)
        ]
        for number, answer in absent:
            if number not in self.looked_up:
                self.looked_up.add(number)
                self._look_up(number, answer)
                return True
        locked = [
            (number, answer) for number, answer in enumerate(answers) if answer is not None and answer.status in LOCKED
        ]
        for number, answer in locked:
            request = self._scenario.requests[number]
            if self.signed_in_by is None and not self._has_credentials(request) and self._sign_in():
                return True
            if request.method in READ_ONLY_METHODS:
                self._refuse(request, answer)
        moved = [
            (number, answer)
            for number, answer in enumerate(answers)
            if answer is not None and answer.status in REDIRECTS and self._is_read(number)
        ]
        for number, answer in moved:
            self._redirected(number, answer)
            return True
        return False

    @property
    def _scenario(self) -> Scenario:
        return self.call.source.scenario

    def _is_read(self, number: int) -> bool:
        return self._scenario.requests[number].method in READ_ONLY_METHODS

    def _is_certain(self, number: int, answer: Response) -> bool:
        """Whether a 404 or 405 says something of the endpoint: a GET of a path that only takes POST is a 405."""
        return answer.status == 404 or self._is_read(number)

    def _answer(self, request: Request) -> Response | None:
        """Return the answer to one request, None where there was none or the status is one that it expects."""
        call = self.call
        uses = flow.of_request(self._scenario, request, flow.common_headers(self._scenario, request))
        if any(expression.name == "take" for expression in uses):
            return None
        if request.method not in READ_ONLY_METHODS:
            request = replace(request, method="GET", body=None, headers=())
        headers = request.headers + flow.common_headers(self._scenario, request)
        piece = Compiler(self._scenario, call.to.authority, call.to.base_path, {}).request(request, headers)
        draw = Draw(call.values or Values(self._scenario), 0, Random(call.settings.plan.seed))  # noqa: S311 - test data
        payload = piece if isinstance(piece, bytes) else piece(draw)
        with suppress(ExchangeError):
            answer = exchange(
                call.to.target, closing(payload), min(LONGEST_S, call.settings.plan.timeout_s), request.method
            )
            return None if answer.status in (request.check.statuses or ()) else answer
        return None

    def _look_up(self, number: int, answer: Response) -> None:
        request = self._scenario.requests[number]
        asked = self.call.to.base_path + request.path.source()
        what = f"{request.method} {asked.partition('?')[0]} answered {answer.status}"
        found = paths.find(self._documented(), request.method, asked)
        if found.same and request.method in found.same.methods:
            if request.method in READ_ONLY_METHODS and request.path.is_static:
                hint = "Name one that is there, or measure the answer itself with --expect-status 404."
                raise InputError(
                    f"{what}: the path is documented ({found.same.path}), and it has nothing to show",
                    code="no-such-record",
                    where=asked,
                    hint=hint,
                )
            return
        base = self.call.to.base_path
        reachable = [path for path in found.candidates if path.startswith(f"{base}/")]
        if len(reachable) == 1:
            because = f"{what}, and the service's OpenAPI document has exactly that path"
            self._use(number, reachable[0].removeprefix(base), because)
            return
        if reachable:
            commands = " or ".join(self._command(number, path.removeprefix(base)) for path in reachable)
            raise UndecidedError(
                f"{what}, and {len(reachable)} paths of the service's OpenAPI document could be meant: "
                + ", ".join(reachable),
                code="ambiguous-path",
                where=asked,
                hint=f"Choose one: {commands}",
            )
        if request.method in READ_ONLY_METHODS and (self.known or request.path.is_static):
            self._nothing_there(number, answer, what, found)

    def _nothing_there(self, number: int, answer: Response, what: str, found: paths.Found) -> NoReturn:
        request = self._scenario.requests[number]
        allowed = answer.header("Allow")
        methods = sorted(found.same.methods) if found.same else [word.strip() for word in (allowed or "").split(",")]
        if answer.status == 405 and any(methods):
            raise InputError(
                f"{what}: that path takes {', '.join(methods)}",
                code="no-such-method",
                where=request.name,
                hint=f"For example --endpoint '{methods[0]} {request.path.source()}'.",
            )
        if not self.known:
            raise InputError(
                f"{what}, and the service shows no OpenAPI document that says where it is",
                code="no-such-path",
                where=request.name,
                hint="Name a path that is there; to measure the answer itself, add --expect-status "
                f"{answer.status}. Its description may be elsewhere: --openapi FILE|URL --dry-run lists its paths.",
            )
        base = self.call.to.base_path
        near = [path for path in found.near if path.startswith(f"{base}/") and "{" not in path]
        first = f"{self._command(number, near[0].removeprefix(base))}; all" if near else "All"
        similar = f" (did you mean {' or '.join(found.near)}?)" if found.near else ""
        raise InputError(
            f"{what}, and the service's OpenAPI document has no such path{similar}",
            code="no-such-path",
            where=request.name,
            hint=f"{first} paths: {advice.paths_of(self.document_url)}",
        )

    def _documented(self) -> tuple[paths.Documented, ...]:
        """Return what the service documents, nothing where it shows no document."""
        if self.known is None:
            self.known = ()
            for where in DOCUMENTS:
                with suppress(ToolError):
                    answer = get(self.call.to.target, self.call.to.authority, where, LONGEST_S)
                    document = openapi.parse_document(answer.body.decode("utf-8", "replace"), where)
                    self.known = paths.documented(document)
                    self.document_url = f"{self.call.to.target.scheme}://{self.call.to.authority}{where}"
                    break
        return self.known

    def _redirected(self, number: int, answer: Response) -> None:
        """Measure what a redirect leads to, where that is the same path but for a slash; else refuse."""
        request, to = self._scenario.requests[number], self.call.to
        asked = (to.base_path + request.path.source()).partition("?")[0]
        here = f"{to.target.scheme}://{to.authority}"
        location = urlsplit(urljoin(here + asked, answer.header("Location") or ""))
        origin, path = f"{location.scheme}://{location.netloc}", location.path or "/"
        what = f"{request.method} {asked} answered {answer.status}"
        same = origin == here and path.startswith(f"{to.base_path}/")
        if number not in self.looked_up and same and path != asked and path.rstrip("/") == asked.rstrip("/"):
            self.looked_up.add(number)
            self._use(number, path.removeprefix(to.base_path), f"{what} and leads to exactly that path")
            return
        there = path if origin == here else origin + path
        if origin != here:
            hint = f"Measure it there: --base-url {origin} --endpoint '{request.method} {path}'."
        elif same and path != asked:
            hint = f"Measure that: {self._command(number, path.removeprefix(to.base_path))}; where it is a login, add "
            hint += "--header, or --scenario FILE to take its login."
        else:
            hint = "Add what it wants, often a cookie or another --header."
        raise InputError(
            f"{what} and leads to {there}: the redirect would be measured, not that",
            code="redirects",
            where=request.name,
            hint=f"{hint} To measure the redirect itself, add --expect-status {answer.status}.",
        )

    def _use(self, number: int, path: str, because: str) -> None:
        """Measure another path instead."""
        request = self._scenario.requests[number]
        query = request.path.source().partition("?")
        mended = replace(
            request,
            name=f"{request.method} {path}",
            path=parse(path + query[1] + query[2], None),
        )
        note = Finding(
            "endpoint-resolved",
            "warning",
            f"measured {mended.name}: {because}",
            fix=f"name it: {self._command(number, path)}",
        )
        requests = tuple(mended if place == number else other for place, other in enumerate(self._scenario.requests))
        objectives = tuple(
            replace(item, request=mended.name) if item.request == request.name else item
            for item in self.call.objectives
        )
        label = ", ".join(other.name for other in requests)
        source = replace(self.call.source, scenario=replace(self._scenario, requests=requests), label=label)
        self.call = replace(self.call, source=source, objectives=objectives, notes=(*self.call.notes, note))

    def _command(self, number: int, path: str) -> str:
        """Return this call with another path for one endpoint."""
        old = self._scenario.requests[number].path.source().partition("?")[0]
        words = [
            text.replace(old, path, 1) if place == number else text
            for place, text in enumerate(self.call.options.endpoint)
        ]
        return advice.command(*(word for text in words for word in ("--endpoint", text)), without=("--endpoint",))

    def _has_credentials(self, request: Request) -> bool:
        return any(is_secret_name(name) for name, _ in request.headers + self._scenario.headers)

    def _sign_in(self) -> bool:
        """Take login and headers from the scenario file of this folder, where it is for this service."""
        path = Path(sources.DEFAULT_SCENARIO)
        if self.call.options.scenario or not path.is_file():
            return False
        lent = sources.load_file(path, self.call.variables)
        if not lent.steps or not self._is_for_this_service(lent):
            return False
        source = replace(self.call.source, scenario=sources.with_setting(self._scenario, lent))
        self.call = replace(self.call, source=source)
        self._take_steps(str(path))
        return True

    def _is_for_this_service(self, lent: Scenario) -> bool:
        """Whether the file names this service: credentials never go to another one."""
        if lent.base_url is None:
            return True
        with suppress(ToolError):
            named = rails.destination(lent.base_url.static(), self.call.options.i_own, self.call.tls).target
            ours = self.call.to.target
            return (named.scheme, named.host, named.port) == (ours.scheme, ours.host, ours.port)
        return False

    def _take_steps(self, file: str) -> None:
        plan = self.call.settings.plan
        values = run_steps(self._scenario, self.call.to, plan.seed, plan.timeout_s)
        self.signed_in_by = file
        step = "login step" if any(step.is_login for step in self._scenario.steps) else "setup"
        note = Finding("signed-in", "info", f"signed in by the {step} of {file}")
        self.call = replace(self.call, values=values, notes=(*self.call.notes, note))

    def _refuse(self, request: Request, answer: Response) -> NoReturn:
        what = f"{request.name} answered {answer.status}"
        if self.signed_in_by:
            problem, hint = f"after the login of {self.signed_in_by}", "Check what its account may do."
        elif self._has_credentials(request):
            problem, hint = "to the credentials that --header gives", "Check that they are valid, and what they allow."
        else:
            problem = "because it wants credentials, and none were given"
            hint = (
                "Add --header 'Authorization: Bearer ...', or --scenario FILE to take its login; api_scaffold.py "
                f"writes {sources.DEFAULT_SCENARIO} into the project's folder."
            )
            if Path(sources.DEFAULT_SCENARIO).is_file() and not self.call.options.scenario:
                hint = (
                    f"{sources.DEFAULT_SCENARIO} here is for another service or has no login; "
                    f"if this one knows its account: {advice.command('--scenario', sources.DEFAULT_SCENARIO)}"
                )
        refused = Finding("not-allowed", "error", f"{what} {problem}", request.name, hint)
        raise UnavailableError(refused.message, code=refused.code, findings=(refused, *self.call.notes))
