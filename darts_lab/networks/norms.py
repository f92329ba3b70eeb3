"""Batch normalisation by the statistics of the whole batch, also where several processes share it (`ranks`)."""

from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab import ranks
from darts_lab.environment import holding

_twice: ContextVar[bool] = ContextVar("twice", default=False)


def differentiated_twice():
    """A context in which second derivatives of norms are cheap: PyTorch's are half of a Hessian-vector product."""
    return holding(_twice, True)


def batch_norm(
    x: Tensor, mean: Tensor | None = None, var: Tensor | None = None, scale: Tensor | None = None,
    shift: Tensor | None = None, training=False, momentum=0.1, epsilon=1e-5,
) -> Tensor:  # fmt: skip
    """As `F.batch_norm`: x (samples, channels, ...) normalised in training by its own statistics, of which the running
    `mean` and `var` are moved, else by those."""
    own = ranks.count() > 1 or (_twice.get() and x.device.type == "cpu")
    if not training or not own:
        return F.batch_norm(x, mean, var, scale, shift, training, momentum, epsilon)
    x, *moments, number = _Normed.apply(x, scale, shift, epsilon)
    if mean is not None and var is not None:
        with torch.no_grad():
            mean.lerp_(moments[0].to(mean.dtype), momentum)
            var.lerp_((moments[1] * number / (number - 1)).to(var.dtype), momentum)
    return x


def share_foreign(network: nn.Module) -> None:
    """Makes PyTorch's own batch-norms in `network`, of the user's operations, take the statistics of whole batches."""
    if ranks.count() == 1:
        return
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.forward = _Foreign(module)  # type: ignore[assignment, method-assign]


class _Foreign:
    """The forward pass of a batch-norm of PyTorch."""

    def __init__(self, module: nn.modules.batchnorm._BatchNorm):
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        module, mean, var = self.module, self.module.running_mean, self.module.running_var
        momentum, counted = module.momentum, module.training and module.track_running_stats
        if counted and module.num_batches_tracked is not None:
            module.num_batches_tracked.add_(1)
            momentum = 1 / float(module.num_batches_tracked) if momentum is None else momentum
        training = module.training or mean is None
        running = (mean, var) if counted or not training else (None, None)
        return batch_norm(x, *running, module.weight, module.bias, training, momentum or 0.0, module.eps)


class _Normed(torch.autograd.Function):
    """(x normalised, scaled and shifted; mean, variance, number of values a channel) over all ranks, of which only the
    first has derivatives, the first two."""

    @staticmethod
    def forward(ctx, x, scale, shift, epsilon: float):
        mean, var, number = _moments(x)
        ctx.save_for_backward(x, scale, mean, var, number)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, var, number)
        return F.batch_norm(x, mean, var, scale, shift, False, 0.0, epsilon), mean, var, number

    @staticmethod
    def backward(ctx, gradient, *_):
        gradients = _Gradients.apply(gradient, *ctx.saved_tensors, ctx.epsilon)
        return *(one if needed else None for one, needed in zip(gradients, ctx.needs_input_grad)), None


class _Gradients(torch.autograd.Function):
    """The gradients of x, scale and shift for the gradient g of what a norm gives.

    With x' for x normalised, r = 1 / sqrt(var + epsilon), means over all ranks, and the projection

        P g = g - mean(g) - x' mean(x' g),

    they are scale r P g, and the sums of x' g and of g over own samples. P is symmetric, and d x' = r P dx, so the
    derivative of the sum of u (r P g) by x is

        - r^2 (mean(u P g) x' + P(mean(x' g) u + mean(x' u) g)).
    """

    @staticmethod
    def forward(ctx, g, x, scale, mean, var, number, epsilon: float):
        own = _sums(g, x, mean, var, epsilon)
        ctx.save_for_backward(g, x, scale, mean, var, number, own)
        ctx.epsilon = epsilon
        factor = _factor(scale, var, epsilon)
        along, average = ranks.total(own) / number
        of_x = F.batch_norm(x, mean, var, -factor * along, -factor * average, False, 0.0, epsilon)
        return _added(of_x, factor, g), *own

    @staticmethod
    def backward(ctx, u, of_scale, of_shift):
        if torch.is_grad_enabled():  # `once_differentiable` would let `grad` go round it, and be wrong
            raise RuntimeError("batch_norm: no third derivative of this form; PyTorch's own has one")
        g, x, scale, mean, var, number, own_g = ctx.saved_tensors
        own_u = _sums(u, x, mean, var, ctx.epsilon)
        own_ug = (u * g).sum([0, *range(2, x.dim())])
        own = torch.cat([own_u, own_g, of_scale * own_g, own_ug[None]])
        x_u, mean_u, x_g, mean_g, x_h, mean_h, ug = ranks.total(own) / number  # h = of_scale g
        root, factor = _factor(None, var, ctx.epsilon), _factor(scale, var, ctx.epsilon)
        bend = factor * root
        of_g = F.batch_norm(x, mean, var, of_scale - factor * x_u, of_shift - factor * mean_u, False, 0.0, ctx.epsilon)
        along = bend * (3 * x_u * x_g + mean_u * mean_g - ug) - root * x_h
        level = bend * (x_g * mean_u + x_u * mean_g) - root * mean_h
        of_x = F.batch_norm(x, mean, var, along, level, False, 0.0, ctx.epsilon)
        _added(_added(of_x, -bend * x_g, u), root * of_scale - bend * x_u, g)
        of_scale = None if scale is None else root * (own_ug - x_g * own_u[0] - mean_g * own_u[1])
        return _added(of_g, factor, u), of_x, of_scale, None, None, None, None


def _sums(g: Tensor, x: Tensor, mean: Tensor, var: Tensor, epsilon: float) -> Tensor:
    """The sums of g times x normalised, and of g, over own samples: (2, channels)."""
    if not x.numel():  # no sample is this rank's; PyTorch's kernel would end the process
        return mean.new_zeros(2, len(mean))
    _, *sums = torch.ops.aten.native_batch_norm_backward(
        g, x, None, mean, var, None, None, False, epsilon, [False, True, True]
    )
    return torch.stack(sums)


def _factor(scale: Tensor | None, var: Tensor, epsilon: float) -> Tensor:
    return (var + epsilon).rsqrt() * (1 if scale is None else scale)


def _added(to: Tensor, factor: Tensor, x: Tensor) -> Tensor:
    """`to`, to which `factor` (channels,) times x has been added."""
    return to.addcmul_(x, factor.view((1, -1) + (1,) * (x.dim() - 2)).to(x.dtype))


@torch.no_grad()
def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(mean, variance (channels,), number of values a channel) over all ranks."""
    x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    own = x.numel() // x.shape[1]
    if not own:
        mean = var = x.new_zeros(x.shape[1])
    elif x.device.type == "cpu":
        mean, var = torch.batch_norm_update_stats(x, None, None, 0.0)
    else:
        var, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
    return _together(x.new_full((1,), own), mean, var * own)


def _together(own: Tensor, mean: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The moments of all ranks, of those of this one: number of values (1,), mean, sum of squared deviations from it
    (Chan, Golub and LeVeque 1983)."""
    numbers, means, squares = ranks.gathered(torch.cat([own, mean, squares])).split([1, len(mean), len(mean)], 1)
    number = numbers.sum()
    mean = (numbers * means).sum(0) / number
    return mean, (squares + numbers * (means - mean).square()).sum(0) / number, number
