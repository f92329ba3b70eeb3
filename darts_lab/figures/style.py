"""One style for all figures, and one colour and dash for each operation."""

from typing import Annotated, Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from darts_lab.checks import Positive, argument, checked, one_of
from darts_lab.spaces import (
    AVG,
    DIL3,
    DIL5,
    IDENTITY,
    MAX,
    NOISE,
    NONE,
    RELU,
    SEP3,
    SEP5,
    SEP7,
    SIGMOID,
    SKIP,
    STRIPS7,
    TANH,
)

# petroff8 (Petroff 2021, arXiv 2107.02270)
PALETTE = ("#1845fb", "#ff5e02", "#c91f16", "#c849a9", "#adad7d", "#86c8dd", "#578dff", "#656364")
DASHES = ("-", "--", "-.", ":")
DARK = "#222222"
STYLE: dict[str, Any] = {
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 8),
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "lines.linewidth": 1.8,
    "image.cmap": "viridis",
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 150,
}
_SIZES = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
STYLES: dict[str, dict[str, Any]] = {
    "screen": STYLE,
    "paper": STYLE
    | dict.fromkeys(_SIZES, 8)
    | {"axes.titleweight": "normal", "axes.linewidth": 0.6, "lines.linewidth": 1.2, "lines.markersize": 3.5}
    | {"savefig.dpi": 300},
}
OPERATION_STYLE: dict[str, tuple[str, Any]] = {
    SEP3: (PALETTE[0], "-"),
    SKIP: (PALETTE[1], "--"),
    NOISE: (PALETTE[2], ":"),
    SEP5: (PALETTE[3], "-"),
    AVG: (PALETTE[4], "-."),
    MAX: (PALETTE[5], "-."),
    DIL3: (PALETTE[6], (0, (6, 1))),
    DIL5: (PALETTE[7], (0, (3, 1, 1, 1))),
    SEP7: ("#832db6", "-"),  # of petroff10, as the next
    STRIPS7: ("#a96b59", "--"),
    NONE: ("#bbbbbb", ":"),
    TANH: (PALETTE[0], "-"),  # recurrent and convolutional operations are never in one picture
    IDENTITY: (PALETTE[1], "--"),
    RELU: (PALETTE[2], ":"),
    SIGMOID: (PALETTE[3], "-."),
}
METHOD_STYLE: dict[str, tuple[str, str]] = {  # (colour, marker), the same in every picture
    "DARTS": (PALETTE[2], "o"),
    "R-DARTS(L2)": (PALETTE[0], "s"),
    "R-DARTS(DP)": (PALETTE[6], "D"),
    "DARTS-ES": (PALETTE[1], "^"),
    "DARTS-ADA": (PALETTE[3], "v"),
    "DARTS-PRIME": ("#832db6", "P"),
    "CRB": ("#a96b59", "X"),
    "RS-ws": (PALETTE[7], "<"),
    "random cell": (PALETTE[4], "."),
    "published": (DARK, "h"),
}
_SHORT_NAMES = {
    SKIP: "skip", SEP3: "sep 3", SEP5: "sep 5", SEP7: "sep 7", DIL3: "dil 3", DIL5: "dil 5", STRIPS7: "7x1 1x7",
    MAX: "max", AVG: "avg",
}  # fmt: skip


@checked
def use_style(name: Annotated[str, one_of(*STYLES)] = "screen", dpi: Positive | None = None) -> None:
    """Sets one of `STYLES`, and `dpi` (pixels per inch on the screen) if given, for later figures.

    "screen" is that of the notebooks; "paper" has type of 8 points, thinner lines and files of 300 dpi, for
    `save(..., width=3.3)`. `matplotlib.rcdefaults()` undoes it. Raises ValueError for another name."""
    changes: dict[Any, Any] = STYLES[name] | ({} if dpi is None else {"figure.dpi": dpi})
    matplotlib.rcParams.update(changes)


def style_of(operation: str) -> tuple[str, Any]:
    """(colour, dash) of an operation; all operations of your own have the same one."""
    return OPERATION_STYLE.get(operation, (DARK, "-"))


def methods_style(names) -> dict[str, str]:
    """The colour of every method in `names`; those without one of their own get what is left of the palette."""
    names = list(dict.fromkeys(names))
    taken = {METHOD_STYLE[name][0] for name in names if name in METHOD_STYLE}
    free = [colour for colour in PALETTE if colour not in taken] or list(PALETTE)
    others = [name for name in names if name not in METHOD_STYLE]
    found = {name: free[number % len(free)] for number, name in enumerate(others)}
    return {name: METHOD_STYLE[name][0] if name in METHOD_STYLE else found[name] for name in names}


def empty_axes(ax: Axes | None, size=(5, 3)) -> Axes:
    """`ax` without what was drawn in it, or the Axes of a new pyplot figure of `size` inches."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=size, layout="constrained")
    argument("ax", ax, Axes)
    ax.clear()
    return ax


def label_epochs(ax: Axes, label: str, limits=(None, None), title: str = "") -> None:
    """Finishes a picture over epochs: ticks at whole epochs, `label` and `limits` of the y axis, title and legend."""
    ax.set(xlabel="epoch", ylabel=label, ylim=limits, title=title)
    if np.ptp(ax.dataLim.intervalx) < 1:  # one epoch, or none
        middle = np.nan_to_num(ax.dataLim.intervalx.mean())
        ax.set_xlim(middle - 0.5, middle + 0.5)
    ax.xaxis.set_major_locator(WholeNumbers())
    show_legend(ax)


class WholeNumbers(MaxNLocator):
    """Ticks at whole numbers, be it a single one."""

    def __init__(self):
        super().__init__(integer=True, min_n_ticks=1)


def show_legend(ax: Axes) -> None:
    """A legend without a title, if anything in `ax` has a label."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend()


@checked
def share_legend(figure: Figure) -> None:
    """One legend for all axes of `figure`, right of them, in place of their own, so that no data lies below it; a label
    that several axes have stands there once. The figure's layout must be "constrained"; raises ValueError otherwise."""
    if not isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        raise ValueError('figure: must have layout="constrained", which makes room for the legend')
    found: dict[str, Artist] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels()):
            found.setdefault(label, handle)
        if legend := ax.get_legend():
            legend.remove()
    if found:
        figure.legend(list(found.values()), list(found), loc="outside right upper")


def short_name(operation: str) -> str:
    """A name for small pictures: "sep 3" for sep_conv_3x3; others stay as they are."""
    return _SHORT_NAMES.get(operation, operation)
