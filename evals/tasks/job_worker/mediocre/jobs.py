"""SKIP LOCKED without a lease."""


async def add(connection, payload):
    await connection.execute("INSERT INTO job (payload) VALUES (%s)", [payload])


async def take(connection, lease_seconds):
    return await (
        await connection.execute(
            "UPDATE job SET state = 'running' WHERE id = (SELECT id FROM job WHERE state = 'ready' ORDER BY id"
            " FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id, payload"
        )
    ).fetchone()


async def finish(connection, handle):
    await connection.execute("UPDATE job SET state = 'done' WHERE id = %s", [handle])
    return True


async def dead(connection):
    return 0
