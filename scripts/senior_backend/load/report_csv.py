"""One CSV row for each second of a run."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from senior_backend.load.statistics import Summary

HEADER = ("second", "asked", "sent", "answered", "failed", "p50_ms", "p90_ms", "p99_ms", "max_ms")


def seconds_csv(summary: Summary) -> str:
    """Return the seconds of a run, warm-up left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for row in summary.timeline:
        times = [row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms]
        counts = [row.second, round(row.asked, 3), row.sent, row.answered, row.failed]
        writer.writerow([*counts, *(None if time is None else round(time, 4) for time in times)])
    return text.getvalue()
