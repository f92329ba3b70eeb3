"""What a search is for: batches, loss, metric and the networks that fit the data. A search knows nothing else of it."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_lab import data as datasets
from darts_lab import runs
from darts_lab.genotype import Genotype
from darts_lab.scales import EvaluationSettings, SearchSettings
from darts_lab.spaces import SearchSpace
from darts_lab.supernet import Network, Supernet


class Classification:
    """Image classification on a `Dataset`: cross-entropy, error as a fraction in [0, 1]."""

    def __init__(self, data: datasets.Dataset):
        self.data = data

    def supernet(self, space: SearchSpace, settings: SearchSettings, generator: torch.Generator, **more) -> Supernet:
        """The search network, its weights drawn from `generator` (on the CPU); `more` as for `Supernet`."""
        return Supernet(
            space, channels=settings.channels, layers=settings.layers, generator=generator, **self._sizes(), **more
        )

    def network(
        self, genotype: Genotype, settings: EvaluationSettings, generator: torch.Generator, operations=None
    ) -> Network:
        """The network of one genotype, its weights drawn from `generator` (on the CPU)."""
        return Network(
            genotype, channels=settings.channels, layers=settings.layers, auxiliary=settings.auxiliary > 0,
            operations=operations, generator=generator, **self._sizes(),
        )  # fmt: skip

    def size(self, split: str) -> int:
        """Samples in a split."""
        return len(getattr(self.data, split)[1])

    def training_batch(
        self, split: str, indices: Tensor, generator, cutout: int = 0, cutout_probability: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """(inputs, targets), augmented; each sample is cut out with `cutout_probability`."""
        return datasets.training_batch(
            self.data, split, indices, generator, cutout_length=cutout, cutout_probability=cutout_probability
        )

    def plain_batch(self, split: str, indices: Tensor) -> tuple[Tensor, Tensor]:
        """(inputs, targets), not augmented."""
        return datasets.plain_batch(self.data, split, indices)

    def batches(self, split: str, batch_size: int = 256):
        """The whole split in order, not augmented: (inputs, targets) by batches."""
        for indices in torch.arange(self.size(split), device=self.data.train[1].device).split(batch_size):
            yield self.plain_batch(split, indices)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch, in no less than float32."""
        return F.cross_entropy(outputs.float() if outputs.dtype == torch.bfloat16 else outputs, targets)

    def mistakes(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many of a batch are wrong, as a tensor on the device."""
        return (outputs.argmax(1) != targets).sum()

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that tell data apart: every value, and how batches are made of them."""
        data = self.data
        digest = hashlib.sha256(repr((data.classes, data.mean, data.std, data.crop_padding, data.flip)).encode())
        for split in ("train", "valid", "test"):
            for tensor in getattr(data, split):
                digest.update(str(tuple(tensor.shape)).encode())
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def check_made(self, run: runs.Run) -> None:
        """Raises ValueError where `run` was made with other data."""
        if self.fingerprint() != run.config["data"]["fingerprint"]:
            raise ValueError(f"data: {self.data.name!r} is not what the run {str(run.path)!r} was made with")

    def _sizes(self) -> dict[str, int]:
        return {"classes": self.data.classes, "in_channels": self.data.channels}


def data_of(run: runs.Run, given=None):
    """The data to go on with: `given`, or what the run names. Raises ValueError where that was the user's own."""
    name = run.config["data"]["name"]
    if given is None and name not in datasets.NAMES:
        raise ValueError(f"data: the run {str(run.path)!r} was made with data of your own ({name!r}); pass it as data=")
    return name if given is None else given
