"""Keys of several columns compared as SQL, in the way in which each engine reads through an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def compared(columns: Sequence[str], sign: str, values: Sequence[str], engine: str) -> str:
    """Return the condition that the key in `columns` is `sign` (`>` or `<=`) that of `values`, literals or marks.

    For a row comparison MySQL and MariaDB read the whole index (MySQL manual, 10.2.1.22), and an UPDATE locks all that
    it reads; column by column they read the range.
    """
    if len(columns) > 1 and engine not in ("mysql", "mariadb"):
        return f"({', '.join(columns)}) {sign} ({', '.join(values)})"
    text = f"{columns[-1]} {sign} {values[-1]}"
    for column, value in zip(columns[-2::-1], values[-2::-1], strict=True):
        text = f"({column} {sign[0]} {value} OR {column} = {value} AND {text})"
    return text


def in_order(values: Sequence[Any], engine: str) -> list[Any]:
    """Return the values in the order in which `compared` has their marks."""
    twice = 2 if engine in ("mysql", "mariadb") else 1
    return [*(value for value in values[:-1] for _ in range(twice)), values[-1]]
