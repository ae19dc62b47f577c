"""One self-contained page: the verdict, the dependency graph drawn and coloured, and every service."""

from __future__ import annotations

from typing import Any

from senior_backend.console.environment import SKILL_ROOT, ensure
from senior_backend.health.outputs._data import timestamp
from senior_backend.health.outputs._layout import BOX_HEIGHT, BOX_WIDTH, MAX_NODES, layout
from senior_backend.health.verdict import STATES, Verdict, explain

TEMPLATES = SKILL_ROOT / "templates" / "reports"


def marked(text: str) -> Any:
    """Return text, escaped, with what stands between backticks as code."""
    from markupsafe import Markup, escape  # a part of jinja2

    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def render(verdict: Verdict) -> str:
    """Return the page; every text in it is escaped by the template engine."""
    ensure("health", ["jinja2"])
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["marked"] = marked
    connected = {name for result in verdict.results for name in (*result.service.depends_on,)}
    drawn = [result for result in verdict.results if result.service.depends_on or result.service.name in connected]
    by_name = {result.service.name: result for result in verdict.results}
    too_many = len(drawn) > MAX_NODES
    graph = layout({result.service.name: result.service.depends_on for result in ([] if too_many else drawn)})
    slowest = max((result.phases.get("total") or 0.0 for result in verdict.results), default=0.0) or 1.0
    page = environment.get_template("health.html.jinja").render(
        verdict=verdict,
        at=timestamp(verdict.started_at),
        states=STATES,
        graph=graph if drawn and not too_many else None,
        too_many=too_many,
        box=(BOX_WIDTH, BOX_HEIGHT),
        by_name=by_name,
        results=verdict.worst_first(),
        explain=explain,
        slowest=slowest,
    )
    return str(page)
