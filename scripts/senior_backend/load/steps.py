"""Runs the login and setup steps of a scenario before the load, so that their values are there."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from senior_backend.console.errors import UnavailableError
from senior_backend.load import checks, flow
from senior_backend.load.render import Compiler, Draw, Values
from senior_backend.load.single import ExchangeError, closing, exchange

if TYPE_CHECKING:
    from senior_backend.load.model import Response
    from senior_backend.load.rails import Destination
    from senior_backend.load.scenario import Scenario, Step

SHOWN = 200
"""Characters of a response that an error shows."""


def run_steps(scenario: Scenario, to: Destination, seed: int, timeout_s: float) -> Values:
    """Return the values that the steps supplied.

    Raises:
        UnavailableError: a step got no answer, a wrong one, or one without its value; nothing was measured then.
    """
    values = Values(scenario)
    for step in scenario.steps:
        for number in range(step.repeat):
            random = Random(f"{seed}-{number}")  # noqa: S311 - test data
            _run(scenario, step, to, Draw(values, number, random), timeout_s)
    return values


def _run(scenario: Scenario, step: Step, to: Destination, draw: Draw, timeout_s: float) -> None:
    request, values = step.request, draw.source
    # A common header that needs a value which is not there yet (the token, in the login itself) is left out.
    headers = request.headers + tuple(
        (name, template)
        for name, template in flow.common_headers(scenario, request)
        if all(values.pools.get(str(expression.variable), True) for expression in template.expressions)
    )
    piece = Compiler(scenario, to.authority, to.base_path, {}).request(request, headers)
    payload = piece if isinstance(piece, bytes) else piece(draw)
    what = "login" if step.is_login else f"setup step '{request.name}'"
    try:
        response = exchange(to.target, closing(payload), timeout_s, request.method)
    except ExchangeError as error:
        raise _failed(
            what, f"got no answer: {error}", request.name, "Check that the service is up and healthy."
        ) from error
    problem = _status_problem(response, request.check.statuses)
    document = checks.Document(response)
    problem = problem or checks.compile_check(request.check)(document)
    if problem:
        hint = "Check its path, body and credentials" + (", LOAD_* variables included." if step.is_login else ".")
        raise _failed(what, f"failed: {problem}; the body starts {document.text[:SHOWN]!r}", request.name, hint)
    for extract in request.extract:
        found = checks.compile_extract(extract)(document)
        if not found:
            # The body may hold tokens: say where was looked, not what was there.
            source = extract.json or extract.header or extract.cookie or extract.regex or "the body"
            raise _failed(what, f"has no {extract.name} at {source}", request.name, "Correct the path under extract.")
        for value in found:
            values.add(extract.name, value)


def _status_problem(response: Response, expected: frozenset[int] | None) -> str | None:
    right = response.status in expected if expected is not None else 200 <= response.status < 400
    return None if right else f"status {response.status}"


def _failed(what: str, problem: str, name: str, hint: str) -> UnavailableError:
    code = "login-failed" if what == "login" else "setup-failed"
    return UnavailableError(f"{what} {problem}", code=code, where=name, hint=hint)
