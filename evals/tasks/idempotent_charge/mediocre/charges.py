"""Looks first and inserts later: two requests at once both find nothing."""

import json


class Conflict(Exception):
    pass


class KeyReused(Exception):
    pass


async def charge(connection, account, key, amount_cents):
    row = await (await connection.execute("SELECT body FROM seen WHERE key = %s", [key])).fetchone()
    if row:
        return 201, bytes(row[0])
    made = await connection.execute(
        "INSERT INTO charge (account, amount_cents) VALUES (%s, %s) RETURNING id", [account, amount_cents]
    )
    body = json.dumps({"id": (await made.fetchone())[0], "amountCents": amount_cents}).encode()
    await connection.execute("INSERT INTO seen VALUES (%s, %s) ON CONFLICT DO NOTHING", [key, body])
    return 201, body
