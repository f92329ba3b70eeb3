"""Tables of many runs, drawn: one dot a run, means with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from darts_lab.figures.style import _DASHES, PALETTE, _axes, _over_epochs
from darts_lab.studies import statistics


def by_kind(
    table: pd.DataFrame, value: str = "test_error", kind: str = "method", ax: Axes | None = None, factor: float = 100,
    unit: str = "%",
) -> Axes:  # fmt: skip
    """`value`, a fraction shown in per cent (or `factor` times it in `unit`), of every run as a dot, by kind of run: means
    with their 95 % intervals.

    Every row of `table` is one run, such as those of a sweep; kinds stand in the order in which they come. Kinds that are
    a pandas categorical have the same colours in every picture, whichever of them it shows.
    """
    ax = _axes(ax, (6, 3.4))
    ax.clear()
    rows = table.dropna(subset=value)
    numbers = _numbers(rows[kind])
    kinds = list(dict.fromkeys(rows[kind]))
    for row, name in enumerate(kinds):
        values = factor * rows.loc[rows[kind] == name, value].to_numpy(float)
        colour, mean = PALETTE[numbers[name] % 8], statistics.mean(values)
        ax.plot(values, row + np.linspace(-0.12, 0.12, len(values)), "o", color=colour, alpha=0.6, markersize=4)
        if np.isfinite(mean.low):
            ax.plot([mean.low, mean.high], [row, row], color="#222222", linewidth=1)
        ax.plot([mean.value] * 2, [row - 0.3, row + 0.3], color="#222222", linewidth=2)
    ax.set_yticks(range(len(kinds)), kinds, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel(f"{value.replace('_', ' ')} ({unit}); mean and 95 % interval")
    return ax


def over_epochs(
    table: pd.DataFrame, value: str, kind: str = "method", factor: float = 1, ax: Axes | None = None
) -> Axes:
    """The mean of `value` over seeds, epoch by epoch, one line a kind of search; bands are 95 % intervals (Student's t).

    Every row of `table` is one epoch of one search, with `epoch` and `seed`; `factor` 100 turns fractions into per cent.
    The picture ends where the runs do: intervals of few seeds may go on beyond it.
    """
    ax = _axes(ax)
    ax.clear()
    rows = table.dropna(subset=value)
    for number, (name, group) in enumerate(rows.groupby(kind, sort=False)):
        found = {
            epoch: statistics.mean(factor * values.astype(float)) for epoch, values in group.groupby("epoch")[value]
        }
        means, low, high = zip(*((mean.value, mean.low, mean.high) for mean in found.values()), strict=True)
        colour = PALETTE[number % 8]
        ax.plot(list(found), means, _DASHES[number % 4], color=colour, label=str(name))
        ax.fill_between(list(found), low, high, color=colour, alpha=0.15, linewidth=0)
    _over_epochs(ax, value.replace("_", " ") + (" (%)" if factor == 100 else ""), (None, None))
    _to_the_runs(ax, factor * rows[value].astype(float))
    ax.legend()
    return ax


def _to_the_runs(ax: Axes, values: pd.Series) -> None:
    """Lets the picture end a little beyond `values`, the runs themselves, wherever the intervals end."""
    if len(values):
        margin = 0.08 * (values.max() - values.min()) or 1
        ax.set_ylim(values.min() - margin, values.max() + margin)


def over_setting(
    table: pd.DataFrame, setting: str, value: str, kind: str = "space", factor: float = 1, ax: Axes | None = None
) -> Axes:
    """`value` against the values of a setting, such as `weight_decay`, one line a kind: means with 95 % intervals, runs
    as dots. The values of the setting stand side by side, not to scale. The picture ends where the runs do: intervals of
    few runs may go on beyond it."""
    ax = _axes(ax)
    ax.clear()
    rows = table.dropna(subset=value)
    ticks = sorted(rows[setting].unique())
    for number, (name, group) in enumerate(rows.groupby(kind, sort=False)):
        colour, shift = PALETTE[number % 8], 0.08 * number
        found = {tick: statistics.mean(factor * values) for tick, values in group.groupby(setting)[value]}
        places = np.array([ticks.index(tick) for tick in found]) + shift
        means = np.array([mean.value for mean in found.values()])
        bars = np.nan_to_num([[mean.value - mean.low, mean.high - mean.value] for mean in found.values()]).T
        ax.errorbar(places, means, bars, fmt=_DASHES[number % 4], color=colour, capsize=3, label=str(name))
        at = [ticks.index(tick) + shift for tick in group[setting]]
        ax.plot(at, factor * group[value], ".", color=colour, alpha=0.5)
    ax.set_xticks(range(len(ticks)), [f"{tick:g}" for tick in ticks], fontsize=8)
    unit = " (%)" if factor == 100 else ""
    ax.set(xlabel=setting.replace("_", " "), ylabel=value.replace("_", " ") + unit)
    _to_the_runs(ax, factor * rows[value])
    ax.legend()
    return ax


def _numbers(kinds: pd.Series) -> dict:
    """Every kind with its number: of a pandas categorical that of its category, else by the order in which they come."""
    known = kinds.dtype.categories if isinstance(kinds.dtype, pd.CategoricalDtype) else dict.fromkeys(kinds)
    return {kind: number for number, kind in enumerate(known)}


def scatter(x, y, kinds=None, correlation: statistics.Estimate | None = None, ax: Axes | None = None) -> Axes:
    """Points, coloured by their kind where `kinds` tells it, under their correlation with its interval.

    Kinds that are a pandas categorical have the same colours in every picture, whichever of them it shows.
    """
    ax = _axes(ax, (4, 3))
    ax.clear()
    x, y = np.asarray(x, float), np.asarray(y, float)
    kinds = pd.Series([""] * len(x) if kinds is None else kinds)
    for kind, number in _numbers(kinds).items():
        of, marker = (kinds == kind).to_numpy(), "os^Dv"[number // 8 % 5]
        if not of.any():
            continue
        ax.plot(x[of], y[of], marker, color=PALETTE[number % 8], alpha=0.8, markersize=5, label=str(kind) or None)
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    if correlation is not None:
        interval = f"[{correlation.low:.2f}, {correlation.high:.2f}]"
        ax.set_title(f"correlation {correlation.value:.2f} {interval}, {correlation.n} points")
    return ax
