"""Cycles in what depends on what."""

from __future__ import annotations

from collections.abc import Mapping


def find_cycles(edges: Mapping[str, list[str]]) -> list[list[str]]:
    """Return the cycles that a depth-first walk meets, each as a path that ends where it begins."""
    cycles: list[list[str]] = []
    finished: set[str] = set()
    for start in edges:
        if start in finished:
            continue
        path, places, walk = [start], {start: 0}, [iter(edges[start])]
        while walk:
            following = next(walk[-1], None)
            if following is None:
                walk.pop()
                done = path.pop()
                del places[done]
                finished.add(done)
            elif following in places:
                cycles.append([*path[places[following] :], following])
            elif following not in finished:
                places[following] = len(path)
                path.append(following)
                walk.append(iter(edges[following]))
    return cycles
