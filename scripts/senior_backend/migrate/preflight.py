"""What the linter says about the files of a plan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.console.report import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.files import Folder, Migration
    from senior_backend.migrate.statements import Engine


def preflight(
    migrations: Sequence[Migration], folder: Folder, engine: Engine, version: tuple[int, ...] | None = None
) -> tuple[Finding, ...]:
    """Return the linter's findings for `migrations`, read with the earlier files of `folder` as their schema.

    Raises:
        UnavailableError: the parser cannot be had.
    """
    if not migrations:
        return ()
    if engine == "postgresql":
        from senior_backend.console import environment

        environment.ensure("migrate", ["postgast"])
    from senior_backend.migrate.catalog import Catalog
    from senior_backend.migrate.hazards.registry import rules_for
    from senior_backend.migrate.hazards.rule import Unit
    from senior_backend.migrate.lint import Linter

    wanted = {one.version for one in migrations}
    units = [
        Unit(str(one.path), _blanked(one), one.transaction, timeouts=True, lint=one.version in wanted)
        for one in folder.migrations
        if one.version <= max(wanted)
    ]
    result = Linter(Catalog(engine), rules_for(engine, version), version).run(units)
    findings = [
        Finding(one.code, one.severity, one.hazard.message, one.where, one.hazard.fix)
        for one in sorted(result.found, key=lambda one: (one.path, one.start))
    ]
    findings.extend(
        Finding("not-understood", "warning", f"this was not checked: {one.reason}", one.where, "Read it yourself.")
        for one in result.not_understood
    )
    return tuple(findings)


def _blanked(migration: Migration) -> str:
    """Return the file with all but its up section blanked out, so that offsets and lines hold."""
    section = migration.up_section
    return re.sub(r"[^\n]", " ", migration.text[: section.start]) + migration.text[section.start : section.end]
