"""Migrations that are templates: `${schema}` of Flyway, `{{ .Options.Schema }}` of Go, `{% if x %}` of Jinja.

What will stand there is not known here, but it is nearly always a name, so it is read as one.
"""

from __future__ import annotations

import re

_PLACEHOLDER = r"\$\{\w[\w.:-]*\}|\{\{[ \t-]*[A-Za-z._][^{}'\n]*\}\}|\{%[^%\n]*%\}"
_CONTROL = r"\{%|\{\{[\s-]*(?:if|else|end|range|with|define|block|template)\b|\{\{[\s-]*/\*"


def as_names(text: str) -> str:
    """Return a template as SQL of the same length: each placeholder is an identifier, each control mark is blank."""
    if "${" not in text and "{{" not in text and "{%" not in text:
        return text
    return re.sub(_PLACEHOLDER, _name, text)


def _name(match: re.Match[str]) -> str:
    if re.match(_CONTROL, match[0]):
        return " " * len(match[0])
    return re.sub(r"\W", "_", match[0]).lower()  # in quotes or not, the same name
