"""The idempotency module, copied from the skill's patterns, around the insert."""

import json

from idempotency import Answer, InProgress, Mismatch, run_once


class Conflict(Exception):
    pass


class KeyReused(Exception):
    pass


async def charge(connection, account, key, amount_cents):
    async def effect(inner):
        made = await inner.execute(
            "INSERT INTO charge (account, amount_cents) VALUES (%s, %s) RETURNING id", [account, amount_cents]
        )
        return Answer(201, json.dumps({"id": (await made.fetchone())[0], "amountCents": amount_cents}).encode())

    try:
        answer = await run_once(
            connection, scope=f"{account} POST /charges", key=key, request=b"%d" % amount_cents, effect=effect
        )
    except InProgress as error:
        raise Conflict from error
    except Mismatch as error:
        raise KeyReused from error
    return answer.status, answer.body
