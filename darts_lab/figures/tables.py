"""Tables of many runs, drawn by seaborn: every run as a dot, means with their 95 % intervals (Student's t). Kinds that
are a pandas categorical have the same colours in every picture, whichever of them it shows. seaborn is imported inside
the functions: it imports pyplot, which the package leaves to those who draw."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from darts_lab.checks import checked
from darts_lab.figures.style import (
    DARK,
    DASHES,
    METHOD_STYLE,
    empty_axes,
    label_epochs,
    methods_style,
    show_legend,
)
from darts_lab.studies import statistics


@checked
def by_kind(
    table: pd.DataFrame,
    value: str = "test_error",
    kind: str = "method",
    ax: Axes | None = None,
    factor: float = 100,
    unit="%",
) -> Axes:
    """`value` of every run (row of `table`) as a dot, one row per kind, in the order of the table, with means. It is a
    fraction shown in per cent, or is multiplied by `factor` and shown in `unit`."""
    import seaborn

    rows = _scaled(table, value, factor, kind)
    ax = empty_axes(ax, (6, 3.4))
    kinds = list(dict.fromkeys(rows[kind]))
    colours = {name: colour for name, (colour, _, _) in _styles(rows[kind]).items()}
    options = {"data": rows, "x": value, "y": kind, "order": kinds, "orient": "h", "legend": False, "ax": ax}
    state = np.random.get_state()  # seaborn draws from it, without jitter too
    seaborn.stripplot(**options, hue=kind, palette=colours, jitter=False, size=5, alpha=0.6)
    np.random.set_state(state)
    for dots in ax.collections:  # spread by their order in the table; seaborn's jitter would be random
        x, y = np.ma.asarray(dots.get_offsets()).T
        dots.set_offsets(np.column_stack([x, y + np.linspace(-0.2, 0.2, len(y) + 2)[1:-1]]))
    mean = {"linestyle": "none", "marker": "|", "markersize": 14, "markeredgewidth": 2, "color": DARK}
    seaborn.pointplot(**options, **mean, errorbar=_interval, err_kws={"linewidth": 1}, zorder=3)
    ax.set_yticks(range(len(kinds)), kinds, fontsize=8)
    ax.set(xlabel=f"{value.replace('_', ' ')} ({unit}); mean and 95 % interval", ylabel="")
    return ax


@checked
def over_epochs(table: pd.DataFrame, value: str, kind="method", factor: float = 1, ax: Axes | None = None) -> Axes:
    """The mean of `value` at every `epoch` (rows of `table`), one line per kind of search, with intervals as bands. A
    `factor` of 100 gives per cent. The y axis shows the range of the runs: intervals of few seeds may be wider."""
    import seaborn

    rows = _scaled(table, value, factor, kind, "epoch")
    ax = empty_axes(ax)
    for group, style in _lines(rows, kind):
        band = {"alpha": 0.15, "linewidth": 0}
        seaborn.lineplot(group, x="epoch", y=value, errorbar=_interval, err_kws=band, **style, ax=ax)
    label_epochs(ax, _label(value, factor))
    _show_range(ax, rows[value])
    return ax


@checked
def over_setting(
    table: pd.DataFrame, setting: str, value: str, kind="space", factor: float = 1, ax: Axes | None = None
) -> Axes:
    """The mean of `value` for each value of a setting, such as `weight_decay`, one line per kind, with runs as dots.
    The values of the setting are evenly spaced, not to scale; the y axis is that of `over_epochs`."""
    import seaborn

    rows = _scaled(table, value, factor, kind, setting)
    ax = empty_axes(ax)
    ticks = sorted(rows[setting].unique())
    for number, (group, style) in enumerate(_lines(rows, kind)):
        places = group[setting].map(ticks.index) + 0.08 * number  # beside each other, so that no interval hides another
        options = {"data": group.assign(place=places), "x": "place", "y": value, "ax": ax}
        seaborn.lineplot(**options, **style, errorbar=_interval, err_style="bars", err_kws={"capsize": 3})
        seaborn.scatterplot(**options, color=style["color"], s=18, alpha=0.6, legend=False)
    ax.set_xticks(range(len(ticks)), [f"{tick:g}" for tick in ticks], fontsize=8)
    ax.set(xlabel=setting.replace("_", " "), ylabel=_label(value, factor))
    _show_range(ax, rows[value])
    show_legend(ax)
    return ax


@checked
def scatter(
    x: Sequence,
    y: Sequence,
    kinds: Sequence | None = None,
    correlation: statistics.Estimate | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Points, coloured by `kinds` if given. With a `correlation`, which goes into the title with its interval, the
    regression line of all points is drawn too."""
    import seaborn

    if len({len(one) for one in (x, y, kinds) if one is not None}) > 1:
        raise ValueError("x, y, kinds: must be equally long")
    ax = empty_axes(ax, (4, 3))
    x, y = np.asarray(x, float), np.asarray(y, float)
    kinds = pd.Series([""] * len(x) if kinds is None else kinds)
    for kind, (colour, _, marker) in _styles(kinds).items():
        shown = (kinds == kind).to_numpy()
        if shown.any():
            style = {"marker": marker, "color": colour, "scatter_kws": {"s": 25}, "label": str(kind) or None}
            seaborn.regplot(x=x[shown], y=y[shown], fit_reg=False, **style, ax=ax)
    if correlation is not None:
        interval = f"[{correlation.low:.2f}, {correlation.high:.2f}]"
        ax.set_title(f"correlation {correlation.value:.2f} {interval}, {correlation.n} points")
        if np.isfinite(correlation.value):
            seaborn.regplot(x=x, y=y, scatter=False, ci=None, color=DARK, line_kws={"linewidth": 1}, ax=ax)
    show_legend(ax)
    return ax


def _scaled(table: pd.DataFrame, value: str, factor: float, *others: str) -> pd.DataFrame:
    for name in (value, *others):
        if name not in table:
            raise ValueError(f"table: has no column {name!r}")
    return table.dropna(subset=value).assign(**{value: lambda rows: factor * rows[value].astype(float)})


def _interval(values) -> tuple[float, float]:
    """The interval of the mean, in the form that seaborn's `errorbar` takes."""
    mean = statistics.mean(values)
    return mean.low, mean.high


def _styles(kinds: pd.Series) -> dict:
    """(colour, dash, marker) of every kind: a method's own, else of its category if it is a pandas categorical, else by
    first appearance."""
    known = kinds.dtype.categories if isinstance(kinds.dtype, pd.CategoricalDtype) else dict.fromkeys(kinds)
    colours = methods_style(known)
    return {
        kind: (colours[kind], DASHES[n % 4], METHOD_STYLE[kind][1] if kind in METHOD_STYLE else "os^Dv"[n // 8 % 5])
        for n, kind in enumerate(known)
    }


def _lines(rows: pd.DataFrame, kind: str):
    """The rows of every kind, and the style of its line."""
    styles = _styles(rows[kind])
    for name, group in rows.groupby(kind, sort=False, observed=True):
        colour, dash, _ = styles[name]
        yield group, {"color": colour, "linestyle": dash, "label": str(name), "legend": False}


def _label(value: str, factor: float) -> str:
    return value.replace("_", " ") + (" (%)" if factor == 100 else "")


def _show_range(ax: Axes, values: pd.Series) -> None:
    """Limits the y axis to `values` with a small margin, even where intervals are wider."""
    if len(values):
        margin = 0.08 * (values.max() - values.min()) or 1
        ax.set_ylim(values.min() - margin, values.max() + margin)
