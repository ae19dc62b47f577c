"""Verification says yes to what is right, and no to each kind of damage."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from senior_backend.scaffold.model import Field, Resource, Service
from senior_backend.scaffold.stacks import fastapi as stack
from senior_backend.scaffold.stacks.contract import Step, VerifyLevel
from senior_backend.scaffold.stacks.fastapi import verification
from tests.scaffold_fastapi import models
from tests.scaffold_fastapi.conftest import Project, write


def damaged(project: Project, path: str, old: str, new: str) -> None:
    """Change a file of a project."""
    file = project.folder / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def failed(project: Project, level: VerifyLevel) -> Step:
    """Return the step that fails; it must be the last, and reported."""
    reported: list[Step] = []
    steps = stack.verify(project.folder, project.service, level, reported.append)
    assert reported == steps
    assert [step.ok for step in steps] == [True] * (len(steps) - 1) + [False]
    assert steps[-1].output
    return steps[-1]


@pytest.fixture
def broken(tmp_path: Path, python: str) -> Project:
    """A project of its own, to be damaged."""
    return Project(write(tmp_path / "project", models.PLAIN), models.PLAIN, python)


@pytest.mark.slow
def test_a_service_of_many_resources_passes(tmp_path: Path, python: str) -> None:
    names = [f"thing{number}" for number in range(30)]
    fields = (Field(name="name", type="str", index=True),)
    many = Service(name="many", resources=tuple(Resource(name=one, plural=f"{one}s", fields=fields) for one in names))
    steps = stack.verify(write(tmp_path / "project", many), many, "fast", lambda _: None)
    assert [step.output for step in steps if not step.ok] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "old", "new", "step"),
    [
        ("app/crud.py", "import sqlalchemy as sa\n", "import os\nimport sqlalchemy as sa\n", "lint"),
        (
            "app/resources/notes/table.py",
            "from app.resource import Resource",
            "from app.nothing import Resource",
            "openapi",
        ),
        ("app/resources/notes/routes.py", '"readNote"', '"listNotes"', "openapi"),
    ],
)
def test_fast_finds(path: str, old: str, new: str, step: str, broken: Project) -> None:
    damaged(broken, path, old, new)
    assert failed(broken, "fast").name == step


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "old", "new", "test"),
    [
        ("app/statements.py", "table.c.version + 1", "table.c.version + 0", "test_crud"),
        ("app/etags.py", "        return frozenset()", "        return None", "test_units"),
        ("app/patterns/etag.py", "if re.fullmatch(r'\"[0-9]", "if re.search(r'\"[0-9]", "test_units"),
        ("app/patterns/jwt_verify.py", "if self._type is not None and", "if False and", "patterns/test_jwt_verify"),
        ("app/resources/notes/table.py", "sa.String(100)", "sa.String(90)", "test_migrations"),
        ("app/middleware.py", "if self._seen > self._max_body:", "if self._seen < 0:", "test_http"),
    ],
)
def test_its_tests_find(path: str, old: str, new: str, test: str, broken: Project) -> None:
    damaged(broken, path, old, new)
    done = broken.run("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/{test}.py", check=False)
    assert done.returncode == 1, done.stdout[-2000:]


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(1200)
def test_three_resources_hold_at_every_level(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "EXAMPLES", 5)  # the default of 100 takes minutes on a shared machine
    steps = stack.verify(shop.folder, shop.service, "full", lambda _: None)
    assert [step.name for step in steps if not step.ok and not step.skipped] == [], steps[-1].output
    names = {step.name for step in steps}
    assert names >= {"lint", "openapi", "tests on SQLite", "types", "security", "fuzzing on SQLite, two users"}


def test_default_examples_are_at_least_a_hundred() -> None:
    commands = [check.command for check in verification.checks(sys.executable, "full")]
    assert verification.EXAMPLES >= 100
    assert sum(str(verification.EXAMPLES) in command for command in commands) == 2


def test_levels_hold_the_ones_below() -> None:
    levels: tuple[VerifyLevel, ...] = ("fast", "test", "full")
    names = {level: [check.name for check in verification.checks(sys.executable, level)] for level in levels}
    assert names["test"][: len(names["fast"])] == names["fast"]
    assert names["full"][: len(names["test"])] == names["test"]


def test_failing_lines_are_the_first_that_matter() -> None:
    output = ["fine"] * 50 + ["E   AssertionError: here"] + ["after"] * 50 + ["1 failed"]
    lines = verification.failing_lines(output)
    assert lines[0] == "E   AssertionError: here"
    assert lines[-1] == "1 failed"
    assert len(lines) <= verification.SHOWN_LINES
    assert verification.failing_lines(["x" * 1000])[0] == "x" * verification.SHOWN_CHARACTERS


def test_a_step_that_hangs_is_ended(tmp_path: Path) -> None:
    import sys

    check = verification.Check("hang", (sys.executable, "-c", "import time; time.sleep(60)"), 0.5)
    step = verification._run(tmp_path, check)
    assert not step.ok
    assert "longer" in step.detail
    assert step.seconds < 20
