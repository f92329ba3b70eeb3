"""Terms on the mixing weights, added to the validation loss that alpha descends.

A term is a function `(alpha, mixing, progress, space) -> scalar`: `alpha` and `mixing` have the shape (cell types,
edges, candidates), and `progress` runs from 0 to 1 over the search. Those of DARTS-PRIME (Maile et al. 2021) pull
towards cells that need no discretization; the formulas are those of their code, `model_admm_hard_statebn.py`, where not
said otherwise. Regularizers of the weights, weight decay and drop path, are settings of the search.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from darts_lab.checks import Amount, Count, check
from darts_lab.spaces import NONE, SearchSpace


def projection(mixing: Tensor, space: SearchSpace) -> Tensor:
    """The discretized cell nearest to `mixing`, as mixing weights of the same shape, without a gradient.

    The kept edges (two of each node, in recurrent cells one) have one operation with weight 1, all else is 0. Of all
    such tensors the one that `discretize` chooses is the nearest in the Euclidean norm, since a kept operation of
    weight p changes the squared distance by 1 - 2 p.
    """
    weights, nothing = mixing.detach().clone(), -torch.inf  # all on the device, which is not waited for
    for cell, cell_type in enumerate(space.cell_types):
        for edge, names in enumerate(space.cell(cell_type)):
            if NONE in names:
                weights[cell, edge, names.index(NONE)] = nothing
    best, operation = weights.max(-1)
    kept, begin = [], 0
    for node in range(space.nodes):  # its edges stand one after the other
        edges, begin = best[:, begin : begin + node + space.inputs], begin + node + space.inputs
        first = edges.sort(descending=True, stable=True).indices[:, : space.inputs]
        kept.append(torch.zeros_like(edges).scatter(1, first, 1.0))
    kept = torch.cat(kept, 1) * (best > nothing)
    return torch.zeros_like(weights).scatter(-1, operation[..., None], kept[..., None])


def distance(mixing: Tensor, target: Tensor, squared: bool = False) -> Tensor:
    """The Frobenius norm of `mixing` - `target`, summed over cell types; or its square."""
    squares = (mixing - target).square().sum((1, 2))
    return squares.sum() if squared else squares.clamp_min(1e-24).sqrt().sum()


@dataclass(frozen=True)
class Proximity:
    """progress * rho / 2 * ||mixing - projection||: the proximity regularization of DARTS-PRIME.

    `squared` takes the squared norm, as the authors' earlier Julia code does. The softmax of an edge sums to one, so
    the zeros of a dropped edge can never be reached: the norm stays above sqrt(dropped edges / candidates), and dropped
    edges are pushed towards a uniform mixture; `kept_only` leaves them out.
    """

    rho: Amount = 0.1
    squared: bool = False
    kept_only: bool = False

    def __post_init__(self):
        check(self)

    def __call__(self, alpha: Tensor, mixing: Tensor, progress: float, space: SearchSpace) -> Tensor:
        target = projection(mixing, space)
        if self.kept_only:
            kept = target.sum(-1, keepdim=True)
            mixing, target = mixing * kept, target * kept
        return progress * self.rho / 2 * distance(mixing, target, self.squared)


@dataclass(frozen=True)
class AdjustedProximity:
    """rho / 2 * ||(mixing - projection) * ((1 - progress) * A + progress)||, called proxadj in the code of Maile et al.

    A = 4 (mixing^(ln 2 / ln candidates) - 1/2)^2 is 0 where an operation has its uniform share and 1 where it has all:
    early in the search, what is undecided yet is left alone.
    """

    rho: Amount = 0.1

    def __post_init__(self):
        check(self)

    def __call__(self, alpha: Tensor, mixing: Tensor, progress: float, space: SearchSpace) -> Tensor:
        exponent = math.log(2) / math.log(space.candidates)
        decided = 4 * (mixing.clamp(1e-4, 1) ** exponent - 0.5).square()
        weights = (1 - progress) * decided + progress
        return self.rho / 2 * distance((mixing - projection(mixing, space)) * weights, torch.zeros_like(mixing))


@dataclass(frozen=True)
class ADMM:
    """The alternating direction method of multipliers for: mixing weights that are those of a discretized cell.

    In scaled form, alpha descends the validation loss plus rho / 2 * ||mixing - z + u||^2; after every `every` alpha
    steps

        z <- projection(mixing + u),    u <- u + mixing - z.

    Under softmax no dropped edge can reach its zeros, so u grows there until that edge is kept, and another is dropped:
    in spaces that drop edges z wanders, and does not settle. `parity` is what the code of Maile et al. does: the norm
    is not squared, alpha itself stands where the mixing weights should (in the first z, and in u), and z and u follow
    after `every` - 1 alpha steps.
    """

    rho: Amount = 0.1
    every: Count = 10
    parity: bool = False

    def __post_init__(self):
        check(self)
        if self.every < 1 + self.parity:
            raise ValueError(f"every: {self.every} is not allowed with parity; it must be at least 2")

    def official(self, carries: bool) -> "ADMM":
        """As in the code of Maile et al."""
        return replace(self, parity=True)

    def begin(self, alpha: Tensor, mixing: Tensor, space: SearchSpace) -> tuple[Tensor, Tensor]:
        """(z, u) before the first alpha step."""
        z = alpha.detach().clone() if self.parity else projection(mixing, space)
        return z, torch.zeros_like(z)

    def term(self, mixing: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """rho / 2 ||mixing + u - z||^2, a scalar (with parity without the square); z and u as `mixing`."""
        return self.rho / 2 * distance(mixing + u, z, squared=not self.parity)

    def after(self, steps: int, alpha: Tensor, activation, z: Tensor, u: Tensor, space: SearchSpace):
        """(z, u) after `steps` alpha steps in all."""
        if steps % (self.every - self.parity):
            return z, u
        with torch.no_grad():
            if self.parity:
                z = projection(activation(alpha + u), space)
                return z, u + alpha - z
            mixing = activation(alpha)
            z = projection(mixing + u, space)
            return z, u + mixing - z


def survivors(alpha: Tensor, alive: Tensor, space: SearchSpace) -> Tensor:
    """Which operations remain, (cell types, edges, candidates): those of `alive` whose alpha is above zero.

    A node that would lose its last operation keeps the one with the largest alpha. (A genotype has two edges for each
    node nevertheless: where only one has an operation left, `discretize` puts the first of another edge beside it.)
    """
    remain, begin = alive & (alpha > 0), 0
    parts = []
    for node in range(space.nodes):  # its edges stand one after the other
        edges, begin = slice(begin, begin + node + space.inputs), begin + node + space.inputs
        best = alpha[:, edges].masked_fill(~alive[:, edges], -torch.inf).flatten(1).argmax(1, keepdim=True)
        last = torch.zeros_like(remain[:, edges].flatten(1)).scatter(1, best, True)
        of_node = remain[:, edges].flatten(1)
        parts.append(torch.where(of_node.any(1, keepdim=True), of_node, last).view(remain[:, edges].shape))
    return torch.cat(parts, 1)
