"""One CSV row for each second of a run."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.load.statistics import Summary

HEADER = ("second", "asked", "sent", "answered", "failed", "p50_ms", "p90_ms", "p99_ms", "max_ms")


def seconds_csv(summary: Summary, server: Sequence[tuple[str, Sequence[float | None]]] = ()) -> str:
    """Return the seconds of a run; `server` adds columns of the server's own figures, one value a second."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*HEADER, *(name for name, _ in server)])
    for number, row in enumerate(summary.timeline):
        values = [row.second, round(row.asked, 3), row.sent, row.answered, row.failed]
        times = [row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms]
        extra = [values[number] if number < len(values) else None for _, values in server]
        writer.writerow([*values, *(None if time is None else round(time, 4) for time in times), *extra])
    return text.getvalue()
