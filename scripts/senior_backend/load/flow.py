"""Which variables a request needs and supplies, and so which requests can be sent at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from senior_backend.load.templates import Expression, Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.load.scenario import Request, Scenario


def expressions(value: Any) -> Iterator[Expression]:
    """Yield the run-time placeholders in a template, a JSON value of templates, or pairs of them."""
    if isinstance(value, Template):
        yield from value.expressions
    elif isinstance(value, dict):
        for item in value.values():
            yield from expressions(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from expressions(item)


def of_request(scenario: Scenario, request: Request, headers: tuple[tuple[str, Template], ...]) -> set[Expression]:
    """Return the placeholders of one request with these common headers, those inside variables followed."""
    body = request.body.content if request.body else ()
    found = set(expressions([request.path, request.query, request.headers, headers, body]))
    constants = dict(scenario.variables)
    pending = [expression for expression in found if expression.variable in constants]
    while pending:
        expression = pending.pop()
        for inner in expressions(constants[str(expression.variable)]):
            if inner not in found:
                found.add(inner)
                if inner.variable in constants:
                    pending.append(inner)
    return found


def common_headers(scenario: Scenario, request: Request) -> tuple[tuple[str, Template], ...]:
    """Return the scenario's headers that the request does not set itself."""
    own = {name.lower() for name, _ in request.headers}
    return tuple((name, value) for name, value in scenario.headers if name.lower() not in own)


def extracted_names(scenario: Scenario) -> set[str]:
    """Return every variable that some response supplies."""
    requests = [step.request for step in scenario.steps] + list(scenario.requests)
    return {extract.name for request in requests for extract in request.extract}


def needs(scenario: Scenario, request: Request) -> set[str]:
    """Return the extracted variables that must have a value before the request can be sent."""
    extracted = extracted_names(scenario)
    used = of_request(scenario, request, common_headers(scenario, request))
    return {str(expression.variable) for expression in used if expression.variable in extracted}


def never_sent(scenario: Scenario) -> list[tuple[int, list[str]]]:
    """Return the numbers of the requests whose variables no response can ever supply, with those variables."""
    supplied = {extract.name for step in scenario.steps for extract in step.request.extract}
    waiting = {number: needs(scenario, request) for number, request in enumerate(scenario.requests)}
    while ready := [number for number, wanted in waiting.items() if wanted <= supplied]:
        for number in ready:
            del waiting[number]
            supplied |= {extract.name for extract in scenario.requests[number].extract}
    return [(number, sorted(wanted - supplied)) for number, wanted in waiting.items()]
