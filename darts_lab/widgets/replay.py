"""Stored searches, ours or the logs of Zela et al., epoch by epoch, and what a rule of early stopping says of them."""

import html
import os
import threading
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from darts_lab import runs, spaces, tasks
from darts_lab.checks import argument
from darts_lab.figures.panels import View
from darts_lab.interop import quark0
from darts_lab.methods.monitors import LITERAL, RULE, UNITS, Adaptation, Rule, measurements
from darts_lab.runs.records import Recorded
from darts_lab.spaces import KNOWN_OPERATIONS, SearchSpace
from darts_lab.studies.cells import known_truth
from darts_lab.widgets.keys import Seen, answer_beside_cells
from darts_lab.widgets.panels import Panels
from darts_lab.widgets.wording import counted, one_shot

_SHOWN_FIRST = "S4 DARTS on digits"  # of the searches that come with the package
_RULES = {"as in the published figures": RULE, "as in the paper's text": LITERAL}


class Replay(widgets.VBox):
    """Stored searches with sliders. `source` is a run directory, a folder with logs of RobustDARTS or quark0/darts, a
    `Recorded` or a list of them; None plays a search that comes with the package. In a menu are all of these, beside it
    the runs in the folder to which new ones are written.

    `searches` are the searches, `search` the one that is shown, `rule` the rule of the sliders and `stop` its result:
    (the epoch at which to stop, the epoch in which that was known), or None."""

    def __init__(self, source=None):
        self.searches: list[Recorded] = []
        self.stop: tuple[int, int] | None = None
        self._lock, self._thread = threading.Lock(), None
        self._view: Any = None  # the newest
        self._silent = False  # whether it is the replay that moves controls
        style = {"description_width": "60px"}
        wide, narrow = ({"layout": {"width": width}, "style": style} for width in ("620px", "300px"))
        self.path = widgets.Combobox(description="run", continuous_update=False, **wide)
        self.path.placeholder = "a run directory, or a folder with logs of RobustDARTS or quark0/darts"
        self.look()
        offered = [("choose one", None), *runs.stored().items()]
        self.stored = widgets.Dropdown(description="stored", options=offered, **wide)
        self.menu = widgets.Dropdown(description="search", **wide)
        self.play = widgets.Play(interval=500, max=0)
        self.epoch = widgets.IntSlider(description="epoch", max=0, layout={"width": "560px"})
        widgets.jslink((self.play, "value"), (self.epoch, "value"))
        self.preset = widgets.Dropdown(description="rule", options=[*_RULES, "moved"], **narrow)
        self.window = widgets.SelectionSlider(options=range(1, 16, 2), value=RULE.window, **narrow)
        self.factor = widgets.FloatSlider(RULE.factor, min=1.01, max=3, step=0.01, readout_format=".2f", **narrow)
        self.delta = widgets.IntSlider(RULE.delta, min=1, max=12, **narrow)
        self.start = widgets.IntSlider(RULE.start, min=0, max=40, **narrow)
        self.unit = widgets.Dropdown(options=UNITS, value=RULE.unit, **narrow)
        self._rule_controls = {name: getattr(self, name) for name in asdict(RULE)}
        self.status = widgets.HTML("Choose a run.")
        self.panels = Panels()
        named = {"stored": self.stored, "path": self.path, "search": self.menu}
        named |= {"epoch": self.epoch, "status": self.status}
        for name, control in (named | self._rule_controls).items():
            control.add_class(f"darts-lab-{name}")
        rule = widgets.HBox([self.preset, *self._rule_controls.values()], layout={"flex_flow": "row wrap"})
        epoch = widgets.HBox([self.play, self.epoch])
        self._seen = Seen()  # a page starts to play only what it shows already
        super().__init__([self._seen, self.stored, self.path, self.menu, epoch, rule, self.status, self.panels])
        self.add_class("darts-lab-replay")
        answer_beside_cells(self)
        self._seen.observe(lambda _: self._play(), "seen")
        self.stored.observe(lambda change: self._stored_chosen(), "value")
        self.path.observe(lambda change: self.read(change["new"]), "value")
        self.menu.observe(lambda _: self._search_chosen(), "index")
        self.epoch.observe(lambda _: self._show(), "value")
        self.preset.observe(lambda _: self._rule_chosen(), "value")
        for name, control in self._rule_controls.items():
            control.description = name
            control.observe(lambda _: self._rule_moved(), "value")
        if source is None:
            self.stored.value = runs.stored()[_SHOWN_FIRST]
        else:
            self._take(source)  # raises; `read`, which the path calls, shows errors

    @property
    def search(self) -> Recorded | None:
        return self.searches[self.menu.index] if self.searches and self.menu.index is not None else None

    @property
    def rule(self) -> Rule:
        return Rule(**{name: control.value for name, control in self._rule_controls.items()})

    def look(self) -> None:
        """Offers the runs that are stored now, the newest first."""
        histories = Path(os.environ.get("DARTS_LAB_RUNS", "runs")).glob("*/history.jsonl")
        newest = sorted(histories, key=lambda path: path.stat().st_mtime, reverse=True)
        self.path.options = [str(path.parent) for path in newest]

    def read(self, path: str) -> None:
        """Shows the searches in `path`, or why it cannot."""
        if not path:
            return self.look()
        self.status.value = f"Reading {html.escape(path)} ..."
        try:
            self._take(path)
        except (OSError, ValueError) as error:
            self.status.value = f"<b style='color:#c91f16'>Not opened:</b> {html.escape(str(error))}"

    def _stored_chosen(self) -> None:
        """Plays the chosen search from its first epoch on."""
        if self._silent or self.stored.value is None:
            return
        self.play.playing = False
        self.path.value = ""  # so that the same one can be chosen again
        self._take(self.stored.value, at=0)
        self._play()

    def _play(self) -> None:
        if self._seen.seen and self.stored.value is not None:
            self.play.playing = False
            self.play.playing = True

    @contextmanager
    def _silently(self):
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def _take(self, source, at: int | None = None) -> None:
        """Shows the searches of `source`, the first of them at its epoch `at`, or at its last one."""
        if isinstance(source, str | os.PathLike):
            path = Path(source).expanduser()
            source = runs.read(path) if (path / "config.json").exists() else quark0.read_logs(path)
        argument("source", source, str | Path | Recorded | Iterable)
        searches = [source] if isinstance(source, Recorded) else list(source)
        for search in searches:
            argument("source", search, Recorded)
        shown = [search for search in searches if search.history]
        if not shown:
            raise ValueError(f"source: none of the {len(searches)} searches has finished an epoch")
        for search in shown:
            _space_of(search)  # raises if it is not known
        with self._silently():
            if at is None:
                self.stored.value = None
            self.searches = shown
            self.menu.options = [search.name for search in shown]
            self.menu.index = 0
        self._search_chosen(at)

    def _search_chosen(self, at: int | None = None) -> None:
        if self._silent or self.search is None:
            return
        with self._silently():
            self.play.max = self.epoch.max = len(self.search.history) - 1
            self.play.value = self.epoch.value = self.epoch.max if at is None else at
        self._space = _space_of(self.search)
        self._task = _task_of(self.search)
        self.panels.forget()
        self._show()

    def _rule_chosen(self) -> None:
        if self._silent or self.preset.value not in _RULES:
            return
        with self._silently():
            for name, value in asdict(_RULES[self.preset.value]).items():
                self._rule_controls[name].value = value
        self._show()

    def _rule_moved(self) -> None:
        if self._silent:
            return
        with self._silently():
            moved = replace(self.rule, factor=round(self.factor.value, 2))  # as its slider has it
            same = (name for name, rule in _RULES.items() if replace(rule, factor=round(rule.factor, 2)) == moved)
            self.preset.value = next(same, "moved")
        self._show()

    def _show(self) -> None:
        if self._silent or self.search is None:
            return
        search, record = self.search, self.search.history[self.epoch.value]
        weights = None if record.mixing is None else np.asarray(record.mixing)
        more: dict[str, Any] = {"finished": search.whole, "at": record.epoch, "task": self._task}
        more["truth"] = known_truth(self._space, search.data)
        view = View(self._space, search.history, weights, record.genotype, self.rule, **more)
        epochs, values = measurements(search.history)
        self.stop = self.rule.replay(epochs, values, search.whole)
        self.status.value = "<br>".join(self._report(search, record, measured=bool(values)))
        with self._lock:
            self._view = view
            if self._thread is None:
                self._thread = threading.Thread(target=self._draw, name="darts-lab-replay")
                self._thread.start()

    def _draw(self) -> None:
        """Draws panel after panel, always of the newest view, until all are drawn or Python ends."""
        while True:
            before, view = self.panels.frames, self._view
            try:
                self.panels.draw(view, 1)
            except Exception as error:
                self.status.value = f"<b style='color:#c91f16'>Not drawn:</b> {html.escape(str(error))}"
            with self._lock:
                drawn = self.panels.frames == before and view is self._view
                if drawn or not threading.main_thread().is_alive():
                    self._thread = None
                    return

    def _report(self, search: Recorded, record, measured: bool) -> list[str]:
        """Lines about one epoch, and about what DARTS-ES and DARTS-ADA would have done under the rule."""
        history = search.history

        def cell(record):
            return f"{counted(record.genotype, self._space)}; {one_shot(record, self._task)}"

        lines = [f"<b>epoch {record.epoch}</b> of {history[-1].epoch}: {cell(record)}; L2 {record.weight_decay:g}"]
        if record.dominant_eigenvalue is not None:
            lines[0] += f"; dominant eigenvalue {record.dominant_eigenvalue:.3f}"
        if search.test_error is not None:
            error = self._task.show(search.test_error)
            lines.insert(0, f"The cell that it found, trained from scratch: <b>test {self._task.metric} {error}</b>")
        if not measured:
            lines.append("No eigenvalues were measured, so the rule has nothing to read.")
        elif self.stop is None:
            lines.append(f"<b>The rule never holds</b>: DARTS-ES would keep the last cell, {cell(history[-1])}.")
        else:
            stop, known = self.stop
            stopped = next(record for record in reversed(history) if record.epoch == stop)
            stronger = Adaptation(self.rule).stronger(stopped.weight_decay)
            on = "no further: its L2 is the largest" if stronger is None else f"and on with L2 {stronger:g}"
            lines += [
                f"<b>DARTS-ES</b> would have stopped in epoch {known} with the cell of epoch <b>{stop}</b>: "
                f"{cell(stopped)} (last epoch: {cell(history[-1])}).",
                f"<b>DARTS-ADA</b> would have gone back to epoch {stop} then, {on}.",
            ]
        if search.problems:
            lines.append("Wrong with this run: " + html.escape("; ".join(search.problems)))
        return lines


def _space_of(search: Recorded) -> SearchSpace:
    """The space that was searched; its own operations are names only."""
    try:
        asked = runs.Run.of_kind(search.path, "search").config["space"]
    except (FileNotFoundError, TypeError, ValueError):  # the logs of others, or a history without a path
        return spaces.get(search.space).with_nodes(search.history[0].genotype.nodes)
    own = {name for cell in asked["cells"].values() for edge in cell for name in edge} - {*KNOWN_OPERATIONS}
    return SearchSpace(asked["name"], asked["cells"], dict.fromkeys(own, _not_here))


def _not_here(channels: int, stride: int):
    raise ValueError("operations: those of a stored search are names only; pass your own functions")


def _task_of(search: Recorded) -> type[tasks.Task]:
    """The task that says what its errors are; of older runs on data of the user's own it is not known."""
    try:
        domain = runs.Run(search.path).config.get("domain")
    except (FileNotFoundError, ValueError):  # the logs of others, or a history without a path
        domain = None
    told = next((task for task in tasks.KINDS.values() if task.domain == domain), None)
    return told or tasks.NAMED.get(search.data.lower(), tasks.Classification)
