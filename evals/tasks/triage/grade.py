"""The cache is loading its data: that is why orders and so web fail; mail hangs on its own; stock is well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evals.grading import Check, check

if TYPE_CHECKING:
    from pathlib import Path


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with triage.json: {"states": {name: up|down|blocked}, "causes": {name: reason}}."""

    def answer() -> dict[str, Any]:
        document = json.loads((workspace / "triage.json").read_text())
        assert isinstance(document, dict)
        return document

    def causes() -> str:
        named = set(answer()["causes"])
        assert named == {"cache", "mail"}, f"the causes are cache and mail, not {sorted(named)}"
        return "cache and mail"

    def reasons() -> str:
        said = {name: str(reason).lower() for name, reason in answer()["causes"].items()}
        assert "load" in said.get("cache", "") or "start" in said.get("cache", ""), f"cache: {said.get('cache')}"
        assert any(word in said.get("mail", "") for word in ("time", "hang", "answer", "silent", "greet")), (
            f"mail: {said.get('mail')}"
        )
        return "loading, and no answer"

    def states() -> str:
        said = answer()["states"]
        wanted = {"web": "blocked", "orders": "blocked", "stock": "up", "cache": "down", "mail": "down"}
        assert said == wanted, f"{said} is not {wanted}"
        return "right"

    return [
        check("the root causes are named, and nothing else", causes),
        check("each cause has its reason", reasons),
        check("each service has its state", states),
    ]
