"""The panels of the lab: every figure of `figures.PANELS` an image of its own, drawn again only when it would change.

One panel takes some 50 to 100 ms; all of them at once would hold the search up for as long as several batches.
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

RENDERING = threading.Lock()  # matplotlib is not made for two threads at once
_SIZE, _DPI = (4.6, 3.0), 100  # inches, pixels an inch
_INSIDE = (0.14, 0.16, 0.83, 0.73)  # where the curves lie in their image; fixed, as a layout engine doubles the time
_WHOLE = (0.01, 0.09, 0.98, 0.81)  # its legend lies below


class Panels(widgets.GridBox):
    """The panels of one search. `columns` is how many stand side by side."""

    def __init__(self, columns: int = 3):
        self._axes, self._drawn = {}, {}  # by name: its Axes; (what it shows, when it was drawn)
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
        """Draws the panels that `view` changes, those first that were drawn longest ago, at most `most` of them. Gives
        the seconds that took."""
        began = time.perf_counter()
        due = [name for name in PANELS if self._drawn.get(name, (None,))[0] != _shown(name, view)]
        for name in sorted(due, key=lambda name: self._drawn.get(name, (None, 0.0))[1])[:most]:
            shown = _shown(name, view)
            if shown is None:
                self._hide(name)
                continue
            with RENDERING:
                content = self._picture(name, view)
            image = self.images[name]
            image.value = content
            image.layout.display = "block"
            self._drawn[name] = shown, time.perf_counter()
            self.frames += 1
        return time.perf_counter() - began

    def forget(self) -> None:
        """Another search is to be shown: nothing that is drawn is up to date."""
        self._drawn = dict.fromkeys(self._drawn, (object(), 0.0))

    def clear(self) -> None:
        """Takes all pictures away."""
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
            self._axes[name] = figure.add_axes(_WHOLE if name.startswith("cell") else _INSIDE)
        ax = figures.panel(name, view, self._axes[name])
        buffer = io.BytesIO()
        ax.figure.savefig(buffer, format="png")
        return buffer.getvalue()


def _shown(name: str, view: View):
    """What a panel shows of `view`: it is drawn again when that has changed. None: it is not shown at all."""
    if name not in CURVES:
        if name.split()[1] not in view.space.cell_types:
            return None
        return None if view.mixing is None and name.startswith("weights") else (view.genotype, _bytes(view.mixing))
    if name == "fisher" and not any(record.moments for record in view.history[-1:]):
        return None
    last = view.history[-1] if view.history else None
    more = (view.rule, view.finished) if name == "eigenvalue" else view.steps
    return len(view.history), last and (last.epoch, last.back_to, last.stop_epoch), more, view.at, view.space.name


def _bytes(mixing) -> bytes | None:
    return None if mixing is None else mixing.tobytes()
