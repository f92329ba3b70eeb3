"""Fair DARTS: operations do not compete within an edge, and are pushed to 0 or 1.

Chu et al. 2020, *Fair DARTS: Eliminating Unfair Advantages in Differentiable Architecture Search*: mixing weights are
the sigmoid of alpha, and to the validation loss is added the zero-one loss

    -w / N * sum (sigmoid(alpha) - 0.5)^2,  w = 10, over all N operations.

The paper keeps operations above a threshold, at most two edges a node; here every node keeps its two strongest edges,
as with all methods. Facts and traps: docs/methods/fair_darts.md.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from darts_lab.checks import Amount, check
from darts_lab.methods.method import Method


def sigmoid(alpha: Tensor) -> Tensor:
    """Mixing weights that do not compete: an `activation` of `Method`."""
    return torch.sigmoid(alpha)


@dataclass(frozen=True)
class ZeroOne:
    """-`weight` * mean((mixing - 0.5)^2): a term of `Method`."""

    weight: Amount = 10.0

    def __post_init__(self):
        check(self)

    def __call__(self, alpha: Tensor, mixing: Tensor, progress, space) -> Tensor:
        return -self.weight * (mixing - 0.5).square().mean()


METHODS = (Method("Fair-DARTS", activation=sigmoid, terms=(ZeroOne(),)),)
