"""What skill packages promise against what they hold: python3 benchmarks/peer_skills.py [FOLDER ...].

Each FOLDER is a skill (it has a SKILL.md), for example from a checkout of a public repository; this skill, as it is
shipped, comes first. Counted are: what the reference validator of the specification says, the size of SKILL.md,
links that lead nowhere, and documented `scripts/X.py` calls that the script's own argument parser refuses. Scripts are
started in an empty folder and stopped by the wrapper below when their arguments are parsed, before they do anything.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT, ROOT / "scripts"):
    sys.path.insert(0, str(entry))

from senior_backend.console.environment import REQUIREMENTS  # noqa: E402
from senior_backend.console.environment import build as environment  # noqa: E402

PATIENCE = 20
STOP_AFTER_PARSING = """
import argparse, runpy, sys
parse = argparse.ArgumentParser.parse_args
def parse_and_stop(self, args=None, namespace=None):
    parse(self, args, namespace)
    raise SystemExit(0)
argparse.ArgumentParser.parse_args = parse_and_stop
sys.argv = sys.argv[1:]
sys.path.insert(0, __import__("os").path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Package:
    """One skill: `problems` are the validator's, `refused` the documented calls that do not parse."""

    name: str
    problems: tuple[str, ...]
    lines: int
    tokens: int
    references: int
    dead_links: tuple[str, ...]
    calls: int
    refused: tuple[str, ...]
    scripts: int


def measured(folder: Path) -> Package:
    """Return what is in the skill at `folder`; tokens are estimated as four thirds of the words."""
    from skills_ref import validate

    from tests.documents import Command, commands, links, markdown_files

    text = (folder / "SKILL.md").read_text(encoding="utf-8")
    files = [file for file in markdown_files(folder) if file.is_file()]
    # `tool.py [OPTIONS]` is a synopsis and no call.
    calls: list[Command] = [
        call for file in files for call in commands(file) if not any(word.startswith("[") for word in call.arguments)
    ]
    return Package(
        name=folder.name,
        problems=tuple(validate(folder)),
        lines=len(text.splitlines()),
        tokens=len(text.split()) * 4 // 3,
        references=len(files) - 1,
        dead_links=tuple(
            f"{link.where}: {link.target}"
            for file in files
            for link in links(file)
            if ":" not in link.target and not link.target.startswith("#") and not _exists(link.file, link.target)
        ),
        calls=len(calls),
        refused=tuple(
            f"{call.where}: {call.tool} {' '.join(call.arguments)}" for call in calls if not _parses(folder, call)
        ),
        scripts=len(list((folder / "scripts").glob("*.py"))) if (folder / "scripts").is_dir() else 0,
    )


def _exists(file: Path, target: str) -> bool:
    path = (file.parent / target.partition("#")[0]).resolve()
    return path.exists() and path.name in {entry.name for entry in path.parent.iterdir()}


def _parses(folder: Path, call: object) -> bool:
    from tests.documents import Command

    assert isinstance(call, Command)
    script = folder / "scripts" / f"{call.tool}.py"
    if not script.is_file():
        return False
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-c", STOP_AFTER_PARSING, str(script.resolve()), *call.arguments],
            cwd=empty,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    return done.returncode == 0


def main(folders: list[str]) -> int:
    """Print a row for each package, then what is wrong with each."""
    if importlib.util.find_spec("markdown_it") is None:
        python = str(environment(REQUIREMENTS / "dev.txt", "dev"))
        os.execv(python, [python, __file__, *folders])
    from release.build import build

    with tempfile.TemporaryDirectory() as out:
        ours, _ = build(ROOT, Path(out))
        packages = [measured(folder) for folder in (ours, *map(Path, folders))]
    print("| skill | valid | SKILL.md lines / ~tokens | documents | dead links | documented calls refused | scripts |")
    print("|---|---|---|---|---|---|---|")
    for package in packages:
        valid = "yes" if not package.problems else "no"
        print(
            f"| {package.name} | {valid} | {package.lines} / {package.tokens} | {package.references} "
            f"| {len(package.dead_links)} | {len(package.refused)} of {package.calls} | {package.scripts} |"
        )
    for package in packages:
        for problem in (*package.problems, *package.dead_links, *package.refused):
            print(f"{package.name}: {problem}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
