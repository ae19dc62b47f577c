"""Liquibase formatted SQL: files that start with `--liquibase formatted sql`, cut by `--changeset author:id`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "liquibase"
APPLY = "liquibase update"
MAY_EXTEND = False
_FOLDERS = ("db/changelog", "src/main/resources/db/changelog", "changelog", "db/changelog/changes", "liquibase")
_CHANGESET = re.compile(
    r"^--\s*changeset\s+(?P<author>\"[^\"\n]+\"|'[^'\n]+'|[^:\n]+?):(?P<id>\"[^\"\n]+\"|'[^'\n]+'|\S+)(?P<options>[^\n]*)$",
    re.MULTILINE | re.IGNORECASE,
)
_ROLLBACK = re.compile(
    r"^[ \t]*--[ \t]*rollback\b(?P<line>[^\n]*)$|/\*[ \t]*liquibase[ \t]+rollback\b(?P<block>.*?)\*/",
    re.MULTILINE | re.IGNORECASE | re.DOTALL,
)
_ELSEWHERE = re.compile(r"changeset(?:id|path|author)\s*:", re.IGNORECASE)
_FIRST = re.compile(r"\s*--\s*liquibase formatted sql", re.IGNORECASE)


def detect(project: Path) -> Path | None:
    """Return the folder with formatted SQL."""
    for name in (*_FOLDERS, *shared.FOLDERS):
        folder = project / name
        if not folder.is_dir():
            continue
        # A project's own folder may be large: only the usual folders are searched to their ground.
        paths = folder.glob("*.sql") if name == "." else folder.rglob("*.sql")
        if any(_FIRST.match(shared.head(path)) for path in sorted(paths)[:50]):
            return folder
    return None


def engine(root: Path) -> Engine | None:
    """Return the engine of the properties near by."""
    near = [root, *list(root.parents)[:6]]
    names = ("liquibase.properties", "application.properties", "application.yml", "pom.xml", "build.gradle")
    return shared.engine_of(root, (folder / name for folder in near for name in names))


def read(root: Path) -> Iterable[Unit]:
    """Yield each changeset; Liquibase runs it in one transaction unless `runInTransaction:false`."""
    for path, text in shared.texts(sorted(root.rglob("*.sql"), key=lambda one: (one.parent, shared.natural(one)))):
        if not _FIRST.match(text):
            continue
        marks = list(_CHANGESET.finditer(text))
        for index, mark in enumerate(marks):
            end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
            alone = "runintransaction:false" in mark["options"].lower().replace(" ", "")
            body, found = text[mark.end() : end], engine(root)
            back, unknown = _way_back(body)
            rollback = Unit(path, back, not alone, found, mark.end()) if back is not None else None
            yield Unit(path, body, not alone, found, mark.end(), rollback, unknown_rollback=unknown)


def _way_back(changeset: str) -> tuple[str | None, str | None]:
    """Return the SQL of the rollback, with all else blanked out so that offsets hold; and why it is not known.

    Liquibase runs the lines behind `--rollback`, and what stands in comments that begin with `liquibase rollback`.
    """
    spans = [match.span(match.lastgroup or 0) for match in _ROLLBACK.finditer(changeset)]
    said = [changeset[start:end].strip() for start, end in spans]
    if any(_ELSEWHERE.match(one) for one in said):
        return None, "its --rollback runs another changeset"
    kept = list(re.sub(r"[^\n]", " ", changeset))
    for (start, end), one in zip(spans, said, strict=True):
        if one.lower() not in ("empty", "not required"):
            kept[start:end] = changeset[start:end]
    text = "".join(kept)
    return text if text.strip() else None, None


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return one file with a changeset for each part."""
    del engine
    shared.needs_statements(parts, NAME)
    existing = [match[1] for path in root.rglob("*.sql") if (match := re.match(r"(\d+)", path.name))]
    number = shared.next_versions(existing, 1, now)[0]
    lines = ["--liquibase formatted sql\n"]
    for part in parts:
        alone = "" if part.transaction else " runInTransaction:false"
        lines.append(f"--changeset db_migrate:{number}-{part.slug}{alone}\n{shared.comments(part)}")
        lines.append(shared.statements(part.up))
        lines += [f"--rollback {' '.join(statement.split())};\n" for statement in part.down]
        if not part.down:
            lines.append("--rollback empty\n")
        lines.append("\n")
    return [(root / f"{number}_{parts[0].slug}.sql", "\n".join(lines[:1]) + "\n" + "".join(lines[1:]))]
