"""Image classification and its presets: `paper` is the protocol of Zela et al. 2020 (`args.py`, `config.yaml` and
`evaluation/config.yaml` of their code), `laptop` shows the same phenomena in minutes, `tiny` proves that code runs."""

import itertools
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_lab import data as datasets
from darts_lab import ranks
from darts_lab.genotype import Genotype
from darts_lab.networks.images import Network, Supernet, check_images
from darts_lab.networks.operations import draw_as_in_pytorch_0_3
from darts_lab.settings import ROBUSTDARTS, EvaluationSettings, Scale, SearchSettings
from darts_lab.spaces import SearchSpace
from darts_lab.tasks.base import Task, at_least_float32

PAPER = Scale("paper", SearchSettings(curvature_parity=True), EvaluationSettings())


def as_strong_as_in_the_papers(settings: SearchSettings, train_samples: int) -> float:
    """The `decay_scale` at which an L2 factor takes as much of the weights over a search as in the papers.

    Over a search SGD multiplies a weight that nothing else moves by about exp(-decay x sum of the learning rates). The
    sum is 254 in Zela et al. (50 epochs of 391 steps, a cosine from 0.025 to 0.001) and 32 at laptop scale.
    """

    def moved(s: SearchSettings, samples: int) -> float:
        return s.epochs * math.ceil(samples / s.batch_size) * (s.learning_rate + s.learning_rate_min) / 2

    return round(moved(PAPER.search, 25_000) / moved(settings, train_samples), 2)


# How laptop's numbers were chosen. The search takes a minute or two on two cores, and plain DARTS has learnt its
# training half by heart after a third of it. With 320 images the weights do so within a few epochs whatever their
# decay, and no decay brings the convolutions back; with 640 noise wins S4 with certainty, but the decay hardly mends
# S2; with 1,024 the papers' strongest factor holds the training error up for two thirds of the search, and mends it.
# The last of four cells is a normal one; with four nodes a cell the skips did not win within that time. The training
# was chosen on fixed cells (results/protocol.md): convolutions in the reduction cells solve digits whatever the normal
# cells are, so the reduction cells are skips, and the network is narrow. BOTH_CELLS trains both, as the papers do.
SMALL_SEARCH: dict[str, Any] = {"order": 1, "learning_rate": 0.1, "alpha_learning_rate": 1e-2, "path_batches": 1}
PLAIN_TRAINING: dict[str, Any] = {"drop_path": 0.0, "cutout": 0, "auxiliary": 0.0}
UNSCALED_SEARCH = SearchSettings(
    channels=8, layers=4, nodes=2, train_samples=1024, valid_samples=1024, epochs=40, cutout=8, paths=64, finalists=5,
    **SMALL_SEARCH,
)  # fmt: skip
LAPTOP = Scale(
    "laptop",
    replace(UNSCALED_SEARCH, decay_scale=as_strong_as_in_the_papers(UNSCALED_SEARCH, 1024)),
    EvaluationSettings(
        channels=4, layers=5, train_samples=12000, epochs=10, learning_rate=0.1, reductions="skip", **PLAIN_TRAINING
    ),
    strong_decay=9,
)
# For one GPU: cells and images of the papers' size, a fifth of their images.
UNSCALED_WORKSTATION = SearchSettings(train_samples=5000, valid_samples=5000, order=1)
WORKSTATION = Scale(
    "workstation",
    replace(UNSCALED_WORKSTATION, decay_scale=as_strong_as_in_the_papers(UNSCALED_WORKSTATION, 5000)),
    EvaluationSettings(channels=16, layers=8, epochs=40),
    instead={"digits": "digits32", "fashion_mnist": "fashion_mnist32"},
)
BOTH_CELLS: dict[str, Any] = {"layers": 8, "reductions": "searched"}  # at laptop scale
TINY = Scale(
    "tiny",
    SearchSettings(
        channels=4, layers=3, nodes=2, train_samples=64, valid_samples=64, epochs=3, batch_size=32, cutout=8,
        curvature_every=1, paths=6, finalists=2, **SMALL_SEARCH,
    ),
    EvaluationSettings(
        channels=4, layers=3, train_samples=128, test_samples=128, epochs=2, batch_size=32, learning_rate=0.1,
        **PLAIN_TRAINING,
    ),
)  # fmt: skip
SCALES = {scale.name: scale for scale in (TINY, LAPTOP, WORKSTATION, PAPER)}

# (channels, layers) of the networks trained from scratch, for each of PROTOCOLS, by space and data: Zela et al.,
# `evaluation/config.yaml` of their code at f83f0a8, which agrees with their appendix B.1. The full space: Liu et al.
# 2019, section 3.1 (CIFAR-10), and the code of Maile et al. 2021 (`train.py`, both CIFARs).
PROTOCOLS = ("default", "L2")
_SMALL, _THIN, _FULL = (16, 8), (16, 20), (36, 20)
PAPER_NETWORKS = {
    ("s1", "cifar10"): (_FULL, _FULL),
    ("s2", "cifar10"): (_THIN, _SMALL),
    ("s3", "cifar10"): (_FULL, _SMALL),
    ("s4", "cifar10"): (_THIN, _SMALL),
    ("darts", "cifar10"): (_FULL, _FULL),
    ("darts", "cifar100"): (_FULL, _FULL),
} | dict.fromkeys(itertools.product(("s1", "s2", "s3", "s4"), ("cifar100", "svhn")), (_SMALL, _SMALL))


def check_protocol(protocol) -> None:
    """Raises ValueError where `protocol` is none of `PROTOCOLS`."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r} is not known; known: {', '.join(PROTOCOLS)}")


def paper_network(space: str, data: str, protocol: str = "default") -> tuple[int, int]:
    """(channels, layers) that the papers train for a cell of `space` on `data`.

    `protocol` is "default" (Zela et al.'s drop-path, early-stopping and baseline tables) or "L2" (their weight-decay
    experiments). Raises ValueError where the papers give no size.
    """
    sizes = dict(zip(PROTOCOLS, PAPER_NETWORKS.get((str(space).lower(), str(data).lower()), ())))
    if protocol not in sizes:
        raise ValueError(
            f"paper scale: no published network size for space {space!r}, data {data!r}, protocol {protocol!r}; "
            "give channels and layers"
        )
    return sizes[protocol]


class Classification(Task):
    """Image classification on a `Dataset`: cross-entropy, error as a fraction in [0, 1]."""

    domain = "classification"
    scales = SCALES

    def check(self, cells, settings) -> None:
        super().check(cells, settings)
        check_images(self.data.image_size, settings.layers, getattr(settings, "auxiliary", 0) > 0)

    @staticmethod
    def published(space: str, data: str, protocol: str, settings: dict) -> dict:
        if {"channels", "layers"} <= settings.keys():
            return settings
        return dict(zip(("channels", "layers"), paper_network(space, data, protocol))) | settings

    def supernet(self, space: SearchSpace, settings, generator: torch.Generator, **more) -> Supernet:
        return self._drawn(Supernet(space, generator=generator, **self._sizes(settings), **more), settings, generator)

    def network(self, genotype: Genotype, settings, generator: torch.Generator, operations=None) -> Network:
        more = {"auxiliary": settings.auxiliary > 0, "operations": operations, "generator": generator}
        return self._drawn(Network(genotype, **self._sizes(settings), **more), settings, generator)

    def _drawn(self, network, settings, generator: torch.Generator):
        """`network`, with the initial weights that the official code has with parity."""
        if settings.parity == ROBUSTDARTS:
            draw_as_in_pytorch_0_3(network, generator)
        return network

    def training_batch(self, split: str, place: Tensor, generator, strength: float | None = None):
        """`strength` is the probability of Cutout."""
        cutout = {} if strength is None else {"cutout_length": self.settings.cutout, "cutout_probability": strength}
        return ranks.share(datasets.training_batch(self.data, split, place, generator, **cutout))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ranks.mean(F.cross_entropy(at_least_float32(outputs), targets), len(targets))

    def training_pass(self, network, inputs, targets: Tensor):
        """As `Task.training_pass`, with the loss of the auxiliary classifier where there is one."""
        if not self.settings.auxiliary:
            return super().training_pass(network, inputs, targets)
        outputs, auxiliary = network(inputs, with_auxiliary=True)
        loss = self.training_loss(outputs, targets)
        return loss + self.settings.auxiliary * self.loss(auxiliary, targets), loss, outputs

    def deviation(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ranks.total((outputs.argmax(1) != targets).sum())

    def describe(self) -> tuple:
        return self.data.classes, self.data.mean, self.data.std, self.data.crop_padding, self.data.flip

    def _sizes(self, settings) -> dict[str, Any]:
        sizes = {"channels": settings.channels, "layers": settings.layers}
        return sizes | {"classes": self.data.classes, "in_channels": self.data.channels}
