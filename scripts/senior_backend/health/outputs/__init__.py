"""One module for each output; a module here with `NAME` and `render(verdict)` is a `--format` of that name."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType


def names() -> list[str]:
    """Return the names of all formats; modules are `health_json` for `health-json`."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if module.name[0] != "_")


def load(name: str) -> ModuleType:
    """Return the module of a format."""
    return import_module(f"{__name__}.{name.replace('-', '_')}")
