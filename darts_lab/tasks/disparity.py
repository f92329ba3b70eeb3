"""Disparity of image pairs, and its presets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab import data as datasets
from darts_lab import ranks
from darts_lab.capture import capturable, number
from darts_lab.checks import Amount, Natural
from darts_lab.data import stereo
from darts_lab.genotype import Genotype
from darts_lab.networks.hourglass import DenseNetwork, DenseSupernet, check_pairs
from darts_lab.optimizers import Adam
from darts_lab.settings import EvaluationSettings, Scale, SearchSettings
from darts_lab.spaces import CELL_TYPES, UPSAMPLE, SearchSpace
from darts_lab.tasks.base import Task, at_least_float32
from darts_lab.tasks.classification import PLAIN_TRAINING, SMALL_SEARCH


@dataclass(frozen=True)
class DisparitySearch(SearchSettings):
    """Settings of a search for a disparity network."""

    augmentation: Amount = 1.0  # multiplies the variance of every parameter of the augmentation, see `stereo.augment`
    displacements: Natural = 40  # how far to the left the correlation looks, in pixels of the quarter-sized images


@dataclass(frozen=True)
class DisparityEvaluation(EvaluationSettings):
    """Settings of training a disparity network from scratch, by Adam: `momentum` does nothing."""

    augmentation: Amount = 1.0
    displacements: Natural = 40


# Zela et al., appendix D: 300,000 iterations at half resolution, SGD on w and Adam on alpha, first order, no warm
# start; 300,000 at full resolution by Adam, 1e-4 to 0 along a cosine. Their code is not published; the rates of the
# search are from github.com/lmb-freiburg/autodispnet, issue 1. The named data are at half resolution; for the training,
# `stereo.flying_things(path, shrinkage=1)` gives the full one. All else is ours, in the layout of AutoDispNet. Epochs
# make 300,000 iterations of the 10,909 pairs of a half of FlyingThings3D, and of both halves.
_PLAIN = PLAIN_TRAINING | {"weight_decay": 0.0}
DISPARITY_PAPER = Scale(
    "paper",
    DisparitySearch(channels=16, layers=9, epochs=220, batch_size=8, order=1, cutout=0, curvature_every=10),
    DisparityEvaluation(channels=16, layers=9, epochs=110, batch_size=8, learning_rate=1e-4, **_PLAIN),
    27,
)

# Chosen so that a search takes one to two of one on `digits`, and a training from scratch gets well below half of the
# best constant's 9.1 px (a searched cell: 2.9 px, one run).
DISPARITY_LAPTOP = Scale(
    "laptop",
    DisparitySearch(
        channels=8, layers=6, nodes=2, train_samples=512, valid_samples=512, epochs=30, batch_size=32, cutout=0,
        displacements=8, paths=64, finalists=5, **SMALL_SEARCH,
    ),
    DisparityEvaluation(channels=8, layers=6, epochs=8, batch_size=32, learning_rate=3e-3, displacements=8, **_PLAIN),
    27,
)  # fmt: skip
DISPARITY_TINY = Scale(
    "tiny",
    DisparitySearch(
        channels=4, layers=3, nodes=2, train_samples=16, valid_samples=16, epochs=3, batch_size=8, cutout=0,
        displacements=8, curvature_every=1, paths=6, finalists=2, **SMALL_SEARCH,
    ),
    DisparityEvaluation(
        channels=4, layers=3, train_samples=32, test_samples=16, epochs=2, batch_size=8, learning_rate=3e-3,
        displacements=8, **_PLAIN,
    ),
    27,
)  # fmt: skip
UNIT = 10.0  # pixels that an output of 1 stands for, so that the networks begin within reach of the answer


class Disparity(Task):
    """A disparity for every pixel of the left image of a `stereo.Stereo`; the error is the end-point error in pixels.

    The loss is the end-point error of every map of the network at the size of the image, in units of ten pixels: the
    finest counts 1, each coarser one half of the one before. Pixels of unknown disparity count nowhere.
    """

    domain = "disparity"
    scales = {scale.name: scale for scale in (DISPARITY_TINY, DISPARITY_LAPTOP, DISPARITY_PAPER)}
    cell_types = (*CELL_TYPES, UPSAMPLE)
    space = "S6"
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
        weights, s = list(weights), self.settings
        rate = number(s.learning_rate, weights[0].device)
        return Adam(weights, rate, weight_decay=s.weight_decay, **capturable(weights))

    def training_batch(self, split: str, place: Tensor, generator, strength: float | None = None):
        """Augmented as strongly as `settings.augmentation` says; there is no Cutout."""
        images, disparities = datasets.samples(self.data, split, place)
        images, disparities = stereo.augment(datasets.unit(images), disparities, self.settings.augmentation, generator)
        return ranks.share((datasets.normalise(images, self.data), disparities))

    def loss(self, outputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        errors = (stereo.end_point_error(_whole(output, targets.shape[1:]), targets).mean() for output in outputs)
        return ranks.mean(sum(error / UNIT / 2**level for level, error in enumerate(errors)), len(targets))

    def deviation(self, outputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        return ranks.total(stereo.end_point_error(_whole(outputs[0].detach(), targets.shape[1:]), targets).sum())

    def answer(self, outputs: tuple[Tensor, ...], size: tuple[int, int]) -> Tensor:
        return _whole(outputs[0], size)


def _whole(output: Tensor, size: Sequence[int]) -> Tensor:
    """A map in pixels and of this size, in no less than float32."""
    return UNIT * F.interpolate(at_least_float32(output)[:, None], tuple(size), mode="bilinear")[:, 0]


def _sizes(settings) -> dict[str, int]:
    return {name: getattr(settings, name) for name in ("channels", "layers", "displacements")}
