"""The panels of the live lab, and all of them on one figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darts_lab.checks import checked
from darts_lab.figures.cells import cell, mixing
from darts_lab.figures.curves import cost, counts, eigenvalues, errors, fisher_trace, losses, ranks, telling_operations
from darts_lab.figures.style import DARK
from darts_lab.genotype import Genotype
from darts_lab.methods.monitors import RULE, Rule
from darts_lab.spaces import KNOWN_CELL_TYPES, SearchSpace
from darts_lab.tasks import Classification, Task


@dataclass(frozen=True)
class View:
    """What a panel shows of a search: its epochs so far, its mixing weights (None: unknown) and genotype at one moment.
    `rule` reads its eigenvalues, with `finished` as for `Rule.stop`; `steps` are the batches of an epoch, if known;
    `at` is an epoch to be marked in the curves; `task` says what an error is; `truth` ranks all cells, where known."""

    space: SearchSpace
    history: Sequence
    mixing: np.ndarray | None
    genotype: Genotype
    rule: Rule = RULE
    steps: int | None = None
    finished: bool = False
    at: int | None = None
    task: type[Task] = Classification
    truth: pd.DataFrame | None = None


_CURVES: dict[str, Callable[[View, Axes | None], Axes]] = {
    "eigenvalue": lambda view, ax: eigenvalues(view.history, view.rule, ax, view.finished),
    "rank": lambda view, ax: ranks(view.history, view.truth, ax),
    "counts": lambda view, ax: counts(view.history, telling_operations(view.space), ax, view.space),
    "errors": lambda view, ax: errors(view.history, ax, view.task),
    "losses": lambda view, ax: losses(view.history, ax),
    "cost": lambda view, ax: cost(view.history, view.steps, ax),
    "fisher": lambda view, ax: fisher_trace(view.history, ax),
}
CURVES = tuple(_CURVES)
PANELS = tuple(f"{what} {kind}" for what in ("weights", "cell") for kind in KNOWN_CELL_TYPES) + CURVES


@checked
def panel(name: str, view: View, ax: Axes | None = None) -> Axes:
    """One of `PANELS`: mixing weights or the graph of one cell ("weights normal", "cell reduce", ...), or a curve."""
    if name not in PANELS:
        raise ValueError(f"name: {name!r} is not known; known: {', '.join(PANELS)}")
    what, _, cell_type = name.partition(" ")
    if what == "weights":
        return mixing(view.mixing, view.space, cell_type, ax)
    if what == "cell":
        return cell(view.genotype, cell_type, view.mixing, view.space, ax)
    ax = _CURVES[name](view, ax)
    if view.at is not None:
        ax.axvline(view.at, color=DARK, linewidth=3, alpha=0.25, zorder=0)
    return ax


class Dashboard:
    """A search at one moment on one Figure: heat maps, all cells, errors, counts and curvature. pyplot does not know
    the Figure, so any thread may use it."""

    def __init__(
        self, space: SearchSpace, size=(11, 6.2), dpi=80, rule: Rule = RULE, task: type[Task] = Classification
    ):
        self.space, self.rule, self.task = space, rule, task
        self.figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        rows = [[f"{what} {cell_type}" for cell_type in space.cell_types] for what in ("weights", "cell")]
        rows.append(["eigenvalue", "counts", "errors"])
        mosaic: list[Any] = [[name for name in row for _ in range(6 // len(row))] for row in rows]
        self.axes = self.figure.subplot_mosaic(mosaic, height_ratios=[1.1, 1.6, 1.5])

    def draw(self, history, weights, genotype: Genotype) -> Figure:
        """Draws all panels anew for `history` (records of the epochs), the mixing `weights` and the `genotype` to mark;
        an empty history leaves the curves out. Returns the figure."""
        view = View(self.space, history, weights, genotype, self.rule, task=self.task)
        for name, ax in self.axes.items():
            if history or name not in CURVES:
                panel(name, view, ax)
        return self.figure
