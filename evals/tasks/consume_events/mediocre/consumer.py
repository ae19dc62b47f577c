"""Remembers in memory and acknowledges everything."""

import json

SEEN = set()


async def handle(connection, event_id, body):
    if event_id in SEEN:
        return "ack"
    try:
        event = json.loads(body)
        await connection.execute("UPDATE stock SET n = n - %s WHERE product = %s", [event["quantity"], event["product"]])
    except Exception as error:
        await connection.execute(
            "INSERT INTO dead_event VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", [event_id, body, str(error)]
        )
    SEEN.add(event_id)
    return "ack"
