"""The picture of a rehearsal: statements on a time axis, the application's queries below, and who waited for whom."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from senior_backend.console.environment import SKILL_ROOT
from senior_backend.migrate.rehearse import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.console.report import Finding
    from senior_backend.migrate.rehearse.model import QueryRun, Rehearsal, Wait

TEMPLATES = SKILL_ROOT / "templates" / "reports"
WIDTH, LEFT, RIGHT = 1180, 96, 10
TOP, STATEMENT, LANE, GAP = 26, 22, 20, 4
MARGIN = 0.12
"""Seconds shown before the first statement and after the last."""
QUICK_QUERIES = 3000
"""Queries that waited for nobody are drawn up to this number; those that waited are all drawn."""
TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


def render(rehearsal: Rehearsal, summary: str, findings: Sequence[Finding], readers: str) -> str:
    """Return the whole page: one file, nothing loaded from elsewhere."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    page = environment.get_template("rehearsal_timeline.html.j2")
    return page.render(
        title=", ".join(PurePath(file).name for file in rehearsal.files[:3])
        + (" …" if len(rehearsal.files) > 3 else ""),
        server=rehearsal.server,
        rows=f"{rehearsal.rows:,}",
        readers=readers,
        summary=summary,
        findings=findings,
        table=_table(rehearsal),
        down=rehearsal.down.outcome,
        again=rehearsal.again.outcome,
        **picture(rehearsal),
    )


def picture(rehearsal: Rehearsal) -> dict[str, Any]:
    """Return the shapes of the picture, in the units of its view box."""
    start, end = rehearsal.began - MARGIN, rehearsal.ended + MARGIN
    scale = (WIDTH - LEFT - RIGHT) / max(end - start, 1e-6)

    def x(at: float) -> float:
        return round(LEFT + (min(max(at, start), end) - start) * scale, 1)

    statements = rehearsal.up
    waits = {id(wait.query): wait for wait in rehearsal.waits if wait.statement is not None}
    shown = [query for query in rehearsal.queries if query.ended >= start and query.started <= end]
    sessions = sorted({query.session for query in shown}, key=lambda one: _session_order(shown, one))
    quick = [query for query in shown if id(query) not in waits and query.error is None]
    drawn = quick[:: max(len(quick) // QUICK_QUERIES + 1, 1)]
    loud = [query for query in shown if id(query) in waits or query.error is not None]
    lanes: list[dict[str, Any]] = []
    bars: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    rows = _rows(rehearsal)
    depth = max(rows, default=0) + 1
    lanes.append({"y": TOP, "height": depth * STATEMENT, "label": "migration"})
    for number, run in enumerate(statements):
        y = TOP + rows[number] * STATEMENT + 3
        css = {None: "free", "writes": "writes"}.get(_keeps_out(rehearsal, number), "all")
        tip = f"{number + 1}. {' '.join(run.step.text.split())[:200]} ({judge.duration(run.seconds)})"
        bars.append(
            _bar(f"{css} held", x(run.started), x(run.released), y, height=STATEMENT - 6, tip=f"holds its locks: {tip}")
        )
        bars.append(_bar(css, x(run.started), x(run.ended), y, height=STATEMENT - 6, tip=tip))
        marks.append({"x": x(run.started) + 2, "y": y + STATEMENT - 11, "text": number + 1})
    below = TOP + depth * STATEMENT + 2 * GAP
    place = {session: below + i * (LANE + GAP) for i, session in enumerate(sessions)}
    counted: dict[str, int] = {}
    for session in sessions:
        kind = "reader" if _session_order(shown, session)[0] == 0 else "writer"
        counted[kind] = counted.get(kind, 0) + 1
        lanes.append({"y": place[session], "height": LANE, "label": f"{kind} {counted[kind]}"})
    for query in [*drawn, *loud]:
        y = place[query.session]
        wait = waits.get(id(query))
        css = "error" if query.error else _colour(rehearsal, wait) if wait else "query"
        bars.append(_bar(css, x(query.started), x(query.ended), y + 3, height=LANE - 6, tip=_tip(query, wait)))
        if wait and wait.statement is not None and query.seconds * scale > 3:
            top = TOP + rows[wait.statement] * STATEMENT + STATEMENT - 3
            links.append({"x": x(max(query.started, statements[wait.statement].started)), "y1": top, "y2": y + 3})
    height = below + len(sessions) * (LANE + GAP) + 6
    return {
        "width": WIDTH, "height": height, "left": LEFT, "lanes": lanes, "bars": bars, "marks": marks, "links": links,
        "ticks": _ticks(start, end, rehearsal.began, x),
    }  # fmt: skip


def _rows(rehearsal: Rehearsal) -> list[int]:
    """Return a row for each statement, so that bars (with the time their locks are held) do not overlap."""
    free: list[float] = []
    rows: list[int] = []
    for run in rehearsal.up:
        row = next((i for i, until in enumerate(free) if until <= run.started), len(free))
        if row == len(free):
            free.append(0.0)
        free[row] = max(run.released, run.started + 0.002)
        rows.append(row)
    return rows


def _session_order(queries: Sequence[QueryRun], session: int) -> tuple[int, int]:
    reads = any(query.kind in ("read", "page") for query in queries if query.session == session)
    return (0 if reads else 1), session


def _keeps_out(rehearsal: Rehearsal, number: int) -> str | None:
    kept = {judge.blocks(mode) for mode in judge.held_before(rehearsal, number).values()}
    return "reads and writes" if "reads and writes" in kept else "writes" if "writes" in kept else None


def _colour(rehearsal: Rehearsal, wait: Wait) -> str:
    kept = _keeps_out(rehearsal, wait.statement) if wait.statement is not None else None
    return "all" if kept == "reads and writes" else "writes"


def _tip(query: QueryRun, wait: Wait | None) -> str:
    text = f"{query.kind} {query.table}: {judge.duration(query.seconds)}"
    if query.error:
        return f"{text}, failed: {query.error}"
    return f"{text}, waited for statement {(wait.statement or 0) + 1}" if wait else text


def _bar(css: str, left: float, right: float, y: float, *, height: float, tip: str) -> dict[str, Any]:
    return {"css": css, "x": left, "width": max(round(right - left, 1), 1.2), "y": y, "height": height, "tip": tip}


def _ticks(start: float, end: float, zero: float, x: Any) -> list[dict[str, Any]]:
    step = next((one for one in TICKS if (end - start) / one <= 12), TICKS[-1])
    first = int((start - zero) / step)
    return [
        {"x": x(zero + number * step), "label": judge.duration(number * step) if number else "0"}
        for number in range(first, int((end - zero) / step) + 1)
        if start <= zero + number * step <= end
    ]


def _table(rehearsal: Rehearsal) -> list[dict[str, Any]]:
    longest: dict[int, float] = {}
    for wait in rehearsal.waits:
        if wait.statement is not None:
            longest[wait.statement] = max(longest.get(wait.statement, 0.0), wait.query.seconds)
    return [
        {
            "number": number + 1,
            "where": f"{PurePath(run.step.file).name}:{run.step.line}",
            "text": run.step.text,
            "locks": ", ".join(f"{mode.removesuffix('Lock')} on {name}" for name, mode in run.cost.locks),
            "rewritten": ", ".join(run.cost.rewritten),
            "read": "" if run.cost.rows_read is None else f"{run.cost.rows_read:,}",
            "took": judge.duration(run.seconds),
            "held": judge.duration(run.released - run.started) if run.cost.locks else "",
            "waited": judge.duration(longest[number]) if number in longest else "",
        }
        for number, run in enumerate(rehearsal.up)
    ]
