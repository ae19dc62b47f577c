"""Finds the stacks: each is a package in `stacks/` that offers what `stacks/contract.py` says."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from senior_backend.scaffold.stacks.contract import Stack

FOLDER = Path(__file__).parent / "stacks"
DEFAULT = "fastapi"


def available() -> tuple[str, ...]:
    """Return the names of all stacks, the default first."""
    names = sorted(path.parent.name for path in FOLDER.glob("*/__init__.py"))
    return (DEFAULT, *(name for name in names if name != DEFAULT))


def load(name: str) -> Stack:
    """Return the stack called `name`, which is one of those available."""
    return cast("Stack", importlib.import_module(f"senior_backend.scaffold.stacks.{name}"))


def reserved(name: str) -> frozenset[str]:
    """Return the words that the stack's own modules and tables use and no resource may have."""
    return frozenset(getattr(load(name), "RESERVED_RESOURCES", ()))
