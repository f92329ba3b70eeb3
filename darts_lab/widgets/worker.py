"""What a lab computes: its searches and retrainings, batch after batch in a background thread that exists only while
something is computed."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from darts_lab.widgets.kept import Kept
from darts_lab.widgets.tracks import Track


class Worker:
    """The thread of a lab. Buttons set what it should do, under `lock`; it looks at that between two batches, and calls
    the lab to show what happens. Of `lab.tracks`, the one that is behind goes first."""

    def __init__(self, lab):
        self.lab = lab
        self.lock = threading.RLock()  # for all attributes
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None  # what ended the thread
        self.running = self.computing = False  # there is a thread; it still computes
        self.rest = "idle"  # the state of the searches when they last came to rest: idle, paused, stopped, ...
        self.halt: str | None = None  # the state in which the thread should come to rest, or "reset"
        self.requests = 0  # so that a request in the last moment of the thread is not lost
        self.searching = self.from_disk = False  # the searches go on, not only retraining; they are read from disk
        self.targets: list[int] | None = None  # the length of its history at which each search pauses
        self.queue: deque[Kept] = deque()  # cells to be retrained
        self.after_reset: Callable | None = None  # what was asked for while the lab was being reset
        self.closed = False

    @property
    def finished(self) -> bool:
        return all(track.search is not None and track.search.finished for track in self.lab.tracks)

    def search_on(self) -> None:
        self.searching = True
        self.go_on()

    def waits_for_reset(self, action: Callable) -> bool:
        """Whether the lab is being reset, so that `action` has to wait until it is."""
        waits = self.running and self.halt == "reset"
        if waits:
            self.after_reset = action
        return waits

    def go_on(self) -> None:
        """Computes what is to be computed, in a new thread if there is none."""
        self.requests, self.after_reset = self.requests + 1, None
        if self.halt != "reset":
            self.halt = None  # what was pressed last counts
        if not self.running:
            self._start_thread()

    def stopped(self) -> None:
        """Ends what is paused."""
        if self.rest == "paused":
            self.rest = "stopped"
        self.end_retraining()
        self.lab.report()
        self.lab.show_buttons()

    def change(self, track: Track, name: str, value: float) -> None:
        """Sets L2 or drop path of a search, from its next epoch on."""
        with self.lock:
            if track.search is not None and not track.search.finished and self.rest != "failed":
                track.changes[name] = value
                if not self.computing:
                    track.apply_changes()
                    self.lab.report()

    def forget(self) -> None:
        """Leaves the searches; what is retrained goes on."""
        for track in self.lab.tracks:
            track.forget()
        self.targets, self.from_disk, self.lab.retrained, self.error = None, False, None, None
        self.rest = "idle"

    def unlock(self) -> None:
        for track in self.lab.tracks:
            track.unlock()

    def wait(self, timeout: float | None) -> None:
        """Waits until nothing is computed, at most `timeout` seconds; raises the error that ended it."""
        end = None if timeout is None else time.monotonic() + timeout
        while (thread := self.thread) and thread.is_alive() and thread is not threading.current_thread():
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
            if end is not None and time.monotonic() >= end:
                break
        if self.error is not None:
            raise self.error

    def _start_thread(self) -> None:
        self.error, self.halt = None, None
        self.running = self.computing = True
        self.lab.show_buttons()
        self.thread = threading.Thread(target=self._run, name="darts-lab")
        self.thread.start()

    def _run(self) -> None:
        """Computes until nothing is left or a halt is asked for, shows the end, and then looks for late requests."""
        error = None
        try:
            while self._next_batch():
                pass
        except BaseException as raised:  # nobody catches what a thread raises: keep it for `wait`
            error = raised
        requests = self._come_to_rest(error)
        try:
            if error is not None:
                self.lab.show_error(error)
            else:
                self.lab.report()
            self.lab.show_buttons()
            for track in self.lab.tracks:
                track.draw()
            self.lab.draw_shared()
        except BaseException as raised:
            self.error = self.error or raised
            self.lab.show_error(self.error)
        with self.lock:
            self.running = False
            halt, self.halt = self.halt, None
            for track in self.lab.tracks:
                track.apply_changes()
            if halt == "reset":
                self.lab.clear()
                if self.after_reset is not None and not self.closed:
                    self.after_reset()
            elif halt == "stopped" and (self.queue or self.rest == "paused"):
                self.stopped()
            elif self.requests != requests and not self.closed:
                self._start_thread()
            if self.closed:
                self.unlock()

    def _come_to_rest(self, error: BaseException | None) -> int:
        """Sets the state in which the thread ends; returns the number of requests that are done by then."""
        with self.lock:
            searches = self.searching or self.rest == "paused"  # else there was a retraining alone
            self.computing = self.searching = False
            self.error, halt = error, self.halt
            if halt != "reset":
                self.halt = None
            if error is not None:
                self.rest = "failed"
            elif halt in ("paused", "stopped") and searches:
                self.rest = "finished" if self.finished else halt
            if error is not None or halt == "stopped":
                self.end_retraining()
            if self.rest != "paused":
                self.targets = None
            if self.rest in ("finished", "failed"):
                self.unlock()
            return self.requests

    def _next_batch(self) -> bool:
        """One batch of a retraining or else of a search; False if there is nothing to do, or Python ends."""
        with self.lock:
            if self.halt is not None or not (self.queue or self.searching) or not threading.main_thread().is_alive():
                return False
            requests, kept = self.requests, self.queue[0] if self.queue else None
        if kept is not None:
            self._retrain(kept)
        elif not self._search():
            with self.lock:
                if self.requests == requests:  # and nothing was pressed meanwhile
                    self.rest = "finished" if self.finished else "paused"
                    self.targets, self.searching = None, False
        return True

    def _search(self) -> bool:
        """One batch of the search that is most behind; False if all have reached their end or target."""
        tracks = self.lab.tracks
        if any(track.search is None for track in tracks):
            words = "Reading the run on disk ..." if self.from_disk else "Preparing data and supernet ..."
            self.lab.status.value = words
            for track in tracks:
                track.begin(self.from_disk)
                track.draw()
            self.lab.show_buttons()
            return True
        targets: Sequence[float] = self.targets or [math.inf] * len(tracks)
        pairs = zip(tracks, targets, strict=True)
        behind = [one for one, end in pairs if not one.search.finished and len(one.search.history) < end]
        if not behind:
            return False
        min(behind, key=lambda track: track.position).step()
        self.lab.show_progress()
        return True

    def _retrain(self, kept: Kept) -> None:
        if kept.evaluation is None and not kept.step():
            return
        with self.lock:
            self.lab.retrained = kept
            if kept in self.queue:
                self.queue.remove(kept)
            self.lab.report()

    def end_retraining(self) -> None:
        while self.queue:
            self.queue.popleft().stop()
