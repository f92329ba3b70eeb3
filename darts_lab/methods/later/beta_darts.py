"""beta-DARTS: alpha pays for the logarithm of the sum of its exponentials, which keeps its softmax even.

Ye et al. 2022, *beta-DARTS: Beta-Decay Regularization for Differentiable Architecture Search*: to the validation loss
is added

    lambda * mean over edges of  log sum_o exp(alpha_o),

where lambda rises linearly over the search, in the authors' code for NAS-Bench-201 from 0 to 50. Facts and traps:
docs/methods/beta_darts.md.
"""

from dataclasses import dataclass

from torch import Tensor

from darts_lab.checks import Amount, check
from darts_lab.methods.method import Method


@dataclass(frozen=True)
class BetaDecay:
    """progress * `most` * mean(logsumexp(alpha)): a term of `Method`."""

    most: Amount = 50.0

    def __post_init__(self):
        check(self)

    def __call__(self, alpha: Tensor, mixing: Tensor, progress, space) -> Tensor:
        return progress * self.most * alpha.logsumexp(-1).mean()


METHODS = (Method("beta-DARTS", terms=(BetaDecay(),)),)
