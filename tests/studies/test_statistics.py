"""Intervals cover what they promise, and differences are paired."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from darts_lab.studies.statistics import (
    Estimate,
    bootstrap,
    correlation,
    difference,
    holm,
    mean,
    paired_difference,
    rank_sum,
    signed_rank,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def covered(interval, draws, true):
    return np.mean([(found := interval(draw)).low <= true <= found.high for draw in draws])


def test_the_interval_of_a_mean_covers_it_in_95_of_100_cases_even_for_five_samples(rng):
    draws = rng.normal(3, 2, (2000, 5))
    assert 0.93 < covered(mean, draws, 3) < 0.97
    assert 0.78 < covered(lambda draw: mean(draw, 0.8), draws, 3) < 0.82


def test_the_bootstrap_covers_a_mean_and_a_median(rng):
    draws = rng.exponential(1, (150, 40))
    assert 0.86 < covered(lambda draw: bootstrap(draw, resamples=500), draws, 1) <= 1
    assert 0.86 < covered(lambda draw: bootstrap(draw, np.median, resamples=500), draws, np.log(2)) <= 1
    assert bootstrap(draws[0]) == bootstrap(draws[0]), "the same seed gives the same interval"


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_a_correlation_is_scipys_and_its_interval_covers_the_true_one(kind, rng):
    rho = 0.6
    true = rho if kind == "pearson" else 6 / np.pi * np.arcsin(rho / 2)
    hits = []
    for _ in range(60):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 40).T
        found = correlation(x, y, kind)
        hits.append(found.low <= true <= found.high)
    assert found.value == pytest.approx(getattr(stats, f"{kind}r")(x, y)[0]) and found.n == 40
    assert np.mean(hits) > 0.83


def test_pairs_with_a_missing_value_are_left_out_of_a_correlation():
    x, y = [1, 2, 3, 4, np.nan, 6], [1, 3, 2, 5, 9, np.nan]
    assert correlation(x, y).value == pytest.approx(stats.pearsonr(x[:4], y[:4])[0]) and correlation(x, y).n == 4


def test_where_samples_cannot_tell_there_is_no_interval():
    for found in (mean([2.0]), bootstrap([1]), correlation([1, 2, 3], [3, 2, 1]), correlation([1] * 5, range(5))):
        assert np.isnan(found.low) and np.isnan(found.high) and not found.excludes_zero
    for kind in ("pearson", "spearman"):
        assert mean([2.0]).value == 2 and correlation([1, 2, 3], [3, 2, 1], kind).value == pytest.approx(-1)


def test_samples_that_are_all_equal_are_told_as_such():
    for found in (mean([1, 1, 1]), bootstrap([1, 1, 1])):
        assert found.low == found.value == found.high == 1 and found.excludes_zero
    assert signed_rank([0.0, 0.0]) == 1 and holm([signed_rank([0.0] * 5)]) == [1]


@pytest.mark.parametrize("y", [[0] * 18 + [1] * 2, range(20)], ids=["two of twenty differ", "no two are equal"])
def test_ties_leave_the_correlation_of_ranks_its_interval(y):
    found = correlation(range(20), y, "spearman")
    assert 0 < found.low <= found.value <= found.high <= 1
    few = correlation(range(6), [0, 1, 2, 3, 5, 4], "spearman")  # some of its resamples are one pair six times
    assert few.low < few.value <= few.high


def test_copies_of_a_pair_that_are_drawn_together_tell_no_more_than_one(rng):
    x, y = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 8).T
    alone, copied = correlation(x, y, "spearman"), [np.tile(values, 5) for values in (x, y)]
    together = correlation(*copied, "spearman", groups=np.tile(np.arange(8), 5))
    assert together.n == 40
    assert [together.value, together.low, together.high] == pytest.approx([alone.value, alone.low, alone.high])
    apart = correlation(*copied, "spearman")
    assert apart.high - apart.low < 0.7 * (alone.high - alone.low)
    assert correlation(x, y, "spearman", groups=list("abcdefgh")) == alone


@pytest.mark.parametrize(
    ("kind", "groups"), (("pearson", "aabb"), ("spearman", "aab"), ("spearman", "aaab"), ("spearman", "aabbcc"))
)
def test_groups_that_cannot_be_drawn_are_refused(kind, groups):
    with pytest.raises(ValueError, match="^groups: "):
        correlation([1, 2, 3, 4], [1, 3, 2, 4], kind, groups=list(groups))


def test_a_paired_difference_does_not_see_what_both_have_in_common(rng):
    seeds = np.arange(5)
    common = rng.normal(0, 50, 5)
    table = pd.concat(
        [
            pd.DataFrame({"method": "one", "seed": seeds, "error": common + 1.0}),
            pd.DataFrame({"method": "other", "seed": seeds, "error": common + rng.normal(0, 0.01, 5)}),
        ]
    ).sample(frac=1, random_state=0)
    found = paired_difference(table, "error", "one", "other")
    assert found.n == 5 and 0.95 < found.low < 1 < found.high < 1.05 and found.excludes_zero
    assert paired_difference(table, "error", "other", "one").value == pytest.approx(-found.value)
    gone = table[~((table["method"] == "one") & (table["seed"] == 2))]
    assert paired_difference(gone, "error", "one", "other").n == 4


def test_what_cannot_be_paired_is_said():
    table = pd.DataFrame({"method": ["a", "a", "b"], "seed": [0, 0, 1], "error": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="pairs: seed do not tell the rows of method 'a' apart"):
        paired_difference(table, "error", "a", "b")
    with pytest.raises(ValueError, match="method: no rows of 'a' and 'b' agree in seed"):
        paired_difference(table.iloc[1:], "error", "a", "b")


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: mean([]), "values: must hold at least one number"),
        (lambda: difference([1.0], []), "other: must hold at least one number"),
        (lambda: signed_rank([]), "differences: must hold at least one number"),
        (lambda: correlation([np.nan], [1.0]), "x, y: must hold at least one number"),
        (lambda: mean([1, np.nan]), "values: 1 of them"),
        (lambda: mean([1, 2], level=95), "level: 95 is not allowed"),
        (lambda: correlation([1], [1], "kendall"), "kind: 'kendall'"),
        (lambda: correlation([1, 2], [1]), "x, y: have shapes"),
    ],
)
def test_wrong_arguments_are_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_an_estimate_is_shown_with_its_interval():
    assert str(Estimate(1.23456, 1.0, 1.5, 5)) == "1.23 [1, 1.5]"


def test_a_difference_of_samples_that_share_nothing_is_welchs():
    one, other = [1.0, 2.0, 3.0, 6.0], [0.0, 1.0, 0.5]
    found = difference(one, other)
    errors = [np.var(sample, ddof=1) / len(sample) for sample in (one, other)]
    freedom = sum(errors) ** 2 / sum(error**2 / (len(sample) - 1) for error, sample in zip(errors, (one, other)))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(errors))
    assert (found.value, found.n) == (pytest.approx(2.5), 3)
    assert (found.low, found.high) == (pytest.approx(2.5 - half), pytest.approx(2.5 + half))
    assert math.isnan(difference([1.0], other).low) and math.isnan(difference([1, 1], [2, 2]).low)


def test_the_signed_rank_test_sees_a_shift_whatever_the_shape_and_none_where_there_is_none(rng):
    heaps = [46.0, 45.1, 47.2, 44.9, 46.3, 48.0, 0.4, 0.9, 1.1, -0.3]  # mean 23, but two of ten hardly differ
    assert signed_rank(heaps) == pytest.approx(2 / 2**9, abs=1e-3) == signed_rank([-one for one in heaps])
    assert signed_rank([1, 2, 3, 4, 5]) == pytest.approx(2 / 2**5)  # all signs alike, in one of 16 cases
    shares = [0.3 - 0.2, 0.2 - 0.1, 0.4 - 0.5, 0.12, 0.13, 0.15, 0.16]  # three are the same in decimals
    assert len(set(map(abs, shares[:3]))) > 1 and signed_rank(shares) == signed_rank([round(one, 4) for one in shares])
    rejected = [signed_rank(rng.choice([-1, 1], 20) * rng.exponential(1, 20)) < 0.05 for _ in range(400)]
    assert 0.02 < np.mean(rejected) < 0.08


def test_the_rank_sum_test_is_exact_for_few_samples():
    assert rank_sum([1, 2, 3], [4, 5, 6]) == pytest.approx(2 / 20)


def test_holms_correction_keeps_the_order_and_multiplies_by_what_is_left(rng):
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1] and holm([0.2]) == [0.2]
    false = [min(holm(rng.random(4))) < 0.05 for _ in range(2000)]  # of four true hypotheses
    assert 0.035 < np.mean(false) < 0.065
