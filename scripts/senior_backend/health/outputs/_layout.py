"""Where the boxes of the dependency graph stand: layers from what nothing needs down to what needs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 204, 46, 28, 62, 16
MAX_NODES = 150
PER_ROW = 6


@dataclass(frozen=True, slots=True)
class Box:
    """The place of one service, in pixels."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes and the edges between them, each as an SVG path from a service to one that it needs."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    edges: tuple[tuple[str, str, str], ...]


def layout(edges: Mapping[str, Sequence[str]]) -> Layout:
    """Place services so that each stands above everything it depends on; `edges` has no cycles."""
    layers = _layers(edges)
    rows: list[list[str]] = []
    for layer in layers:
        rows.extend(layer[start : start + PER_ROW] for start in range(0, len(layer), PER_ROW))
    _untangle(rows, edges)
    widest = max((len(row) for row in rows), default=1)
    width = 2 * MARGIN + widest * BOX_WIDTH + (widest - 1) * GAP_X
    places: dict[str, Box] = {}
    for number, row in enumerate(rows):
        span = len(row) * BOX_WIDTH + (len(row) - 1) * GAP_X
        left = (width - span) / 2
        for index, name in enumerate(row):
            places[name] = Box(name, left + index * (BOX_WIDTH + GAP_X), MARGIN + number * (BOX_HEIGHT + GAP_Y))
    drawn = tuple(
        (name, target, _path(places[name], places[target]))
        for name, targets in edges.items()
        for target in targets
        if target in places and name in places
    )
    height = 2 * MARGIN + len(rows) * BOX_HEIGHT + max(0, len(rows) - 1) * GAP_Y
    return Layout(width, height, tuple(places.values()), drawn)


def _layers(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the services in layers: below everything that needs them, and right above what they need."""
    waiting = dict.fromkeys(edges, 0)
    for targets in edges.values():
        for target in targets:
            if target in waiting:
                waiting[target] += 1
    depth = dict.fromkeys((name for name, count in waiting.items() if not count), 0)
    ready = list(depth)
    order: list[str] = []
    while ready:
        name = ready.pop()
        order.append(name)
        for target in edges[name]:
            if target in waiting:
                depth[target] = max(depth.get(target, 0), depth[name] + 1)
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
    for name in reversed(order):
        # A service that stands far above what it needs moves down: its line would cross the boxes between.
        below = [depth[target] for target in edges[name] if target in depth]
        depth[name] = max(depth[name], min(below) - 1) if below else depth[name]
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in edges:
        layers[depth.get(name, 0)].append(name)
    return layers


def _untangle(rows: list[list[str]], edges: Mapping[str, Sequence[str]]) -> None:
    """Order each row by the mean place of what stands above and points to it, which crosses fewer lines."""
    above: dict[str, float] = {}
    for row in rows:
        if above:
            parents = {
                name: [above[p] for p, targets in edges.items() if name in targets and p in above] for name in row
            }
            middle = len(row) / 2
            row.sort(key=lambda name: sum(parents[name]) / len(parents[name]) if parents[name] else middle)
        above.update({name: float(index) for index, name in enumerate(row)})


def _path(start: Box, end: Box) -> str:
    x1, y1 = start.x + BOX_WIDTH / 2, start.y + BOX_HEIGHT
    x2, y2 = end.x + BOX_WIDTH / 2, end.y
    bend = max(24.0, (y2 - y1) / 2)
    return f"M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
