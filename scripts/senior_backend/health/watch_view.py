"""The loop of --watch: when the next pass is due, and what a terminal or a log shows of it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from senior_backend.console.output import colours_wanted
from senior_backend.health import graph
from senior_backend.health.check import Pass
from senior_backend.health.model import Result, Service
from senior_backend.health.modes import Targets, make_checker, report_on
from senior_backend.health.outputs import table
from senior_backend.health.outputs._data import timestamp
from senior_backend.health.session import Session
from senior_backend.health.verdict import Verdict, explain, reach
from senior_backend.health.watch import FLAPPING, History


def follow(session: Session, options: argparse.Namespace, targets: Targets) -> tuple[Verdict, bool]:
    """Check each service at its own interval; return the last verdict and whether the user interrupted."""
    checker = make_checker(session)
    path: Path | None = options.history
    history = History(path)
    known: dict[str, Result] = {}
    due = {service.name: 0.0 for service in session.services}
    passes, verdict, interrupted = 0, None, False
    try:
        while options.passes is None or passes < options.passes:
            now = time.perf_counter()
            if session.until is not None and now >= session.until and verdict:
                break
            chosen = [service for service in session.services if due[service.name] <= now]
            done = checker.check(chosen, until=session.until)
            if done.interrupted:
                raise KeyboardInterrupt
            checker.forget_names()
            passes += 1
            for service in chosen:
                due[service.name] = now + service.interval
            known.update((result.service.name, _unblocked(result)) for result in done.results)
            verdict = _verdict(session, done, known)
            changes = history.add(
                [result for result in verdict.results if result.service in _cleaned(chosen, verdict)], time.time()
            )
            _show(options, verdict, history, changes, passes)
            if targets:
                report_on(session, options, verdict, targets)
            _rest(min(due.values()), session.until, options.passes is not None and passes >= options.passes)
    except KeyboardInterrupt:
        interrupted = True
        if verdict is None:
            raise
    assert verdict is not None
    return verdict, interrupted


def _cleaned(chosen: list[Service], verdict: Verdict) -> list[Service]:
    names = {service.name for service in chosen}
    return [result.service for result in verdict.results if result.service.name in names]


def _unblocked(result: Result) -> Result:
    """Return a result as it was before the graph, so that it can be resolved anew with those of other passes."""
    if result.state != "blocked":
        return result
    return result._replace(state="down", reason=result.own_reason, own_reason=None, causes=())


def _verdict(session: Session, done: Pass, known: dict[str, Result]) -> Verdict:
    results = graph.resolve([known[service.name] for service in session.services if service.name in known])
    whole = Pass(tuple(results), done.started_at, done.seconds, done.lag_p99, done.second_looks)
    return reach(whole, session.path, session.redactor, fail_on_degraded=session.fail_on_degraded)


def _show(
    options: argparse.Namespace, verdict: Verdict, history: History, changes: list[tuple[Result, str]], passes: int
) -> None:
    """On a terminal redraw the table; elsewhere print a line for the first pass and for each change."""
    stream = sys.stderr
    at = timestamp(verdict.started_at)
    if stream.isatty() and not options.json:
        view = table.render(verdict, colour=colours_wanted(stream), everything=options.all)
        flapping = [name for name, track in history.tracks.items() if track.flap_score() >= FLAPPING]
        notes = f"\nflapping: {', '.join(flapping)}" if flapping else ""
        stream.write(f"\x1b[H\x1b[2J{at}  pass {passes}  {verdict.summary}\n\n{view}{notes}\nCtrl-C ends\n")
    elif passes == 1:
        stream.write(f"{at} {verdict.summary}\n")
    for result, before in changes:
        score = history.tracks[result.service.name].flap_score()
        flaps = f" (flapping, score {score:.0f} %)" if score >= FLAPPING else ""
        if not stream.isatty():
            stream.write(f"{at} {result.service.name}: {before} -> {result.state} {explain(result)}{flaps}\n")
    stream.flush()


def _rest(due: float, until: float | None, last: bool) -> None:
    if last:
        return
    wake = due if until is None else min(due, until)
    time.sleep(max(0.0, wake - time.perf_counter()))
