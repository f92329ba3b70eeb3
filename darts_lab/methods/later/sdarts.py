"""SDARTS-RS and SDARTS-ADV: the step of w sees perturbed mixing weights, so that the loss is flat around alpha.

Chen and Hsieh 2020, *Stabilizing Differentiable Architecture Search via Perturbation-based Regularization*:

    w*(alpha) = argmin_w  E_delta L_train(w, mixing + delta),  delta uniform in [-epsilon, epsilon]      (RS)
    w*(alpha) = argmin_w  max_delta L_train(w, mixing + delta),  |delta| <= epsilon                      (ADV)

Here as in the authors' code: epsilon rises linearly over the search, the maximum is approached by signed gradient
steps from a random start, and perturbed weights are cut to [0, 1] and scaled to sum to one on every edge. Norms take
the statistics of the batch during the ascent, where theirs take the running ones. Facts and traps:
docs/methods/sdarts.md.
"""

import torch
from torch import Tensor

from darts_lab.methods.method import Method

LEAST, MOST = 0.03, 0.3  # epsilon at the begin and the end of a search
STEPS = 7  # of the ascent


def on_simplex(mixing: Tensor) -> Tensor:
    """Mixing weights between 0 and 1 that sum to one on every edge; where all would be 0, the largest is 1."""
    cut, largest = mixing.clamp(0, 1), torch.zeros_like(mixing).scatter(-1, mixing.argmax(-1, keepdim=True), 1.0)
    total = cut.sum(-1, keepdim=True)
    return torch.where(total > 0, cut / total, largest)


def epsilon(progress):
    """How far mixing weights are perturbed at `progress` of the search."""
    return LEAST + (MOST - LEAST) * progress


def at_random(mixing: Tensor, loss, progress, space, generator) -> Tensor:
    """SDARTS-RS: a `perturb` of `Method`."""
    noise = torch.rand(mixing.shape, generator=generator, device=mixing.device, dtype=mixing.dtype)
    return on_simplex(mixing + epsilon(progress) * (2 * noise - 1))


def against(mixing: Tensor, loss, progress, space, generator, steps: int = STEPS) -> Tensor:
    """SDARTS-ADV: a `perturb` of `Method`. Where the ascent has not raised the loss, nothing is perturbed."""
    most = epsilon(progress)
    found = at_random(mixing, loss, progress, space, generator)
    for _ in range(steps):
        point = found.detach().requires_grad_()
        gradient = torch.autograd.grad(loss(point), point)[0]
        moved = point.detach() + 2 * most / steps * gradient.sign()
        found = on_simplex(mixing + (moved - mixing).clamp(-most, most))
    with torch.no_grad():
        return torch.where(loss(found) > loss(mixing), found, mixing)


METHODS = Method("SDARTS-RS", perturb=at_random), Method("SDARTS-ADV", perturb=against)
