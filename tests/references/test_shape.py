"""What each reference must have, and how long it may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import ROOT

REFERENCES = sorted((ROOT / "references").glob("*.md"))
PROMISED = {"api_design", "database_patterns", "microservices", "security"}
TOKENS = 3000


def tokens(text: str) -> int:
    """Estimate tokens: runs of letters, digits in threes and each other sign; tokenizers count fewer."""
    return len(re.findall(r"[A-Za-z]{1,7}|\d{1,3}|[^\sA-Za-z\d]", text))


def test_the_promised_names_are_there() -> None:
    assert {path.stem for path in REFERENCES} >= PROMISED


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.name)
def test_a_reference_says_when_to_read_it_how_to_verify_and_where_it_comes_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "**Read when**" in text.split("\n## ")[0]
    for heading in ("## Do not accept", "## Verify", "## Sources"):
        assert f"\n{heading}\n" in text, heading
    assert tokens(text) <= TOKENS * 1.35, f"about {tokens(text)} tokens"
    assert len(text) / 4 <= TOKENS, f"about {len(text) // 4} tokens by characters"


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.name)
def test_modules_that_a_reference_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"[Mm]odules?:? `(\w+)`", text))
    for group in re.findall(r"Modules: ((?:`\w+`(?:, )?)+)", text):
        named |= set(re.findall(r"`(\w+)`", group))
    for name in named:
        assert (ROOT / "templates" / "patterns" / "python" / f"{name}.py").is_file(), name
        assert (ROOT / "templates" / "patterns" / "typescript" / f"{name}.ts").is_file(), name


def test_the_router_names_every_reference_and_every_module() -> None:
    text = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\(references/(\w+)\.md\)", text))
    assert listed == {path.stem for path in REFERENCES}
    python = (ROOT / "templates" / "patterns" / "python").glob("*.py")
    modules = {path.stem for path in python if not path.stem.startswith("test_")} - {"pg_proof"}
    section = text.split("## Modules to copy")[1].split("\n## ")[0]
    assert modules <= set(re.findall(r"`(\w+)`", section))
    words = {14: "fourteen references", 26: "26\nmodules"}
    assert (len(listed), len(modules)) == tuple(words)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for phrase in words.values():
        assert phrase in readme, "the README counts otherwise"
