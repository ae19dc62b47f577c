"""Entity tags: the version of a row, and the two conditions that name one (RFC 9110 section 13)."""

import re

_TAG = re.compile(r'(W/)?"([^"]*)"')
_LIST = re.compile(r'\s*(W/)?"[^"]*"\s*(,\s*(W/)?"[^"]*"\s*)*')
_VERSION = re.compile(r"[0-9]{1,9}")


def tag(version: int) -> str:
    """Return the strong entity tag of a version."""
    return f'"{version}"'


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """Return the versions that If-Match allows; None allows any, an empty set none.

    The comparison is the strong one: a weak tag never matches. A tag that this service never gave matches nothing.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if not _LIST.fullmatch(if_match):
        return frozenset()
    tags = _TAG.findall(if_match)
    return frozenset(int(text) for weak, text in tags if not weak and _VERSION.fullmatch(text))


def not_modified(if_none_match: str | None, version: int) -> bool:
    """Return whether the client already has this version (weak comparison)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(text == str(version) for _, text in _TAG.findall(if_none_match))
