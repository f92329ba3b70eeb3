"""What goes on epoch by epoch and holds its run meanwhile: a search, and the training of a cell, are both such a loop."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from darts_lab import runs

KEPT = "; the last good epoch is kept in the run"


class Loop(ABC):
    """An iterator over epochs: each turn gives the record of one. `step` goes on by less, so that a live view can look.

    A subclass says what `_epoch` does, when it is `finished`, and what was asked for, `config`. Its `settings.epochs` is how
    many epochs there are, `history` the records so far. `_path` is where the run is written: None for a new folder, False
    for nowhere.
    """

    name: str  # "search" or "training", as errors call it

    def __init__(self, path):
        self._path = path
        self.run: runs.Run | None = None
        self._steps: Iterator | None = None  # of the epoch that is under way

    @property
    @abstractmethod
    def epoch(self) -> int:
        """Finished epochs: the number of the next one, or of the one that is under way."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether there is nothing more to do."""

    @abstractmethod
    def config(self) -> dict:
        """Everything that was asked for, as JSON can hold it."""

    @abstractmethod
    def _epoch(self) -> Iterator:
        """One epoch: None between two batches, where the caller may wait, look, or never come back; its record at the end."""

    def __iter__(self) -> Loop:
        return self

    def __next__(self):
        while (record := self.step()) is None:
            pass
        return record

    def step(self):
        """Goes on by one batch, or behind the last one by a measurement; gives the epoch's record at its end, None before.

        Between two steps all stands still. Raises StopIteration when it is finished, RuntimeError when an exception ended
        a step before.
        """
        if self._steps is None:
            if self.finished:
                raise StopIteration(f"the {self.name} is finished")
            if self.run is not None:
                self.run.hold()
            elif self._path is not False:
                self.run = runs.Run.create(self.config(), self._path)
            self._steps = self._epoch()
        try:
            record = next(self._steps)
        except StopIteration:  # an exception, such as the interrupt of a notebook's stop button, has ended the epoch
            raise RuntimeError(
                f"{self.name}: epoch {self.epoch} was interrupted inside a batch and cannot be finished; "
                f"{type(self).__name__}.resume(path) goes on after the last whole epoch"
            ) from None
        except BaseException:
            self.release()
            raise
        if record is not None:
            self._steps = None
            if self.finished:
                self.release()
        return record

    def release(self) -> None:
        """Lets another process go on with the run, which is held from the first step to the last."""
        if self.run is not None:
            self.run.release()


def cosine(settings, epoch: int) -> float:
    """The learning rate of an epoch, from `learning_rate` at epoch 0 towards `learning_rate_min`."""
    span = settings.learning_rate - settings.learning_rate_min
    return settings.learning_rate_min + 0.5 * span * (1 + math.cos(math.pi * epoch / settings.epochs))


@torch.no_grad()
def check_finite(epoch: int, losses: dict[str, dict[int, Tensor]], left: dict[str, Tensor]) -> None:
    """Raises FloatingPointError where a loss of the epoch, or what it leaves behind, is not finite.

    `losses` are by name and batch, the names in the order in which a batch computes them: the first fault is told.
    The device is waited for here, once an epoch, and at no batch.
    """
    faults = []
    for name, of in losses.items():
        values = zip(of, torch.stack(list(of.values())).tolist() if of else [], strict=True)
        faults += [(batch, name, value) for batch, value in values if not math.isfinite(value)]
    if faults:
        batch, name, value = min(faults, key=lambda fault: fault[0])
        raise FloatingPointError(f"{name}: {value} at epoch {epoch}, batch {batch}{KEPT}")
    left = {name: tensor for name, tensor in left.items() if tensor.is_floating_point()}
    largest = torch.stack(torch._foreach_norm(list(left.values()), math.inf)).tolist()
    if not all(map(math.isfinite, largest)):
        name = next(name for name, value in zip(left, largest, strict=True) if not math.isfinite(value))
        raise FloatingPointError(f"{name}: holds NaN or infinite values after the last batch of epoch {epoch}{KEPT}")
