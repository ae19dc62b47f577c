"""A tie-breaker, but the cursor is plain text that belongs to no query."""


class BadCursor(Exception):
    pass


async def page(connection, status, cursor, limit):
    parameters = [status]
    condition = ""
    if cursor:
        try:
            created_at, order = cursor.split("|")
            parameters += [created_at, int(order)]
        except ValueError as error:
            raise BadCursor from error
        condition = "AND (created_at, id) < (%s::timestamptz, %s)"
    query = (
        f"SELECT id, created_at::text FROM orders WHERE status = %s {condition}"
        " ORDER BY created_at DESC, id DESC LIMIT %s"
    )
    rows = await (await connection.execute(query, [*parameters, limit + 1])).fetchall()
    last = rows[limit - 1] if len(rows) > limit else None
    return [row[0] for row in rows[:limit]], f"{last[1]}|{last[0]}" if last else None
