"""OpenAPI documents: health-like paths that can be read without parameters, on the first server."""

from __future__ import annotations

import re
from pathlib import Path

from senior_backend.health.discover import (
    HEALTH_PATHS,
    Discovery,
    Found,
    Skipped,
    clean_name,
    documents,
    node_at,
    text_at,
)


def fits(path: Path, text: str) -> bool:
    """Whether the text declares itself as OpenAPI or Swagger."""
    return path.suffix in (".yaml", ".yml", ".json") and bool(
        re.search(r"^\s*[{]?\s*\"?(openapi|swagger)\"?\s*:", text, re.MULTILINE)
    )


def find(text: str, name: str) -> Discovery:
    """Return a service for each health path, with the status that it documents."""
    made = Discovery()
    for root in documents(text):
        servers = node_at(root, "servers")
        base = text_at(servers.items[0], "url").rstrip("/") if servers and servers.items else ""
        if not base.startswith(("http://", "https://")):
            base = f"${{BASE_URL:-http://127.0.0.1:8000{base if base.startswith('/') else ''}}}"
        title = clean_name(text_at(root, "info", "title").lower() or "api")
        paths = node_at(root, "paths")
        for key, item in paths.entries if paths and paths.kind == "map" else []:
            path = str(key.value)
            if not HEALTH_PATHS.fullmatch(path) or node_at(item, "get") is None:
                continue
            values: dict[str, object] = {"url": f"{base}{path}"}
            responses = node_at(item, "get", "responses")
            good = (
                [str(code.value) for code, _ in responses.entries if str(code.value).startswith("2")]
                if responses
                else []
            )
            if good and all(code.isdigit() for code in good):
                values["expect"] = {"status": [int(code) for code in good]}
            last = path.strip("/").replace("/", "-")
            made.found.append(Found(clean_name(f"{title}-{last}"), f"{name}:{key.line} (path)", values))
        if not made.found:
            made.skipped.append(Skipped(f"{name}:{root.line}", "no path looks like a health endpoint"))
    return made
