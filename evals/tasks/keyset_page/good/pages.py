"""Keyset with a tie-breaker and the skill's signed cursor."""

import keyset_cursor
from keyset_cursor import Position

SECRET = b"x" * 32


class BadCursor(Exception):
    pass


async def page(connection, status, cursor, limit):
    parameters = {"status": status, "limit": limit + 1}
    condition = ""
    if cursor:
        try:
            position = keyset_cursor.decode(SECRET, "-created_at", {"status": status}, cursor)
        except keyset_cursor.BadCursor as error:
            raise BadCursor from error
        parameters |= {"value": position.value, "id": position.id}
        condition = "AND (created_at, id) < (%(value)s::timestamptz, %(id)s::bigint)"
    query = (
        f"SELECT id, created_at::text FROM orders WHERE status = %(status)s {condition}"
        " ORDER BY created_at DESC, id DESC LIMIT %(limit)s"
    )
    rows = await (await connection.execute(query, parameters)).fetchall()
    if len(rows) <= limit:
        return [row[0] for row in rows], None
    last = rows[limit - 1]
    following = keyset_cursor.encode(SECRET, "-created_at", {"status": status}, Position(last[1], str(last[0])))
    return [row[0] for row in rows[:limit]], following
