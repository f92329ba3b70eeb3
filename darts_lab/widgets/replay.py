"""Replay: stored searches, ours or the logs of Zela et al., to move through epoch by epoch, under a rule that moves too."""

from __future__ import annotations

import atexit
import html
import os
import threading
import weakref
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from darts_lab import runs, spaces, tasks
from darts_lab.figures.panels import View
from darts_lab.interop import robustdarts
from darts_lab.methods.monitors import LITERAL, RULE, UNITS, Adaptation, Rule, measurements
from darts_lab.runs.records import Recorded
from darts_lab.spaces import KNOWN_OPERATIONS, SearchSpace
from darts_lab.widgets.panels import Panels
from darts_lab.widgets.wording import counted

_REPLAYS: weakref.WeakSet[Replay] = weakref.WeakSet()
_RULES = {"as in the published figures": RULE, "as in the paper's text": LITERAL}


class Replay(widgets.VBox):
    """Stored searches with sliders. `source` is a run directory of ours, a folder with logs of RobustDARTS, a `Recorded` or a
    list of them; None offers the runs that lie where this session writes its own.

    `replay.searches` are the searches that were read, `replay.search` the one that is shown, `replay.rule` the rule of the
    sliders and `replay.stop` what it says: (the epoch at which to stop, the epoch at which that was known), or None.
    """

    def __init__(self, source=None):
        self.searches: list[Recorded] = []
        self._lock, self._thread, self._view = threading.Lock(), None, None
        self._ended = False
        _REPLAYS.add(self)
        self.path = widgets.Combobox(
            description="run", placeholder="a run directory, or a folder with logs of RobustDARTS",
            options=_found(), continuous_update=False, layout={"width": "620px"}, style={"description_width": "60px"},
        )  # fmt: skip
        self.path.add_class("darts-lab-path")
        self.menu = widgets.Dropdown(
            description="search", layout={"width": "620px"}, style={"description_width": "60px"}
        )
        self.menu.add_class("darts-lab-search")
        self.play = widgets.Play(interval=500, max=0)
        self.epoch = widgets.IntSlider(description="epoch", max=0, layout={"width": "560px"})
        self.epoch.add_class("darts-lab-epoch")
        widgets.jslink((self.play, "value"), (self.epoch, "value"))
        narrow = {"layout": {"width": "300px"}, "style": {"description_width": "60px"}}
        self.preset = widgets.Dropdown(description="rule", options=[*_RULES, "moved"], **narrow)
        self.window = widgets.SelectionSlider(
            description="window", options=range(1, 16, 2), value=RULE.window, **narrow
        )
        self.factor = widgets.FloatSlider(
            description="factor", min=1.01, max=3, step=0.01, value=RULE.factor, readout_format=".2f", **narrow
        )
        self.delta = widgets.IntSlider(description="delta", min=1, max=12, value=RULE.delta, **narrow)
        self.start = widgets.IntSlider(description="start", min=0, max=40, value=RULE.start, **narrow)
        self.unit = widgets.Dropdown(description="unit", options=UNITS, value=RULE.unit, **narrow)
        sliders = (self.window, self.factor, self.delta, self.start, self.unit)
        for name, control in zip(("window", "factor", "delta", "start", "unit"), sliders, strict=True):
            control.add_class(f"darts-lab-{name}")
            control.observe(lambda _: self._rule_moved(), "value")
        self.status = widgets.HTML("Choose a run.")
        self.status.add_class("darts-lab-status")
        self.panels = Panels()
        self.stop: tuple[int, int] | None = None
        self._quiet = False
        super().__init__(
            [
                self.path,
                self.menu,
                widgets.HBox([self.play, self.epoch]),
                widgets.HBox([self.preset, *sliders], layout={"flex_flow": "row wrap"}),
                self.status,
                self.panels,
            ]
        )
        self.add_class("darts-lab-replay")
        self.path.observe(lambda change: self.read(change["new"]), "value")
        self.menu.observe(lambda _: self._chosen(), "value")
        self.epoch.observe(lambda _: self._show(), "value")
        self.preset.observe(lambda change: self._preset(change["new"]), "value")
        if source is not None:
            if isinstance(source, str | os.PathLike):
                self._take(_read(source))  # what is wrong with an argument is raised, not shown
            else:
                self._take([source] if isinstance(source, Recorded) else list(source))

    @property
    def search(self) -> Recorded | None:
        return self.searches[self.menu.index] if self.searches and self.menu.index is not None else None

    @property
    def rule(self) -> Rule:
        return Rule(self.window.value, self.factor.value, self.delta.value, self.start.value, self.unit.value)

    def look(self) -> None:
        """Offers the runs that are there now."""
        self.path.options = _found()

    def read(self, path: str) -> None:
        """Reads what lies in `path`, and says so where that is no search."""
        if not path:
            return self.look()
        self.status.value = f"Reading {html.escape(path)} ..."
        try:
            self._take(_read(path))
        except (OSError, ValueError) as error:
            self.status.value = f"<b style='color:#c91f16'>Not opened:</b> {html.escape(str(error))}"

    def _take(self, searches: list[Recorded]) -> None:
        there = [search for search in searches if search.history]
        if not there:
            raise ValueError(f"source: none of the {len(searches)} searches has finished an epoch")
        for search in there:
            _space_of(search)  # which raises where it is not known
        self._quiet = True
        self.searches = there
        self.menu.options = [search.name for search in there]
        self.menu.index = 0
        self._quiet = False
        self._chosen()

    def _chosen(self) -> None:
        if self._quiet or self.search is None:
            return
        last = len(self.search.history) - 1
        self._quiet = True
        self.play.max = self.epoch.max = last
        self.epoch.value = last
        self._quiet = False
        self._space = _space_of(self.search)
        self._task = tasks.NAMED.get(self.search.data.lower(), tasks.Classification)  # else: data of the user's own
        self.panels.forget()
        self._show()

    def _preset(self, name: str) -> None:
        rule = _RULES.get(name)
        if rule is None or self._quiet:
            return
        self._quiet = True
        for part in ("window", "factor", "delta", "start", "unit"):
            getattr(self, part).value = getattr(rule, part)
        self._quiet = False
        self._show()

    def _rule_moved(self) -> None:
        if self._quiet:
            return
        self._quiet = True
        self.preset.value = next((name for name, rule in _RULES.items() if _close(rule, self.rule)), "moved")
        self._quiet = False
        self._show()

    def _show(self) -> None:
        if self._quiet or self.search is None:
            return
        search, record = self.search, self.search.history[self.epoch.value]
        weights = None if record.mixing is None else np.asarray(record.mixing)
        finished = search.history[-1].stop_epoch is None
        view = View(
            self._space, search.history, weights, record.genotype, self.rule, finished=finished, at=record.epoch,
            task=self._task,
        )  # fmt: skip
        self._say(record, finished)
        with self._lock:
            self._view = view
            if self._thread is None:
                self._thread = threading.Thread(target=self._drawing, daemon=True, name="darts-lab-replay")
                self._thread.start()

    def _drawing(self) -> None:
        """Draws panel after panel, always of the newest view, until there is nothing to do; sliders need not wait."""
        while True:
            before = self.panels.frames
            try:
                self.panels.draw(self._view, 1)
            except Exception as error:
                self.status.value = f"<b style='color:#c91f16'>Not drawn:</b> {html.escape(str(error))}"
            with self._lock:
                if self.panels.frames == before or self._ended:
                    self._thread = None
                    return

    def _say(self, record, finished: bool) -> None:
        search, last = self.search, self.search.history[-1]
        epochs, values = measurements(search.history)
        self.stop = self.rule.replay(epochs, values, finished) if values else None

        def told(record):
            return f"{counted(record.genotype, self._space)}; one-shot {self._task.metric} {self._task.show(record.valid_error)}"

        lines = [
            f"<b>epoch {record.epoch}</b> of {last.epoch}: {told(record)}; L2 {record.weight_decay:g}"
            + ("" if record.dominant_eigenvalue is None else f"; dominant eigenvalue {record.dominant_eigenvalue:.3f}")
        ]
        if not values:
            lines.append("No eigenvalues were measured, so the rule has nothing to read.")
        elif self.stop is None:
            lines.append(f"<b>The rule never holds</b>: DARTS-ES would keep the last cell, {told(last)}.")
        else:
            stop, known = self.stop
            stopped = next(record for record in reversed(search.history) if record.epoch == stop)
            stronger = Adaptation(self.rule).stronger(stopped.weight_decay)
            lines.append(
                f"<b>DARTS-ES</b> would have stopped in epoch {known} with the cell of epoch <b>{stop}</b>: "
                f"{told(stopped)} (last epoch: {told(last)})."
            )
            lines.append(
                f"<b>DARTS-ADA</b> would have gone back to epoch {stop} then, "
                + ("no further: its L2 is the largest." if stronger is None else f"and on with L2 {stronger:g}.")
            )
        if search.problems:
            lines.append("Wrong with this run: " + html.escape("; ".join(search.problems)))
        self.status.value = "<br>".join(lines)


@atexit.register
def _end() -> None:
    """Threads end before the interpreter does, which would else take the ground from under them."""
    for replay in list(_REPLAYS):
        replay._ended, thread = True, replay._thread
        if thread is not None:
            thread.join(10)


def _close(one: Rule, other: Rule) -> bool:
    return one == other or (
        abs(one.factor - other.factor) < 0.005
        and (one.window, one.delta, one.start, one.unit) == (other.window, other.delta, other.start, other.unit)
    )


def _found() -> list[str]:
    """The searches in the folder for runs, the newest first."""
    root = Path(os.environ.get("DARTS_LAB_RUNS", "runs"))
    histories = sorted(root.glob("*/history.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [str(path.parent) for path in histories]


def _read(path) -> list[Recorded]:
    path = Path(path).expanduser()
    return [runs.read(path)] if (path / "config.json").exists() else robustdarts.read_robustdarts(path)


def _space_of(search: Recorded) -> SearchSpace:
    """The space that was searched; its own operations are names only."""
    try:
        asked = runs.Run(search.path).config["space"]
    except (FileNotFoundError, TypeError):  # the logs of others, or a history that lies nowhere
        return spaces.get(search.space).with_nodes(search.history[0].genotype.nodes)
    own = {name for cell in asked["cells"].values() for edge in cell for name in edge} - {*KNOWN_OPERATIONS}
    return SearchSpace(**asked, operations=dict.fromkeys(own))
