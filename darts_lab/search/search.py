"""The bilevel search as an iterator: every turn is one epoch and yields its record.

    min_alpha  L_valid(w*(alpha), alpha)   subject to   w*(alpha) = argmin_w L_train(w, alpha)

(Liu et al. 2019, eq. 3 and 4.) Each step takes one step of Adam on alpha with a random validation batch, then one
step of SGD on w with the next training batch. First order uses d L_valid / d alpha at the current w; second order
differentiates through one step of w (eq. 6 and 7).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from numpy.linalg import LinAlgError
from torch import Tensor
from torch.func import functional_call

from darts_lab import __version__, curvature, methods, runs, spaces, tasks
from darts_lab import data as datasets
from darts_lab.checks import Seed, allow
from darts_lab.environment import (
    choose_device,
    deterministic,
    full_precision,
    keep_memory,
    lower_precision,
    peak_memory,
    restore,
)
from darts_lab.genotype import Genotype, discretize
from darts_lab.methods.monitors import measured_epochs
from darts_lab.methods.schedules import Timing
from darts_lab.methods.terms import survivors
from darts_lab.networks.cell import frozen_statistics
from darts_lab.runs.records import EpochRecord
from darts_lab.search import bilevel, measuring
from darts_lab.search.loop import KEPT, Loop, check_finite, cosine
from darts_lab.settings import SearchSettings, asked, override
from darts_lab.tasks import data_of, scales

CHANGEABLE = ("weight_decay", "drop_path")  # what `Search.change` may change
SMALLEST = 1e-6  # alpha of an operation that only remains because its node has no other


class Search(Loop):
    """A search for an architecture; iterate over it, once for each epoch.

        for epoch in Search(space="S2", data="digits", method="DARTS", scale="laptop", seed=0):
            print(epoch.valid_error, epoch.genotype)

    `space`, `method` and `scale` are names or objects, `data` a name, a `Dataset` or anything with train, valid and
    test pairs of tensors. `device` is chosen by itself (cuda, mps, cpu). `path` is the run directory (default: a new
    one below `runs/`; False: nothing is written). Further keywords change single settings of the scale, such as
    `epochs=10` or `weight_decay=0.0081`; they win over the method's. Nothing is written before the first step.

    The same arguments give the same numbers, bit for bit on the CPU, and `Search.resume(path)` goes on as if there
    had been no interruption. Raises ValueError, naming the argument, for anything that is not allowed.
    """

    name = "search"

    def __init__(
        self, space="S2", data="digits", method="DARTS", scale="laptop", seed=0, device=None, path=None, **settings
    ):
        self.method = methods.get(method)
        data = datasets.load(data)
        kind = tasks.of(data)
        scale = scales.get(scale, kind.domain)
        self.settings = override(scale.search, **(self.method.defaults(scale) | settings))
        self.space = spaces.get(space)
        if self.settings.nodes is not None:
            self.space = self.space.with_nodes(min(self.settings.nodes, self.space.nodes))
        if self.method.pruning:
            self.space = self.space.without(spaces.NONE)
        allow("seed", seed, Seed)
        self.seed = seed
        self.device, self.device_reason = choose_device(device)
        data = data.subset(self.settings.train_samples, self.settings.valid_samples)
        if self.method.train_portion is not None:
            data = data.resplit(self.method.train_portion)
        self.task = kind(data.to(self.device), self.settings)
        self.task.check(self.space, self.settings)
        self.measured = measured_epochs(self.settings.epochs, self.settings.curvature_every)
        self._check()
        super().__init__(path)
        self._scale = scale.name
        self.history: list[EpochRecord] = []
        self.snapshots: dict[int, dict] = {}  # states of measured epochs, for adaptation to go back to
        self.eigenvector: Tensor | None = None  # of the last measurement: where the next one begins
        self.winner: Genotype | None = None  # the best of the samples that were scored last, where the method samples
        self.timing = Timing()  # what the schedule of alpha remembers
        self.waiting: dict[str, float] = {}  # settings changed by hand: for the next epoch ...
        self._changed: dict[str, float] = {}  # ... and for the one that is under way
        self._start()

    def _check(self) -> None:
        """Raises ValueError where the settings fit the data, or the method, in no way."""
        for split in ("train",) if self.method.train_portion is not None else ("train", "valid"):
            if not self.task.most(split, self.settings.batch_size):
                raise ValueError(
                    f"batch_size: {self.settings.batch_size} is larger than the {self.task.size(split)} samples of "
                    f"the {split} split"
                )
        most = self.task.most("valid", self.valid_batch_size)
        if self.measured and self.settings.curvature_batches > most:
            raise ValueError(
                f"curvature_batches: {self.settings.curvature_batches} is not allowed; the validation split holds 1 to "
                f"{most} batches of {self.valid_batch_size}"
            )
        if self.method.sample is not None and not self.measured:
            raise ValueError(
                f"curvature_every: 0 is not allowed with method {self.method.name!r}, which scores its samples then"
            )
        if self.method.monitor is not None:
            if not self.measured:
                raise ValueError(
                    f"curvature_every: 0 is not allowed with method {self.method.name!r}, which watches the eigenvalue"
                )
            self.method.monitor.check(self.measured, self.settings.weight_decay)

    def _start(self) -> None:
        keep_memory()
        deterministic()
        initial = torch.Generator().manual_seed(self.seed)
        more = {"node_norm": True} if self.method.node_norm else {}
        self.supernet = self.task.supernet(self.space, self.settings, initial, **more).to(self.device)
        self.forward = torch.compile(self.supernet, dynamic=False) if self.settings.compile else self.supernet
        alpha = self.settings.alpha_spread * torch.randn(self.space.shape, generator=initial)
        self.alive = self.running = None  # which operations are not pruned: as a tensor, and as lists for the supernet
        if self.method.pruning:
            alpha += 1 / self.space.candidates
            self.alive = torch.ones(self.space.shape, dtype=torch.bool, device=self.device)
        self.alpha = alpha.to(self.device).requires_grad_()
        self.generator = torch.Generator(self.device).manual_seed(self.seed + 2**32)  # order, augmentation, noise
        self.multipliers = self.method.admm and self.method.admm.begin(self.alpha, self.mixing.detach(), self.space)
        self.weights = dict(self.supernet.named_parameters())
        self.optimizer = torch.optim.SGD(
            self.weights.values(),
            self.settings.learning_rate,
            momentum=self.settings.momentum,
            weight_decay=self.settings.weight_decay * self.settings.decay_scale,
            foreach=True,
        )
        self.alpha_optimizer = torch.optim.Adam(
            [self.alpha],
            self.settings.alpha_learning_rate,
            betas=tuple(self.settings.alpha_betas),
            weight_decay=self.settings.alpha_weight_decay,
        )

    # What a search is at any moment

    @property
    def epoch(self) -> int:
        """Finished epochs: the number of the next one, or of the one that is under way."""
        if not self.history:
            return 0
        last = self.history[-1]
        return 1 + (last.epoch if last.back_to is None else last.back_to)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping has ended the search."""
        return self.epoch >= self.settings.epochs or (bool(self.history) and self.history[-1].stop_epoch is not None)

    @property
    def weight_decay(self) -> float:
        """The decay of w in the epoch that is under way or comes next: the settings', until adaptation or `change` sets
        another."""
        by_hand = self._changed if self._steps is not None else self.waiting
        if "weight_decay" in by_hand:
            return by_hand["weight_decay"]
        if not self.history:
            return self.settings.weight_decay
        last = self.history[-1]
        return last.weight_decay if last.back_to is None else self.method.monitor.stronger(last.weight_decay)

    @property
    def drop_path(self) -> float:
        """The probability of drop path in the epoch that is under way, or else in the last finished one."""
        epoch = self.epoch if self._steps is not None else max(self.epoch - 1, 0)
        return self.settings.drop_path * epoch / max(self.settings.epochs - 1, 1)

    @property
    def cutout(self) -> tuple[int, float]:
        """(pixels a side, probability) of Cutout in the epoch that is under way, or else in the last finished one.

        As in Zela et al., it goes with drop path only, and rises with it.
        """
        s = self.settings
        if s.drop_path == 0:
            return 0, 0.0
        return s.cutout, min(self.drop_path / s.drop_path, 1.0) if s.cutout_rises else 1.0  # a rounding above 1 is none

    @property
    def mixing(self) -> Tensor:
        """The mixing weights now, (cell types, edges, candidates); differentiable with respect to `alpha`.

        Where the method samples single paths, those of the best path so far.
        """
        if self.winner is not None:
            return self.winner.mixing(self.space).to(self.device)
        return self.activate(self.alpha)

    def activate(self, alpha: Tensor) -> Tensor:
        """The mixing weights that `alpha` stands for; those of pruned operations are zero."""
        mixing = self.method.activation(alpha)
        return mixing if self.alive is None else mixing * self.alive

    @property
    def genotype(self) -> Genotype:
        """What the search would return if it ended now; where early stopping ended it, the cell of the epoch it chose.

        (Weights and alpha are then still those of the epoch in which it ended.)
        """
        if self.history and (stop := self.history[-1].stop_epoch) is not None:
            return next(record.genotype for record in self.history if record.epoch == stop)
        return self.winner or discretize(self.mixing, self.space)

    def __repr__(self) -> str:
        return f"Search({self._name()}, epoch {self.epoch} of {self.settings.epochs}, {self.device.type})"

    def change(self, **settings: float) -> None:
        """Changes `weight_decay`, or `drop_path` (the largest, at the end), from the next epoch on.

        The record of that epoch tells it in `changed`, so a resumed search goes on with it. Raises ValueError, and
        changes nothing, for other settings and for values that are not allowed.
        """
        for name in settings.keys() - set(CHANGEABLE):
            raise ValueError(f"{name}: cannot be changed while a search runs; only {', '.join(CHANGEABLE)} can")
        override(self.settings, **settings)
        self.waiting = self.waiting | settings

    @property
    def valid_batch_size(self) -> int:
        """As large as training batches, unless the method's split leaves fewer samples."""
        return min(self.settings.batch_size, self.task.size("valid"))

    @property
    def steps_per_epoch(self) -> int:
        return self.task.steps(self.settings.batch_size)

    def _epoch(self) -> Iterator[EpochRecord | None]:
        s, task, generator, epoch = self.settings, self.task, self.generator, self.epoch
        self._changed, self.waiting = self.waiting, {}
        s = self.settings = replace(s, **self._changed)
        started, processor, steps, moments, valid = time.perf_counter(), time.process_time(), 0, [], None
        valid_losses = {}  # of the alpha steps, by batch
        learning_rate, drawn = cosine(s, epoch), None
        self.optimizer.param_groups[0]["weight_decay"] = self.weight_decay * s.decay_scale
        drop_path = self.drop_path
        cutout, losses, deviations = self.cutout, [], []
        schedule = self.method.schedule
        for place in task.order(s.batch_size, generator):
            if losses:
                yield None  # between two batches the caller may wait, look, or never come back
            rate = self.optimizer.param_groups[0]["lr"] = learning_rate * task.rate(place)
            train = task.training_batch("train", place, generator, *cutout)
            if self.method.sample is None:
                due, moment = schedule.due(self.timing, self.seed), schedule.moment(self.timing)
                if moment is not None:
                    moments.append([*moment, due])
                if due:
                    drawn = task.draw(self.valid_batch_size, generator)
                if due or (schedule.repeats and drawn is not None):
                    valid, steps = task.training_batch("valid", drawn, generator, *cutout), steps + 1
                    valid_losses[len(losses)] = self.descend_alpha(train, valid, rate, drop_path)
                loss, deviation = self.descend_weights(train, self.mixing.detach(), drop_path)
                self.timing = schedule.after(self.timing, due, self.squared_gradient)
            else:
                path = self.method.sample(self.space, generator).mixing(self.space)
                loss, deviation = self.descend_weights(train, path, drop_path)
            losses.append(loss)
            deviations.append(deviation)
        check_finite(
            epoch,
            {"valid_loss": valid_losses, "train_loss": dict(enumerate(losses))},
            {"alpha": self.alpha} | self.weights | dict(self.supernet.named_buffers()),
        )
        losses = torch.stack(losses)
        eigenpair = None
        yield None  # what follows takes as long as several batches
        if epoch in self.measured:
            if self.method.sample is None:
                try:
                    eigenpair = self._measure(valid)
                except (FloatingPointError, LinAlgError) as error:
                    raise FloatingPointError(f"dominant_eigenvalue: {error} after epoch {epoch}{KEPT}") from error
            else:
                self.winner = self.best_path()
            yield None
        valid_loss, valid_error = self.one_shot()
        record = EpochRecord(
            epoch=epoch,
            train_loss=float(losses.mean()),
            train_error=task.error(float(sum(deviations)), task.size("train")),
            valid_loss=valid_loss,
            valid_error=valid_error,
            learning_rate=learning_rate,
            alpha_steps=steps,
            alpha=self.alpha.detach().cpu().clone(),
            mixing=self.mixing.detach().cpu().clone(),
            genotype=self.genotype,
            weight_decay=self.weight_decay,
            dominant_eigenvalue=None if eigenpair is None else eigenpair.value,
            eigenvalue_error=None if eigenpair is None else eigenpair.standard_error,
            seconds=time.perf_counter() - started,
            processor_seconds=time.process_time() - processor,
            peak_memory_bytes=peak_memory(self.device),
            fisher_trace=self.timing.trace,
            moments=moments or None,
            changed=self._changed or None,
        )
        self._changed = {}
        self.history.append(record)
        if eigenpair is not None and self.method.monitor is not None:
            record = self.history[-1] = self._watched(record)
        if self.run is not None:
            self.run.save(self.state(), *record.to_json(), str(self.genotype), before=len(self.history) - 1)
        yield record

    # What watches it

    def hessian(self, **options) -> curvature.Hessian:
        """The Hessian of the validation loss at the present alpha and weights; options as for `measuring.hessian`."""
        return measuring.hessian(self, **options)

    def _measure(self, valid) -> curvature.Eigenpair:
        """The dominant eigenvalue now; with `curvature_parity` on the batch `valid`, the epoch's last (None: it had none)."""
        s = self.settings
        if s.curvature_parity:
            last = self._valid_batch(self.cutout) if valid is None else valid
            options = {"batches": [last], "parity": True, "seed": self.seed + self.epoch}
        else:
            options = {"batches": s.curvature_batches, "seed": self.seed}  # the same batches every time
        pair = curvature.dominant_eigenvalue(self, start=self.eigenvector, **options)
        self.eigenvector = torch.from_numpy(pair.vector)
        return pair

    @torch.no_grad()
    def best_path(self) -> Genotype:
        """The best of `paths` samples: the `finalists` with the least error on `path_batches` batches of the validation
        split are measured on the whole of it (Li and Talwalkar 2019; Zela et al. score 1,000 once, on 10 batches).
        """
        s, generator = self.settings, torch.Generator(self.device).manual_seed(self.seed + 2**35 + self.epoch)
        sampled = {}  # by what they are, whatever the order in which their edges were drawn
        for _ in range(s.paths):
            path = self.method.sample(self.space, generator)
            sampled[path.mixing(self.space).numpy().tobytes()] = path
        paths, deviations = list(sampled.values()), []
        self.supernet.eval()
        for path in paths:
            mixing, deviation = path.mixing(self.space), 0
            for _ in range(s.path_batches):
                drawn = self.task.draw(self.valid_batch_size, generator)
                inputs, targets = self.task.plain_batch("valid", drawn)
                outputs = self.supernet(inputs, mixing, generator=generator)
                deviation = deviation + self.task.deviation(outputs, targets)
            deviations.append(deviation)
        best = torch.stack(deviations).argsort(stable=True)[: s.finalists].tolist()
        return min((paths[index] for index in best), key=lambda path: self.one_shot(path.mixing(self.space))[1])

    def _watched(self, record: EpochRecord) -> EpochRecord:
        """The last record, completed with what the method's monitor made of it: nothing, an end, or a way back."""
        verdict = self.method.monitor.verdict(self.history, record.epoch == self.settings.epochs - 1)
        if verdict.back is not None:
            back = max(epoch for epoch in self.snapshots if epoch <= verdict.back)
            self._load_tensors(self.snapshots[back])
            self.snapshots = {}
            return replace(record, back_to=back)
        if verdict.keep:
            self.snapshots[record.epoch] = deepcopy(self._tensors())
            for epoch in sorted(self.snapshots)[: -verdict.keep]:
                del self.snapshots[epoch]
        return replace(record, stop_epoch=verdict.stop)

    def descend(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> tuple[Tensor, Tensor]:
        """One step of alpha on the batch `valid`, then one of w on `train`: (train loss, deviation), on the device.

        Batches are (inputs, targets); `learning_rate` is that of w in the unrolled step of second order.
        """
        self.descend_alpha(train, valid, learning_rate, drop_path)
        return self.descend_weights(train, self.mixing.detach(), drop_path)

    def descend_alpha(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> Tensor:
        """One step of alpha on the batch `valid`: its loss, on the device; `train` and `learning_rate` are for the
        unrolled step."""
        gradient, outputs, loss = self._alpha_gradient(train, valid, learning_rate, drop_path)
        bilevel.alpha_step(gradient, self.alpha, self.alpha_optimizer)
        self.task.carry("valid", outputs)
        if self.method.admm is not None:
            self.multipliers = self.method.admm.after(
                self.timing.alpha_steps + 1, self.alpha.detach(), self.activate, *self.multipliers, self.space
            )
        return loss

    def descend_weights(self, train, mixing: Tensor, drop_path: float = 0.0) -> tuple[Tensor, Tensor]:
        """One step of w on the batch `train` under these mixing weights: (train loss, deviation), on the device."""
        self.supernet.train()
        outputs = self._outputs(train[0], mixing, drop_path)
        loss = self.task.training_loss(outputs, train[1])
        self.squared_gradient = bilevel.weight_step(loss, self.optimizer, self.settings.clip).square()
        if self.alive is not None:
            self._prune()
        self.task.carry("train", outputs)
        return loss.detach(), self.task.deviation(outputs, train[1])

    @torch.no_grad()
    def _prune(self) -> None:
        """Takes out for good what alpha has brought down to zero."""
        self.alive = survivors(self.alpha, self.alive, self.space)
        self.alpha.copy_(torch.where(self.alive, self.alpha.clamp_min(SMALLEST), 0))
        self.running = self.alive.tolist()

    def _valid_batch(self, cutout: tuple[int, float]):
        """A random batch of the validation split, augmented."""
        drawn = self.task.draw(self.valid_batch_size, self.generator)
        return self.task.training_batch("valid", drawn, self.generator, *cutout)

    def _outputs(self, inputs: Tensor, mixing: Tensor, drop_path: float = 0.0, weights=None) -> Tensor:
        """The supernet's outputs, with other weights than its own if given (then in full precision, uncompiled)."""
        more = {"drop_path": drop_path, "generator": self.generator}
        if self.running is not None:
            more["running"] = self.running
        if weights is not None:
            return functional_call(self.supernet, weights, (inputs, mixing), more)
        with lower_precision(self.device, self.settings.precision):
            return self.forward(inputs, mixing, **more)

    @torch.no_grad()
    def one_shot(self, mixing: Tensor | None = None, split: str = "valid") -> tuple[float, float]:
        """(loss, error of the task) of the supernet on a whole split, in evaluation mode.

        `mixing` defaults to the search's own; pass `search.genotype.mixing(search.space)` for the discretized cell.
        """
        mixing = self.mixing.detach() if mixing is None else mixing
        noise = torch.Generator(self.device).manual_seed(self.seed + 2**33 + self.epoch)  # to look changes nothing
        self.supernet.eval()
        return self.task.measure(lambda inputs: self.supernet(inputs, mixing, generator=noise), split)

    # The gradient of the outer problem

    def alpha_gradient(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> Tensor:
        """d L_valid / d alpha, shape of alpha, at the current weights (order 1) or after one unrolled step (order 2).

        `train` and `valid` are (inputs, targets). The weights and the running statistics stay as they are, and nothing is
        carried on.
        """
        return self._alpha_gradient(train, valid, learning_rate, drop_path)[0]

    def _alpha_gradient(self, train, valid, learning_rate: float, drop_path: float = 0.0):
        """(gradient, the outputs and the loss on the batch `valid`)."""
        self.supernet.train()
        with frozen_statistics(self.supernet):
            if self.settings.order == 2:
                with full_precision(self.device):  # anything less would drown the difference of two gradients
                    return self._unrolled_gradient(train, valid, learning_rate, drop_path)
            trained = [weight for weight in self.weights.values() if weight.requires_grad]
            for weight in trained:  # so that nothing is kept for gradients that nobody asks for
                weight.requires_grad_(False)
            try:
                loss, outputs = self._valid_loss(valid, drop_path)
                return bilevel.first_order(loss, self.alpha), outputs, loss.detach()
            finally:
                for weight in trained:
                    weight.requires_grad_(True)

    def _valid_loss(self, valid, drop_path: float, weights=None):
        mixing = self.mixing
        outputs = self._outputs(valid[0], mixing, drop_path, weights)
        loss = self.task.loss(outputs, valid[1])
        for term in self.method.terms:
            loss = loss + term(mixing, self.progress, self.space)
        if self.method.admm is not None:
            loss = loss + self.method.admm.term(mixing, *self.multipliers)
        return loss, outputs

    @property
    def progress(self) -> float:
        """How much of the search is done, the training batch that is under way included: from 0 to 1."""
        return min(1.0, (self.timing.batches + 1) / (self.settings.epochs * self.steps_per_epoch))

    def _unrolled_gradient(self, train, valid, learning_rate: float, drop_path: float):
        """`bilevel.second_order` of this search's losses; the unrolled step is clipped where the task does so."""
        s, names = self.settings, list(self.weights)

        def at(values: list[Tensor]) -> dict[str, Tensor]:
            return dict(zip(names, values, strict=True))

        def train_loss(values: list[Tensor], alpha: Tensor) -> Tensor:
            outputs = self._outputs(train[0], self.activate(alpha), drop_path, at(values))
            return self.task.training_loss(outputs, train[1])

        buffers = [self.optimizer.state.get(p, {}).get("momentum_buffer") for p in self.weights.values()]
        gradient, loss, outputs = bilevel.second_order(
            train_loss, lambda values, _: self._valid_loss(valid, drop_path, at(values)), list(self.weights.values()),
            self.alpha, rate=learning_rate, decay=self.weight_decay * s.decay_scale, momentum=s.momentum,
            buffers=None if None in buffers else buffers, epsilon=s.unrolled_epsilon,
            clip=s.clip if self.task.clips_unrolled else None, end_loss=with_same_noise(self.generator, train_loss),
        )  # fmt: skip
        return gradient, outputs, loss

    # On disk

    def _name(self) -> str:
        return f"{self.space.name}-{self.task.data.name}-{self.method.name}-{self._scale}-seed{self.seed}"

    def config(self) -> dict:
        """Everything that was asked for, as JSON can hold it."""
        return {
            "kind": "search",
            "name": self._name(),
            "version": __version__,
            "space": {"name": self.space.name, "cells": self.space.cells},
            "data": {"name": self.task.data.name, "fingerprint": self.task.fingerprint()},
            "method": self.method.name,
            "monitor": None if self.method.monitor is None else repr(self.method.monitor),
            "schedule": repr(self.method.schedule),
            "terms": [_called(term) for term in self.method.terms],
            "admm": None if self.method.admm is None else repr(self.method.admm),
            "activation": _called(self.method.activation),
            "sample": None if self.method.sample is None else _called(self.method.sample),
            "scale": self._scale,
            "settings": asdict(self.settings),
            "seed": self.seed,
            "device": self.device.type,
        }

    def state(self) -> dict:
        """Everything that changes: weights, alpha, both optimisers, the generator, and what adaptation may go back to."""
        return self._tensors() | {
            "epoch": self.epoch,
            "records": len(self.history),
            "space": self.space.name,
            "snapshots": self.snapshots,
            "waiting": self.waiting,
        }

    def _tensors(self) -> dict:
        return {
            "supernet": self.supernet.state_dict(),
            "alpha": self.alpha.detach(),
            "optimizer": self.optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "device": self.device.type,
            "eigenvector": self.eigenvector,
            "timing": asdict(self.timing),
            "multipliers": self.multipliers,
            "alive": self.alive,
        }

    def _load_tensors(self, state: dict) -> None:
        alpha = state["alpha"]
        if alpha.shape != self.alpha.shape:
            raise ValueError(f"alpha has shape {tuple(alpha.shape)}, the space {self.space.shape}")
        self.supernet.load_state_dict(state["supernet"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # which would else share its tensors
        self.alpha_optimizer.load_state_dict(deepcopy(state["alpha_optimizer"]))
        vector = state.get("eigenvector")
        self.eigenvector = None if vector is None else vector.cpu()
        self.timing = Timing(**state.get("timing", {}))
        restore(self.generator, state, elsewhere=self.seed + 2**36 + self.timing.batches)
        self.multipliers = state.get("multipliers")
        if self.alive is not None:
            self.alive = state["alive"]
            self.running = self.alive.tolist()
        with torch.no_grad():
            self.alpha.copy_(alpha)

    def load_state(self, state: dict) -> None:
        """Takes over a `state`. Raises ValueError where it is not one of this search's space and sizes."""
        try:
            self._load_tensors(state)
            self.snapshots = dict(state.get("snapshots", {}))
            self.waiting = dict(state.get("waiting", {}))
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), str(error))
            raise ValueError(
                f"checkpoint: of space {state.get('space')!r}, does not fit a search of space {self.space.name!r} with "
                f"{self.settings.channels} channels and {self.settings.layers} cells: {reason[:200]}"
            ) from error

    @classmethod
    def resume(cls, path: str | Path, *, space=None, data=None, method=None, device=None) -> Search:
        """The search in the run directory `path`, after its last finished epoch.

        On another kind of `device` it goes on with batches in another order, as from another seed.
        `space`, `data` and `method` are needed only where they were your own objects and not names. Raises ValueError
        where the data or the checkpoint are not those of the run.
        """
        run = runs.Run.of_kind(path, "search")
        config = run.config
        try:
            data = datasets.load(data_of(run, data))
            space = space or spaces.SearchSpace(**config["space"])
            scale = scales.get("laptop", tasks.of(data).domain)
            settings = asked(SearchSettings, config["settings"])
            scale = replace(scale, name=config["scale"], search=replace(scale.search, **settings))
            search = cls(
                space,
                data,
                method or config["method"],
                scale,
                config["seed"],
                device or config["device"],
                path,
                **settings,
            )
            search.task.check_made(run)
            for name in ("monitor", "schedule", "terms", "admm", "activation", "sample"):
                now = search.config()[name]
                if config.get(name, now) != now:
                    raise ValueError(
                        f"method: the run {str(run.path)!r} had {name} {config[name]}, this {config['method']!r} has {now}; "
                        "pass the method as method="
                    )
        except (KeyError, TypeError) as error:
            raise ValueError(f"run: {str(run.path)!r} holds no search that can go on: {error}") from error
        search.run = run
        state = run.load(search.device)
        if state is not None:
            search.load_state(state)
        epochs = 0 if state is None else state.get("records", state["epoch"])
        names = tuple(search.space.operations) + spaces.KNOWN_OPERATIONS
        search.history = run.history(lambda record: EpochRecord.from_json(record, names), epochs)
        if state is not None:
            run.check(state, epochs)
        for record in search.history:
            search.settings = replace(search.settings, **(record.changed or {}))
        if search.method.sample is not None and search.history:
            search.winner = search.history[-1].genotype
        return search


def _called(part) -> str:
    """How a part of a method is told from another, the same in every process: the name of a function, the fields of a term."""
    if isinstance(part, partial):
        return f"{_called(part.func)} with {part.args or ''}{part.keywords or ''}"
    if type(part).__repr__ is object.__repr__:  # which would tell an address
        return type(part).__qualname__
    return getattr(part, "__qualname__", None) or repr(part)


def with_same_noise(generator: torch.Generator, loss):
    """`loss`, before every call of which `generator` is where it was before the first."""
    states = []

    def repeated(*arguments):
        if states:
            generator.set_state(states[0])
        else:
            states.append(generator.get_state())
        return loss(*arguments)

    return repeated
