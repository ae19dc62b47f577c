"""Which path of an OpenAPI document a path that was not there may have meant. Pure: nothing is sent.

Two paths are taken for the same resource when they are equal once `/api` and a version before them are left out:
`/api/users`, `/users` and `/api/v1/users`. Placeholders of the document match any one segment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from senior_backend.load.openapi import READ_METHODS, WRITE_METHODS, server_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEAR = 3
NEAR_CUTOFF = 0.5
"""How many similar paths are named, and how similar they must be (`difflib`)."""
_PREFIX = re.compile(r"api|rest|v\d+(\.\d+)*|\d{4}-\d{2}-\d{2}", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{[^{}]+\}")
_SAFE = "%:@-._~!$&'()*+,;="


@dataclass(frozen=True, slots=True)
class Documented:
    """A path as the document writes it, behind its server's prefix, and its methods in capitals."""

    path: str
    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a document says of a method and a path."""

    same: Documented | None
    """The path itself, if it is documented."""
    candidates: tuple[str, ...]
    """Other paths for the same resource that take the method, filled in and ready to be sent."""
    near: tuple[str, ...]
    """Paths that look similar."""


def documented(document: Mapping[str, Any]) -> tuple[Documented, ...]:
    """Return the paths of a document that `openapi.parse_document` has accepted."""
    prefix = urlsplit(server_url(document)).path.rstrip("/")
    known = READ_METHODS + WRITE_METHODS
    return tuple(
        Documented(f"{prefix}{path}", frozenset(name.upper() for name in item if name in known))
        for path, item in document["paths"].items()
        if isinstance(item, dict)
    )


def find(known: Sequence[Documented], method: str, path: str) -> Found:
    """Look up a path; `{{ }}` placeholders in it stand for any one segment."""
    asked = _segments(path)
    takes = [entry for entry in known if method in entry.methods or (method == "HEAD" and "GET" in entry.methods)]
    filled = [(entry, _filled(_segments(entry.path), asked)) for entry in takes]
    candidates = [(entry, f"/{'/'.join(segments)}{_end(entry.path)}") for entry, segments in filled if segments]
    # As in a router, a path without placeholders comes before one with them.
    fixed = [made for entry, made in candidates if not _PLACEHOLDER.search(entry.path)]
    return Found(
        same=next((entry for entry in known if _fits(_segments(entry.path), asked)), None),
        candidates=tuple(dict.fromkeys(fixed or [made for _, made in candidates])),
        near=_near(path, [entry.path for entry in takes]),
    )


def _segments(path: str) -> list[str]:
    return [segment for segment in path.partition("?")[0].split("/") if segment]


def _end(path: str) -> str:
    return "/" if path.endswith("/") else ""


def _core(segments: Sequence[str]) -> list[str]:
    """Return the segments behind `/api`, a version, or both."""
    start = 0
    while start < len(segments) and _PREFIX.fullmatch(segments[start]):
        start += 1
    return list(segments[start:])


def _fits(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    return len(pattern) == len(segments) and all(
        unquote(wanted) == unquote(given) or _PLACEHOLDER.fullmatch(wanted) is not None
        for wanted, given in zip(pattern, segments, strict=True)
    )


def _filled(pattern: Sequence[str], asked: Sequence[str]) -> list[str] | None:
    """Return the segments of a documented path with the values of the asked one, where both mean one resource."""
    wanted, given = _core(pattern), _core(asked)
    if not wanted or not _fits(wanted, given):
        return None
    values = [value if _PLACEHOLDER.fullmatch(word) else word for word, value in zip(wanted, given, strict=True)]
    fixed = [*pattern[: len(pattern) - len(wanted)], *values]
    return [segment if "{{" in segment else quote(segment, safe=_SAFE) for segment in fixed]


def _near(path: str, known: Sequence[str]) -> tuple[str, ...]:
    asked = _segments(path)
    ending = [entry for entry in known if asked and _segments(entry)[-1:] == asked[-1:]]
    return tuple(dict.fromkeys([*ending, *get_close_matches(path, known, n=NEAR, cutoff=NEAR_CUTOFF)]))[:NEAR]
