"""One module for each type of check. A module with a `PROBE` in this folder is found by itself; nothing lists them."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any
from urllib.parse import SplitResult

from senior_backend.health.config.values import Example, Field, Reader
from senior_backend.health.model import Service
from senior_backend.health.steps import Conversation


@dataclass(frozen=True, slots=True)
class Probe:
    """A type of check.

    `schemes` maps the URL schemes it owns to whether they begin with TLS; a `port` of 0 has to be given.
    `facts` are the values that `expect` can ask about, with their kinds. `local` probes have no host.
    `from_url` returns the options that a URL's path and query give, `validate` reports options that do not fit.
    """

    type: str
    title: str
    converse: Callable[[Service], Conversation]
    schemes: Mapping[str, bool] = field(default_factory=dict)
    port: int = 0
    tls_port: int = 0
    aliases: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    local: bool = False
    host_optional: bool = False
    always_tls: bool = False
    from_url: Callable[[SplitResult], Mapping[str, Any]] | None = None
    validate: Callable[[Reader, Any, dict[str, Any]], None] | None = None
    examples: tuple[Example, ...] = ()


@lru_cache(maxsize=1)
def _types() -> tuple[str, ...]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


@lru_cache(maxsize=256)
def of_type(name: str) -> Probe | None:
    """Return the probe of a type, from the module of that name; no other module is loaded."""
    if name not in _types():
        return None
    probe: Probe = import_module(f"{__name__}.{name}").PROBE
    return probe


@lru_cache(maxsize=256)
def of_word(word: str) -> Probe | None:
    """Return the probe that `type:` names, by its type or by an alias."""
    return of_type(word) or by_word().get(word)


@lru_cache(maxsize=256)
def of_scheme(scheme: str) -> tuple[Probe, bool] | None:
    """Return the probe of a URL scheme and whether that means TLS from the first byte.

    Most schemes are a type's name, with an `s` for TLS: then the other probes need not be loaded.
    """
    for name in (scheme, scheme.removesuffix("s")):
        probe = of_type(name)
        if probe is not None and scheme in probe.schemes:
            return probe, probe.schemes[scheme]
    return by_scheme().get(scheme)


@lru_cache(maxsize=1)
def all_probes() -> Mapping[str, Probe]:
    """Return every probe by its type, in alphabetical order."""
    return {name: probe for name in _types() if (probe := of_type(name))}


@lru_cache(maxsize=1)
def by_word() -> Mapping[str, Probe]:
    """Return the probes by type and by alias, as `type:` may name them."""
    found = dict(all_probes())
    for probe in all_probes().values():
        found.update(dict.fromkeys(probe.aliases, probe))
    return found


@lru_cache(maxsize=1)
def by_scheme() -> Mapping[str, tuple[Probe, bool]]:
    """Return each URL scheme's probe and whether the scheme means TLS from the first byte."""
    return {scheme: (probe, tls) for probe in all_probes().values() for scheme, tls in probe.schemes.items()}


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` never leaves this machine."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def connect_step(service: Service) -> Any:
    """Return the first step of most conversations."""
    from senior_backend.health.steps import Connect

    return Connect(service.host, service.port, tls=service.tls)
