"""Every figure: values in, matplotlib Axes out. Nothing here trains."""

# ruff: noqa: F401

from darts_lab.figures import drawings
from darts_lab.figures.cells import cell, mixing
from darts_lab.figures.curves import (
    cost,
    counts,
    eigenvalues,
    errors,
    fisher_trace,
    landscape,
    losses,
    ranks,
    spectrum,
    telling_operation,
    telling_operations,
    weight_shares,
)
from darts_lab.figures.overlays import OVERLAYS, overlay, retrained
from darts_lab.figures.panels import CURVES, PANELS, Dashboard, View, panel
from darts_lab.figures.pictures import picture, pixel_map
from darts_lab.figures.saving import gallery, plotted, save
from darts_lab.figures.style import (
    DARK,
    METHOD_STYLE,
    OPERATION_STYLE,
    PALETTE,
    STYLE,
    methods_style,
    share_legend,
    style_of,
    use_style,
)
from darts_lab.figures.tables import by_kind, over_epochs, over_setting, scatter

__all__ = ["drawings", "cell", "mixing", "cost", "counts", "eigenvalues", "errors", "fisher_trace", "landscape"]
__all__ += ["losses", "ranks", "spectrum", "telling_operation", "telling_operations", "weight_shares", "OVERLAYS"]
__all__ += ["overlay", "retrained", "CURVES", "PANELS", "Dashboard", "View", "panel", "picture", "pixel_map"]
__all__ += ["gallery", "plotted", "save", "DARK", "METHOD_STYLE", "OPERATION_STYLE", "PALETTE", "STYLE"]
__all__ += ["methods_style", "share_legend", "style_of", "use_style", "by_kind", "over_epochs", "over_setting"]
__all__ += ["scatter"]
