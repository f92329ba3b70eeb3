"""Every figure: values in, matplotlib Axes out. Nothing here trains."""

from __future__ import annotations

from darts_lab.figures.cells import cell as cell
from darts_lab.figures.cells import mixing as mixing
from darts_lab.figures.curves import cost as cost
from darts_lab.figures.curves import counts as counts
from darts_lab.figures.curves import eigenvalues as eigenvalues
from darts_lab.figures.curves import errors as errors
from darts_lab.figures.curves import fisher_trace as fisher_trace
from darts_lab.figures.curves import landscape as landscape
from darts_lab.figures.curves import losses as losses
from darts_lab.figures.curves import spectrum as spectrum
from darts_lab.figures.curves import telling_operation as telling_operation
from darts_lab.figures.curves import telling_operations as telling_operations
from darts_lab.figures.curves import weight_shares as weight_shares
from darts_lab.figures.panels import CURVES as CURVES
from darts_lab.figures.panels import PANELS as PANELS
from darts_lab.figures.panels import Dashboard as Dashboard
from darts_lab.figures.panels import View as View
from darts_lab.figures.panels import panel as panel
from darts_lab.figures.pictures import picture as picture
from darts_lab.figures.pictures import pixel_map as pixel_map
from darts_lab.figures.saving import gallery as gallery
from darts_lab.figures.saving import plotted as plotted
from darts_lab.figures.saving import save as save
from darts_lab.figures.style import DARK as DARK
from darts_lab.figures.style import OPERATION_STYLE as OPERATION_STYLE
from darts_lab.figures.style import PALETTE as PALETTE
from darts_lab.figures.style import STYLE as STYLE
from darts_lab.figures.style import style_of as style_of
from darts_lab.figures.style import use_style as use_style
from darts_lab.figures.tables import by_kind as by_kind
from darts_lab.figures.tables import over_epochs as over_epochs
from darts_lab.figures.tables import over_setting as over_setting
from darts_lab.figures.tables import scatter as scatter
