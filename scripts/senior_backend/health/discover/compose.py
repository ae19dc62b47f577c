"""Docker Compose files: published ports, healthchecks, depends_on, and URLs in the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from senior_backend.health.config.nodes import Node
from senior_backend.health.discover import (
    TLS_PORTS,
    Discovery,
    Found,
    Skipped,
    Source,
    address,
    clean_name,
    environment_of,
    host_of,
    known_path,
    node_at,
    of_image,
    place_in,
    text_at,
    type_of,
    without_secret_query,
)

_URL = re.compile(r"(https?)://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\d+))?(/[^\s\"'|;&)]*)?")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?[-?]([^${}]*))?\}|([A-Za-z_]\w*))")


def fits(path: Path, text: str) -> bool:
    """Whether this is a compose file, by its name or its shape."""
    if path.suffix not in (".yaml", ".yml"):
        return False
    named = "compose" in path.name
    return named or bool(
        re.search(r"^services:", text, re.MULTILINE) and re.search(r"^\s+(image|build|ports):", text, re.MULTILINE)
    )


def find(files: Sequence[Source]) -> Discovery:
    """Return a service for each published port that has a check, else for the first one."""
    made = Discovery()
    for file in files:
        beside = _variables(file.path.parent / ".env")
        for root in file.documents():
            services = node_at(root, "services")
            for key, service in services.entries if services and services.kind == "map" else []:
                if service.kind == "map":
                    _one(key, service, file.name, beside, made)
    return made


def _one(key: Node, service: Node, file: str, beside: Mapping[str, str], made: Discovery) -> None:
    word = str(key.value)
    image = text_at(service, "image")
    image = _expanded(image, beside) or (image and word)
    ports = _ports(node_at(service, "ports"), beside)
    health = _health_url(service, beside)
    if not ports:
        reason = "it publishes no port, so it is not reachable from here"
        if node_at(service, "ports"):
            reason = "no TCP port of it has a number on this machine that the file tells"
        made.skipped.append(Skipped(f"{file}:{key.line} ({word})", reason))
        return
    depends = node_at(service, "depends_on")
    declared = [str(item.value) for item in depends.items] if depends else []
    declared += [str(name.value) for name, _ in depends.entries] if depends else []
    remarks: list[str] = []
    needed: list[str] = []
    for variable, (node, value) in environment_of(node_at(service, "environment")).items():
        host = place_in(variable, _expanded(value, beside))
        if host and host not in (*declared, *needed, word):
            needed.append(host)
            if host_of(value):
                remarks.append(f"depends on {host} by {variable} ({file}:{node.line})")
    inside, outside, line = _best(ports, image, health)
    kind, path = type_of(image, inside), known_path(image, inside)
    if path:
        kind = "http"
    if health and kind in ("tcp", "http"):
        tls = health[0]
        url, source = address("http", "127.0.0.1", outside, health[2], tls=tls), f"{health[3]} (healthcheck)"
    elif kind == "http":
        tls = inside in TLS_PORTS
        url, source = address("http", "127.0.0.1", outside, path or "/", tls=tls), f"{line} (ports)"
        if not path:
            remarks.append("no health endpoint is known; replace the path with one")
    else:
        tls = False
        url, source = address(kind, "127.0.0.1", outside), f"{line} (ports)"
    if tls:
        remarks.append("the certificate is hardly for 127.0.0.1: add `tls: {server_name: …}`")
    made.found.append(
        Found(
            clean_name(word), f"{file}:{source}", {"url": url}, (*declared, *needed), tuple(remarks), (word,),
            f"{file}:{depends.line}" if depends else "", tuple(declared),
        )
    )  # fmt: skip


def _best(
    ports: list[tuple[int, int, int]], image: str, health: tuple[bool, int, str, int] | None
) -> tuple[int, int, int]:
    """Return the port that the healthcheck asks, else the one that fits the image, else one with a known protocol."""
    fits = (
        lambda port: health is not None and port == health[1],
        lambda port: bool(known_path(image, port)),
        lambda port: type_of("", port) == of_image(image),
        lambda port: type_of("", port) == "http",
    )
    return next((port for fit in fits for port in ports if fit(port[0])), ports[0])


def _ports(node: Node | None, beside: Mapping[str, str]) -> list[tuple[int, int, int]]:
    """Return inner port, published port and line of each TCP port."""
    found = []
    for item in node.items if node else []:
        if item.kind == "map":
            inner, outer = (_expanded(text_at(item, name), beside) for name in ("target", "published"))
            if text_at(item, "protocol") == "udp":
                continue
        else:
            written = _expanded(str(item.value), beside)
            if written.endswith("/udp"):
                continue
            parts = re.sub(r"/tcp$", "", re.sub(r"\[[^\]]*\]", "", written)).split(":")
            inner, outer = parts[-1], parts[-2] if len(parts) > 1 else ""
        inner, outer = inner.partition("-")[0], outer.partition("-")[0]  # of a range, the first
        if inner.isdigit() and outer.isdigit():
            found.append((int(inner), int(outer), item.line))
    return found


def _variables(path: Path) -> dict[str, str]:
    """Return what the `.env` beside a compose file sets, as compose itself puts it in."""
    from senior_backend.health.discover.dotenv import assignments

    try:
        return {variable: value for _, variable, value in assignments(path.read_text(encoding="utf-8-sig"))}
    except (OSError, UnicodeDecodeError):
        return {}


def _expanded(text: str, beside: Mapping[str, str]) -> str:
    """Return text with each variable replaced by what `beside` says, else by its default, which may hold variables."""
    for _ in range(4):
        text = _VARIABLE.sub(lambda match: beside.get(match[1] or match[3]) or match[2] or "", text)
    return text


def _health_url(service: Node, beside: Mapping[str, str]) -> tuple[bool, int, str, int] | None:
    """Return whether it is https, port, path and line of the URL that the healthcheck asks for."""
    test = node_at(service, "healthcheck", "test")
    if test is None:
        return None
    words = " ".join(str(item.value) for item in test.items) if test.kind == "list" else str(test.value or "")
    match = _URL.search(_expanded(words.replace("$$", "$"), beside))
    if match is None:
        return None
    tls = match[1] == "https"
    path = without_secret_query(match[3] or "/")
    return tls, int(match[2] or (443 if tls else 80)), path, test.line
