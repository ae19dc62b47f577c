"""The requests of a scenario for the engine: a fixed table where nothing varies, else one made for each arrival."""

from __future__ import annotations

import bisect
import itertools
from random import Random
from typing import TYPE_CHECKING, Any

from senior_backend.load import checks, flow
from senior_backend.load.model import Prepared, StaticWorkload
from senior_backend.load.render import Compiler, Draw, Piece, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from senior_backend.load.model import Response
    from senior_backend.load.scenario import Request, Scenario

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110, section 9.2.2."""


class DynamicWorkload:
    """Requests drawn by weight among those whose variables have a value.

    Each arrival has a random source of its own, seeded by its number: the same seed makes the same requests however
    many processes share them. Variables that responses supply are kept per process.
    """

    def __init__(
        self, scenario: Scenario, templates: Sequence[tuple[Prepared, Piece]], values: Values, seed: int
    ) -> None:
        self.names: Sequence[str] = tuple(request.name for request in scenario.requests)
        self.substituted = 0
        """Arrivals that went to another request because the drawn one had no value for a variable yet."""
        self._templates = templates
        self._values = values
        self._seed = seed << 32
        self._random = Random(seed)  # noqa: S311 - a test's data, not a secret
        self._weights = [request.weight for request in scenario.requests]
        self._cumulative = list(itertools.accumulate(self._weights))
        self._needs = [
            tuple(name for name in flow.needs(scenario, request) if name in values.pools)
            for request in scenario.requests
        ]

    def next(self, arrival: int) -> Prepared:
        """Return the request of this arrival."""
        random = self._random
        random.seed(self._seed + arrival)
        number = self._choose(random)
        prepared, piece = self._templates[number]
        if isinstance(piece, bytes):
            return prepared
        payload = piece(Draw(self._values, arrival, random))
        return Prepared(
            payload, prepared.request, prepared.head, prepared.idempotent, prepared.check, prepared.expected
        )

    def _choose(self, random: Random) -> int:
        number = bisect.bisect(self._cumulative, random.random() * self._cumulative[-1])
        number = min(number, len(self._weights) - 1)
        if self._ready(number):
            return number
        self.substituted += 1
        ready = [other for other in range(len(self._weights)) if self._ready(other)]
        # With nothing ready (every value taken) the last taken value is sent again.
        return random.choices(ready, [self._weights[other] for other in ready])[0] if ready else number

    def _ready(self, number: int) -> bool:
        pools = self._values.pools
        return all(pools[name] for name in self._needs[number])


def build(
    scenario: Scenario, authority: str, base_path: str, seed: int, values: Values | None = None
) -> StaticWorkload | DynamicWorkload:
    """Return the workload of a scenario whose login and setup steps have filled `values`."""
    values = values or Values(scenario)
    fixed = fixed_variables(scenario, values)
    compiler = Compiler(scenario, authority, base_path, fixed)
    templates: list[tuple[Prepared, Piece]] = []
    for number, request in enumerate(scenario.requests):
        piece = compiler.request(request, request.headers + flow.common_headers(scenario, request))
        prepared = Prepared(
            piece if isinstance(piece, bytes) else b"",
            number,
            head=request.method == "HEAD",
            idempotent=request.method in IDEMPOTENT,
            check=_judge(request, values),
            expected=request.check.statuses,
        )
        templates.append((prepared, piece))
    if all(isinstance(piece, bytes) for _, piece in templates):
        return StaticWorkload(
            names=tuple(request.name for request in scenario.requests),
            requests=tuple(prepared for prepared, _ in templates),
            weights=tuple(request.weight for request in scenario.requests),
        )
    return DynamicWorkload(scenario, templates, values, seed)


def fixed_variables(scenario: Scenario, values: Values) -> Mapping[str, Any]:
    """Return the variables that have exactly one value and that no request of the load can add to."""
    changing = {extract.name for request in scenario.requests for extract in request.extract}
    taken = {
        str(expression.variable)
        for request in scenario.requests
        for expression in flow.of_request(scenario, request, scenario.headers)
        if expression.is_call
    }
    return {name: pool[0] for name, pool in values.pools.items() if len(pool) == 1 and name not in changing | taken}


def _judge(request: Request, values: Values) -> Callable[[Response], str | None] | None:
    if not request.extract and not request.check.needs_response:
        return None
    judge = checks.compile_check(request.check)
    sources = [(extract, checks.compile_extract(extract)) for extract in request.extract]

    def check(response: Response) -> str | None:
        document = checks.Document(response)
        if problem := judge(document):
            return problem
        for extract, find in sources:
            found = find(document)
            for value in found:
                values.add(extract.name, value)
            # A list may be empty; a single value that is not there is a fault of the response.
            if not found and "[*]" not in (extract.json or ""):
                return f"no value for {extract.name}"
        return None

    return check
