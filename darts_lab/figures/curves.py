"""What a search did, epoch by epoch, and what its curvature looks like."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from darts_lab.checks import Allowed, Count, argument, checked
from darts_lab.curvature.landscape import Landscape
from darts_lab.figures.style import (
    DARK,
    DASHES,
    PALETTE,
    WholeNumbers,
    empty_axes,
    label_epochs,
    methods_style,
    short_name,
    show_legend,
    style_of,
)
from darts_lab.methods.monitors import RULE, Rule
from darts_lab.spaces import IDENTITY, NOISE, NONE, SKIP, SearchSpace, inputs_of
from darts_lab.tasks import Classification, Task

History = Annotated[
    Sequence,
    Allowed(
        "the history of a search, a list of its records",
        lambda value: isinstance(value, list | tuple) and all(hasattr(record, "epoch") for record in value),
    ),
]
SETTING_NAMES = {"weight_decay": "L2", "drop_path": "drop path"}  # those that may change during a search


@checked
def errors(history: History, ax: Axes | None = None, task: type[Task] = Classification) -> Axes:
    """Training error and one-shot validation error, as `task` measures them, over the epochs of a search."""
    ax = _training_and_validation(history, "error", task.factor, ax)
    label = task.metric + (f" ({task.unit})" if task.unit else "")
    label_epochs(ax, label, (0, 100 if task.unit == "%" else None), f"{task.metric} of the supernet")
    return ax


@checked
def losses(history: History, ax: Axes | None = None) -> Axes:
    """Training loss and one-shot validation loss over the epochs of a search."""
    ax = _training_and_validation(history, "loss", 1, ax)
    label_epochs(ax, "loss", title="losses of the supernet")
    return ax


def _training_and_validation(history, quantity: str, factor: float, ax: Axes | None) -> Axes:
    ax = empty_axes(ax)
    lines = (("train", "training", "--", PALETTE[7]), ("valid", "one-shot validation", "-", PALETTE[0]))
    for split, label, dash, colour in lines:
        series = _series(history, [factor * getattr(record, f"{split}_{quantity}") for record in history])
        ax.plot(*series, dash, color=colour, marker="." if len(history) < 3 else None, label=label)
    _mark_changes(history, ax)
    return ax


def _series(history, values) -> tuple[np.ndarray, np.ndarray]:
    """(epochs, values) of a history as a line that breaks where the search went back to an earlier epoch."""
    back = [index + 1 for index, record in enumerate(history) if record.back_to is not None]
    epochs = np.array([record.epoch for record in history], float)
    return np.insert(epochs, back, np.nan), np.insert(np.asarray(values, float), back, np.nan)


def _mark_changes(history, ax: Axes) -> None:
    """Marks the epochs before which a setting was changed, by hand or by adaptation: a thin line with a label."""
    for before, record in zip([None, *history], history, strict=False):
        words = [f"{SETTING_NAMES.get(name, name)} {value:g}" for name, value in (record.changed or {}).items()]
        if before is not None and before.back_to is not None:
            words.append(f"back, L2 {record.weight_decay:g}")
        if words:
            ax.axvline(record.epoch, color=DARK, linewidth=0.8, linestyle=":")
            above = ax.get_xaxis_transform()
            text = " " + ", ".join(words)
            ax.text(record.epoch, 0.99, text, fontsize=7, ha="left", va="top", rotation=90, transform=above)


@checked
def cost(history: History, steps: Count | None = None, ax: Axes | None = None) -> Axes:
    """Seconds per epoch (measurements included) over the epochs of a search, or milliseconds per step if `steps`, their
    number in an epoch, is given. The title has the largest memory of the process so far."""
    ax = empty_axes(ax)
    factor, unit = (1, "s an epoch") if steps is None else (1000 / steps, "ms a step")
    series = _series(history, [factor * record.seconds for record in history])
    ax.plot(*series, color=PALETTE[0], marker=".", markersize=4)
    memory = [record.peak_memory_bytes for record in history if record.peak_memory_bytes is not None]
    words = f", memory up to {memory[-1] / 1e6:.0f} MB" if memory else ""
    label_epochs(ax, unit, (0, None), f"cost{words}")
    return ax


@checked
def ranks(history: History, truth: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Where the cell that a search would return stands among all cells of its space, 1 the best, over its epochs.
    `truth` is the table of `ground_truth`."""
    ax = empty_axes(ax)
    places = [truth.at[str(record.genotype.canonical), "rank"] for record in history]
    ax.plot(*_series(history, places), color=PALETTE[0], drawstyle="steps-mid", marker=".", markersize=4)
    if places:
        error = 100 * truth.at[str(history[-1].genotype.canonical), "test_error"]
        words = f" {places[-1]}: {error:.1f} %"
        ax.annotate(words, (history[-1].epoch, places[-1]), ha="right", va="bottom", fontweight="bold")
    label_epochs(ax, "rank", (len(truth) + 1, 0), f"rank among all {len(truth)} cells, trained")
    return ax


@checked
def counts(
    history: History, operations: str | Sequence[str], ax: Axes | None = None, space: SearchSpace | None = None
) -> Axes:
    """How many edges of the cells that the search would return have an operation, or each of several, over its epochs.
    `none` is in no cell that alpha chose: with `space`, the edges are counted on which it has the largest weight."""
    ax = empty_axes(ax)
    operations = [operations] if isinstance(operations, str) else operations
    cell_types = history[-1].genotype.cell_types if history else ()
    for operation in operations:
        by_weight = space if operation == NONE else None
        if by_weight and not any(record.mixing is not None for record in history):
            continue
        name = "none weighs most, " if by_weight else f"{short_name(operation)} " if len(operations) > 1 else ""
        for cell_type, dash, marker in zip(cell_types, ("-", "--", ":"), "os^"):
            if by_weight:
                values = [_led_by_none(record.mixing, by_weight, cell_type) for record in history]
            else:
                values = [record.genotype.count(operation, cell_type) for record in history]
            style: dict[str, Any] = {"color": style_of(operation)[0], "marker": marker, "markersize": 3}
            ax.plot(*_series(history, values), dash, label=name + cell_type, **style)
    most = max(map(len, history[-1].genotype.cells.values())) if history else 0
    title = " and ".join(map(short_name, operations)) + " in the genotype"
    top = most + 0.3 if history and NONE not in operations else None
    label_epochs(ax, f"edges, of {most} kept" if history else "kept edges", (-0.3, top), title)
    ax.yaxis.set_major_locator(WholeNumbers())
    return ax


def _led_by_none(mixing, space: SearchSpace, cell_type: str) -> float:
    """On how many edges of a cell `none` has the largest mixing weight; NaN if the weights are unknown."""
    if mixing is None:
        return float("nan")
    best = np.asarray(mixing)[space.cell_types.index(cell_type)].argmax(1)
    return sum(names[index] == NONE for names, index in zip(space.cell(cell_type), best, strict=True))


@checked
def weight_shares(history: History, space: SearchSpace, cell_type: str, ax: Axes | None = None) -> Axes:
    """Mean mixing weight of every operation over the edges that offer it, over the epochs of a search, and thin those
    edges one by one."""
    candidates = space.cell(cell_type)  # raises where the space has no such cell
    ax = empty_axes(ax)
    index, inputs = space.cell_types.index(cell_type), inputs_of(cell_type)
    names = np.array(candidates)  # (edges, candidates), as are the weights of a record
    history = [record for record in history if record.mixing is not None]  # unknown in the logs of others
    for name in dict.fromkeys(names.flat):
        colour, dash = style_of(name)
        weights = np.array([np.asarray(record.mixing[index])[names == name] for record in history])
        ax.plot(*_series(history, [edges.mean() for edges in weights]), color=colour, linestyle=dash, label=name)
        offered = [edge for edge, row in zip(space.edges, candidates, strict=True) if name in row]
        for (source, node), values in zip(offered, weights.T, strict=False):
            thin: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.4, "gid": f"{source}→{node + inputs} {name}"}
            ax.plot(*_series(history, values), color=colour, linestyle=dash, **thin)
    label_epochs(ax, "mixing weight, bold: mean", (0, 1), f"{cell_type} cell")
    return ax


@checked
def eigenvalues(
    histories,
    rule: Rule | Mapping = RULE,
    ax: Axes | None = None,
    finished: bool | Mapping = True,
    colours: Mapping | None = None,
) -> Axes:
    """Dominant eigenvalue over the epochs of a search, or of several (name -> history), whose `colours` may be given by
    name; a method has its own. A history is a list of EpochRecord, or a table with the columns `epoch` and
    `dominant_eigenvalue` (`runs.table`).

    Dots are the measurements, with their standard errors if known; the line is the local average of `rule`; the star is
    where it would have stopped a search (with `finished` False: one that still runs); of several searches both may be
    given by name. For a single search the threshold is drawn too: an average above it stops the search, `delta` epochs
    or measurements earlier."""
    several = isinstance(histories, Mapping)
    for history in histories.values() if several else [histories]:
        if not isinstance(history, pd.DataFrame):
            argument("histories", history, History)
        elif missing := {"epoch", "dominant_eigenvalue"} - {*history}:
            raise ValueError(f"histories: the table has no column {min(missing)!r}")
    ax = empty_axes(ax)
    colours = methods_style(histories if several else [""]) | dict(colours or {})
    for number, (name, history) in enumerate(histories.items() if several else [("", histories)]):
        colour = colours[name]
        epochs, values, bars, recent = _measured(history)
        ax.errorbar(epochs, values, bars, fmt=".", color=colour, alpha=0.5, markersize=6, capsize=2)
        if not recent.any():
            continue
        epochs, values = epochs[recent].tolist(), values[recent].tolist()
        judge: Rule = rule[name] if isinstance(rule, Mapping) else rule
        ended: bool = finished[name] if isinstance(finished, Mapping) else finished
        places, averages = judge.averages(epochs, values)
        ax.plot(places, averages, DASHES[number % 4], color=colour, label=name or "local average")
        if (stop := judge.stop(epochs, values, ended)) is not None:
            star: dict[str, Any] = {"color": colour, "markersize": 12, "markeredgecolor": "black"}
            ax.plot(stop, np.interp(stop, places, averages), "*", **star)
        if not several:
            counted = places[: -judge.delta] >= judge.start
            threshold = judge.factor * averages[: -judge.delta][counted]
            ax.plot(places[judge.delta :][counted], threshold, ":", color=DARK, linewidth=1.2, label="stops above")
    if not several and not isinstance(histories, pd.DataFrame):
        _mark_changes(histories, ax)
    label_epochs(ax, "dominant eigenvalue", title="curvature of the validation loss")
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]) if ax.dataLim.ymin < 0 else 0)
    return ax


def _measured(history):
    """The epochs, dominant eigenvalues and standard errors (None if unknown) of a history, and which of them were
    measured after the search last went back to an earlier epoch: a rule looks at those alone."""
    columns = ["epoch", "dominant_eigenvalue", "eigenvalue_error", "back_to"]
    if not isinstance(history, pd.DataFrame):
        history = pd.DataFrame([[getattr(record, name) for name in columns] for record in history], columns=columns)
    epochs, values, bars, back = history.reindex(columns=columns).to_numpy(float).T
    measured = np.isfinite(values)
    recent = np.arange(len(back)) >= np.flatnonzero([True, *np.isfinite(back)])[-1]
    bars = np.nan_to_num(bars[measured]) if np.isfinite(bars).any() else None
    return epochs[measured], values[measured], bars, recent[measured]


@checked
def fisher_trace(history: History, ax: Axes | None = None) -> Axes:
    """The averaged Fisher trace before every batch, its threshold for an update of alpha, and marks for the updates."""
    ax = empty_axes(ax)
    places: list[float] = []
    moments: list[list] = []
    for record in history:
        batches = len(record.moments or [])
        # an epoch ends where the other curves have it; a gap where the search goes back
        places += [record.epoch - 1 + (batch + 1) / batches for batch in range(batches)]
        moments += record.moments or []
        if record.back_to is not None:
            places.append(float("nan"))
            moments.append([float("nan")] * 3)
    if moments:
        traces, thresholds, updates = np.array(moments, np.float64).T
        ax.semilogy(places, traces, color=PALETTE[0], label="Fisher trace")
        ax.semilogy(places, thresholds, "--", color=PALETTE[1], linewidth=1, label="threshold")
        marked = np.array(places)[updates > 0]
        bottom: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "color": DARK}
        ax.plot(marked, np.full(len(marked), 0.03), "|", label="alpha steps", **bottom)
        ax.legend()
    ax.set(xlabel="epoch", ylabel="Fisher trace", title="when alpha is updated")
    ax.xaxis.set_major_locator(WholeNumbers())
    return ax


@checked
def spectrum(spectra, ax: Axes | None = None) -> Axes:
    """All eigenvalues by rank, largest first (Zela et al. 2020, Fig. 14): of one Hessian, or of several by name."""
    ax = empty_axes(ax)
    for number, (name, values) in enumerate(spectra.items() if isinstance(spectra, Mapping) else [("", spectra)]):
        try:
            values = np.sort(np.asarray(getattr(values, "values", values), float))[::-1]
        except (TypeError, ValueError):
            values = np.empty(())
        if values.ndim != 1:
            raise ValueError("spectra: must be a list of eigenvalues, or several by name")
        colour, dash = PALETTE[number % 8], DASHES[number % 4]
        places = range(1, len(values) + 1)
        ax.plot(places, values, label=name or None, color=colour, linestyle=dash, marker=".", markersize=4)
    ax.axhline(0, color="#999999", linewidth=0.6)
    ax.set(xlabel="rank", ylabel="eigenvalue")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    show_legend(ax)
    return ax


@checked
def landscape(landscape: Landscape, ax: Axes | None = None) -> Axes:
    """The validation loss along a line (every batch faint, the mean bold) or over a plane (contours) through alpha."""
    ax = empty_axes(ax)
    if landscape.losses.ndim == 1:
        ax.plot(landscape.steps, landscape.per_batch.T, color=PALETTE[0], alpha=0.25, linewidth=0.8)
        ax.plot(landscape.steps, landscape.losses, color=PALETTE[0], linewidth=2)
        ax.set(xlabel="distance from alpha", ylabel="validation loss")
    else:
        lines = ax.contourf(landscape.steps, landscape.steps, landscape.losses.T, 20, cmap="viridis")
        ax.figure.colorbar(lines, ax=ax, label="validation loss")
        ax.plot(0, 0, "*", color="white", markersize=12, markeredgecolor="black")
        ax.set(xlabel="along the first direction", ylabel="along the second")
    return ax


@checked
def telling_operation(space: SearchSpace) -> str:
    """The one of `telling_operations` that says most: noise if the space has it, else the first."""
    telling = telling_operations(space)
    return NOISE if NOISE in telling else telling[0]


@checked
def telling_operations(space: SearchSpace) -> list[str]:
    """The operations of a space that compute nothing and tell of a collapse when they spread: skip, noise, identity and
    none. If it has none of these, its alphabetically first operation."""
    offered = {name for edges in space.cells.values() for edge in edges for name in edge}
    return [name for name in (SKIP, NOISE, IDENTITY, NONE) if name in offered] or [min(offered)]
