"""Mixing weights and cells, drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from darts_lab.figures.style import _axes, _short, style_of
from darts_lab.genotype import Genotype
from darts_lab.spaces import NONE, RECURRENT, UPSAMPLE, SearchSpace, inputs_of


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
