"""Workflow commands of GitHub Actions: an annotation in services.yaml for everything that is not up."""

from __future__ import annotations

from senior_backend.health.verdict import Verdict, explain


def render(verdict: Verdict) -> str:
    """Return one command a line, then the summary."""
    lines = []
    for result in verdict.worst_first():
        if result.state == "up":
            continue
        level = "error" if result.failing and result.service.critical else "warning"
        title = _property(f"{result.service.name} is {result.state}")
        place = f"file={_property(verdict.path)},line={result.service.line},col={result.service.column}"
        text = explain(result) + (f"\n{result.next_step}" if result.next_step else "")
        lines.append(f"::{level} {place},title={title}::{_data(text)}")
    lines.append(_data(verdict.summary))
    return "\n".join(lines) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
