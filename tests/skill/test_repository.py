"""Rules of the house that a machine can check."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from tests.documents import ROOT


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return listed.stdout.splitlines()


def test_lock_files_name_no_download_address() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        text = file.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text), file.name


def test_every_door_declares_the_versions_that_its_lock_file_has() -> None:
    groups = {"api_scaffold": "scaffold", "db_migrate": "migrate", "load_test": "load", "health_check": "health"}
    for tool, group in groups.items():
        door = ROOT / "scripts" / f"{tool}.py"
        if not door.exists():
            continue
        block = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", door.read_text(), re.MULTILINE)
        assert block, f"{door.name} has no PEP 723 block"
        metadata = tomllib.loads(re.sub(r"^# ?", "", block[1], flags=re.MULTILINE))
        assert metadata["requires-python"] == ">=3.11"
        locked = dict(
            re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements" / f"{group}.txt").read_text(), re.MULTILINE)
        )
        for dependency in metadata["dependencies"]:
            name, _, version = re.sub(r"\[.*\]", "", dependency).partition("==")
            assert locked[name] == version, f"{door.name}: {dependency}"


def test_doors_hold_no_logic() -> None:
    for door in (ROOT / "scripts").glob("*.py"):
        assert len(door.read_text().splitlines()) <= 40, door.name


def test_version_is_the_same_everywhere() -> None:
    from senior_backend import __version__

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_tools_never_import_each_other() -> None:
    tools = ("scaffold", "migrate", "load", "health")
    for tool in tools:
        for file in (ROOT / "scripts" / "senior_backend" / tool).rglob("*.py"):
            for other in tools:
                if other != tool:
                    assert f"senior_backend.{other}" not in file.read_text(), f"{file} imports {other}"


def test_nothing_unfinished_ships() -> None:
    pattern = re.compile(
        r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "NotImplemented" + "Error"]) + r")\b"
    )
    shipped = [name for name in tracked_files() if name.split("/")[0] in ("scripts", "templates", "references")]
    for name in [*shipped, "SKILL.md", "README.md"]:
        path = ROOT / name
        if path.is_file() and path.suffix not in (".png", ".zip"):
            assert not pattern.search(path.read_text(encoding="utf-8")), name


def test_no_possessive_quantifiers() -> None:
    """Python 3.11.0 to 3.11.2 matches some of them wrongly, and Debian 12 ships 3.11.2."""
    possessive = re.compile(r"(?:[^\\]\)|[^\\(]\])[*+?]\+|\(\?>")
    assert possessive.search(r"'(?:[^']|'')*+'")
    for file in (ROOT / "scripts").rglob("*.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        # In lists of characters for URLs, ()*+, stands for itself.
        found = [line for line in lines if possessive.search(line.replace("()*+,", ""))]
        assert found == [], file
