"""Pictures of mixing weights and cells."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from darts_lab.checks import argument, checked
from darts_lab.figures.style import empty_axes, short_name, style_of
from darts_lab.genotype import Genotype
from darts_lab.spaces import NONE, RECURRENT, UPSAMPLE, SearchSpace, inputs_of


@checked
def mixing(weights, space: SearchSpace, cell_type: str, ax: Axes | None = None) -> Axes:
    """Heat map of one cell's mixing weights, from 0 (dark) to 1 (bright): a row per operation, a column per edge.
    Without weights (None), as in the logs of others, it says so."""
    space.cell(cell_type)  # raises where the space has no such cell
    ax = empty_axes(ax, (6, 2))
    ax.set_title(f"mixing weights, {cell_type} cell")
    if weights is None:
        ax.text(0.5, 0.5, "not in this log", ha="center", va="center", transform=ax.transAxes)
        ax.axis("off")
        return ax
    import seaborn  # here, because it imports pyplot

    weights = _checked_weights(weights, space)[space.cell_types.index(cell_type)].T  # (candidates, edges)
    candidates = space.cell(cell_type)
    same, few = len(set(candidates)) == 1, len(candidates) <= 5
    labels, text = None, {"fontsize": 8} if few else {"fontsize": 6, "rotation": 90}
    if not same:  # every edge has its own operations: write their names into the squares
        labels = np.array([[short_name(name) for name in names] for names in candidates]).T
    elif few and space.candidates <= 4:
        labels = np.char.mod("%.2f", weights)
    seaborn.heatmap(
        weights, vmin=0, vmax=1, cmap="viridis", cbar=False, annot=labels, fmt="", annot_kws=text, ax=ax,
        xticklabels=[f"{source}→{node + space.inputs}" for source, node in space.edges],
        yticklabels=[short_name(name) for name in candidates[0]] if same else range(space.candidates),
    )  # fmt: skip
    ax.tick_params("x", labelsize=8 if few else 7, rotation=0 if few else 90)
    ax.tick_params("y", labelsize=8, rotation=0)
    for first_edge in np.cumsum([node + space.inputs for node in range(space.nodes - 1)]):  # of the next node
        ax.axvline(first_edge, color="white", linewidth=2)
    return ax


@checked
def cell(genotype, cell_type: str, weights=None, space: SearchSpace | None = None, ax: Axes | None = None) -> Axes:
    """One cell as a graph: colour and dash say the operation. With `weights` (mixing weights of `space`) lines are as
    wide as the weights of their operations, and edges that are not in the genotype are drawn too, faintly."""
    genotype = Genotype.of(genotype, None)
    if weights is not None:
        argument("space", space, SearchSpace)
        assert space is not None
        weights = _checked_weights(weights, space)
        genotype.mixing(space)  # raises where it is of another space
    ax = empty_axes(ax, (5, 2.6))
    inputs = inputs_of(cell_type)
    nodes = genotype.nodes_of(cell_type)
    states = nodes + inputs
    positions: dict[int | str, tuple[float, float]]
    positions = {0: (0.0, 0.8), 1: (0.0, -0.8)} if inputs == 2 else {0: (0.0, 0.0)}
    heights = (0.55, -0.55, 1.15, -1.15)
    positions |= {node + inputs: (node + 1.0, heights[node % 4]) for node in range(nodes)}
    positions["out"] = states - 0.4, 0.0
    kept: dict[tuple[int, int], list[str]] = {}  # of an edge, the operations: two in cells of NASNet
    for source, node, operation in genotype.edges(cell_type):
        kept.setdefault((source, node), []).append(operation)

    def draw_edge(source, node, operation, width, **style):
        name = f"{source}→{node + inputs} {operation}" + ("" if (source, node) in kept else ", not kept")
        _arrow(ax, positions[source], positions[node + inputs], operation, width, name=name, **style)

    weight_of = {}
    if weights is not None and space is not None:
        weights = weights[space.cell_types.index(cell_type)]
        for edge, names, edge_weights in zip(space.edges, space.cell(cell_type), weights, strict=True):
            weight_of[edge] = dict(zip(names, edge_weights, strict=True))
            strongest = max((name for name in names if name != NONE), key=weight_of[edge].__getitem__)
            if edge not in kept:
                source, node = edge
                draw_edge(source, node, strongest, 4 * weight_of[edge][strongest], alpha=0.18)
    for edge, names in kept.items():
        for number, operation in enumerate(names):
            width = 4 * weight_of[edge][operation] if weight_of else 2.0
            draw_edge(*edge, operation, width, bend=0.12 + 0.2 * number)
    for state in genotype.concat[cell_type]:
        _arrow(ax, positions[state], positions["out"], None, 0.6, name=f"{state}→output")
    older = "encoder" if cell_type == UPSAMPLE else "$c_{k-2}$"
    ends: dict[int | str, str] = {0: older, 1: "$c_{k-1}$", "out": "$c_k$"}
    if cell_type == RECURRENT:
        ends = {0: "$x_t, h_{t-1}$", "out": "$h_t$"}
    box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "#444444"}
    for state, place in positions.items():
        ax.text(*place, ends.get(state, str(state)), ha="center", va="center", fontsize=9, zorder=5, bbox=box)
    styles = {
        operation: style_of(operation) for operation in sorted({name for names in kept.values() for name in names})
    }
    handles = [Line2D([], [], color=c, linestyle=dash, linewidth=2, label=name) for name, (c, dash) in styles.items()]
    ax.legend(handles=handles, fontsize=7, loc="upper center", ncols=4, frameon=False, bbox_to_anchor=(0.5, 0.04))
    ax.set(title=f"{cell_type} cell", xlim=(-0.6, states + 0.2), ylim=(-1.9, 1.7))
    ax.axis("off")
    return ax


def _checked_weights(weights, space: SearchSpace) -> np.ndarray:
    weights = np.asarray(weights.detach().cpu() if isinstance(weights, Tensor) else weights)
    if np.shape(weights) != space.shape:
        shape = np.shape(weights)
        raise ValueError(f"weights: shape {shape} does not fit space {space.name!r}: {space.shape}")
    return weights


def _arrow(
    ax: Axes, start, end, operation: str | None, width: float, alpha: float = 0.95, name: str = "", bend: float = 0.12
) -> None:
    colour, dash = ("#999999", "-") if operation is None else style_of(operation)
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=7 + 1.5 * width, connectionstyle=f"arc3,rad={-bend:.2f}",
            shrinkA=11, shrinkB=11, color=colour, linestyle=dash, linewidth=max(width, 0.4), alpha=alpha, gid=name,
        )
    )  # fmt: skip
