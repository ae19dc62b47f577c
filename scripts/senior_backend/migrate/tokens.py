"""The tokens of one statement: enough to tell what kind of statement it is, where no parser is at hand."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from senior_backend.migrate.statements import Engine

Kind = Literal["word", "quoted", "text", "number", "sign"]

_COMMENTS = {
    "postgresql": r"--[^\n]*|/\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*[^*]*(?:\*(?!/)[^*]*)*\*/)*\*/",
    "mysql": r"\#[^\n]*|--(?=[\s\x00-\x1f]|\Z)[^\n]*|/\*M?!\d*|\*/|/\*[^*]*(?:\*(?!/)[^*]*)*\*/",
    "sqlite": r"--[^\n]*|/\*[^*]*(?:\*(?!/)[^*]*)*\*/",
}
_QUOTED = {
    "postgresql": r'"(?:[^"]|"")*"',
    "mysql": r"`(?:[^`]|``)*`",
    "sqlite": r'"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]',
}
_TEXT = {
    "postgresql": r"[eE]'(?:[^'\\]|\\.|'')*'|[bBxXnN]?'(?:[^']|'')*'"
    r"|\$(?P<tag>(?:[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*)?)\$.*?\$(?P=tag)\$",
    "mysql": r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"",
    "sqlite": r"'(?:[^']|'')*'",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `value` is upper case for words, without its quotes for quoted names, as written otherwise."""

    kind: Kind
    value: str
    raw: str
    start: int

    @property
    def name(self) -> str:
        """The token as a name: words in lower case, quoted names as they are."""
        return self.raw.lower() if self.kind == "word" else self.value


def tokens(text: str, engine: Engine) -> list[Token]:
    """Return the tokens of `text` without comments; dollar-quoted bodies are one text token."""
    dialect = "mysql" if engine == "mariadb" else engine
    found: list[Token] = []
    for match in _lexer(dialect).finditer(text):
        kind = match.lastgroup
        raw = match.group()
        if kind == "word":
            found.append(Token("word", raw.upper(), raw, match.start()))
        elif kind == "quoted":
            close = raw[-1]
            found.append(Token("quoted", raw[1:-1].replace(close * 2, close), raw, match.start()))
        elif kind in {"text", "tag"}:
            found.append(Token("text", raw, raw, match.start()))
        elif kind in ("number", "sign"):
            found.append(Token("number" if kind == "number" else "sign", raw, raw, match.start()))
    return found


@functools.cache
def _lexer(dialect: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<comment>{_COMMENTS[dialect]})|(?P<quoted>{_QUOTED[dialect]})|(?P<text>{_TEXT[dialect]})"
        r"|(?P<word>[A-Za-z_\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*)|(?P<number>\d[\w.]*)|(?P<sign>[^\s])",
        re.DOTALL,
    )
