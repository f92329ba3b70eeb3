"""Image classification."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_lab import data as datasets
from darts_lab.genotype import Genotype
from darts_lab.networks.images import Network, Supernet, check_images
from darts_lab.scales import EvaluationSettings, SearchSettings, paper_network
from darts_lab.spaces import SearchSpace
from darts_lab.tasks.base import Task


class Classification(Task):
    """Image classification on a `Dataset`: cross-entropy, error as a fraction in [0, 1]."""

    domain = "classification"

    def check(self, cells, settings) -> None:
        super().check(cells, settings)
        check_images(self.data.image_size, settings.layers, getattr(settings, "auxiliary", 0) > 0)

    @staticmethod
    def published(space: str, data: str, protocol: str, settings: dict) -> dict:
        if {"channels", "layers"} <= settings.keys():
            return settings
        channels, layers = paper_network(space, data, protocol)
        return {"channels": channels, "layers": layers} | settings

    def supernet(self, space: SearchSpace, settings: SearchSettings, generator: torch.Generator, **more) -> Supernet:
        return Supernet(
            space, channels=settings.channels, layers=settings.layers, generator=generator, **self._sizes(), **more
        )

    def network(
        self, genotype: Genotype, settings: EvaluationSettings, generator: torch.Generator, operations=None
    ) -> Network:
        return Network(
            genotype, channels=settings.channels, layers=settings.layers, auxiliary=settings.auxiliary > 0,
            operations=operations, generator=generator, **self._sizes(),
        )  # fmt: skip

    def training_batch(
        self, split: str, place: Tensor, generator, cutout: int = 0, cutout_probability: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        return datasets.training_batch(
            self.data, split, place, generator, cutout_length=cutout, cutout_probability=cutout_probability
        )

    def plain_batch(self, split: str, place: Tensor) -> tuple[Tensor, Tensor]:
        return datasets.plain_batch(self.data, split, place)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.float() if outputs.dtype == torch.bfloat16 else outputs, targets)

    def deviation(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many of a batch are wrong."""
        return (outputs.argmax(1) != targets).sum()

    def describe(self) -> tuple:
        data = self.data
        return data.classes, data.mean, data.std, data.crop_padding, data.flip

    def _sizes(self) -> dict[str, int]:
        return {"classes": self.data.classes, "in_channels": self.data.channels}
