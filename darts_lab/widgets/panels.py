"""The panels of the lab: an image for each of `figures.PANELS`, drawn again only when it would change, and one at a
time: it takes 50 to 100 ms, and all of them would delay the search by several batches."""

import io
import threading
import time
from typing import Any

import ipywidgets as widgets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darts_lab import figures
from darts_lab.figures.overlays import OVERLAYS
from darts_lab.figures.panels import CURVES, PANELS, View

RENDERING = threading.Lock()  # matplotlib is not thread-safe
_CURVE = (0.14, 0.16, 0.83, 0.73)  # the Axes in their image; fixed, because a layout engine doubles the time
_GRAPH = (0.01, 0.09, 0.98, 0.81)  # with the legend below
_SIZE: dict[str, Any] = {"figsize": (4.6, 3.0), "dpi": 100}
_LARGE: dict[str, Any] = {"figsize": (3.3, 2.15), "dpi": 140}  # before a class
_LARGE_CURVE, _LARGE_GRAPH = (0.18, 0.22, 0.79, 0.65), (0.01, 0.09, 0.98, 0.78)
_FOR_A_CLASS = ("weights normal", "cell normal", "eigenvalue", "rank", "counts", "errors", "retrained")


class _Pictures(widgets.GridBox):
    """Images by name, in `images`, in which Axes are drawn again and again."""

    large = False  # whether it is seen from the last row
    images: dict[str, widgets.Image]
    _axes: dict[str, Axes]
    _drawn: dict[str, tuple[Any, float]]  # its content, and when it was drawn

    def enlarge(self, large: bool) -> None:
        """Draws with larger type from now on, and shows those panels only that a class looks at; or all again."""
        with RENDERING:  # a search may be drawing
            self.large, self._axes = large, {}
            self.forget()
        for name in self.images:
            if large and name not in _FOR_A_CLASS:
                self.images[name].layout.display = "none"

    def forget(self) -> None:
        """Every panel has to be drawn again."""
        self._drawn = dict.fromkeys(self._drawn, (object(), 0.0))

    def _axes_of(self, name: str, place, large_place):
        if name not in self._axes:
            figure = Figure(**(_LARGE if self.large else _SIZE))
            self._axes[name] = figure.add_axes(large_place if self.large else place)
        return self._axes[name]

    def _show(self, name: str, picture: bytes, content) -> None:
        self.images[name].value = picture
        self.images[name].layout.display = "block"
        self._drawn[name] = content, time.perf_counter()
        self.frames += 1


class Panels(_Pictures):
    """The panels of one search, in `columns`; `curves` False leaves out those that `Shared` draws."""

    def __init__(self, columns: int = 3, curves: bool = True):
        self._axes, self._drawn = {}, {}  # by name: its Axes; (its content, when it was drawn)
        self.images = {}
        self.names = [name for name in PANELS if curves or name not in OVERLAYS]
        for name in self.names:
            image = widgets.Image(format="png", layout={"width": "100%", "display": "none"})
            self.images[name] = image.add_class(f"darts-lab-{name.replace(' ', '-')}")
        weights, cells = ([name for name in self.names if name.startswith(word)] for word in ("weights", "cell"))
        order = dict.fromkeys([*weights, "eigenvalue", *cells, "counts", *CURVES] if columns > 2 else self.names)
        layout = {"grid_template_columns": f"repeat({columns}, minmax(0, 1fr))", "width": "100%", "grid_gap": "2px"}
        super().__init__([self.images[name] for name in order], layout=layout)
        self.add_class("darts-lab-panels")
        self.frames = 0  # panels drawn so far

    def draw(self, view: View, most: int | None = None) -> float:
        """Draws the panels that `view` changes, at most `most` of them, those first that were drawn longest ago.
        Returns the seconds that took."""
        began = time.perf_counter()
        contents = {name: _content(name, view) for name in self.names}
        for name in [name for name in self._drawn if contents[name] is None]:
            self._hide(name)
        wanted = [name for name in self.names if not self.large or name in _FOR_A_CLASS]
        due = [name for name in wanted if self._drawn.get(name, (None,))[0] != contents[name]]
        for name in sorted(due, key=lambda name: self._drawn.get(name, (None, 0.0))[1])[:most]:
            with RENDERING:
                picture = self._picture(name, view)
            self._show(name, picture, contents[name])
        return time.perf_counter() - began

    def clear(self) -> None:
        for name in self.names:
            self._hide(name)

    def _hide(self, name: str) -> None:
        self.images[name].layout.display = "none"
        self.images[name].value = b""
        self._drawn.pop(name, None)

    def _picture(self, name: str, view: View) -> bytes:
        graph = name.startswith("cell")
        ax = self._axes_of(name, _GRAPH if graph else _CURVE, _LARGE_GRAPH if graph else _LARGE_CURVE)
        return _png(figures.panel(name, view, ax))


class Shared(_Pictures):
    """What all searches of a lab have in common: their curves in one picture each, where there are `several`, and the
    test errors of the cells that were trained from scratch."""

    def __init__(self, several: bool):
        self.images, self._axes, self._drawn, self.frames, self.drawn = {}, {}, {}, 0, 0.0
        for name in (*(OVERLAYS if several else ()), "retrained"):
            image = widgets.Image(format="png", layout={"width": "100%", "display": "none"})
            self.images[name] = image.add_class(f"darts-lab-{name}")
        layout = {"grid_template_columns": "repeat(3, minmax(0, 1fr))", "width": "100%", "grid_gap": "2px"}
        super().__init__([*self.images.values()], layout=layout)
        self.add_class("darts-lab-shared")

    def draw(self, views: dict[str, View], results: dict, most: int | None = None, unit: str = "%") -> float:
        """Draws what changed, at most `most` pictures; arguments as for `figures.overlay` and `figures.retrained`.
        Returns the seconds that took."""
        began = time.perf_counter()
        known = {one: view for one, view in views.items() if view.history}
        curves = tuple((one, len(view.history), view.history[-1], view.finished) for one, view in known.items())
        contents = {name: curves for name in self.images} | {"retrained": tuple(results.items())}
        contents = {name: content for name, content in contents.items() if not self.large or name in _FOR_A_CLASS}
        for name, content in contents.items():
            if not content and self._drawn.pop(name, False):
                self.images[name].layout.display, self.images[name].value = "none", b""
        due = [name for name, content in contents.items() if content and self._drawn.get(name, (None,))[0] != content]
        for name in sorted(due, key=lambda name: self._drawn.get(name, (None, 0.0))[1])[:most]:
            with RENDERING:
                if name == "retrained":
                    ax = self._axes_of(name, (0.27, 0.16, 0.7, 0.73), (0.33, 0.22, 0.64, 0.65))
                    figures.retrained(results, ax, unit)
                else:
                    ax = self._axes_of(name, _CURVE, _LARGE_CURVE)
                    figures.overlay(name, known, ax)
                picture = _png(ax)
            self._show(name, picture, contents[name])
        self.drawn = time.perf_counter()
        return self.drawn - began

    def clear(self) -> None:
        self.draw({}, {})


def _png(ax) -> bytes:
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
    if name == "rank" and view.truth is None:
        return None
    more = (view.rule, view.finished) if name == "eigenvalue" else view.steps
    return len(view.history), view.history[-1:], more, view.at
