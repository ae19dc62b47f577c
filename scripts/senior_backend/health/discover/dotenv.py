"""`.env` files: variables that hold a URL, or a host with a port. Their values stay where they are."""

from __future__ import annotations

import re
from pathlib import Path

from senior_backend.health.discover import Discovery, Found, Skipped, clean_name, host_of, without_secrets

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


def fits(path: Path, text: str) -> bool:
    """Whether the name is that of an environment file."""
    return bool(text is not None and (path.name.startswith(".env") or path.suffix == ".env"))


def find(text: str, name: str) -> Discovery:
    """Return a service for each variable with a URL that can be checked."""
    made = Discovery()
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if not match or line.lstrip().startswith("#"):
            continue
        variable, value = match[1], match[2].strip("\"'")
        if "://" not in value:
            continue
        origin = f"{name}:{number} ({variable})"
        if host_of(value) is None:
            made.skipped.append(Skipped(origin, "its scheme has no check"))
            continue
        service = clean_name(
            re.sub(r"_?(URL|URI|DSN|ENDPOINT|ADDRESS)$", "", variable, flags=re.IGNORECASE).lower() or variable
        )
        default = without_secrets(value)
        remarks = () if default == value else ("the default has no password: export the variable to check the login",)
        made.found.append(
            Found(service, origin, {"url": f"${{{variable}:-{default}}}"}, remarks=remarks, aliases=(service,))
        )
    return made
