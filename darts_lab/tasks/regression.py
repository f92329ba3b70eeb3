"""A number for every image, the depth of the sea, and its presets."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from darts_lab import ranks
from darts_lab.genotype import Genotype
from darts_lab.networks.images import Network, Supernet, check_images
from darts_lab.settings import EvaluationSettings, Scale, SearchSettings
from darts_lab.spaces import SearchSpace
from darts_lab.tasks.base import Task, at_least_float32
from darts_lab.tasks.classification import BOTH_CELLS, LAPTOP, PLAIN_TRAINING, TINY, UNSCALED_SEARCH

# The code of Maile et al. 2021 (`train_bath.py`, `bath_eval.py`); what these scripts leave to DARTS is as in DARTS.
BATHYMETRY_PAPER = Scale(
    "paper",
    SearchSettings(channels=16, layers=8, epochs=50, batch_size=64, order=1, cutout=0),
    EvaluationSettings(channels=36, layers=8, epochs=100, batch_size=64, learning_rate=0.025, **PLAIN_TRAINING),
)

# The search as for `digits`; the training until a searched cell was below half of the mean's 7.2 m (3.0 m, one run).
_TRAINING = replace(LAPTOP.evaluation, train_samples=None, epochs=20, **BOTH_CELLS)
BATHYMETRY_LAPTOP = Scale("laptop", replace(UNSCALED_SEARCH, cutout=0), _TRAINING)
BATHYMETRY_TINY = Scale("tiny", replace(TINY.search, cutout=0), TINY.evaluation)
UNIT = 10.0  # metres that an output of 1 stands for, as in their code (`depth_normalization` 0.1)


class Regression(Task):
    """The depth at the centre of a patch of a `bathymetry.Soundings`; the error is its root mean square in metres.

    The networks are those for images, with one output in place of classes. (The search network of Maile et al. ends in
    three linear layers with nothing between them, which are one.) The loss is the mean square in units of ten metres.
    """

    domain = "bathymetry"
    scales = {scale.name: scale for scale in (BATHYMETRY_TINY, BATHYMETRY_LAPTOP, BATHYMETRY_PAPER)}
    metric, factor, unit = "RMSE", 1, "m"

    def check(self, cells, settings) -> None:
        super().check(cells, settings)
        check_images(self.data.image_size, settings.layers)

    def supernet(self, space: SearchSpace, settings, generator: torch.Generator, **more) -> Supernet:
        return Supernet(space, generator=generator, **self._sizes(settings), **more)

    def network(self, genotype: Genotype, settings, generator: torch.Generator, operations=None) -> Network:
        return Network(genotype, operations=operations, generator=generator, **self._sizes(settings))

    def training_batch(self, split: str, place: Tensor, generator, strength: float | None = None):
        """Not augmented, as in the code of Maile et al."""
        return self.plain_batch(split, place)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ranks.mean((_depths(outputs) - targets).div(UNIT).square().mean(), len(targets))

    def deviation(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ranks.total((_depths(outputs.detach()) - targets).square().sum())

    def answer(self, outputs: Tensor, size: tuple[int, int]) -> Tensor:
        return _depths(outputs)

    def error(self, deviation: float, samples: int) -> float:
        return math.sqrt(deviation / samples)

    def _sizes(self, settings) -> dict[str, Any]:
        sizes = {"channels": settings.channels, "layers": settings.layers}
        return sizes | {"classes": 1, "in_channels": self.data.channels}


def _depths(outputs: Tensor) -> Tensor:
    """In metres, in no less than float32."""
    return UNIT * at_least_float32(outputs)[:, 0]
