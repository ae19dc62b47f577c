"""The distributable in an empty project: complete, valid, and every tool answers there."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from release.build import build, shipped_files
from tests import documents
from tests.skill.test_documents import TOOLS

DOORS = sorted(TOOLS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(documents.ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def project(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project with the skill unpacked from the zip, as a user would."""
    root = tmp_path_factory.mktemp("project")
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(root / ".claude" / "skills")
    return root


def test_it_is_lean_valid_and_the_same_each_time(built: tuple[Path, Path], tmp_path: Path) -> None:
    from skills_ref import validate

    folder, archive = built
    assert validate(folder) == []
    top = {path.parts[0] for path in shipped_files(documents.ROOT)}
    assert top == {"SKILL.md", "LICENSE", "references", "requirements", "scripts", "templates"}
    assert archive.stat().st_size < 2_000_000
    assert build(documents.ROOT, tmp_path)[1].read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("tool", DOORS)
def test_each_tool_answers_from_the_projects_root(project: Path, tool: str) -> None:
    script = project / ".claude" / "skills" / "senior-backend" / "scripts" / f"{tool}.py"
    done = subprocess.run(
        [sys.executable, script, "--help"], cwd=project, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_links_of_the_installed_documents_resolve(built: tuple[Path, Path]) -> None:
    from tests.skill.test_documents import broken

    folder = built[0]
    assert [
        problem
        for file in documents.markdown_files(folder)
        for link in documents.links(file)
        if (problem := broken(link))
    ] == []


def test_plugin_manifests_name_the_skill_and_its_version() -> None:
    from senior_backend import __version__

    plugin = json.loads((documents.ROOT / ".claude-plugin" / "plugin.json").read_text())
    market = json.loads((documents.ROOT / ".claude-plugin" / "marketplace.json").read_text())
    (entry,) = market["plugins"]
    assert plugin["name"] == entry["name"] == "senior-backend"
    assert plugin["version"] == entry["version"] == __version__
    for skill in [*plugin["skills"], *entry["skills"]]:
        assert (documents.ROOT / entry["source"] / skill / "SKILL.md").is_file()
