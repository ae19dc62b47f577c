"""Geometry of the charts in the HTML report: numbers in, positions of lines, cells and ticks out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from senior_backend.load.statistics import HeatMap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from senior_backend.load.samples import Samples
    from senior_backend.load.statistics import Second

WIDTH, HEIGHT = 860.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 14.0, 12.0, 40.0
LABEL_CHARACTER, LABEL_HEIGHT = 6.5, 14.0
"""Room that a label needs, in the chart's units: for each character, and from line to line."""
SHADES = 7
FINE_COLUMNS = 100
ROWS_PER_DECADE = 8


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, `style` is its class in the style sheet; `label` its name in the legend."""

    points: str
    style: str
    label: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A rectangle of a heat map; `shade` 1 to 7."""

    x: float
    y: float
    width: float
    height: float
    shade: int
    title: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A measured point."""

    x: float
    y: float
    style: str
    title: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line across the chart, with a label."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    label_right: bool = False
    """Whether the label stands to the right of the line, else to its left."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that a chart shows, in its own coordinates."""

    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...] = ()
    cells: tuple[Cell, ...] = ()
    dots: tuple[Dot, ...] = ()
    rules: tuple[Rule, ...] = field(default=())
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def milliseconds(value: float) -> str:
    """Return a tick of a latency axis."""
    if value >= 1000:
        return f"{value / 1000:g} s"
    return f"{value:g} ms" if value >= 1 else f"{round(value * 1000):g} µs"


def plain(value: float) -> str:
    """Return a tick of a count or a rate."""
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def seconds(value: float) -> str:
    """Return a tick of a time axis."""
    if value >= 120:
        return f"{value / 60:g} min"
    return f"{value:g} s"


def linear(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the map of a value between `low` and `high` to a position between `start` and `end`."""
    span = high - low or 1.0
    return lambda value: round(start + (value - low) / span * (end - start), 2)


def logarithmic(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the same on a logarithmic scale."""
    inner = linear(math.log10(low), math.log10(high), start, end)
    return lambda value: inner(math.log10(min(max(value, low), high)))


def nice_steps(high: float, most: int = 6) -> list[float]:
    """Return 0 and round steps up to at least `high`."""
    if high <= 0:
        return [0.0, 1.0]
    power = 10 ** math.floor(math.log10(high / most))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * most >= high)
    return [step * number for number in range(math.ceil(high / step - 1e-9) + 1)]


def decades(low: float, high: float) -> tuple[list[float], float, float]:
    """Return ticks of 1, 2, 5 (1 alone over many decades) with the ends of a logarithmic axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high) + 1e-9)
    factors = (1.0, 2.0, 5.0) if last - first <= 3 else (1.0,)
    ticks = [10.0**power * factor for power in range(first, last + 1) for factor in factors]
    bottom = max([tick for tick in ticks if tick <= low], default=low)
    top = min([tick for tick in ticks if tick >= high], default=high)
    return [tick for tick in ticks if bottom <= tick <= top], bottom, top if top > bottom else bottom * 10


def fine_heat(samples: Samples) -> HeatMap:
    """Return a heat map of the exact rows in 100 columns: a stall of a tenth of a second can be seen in a short run."""
    if not samples.intended:
        return HeatMap(0.0, 1.0, (), ())
    start, end = min(samples.intended), max(samples.intended) + 1
    width = (end - start) / FINE_COLUMNS
    least = math.floor(ROWS_PER_DECADE * math.log10(max(min(samples.response), 1_000)))
    most = math.floor(ROWS_PER_DECADE * math.log10(max(*samples.response, 1_000)))
    counts = [[0] * (most - least + 1) for _ in range(FINE_COLUMNS)]
    for intended, response in zip(samples.intended, samples.response, strict=True):
        row = math.floor(ROWS_PER_DECADE * math.log10(max(response, 1_000))) - least
        counts[min(int((intended - start) / width), FINE_COLUMNS - 1)][row] += 1
    edges = tuple(10 ** (step / ROWS_PER_DECADE) / 1e6 for step in range(least, most + 2))
    return HeatMap(start / 1e9, width / 1e9, edges, tuple(map(tuple, counts)))


def heat_chart(heat: HeatMap) -> Chart | None:
    """Return the heat map of response time over time, None without samples."""
    if not heat.counts or len(heat.edges_ms) < 2:
        return None
    end = heat.start_s + heat.column_s * len(heat.counts)
    x = linear(heat.start_s, end, LEFT, WIDTH - RIGHT)
    low, high = heat.edges_ms[0], heat.edges_ms[-1]
    y = logarithmic(low, high, HEIGHT - BOTTOM, TOP)
    most = max(max(column) for column in heat.counts)
    cells = []
    for number, column in enumerate(heat.counts):
        start = heat.start_s + heat.column_s * number
        for row, count in enumerate(column):
            if not count:
                continue
            upper, lower = y(heat.edges_ms[row + 1]), y(heat.edges_ms[row])
            # The logarithm keeps single slow requests visible beside thousands of quick ones.
            shade = 1 + round((SHADES - 1) * math.log1p(count) / math.log1p(most))
            low_ms, high_ms = (float(f"{edge:.3g}") for edge in heat.edges_ms[row : row + 2])
            title = f"{count:,} requests took {milliseconds(low_ms)} to {milliseconds(high_ms)} at {start:.1f} s"
            cells.append(Cell(x(start), upper, x(start + heat.column_s) - x(start), lower - upper, shade, title))
    return Chart(
        "Response time over time",
        "Each column is a slice of time, each row a span of response times; stronger colour: more requests.",
        "time into the run",
        "response time",
        _time_ticks(heat.start_s, end, x),
        tuple((y(tick), milliseconds(tick)) for tick in decades(low, high)[0] if low <= tick <= high),
        cells=tuple(cells),
    )


def curve_chart(curves: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]) -> Chart | None:
    """Return percentile curves, (label, style, points); the axis of percentiles is logarithmic in what is left."""
    known = [(label, style, [point for point in points if point[1] > 0]) for label, style, points in curves]
    known = [entry for entry in known if entry[2]]
    if not known:
        return None
    values = [value for _, _, points in known for _, value in points]
    y_ticks, low, high = decades(min(values), max(values))
    y = logarithmic(low, high, HEIGHT - BOTTOM, TOP)
    deepest = max(-math.log10(max(1 - share, 1e-9)) for _, _, points in known for share, _ in points)
    nines = max(1.0, deepest)
    x = linear(0.0, nines, LEFT, WIDTH - RIGHT)

    def place(share: float) -> float:
        return x(-math.log10(max(1 - share, 10**-nines)))

    named = [(0.0, "min"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")]
    return Chart(
        "Response time by percentile",
        "How much of the requests took at most how long; each step to the right is ten times rarer.",
        "percentile",
        "response time",
        tuple((place(share), name) for share, name in named if -math.log10(1 - share) <= nines + 1e-9),
        tuple((y(tick), milliseconds(tick)) for tick in y_ticks),
        lines=tuple(
            Line(" ".join(f"{place(share)},{y(value)}" for share, value in points), style, label)
            for label, style, points in known
        ),
    )


def rate_chart(timeline: Sequence[Second]) -> Chart | None:
    """Return asked, answered and failed requests per second."""
    if not timeline:
        return None
    # The last second is rarely whole.
    rows = list(timeline[:-1]) if len(timeline) > 2 else list(timeline)
    start, end = rows[0].second, rows[-1].second + 1
    steps = nice_steps(max(max(row.asked, row.answered, row.sent, row.failed) for row in rows))
    x = linear(start, end, LEFT, WIDTH - RIGHT)
    y = linear(0.0, steps[-1], HEIGHT - BOTTOM, TOP)
    chosen: list[tuple[str, str, Callable[[Second], float]]] = [
        ("asked by the plan", "asked", lambda row: row.asked),
        ("answered", "answered", lambda row: row.answered),
    ]
    if any(row.failed for row in rows):
        chosen.append(("failed", "failed", lambda row: row.failed))
    return Chart(
        "Requests per second",
        "What the plan asked for, what was answered, and what failed, in each second.",
        "time into the run",
        "requests per second",
        _time_ticks(start, end, x),
        tuple((y(step), plain(step)) for step in steps),
        lines=tuple(
            Line(" ".join(f"{x(row.second + 0.5)},{y(value(row))}" for row in rows), style, label)
            for label, style, value in chosen
        ),
    )


def rate_latency_chart(
    rows: Sequence[tuple[float, float, float, str, str]], marks: Sequence[tuple[float, str]]
) -> Chart | None:
    """Return latency against rate: (rate, p50, p99, state, why), with vertical marks at rates in rising order.

    The state is "good", "brief" (held, but not for long), "bad" or "void".
    """
    if not rows:
        return None
    ordered = sorted(rows)
    steps = nice_steps(max(row[0] for row in ordered), 8)
    y_ticks, low, high = decades(min(row[1] for row in ordered), max(row[2] for row in ordered))
    x, y = linear(0.0, steps[-1], LEFT, WIDTH - RIGHT), logarithmic(low, high, HEIGHT - BOTTOM, TOP)
    held = [row for row in ordered if row[3] == "good"]
    dots = [
        Dot(x(rate), y(p99), f"dot-{state}", f"{rate:,.0f}/s, p99 {p99:,.1f} ms: {why}")
        for rate, _, p99, state, why in ordered
    ]
    return Chart(
        "Response time against rate",
        "Each dot is the p99 of one probe: green held, a green ring did so only for a moment, red did not, grey was "
        "disturbed; lines join those that held.",
        "requests per second",
        "response time",
        tuple((x(step), plain(step)) for step in steps),
        tuple((y(tick), milliseconds(tick)) for tick in y_ticks),
        lines=(
            Line(" ".join(f"{x(row[0])},{y(row[1])}" for row in held), "p50", "p50"),
            Line(" ".join(f"{x(row[0])},{y(row[2])}" for row in held), "p99", "p99"),
        ),
        dots=tuple(dots),
        rules=_rules([(x(rate), f"{label} {rate:,.0f}/s") for rate, label in marks]),
    )


def _rules(marks: Sequence[tuple[float, str]]) -> tuple[Rule, ...]:
    """Return vertical lines whose labels do not meet: the last one's to its right, if it fits, the others' to the left.

    Without room on the right the labels stand below each other.
    """
    rules = []
    for number, (x, label) in enumerate(marks):
        right = number == len(marks) - 1 and x + LABEL_CHARACTER * len(label) < WIDTH - RIGHT
        rules.append(Rule(x, HEIGHT - BOTTOM, x, TOP if right else TOP + LABEL_HEIGHT * number, label, right))
    return tuple(rules)


def series_chart(title: str, unit: str, rows: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]) -> Chart | None:
    """Return lines over time from zero, (label, style, points)."""
    known = [(label, style, points) for label, style, points in rows if len(points) > 1]
    if not known:
        return None
    times = [at for _, _, points in known for at, _ in points]
    steps = nice_steps(max(value for _, _, points in known for _, value in points))
    x, y = linear(min(times), max(times), LEFT, WIDTH - RIGHT), linear(0.0, steps[-1], HEIGHT - BOTTOM, TOP)
    return Chart(
        title,
        f"{title} over the time of the run.",
        "time into the run",
        unit,
        _time_ticks(min(times), max(times), x),
        tuple((y(step), plain(step)) for step in steps),
        lines=tuple(
            Line(" ".join(f"{x(at)},{y(value)}" for at, value in points), style, label)
            for label, style, points in known
        ),
    )


def _time_ticks(start: float, end: float, x: Callable[[float], float]) -> tuple[tuple[float, str], ...]:
    steps = nice_steps(max(end - start, 1e-3), 8)
    width = steps[1]
    first = math.ceil(start / width - 1e-9) * width
    ticks = [first + width * number for number in range(len(steps) + 1)]
    return tuple((x(tick), seconds(tick)) for tick in ticks if tick <= end + 1e-9)
