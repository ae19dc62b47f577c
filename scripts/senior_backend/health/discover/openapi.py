"""OpenAPI documents: health-like paths that can be read without parameters, on the first server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from senior_backend.health.config.nodes import Node
from senior_backend.health.discover import (
    HEALTH_PATHS,
    Discovery,
    Found,
    Skipped,
    Source,
    clean_name,
    node_at,
    text_at,
)


def fits(path: Path, text: str) -> bool:
    """Whether the text declares itself as OpenAPI or Swagger."""
    return path.suffix in (".yaml", ".yml", ".json") and bool(
        re.search(r"^[\"']?(openapi|swagger)[\"']?\s*:|\"(openapi|swagger)\"\s*:\s*\"\d", text, re.MULTILINE)
    )


def find(files: Sequence[Source]) -> Discovery:
    """Return a service for each health path, with the status that it documents."""
    made = Discovery()
    for file in files:
        for root in file.documents():
            _document(root, file.name, made)
    return made


def _base(root: Node) -> str:
    """Return the first server's URL with the defaults of its variables, else a variable for the user to set."""
    servers = node_at(root, "servers")
    first = servers.items[0] if servers and servers.items else None
    base = text_at(first, "url").rstrip("/")
    if root.get("swagger"):  # version 2 has the parts of the URL apart
        schemes = node_at(root, "schemes")
        scheme = str(schemes.items[0].value) if schemes and schemes.items else "https"
        base = text_at(root, "basePath").rstrip("/")
        base = f"{scheme}://{text_at(root, 'host')}{base}" if text_at(root, "host") else base
    variables = node_at(first, "variables")
    for key, value in variables.entries if variables else []:
        base = base.replace(f"{{{key.value}}}", text_at(value, "default") or f"{{{key.value}}}")
    if base.startswith(("http://", "https://")) and "{" not in base:
        return base
    return f"${{BASE_URL:-http://127.0.0.1:8000{base if base.startswith('/') and '{' not in base else ''}}}"


def _document(root: Node, name: str, made: Discovery) -> None:
    base, before = _base(root), len(made.found)
    title = clean_name(text_at(root, "info", "title").lower() or "api")
    paths = node_at(root, "paths")
    for key, item in paths.entries if paths and paths.kind == "map" else []:
        path = str(key.value)
        if not HEALTH_PATHS.fullmatch(path) or node_at(item, "get") is None:
            continue
        values: dict[str, object] = {"url": f"{base}{path}"}
        responses = node_at(item, "get", "responses")
        codes = [str(code.value) for code, _ in responses.entries] if responses else []
        good = [code for code in codes if code.startswith("2")]
        if good and all(code.isdigit() for code in good):
            values["expect"] = {"status": [int(code) for code in good]}
        last = path.strip("/").replace("/", "-")
        made.found.append(Found(clean_name(f"{title}-{last}"), f"{name}:{key.line} (path)", values))
    if len(made.found) == before:
        made.skipped.append(Skipped(f"{name}:{root.line}", "no path looks like a health endpoint"))
