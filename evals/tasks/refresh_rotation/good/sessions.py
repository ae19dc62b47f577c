"""The skill's refresh tokens with a grace of two seconds."""

import refresh_tokens


class Denied(Exception):
    pass


async def login(connection, user_id):
    return (await refresh_tokens.issue(connection, user_id)).token


async def refresh(connection, token):
    try:
        issued = await refresh_tokens.rotate(connection, token, grace=2.0)
    except (refresh_tokens.Invalid, refresh_tokens.Superseded) as error:
        raise Denied from error
    return issued.subject, issued.token


async def logout(connection, token):
    await refresh_tokens.revoke(connection, token)
