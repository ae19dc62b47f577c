"""Data feeds: rows from CSV with a header, or from a JSON list of objects."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import InputError
from senior_backend.load.document import read_text

if TYPE_CHECKING:
    from pathlib import Path

MAX_FEED_BYTES = 256 * 1024 * 1024


def read_feed(path: Path) -> tuple[dict[str, Any], ...]:
    """Return the rows of a feed; CSV values are strings, JSON values keep their types.

    Raises:
        InputError: no rows, a row with more or fewer columns than the header, or JSON that is not a list of objects.
        UnavailableError: the file may not be read.
    """
    text = read_text(path, "feed", MAX_FEED_BYTES)
    rows = _json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path)
    if not rows:
        raise InputError(f"the feed {path} has no rows", code="feed-empty", where=str(path), hint="Add data rows.")
    return tuple(rows)


def _csv_rows(text: str, path: Path) -> list[dict[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header or not all(header) or len(set(header)) != len(header):
            raise InputError(
                f"the first row of {path} must name every column, each once",
                code="feed-header",
                where=f"{path}:1:1",
                hint="Write a header row such as email,password.",
            )
        rows = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(
                    f"a row of {path} has {len(row)} columns, the header has {len(header)}",
                    code="feed-row",
                    where=f"{path}:{reader.line_num}:1",
                    hint="Quote values that hold commas.",
                )
            rows.append(dict(zip(header, row, strict=True)))
    except csv.Error as error:
        where = f"{path}:{reader.line_num}:1"
        raise InputError(f"{path} is not valid CSV: {error}", code="feed-csv", where=where) from error
    return rows


def _json_rows(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise InputError(f"{path} is not valid JSON: {error.msg}", code="feed-json", where=where) from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply", code="feed-json", where=str(path)) from error
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise InputError(
            f"{path} must be a JSON list of objects", code="feed-json", where=str(path), hint='[{"email": "a@b.c"}]'
        )
    columns = set(document[0]) if document else set()
    for number, row in enumerate(document):
        if set(row) != columns:
            raise InputError(
                f"row {number} of {path} has other keys than row 0", code="feed-row", where=str(path), hint="Fill them."
            )
    return document
