"""What the tests of the migration tool share: calls of the command line, folders of migrations, and URLs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from senior_backend.migrate.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVELOPE = Draft202012Validator(
    json.loads((ROOT / "scripts" / "senior_backend" / "console" / "envelope.schema.json").read_text())
)
DOOR = ROOT / "scripts" / "db_migrate.py"


@dataclass(frozen=True)
class Result:
    """One call with `--json`."""

    code: int
    report: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.report["data"]
        return found

    @property
    def codes(self) -> list[str]:
        return [finding["code"] for finding in self.report["findings"]]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """Call the tool in this process, and return its exit code and JSON."""
    capsys.readouterr()
    code = main([*arguments, "--json"])
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["exit_code"] == code
    ENVELOPE.validate(report)
    assert "Traceback" not in captured.err, captured.err
    return Result(code, report)


def start(*arguments: str, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """Start the tool as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(DOOR), *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def write_migrations(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files named `version_name` into `folder`; the text is an up section, or has marks of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        whole = text if "migrate:up" in text else f"-- migrate:up\n{text}\n"
        (folder / f"{name}.sql").write_text(whole)
    return folder


def wait_for(condition: Callable[[], Any], limit: float = 20) -> None:
    """Return when the condition holds; fail when it has not for `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
