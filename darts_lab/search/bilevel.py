"""The bilevel problem of DARTS as functions of values: the gradient of alpha, first and second order, and one step of
each.

    min_alpha  L_valid(w*(alpha), alpha)   subject to   w*(alpha) = argmin_w L_train(w, alpha)

(Liu et al. 2019, eq. 3 and 4.) Nothing here remembers, draws random numbers, or waits for the device: losses come in as
functions of the weights and alpha, everything else as tensors and numbers.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Weights = list[Tensor]
Loss = Callable[[Weights, Tensor], Tensor]  # (w, alpha) -> scalar


def first_order(valid_loss: Tensor, alpha: Tensor) -> Tensor:
    """d L_valid(w, alpha) / d alpha at the present w: eq. 6 with xi = 0."""
    return torch.autograd.grad(valid_loss, [alpha])[0]


def unrolled(
    gradient: Weights,
    w: Weights,
    rate: float,
    decay: float = 0.0,
    momentum: float = 0.0,
    buffers: Weights | None = None,
) -> Weights:
    """w' = w - xi (d L_train / d w + decay w + momentum buffer): the one step of w that stands for w*(alpha), eq. 5.

    The equation has the gradient alone; quark0/darts takes the step that SGD would take, with decay and momentum.
    """
    step = torch._foreach_add(gradient, w, alpha=decay)
    if buffers is not None:
        torch._foreach_add_(step, buffers, alpha=momentum)
    return list(torch._foreach_sub(w, torch._foreach_mul(step, rate)))


def second_order(
    train_loss: Loss,
    valid_loss: Callable[[Weights, Tensor], tuple[Tensor, object]],
    w: Weights,
    alpha: Tensor,
    *,
    rate: float,
    decay: float = 0.0,
    momentum: float = 0.0,
    buffers: Weights | None = None,
    epsilon: float = 0.01,
    clip: float | None = None,
    chain_rule: bool = True,
    end_loss: Loss | None = None,
) -> tuple[Tensor, Tensor, object]:
    """(d/d alpha of L_valid(w', alpha), L_valid(w', alpha), and what `valid_loss` gives beside it), w' as `unrolled`.

    By the chain rule this is, with xi = `rate` (eq. 6),

        d L_valid(w', alpha) / d alpha  -  xi  d^2 L_train(w, alpha) / (d alpha d w)  d L_valid(w', alpha) / d w'

    and the mixed derivative times the vector v = d L_valid / d w' is a difference of two gradients (eq. 7),

        (d L_train(w+, alpha) / d alpha - d L_train(w-, alpha) / d alpha) / (2 h),  w+- = w +- h v, h = epsilon / ||v||.

    `end_loss` is the training loss at these two ends, where both must see the same noise. With `clip`, w' has c g for g
    = d L_train / d w, where c = clip / ||g|| < 1, and v becomes c (v - g (g . v) / ||g||^2), by the chain rule. Without
    `chain_rule`, v is clipped by itself and the difference multiplied by c, even where c > 1 and nothing was clipped:
    so does the recurrent search of quark0/darts (`rnn/architect.py`, `_backward_step_unrolled`).
    """
    at = [weight.detach().clone().requires_grad_() for weight in w]
    gradient = list(torch.autograd.grad(train_loss(at, alpha.detach()), at, materialize_grads=True))
    if clip is not None:
        norm = _norm(gradient)
        too_long, direction = norm > clip, torch._foreach_div(gradient, norm)
        gradient = _where(too_long, torch._foreach_mul(direction, clip), gradient)
    w = [weight.detach() for weight in w]
    after = [weight.requires_grad_() for weight in unrolled(gradient, w, rate, decay, momentum, buffers)]

    loss, beside = valid_loss(after, alpha)
    outer, *v = torch.autograd.grad(loss, [alpha, *after], materialize_grads=True)
    scale = 1.0
    if clip is not None and not chain_rule:
        length = _norm(v)
        scale, v = clip / norm, _where(length > clip, torch._foreach_mul(v, clip / length), v)
    elif clip is not None:
        along = sum((one * other).sum() for one, other in zip(direction, v, strict=True))
        across = torch._foreach_sub(v, torch._foreach_mul(direction, along))
        v = _where(too_long, torch._foreach_mul(across, clip / norm), v)
    length = _norm(v)
    h = epsilon / length.clamp_min(torch.finfo(length.dtype).tiny)  # of a v of zeros: no difference
    shift = torch._foreach_mul(v, h)
    ends = [
        torch.autograd.grad((end_loss or train_loss)(list(shifted), alpha), [alpha])[0]
        for shifted in (torch._foreach_add(w, shift), torch._foreach_sub(w, shift))
    ]
    return outer - rate * scale * (ends[0] - ends[1]) / (2 * h), loss.detach(), beside


def alpha_step(gradient: Tensor, alpha: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One step of `optimizer` on alpha with this gradient."""
    alpha.grad = gradient
    optimizer.step()


def weight_step(loss: Tensor, optimizer: torch.optim.Optimizer, clip: float) -> Tensor:
    """One step of `optimizer` down `loss`, its gradient clipped to norm `clip`; gives the norm that it had before."""
    parameters = optimizer.param_groups[0]["params"]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
        parameter.grad = gradient
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
    optimizer.step()
    return norm


def _norm(tensors: Weights) -> Tensor:
    """The length of all of them as one vector."""
    return torch.stack(torch._foreach_norm(tensors)).norm()


def _where(condition: Tensor, one: Sequence[Tensor], other: Weights) -> Weights:
    return [torch.where(condition, *pair) for pair in zip(one, other, strict=True)]
