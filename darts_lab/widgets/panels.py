"""The panels of the lab: an image for each of `figures.PANELS`, drawn again only when it would change, and one at a
time: it takes 50 to 100 ms, and all of them would delay the search by several batches."""

import io
import threading
import time

import ipywidgets as widgets
from matplotlib.figure import Figure

from darts_lab import figures
from darts_lab.figures.panels import CURVES, PANELS, View

RENDERING = threading.Lock()  # matplotlib is not thread-safe
_CURVE = (0.14, 0.16, 0.83, 0.73)  # the Axes in their image; fixed, because a layout engine doubles the time
_GRAPH = (0.01, 0.09, 0.98, 0.81)  # with the legend below


class Panels(widgets.GridBox):
    """The panels of one search, in `columns`."""

    def __init__(self, columns: int = 3):
        self._axes, self._drawn = {}, {}  # by name: its Axes; (its content, when it was drawn)
        self.images = {}
        for name in PANELS:
            image = widgets.Image(format="png", layout={"width": "100%", "display": "none"})
            self.images[name] = image.add_class(f"darts-lab-{name.replace(' ', '-')}")
        weights, cells = ([name for name in PANELS if name.startswith(word)] for word in ("weights", "cell"))
        order = dict.fromkeys([*weights, "eigenvalue", *cells, "counts", *CURVES] if columns > 2 else PANELS)
        layout = {"grid_template_columns": f"repeat({columns}, minmax(0, 1fr))", "width": "100%", "grid_gap": "2px"}
        super().__init__([self.images[name] for name in order], layout=layout)
        self.add_class("darts-lab-panels")
        self.frames = 0  # panels drawn so far

    def draw(self, view: View, most: int | None = None) -> float:
        """Draws the panels that `view` changes, at most `most` of them, those first that were drawn longest ago.
        Returns the seconds that took."""
        began = time.perf_counter()
        contents = {name: _content(name, view) for name in PANELS}
        for name in [name for name in self._drawn if contents[name] is None]:
            self._hide(name)
        due = [name for name in PANELS if self._drawn.get(name, (None,))[0] != contents[name]]
        for name in sorted(due, key=lambda name: self._drawn.get(name, (None, 0.0))[1])[:most]:
            with RENDERING:
                self.images[name].value = self._picture(name, view)
            self.images[name].layout.display = "block"
            self._drawn[name] = contents[name], time.perf_counter()
            self.frames += 1
        return time.perf_counter() - began

    def forget(self) -> None:
        """Every panel has to be drawn again, for another search."""
        self._drawn = dict.fromkeys(self._drawn, (object(), 0.0))

    def clear(self) -> None:
        for name in PANELS:
            self._hide(name)

    def _hide(self, name: str) -> None:
        self.images[name].layout.display = "none"
        self.images[name].value = b""
        self._drawn.pop(name, None)

    def _picture(self, name: str, view: View) -> bytes:
        if name not in self._axes:
            figure = Figure(figsize=(4.6, 3.0), dpi=100)
            self._axes[name] = figure.add_axes(_GRAPH if name.startswith("cell") else _CURVE)
        ax = figures.panel(name, view, self._axes[name])
        buffer = io.BytesIO()
        ax.figure.savefig(buffer, format="png")
        return buffer.getvalue()


def _content(name: str, view: View):
    """What a panel shows of `view`, which is drawn again when this has changed; None if it is not shown at all."""
    if name not in CURVES:
        if name.split()[1] not in view.space.cell_types or view.mixing is None and name.startswith("weights"):
            return None
        return view.genotype, None if view.mixing is None else view.mixing.tobytes()
    if not view.history or name == "fisher" and not any(record.moments for record in view.history[-1:]):
        return None
    more = (view.rule, view.finished) if name == "eigenvalue" else view.steps
    return len(view.history), view.history[-1:], more, view.at
