"""Texts with placeholders: `${NAME}` from the environment when the file is read, `{{ name }}` for each request.

A parsed text keeps its placeholders apart from its literal parts, so that nothing that comes from a server, a feed
or the environment is ever read as a placeholder, and so that exports can write the same text for another tool.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_TOKEN = re.compile(r"\$\$\{|\$\{|\{\{")
_RUN_TIME_TOKEN = re.compile(r"\{\{")
_EXPRESSION = re.compile(
    r"""\s*(?:(?P<literal>"[^"]*"|'[^']*')
        |(?P<name>[A-Za-z_][\w]*(?:\.[\w -]*\w)?)\s*(?P<call>\((?P<arguments>[^()]*)\))?)
        \s*(?:\|\s*(?P<filter>\w+))?\s*\Z""",
    re.VERBOSE,
)
_SECRET = re.compile(r"pass|secret|token|credential|api[-_]?key|auth|private|cookie|session", re.IGNORECASE)

FUNCTIONS: dict[str, tuple[int, int]] = {
    "uuid": (0, 0),
    "sequence": (0, 0),
    "random_int": (2, 2),
    "random_string": (1, 1),
    "now": (0, 0),
    "timestamp": (0, 0),
    "take": (1, 1),
}
"""Functions of run-time placeholders, with the least and the most arguments."""

FILTERS = ("int", "float", "string", "raw")


class TemplateError(ValueError):
    """A placeholder that cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Env:
    """An environment variable and its default."""

    name: str
    default: str | None
    value: str


@dataclass(frozen=True, slots=True)
class Expression:
    """A run-time placeholder: a variable (`name`, or `feed.column`) or a function with arguments."""

    name: str
    arguments: tuple[str, ...] = ()
    is_call: bool = False
    filter: str | None = None

    @property
    def variable(self) -> str | None:
        """The variable or feed that it needs, or None for a plain function."""
        if self.is_call:
            return self.arguments[0] if self.name == "take" else None
        return self.name

    def __str__(self) -> str:
        call = f"({', '.join(self.arguments)})" if self.is_call else ""
        return f"{self.name}{call}{f' | {self.filter}' if self.filter else ''}"


Part = str | Env | Expression


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text."""

    parts: tuple[Part, ...]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The run-time placeholders, in order."""
        return tuple(part for part in self.parts if isinstance(part, Expression))

    @property
    def is_static(self) -> bool:
        """Whether it is the same for every request."""
        return not self.expressions

    @property
    def single(self) -> Expression | None:
        """The placeholder, when the text is that and nothing else."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, Expression) else None

    def static(self) -> str:
        """Return the text with its environment variables; run-time placeholders stay visible."""
        return "".join(
            part if isinstance(part, str) else part.value if isinstance(part, Env) else f"{{{{ {part} }}}}"
            for part in self.parts
        )

    def source(self) -> str:
        """Return the text for people: no value from the environment is in it."""
        return "".join(
            part if isinstance(part, str) else f"${{{part.name}}}" if isinstance(part, Env) else f"{{{{ {part} }}}}"
            for part in self.parts
        )


def literal(text: str) -> Template:
    """Return a template in which nothing is a placeholder."""
    return Template((text,) if text else ())


def parse(text: str, environment: Mapping[str, str] | None) -> Template:
    """Return the parts of `text`; without an environment only `{{ }}` is a placeholder.

    Raises:
        TemplateError: an unset variable without a default, a placeholder left open, or one that cannot be read.
    """
    parts: list[Part] = []
    for part in _split(text, environment):
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part != "":
            parts.append(part)
    return Template(tuple(parts))


def _split(text: str, environment: Mapping[str, str] | None) -> Iterator[Part]:
    at = 0
    tokens = _TOKEN if environment is not None else _RUN_TIME_TOKEN
    while token := tokens.search(text, at):
        yield text[at : token.start()]
        if token[0] == "$${":
            yield "${"
            at = token.end()
        elif token[0] == "${" and environment is not None:
            at, part = _environment_part(text, token.start(), environment)
            yield part
        else:
            at, expression = _expression_part(text, token.end())
            yield expression
    yield text[at:]


def _environment_part(text: str, at: int, environment: Mapping[str, str]) -> tuple[int, Env]:
    match = ENV.match(text, at)
    if not match:
        raise TemplateError(
            f"'{text[at : at + 24]}' is not ${{NAME}} or ${{NAME:-default}}; write $${{ for a literal ${{"
        )
    name, default = match[1], match[2]
    # As in a shell, `:-` also replaces a variable that is set and empty.
    value = environment.get(name)
    if default is not None and not value:
        value = default
    if value is None:
        raise TemplateError(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
    return match.end(), Env(name, default, value)


def _expression_part(text: str, at: int) -> tuple[int, Part]:
    quoted = re.compile(r"""\s*("[^"]*"|'[^']*')\s*\}\}""").match(text, at)
    if quoted:
        return quoted.end(), quoted[1][1:-1]
    end = text.find("}}", at)
    inner = text[at : end if end >= 0 else at + 24]
    match = _EXPRESSION.match(inner) if end >= 0 else None
    if not match or match["literal"]:
        detail = "is not closed by }}" if end < 0 else "is not a variable, feed.column or function(...)"
        raise TemplateError(f"'{{{{{inner}' {detail}" if end < 0 else f"'{{{{{inner}}}}}' {detail}")
    arguments = tuple(word.strip().strip("\"'") for word in (match["arguments"] or "").split(",") if word.strip())
    expression = Expression(match["name"], arguments, match["call"] is not None, match["filter"])
    _check_call(expression)
    return end + 2, expression


def _check_call(expression: Expression) -> None:
    from senior_backend.console.errors import did_you_mean

    if expression.filter and expression.filter not in FILTERS:
        near = did_you_mean(expression.filter, FILTERS)
        raise TemplateError(f"'{expression.filter}' is not a filter; there are {', '.join(FILTERS)}{near}")
    if not expression.is_call:
        return
    if expression.name not in FUNCTIONS:
        near = did_you_mean(expression.name, FUNCTIONS)
        raise TemplateError(f"'{expression.name}()' is not a function; there are {', '.join(FUNCTIONS)}{near}")
    least, most = FUNCTIONS[expression.name]
    if not least <= len(expression.arguments) <= most:
        raise TemplateError(f"{expression.name}() takes {most} argument(s), not {len(expression.arguments)}")
    if expression.name.startswith("random_"):
        if not all(re.fullmatch(r"-?\d{1,18}", argument) for argument in expression.arguments):
            raise TemplateError(f"{expression.name}() takes whole numbers")
        numbers = [int(argument) for argument in expression.arguments]
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            raise TemplateError(f"random_int({numbers[0]}, {numbers[1]}) has nothing to choose from")
        if len(numbers) == 1 and not 1 <= numbers[0] <= 100_000:
            raise TemplateError("random_string() makes 1 to 100000 characters")


def is_secret_name(name: str) -> bool:
    """Whether a header, field or variable of this name usually holds a secret."""
    return bool(_SECRET.search(name))
