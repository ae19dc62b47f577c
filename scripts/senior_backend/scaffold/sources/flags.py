"""The first front door: one resource from the command line, `--name user --crud --fields "…"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from senior_backend.scaffold import naming
from senior_backend.scaffold.drafts import ActionDraft, Located, Problems, ResourceDraft
from senior_backend.scaffold.field_text import FieldTextError, Text, parse_fields, split
from senior_backend.scaffold.model import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_ONLY: Final = ("list", "read")
_ACTION: Final = re.compile(r"([\w-]+)(?::(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says about one resource; None where it says nothing."""

    name: str
    crud: bool = False
    fields: str | None = None
    plural: str | None = None
    operations: str | None = None
    owner: str | None = None
    actions: Sequence[str] = ()


def read_flags(flags: Flags) -> ResourceDraft:
    """Return the draft of the resource; `operations` is None where neither `--crud` nor `--operations` was given.

    Raises:
        InputError: a flag cannot be read; every problem is among the findings.
    """
    problems = Problems()
    name = Located(naming.snake_case(flags.name), "--name")
    if re.search(r"[/\\]|^\.", flags.name):
        problems.add(
            "bad-name",
            f"--name {flags.name!r} is a path, not a name",
            "--name",
            "Name the resource with --name, and its folder with --out.",
        )
    elif reason := naming.invalid_name(name.value, "resource"):
        problems.add("bad-name", reason, "--name", "For example `--name user` or `--name order_item`.")
    fields = None
    if flags.fields is not None:
        fields = tuple(parse_fields(flags.fields, lambda at: f"--fields:{at + 1}", problems))
        if not fields and not len(problems):
            problems.add(
                "no-fields", "--fields is empty", "--fields", 'For example `--fields "title:str(200) done:bool=false"`.'
            )
    draft = ResourceDraft(
        name=name,
        fields=fields,
        plural=Located(naming.snake_case(flags.plural), "--plural") if flags.plural is not None else None,
        operations=_operations(flags),
        owner=Located(naming.snake_case(flags.owner), "--owner") if flags.owner is not None else None,
        actions=tuple(_action(text, problems) for text in flags.actions),
    )
    problems.raise_if_any()
    return draft


def _operations(flags: Flags) -> tuple[Located[str], ...] | None:
    if flags.operations is not None:
        words = [word for word in re.split(r"[,\s]+", flags.operations) if word]
        return tuple(Located(word.lower(), "--operations") for word in words)
    if flags.crud:
        return tuple(Located(operation, "--crud") for operation in OPERATIONS)
    return None


def _action(text: str, problems: Problems) -> ActionDraft:
    match = _ACTION.fullmatch(text.strip())
    if not match:
        problems.add(
            "bad-action", f"--action {text!r} is not `VERB` or `VERB:FIELD=VALUE`", "--action", "`--action activate`"
        )
        return ActionDraft(name=Located("x", "--action"))
    name = Located(naming.snake_case(match[1]), "--action")
    if match[2] is None:
        return ActionDraft(name=name)
    assign = []
    try:
        parts = split(match[2])
    except FieldTextError as failure:
        problems.add("bad-action", failure.message, "--action", failure.fix)
        parts = []
    for offset, part in parts:
        where = f"--action:{match.start(2) + offset + 1}"
        field, equals, value = part.partition("=")
        if not equals:
            problems.add("bad-action", f"'{part}' is not FIELD=VALUE", where, "For example `publish:status=published`.")
        assign.append((Located(naming.snake_case(field), where), Located(Text(value.strip('"')), where)))
    return ActionDraft(name=name, assign=tuple(assign))
