"""Flyway: `V<version>__<name>.sql`, undo scripts `U…` where the project has them, repeatable ones `R__…`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate.adapters import Unit
from senior_backend.migrate.adapters import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from senior_backend.migrate.statements import Engine
    from senior_backend.migrate.writer import Part

NAME = "flyway"
APPLY = "flyway migrate"
MAY_EXTEND = False
_ALONE = re.compile(r"^--\s*flyway:executeInTransaction\s*=\s*false", re.MULTILINE | re.IGNORECASE)
_VERSIONED = re.compile(r"V(?P<version>[\d._]+?)__(?P<name>.+)\.sql")


def detect(project: Path) -> Path | None:
    """Return the folder with versioned scripts."""
    return shared.folder_with(project, "V*__*.sql")


def engine(root: Path) -> Engine | None:
    """Return the engine of a configuration near by."""
    near = [root, *list(root.parents)[:6]]
    names = ("flyway.conf", "flyway.toml", "conf/flyway.conf", "application.properties", "application.yml", "pom.xml",
             "build.gradle", "build.gradle.kts")  # fmt: skip
    return shared.engine_of(root, (folder / name for folder in near for name in names))


def read(root: Path) -> Iterable[Unit]:
    """Yield the versioned scripts in their order, with what undoes them, then the repeatable ones."""
    versioned = sorted((path for path in root.rglob("V*.sql") if _VERSIONED.fullmatch(path.name)), key=_order)
    for path, text in shared.texts([*versioned, *sorted(root.rglob("R__*.sql"))]):
        undo = path.with_name("U" + path.name[1:])
        back = next((_script(one, sql, root) for one, sql in shared.texts([undo] if undo.is_file() else [])), None)
        yield replace(_script(path, text, root), rollback=back if path.name.startswith("V") else None)


def _script(path: Path, text: str, root: Path) -> Unit:
    settings = shared.head(path.with_name(path.name + ".conf"))
    alone = "executeintransaction=false" in settings.lower().replace(" ", "") or _ALONE.search(text) is not None
    return Unit(path, text, not alone and "CONCURRENTLY" not in text.upper(), engine(root))


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return the scripts for `parts`; one that needs no transaction gets a script configuration that says so."""
    del engine
    shared.needs_statements(parts, NAME)
    found = sorted((path for path in root.glob("V*.sql") if _VERSIONED.fullmatch(path.name)), key=_order)
    last = _version(found[-1]) if found else ""
    undo = any(root.glob("U*__*.sql"))
    files: list[tuple[Path, str]] = []
    for number, part in zip(_next(last, len(parts), now), parts, strict=True):
        script = root / f"V{number}__{part.slug}.sql"
        files.append((script, shared.comments(part) + shared.statements(part.up)))
        if not part.transaction:
            files.append((script.with_name(script.name + ".conf"), "executeInTransaction=false\n"))
        if undo and part.down:
            files.append((root / f"U{number}__{part.slug}.sql", shared.statements(part.down)))
    return files


def _version(path: Path) -> str:
    match = _VERSIONED.fullmatch(path.name)
    return match["version"] if match else ""


def _order(path: Path) -> list[int]:
    return [int(part) for part in re.split(r"[._]", _version(path)) if part]


def _next(last: str, count: int, now: datetime) -> list[str]:
    parts = re.split(r"[._]", last)
    if not last or (len(parts) == 1 and len(last) >= 8):
        return shared.next_versions([last] if last else [], count, now)
    # 1_4 is followed by 1_5, and 7 by 8: the last part counts on.
    front = last[: len(last) - len(parts[-1])]
    return [front + str(int(parts[-1]) + 1 + index).zfill(len(parts[-1])) for index in range(count)]
