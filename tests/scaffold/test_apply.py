"""All or nothing: a fault at every single write, a killed run, two runs at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from senior_backend.console.errors import UnavailableError, UndecidedError
from senior_backend.scaffold import apply
from senior_backend.scaffold.apply import Change
from senior_backend.scaffold.state import digest
from tests.documents import ROOT
from tests.scaffold.conftest import Tool, tree


def contents(root: Path) -> dict[str, bytes]:
    return {path: content for path, (content, _) in tree(root).items()}


CHANGES = [
    Change("new.py", None, b"new"),
    Change("deep/er/new.py", None, b"deep"),
    Change("old.py", b"old", b"changed"),
    Change("gone.py", b"gone", None),
    Change("folder/last.py", b"last", None),
    Change(".scaffold/manifest.json", b"{}", b'{"a": 1}'),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for change in CHANGES:
        if change.old is not None:
            path = tmp_path / "p" / change.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(change.old)
    return tmp_path / "p"


def test_everything_is_written(root: Path) -> None:
    apply.apply(root, CHANGES)
    assert contents(root) == {
        "new.py": b"new",
        "deep/er/new.py": b"deep",
        "old.py": b"changed",
        ".scaffold/manifest.json": b'{"a": 1}',
    }
    assert not (root / "folder").exists()


@pytest.mark.parametrize("name", ["open", "replace", "unlink", "fsync", "mkdir"])
def test_a_fault_at_every_write_puts_everything_back(root: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Fail the first, second, third … call of each system call that writes, until one run passes."""
    before = contents(root)
    messages: list[str] = []
    original = getattr(os, name)
    for at in range(1, 60):
        calls = 0

        def failing(*arguments: Any, at: int = at, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise OSError(28, "No space left on device")
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            try:
                apply.apply(root, CHANGES)
                break
            except UnavailableError as error:
                messages.append(error.message)
        assert contents(root) == before
        assert not (root / "deep").exists()
    assert messages
    assert all("No space left" in message for message in messages)
    assert contents(root) != before


def test_an_interrupt_puts_everything_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(root)
    real = apply._carry_out

    def interrupted(folder: Path, change: Change, made: list[Path]) -> None:
        real(folder, change, made)
        if change.path == "gone.py":
            raise KeyboardInterrupt

    monkeypatch.setattr(apply, "_carry_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply.apply(root, CHANGES)
    assert contents(root) == before


def test_a_new_project_that_cannot_be_written_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(apply, "_write", failing)
    with pytest.raises(UnavailableError):
        apply.apply(tmp_path / "a/b", [Change("x/y.py", None, b"1")])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_since_the_plan_stops_the_run(root: Path) -> None:
    (root / "old.py").write_bytes(b"changed by somebody")
    before = contents(root)
    with pytest.raises(UndecidedError, match="was changed while"):
        apply.apply(root, CHANGES)
    assert contents(root) == before


def test_two_runs_at_once(root: Path) -> None:
    with apply.journal(root, CHANGES):
        with pytest.raises(UndecidedError, match="another run"):
            apply.apply(root, CHANGES)
        with pytest.raises(UndecidedError, match="another run"):
            apply.repair(root)
        (root / apply.JOURNAL).unlink()
    apply.apply(root, CHANGES)


KILLED = """
import os, signal, sys
sys.path.insert(0, {scripts!r})
from pathlib import Path
from senior_backend.scaffold import apply
from senior_backend.scaffold.apply import Change
real, count = apply._carry_out, 0
def carry_out(root, change, made):
    global count
    count += 1
    if count == {at}:
        if {torn}:
            apply._temporary(root / change.path).parent.mkdir(parents=True, exist_ok=True)
            apply._temporary(root / change.path).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    real(root, change, made)
apply._carry_out = carry_out
apply.apply(Path({root!r}), [Change(*entry) for entry in {changes!r}])
"""


@pytest.mark.parametrize("at", range(1, len(CHANGES) + 1))
@pytest.mark.parametrize("torn", [False, True])
def test_a_killed_run_is_undone_by_the_next(root: Path, at: int, torn: bool) -> None:
    before = contents(root)
    program = KILLED.format(
        scripts=str(ROOT / "scripts"),
        at=at,
        torn=torn,
        root=str(root),
        changes=[(change.path, change.old, change.new) for change in CHANGES],
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert apply.interrupted(root)
    apply.repair(root)
    assert contents(root) == before
    assert not apply.interrupted(root)


def test_repair_keeps_what_was_edited_since(root: Path) -> None:
    journal = root / apply.JOURNAL
    (root / "old.py").write_bytes(b"mine")
    journal.write_text(json.dumps({"changes": [{"path": "old.py", "old": "b2xk", "new": "0" * 64}]}))
    assert apply.repair(root) == 0
    assert (root / "old.py").read_bytes() == b"mine"


def test_a_journal_that_names_other_places_is_refused(tool: Tool) -> None:
    """A project from somewhere else must not make the tool write outside of it."""
    assert tool("--name", "user", "--crud").code == 0
    journal = tool.folder / "user-service" / apply.JOURNAL
    for path in ("../evil", "/tmp/senior-backend-evil", "a/../../evil"):
        journal.write_text(json.dumps({"changes": [{"path": path, "old": "ZXZpbA==", "new": None}]}))
        result = tool("--out", "user-service")
        assert (result.code, result.codes) == (5, ["path-escapes"])
        assert not (tool.folder / "evil").exists()
        assert not Path("/tmp/senior-backend-evil").exists()


def test_a_torn_journal_means_that_nothing_was_written(root: Path) -> None:
    (root / apply.JOURNAL).write_text('{"chan')
    assert apply.repair(root) == 0
    assert not apply.interrupted(root)


def test_the_tool_repairs_and_says_so(tool: Tool) -> None:
    assert tool("--name", "user", "--crud").code == 0
    project = tool.folder / "user-service"
    (project / "app/users/model.py").write_text("half-written")
    entry = {"path": "app/users/model.py", "old": None, "new": digest(b"half-written")}
    (project / apply.JOURNAL).write_text(json.dumps({"changes": [entry]}))
    assert tool("--out", "user-service", "--check").codes == ["interrupted"]
    result = tool("--out", "user-service")
    assert result.code == 0, result.envelope
    assert "repaired" in result.codes
    assert tool("--out", "user-service", "--check").code == 0


def test_a_first_run_that_was_killed_starts_again(tool: Tool) -> None:
    program = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path[:0] = [{str(ROOT / "scripts")!r}, {str(ROOT)!r}]
        from tests.scaffold import tiny_stack
        from senior_backend.scaffold import apply, cli, stack_loader
        sys.modules["senior_backend.scaffold.stacks.fastapi"] = tiny_stack
        stack_loader.available = lambda: ("fastapi",)
        real, count = apply._carry_out, 0
        def carry_out(*arguments):
            global count
            count += 1
            if count == 6:
                os.kill(os.getpid(), signal.SIGKILL)
            real(*arguments)
        apply._carry_out = carry_out
        cli.main(["--name", "user", "--crud"])
        """
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    result = tool("--name", "user", "--crud")
    assert result.code == 0, result.envelope
    assert "repaired" in result.codes
    assert tool("--out", "user-service", "--check").code == 0
