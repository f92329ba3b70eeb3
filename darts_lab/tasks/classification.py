"""Image classification: the task, and its presets tiny, laptop and paper.

`paper` is the protocol of Zela et al. 2020 (their code's `args.py`, `config.yaml` and `evaluation/config.yaml`),
`laptop` shows the same phenomena within minutes on two cores, `tiny` only proves that the code runs.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_lab import data as datasets
from darts_lab.genotype import Genotype
from darts_lab.networks.images import Network, Supernet, check_images
from darts_lab.settings import EvaluationSettings, Scale, SearchSettings
from darts_lab.spaces import SearchSpace
from darts_lab.tasks.base import Task

PAPER = Scale("paper", SearchSettings(curvature_parity=True), EvaluationSettings())


def as_strong_as_in_the_papers(settings: SearchSettings, train_samples: int) -> float:
    """The `decay_scale` at which an L2 factor takes as much of the weights over a search as in the papers.

    Over a search SGD multiplies a weight that nothing else moves by about exp(-decay x sum of the learning rates). That
    sum is 254 in the search of Zela et al. (50 epochs of 391 steps, from 0.025 to 0.001 along a cosine) and 32 at
    laptop scale.
    """

    def moved(s: SearchSettings, samples: int) -> float:
        return s.epochs * math.ceil(samples / s.batch_size) * (s.learning_rate + s.learning_rate_min) / 2

    return round(moved(PAPER.search, 25_000) / moved(settings, train_samples), 2)


# How these numbers were chosen. The search: small enough for a minute or two on two cores, long enough that plain DARTS
# has learnt its training half by heart after a third of it. With fewer images (320 were tried) the weights do so within
# a few epochs whatever their decay, and no decay brings the convolutions back; with 1,024 the papers' strongest factor
# holds the training error up for two thirds of the search, and does. (640 lie between: noise wins S4 with certainty,
# but the decay hardly mends S2.) Four cells, so that the last is a normal one; with four nodes a cell instead of two
# the skips did not win within that time. The training from scratch was chosen on fixed cells, see results/protocol.md:
# convolutions in the reduction cells solve digits whatever the normal cells are, so the reduction cells are skips, and
# the network is narrow. BOTH_CELLS is the training as the papers do it, of both cells found.
UNSCALED_SEARCH = SearchSettings(
    channels=8, layers=4, nodes=2, train_samples=1024, valid_samples=1024, epochs=40, order=1, learning_rate=0.1,
    alpha_learning_rate=1e-2, cutout=8, paths=64, path_batches=1, finalists=5,
)  # fmt: skip
LAPTOP = Scale(
    "laptop",
    replace(UNSCALED_SEARCH, decay_scale=as_strong_as_in_the_papers(UNSCALED_SEARCH, 1024)),
    EvaluationSettings(
        channels=4, layers=5, train_samples=12000, epochs=10, batch_size=96, learning_rate=0.1, drop_path=0.0, cutout=0,
        auxiliary=0.0, reductions="skip",
    ),
    strong_decay=9,
)  # fmt: skip
BOTH_CELLS = {"layers": 8, "reductions": "searched"}  # at laptop scale
TINY = Scale(
    "tiny",
    SearchSettings(
        channels=4, layers=3, nodes=2, train_samples=64, valid_samples=64, epochs=3, batch_size=32, order=1,
        learning_rate=0.1, alpha_learning_rate=1e-2, cutout=8, curvature_every=1, paths=6, path_batches=1, finalists=2,
    ),
    EvaluationSettings(
        channels=4, layers=3, train_samples=128, test_samples=128, epochs=2, batch_size=32, learning_rate=0.1,
        drop_path=0.0, cutout=0, auxiliary=0.0,
    ),
)  # fmt: skip
SCALES = {scale.name: scale for scale in (TINY, LAPTOP, PAPER)}

# Width and depth of the networks that Zela et al. train from scratch, by space and data. Source:
# `evaluation/config.yaml` of their code, commit f83f0a8, in agreement with their appendix B.1; "L2" are their
# weight-decay experiments. The full space: Liu et al. 2019, section 3.1 (CIFAR-10) and the code of Maile et al. 2021
# (`train.py`, both CIFARs).
_SMALL, _THIN, _FULL = (16, 8), (16, 20), (36, 20)
PAPER_NETWORKS = {
    ("S1", "cifar10"): {"default": _FULL, "L2": _FULL},
    ("S2", "cifar10"): {"default": _THIN, "L2": _SMALL},
    ("S3", "cifar10"): {"default": _FULL, "L2": _SMALL},
    ("S4", "cifar10"): {"default": _THIN, "L2": _SMALL},
    ("DARTS", "cifar10"): {"default": _FULL, "L2": _FULL},
    ("DARTS", "cifar100"): {"default": _FULL, "L2": _FULL},
} | {
    (space, data): {"default": _SMALL, "L2": _SMALL}
    for space in ("S1", "S2", "S3", "S4")
    for data in ("cifar100", "svhn")
}
PROTOCOLS = ("default", "L2")


def check_protocol(protocol) -> None:
    """Raises ValueError where `protocol` is none of `PROTOCOLS`, between which `paper_network` chooses."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r} is not known; known: {', '.join(PROTOCOLS)}")


def paper_network(space: str, data: str, protocol: str = "default") -> tuple[int, int]:
    """(channels, layers) that the papers train for a cell of `space` on `data`.

    `protocol` is "default" (Zela et al.'s drop-path, early-stopping and baseline tables) or "L2" (their weight-decay
    experiments). Raises ValueError where the papers give no size.
    """
    known = {(s.lower(), d.lower()): sizes for (s, d), sizes in PAPER_NETWORKS.items()}
    sizes = known.get((str(space).lower(), str(data).lower()))
    if sizes is None or protocol not in sizes:
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
        self, split: str, place: Tensor, generator, strength: float | None = None
    ) -> tuple[Tensor, Tensor]:
        if strength is None:
            return datasets.training_batch(self.data, split, place, generator)
        cutout = {"cutout_length": self.settings.cutout, "cutout_probability": strength}
        return datasets.training_batch(self.data, split, place, generator, **cutout)

    def plain_batch(self, split: str, place: Tensor) -> tuple[Tensor, Tensor]:
        return datasets.plain_batch(self.data, split, place)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.float() if outputs.dtype == torch.bfloat16 else outputs, targets)

    def training_pass(self, network, inputs, targets: Tensor):
        """As `Task.training_pass`, with the loss of the auxiliary classifier where there is one."""
        if not self.settings.auxiliary:
            return super().training_pass(network, inputs, targets)
        outputs, auxiliary = network(inputs, with_auxiliary=True)
        loss = self.training_loss(outputs, targets)
        return loss + self.settings.auxiliary * self.loss(auxiliary, targets), loss, outputs

    def deviation(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many of a batch are wrong."""
        return (outputs.argmax(1) != targets).sum()

    def describe(self) -> tuple:
        data = self.data
        return data.classes, data.mean, data.std, data.crop_padding, data.flip

    def _sizes(self) -> dict[str, int]:
        return {"classes": self.data.classes, "in_channels": self.data.channels}
