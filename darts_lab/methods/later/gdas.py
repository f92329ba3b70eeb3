"""GDAS: one operation an edge, drawn by the Gumbel trick, in both steps.

Dong and Yang 2019, *Searching for a Robust Neural Architecture in Four GPU Hours*: with Gumbel noise o and p =
softmax((log softmax(alpha) + o) / tau), the mixing weights are one-hot at the largest p, and their gradient is that
of p. tau falls linearly from 10 to 0.1. Facts and traps: docs/methods/gdas.md.
"""

import torch
from torch import Tensor

from darts_lab.methods.method import Method

HOT, COLD = 10.0, 0.1  # tau at the begin and the end of a search


def gumbel(alpha: Tensor, progress, generator) -> Tensor:
    """One-hot mixing weights with the gradient of their relaxation: a `draw` of `Method`."""
    noise = -torch.empty_like(alpha).exponential_(generator=generator).log()
    relaxed = ((alpha.log_softmax(-1) + noise) / (HOT + (COLD - HOT) * progress)).softmax(-1)
    hard = torch.zeros_like(relaxed).scatter(-1, relaxed.argmax(-1, keepdim=True), 1.0)
    return hard + (relaxed - relaxed.detach())  # zeros stay zeros: only what was drawn runs in the step of w


METHODS = (Method("GDAS", draw=gumbel),)
