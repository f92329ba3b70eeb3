"""The panels of the lab: one image for each of `figures.PANELS`, drawn again only when it would change.

One panel takes 50 to 100 ms; drawing all of them at once would delay the search by several batches.
"""

from __future__ import annotations

import io
import threading
import time

import ipywidgets as widgets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from darts_lab import figures
from darts_lab.figures.panels import CURVES, PANELS, View

RENDERING = threading.Lock()  # matplotlib is not thread-safe
_SIZE, _DPI = (4.6, 3.0), 100  # inches, pixels an inch
_CURVE = (0.14, 0.16, 0.83, 0.73)  # the Axes in their image; fixed, because a layout engine doubles the time
_GRAPH = (0.01, 0.09, 0.98, 0.81)  # with the legend below


class Panels(widgets.GridBox):
    """The panels of one search, in `columns`."""

    def __init__(self, columns: int = 3):
        self._axes, self._drawn = {}, {}  # by name: its Axes; (its content, when it was drawn)
        self.images = {}
        for name in PANELS:
            image = widgets.Image(format="png", layout={"width": "100%", "display": "none"})
            image.add_class(f"darts-lab-{name.replace(' ', '-')}")
            self.images[name] = image
        kinds = [[name for name in PANELS if name.startswith(word)] for word in ("weights", "cell")]
        order = (*kinds[0], "eigenvalue", *kinds[1], "counts", *CURVES) if columns > 2 else PANELS
        order = dict.fromkeys(order)
        super().__init__(
            [self.images[name] for name in order],
            layout={"grid_template_columns": f"repeat({columns}, minmax(0, 1fr))", "width": "100%", "grid_gap": "2px"},
        )
        self.add_class("darts-lab-panels")
        self.frames = 0  # panels drawn so far

    def draw(self, view: View, most: int | None = None) -> float:
        """Draws the panels that `view` changes, at most `most` of them, those first that were drawn longest ago.
        Returns the seconds that took."""
        began = time.perf_counter()
        due = [name for name in PANELS if self._drawn.get(name, (None,))[0] != _content(name, view)]
        for name in sorted(due, key=lambda name: self._drawn.get(name, (None, 0.0))[1])[:most]:
            content = _content(name, view)
            if content is None:
                self._hide(name)
                continue
            with RENDERING:
                self.images[name].value = self._picture(name, view)
            self.images[name].layout.display = "block"
            self._drawn[name] = content, time.perf_counter()
            self.frames += 1
        return time.perf_counter() - began

    def forget(self) -> None:
        """Another search will be shown: every panel has to be drawn again."""
        self._drawn = dict.fromkeys(self._drawn, (object(), 0.0))

    def clear(self) -> None:
        """Hides all panels."""
        for name in PANELS:
            self._hide(name)

    def _hide(self, name: str) -> None:
        self.images[name].layout.display = "none"
        self.images[name].value = b""
        self._drawn.pop(name, None)

    def _picture(self, name: str, view: View) -> bytes:
        if name not in self._axes:
            figure = Figure(figsize=_SIZE, dpi=_DPI)
            FigureCanvasAgg(figure)
            self._axes[name] = figure.add_axes(_GRAPH if name.startswith("cell") else _CURVE)
        ax = figures.panel(name, view, self._axes[name])
        buffer = io.BytesIO()
        ax.figure.savefig(buffer, format="png")
        return buffer.getvalue()


def _content(name: str, view: View):
    """What a panel shows of `view`: it is drawn again when this has changed. None: it is not shown at all."""
    if name not in CURVES:
        if name.split()[1] not in view.space.cell_types or view.mixing is None and name.startswith("weights"):
            return None
        return view.genotype, None if view.mixing is None else view.mixing.tobytes()
    if name == "fisher" and not any(record.moments for record in view.history[-1:]):
        return None
    last = view.history[-1] if view.history else None
    more = (view.rule, view.finished) if name == "eigenvalue" else view.steps
    return len(view.history), last and (last.epoch, last.back_to, last.stop_epoch), more, view.at, view.space.name
