"""Cells that a lab keeps, from any epoch of its searches, and their retraining from scratch."""

import html
import time
import weakref

import ipywidgets as widgets

from darts_lab.search.training import Evaluation, Training
from darts_lab.widgets.wording import counted, one_shot

PAUSE = 0.25  # seconds, at least, between two reports of a training, and between two pictures


class Kept:
    """The cell that a search would return now: a `row` in the list of kept cells, and an `evaluation` in the end."""

    def __init__(self, track, lab):
        search = track.search
        last = search.history[-1]
        stop = last.epoch if last.stop_epoch is None else last.stop_epoch
        record = next(record for record in reversed(search.history) if record.epoch == stop)
        self.genotype, self.space, self.task = record.genotype, search.space, type(search.task)
        self.method, self.one_shot = search.method.name, self.task.factor * record.valid_error
        self.label = f"{search.method.name}\nepoch {record.epoch}"
        self.asked = f"{search.space.name}, {search.plan.names['data']}"
        self.key = track.number, record.epoch, search.history.index(record)
        self.training: Training | None = None
        self.evaluation: Evaluation | None = None
        self.words = widgets.HTML()
        self._seed, (self._data, self._scale) = search.seed, track.chosen
        self._reported = 0.0

        text = f"{search.space.name} {search.method.name} seed {search.seed}, epoch {record.epoch}: "
        text += f"{counted(self.genotype, self.space)}; {one_shot(record, self.task)}"
        if record.dominant_eigenvalue is not None:
            text += f"; dominant eigenvalue {record.dominant_eigenvalue:.2f}"
        description = widgets.HTML(f"<span title='{html.escape(str(self.genotype))}'>{html.escape(text)}</span>")
        lab = weakref.proxy(lab)
        retrain = widgets.Button(description="Retrain", icon="graduation-cap", layout={"width": "98px"})
        retrain.add_class("darts-lab-retrain-kept").on_click(lambda _: (lab.heard(), lab.retrain(self)))
        discard = widgets.Button(icon="times", tooltip="Takes the cell out of the list.", layout={"width": "32px"})
        discard.on_click(lambda _: (lab.heard(), lab.discard(self)))
        layout = {"flex_flow": "row wrap", "grid_gap": "6px"}
        self.row = widgets.HBox([discard, retrain, description, self.words], layout=layout)

    def step(self) -> bool:
        """One batch of its training, or its test after the last one; returns whether the test is done."""
        if self.training is None:
            self.training = Training(self.genotype, self._data, self._scale, self._seed, space=self.space)
        training, epochs = self.training, self.training.settings.epochs
        if training.epoch < epochs:
            training.step()
            if time.perf_counter() - self._reported > PAUSE:
                self._reported = time.perf_counter()
                last = training.history[-1:]
                error = f", training {self.task.metric} {self.task.show(last[0].train_error)}" if last else ""
                self.words.value = f"retraining from scratch: epoch {training.epoch} of {epochs}{error}"
            return False
        self.evaluation = training.result()
        self.training = None  # its network is not needed any more
        self.words.value = (
            f"<b>retrained test {self.task.metric} {self.task.show(self.evaluation.test_error)}</b> "
            f"({self.evaluation.parameters:,} weights, {self.evaluation.multiply_adds:,} multiply-adds, "
            f"{self.evaluation.seconds:.0f} s)"
        )
        return True

    def stop(self) -> None:
        self.words.value = ""
        if self.training is not None:
            epochs = self.training.settings.epochs
            self.words.value = f"stopped after epoch {self.training.epoch} of {epochs} of its retraining"
        self.training = None


def bars(cells: list[Kept], task) -> dict[str, tuple]:
    """{label: (method, one-shot error, retrained test error or None)} of those that are of `task`; the errors of others
    have other units."""
    cells, results = [kept for kept in cells if kept.task is task], {}
    several = len({kept.asked for kept in cells}) > 1
    for number, kept in enumerate(cells, 1):
        label = f"{kept.label}\n{kept.asked}" if several else kept.label
        label = label if label not in results else f"{label} ({number})"
        test = None if kept.evaluation is None else kept.task.factor * kept.evaluation.test_error
        results[label] = kept.method, kept.one_shot, test
    return results
