"""What a search needs to know of its task: batches, loss, error, and the networks that fit the data.

A new domain is a file in `data/`, one in `networks/`, one here with its presets, and an entry in `tasks/__init__.py`
and `tasks/scales.py`.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from darts_lab import data as datasets
from darts_lab import ranks, runs
from darts_lab.capture import sgd
from darts_lab.genotype import Genotype
from darts_lab.settings import PRIME, Scale
from darts_lab.spaces import SearchSpace


class Task(ABC):
    """A task on `data`, three splits of samples on one device, with the `settings` of a search or training.

    A subclass defines the abstract methods; the rest suits images that are independent samples. Batches are pairs
    (inputs, targets); what inputs, targets and outputs are is the task's affair.
    """

    domain: str
    scales: dict[str, Scale]  # its presets by name
    cell_types: tuple[str, ...] = ("normal", "reduce")  # of the spaces that can be searched
    space = "S2"  # what is searched where no space is named
    metric, factor, unit = "error", 100, "%"  # how an error is called and shown: `factor` times it, in `unit`
    carries = False  # whether the next batch goes on where the last one ended
    draws = False  # whether the supernet draws random numbers in training, beside noise and drop path
    clips_unrolled = False  # whether the unrolled step of second order clips its gradient as the real step does

    def __init__(self, data, settings=None):
        self.data, self.settings = data, settings  # settings may be None where no method needs them
        self.not_yet: list = []  # places of validation batches that are still to come

    @classmethod
    def show(cls, error: float, digits: int = 1) -> str:
        """An error in words, such as "12.3 %"."""
        return f"{cls.factor * error:.{digits}f} {cls.unit}".rstrip()

    @staticmethod
    def whole(data):
        """The data of a training from scratch: both halves of the search train."""
        return datasets.pooled(data)

    @staticmethod
    def halves(data):
        """The data of a short training that chooses between cells: the validation split of the search tests."""
        return replace(data, valid=tuple(part[:0] for part in data.valid), test=data.valid)

    @staticmethod
    def published(space: str, data: str, protocol: str, settings: dict) -> dict:
        """`settings` of a training from scratch at paper scale, completed with the papers' for space and data."""
        return settings

    @abstractmethod
    def supernet(self, space: SearchSpace, settings, generator: torch.Generator, **more) -> nn.Module:
        """The search network, its weights drawn from `generator` (on the CPU): outputs = supernet(inputs, mixing)."""

    @abstractmethod
    def network(self, genotype: Genotype, settings, generator: torch.Generator, operations=None) -> nn.Module:
        """The network of one genotype, drawn likewise: outputs = network(inputs)."""

    def optimizer(self, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of a training from scratch; its rate is set anew in every epoch."""
        s = self.settings
        return sgd(weights, s.learning_rate, s.momentum, s.weight_decay)

    def check(self, cells: SearchSpace | Genotype, settings) -> None:
        """Raises ValueError where the data, the cells of a space or genotype and the settings do not fit together."""
        self.check_cells(cells, self.data.name)

    @classmethod
    def check_cells(cls, cells: SearchSpace | Genotype, data: str) -> None:
        """Raises ValueError where the cells are not of the types that `data`, a name, needs."""
        if cells.cell_types != cls.cell_types:
            what = f"space: {cells.name!r}" if isinstance(cells, SearchSpace) else "genotype:"
            has, needs = ", ".join(cells.cell_types), ", ".join(cls.cell_types)
            raise ValueError(f"{what} has cells {has}; data {data!r} needs {needs}, as space {cls.space!r} has")

    def size(self, split: str) -> int:
        """Samples in a split."""
        return len(getattr(self.data, split)[1])

    def samples(self, targets: Tensor) -> int:
        """Samples in a batch, as `size` counts them."""
        return len(targets)

    def batches_per_epoch(self, batch_size: int) -> int:
        """Batches of an epoch."""
        return math.ceil(self.size("train") / batch_size)

    def most(self, split: str, batch_size: int) -> int:
        """How many whole batches without a common sample a split holds."""
        return self.size(split) // batch_size

    def order(self, batch_size: int, generator: torch.Generator) -> Iterable:
        """The places of the training batches of an epoch, in order. Called once, where it begins: what `carry` has kept
        is forgotten."""
        self.not_yet = []
        places = datasets.shuffled_batches(self.size("train"), batch_size, generator)
        self.data.gather_ahead("train", places)
        return places

    def rate(self, place) -> float:
        """The factor on the learning rate of w for the training batch at `place`."""
        return 1.0

    def next_valid(self, batch_size: int, generator: torch.Generator):
        """The place of the next validation batch of an alpha step; with the parity of Maile et al. every sample comes
        once before one comes again, in each epoch."""
        if getattr(self.settings, "parity", False) != PRIME:
            return datasets.random_batch(self.size("valid"), batch_size, generator)
        if not self.not_yet:
            self.not_yet = list(datasets.shuffled_batches(self.size("valid"), batch_size, generator))
        return self.not_yet.pop(0)

    def apart(self, batches: int, batch_size: int, generator: torch.Generator) -> list:
        """The places of `batches` random batches of the validation split without a common sample."""
        indices = torch.randperm(self.size("valid"), generator=generator, device=generator.device)
        return list(indices[: batches * batch_size].split(batch_size))

    @abstractmethod
    def training_batch(self, split: str, place, generator, strength: float | None = None):
        """(inputs, targets), augmented. `strength`, 0 to 1, is that of a strong augmentation, if any; None: none. Of
        several processes each gets its share of the batch, whose random numbers all have drawn (`ranks.share`)."""

    def plain_batch(self, split: str, place) -> tuple[Tensor, Tensor]:
        """(inputs, targets), not augmented; the share of this process."""
        return ranks.share(datasets.plain_batch(self.data, split, place))

    def judged_batch(self, split: str, place, generator=None, strength: float | None = None):
        """(inputs, targets) on which a network is judged: not augmented, but for the validation images of a search with
        parity, on which the official code uses the transformations of training."""
        if generator is None or not self.settings.parity:
            return self.plain_batch(split, place)
        return self.training_batch(split, place, generator, strength)

    def one_sample(self):
        """The inputs of one sample, by which the cost of a network is counted."""
        return datasets.plain_batch(self.data, "test", torch.arange(1, device=self.data.test[1].device))[0]

    def carried(self, outputs) -> Tensor | None:
        """What the next batch needs of the outputs of the last, where it goes on where that one ended."""
        return None

    def carry(self, split: str, state: Tensor | None) -> None:
        """Gets what `carried` gives of every training batch and of every validation batch of an alpha step."""
        return

    def after_epoch(self, training) -> float | None:
        """Called after every epoch of a training from scratch, before its record. Returns the validation error where
        the task watches it; may set `training.kept`, the weights that are tested."""
        return None

    @abstractmethod
    def loss(self, outputs, targets: Tensor) -> Tensor:
        """Mean loss of a batch, in no less than float32; of the whole, where processes share it (`ranks.mean`)."""

    def training_loss(self, outputs, targets: Tensor) -> Tensor:
        """What the weights descend: the loss, and any penalty of the task's own."""
        return self.loss(outputs, targets)

    def training_pass(self, network: Callable, inputs, targets: Tensor) -> tuple[Tensor, Tensor, object]:
        """(what a training from scratch descends, the loss it records, the outputs) of outputs = network(inputs)."""
        outputs = network(inputs)
        loss = self.training_loss(outputs, targets)
        return loss, loss, outputs

    @abstractmethod
    def deviation(self, outputs, targets: Tensor) -> Tensor:
        """What a batch adds to the error, summed over its samples, on the device: mistakes, squared deviations, ...;
        of the whole, where several processes share it (`ranks.total`)."""

    def answer(self, outputs, size: tuple[int, int]) -> Tensor:
        """Outputs in the form and unit of targets; `size` is that of the images (height, width)."""
        return outputs

    def error(self, deviation: float, samples: int) -> float:
        """The error, less is better, from deviations summed over `samples`."""
        return deviation / samples

    @torch.no_grad()
    def measure(self, forward: Callable, split: str, batch_size: int = 256, seen: tuple = ()) -> tuple[float, float]:
        """(loss, error) of outputs = forward(inputs) on a whole split, not augmented; as `judged_batch` gives it with
        `seen`, (generator, strength)."""
        loss = deviation = 0.0
        for inputs, targets in self.batches(split, batch_size, *seen):
            outputs = forward(inputs)
            loss = loss + self.loss(outputs, targets) * ranks.samples(len(targets))
            deviation = deviation + self.deviation(outputs, targets)
        return float(loss) / self.size(split), self.error(float(deviation), self.size(split))

    def batches(self, split: str, batch_size: int = 256, *seen) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole split in order, each batch as `judged_batch` gives it."""
        for indices in torch.arange(self.size(split), device=self.data.device).split(batch_size):
            yield self.judged_batch(split, indices, *seen)

    def describe(self) -> tuple:
        """What else than their values decides how batches are made of the data."""
        return self.data.mean, self.data.std

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that tell data apart: every value, and how batches are made of them."""
        digest = hashlib.sha256(repr(self.describe()).encode())
        for split in datasets.SPLITS:
            for tensor in getattr(self.data, split):
                digest.update(str(tuple(tensor.shape)).encode())
                digest.update(tensor.cpu().contiguous().numpy().reshape(-1).view("uint8"))
        return digest.hexdigest()[:16]

    def check_made(self, run: runs.Run) -> None:
        """Raises ValueError where `run` was made with other data."""
        if self.fingerprint() != run.config["data"]["fingerprint"]:
            raise ValueError(f"data: {self.data.name!r} is not what the run {str(run.path)!r} was made with")


def at_least_float32(outputs: Tensor) -> Tensor:
    """`outputs`, or in float32 if they are bfloat16."""
    return outputs.float() if outputs.dtype == torch.bfloat16 else outputs
