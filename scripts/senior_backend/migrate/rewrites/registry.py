"""The transformations, found in this folder; a module with OPERATIONS and `rewrite` is one."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from senior_backend.migrate import rewrites

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from senior_backend.migrate.operations import Operation
    from senior_backend.migrate.rewrites.model import Context, Rewrite, Unknown
    from senior_backend.migrate.statements import Engine

    Transformation = Callable[[Operation, Context], Rewrite | Unknown | None]


@functools.cache
def transformations(engine: Engine) -> Mapping[type[Operation], Transformation]:
    """Return the transformation of each kind of operation: PostgreSQL's in this folder, others in one of their own."""
    from senior_backend.migrate.rewrites import mysql, sqlite, updates

    folder = {"postgresql": rewrites, "sqlite": sqlite}.get(engine, mysql)
    found: dict[type[Operation], Transformation] = {}
    for info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{info.name}")
        for operation in getattr(module, "OPERATIONS", ()):
            found[operation] = module.rewrite
    if engine != "sqlite":
        # SQLite has one writer at a time anyway, and its files are small enough for one UPDATE.
        found.update(dict.fromkeys(updates.OPERATIONS, updates.rewrite))
    return found
