"""What every mode needs: the configuration, the chosen services, the engine, the limits of the call."""

from __future__ import annotations

import argparse
import gc
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from senior_backend.console.errors import InputError, did_you_mean
from senior_backend.console.report import Finding
from senior_backend.health.config.load import load, read
from senior_backend.health.config.values import parse_duration
from senior_backend.health.model import Configuration, Service
from senior_backend.health.security import Redactor
from senior_backend.health.verdict import URLS

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)=(?P<url>.+)")
_PLACE = re.compile(r"(?P<scheme>[^/]*)//(?:[^/?#]*@)?(?P<host>[^/?#]*)")
_OTHER = re.compile(r"[^A-Za-z0-9.]+")
DEFAULT_FILES = ("services.yaml", "services.yml", "services.json", "services.toml")


@dataclass(slots=True)
class Session:
    """One call of the tool; `until` is on the clock of `time.perf_counter`."""

    configuration: Configuration
    services: tuple[Service, ...]
    warnings: list[Finding]
    redactor: Redactor
    until: float | None
    concurrency: int
    fail_on_degraded: bool
    path: str
    started: float = field(default_factory=time.perf_counter)


def open_session(options: argparse.Namespace, environment: Mapping[str, str]) -> Session:
    """Read the file and select services.

    Raises:
        InputError: the file or an option is wrong, or nothing is left to check.
    """
    started = time.perf_counter()
    # Ten thousand services are a million objects that live to the end: collecting among them finds nothing.
    gc.set_threshold(100_000, 20, 100)
    deadline = duration_option("--deadline", options.deadline)
    if options.concurrency is not None and not 1 <= options.concurrency <= 10_000:
        raise InputError("--concurrency takes a number from 1 to 10000", code="usage")
    if options.url:
        if options.services:
            raise InputError("--url and --services exclude each other", code="usage", hint="Add the URL to the file.")
        configuration, warnings = read(_file_of(options.url), URLS, ".json", environment)
    else:
        configuration, warnings = load(options.services or _default_file(), environment, lenient=options.lenient)
    services = _selected(configuration, options.only or [])
    if options.allow_exec:
        services = tuple(
            service._replace(options={**service.options, "allowed": True}) if service.type == "exec" else service
            for service in services
        )
    from senior_backend.health.check import CONCURRENCY

    return Session(
        configuration,
        services,
        warnings,
        Redactor(configuration.secrets),
        None if deadline is None else started + deadline,
        options.concurrency or CONCURRENCY,
        options.fail_on == "degraded",
        configuration.path,
        started,
    )


def duration_option(name: str, text: str | None, default: float | None = None) -> float | None:
    """Return an option's duration in seconds.

    Raises:
        InputError: it is not a duration above zero.
    """
    if text is None:
        return default
    seconds = parse_duration(text)
    if not seconds:
        raise InputError(f"{name}: {text!r} is not a duration", code="usage", hint="Write 500ms, 30s or 2m.")
    return seconds


def _file_of(urls: list[str]) -> str:
    """Return a file with a service for each `[NAME=]URL`; the others are called by scheme, host and port."""
    names: list[str] = []
    lines = []
    for text in urls:
        named = _NAMED.fullmatch(text)
        url, name = (named["url"], named["name"]) if named else (text, _called(text))
        numbered = (f"{name}-{number}" for number in range(2, len(urls) + 2))
        names.append(next(one for one in chain([name], numbered) if one not in names))
        lines.append(json.dumps({"name": names[-1], "url": url}))
    return '{"services": [' + ",\n".join(lines) + "]}"


def _called(url: str) -> str:
    place = _PLACE.match(url)
    return _OTHER.sub("-", place["scheme"] + place["host"] if place else "").strip("-.") or "service"


def _default_file() -> Path:
    return next((Path(name) for name in DEFAULT_FILES if Path(name).is_file()), Path(DEFAULT_FILES[0]))


def _selected(configuration: Configuration, words: list[str]) -> tuple[Service, ...]:
    """Return the services with one of these tags or names, and what they depend on."""
    if not words:
        return configuration.services
    by_name = {service.name: service for service in configuration.services}
    known = set(by_name) | {tag for service in configuration.services for tag in service.tags}
    for word in words:
        if word not in known:
            raise InputError(
                f"--only {word}: no service has this name or tag{did_you_mean(word, known)}",
                code="nothing-selected",
                hint=f"Known: {', '.join(sorted(known)[:20])}.",
            )
    wanted = [service.name for service in configuration.services if {service.name, *service.tags} & set(words)]
    chosen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in chosen:
            chosen.add(name)
            wanted.extend(by_name[name].depends_on)
    return tuple(service for service in configuration.services if service.name in chosen)
