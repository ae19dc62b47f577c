"""Documents are code: what they tell people to type must parse, and what they point at must exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from senior_backend.console.errors import ToolError
from tests import documents

TOOLS = {
    "api_scaffold": "senior_backend.scaffold.cli",
    "db_migrate": "senior_backend.migrate.cli",
    "load_test": "senior_backend.load.cli",
    "health_check": "senior_backend.health.cli",
}
FILES = documents.markdown_files()


def problem_of(command: documents.Command) -> str | None:
    """Return why the real parser refuses a documented command, or None."""
    if command.tool not in TOOLS:
        return f"{command.where}: there is no scripts/{command.tool}.py"
    if not (documents.ROOT / "scripts" / f"{command.tool}.py").is_file():
        return f"{command.where}: scripts/{command.tool}.py does not exist yet"
    parser = importlib.import_module(TOOLS[command.tool]).build_parser()
    try:
        parser.parse_args(command.arguments)
    except ToolError as error:
        return f"{command.where}: {' '.join(command.arguments)}: {error.message}"
    except SystemExit:
        return None  # --help and --version end the process
    return None


def exists_with_this_case(path: Path) -> bool:
    """Whether `path` exists spelled exactly so, also on file systems that fold case."""
    current = Path(path.anchor)
    for part in path.parts[1:]:
        if part not in {entry.name for entry in current.iterdir()}:
            return False
        current /= part
    return True


def broken(link: documents.Link) -> str | None:
    """Return what is wrong with a relative link, or None."""
    if re.match(r"^[a-z]+:", link.target):
        return None
    name, _, anchor = link.target.partition("#")
    target = (link.file.parent / name).resolve() if name else link.file
    if not target.exists() or not exists_with_this_case(target):
        return f"{link.where}: {link.target} does not exist"
    if anchor and target.suffix == ".md" and anchor not in documents.anchors(target):
        return f"{link.where}: {target.name} has no heading for #{anchor}"
    return None


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(documents.ROOT)))
def test_documented_commands_parse(file: Path) -> None:
    assert [problem for command in documents.commands(file) if (problem := problem_of(command))] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(documents.ROOT)))
def test_links_resolve(file: Path) -> None:
    assert [problem for link in documents.links(file) if (problem := broken(link))] == []


def test_an_unknown_tool_is_caught(tmp_path: Path) -> None:
    file = tmp_path / "x.md"
    file.write_text("```bash\npython scripts/no_such_tool.py --now\n```\n")
    command = next(iter(documents.commands(file)))
    assert (command.line, command.tool, command.arguments) == (2, "no_such_tool", ("--now",))
    assert command.tool not in TOOLS


def test_commands_are_found_in_pipes_continuations_and_inline_code(tmp_path: Path) -> None:
    file = tmp_path / "x.md"
    file.write_text(
        "Run `python3 .claude/skills/senior-backend/scripts/load_test.py --rps 5`; see `scripts/load_test.py`.\n\n"
        "```bash\nPORT=1 uv run scripts/load_test.py \\\n  --rps 6 | jq . && python scripts/load_test.py\n```\n"
        "```text\nscripts/load_test.py --not-a-command\n```\n"
    )
    found = [command.arguments for command in documents.commands(file)]
    assert found == [("--rps", "5"), ("--rps", "6"), ()]


def test_a_link_with_the_wrong_case_or_anchor_is_caught() -> None:
    file = documents.ROOT / "README.md"
    assert broken(documents.Link(file, 1, "Skill.md"))
    assert broken(documents.Link(file, 1, "SKILL.md#no-such-heading"))
    assert broken(documents.Link(file, 1, "https://example.org/")) is None


def test_the_skill_is_valid(tmp_path: Path) -> None:
    from skills_ref import validate

    # The folder of a checkout may have any name; an installed skill's has the skill's.
    installed = tmp_path / "senior-backend"
    installed.mkdir()
    (installed / "SKILL.md").write_text((documents.ROOT / "SKILL.md").read_text())
    assert validate(installed) == []
    (installed / "SKILL.md").write_text("---\nname: other\ndescription: x\n---\n")
    assert validate(installed) != []
