"""A load scenario as plain data: what to send, what to expect, what to keep, and at which rate.

Every source makes one of these (flags, a scenario file, an OpenAPI document), and every consumer reads one
(the engine's workload, the k6 and Locust exports).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from senior_backend.load.templates import Template

DEFAULT_BASE_URL = "http://127.0.0.1:8000"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

BodyKind = Literal["json", "text", "form"]
READ_ONLY_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Body:
    """A request body.

    `content` is a template for text, pairs for a form, and for JSON a value whose strings are templates.
    """

    kind: BodyKind
    content: Any


@dataclass(frozen=True, slots=True)
class Extract:
    """A variable from a response: a JSON path, a header, a cookie, or the body; then a regular expression on it."""

    name: str
    json: str | None = None
    header: str | None = None
    cookie: str | None = None
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class RequiredFields:
    """What an OpenAPI document says of one response: media types, and the JSON fields that must be there."""

    content_types: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    """Top-level fields of a JSON object."""
    item_required: tuple[str, ...] = ()
    """Fields of each item, where the response is a JSON list."""
    shape: Literal["object", "array", "any"] = "any"


@dataclass(frozen=True, slots=True)
class Check:
    """What makes a response right. `statuses` None means 200 to 399."""

    statuses: frozenset[int] | None = None
    contains: str | None = None
    not_contains: str | None = None
    matches: str | None = None
    json: tuple[tuple[str, Any], ...] = ()
    has: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    documented: tuple[tuple[str, RequiredFields], ...] = ()
    """From an OpenAPI document: by status, `2XX` pattern or `default`."""

    @property
    def needs_response(self) -> bool:
        """Whether anything but the status is looked at."""
        return bool(
            self.contains
            or self.not_contains
            or self.matches
            or self.json
            or self.has
            or self.headers
            or self.documented
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request. `query` is added to what `path` holds already."""

    name: str
    method: str
    path: Template
    weight: float = 1.0
    query: tuple[tuple[str, Template], ...] = ()
    headers: tuple[tuple[str, Template], ...] = ()
    body: Body | None = None
    check: Check = field(default_factory=Check)
    extract: tuple[Extract, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A request that is made `repeat` times before the load."""

    request: Request
    repeat: int = 1
    is_login: bool = False


@dataclass(frozen=True, slots=True)
class Feed:
    """Rows for `{{ name.column }}`."""

    name: str
    rows: tuple[Mapping[str, Any], ...]
    pick: Literal["sequential", "random"]
    path: Path


@dataclass(frozen=True, slots=True)
class ScenarioStage:
    """A part of the plan: `rate` requests per second at its start, `end_rate` at its end."""

    seconds: float
    rate: float
    end_rate: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario; what is None was not said, and the flags or their defaults decide."""

    requests: tuple[Request, ...]
    base_url: Template | None = None
    headers: tuple[tuple[str, Template], ...] = ()
    variables: tuple[tuple[str, Template], ...] = ()
    feeds: tuple[Feed, ...] = ()
    steps: tuple[Step, ...] = ()
    stages: tuple[ScenarioStage, ...] = ()
    arrivals: Literal["poisson", "constant"] | None = None
    warmup_s: float | None = None
    timeout_s: float | None = None
    connections: int | None = None
    seed: int | None = None
    slo: str | None = None
    notes: tuple[str, ...] = ()
    """What was left out while it was made, and why."""


def parse_duration(text: str | float) -> float:
    """Return seconds of `30s`, `500ms`, `1m30s`, `2h` or a bare number.

    Raises:
        ValueError: not such a text, or not positive and finite.
    """
    written = str(text).strip()
    try:
        seconds = float(written)
    except ValueError:
        if not re.fullmatch(f"(?:{_DURATION.pattern})+", written):
            raise ValueError(f"'{written}' is not a duration such as 30s, 500ms, 2m or 1m30s") from None
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(written))
    if not 0 <= seconds < 1e9:
        raise ValueError(f"'{written}' is not a duration such as 30s, 500ms, 2m or 1m30s")
    return seconds


def parse_statuses(text: str) -> frozenset[int]:
    """Return the statuses of `200`, `2xx`, `200,404` or `2xx,404`.

    Raises:
        ValueError: not such a text.
    """
    found: set[int] = set()
    for word in str(text).split(","):
        match = re.fullmatch(r"([1-5])(\d\d|xx)", word.strip().lower())
        if not match:
            raise ValueError(f"'{word.strip()}' is not a status such as 200 or 2xx")
        first = int(match[1]) * 100
        found.update(range(first, first + 100) if match[2] == "xx" else (first + int(match[2]),))
    return frozenset(found)
