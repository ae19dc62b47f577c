from __future__ import annotations

import json
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from senior_backend.load.histogram import Histogram, bucket_middle, bucket_of, fold
from senior_backend.load.samples import Distribution, enough, needed

VALUES = st.lists(st.integers(0, 2**52), min_size=1, max_size=200)


@given(st.integers(1, 2**52))
def test_a_bucket_is_exact_to_a_thousandth(value: int) -> None:
    assert abs(bucket_middle(bucket_of(value)) - value) <= 0.0002 * value


@given(VALUES)
def test_folding_a_whole_array_is_folding_each_value(values: list[int]) -> None:
    counts = fold(array("q", values))
    assert sum(counts.values()) == len(values)
    for value in values:
        assert counts[bucket_of(value)] >= 1


@given(VALUES, st.floats(0, 1))
def test_quantiles_of_a_histogram_are_those_of_the_values(values: list[int], share: float) -> None:
    exact, folded = Distribution(values), Distribution((), Histogram.of(values))
    assert exact.exact
    assert not folded.exact
    assert folded.at(share) == pytest.approx(exact.at(share), rel=0.001)
    assert folded.mean == exact.mean
    assert (folded.least, folded.greatest) == (min(values), max(values))


@given(VALUES, VALUES)
def test_merging_and_saving_lose_nothing(one: list[int], other: list[int]) -> None:
    merged = Histogram.of(one)
    merged.merge(Histogram.of(other))
    whole = Histogram.of(one + other)
    assert merged.to_json() == whole.to_json()
    assert Histogram.from_json(json.loads(json.dumps(whole.to_json()))).to_json() == whole.to_json()


@pytest.mark.parametrize(
    "damage",
    [{"total": 7}, {"pairs": [1]}, {"pairs": "x"}, {"min": None}, {"pairs": [5, -1]}, {"sum": None}],
)
def test_damaged_histograms_are_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_json(Histogram.of([1, 2, 3]).to_json() | damage)


def test_the_definition_of_a_quantile() -> None:
    distribution = Distribution(range(1, 101))
    assert [distribution.at(share) for share in (0, 0.01, 0.5, 0.99, 0.991, 1)] == [1, 1, 50, 99, 100, 100]


def test_percentiles_need_samples() -> None:
    assert needed(0.99) == 1000
    assert needed(0.999) == 10_000
    assert enough(1000, 0.99)
    assert not enough(999, 0.99)
    few = Distribution(range(999))
    assert few.guarded(0.99) is None
    assert few.guarded(0.9) is not None
    assert few.guarded(1.0) == 998


def test_empty_distributions_say_nothing() -> None:
    empty = Distribution(())
    assert empty.at(0.5) is empty.mean is empty.guarded(1.0) is None


def test_folding_is_exact_on_real_latencies() -> None:
    draw = random.Random(1)
    values = [int(draw.lognormvariate(14, 1.5)) for _ in range(50_000)]
    exact, folded = Distribution(values), Distribution((), Histogram.of(values))
    for share in (0.01, 0.5, 0.9, 0.99, 0.999, 0.9999):
        assert folded.at(share) == pytest.approx(exact.at(share), rel=0.0005)


def test_very_many_values_are_folded_for_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    values = [int(draw.lognormvariate(14, 1.5)) for _ in range(5_000)]
    exact = Distribution(values)
    monkeypatch.setattr("senior_backend.load.samples.SORTED_VALUES", 1_000)
    folded = Distribution(values)
    assert (exact.exact, folded.exact) == (True, False)
    assert folded.mean == exact.mean
    for share in (0.0, 0.5, 0.99, 1.0):
        assert folded.at(share) == pytest.approx(exact.at(share), rel=0.0005)
