"""Conditions on the version of a row; one that cannot be read is one that does not hold (RFC 9110, section 13.1)."""

from app.patterns import etag
from app.patterns.etag import BadHeader

tag = etag.etag


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """Return the versions that If-Match allows; None allows any, an empty set none."""
    try:
        versions = etag.expected_versions(if_match, required=False)
    except BadHeader:
        return frozenset()
    return None if versions is None else frozenset(versions)


def not_modified(if_none_match: str | None, version: int) -> bool:
    """Return whether the client already has this version."""
    try:
        return etag.not_modified(if_none_match, version)
    except BadHeader:
        return False
