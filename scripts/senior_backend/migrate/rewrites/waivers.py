"""Hazards that a step takes on purpose, because the steps before it took their danger away; each with its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.lint import Found
    from senior_backend.migrate.rewrites.render import Written

AFTER_DEPLOY = "the deploy before it leaves no running code that needs the old schema"
SWITCH = "the switch is one transaction and running code finds every name it uses before and after it"
FOREIGN_KEYS_OFF = "db_migrate runs SQLite migrations with foreign keys off"
NULLABLE = "it only lets a version of the application that does not write the column insert rows"

REASONS: dict[str, dict[str, str]] = {
    "expand": {"pg-drop-not-null": NULLABLE, "pg-drop-foreign-key-locks-parent": "it is alone in its transaction"},
    "backfill": {"pg-unbounded-change": "the runner cuts it into batches, each its own transaction"},
    "switch": {"sqlite-rebuild-with-foreign-keys-on": FOREIGN_KEYS_OFF}
    | dict.fromkeys(
        (
            "pg-rename-column", "pg-drop-default", "pg-drop-not-null", "pg-drop-object", "pg-several-locks",
            "pg-drop-foreign-key-locks-parent", "pg-rename-object", "pg-foreign-key-without-index", "pg-alter-identity",
            "pg-drop-key-constraint",
        ),
        SWITCH,
    ),
    "contract": {
        "sqlite-rebuild-with-foreign-keys-on": FOREIGN_KEYS_OFF,
        "sqlite-rebuild-loses-objects": "the index that is not made again is over the dropped column",
        "sqlite-drop-or-rename": AFTER_DEPLOY,
    }
    | dict.fromkeys(
        (
            "pg-drop-column", "pg-drop-object", "pg-drop-default", "pg-drop-not-null", "pg-drop-table",
            "pg-rename-table", "pg-several-locks", "pg-drop-foreign-key-locks-parent", "pg-rename-object",
            "pg-foreign-key-without-index", "pg-alter-identity", "pg-drop-key-constraint",
            "pg-rename-column", "my-drop-column", "my-drop-table",
        ),
        AFTER_DEPLOY,
    ),
}  # fmt: skip


def waived(file: Written, found: Sequence[Found]) -> Written:
    """Return the file with a comment, giving the reason, before each statement whose hazard belongs to its stage."""
    reasons = REASONS.get(file.stage, {})
    comments: dict[int, set[str]] = {}
    for one in found:
        if one.path == file.name and one.code in reasons:
            start = file.text.rfind("\n", 0, one.start) + 1
            comments.setdefault(start, set()).add(one.code)
    text = file.text
    for start in sorted(comments, reverse=True):
        codes = sorted(comments[start])
        because = "; ".join(dict.fromkeys(reasons[code] for code in codes))
        comment = f"-- db_migrate: ignore {', '.join(codes)} because {because}\n"
        text = text[:start] + comment + text[start:]
    return replace(file, text=text)
