"""Configurations for monitors that watch for longer and from more places than one machine.

A module here with `render(services)` is an `--export` of its name; it returns the text and what could not be carried
over. No secret is written: headers and passwords become variables that the monitor expands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from senior_backend.health.model import Service


def render(name: str, services: Sequence[Service]) -> tuple[str, list[str]]:
    """Return the configuration and the losses, each as `service: what`."""
    text, losses = import_module(f"{__name__}.{name}").render(services)
    return str(text), list(losses)


def yaml_of(value: Any, indent: int = 0) -> str:
    """Return plain data as block YAML; every text is quoted as JSON quotes it, which YAML reads alike."""
    pad = "  " * indent
    if isinstance(value, Mapping) and value:
        return "\n".join(f"{pad}{_key(key)}:{_below(item, indent)}" for key, item in value.items())
    if isinstance(value, list | tuple) and value:
        return "\n".join(f"{pad}-{_below(item, indent, dash=True)}" for item in value)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}"


def _below(value: Any, indent: int, *, dash: bool = False) -> str:
    if isinstance(value, Mapping | list | tuple) and value:
        text = yaml_of(value, indent + 1)
        return f" {text.lstrip()}" if dash and isinstance(value, Mapping) else f"\n{text}"
    return f" {json.dumps(value, ensure_ascii=False)}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][\w-]*", key) else json.dumps(key)


def variable_name(*words: str) -> str:
    """Return the name of the environment variable for a secret."""
    return re.sub(r"\W+", "_", "_".join(words)).upper()
