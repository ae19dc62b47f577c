"""Plain values of which a long script makes tens of thousands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True)
def value(cls: type[_Class]) -> type[_Class]:
    """Make a dataclass that is compared and hashed by what it holds.

    It is frozen for the type checker alone: what freezes it at run time as well makes a new one take four times as
    long.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
