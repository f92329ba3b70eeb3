"""What a search did, epoch by epoch, and what its curvature looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from darts_lab.curvature.landscape import Landscape
from darts_lab.figures.style import _DASHES, DARK, PALETTE, _axes, _over_epochs, _short, style_of
from darts_lab.methods.monitors import RULE, Rule, measurements
from darts_lab.spaces import IDENTITY, NOISE, NONE, SKIP, SearchSpace
from darts_lab.tasks import Classification, Task


def _series(history, *values) -> tuple[np.ndarray, ...]:
    """(epochs, values, ...) of a history to be drawn as lines, which break where the search was thrown back."""
    columns = [[float(record.epoch) for record in history], *map(list, values)]
    for index in reversed([i for i, record in enumerate(history) if record.back_to is not None]):
        for column in columns:
            column.insert(index + 1, np.nan)
    return tuple(map(np.array, columns))


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
