from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from senior_backend.console import command
from senior_backend.scaffold import cli, stack_loader
from tests.scaffold import tiny_stack

SCHEMA = json.loads((Path(command.__file__).parent / "envelope.schema.json").read_text())


@dataclass(frozen=True)
class Result:
    """What one call of the tool gave."""

    code: int
    envelope: dict[str, Any]
    error: str

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.envelope["data"]
        return data

    @property
    def codes(self) -> list[str]:
        return [finding["code"] for finding in self.envelope["findings"]]

    @property
    def actions(self) -> dict[str, str]:
        return {item["path"]: item["action"] for item in self.data["files"]}


class Tool:
    """Calls the tool in this process, with the tiny stack in the place of the real one, from an empty folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Result:
        self._capsys.readouterr()
        code = cli.main([*map(str, arguments), "--json"])
        captured = self._capsys.readouterr()
        envelope = json.loads(captured.out)
        jsonschema.validate(envelope, SCHEMA)
        assert envelope["exit_code"] == code
        return Result(code, envelope, captured.err)


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file below `root` with its content and the time of its last change."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real_stack" in request.fixturenames:
        return
    monkeypatch.setitem(sys.modules, "senior_backend.scaffold.stacks.fastapi", tiny_stack)
    monkeypatch.setattr(stack_loader, "available", lambda: ("fastapi",))


@pytest.fixture
def real_stack() -> None:
    """Mark a test that generates with the real stack."""


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.chdir(tmp_path)
    return Tool(tmp_path, capsys)
