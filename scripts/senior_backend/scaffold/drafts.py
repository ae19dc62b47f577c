"""What the user wrote, with the place of each part: every source makes drafts, `spec.py` judges them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from senior_backend.console.errors import InputError
from senior_backend.console.report import Finding

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Located(Generic[T]):
    """A value and where it was written (`file:line:column`, or an option and a column)."""

    value: T
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDraft:
    """A field before its type is known to exist; `settings` are modifiers by their names in the YAML form."""

    name: Located[str]
    type: Located[str]
    settings: dict[str, Located[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDraft:
    """A custom action; without `assign` its effect is inferred from its verb."""

    name: Located[str]
    assign: tuple[tuple[Located[str], Located[Any]], ...] | None = None
    roles: tuple[Located[str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDraft:
    """A many-to-many link; without a name it is reached under the target's plural."""

    target: Located[str]
    name: Located[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceDraft:
    """A resource as written; `fields` of None means that its name decides them."""

    name: Located[str]
    fields: tuple[FieldDraft, ...] | None = None
    plural: Located[str] | None = None
    operations: tuple[Located[str], ...] | None = None
    owner: Located[str] | None = None
    roles: tuple[tuple[Located[str], tuple[Located[str], ...]], ...] | None = None
    indexes: tuple[Located[tuple[str, ...]], ...] = ()
    actions: tuple[ActionDraft, ...] = ()
    links: tuple[LinkDraft, ...] = ()
    identity: Located[bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDraft:
    """A whole specification as written."""

    name: Located[str]
    resources: tuple[ResourceDraft, ...]
    stack: Located[str] | None = None
    errors: Located[str] | None = None
    require_if_match: Located[bool] | None = None
    skip: tuple[Located[str], ...] = ()


class Problems:
    """Everything wrong with an input, collected so that it can be told at once."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._seen: set[tuple[str, str | None]] = set()

    def add(self, code: str, message: str, where: str | None, fix: str | None = None) -> None:
        """Note one problem; the same message at the same place counts once."""
        if (message, where) not in self._seen:
            self._seen.add((message, where))
            self._found.append(Finding(code, "error", message, where, fix))

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise everything found so far as one error.

        Raises:
            InputError: something was found.
        """
        if not self._found:
            return
        first = self._found[0]
        count = len(self._found)
        message = first.message if count == 1 else f"{count} problems in the specification; nothing was written"
        raise InputError(message, code=first.code, where=first.where, hint=first.fix, findings=self._found)
