"""Every figure: values in, matplotlib Axes out. Nothing here trains, and pyplot is asked only where no Axes is given.

One style, `STYLE`, for all that is drawn while the laboratory is loaded (`matplotlib.rcdefaults()` takes it back). One
colour and one dash for each operation, the same in every figure: the palette petroff8 keeps its distances under
colour-blindness, the dashes keep the lines apart in grey.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import MaxNLocator

from darts_lab import statistics
from darts_lab.curvature import Landscape
from darts_lab.genotype import Genotype
from darts_lab.monitors import RULE, Rule, measurements
from darts_lab.saving import gallery as gallery
from darts_lab.saving import plotted as plotted
from darts_lab.saving import save as save
from darts_lab.spaces import (
    AVG,
    DIL3,
    DIL5,
    IDENTITY,
    KNOWN_CELL_TYPES,
    MAX,
    NOISE,
    NONE,
    RECURRENT,
    RELU,
    SEP3,
    SEP5,
    SIGMOID,
    SKIP,
    TANH,
    UPSAMPLE,
    SearchSpace,
    inputs_of,
)  # fmt: skip
from darts_lab.tasks import Classification, Task

# petroff8 (Petroff 2021, arXiv 2107.02270)
PALETTE = ("#1845fb", "#ff5e02", "#c91f16", "#c849a9", "#adad7d", "#86c8dd", "#578dff", "#656364")
_DASHES = ("-", "--", "-.", ":")
DARK = "#222222"
STYLE = {
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "viridis",
    "pdf.fonttype": 42,  # text stays text
}
matplotlib.rcParams.update(STYLE)
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
    if np.ptp(ax.dataLim.intervalx) < 1:  # one epoch, or none
        middle = ax.dataLim.intervalx.mean()
        middle = middle if np.isfinite(middle) else 0
        ax.set_xlim(middle - 0.5, middle + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _series(history, *values) -> tuple[np.ndarray, ...]:
    """(epochs, values, ...) of a history to be drawn as lines, which break where the search was thrown back."""
    columns = [[float(record.epoch) for record in history], *map(list, values)]
    for index in reversed([i for i, record in enumerate(history) if record.back_to is not None]):
        for column in columns:
            column.insert(index + 1, np.nan)
    return tuple(map(np.array, columns))


def mixing(weights, space: SearchSpace, cell_type: str, ax: Axes | None = None) -> Axes:
    """Heat map of one cell's mixing weights, one row an operation, one column an edge (source -> node), from 0 (dark) to
    1 (bright). Without weights (None), as with the logs of others, it says so."""
    ax = _axes(ax, (6, 2))
    ax.clear()
    ax.set_title(f"mixing weights, {cell_type} cell")
    if weights is None:
        ax.text(0.5, 0.5, "not in this log", ha="center", va="center", transform=ax.transAxes)
        ax.axis("off")
        return ax
    weights = np.asarray(weights)[space.cell_types.index(cell_type)].T  # (candidates, edges)
    ax.imshow(weights, vmin=0, vmax=1, aspect="auto")
    names = space.cell(cell_type)
    few = len(names) <= 5
    edges = [f"{source}→{node + space.inputs}" for source, node in space.edges]
    ax.set_xticks(range(len(names)), edges, fontsize=8 if few else 7, rotation=0 if few else 90)
    same = len(set(names)) == 1
    ax.set_yticks(
        range(space.candidates), [_short(n) for n in names[0]] if same else range(space.candidates), fontsize=8
    )
    if not same:  # every edge has its own operations: write them into the squares
        for edge, candidates in enumerate(names):
            for row, name in enumerate(candidates):
                colour = "white" if weights[row, edge] < 0.6 else "black"
                turned = {"fontsize": 8, "rotation": 0} if few else {"fontsize": 6, "rotation": 90}
                ax.text(edge, row, _short(name), ha="center", va="center", color=colour, **turned)
    elif few and space.candidates <= 4:
        for (row, edge), weight in np.ndenumerate(weights):
            colour = "white" if weight < 0.6 else "black"
            ax.text(edge, row, f"{weight:.2f}", ha="center", va="center", fontsize=8, color=colour)
    for boundary in np.cumsum([node + space.inputs for node in range(space.nodes)])[:-1]:
        ax.axvline(boundary - 0.5, color="white", linewidth=2)
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
                name = f"{source}→{node + inputs} {names[best]}, not kept"
                width = 4 * weights[index][best]
                _arrow(ax, positions[source], positions[node + inputs], names[best], width, 0.18, name)
    for (source, node), operation in kept.items():
        width = 2.0
        if weights is not None:
            index = space.edges.index((source, node))
            width = 4 * weights[index][space.cell(cell_type)[index].index(operation)]
        name = f"{source}→{node + inputs} {operation}"
        _arrow(ax, positions[source], positions[node + inputs], operation, width, name=name)
    for state in genotype.concat[cell_type]:
        _arrow(ax, positions[state], positions["out"], None, 0.6, name=f"{state}→output")
    ends = {0: "$c_{k-2}$", 1: "$c_{k-1}$", "out": "$c_k$"}
    if cell_type == RECURRENT:
        ends = {0: "$x_t, h_{t-1}$", "out": "$h_t$"}
    elif cell_type == UPSAMPLE:
        ends[0] = "encoder"
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
    ax.set_title(f"{cell_type} cell")
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


def _arrow(ax: Axes, start, end, operation: str | None, width: float, alpha: float = 0.95, name: str = "") -> None:
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
            gid=name,
        )  # fmt: skip
    )


def errors(history, ax: Axes | None = None, task: type[Task] = Classification) -> Axes:
    """Training error and one-shot validation error, as `task` measures them, over the epochs of a search."""
    ax = _axes(ax)
    ax.clear()
    train, valid = (
        [task.factor * getattr(record, name) for record in history] for name in ("train_error", "valid_error")
    )
    epochs, train, valid = _series(history, train, valid)
    marker = "." if len(history) < 3 else None
    ax.plot(epochs, train, "--", color="#656364", marker=marker, label="training")
    ax.plot(epochs, valid, "-", color=PALETTE[0], marker=marker, label="one-shot validation")
    _changes(history, ax)
    unit = f" ({task.unit})" if task.unit else ""
    _over_epochs(ax, task.metric + unit, (0, 100 if task.unit == "%" else None))
    ax.legend()
    ax.set_title(f"{task.metric} of the supernet")
    return ax


def losses(history, ax: Axes | None = None) -> Axes:
    """Training loss and one-shot validation loss over the epochs of a search."""
    ax = _axes(ax)
    ax.clear()
    epochs, train, valid = _series(
        history, [record.train_loss for record in history], [record.valid_loss for record in history]
    )
    marker = "." if len(history) < 3 else None
    ax.plot(epochs, train, "--", color="#656364", marker=marker, label="training")
    ax.plot(epochs, valid, "-", color=PALETTE[0], marker=marker, label="one-shot validation")
    _changes(history, ax)
    _over_epochs(ax, "loss", (None, None))
    ax.legend()
    ax.set_title("losses of the supernet")
    return ax


def _changes(history, ax: Axes) -> None:
    """Marks, by a thin line and a word at its head, the epochs before which a setting was changed by hand or by
    adaptation."""
    for before, record in zip([None, *history], history, strict=False):
        words = [f"{_SETTINGS.get(name, name)} {value:g}" for name, value in (record.changed or {}).items()]
        if before is not None and before.back_to is not None:
            words.append(f"back, L2 {record.weight_decay:g}")
        if words:
            ax.axvline(record.epoch, color=DARK, linewidth=0.8, linestyle=":")
            ax.text(
                record.epoch, 0.99, " " + ", ".join(words), fontsize=7, ha="left", va="top", rotation=90,
                transform=ax.get_xaxis_transform(),
            )  # fmt: skip


_SETTINGS = {"weight_decay": "L2", "drop_path": "drop path"}


def cost(history, steps: int | None = None, ax: Axes | None = None) -> Axes:
    """Seconds an epoch (measurements included) over the epochs of a search, or milliseconds a step where `steps` says
    how many an epoch has; the largest memory of the process so far stands in the title."""
    ax = _axes(ax)
    ax.clear()
    factor, unit = (1, "s an epoch") if steps is None else (1000 / steps, "ms a step")
    epochs, seconds = _series(history, [factor * record.seconds for record in history])
    ax.plot(epochs, seconds, color=PALETTE[0], marker=".", markersize=4)
    _over_epochs(ax, unit, (0, None))
    memory = [record.peak_memory_bytes for record in history if record.peak_memory_bytes is not None]
    ax.set_title("cost" + (f", memory up to {memory[-1] / 1e6:.0f} MB" if memory else ""))
    return ax


def counts(history, operations: str | Sequence[str], ax: Axes | None = None, space: SearchSpace | None = None) -> Axes:
    """How often an operation, or each of several, stands in the cells that the search would return, over its epochs.

    `none` stands in no cell that alpha chose: with `space`, the edges are counted on which it weighs most.
    """
    ax = _axes(ax)
    ax.clear()
    operations = [operations] if isinstance(operations, str) else operations
    kinds = history[-1].genotype.cell_types if history else ()
    for operation in operations:
        name = operation if len(operations) > 1 else ""
        for cell_type, dash, marker in zip(kinds, ("-", "--", ":"), "os^"):
            values, label = [float(record.genotype.count(operation, cell_type)) for record in history], cell_type
            if operation == NONE and space is not None:
                if not any(record.mixing is not None for record in history):
                    continue
                values, name = (
                    [_leads(NONE, record.mixing, space, cell_type) for record in history],
                    "none weighs most,",
                )
            epochs, values = _series(history, values)
            ax.plot(
                epochs, values, dash, marker=marker, markersize=3, color=style_of(operation)[0],
                label=f"{_short(name)} {label}".strip(),
            )  # fmt: skip
    most = max(map(len, history[-1].genotype.cells.values())) if history else 8
    _over_epochs(ax, f"edges of {most} kept", (-0.3, most + 0.3 if NONE not in operations else None))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    ax.set_title(" and ".join(map(_short, operations)) + " in the genotype")
    return ax


def _leads(operation: str, mixing, space: SearchSpace, cell_type: str) -> float:
    """On how many edges of a cell `operation` has the largest mixing weight; NaN where the weights are not known."""
    if mixing is None:
        return float("nan")
    best = np.asarray(mixing)[space.cell_types.index(cell_type)].argmax(1)
    return float(sum(names[index] == operation for names, index in zip(space.cell(cell_type), best, strict=True)))


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
    ax.legend()
    ax.set_title(f"{cell_type} cell")
    return ax


def eigenvalues(histories, rule: Rule = RULE, ax: Axes | None = None, finished: bool = True) -> Axes:
    """Dominant eigenvalue over the epochs of a search, or of several (name -> history).

    A history is a list of EpochRecord, or a table with the columns `epoch` and `dominant_eigenvalue` (`runs.table`).
    Dots are the measurements, with their standard errors where there are any; the line is the local average of `rule`;
    the star is where the rule would have stopped a search (with `finished` False: one that is still running). Of a
    single search the threshold is drawn too: an average above it stops the search, `delta` before.
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
        ax.errorbar(epochs, values, bars, fmt=".", color=colour, alpha=0.5, markersize=6, capsize=2)
        epochs, values = recent
        if values:
            places, averages = rule.averages(epochs, values)
            ax.plot(places, averages, _DASHES[number % 4], color=colour, label=name or "local average")
            stop = rule.stop(epochs, values, finished)
            if stop is not None:
                ax.plot(
                    stop, np.interp(stop, places, averages), "*", color=colour, markersize=12, markeredgecolor="black"
                )
        if values and not several:
            begins = [place >= rule.start for place in places[: -rule.delta]]
            ax.plot(
                places[rule.delta :][begins], rule.factor * averages[: -rule.delta][begins], ":", color=DARK,
                linewidth=1.2, label="stops above",
            )  # fmt: skip
    if not several and not isinstance(histories, pd.DataFrame):
        _changes(histories, ax)
    _over_epochs(ax, "dominant eigenvalue", (None, None))
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]) if ax.dataLim.ymin < 0 else 0)
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    ax.set_title("curvature of the validation loss")
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
        ax.legend()
    ax.set(xlabel="epoch", ylabel="Fisher trace")
    ax.set_title("when alpha is updated")
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
        ax.legend()
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
    """The one of `telling_operations` that tells most: noise where a space has it, else the first."""
    found = telling_operations(space)
    return NOISE if NOISE in found else found[0]


def telling_operations(space: SearchSpace) -> list[str]:
    """Those operations of a space that do nothing, whose spread means collapse: skip, noise, identity and none."""
    offered = {name for edges in space.cells.values() for edge in edges for name in edge}
    return [name for name in (SKIP, NOISE, IDENTITY, NONE) if name in offered] or [min(offered)]


@dataclass(frozen=True)
class View:
    """What there is to see of a search: its epochs so far (`history`), mixing weights (None: not known) and genotype at
    one moment, and with which `rule` its eigenvalues are read. `steps` is the number of batches in an epoch, where
    known; `finished` as for `Rule.stop`; `at` is an epoch to be marked in the curves; `task` says what an error is."""

    space: SearchSpace
    history: Sequence
    mixing: np.ndarray | None
    genotype: Genotype
    rule: Rule = RULE
    steps: int | None = None
    finished: bool = False
    at: int | None = None
    task: type[Task] = Classification


def _graph(view: View, cell_type: str, ax: Axes) -> Axes:
    space = None if view.mixing is None else view.space
    return cell(view.genotype, cell_type, view.mixing, space, ax)


_CURVES: dict[str, Callable[[View, Axes], Axes]] = {
    "eigenvalue": lambda view, ax: eigenvalues(view.history, view.rule, ax, view.finished),
    "counts": lambda view, ax: counts(view.history, telling_operations(view.space), ax, view.space),
    "errors": lambda view, ax: errors(view.history, ax, view.task),
    "losses": lambda view, ax: losses(view.history, ax),
    "cost": lambda view, ax: cost(view.history, view.steps, ax),
    "fisher": lambda view, ax: fisher_trace(view.history, ax),
}
CURVES = tuple(_CURVES)
PANELS = tuple(f"{what} {kind}" for what in ("weights", "cell") for kind in KNOWN_CELL_TYPES) + CURVES


def panel(name: str, view: View, ax: Axes | None = None) -> Axes:
    """One of the lab's `PANELS`: the mixing weights or the graph of one cell ("weights normal", "cell reduce", ...) that the
    space has, or one of the `CURVES` over epochs."""
    ax = _axes(ax)
    what, _, kind = name.partition(" ")
    if what == "weights":
        return mixing(view.mixing, view.space, kind, ax)
    if what == "cell":
        return _graph(view, kind, ax)
    _CURVES[name](view, ax)
    if view.at is not None:
        ax.axvline(view.at, color=DARK, linewidth=3, alpha=0.25, zorder=0)
    return ax


class Dashboard:
    """The picture of a search at one moment: heat maps, all cells, errors, counts and curvature on one Figure.

    It is drawn on a Figure that pyplot does not know, so it may be used in any thread.
    """

    def __init__(
        self, space: SearchSpace, size=(11, 6.2), dpi: int = 80, rule: Rule = RULE, task: type[Task] = Classification
    ):
        self.space, self.rule, self.task = space, rule, task
        self.figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        rows = [[f"{what} {kind}" for kind in space.cell_types] for what in ("weights", "cell")]
        rows.append(["eigenvalue", "counts", "errors"])
        mosaic = [[name for name in row for _ in range(6 // len(row))] for row in rows]
        self.axes = self.figure.subplot_mosaic(mosaic, height_ratios=[1.1, 1.6, 1.5])

    def draw(self, history, weights, genotype: Genotype) -> Figure:
        """The figure for the given history (a list of EpochRecord) and the state right now."""
        view = View(self.space, history, weights, genotype, self.rule, task=self.task)
        for name, ax in self.axes.items():
            if history or name not in CURVES:
                panel(name, view, ax)
        return self.figure


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


def _short(name: str) -> str:
    return {SKIP: "skip", SEP3: "sep 3", SEP5: "sep 5", DIL3: "dil 3", DIL5: "dil 5", MAX: "max", AVG: "avg"}.get(
        name, name
    )
