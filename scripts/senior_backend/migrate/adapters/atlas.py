"""Atlas: a folder of `<version>_<name>.sql` with `atlas.sum`, a checksum that `atlas migrate hash` renews."""

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

NAME = "atlas"
APPLY = "atlas migrate hash && atlas migrate apply --env local"
MAY_EXTEND = False


def detect(project: Path) -> Path | None:
    """Return the folder with `atlas.sum`."""
    return shared.folder_with(project, "atlas.sum")


def engine(root: Path) -> Engine | None:
    """Return the engine of `atlas.hcl`."""
    return shared.engine_of(root, (folder / "atlas.hcl" for folder in [root, *list(root.parents)[:3]]))


def read(root: Path) -> Iterable[Unit]:
    """Yield the migrations; `-- atlas:txmode none` is no transaction."""
    for path, text in shared.texts(sorted(root.glob("*.sql"), key=shared.natural)):
        alone = re.search(r"^--\s*atlas:txmode\s+none", text, re.MULTILINE) is not None
        yield Unit(path, text, not alone, engine(root))


def new(root: Path, parts: Sequence[Part], engine: Engine, now: datetime) -> list[tuple[Path, str]]:
    """Return the files for `parts`; a directive stands at the top with an empty line behind it, as Atlas wants."""
    del engine
    shared.needs_statements(parts, NAME)
    existing = [match[1] for path in root.glob("*.sql") if (match := re.match(r"(\d+)_", path.name))]
    files = []
    for number, part in zip(shared.next_versions(existing, len(parts), now), parts, strict=True):
        mode = "" if part.transaction else "-- atlas:txmode none\n\n"
        files.append((root / f"{number}_{part.slug}.sql", mode + shared.comments(part) + shared.statements(part.up)))
    return files
