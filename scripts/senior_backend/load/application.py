"""One call of the load tester, from its options to its report."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from senior_backend.console import environment
from senior_backend.console.errors import InputError, UnavailableError
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.files import write_atomically
from senior_backend.console.output import colours_wanted
from senior_backend.console.progress import Progress as Bar
from senior_backend.console.report import Finding, Report
from senior_backend.load import (
    advice,
    compare,
    comparing,
    planning,
    rails,
    report_data,
    report_text,
    server_metrics,
    server_view,
    slo,
    sources,
    statistics,
    trial,
    validity,
    verdict,
)
from senior_backend.load import findings as explain
from senior_backend.load.model import TLSOptions
from senior_backend.load.workload import DynamicWorkload

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from senior_backend.load.charts import Chart
    from senior_backend.load.compare import Comparison, SavedRun
    from senior_backend.load.model import Plan, Progress, RunResult, StaticWorkload, Workload
    from senior_backend.load.planning import Settings
    from senior_backend.load.rails import Destination, Watch
    from senior_backend.load.render import Values
    from senior_backend.load.report_html import Table
    from senior_backend.load.slo import Judged
    from senior_backend.load.sources import Source
    from senior_backend.load.statistics import Summary
    from senior_backend.load.validity import Validity

TOOL = "load_test"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call whose input is valid: nothing has been sent yet."""

    options: argparse.Namespace
    tls: TLSOptions
    source: Source
    to: Destination
    settings: Settings
    objectives: tuple[slo.Objective, ...]
    notes: tuple[Finding, ...]
    variables: Mapping[str, str]
    """The environment, for a scenario file that turns out to be needed."""
    values: Values | None = None
    """What login and setup have supplied, once they were taken."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A run and everything that is said about it."""

    result: RunResult
    summary: Summary
    validity: Validity
    judged: tuple[Judged, ...]
    exit_code: ExitCode
    sentence: str


def handle(options: argparse.Namespace, variables: Mapping[str, str]) -> tuple[Report, str]:
    """Do what the options ask for and return the report with its text body.

    Raises:
        ToolError: nothing was measured, and why.
    """
    _require_one_goal(options)
    if options.html or options.export:
        environment.ensure("load", ["jinja2"])
    if options.selftest:
        from senior_backend.load import selftesting

        return selftesting.report()
    call = prepare(options, variables, options.compare[0] if options.compare else None)
    if options.dry_run:
        from senior_backend.load import preview

        return preview.report(call)
    if options.export:
        from senior_backend.load import exporting

        return exporting.report(call)
    rails.require_reachable(call.to)
    if options.compare:
        from senior_backend.load import comparing

        other = prepare(options, variables, options.compare[1])
        rails.require_reachable(other.to)
        return comparing.report(call, other)
    if options.find_max:
        from senior_backend.load import searching

        return searching.report(call)
    return _measured(call)


def _require_one_goal(options: argparse.Namespace) -> None:
    given = [name for name in ("selftest", "dry_run", "export", "compare", "find_max") if getattr(options, name)]
    if given and given != ["dry_run"]:
        given += [name for name in ("save", "baseline", "csv") if getattr(options, name)]
    if len(given) > 1:
        first, second = (f"--{name.replace('_', '-')}" for name in given[:2])
        raise InputError(f"{second} stands beside {first}", code="two-goals", hint="Run them one after the other.")
    if options.compare and options.base_url:
        raise InputError("--base-url stands beside --compare", code="two-servers", hint="--compare names both servers.")


def prepare(options: argparse.Namespace, variables: Mapping[str, str], base_url: str | None = None) -> Prepared:
    """Return the call with all its input read and checked.

    Raises:
        ToolError: something is wrong with it.
    """
    tls = TLSOptions(verify=not options.insecure, ca_file=options.ca_file)
    source = sources.read(options, variables, tls)
    to = rails.destination(base_url or source.base_url, options.i_own, tls)
    settings = planning.settings(options, source.scenario, to)
    names = [request.name for request in source.scenario.requests]
    objectives = slo.parse(settings.slo, names)
    notes = [Finding("left-out", "info", note, source.label) for note in source.scenario.notes]
    if options.insecure and to.target.tls:
        notes.append(Finding("certificate-not-verified", "warning", "the server's certificate is not verified", to.url))
    return Prepared(options, tls, source, to, settings, objectives, tuple(notes), variables)


def _measured(call: Prepared) -> tuple[Report, str]:
    plan = call.settings.plan
    baseline = compare.load(call.options.baseline) if call.options.baseline else None
    watcher = server_view.watcher(call.options, call.tls, plan.duration_s)
    watch = planning.watch(call.options, call.source.scenario)
    with watcher:
        call, workload = trial.opened(call)
        result = run(call, plan, workload, watch)
    judgement = judge(call, result, watch)
    view = server_metrics.summarize(watcher.watched)
    saved = compare.saved_from(judgement.result, call.source.label, valid=judgement.validity.valid)
    comparison = compare.against(baseline, saved, seed=plan.seed) if baseline else None
    judgement = _with_comparison(judgement, comparison)
    not_kept = _keep(call, judgement, saved)
    findings = (
        *_unique(judgement.validity.reasons, _explained(judgement)),
        *server_view.findings(view, watcher.watched, judgement.summary),
        *not_kept,
        *call.notes,
        *_substituted(workload),
    )
    data = report_data.run_data(judgement.result, judgement.summary, judgement.validity, judgement.judged, call.to.url)
    data["server"] = view if watcher.watched.points or watcher.watched.usage else None
    data["comparison"] = comparison.to_json() if comparison else None
    body = report_text.run_text(
        judgement.result,
        judgement.summary,
        judgement.validity,
        judgement.judged,
        heading=f"{call.source.label} at {call.to.url}",
        server=server_view.text(view, judgement.summary),
        colour=colours_wanted(sys.stdout),
    )
    if baseline and comparison:
        body += f"\n\nagainst {call.options.baseline}\n{comparing.text(comparison, baseline, saved)}"
    parts = server_view.page_parts(view, watcher.watched)
    if baseline and comparison:
        drawn = comparing.curves(baseline, saved)
        parts = ([*([drawn] if drawn else []), *parts[0]], [comparing.page_table(comparison), *parts[1]])
    _write_files(call, judgement, findings, parts)
    steps = tuple(advice.after_run(call, judgement, watch))
    return Report(TOOL, judgement.exit_code, judgement.sentence, findings, data, steps), body


def _explained(judgement: Judgement) -> tuple[Finding, ...]:
    disturbed = not judgement.validity.valid and judgement.validity.limit == "generator"
    return explain.explain(judgement.result, judgement.summary, disturbed=disturbed)


def _with_comparison(judgement: Judgement, comparison: Comparison | None) -> Judgement:
    """Return the judgement with what the comparison adds; it never makes a bad result better."""
    if comparison is None:
        return judgement
    code, sentence = comparing.verdict(comparison)
    if judgement.exit_code != ExitCode.OK:
        return replace(judgement, sentence=f"{judgement.sentence}; {sentence}")
    return replace(judgement, exit_code=code, sentence=f"{sentence}; {judgement.sentence}")


def _keep(call: Prepared, judgement: Judgement, saved: SavedRun) -> list[Finding]:
    """Write the run where that is asked for, and return why not."""
    if not call.options.save:
        return []
    if not judgement.validity.valid or judgement.result.interrupted or judgement.result.stopped:
        message = "the run is not kept: a baseline must be a whole and valid run"
        return [Finding("not-saved", "warning", message, str(call.options.save))]
    compare.save(saved, call.options.save)
    return []


def _unique(*groups: Sequence[Finding]) -> list[Finding]:
    """Return findings once for each code; what judges the measurement comes first."""
    found: dict[str, Finding] = {}
    for group in groups:
        for finding in group:
            key = finding.code if group is groups[0] else f"{finding.code} {finding.message}"
            if finding.code not in found:
                found.setdefault(key, finding)
    return list(found.values())


def _substituted(workload: StaticWorkload | Workload) -> list[Finding]:
    count = workload.substituted if isinstance(workload, DynamicWorkload) else 0
    if not count:
        return []
    message = f"{count:,} requests went to others of the scenario because no response had supplied their variable yet"
    return [Finding("variable-not-ready", "info", message, fix="Supply it in setup, before the load.")]


def run(call: Prepared, plan: Plan, workload: StaticWorkload | Workload, watch: Watch) -> RunResult:
    """Carry out a plan with progress on standard error.

    Raises:
        UnavailableError: a certificate file cannot be used.
    """
    from senior_backend.load import engine
    from senior_backend.load.sockets import Unreachable

    with Bar("load", plan.duration_s) as bar:

        def progress(now: Progress) -> str | None:
            bar.update(now.elapsed_s, progress_note(now))
            return watch(now)

        try:
            return engine.run(plan, workload, progress)
        except Unreachable as error:
            code = error.kind.label.replace("_", "-")
            raise UnavailableError(error.message, code=code, where=call.to.url, hint="Check the target.") from error


def progress_note(now: Progress) -> str:
    """Return what a progress line says beside its share."""
    p50 = f"p50 {now.p50_ms:.1f}" if now.p50_ms is not None else "p50 -"
    p99 = f"p99 {now.p99_ms:.1f} ms" if now.p99_ms is not None else "p99 -"
    return f"{now.rate:.0f}/s of {now.asked_rate:.0f}/s, {p50}, {p99}, {now.failed:,} failed"


def judge(call: Prepared, result: RunResult, watch: Watch) -> Judgement:
    """Return what is to be said about a run."""
    summary = statistics.summarize(result)
    validity_ = validity.judge(result, summary)
    if result.stopped and not summary.planned:
        # Stopped in its warm-up: that says enough, and nothing about the generator.
        validity_ = replace(validity_, limit="server", reasons=())
    judged = slo.judge(call.objectives, result, summary)
    # A broken error budget is a failed check, not a refusal: the server was measured, and it fails.
    broken_budget = result.stopped is not None and not watch.asked_to_stop
    code, sentence = verdict.decide(
        replace(result, stopped=None) if broken_budget else result, summary, validity_, judged
    )
    if broken_budget:
        code = code if code in (ExitCode.ENVIRONMENT, ExitCode.INTERRUPTED) else ExitCode.FAILED
        sentence = f"stopped after {result.elapsed_s:.1f} s, {result.stopped}; {sentence}"
    return Judgement(result, summary, validity_, judged, code, sentence)


def _write_files(
    call: Prepared, judgement: Judgement, findings: Sequence[Finding], parts: tuple[Sequence[Chart], Sequence[Table]]
) -> None:
    if call.options.csv:
        from senior_backend.load import report_csv

        write_atomically(call.options.csv, report_csv.seconds_csv(judgement.summary))
    if call.options.html:
        from senior_backend.load import report_html

        shown = report_html.Page(
            title=f"{call.source.label} at {call.to.url}",
            exit_code=judgement.exit_code,
            sentence=judgement.sentence,
            findings=findings,
            judged=judgement.judged,
            more_charts=parts[0],
            more_tables=parts[1],
        )
        write_atomically(call.options.html, report_html.page(shown, judgement.result, judgement.summary))
