"""Each grader accepts a good solution whole, and refuses a mediocre one and the starter."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evals import run
from senior_backend.console.environment import build
from tests import services
from tests.documents import ROOT

TASKS = ROOT / "evals" / "tasks"
PATTERNS = ROOT / "templates" / "patterns" / "python"
NAMES = [task["name"] for task in run.tasks()]
SERVICES = {"rate_limit": "redis", "hot_cache": "redis"}
WITHOUT_SERVER = {"review_migrations", "find_capacity", "triage", "safe_preview", "build_service"}


def workspace(name: str, variant: str, folder: Path) -> Path:
    """Return the starter with a solution laid over it, and the patterns that it uses."""
    place = folder / variant
    shutil.copytree(TASKS / name / "starter", place, dirs_exist_ok=True)
    if (TASKS / name / variant).is_dir():
        shutil.copytree(TASKS / name / variant, place, dirs_exist_ok=True)
    uses = place / "uses.txt"
    if uses.exists():
        for module in uses.read_text().split():
            shutil.copy(PATTERNS / module, place / module)
    return place


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate the good solution of `build_service` where its workspace will be, with the packages it needs."""
    place = tmp_path / "good" / "service"
    scaffold = [sys.executable, str(ROOT / "scripts" / "api_scaffold.py"), "--out", str(place)]
    specification = TASKS / "build_service" / "good" / "shop.yaml"
    subprocess.run([*scaffold, "--spec", str(specification)], check=True, capture_output=True, timeout=120)
    monkeypatch.setenv("SERVICE_PYTHON", str(build(place / "requirements-dev.txt", "fastapi")))


@pytest.fixture(autouse=True)
def _server(request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    if name and name not in WITHOUT_SERVER:
        services.require(SERVICES.get(name, "postgresql"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_good_solution_passes_every_check(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name == "build_service":
        request.getfixturevalue("service")
    checks = run.grader(name).grade(workspace(name, "good", tmp_path))
    assert [(check.text, check.evidence) for check in checks if not check.passed] == []
    assert len(checks) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_mediocre_solution_fails_checks(name: str, tmp_path: Path) -> None:
    checks = run.grader(name).grade(workspace(name, "mediocre", tmp_path))
    assert not all(check.passed for check in checks)


@pytest.mark.parametrize("name", NAMES)
def test_the_starter_is_not_a_solution(name: str, tmp_path: Path) -> None:
    checks = run.grader(name).grade(workspace(name, "starter", tmp_path))
    assert not all(check.passed for check in checks)


def test_the_index_matches_the_folders() -> None:
    assert len(NAMES) >= 12
    assert sorted(NAMES) == sorted(path.name for path in TASKS.iterdir() if path.is_dir())
    for task in run.tasks():
        listed = {ROOT / file for file in task["files"]}
        assert listed == {path for path in (TASKS / task["name"] / "starter").rglob("*") if path.is_file()}


def test_triggers_are_balanced_and_split() -> None:
    queries = json.loads((ROOT / "evals" / "triggers.json").read_text())["queries"]
    assert sum(query["should_trigger"] for query in queries) == 20
    assert len({query["query"] for query in queries}) == 40
    for wanted in (True, False):
        splits = [query["split"] for query in queries if query["should_trigger"] is wanted]
        assert (splits.count("train"), splits.count("validation")) == (12, 8)


def test_workspaces_are_isolated_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["prepare", str(tmp_path), "--task", "review_migrations", "--repeat", "2"]) == 0
    with_skill = tmp_path / "review_migrations" / "with_skill" / "1" / "workspace"
    without = tmp_path / "review_migrations" / "without_skill" / "1" / "workspace"
    assert (with_skill / ".claude" / "skills" / "senior-backend" / "SKILL.md").is_file()
    assert not (without / ".claude").exists()
    for place in tmp_path.glob("review_migrations/*/*/workspace"):
        assert not (place / "grade.py").exists()
    good = TASKS / "review_migrations" / "good" / "review.json"
    copy = [sys.executable, "-c", "import shutil, sys; shutil.copy(sys.argv[1], '.')", str(good)]
    assert run.main(["agent", str(tmp_path), "--", *copy]) == 0
    (without / "review.json").write_text("{}")
    assert run.main(["grade", str(tmp_path)]) == 0
    benchmark = json.loads((tmp_path / "benchmark.json").read_text())
    assert benchmark["run_summary"]["with_skill"]["pass_rate"]["mean"] == 1.0
    assert benchmark["run_summary"]["without_skill"]["pass_rate"]["mean"] == 0.5
    assert "review_migrations" in (tmp_path / "benchmark.html").read_text()
    capsys.readouterr()


def test_runs_that_start_servers_share_no_port(tmp_path: Path) -> None:
    run.prepare(tmp_path, ["triage", "find_capacity"], 2)
    ports = [
        int(re.findall(r"\.py (\d+)`", prompt.read_text())[0]) for prompt in sorted(tmp_path.glob("*/*/*/prompt.txt"))
    ]
    assert len(ports) == 8
    assert all(abs(a - b) >= 5 for a, b in itertools.combinations(ports, 2)), ports
