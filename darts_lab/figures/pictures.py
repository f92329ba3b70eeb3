"""Images, and maps of a value for every pixel."""

import numpy as np
from matplotlib.axes import Axes

from darts_lab.figures.style import empty_axes


def picture(image, ax: Axes | None = None) -> Axes:
    """An image as in the data, channels first: the first three channels, red first (the left image of a pair); of four
    bands, blue first, the visible colours. What is not uint8 is brightened until the brightest 1 % is white."""
    image = np.asarray(image)
    if image.ndim != 3 or len(image) < 3:
        raise ValueError(f"image: must be (3 or more channels, height, width), found {image.shape}")
    ax = empty_axes(ax, (4, 2))
    colours = image[2::-1] if len(image) == 4 else image[:3]
    if image.dtype != np.uint8:
        colours = np.clip(colours / (np.quantile(colours, 0.99) or 1), 0, 1)
    ax.imshow(np.moveaxis(colours, 0, -1))
    ax.set_axis_off()
    return ax


def pixel_map(values, what: str, limits: tuple[float, float] | None = None, ax: Axes | None = None) -> Axes:
    """A value for every pixel, with a colour bar labelled `what`; grey where it is NaN. Maps to be compared need the
    same `limits` (default: the smallest and the largest value)."""
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise ValueError(f"values: must be numbers (height, width), found {values.shape} {values.dtype}")
    ax = empty_axes(ax, (4, 2))
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    image = ax.imshow(np.asarray(values), vmin=low, vmax=high, cmap="viridis", interpolation="nearest")
    ax.set_facecolor("#bbbbbb")
    ax.set(xticks=[], yticks=[])
    ax.figure.colorbar(image, ax=ax, label=what, shrink=0.8)
    return ax
