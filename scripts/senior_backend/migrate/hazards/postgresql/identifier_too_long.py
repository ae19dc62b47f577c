"""An identifier of more than 63 bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 63
_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)|"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[^\W\d][\w$]*)""",
    re.DOTALL,
)


def finish(context: Context) -> Iterator[Hazard]:
    """Report names that PostgreSQL cuts off."""
    body = context.unit.text
    # Most files have no run of so many characters without a blank, and no quoted name as long.
    long_word = body.isascii() and max(map(len, body.split()), default=0) > _LIMIT
    if not long_word and body.isascii() and not ('"' in body and re.search(r'"[^"\n]{64}', body)):
        return
    for parsed in context.statements:
        seen: set[str] = set()
        for match in _TOKEN.finditer(parsed.statement.text):
            word = match["quoted"] or match["plain"] or ""
            if len(word.encode()) <= _LIMIT or word in seen:
                continue
            seen.add(word)
            kept = word.encode()[:_LIMIT].decode(errors="ignore")
            yield Hazard(
                f"the name {word} has {len(word.encode())} bytes; PostgreSQL keeps {_LIMIT} of them",
                f"Choose a shorter name; it would become {kept}.",
                statement=parsed,
            )


RULE = Rule(
    id="pg-identifier-too-long",
    summary="A name of more than 63 bytes is cut off",
    why="The object gets another name than the migration says; two long names may become the same one.",
    catalogue="B1.52",
    severity="warning",
    finish=finish,
    bad=(
        Example(
            "CREATE TABLE t (this_is_a_column_with_a_name_that_is_much_longer_than_postgresql_ever_keeps_of_it int);"
        ),
    ),
    good=(
        Example("CREATE TABLE t (a_short_name int);"),
        Example("SELECT 'this_is_a_text_and_not_a_name_and_so_it_is_never_cut_off_by_anybody_at_all';"),
    ),
)
