"""Plain values of which a long script makes tens of thousands."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True)
def value(cls: type[_Class]) -> type[_Class]:
    """Make a dataclass that is compared and hashed by what it holds.

    It is frozen for the type checker alone: what freezes it at run time as well makes a new one take four times as
    long.
    """
    made = dataclass(slots=True, unsafe_hash=True, repr=False)(cls)
    made.__repr__ = _shown  # type: ignore[method-assign]
    return made


def _shown(self: object) -> str:
    """Show a value as a dataclass does; one function for all, since to make one for each takes time at every start."""
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))  # type: ignore[arg-type]
    return f"{type(self).__qualname__}({', '.join(shown)})"
