"""Separable convolutions of many edges at once: depthwise, then pointwise, with nothing in between.

Networks of DARTS spend most of their time here, and on a CPU most of that is lost in forms of the call for which there
is no fast kernel. So this is a function with its own derivatives, which gives every pass in a form that has one (PyTorch
2.15, oneDNN 3.13, AVX2; benchmarks/README.md):

- a *dilated* convolution is an ordinary one on every d-th pixel: at a stride of d on a quarter of the image, else on
  its d * d phases, laid one after the other into the batch;
- the *gradient of a depthwise kernel* is fast for kernels of up to three columns: wider ones are cut into strips;
- an image *smaller than the kernel* is surrounded by zeros beforehand;
- a *pointwise* convolution of few pixels is a product of matrices.

What lies between the two convolutions is not kept for the backward pass but computed again: it halves the memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

STRIP = 3  # columns of a kernel whose gradient is fast
SMALL = 16  # pixels on a side; from here on it takes longer to surround an image with zeros than the strips save
FEW_PIXELS = 2048  # of the whole batch; up to here a product of matrices is faster than a call of a convolution


def separable_convolution(
    inputs: Sequence[Tensor], depthwise: Tensor, pointwise: Tensor, stride: int = 1, dilation: int = 1
) -> Tensor:
    """`copies` separable convolutions side by side: (batch, copies * channels, height / stride, width / stride).

    `depthwise` (copies, channels, 1, k, k) with odd k, `pointwise` (copies, channels, channels, 1, 1). `inputs` are
    either one (batch, copies * channels, height, width) with the channels of every copy, or some (batch, channels,
    height, width), of which the first is read by the first copies / len(inputs) copies, and so on. Zeros surround the
    image. Differentiable as often as you like, forward and backward.
    """
    d, size = dilation, inputs[0].shape[2:]
    if d > 1 and size[0] % d == size[1] % d == 0:
        if stride == d:
            return separable_convolution([x[:, :, ::d, ::d] for x in inputs], depthwise, pointwise)
        if stride == 1 and _on_cpu(depthwise):
            return from_phases(separable_convolution([to_phases(x, d) for x in inputs], depthwise, pointwise), d)
    beyond = depthwise.shape[-1] // 2 - (max(size) - 1) // d
    if beyond > 0:  # these entries of the kernel never meet anything but the zeros
        depthwise = depthwise[..., beyond:-beyond, beyond:-beyond]
    if torch.compiler.is_compiling():  # the compiler decides by itself what to keep
        return _Separable.forward(depthwise, pointwise, stride, dilation, *inputs)
    kind = depthwise.device.type
    if torch.is_autocast_enabled(kind):  # cast here, since the backward pass knows nothing of autocast
        depthwise, pointwise, *inputs = (x.to(torch.get_autocast_dtype(kind)) for x in (depthwise, pointwise, *inputs))
        with torch.autocast(kind, enabled=False):
            return _Separable.apply(depthwise, pointwise, stride, dilation, *inputs)
    return _Separable.apply(depthwise, pointwise, stride, dilation, *inputs)


def _on_cpu(x: Tensor) -> bool:
    """Whether the forms that are fast on a CPU are to be taken."""
    return x.device.type == "cpu"


def to_phases(x: Tensor, d: int) -> Tensor:
    """(batch, channels, d * h, d * w) as (d * d * batch, channels, h, w): pixel (i, j) goes to phase (i % d, j % d)."""
    batch, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, height // d, d, width // d, d, channels)
    return x.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // d, width // d, channels).permute(0, 3, 1, 2)


def from_phases(x: Tensor, d: int) -> Tensor:
    """The inverse of `to_phases`."""
    _, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(d, d, -1, height, width, channels)
    return x.permute(2, 3, 0, 4, 1, 5).reshape(-1, d * height, d * width, channels).permute(0, 3, 1, 2)


class _Separable(torch.autograd.Function):
    """`separable_convolution`, keeping its arguments only."""

    generate_vmap_rule = True

    @staticmethod
    def forward(depthwise, pointwise, stride, dilation, *inputs):
        return _pointwise(_depthwise(_spread(inputs, depthwise), depthwise, stride, dilation), pointwise)

    @staticmethod
    def setup_context(ctx, arguments, output):
        depthwise, pointwise, ctx.stride, ctx.dilation, *inputs = arguments
        ctx.save_for_backward(depthwise, pointwise, *inputs)
        ctx.save_for_forward(depthwise, pointwise, *inputs)

    @staticmethod
    def backward(ctx, gradient):
        depthwise, pointwise, *inputs = ctx.saved_tensors
        needs_kernels, needs_inputs = any(ctx.needs_input_grad[:2]), any(ctx.needs_input_grad[4:])
        of_depthwise = of_pointwise = None
        of_inputs = [None] * len(inputs)
        of_between = _pointwise(gradient, pointwise.transpose(1, 2))
        if needs_kernels:
            x = _spread(inputs, depthwise)
            of_pointwise = _pointwise_kernel_gradient(
                _depthwise(x, depthwise, ctx.stride, ctx.dilation), gradient, pointwise
            )
            of_depthwise = _depthwise_kernel_gradient(x, of_between, depthwise, ctx.stride, ctx.dilation)
        if needs_inputs:
            of_x = _depthwise_input_gradient(of_between, inputs[0].shape, depthwise, ctx.stride, ctx.dilation)
            of_inputs = [_collect(part, inputs[0].shape[1]) for part in of_x.chunk(len(inputs), 1)]
        return of_depthwise, of_pointwise, None, None, *of_inputs

    @staticmethod
    def jvp(ctx, of_depthwise, of_pointwise, _, __, *of_inputs):
        depthwise, pointwise, *inputs = ctx.saved_tensors
        value = lambda *changed: _Separable.forward(*changed)  # noqa: E731
        parts = []
        if of_depthwise is not None:
            parts.append(value(of_depthwise, pointwise, ctx.stride, ctx.dilation, *inputs))
        if of_pointwise is not None:
            parts.append(value(depthwise, of_pointwise, ctx.stride, ctx.dilation, *inputs))
        if any(of_x is not None for of_x in of_inputs):
            moved = [torch.zeros_like(x) if of_x is None else of_x for x, of_x in zip(inputs, of_inputs, strict=True)]
            parts.append(value(depthwise, pointwise, ctx.stride, ctx.dilation, *moved))
        return sum(parts)


# PyTorch asks for it at every call, and finding it out anew would take longer than a small convolution.
_Separable.forward.__signature__ = inspect.signature(_Separable.forward)


def _spread(inputs: Sequence[Tensor], depthwise: Tensor) -> Tensor:
    """Each input as often as there are copies that read it: (batch, copies * channels, height, width)."""
    copies, channels = depthwise.shape[:2]
    times = copies * channels // sum(x.shape[1] for x in inputs)
    parts = [x for x in inputs for _ in range(times)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _collect(x: Tensor, channels: int) -> Tensor:
    """The sum of all (batch, `channels`, height, width) side by side in x: the transpose of `_spread`."""
    if x.shape[1] == channels:
        return x
    return x.permute(0, 2, 3, 1).unflatten(-1, (-1, channels)).sum(3).permute(0, 3, 1, 2)  # channels last in memory


# ---------------------------------------------------------------- depthwise


def _frame(size, kernel: Tensor, dilation: int) -> tuple[int, int]:
    """(zeros put around the image beforehand, zeros left to the convolution)."""
    padding = dilation * (kernel.shape[-1] // 2)
    small = _on_cpu(kernel) and dilation == 1 and min(size[-2:]) < kernel.shape[-1]
    return (padding, 0) if small else (0, padding)


def _depthwise(x: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
    before, padding = _frame(x.shape, kernel, dilation)
    if before:
        x = F.pad(x, [before] * 4)
    return F.conv2d(x, kernel.flatten(0, 1), None, stride, padding, dilation, x.shape[1])


def _depthwise_input_gradient(gradient: Tensor, shape, kernel: Tensor, stride: int, dilation: int) -> Tensor:
    before, padding = _frame(shape, kernel, dilation)
    height, width = (side + 2 * before for side in shape[2:])
    x = torch.empty(  # only its shape counts
        (shape[0], gradient.shape[1], height, width), dtype=gradient.dtype, device=gradient.device,
        memory_format=torch.channels_last,
    )  # fmt: skip
    of_x = _gradients(gradient, x, kernel.flatten(0, 1), stride, padding, dilation, (True, False))[0]
    return of_x[:, :, before : height - before, before : width - before] if before else of_x


def _depthwise_kernel_gradient(x: Tensor, gradient: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
    size, flat = kernel.shape[-1], kernel.flatten(0, 1)
    before, padding = _frame(x.shape, kernel, dilation)
    wide = _on_cpu(x) and dilation == 1 and size > STRIP and min(x.shape[2:]) < SMALL
    if not (before or wide):
        return _gradients(gradient, x, flat, stride, padding, dilation, (False, True))[1].view_as(kernel)
    half, strips = size // 2, []
    for first in range(0, size, STRIP):
        columns = min(STRIP, size - first)
        window = F.pad(x, (half - first, first + columns - 1 - half, half, half))  # what this strip of the kernel sees
        strips.append(_gradients(gradient, window, flat[..., first : first + columns], stride, 0, 1, (False, True))[1])
    return torch.cat(strips, 3).view_as(kernel)


def _gradients(gradient, x, kernel, stride: int, padding: int, dilation: int, which: tuple[bool, bool]):
    """The gradients of x and of the kernel of a depthwise convolution, each None unless asked for in `which`."""
    more = [stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], len(kernel), [*which, False]
    return torch.ops.aten.convolution_backward(gradient, x, kernel, None, *more)[:2]


# ---------------------------------------------------------------- pointwise


def _as_matrices(x: Tensor, kernel: Tensor) -> bool:
    copies, channels = kernel.shape[:2]
    return _on_cpu(x) and channels > 8 and (copies == 1 or x.shape[0] * x.shape[2] * x.shape[3] <= FEW_PIXELS)


def _matrices(x: Tensor, copies: int) -> Tensor:
    """(batch, copies * channels, height, width) as (copies, pixels, channels), a view where channels are last."""
    return x.permute(0, 2, 3, 1).reshape(-1, copies, x.shape[1] // copies).transpose(0, 1)


def _pointwise(x: Tensor, kernel: Tensor) -> Tensor:
    if not _as_matrices(x, kernel):
        return F.conv2d(x, kernel.flatten(0, 1), groups=len(kernel))
    batch, _, height, width = x.shape
    x = _matrices(x, len(kernel)) @ kernel[..., 0, 0].transpose(1, 2)
    return x.transpose(0, 1).reshape(batch, height, width, -1).permute(0, 3, 1, 2)


def _pointwise_kernel_gradient(x: Tensor, gradient: Tensor, kernel: Tensor) -> Tensor:
    if not _as_matrices(x, kernel):
        more = [1, 1], [0, 0], [1, 1], False, [0, 0], len(kernel), [False, True, False]
        return torch.ops.aten.convolution_backward(gradient, x, kernel.flatten(0, 1), None, *more)[1].view_as(kernel)
    copies = len(kernel)
    return (_matrices(gradient, copies).transpose(1, 2) @ _matrices(x, copies))[..., None, None]
