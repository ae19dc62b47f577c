"""Drizzle Kit: `<out>/NNNN_<name>.sql` with `--> statement-breakpoint`, and a journal of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import InputError
from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "drizzle"
APPLY = "npx drizzle-kit migrate"
MAY_EXTEND = True
BREAK = "--> statement-breakpoint"


def detect(project: Path) -> Path | None:
    """Return the folder whose `meta/_journal.json` lists the migrations."""
    out = None
    for config in sorted(project.glob("drizzle.config.*")):
        match = re.search(r"""\bout\s*:\s*["'`]([^"'`]+)["'`]""", shared.head(config))
        out = project / (match[1] if match else "drizzle")
    for folder in (out, project / "drizzle", project):
        if folder is not None and (folder / "meta" / "_journal.json").is_file():
            return folder
    return None


def engine(root: Path) -> Engine | None:
    """Return the dialect of the journal."""
    return shared.engine_in([root / "meta" / "_journal.json"])


def read(root: Path) -> Iterable[Unit]:
    """Yield the migrations in the order of the journal; all of them run in one transaction."""
    for entry in _journal(root)["entries"]:
        for path, text in shared.texts([root / f"{entry['tag']}.sql"]):
            # A breakpoint ends a statement, also one without a semicolon; the offsets stay what they are.
            yield Unit(path, text.replace(BREAK, ";".ljust(len(BREAK))), engine=engine(root))


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return the SQL files, the longer journal, and a snapshot that repeats the last one."""
    del engine
    shared.needs_statements(parts, NAME)
    parts = [shared.in_one_transaction(part, NAME) for part in parts]
    journal = _journal(root)
    entries: list[dict[str, Any]] = journal["entries"]
    files: list[tuple[Path, str]] = []
    last = root / "meta" / f"{len(entries) - 1:04}_snapshot.json"
    snapshot: dict[str, Any] | None = json.loads(last.read_text()) if entries and last.is_file() else None
    for part in parts:
        number = max((int(entry["idx"]) for entry in entries), default=-1) + 1
        tag = f"{number:04}_{part.slug}"
        body = f"\n{BREAK}\n".join(f"{statement};" for statement in part.up)
        files.append((root / f"{tag}.sql", shared.comments(part) + body + "\n"))
        when = max(int(now.timestamp() * 1000), max((int(entry["when"]) for entry in entries), default=0) + 1)
        version = entries[-1]["version"] if entries else journal.get("version", "7")
        entries.append({"idx": number, "version": version, "when": when, "tag": tag, "breakpoints": True})
        if snapshot is not None:
            import uuid

            snapshot = {**snapshot, "id": str(uuid.uuid4()), "prevId": snapshot["id"]}
            files.append((root / "meta" / f"{number:04}_snapshot.json", json.dumps(snapshot, indent=2)))
    return [*files, (root / "meta" / "_journal.json", json.dumps(journal, indent=2) + "\n")]


def _journal(root: Path) -> dict[str, Any]:
    path = root / "meta" / "_journal.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and isinstance(found.get("entries"), list):
            return found
    except (OSError, ValueError):
        pass
    raise InputError(
        "the journal of Drizzle cannot be read", code="bad-project", where=str(path), hint="Restore it from git."
    )
