"""Find-max, baselines, comparisons and the self-test, as the command line tells of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.console.exit_codes import ExitCode
from senior_backend.load import cli, comparing, searching, validity
from senior_backend.load.compare import Comparison, Difference
from senior_backend.load.findmax import Cause, FindMaxResult, Point
from tests.load.demo import Demo, call, running

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = ("--rps", "150", "--duration", "2s", "--warmup", "0.5s")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Slow enough that neighbours on the machine, which make the generator late, do not void a measurement."""
    yield from running(0.1)


@pytest.fixture(scope="module")
def slow_demo() -> Iterator[Demo]:
    yield from running(0.15)


def point(rate: float, held: bool, cause: Cause = "latency") -> Point:
    state: Cause = "none" if held else cause
    return Point(
        rate, 5, rate, 1.0, 2.0, 3.0 if held else 300.0, 0, 0, held, state, "sustained" if held else "too slow"
    )


def found(*points: Point, cause: Cause = "latency", decided: bool = True) -> FindMaxResult:
    held = [p for p in points if p.sustained]
    failed = [p for p in points if not p.sustained]
    best = held[-1] if held else None
    return FindMaxResult(
        points, best, failed[0] if failed else None, held[0] if held else None, cause, "it broke", decided
    )


class Call:
    """As much of a call as the verdict reads."""

    class settings:  # noqa: N801 - named as the field
        slo = "p99<100ms"


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        (found(point(10, True), point(20, False)), ExitCode.OK, "10 requests/s meet p99<100ms, the knee is at 10/s"),
        (found(point(10, False)), ExitCode.FAILED, "not even 10 requests/s meet"),
        (found(point(10, False), cause="generator", decided=False), ExitCode.UNDECIDED, "not even"),
        (found(point(10, True), cause="none", decided=False), ExitCode.OK, "at least 10 requests/s"),
        (
            found(point(10, True), point(20, False), cause="cap", decided=False),
            ExitCode.UNDECIDED,
            "the cap was the limit",
        ),
        (found(point(10, True), cause="interrupted", decided=False), ExitCode.INTERRUPTED, "10 requests/s held"),
    ],
)
def test_the_verdict_of_a_search(result: FindMaxResult, code: ExitCode, words: str) -> None:
    given, sentence = searching.verdict(result, Call())  # type: ignore[arg-type]
    assert given == code
    assert words in sentence


def test_the_curve_of_a_search_shows_what_held() -> None:
    chart = searching.chart(found(point(10, True), point(40, True), point(80, False), point(60, False, "generator")))
    assert chart is not None
    assert [dot.style for dot in chart.dots] == ["dot-good", "dot-good", "dot-void", "dot-bad"]
    assert [dot.x for dot in chart.dots] == sorted(dot.x for dot in chart.dots)
    assert [rule.label for rule in chart.rules] == ["knee 10/s", "highest that held 40/s"]
    assert [rule.label_right for rule in chart.rules] == [False, True]


def test_the_labels_of_knee_and_highest_rate_do_not_meet() -> None:
    near = found(point(98, True), point(100, True), point(200, False))
    chart = searching.chart(near)
    assert chart is not None
    knee, highest = chart.rules
    assert (knee.label_right, highest.label_right) == (False, True)
    # At the edge there is no room to the right: then they stand below each other.
    chart = searching.chart(found(point(98, True), point(100, True)))
    assert chart is not None
    assert not chart.rules[1].label_right
    assert chart.rules[1].y2 >= chart.rules[0].y2 + 14
    chart = searching.chart(found(point(100, True), point(120, False)))
    assert chart is not None
    assert [rule.label for rule in chart.rules] == ["knee, and highest that held 100/s"]


def test_what_held_only_for_a_moment_is_not_shown_as_held() -> None:
    result = dataclasses.replace(found(point(100, True), point(110, True), point(120, False)), highest=point(100, True))
    chart = searching.chart(result)
    assert chart is not None
    assert [dot.style for dot in chart.dots] == ["dot-good", "dot-brief", "dot-bad"]
    assert "held for 5 s, which is too short to tell" in searching.text(result)


def test_nothing_is_drawn_without_times() -> None:
    assert searching.chart(found(Point(1, 1, 0, None, None, None, 1, 0, False, "errors", "x"))) is None


def difference(verdict: Any) -> Difference:
    return Difference("p50", 1.0, 2.0, "ms", 1.0, 0.9, 1.1, 0.03, verdict)


@pytest.mark.parametrize(
    ("verdicts", "comparable", "code"),
    [
        (["same"], True, ExitCode.OK),
        (["improvement", "same"], True, ExitCode.OK),
        (["improvement", "regression"], True, ExitCode.FAILED),
        (["not-enough-data"], True, ExitCode.UNDECIDED),
        ([], False, ExitCode.UNDECIDED),
    ],
)
def test_the_verdict_of_a_comparison(verdicts: list[str], comparable: bool, code: ExitCode) -> None:
    errors = Difference("errors", 0.0, 0.0, "share", None, None, None, 0.001, "same")
    comparison = Comparison("a", "b", (*map(difference, verdicts), errors), comparable, "other load")
    assert comparing.verdict(comparison)[0] == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--endpoint", "/x", "--find-max", "--export", "k6"], "two-goals"),
        (["--endpoint", "/x", "--find-max", "--baseline", "b.json"], "two-goals"),
        (["--selftest", "--dry-run"], "two-goals"),
        (["--endpoint", "/x", "--compare", "http://a", "http://b", "--base-url", "http://c"], "two-servers"),
        (["--endpoint", "/x", "--compare", "http://127.0.0.1:1"], "usage"),
    ],
)
def test_goals_that_exclude_each_other(arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == code


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "senior-backend/load-run", "format_version": 99}'])
def test_a_broken_baseline_is_found_before_anything_is_sent(demo: Demo, tmp_path: Path, content: str) -> None:
    path = tmp_path / "before.json"
    path.write_text(content)
    before = len(demo.seen())
    outcome = call("--endpoint", "/x", "--base-url", demo.url, "--baseline", path, "--json")
    assert outcome.code == 2
    assert len(demo.seen()) == before


def kept(url: str, path: Path) -> None:
    """Keep a valid run; a disturbed one is not kept, so it may take more than one call."""
    for _ in range(5):
        outcome = call("--endpoint", "/x", "--base-url", url, *QUICK, "--save", path, "--json")
        if outcome.code == 0:
            assert path.exists()
            return
        assert not path.exists()
    pytest.fail(outcome.out)


@pytest.mark.timing
@pytest.mark.light
def test_a_slower_build_is_found_and_the_same_one_is_not(demo: Demo, slow_demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    page = tmp_path / "page.html"
    kept(demo.url, path)
    codes = set()
    for _ in range(5):
        outcome = call(
            "--endpoint", "/x", "--base-url", slow_demo.url, *QUICK, "--baseline", path, "--json", "--html", page
        )
        codes.add(outcome.code)
        if outcome.code == 1:
            assert outcome.document["data"]["comparison"]["regressed"]
            assert "is slower than" in outcome.document["summary"]
            assert "Comparison" in page.read_text()
            break
    assert 1 in codes
    same = call("--endpoint", "/x", "--base-url", demo.url, *QUICK, "--baseline", path, "--json")
    assert same.code in (0, 3), same.out


@pytest.mark.timing
@pytest.mark.light
def test_two_services_are_compared_side_by_side(demo: Demo, slow_demo: Demo) -> None:
    outcome = call(
        "--endpoint",
        "/x",
        "--compare",
        demo.url,
        slow_demo.url,
        "--rps",
        "150",
        "--duration",
        "2s",
        "--warmup",
        "0",
        "--json",
    )
    assert outcome.code == 1, outcome.out
    rows = {row["statistic"]: row for row in outcome.document["data"]["comparison"]["differences"]}
    assert rows["p50"]["verdict"] == "regression"
    assert rows["p50"]["change"] == pytest.approx(0.5, abs=0.25)


@pytest.mark.slow
def test_a_comparison_stops_at_a_server_that_sheds_load(demo: Demo) -> None:
    both = ("--compare", demo.url, demo.url, "--rps", "50", "--json")
    shed = call("--endpoint", "/status/503", *both, "--duration", "40s")
    assert shed.code == 5, shed.out
    assert "sheds load" in shed.document["summary"]
    failing = call("--endpoint", "/status/500", *both, "--duration", "2s", "--warmup", "0")
    assert failing.code == 1, failing.out
    assert "failed: nothing to compare" in failing.document["summary"]


@pytest.mark.timing
@pytest.mark.light
def test_find_max_ends_at_the_greatest_rate_it_may_try(demo: Demo, tmp_path: Path) -> None:
    page = tmp_path / "max.html"
    outcome = call(
        "--endpoint", "/x", "--base-url", demo.url, "--find-max", "--slo", "p50<500ms,errors<5%",
        "--rps", "20", "--max-rate", "20", "--html", page, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.out
    assert outcome.document["data"]["find_max"]["highest_rate"] == 20
    assert "that is as high as was tried" in outcome.document["summary"]
    assert "Response time against rate" in page.read_text()


@pytest.mark.timing
@pytest.mark.light
def test_the_self_test_proves_the_tool() -> None:
    outcomes = []
    for _ in range(3):
        outcome = call("--selftest", "--json")
        outcomes.append(outcome.code)
        if outcome.code == 0:
            assert all(check["right"] for check in outcome.document["data"]["selftest"]["checks"])
            return
        assert outcome.code == 3, outcome.out
    pytest.fail(f"exit codes {outcomes}")


def test_more_processes_are_no_help_on_a_disturbed_machine() -> None:
    call = SimpleNamespace(settings=SimpleNamespace(plan=SimpleNamespace(processes=1, connections=10)))
    held = found(point(10, True), point(20, False), cause="generator", decided=False)
    busy = dataclasses.replace(held, reason="schedule lag p99 30 ms: it needs more CPU")
    disturbed = dataclasses.replace(held, reason=f"schedule lag p99 30 ms: {validity.DISTURBED}")
    assert ["--processes" in step.command for step in searching._next(call, busy)] == [True]  # type: ignore[arg-type]
    assert ["--processes" in step.command for step in searching._next(call, disturbed)] == [False]  # type: ignore[arg-type]
