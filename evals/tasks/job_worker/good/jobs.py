"""The skill's job queue."""

import job_queue


async def add(connection, payload):
    await job_queue.enqueue(connection, "q", payload, max_attempts=3)


async def take(connection, lease_seconds):
    job = await job_queue.claim(connection, "q", lease=lease_seconds)
    return (job, job.payload) if job else None


async def finish(connection, handle):
    return await job_queue.complete(connection, handle)


async def dead(connection):
    row = await (await connection.execute("SELECT count(*) FROM job WHERE state = 'dead'")).fetchone()
    return row[0]
