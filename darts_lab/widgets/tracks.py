"""One search of a lab: its controls, its panels, its steps, and the words that describe it."""

import html
import itertools
import os
import time
import weakref
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from darts_lab.figures.curves import SETTING_NAMES
from darts_lab.figures.panels import View
from darts_lab.methods.monitors import RULE
from darts_lab.runs import files
from darts_lab.search.search import Search
from darts_lab.studies.cells import known_truth
from darts_lab.widgets.choices import MethodChoice
from darts_lab.widgets.panels import Panels
from darts_lab.widgets.wording import counted, forgets, one_shot

_NUMBERS = itertools.count(1)


class Track:
    """One search of a lab, with its method and panels."""

    def __init__(self, method, lab, several: bool):
        self.lab = weakref.proxy(lab)
        self.method = MethodChoice(
            method, lab.choices, lab.settings, lambda name, value: self.lab.worker.change(self, name, value)
        )
        self.panels = Panels(2, curves=False) if several else Panels()
        self.title = widgets.HTML().add_class("darts-lab-title")
        self.box = widgets.VBox([self.title, self.panels], layout={"width": "100%", "min_width": "0"})
        self.search: Search | None = None
        self.chosen: tuple = ()  # its data and scale; the controls may say something else when it ends
        self.number = 0  # of the search, different for all searches of a session
        self.changes: dict[str, float] = {}  # made by hand and not yet handed to the search
        self.began: tuple = ()  # the values of all controls when the search began, by which its run is known
        self.inside = self.batches = 0  # batches of the running epoch, and of the search
        self.spent = self.drawn = 0.0  # seconds in the steps of the search; when it was drawn last

    @property
    def begun(self) -> Search:
        """The search, which is there from `begin` to `forget`."""
        assert self.search is not None, "the search has not begun"
        return self.search

    def begin(self, from_disk: bool) -> None:
        """Makes a new search as chosen, or goes on with the last unfinished one of the same choices."""
        choices, chosen = self.lab.choices, self.method.chosen
        settings = self.method.settings | chosen  # as read once: sliders may be moved meanwhile
        self.began = choices.values, self.method.values
        space, data, scale = choices.space.chosen, choices.data.chosen, choices.scale.chosen
        arguments = space, data, self.method.method, scale, choices.seed.value
        search = Search(*arguments, **settings | {"curvature_batches": 1})
        batches = min(self.method.batches.value, search.task.most("valid", search.valid_batch_size))
        if batches > 1:  # asked for like any setting, so that a run goes on with as many wherever it is resumed
            search = Search(*arguments, **settings | {"curvature_batches": batches})
        if from_disk:
            search = self._from_disk(search)
        with self.lab.worker.lock:  # which whoever moves a slider takes too
            self.changes = {name: value for name, value in self.method.chosen.items() if value != chosen[name]}
            self.number = next(_NUMBERS)
            self.search, self.inside, self.batches, self.spent = search, 0, 0, 0.0
            self.chosen = data, scale
            if from_disk:
                self.show_by_hand()
        self.panels.forget()
        self._show_title()

    def put_back(self) -> None:
        """Sets the controls to what was chosen when the search began."""
        choices, method = self.began
        self.lab.choices.put(choices)
        self.method.put(method)

    def show_by_hand(self) -> None:
        """Shows L2 and drop path of the search; those that were changed by hand in it count as chosen."""
        by_hand: dict[str, float] = {}
        for record in self.begun.history:
            by_hand |= record.changed or {}
        self.method.chosen = self.method.chosen | by_hand | self.begun.waiting | self.changes
        self.method.show(**_settings_by_hand(self.begun) | self.changes)

    def _show_title(self) -> None:
        search = self.begun
        title = " · ".join(map(str, (search.plan.names | {"seed": f"seed {search.seed}"}).values()))
        drop_path = search.waiting.get("drop_path", search.settings.drop_path)
        words = f"L2 {search.weight_decay:g}, drop path {drop_path:g}, {search.settings.epochs} epochs"
        if search.run is not None:
            path = search.run.path
            words += f" · <span title='{html.escape(str(path.resolve()))}'>run {html.escape(path.name)}</span>"
        self.title.value = f"<b>{html.escape(title)}</b> <span style='color:#555'>{words}</span>"

    def _from_disk(self, search: Search) -> Search:
        """The last unfinished run that was begun like `search` and that no other process holds; beside other methods,
        which may go on, else a finished one. Raises ValueError where there is none."""
        root = Path(os.environ.get("DARTS_LAB_RUNS", "runs"))
        checkpoints = root.glob(f"*-{search.plan.hash}*/checkpoint.pt")
        newest = sorted(checkpoints, key=lambda path: path.stat().st_mtime, reverse=True)
        ended: Search | None = None
        for path in (path.parent for path in newest if not files.held(path.parent)):
            stored = Search.resume(path, space=search.space, data=search.plan.data, method=search.method)
            if stored.run is not None and not stored.finished:
                stored.run.hold()
                return stored
            ended = ended or stored
        if ended is not None and len(self.lab.tracks) > 1:
            return ended
        raise ValueError(
            f"no unfinished run of these choices ({search.method.name}) lies in {str(root)!r} that no other lab holds; "
            "press Start for a new one"
        )

    def unlock(self) -> None:
        if self.search is not None:
            self.search.release()

    def forget(self) -> None:
        self.unlock()
        if self.search is not None:
            self.method.show(**self.method.chosen)  # adaptation may have raised L2, for its own search alone
        self.search, self.changes = None, {}

    def step(self) -> None:
        self.apply_changes()
        search, began = self.begun, time.perf_counter()
        first = search.run is None
        record = search.step()
        self.spent += time.perf_counter() - began
        if record is not None:
            self.inside = 0
        elif self.inside < search.steps_per_epoch:  # the step after the last batch only measures
            self.inside, self.batches = self.inside + 1, self.batches + 1
        changed = record is not None and (record.changed or record.back_to is not None)
        if changed:
            self.method.show(weight_decay=search.weight_decay)  # adaptation may have raised it
        if changed or first and search.run is not None:
            self._show_title()

    def apply_changes(self) -> None:
        """Hands changes made by hand to the search."""
        with self.lab.worker.lock:
            changes, self.changes = self.changes, {}
        if self.search is not None and changes:
            in_force = _settings_by_hand(self.search)
            if changes := {name: value for name, value in changes.items() if value != in_force[name]}:
                self.search.change(**changes)
                self._show_title()

    @property
    def position(self) -> float:
        """Epochs that are done, with a fraction for the running one; it falls when the search goes back."""
        return self.begun.epoch + self.inside / self.begun.steps_per_epoch

    @property
    def progress(self) -> float:
        """The part of the search that is done, 0 to 1."""
        return 1.0 if self.begun.finished else self.position / self.begun.settings.epochs

    @property
    def left(self) -> float:
        """Seconds left, at the pace so far."""
        steps = self.begun.settings.epochs * self.begun.steps_per_epoch
        return (1 - self.progress) * steps * self.spent / max(self.batches, 1)

    @property
    def truth(self):
        """How all cells of its space rank, where that is known."""
        return known_truth(self.begun.space, self.begun.plan.names["data"])

    @property
    def view(self) -> View | None:
        """The search as it is now."""
        search = self.search
        if search is None:
            return None
        rule = RULE if search.method.monitor is None else search.method.monitor.rule
        weights = search.mixing.detach().cpu().numpy()
        more: dict[str, Any] = {"steps": search.steps_per_epoch, "finished": search.finished, "task": type(search.task)}
        more["truth"] = self.truth
        return View(search.space, search.history, weights, search.genotype, rule, **more)

    def draw(self, most: int | None = None) -> float:
        """As `Panels.draw`, for the search as it is now."""
        view = self.view
        seconds = 0.0 if view is None else self.panels.draw(view, most)
        self.drawn = time.perf_counter()
        return seconds

    def report(self) -> str:
        """What is known of the search so far, in words."""
        search = self.begun
        epochs = search.settings.epochs  # counted from 0, as in the panels
        parts = [f"epoch {search.history[-1].epoch} of {epochs - 1}" if search.history else f"first of {epochs} epochs"]
        if len(self.lab.tracks) > 1:
            parts[0] = f"{html.escape(search.method.name)}: {parts[0]}"
        if search.history:
            last = search.history[-1]
            parts += [one_shot(last, search.task), counted(last.genotype, search.space)]
            if (truth := self.truth) is not None:
                rank = truth.at[str(last.genotype.canonical), "rank"]
                parts.append(f"number {rank} of all {len(truth)} cells, trained (1: the best)")
            if measured := [value for record in search.history if (value := record.dominant_eigenvalue) is not None]:
                parts.append(f"dominant eigenvalue {measured[-1]:.2f}")
            if last.stop_epoch is not None:
                parts.append(f"it has risen too much: the cell of epoch {last.stop_epoch} is the result")
            if back := [record.back_to for record in search.history if record.back_to is not None]:
                parts.append(f"thrown back to epoch {back[-1]}, weight decay now {search.weight_decay:g}")
        if forgets(search.history):
            parts.append(
                "the stronger L2 shrinks the weights: the supernet forgets, on training data too, and learns anew"
            )
        if search.waiting and not search.finished:
            changes = ", ".join(f"{SETTING_NAMES[name]} {value:g}" for name, value in search.waiting.items())
            parts.append(f"{changes} from the next epoch on")
        if self.batches and not search.finished:
            step = self.spent / self.batches
            parts.append(f"{1000 * step:.0f} ms a step, {step * search.steps_per_epoch:.1f} s an epoch")
        return "; ".join(parts)


def _settings_by_hand(search: Search) -> dict[str, float]:
    """The settings that may be changed by hand, as they will be from the next epoch on."""
    return {"weight_decay": search.weight_decay, "drop_path": search.settings.drop_path} | search.waiting
