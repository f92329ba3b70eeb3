"""Images and maps of pixels beside the truth."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from darts_lab.figures.style import _axes


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
