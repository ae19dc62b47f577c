"""Three-way merge of lines: what the user has, what was generated last, what is generated now."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged text, or None with the line (of the user's file, from 1) where the first conflict is."""

    text: str | None
    conflict_line: int | None = None


def merge(ours: str, base: str, theirs: str, *, python: bool = False) -> Merged:
    """Return `ours` with the changes from `base` to `theirs`; changes of both to the same lines are a conflict.

    In Python, lines that both insert at one place (most often at the end of a file) both stay, where indentation
    says which must come first.

    Like diff3 (Khanna, Kunal, Pierce: A Formal Investigation of Diff3, 2007): stable chunks are lines that all
    three share; between two of them, a side that equals the base yields to the other, and equal sides agree.
    """
    if theirs in (ours, base):
        return Merged(ours)
    if ours == base:
        return Merged(theirs)
    mine, old, new = (text.splitlines(keepends=True) for text in (ours, base, theirs))
    result: list[str] = []
    at_mine = at_old = at_new = 0
    for old_start, mine_start, new_start, length in [*_stable(old, mine, new), (len(old), len(mine), len(new), 0)]:
        left, middle, right = mine[at_mine:mine_start], old[at_old:old_start], new[at_new:new_start]
        if left in (middle, right):
            result += right
        elif right == middle:
            result += left
        elif python and not middle and (both := _both(left, right)):
            result += both
        else:
            return Merged(None, at_mine + 1)
        result += old[old_start : old_start + length]
        at_old, at_mine, at_new = old_start + length, mine_start + length, new_start + length
    return Merged("".join(_ended(result)))


def _both(mine: list[str], new: list[str]) -> list[str] | None:
    """Return two insertions in an order in which neither ends up inside of a block of the other, None without one."""
    for first, second in ((new, mine), (mine, new)):
        indents = [len(line) - len(line.lstrip()) for line in first if line.strip()]
        following = next((len(line) - len(line.lstrip()) for line in second if line.strip()), 0)
        last = next((line.strip() for line in reversed(first) if line.strip()), "")
        opens = last.startswith("@") or last.endswith((":", "\\", "(", "[", "{"))
        if indents and min(indents) >= following and not opens:
            return [*first, *second]
    return None


def _stable(old: list[str], mine: list[str], new: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (old, mine, new, length) of the runs of lines that all three share, in order."""
    to_mine = difflib.SequenceMatcher(None, old, mine, autojunk=False).get_matching_blocks()
    to_new = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    i = j = 0
    while i < len(to_mine) and j < len(to_new):
        a, b = to_mine[i], to_new[j]
        start, end = max(a.a, b.a), min(a.a + a.size, b.a + b.size)
        if start < end:
            yield start, a.b + start - a.a, b.b + start - b.a, end - start
        if a.a + a.size < b.a + b.size:
            i += 1
        else:
            j += 1


def _ended(lines: list[str]) -> list[str]:
    """Return the lines with a newline behind each but the last: one without may have moved into the middle."""
    return [line if line.endswith(("\n", "\r")) or i == len(lines) - 1 else line + "\n" for i, line in enumerate(lines)]


def rejected(path: str, base: str, theirs: str) -> str:
    """Return the change that could not be merged, as a patch for the user's file."""
    lines = difflib.unified_diff(
        base.splitlines(keepends=True), theirs.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
