"""The fields that a resource gets where the user names none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from senior_backend.scaffold.drafts import FieldDraft, Located, Problems
from senior_backend.scaffold.field_text import parse_short

if TYPE_CHECKING:
    from collections.abc import Mapping

USER: Final[Mapping[str, str]] = {
    "email": "email:unique",
    "password": "password",
    "name": "str(100)",
    "role": "enum(admin,user):index=user",
    "is_active": "bool=true",
    "metadata": "json={}",
}
"""The skill's own users table; id, version and the timestamps are in every resource.

No roles: of the resource that logs in, callers reach their own row, and an admin reaches all.
"""
ANY: Final[Mapping[str, str]] = {"name": "str(100)"}


def fields_for(name: str, where: str) -> tuple[FieldDraft, ...]:
    """Return the preset fields of the resource called `name`."""
    problems = Problems()
    drafts = [
        parse_short(Located(field, where), short, lambda _: where, problems)
        for field, short in (USER if name == "user" else ANY).items()
    ]
    problems.raise_if_any()
    return tuple(draft for draft in drafts if draft is not None)
