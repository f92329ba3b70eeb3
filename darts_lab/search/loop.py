"""The loop over epochs that a search and the training of a cell share: stepping, holding the run, resuming it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from darts_lab import __version__, ranks, runs
from darts_lab.checks import argument, checked
from darts_lab.environment import deterministic, keep_memory
from darts_lab.plan import Plan
from darts_lab.settings import PRIME, EvaluationSettings, SearchSettings
from darts_lab.tasks import Task, data_of


class Loop(ABC):
    """An iterator over epochs, each of which gives a record. `step` goes on by one batch, for a live view.

    `path` is where the run is written: None for a new folder, False for nowhere. Subclasses have a `task`, a `device`,
    `settings` with the number of epochs, and a `history` of records.
    """

    name: str  # "search" or "training", as errors call it
    task: Task
    device: torch.device
    settings: SearchSettings | EvaluationSettings
    history: list

    @classmethod
    @checked
    def of(cls, plan: Plan, path=None, capture: bool | None = None):
        """What a plan asks for, written as `path` says. Raises as the class itself."""
        loop = cls.__new__(cls)
        loop._begin(plan, path, capture)
        return loop

    def _begin(self, plan: Plan, path, capture: bool | None) -> None:
        argument("capture", capture, bool | None)
        keep_memory()
        deterministic()
        ranks.join()
        self.plan, self._capture = plan, capture
        self._path: Any = False if ranks.rank() else path  # the first one writes
        self.run: runs.Run | None = None
        self._steps: Iterator | None = None  # of the present epoch

    @property
    @abstractmethod
    def epoch(self) -> int:
        """Finished epochs: the number of the present or next one."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether there is nothing more to do."""

    @abstractmethod
    def state(self) -> dict:
        """Everything that changes."""

    @abstractmethod
    def load_state(self, state: dict) -> None:
        """Takes over a `state`. Raises ValueError where it does not fit."""

    @abstractmethod
    def record(self, content: dict):
        """The record of an epoch from its lines on disk."""

    @abstractmethod
    def _epoch(self) -> Iterator:
        """One epoch: gives None between two batches, and its record at the end."""

    def config(self) -> dict:
        """The plan, and what it was carried out with, as JSON can hold it."""
        plan = self.plan.to_json()
        return {
            "kind": self.name,
            "name": self.plan.name,
            "hash": self.plan.hash,
            "version": __version__,
            **plan,
            "domain": self.task.domain,
            "data": plan["data"] | {"fingerprint": self.task.fingerprint()},
            "device": str(self.device),
        }

    def __iter__(self) -> Loop:
        return self

    def __next__(self):
        while (record := self.step()) is None:
            pass
        return record

    def step(self):
        """Goes on by one batch, or by a measurement after the last; gives the epoch's record at its end, None before.

        Raises StopIteration when it is finished, RuntimeError when an exception has ended the epoch, FloatingPointError
        for numbers that are not finite, ValueError or OSError where the run cannot be written.
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
            on = f"{type(self).__name__}.resume(path) goes on after the last whole epoch"
            raise RuntimeError(
                f"{self.name}: epoch {self.epoch} was interrupted inside a batch and cannot be finished; "
                f"{on if self._on_disk else 'begin a new one'}"
            ) from None
        except FloatingPointError as error:
            self.release()
            raise FloatingPointError(
                f"{error}; the last good epoch is kept in the run" if self._on_disk else str(error)
            ) from error
        except BaseException:
            self.release()
            raise
        if record is not None:
            self._steps = None
            if self.finished:
                self.release()
        return record

    def _agree(self, tensors: Iterable[Tensor]) -> None:
        """Where ranks compute together: raises ValueError if they were asked for different things, or hold other
        `tensors`."""
        if ranks.count() > 1:
            ranks.agree(f"{self.plan.hash} {self.epoch}", tensors)

    @property
    def _on_disk(self) -> bool:
        """Whether there is a run to go on with."""
        return self.run is not None and bool(self.history)

    def release(self) -> None:
        """Lets another process go on with the run, which is held from the first step to the last."""
        if self.run is not None:
            self.run.release()

    def save(self, record, genotype, before: int) -> None:
        """Writes the epoch of `record` behind `before` others, where there is a run."""
        if self.run is not None:
            results, costs = record.to_json()
            self.run.save(self.state(), results, costs, str(genotype), before)

    @classmethod
    def resume(cls, path: str | Path, *, data=None, capture: bool | None = None, **given):
        """The search or training in the run directory `path`, after its last finished epoch.

        `data`, `space` and `method` are needed only where they were your own objects and not names; `capture` may be
        another than before. On another kind of
        `device` it goes on with batches in another order. Raises ValueError where the run is damaged, or was made with
        other data.
        """
        run = runs.Run.of_kind(path, cls.name)
        if "hash" not in run.config:
            raise ValueError(
                f"run: {str(run.path)!r} was written by an earlier form of darts_lab and cannot go on; "
                "it can still be read"
            )
        try:
            loop = cls.of(Plan.from_json(run.config, data=data_of(run, data), **given), path, capture)
            loop.task.check_made(run)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"run: {str(run.path)!r} holds no {cls.name} that can go on: {error}") from error
        if loop.plan.hash != run.config["hash"]:
            now, file = loop.config(), str(run.path / "config.json")
            for name in ("space", "data", "method"):
                if now[name] != run.config[name]:
                    raise ValueError(f"{name}: the run {str(run.path)!r} was made with another one")
            raise ValueError(f"run: {file!r} is damaged: its hash is not that of what it asks for")
        loop.run, state = run, run.load(loop.device)
        epochs = 0 if state is None else state.get("records", state["epoch"])
        if state is not None:
            loop.load_state(state)
        loop.history = run.history(loop.record, epochs)
        if state is not None:
            run.check(state, epochs)
        if ranks.rank():
            loop.run = None  # which the first one writes
        return loop


@checked
def progress(loop: Loop, words: str | None = None, shown: Callable | None = None, **options) -> Iterator:
    """The epochs of a search or training, with a progress bar in a terminal or notebook (none in a log):

        for epoch in dl.progress(search): ...

    `words` stand before the bar, `shown(record)` behind it (default: the training error); `options` are tqdm's.
    """
    with tqdm(
        total=loop.settings.epochs, desc=words or loop.name, unit="epoch", **({"disable": None} | options)
    ) as bar:
        bar.update(loop.epoch)
        for record in loop:
            error = f"training {loop.task.metric} {loop.task.show(record.train_error)}"
            bar.set_postfix_str(error if shown is None else shown(record), refresh=False)
            bar.update(loop.epoch - bar.n)
            yield record


def cosine(settings, epoch: int) -> float:
    """The learning rate of an epoch, from `learning_rate` at epoch 0 towards `learning_rate_min`; with the parity of
    Maile et al. that of the next epoch."""
    epoch += settings.parity == PRIME
    span = settings.learning_rate - settings.learning_rate_min
    return settings.learning_rate_min + 0.5 * span * (1 + math.cos(math.pi * epoch / settings.epochs))


@torch.no_grad()
def check_finite(epoch: int, losses: dict[str, dict[int, Tensor]], left: dict[str, Tensor]) -> None:
    """Raises FloatingPointError where a loss of the epoch, or what it leaves behind, is not finite.

    `losses` are by name and batch, the names in the order in which a batch computes them: the first fault is named.
    The device is waited for here, once an epoch, and at no batch.
    """
    faults = []
    for name, of in losses.items():
        values = zip(of, torch.stack(list(of.values())).tolist() if of else [], strict=True)
        faults += [(batch, name, value) for batch, value in values if not math.isfinite(value)]
    if faults:
        batch, name, value = min(faults, key=lambda fault: fault[0])
        raise FloatingPointError(f"{name}: {value} at epoch {epoch}, batch {batch}")
    left = {name: tensor for name, tensor in left.items() if tensor.is_floating_point()}
    largest = torch.stack(torch._foreach_norm(list(left.values()), math.inf)).tolist()
    if not all(map(math.isfinite, largest)):
        name = next(name for name, value in zip(left, largest, strict=True) if not math.isfinite(value))
        raise FloatingPointError(f"{name}: holds NaN or infinite values after the last batch of epoch {epoch}")
