"""Parts as files in dbmate's format."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from senior_backend.migrate.writer import Part


def dbmate(part: Part) -> str:
    """Return the text of a migration file."""
    lines = header(part)
    if part.draft:
        lines.append("-- db_migrate: draft")
    if part.after_deploy:
        lines.append("-- db_migrate: after-deploy")
    option = "" if part.transaction else " transaction:false"
    lines += [f"-- migrate:up{option}", ""]
    lines += [f"{statement};" for statement in part.up] or ["-- Write the statements here."]
    lines += ["", f"-- migrate:down{option}", ""]
    if part.irreversible:
        lines.append(f"-- db_migrate: irreversible {part.irreversible}")
    lines += [f"{statement};" for statement in part.down] or ["-- Write the way back here."] * (not part.irreversible)
    return "\n".join(lines) + "\n"


def header(part: Part, mark: str = "-- ") -> list[str]:
    """Return the notes of a part as comment lines."""
    lines: list[str] = []
    for note in part.notes:
        lines.extend(textwrap.wrap(note[:1].upper() + note[1:], 100, initial_indent=mark, subsequent_indent=mark))
    return lines
