"""The skill's inbox around one atomic reservation."""

import json

from inbox import Retry, consume


async def handle(connection, event_id, body):
    async def effect(inner):
        event = json.loads(body)
        done = await inner.execute(
            "UPDATE stock SET n = n - %s WHERE product = %s AND n >= %s",
            [event["quantity"], event["product"], event["quantity"]],
        )
        if done.rowcount != 1:
            raise ValueError("not enough stock")

    try:
        await consume(connection, consumer="stock", event_id=event_id, body=body, effect=effect, attempts=3)
    except Retry:
        return "retry"
    return "ack"
