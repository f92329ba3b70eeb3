"""PC-DARTS: operations see a quarter of the channels, and edges have weights of their own.

Xu et al. 2020, *PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search*: with b a number
for each edge, the mixing weights are

    softmax over the edges into a node (b)  *  softmax over the operations of an edge (alpha).

Alpha waits for the first 15 of 50 epochs. Every step takes the same quarter, the first, as in the authors' code.
Facts and traps: docs/methods/pc_darts.md.
"""

import torch
from torch import Tensor

from darts_lab.methods.method import Method
from darts_lab.methods.schedules import Every

SHARE = 4  # one of so many channels goes through operations


def normalised(alpha: Tensor) -> Tensor:
    """The mixing weights of alpha, whose last column has the edges' numbers: an `activation` of `Method`."""
    *_, edges, _ = alpha.shape
    parts, begin, inputs = [], 0, 2
    while begin < edges:
        parts.append(alpha[:, begin : begin + inputs, -1:].softmax(1))
        begin, inputs = begin + inputs, inputs + 1
    return torch.cat(parts, 1) * alpha[..., :-1].softmax(-1)


METHODS = (
    Method("PC-DARTS", activation=normalised, edge_alpha=True, network={"share": SHARE}, schedule=Every(wait=0.3)),
)
