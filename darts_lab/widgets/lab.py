"""The live lab: controls, and pictures of searches that run in a background thread, because no kernel handles buttons
while a cell runs. Buttons only set what the worker should do."""

import asyncio
import html
import time
from datetime import timedelta
from typing import Any

import ipywidgets as widgets

from darts_lab import idle
from darts_lab.checks import Amount, checked
from darts_lab.environment import choose_device
from darts_lab.search.search import Search
from darts_lab.widgets import labs
from darts_lab.widgets.choices import Choices
from darts_lab.widgets.kept import PAUSE, Kept, bars
from darts_lab.widgets.keys import Buttons, Keys, answer_beside_cells
from darts_lab.widgets.panels import Shared
from darts_lab.widgets.tracks import Track
from darts_lab.widgets.worker import Worker

SHARE = 0.08  # of the time may go into pictures ...
PICTURES = 12  # ... but a search that takes seconds has so many nevertheless


def pause_between_pictures(drawing: float, whole: float) -> float:
    """Seconds from one picture to the next, where one takes `drawing` seconds and all searches the `whole`."""
    return max(PAUSE, min(drawing / SHARE, whole / PICTURES))


def lab_for(*arguments, **options):
    """The lab that a cell with these arguments shows: the one that it began and that still runs, is paused or could go
    on after a stop, so that running the cell again, after a page was loaded anew, shows it again; else a new one."""
    return labs.begun(labs.asked(Lab, arguments, options)) or Lab(*arguments, **options)


class Lab(widgets.VBox):
    """The live widget: choose, press Start, watch. Arguments as for `Search`, whose device, path and capture are the
    usual ones here; they set what the controls show. With a list of methods, their searches, with the same seed and
    data, go on side by side, epoch by epoch.

    With `present` it begins in the form for a class: large type, choices folded away, the panels that tell the story.

    `searches` are the Searches (`search` the first; None before Start), `kept` the kept cells, `frames` the number of
    panels drawn. Every button is a method too."""

    def __init__(self, space=None, data="digits", method="DARTS", scale="laptop", seed=0, *, present=False, **settings):
        self.worker, self.settings = Worker(self), settings
        self.asked = labs.asked(Lab, (space, data, method, scale, seed), settings)
        self.born = time.monotonic()
        self.tracks: list[Track] = []  # for `close`, which Python calls too where a check below fails
        self.kept: list[Kept] = []
        self.retrained: Kept | None = None  # the last one
        self._reported = self._drawn = self._drawing_time = 0.0
        for name in {"device", "path", "capture"} & settings.keys():
            raise ValueError(f"{name}: not a setting of a lab, which takes the usual one; dl.Search takes it")
        self.choices = Choices(space, data, scale, seed)
        methods = list(method) if isinstance(method, list | tuple) else [method]
        if not methods:
            raise ValueError("method: is an empty list; at least one method is needed")
        self.tracks = [Track(one, self, several=len(methods) > 1) for one in methods]
        self.shared = Shared(several=len(methods) > 1)
        self._buttons = Buttons(self._pressed)
        self.buttons = self._buttons.named
        self.progress = widgets.FloatProgress(min=0, max=1, layout={"width": "100%", "height": "12px"})
        device, reason = choose_device()
        self._welcome = f"Press <b>Start</b>. Computed on {device.type}: {reason}."
        others = [html.escape(track.search.plan.name) for one in labs.running() for track in one.tracks if track.search]
        if others:
            again = "run their cells again, or show one of <code>dl.running()</code>"
            self._welcome += f"<br>Running in this kernel: {', '.join(others)}; to see them {again}."
        self.status = widgets.HTML(self._welcome).add_class("darts-lab-status")
        self._kept_box = widgets.VBox().add_class("darts-lab-kept")
        self._keys = Keys()
        self._folded: list[Any] = [self.choices, *(track.method for track in self.tracks)]
        controls = [*self._folded, self._buttons, self._keys]
        boxes = widgets.HBox([track.box for track in self.tracks], layout={"width": "100%"})
        super().__init__([*controls, self.progress, self.status, boxes, self.shared, self._kept_box])
        self.add_class("darts-lab")
        self.show_buttons()
        answer_beside_cells(self)
        labs.LABS.add(self)
        self._presents = False
        if present:
            self.present()
        idle.warn()

    space = property(lambda self: self.choices.space)
    data = property(lambda self: self.choices.data)
    scale = property(lambda self: self.choices.scale)
    seed = property(lambda self: self.choices.seed)
    method = property(lambda self: self.tracks[0].method.menu)
    search = property(lambda self: self.tracks[0].search)
    searches = property(lambda self: [track.search for track in self.tracks])
    panels = property(lambda self: self.tracks[0].panels)
    evaluation = property(lambda self: None if self.retrained is None else self.retrained.evaluation)
    frames = property(lambda self: self.shared.frames + sum(track.panels.frames for track in self.tracks))

    @property
    def state(self) -> str:
        """working, idle, paused, stopped, finished or failed"""
        return "working" if self.worker.computing else "paused" if self.worker.queue else self.worker.rest

    @property
    def _going(self) -> bool:
        """Whether searches go on, or would after a pause; there may also be retrainings alone."""
        return self.worker.searching or self.worker.rest == "paused"

    def _pressed(self, name: str) -> None:
        self.heard()
        try:
            getattr(self, name)()
        except Exception as error:  # nobody would see what a callback raises
            self.show_error(error)

    def heard(self) -> None:
        """Tells the page that the kernel has heard of a click."""
        self._keys.answered += 1

    def start(self) -> None:
        """Begins new searches; after a pause, goes on."""
        with self.worker.lock:
            if self.worker.waits_for_reset(self.start):
                return
            if self._going:
                return self.resume()
            self.worker.forget()
            self.worker.search_on()

    def resume(self) -> None:
        """Goes on after a pause or a stop, or else with the last unfinished run of these choices on disk."""
        with self.worker.lock:
            if self.worker.waits_for_reset(self.resume):
                return
            self.worker.targets = None
            if self.state == "paused" and not self._going:  # a retraining alone
                return self.worker.go_on()
            if self.worker.rest == "finished" and not self._going:
                self.status.value = "The search is finished; <b>Start</b> begins a new one."
                return
            if not self._going:
                begun = None not in self.searches
                if begun:
                    for track in self.tracks:
                        track.put_back()
                if begun and self.worker.rest == "stopped":
                    for track in self.tracks:
                        track.show_by_hand()
                else:
                    self.worker.forget()
                    self.worker.from_disk = True
            self.worker.search_on()

    def step(self) -> None:
        """One epoch, then a pause."""
        with self.worker.lock:
            if self.worker.waits_for_reset(self.step):
                return
            if not self._going:
                self.worker.forget()
            self.worker.targets = [1 + len(search.history) if search else 1 for search in self.searches]
            self.worker.search_on()

    def pause(self) -> None:
        """Holds everything before the next batch."""
        with self.worker.lock:
            self.worker.after_reset = None
            if self.state == "working" and self.worker.halt is None:
                self._halt("paused", "Pausing")

    def stop(self) -> None:
        """Ends the search after the running batch; Start begins a new one, Resume goes on."""
        with self.worker.lock:
            self.worker.after_reset = None
            if self.worker.halt == "reset":
                return
            if self.worker.running:
                self._halt("stopped", "Stopping")
            elif self.state == "paused":
                self.worker.stopped()

    def reset(self) -> None:
        """Back to the beginning: no search, the choices as they were. Runs stay on disk, kept cells in their list."""
        with self.worker.lock:
            self.worker.after_reset = None
            if self.worker.running:
                self._halt("reset", "Resetting")
            else:
                self.clear()

    def _halt(self, state: str, word: str) -> None:
        self.worker.halt = state
        if self.state == "working":
            self.status.value = f"{word} after this batch ..."

    def keep(self) -> list[Kept]:
        """Keeps the cell of the last finished epoch (of every search); returns the kept cells."""
        cells = []
        with self.worker.lock:
            for track in self.tracks:
                if track.search is None or not track.search.history:
                    self.status.value = "There is no cell yet: press Start first, and wait for the first epoch."
                    continue
                new = Kept(track, self)
                answer_beside_cells(new.row)
                known = next((cell for cell in self.kept if cell.key == new.key), None)
                if known is not None:
                    _close(new.row)
                cells.append(known or new)
            self.kept += [cell for cell in cells if cell not in self.kept]
            self._kept_box.children = [cell.row for cell in self.kept]
        return cells

    @checked
    def retrain(self, kept: Kept | None = None) -> None:
        """Trains a kept cell (default: the one that Keep would keep) from scratch and shows its test error."""
        with self.worker.lock:
            cells = self.keep() if kept is None else [kept]
            if self.worker.waits_for_reset(lambda: [self.retrain(cell) for cell in cells]):
                return
            for cell in cells:
                if cell.evaluation is not None:
                    self.retrained = cell
                    self.report()
                elif cell not in self.worker.queue:
                    self.worker.queue.append(cell)
                    cell.words.value = "waits to be retrained"
            if self.worker.queue:
                self.worker.go_on()

    @checked
    def discard(self, kept: Kept) -> None:
        with self.worker.lock:
            if kept in self.kept:
                if kept in self.worker.queue:
                    self.worker.queue.remove(kept)
                kept.training = None
                self.kept.remove(kept)
                self._kept_box.children = [cell.row for cell in self.kept]
                _close(kept.row)
                if not self.worker.running:
                    self.draw_shared()

    def present(self) -> None:
        """Goes to the form for a class and back: large type, choices folded away, the panels that tell the story."""
        with self.worker.lock:
            self._presents = not self._presents
            (self.add_class if self._presents else self.remove_class)("darts-lab-present")
            for control in self._folded:
                control.layout.display = "none" if self._presents else None
            for pictures in (*(track.panels for track in self.tracks), self.shared):
                pictures.enlarge(self._presents)
            if not self.worker.running:
                for track in self.tracks:
                    track.draw()
                self.draw_shared()

    def show_error(self, error: BaseException) -> None:
        kind = "" if isinstance(error, ValueError | FileNotFoundError) else f"{type(error).__name__}: "
        self.status.value = f"<b style='color:#c91f16'>Stopped:</b> {html.escape(kind + str(error))}"

    def show_progress(self) -> None:
        """A report and a picture, if it is time for them."""
        now = time.perf_counter()
        if now - self._reported > PAUSE:
            self.report()
        whole = sum(track.spent + track.left for track in self.tracks)
        if now - self._drawn > pause_between_pictures(self._drawing_time, whole):
            behind = min(self.tracks, key=lambda track: track.drawn)
            several = len(self.tracks) > 1 and self.shared.drawn < behind.drawn
            self._drawing_time = self.draw_shared(1) if several else behind.draw(1)
            self._drawn = time.perf_counter()

    def draw_shared(self, most: int | None = None) -> float:
        """As `Shared.draw`, for the searches and kept cells as they are now."""
        names = [track.search.method.name for track in self.tracks if track.search is not None]
        views = {}
        for track in self.tracks:
            if track.search is not None and (view := track.view) is not None:
                name = track.search.method.name
                views[name if names.count(name) == 1 else f"{name}, {track.number}"] = view
        tasks = [type(track.search.task) for track in self.tracks if track.search is not None]
        tasks += [kept.task for kept in self.kept[-1:]]
        task = tasks[0] if tasks else None
        unit = "%" if task is None else task.unit or task.metric
        return self.shared.draw(views, bars(self.kept, task), most, unit)

    def report(self) -> None:
        with self.worker.lock:
            self._reported = time.perf_counter()
            tracks = [track for track in self.tracks if track.search is not None]
            working = "Searching" if self._going else "Retraining"
            state = f"<b>{working if self.state == 'working' else self.state.capitalize()}</b>"
            parts = [self._welcome if self.state == "idle" else state, *(track.report() for track in tracks)]
            if tracks and self.state in ("working", "paused"):
                left = timedelta(seconds=round(sum(track.left for track in tracks)))
                parts.append(f"{left} left on {tracks[0].begun.device.type}")
            if self.retrained is not None and self.evaluation is not None:
                task = self.retrained.task
                parts.append(f"retrained test {task.metric} {task.show(self.evaluation.test_error)}")
            self.progress.value = sum(track.progress for track in tracks) / len(tracks) if tracks else 0.0
            self.status.value = ("<br>" if len(tracks) > 1 else "; ").join(parts)

    def show_buttons(self) -> None:
        """Enables the buttons and controls that the state allows."""
        with self.worker.lock:
            self._buttons.show(self.state, None not in self.searches)
            locked = self.state in ("working", "paused")
            for control in self.choices.all:
                control.disabled = locked
            for track in self.tracks:
                track.method.lock(locked)

    def clear(self) -> None:
        self.worker.end_retraining()
        self.worker.forget()
        for track in self.tracks:
            track.panels.clear()
            track.method.reset()
            track.title.value = ""
        self.shared.clear()
        self.choices.reset()
        self.worker.rest, self.worker.searching, self.progress.value = "idle", False, 0.0
        self.status.value = self._welcome
        self.show_buttons()

    async def finished(self) -> Search:
        """Waits, without blocking the buttons, until the search is finished, stopped or failed; then as `result()`."""
        while self.worker.running or self.worker.rest == "paused":
            await asyncio.sleep(0.05)
        return self.result(0)

    @checked
    def result(self, timeout: Amount | None = None) -> Search:
        """Waits until nothing is computed; gives the (first) search or raises its error. Raises TimeoutError where that
        takes more than `timeout` seconds."""
        if self.worker.thread is None:
            raise ValueError("lab: nothing was started; press Start or call start()")
        self.worker.wait(timeout)
        if self.worker.running:
            raise TimeoutError(f"lab: is still computing after {timeout:g} s; wait longer, or press Stop")
        return self.search

    def close(self) -> None:
        """Ends what is computed after its batch, and takes the widget away."""
        with self.worker.lock:
            self.worker.closed = True
            self.stop()
            if not self.worker.running:
                self.worker.unlock()
        _close(self)


def _close(widget: widgets.Widget) -> None:
    """Closes a widget and everything in it, layouts and styles included."""
    for part in (*getattr(widget, "children", ()), getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, widgets.Widget):
            _close(part)
    widgets.Widget.close(widget)
