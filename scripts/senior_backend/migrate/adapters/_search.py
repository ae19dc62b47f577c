"""Folders in which a migration tool may be at home, above and below where a call is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FOLDERS_AT_MOST = 3000
"""More are not looked into, so that a call in a home folder answers all the same."""
_SKIPPED = frozenset(
    (
        *("node_modules", "vendor", "target", "build", "dist", "venv", "site-packages", "__pycache__"),
        *("test", "tests", "testdata", "fixtures", "example", "examples", "docs"),
    )
)
_CONFIGURATIONS = frozenset(("alembic.ini", "manage.py", "sqitch.plan", "atlas.sum"))


def above(project: Path) -> Iterator[Path]:
    """Yield the folders around `project`, up to the root of its repository; none where there is no repository."""
    parents = list(project.resolve().parents)
    if (project / ".git").exists():
        return
    root = next((index for index, folder in enumerate(parents) if (folder / ".git").exists()), None)
    if root is not None:
        yield from parents[: root + 1]


def below(project: Path) -> Iterator[Path]:
    """Yield the folders under `project` with the mark of a migration tool, those of tests and packages left out."""
    for count, (name, folders, files) in enumerate(os.walk(project)):
        if count >= _FOLDERS_AT_MOST:
            return
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one.lower() not in _SKIPPED)
        folder = Path(name)
        if folder != project:
            yield from _marked(folder, folders, files)


def _marked(folder: Path, folders: Sequence[str], files: Sequence[str]) -> Iterator[Path]:
    """Yield the folder from which a tool with files like these would be called."""
    if "schema.prisma" in files or any(one.endswith("ModelSnapshot.cs") for one in files):
        yield folder.parent
    elif any(one in _CONFIGURATIONS or one.startswith("drizzle.config.") or one.endswith(".sql") for one in files) or (
        "meta" in folders and (folder / "meta/_journal.json").is_file()
    ):
        yield folder
    elif folder.name == "migrate" and folder.parent.name == "db":
        yield folder.parent.parent
    elif folder.name == "supabase" and "config.toml" in files:
        yield folder.parent
