"""Means, differences and correlations with their intervals, and p-values, from SciPy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import scipy  # its submodules are imported on first use

from darts_lab.checks import Between, Count, Seed, checked, one_of


@dataclass(frozen=True)
class Estimate:
    """An estimate from `n` samples, and the interval that covers the true value in `level` of all cases; its limits are
    NaN if there are too few samples, or, for a correlation or a difference of means, if all are equal."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval; False if there is none."""
        return bool(self.low > 0 or self.high < 0)


@checked
def mean(values: Sequence[float], level: Between = 0.95) -> Estimate:
    """The mean with the interval of Student's t, for a few samples that are roughly normal, such as those of seeds.

    >>> print(dl.statistics.mean([7.2, 7.9, 7.4]))
    7.5 [6.6, 8.4]
    """
    values, half = _samples("values", values), np.nan
    if len(values) > 1:
        half = scipy.stats.sem(values) * scipy.stats.t.ppf((1 + level) / 2, len(values) - 1)
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half), len(values), level)


@checked
def bootstrap(
    values: Sequence[float],
    statistic: Callable = np.mean,
    level: Between = 0.95,
    seed: Seed = 0,
    resamples: Count = 9999,
) -> Estimate:
    """Any statistic of one sample, with the bias-corrected and accelerated bootstrap interval (Efron 1987), which is
    too narrow below ten samples. `statistic` takes `axis`, as in NumPy."""
    values = _samples("values", values)
    value = float(statistic(values))
    if np.ptp(values) == 0:
        limit = value if len(values) > 1 else np.nan
        return Estimate(value, limit, limit, len(values), level)
    interval = scipy.stats.bootstrap(
        (values,), statistic, confidence_level=level, n_resamples=resamples, rng=np.random.default_rng(seed)
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), len(values), level)


@checked
def correlation(
    x: Sequence[float],
    y: Sequence[float],
    kind: Annotated[str, one_of("pearson", "spearman")] = "pearson",
    level: Between = 0.95,
    seed: Seed = 0,
    groups: Sequence | None = None,
) -> Estimate:
    """Pearson's correlation with Fisher's interval; with `kind="spearman"` that of ranks, with a bootstrap interval.
    Pairs with NaN are left out, and of the resamples those of one value. `groups` (of ranks alone) says which pairs
    belong together, such as the searches of one setting, which resemble each other: resamples are of whole groups.
    Raises ValueError for another kind, where x, y and groups differ in length, and for groups that are not equally
    large.

    >>> print(dl.statistics.correlation([1, 2, 3, 4, 5], [1, 3, 2, 5, 4]))
    0.8 [-0.28, 0.986]
    """
    x, y = (_numbers(name, values) for name, values in (("x", x), ("y", y)))
    if x.shape != y.shape:
        raise ValueError(f"x, y: have shapes {x.shape} and {y.shape}; they must be equally long lists")
    whole = np.isfinite(x) & np.isfinite(y)
    together = np.arange(len(x)) if groups is None else np.asarray(groups)
    if together.shape != x.shape or (groups is not None and kind == "pearson"):
        raise ValueError(
            f"groups: have shape {together.shape}, with kind={kind!r}; there must be one for each of {len(x)} pairs, "
            "and kind='spearman'"
        )
    x, y, together = _samples("x, y", x[whole]), y[whole], together[whole]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate(np.nan, np.nan, np.nan, len(x), level)
    if kind == "pearson":
        result = scipy.stats.pearsonr(x, y)
        low, high = map(float, result.confidence_interval(level)) if len(x) > 3 else (np.nan, np.nan)
        return Estimate(float(result.statistic), low, high, len(x), level)

    def of_ranks(x, y):
        x, y = (scipy.stats.rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in (x, y))
        return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))

    low = high = np.nan
    if len(x) > 3:
        members = [np.flatnonzero(together == group) for group in np.unique(together)]
        if len({len(places) for places in members}) > 1:
            raise ValueError(f"groups: have {sorted(map(len, members))} pairs; all must have as many")
        drawn = np.random.default_rng(seed).integers(len(members), size=(9999, len(members)))
        drawn = np.array(members)[drawn].reshape(9999, -1)
        with np.errstate(invalid="ignore"):  # where all of a resample are equal
            found = of_ranks(x[drawn], y[drawn])
        low, high = map(float, np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2]))
    return Estimate(float(of_ranks(x, y)), low, high, len(x), level)


@checked
def difference(one: Sequence[float], other: Sequence[float], level: Between = 0.95) -> Estimate:
    """The mean of `one` minus that of `other`, for independent samples, with the interval of Welch's t. `n` is the size
    of the smaller. For runs with the same seeds, `paired_difference` gives a narrower interval.

    >>> estimate = dl.statistics.difference([9.0, 10.0, 11.0], [7.0, 7.5, 8.0])
    >>> print(estimate, estimate.excludes_zero)
    2.5 [0.422, 4.58] True
    """
    one, other = _samples("one", one), _samples("other", other)
    value, fewer = float(one.mean() - other.mean()), min(len(one), len(other))
    if fewer < 2 or np.ptp(one) == np.ptp(other) == 0:
        return Estimate(value, np.nan, np.nan, fewer, level)
    interval = scipy.stats.ttest_ind(one, other, equal_var=False).confidence_interval(level)
    return Estimate(value, float(interval.low), float(interval.high), fewer, level)


@checked
def paired_difference(
    table: pd.DataFrame,
    value: str,
    one,
    other,
    of: str = "method",
    pairs: Sequence[str] = ("seed",),
    level: Between = 0.95,
) -> Estimate:
    """The mean of `differences` (arguments and errors as there), as `mean` gives it."""
    return mean(differences(table, value, one, other, of, pairs), level)


@checked
def differences(
    table: pd.DataFrame, value: str, one, other, of: str = "method", pairs: Sequence[str] = ("seed",)
) -> pd.Series:
    """`value` where column `of` is `one`, minus `value` where it is `other`, for each pair of rows in which the columns
    `pairs` are equal; these are the index. Raises ValueError where there is no pair, or one has more than two rows."""
    pairs, sides = list(pairs), []
    for name in (of, value, *pairs):
        if name not in table:
            raise ValueError(f"table: has no column {name!r}")
    for name in (one, other):
        rows = table[(table[of] == name) & table[value].notna()].set_index(pairs)[value]
        if rows.index.has_duplicates:
            raise ValueError(f"pairs: {', '.join(pairs)} do not tell the rows of {of} {name!r} apart")
        sides.append(rows)
    difference = (sides[0] - sides[1]).dropna()
    if difference.empty:
        raise ValueError(f"{of}: no rows of {one!r} and {other!r} agree in {', '.join(pairs)}")
    return difference.astype(float)


@checked
def signed_rank(differences: Sequence[float]) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test of the hypothesis that paired differences are symmetric
    about zero, as `scipy.stats.wilcoxon` has it: exact where the sample is small. 1 if all are zero. Differences that
    are equal to nine digits of the largest are ties: the rest is rounding.

    >>> dl.statistics.signed_rank([1, 2, 3, 4, 5, 6])
    0.03125
    """
    values = _samples("differences", differences)
    largest = np.abs(values).max()
    return float(scipy.stats.wilcoxon(np.round(values / largest, 9)).pvalue) if largest > 0 else 1.0


@checked
def rank_sum(one: Sequence[float], other: Sequence[float]) -> float:
    """The two-sided p-value of the test of Mann, Whitney and Wilcoxon of the hypothesis that a value of one unpaired
    sample is as often above one of the other as below."""
    return float(scipy.stats.mannwhitneyu(_samples("one", one), _samples("other", other)).pvalue)


@checked
def holm(p_values: Sequence[float]) -> list[float]:
    """p-values, in the order given, corrected for the number of tests (Holm 1979): if those below a level are rejected,
    the probability of any wrong rejection is at most that level.

    >>> dl.statistics.holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = _numbers("p_values", p_values)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p_values: must be numbers from 0 to 1")
    order, corrected = p.argsort(), np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected.tolist()


def _samples(name: str, values) -> np.ndarray:
    values = _numbers(name, values)
    if not values.size:
        raise ValueError(f"{name}: must hold at least one number")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: {int((~np.isfinite(values)).sum())} of them are NaN or infinite")
    return values


def _numbers(name: str, values) -> np.ndarray:
    try:
        values = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: must be a list of numbers") from None
    if values.ndim != 1:
        raise ValueError(f"{name}: have shape {values.shape}; they must be a list of numbers")
    return values
