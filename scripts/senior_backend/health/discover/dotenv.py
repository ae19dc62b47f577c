"""`.env` files: variables that hold a URL, or a host with a port. Their values stay where they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from senior_backend.health.discover import Discovery, Found, Skipped, Source, clean_name, host_of, without_secrets

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|(.*?)(?:\s+#.*)?$)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
_NO_SERVICE = re.compile(
    r"(?:^|_)(?:REDIRECT|CALLBACK|LOGOUT|AUTH_UR[IL]$|LOGO|DOCS|SUPPORT|TERMS|PRIVACY|SUCCESS|CANCEL|WEBHOOK|ALLOW|CORS|ORIGINS?)",
    re.IGNORECASE,
)


def fits(path: Path, text: str) -> bool:
    """Whether the name is that of an environment file."""
    return bool(text is not None and (path.name.startswith(".env") or path.suffix == ".env"))


def find(files: Sequence[Source]) -> Discovery:
    """Return a service for each variable with a URL that can be checked."""
    made = Discovery()
    for file in files:
        known = {variable: value for _, variable, value in assignments(file.text)}
        for number, variable, written in assignments(file.text):
            value = _VARIABLE.sub(lambda match: known.get(match[1] or match[2], match[0]), written)  # noqa: B023
            if "://" in value:
                _one(f"{file.name}:{number} ({variable})", variable, value, made)
    return made


def assignments(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, variable and value of each assignment, without quotes and comments."""
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if match:
            value = next((item for item in match.groups()[1:] if item is not None), "")
            yield number, match[1], value.strip()


def _one(origin: str, variable: str, value: str, made: Discovery) -> None:
    default = without_secrets(value)
    if host_of(value) is None:
        made.skipped.append(Skipped(origin, "its scheme has no check"))
    elif _NO_SERVICE.search(variable):
        made.skipped.append(Skipped(origin, "by its name it is where others are sent, not a service"))
    elif re.search(r"[${}<>,\s]", default):
        made.skipped.append(Skipped(origin, "its value is not one whole address"))
    else:
        word = re.sub(r"_?(URL|URI|DSN|ENDPOINT|ADDRESS)$", "", variable, flags=re.IGNORECASE) or variable
        service = clean_name(word.lower())
        remarks = () if default == value else ("the default has no password: export the variable to check the login",)
        made.found.append(
            Found(service, origin, {"url": f"${{{variable}:-{default}}}"}, remarks=remarks, aliases=(service,))
        )
