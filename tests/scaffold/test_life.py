"""A project's life in any order of edits and runs: no line of the user's is ever lost, and every run settles."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from senior_backend.scaffold import cli
from tests.scaffold.conftest import tree

NAMES = ("alpha", "beta", "gamma")
KINDS = ("int?", "str(9)?", "bool=true", "text?", "json?")

OPERATIONS = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, 30), st.integers(0, 40)),
    st.tuples(st.just("replace"), st.integers(0, 30), st.integers(0, 40)),
    st.tuples(st.just("delete-file"), st.integers(0, 30), st.just(0)),
    st.tuples(st.just("field"), st.sampled_from(NAMES), st.tuples(st.integers(0, 6), st.sampled_from(KINDS))),
    st.tuples(st.just("resource"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("settle"), st.just(0), st.just(0)),
)


def call(*arguments: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = cli.main([*arguments, "--json"])
    return code, json.loads(out.getvalue())


class Life:
    def __init__(self, project: Path) -> None:
        self.project = project
        self.marks: dict[str, set[str]] = {}
        self.count = 0

    def files(self) -> list[Path]:
        return sorted(path for path in self.project.rglob("*") if path.suffix in (".py", ".md") and path.is_file()
                      and ".scaffold" not in path.parts)  # fmt: skip

    def edit(self, which: int, line: int, *, replace: bool) -> None:
        files = self.files()
        path = files[which % len(files)]
        lines = path.read_text().splitlines(keepends=True)
        self.count += 1
        mark = f"# mine {self.count}"
        at = line % (len(lines) + 1)
        end = at + 1 if replace and at < len(lines) and not lines[at].startswith("# mine") else at
        lines[at:end] = [f"{mark}\n"]
        path.write_text("".join(lines))
        self.marks.setdefault(str(path.relative_to(self.project)), set()).add(mark)

    def delete(self, which: int) -> None:
        files = self.files()
        path = files[which % len(files)]
        path.unlink()
        self.marks.pop(str(path.relative_to(self.project)), None)

    def settle(self) -> None:
        for reject in self.project.rglob("*.rej"):
            reject.unlink()

    def check_marks(self) -> None:
        for name, marks in self.marks.items():
            lines = set((self.project / name).read_text().splitlines())
            assert marks <= lines, f"{name} lost {marks - lines}"


@pytest.mark.slow
@given(st.lists(OPERATIONS, max_size=12))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_life_of_a_project(operations: list[tuple[str, Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        before_folder = Path.cwd()
        os.chdir(folder)
        try:
            live(folder, operations)
        finally:
            os.chdir(before_folder)


def live(folder: Path, operations: list[tuple[str, Any, Any]]) -> None:
    assert call("--name", "user", "--crud", "--out", "p")[0] == 0
    life = Life(folder / "p")
    for kind, first, second in operations:
        arguments: list[str] = []
        if kind in ("edit", "replace"):
            life.edit(first, second, replace=kind == "replace")
        elif kind == "delete-file":
            life.delete(first)
        elif kind == "settle":
            life.settle()
        elif kind == "field":
            arguments = ["--name", first, "--fields", f"extra{second[0]}:{second[1]}"]
        elif kind == "resource":
            arguments = ["--name", first, "--crud"]
        else:
            arguments = ["--remove", first]
        earlier = tree(life.project)
        code, report = call("--out", "p", *arguments)
        assert code in (0, 2, 3), report
        life.check_marks()
        if code == 2 or (report["findings"] and report["findings"][0]["code"] == "file-not-ours"):
            assert tree(life.project) == earlier
            continue
        # the run has settled: again, it changes nothing and says the same
        now = tree(life.project)
        again, _ = call("--out", "p")
        assert again == code
        assert tree(life.project) == now
        checked, report = call("--out", "p", "--check")
        assert checked == (0 if code == 0 else 1), report
        assert tree(life.project) == now
    life.settle()
    for left in [item["path"] for item in call("--out", "p")[1]["data"]["files"] if item["action"] == "left"]:
        (life.project / left).unlink()
        life.marks.pop(left, None)
    life.settle()
    code, report = call("--out", "p")
    life.check_marks()
    assert code in (0, 3)
    life.settle()
    assert call("--out", "p")[0] == 0
