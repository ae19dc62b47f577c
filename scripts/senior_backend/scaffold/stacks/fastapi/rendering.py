"""Templates to text. Whatever a user wrote goes through a filter that makes a literal of it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from senior_backend.console.environment import SKILL_ROOT
from senior_backend.scaffold.stacks.fastapi import literals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import jinja2

TEMPLATES = SKILL_ROOT / "templates" / "fastapi"
SUFFIX = ".jinja"


@cache
def environment() -> jinja2.Environment:
    """Return the template environment, in which an unknown name is an error."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - source code, not HTML: the filters make literals
        keep_trailing_newline=True,
    )
    found.filters |= {
        "py": literals.python,
        "arguments": literals.arguments,
        "json": literals.json_literal,
        "words": literals.words,
        "distribution": literals.distribution,
        "in_import_order": in_import_order,
    }
    return found


def in_import_order(resources: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return resources in the order in which ruff wants their modules imported: `step2` before `step10`."""

    def key(resource: Mapping[str, Any]) -> list[tuple[str, int]]:
        return [(text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", resource["module"])]

    return sorted(resources, key=key)


def render_template(name: str, **values: Any) -> str:
    """Return a template filled in, with its blank lines as Python code has them."""
    text = environment().get_template(name).render(**values)
    if name.removesuffix(SUFFIX).endswith(".py"):
        text = re.sub(r"\n{4,}", "\n\n\n", text)
    return text.rstrip("\n") + "\n"
