"""SQL text cut into statements, for four engines, without losing a character.

Every statement keeps its offsets in the file, so that text is edited by offset and never printed back.
A statement starts at its first word: comments before it and the terminator behind it are not part of it.

Sources: PostgreSQL manual 4.1 (lexical structure) and psql; MySQL manual 9.1 and 9.7, the `DELIMITER` command of
the mysql client; SQLite `sqlite3_complete`.
"""

from __future__ import annotations

import bisect
import functools
import re
from typing import TYPE_CHECKING, Literal

from senior_backend.console.errors import InputError
from senior_backend.migrate.values import value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Engine = Literal["postgresql", "mysql", "mariadb", "sqlite"]


@value
class Statement:
    r"""One statement; `start` and `end` are character offsets into the whole text, `line` and `column` count from 1.

    `meta` marks a command of the psql client (`\set …`), which no server understands.
    `data` holds the lines that follow `COPY … FROM STDIN`, without the closing `\.`.
    """

    text: str
    start: int
    end: int
    line: int
    column: int
    meta: bool = False
    data: str | None = None


# No possessive quantifiers: Python 3.11.0 to 3.11.2 (Debian 12 ships that) gets some of them wrong. Instead every
# repetition is unrolled, so that each character has one way to match, and no second quote follows a closing one.
_PATTERNS = {
    "postgresql": r"""
        (?P<comment>--[^\n]*)
      | (?P<block>/\*)
      | (?P<quoted>(?<![\w$])[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'(?!')
          | '[^']*(?:''[^']*)*'(?!')
          | "[^"]*(?:""[^"]*)*"(?!"))
      | (?P<dollar>(?<![\w$])\$(?:[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*)?\$)
      | (?P<meta>\\[^\n]*)
      | (?P<open>['"])
    """,
    "mysql": r"""
        (?P<delimiter>^[^\S\n]*(?i:DELIMITER)\b[^\n]*)
      | (?P<comment>\#[^\n]* | --(?=[\s\x00-\x1f]|\Z)[^\n]* | /\*(?!M?!)[^*]*(?:\*(?!/)[^*]*)*\*/)
      | (?P<quoted>'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'(?!')
          | "[^"\\]*(?:(?:\\.|"")[^"\\]*)*"(?!")
          | `[^`]*(?:``[^`]*)*`(?!`))
      | (?P<conditional>/\*M?!)
      | (?P<open>['"`]|/\*)
    """,
    "sqlite": r"""
        (?P<comment>--[^\n]*|/\*[^*]*(?:\*(?!/)[^*]*)*\*/)
      | (?P<quoted>'[^']*(?:''[^']*)*'(?!') | "[^"]*(?:""[^"]*)*"(?!") | `[^`]*(?:``[^`]*)*`(?!`) | \[[^\]]*\])
      | (?P<open>['"`]|/\*)
    """,
}
_WORDS = {
    "postgresql": r"(?P<word>(?<![\w.$])(?i:BEGIN\s+ATOMIC|CASE|END)(?![\w$]))",
    "mysql": r"(?P<word>(?<![\w.@$])(?i:BEGIN|CASE|END(?:\s+(?:IF|LOOP|WHILE|REPEAT|CASE|FOR))?)(?![\w$]))",
}
_COMPOUND_HEADS = {
    "postgresql": r"CREATE\b.*?\b(?:FUNCTION|PROCEDURE)\b.*?\bBEGIN\s+ATOMIC\b",
    "mysql": r"(?:CREATE|ALTER)\b(?:\s+OR\s+REPLACE\b)?(?:\s+(?:DEFINER\s*=\s*\S+(?:\s*@\s*\S+)?|AGGREGATE))*\s+"
    r"(?:PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE)\b|BEGIN\s+NOT\s+ATOMIC\b",
    "sqlite": r"(?:EXPLAIN\s+)?CREATE\s+(?:TEMP\s+|TEMPORARY\s+)?TRIGGER\b",
}
_COPY_HEAD = re.compile(r"COPY\b[^;]*\bFROM\s+STDIN\b", re.IGNORECASE)
_COPY_END = re.compile(r"^\\\.[^\S\n]*\r?$", re.MULTILINE)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_INNER_QUOTED = (
    r"""'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'(?!')|"[^"\\]*(?:(?:\\.|"")[^"\\]*)*"(?!")|`[^`]*(?:``[^`]*)*`(?!`)|\*/"""
)


class Places:
    """Turns offsets of one text into lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def __call__(self, offset: int) -> tuple[int, int]:
        """Return line and column of `offset`, both counted from 1."""
        index = bisect.bisect_right(self._starts, offset) - 1
        return index + 1, offset - self._starts[index] + 1


def where(file: Path | str | None, line: int, column: int) -> str:
    """Return a place as messages show it: `file:line:column`."""
    return f"{file or '<sql>'}:{line}:{column}"


def split(
    text: str, engine: Engine, *, file: Path | str | None = None, start: int = 0, end: int | None = None
) -> list[Statement]:
    """Return the statements of `text` between `start` and `end`, with offsets into the whole text.

    Raises:
        InputError: a quote, comment, body or COPY data never ends, or the text is binary.
    """
    return list(_Splitter(text, engine, file, len(text) if end is None else end).run(start))


@functools.cache
def _lexer(dialect: str, delimiter: str, words: bool) -> re.Pattern[str]:
    end = rf"(?P<semi>{re.escape(delimiter)})"
    parts = [_PATTERNS[dialect], end, *([_WORDS[dialect]] if words else [])]
    return re.compile("|".join(parts), re.VERBOSE | re.DOTALL | re.MULTILINE)


@functools.cache
def _compound_head(dialect: str) -> re.Pattern[str]:
    return re.compile(_COMPOUND_HEADS[dialect], re.IGNORECASE | re.DOTALL)


class _Splitter:
    """One pass over one text."""

    def __init__(self, text: str, engine: Engine, file: Path | str | None, end: int) -> None:
        self.text = text
        self.dialect = "mysql" if engine == "mariadb" else engine
        self.file = file
        self.end = end
        self.places = Places(text)
        self.delimiter = ";"
        self.position = 0
        self.begin: int | None = None  # where the current statement starts
        self.code_end = 0  # behind its last character that is not a comment

    def run(self, start: int) -> Iterator[Statement]:
        binary = self.text.find("\0", start, self.end)
        if binary >= 0:
            raise self._error(binary, "binary-file", "a NUL character: this is not SQL text", "Name a text file.")
        self.position = self.code_end = start
        while True:
            match = _lexer(self.dialect, self.delimiter, words=False).search(self.text, self.position, self.end)
            self._plain_text(match.start() if match else self.end)
            if match is None:
                break
            self.position = match.end()
            kind = match.lastgroup
            if kind == "semi":
                if self.begin is not None:
                    yield self._terminated(self.begin, match)
                    self.begin = None
            elif kind == "delimiter":
                yield from self._delimiter_line(match)
            elif kind == "meta":
                yield from self._meta_line(match)
            elif kind == "block":
                self.position = self._block_end(match.start())
            elif kind != "comment":
                self.position = self.code_end = self._token_end(match)
                self.begin = match.start() if self.begin is None else self.begin
        if self.begin is not None:
            self._body_end(self.begin, self.end)
            yield from self._pending()

    def _plain_text(self, stop: int) -> None:
        gap = self.text[self.position : stop]
        if stripped := gap.strip():
            if self.begin is None:
                self.begin = self.position + gap.index(stripped[0])
            self.code_end = self.position + len(gap.rstrip())

    def _terminated(self, begin: int, match: re.Match[str]) -> Statement:
        stop = match.start()
        body_end = self._body_end(begin, stop)
        if body_end is not None:
            stop, self.position = body_end, min(body_end + len(self.delimiter), self.end)
        data = self._copy_data(begin, stop)
        return self._statement(begin, stop, data=data)

    def _pending(self) -> Iterator[Statement]:
        if self.begin is not None:
            yield self._statement(self.begin, self.code_end)
            self.begin = None

    def _delimiter_line(self, match: re.Match[str]) -> Iterator[Statement]:
        words = match.group().split()
        if self.begin is not None and len(words) > 1 and words[1][0].isalnum():
            # Inside a statement this is a column of that name.
            self.position = self.code_end = match.end() - len(match.group().lstrip()) + len("delimiter")
            return
        yield from self._pending()
        if len(words) < 2:
            raise self._error(match.start(), "delimiter-empty", "DELIMITER without a delimiter", "Write DELIMITER //.")
        self.delimiter = words[1]

    def _meta_line(self, match: re.Match[str]) -> Iterator[Statement]:
        if self.text.startswith("\\;", match.start()):
            self.position = match.start() + 2  # psql: a semicolon that does not send
            return
        yield from self._pending()
        yield self._statement(match.start(), match.end(), meta=True)

    def _token_end(self, match: re.Match[str]) -> int:
        kind = match.lastgroup
        if kind == "dollar":
            close = self.text.find(match.group(), match.end(), self.end)
            if close < 0:
                raise self._error(
                    match.start(), "unterminated-quote", f"dollar quote {match.group()} never ends",
                    f"Close it with {match.group()}.",
                )  # fmt: skip
            return close + len(match.group())
        if kind == "conditional":
            for inner in re.compile(_INNER_QUOTED, re.DOTALL).finditer(self.text, match.end(), self.end):
                if inner.group() == "*/":
                    return inner.end()
            raise self._error(match.start(), "unterminated-comment", "comment never ends", "Close it with */.")
        if kind == "open":
            comment = match.group() == "/*"
            raise self._error(
                match.start(),
                "unterminated-comment" if comment else "unterminated-quote",
                "comment never ends" if comment else f"quote {match.group()} never ends",
                "Close it with */." if comment else f"Close it with {match.group()}, and double it inside a text.",
            )
        return match.end()

    def _block_end(self, opening: int) -> int:
        depth, position = 0, opening
        for edge in _BLOCK_EDGE.finditer(self.text, opening, self.end):
            if edge.start() < position:
                continue
            depth += 1 if edge.group() == "/*" else -1
            position = edge.end()
            if depth == 0:
                return position
        raise self._error(
            opening, "unterminated-comment", "comment never ends", "Close it with */; PostgreSQL nests comments."
        )

    def _compound(self, begin: int, stop: int) -> bool:
        if self.delimiter != ";":
            return False
        head = _compound_head(self.dialect)
        if self.dialect == "postgresql" and self.text.find("tomic", begin, stop) < 0:
            return "ATOMIC" in self.text[begin:stop] and head.match(self.text, begin, stop) is not None
        return head.match(self.text, begin, stop) is not None

    def _body_end(self, begin: int, stop: int) -> int | None:
        """Return where a statement with a body of statements ends, None where it has no such body."""
        if not self._compound(begin, stop):
            return None
        if self.dialect == "sqlite":
            return self._trigger_end(begin, stop)
        depth, position, opened = 0, begin, begin
        lexer = _lexer(self.dialect, ";", words=True)
        while match := lexer.search(self.text, position, self.end):
            position = match.end()
            kind = match.lastgroup
            if kind == "block":
                position = self._block_end(match.start())
            elif kind == "semi" and depth <= 0:
                return match.start()
            elif kind == "word":
                word = " ".join(match.group().upper().split())
                if word.startswith(("BEGIN", "CASE")):
                    depth += 1
                    opened = match.start()
                elif word in ("END", "END CASE"):
                    depth -= 1
            elif kind not in ("comment", "semi", "meta", "delimiter"):
                position = self._token_end(match)
        if depth > 0:
            raise self._error(opened, "unterminated-body", "BEGIN or CASE without END", "Close it with END.")
        return self.end

    def _trigger_end(self, begin: int, stop: int) -> int:
        import sqlite3

        lexer = _lexer(self.dialect, ";", words=False)
        position = stop
        while match := lexer.search(self.text, position, self.end):
            position = match.end()
            if match.lastgroup == "open":
                self._token_end(match)
            if match.lastgroup == "semi" and sqlite3.complete_statement(self.text[begin:position]):
                return match.start()
        if sqlite3.complete_statement(self.text[begin : self.end] + "\n;"):
            return self.end
        raise self._error(begin, "unterminated-body", "the trigger's body has no END", "Close the body with END;.")

    def _copy_data(self, begin: int, stop: int) -> str | None:
        if self.dialect != "postgresql" or not _COPY_HEAD.match(self.text, begin, stop):
            return None
        newline = self.text.find("\n", self.position, self.end)
        close = _COPY_END.search(self.text, newline + 1, self.end) if newline >= 0 else None
        if close is None:
            raise self._error(begin, "unterminated-copy", "COPY data never ends", "End the data with a line \\.")
        self.position = close.end()
        return self.text[newline + 1 : close.start()]

    def _statement(self, begin: int, stop: int, *, meta: bool = False, data: str | None = None) -> Statement:
        text = self.text[begin:stop].rstrip()
        line, column = self.places(begin)
        return Statement(text, begin, begin + len(text), line, column, meta, data)

    def _error(self, offset: int, code: str, message: str, hint: str) -> InputError:
        return InputError(message, code=code, where=where(self.file, *self.places(offset)), hint=hint)
