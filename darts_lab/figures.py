"""Every figure: values in, matplotlib Axes out. Nothing here trains, and pyplot is asked only where no Axes is given.

One colour and one dash for each operation, the same in every figure: the palette petroff8 keeps its distances under
colour-blindness, the dashes keep the lines apart in grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import MaxNLocator

from darts_lab import statistics
from darts_lab.curvature import Landscape
from darts_lab.genotype import Genotype
from darts_lab.monitors import RULE, Rule, measurements
from darts_lab.spaces import (
    AVG,
    CELL_TYPES,
    DIL3,
    DIL5,
    IDENTITY,
    MAX,
    NOISE,
    NONE,
    RELU,
    SEP3,
    SEP5,
    SIGMOID,
    SKIP,
    TANH,
    SearchSpace,
    inputs_of,
)  # fmt: skip

# petroff8 (Petroff 2021, arXiv 2107.02270)
PALETTE = ("#1845fb", "#ff5e02", "#c91f16", "#c849a9", "#adad7d", "#86c8dd", "#578dff", "#656364")
_DASHES = ("-", "--", "-.", ":")
OPERATION_STYLE: dict[str, tuple[str, str]] = {
    SEP3: (PALETTE[0], "-"),
    SKIP: (PALETTE[1], "--"),
    NOISE: (PALETTE[2], ":"),
    SEP5: (PALETTE[3], "-"),
    AVG: (PALETTE[4], "-."),
    MAX: (PALETTE[5], "-."),
    DIL3: (PALETTE[6], (0, (6, 1))),
    DIL5: (PALETTE[7], (0, (3, 1, 1, 1))),
    NONE: ("#bbbbbb", ":"),
    TANH: (PALETTE[0], "-"),  # those of a recurrent cell never stand beside those of a convolutional one
    IDENTITY: (PALETTE[1], "--"),
    RELU: (PALETTE[2], ":"),
    SIGMOID: (PALETTE[3], "-."),
}


def style_of(operation: str) -> tuple[str, str]:
    """(colour, dash) of an operation; operations of your own share one."""
    return OPERATION_STYLE.get(operation, ("#222222", "-"))


def _axes(ax: Axes | None, size=(5, 3)) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def _over_epochs(ax: Axes, what: str, limits: tuple[float | None, float | None]) -> None:
    ax.set(xlabel="epoch", ylabel=what, ylim=limits)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _series(history, *values) -> tuple[np.ndarray, ...]:
    """(epochs, values, ...) of a history to be drawn as lines, which break where the search was thrown back."""
    columns = [[float(record.epoch) for record in history], *map(list, values)]
    for index in reversed([i for i, record in enumerate(history) if record.back_to is not None]):
        for column in columns:
            column.insert(index + 1, np.nan)
    return tuple(map(np.array, columns))


def mixing(weights, space: SearchSpace, cell_type: str, ax: Axes | None = None) -> Axes:
    """Heat map of one cell's mixing weights, one row an operation, one column an edge (source -> node)."""
    ax = _axes(ax, (6, 2))
    weights = np.asarray(weights)[space.cell_types.index(cell_type)].T  # (candidates, edges)
    ax.clear()
    ax.imshow(weights, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    names = space.cell(cell_type)
    ax.set_xticks(
        range(len(names)), [f"{source}→{node + space.inputs}" for source, node in space.edges], fontsize=7, rotation=90
    )
    same = len(set(names)) == 1
    ax.set_yticks(
        range(space.candidates), [_short(n) for n in names[0]] if same else range(space.candidates), fontsize=8
    )
    if not same:  # every edge has its own operations: write them into the squares
        for edge, candidates in enumerate(names):
            for row, name in enumerate(candidates):
                colour = "white" if weights[row, edge] < 0.6 else "black"
                ax.text(edge, row, _short(name), ha="center", va="center", fontsize=6, rotation=90, color=colour)
    for boundary in np.cumsum([node + space.inputs for node in range(space.nodes)])[:-1]:
        ax.axvline(boundary - 0.5, color="white", linewidth=2)
    ax.set_title(f"mixing weights, {cell_type} cell", fontsize=9)
    return ax


def cell(
    genotype: Genotype, cell_type: str, weights=None, space: SearchSpace | None = None, ax: Axes | None = None
) -> Axes:
    """One cell as a graph: colour and dash say the operation.

    With `weights` (mixing weights of `space`) every line is as wide as its operation weighs, and the edges that the
    genotype leaves out are drawn too, faintly.
    """
    ax = _axes(ax, (5, 2.6))
    ax.clear()
    inputs = inputs_of(cell_type)
    states = genotype.nodes + inputs
    positions = _positions(states, inputs)
    kept = {(source, node): operation for source, node, operation in genotype.edges(cell_type)}
    used = set(kept.values())
    if weights is not None:
        weights = np.asarray(weights)[space.cell_types.index(cell_type)]
        for index, (source, node) in enumerate(space.edges):
            names = space.cell(cell_type)[index]
            best = max((i for i, n in enumerate(names) if n != NONE), key=lambda i: weights[index][i])
            if (source, node) not in kept:
                _arrow(
                    ax, positions[source], positions[node + inputs], names[best], 4 * weights[index][best], alpha=0.18
                )
    for (source, node), operation in kept.items():
        width = 2.0
        if weights is not None:
            index = space.edges.index((source, node))
            width = 4 * weights[index][space.cell(cell_type)[index].index(operation)]
        _arrow(ax, positions[source], positions[node + inputs], operation, width)
    for state in genotype.concat[cell_type]:
        _arrow(ax, positions[state], positions["out"], None, 0.6)
    ends = {0: "$h_{t-1}$", "out": "$h_t$"} if inputs == 1 else {0: "$c_{k-2}$", 1: "$c_{k-1}$", "out": "$c_k$"}
    labels = ends | {state: str(state) for state in range(inputs, states)}
    for state, (x, y) in positions.items():
        ax.text(
            x, y, labels[state], ha="center", va="center", fontsize=9, zorder=5,
            bbox={"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "#444444"},
        )  # fmt: skip
    handles = [
        Line2D([], [], color=style_of(n)[0], linestyle=style_of(n)[1], linewidth=2, label=n) for n in sorted(used)
    ]
    ax.legend(handles=handles, fontsize=7, loc="upper center", ncols=4, frameon=False, bbox_to_anchor=(0.5, 0.04))
    ax.set_title(f"{cell_type} cell", fontsize=9)
    ax.set_xlim(-0.6, states + 0.2)
    ax.set_ylim(-1.9, 1.7)
    ax.axis("off")
    return ax


def _positions(states: int, inputs: int) -> dict:
    positions = {0: (0.0, 0.8), 1: (0.0, -0.8)} if inputs == 2 else {0: (0.0, 0.0)}
    heights = (0.55, -0.55, 1.15, -1.15)
    nodes = range(inputs, states)
    positions |= {state: (state + 1.0 - inputs, heights[(state - inputs) % 4]) for state in nodes}
    return positions | {"out": (states - 0.4, 0.0)}


def _arrow(ax: Axes, start, end, operation: str | None, width: float, alpha: float = 0.95) -> None:
    colour, dash = ("#999999", "-") if operation is None else style_of(operation)
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=7 + 1.5 * width,
            shrinkA=11,
            shrinkB=11,
            color=colour,
            linewidth=max(width, 0.4),
            linestyle=dash,
            alpha=alpha,
            connectionstyle="arc3,rad=-0.12",
        )  # fmt: skip
    )


def errors(history, ax: Axes | None = None) -> Axes:
    """Training error and one-shot validation error, in per cent, over the epochs of a search."""
    ax = _axes(ax)
    ax.clear()
    epochs, train, valid = _series(
        history, [100 * record.train_error for record in history], [100 * record.valid_error for record in history]
    )
    ax.plot(epochs, train, "--", color="#656364", label="training")
    ax.plot(epochs, valid, "-", color=PALETTE[0], label="one-shot validation")
    _over_epochs(ax, "error (%)", (0, 100))
    ax.legend(fontsize=7, frameon=False)
    ax.set_title("errors of the supernet", fontsize=9)
    return ax


def counts(history, operation: str, ax: Axes | None = None) -> Axes:
    """How often `operation` stands in the cells that the search would return, over its epochs."""
    ax = _axes(ax)
    ax.clear()
    kinds = history[-1].genotype.cell_types if history else ()
    for cell_type, dash, marker in zip(kinds, ("-", "--", ":"), "os^"):
        epochs, values = _series(history, [float(record.genotype.count(operation, cell_type)) for record in history])
        ax.plot(epochs, values, dash, marker=marker, markersize=3, color=style_of(operation)[0], label=cell_type)
    most = max(map(len, history[-1].genotype.cells.values())) if history else 8
    _over_epochs(ax, f"{operation} of {most}", (-0.3, most + 0.3))
    ax.legend(fontsize=7, frameon=False)
    ax.set_title(f"{operation} in the genotype", fontsize=9)
    return ax


def weight_shares(history, space: SearchSpace, cell_type: str, ax: Axes | None = None) -> Axes:
    """Mean mixing weight of every operation over the edges that offer it, over the epochs of a search."""
    ax = _axes(ax)
    ax.clear()
    index = space.cell_types.index(cell_type)
    names = [name for edge in space.cell(cell_type) for name in edge]
    history = [record for record in history if record.mixing is not None]  # the logs of others do not tell
    values = np.array([np.asarray(record.mixing[index]).ravel() for record in history]).reshape(-1, len(names))
    for name in dict.fromkeys(names):
        columns = [i for i, other in enumerate(names) if other == name]
        colour, dash = style_of(name)
        epochs, means = _series(history, values[:, columns].mean(1))
        ax.plot(epochs, means, color=colour, linestyle=dash, label=name)
    _over_epochs(ax, "mean mixing weight", (0, 1))
    ax.legend(fontsize=7, frameon=False)
    ax.set_title(f"{cell_type} cell", fontsize=9)
    return ax


def eigenvalues(histories, rule: Rule = RULE, ax: Axes | None = None, finished: bool = True) -> Axes:
    """Dominant eigenvalue over the epochs of a search, or of several (name -> history).

    A history is a list of EpochRecord, or a table with the columns `epoch` and `dominant_eigenvalue` (`runs.table`).
    Dots are the measurements, with their standard errors where there are any; the line is the local average of `rule`;
    the star is where the rule would have stopped a search (with `finished` False: one that is still running).
    """
    ax = _axes(ax)
    ax.clear()
    several = isinstance(histories, Mapping)
    for number, (name, history) in enumerate(histories.items() if several else [("", histories)]):
        colour, bars = PALETTE[number % 8], None
        if isinstance(history, pd.DataFrame):
            measured = history.dropna(subset="dominant_eigenvalue")
            epochs, values = measured["epoch"].tolist(), measured["dominant_eigenvalue"].tolist()
            bars = measured["eigenvalue_error"].fillna(0) if "eigenvalue_error" in measured else None
            back = measured["back_to"].notna().to_numpy() if "back_to" in measured else np.zeros(len(measured), bool)
            begin = int(np.flatnonzero(back)[-1]) + 1 if back.any() else 0
            recent = epochs[begin:], values[begin:]
        else:
            measured = [record for record in history if record.dominant_eigenvalue is not None]
            epochs, values = [record.epoch for record in measured], [record.dominant_eigenvalue for record in measured]
            bars, recent = [record.eigenvalue_error or 0 for record in measured], measurements(history)
        ax.errorbar(epochs, values, bars, fmt=".", color=colour, alpha=0.35, markersize=4)
        epochs, values = recent
        if values:
            places, averages = rule.averages(epochs, values)
            ax.plot(places, averages, _DASHES[number % 4], color=colour, label=name or "local average")
            stop = rule.stop(epochs, values, finished)
            if stop is not None:
                ax.plot(
                    stop, np.interp(stop, places, averages), "*", color=colour, markersize=12, markeredgecolor="black"
                )
    _over_epochs(ax, "dominant eigenvalue", (None, None))
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]) if ax.dataLim.ymin < 0 else 0)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=7, frameon=False)
    ax.set_title("curvature of the validation loss", fontsize=9)
    return ax


def fisher_trace(history, ax: Axes | None = None) -> Axes:
    """The averaged Fisher trace before every training batch, the threshold below which alpha is updated, and the alpha
    steps as marks at the foot: of a search whose schedule is `schedules.FisherTrace`."""
    ax = _axes(ax)
    ax.clear()
    places, moments = [], []
    for record in history:
        of = record.moments or []
        places += [record.epoch + (number + 1) / len(of) for number in range(len(of))]
        moments += of
    if moments:
        traces, thresholds, due = np.array(moments, float).T
        places = np.array(places)
        ax.semilogy(places, traces, color=PALETTE[0], label="Fisher trace")
        ax.semilogy(places, thresholds, "--", color=PALETTE[1], linewidth=1, label="threshold")
        foot = np.full(int(due.sum()), 0.03)
        ax.plot(places[due > 0], foot, "|", color="#222222", transform=ax.get_xaxis_transform(), label="alpha steps")
        ax.legend(fontsize=7, frameon=False)
    ax.set(xlabel="epoch", ylabel="Fisher trace")
    ax.set_title("when alpha is updated", fontsize=9)
    return ax


def spectrum(spectra, ax: Axes | None = None) -> Axes:
    """All eigenvalues by rank, largest first (Zela et al. 2020, Fig. 14): of one Hessian, or of several by name."""
    ax = _axes(ax)
    ax.clear()
    for number, (name, values) in enumerate(spectra.items() if isinstance(spectra, Mapping) else [("", spectra)]):
        values = np.sort(np.asarray(getattr(values, "values", values), float))[::-1]
        style = {"color": PALETTE[number % 8], "linestyle": _DASHES[number % 4], "marker": ".", "markersize": 4}
        ax.plot(range(1, len(values) + 1), values, label=name or None, **style)
    ax.axhline(0, color="#999999", linewidth=0.6)
    ax.set(xlabel="rank", ylabel="eigenvalue")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=7, frameon=False)
    return ax


def landscape(found: Landscape, ax: Axes | None = None) -> Axes:
    """The validation loss along a line (every batch faint, their mean bold) or over a plane (contours) through alpha."""
    ax = _axes(ax)
    ax.clear()
    if found.losses.ndim == 1:
        ax.plot(found.steps, found.per_batch.T, color=PALETTE[0], alpha=0.25, linewidth=0.8)
        ax.plot(found.steps, found.losses, color=PALETTE[0], linewidth=2)
        ax.set(xlabel="distance from alpha", ylabel="validation loss")
    else:
        lines = ax.contourf(found.steps, found.steps, found.losses.T, 20, cmap="viridis")
        ax.figure.colorbar(lines, ax=ax, label="validation loss")
        ax.plot(0, 0, "*", color="white", markersize=12, markeredgecolor="black")
        ax.set(xlabel="along the first direction", ylabel="along the second")
    return ax


def telling_operation(space: SearchSpace) -> str:
    """The operation whose spread means collapse: noise where a space has it, else the skip connection."""
    offered = {operation for edges in space.cells.values() for edge in edges for operation in edge}
    return next((operation for operation in (NOISE, SKIP, IDENTITY) if operation in offered), min(offered))


class Dashboard:
    """The live picture of a search: heat maps, both cells, errors, skip count and curvature on one Figure.

    It is drawn on a Figure that pyplot does not know, so it may be used in any thread.
    """

    def __init__(self, space: SearchSpace, size=(11, 6.2), dpi: int = 80, rule: Rule = RULE):
        self.space, self.rule = space, rule
        self.figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        grid = self.figure.subplot_mosaic("aaabbb;cccddd;eeffgg", height_ratios=[1.1, 1.6, 1.5])
        self.axes = grid

    def draw(self, history, weights, genotype: Genotype) -> Figure:
        """The figure for the given history (a list of EpochRecord) and the state right now."""
        for cell_type, heat, graph in zip(CELL_TYPES, "ab", "cd", strict=True):
            mixing(weights, self.space, cell_type, self.axes[heat])
            cell(genotype, cell_type, weights, self.space, self.axes[graph])
        if history:
            errors(history, self.axes["e"])
            counts(history, telling_operation(self.space), self.axes["f"])
            eigenvalues(history, self.rule, self.axes["g"], finished=False)
        return self.figure


def by_kind(
    table: pd.DataFrame, value: str = "test_error", kind: str = "method", ax: Axes | None = None, factor: float = 100,
    unit: str = "%",
) -> Axes:  # fmt: skip
    """`value`, a fraction shown in per cent (or `factor` times it in `unit`), of every run as a dot, by kind of run: means
    with their 95 % intervals.

    Every row of `table` is one run, such as those of a sweep; kinds stand in the order in which they come.
    """
    ax = _axes(ax, (6, 3.4))
    ax.clear()
    rows = table.dropna(subset=value)
    kinds = list(dict.fromkeys(rows[kind]))
    for row, name in enumerate(kinds):
        values = factor * rows.loc[rows[kind] == name, value].to_numpy(float)
        colour, mean = PALETTE[row % 8], statistics.mean(values)
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
    """The mean of `value` over seeds, epoch by epoch, one line a kind of search; bands from the least to the largest.

    Every row of `table` is one epoch of one search, with `epoch` and `seed`; `factor` 100 turns fractions into per cent.
    """
    ax = _axes(ax)
    ax.clear()
    for number, (name, rows) in enumerate(table.dropna(subset=value).groupby(kind, sort=False)):
        seeds = factor * rows.pivot_table(index="epoch", columns="seed", values=value).astype(float)
        colour = PALETTE[number % 8]
        ax.plot(seeds.index, seeds.mean(axis=1), _DASHES[number % 4], color=colour, label=str(name))
        ax.fill_between(seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=colour, alpha=0.15, linewidth=0)
    _over_epochs(ax, value.replace("_", " ") + (" (%)" if factor == 100 else ""), (None, None))
    ax.legend(fontsize=7, frameon=False)
    return ax


def over_setting(
    table: pd.DataFrame, setting: str, value: str, kind: str = "space", factor: float = 1, ax: Axes | None = None
) -> Axes:
    """`value` against the values of a setting, such as `weight_decay`, one line a kind: means with 95 % intervals, runs
    as dots. The values of the setting stand side by side, not to scale."""
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
    ax.legend(fontsize=7, frameon=False)
    return ax


def scatter(x, y, kinds=None, correlation: statistics.Estimate | None = None, ax: Axes | None = None) -> Axes:
    """Points, coloured by their kind where `kinds` tells it, under their correlation with its interval."""
    ax = _axes(ax, (4, 3))
    ax.clear()
    x, y = np.asarray(x, float), np.asarray(y, float)
    kinds = np.asarray([""] * len(x) if kinds is None else [str(kind) for kind in kinds])
    for number, kind in enumerate(dict.fromkeys(kinds)):
        of, marker = kinds == kind, "os^Dv"[number // 8 % 5]
        ax.plot(x[of], y[of], marker, color=PALETTE[number % 8], alpha=0.8, markersize=5, label=kind or None)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=7, frameon=False)
    if correlation is not None:
        interval = f"[{correlation.low:.2f}, {correlation.high:.2f}]"
        ax.set_title(f"correlation {correlation.value:.2f} {interval}, {correlation.n} points", fontsize=9)
    return ax


def picture(image, ax: Axes | None = None) -> Axes:
    """An image as in the data, channels first: of uint8 its first three channels, red first (of a pair the left image);
    of four bands, blue first, what the eye would see, brightened until the brightest hundredth is white."""
    ax = _axes(ax, (4, 2))
    ax.clear()
    image = np.asarray(image)
    if image.dtype == np.uint8:
        shown = image[:3]
    else:
        shown = np.clip(image[2::-1] / np.quantile(image[:3], 0.99), 0, 1)
    ax.imshow(np.moveaxis(shown, 0, -1))
    ax.set_axis_off()
    return ax


def pixel_map(values, what: str, limits: tuple[float, float] | None = None, ax: Axes | None = None) -> Axes:
    """A value for every pixel, such as disparities or depths, with its scale; grey where it is unknown (NaN).

    Maps that are to be compared need the same `limits`; without, they are those of the values.
    """
    ax = _axes(ax, (4, 2))
    ax.clear()
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    shown = ax.imshow(np.asarray(values), vmin=low, vmax=high, cmap="viridis", interpolation="nearest")
    ax.set_facecolor("#bbbbbb")
    ax.set(xticks=[], yticks=[])
    ax.figure.colorbar(shown, ax=ax, label=what, shrink=0.8)
    return ax


def save(figure: Figure, name: str, folder: str | Path = "figures") -> list[Path]:
    """Writes `figure` as name.pdf and name.png below `folder` and gives their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{ending}" for ending in ("pdf", "png")]
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


def _short(name: str) -> str:
    return {SKIP: "skip", SEP3: "sep 3", SEP5: "sep 5", DIL3: "dil 3", DIL5: "dil 5", MAX: "max", AVG: "avg"}.get(
        name, name
    )
