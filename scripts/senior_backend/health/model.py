"""The plain data between the stages: a service as configured, and the result of checking it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from senior_backend.health.assertions import Assertion
from senior_backend.health.reasons import State
from senior_backend.health.steps import TlsOptions

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class Service(NamedTuple):
    """One service of services.yaml. Times are in seconds; `options` are the probe's own fields.

    `target` is what people see: the address without userinfo and query values. `where` is its place in the file.
    """

    name: str
    type: str
    host: str = ""
    port: int = 0
    tls: TlsOptions | None = None
    tls_options: TlsOptions = TlsOptions()
    timeout: float = 5.0
    interval: float = 30.0
    retries: int = 1
    critical: bool = True
    every_address: bool = True
    depends_on: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    expect: tuple[Assertion, ...] = ()
    degraded: tuple[Assertion, ...] = ()
    options: Mapping[str, Any] = NO_OPTIONS
    target: str = ""
    line: int = 0
    column: int = 0


class Configuration(NamedTuple):
    """A whole services.yaml."""

    path: str
    services: tuple[Service, ...]
    secrets: frozenset[str] = frozenset()
    allow_addresses: tuple[str, ...] = ()


class Result(NamedTuple):
    """What is known about one service after a run. Phases are in milliseconds.

    `causes` names the root causes of a blocked service, `components` the parts that the service itself reports.
    `clock_ahead` is how many seconds this machine's clock is ahead of the service's.
    `looks` holds the total of every measurement when there was more than one.
    """

    service: Service
    state: State
    reason: str | None = None
    detail: str = ""
    phases: Mapping[str, float | None] = NO_OPTIONS
    facts: Mapping[str, Any] = NO_OPTIONS
    components: Mapping[str, str] = NO_OPTIONS
    excerpt: str = ""
    address: str | None = None
    fingerprint: str | None = None
    tls_days: float | None = None
    clock_ahead: float | None = None
    attempts: int = 1
    flaky: bool = False
    looks: tuple[float, ...] = ()
    lag_ms: float = 0.0
    active: int = 1
    causes: tuple[str, ...] = ()
    own_reason: str | None = None
    next_step: str = ""

    @property
    def failing(self) -> bool:
        """Whether the service does not do its work, by its own fault or another's."""
        return self.state in ("down", "blocked")
