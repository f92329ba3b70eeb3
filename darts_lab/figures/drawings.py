"""Drawings that explain: no results in them. Each takes an Axes or makes one of its own size, and returns it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon

from darts_lab import spaces
from darts_lab.checks import Count, Positive, checked
from darts_lab.figures.style import DARK, METHOD_STYLE, PALETTE, empty_axes, short_name, style_of
from darts_lab.spaces import CELL_TYPES, SEP3, SKIP

WEIGHTS, ALPHA, PALE = PALETTE[0], PALETTE[1], "#f2f2f2"  # the colours of w and of alpha, and of what is neither
_COLOURS = {"normal": "#e8edff", "reduce": "#ffe6d6"}


@checked
def network(layers: Count = 8, ax: Axes | None = None) -> Axes:
    """The chain of `layers` cells that every network here is, and below it the inside of one cell of the supernet:
    every edge offers the operations of S2, weighed against each other."""
    ax = _board(ax, (9, 4.6), 12, 6.4)
    reductions = {layers // 3, 2 * layers // 3}
    width = 7.2 / layers
    places = [2.3 + width * (layer + 0.5) for layer in range(layers)]
    _box(ax, 0.55, 5.2, "image", 0.9)
    _box(ax, 1.75, 5.2, "stem", 0.8)
    _arrow(ax, (1.0, 5.2), (1.35, 5.2))
    for layer, place in enumerate(places):
        kind = CELL_TYPES[layer in reductions]
        _box(ax, place, 5.2, kind[0].upper(), 0.66 * width, 0.8 if kind == "normal" else 0.6, _COLOURS[kind])
        before = [1.75, 1.75, *places][layer : layer + 2]
        edges = [x + (0.4 if x == 1.75 else 0.33 * width) for x in before]
        _arrow(ax, (edges[1], 5.2), (place - 0.33 * width, 5.2))
        if layer:
            _arrow(ax, (before[0], 5.6), (place, 5.6), bend=-0.35, colour="#999999")
    _box(ax, 11.0, 5.2, "pool, linear,\nclass", 1.5)
    _arrow(ax, (places[-1] + 0.33 * width, 5.2), (10.25, 5.2))
    words = "N normal cell: keeps the size.   R reduction cell: halves height and width, doubles the channels."
    ax.text(6, 6.25, words + "\nAll cells of a kind have the same alpha.", ha="center", va="center", fontsize=8)
    zoomed = places[0]
    for side, low in ((-0.33, 1.6), (0.33, 10.4)):
        ax.plot([zoomed + side * width, low], [4.8, 4.15], color="#aaaaaa", linewidth=0.8, linestyle=":")
    ax.add_patch(
        FancyBboxPatch((1.6, 0.5), 8.8, 3.65, boxstyle="round,pad=0.1", facecolor="#fbfbff", edgecolor="#aaaaaa")
    )
    nodes = {"$c_{k-2}$": (2.2, 3.5), "$c_{k-1}$": (2.2, 1.2), "2": (5.0, 3.2), "3": (7.2, 1.5), "$c_k$": (9.9, 2.35)}
    edges = ("$c_{k-2}$ 2", "$c_{k-1}$ 2", "$c_{k-2}$ 3", "$c_{k-1}$ 3", "2 3")
    for source, node in map(str.split, edges):
        for bend, operation in ((0.07, SEP3), (-0.07, SKIP)):
            colour, dash = style_of(operation)
            _arrow(ax, nodes[source], nodes[node], bend=bend, colour=colour, dash=dash, shrink=13)
    for node in "23":
        _arrow(ax, nodes[node], nodes["$c_k$"], colour="#999999", shrink=13)
    for name, (x, y) in nodes.items():
        _box(ax, x, y, name, 0.5, 0.42)
    for number, (operation, sign) in enumerate(((SEP3, r"\mathrm{sep}"), (SKIP, r"\mathrm{skip}"))):
        colour, dash = style_of(operation)
        ax.plot([7.3, 7.8], [3.75 - 0.32 * number] * 2, color=colour, linestyle=dash, linewidth=2)
        ax.text(7.9, 3.75 - 0.32 * number, f"{short_name(operation)}, weight $p_{{{sign}}}$", va="center", fontsize=8)
    formula = r"an edge gives  $\sum_o\ p_o\ o(x)$,   $p = \mathrm{softmax}(\alpha)$;  a node adds its edges up"
    ax.text(6, 0.75, formula, ha="center", va="center", fontsize=9)
    return ax


@checked
def taking_turns(steps: Count = 3, ax: Axes | None = None) -> Axes:
    """How a search goes on: for every batch alpha takes a step on the validation loss, then w one on the training
    loss."""
    ax = _board(ax, (9, 2.6), 3.1 * steps + 2.6, 3.4)
    lanes = {"alpha": (2.5, ALPHA, r"$\alpha \leftarrow \alpha - \eta_\alpha\, \nabla_\alpha L_{valid}(w, \alpha)$"),
             "w": (0.9, WEIGHTS, r"$w \leftarrow w - \eta_w\, \nabla_w L_{train}(w, \alpha)$")}  # fmt: skip
    for name, (height, colour, formula) in lanes.items():
        words = {"alpha": "architecture\nvalidation data", "w": "weights\ntraining data"}[name]
        ax.text(0.1, height, words, va="center", fontsize=8, color=colour, fontweight="bold")
        ax.plot([1.9, 3.1 * steps + 2.3], [height] * 2, color=colour, linewidth=0.8, alpha=0.4, zorder=0)
        ax.text(3.1 * steps / 2 + 2.2, height + (0.75 if name == "alpha" else -0.7), formula, ha="center", fontsize=9)
    for step in range(steps):
        left = 2.5 + 3.1 * step
        first, second = (left, lanes["alpha"][0]), (left + 1.55, lanes["w"][0])
        for (x, y), colour, words in ((first, ALPHA, "valid"), (second, WEIGHTS, "train")):
            _box(ax, x, y, f"{words} {step + 1}", 0.95, 0.5, "white", colour)
        _arrow(ax, first, second, colour=DARK, shrink=17)
        if step < steps - 1:
            _arrow(ax, second, (left + 3.1, lanes["alpha"][0]), colour=DARK, shrink=17)
    return ax


@checked
def flat_and_sharp(flat: Positive = 0.25, sharp: Positive = 2.5, ax: Axes | None = None) -> Axes:
    """Two optima of the validation loss over alpha, of curvatures `flat` and `sharp`, and what discretization, a jump
    of the same length, costs at each: to second order, half the curvature times its square (Zela et al. 2020,
    section 4.2)."""
    ax = empty_axes(ax, (6, 3.2))
    jump, x = 1.0, np.linspace(-1.25, 1.35, 200)
    for curvature, colour, name in ((flat, WEIGHTS, "flat"), (sharp, PALETTE[2], "sharp")):
        ax.plot(x, curvature * x**2 / 2, color=colour, label=f"{name}: curvature {curvature:g}")
        rise = curvature * jump**2 / 2
        ax.plot(jump, rise, "o", color=colour)
        ax.annotate("", (jump, rise), (jump, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.5})
        ax.text(jump + 0.05, rise / 2, f"+{rise:.3g}", color=colour, va="center", fontsize=9)
    ax.plot(0, 0, "o", color=DARK)
    ax.axvline(jump, color="#999999", linestyle=":", linewidth=1, zorder=0)
    ax.annotate("", (jump, -0.1), (0, -0.1), arrowprops={"arrowstyle": "-|>", "color": DARK})
    ax.text(jump / 2, -0.14, "discretization", ha="center", va="top", fontsize=8)
    ax.set(
        xlabel="", ylabel="validation loss", ylim=(-0.35, None), title="the same jump, from a flat and a sharp optimum"
    )
    ax.set_xticks([0, jump], [r"$\alpha^*$ found", "discrete cell"])
    ax.set_yticks([])
    ax.legend(loc="upper left")
    return ax


@checked
def projection(ax: Axes | None = None) -> Axes:
    """Where the proximity term of DARTS-PRIME pushes the mixing weights of an edge with three operations: an edge that
    the cell keeps, towards its strongest operation; one that it drops, towards a uniform mixture. Arrows are steps of
    alpha down half the squared distance to the nearest discrete cell, all of one length."""
    ax = _board(ax, (7.5, 3.4), 2.6, 1.25)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.87]])
    grid = [np.array([a, b, 10 - a - b]) / 10 for a in range(1, 9) for b in range(1, 10 - a)]
    for kept, left, words in ((True, 0.1, "a kept edge"), (False, 1.45, "a dropped edge")):
        places = corners + (left, 0.14)
        ax.add_patch(Polygon(places, facecolor="#fafafa", edgecolor="#999999"))
        for weights in grid:
            target = np.eye(3)[weights.argmax()] if kept else np.zeros(3)
            force = -(np.diag(weights) - np.outer(weights, weights)) @ (weights - target)  # of the mixing weights ...
            force = (np.diag(weights) - np.outer(weights, weights)) @ force  # ... as a step of alpha moves them
            ties = np.sum(weights == weights.max()) > 1
            move = force @ corners
            if np.linalg.norm(move) < 1e-9 or kept and ties:
                continue
            start, end = weights @ places, weights @ places + 0.07 * move / np.linalg.norm(move)
            colour = PALETTE[(0, 1, 3)[weights.argmax()]] if kept else DARK
            _arrow(ax, start, end, colour=colour, width=1.0, head=6)
        for (x, y), name, aside in zip(places, ("sep 3", "skip", "max pool"), ((0, -0.06), (0, -0.06), (0, 0.05))):
            ax.text(x + aside[0], y + aside[1], name, ha="center", va="center", fontsize=8)
        if not kept:
            ax.plot(*places.mean(0), "o", color=DARK, markersize=4)
        ax.text(left + 0.5, 1.2, words, ha="center", va="center", fontsize=10, fontweight="bold")
    return ax


@checked
def unrolled_step(ax: Axes | None = None) -> Axes:
    """The two ways on which the validation loss depends on alpha once w takes a step: directly, which is all that first
    order sees, and through the step, which second order adds (Liu et al. 2019, eq. 5 and 6)."""
    ax = _board(ax, (9, 3.2), 12, 4.3)
    _box(ax, 0.9, 3.2, "$w$", 0.8, 0.7, "white", WEIGHTS)
    _box(ax, 0.9, 1.0, r"$\alpha$", 0.8, 0.7, "white", ALPHA)
    _box(ax, 5.0, 3.2, r"$w' = w - \xi\, \nabla_w L_{train}(w, \alpha)$", 3.6, 0.8, "white", WEIGHTS)
    _box(ax, 10.0, 2.1, r"$L_{valid}(w', \alpha)$", 2.2, 0.8)
    _arrow(ax, (1.3, 3.2), (3.2, 3.2))
    _arrow(ax, (1.3, 1.2), (3.6, 2.8))
    _arrow(ax, (6.8, 3.1), (8.9, 2.4))
    _arrow(ax, (1.3, 1.0), (8.9, 1.85))
    back = {"dash": "--", "shrink": 2, "width": 1.8}
    _arrow(ax, (10.0, 1.7), (1.3, 0.8), bend=-0.13, colour=ALPHA, **back)
    ax.text(6.2, 0.1, r"first order:  $\nabla_\alpha L_{valid}$", color=ALPHA, ha="center", fontsize=9)
    _arrow(ax, (9.1, 2.5), (6.8, 3.45), bend=0.2, colour=PALETTE[3], **back)
    _arrow(ax, (3.9, 2.8), (1.35, 1.35), bend=-0.25, colour=PALETTE[3], **back)
    words = (
        r"second order adds:  $-\,\xi\, \nabla^2_{\alpha w} L_{train}(w, \alpha)\ \nabla_{w'} L_{valid}(w', \alpha)$"
    )
    ax.text(6.2, 4.1, words, color=PALETTE[3], ha="center", va="center", fontsize=9)
    ax.text(2.25, 3.4, "one batch of\ntraining data", ha="center", va="bottom", fontsize=7)
    ax.text(10.4, 2.6, "one batch of validation data", ha="center", va="bottom", fontsize=7)
    return ax


@checked
def candidates(ax: Axes | None = None) -> Axes:
    """What one edge of the normal cell offers in S1 to S4, and what each operation makes of its input (Zela et al.
    2020, section 3). In S1 every edge has two operations of its own; the first edge's are drawn."""
    ax = _board(ax, (9, 2.6), 14.4, 4.0)
    makes = {SKIP: "passes it on", "noise": "random numbers", "none": "nothing"}  # convolutions can learn
    for number, name in enumerate(("S1", "S2", "S3", "S4")):
        left, operations = 3.6 * number + 0.35, spaces.get(name).normal[0]
        ax.text(left + 1.5, 3.75, name, ha="center", va="center", fontsize=10, fontweight="bold")
        for row, operation in enumerate(operations):
            colour, dash = style_of(operation)
            bend = 0.55 * ((len(operations) - 1) / 2 - row)
            _arrow(ax, (left + 0.25, 2.5), (left + 2.75, 2.5), -bend, colour, dash, width=1.8, shrink=10)
            words = f"{short_name(operation)}: {makes.get(operation, 'can learn')}"
            ax.plot([left, left + 0.45], [1.25 - 0.42 * row] * 2, color=colour, linestyle=dash, linewidth=1.8)
            ax.text(left + 0.6, 1.25 - 0.42 * row, words, va="center", fontsize=8)
        for node, place in (("i", left + 0.2), ("j", left + 2.8)):
            _box(ax, place, 2.5, node, 0.4, 0.5)
    return ax


@checked
def going_back(ax: Axes | None = None) -> Axes:
    """What three searches do when the eigenvalue has risen too much: DARTS goes on, DARTS-ES ends and returns the cell
    of an epoch before, DARTS-ADA goes back to that epoch and on from there with ten times the weight decay (Zela et al.
    2020, section 5)."""
    ax = _board(ax, (9, 2.9), 14.0, 4.5)
    start, stop, known, end = 2.4, 6.4, 9.0, 13.2
    lanes = {"DARTS": 3.9, "DARTS-ES": 2.75, "DARTS-ADA": 1.6}
    for method, height in lanes.items():
        colour = METHOD_STYLE[method][0]
        ax.text(0.1, height, method, va="center", fontsize=9, color=colour, fontweight="bold")
        _arrow(ax, (start, height), (end if method == "DARTS" else known, height), colour=colour, width=1.8)
    colour = METHOD_STYLE["DARTS-ES"][0]
    ax.plot(stop, lanes["DARTS-ES"], "*", color=colour, markersize=13)
    ax.text(known + 0.25, lanes["DARTS-ES"], "ends; the cell of the star is returned", va="center", fontsize=8)
    colour, low = METHOD_STYLE["DARTS-ADA"][0], 0.75
    _arrow(ax, (known, lanes["DARTS-ADA"]), (stop, low), bend=0.12, colour=colour, dash="--", shrink=3)
    _arrow(ax, (stop, low), (end, low), colour=colour, width=2.6)
    ax.text(known + 0.25, lanes["DARTS-ADA"], "goes back, weights and all", va="center", fontsize=8)
    ax.text((stop + end) / 2, low - 0.3, "weight decay ten times as large", ha="center", va="center", fontsize=8)
    for place, words in ((stop, "the stop"), (known, "known only here")):
        ax.plot([place] * 2, [0.4, 4.15], color="#999999", linestyle=":", linewidth=1, zorder=0)
        ax.text(place, 4.45, words, ha="center", va="top", fontsize=8)
    ax.text(end, 3.65, "epochs", ha="right", va="top", fontsize=8)
    return ax


def _board(ax: Axes | None, size, width: float, height: float) -> Axes:
    """An empty Axes without axes, `width` by `height` in its own units."""
    ax = empty_axes(ax, size)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return ax


def _box(ax, x, y, words, width, height=0.5, colour=PALE, edge="#666666"):
    corner, shape = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.08"
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, facecolor=colour, edgecolor=edge, zorder=4))
    ax.text(x, y, words, ha="center", va="center", fontsize=9, zorder=5)


def _arrow(ax, start, end, bend=0.0, colour="#444444", dash="-", width=1.3, shrink=0.0, head=9):
    line = {"color": colour, "linestyle": dash, "linewidth": width, "shrinkA": shrink, "shrinkB": shrink, "zorder": 3}
    shape = {"arrowstyle": "-|>", "mutation_scale": head, "connectionstyle": f"arc3,rad={bend}"}
    ax.add_patch(FancyArrowPatch(start, end, **shape, **line))
