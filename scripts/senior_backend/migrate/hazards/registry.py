"""The rules of an engine, found in its folder; a new module there is a new rule."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from senior_backend.migrate.hazards.rule import Rule
    from senior_backend.migrate.statements import Engine

FOLDERS: dict[str, str] = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite"}
GROUPS = ("style", "policy")


@functools.cache
def rules_in(folder: str) -> tuple[Rule, ...]:
    """Return the rules of one folder: `RULE`, or `RULES`, of each of its modules."""
    package = importlib.import_module(f"senior_backend.migrate.hazards.{folder}")
    found: list[Rule] = []
    for entry in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        module = importlib.import_module(f"{package.__name__}.{entry.name}")
        if hasattr(module, "RULES"):
            found.extend(module.RULES)
        elif hasattr(module, "RULE"):
            found.append(module.RULE)
    return tuple(found)


def rules_for(
    engine: Engine,
    version: tuple[int, ...] | None = None,
    *,
    enable: Iterable[str] = (),
    disable: Iterable[str] = (),
) -> tuple[Rule, ...]:
    """Return the rules to run: those on by default, with groups or ids added by `enable` and taken by `disable`.

    Raises:
        InputError: a name is neither a rule of this engine nor a group.
    """
    rules = [rule for rule in rules_in(FOLDERS[engine]) if engine in rule.engines]
    known = {rule.id for rule in rules}
    wanted, unwanted = set(enable), set(disable)
    for name in sorted(wanted | unwanted):
        if name not in known and name not in GROUPS:
            raise InputError(
                f"there is no rule or group '{name}' for {engine}{did_you_mean(name, [*known, *GROUPS])}",
                code="unknown-rule",
                hint=f"Groups are {' and '.join(GROUPS)}; `lint --list-rules --engine {engine}` lists the rules.",
            )
    return tuple(
        rule
        for rule in rules
        if (rule.group == "default" or rule.id in wanted or rule.group in wanted)
        and rule.id not in unwanted
        and (rule.group not in unwanted or rule.id in wanted)
        and rule.holds_for(version)
    )
