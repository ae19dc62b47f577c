from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from senior_backend.console.environment import SKILL_ROOT
from senior_backend.scaffold.stacks.contract import Step
from tests.scaffold import tiny_stack
from tests.scaffold.conftest import Tool, tree


def test_the_skills_own_folder_is_refused(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path.name for path in SKILL_ROOT.iterdir())
    monkeypatch.chdir(SKILL_ROOT)
    for arguments in (
        ["--name", "user"],
        ["--name", "user", "--out", "scripts/x"],
        ["--name", "user", "--out", "."],
        ["--from-db", "nowhere.db", "--out", "x"],
    ):
        result = tool(*arguments)
        assert result.code in (4, 5), result.envelope
    (tool.folder / "link").symlink_to(SKILL_ROOT)
    assert tool("--name", "user", "--out", tool.folder / "link/service").codes == ["target-in-skill"]
    assert sorted(path.name for path in SKILL_ROOT.iterdir()) == before


@pytest.mark.parametrize("name", ["../user", "/etc/user", "a/b", "..", ".", "a\\b", "~/x", ".hidden"])
def test_a_name_is_no_path(tool: Tool, name: str) -> None:
    result = tool("--name", name, "--crud")
    assert result.code == 2, result.envelope
    assert list(tool.folder.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "1st", "naïve", "a" * 41, "user;rm", "users", "import", "auth", "core", "%s", "a\x00b"]
)
def test_names_that_cannot_be(tool: Tool, name: str) -> None:
    result = tool("--name", name, "--crud")
    assert result.code == 2, result.envelope
    assert all(finding["fix"] for finding in result.envelope["findings"])
    assert list(tool.folder.iterdir()) == []


def test_a_folder_of_somebody_else_is_refused(tool: Tool) -> None:
    (tool.folder / "photos").mkdir()
    (tool.folder / "photos/me.jpg").write_text("x")
    before = tree(tool.folder)
    result = tool("--name", "user", "--out", "photos")
    assert (result.code, result.codes) == (5, ["target-not-ours"])
    assert tree(tool.folder) == before


def test_an_empty_folder_is_fine(tool: Tool) -> None:
    (tool.folder / "empty").mkdir()
    assert tool("--name", "user", "--out", "empty").code == 0


def test_a_git_repository_with_uncommitted_work_is_fine(tool: Tool) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tool.folder, check=True)
    (tool.folder / "notes.txt").write_text("work")
    result = tool("--name", "user", "--out", ".")
    assert result.code == 0, result.envelope
    assert (tool.folder / "notes.txt").read_text() == "work"
    assert (tool.folder / "app/users/model.py").exists()
    assert not (tool.folder / "user-service").exists()


def test_a_repository_whose_files_are_in_the_way_is_refused(tool: Tool) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tool.folder, check=True)
    (tool.folder / "README.md").write_text("my own")
    (tool.folder / "app").mkdir()
    (tool.folder / "app/__init__.py").write_text("")
    before = tree(tool.folder)
    result = tool("--name", "user", "--out", ".")
    assert (result.code, result.codes) == (5, ["file-not-ours"])
    assert [finding["where"] for finding in result.envelope["findings"]] == ["README.md"]
    assert tree(tool.folder) == before


def test_a_file_of_the_users_in_the_way_of_a_new_resource(tool: Tool) -> None:
    assert tool("--name", "user", "--crud").code == 0
    project = tool.folder / "user-service"
    (project / "app/tags").mkdir()
    (project / "app/tags/model.py").write_text("mine")
    before = tree(tool.folder)
    result = tool("--name", "tag", "--out", "user-service")
    assert (result.code, result.codes) == (5, ["file-not-ours"])
    assert tree(tool.folder) == before


@pytest.mark.parametrize("linked", ["app", "app/users", "README.md", ".scaffold", "resources.yaml"])
def test_a_link_out_of_the_target_is_refused(tool: Tool, linked: str) -> None:
    assert tool("--name", "user", "--crud").code == 0
    project, outside = tool.folder / "user-service", tool.folder / "outside"
    (project / linked).rename(outside)
    (project / linked).symlink_to(outside)
    before = tree(outside) if outside.is_dir() else {"": (outside.read_bytes(), outside.stat().st_mtime_ns)}
    result = tool("--name", "user", "--fields", "phone:str(20)?", "--out", "user-service")
    assert result.code in (2, 5), result.envelope
    after = tree(outside) if outside.is_dir() else {"": (outside.read_bytes(), outside.stat().st_mtime_ns)}
    assert after == before


def test_a_target_that_is_a_file(tool: Tool) -> None:
    (tool.folder / "file").write_text("")
    assert tool("--name", "user", "--out", "file").code == 2
    assert tool("--name", "user", "--out", "file/x").code in (2, 4)
    assert (tool.folder / "file").read_text() == ""


def test_an_unwritable_target(tool: Tool) -> None:
    assert tool("--name", "user", "--out", "/proc/nowhere/x").code == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--crud"], 2),
        (["--name", "user", "--spec", "x.yaml"], 2),
        (["--name", "user", "--crud", "--operations", "list"], 2),
        (["--name", "user", "--check", "--diff"], 2),
        (["--name", "user", "--verify=most"], 2),
        (["--name", "user", "--stack", "fastapy"], 2),
        (["--name", "user", "--operations", "list,fly"], 2),
        (["--name", "user", "--operations", ""], 2),
        (["--name", "user", "--fields", ""], 2),
        (["--name", "user", "--action", "fly"], 2),
        (["--name", "user", "--action", "pub lish"], 2),
        (["--name", "note", "--fields", "about:ref(thing)"], 2),
        (["--name", "note", "--owner", "team"], 2),
        (["--spec", "nowhere.yaml"], 2),
        (["--spec", "."], 4),
        (["--check"], 2),
        (["--remove", "user"], 2),
        (["--from-openapi", "nowhere.yaml"], 2),
        (["--from-db", "sqlite:///x.db", "--verify"], 2),
        (["--nmae", "user"], 2),
    ],
)
def test_calls_that_cannot_be(tool: Tool, arguments: list[str], code: int) -> None:
    result = tool(*arguments)
    assert result.code == code, result.envelope
    assert list(tool.folder.iterdir()) == []


def test_the_flags_of_the_issue(tool: Tool) -> None:
    result = tool(
        "--name", "article", "--operations", "list,create,read", "--plural", "pieces", "--owner", "user",
        "--fields", "title:str(100) status:enum(draft,published)=draft", "--action", "publish",
        "--action", "retract:status=draft", "--out", "press", "--errors", "envelope", "--require-if-match",
    )  # fmt: skip
    assert result.code == 0, result.envelope
    text = (tool.folder / "press/resources.yaml").read_text()
    assert text.startswith("service: press\nerrors: envelope\nrequire_if_match: true\nresources:\n  user:\n")
    assert "plural: pieces\n    owner: user\n    operations: [list, create, read]\n" in text
    assert "publish: {set: {status: published}}\n      retract: {set: {status: draft}}\n" in text


def test_verification_decides_the_exit_code(tool: Tool) -> None:
    good = tool("--name", "user", "--crud", "--verify")
    assert (good.code, good.data["verify"]["reached"]) == (0, "fast")
    assert "verified at level fast" in good.envelope["summary"]
    assert "verify: ok   user" in good.error
    model = tool.folder / "user-service/app/users/model.py"
    model.write_text(model.read_text() + "\ndef broken(:\n")
    bad = tool("--out", "user-service", "--verify=test")
    assert (bad.code, bad.codes, bad.data["verify"]["reached"]) == (1, ["verify-failed"], None)
    assert "verified at" not in bad.envelope["summary"]


def test_nothing_checked_is_never_verified(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_stack, "verify", lambda *_: [])
    assert tool("--name", "user", "--crud", "--verify").code == 1


def test_what_cannot_be_checked_here_is_told(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [Step("lint", True, 0.1), Step("tests on PostgreSQL", False, 0.0, "it wants a password", skipped=True)]
    monkeypatch.setattr(tiny_stack, "verify", lambda *_: steps)
    result = tool("--name", "user", "--crud", "--verify=full")
    assert (result.code, result.data["verify"]["reached"]) == (0, "full")
    assert "without tests on PostgreSQL" in result.envelope["summary"]
    monkeypatch.setattr(tiny_stack, "verify", lambda *_: steps[1:])
    assert tool("--out", "user-service", "--verify=full").code == 1


def test_routes_that_would_be_there_twice(tool: Tool) -> None:
    (tool.folder / "spec.yaml").write_text(
        "resources:\n  user: {fields: {name: str}}\n  order: {fields: {buyer: ref(user), seller: ref(user)}}\n"
    )
    result = tool("--spec", "spec.yaml", "--out", "x")
    assert (result.code, result.codes) == (2, ["route-collision"])
    assert not (tool.folder / "x").exists()


def test_names_that_the_stack_reserves(tool: Tool) -> None:
    assert tool("--name", "core").codes == ["reserved-name"]


def test_schema_is_printed_bare_or_in_the_envelope(tool: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    from senior_backend.scaffold import cli

    assert tool("--schema").data["schema"]["title"]
    assert cli.main(["--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"]


def test_the_whole_program_from_an_empty_folder(tmp_path: Path) -> None:
    door = SKILL_ROOT / "scripts/api_scaffold.py"
    bad = subprocess.run(
        [sys.executable, str(door), "--name", "user", "--fields", "a:strng"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith(
        "--fields:3: error[unknown-type] field 'a': unknown type 'strng' (did you mean 'str'?)"
    )
    assert "Traceback" not in bad.stderr
    assert list(tmp_path.iterdir()) == []
