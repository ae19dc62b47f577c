"""Compares the places that a review names with the ones that block, break or rewrite, and counts false alarms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from evals.grading import Check, check

if TYPE_CHECKING:
    from pathlib import Path

# Measured on PostgreSQL 15: volatile default, int to bigint, plain index, serial; validation in the transaction that added
# the constraint; a rename under running code. The files are applied to a database in use, each in one transaction.
HAZARDS = {
    "002_change.sql:3",
    "002_change.sql:4",
    "002_change.sql:5",
    "002_change.sql:8",
    "003_more.sql:2",
    "003_more.sql:3",
}
HARMLESS = {
    "001_init.sql:1",
    "001_init.sql:2",
    "002_change.sql:1",
    "002_change.sql:2",
    "002_change.sql:6",
    "002_change.sql:7",
    "003_more.sql:4",
}


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with review.json: {"findings": [{"file", "line", "problem", "fix"}]}."""

    def named() -> set[str]:
        document = json.loads((workspace / "review.json").read_text())
        return {f"{one['file']}:{one['line']}" for one in document["findings"]}

    def complete() -> str:
        missed = sorted(HAZARDS - named())
        assert not missed, f"missed {', '.join(missed)}"
        return f"{len(HAZARDS)} of {len(HAZARDS)}"

    def precise() -> str:
        wrong = sorted(HARMLESS & named())
        assert not wrong, f"false alarms at {', '.join(wrong)}"
        return "no false alarm"

    def useful() -> str:
        findings = json.loads((workspace / "review.json").read_text())["findings"]
        assert all(len(one["fix"]) > 15 for one in findings), "a finding without a fix"
        assert findings
        return "each has a fix"

    return [
        check("every hazard is found", complete),
        check("nothing harmless is called a hazard", precise),
        check("each finding says what to do", useful),
    ]
