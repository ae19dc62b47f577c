"""What a call would send, without sending anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.output import table
from senior_backend.console.report import NextCommand, Report
from senior_backend.load import advice, flow
from senior_backend.load.report_text import stages_sentence
from senior_backend.load.templates import Template, is_secret_name

if TYPE_CHECKING:
    from senior_backend.load.application import Prepared
    from senior_backend.load.scenario import Request

SHOWN = 40


def report(call: Prepared) -> tuple[Report, str]:
    """Return the requests, their shares and the plan."""
    scenario, plan = call.source.scenario, call.settings.plan
    whole = sum(request.weight for request in scenario.requests)
    rows = [
        [f"{request.weight / whole:.0%}", request.method, shown_path(request), described(request)]
        for request in scenario.requests[:SHOWN]
    ]
    lines = [f"target    {call.to.url} ({call.to.target.host})", f"plan      {stages_sentence(plan)}"]
    lines.append(f"slo       {call.settings.slo}")
    lines += [f"before    {step.request.method} {shown_path(step.request)} x {step.repeat}" for step in scenario.steps]
    lines += [f"header    {name}: {shown_value(name, value)}" for name, value in scenario.headers]
    body = "\n".join(lines) + "\n\n" + table(rows, ["share", "method", "path", "body, checks, variables"])
    expected = sum(stage.expected for stage in plan.stages)
    summary = f"{len(scenario.requests)} kinds of requests, about {expected:,.0f} requests; nothing was sent"
    data = {
        "target": call.to.url,
        "slo": call.settings.slo,
        "duration_s": plan.duration_s,
        "expected_requests": round(expected),
        "requests": [
            {
                "name": request.name,
                "method": request.method,
                "path": shown_path(request),
                "share": request.weight / whole,
                "needs": sorted(flow.needs(scenario, request)),
                "extracts": [extract.name for extract in request.extract],
                "statuses": sorted(request.check.statuses) if request.check.statuses else None,
            }
            for request in scenario.requests[:SHOWN]
        ],
    }
    next_command = NextCommand(advice.command(flags_without=("--dry-run",)), "Send it.")
    return Report("load_test", ExitCode.OK, summary, call.notes, data, (next_command,)), body


def shown_path(request: Request) -> str:
    """Return path and query with their placeholders; values from the environment stay hidden."""
    query = "&".join(f"{name}={value.source()}" for name, value in request.query)
    path = request.path.source()
    return path + (("&" if "?" in path else "?") + query if query else "")


def shown_value(name: str, value: Template) -> str:
    """Return a header's value, hidden where it is a secret."""
    return "***" if is_secret_name(name) and value.is_static else value.source()


def described(request: Request) -> str:
    """Return what else there is to a request."""
    parts = []
    if request.body:
        parts.append(f"{request.body.kind} body")
    if request.check.statuses:
        parts.append("status " + statuses_text(request.check.statuses))
    if request.check.needs_response:
        parts.append("checks the response")
    needed = [expression.name for expression in flow.expressions([request.path, request.query, request.headers])]
    parts += [f"uses {name}" for name in dict.fromkeys(needed)]
    parts += [f"supplies {extract.name}" for extract in request.extract]
    return ", ".join(parts)


def statuses_text(statuses: frozenset[int]) -> str:
    """Return statuses in few words: `2xx, 404`."""
    words = []
    for hundred in range(1, 6):
        members = sorted(status for status in statuses if status // 100 == hundred)
        words += [f"{hundred}xx"] if len(members) == 100 else [str(status) for status in members]
    return ", ".join(words)
