"""The live lab: searches in a background thread, their pictures, and buttons that answer at once.

The cell that shows the lab has returned long before the search ends; only so do buttons live on every kernel. Button
callbacks say what is wanted and return; the thread looks at that between two batches. There is a thread only while
something is computed: a search that is paused or stopped just lies there, and on the disk.
"""

from __future__ import annotations

import asyncio
import atexit
import html
import threading
import time
import weakref
from collections import deque

import ipywidgets as widgets

from darts_lab.environment import choose_device
from darts_lab.search.search import Search
from darts_lab.search.training import Evaluation
from darts_lab.widgets.choices import Choices
from darts_lab.widgets.keys import Keys
from darts_lab.widgets.tracks import PAUSE, Kept, Track

SHARE = 0.08  # of the time may go into pictures

_BUTTONS = {
    "Start": ("play", "Begins a new search with the choices above."),
    "Pause": ("pause", "Holds everything before the next batch. Key: p"),
    "Resume": (
        "forward",
        "Goes on: after a pause, after a stop, or with the last unfinished run of these choices on disk. Key: p",
    ),
    "Step": ("step-forward", "One epoch, then a pause. Key: n"),
    "Stop": ("stop", "Ends the search after this batch. Resume would go on with it."),
    "Reset": ("refresh", "Back to the beginning. Runs stay on disk, kept cells stay below."),
    "Keep": ("bookmark", "Keeps the cell of the last finished epoch in the list below. Key: k"),
    "Retrain": ("graduation-cap", "Keeps the cell and trains it from scratch; the search waits, and then goes on."),
}  # fmt: skip
_KEYS = {"k": ["keep"], "p": ["pause", "resume"], "n": ["step"]}  # once the lab was clicked
_LABS: weakref.WeakSet[Lab] = weakref.WeakSet()


class Lab(widgets.VBox):
    """The live widget: choose, press Start, watch. Arguments as for `Search`; they set what the controls show.

    `method` may be a list of two or more: their searches, with the same seed and data, then go on side by side, epoch
    by epoch. `lab.searches` are the Searches (`lab.search` the first; None before Start), `lab.kept` the kept cells.
    Every button is a method too: `lab.start()`, `lab.pause()`, `lab.resume()`, `lab.step()`, `lab.stop()`,
    `lab.reset()`, `lab.keep()`, `lab.retrain()`. `await lab.finished()` waits without blocking them, `lab.result()`
    waits for the end of what is computed and raises what went wrong in it.
    """

    def __init__(self, space="S2", data="digits", method="DARTS", scale="laptop", seed=0, **settings):
        self._lock = threading.RLock()  # over all that follows
        self._closed = False
        self._working = self._active = False  # whether there is a thread; whether it has not come to rest yet
        self._asked = 0  # how often it was asked to do something
        self._rest = "idle"  # what the lab is while nothing is computed: idle, paused, stopped, finished or failed
        self._halt: str | None = None  # what the thread is to come to rest as
        self._going = False  # whether the searches are to go on (and not only retraining)
        self._disk = False  # whether they are to be fetched from the disk
        self._targets: list[int] | None = None  # how many records a step goes to
        self._queue: deque[Kept] = deque()  # cells to be retrained
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.tracks: list[Track] = []
        self.choices = Choices(space, data, scale, seed)
        methods = list(method) if isinstance(method, list | tuple) else [method]
        if not methods:
            raise ValueError("method: is an empty list; at least one method is needed")
        self._fixed = settings
        self.tracks = [Track(one, self, columns=3 if len(methods) == 1 else 2) for one in methods]
        self.buttons = {}
        for name, (icon, tooltip) in _BUTTONS.items():
            button = widgets.Button(description=name, icon=icon, tooltip=tooltip, layout={"width": "98px"})
            button.add_class(f"darts-lab-{name.lower()}")
            button.on_click(lambda _, name=name: self._pressed(name.lower()))
            self.buttons[name] = button
        self.buttons["Start"].button_style = "success"
        self.progress = widgets.FloatProgress(min=0, max=1, layout={"width": "100%", "height": "12px"})
        self.device, why = choose_device()
        self._at_first = f"Press <b>Start</b>. Computed on {self.device.type}: {why}."
        self.status = widgets.HTML(self._at_first)
        self.status.add_class("darts-lab-status")
        self.kept: list[Kept] = []
        self._kept_box = widgets.VBox()
        self._kept_box.add_class("darts-lab-kept")

        self.evaluation: Evaluation | None = None  # the last one
        self._reported = self._drawn = self._took = 0.0
        super().__init__(
            [
                self.choices,
                *(track.method for track in self.tracks),
                widgets.HBox(list(self.buttons.values()), layout={"flex_flow": "row wrap", "margin": "8px 0"}),
                self.progress,
                self.status,
                widgets.HBox([track.box for track in self.tracks], layout={"width": "100%"}),
                self._kept_box,
                Keys(buttons=_KEYS),
            ]
        )
        self.add_class("darts-lab")
        self._show_buttons()
        _LABS.add(self)

    # What is chosen and what there is

    space = property(lambda self: self.choices.space)
    data = property(lambda self: self.choices.data)
    scale = property(lambda self: self.choices.scale)
    seed = property(lambda self: self.choices.seed)
    method = property(lambda self: self.tracks[0].method.menu)
    search = property(lambda self: self.tracks[0].search)
    searches = property(lambda self: [track.search for track in self.tracks])
    panels = property(lambda self: self.tracks[0].panels)
    frames = property(lambda self: sum(track.panels.frames for track in self.tracks))

    @property
    def state(self) -> str:
        """working, or what it came to rest as: idle, paused, stopped, finished or failed."""
        return "working" if self._active else self._rest

    # The buttons. They return at once.

    def _pressed(self, name: str) -> None:
        try:
            getattr(self, name)()
        except Exception as error:  # what a callback raises nobody would see
            self._failed(error)

    def start(self) -> None:
        """Begins new searches; after a pause, goes on."""
        with self._lock:
            if self._active or self._rest == "paused":
                return self.resume()
            self._forget()
            self._go()

    def resume(self) -> None:
        """Goes on after a pause or a stop, or else with the last unfinished run of these choices on disk."""
        with self._lock:
            self._targets = None
            if not self._active and self._rest == "finished":
                self._say("The search is finished; <b>Start</b> begins a new one.")
                return
            if not self._active and (self._rest == "failed" or None in self.searches):
                self._forget()
                self._disk = True
            self._go()

    def step(self) -> None:
        """One epoch, then a pause."""
        with self._lock:
            if not self._active and self._rest != "paused":
                self._forget()
            self._targets = [1 + len(search.history) if search else 1 for search in self.searches]
            self._go()

    def pause(self) -> None:
        """Holds everything before the next batch."""
        with self._lock:
            if self._active and self._halt is None:
                self._halt = "paused"
                self._say("Pausing after this batch ...")

    def stop(self) -> None:
        """Ends the search after the running batch; Start begins anew, Resume would go on."""
        with self._lock:
            if self._halt == "reset":
                return
            if self._working:
                self._halt = "stopped"
                if self._active:
                    self._say("Stopping after this batch ...")
            elif self._rest == "paused":
                self._stopped()

    def reset(self) -> None:
        """Back to the beginning: nothing searched, the choices as they were. Runs stay on disk, kept cells in their list."""
        with self._lock:
            if self._working:
                self._halt = "reset"
                if self._active:
                    self._say("Resetting after this batch ...")
            else:
                self._reset()

    def keep(self) -> list[Kept]:
        """Keeps the cell of the last finished epoch (of every search); gives the kept cells."""
        found = []
        with self._lock:
            for track in self.tracks:
                if track.search is None or not track.search.history:
                    self._say("There is no cell yet: press Start first, and wait for the first epoch.")
                    continue
                kept = Kept(track, self)
                same = next((one for one in self.kept if one.key == kept.key), None)
                if same is None:
                    self.kept.append(kept)
                    self._kept_box.children = (*self._kept_box.children, kept.row())
                found.append(same or kept)
        return found

    def retrain(self, kept: Kept | None = None) -> None:
        """Trains a kept cell (default: the one that Keep would keep) from scratch and shows its test error."""
        with self._lock:
            for one in self.keep() if kept is None else [kept]:
                if one not in self._queue:
                    self._queue.append(one)
                    one.say("waits to be retrained")
            if self._queue:
                self._go_on()

    def discard(self, kept: Kept) -> None:
        """Takes a kept cell out of the list."""
        with self._lock:
            if kept in self.kept:
                index = self.kept.index(kept)
                if kept in self._queue:
                    self._queue.remove(kept)
                kept.training = None
                self.kept.remove(kept)
                rows = list(self._kept_box.children)
                row = rows.pop(index)
                self._kept_box.children = rows
                row.close_all()

    def change(self, track: Track, name: str, value: float) -> None:
        """L2 or drop path of a search, from its next epoch on."""
        with self._lock:
            if track.search is not None and not track.search.finished and self._rest != "failed":
                track.changes[name] = value
                if not self._active:
                    track.apply_changes()
                    self._report()

    def _go(self) -> None:
        self._going = True
        self._go_on()

    def _go_on(self) -> None:
        self._asked += 1
        if self._halt != "reset":
            self._halt = None  # what was pressed last counts
        if not self._working:
            self._begin()

    def _begin(self) -> None:
        self._error, self._halt = None, None
        self._working = self._active = True
        self._show_buttons()
        self._thread = threading.Thread(target=self._guarded, daemon=True, name="darts-lab")
        self._thread.start()

    def _forget(self) -> None:
        self._end_retraining()
        for track in self.tracks:
            track.forget()
        self._targets, self._disk, self.evaluation = None, False, None

    def _stopped(self) -> None:
        self._rest = "stopped"
        self._end_retraining()
        self._report()
        self._show_buttons()

    def _reset(self) -> None:
        self._forget()
        for track in self.tracks:
            track.panels.clear()
            track.method.reset()
            track.title.value = ""
        self.choices.reset()
        self._rest, self._going, self.progress.value = "idle", False, 0.0
        self._say(self._at_first)
        self._show_buttons()

    # The thread

    def _guarded(self) -> None:
        """What the thread does: batches, until nothing is to be done or it is told to halt; then it comes to rest."""
        error = None
        try:
            while self._next():
                pass
        except BaseException as raised:  # a thread has nobody to raise to: keep it for result()
            error = raised
        with self._lock:
            self._active = self._going = False
            self._error, asked = error, self._asked
            halt, self._halt = self._halt, None
            if error is not None:
                self._rest = "failed"
            elif halt in ("paused", "stopped"):
                self._rest = "finished" if not self._queue and self._done() else halt
            if self._rest != "paused":
                self._targets = None
                self._end_retraining()
            if self._rest in ("finished", "failed"):
                self._unlock()
            if halt == "reset":
                self._halt = halt
        try:
            if error is not None:
                self._failed(error)
            else:
                self._report()
            self._show_buttons()
            for track in self.tracks:
                track.draw()
        except BaseException as raised:
            self._error = self._error or raised
            self._failed(self._error)
        with self._lock:  # what was pressed since
            self._working = False
            halt, self._halt = self._halt, None
            for track in self.tracks:
                track.apply_changes()
            if halt == "reset":
                self._reset()
            elif halt == "stopped" and self._rest == "paused":
                self._stopped()
            elif self._asked != asked and not self._closed:
                self._begin()
            if self._closed:
                self._unlock()

    def _next(self) -> bool:
        """One batch of what is to be done; False where there is nothing."""
        with self._lock:
            if self._halt is not None:
                return False
            asked, kept = self._asked, self._queue[0] if self._queue else None
            if kept is None and not self._going:
                return False
        if kept is not None:
            self._retrain_on(kept)
        elif not self._search_on():
            with self._lock:
                if self._asked == asked:  # and nothing was pressed meanwhile
                    self._rest = "finished" if self._done() else "paused"
                    self._targets, self._going = None, False
        return True

    def _unlock(self) -> None:
        for track in self.tracks:
            track.unlock()

    def _done(self) -> bool:
        return None not in self.searches and all(search.finished for search in self.searches)

    def _search_on(self) -> bool:
        """One batch of one search. False where no search is to go on."""
        if None in self.searches:
            self._prepare()
            return True
        behind = [
            (search.epoch + track.inside / search.steps_per_epoch, index)
            for index, (track, search) in enumerate(zip(self.tracks, self.searches, strict=True))
            if not search.finished and (self._targets is None or len(search.history) < self._targets[index])
        ]
        if not behind:
            return False
        self.tracks[min(behind)[1]].step()
        self._look()
        return True

    def _look(self) -> None:
        """A report and a picture, where it is time for them."""
        now = time.perf_counter()
        if now - self._reported > PAUSE:
            self._report()
        if now - self._drawn > max(PAUSE, self._took / SHARE):
            track = min(self.tracks, key=lambda track: track.drawn)
            self._took = track.draw(1)
            self._drawn = time.perf_counter()

    def _prepare(self) -> None:
        self._say("Reading the run on disk ..." if self._disk else "Preparing data and supernet ...")
        for track in self.tracks:
            track.begin(self._disk)
        for track in self.tracks:
            track.draw()
        self._reported, self._drawn = 0.0, time.perf_counter()
        self._show_buttons()

    def _retrain_on(self, kept: Kept) -> None:
        """One batch of a training from scratch, or its test at the end."""
        if kept.evaluation is None and not kept.step():
            return
        with self._lock:
            self.evaluation = kept.evaluation
            if kept in self._queue:
                self._queue.remove(kept)
            self._report()

    def _end_retraining(self) -> None:
        while self._queue:
            self._queue.popleft().stop()

    # What is shown

    def _say(self, words: str) -> None:
        self.status.value = words

    def _failed(self, error: BaseException) -> None:
        kind = "" if isinstance(error, ValueError | FileNotFoundError) else f"{type(error).__name__}: "
        self._say(f"<b style='color:#c91f16'>Stopped:</b> {html.escape(kind + str(error))}")

    def _report(self) -> None:
        with self._lock:
            self._reported = time.perf_counter()
            there = [track for track in self.tracks if track.search is not None]
            if not there:
                return
            word = {"working": "Searching"}.get(self.state, self.state.capitalize())
            parts = [f"<b>{word}</b>"]
            parts += [track.report() for track in there]
            left = sum(track.left for track in there)
            if self.state in ("working", "paused"):
                parts.append(f"{_clock(left)} left on {there[0].search.device.type}")
            if self.evaluation is not None:
                task = there[0].search.task
                parts.append(f"retrained test {task.metric} {task.show(self.evaluation.test_error)}")
            self.progress.value = sum(track.done for track in there) / len(there)
            self._say("<br>".join(parts) if len(there) > 1 else "; ".join(parts))

    def _show_buttons(self) -> None:
        with self._lock:
            state = self.state
            off = {
                "Start": state in ("working", "paused"),
                "Pause": state != "working",
                "Resume": state in ("working", "finished"),
                "Step": state == "working",
                "Stop": state not in ("working", "paused"),
                "Reset": False,
                "Keep": None in self.searches,
                "Retrain": None in self.searches,
            }
            for name, disabled in off.items():
                self.buttons[name].disabled = disabled
            locked = state in ("working", "paused")
            for control in self.choices.all:
                control.disabled = locked
            for track in self.tracks:
                track.method.lock(locked)

    # Waiting, and the end

    async def finished(self) -> Search:
        """Waits, without blocking the buttons, until the search is finished, stopped or has failed; then as `result()`."""
        while self._working or self._rest == "paused":
            await asyncio.sleep(0.05)
        return self.result(0)

    def result(self, timeout: float | None = None) -> Search:
        """The (first) search, after waiting at most `timeout` seconds for what is computed. Raises what ended it."""
        if self._thread is None:
            raise ValueError("lab: nothing was started; press Start or call start()")
        end = None if timeout is None else time.monotonic() + timeout
        while (thread := self._thread).is_alive() and thread is not threading.current_thread():
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
            if end is not None and time.monotonic() >= end:
                break
        if self._error is not None:
            raise self._error
        return self.search

    def close(self) -> None:
        """Ends what is computed after its batch, and takes the widget away."""
        with self._lock:
            self._closed = True
            self.stop()
            if not self._working:
                self._unlock()
        for part in _parts(self):
            part.close()
        super().close()


def _parts(widget: widgets.Widget) -> list[widgets.Widget]:
    """What lies in a widget, and in what lies in it: layouts and styles included."""
    found = []
    for part in (*getattr(widget, "children", ()), widget.layout, getattr(widget, "style", None)):
        if isinstance(part, widgets.DOMWidget):
            found += _parts(part)
        if isinstance(part, widgets.Widget):
            found.append(part)
    return found


def _clock(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


@atexit.register
def _end() -> None:
    """Threads end before the interpreter does, which would else take the ground from under them."""
    for lab in list(_LABS):
        lab._halt = "stopped"
    for lab in list(_LABS):
        if lab._thread is not None:
            lab._thread.join(10)
