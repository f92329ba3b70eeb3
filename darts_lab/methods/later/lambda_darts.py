"""Lambda-DARTS: the cells of a network, which share one alpha, shall agree on what they want of it.

Movahedi et al. 2023, *Lambda-DARTS: Mitigating Performance Collapse by Harmonizing Operation Selection among Cells*:
with g_l the gradient of the training loss in the mixing weights of cell l, as if every cell had its own, w descends

    L_train - lambda * mean over pairs of cos(g_i, g_j)

of the normal cells, lambda rising linearly from 0. The second derivatives are a difference of two gradients, along
the derivative d of that mean in g. Facts and traps: docs/methods/lambda_darts.md.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from darts_lab.checks import Amount, Positive, check
from darts_lab.methods.method import Method


def alignment_gradient(gradients: Tensor) -> Tensor:
    """The derivative of the mean cosine of all pairs of `gradients` (cells, n) in each of them, same shape."""
    lengths = gradients.norm(dim=1, keepdim=True).clamp_min(torch.finfo(gradients.dtype).tiny)
    units = gradients / lengths
    total, pairs = units.sum(0), len(units) * (len(units) - 1) / 2
    return (total - units * (units @ total)[:, None]) / lengths / pairs


@dataclass(frozen=True)
class Alignment:
    """`most` * progress times the mean cosine, taken off: a `training_term` of `Method`. `step` is the length of the
    shift of all mixing weights together."""

    most: Amount = 0.25
    step: Positive = 1e-3

    def __post_init__(self):
        check(self)

    def __call__(self, mixing: Tensor, loss, progress, space, cells: tuple[str, ...]) -> Tensor:
        normal = [layer for layer, kind in enumerate(cells) if kind == "normal"]
        if len(normal) < 2:
            return mixing.new_zeros(())
        each = mixing.detach()[[space.cell_types.index(kind) for kind in cells]].requires_grad_()
        gradients = torch.autograd.grad(loss(each), each)[0][normal]
        direction = torch.zeros_like(each)
        direction[normal] = alignment_gradient(gradients.flatten(1)).view_as(gradients)
        length = direction.norm().clamp_min(torch.finfo(direction.dtype).tiny)
        shift, each = self.step * direction / length, each.detach()
        return progress * self.most * length / (2 * self.step) * (loss(each - shift) - loss(each + shift))


METHODS = (Method("Lambda-DARTS", training_term=Alignment()),)
