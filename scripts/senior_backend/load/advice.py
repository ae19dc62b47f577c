"""Which command is worth running after a run, and why."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.report import NextCommand
from senior_backend.load.samples import needed
from senior_backend.load.templates import is_secret_name

if TYPE_CHECKING:
    from senior_backend.load.application import Judgement, Prepared
    from senior_backend.load.rails import Watch

SECRET_OPTIONS = ("--header",)
MOST_SHARE = 0.9
BUSY_SHARE = 0.7
"""Of a core: below this, more processes would not have helped the generator."""


def script_path() -> str:
    """Return how this tool was called."""
    return sys.argv[0] if sys.argv and sys.argv[0].endswith("load_test.py") else "scripts/load_test.py"


def paths_of(document: str) -> str:
    """Return the command that shows the paths of an OpenAPI document."""
    return shlex.join(["python3", script_path(), "--openapi", document, "--dry-run"])


def command(*more: str, without: tuple[str, ...] = (), flags_without: tuple[str, ...] = ()) -> str:
    """Return this call with options added or left out; values of headers that usually hold secrets are hidden.

    `without` names options that have a value, `flags_without` those that have none.
    """
    words = ["python3", script_path()]
    skip = hide = False
    for word in sys.argv[1:]:
        name = word.partition("=")[0]
        if skip or word in flags_without:
            skip = False
        elif name in without:
            skip = "=" not in word
        elif name in SECRET_OPTIONS and "=" in word:
            header = word.partition("=")[2]
            words += [name, f"{header.partition(':')[0]}: ..." if is_secret_name(header.partition(":")[0]) else header]
        elif hide:
            name = word.partition(":")[0]
            words.append(f"{name}: ..." if is_secret_name(name) else word)
            hide = False
        else:
            words.append(word)
            hide = word in SECRET_OPTIONS
    return shlex.join([*words, *more])


def after_run(call: Prepared, judgement: Judgement, watch: Watch) -> list[NextCommand]:
    """Return at most three commands that follow from a run."""
    options, code = call.options, judgement.exit_code
    plan, summary = judgement.result.plan, judgement.summary
    found: list[NextCommand] = []
    if watch.retry_after_s and judgement.result.stopped:
        wait = f"sleep {watch.retry_after_s:g} && {command()}"
        found.append(NextCommand(wait, "The server asked to be left alone for that long (Retry-After)."))
    found += _about_statuses(call, judgement)
    if code == ExitCode.UNDECIDED and judgement.validity.limit == "cap":
        fix = f"{plan.connections * 4}"
        found.append(
            NextCommand(command("--connections", fix, without=("--connections",)), "The connection cap was the limit.")
        )
    elif code == ExitCode.UNDECIDED and judgement.validity.limit == "generator" and not _busy(judgement):
        found.append(NextCommand(command(), "Other work disturbed this machine; repeat it when that is done."))
    elif code == ExitCode.UNDECIDED and judgement.validity.limit == "generator":
        more = command("--processes", str(plan.processes * 2), without=("--processes",))
        found.append(NextCommand(more, "The generator was the limit; more processes use more cores."))
    short = [item for item in judgement.judged if item.state == "undecided" and item.objective.share]
    if short and summary.asked_rate > 0 and not options.stages:
        samples = max(needed(item.objective.share or 0.0) for item in short)
        seconds = -(-samples * 11 // int(10 * summary.asked_rate + 1)) + 1
        longer = command("--duration", f"{seconds}s", without=("--duration",))
        found.append(NextCommand(longer, f"{short[0].objective.text} needs {samples:,} samples to be told."))
    if (code == ExitCode.OK or (code == ExitCode.FAILED and _too_much(judgement))) and not options.find_max:
        slo = () if options.slo else ("--slo", "p99<200ms,errors<1%")
        most = command("--find-max", *slo, without=("--rps", "--duration", "--stages"))
        found.append(NextCommand(most, "Find the highest rate that meets the SLO."))
    if code in (ExitCode.OK, ExitCode.FAILED) and not options.html and len(found) < 3:
        found.append(NextCommand(command("--html", "load.html"), "See latency over time and the percentile curve."))
    return found[:3]


def _too_much(judgement: Judgement) -> bool:
    """Whether a lower rate may well hold: the backlog grew, or answers said that it was too much."""
    result = judgement.result
    shed = sum(result.statuses.get(status, 0) for status in (429, 503))
    saturated = any(reason.code == "server-saturated" for reason in judgement.validity.reasons)
    return saturated or 0 < 0.5 * result.failed <= shed < len(result.samples)


def _about_statuses(call: Prepared, judgement: Judgement) -> list[NextCommand]:
    """Return what to try where nearly everything is not found, or not allowed."""
    statuses, options = judgement.result.statuses, call.options
    most = max(statuses, key=lambda status: statuses[status], default=0)
    if not options.endpoint or statuses.get(most, 0) < MOST_SHARE * sum(statuses.values()):
        return []
    if most == 404 and not options.openapi:
        looked = paths_of(f"{call.to.url}/openapi.json")
        return [NextCommand(looked, "Nothing is at that path; this shows the paths of a service that documents them.")]
    if most in (401, 403) and judgement.exit_code != ExitCode.OK:
        allowed = f'{command()} --header "Authorization: Bearer $TOKEN"'
        return [NextCommand(allowed, "The service wants credentials; a scenario file can log in by itself.")]
    return []


def _busy(judgement: Judgement) -> bool:
    return judgement.result.generator.cpu_share > BUSY_SHARE
