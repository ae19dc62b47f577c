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

    Transformation = Callable[[Operation, Context], Rewrite | Unknown | None]


@functools.cache
def transformations() -> Mapping[type[Operation], Transformation]:
    """Return the transformation of each kind of operation."""
    found: dict[type[Operation], Transformation] = {}
    for info in pkgutil.iter_modules(rewrites.__path__):
        module = importlib.import_module(f"{rewrites.__name__}.{info.name}")
        for operation in getattr(module, "OPERATIONS", ()):
            found[operation] = module.rewrite
    return found
