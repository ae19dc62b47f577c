"""JUnit XML, as CI servers read it: one test case a service; unknown is an error, blocked is skipped."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from senior_backend.health.outputs._data import timestamp
from senior_backend.health.verdict import Verdict, explain

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(verdict: Verdict) -> str:
    """Return the document."""
    counts = verdict.counts
    cases = []
    for result in verdict.results:
        seconds = (result.phases.get("total") or 0.0) / 1000
        head = f'  <testcase classname="health.{result.service.type}" name={_attribute(result.service.name)}'
        inner = ""
        message = _attribute(f"{result.reason or result.state}: {explain(result)}")
        if result.state == "down":
            tag = "failure" if result.service.critical else "skipped"
            inner = f"<{tag} message={message}{_type(result.reason) if tag == 'failure' else ''}/>"
        elif result.state == "blocked":
            inner = f"<skipped message={message}/>"
        elif result.state == "unknown":
            inner = f"<error message={message}{_type(result.reason)}/>"
        elif result.state == "degraded":
            inner = f"<system-out>{escape(_clean('degraded: ' + explain(result)))}</system-out>"
        cases.append(f'{head} time="{seconds:.6f}">{inner}</testcase>')
    failures = sum(1 for result in verdict.results if result.state == "down" and result.service.critical)
    skipped = counts["down"] - failures + counts["blocked"]
    attributes = (
        f'name="health" tests="{len(verdict.results)}" failures="{failures}" errors="{counts["unknown"]}" '
        f'skipped="{skipped}" time="{verdict.seconds:.6f}" timestamp="{timestamp(verdict.started_at)}"'
    )
    return "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuite {attributes}>", *cases, "</testsuite>", ""]
    )


def _type(reason: str | None) -> str:
    return f" type={_attribute(reason or '')}"


def _attribute(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
