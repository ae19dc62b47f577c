"""Rotates, but checks before it deletes and forgets what was used."""

import secrets


class Denied(Exception):
    pass


async def login(connection, user_id):
    token = secrets.token_urlsafe(32)
    await connection.execute("INSERT INTO session VALUES (%s, %s)", [token, user_id])
    return token


async def refresh(connection, token):
    row = await (await connection.execute("SELECT user_id FROM session WHERE token = %s", [token])).fetchone()
    if row is None:
        raise Denied
    await connection.execute("DELETE FROM session WHERE token = %s", [token])
    return row[0], await login(connection, row[0])


async def logout(connection, token):
    await connection.execute("DELETE FROM session WHERE token = %s", [token])
