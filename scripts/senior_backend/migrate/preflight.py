"""What the linter says about the files of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.console.report import Finding
    from senior_backend.migrate.files import Folder, Migration
    from senior_backend.migrate.statements import Engine


def preflight(migrations: Sequence[Migration], folder: Folder, engine: Engine) -> tuple[Finding, ...]:
    """Return the linter's findings for `migrations`, read with the earlier files of `folder` as their schema."""
    del migrations, folder, engine
    return ()
