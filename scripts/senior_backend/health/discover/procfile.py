"""Procfiles: a process check for each line, and an HTTP check where the command names its port."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from senior_backend.health.discover import Discovery, Found, Source, clean_name

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s+(\S.*)")
_PORT = re.compile(r"(?:--port[= ]|-p |--bind[= ]\S*?:|-b \S*?:|PORT=)(\d{2,5})\b")
# What starts the program and is not part of its command line afterwards.
_LAUNCHER = re.compile(r"^(?:env\s+(?:\w+=\S*\s+)*|exec\s+|bundle exec\s+|(?:poetry|uv|pipenv|pdm|hatch) run\s+)+")
_ASSIGNMENT = re.compile(r"^(?:[A-Za-z_]\w*=\S*\s+)+")


def fits(path: Path, text: str) -> bool:
    """Whether the file is a Procfile by name."""
    return path.name.startswith("Procfile") and bool(text.strip())


def find(files: Sequence[Source]) -> Discovery:
    """Return the checks."""
    made = Discovery()
    for file in files:
        for number, line in enumerate(file.text.splitlines(), 1):
            match = _LINE.match(line)
            if match:
                _one(f"{file.name}:{number} ({match[1]})", match[1], match[2], made)
    return made


def _one(origin: str, process: str, line: str, made: Discovery) -> None:
    command = _LAUNCHER.sub("", _ASSIGNMENT.sub("", line))
    words = re.split(r"\s+(?:-|\$|[|&;<>])", command)[0].split()
    pattern = r"\s+".join(re.escape(word.rpartition("/")[2]) for word in words[:2])
    service = clean_name(process)
    made.found.append(Found(service, origin, {"type": "process", "match": pattern}))
    port = _PORT.search(line)
    if port and process == "web":
        url = f"http://127.0.0.1:{port[1]}/"
        remark = "no health endpoint is known; replace the path with one"
        made.found.append(Found(f"{service}-http", origin, {"url": url}, (service,), (remark,)))
