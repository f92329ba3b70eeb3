"""Separable convolutions of many edges at once: depthwise, then pointwise, with nothing in between.

Networks of DARTS spend most of their time here. So every pass, derivatives too, has a form with a fast kernel on a CPU
(PyTorch 2.15, oneDNN 3.13, AVX2; benchmarks/README.md):

- a *dilated* convolution is an ordinary one on every d-th pixel: at a stride of d on a quarter of the image, else on
  its d * d phases, one after the other in the batch;
- the *gradient of a depthwise kernel* is fast for kernels of up to three columns: wider ones are cut into strips;
- an image *smaller than the kernel* is padded with zeros beforehand.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

STRIP = 3  # columns of a kernel whose gradient is fast
SMALL = 16  # pixels on a side; from here on padding an image takes longer than the strips save


def separable_convolution(
    inputs: Sequence[Tensor], depthwise: Tensor, pointwise: Tensor, stride: int = 1, dilation: int = 1
) -> Tensor:
    """`copies` separable convolutions side by side: (batch, copies * channels, height / stride, width / stride).

    `depthwise` (copies, channels, 1, k, k) with odd k, `pointwise` (copies, channels, channels, 1, 1). `inputs` are
    one (batch, copies * channels, height, width), or several (batch, channels, height, width): the first for the first
    copies / len(inputs) copies, and so on. Zeros pad images. Differentiable any number of times, forward and backward.
    """
    d, size = dilation, inputs[0].shape[2:]
    if d > 1 and size[0] % d == size[1] % d == 0:
        if stride == d:
            return separable_convolution([x[:, :, ::d, ::d] for x in inputs], depthwise, pointwise)
        if stride == 1 and depthwise.device.type == "cpu":
            return from_phases(separable_convolution([to_phases(x, d) for x in inputs], depthwise, pointwise), d)
    unused = depthwise.shape[-1] // 2 - (max(size) - 1) // d
    if unused > 0:  # these entries of the kernel only ever multiply padding
        depthwise = depthwise[..., unused:-unused, unused:-unused]
    # With one copy there is nothing to gain, except for a Hessian, in which kernels need no gradient.
    plain = len(depthwise) == 1 and not _in_strips(size, depthwise, d) and depthwise.requires_grad
    if plain or torch.compiler.is_compiling():  # a compiler decides by itself what to keep
        return _Separable.forward(depthwise, pointwise, stride, dilation, *inputs)
    kind = depthwise.device.type
    if torch.is_autocast_enabled(kind):  # cast here, since the backward pass knows nothing of autocast
        depthwise, pointwise, *inputs = (x.to(torch.get_autocast_dtype(kind)) for x in (depthwise, pointwise, *inputs))
        with torch.autocast(kind, enabled=False):
            return _Separable.apply(depthwise, pointwise, stride, dilation, *inputs)
    return _Separable.apply(depthwise, pointwise, stride, dilation, *inputs)


def to_phases(x: Tensor, d: int) -> Tensor:
    """(batch, channels, d * h, d * w) as (d * d * batch, channels, h, w): pixel (i, j) goes to phase (i % d, j % d)."""
    batch, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, height // d, d, width // d, d, channels)
    x = x.permute(2, 4, 0, 1, 3, 5).reshape(d * d * batch, height // d, width // d, channels)
    return x.permute(0, 3, 1, 2)


def from_phases(x: Tensor, d: int) -> Tensor:
    """The inverse of `to_phases`."""
    phases, channels, height, width = x.shape
    batch = phases // (d * d)
    x = x.permute(0, 2, 3, 1).reshape(d, d, batch, height, width, channels)
    return x.permute(2, 3, 0, 4, 1, 5).reshape(batch, d * height, d * width, channels).permute(0, 3, 1, 2)


class _Separable(torch.autograd.Function):
    """`separable_convolution`, which computes what lies between the two again in the backward pass, to save memory."""

    generate_vmap_rule = True

    @staticmethod
    def forward(depthwise, pointwise, stride, dilation, *inputs):
        between = _depthwise(_spread(inputs, depthwise), depthwise, stride, dilation)
        return F.conv2d(between, pointwise.flatten(0, 1), groups=len(pointwise))

    @staticmethod
    def setup_context(ctx, arguments, output):
        depthwise, pointwise, ctx.stride, ctx.dilation, *inputs = arguments
        ctx.save_for_backward(depthwise, pointwise, *inputs)
        ctx.save_for_forward(depthwise, pointwise, *inputs)

    @staticmethod
    def backward(ctx, gradient):
        depthwise, pointwise, *inputs = ctx.saved_tensors
        needs_kernels, needs_inputs = any(ctx.needs_input_grad[:2]), any(ctx.needs_input_grad[4:])
        x, between = None, gradient.detach()  # where the kernels need no gradient, only the shape of these counts
        if needs_kernels:
            x = _spread(inputs, depthwise)
            between = _depthwise(x, depthwise, ctx.stride, ctx.dilation)
        needed, kernel = (True, needs_kernels), pointwise.flatten(0, 1)
        of_between, of_pointwise = _gradients(gradient, between, kernel, 1, 0, 1, len(pointwise), needed)
        size, geometry = inputs[0].shape[2:], (ctx.stride, ctx.dilation)
        of_x, of_depthwise = _depthwise_gradients(of_between, x, size, depthwise, *geometry, needs_inputs)
        of_inputs = [None] * len(inputs)
        if needs_inputs:
            of_inputs = [_collect(part, inputs[0].shape[1]) for part in of_x.chunk(len(inputs), 1)]
        if needs_kernels:
            of_depthwise, of_pointwise = of_depthwise.view_as(depthwise), of_pointwise.view_as(pointwise)
        return of_depthwise, of_pointwise, None, None, *of_inputs

    @staticmethod
    def jvp(ctx, of_depthwise, of_pointwise, _, __, *of_inputs):
        depthwise, pointwise, *inputs = ctx.saved_tensors
        geometry, parts = (ctx.stride, ctx.dilation), []
        if of_depthwise is not None:
            parts.append(_Separable.forward(of_depthwise, pointwise, *geometry, *inputs))
        if of_pointwise is not None:
            parts.append(_Separable.forward(depthwise, of_pointwise, *geometry, *inputs))
        if any(of_x is not None for of_x in of_inputs):
            moved = [torch.zeros_like(x) if of_x is None else of_x for x, of_x in zip(inputs, of_inputs, strict=True)]
            parts.append(_Separable.forward(depthwise, pointwise, *geometry, *moved))
        return sum(parts)


# PyTorch asks for it at every call; to compute it takes longer than a small convolution.
_Separable.forward.__signature__ = inspect.signature(_Separable.forward)  # type: ignore[attr-defined]


def _spread(inputs: Sequence[Tensor], depthwise: Tensor) -> Tensor:
    """Each input repeated for its copies: (batch, copies * channels, height, width)."""
    copies, channels = depthwise.shape[:2]
    times = copies * channels // sum(x.shape[1] for x in inputs)
    parts = [x for x in inputs for _ in range(times)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _collect(x: Tensor, channels: int) -> Tensor:
    """The sum of all (batch, `channels`, height, width) side by side in x: the transpose of `_spread`."""
    first, *others = x.split(channels, 1)
    return sum(others, first)  # faster than PyTorch's sum over a dimension in the middle


def _depthwise(x: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
    before, padding = _frame(x.shape[2:], kernel, dilation)
    if before:
        x = F.pad(x, [before] * 4)
    return F.conv2d(x, kernel.flatten(0, 1), None, stride, padding, dilation, x.shape[1])


def _frame(size: Sequence[int], kernel: Tensor, dilation: int) -> tuple[int, int]:
    """(padding of the image beforehand, padding by the convolution)."""
    padding = dilation * (kernel.shape[-1] // 2)
    small = kernel.device.type == "cpu" and dilation == 1 and min(size) < kernel.shape[-1]
    return (padding, 0) if small else (0, padding)


def _in_strips(size: Sequence[int], kernel: Tensor, dilation: int) -> bool:
    """Whether the gradient of the kernel is computed strip by strip."""
    wide = kernel.shape[-1] > STRIP and min(size) < SMALL
    return kernel.device.type == "cpu" and dilation == 1 and (wide or min(size) < kernel.shape[-1])


def _depthwise_gradients(gradient, x: Tensor | None, size, kernel: Tensor, stride: int, dilation: int, needs_x: bool):
    """The gradients of x, of height and width `size`, if needed, and of the kernel, if x is given."""
    flat, (before, padding) = kernel.flatten(0, 1), _frame(size, kernel, dilation)
    groups = len(flat)
    if not _in_strips(size, kernel, dilation):
        needed, x = (needs_x, x is not None), _empty((len(gradient), groups, *size), gradient) if x is None else x
        return _gradients(gradient, x, flat, stride, padding, dilation, groups, needed)
    of_x = of_kernel = None
    if needs_x:
        height, width = (side + 2 * before for side in size)
        framed = _empty((len(gradient), groups, height, width), gradient)
        of_x, _ = _gradients(gradient, framed, flat, stride, padding, 1, groups, (True, False))
        of_x = of_x[:, :, before : height - before, before : width - before]
    if x is not None:
        half, strips = kernel.shape[-1] // 2, []
        for first in range(0, kernel.shape[-1], STRIP):
            strip = flat[..., first : first + STRIP]
            window = F.pad(x, (half - first, first + strip.shape[-1] - 1 - half, half, half))  # the input of the strip
            strips.append(_gradients(gradient, window, strip, stride, 0, 1, groups, (False, True))[1])
        of_kernel = torch.cat(strips, 3)
    return of_x, of_kernel


def _empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """A tensor of which only the shape counts."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


@dataclass(frozen=True)
class _Geometry:
    """The last arguments of PyTorch's convolution, and the shapes of its input and kernel."""

    arguments: tuple
    x: tuple[int, ...]
    kernel: tuple[int, ...]


def _gradients(gradient, x, kernel, stride: int, padding: int, dilation: int, groups: int, needed: tuple[bool, bool]):
    """The gradients of x and of the kernel of a convolution, each None unless `needed`."""
    arguments = [stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups
    if not torch.is_grad_enabled():
        return torch.ops.aten.convolution_backward(gradient, x, kernel, None, *arguments, [*needed, False])[:2]
    geometry = _Geometry(arguments, tuple(x.shape), tuple(kernel.shape))
    of_x = _Derivative.apply("x", geometry, kernel, gradient) if needed[0] else None
    of_kernel = _Derivative.apply("kernel", geometry, x, gradient) if needed[1] else None
    return of_x, of_kernel


class _Derivative(torch.autograd.Function):
    """The derivative of s = <convolution of x with kernel, gradient> with respect to one of the three.

    s is linear in each, so a derivative of a derivative is one again, with another tensor in the place of the first:
    every order. (PyTorch's own second derivative of a grouped convolution loops over its groups, and always computes
    that of the kernel: half the time of a Hessian-vector product.)
    """

    generate_vmap_rule = True
    NAMES = ("x", "kernel", "gradient")

    @staticmethod
    def forward(variable, geometry, *others):
        tensors = dict(zip((name for name in _Derivative.NAMES if name != variable), others, strict=True))
        if variable == "gradient":
            return torch.ops.aten.convolution(tensors["x"], tensors["kernel"], None, *geometry.arguments)
        tensors[variable] = _empty(getattr(geometry, variable), tensors["gradient"])
        needed = [variable == "x", variable == "kernel", False]
        inputs = tensors["gradient"], tensors["x"], tensors["kernel"], None
        return torch.ops.aten.convolution_backward(*inputs, *geometry.arguments, needed)[needed.index(True)]

    @staticmethod
    def setup_context(ctx, arguments, output):
        ctx.variable, ctx.geometry, *others = arguments
        ctx.save_for_backward(*others)
        ctx.save_for_forward(*others)

    @staticmethod
    def backward(ctx, change):
        names = [name for name in _Derivative.NAMES if name != ctx.variable]
        tensors = dict(zip(names, ctx.saved_tensors, strict=True)) | {ctx.variable: change}
        derivatives = []
        for name, needed in zip(names, ctx.needs_input_grad[2:], strict=True):
            others = (tensors[other] for other in _Derivative.NAMES if other != name)
            derivatives.append(_Derivative.apply(name, ctx.geometry, *others) if needed else None)
        return None, None, *derivatives

    @staticmethod
    def jvp(ctx, _, __, *changes):
        first, second = ctx.saved_tensors
        parts = [] if changes[0] is None else [(changes[0], second)]
        parts += [] if changes[1] is None else [(first, changes[1])]
        return sum(_Derivative.apply(ctx.variable, ctx.geometry, *part) for part in parts)


_Derivative.forward.__signature__ = inspect.signature(_Derivative.forward)  # type: ignore[attr-defined]
