"""Train one genotype from scratch and measure it on the test split: the number that counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch.func import functional_call

from darts_lab import data as datasets
from darts_lab import ranks, runs, tasks
from darts_lab.capture import Recorder, load_optimizer, set_rate
from darts_lab.checks import checked, one_of
from darts_lab.environment import choose_device, lower_precision, restore, stopwatch
from darts_lab.genotype import Genotype, skip_reductions
from darts_lab.networks import fused
from darts_lab.networks.costs import multiply_adds, parameter_count
from darts_lab.networks.norms import share_foreign
from darts_lab.networks.operations import draws_noise
from darts_lab.plan import Plan, of_training
from darts_lab.runs.files import in_a_line
from darts_lab.runs.records import TrainingRecord
from darts_lab.search import bilevel, samples
from darts_lab.search.loop import Loop, check_finite, cosine, progress
from darts_lab.settings import EvaluationSettings


@dataclass(frozen=True)
class Evaluation:
    """A genotype trained from scratch. Errors are the task's, in classification fractions in [0, 1]."""

    genotype: Genotype
    test_error: float
    test_loss: float
    train_loss: float
    train_error: float
    parameters: int  # of the network, without an auxiliary classifier
    epochs: int
    seconds: float
    peak_memory_bytes: int
    processor_seconds: float | None = None  # of all threads; None where a run does not say
    multiply_adds: int | None = None  # of one sample (of text: one word)


class Training(Loop):
    """Training of one genotype from scratch; iterate over it, once for each epoch.

    `genotype` is a Genotype or its text, or that which found it: a Search, or the directory of its run. Then its data,
    scale, seed and space are the defaults, else "digits", "laptop", 0 and None.

    Images of both halves of the search train it; `result()` measures it on the test split once, at the end. Arguments
    as for `Search`, but by default nothing is written. `space` brings operations of your own and, at paper scale,
    chooses the published width and depth (`protocol` "default" or "L2", see `tasks.classification`). With
    `reductions="skip"`, the default at laptop scale, the reduction cells of the network are skips, so that the normal
    cell alone is measured (results/protocol.md says why); `**scales.BOTH_CELLS` trains both, as the papers do.
    """

    name = "training"
    settings: EvaluationSettings
    history: list[TrainingRecord]

    def __init__(
        self, genotype, data=None, scale=None, seed=None, device=None, path=None, space=None, protocol="default",
        capture=None, **settings,
    ):  # fmt: skip
        self._begin(of_training(genotype, data, scale, seed, device, space, protocol, **settings), path, capture)

    def _begin(self, plan: Plan, path, capture: bool | None) -> None:
        self.genotype, self.settings = plan.trained
        super()._begin(plan, False if path is None else path, capture)
        self.space, self.seed = plan.space, plan.seed
        self.device, self.device_reason = choose_device(self.plan.device)
        data = samples.of_training(self.plan)
        self.task = tasks.of(data)(data.to(self.device), self.settings)
        self.task.check(self.genotype, self.settings)
        if not self.task.most("train", self.settings.batch_size):
            raise ValueError(
                f"batch_size: {self.settings.batch_size} is larger than the {self.task.size('train')} training samples"
            )
        initial = torch.Generator().manual_seed(self.seed)
        trained = self.genotype if self.settings.reductions == "searched" else skip_reductions(self.genotype)
        operations = {} if self.space is None else dict(self.space.operations)
        self.network = self.task.network(trained, self.settings, initial, operations).to(self.device)
        share_foreign(self.network)
        compiled = self.settings.compile and ranks.count() == 1
        self.forward = torch.compile(self.network, dynamic=False) if compiled else self.network
        self.generator = torch.Generator(self.device).manual_seed(self.seed + 2**32)
        self.optimizer = self.task.optimizer(self.network.parameters())
        self.recorder = Recorder(self.device, self.generator, self._capture)
        self._recorded_step, self._recorded_outputs = self.recorder.step(self._step), self.recorder.step(self.network)
        self.kept: dict | None = None  # the weights to test, by name, where the task chooses them; else the last ones
        self.history = []

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.settings.epochs

    def _epoch(self) -> Iterator[TrainingRecord | None]:
        s, task, generator, epoch = self.settings, self.task, self.generator, self.epoch
        costs = stopwatch(self.device)
        learning_rate = cosine(s, epoch)
        self._agree(self.network.parameters())
        losses: list[torch.Tensor] = []
        deviations = []
        for place in task.order(s.batch_size, generator):
            if losses:
                yield None  # between two batches the caller may wait, or look
            set_rate(self.optimizer, learning_rate * task.rate(place))
            inputs, targets = task.training_batch("train", place, generator, 1.0)
            loss, deviation = self.descend(inputs, targets, drop_path=s.drop_path * epoch / s.epochs)
            losses.append(loss)
            deviations.append(deviation)
        check_finite(
            epoch,
            {"train_loss": dict(enumerate(losses))},
            dict(self.network.named_parameters()) | dict(self.network.named_buffers()),
        )
        record = TrainingRecord(
            epoch=epoch,
            train_loss=float(torch.stack(losses).mean()),
            train_error=task.error(float(sum(deviations)), task.size("train")),
            learning_rate=learning_rate,
            valid_error=task.after_epoch(self),
            **costs(),
        )
        self.history.append(record)
        self.save(record, self.genotype, before=record.epoch)
        yield record

    def descend(self, inputs, targets, drop_path: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of SGD on one batch: (train loss, deviation), on the device."""
        if not self.network.training:  # at the beginning, and after somebody has looked
            self.network.train()
        averages_from = self.optimizer.param_groups[0].get("t0")
        *measured, state = self._recorded_step(inputs, targets, drop_path, averages_from)
        self.task.carry("train", state)
        return tuple(measured)

    def _step(self, inputs, targets, drop_path: float, averages_from: float | None):
        """(what `descend` gives, what the task carries on). `averages_from`, of averaged SGD, is named here because a
        recorded step has it baked in."""

        def network(inputs, **more):
            with fused.differentiated_once(), lower_precision(self.device, self.settings.precision):
                return ranks.of(self.forward)(inputs, drop_path=drop_path, generator=self.generator, **more)

        with fused.step(self.network, self.settings):
            descended, loss, outputs = self.task.training_pass(network, inputs, targets)
            bilevel.weight_step(descended, self.optimizer, self.settings.clip)
        return loss.detach(), self.task.deviation(outputs, targets), self.task.carried(outputs)

    def test(self) -> tuple[float, float]:
        """(loss, error of the task) on the test split now."""
        return self.measure("test", self.kept)

    @torch.no_grad()
    @checked
    def measure(
        self, split: Annotated[str, one_of(*datasets.SPLITS)], weights: dict | None = None
    ) -> tuple[float, float]:
        """(loss, error of the task) on a split now, with other weights than the network's own if given (by name)."""
        noise = torch.Generator(self.device).manual_seed(self.seed + 2**33)  # to look changes nothing
        self.network.eval()

        def forward(inputs):
            return functional_call(self.network, weights or {}, (inputs,), {"generator": noise})

        recordable = weights is None and not draws_noise(self.network)  # noise is drawn from the seed above
        with fused.differentiated_once(), fused.step(self.network, self.settings):
            return self.task.measure(self._recorded_outputs if recordable else forward, split)

    def result(self) -> Evaluation:
        """The test error after the last epoch. Raises ValueError before it, as a test in between invites choosing."""
        if self.epoch < self.settings.epochs:
            raise ValueError(f"training: {self.epoch} of {self.settings.epochs} epochs are done; finish it first")
        test_loss, test_error = self.test()
        last = self.history[-1]
        seconds = sum(record.seconds for record in self.history)
        processor_seconds = runs.cost(self.history, "processor_seconds")
        return Evaluation(
            self.genotype, test_error, test_loss, last.train_loss, last.train_error, parameter_count(self.network),
            self.epoch, seconds, last.peak_memory_bytes, processor_seconds, self.multiply_adds,
        )  # fmt: skip

    @property
    def multiply_adds(self) -> int:
        """Of the network, for one sample, see `networks.costs`."""
        noise = torch.Generator(self.device).manual_seed(self.seed)
        return multiply_adds(self.network, self.task.one_sample(), generator=noise)

    def state(self) -> dict:
        """Everything that changes."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "device": self.device.type,
            **({} if self.kept is None else {"kept": self.kept}),
        }

    def load_state(self, state: dict) -> None:
        """Takes over a `state`. Raises ValueError where it does not fit."""
        try:
            self.network.load_state_dict(state["network"])
            load_optimizer(self.optimizer, state["optimizer"])
            self.recorder.forget()
            restore(self.generator, state, elsewhere=self.seed + 2**36 + state["epoch"])
            self.kept = state.get("kept")
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            where = "" if self.run is None else f" in {str(self.run.path)!r}"
            raise ValueError(f"checkpoint: does not fit the training{where}: {in_a_line(error)}") from error

    def record(self, content: dict) -> TrainingRecord:
        """The record of an epoch from its lines on disk."""
        return TrainingRecord(**content)


@checked
def evaluate(
    genotype, data=None, scale=None, seed=None, *, on_epoch: Callable[[TrainingRecord], object] | None = None,
    bar: bool = False, **more,
) -> Evaluation:  # fmt: skip
    """Trains `genotype` (a Genotype, its text or whatever `Genotype.of` takes; or a Search or its run directory) from
    scratch and gives its test error.

    Arguments as for `Training`; `on_epoch` is called with every epoch's record, `bar` shows a progress bar.

    >>> cell = dl.uniform_genotype(dl.spaces.get("S5"), "skip_connect")
    >>> result = dl.evaluate(cell, data="digits", scale="tiny", seed=0)
    >>> 0 <= result.test_error <= 1, result.genotype == cell
    (True, True)
    """
    training = Training(genotype, data, scale, seed, **more)
    for record in progress(training, disable=None if bar else True):
        if on_epoch is not None:
            on_epoch(record)
    return training.result()
