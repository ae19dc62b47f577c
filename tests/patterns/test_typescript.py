"""The TypeScript patterns: compiled strictly against their locked libraries, and proven on the real servers."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from senior_backend.console.environment import cache_folder
from tests import services
from tests.documents import ROOT

SOURCE = ROOT / "templates" / "patterns" / "typescript"
PYTHON = ROOT / "templates" / "patterns" / "python"


@pytest.fixture(scope="module")
def project() -> Path:
    """A copy of the patterns with their dependencies, installed once for each lock file."""
    for name in ("node", "npm"):
        services.program(name, "it proves the TypeScript patterns")
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = cache_folder() / "npm" / f"patterns-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in SOURCE.iterdir():
        if file.is_file():
            shutil.copy(file, folder / file.name)
    if not (folder / ".complete").exists():
        run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
        (folder / ".complete").touch()
    shutil.rmtree(folder / "dist", ignore_errors=True)
    run(["npx", "--no-install", "tsc"], folder)
    return folder


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-8000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow
@pytest.mark.longest
def test_they_compile_and_their_proofs_pass(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, variable in (
        ("postgresql", "DATABASE_URL"),
        ("redis", "REDIS_URL"),
        ("rabbitmq", "RABBITMQ_URL"),
        ("nats", "NATS_URL"),
    ):
        monkeypatch.setenv(variable, services.require(name))
    # The proofs mostly wait; one file after the other, which is the default on two cores, takes four times as long.
    run(["node", "--test", "--test-concurrency=4", "dist/"], project)


def test_each_pattern_is_there_in_both_languages_with_its_proof() -> None:
    def modules(folder: Path, pattern: str) -> set[str]:
        return {path.name.split(".")[0].removeprefix("test_") for path in folder.glob(pattern)}

    helpers = {"pg_proof", "proof", "transaction"}
    python = {path.stem for path in PYTHON.glob("*.py") if not path.stem.startswith("test_")} - helpers
    typescript = {path.stem for path in SOURCE.glob("*.ts") if not path.stem.endswith(".test")} - helpers
    assert python == typescript
    assert modules(PYTHON, "test_*.py") == python
    assert {path.name.removesuffix(".test.ts") for path in SOURCE.glob("*.test.ts")} == typescript


def test_the_lock_file_names_no_download_address() -> None:
    assert "resolved" not in (SOURCE / "package-lock.json").read_text()
