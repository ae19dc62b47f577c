"""goose: SQL files with `-- +goose Up` and `-- +goose Down`."""

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

NAME = "goose"
APPLY = "goose up"
MAY_EXTEND = False
_END = re.compile(r"^--\s*\+goose\s+StatementEnd\b", re.MULTILINE | re.IGNORECASE)
_MARK = re.compile(r"^--\s*\+goose\s+(?P<word>.+?)\s*$", re.MULTILINE | re.IGNORECASE)


def detect(project: Path) -> Path | None:
    """Return the folder whose SQL files have goose's marks."""
    return shared.folder_with(project, "*.sql", text="+goose")


def engine(root: Path) -> Engine | None:
    """Return the engine that a module file or an environment file near by names."""
    near = [root, *list(root.parents)[:3]]
    return shared.engine_of(root, (folder / name for folder in near for name in (".env", "go.mod", "Makefile")))


def read(root: Path) -> Iterable[Unit]:
    """Yield the up sections with their down sections."""
    for path, file in shared.texts(sorted(root.glob("*.sql"), key=shared.natural)):
        # A StatementEnd ends a statement, also one without a semicolon; the offsets stay what they are.
        text = _END.sub(lambda match: ";".ljust(len(match[0])), file)
        marks = list(_MARK.finditer(text))
        ups = [mark for mark in marks if mark["word"].upper() == "UP"]
        if not ups:
            continue
        down = next((mark for mark in marks if mark["word"].upper() == "DOWN"), None)
        alone = any(mark["word"].upper() == "NO TRANSACTION" for mark in marks)
        back = None if down is None else Unit(path, text[down.end() :], not alone, engine(root), down.end())
        end = len(text) if down is None else down.start()
        yield Unit(path, text[ups[0].end() : end], not alone, engine(root), ups[0].end(), back)


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return the files for `parts`."""
    del engine
    shared.needs_statements(parts, NAME)
    existing = [match[1] for path in root.iterdir() if (match := re.match(r"(\d+)_", path.name))]
    files = []
    for number, part in zip(shared.next_versions(existing, len(parts), now), parts, strict=True):
        alone = "" if part.transaction else "-- +goose NO TRANSACTION\n"
        down = shared.statements(part.down) or "SELECT 'there is no way back';\n"
        text = f"{shared.comments(part)}{alone}-- +goose Up\n{shared.statements(part.up)}\n-- +goose Down\n{down}"
        files.append((root / f"{number}_{part.slug}.sql", text))
    return files
