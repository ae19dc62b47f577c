"""The measured goal: at most 0.70 of the CPU of the same endpoints with FastAPI and the ORM."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOAL = 0.70


@pytest.mark.slow
@pytest.mark.timing
def test_requests_cost_at_most_the_goal() -> None:
    command = [sys.executable, "benchmarks/scaffold_requests.py", "--rounds", "2", "--requests", "800"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for database, kinds in json.loads(done.stdout).items():
        for kind, figures in kinds.items():
            assert figures["ratio"]["orm"]["of_min"] <= GOAL, (database, kind, figures)
