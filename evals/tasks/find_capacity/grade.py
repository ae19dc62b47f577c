"""Four workers of 20 ms (and a timer's overhead) carry just under 200 requests per second."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evals.grading import Check, check

if TYPE_CHECKING:
    from pathlib import Path


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with capacity.json: {"highest_rps", "in_flight_limit", "errors_percent"}."""

    def answer() -> dict[str, Any]:
        document = json.loads((workspace / "capacity.json").read_text())
        assert isinstance(document, dict)
        return document

    def rate() -> str:
        rps = float(answer()["highest_rps"])
        assert 150 <= rps <= 199, (
            f"{rps:g} requests/s is not the highest rate that keeps p99 below 200 ms (150 to 199 is)"
        )
        return f"{rps:g}/s"

    def cause() -> str:
        limit = int(answer()["in_flight_limit"])
        assert limit == 4, f"the service works on 4 requests at a time, not on {limit}"
        return "a pool of 4"

    return [
        check("the highest rate with p99 < 200 ms is found within the truth", rate),
        check("the limit is named: how many requests the service works on at once", cause),
    ]
