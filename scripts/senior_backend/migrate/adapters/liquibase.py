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
            yield Unit(path, text[mark.end() : end], not alone, engine(root), mark.end())


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
