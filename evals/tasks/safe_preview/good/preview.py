"""The skill's safe fetch."""

import re

import safe_fetch


class Refused(Exception):
    pass


async def title(url, resolve=None):
    try:
        fetched = await safe_fetch.fetch(
            url, limit=1_000_000, timeout=5.0, redirects=3, resolver=resolve or safe_fetch.resolve
        )
    except safe_fetch.Blocked as error:
        raise Refused(str(error)) from error
    found = re.search(r"<title>(.*?)</title>", fetched.body.decode(errors="replace"), re.S)
    return found[1].strip() if found else ""
