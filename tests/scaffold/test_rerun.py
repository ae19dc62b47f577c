"""A project that lives: the user edits, the specification grows, and nothing of the user's is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from senior_backend.scaffold import state
from tests.scaffold.conftest import Tool, tree

SPEC = """\
# kept comment
service: shop
resources:
  user:   # who logs in
    identity: true
    fields:
      email: email:unique
      password: password
      name: str(100)   # shown

  # things to sell
  product:
    fields:
      title: str(80)
      price: money
"""


@pytest.fixture
def project(tool: Tool) -> Path:
    (tool.folder / "spec.yaml").write_text(SPEC)
    assert tool("--spec", "spec.yaml", "--out", "shop").code == 0
    return tool.folder / "shop"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_specification_is_copied_as_it_is(project: Path) -> None:
    assert (project / "resources.yaml").read_text() == SPEC


def test_a_resource_is_added_and_comments_stay(tool: Tool, project: Path) -> None:
    result = tool("--out", "shop", "--name", "tag", "--crud", "--fields", "label:str(20):unique")
    assert result.code == 0, result.envelope
    assert (project / "resources.yaml").read_text() == SPEC + ("  tag:\n    fields:\n      label: str(20):unique\n")
    assert result.actions["app/tags/model.py"] == "created"
    assert result.actions["app/users/model.py"] == "unchanged"
    assert result.actions["README.md"] == "updated"
    assert len(result.data["migrations"]) == 1
    assert len(list((project / "migrations").iterdir())) == 2


def test_a_field_is_added_in_its_place(tool: Tool, project: Path) -> None:
    result = tool("--out", "shop", "--name", "user", "--fields", "phone:str(20)?")
    assert result.code == 0, result.envelope
    assert (project / "resources.yaml").read_text() == SPEC.replace(
        "name: str(100)   # shown\n", "name: str(100)   # shown\n      phone: str(20)?\n"
    )
    assert "phone = 'str'" in (project / "app/users/model.py").read_text()
    before = tree(tool.folder)
    assert tool("--out", "shop", "--name", "user", "--fields", "phone:str(20)?").code == 0
    assert tree(tool.folder) == before


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("fields: {label: str(9)}", "fields: {label: str(9), size: int=0}"),
        ("fields: {label: {type: str, length: 9}}", "fields: {label: {type: str, length: 9}, size: int=0}"),
        ("fields: label:str(9)", "fields: label:str(9) size:int=0"),
        ("fields: 'label:str(9)'", "fields: 'label:str(9) size:int=0'"),
        ('fields: "label:str(9)"  # c', 'fields: "label:str(9) size:int=0"  # c'),
        (
            "fields:\n        label:\n          type: str  # c\n\n",
            "fields:\n        label:\n          type: str  # c\n        size: int=0\n\n",
        ),
    ],
)
def test_a_field_is_added_to_every_style(tool: Tool, fields: str, expected: str) -> None:
    (tool.folder / "spec.yaml").write_text(f"resources:\n  tag:\n      {fields}\n")
    assert tool("--spec", "spec.yaml", "--out", "x").code == 0
    result = tool("--out", "x", "--name", "tag", "--fields", "size:int=0")
    assert result.code == 0, result.envelope
    assert (tool.folder / "x/resources.yaml").read_text() == f"resources:\n  tag:\n      {expected}\n"


def test_a_style_that_cannot_be_edited_gets_the_lines_to_add(tool: Tool) -> None:
    (tool.folder / "spec.yaml").write_text("resources: {tag: {fields: {label: str(9)}}}\n")
    assert tool("--spec", "spec.yaml", "--out", "x").code == 0
    before = tree(tool.folder)
    result = tool("--out", "x", "--name", "note", "--fields", "text:text")
    assert (result.code, result.codes) == (3, ["cannot-edit"])
    assert (
        "  note:\n    operations: [list, read]\n    fields:\n      text: text" in result.envelope["findings"][0]["fix"]
    )
    assert tree(tool.folder) == before


def test_flags_only_add(tool: Tool, project: Path) -> None:
    before = tree(tool.folder)
    for arguments in (
        ["--name", "user", "--fields", "name:str(50)"],
        ["--name", "product", "--plural", "wares"],
    ):
        result = tool("--out", "shop", *arguments)
        assert (result.code, result.codes) == (2, ["already-there"])
        assert "resources.yaml:" in result.envelope["findings"][0]["where"]
    assert tree(tool.folder) == before


def test_operations_owner_and_actions_are_added_by_flags(tool: Tool, project: Path) -> None:
    assert tool("--out", "shop", "--name", "note").code == 0
    assert "operations: [list, read]" in (project / "resources.yaml").read_text()
    assert tool("--out", "shop", "--name", "note", "--crud", "--fields", "done:bool=false").code == 0
    assert "operations: [list, create, read, update, delete]" in (project / "resources.yaml").read_text()
    assert tool("--out", "shop", "--name", "note", "--owner", "user", "--action", "finish:done=true").code == 0
    text = (project / "resources.yaml").read_text()
    assert "owner: user" in text
    assert "finish: {set: {done: true}}" in text
    assert tool("--out", "shop", "--name", "note", "--action", "reopen:done=false").code == 0
    assert "reopen: {set: {done: false}}" in (project / "resources.yaml").read_text()
    assert tool("--out", "shop", "--check").code == 0


def test_settings_go_into_the_specification(tool: Tool, project: Path) -> None:
    assert tool("--out", "shop", "--errors", "envelope", "--require-if-match").code == 0
    text = (project / "resources.yaml").read_text()
    assert "errors: envelope\nrequire_if_match: true\nresources:\n" in text
    assert tool("--out", "shop", "--errors", "problem").code == 0
    assert "errors: problem\n" in (project / "resources.yaml").read_text()


def test_edits_survive_and_merge(tool: Tool, project: Path) -> None:
    model, hooks = project / "app/users/model.py", project / "app/users/hooks.py"
    edit(model, "# users\n", "# users\nmine = 1\n")
    hooks.write_text("my hooks\n")
    kept = tool("--out", "shop")
    assert (kept.code, kept.actions["app/users/model.py"], kept.actions["app/users/hooks.py"]) == (0, "kept", "kept")
    merged = tool("--out", "shop", "--name", "user", "--fields", "phone:str(20)?")
    assert merged.code == 0
    assert merged.actions["app/users/model.py"] == "merged"
    text = model.read_text()
    assert "mine = 1\n" in text
    assert "phone = 'str'" in text
    assert hooks.read_text() == "my hooks\n"
    assert tool("--out", "shop", "--check").code == 0


def test_a_conflict_leaves_the_file_alone_until_it_is_decided(tool: Tool, project: Path) -> None:
    model = project / "app/users/model.py"
    edit(model, "name = 'str'\n", "name = 'my own'\n")
    spec = project / "resources.yaml"
    edit(spec, "name: str(100)   # shown", "name: text   # shown")
    mine = model.read_text()
    result = tool("--out", "shop")
    assert (result.code, result.codes) == (3, ["merge-conflict"])
    assert result.envelope["findings"][0]["where"].startswith("app/users/model.py:")
    assert model.read_text() == mine
    reject = Path(f"{model}.rej")
    assert "-name = 'str'\n+name = 'text'\n" in reject.read_text()

    before = tree(tool.folder)
    assert tool("--out", "shop").code == 3
    assert tree(tool.folder) == before
    assert tool("--out", "shop", "--check").code == 1

    # a further change while the conflict waits is part of the same patch
    assert tool("--out", "shop", "--name", "user", "--fields", "phone:str(20)?").code == 3
    assert "+phone = 'str'\n" in reject.read_text()
    assert model.read_text() == mine

    # the patch does most of it, the rest is the user's
    if shutil.which("patch"):
        subprocess.run(["patch", "--merge", "-s", str(model), str(reject)], check=False)
        assert "phone = 'str'" in model.read_text()
    edit(model, model.read_text(), mine.replace("# end", "phone = 'str'\n\n# end"))
    reject.unlink()
    settled = tool("--out", "shop")
    assert (settled.code, settled.actions["app/users/model.py"]) == (0, "kept")
    assert tool("--out", "shop", "--check").code == 0
    assert "name = 'my own'" in model.read_text()


def test_taking_the_new_text_settles_a_conflict_too(tool: Tool, project: Path) -> None:
    model = project / "app/users/model.py"
    edit(model, "name = 'str'\n", "name = 'my own'\n")
    edit(project / "resources.yaml", "name: str(100)   # shown", "name: text   # shown")
    assert tool("--out", "shop").code == 3
    edit(model, "name = 'my own'\n", "name = 'text'\n")
    result = tool("--out", "shop")
    assert result.code == 0
    assert not Path(f"{model}.rej").exists()


def test_a_merge_that_would_not_compile_is_a_conflict(tool: Tool, project: Path) -> None:
    model = project / "app/users/model.py"
    edit(model, "# users\n", "# users\nquoted = '''\n")
    edit(model, "# end\n", "# end\n'''\n")
    mine = model.read_text()
    assert (
        tool("--out", "shop", "--name", "user", "--fields", "phone:str(20)?").actions["app/users/model.py"] == "merged"
    )
    result = tool("--out", "shop", "--name", "user", "--fields", "extra:json?")
    assert (result.code, result.actions["app/users/model.py"]) == (3, "conflict")
    assert "extra" not in model.read_text()
    assert mine != model.read_text()


def test_a_deleted_file_is_drift_and_comes_back(tool: Tool, project: Path) -> None:
    (project / "app/users/model.py").unlink()
    check = tool("--out", "shop", "--check")
    assert (check.code, check.codes) == (1, ["restored", "drift"])
    result = tool("--out", "shop")
    assert (result.code, result.actions["app/users/model.py"]) == (0, "created")


def test_a_deleted_file_of_the_users_stays_deleted(tool: Tool, project: Path) -> None:
    (project / "app/users/hooks.py").unlink()
    result = tool("--out", "shop")
    assert (result.code, result.actions["app/users/hooks.py"]) == (0, "skipped")
    assert not (project / "app/users/hooks.py").exists()


def test_secrets_differ_and_are_never_drift(tool: Tool, project: Path) -> None:
    secret = (project / ".env").read_text()
    assert tool("--out", "shop").code == 0
    assert (project / ".env").read_text() == secret
    assert secret.strip() not in "".join(
        path.read_text(errors="replace") for path in (project / ".scaffold").rglob("*.json")
    )
    (project / ".env").unlink()
    assert tool("--out", "shop", "--check").code == 0
    assert tool("--out", "shop").code == 0
    assert (project / ".env").read_text() != secret


def test_remove_takes_everything_of_a_resource_away(tool: Tool, project: Path) -> None:
    (project / "app/products/__pycache__").mkdir()
    (project / "app/products/__pycache__/model.cpython-311.pyc").write_bytes(b"x")
    result = tool("--out", "shop", "--remove", "product")
    assert result.code == 0, result.envelope
    assert not (project / "app/products").exists()
    text = (project / "resources.yaml").read_text()
    assert "product" not in text
    assert "# things to sell" not in text
    assert text == SPEC[: SPEC.index("  # things")]
    assert tool("--out", "shop", "--check").code == 0


def test_remove_keeps_what_was_edited_and_says_so(tool: Tool, project: Path) -> None:
    edit(project / "app/products/hooks.py", "# yours", "# mine")
    result = tool("--out", "shop", "--remove", "product")
    assert (result.code, result.codes) == (3, ["edited-file-left"])
    assert (project / "app/products/hooks.py").read_text().startswith("# mine")
    assert not (project / "app/products/model.py").exists()
    assert tool("--out", "shop").code == 3
    (project / "app/products/hooks.py").unlink()
    assert tool("--out", "shop").code == 0


def test_remove_refuses_what_others_need(tool: Tool, project: Path) -> None:
    assert tool("--out", "shop", "--name", "review", "--crud", "--fields", "about:ref(product)").code == 0
    before = tree(tool.folder)
    result = tool("--out", "shop", "--remove", "product")
    assert (result.code, result.codes) == (2, ["unknown-resource"])
    assert tool("--out", "shop", "--remove", "prodct").envelope["summary"].endswith("(did you mean 'product'?)")
    assert tree(tool.folder) == before


def test_dry_run_diff_and_check_write_nothing(tool: Tool, project: Path) -> None:
    before = tree(tool.folder)
    edit(project / "resources.yaml", "title: str(80)", "title: str(80)\n      stock: int=0")
    changed = tree(tool.folder)
    dry = tool("--out", "shop", "--dry-run")
    assert (dry.code, dry.actions["app/products/model.py"]) == (0, "updated")
    diff = tool("--out", "shop", "--diff")
    assert diff.code == 0
    assert "+stock = 'int'\n" in diff.data["diff"]
    check = tool("--out", "shop", "--check")
    assert check.code == 1
    assert "app/products/model.py" in {finding["where"] for finding in check.envelope["findings"]}
    assert tree(tool.folder) == changed
    assert before != changed
    fresh = tool("--name", "user", "--crud", "--dry-run")
    assert fresh.code == 0
    assert not (tool.folder / "user-service").exists()
    assert tool("--name", "user", "--crud", "--check").code == 1


def test_an_unsafe_migration_stops_before_anything_is_written(tool: Tool, project: Path) -> None:
    before = tree(tool.folder)
    result = tool("--out", "shop", "--name", "product", "--fields", "unsafe:int")
    assert (result.code, result.codes) == (3, ["unsafe"])
    assert tree(tool.folder) == before


def test_two_heads_stop_before_anything_is_written(tool: Tool, project: Path) -> None:
    for name in "ab":
        (project / f"migrations/branch_{name}.py").write_text("")
    before = tree(tool.folder)
    result = tool("--out", "shop", "--name", "tag")
    assert (result.code, result.codes) == (3, ["several-heads"])
    assert tree(tool.folder) == before


def test_a_changed_order_makes_no_migration(tool: Tool, project: Path) -> None:
    text = (project / "resources.yaml").read_text()
    start = text.index("  # things")
    head, user, product = text[: text.index("  user:")], text[text.index("  user:") : start], text[start:]
    (project / "resources.yaml").write_text(head + product + user)
    assert tool("--out", "shop").data["migrations"] == []


def test_two_specifications_are_not_mixed_up(tool: Tool, project: Path) -> None:
    edit(tool.folder / "spec.yaml", "str(80)", "str(90)")
    assert tool("--spec", "spec.yaml", "--out", "shop").code == 0
    edit(project / "resources.yaml", "str(90)", "str(99)")
    before = tree(tool.folder)
    result = tool("--spec", "spec.yaml", "--out", "shop")
    assert (result.code, result.codes) == (3, ["two-specifications"])
    assert tree(tool.folder) == before
    assert tool("--spec", "shop/resources.yaml").code == 0


def test_the_folder_of_a_project_is_the_default(tool: Tool, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert tool("--name", "tag").code == 0
    assert (project / "app/tags").is_dir()
    assert not (project / "tag-service").exists()
    assert tool().code == 0
    assert tool("--check").code == 0


def test_a_renamed_folder_changes_nothing(tool: Tool) -> None:
    (tool.folder / "spec.yaml").write_text("resources: {note: {fields: {text: text}}}\n")
    assert tool("--spec", "spec.yaml", "--out", "first").code == 0
    (tool.folder / "first").rename(tool.folder / "second")
    assert tool("--out", "second", "--check").code == 0


def test_windows_line_ends_are_no_edits(tool: Tool, project: Path) -> None:
    for path in [*project.rglob("*.py"), project / "README.md", project / "resources.yaml"]:
        if ".scaffold" not in path.parts:
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert tool("--out", "shop", "--check").code == 0
    result = tool("--out", "shop", "--name", "user", "--fields", "phone:str(20)?")
    assert result.code == 0, result.envelope
    assert b"phone = 'str'\r\n" in (project / "app/users/model.py").read_bytes()


def test_a_skipped_file_is_the_users(tool: Tool, project: Path) -> None:
    edit(project / "resources.yaml", "service: shop", "service: shop\nskip: [run.sh, 'app/*/hooks.py']")
    result = tool("--out", "shop")
    assert result.code == 0
    assert (project / "run.sh").exists()
    assert "run.sh" not in result.actions
    (project / "run.sh").unlink()
    assert tool("--out", "shop", "--check").code == 0


def test_git_merges_two_branches_that_add_resources(tool: Tool, project: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.email=a@b.c", "-c", "user.name=x", *arguments],
            cwd=project,
            check=True,
            capture_output=True,
        )

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "other")
    assert tool("--out", "shop", "--name", "user", "--fields", "phone:str(20)?").code == 0
    git("add", "-A")
    git("commit", "-qm", "other")
    git("checkout", "-q", "main")
    assert tool("--out", "shop", "--name", "product", "--fields", "stock:int=0").code == 0
    git("add", "-A")
    git("commit", "-qm", "mine")
    git("merge", "-q", "other")
    result = tool("--out", "shop", "--check")
    assert result.code == 0, result.envelope
    assert result.data["migrations"] == []
    assert len(list((project / "migrations").iterdir())) == 3


def test_a_lost_specification_is_not_replaced_by_a_small_one(tool: Tool, project: Path) -> None:
    (project / "resources.yaml").unlink()
    before = tree(tool.folder)
    for arguments in ([], ["--name", "tag"], ["--remove", "user"]):
        result = tool("--out", "shop", *arguments)
        assert (result.code, result.codes) == (2, ["no-spec"])
    assert tree(tool.folder) == before


def test_a_damaged_state_is_told(tool: Tool, project: Path) -> None:
    (project / state.MANIFEST).write_text("<<<<<<< ours\n")
    result = tool("--out", "shop")
    assert (result.code, result.codes) == (2, ["state-damaged"])


def test_a_newer_state_is_told(tool: Tool, project: Path) -> None:
    edit(project / state.MANIFEST, '"format": 1', '"format": 99')
    assert tool("--out", "shop").codes == ["newer-project"]


def test_an_executable_bit_comes_back(tool: Tool, project: Path) -> None:
    (project / "run.sh").chmod(0o644)
    assert tool("--out", "shop").actions["run.sh"] == "updated"
    assert os.access(project / "run.sh", os.X_OK)


def test_state_is_the_same_everywhere(tool: Tool) -> None:
    (tool.folder / "spec.yaml").write_text(SPEC)
    for name in ("a", "b"):
        assert tool("--spec", "spec.yaml", "--out", name).code == 0
    left, right = (
        {path: content for path, (content, _) in tree(tool.folder / name).items() if path != ".env"} for name in "ab"
    )
    assert left == right
