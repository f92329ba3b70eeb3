"""OLES: an operation whose gradients on training and validation images disagree has begun to over-fit, and is frozen.

Jiang et al. 2023, *Operation-level Early Stopping for Robustifying Differentiable NAS*: for every operation with
weights, with g its gradient as one vector,

    mean over 20 steps of cos(g_train, g_train + g_valid) < 0.4   ->   its weights stay as they are from then on.

The paper writes cos(g_train, g_valid). The sum is what the authors' code compares, whose training gradient (of the step
before, clipped) is still there when that on validation images is added; and 0.4 belongs to it: the plain cosine lies
below 0.4 for every operation from the first steps on. Facts and traps: docs/methods/oles.md.
"""

import torch
from torch import Tensor

from darts_lab.methods.method import Method
from darts_lab.networks.operations import Convolution, EdgeByEdge, Strips

EVERY, LEAST = 20, 0.4  # steps between two decisions, and the mean cosine below which an operation is frozen


def operations(supernet) -> list[tuple[list[Tensor], int]]:
    """(weights, copies) of the operations that have weights; stacked copies stand together, first index copy."""
    found: list[tuple[list[Tensor], int]] = []
    for module in supernet.modules():
        if isinstance(module, Convolution | Strips):
            weights: list[Tensor] = list(module.parameters())
            found.append((weights, len(weights[0])))
        elif isinstance(module, EdgeByEdge):
            found += [(list(edge.parameters()), 1) for edge in module.edges]
    return [pair for pair in found if pair[0]]


def freeze(descent, train, valid) -> None:
    """Freezes operations that over-fit: an `after_step` of `Method`."""
    stacks, memory = operations(descent.supernet), descent.memory
    _restore(stacks, memory)
    if valid is None or not stacks:
        return
    every, mixing = [weight for weights, _ in stacks for weight in weights], descent.activate(descent.alpha).detach()
    of_step = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in every]  # clipped
    of_valid = torch.autograd.grad(descent.loss_of(valid)(mixing), every, materialize_grads=True)
    sides, cosines = [iter(of_step), iter(torch._foreach_add(of_step, of_valid))], []
    for weights, copies in stacks:
        one, other = (torch.cat([next(side).reshape(copies, -1) for _ in weights], 1) for side in sides)
        cosines.append(torch.cosine_similarity(one, other, 1))
    cosines = torch.cat(cosines)
    if not memory:
        memory |= {"steps": mixing.new_zeros(()), "cosines": 0 * cosines, "frozen": cosines > 2}
    memory["steps"] += 1
    memory["cosines"] += cosines
    if memory["steps"] == EVERY:
        memory["frozen"] |= memory["cosines"] / EVERY < LEAST
        memory |= {f"weight {number}": weight.detach().clone() for number, weight in enumerate(every)}
        memory["steps"].zero_(), memory["cosines"].zero_()


@torch.no_grad()
def _restore(stacks, memory: dict[str, Tensor]) -> None:
    """Takes back what the last step did to frozen operations."""
    if "weight 0" not in memory:
        return
    every = ((weight, copies) for weights, copies in stacks for weight in weights)
    frozen = iter(memory["frozen"].split([copies for _, copies in stacks]))
    masks = [part for (weights, _), part in zip(stacks, frozen) for _ in weights]
    for number, ((weight, copies), mask) in enumerate(zip(every, masks)):
        kept, now = memory[f"weight {number}"].reshape(copies, -1), weight.reshape(copies, -1)
        weight.copy_(torch.where(mask[:, None], kept, now).view_as(weight))


METHODS = (Method("OLES", after_step=freeze),)
