"""DARTS-: an auxiliary skip beside the candidates of every edge takes over what a skip does for the training.

Chu et al. 2021, *DARTS-: Robustly Stepping out of Performance Collapse Without Indicators*: the output of an edge is

    beta x + sum_o softmax(alpha)_o o(x),

where beta falls linearly from 1 to 0 over the search, and the auxiliary skip is never kept. In reduction cells it
halves as `skip_connect` does, with weights of its own. Facts and traps: docs/methods/darts_minus.md.
"""

import torch
from torch import Tensor

from darts_lab.methods.method import Method, softmax


def with_auxiliary_skip(alpha: Tensor, progress, generator) -> Tensor:
    """Mixing weights, and in a last column those of the auxiliary skip: a `draw` of `Method`."""
    mixing = softmax(alpha)
    beta = torch.as_tensor(1 - progress, dtype=mixing.dtype, device=mixing.device)
    return torch.cat([mixing, beta.expand(*mixing.shape[:2], 1)], -1)


METHODS = (Method("DARTS-", draw=with_auxiliary_skip, network={"auxiliary_skip": True}),)
