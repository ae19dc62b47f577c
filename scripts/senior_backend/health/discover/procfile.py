"""Procfiles: a process check for each line, and an HTTP check where the command names its port."""

from __future__ import annotations

import re
from pathlib import Path

from senior_backend.health.discover import Discovery, Found, clean_name

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s+(\S.*)")
_PORT = re.compile(r"(?:--port[= ]|-p |--bind[= ]\S*?:|-b \S*?:|PORT=)(\d{2,5})\b")
_ASSIGNMENT = re.compile(r"^(?:[A-Za-z_]\w*=\S*\s+)+")


def fits(path: Path, text: str) -> bool:
    """Whether the file is a Procfile by name."""
    return path.name.startswith("Procfile") and bool(text.strip())


def find(text: str, name: str) -> Discovery:
    """Return the checks."""
    made = Discovery()
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if not match:
            continue
        process, command = match[1], _ASSIGNMENT.sub("", match[2])
        words = re.split(r"\s+(?:-|\$|[|&;<>])", command)[0].split()
        pattern = r"\s+".join(re.escape(word.rpartition("/")[2]) for word in words[:2])
        service = clean_name(process)
        origin = f"{name}:{number} ({process})"
        made.found.append(Found(service, origin, {"type": "process", "match": pattern}))
        port = _PORT.search(match[2])
        if port and process == "web":
            url = f"http://127.0.0.1:{port[1]}/"
            remark = "no health endpoint is known; replace the path with one"
            made.found.append(Found(f"{service}-http", origin, {"url": url}, (service,), (remark,)))
    return made
