"""What the markdown files of the repository say: their commands, links and anchors."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
SHELL_FENCES = {"bash", "sh", "shell", "console", "zsh"}
DOOR = re.compile(r"^(?:.*/)?scripts/(?P<tool>\w+)\.py$")
OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>", "2>", "2>&1", "<"}


@dataclass(frozen=True)
class Command:
    """One call of a tool as a document shows it; `arguments` are the words after the script."""

    file: Path
    line: int
    tool: str
    arguments: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{_shown(self.file)}:{self.line}"


@dataclass(frozen=True)
class Link:
    """One link or image of a document."""

    file: Path
    line: int
    target: str

    @property
    def where(self) -> str:
        return f"{_shown(self.file)}:{self.line}"


def markdown_files(root: Path = ROOT) -> list[Path]:
    """Return every markdown file of the repository, templates and fixtures left out."""
    skipped = {".git", "node_modules", "fixtures", "golden", ".pytest_cache", "dist"}
    return sorted(
        path
        for path in root.rglob("*.md")
        if not skipped & set(path.relative_to(root).parts) and path.relative_to(root).parts[0] != "templates"
    )


def commands(file: Path) -> Iterator[Command]:
    """Yield every `scripts/X.py …` call in the shell fences and the inline code of `file`."""
    for line, text in _code(MarkdownIt("commonmark").enable("table").parse(file.read_text(encoding="utf-8"))):
        yield from _calls(file, line, text)


def links(file: Path) -> Iterator[Link]:
    """Yield every link and image of `file`."""
    for token in MarkdownIt("commonmark").enable("table").parse(file.read_text(encoding="utf-8")):
        line = token.map[0] + 1 if token.map else 0
        for child in token.children or []:
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                yield Link(file, line, str(target))


def anchors(file: Path) -> set[str]:
    """Return the anchors that the headings of `file` get by GitHub's rule."""
    found: set[str] = set()
    tokens = MarkdownIt("commonmark").parse(file.read_text(encoding="utf-8"))
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or [] if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            number = sum(1 for anchor in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", anchor))
            found.add(f"{slug}-{number}" if number else slug)
    return found


def _shown(file: Path) -> str:
    return str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)


def _code(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    for token in tokens:
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence" and token.info.split(" ")[0] in SHELL_FENCES:
            yield from _joined_lines(line + 1, token.content)
        for child in token.children or []:
            if child.type == "code_inline":
                yield line, child.content


def _joined_lines(first: int, text: str) -> Iterator[tuple[int, str]]:
    start, collected = first, ""
    for number, line in enumerate(text.splitlines(), first):
        start = start if collected else number
        if line.endswith("\\"):
            collected += line[:-1] + " "
            continue
        yield start, (collected + line).removeprefix("$ ")
        collected = ""


def _calls(file: Path, line: int, text: str) -> Iterator[Command]:
    if "scripts/" not in text:
        return
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words = list(lexer)
    for index, word in enumerate(words):
        door = DOOR.match(word)
        # A bare `scripts/x.py` names the file; with arguments, or behind an interpreter, it is a call.
        called = door and (index + 1 < len(words) or (index > 0 and words[index - 1] in ("python", "python3", "run")))
        if door and called:
            arguments: list[str] = []
            for argument in words[index + 1 :]:
                if argument in OPERATORS or set(argument) <= set("|&;<>()"):
                    break
                arguments.append(argument)
            yield Command(file, line, door["tool"], tuple(arguments))
