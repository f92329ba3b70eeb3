"""Batch normalisation by the statistics of the whole batch, also where several processes share it (`ranks`)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab import ranks


def batch_norm(
    x: Tensor, mean: Tensor | None = None, var: Tensor | None = None, scale: Tensor | None = None,
    shift: Tensor | None = None, training=False, momentum=0.1, epsilon=1e-5,
) -> Tensor:  # fmt: skip
    """As `F.batch_norm`: x (samples, channels, ...) normalised in training by its own statistics, of which the running
    `mean` and `var` are moved, else by those."""
    if not training or ranks.count() == 1:
        return F.batch_norm(x, mean, var, scale, shift, training, momentum, epsilon)
    x, *moments, number = _Shared.apply(x, scale, shift, epsilon)
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


class _Shared(torch.autograd.Function):
    """(x normalised, scaled and shifted; mean, variance, number of values a channel) over all ranks, of which only the
    first has a derivative."""

    @staticmethod
    def forward(ctx, x, scale, shift, epsilon: float):
        mean, var, number = _moments(x)
        ctx.save_for_backward(x, scale, shift, mean, var, number)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, var, number)
        return F.batch_norm(x, mean, var, scale, shift, False, 0.0, epsilon), mean, var, number

    @staticmethod
    def backward(ctx, gradient, *_):
        x, scale, shift, mean, var, number = ctx.saved_tensors
        if torch.is_grad_enabled():  # it will be differentiated again, with the statistics
            inputs = [one for one, needed in zip((x, scale, shift), ctx.needs_input_grad) if needed]
            results = iter(
                torch.autograd.grad(_composed(x, scale, shift, ctx.epsilon), inputs, gradient, create_graph=True)
            )
            return *(next(results) if needed else None for needed in ctx.needs_input_grad[:3]), None
        if x.numel():
            _, of_scale, of_shift = torch.ops.aten.native_batch_norm_backward(
                gradient, x, scale, mean, var, None, None, False, ctx.epsilon, [False, True, True]
            )
        else:  # no sample is this rank's; PyTorch's kernel would end the process
            of_scale, of_shift = torch.zeros_like(mean), torch.zeros_like(mean)
        of_x = None
        if ctx.needs_input_grad[0]:
            # factor * (gradient - (its sum over the batch + normalised x * the sum of its product with that) / number)
            summed, along = ranks.total(torch.stack([of_shift, of_scale])) / number
            factor = (var + ctx.epsilon).rsqrt() * (1 if scale is None else scale)
            of_x = F.batch_norm(x, mean, var, -factor * along, -factor * summed, False, 0.0, ctx.epsilon)
            of_x.addcmul_(gradient, factor.view((1, -1) + (1,) * (x.dim() - 2)).to(x.dtype))
        needed = ctx.needs_input_grad
        return of_x, of_scale if needed[1] else None, of_shift if needed[2] else None, None


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
    return _together(x.new_tensor([own]), mean, var * own)


def _together(own: Tensor, mean: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The moments of all ranks, of those of this one: number of values (1,), mean, sum of squared deviations from it
    (Chan, Golub and LeVeque 1983)."""
    numbers, means, squares = ranks.gathered(torch.cat([own, mean, squares])).split([1, len(mean), len(mean)], 1)
    number = numbers.sum()
    mean = (numbers * means).sum(0) / number
    return mean, (squares + numbers * (means - mean).square()).sum(0) / number, number


def _composed(x: Tensor, scale: Tensor | None, shift: Tensor | None, epsilon: float) -> Tensor:
    """The same of operations that can be differentiated any number of times."""
    dims, shape = [0, *range(2, x.dim())], (1, -1) + (1,) * (x.dim() - 2)
    own = x.numel() // x.shape[1]
    mean = x.sum(dims) / max(own, 1)
    squares = (x - mean.view(shape)).square().sum(dims)
    mean, var, _ = _together(x.new_tensor([own]), mean, squares)
    mean, var = ranks.spread(mean, var)
    x = (x - mean.view(shape)) * (var + epsilon).rsqrt().view(shape)
    if scale is not None:
        x = x * scale.view(shape)
    return x if shift is None else x + shift.view(shape)
