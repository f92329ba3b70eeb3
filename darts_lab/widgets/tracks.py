"""What a lab computes: its searches, each with its method and panels, and the cells that were kept of them."""

from __future__ import annotations

import html
import itertools
import os
import time
import weakref
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets

from darts_lab.figures.panels import View
from darts_lab.methods.monitors import RULE
from darts_lab.runs import files
from darts_lab.search.search import Search
from darts_lab.search.training import Evaluation, Training
from darts_lab.widgets.choices import MethodChoice
from darts_lab.widgets.panels import Panels
from darts_lab.widgets.wording import counted

PAUSE = 0.25  # seconds between two pictures, and between two reports, at least
_NUMBERS = itertools.count(1)


class Track:
    """One search of a lab: its method, its panels, and what the lab remembers of it."""

    def __init__(self, method, lab, columns: int):
        self.lab = weakref.proxy(lab)
        self.method = MethodChoice(
            method, lab.choices, lab._fixed, lambda name, value: self.lab.change(self, name, value)
        )
        self.panels = Panels(columns)
        self.title = widgets.HTML()
        self.title.add_class("darts-lab-title")
        self.box = widgets.VBox([self.title, self.panels], layout={"width": "100%", "min_width": "0"})
        self.search: Search | None = None
        self.number = 0  # of the search, the same for no two of a session
        self.changes: dict[str, float] = {}
        self.inside = self.batches = 0
        self.spent = self.drawn = 0.0

    def begin(self, from_disk: bool) -> None:
        """A new search as chosen, or the last unfinished one on disk that was begun with the same choices."""
        choices = self.lab.choices
        search = Search(
            choices.space.chosen, choices.data.chosen, self.method.method, choices.scale.chosen, choices.seed.value,
            **self.method.settings | {"curvature_batches": 1},
        )  # fmt: skip
        most = search.task.most("valid", search.valid_batch_size)
        search.settings = replace(search.settings, curvature_batches=min(self.method.batches.value, most))
        if from_disk:
            search = self._from_disk(search)
        self.number = next(_NUMBERS)
        self.search, self.inside, self.batches, self.spent = search, 0, 0, 0.0
        self.chosen = choices.data.chosen, choices.scale.chosen  # which the controls may not say any more when it ends
        self.changes = {}
        self.panels.forget()
        self._tell()

    def _tell(self) -> None:
        search, s = self.search, self.search.settings
        title = f"{search.space.name} · {search.task.data.name} · {search.method.name} · {search.plan.scale} · seed {search.seed}"
        where = ""
        if search.run is not None:
            path = search.run.path
            where = f" · <span title='{html.escape(str(path.resolve()))}'>run {html.escape(path.name)}</span>"
        self.title.value = (
            f"<b>{html.escape(title)}</b> <span style='color:#555'>L2 {search.weight_decay:g}, drop path "
            f"{search.waiting.get('drop_path', s.drop_path):g}, {s.epochs} epochs{where}</span>"
        )

    def _from_disk(self, search: Search) -> Search:
        """The last run that was begun as `search` and is not finished, held by nobody else. Raises ValueError."""
        root = Path(os.environ.get("DARTS_LAB_RUNS", "runs"))
        digits = search.plan.hash
        folders = [path for path in root.glob(f"*-{digits}*") if (path / "checkpoint.pt").exists()]
        for path in sorted(folders, key=lambda path: (path / "checkpoint.pt").stat().st_mtime, reverse=True):
            if files.held(path):
                continue
            found = Search.resume(path, space=search.space, data=self.lab.choices.data.chosen, method=search.method)
            if not found.finished:
                found.run.hold()
                self.method.show(
                    weight_decay=found.weight_decay, drop_path=found.waiting.get("drop_path", found.settings.drop_path)
                )
                return found
        raise ValueError(
            f"no unfinished run of these choices lies in {str(root)!r} that no other lab holds; press Start for a new one"
        )

    def unlock(self) -> None:
        if self.search is not None:
            self.search.release()

    def forget(self) -> None:
        self.unlock()
        self.search, self.changes = None, {}

    def step(self) -> None:
        """One batch."""
        self.apply_changes()
        began = time.perf_counter()
        first = self.search.run is None
        record = self.search.step()
        self.spent += time.perf_counter() - began
        if record is not None:
            self.inside = 0
        elif self.inside < self.search.steps_per_epoch:  # and not behind the last batch
            self.inside, self.batches = self.inside + 1, self.batches + 1
        if first and self.search.run is not None:
            self._tell()
        if record is not None and (record.changed or record.back_to is not None):
            self.method.show(weight_decay=self.search.weight_decay)  # adaptation may have raised it
            self._tell()

    def apply_changes(self) -> None:
        """Hands on to the search what was changed by hand."""
        with self.lab._lock:
            changes, self.changes = self.changes, {}
        search = self.search
        if search is None or not changes:
            return
        in_force = {"weight_decay": search.weight_decay} | {"drop_path": search.settings.drop_path} | search.waiting
        changes = {name: value for name, value in changes.items() if value != in_force[name]}
        if changes:
            search.change(**changes)
            self._tell()

    @property
    def done(self) -> float:
        """How much of the search is done, from 0 to 1; less than before where it was thrown back."""
        if self.search.finished:
            return 1.0
        return (self.search.epoch + self.inside / self.search.steps_per_epoch) / self.search.settings.epochs

    @property
    def left(self) -> float:
        """Seconds that are left at the pace so far."""
        total = self.search.settings.epochs * self.search.steps_per_epoch
        return (1 - self.done) * total * self.spent / max(self.batches, 1)

    def draw(self, most: int | None = None) -> float:
        """Draws what has changed, at most so many panels, and gives the seconds that took."""
        search = self.search
        if search is None:
            return 0.0
        rule = RULE if search.method.monitor is None else search.method.monitor.rule
        weights = search.mixing.detach().cpu().numpy()
        view = View(
            search.space, search.history, weights, search.genotype, rule, search.steps_per_epoch, search.finished,
            task=type(search.task),
        )  # fmt: skip
        took = self.panels.draw(view, most)
        self.drawn = time.perf_counter()
        return took

    def report(self) -> str:
        search = self.search
        parts = [f"epoch {search.epoch} of {search.settings.epochs}"]
        if len(self.lab.tracks) > 1:
            parts[0] = f"{html.escape(search.method.name)}: {parts[0]}"
        if search.history:
            last = search.history[-1]
            parts.append(f"one-shot {search.task.metric} {search.task.show(last.valid_error)}")
            parts.append(counted(last.genotype, search.space))
            measured = [record for record in search.history[-50:] if record.dominant_eigenvalue is not None]
            if measured:
                parts.append(f"dominant eigenvalue {measured[-1].dominant_eigenvalue:.2f}")
            if last.stop_epoch is not None:
                parts.append(f"it has risen too much: the cell of epoch {last.stop_epoch} is the result")
            back = [record.back_to for record in search.history if record.back_to is not None]
            if back:
                parts.append(f"thrown back to epoch {back[-1]}, weight decay now {search.weight_decay:g}")
        if search.waiting:
            words = {"weight_decay": "L2", "drop_path": "drop path"}
            told = ", ".join(f"{words[name]} {value:g}" for name, value in search.waiting.items())
            parts.append(f"{told} from the next epoch on")
        if self.batches and not search.finished:
            parts.append(f"{1000 * self.spent / self.batches:.0f} ms a step")
        return "; ".join(parts)


class Kept:
    """A cell that was kept: of which search and epoch it is, and its test error once it has been retrained."""

    def __init__(self, track: Track, lab):
        search = track.search
        last = search.history[-1]
        stop = last.epoch if last.stop_epoch is None else last.stop_epoch
        record = next(record for record in reversed(search.history) if record.epoch == stop)
        self.record, self.genotype, self.space, self.task = record, record.genotype, search.space, type(search.task)
        self.name = f"{search.space.name} {search.method.name} seed {search.seed}, epoch {record.epoch}"
        self.key = track.number, record.epoch, search.history.index(record)
        self.seed, (self._data, self._scale) = search.seed, track.chosen
        self._lab = weakref.proxy(lab)
        self.training: Training | None = None
        self.evaluation: Evaluation | None = None
        self.words = widgets.HTML()
        self._said = 0.0

    def row(self) -> _Row:
        """Its line in the list of kept cells."""
        record = self.record
        told = f"{self.name}: {counted(self.genotype, self.space)}; one-shot {self.task.metric} {self.task.show(record.valid_error)}"
        if record.dominant_eigenvalue is not None:
            told += f"; dominant eigenvalue {record.dominant_eigenvalue:.2f}"
        name = widgets.HTML(f"<span title='{html.escape(str(self.genotype))}'>{html.escape(told)}</span>")
        retrain = widgets.Button(description="Retrain", icon="graduation-cap", layout={"width": "98px"})
        retrain.add_class("darts-lab-retrain-kept")
        retrain.on_click(lambda _: self._lab.retrain(self))
        discard = widgets.Button(icon="times", tooltip="Takes the cell out of the list.", layout={"width": "32px"})
        discard.on_click(lambda _: self._lab.discard(self))
        return _Row([discard, retrain, name, self.words], layout={"flex_flow": "row wrap", "grid_gap": "6px"})

    def say(self, words: str) -> None:
        self.words.value = words

    def step(self) -> bool:
        """One batch of its training, or, behind the last, its test; whether that was done."""
        if self.training is None:
            self.training = Training(self.genotype, self._data, self._scale, self.seed, space=self.space)
        training, epochs = self.training, self.training.settings.epochs
        if training.epoch < epochs:
            training.step()
            if time.perf_counter() - self._said > PAUSE:
                self._said = time.perf_counter()
                last = training.history[-1:]
                error = f", training {self.task.metric} {self.task.show(last[0].train_error)}" if last else ""
                self.say(f"retraining from scratch: epoch {training.epoch} of {epochs}{error}")
            return False
        self.evaluation = training.result()
        self.training = None  # its network is not needed any more
        self.say(
            f"<b>retrained test {self.task.metric} {self.task.show(self.evaluation.test_error)}</b> "
            f"({self.evaluation.parameters:,} weights, {self.evaluation.seconds:.0f} s)"
        )
        return True

    def stop(self) -> None:
        if self.training is not None:
            self.say(f"stopped after epoch {self.training.epoch} of {self.training.settings.epochs} of its retraining")
        else:
            self.say("")
        self.training = None


class _Row(widgets.HBox):
    def close_all(self) -> None:
        for child in self.children:
            child.close()
        self.close()
