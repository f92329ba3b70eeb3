"""Train one genotype from scratch and measure it on the test split: the number that counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch.func import functional_call

from darts_lab import __version__, runs, spaces, tasks
from darts_lab import data as datasets
from darts_lab.checks import Seed, allow
from darts_lab.environment import choose_device, deterministic, keep_memory, lower_precision, peak_memory, restore
from darts_lab.genotype import Genotype, skip_reductions
from darts_lab.networks.cell import parameter_count
from darts_lab.runs.files import in_a_line
from darts_lab.runs.records import TrainingRecord
from darts_lab.search import bilevel
from darts_lab.search.loop import Loop, check_finite, cosine
from darts_lab.settings import EvaluationSettings, asked, override
from darts_lab.tasks import data_of, scales


@dataclass(frozen=True)
class Evaluation:
    """A genotype trained from scratch. `test_error` is the task's, in classification that of the last epoch, a fraction in
    [0, 1]."""

    genotype: Genotype
    test_error: float
    test_loss: float
    train_loss: float
    train_error: float
    parameters: int
    epochs: int
    seconds: float
    peak_memory_bytes: int
    processor_seconds: float | None = None  # of all threads; None where a run tells nothing of it


class Training(Loop):
    """Training of one genotype from scratch; iterate over it, once for each epoch.

    The network is trained on what the task calls the whole data (for images both halves of the search) and `result()`
    measures it on the test split once, at the end. Arguments as for `Search`; `space` brings operations of your own and, at paper scale,
    chooses the published width and depth (`protocol` "default" or "L2", see `scales.paper_network`). Further keywords
    change single settings, such as `epochs=20`. With `reductions="skip"`, the default at laptop scale, the reduction cells
    of the network are skips, so that the normal cell of `genotype` alone is measured (results/protocol.md says why);
    `**scales.BOTH_CELLS` trains both, as the papers do. `path` is a run directory; by default nothing is written.
    """

    name = "training"

    def __init__(
        self, genotype, data="digits", scale="laptop", seed=0, device=None, path=None, space=None, protocol="default",
        **settings,
    ):  # fmt: skip
        data = datasets.load(data)
        kind = tasks.of(data)
        scale = scales.get(scale, kind.domain)
        self.space = None if space is None else spaces.get(space)
        own = {} if self.space is None else dict(self.space.operations)
        names = spaces.KNOWN_OPERATIONS + tuple(own)
        self.genotype = Genotype.parse(genotype, names) if isinstance(genotype, str) else genotype
        if not isinstance(self.genotype, Genotype):
            raise ValueError(f"genotype: {genotype!r} is neither a dl.Genotype nor its text")
        self.genotype.check(names)
        allow("seed", seed, Seed)
        self.seed = seed
        self.device, self.device_reason = choose_device(device)
        scales.check_protocol(protocol)
        if scale.name == "paper" and self.space is not None:
            settings = kind.published(self.space.name, data.name, protocol, settings)
        self.settings = override(scale.evaluation, **settings)
        data = kind.whole(data).subset(train=self.settings.train_samples, test=self.settings.test_samples)
        self.task = kind(data.to(self.device), self.settings)
        self.task.check(self.genotype, self.settings)
        if not self.task.most("train", self.settings.batch_size):
            raise ValueError(
                f"batch_size: {self.settings.batch_size} is larger than the {self.task.size('train')} training samples"
            )
        keep_memory()
        deterministic()
        initial = torch.Generator().manual_seed(self.seed)
        trained = self.genotype if self.settings.reductions == "searched" else skip_reductions(self.genotype)
        self.network = self.task.network(trained, self.settings, initial, own).to(self.device)
        self.forward = torch.compile(self.network, dynamic=False) if self.settings.compile else self.network
        self.generator = torch.Generator(self.device).manual_seed(self.seed + 2**32)
        self.optimizer = self.task.optimizer(self.network.parameters())
        self.kept: dict | None = None  # the weights to test, by name, where the task chooses them; else the last ones
        self.history: list[TrainingRecord] = []
        super().__init__(False if path is None else path)
        self._scale = scale.name

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
        started, processor = time.perf_counter(), time.process_time()
        learning_rate = cosine(s, epoch)
        self.network.train()
        losses, deviations = [], []
        for place in task.order(s.batch_size, generator):
            if losses:
                yield None  # between two batches the caller may wait, or look
            self.optimizer.param_groups[0]["lr"] = learning_rate * task.rate(place)
            inputs, targets = task.training_batch("train", place, generator, s.cutout)
            loss, deviation = self.descend(inputs, targets, drop_path=s.drop_path * epoch / s.epochs)
            losses.append(loss)
            deviations.append(deviation)
        check_finite(
            epoch,
            {"train_loss": dict(enumerate(losses))},
            dict(self.network.named_parameters()) | dict(self.network.named_buffers()),
        )
        losses = torch.stack(losses)
        valid_error = task.after_epoch(self)
        record = TrainingRecord(
            epoch, float(losses.mean()), task.error(float(sum(deviations)), task.size("train")), learning_rate,
            time.perf_counter() - started, peak_memory(self.device), valid_error, time.process_time() - processor,
        )  # fmt: skip
        self.history.append(record)
        if self.run is not None:
            self.run.save(self.state(), *record.to_json(), str(self.genotype), before=record.epoch)
        yield record

    def descend(self, inputs, targets, drop_path: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of SGD on one batch: (train loss, deviation), on the device."""
        s, task = self.settings, self.task
        with lower_precision(self.device, s.precision):
            outputs, auxiliary = self.forward(
                inputs, drop_path=drop_path, generator=self.generator, with_auxiliary=True
            )
        loss = found = task.training_loss(outputs, targets)
        if auxiliary is not None:
            loss = loss + s.auxiliary * task.loss(auxiliary, targets)
        bilevel.weight_step(loss, self.optimizer, s.clip)
        task.carry("train", outputs)
        return found.detach(), task.deviation(outputs, targets)

    def test(self) -> tuple[float, float]:
        """(loss, error of the task) on the test split now."""
        return self.measure("test", self.kept)

    @torch.no_grad()
    def measure(self, split: str, weights: dict | None = None) -> tuple[float, float]:
        """(loss, error of the task) on a split now, with other weights than the network's own if given (by name)."""
        noise = torch.Generator(self.device).manual_seed(self.seed + 2**33)  # to look changes nothing
        self.network.eval()

        def forward(inputs):
            return functional_call(self.network, weights or {}, (inputs,), {"generator": noise})

        return self.task.measure(forward, split)

    def result(self) -> Evaluation:
        """The test error after the last epoch. Raises ValueError before it, as a test in between invites choosing."""
        if self.epoch < self.settings.epochs:
            raise ValueError(f"training: {self.epoch} of {self.settings.epochs} epochs are done; finish it first")
        test_loss, test_error = self.test()
        last = self.history[-1]
        return Evaluation(
            self.genotype, test_error, test_loss, last.train_loss, last.train_error, parameter_count(self.network),
            self.epoch, runs.cost(self.history), last.peak_memory_bytes, runs.cost(self.history, "processor_seconds"),
        )  # fmt: skip

    def config(self) -> dict:
        """Everything that was asked for, as JSON can hold it."""
        return {
            "kind": "training",
            "name": f"{self.task.data.name}-{self._scale}-seed{self.seed}",
            "version": __version__,
            "genotype": str(self.genotype),
            "data": {"name": self.task.data.name, "fingerprint": self.task.fingerprint()},
            "scale": self._scale,
            "settings": asdict(self.settings),
            "seed": self.seed,
            "device": self.device.type,
        }

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

    @classmethod
    def resume(cls, path: str | Path, *, data=None, space=None, device=None) -> Training:
        """The training in the run directory `path`, after its last finished epoch, bit for bit on the CPU (on another kind of
        `device` than before as from another seed).

        `data` and `space` are needed only where they were your own objects.
        """
        run = runs.Run.of_kind(path, "training")
        config = run.config
        try:
            data = datasets.load(data_of(run, data))
            scale = scales.get("laptop", tasks.of(data).domain)
            settings = asked(EvaluationSettings, config["settings"])
            scale = replace(scale, name=config["scale"], evaluation=replace(scale.evaluation, **settings))
            training = cls(
                config["genotype"], data, scale, config["seed"], device or config["device"], path, space, **settings
            )
            training.task.check_made(run)
        except (KeyError, TypeError) as error:
            raise ValueError(f"run: {str(run.path)!r} holds no training that can go on: {error}") from error
        training.run = run
        state = run.load(training.device)
        epochs = 0 if state is None else state["epoch"]
        training.history = run.history(lambda record: TrainingRecord(**record), epochs)
        if state is not None:
            run.check(state, epochs)
            try:
                training.network.load_state_dict(state["network"])
                training.optimizer.load_state_dict(state["optimizer"])
                restore(training.generator, state, elsewhere=training.seed + 2**36 + epochs)
                training.kept = state.get("kept")
            except (KeyError, RuntimeError, ValueError, TypeError) as error:
                words = in_a_line(error)
                raise ValueError(f"checkpoint: does not fit the training in {str(run.path)!r}: {words}") from error
        return training


def evaluate(
    genotype, data="digits", scale="laptop", seed=0, *, on_epoch: Callable[[TrainingRecord], None] | None = None, **more
) -> Evaluation:
    """Trains `genotype` (a Genotype or its text) from scratch and gives its test error.

    Arguments as for `Training`; `on_epoch` is called with every epoch's record.
    """
    training = Training(genotype, data, scale, seed, **more)
    for record in training:
        if on_epoch is not None:
            on_epoch(record)
    return training.result()
