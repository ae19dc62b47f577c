"""What the linter found as SARIF 2.1.0, as annotations of GitHub Actions, and as the JSON of `data`.

Sources: SARIF 2.1.0 (OASIS), sections 3.27 and 3.49; GitHub, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from senior_backend import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.console.report import Severity
    from senior_backend.migrate.hazards.rule import Rule
    from senior_backend.migrate.lint import Found, NotUnderstood

_SARIF_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
_GITHUB_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}
_NOT_UNDERSTOOD = "not-understood"


def hazard_json(one: Found) -> dict[str, Any]:
    """Return a hazard as `data.hazards` shows it."""
    rule = one.rule
    return {
        "rule": one.code,
        "severity": one.severity,
        "where": one.where,
        "table": one.hazard.table,
        "lock": one.hazard.lock or (rule.lock if rule else None),
        "effect": one.hazard.effect or (rule.effect if rule else "none"),
        "why": rule.why if rule else None,
        "start": one.start,
        "end": one.end,
    }


def rule_json(rule: Rule) -> dict[str, Any]:
    """Return a rule as `--list-rules` shows it."""
    return {
        "id": rule.id,
        "summary": rule.summary,
        "why": rule.why,
        "severity": rule.severity,
        "group": rule.group,
        "engines": list(rule.engines),
        "lock": rule.lock,
        "effect": rule.effect,
        "since": ".".join(map(str, rule.since)) if rule.since else None,
        "before": ".".join(map(str, rule.before)) if rule.before else None,
        "bad": [example.sql for example in rule.bad],
        "good": [example.sql for example in rule.good],
    }


def sarif(found: Sequence[Found], not_understood: Sequence[NotUnderstood]) -> str:
    """Return a SARIF 2.1.0 log with one run."""
    rules: dict[str, dict[str, Any]] = {}
    for one in found:
        if one.code not in rules:
            summary = one.rule.summary if one.rule else one.hazard.message
            rules[one.code] = {
                "id": one.code,
                "shortDescription": {"text": summary},
                "fullDescription": {"text": one.rule.why if one.rule else summary},
                "defaultConfiguration": {"level": _SARIF_LEVELS[one.rule.severity if one.rule else one.severity]},
            }
    if not_understood:
        text = "A statement that could not be understood and was not checked."
        rules[_NOT_UNDERSTOOD] = {"id": _NOT_UNDERSTOOD, "shortDescription": {"text": text}}
    order = {code: index for index, code in enumerate(rules)}
    results = [
        _result(one.code, order, _SARIF_LEVELS[one.severity], f"{one.hazard.message}\n{one.hazard.fix}", one)
        for one in found
    ]
    results += [_result(_NOT_UNDERSTOOD, order, "warning", f"Not checked: {one.reason}", one) for one in not_understood]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "db_migrate", "semanticVersion": __version__, "rules": list(rules.values())}
                },
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False)


def _result(code: str, order: dict[str, int], level: str, message: str, one: Found | NotUnderstood) -> dict[str, Any]:
    from urllib.parse import quote

    path = one.path.replace("\\", "/")
    return {
        "ruleId": code,
        "ruleIndex": order[code],
        "level": level,
        "message": {"text": message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(path if path != "<stdin>" else "stdin.sql")},
                    "region": {
                        "startLine": one.line,
                        "startColumn": one.column,
                        "charOffset": one.start,
                        "charLength": one.end - one.start,
                    },
                }
            }
        ],
    }


def github(found: Sequence[Found], not_understood: Sequence[NotUnderstood]) -> str:
    """Return workflow commands, one a line, that GitHub shows beside the lines of a pull request."""
    lines = [
        _annotation(_GITHUB_LEVELS[one.severity], one, one.code, f"{one.hazard.message}\n{one.hazard.fix}")
        for one in found
    ]
    lines += [_annotation("warning", one, _NOT_UNDERSTOOD, f"not checked: {one.reason}") for one in not_understood]
    return "\n".join(lines)


def _annotation(level: str, one: Found | NotUnderstood, title: str, message: str) -> str:
    place = f"file={_property(one.path)},line={one.line},col={one.column},title={_property(title)}"
    return f"::{level} {place}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
