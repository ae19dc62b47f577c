from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import random
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from senior_backend.console.errors import InputError
from senior_backend.load import compare
from senior_backend.load.compare import SavedRun, Side
from senior_backend.load.histogram import Histogram
from tests.load import harness
from tests.load.harness import server
from tests.load.test_truth import sojourns

if TYPE_CHECKING:
    from collections.abc import Sequence


def saved(times_ms: Sequence[float], *, failed: int = 0, rate: float = 100.0, seconds: float = 10.0) -> SavedRun:
    """Return a run of these response times in order of time."""
    size = math.ceil(len(times_ms) / compare.BLOCKS)
    blocks = [
        Histogram.of([int(time * 1e6) for time in times_ms[start : start + size]])
        for start in range(0, len(times_ms), size)
    ]
    whole = Histogram()
    for block in blocks:
        whole.merge(block)
    plan: dict[str, object] = {"arrivals": "poisson", "requests": ["root"]}
    return SavedRun(
        name="run",
        started_at=0.0,
        measured_s=seconds,
        asked_rate=rate,
        achieved_rate=rate,
        planned=len(times_ms),
        failed=failed,
        blocks=tuple(blocks),
        columns={"response": whole},
        plan=plan,
    )


def queue_run(seed: int, factor: float = 1.0) -> SavedRun:
    """Return a simulated single-server queue at 50 % load; neighbours in time are alike, as in real runs."""
    draw = random.Random(seed)
    times: list[float] = []
    free, now = 0.0, 0.0
    for _ in range(4000):
        now += draw.expovariate(100)
        free = max(free, now) + 0.005 * factor
        times.append((free - now) * 1000 + draw.expovariate(10))
    return saved(times)


@pytest.mark.slow
def test_equal_builds_differ_by_chance_at_most() -> None:
    wrong = [seed for seed in range(100) if compare.against(queue_run(seed), queue_run(1000 + seed)).regressed]
    assert len(wrong) <= 3, wrong


@pytest.mark.slow
def test_a_naive_bootstrap_of_single_requests_would_cry_wolf() -> None:
    """The check above can fail: with blocks of single requests the same runs give false regressions."""
    wrong = 0
    for seed in range(60):
        one, other = (sojourns(150.0, 6.0, 0.005, number, exponential=False) for number in (seed, 1000 + seed))
        random.Random(seed).shuffle(one)
        random.Random(seed).shuffle(other)
        wrong += compare.against(saved(one), saved(other)).regressed
    assert wrong > 3


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.1, 1.5])
def test_a_slower_build_is_found(factor: float) -> None:
    draw = random.Random(1)
    for seed in range(20):
        one = [draw.gauss(5, 0.3) for _ in range(2000)]
        other = [draw.gauss(5 * factor, 0.3) for _ in range(2000)]
        comparison = compare.against(saved(one), saved(other), seed=seed)
        assert comparison.regressed
        assert "slower" in comparison.sentence
        assert not compare.against(saved(other), saved(one), seed=seed).regressed


def test_a_small_but_certain_change_is_below_the_noise_floor() -> None:
    draw = random.Random(1)
    one = [draw.gauss(5, 0.01) for _ in range(5000)]
    comparison = compare.against(saved(one), saved([time * 1.01 for time in one]))
    assert not comparison.regressed
    assert all(item.verdict == "same" for item in comparison.differences)


def test_more_errors_are_a_regression() -> None:
    times = [5.0] * 2000
    assert compare.against(saved(times, failed=2), saved(times, failed=60)).regressed
    assert not compare.against(saved(times, failed=2), saved(times, failed=6)).regressed


def test_few_samples_say_so() -> None:
    comparison = compare.against(saved([5.0] * 200), saved([9.0] * 200))
    found = {item.statistic: item.verdict for item in comparison.differences}
    assert found["p99"] == "not-enough-data"
    assert found["p50"] == "regression"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"asked_rate": 200.0}, "rates"),
        ({"valid": False}, "not a valid"),
        ({"plan": {"arrivals": "constant", "requests": ["root"]}}, "arrivals"),
        ({"plan": {"arrivals": "poisson", "requests": ["other"]}}, "requests"),
        ({"planned": 0}, "nothing"),
    ],
)
def test_different_runs_are_not_compared(change: dict[str, object], said: str) -> None:
    one = saved([5.0] * 2000)
    comparison = compare.against(one, dataclasses.replace(one, **change))  # type: ignore[arg-type]
    assert not comparison.comparable
    assert said in comparison.sentence


def test_a_saved_run_comes_back_whole(tmp_path: Path) -> None:
    with server("queue") as port:
        result = harness.run(port, 400, 1.0)
    before = compare.saved_from(result, "before")
    path = tmp_path / "run.json"
    compare.save(before, path)
    after = compare.load(path)
    assert [block.to_json() for block in after.blocks] == [block.to_json() for block in before.blocks]
    assert after.response.to_json() == before.response.to_json()
    assert after.response.total == result.planned
    assert dataclasses.replace(after, blocks=(), columns={}) == dataclasses.replace(before, blocks=(), columns={})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "baseline-invalid"),
        ("[]", "baseline-invalid"),
        ('{"format": "other"}', "baseline-invalid"),
        (json.dumps({"format": compare.FORMAT, "format_version": 99}), "baseline-version"),
        (json.dumps({"format": compare.FORMAT, "format_version": 1, "name": "x"}), "baseline-invalid"),
    ],
)
def test_files_that_are_no_saved_runs_are_input_errors(tmp_path: Path, content: str, code: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        compare.load(path)
    assert caught.value.code == code


def test_a_missing_baseline_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        compare.load(tmp_path / "run.json")
    assert caught.value.code == "baseline-missing"


RATE, SECONDS, SERVICE_MS = 400.0, 1.4, 10.0


def repeated(factor: float, seeds: range) -> list[SavedRun]:
    """Return several saved runs of one server."""
    with server("queue", "--workers", "16", "--service-ms", str(SERVICE_MS * factor)) as port:
        return [undisturbed(port, seed) for seed in seeds]


def undisturbed(port: int, seed: int) -> SavedRun:
    """Return a saved run, repeated a few times while the generator was late; marked invalid if it stays so."""
    for _ in range(6):
        result = harness.run(port, RATE, SECONDS, seed=seed)
        late = (result.samples.distribution("lag").at(0.99) or 0) > 3e6
        if not late:
            break
    return compare.saved_from(result, valid=not late)


@pytest.mark.timing
@pytest.mark.light
@pytest.mark.slow
def test_twenty_real_comparisons() -> None:
    """One build against itself and against one that is 10 % slower, 20 times each, four servers at the same time."""
    context = multiprocessing.get_context("fork")
    halves = (range(11), range(20, 31))
    with context.Pool(4) as pool:
        runs = pool.starmap(repeated, [(factor, seeds) for factor in (1.0, 1.1) for seeds in halves])
    false = [compare.against(one, other) for same in runs[:2] for one, other in pairwise(same)]
    pairs = [pair for same, slower in zip(runs[:2], runs[2:], strict=True) for pair in zip(same, slower, strict=True)]
    true = [compare.against(one, other) for one, other in pairs[:20]]
    assert sum(item.comparable for item in (*false, *true)) >= 24, "the machine was disturbed nearly all the time"
    assert sum(item.regressed for item in false) <= 1, [item.sentence for item in false]
    missed = [item.to_json() for item in true if item.comparable and not item.regressed]
    assert not missed


@pytest.mark.timing
@pytest.mark.light
@pytest.mark.slow
def test_two_servers_side_by_side() -> None:
    arguments = ("queue", "--workers", "16", "--service-ms")
    with server(*arguments, "10") as one, server(*arguments, "10") as other, server(*arguments, "11.5") as slower:
        sides = {
            name: Side(name, harness.plan(port, RATE, 2.5), harness.get(port))
            for name, port in (("one", one), ("other", other), ("slower", slower))
        }
        same, *_ = compare.interleaved(sides["one"], sides["other"], rounds=10)
        worse, before, _ = compare.interleaved(sides["one"], sides["slower"], rounds=10)
    assert same.comparable
    assert not same.regressed, same.sentence
    assert worse.regressed
    assert before.planned == pytest.approx(RATE * 2.5, rel=0.15)
