"""DrNAS: mixing weights are drawn from a Dirichlet distribution, whose concentration is learnt.

Chen et al. 2021, *DrNAS: Dirichlet Neural Architecture Search*: on every edge the mixing weights of a step are a
sample of Dir(beta), beta = 1 + elu(alpha), differentiated along the path of the sample. What holds beta at 1 is, as
by default in the authors' code, the weight decay of alpha. The cell has the largest means beta / sum(beta). Their
progressive growing (partial channels, then pruned operations) is left out. Facts and traps: docs/methods/drnas.md.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_lab.methods.method import Method


def concentration(alpha: Tensor) -> Tensor:
    return 1 + F.elu(alpha)


def mean(alpha: Tensor) -> Tensor:
    """The means of the distributions: an `activation` of `Method`."""
    beta = concentration(alpha)
    return beta / beta.sum(-1, keepdim=True)


class _Sample(torch.autograd.Function):
    """As `Dirichlet.rsample`, of an explicit generator."""

    @staticmethod
    def forward(ctx, beta: Tensor, generator) -> Tensor:
        sample = torch._sample_dirichlet(beta, generator)
        ctx.save_for_backward(sample, beta)
        return sample

    @staticmethod
    def backward(ctx, of_sample: Tensor):
        sample, beta = ctx.saved_tensors
        gradient = torch._dirichlet_grad(sample, beta, beta.sum(-1, keepdim=True).expand_as(beta))
        return gradient * (of_sample - (sample * of_sample).sum(-1, keepdim=True)), None


def sample(alpha: Tensor, progress, generator) -> Tensor:
    """A sample of mixing weights: a `draw` of `Method`."""
    return _Sample.apply(concentration(alpha), generator)


METHODS = (Method("DrNAS", activation=mean, draw=sample),)
