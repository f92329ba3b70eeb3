"""Several searches in one picture: a curve for each, in the colour of its method."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes

from darts_lab.checks import checked
from darts_lab.figures.curves import _series, eigenvalues, telling_operations
from darts_lab.figures.style import WholeNumbers, empty_axes, label_epochs, methods_style, short_name
from darts_lab.spaces import NONE


@checked
def overlay(name: str, views: Mapping, ax: Axes | None = None) -> Axes:
    """One of `OVERLAYS`, curves of several searches in one Axes. `views` maps the name of a search, best that of its
    method, which has its own colour, to its View."""
    if name not in OVERLAYS:
        raise ValueError(f"name: {name!r} is not known; known: {', '.join(OVERLAYS)}")
    ax = empty_axes(ax)
    colours = methods_style(views)
    OVERLAYS[name]({one: view for one, view in views.items() if view.history}, colours, ax)
    return ax


def _eigenvalues(views, colours, ax):
    if views:
        of = {name: (view.history, view.rule, view.finished) for name, view in views.items()}
        histories, rules, finished = (dict(zip(of, parts)) for parts in zip(*of.values()))
        eigenvalues(histories, rules, ax, finished, colours)


def _errors(views, colours, ax):
    for one, view in views.items():
        factor, epochs = view.task.factor, _series(view.history, [0.0] * len(view.history))[0]
        for split, dash, width in (("valid", "-", 1.8), ("train", ":", 1.2)):
            values = _series(view.history, [factor * getattr(record, f"{split}_error") for record in view.history])[1]
            label = one if split == "valid" else None
            ax.plot(epochs, values, dash, color=colours[one], linewidth=width, label=label)
    task = next(iter(views.values())).task if views else None
    if task is not None:
        unit = f" ({task.unit})" if task.unit else ""
        top = 100 if task.unit == "%" else None
        label_epochs(ax, task.metric + unit, (0, top), f"one-shot {task.metric} (dotted: training)")


def _counts(views, colours, ax):
    operations: list[str] = []
    for one, view in views.items():
        operations = operations or [name for name in telling_operations(view.space) if name != NONE]  # no cell keeps it
        for cell_type, dash in zip(view.space.cell_types, ("-", ":", "--")):
            counts = [sum(r.genotype.count(o, cell_type) for o in operations) for r in view.history]
            label = one if dash == "-" else None
            ax.plot(*_series(view.history, counts), dash, color=colours[one], label=label, marker="o", markersize=3)
    words = " and ".join(map(short_name, operations))
    label_epochs(ax, "kept edges", (-0.3, None), f"{words} kept (dotted: reduce)")
    ax.yaxis.set_major_locator(WholeNumbers())


def _losses(views, colours, ax):
    for one, view in views.items():
        for split, dash in (("valid", "-"), ("train", ":")):
            values = _series(view.history, [getattr(record, f"{split}_loss") for record in view.history])
            ax.plot(*values, dash, color=colours[one], label=one if split == "valid" else None)
    label_epochs(ax, "loss", title="one-shot loss (dotted: training)")


def _cost(views, colours, ax):
    for one, view in views.items():
        factor = 1 if view.steps is None else 1000 / view.steps
        ax.plot(
            *_series(view.history, [factor * record.seconds for record in view.history]), color=colours[one], label=one
        )
    label_epochs(ax, "ms a step" if any(view.steps for view in views.values()) else "s an epoch", (0, None), "cost")


OVERLAYS: dict[str, Callable] = {
    "eigenvalue": _eigenvalues, "counts": _counts, "errors": _errors, "losses": _losses, "cost": _cost,
}  # fmt: skip


@checked
def retrained(results: Mapping, ax: Axes | None = None, unit: str = "%") -> Axes:
    """The test error of cells that were trained from scratch, the number that counts, beside the one-shot error of
    their searches: `results` maps a label to (method, one-shot error, test error), as shown in `unit`; a test error may
    be None, not known yet."""
    ax = empty_axes(ax)
    colours = methods_style([method for method, _, _ in results.values()])
    for place, (method, one_shot, test) in enumerate(results.values()):
        label = None if place else "one-shot"
        ax.plot(one_shot, place, "D", color="white", markeredgecolor="black", zorder=5, label=label)
        if test is not None:
            ax.barh(place, test, 0.5, color=colours[method])
            ax.text(max(test, one_shot), place, f"   {test:.1f}", va="center", fontsize=9, fontweight="bold")
    ax.set_yticks(range(len(results)), list(results))
    ax.set_ylim(len(results) - 0.4, -0.6)
    top = max([max(one, test or 0) for _, one, test in results.values()], default=1)
    ax.set(xlim=(0, float(np.nan_to_num(top)) * 1.35 or 1), xlabel=unit, title="test error, retrained")
    if results:
        ax.legend(loc="lower right", fontsize=7)
    return ax
