"""Docker Compose files: published ports, healthchecks, depends_on, and URLs in the environment."""

from __future__ import annotations

import re
from pathlib import Path

from senior_backend.health.config.nodes import Node
from senior_backend.health.discover import (
    Discovery,
    Found,
    Skipped,
    address,
    clean_name,
    documents,
    environment_of,
    host_of,
    node_at,
    of_image,
    text_at,
    type_of,
)

_URL = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\d+))?(/[^\s\"'|;&)]*)?")
_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")


def fits(path: Path, text: str) -> bool:
    """Whether this is a compose file, by its name or its shape."""
    if path.suffix not in (".yaml", ".yml"):
        return False
    named = "compose" in path.name
    return named or bool(
        re.search(r"^services:", text, re.MULTILINE) and re.search(r"^\s+(image|build|ports):", text, re.MULTILINE)
    )


def find(text: str, name: str) -> Discovery:
    """Return a service for each published port that has a check, else for the first one."""
    made = Discovery()
    for root in documents(text):
        services = node_at(root, "services")
        for key, service in services.entries if services and services.kind == "map" else []:
            if service.kind == "map":
                _one(str(key.value), key, service, name, made)
    return made


def _one(word: str, key: Node, service: Node, file: str, made: Discovery) -> None:
    image = text_at(service, "image")
    ports = _ports(node_at(service, "ports"))
    health = _health_url(service)
    if not ports:
        reason = "it publishes no port, so it is not reachable from here"
        if node_at(service, "ports"):
            reason = "no TCP port of it has a number on this machine that the file tells"
        made.skipped.append(Skipped(f"{file}:{key.line} ({word})", reason))
        return
    variables = environment_of(node_at(service, "environment"))
    needed = [host for _, value in variables.values() if (host := host_of(value))]
    depends = node_at(service, "depends_on")
    names = [str(item.value) for item in depends.items] if depends else []
    names += [str(name.value) for name, _ in depends.entries] if depends else []
    own = next((port for port in ports if type_of("", port[0]) == of_image(image)), ports[0])
    inside, outside, line = next((port for port in ports if health and port[0] == health[0]), own)
    kind = type_of(image, inside)
    if health and kind in ("tcp", "http"):
        url, source = address("http", "127.0.0.1", outside, health[1]), f"{health[2]} (healthcheck)"
    elif kind == "http":
        url, source = address("http", "127.0.0.1", outside, "/"), f"{line} (ports)"
    else:
        url, source = address(kind, "127.0.0.1", outside), f"{line} (ports)"
    remarks = [f"depends_on from {file}:{depends.line}"] if depends and names else []
    remarks += [f"depends on {host} by {variable} ({file}:{node.line})" for variable, (node, value) in variables.items()
                if (host := host_of(value)) and host not in names]  # fmt: skip
    if kind == "http" and not health:
        remarks.append("no health endpoint is known; replace the path with one")
    made.found.append(
        Found(clean_name(word), f"{file}:{source}", {"url": url}, (*names, *needed), tuple(remarks), (word,))
    )


def _ports(node: Node | None) -> list[tuple[int, int, int]]:
    """Return inner port, published port and line of each TCP port."""
    found = []
    for item in node.items if node else []:
        if item.kind == "map":
            inner, outer = _expanded(text_at(item, "target")), _expanded(text_at(item, "published"))
            if text_at(item, "protocol") == "udp":
                continue
        else:
            written = _expanded(str(item.value))
            if written.endswith("/udp"):
                continue
            parts = re.sub(r"/tcp$", "", re.sub(r"\[[^\]]*\]", "", written)).split(":")
            inner, outer = parts[-1], parts[-2] if len(parts) > 1 else ""
        inner, outer = inner.partition("-")[0], outer.partition("-")[0]  # of a range, the first
        if inner.isdigit() and outer.isdigit():
            found.append((int(inner), int(outer), item.line))
    return found


def _expanded(text: str) -> str:
    """Return text with each variable replaced by its default."""
    return _VARIABLE.sub(lambda match: match[2] or "", text)


def _health_url(service: Node) -> tuple[int, str, int] | None:
    """Return port, path and line of the URL that the healthcheck asks for."""
    test = node_at(service, "healthcheck", "test")
    if test is None:
        return None
    words = " ".join(str(item.value) for item in test.items) if test.kind == "list" else str(test.value or "")
    match = _URL.search(words)
    return (int(match[1] or 80), match[2] or "/", test.line) if match else None
