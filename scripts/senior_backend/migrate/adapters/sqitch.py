"""Sqitch: a plan, and `deploy`, `revert` and `verify` scripts for each change."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared
from senior_backend.migrate.files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "sqitch"
APPLY = "sqitch deploy --verify"
MAY_EXTEND = True
_CHANGE = re.compile(r"(?P<name>[^\s@#%\[\]]+)(?:\s+\[(?P<needs>[^\]]*)\])?\s+\d{4}-\d\d-\d\dT[\d:]+Z\s")


def detect(project: Path) -> Path | None:
    """Return the project where it has a plan."""
    return project if (project / "sqitch.plan").is_file() else None


def engine(root: Path) -> Engine | None:
    """Return the engine of `sqitch.conf`: pg, mysql or sqlite."""
    match = re.search(r"^\s*engine\s*=\s*(\w+)", shared.head(root / "sqitch.conf"), re.MULTILINE)
    named: dict[str, Engine] = {"pg": "postgresql", "mysql": "mysql", "sqlite": "sqlite", "cockroach": "postgresql"}
    return named.get(match[1]) if match else None


def read(root: Path) -> Iterable[Unit]:
    """Yield the deploy scripts, with their reverts, in the order of the plan and without their BEGIN and COMMIT."""
    for name in _changes(root):
        path = root / "deploy" / f"{name}.sql"
        if not path.is_file():
            continue
        back = root / "revert" / f"{name}.sql"
        yield replace(_script(path, root), rollback=_script(back, root) if back.is_file() else None)


def _script(path: Path, root: Path) -> Unit:
    text = read_text(path)
    own = re.search(r"^\s*BEGIN\s*;", text, re.MULTILINE | re.IGNORECASE)
    blank = re.sub(r"(?im)^[ \t]*(BEGIN|COMMIT)[ \t]*;", lambda match: " " * len(match.group()), text)
    return Unit(path, blank, own is not None, engine(root))


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return the scripts and the longer plan."""
    del engine
    shared.needs_statements(parts, NAME)
    plan = read_text(root / "sqitch.plan").rstrip("\n")
    known = _changes(root)
    files: list[tuple[Path, str]] = []
    for part in parts:
        needs = f" [{known[-1]}]" if known else ""
        when = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        plan += f"\n{part.slug}{needs} {when} db_migrate <db_migrate@localhost> # {part.slug.replace('_', ' ')}"
        known.append(part.slug)
        for kind, statements in (("deploy", part.up), ("revert", part.down)):
            body = shared.statements(statements) or "-- There is no way back.\n"
            if part.transaction:
                body = f"BEGIN;\n\n{body}\nCOMMIT;\n"
            notes = shared.comments(part) if kind == "deploy" else ""
            files.append((root / kind / f"{part.slug}.sql", f"-- {kind.title()} {part.slug}\n{notes}\n{body}"))
        check = "-- What must hold after the change; a query that fails says that it does not.\nSELECT 1;\n"
        files.append((root / "verify" / f"{part.slug}.sql", f"-- Verify {part.slug}\n\n{check}"))
    return [*files, (root / "sqitch.plan", plan + "\n")]


def _changes(root: Path) -> list[str]:
    lines = read_text(root / "sqitch.plan").splitlines()
    return [match["name"] for line in lines if not line.startswith("%") and (match := _CHANGE.match(line + " "))]
