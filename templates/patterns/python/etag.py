"""ETags and conditional requests, and the one statement that loses no update.

Guarantees: `If-Match` is compared strongly, `If-None-Match` weakly (RFC 9110, 13.1.1 and 13.1.2), lists and `*`
    included; `conditional_update` writes only on the version that the client saw, in a single statement.
Needs: the standard library; `conditional_update` a column `version int NOT NULL` on the row, and psycopg >= 3.1.
Fails: `PreconditionFailed` (412), `PreconditionRequired` (428), `BadHeader` (400).
Prove: pytest test_etag.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection

LONGEST = 4096
TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
TAGS = re.compile(rf"[ \t,]*{TAG}(?:[ \t]*,[ \t,]*{TAG})*[ \t,]*")


class PreconditionFailed(Exception):  # noqa: N818 - an outcome
    """The row has another version than the client saw, or is gone: 412."""


class PreconditionRequired(Exception):  # noqa: N818
    """The client must say which version it saw: 428."""


class BadHeader(Exception):  # noqa: N818
    """The header is not a list of entity tags: 400."""


def etag(version: int) -> str:
    """Return the strong entity tag of a version."""
    return f'"{version}"'


def parse(header: str) -> list[str] | None:
    """Return the entity tags of `If-Match` or `If-None-Match`, or None for `*`.

    Raises:
        BadHeader: it is neither.
    """
    if header.strip() == "*":
        return None
    if len(header) > LONGEST or not TAGS.fullmatch(header):
        raise BadHeader("expected * or a list of quoted entity tags")
    return re.findall(TAG, header)


def not_modified(if_none_match: str | None, version: int) -> bool:
    """Whether a GET is answered with 304."""
    if if_none_match is None:
        return False
    tags = parse(if_none_match)
    return tags is None or etag(version) in {tag.removeprefix("W/") for tag in tags}


def expected_versions(if_match: str | None, *, required: bool = True) -> list[int] | None:
    """Return the versions that a write may replace; None means any.

    Raises:
        PreconditionRequired: the header is missing and `required`.
        BadHeader: it cannot be parsed.
    """
    if if_match is None:
        if required:
            raise PreconditionRequired("send If-Match with the ETag that you read")
        return None
    tags = parse(if_match)
    if tags is None:
        return None
    # Weak tags never match strongly; tags that are not ours match nothing. Nine digits fit an int.
    return [int(tag[1:-1]) for tag in tags if re.fullmatch(r'"[0-9]{1,9}"', tag)]


async def conditional_update(
    connection: AsyncConnection[Any],
    table: str,
    row_id: object,
    values: Mapping[str, object],
    versions: list[int] | None,
) -> int:
    """Set `values` (columns from your code, never from the request's keys) and return the new version.

    `table` may be `schema.table`. In a transaction of the caller's it is a part of that.

    Raises:
        PreconditionFailed: there is no such row with one of `versions`.
    """
    from psycopg import errors, sql
    from psycopg.rows import tuple_row

    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(f"v_{column}")) for column in values
    )
    query = sql.SQL(
        "UPDATE {} SET {}, version = version + 1 WHERE id = %(id)s"
        " AND (%(versions)s::int[] IS NULL OR version = ANY(%(versions)s)) RETURNING version"
    ).format(sql.Identifier(*table.split(".")), assignments)
    parameters = {"id": row_id, "versions": versions, **{f"v_{column}": value for column, value in values.items()}}
    cursor = connection.cursor(row_factory=tuple_row)
    while True:
        try:
            row = await (await cursor.execute(query, parameters)).fetchone()
        except errors.SerializationFailure:  # repeatable read is the default here, and another writer was first
            if connection.info.transaction_status.name != "IDLE":  # in a transaction of the caller's
                raise
            continue
        if row is None:
            raise PreconditionFailed(f"{table} {row_id} has changed or is gone")
        return int(row[0])
