"""Disparity of image pairs."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab import data as datasets
from darts_lab.data import stereo
from darts_lab.genotype import Genotype
from darts_lab.networks.hourglass import DenseNetwork, DenseSupernet, check_pairs
from darts_lab.spaces import CELL_TYPES, UPSAMPLE, SearchSpace
from darts_lab.tasks.base import Task

UNIT = 10.0  # pixels: what an output of 1 stands for, so that the networks begin within reach of the answer


class Disparity(Task):
    """A disparity for every pixel of the left image of a `stereo.Stereo`; the error is the end-point error in pixels.

    The loss is the end-point error of every map that the network gives, brought to the size of the image, in units of ten
    pixels: the finest counts 1, each coarser one half of the one before. Pixels of unknown disparity count nowhere.
    """

    domain = "disparity"
    cell_types = (*CELL_TYPES, UPSAMPLE)
    metric, factor, unit = "EPE", 1, "px"

    def check(self, cells, settings) -> None:
        super().check(cells, settings)
        check_pairs(self.data.image_size, settings.layers)

    def supernet(self, space: SearchSpace, settings, generator: torch.Generator, **more) -> DenseSupernet:
        return DenseSupernet(space, generator=generator, **_sizes(settings), **more)

    def network(self, genotype: Genotype, settings, generator: torch.Generator, operations=None) -> DenseNetwork:
        return DenseNetwork(genotype, operations=operations, generator=generator, **_sizes(settings))

    def optimizer(self, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam, as Zela et al. 2020 train the networks that they found (appendix D)."""
        return torch.optim.Adam(weights, self.settings.learning_rate, weight_decay=self.settings.weight_decay)

    def training_batch(
        self, split: str, place: Tensor, generator, cutout: int = 0, cutout_probability: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Augmented as strongly as `settings.augmentation` says; there is no Cutout."""
        images, disparities = (part[place] for part in getattr(self.data, split))
        images, disparities = stereo.augment(datasets.unit(images), disparities, self.settings.augmentation, generator)
        return datasets.normalise(images, self.data), disparities

    def plain_batch(self, split: str, place: Tensor) -> tuple[Tensor, Tensor]:
        return datasets.plain_batch(self.data, split, place)

    def loss(self, outputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        errors = (stereo.end_point_error(_whole(output, targets), targets).mean() for output in outputs)
        return sum(error / UNIT / 2**level for level, error in enumerate(errors))

    def deviation(self, outputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        """The end-point errors of a batch, summed."""
        return stereo.end_point_error(_whole(outputs[0].detach(), targets), targets).sum()

    def answer(self, outputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        return _whole(outputs[0], targets)

    def describe(self) -> tuple:
        return self.data.mean, self.data.std


def _whole(output: Tensor, targets: Tensor) -> Tensor:
    """A map in pixels and at the size of the targets, in no less than float32."""
    output = output.float() if output.dtype == torch.bfloat16 else output
    return UNIT * F.interpolate(output[:, None], targets.shape[1:], mode="bilinear")[:, 0]


def _sizes(settings) -> dict[str, int]:
    return {name: getattr(settings, name) for name in ("channels", "layers", "displacements")}
