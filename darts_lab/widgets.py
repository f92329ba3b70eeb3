"""The live lab: a search in a background thread, its picture, and buttons that answer within one batch.

The cell that shows the lab has returned long before the search ends; only so do buttons live on every kernel. Button
callbacks set events and nothing else; the thread looks at them between two batches.
"""

from __future__ import annotations

import asyncio
import html
import io
import threading
import time

import ipywidgets as widgets
from matplotlib.backends.backend_agg import FigureCanvasAgg

from darts_lab.evaluation import Evaluation, Training
from darts_lab.figures import Dashboard, telling_operation
from darts_lab.methods import METHODS
from darts_lab.monitors import RULE
from darts_lab.scales import SCALES
from darts_lab.search import Search
from darts_lab.spaces import SPACES

_RENDERING = threading.Lock()  # matplotlib is not made for two threads at once
_SHARE = 0.1  # of the search's time may go into pictures
_PAUSE = 0.3  # seconds between two pictures at least


class Lab(widgets.VBox):
    """The live widget: choose, press Start, watch. Arguments as for `Search`; they set what the controls show.

    Start runs or goes on, Pause holds the search between two batches, Step does one epoch, Stop ends it, Retrain
    trains the cell that the search would return now from scratch. `lab.search` is the Search (None before Start),
    `lab.start()`, `lab.pause()`, `lab.step()`, `lab.stop()` are the buttons, `await lab.finished()` waits without
    blocking them, `lab.result()` waits for the end of the thread and raises what went wrong in it.
    """

    def __init__(self, space="S2", data="digits", method="DARTS", scale="laptop", seed=0, **settings):
        self._fixed = {"data": data, "settings": settings}
        self._objects = {}  # what a menu cannot hold: spaces, methods and scales of the user's own
        self.space = self._menu("space", space, SPACES, "what a cell may consist of")
        self.method = self._menu("method", method, METHODS, "how the mixing weights are found")
        self.scale = self._menu("scale", scale, SCALES, "how large everything is")
        self.seed = widgets.BoundedIntText(
            value=seed, min=0, max=2**31 - 1, description="seed", layout={"width": "130px"}
        )
        names = ("Start", "Pause", "Step", "Stop", "Retrain")
        icons = ("play", "pause", "step-forward", "stop", "graduation-cap")
        self.buttons = {name: widgets.Button(description=name, icon=i) for name, i in zip(names, icons, strict=True)}
        for name, button in self.buttons.items():
            button.add_class(f"darts-lab-{name.lower()}")
            button.layout.width = "100px"
            button.on_click(lambda _, name=name: getattr(self, name.lower())())
        self.progress = widgets.FloatProgress(min=0, max=1, layout={"width": "260px"})
        self.status = widgets.HTML("Press Start.")
        self.status.add_class("darts-lab-status")
        self.picture = widgets.Image(format="png", layout={"max_width": "900px", "visibility": "hidden"})
        self.picture.add_class("darts-lab-picture")

        self.search: Search | None = None
        self.evaluation: Evaluation | None = None
        self.frames = 0
        self._running, self._stopped, self._retrain = threading.Event(), threading.Event(), threading.Event()
        self._one_epoch = self._working = False
        self._lock = threading.Lock()  # over `_working` and the events that a button sets with it
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        super().__init__(
            [
                widgets.HBox([self.space, self.method, self.scale, self.seed]),
                widgets.HBox([*self.buttons.values(), self.progress]),
                self.status,
                self.picture,
            ]
        )
        self._show_buttons()

    def _menu(self, what: str, chosen, known, tooltip: str) -> widgets.Dropdown:
        name = chosen if isinstance(chosen, str) else chosen.name
        options = list(known)
        match = next((option for option in options if option.lower() == name.lower()), None)
        if not isinstance(chosen, str):
            self._objects[what, name] = chosen
            options, match = [*(o for o in options if o != name), name], name
        if match is None:
            raise ValueError(f"{what}: {name!r} is not known; known: {', '.join(options)}")
        return widgets.Dropdown(
            options=options, value=match, description=what, tooltip=tooltip, layout={"width": "210px"}
        )

    # The buttons. They return at once.

    def start(self) -> None:
        """Starts the search, or goes on after a pause."""
        self._one_epoch = False
        self._go()

    def step(self) -> None:
        """One epoch, then a pause."""
        self._one_epoch = True
        self._go()

    def pause(self) -> None:
        """Holds the search before its next batch."""
        self._running.clear()

    def stop(self) -> None:
        """Ends the search after the running batch; the next Start begins anew."""
        self._stopped.set()
        self._running.set()  # so that a paused thread wakes up and sees it

    def retrain(self) -> None:
        """Trains the current cell from scratch and shows its test error."""
        with self._lock:
            if self.search is None and not self._working:
                self.status.value = "There is no cell yet: press Start first."
                return
            self._retrain.set()
            self._running.set()
            if not self._working:
                self._begin(None)

    def _go(self) -> None:
        with self._lock:
            self._running.set()
            if not self._working:
                self._stopped.clear()
                self._begin(self._searching)

    def _begin(self, work) -> None:
        self._error, self._working = None, True
        self._thread = threading.Thread(target=self._guarded, args=(work,), daemon=True, name="darts-lab")
        self._thread.start()

    # The thread

    def _guarded(self, work) -> None:
        try:
            if work is not None:
                work()
        except BaseException as error:  # a thread has nobody to raise to: keep it for result()
            self._failed(error)
        while True:  # a Retrain that was pressed while the search was ending is not lost
            with self._lock:
                if self._error is not None or not self._retrain.is_set():
                    self._retrain.clear()
                    self._running.clear()
                    self._working = False
                    break
            self._stopped.clear()  # it was meant for the search
            try:
                self._retraining()
            except BaseException as error:
                self._failed(error)
        self._show_buttons(working=False)

    def _failed(self, error: BaseException) -> None:
        self._error = error
        self.status.value = f"<b>Stopped:</b> {type(error).__name__}: {html.escape(str(error))}"

    def _searching(self) -> None:
        self.status.value = "Preparing data and supernet ..."
        self._show_buttons(working=True)
        self.evaluation = None
        self.search = search = Search(
            self._chosen(self.space, "space"), self._fixed["data"], self._chosen(self.method, "method"),
            self._chosen(self.scale, "scale"), self.seed.value, **self._fixed["settings"],
        )  # fmt: skip
        rule = RULE if search.method.monitor is None else search.method.monitor.rule
        self._dashboard = Dashboard(search.space, rule=rule)
        FigureCanvasAgg(self._dashboard.figure)
        self._drawn_at, self._drawing_took, self._inside = 0.0, 0.0, 0
        self._draw()
        spent, batches = 0.0, 0
        while not search.finished and not self._stopped.is_set():
            if self._retrain.is_set():
                self._retraining()
                self._running.clear()
            if not self._running.is_set():
                self._report(spent, batches, "Paused")
                self._show_buttons(working=True, paused=True)
                self._draw()
                self._running.wait()
                self._show_buttons(working=True)
                continue
            began = time.perf_counter()
            record = search.step()
            spent, batches = spent + time.perf_counter() - began, batches + 1
            self._inside = 0 if record is not None else self._inside + 1
            since = time.perf_counter() - self._drawn_at
            if since > max(_PAUSE, self._drawing_took / _SHARE):
                self._report(spent, batches, "Searching")
                self._draw()
            if record is not None and self._one_epoch:
                self._running.clear()
        self._report(spent, batches, "Stopped" if self._stopped.is_set() else "Finished")
        self._draw()

    def _retraining(self) -> None:
        self._retrain.clear()
        self._show_buttons(working=True)
        search = self.search
        training = Training(
            search.genotype, self._fixed["data"], self._chosen(self.scale, "scale"), search.seed, space=search.space
        )
        last = search.history[-1] if search.history else None
        cell = search.epoch if last is None else last.epoch if last.stop_epoch is None else last.stop_epoch
        what, epochs = f"Retraining the cell of epoch {cell} from scratch", training.settings.epochs
        self.status.value = f"{what} ..."
        for record in training:
            self.progress.value = training.epoch / epochs
            error = f"training error {100 * record.train_error:.1f} %"
            self.status.value = f"{what}: epoch {training.epoch} of {epochs}, {error}"
            if self._stopped.is_set() and training.epoch < epochs:
                self.status.value = f"<b>Stopped</b> retraining after epoch {training.epoch} of {epochs}"
                return
        self.evaluation = training.result()
        one_shot = f"{100 * search.history[-1].valid_error:.1f} %" if search.history else "not measured"
        self.status.value = (
            f"<b>Retrained test error {100 * self.evaluation.test_error:.1f} %</b> "
            f"({self.evaluation.parameters:,} weights, {self.evaluation.seconds:.0f} s); "
            f"one-shot validation error of the supernet: {one_shot}"
        )

    # What is shown

    def _chosen(self, menu: widgets.Dropdown, what: str):
        return self._objects.get((what, menu.value), menu.value)

    def _report(self, spent: float, batches: int, word: str) -> None:
        search = self.search
        total = search.settings.epochs * search.steps_per_epoch
        done = search.epoch * search.steps_per_epoch + self._inside  # less than before where the search was thrown back
        left = (total - done) * spent / max(batches, 1)
        parts = [f"<b>{word}</b>: epoch {search.epoch} of {search.settings.epochs}"]
        if search.history:
            last, operation = search.history[-1], telling_operation(search.space)
            parts.append(f"one-shot error {100 * last.valid_error:.1f} %")
            counted = " + ".join(str(last.genotype.count(operation, kind)) for kind in ("normal", "reduce"))
            parts.append(f"{operation} {counted}")
            measured = [record for record in search.history if record.dominant_eigenvalue is not None]
            if measured:
                parts.append(f"dominant eigenvalue {measured[-1].dominant_eigenvalue:.2f}")
            if last.stop_epoch is not None:
                parts.append(f"it has risen too much: the cell of epoch {last.stop_epoch} is the result")
            if search.weight_decay != search.settings.weight_decay:
                back = [record.back_to for record in search.history if record.back_to is not None][-1]
                parts.append(f"thrown back to epoch {back}, weight decay now {search.weight_decay:g}")
        if self.evaluation is not None:
            parts.append(f"retrained test error {100 * self.evaluation.test_error:.1f} %")
        if word in ("Searching", "Paused"):
            parts.append(f"{1000 * spent / max(batches, 1):.0f} ms a step, {left:.0f} s left, on {search.device.type}")
        self.progress.value = 1 if search.finished else done / total
        self.status.value = "; ".join(parts)

    def _draw(self) -> None:
        began = time.perf_counter()
        search = self.search
        with _RENDERING:
            weights = search.mixing.detach().cpu().numpy()
            figure = self._dashboard.draw(search.history, weights, search.genotype)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png")
        self.picture.value = buffer.getvalue()
        self.picture.layout.visibility = "visible"
        self.frames += 1
        self._drawn_at = time.perf_counter()
        self._drawing_took = self._drawn_at - began

    def _show_buttons(self, working: bool = False, paused: bool = False) -> None:
        self.buttons["Start"].disabled = working and not paused
        self.buttons["Step"].disabled = working and not paused
        self.buttons["Pause"].disabled = not working or paused
        self.buttons["Stop"].disabled = not working
        for control in (self.space, self.method, self.scale, self.seed):
            control.disabled = working

    # Waiting

    async def finished(self) -> Search:
        """Waits, without blocking the buttons, until the thread has ended; then as `result()`."""
        while self._thread is not None and self._thread.is_alive():
            await asyncio.sleep(0.05)
        return self.result(0)

    def result(self, timeout: float | None = None) -> Search:
        """The search, after waiting at most `timeout` seconds for the thread. Raises what ended it, if anything did."""
        if self._thread is None:
            raise ValueError("lab: nothing was started; press Start or call start()")
        self._thread.join(timeout)
        if self._error is not None:
            raise self._error
        return self.search
