"""Words, names, texts and signs of MySQL, MariaDB and SQLite statements, and a cursor over them.

Sources: MySQL manual 9 (language structure), MariaDB "Identifier Names", SQLite "The Tokenizer".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.statements import Engine

_COMMON = r"""
    (?P<space>\s+|/\*M!999999\\-[^*]*|/\*M?!\d*|\*/|/\*(?:[^*]|\*(?!/))*\*/|{comment}
  | (?P<string>{strings})
  | (?P<name>{names})
  | (?P<number>0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?![A-Za-z_$])|\.\d+)
  | (?P<word>@{{0,2}}[A-Za-z_0-9$\u0080-\U0010ffff]+)
  | (?P<sign><=>|<>|!=|<=|>=|\|\||&&|<<|>>|->>?|:=|.)
"""
_MYSQL = re.compile(
    _COMMON.format(
        comment=r"--(?=[\s\x00-\x1f]|\Z)[^\n]*|\#[^\n]*)",
        strings=r"""(?:_[a-z0-9]+\s*)?[bBxXnN]?'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*\"""",
        names=r"`(?:[^`]|``)+`",
    ),
    re.VERBOSE | re.DOTALL,
)
_SQLITE = re.compile(
    _COMMON.format(
        comment=r"--[^\n]*)", strings=r"[xX]?'(?:[^']|'')*'", names=r"""`(?:[^`]|``)+`|"(?:[^"]|"")*"|\[[^\]]*\]"""
    ),
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One token; `value` is the upper-case word, or the name or text without its quotes."""

    kind: str
    text: str
    value: str
    start: int
    end: int


class NotUnderstoodError(Exception):
    """The statement has a form that the reader does not know; `offset` is where, in the statement."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def tokens_of(text: str, engine: Engine) -> list[Token]:
    """Return the tokens of a statement, comments and blanks left out; MySQL's `/*! ... */` counts as code."""
    return list(_tokens(text, _SQLITE if engine == "sqlite" else _MYSQL))


def _tokens(text: str, pattern: re.Pattern[str]) -> Iterator[Token]:
    for match in pattern.finditer(text):
        kind = match.lastgroup or "sign"
        if kind == "space":
            continue
        raw = match.group()
        if kind == "word":
            value = raw.upper()
        elif kind in ("name", "string"):
            quote = raw[-1]
            inner = raw[raw.index("[" if quote == "]" else quote) + 1 : -1]
            value = inner if quote == "]" else inner.replace(quote * 2, quote)
        else:
            value = raw
        yield Token(kind, raw, value, match.start(), match.end())


class Cursor:
    """A place in the tokens of one statement."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.position = 0

    @property
    def done(self) -> bool:
        """Whether all tokens are read."""
        return self.position >= len(self.tokens)

    def peek(self, ahead: int = 0) -> Token | None:
        """Return a token without reading it."""
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def at(self, *words: str) -> bool:
        """Whether the next tokens are these words or signs."""
        for ahead, word in enumerate(words):
            token = self.peek(ahead)
            if token is None or token.kind not in ("word", "sign") or token.value != word:
                return False
        return True

    def at_any(self, *words: str) -> bool:
        """Whether the next token is one of these words or signs."""
        token = self.peek()
        return token is not None and token.kind in ("word", "sign") and token.value in words

    def accept(self, *words: str) -> bool:
        """Read these words if they are next; return whether they were."""
        if self.at(*words):
            self.position += len(words)
            return True
        return False

    def accept_any(self, *words: str) -> str | None:
        """Read the next token if it is one of these words or signs; return it."""
        if self.at_any(*words):
            return self.next().value
        return None

    def expect(self, *words: str) -> None:
        """Read these words.

        Raises:
            NotUnderstoodError: something else is next.
        """
        if not self.accept(*words):
            raise self.problem(f"expected {' '.join(words)}")

    def next(self) -> Token:
        """Read one token.

        Raises:
            NotUnderstoodError: there is none.
        """
        token = self.peek()
        if token is None:
            raise self.problem("the statement ends too early")
        self.position += 1
        return token

    def problem(self, message: str) -> NotUnderstoodError:
        """Return the error for the next token."""
        token = self.peek()
        if token is None:
            return NotUnderstoodError(f"{message} at the end of the statement", len(self.text))
        return NotUnderstoodError(f"{message}, found {token.text!r}", token.start)

    def identifier(self) -> str:
        """Read one name, quoted or not.

        Raises:
            NotUnderstoodError: there is none.
        """
        token = self.peek()
        if token is None or token.kind not in ("word", "name", "string", "number"):
            raise self.problem("expected a name")
        if token.kind == "string" and not token.text.startswith(("'", '"')):
            raise self.problem("expected a name")
        self.position += 1
        return token.text if token.kind in ("word", "number") else token.value

    def parenthesised(self) -> list[Token]:
        """Read `( ... )` and return what is inside.

        Raises:
            NotUnderstoodError: there is no such pair.
        """
        self.expect("(")
        start, depth = self.position, 1
        while depth:
            token = self.next()
            if token.kind == "sign":
                depth += (token.text == "(") - (token.text == ")")
        return self.tokens[start : self.position - 1]

    def until(self, *stops: str) -> list[Token]:
        """Read up to one of these words or signs outside of parentheses, or to the end."""
        start, depth = self.position, 0
        while (token := self.peek()) is not None:
            if token.kind == "sign" and token.text in "()":
                if depth == 0 and token.text == ")":
                    break
                depth += 1 if token.text == "(" else -1
            elif depth == 0 and token.kind in ("word", "sign") and token.value in stops:
                break
            self.position += 1
        return self.tokens[start : self.position]


class TextExpression:
    """An expression as it was written."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self._tokens = tokens
        self.sql = text[tokens[0].start : tokens[-1].end] if tokens else ""

    @property
    def functions(self) -> frozenset[NameLike]:
        """The functions it calls."""
        from senior_backend.migrate.operations import Name

        pairs = zip(self._tokens, [*self._tokens[1:], None], strict=True)
        return frozenset(
            Name(token.text.lower())
            for token, after in pairs
            if token.kind == "word" and after is not None and after.text == "(" and token.value not in _NOT_FUNCTIONS
        )

    @property
    def columns(self) -> frozenset[str]:
        """The names that are neither functions nor keywords, in lower case."""
        pairs = zip(self._tokens, [*self._tokens[1:], None], strict=True)
        return frozenset(
            (token.value if token.kind == "name" else token.text).lower()
            for token, after in pairs
            if token.kind == "name"
            or (
                token.kind == "word"
                and token.value not in _KEYWORDS
                and not token.text[0].isdigit()
                and (after is None or after.text != "(")
            )
        )

    @property
    def is_null(self) -> bool:
        """Whether it is NULL."""
        return [token.value for token in self._tokens if token.text not in "()"] == ["NULL"]

    @property
    def constant(self) -> bool:
        """Whether it is a literal, or CURRENT_TIMESTAMP and its like."""
        words = [token for token in self._tokens if token.kind in ("word", "name")]
        return all(token.value in ("NULL", "TRUE", "FALSE") for token in words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextExpression) and self.sql == other.sql

    def __hash__(self) -> int:
        return hash(self.sql)


_NOT_FUNCTIONS = frozenset(("IN", "AND", "OR", "NOT", "CASE", "WHEN", "THEN", "ELSE", "VALUES", "EXISTS", "BETWEEN"))
_KEYWORDS = _NOT_FUNCTIONS | frozenset(
    (
        *(
            "IS",
            "NULL",
            "TRUE",
            "FALSE",
            "LIKE",
            "REGEXP",
            "END",
            "INTERVAL",
            "CURRENT_TIMESTAMP",
            "CURRENT_DATE",
            "AS",
        ),
        *("CURRENT_TIME", "COLLATE", "ESCAPE", "GLOB", "DIV", "MOD", "XOR", "BINARY", "SELECT", "FROM", "WHERE"),
        *("AS", "ON"),
    )
)

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name as NameLike
