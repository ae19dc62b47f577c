"""Health bodies that services really send, understood without configuration.

application/health+json (draft-inadarei-api-health-check-06), Spring Boot actuator, Eclipse MicroProfile Health,
ASP.NET Core (JSON writers and the plain text default), NestJS Terminus, django-health-check, Laravel Health, health-go,
and `{"status": …}` with or without parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from senior_backend.health.security import excerpt

Level = Literal["up", "degraded", "down"]

_WORDS: dict[str, Level] = {
    **dict.fromkeys(
        ("pass", "ok", "okay", "up", "healthy", "alive", "live", "ready", "running", "available", "green", "success",
         "serving", "online", "true", "good", "normal", "connected", "unknown"), "up"),
    **dict.fromkeys(("warn", "warning", "degraded", "yellow", "partial", "impaired"), "degraded"),
    **dict.fromkeys(
        ("fail", "failed", "error", "down", "unhealthy", "critical", "red", "not_ready", "notready", "unavailable",
         "out_of_service", "offline", "false", "disconnected", "dead", "bad", "timeout", "not_serving", "crashed",
         "service_unavailable"),
        "down"),
}  # fmt: skip
_CONTAINERS = ("components", "checks", "checkResults", "entries", "results", "dependencies", "services", "details",
               "error", "info")  # fmt: skip
_FAILURES = ("failures", "errors")
"""Where some libraries list only what fails, each with its message."""
_TEXTS = ("output", "message", "notificationMessage", "description", "error", "detail", "reason", "exception")
_MAX_COMPONENTS = 200
_MAX_DEPTH = 6
_WORSE = {"up": 0, "degraded": 1, "down": 2}


@dataclass(frozen=True, slots=True)
class BodyHealth:
    """What a body says: the overall level as the service gives it, and the level and message of each named part."""

    level: Level
    word: str
    components: Mapping[str, Level] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)

    def worst(self) -> list[str]:
        """Return the parts that are not up, the worst first."""
        bad = [name for name, level in self.components.items() if level != "up"]
        return sorted(bad, key=lambda name: (-_WORSE[self.components[name]], name))

    def explain(self) -> str:
        """Return one line that names the failing parts."""
        worst = self.worst()
        shown = []
        for name in worst[:3]:
            message = self.messages.get(name)
            shown.append(f"{name} is {self.components[name]}" + (f" ({message})" if message else ""))
        more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
        return f"{', '.join(shown)}{more}" if shown else f"its body says {self.word!r}"


def interpret(body: bytes, content_type: str = "") -> BodyHealth | None:
    """Return what a body says about health, None when it is not a health body."""
    text = body.strip()
    if not text:
        return None
    if text[:1] != b"{":
        word = text[:32].decode("utf-8", "replace").strip().strip('"')
        # The default writer of ASP.NET Core answers with this one word as text.
        if word in ("Healthy", "Degraded", "Unhealthy") and "html" not in content_type:
            return BodyHealth(_WORDS[word.lower()], word)
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    overall = _status(data)
    components: dict[str, Level] = {}
    messages: dict[str, str] = {}
    _gather(data, "", components, messages, 0)
    if overall is None:
        overall = _of_parts(data, components, messages)
    if overall is None:
        return None
    _gather_failures(data, components, messages)
    level, word = overall
    return BodyHealth(level, word, components, messages)


def reported_error(body: bytes) -> BodyHealth | None:
    """Return the error that a body without a status tells; GraphQL and some frameworks send those with status 200."""
    if body.lstrip()[:1] != b"{":
        return None
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    told = data.get("error") or data.get("errors")
    first = told[0] if isinstance(told, list) and told else told
    text = _message(first) if isinstance(first, dict) else first
    return BodyHealth("down", f"error: {excerpt(text, 120)}") if isinstance(text, str) and text.strip() else None


def _status(value: Any) -> tuple[Level, str] | None:
    if isinstance(value, dict):
        for key in ("status", "Status", "state", "healthy", "ok", "success"):
            if key in value and not isinstance(value[key], dict | list):
                return _status(value[key])
        return None
    if isinstance(value, bool):
        return ("up", "true") if value else ("down", "false")
    if isinstance(value, str):
        level = _WORDS.get(value.strip().lower().replace(" ", "_").replace("-", "_"))
        return (level, excerpt(value, 40)) if level else None
    return None


def _of_parts(
    data: Mapping[str, Any], components: dict[str, Level], messages: dict[str, str]
) -> tuple[Level, str] | None:
    """Return the level of a body that has none of its own, by its parts; None where they are not surely such.

    Laravel Health lists `checkResults`; django-health-check says `working` of each part, or what is wrong with it.
    """
    if "working" in data.values() and all(isinstance(value, str) for value in data.values()):
        for name, text in list(data.items())[:_MAX_COMPONENTS]:
            path = excerpt(name, 80)
            components[path] = "up" if text == "working" else "down"
            if text != "working":
                messages[path] = excerpt(text, 120)
    elif not isinstance(data.get("checkResults"), list) or not components:
        return None
    return max(components.values(), key=lambda level: _WORSE[level]), ""


def _gather_failures(data: Mapping[str, Any], components: dict[str, Level], messages: dict[str, str]) -> None:
    for container in _FAILURES:
        found = data.get(container)
        for name, text in list(found.items())[:_MAX_COMPONENTS] if isinstance(found, dict) else []:
            if isinstance(text, str) and text.strip():
                path = excerpt(name, 80)
                components.setdefault(path, "down")
                messages.setdefault(path, excerpt(text, 120))


def _gather(data: Any, prefix: str, components: dict[str, Level], messages: dict[str, str], depth: int) -> None:
    if not isinstance(data, dict) or depth > _MAX_DEPTH:
        return
    if not any(isinstance(value, dict | list) for value in data.values()):
        return
    for container in _CONTAINERS:
        found = data.get(container) or data.get(container.capitalize())
        pairs: list[tuple[str, Any]] = []
        if isinstance(found, dict):
            pairs = list(found.items())
        elif isinstance(found, list):
            pairs = [(_name(item), item) for item in found if isinstance(item, dict) and _name(item)]
        for name, item in pairs:
            _component(f"{prefix}{name}", item, components, messages, depth)


def _name(item: Mapping[str, Any]) -> str:
    return next(
        (str(item[key]) for key in ("name", "key", "component", "componentId", "id", "Name") if item.get(key)), ""
    )


def _component(path: str, item: Any, components: dict[str, Level], messages: dict[str, str], depth: int) -> None:
    path = excerpt(path, 80)
    entries = item if isinstance(item, list) else [item]
    for entry in entries:
        status = _status(entry)
        if status is None or len(components) >= _MAX_COMPONENTS:
            continue
        level = status[0]
        if path not in components or _WORSE[level] > _WORSE[components[path]]:
            components[path] = level
            message = _message(entry)
            if message:
                messages[path] = message
        _gather(entry, f"{path}.", components, messages, depth + 1)


def _message(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    for source in (entry, entry.get("details"), entry.get("data")):
        if isinstance(source, dict):
            for key in _TEXTS:
                if isinstance(source.get(key), str) and source[key].strip():
                    return excerpt(source[key], 120)
    told = entry.get("data")  # MicroProfile Health: keys of the check's own choice
    texts = told.values() if isinstance(told, dict) else ()
    return next((excerpt(text, 120) for text in texts if isinstance(text, str) and text.strip()), "")
