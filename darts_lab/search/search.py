"""The bilevel search (Liu et al. 2019, algorithm 1) as an iterator over epochs: a step of Adam on alpha with a random
validation batch, then a step of SGD on w with the next training batch; see `bilevel` for the mathematics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from types import MethodType
from typing import Annotated

import torch
from torch import Tensor, nn

from darts_lab import curvature, tasks
from darts_lab import data as datasets
from darts_lab.checks import checked, one_of
from darts_lab.environment import choose_device, stopwatch
from darts_lab.genotype import Genotype, discretize
from darts_lab.methods.monitors import Adaptation, EarlyStopping, measured_epochs
from darts_lab.networks import fused
from darts_lab.networks.operations import draws_noise
from darts_lab.plan import Plan, of_search
from darts_lab.runs.records import EpochRecord
from darts_lab.search import measuring, samples, steps
from darts_lab.search.descent import Descent
from darts_lab.search.loop import Loop, cosine
from darts_lab.settings import SearchSettings, override

CHANGEABLE = ("weight_decay", "drop_path")  # what `Search.change` may change


class Search(Loop):
    """A search for an architecture; iterate over it, once for each epoch.

        for epoch in Search(space="S2", data="digits", method="DARTS", scale="laptop", seed=0):
            print(epoch.valid_error, epoch.genotype)

    `space`, `method` and `scale` are names or objects, `data` a name, a `Dataset` or anything with train, valid and
    test pairs of tensors; by default `space` is the one that goes with the data. `device` is chosen automatically
    (cuda, mps, cpu). `path` is the run directory (default: a new one below `runs/`; False: nothing is written), which
    nothing is written to before the first step. `capture` says whether the steps are recorded as CUDA graphs (see
    `darts_lab.capture`; None: as DARTS_LAB_CAPTURE says, else not), which changes no number. Further keywords change
    single settings of the scale, such as `epochs=10`; they override the method's.

    The same arguments give the same numbers, bit for bit on the CPU, and `Search.resume(path)` continues as if there
    had been no interruption. Raises ValueError, naming the argument, for anything that is not allowed.

    >>> search = dl.Search("S2", data="digits", scale="tiny", path=False, epochs=1)
    >>> for epoch in search:
    ...     print(epoch.epoch, 0 <= epoch.valid_error <= 1, epoch.mixing.shape == search.space.shape)
    0 True True
    """

    name = "search"
    settings: SearchSettings
    history: list[EpochRecord]

    def __init__(
        self, space=None, data="digits", method="DARTS", scale="laptop", seed=0, device=None, path=None, capture=None,
        **settings,
    ):  # fmt: skip
        self._begin(of_search(space, data, method, scale, seed, device, **settings), path, capture)

    def _begin(self, plan: Plan, path, capture: bool | None) -> None:
        self.space, self.method, self.settings = plan.searched
        super()._begin(plan, path, capture)
        self.device, self.device_reason = choose_device(self.plan.device)
        self.seed = self.plan.seed
        data = samples.of_search(self.plan)
        self.task = tasks.of(data)(data.to(self.device), self.settings)
        self.task.check(self.space, self.settings)
        self.epochs = self._epochs()
        self.measured = measured_epochs(self.epochs, self.settings.curvature_every)
        _check_sizes(self)
        self.descent = Descent(self.task, self.plan, self.device, self._capture)
        self._recorded_outputs = self.descent.recorder.step(self.supernet)
        self.recorded_product = self.descent.recorder.step(MethodType(measuring.product, self.descent))
        self.history = []
        self.snapshots: dict[int, dict] = {}  # states of measured epochs, for adaptation to return to
        self.selected: Genotype | None = None  # what the method's selection chose last
        self.waiting: dict[str, float] = {}  # settings changed by hand: for the next epoch ...
        self._changed: dict[str, float] = {}  # ... and for the present one

    # The state of the search

    @property
    def supernet(self) -> nn.Module:
        """The network that is searched: outputs = supernet(inputs, mixing)."""
        return self.descent.supernet

    @property
    def alpha(self) -> Tensor:
        """(cell types, edges, candidates)."""
        return self.descent.alpha

    @property
    def mixing(self) -> Tensor:
        """The present mixing weights, differentiable in alpha; those of the selected cell if there is one."""
        if self.selected is not None:
            return self.selected.mixing(self.space).to(self.device)
        return self.descent.activate(self.alpha)

    @property
    def genotype(self) -> Genotype:
        """What the search would return if it ended now; where early stopping ended it, the cell of the epoch it chose
        (weights and alpha are then still those of the epoch in which it ended)."""
        if self.history and (stop := self.history[-1].stop_epoch) is not None:
            return next(record.genotype for record in self.history if record.epoch == stop)
        return self.selected or discretize(self.mixing, self.space)

    @property
    def epoch(self) -> int:
        """Finished epochs: the number of the next or the present one."""
        if not self.history:
            return 0
        last = self.history[-1]
        return 1 + (last.epoch if last.back_to is None else last.back_to)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping has ended the search."""
        return self.epoch >= self.epochs or (bool(self.history) and self.history[-1].stop_epoch is not None)

    @property
    def weight_decay(self) -> float:
        """The decay of w in the present or next epoch: the settings', until adaptation or `change` sets another."""
        by_hand = self._changed if self._steps is not None else self.waiting
        if "weight_decay" in by_hand:
            return by_hand["weight_decay"]
        if not self.history:
            return self.settings.weight_decay
        last, monitor = self.history[-1], self.method.monitor
        if last.back_to is None or not isinstance(monitor, Adaptation):
            return last.weight_decay
        return monitor.stronger(last.weight_decay) or last.weight_decay

    @property
    def unrolled_decay(self) -> float | None:
        """The decay of w in the unrolled step, as SGD gets it, where it is another: with parity, the one from before
        the last going back, since Zela et al. make their `Architect` before they raise it."""
        back = [record.weight_decay for record in self.history if record.back_to is not None]
        return back[-1] * self.settings.decay_scale if back and self.settings.parity else None

    @property
    def budget(self) -> int | None:
        """How many training batches there are at most: with parity, random search with weight sharing takes as many as
        an epoch of 25,000 images has, whatever the data (`random_weight_share.py` of Zela et al.)."""
        s = self.settings
        return s.epochs * 25_000 // s.batch_size if s.parity and self.method.is_random_search else None

    def _epochs(self) -> int:
        """How many epochs it has, the last maybe not whole."""
        epochs, budget = self.settings.epochs, self.budget
        return epochs if budget is None else min(epochs, -(-budget // self.steps_per_epoch))

    @property
    def drop_path(self) -> float:
        """The probability of drop path in the present epoch, or else in the last finished one."""
        epoch = self.epoch if self._steps is not None else max(self.epoch - 1, 0)
        return self.settings.drop_path * epoch / max(self.settings.epochs - 1, 1)

    @property
    def strength(self) -> float | None:
        """How strong the task's strong augmentation (Cutout for images) is now, 0 to 1, or None. As in Zela et al., it
        goes with drop path only, and rises with it."""
        s = self.settings
        if s.drop_path == 0:
            return None
        return min(self.drop_path / s.drop_path, 1.0) if s.cutout_rises else 1.0  # rounding may give more than 1

    @property
    def valid_batch_size(self) -> int:
        """As large as training batches, unless the method's split leaves fewer samples."""
        return min(self.settings.batch_size, self.task.size("valid"))

    @property
    def steps_per_epoch(self) -> int:
        """Training batches of an epoch."""
        return self.task.batches_per_epoch(self.settings.batch_size)

    def __repr__(self) -> str:
        return f"Search({self.plan.name}, epoch {self.epoch} of {self.settings.epochs}, {self.device.type})"

    def change(self, **settings: float) -> None:
        """Changes `weight_decay`, or `drop_path` (the largest, at the end), from the next epoch on.

        The record of that epoch holds it in `changed`, so a resumed search goes on with it; until that epoch has ended
        it is not on disk. Raises ValueError, and changes nothing, for other settings and for values that are not
        allowed.
        """
        for name in settings.keys() - set(CHANGEABLE):
            raise ValueError(f"{name}: cannot be changed while a search runs; only {', '.join(CHANGEABLE)} can")
        changed = override(self.settings, **settings)
        self.waiting = self.waiting | {name: getattr(changed, name) for name in settings}

    # One epoch

    def _epoch(self) -> Iterator[EpochRecord | None]:
        self._changed, self.waiting = self.waiting, {}
        s = self.settings = override(self.settings, **self._changed)
        epoch = self.epoch
        ahead = bool(s.parity) and self.method.is_random_search  # their rate falls after the first batch
        learning_rate = cosine(s, epoch + ahead)
        self._agree([self.alpha, *self.descent.weights.values()])
        costs = stopwatch(self.device)
        outcome, valid = yield from steps.take(self, learning_rate)
        yield None  # what follows takes as long as several batches
        eigenpair = None
        if epoch in self.measured:
            if self.method.schedule.trains_alpha:
                eigenpair = measuring.after_epoch(self, valid)
            self.selected = None if self.method.selection is None else self.method.selection(self)
            yield None
        valid_loss, valid_error = self.one_shot()
        record = EpochRecord(
            epoch=epoch,
            **outcome._asdict(),
            valid_loss=valid_loss,
            valid_error=valid_error,
            learning_rate=learning_rate,
            alpha=self.alpha.detach().cpu().clone(),
            mixing=self.mixing.detach().cpu().clone(),
            genotype=self.genotype,
            weight_decay=self.weight_decay,
            dominant_eigenvalue=None if eigenpair is None else eigenpair.value,
            eigenvalue_error=None if eigenpair is None else eigenpair.standard_error,
            changed=self._changed or None,
            **costs(),
        )
        self._changed = {}
        self.history.append(record)
        if eigenpair is not None and self.method.monitor is not None:
            record = self.history[-1] = self._watched(record, self.method.monitor)
        self.save(record, self.genotype, before=len(self.history) - 1)
        yield record

    def _watched(self, record: EpochRecord, monitor: EarlyStopping | Adaptation) -> EpochRecord:
        """The last record, completed with the verdict of the method's monitor: go on, stop, or go back."""
        verdict = monitor.verdict(self.history, record.epoch == self.epochs - 1)
        if verdict.back is not None:
            back = max(epoch for epoch in self.snapshots if epoch <= verdict.back)
            self._load_tensors(self.snapshots[back])
            earlier = [epoch for epoch in sorted(self.snapshots) if epoch <= back] if verdict.keep else []
            self.snapshots = {epoch: self.snapshots[epoch] for epoch in earlier}
            return replace(record, back_to=back)
        if verdict.keep:
            self.snapshots[record.epoch] = deepcopy(self._tensors())
            for epoch in sorted(self.snapshots)[: -verdict.keep]:
                del self.snapshots[epoch]
        return replace(record, stop_epoch=verdict.stop)

    def hessian(self, **options) -> curvature.Hessian:
        """The Hessian of the validation loss at the present alpha and weights; options as for `measuring.hessian`."""
        known = list(signature(measuring.hessian).parameters)[1:]
        for name in options.keys() - set(known):
            raise ValueError(f"{name}: is no option of the Hessian of a search; known: {', '.join(known)}")
        return measuring.hessian(self, **options)

    @torch.no_grad()
    @checked
    def one_shot(
        self, mixing: Tensor | None = None, split: Annotated[str, one_of(*datasets.SPLITS)] = "valid"
    ) -> tuple[float, float]:
        """(loss, error of the task) of the supernet on a whole split, in evaluation mode; with parity, augmented.

        `mixing` defaults to the search's own; pass `search.genotype.mixing(search.space)` for the discretized cell.
        """
        mixing = self.mixing.detach() if mixing is None else mixing
        if not mixing.isfinite().all():
            raise ValueError("mixing: holds NaN or infinite weights")
        noise = torch.Generator(self.device).manual_seed(self.seed + 2**33 + self.epoch)  # looking changes nothing
        self.supernet.eval()
        seen = (noise, self.strength) if self.settings.parity else ()
        drawn = draws_noise(self.supernet)  # from the seed above
        forward = partial(self.supernet, generator=noise) if drawn else self._recorded_outputs
        with fused.differentiated_once(), fused.step(self.supernet, self.settings):
            return self.task.measure(lambda inputs: forward(inputs, mixing), split, seen=seen)

    # On disk

    def state(self) -> dict:
        """Everything that changes, what adaptation may return to included."""
        return self._tensors() | {
            "epoch": self.epoch,
            "records": len(self.history),
            "space": self.space.name,
            "snapshots": self.snapshots,
            "waiting": self.waiting,
        }

    def _tensors(self) -> dict:
        selected = None if self.selected is None else str(self.selected)
        return self.descent.state() | {"selected": selected}

    def _load_tensors(self, state: dict) -> None:
        self.descent.load_state(state)
        selected = state["selected"]
        self.selected = None if selected is None else Genotype.parse(selected, self.space.names)

    def load_state(self, state: dict) -> None:
        """Takes over a `state`. Raises ValueError where it is not one of this search's space and sizes."""
        with _fitting(self, state):
            self._load_tensors(state)
            self.snapshots, self.waiting = dict(state["snapshots"]), dict(state["waiting"])

    def record(self, content: dict) -> EpochRecord:
        """The record of an epoch from its lines on disk."""
        return EpochRecord.from_json(content, self.space.names)

    @classmethod
    def resume(  # type: ignore[override]
        cls, path: str | Path, *, space=None, data=None, method=None, device=None, capture=None
    ) -> Search:
        """As `Loop.resume`; settings that were changed by hand stay changed."""
        search = super().resume(path, space=space, data=data, method=method, device=device, capture=capture)
        for record in search.history:
            search.settings = replace(search.settings, **(record.changed or {}))
        return search


@contextmanager
def _fitting(search: Search, state: dict):
    """Whatever goes wrong within it is a ValueError: `state` does not fit `search`."""
    try:
        yield
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(
            f"checkpoint: of space {state.get('space')!r}, does not fit a search of space {search.space.name!r} with "
            f"{search.settings.channels} channels and {search.settings.layers} cells: {(lines[1:] or lines)[0][:200]}"
        ) from error


def _check_sizes(search: Search) -> None:
    """Raises ValueError where the settings fit the data, or the method, in no way."""
    s, task, method = search.settings, search.task, search.method
    for split in ("train",) if method.train_portion is not None else ("train", "valid"):
        if not task.most(split, s.batch_size):
            raise ValueError(
                f"batch_size: {s.batch_size} is larger than the {task.size(split)} samples of the {split} split"
            )
    most = task.most("valid", search.valid_batch_size)
    if search.measured and s.curvature_batches > most:
        raise ValueError(
            f"curvature_batches: {s.curvature_batches} is not allowed; the validation split holds 1 to {most} batches "
            f"of {search.valid_batch_size}"
        )
    for part, words in ((method.selection, "scores its cells then"), (method.monitor, "watches the eigenvalue")):
        if part is not None and not search.measured:
            raise ValueError(f"curvature_every: 0 is not allowed with method {method.name!r}, which {words}")
    if method.monitor is not None:
        method.monitor.check(search.measured, s.weight_decay)
