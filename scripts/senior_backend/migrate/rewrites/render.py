"""Files of a plan as text, and their names."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.console.environment import SKILL_ROOT
from senior_backend.migrate import lock_waits
from senior_backend.migrate.rewrites.sql import ident

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from senior_backend.migrate.rewrites.plan import File, Part, Plan
    from senior_backend.migrate.statements import Engine

TEMPLATES = SKILL_ROOT / "templates" / "migrations"
WIDTH = 116
_STAGE_NAMES = {
    "keep": "", "expand": "expand", "backfill": "backfill", "validate": "validate", "switch": "switch",
    "contract": "contract",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """One file of the sequence, with what a report says about it."""

    name: str
    text: str
    stage: str
    deploy: str
    purposes: tuple[str, ...]
    transaction: bool
    draft: bool


def written(
    plan: Plan, original: str, version: str, name: str, taken: Collection[str], *, engine: Engine
) -> list[Written]:
    """Return the files of a plan; their versions follow `version` and collide with none of `taken`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - SQL, not HTML
    )  # fmt: skip
    template = environment.get_template("rewritten.sql.j2")
    numbers = versions(version, len(plan.files), taken)
    found = []
    for index, (file, number) in enumerate(zip(plan.files, numbers, strict=True)):
        assumptions = [f"Assumes: {one}." for one in plan.assumptions] if index == 0 else []
        text = template.render(
            number=index + 1,
            total=len(plan.files),
            original=original,
            after_deploy=file.after_deploy,
            draft=_wrapped([f"Before it may run: {file.draft}"] if file.draft else []),
            assumptions=_wrapped(assumptions),
            transaction=file.transaction,
            waits=_waits(file) if engine == "postgresql" else (),
            up=_blocks(file.parts),
            down=[_terminated(statement) for statement in file.down],
            irreversible=file.irreversible,
        )
        stage = _STAGE_NAMES[file.stage]
        purposes = tuple(part.step.purpose or "the statements that stay as they are" for part in file.parts)
        found.append(
            Written(
                f"{number}_{name}{'_' + stage if stage else ''}.sql", text, file.stage,
                "after the next deploy" if file.after_deploy else "before the deploy",
                tuple(dict.fromkeys(purposes)), file.transaction, file.draft is not None,
            )
        )  # fmt: skip
    return found


def _waits(file: File) -> tuple[str, ...]:
    """Return the limits for a file that waits for strong locks in one transaction, and does not set its own."""
    tables = sorted({table for part in file.parts for table in part.step.tables})
    own = any("lock_timeout" in statement.lower() for part in file.parts for statement in part.step.up)
    if not file.transaction or not tables or own:
        return ()
    if any(part.kept for part in file.parts):
        return (lock_waits.local(len(tables)),)  # the user's statements may need no table to be there
    return lock_waits.in_transaction([".".join(ident(word) for word in table.split(".")) for table in tables])


def versions(version: str, count: int, taken: Collection[str]) -> list[str]:
    """Return `count` versions that sort from `version` on and before the next one taken, as text."""
    following = min((one for one in taken if one > version), default=None)
    counted = [str(int(version) + step).rjust(len(version), "0") for step in range(count)] if version else []
    roomy = following is None or (bool(counted) and counted[-1] < following)
    if len(version) >= 14 and roomy and all(len(one) == len(version) for one in counted):
        return counted
    # Longer versions with the same beginning sort behind it and before whatever came next.
    return [f"{version}{step:02d}" for step in range(1, count + 1)]


def _blocks(parts: Sequence[Part]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in parts:
        comments = part.lead.splitlines()
        if part.kept and part.head and not part.lead and blocks and blocks[-1].get("head") == part.head:
            blocks[-1]["statements"][-1] += f",\n  {part.action}"
            continue
        if part.step.purpose:
            comments += _wrapped([part.step.purpose], prefix="-- ")
        blocks.append({
            "comments": comments, "statements": [_terminated(one) for one in part.step.up],
            "head": part.head if part.kept else None, "tail": part.tail,
        })  # fmt: skip
    return blocks


def _terminated(statement: str) -> str:
    return re.sub(r"\s*;\s*$", "", statement)


def _wrapped(lines: Sequence[str], prefix: str = "") -> list[str]:
    return [
        prefix + line
        for text in lines
        for line in textwrap.wrap(text, WIDTH - len(prefix), break_long_words=False, break_on_hyphens=False)
    ]
