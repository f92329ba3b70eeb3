"""Candidate operations, stacked: all copies of one kind that leave one state of a cell are one module.

An edge-by-edge supernet calls every operation of every edge by itself. But the edges that leave a state all see the
same tensor, so its ReLU, its pools and the state itself are computed once, the convolutions of one kind become one
convolution with more output channels (their second stages one grouped convolution), and a depthwise convolution
followed by a pointwise one with nothing in between is one dense convolution whose kernel is the product of the two.
The mixing weight of a convolution is the scale of the batch-norm that closes it. The mathematics is that of Liu et
al. 2019 (quark0/darts), edge by edge; `tests/reference/` holds it against the textbook form.

Every stacked operation is a module `op(x, relu, weights, active, generator)`:
    x         (batch, channels, height, width): the state, and `relu` the same after a ReLU;
    weights   (active copies,) mixing weights, or None for 1;
    active    indices of the copies that take part, or None for all;
    generator the source of randomness, used by `noise` alone;
it returns (batch, active copies * channels, height / stride, width / stride), copy by copy. `op.copy(i)` gives the
tensors of copy i under the names they have in quark0/darts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab.spaces import AVG, DIL3, DIL5, MAX, NOISE, SEP3, SEP5, SKIP

MOMENTUM, EPSILON = 0.1, 1e-5  # of every batch-norm, PyTorch's own defaults


def weight(*shape: int, fan_in: int, generator: torch.Generator) -> nn.Parameter:
    """A parameter drawn uniformly from +-1/sqrt(fan_in): what PyTorch's convolutions and linear layers begin with."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))


class BatchNorm(nn.Module):
    """Batch normalisation of `copies` stacked groups of `channels` channels.

    With `affine=False`, as in search, the scale is the mixing weight of each group, for which d/d alpha then comes
    from the norm's own backward pass. `update` decides whether a training pass moves the running statistics.
    """

    def __init__(self, channels: int, affine: bool, copies: int = 1):
        super().__init__()
        self.channels, self.copies, self.update = channels, copies, True
        self.register_buffer("running_mean", torch.zeros(copies * channels))
        self.register_buffer("running_var", torch.ones(copies * channels))
        self.scale = nn.Parameter(torch.ones(copies * channels)) if affine else None
        self.shift = nn.Parameter(torch.zeros(copies * channels)) if affine else None

    def forward(self, x: Tensor, weights: Tensor | None = None, active: list[int] | None = None) -> Tensor:
        scale, shift, mean, var = self.scale, self.shift, self.running_mean, self.running_var
        if active is not None:
            scale, shift, mean, var = (self._of(active, whole) for whole in (scale, shift, mean, var))
        if weights is not None:  # (copies,) -> (copies * channels,)
            # contiguous, for the kernels of torch 2.14 read a scale of stride 0 past its end
            spread = weights.to(x.dtype)[:, None].expand(-1, self.channels).contiguous().view(-1)
            scale = spread if scale is None else scale * spread
            shift = None if shift is None else shift * spread
        if self.training and not self.update:
            mean = var = None
        x = F.batch_norm(x, mean, var, scale, shift, self.training, MOMENTUM, EPSILON)
        if active is not None and self.training and self.update:  # `mean` and `var` were copies
            self.running_mean.view(self.copies, -1)[active] = mean.view(len(active), -1)
            self.running_var.view(self.copies, -1)[active] = var.view(len(active), -1)
        return x

    def _of(self, active: list[int], whole: Tensor | None) -> Tensor | None:
        return None if whole is None else whole.view(self.copies, -1)[active].flatten()

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        own = slice(index * self.channels, (index + 1) * self.channels)
        if self.scale is not None:
            yield "weight", self.scale[own]
            yield "bias", self.shift[own]
        yield "running_mean", self.running_mean[own]
        yield "running_var", self.running_var[own]


def prefixed(prefix: str, names: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    return ((f"{prefix}.{name}", tensor) for name, tensor in names)


class _Separable(nn.Module):
    """Depthwise then pointwise convolution of `copies` edges, as one dense convolution; then batch-norm."""

    def __init__(self, channels, kernel, stride, dilation, copies, affine, generator, shared):
        super().__init__()
        self.stride, self.dilation, self.shared = stride, dilation, shared
        self.padding = dilation * (kernel - 1) // 2
        self.depthwise = weight(copies, channels, 1, kernel, kernel, fan_in=kernel**2, generator=generator)
        self.pointwise = weight(copies, channels, channels, 1, 1, fan_in=channels, generator=generator)
        self.norm = BatchNorm(channels, affine, copies)

    def forward(self, x: Tensor, weights: Tensor | None = None, active: list[int] | None = None) -> Tensor:
        """`x` is one state for all copies (`shared`) or holds the channels of every copy."""
        depthwise, pointwise = _select(self.depthwise, active), _select(self.pointwise, active)
        kernel = pointwise * depthwise.transpose(1, 2)  # (copies, out, in, kernel, kernel)
        groups = 1 if self.shared else len(kernel)
        x = F.conv2d(x, kernel.flatten(0, 1), None, self.stride, self.padding, self.dilation, groups)
        return self.norm(x, weights, active)


class Convolution(nn.Module):
    """`sep_conv_*` (twice ReLU, depthwise, pointwise, batch-norm) or `dil_conv_*` (once, dilation 2)."""

    def __init__(self, channels, stride, copies, affine, generator, kernel, dilated):
        super().__init__()
        stage = lambda stride, shared: _Separable(  # noqa: E731
            channels, kernel, stride, 2 if dilated else 1, copies, affine, generator, shared
        )
        self.stages = nn.ModuleList([stage(stride, True)] if dilated else [stage(stride, True), stage(1, False)])

    def forward(self, x, relu, weights=None, active=None, generator=None):
        for stage in self.stages[:-1]:
            relu = stage(relu, None, active).relu()
        return self.stages[-1](relu, weights, active)

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        for number, stage in enumerate(self.stages):
            yield f"op.{4 * number + 1}.weight", stage.depthwise[index]
            yield f"op.{4 * number + 2}.weight", stage.pointwise[index]
            yield from prefixed(f"op.{4 * number + 3}", stage.norm.copy(index))


class Identity(nn.Module):
    """`skip_connect` where the stride is 1."""

    def __init__(self, copies: int):
        super().__init__()
        self.copies = copies

    def forward(self, x, relu, weights=None, active=None, generator=None):
        return _weighted(x, weights, len(active or range(self.copies)))

    def copy(self, index: int):
        return iter(())


class FactorizedReduce(nn.Module):
    """`skip_connect` where the stride is 2: half the channels see the even pixels, the other half the odd ones.

    Two 1 x 1 convolutions with stride 2, the second shifted by one pixel, written as one 2 x 2 convolution.
    """

    def __init__(self, channels_in, channels, copies, affine, generator):
        super().__init__()
        half = channels // 2
        self.even = weight(copies, half, channels_in, 1, 1, fan_in=channels_in, generator=generator)
        self.odd = weight(copies, channels - half, channels_in, 1, 1, fan_in=channels_in, generator=generator)
        self.norm = BatchNorm(channels, affine, copies)

    def forward(self, x, relu, weights=None, active=None, generator=None):
        corners = F.pad(_select(self.even, active), (0, 1, 0, 1)), F.pad(_select(self.odd, active), (1, 0, 1, 0))
        x = F.conv2d(relu, torch.cat(corners, 1).flatten(0, 1), stride=2)
        return self.norm(x, weights, active)

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        yield "conv_1.weight", self.even[index]
        yield "conv_2.weight", self.odd[index]
        yield from prefixed("bn", self.norm.copy(index))


class Pool(nn.Module):
    """`max_pool_3x3` or `avg_pool_3x3`, the same for all copies; in search followed by a batch-norm without scale."""

    def __init__(self, channels: int, stride: int, copies: int, normalised: bool, maximum: bool):
        super().__init__()
        self.stride, self.copies, self.maximum = stride, copies, maximum
        self.norm = BatchNorm(channels, affine=False) if normalised else None

    def forward(self, x, relu, weights=None, active=None, generator=None):
        if self.maximum:
            x = F.max_pool2d(x, 3, self.stride, 1)
        else:
            x = F.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)
        return _weighted(x if self.norm is None else self.norm(x), weights, len(active or range(self.copies)))

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        return iter(()) if self.norm is None else prefixed("1", self.norm.copy(0))


class Noise(nn.Module):
    """`noise` of S4: a fresh draw from N(0, 1) in place of the state, in training and in evaluation alike."""

    def __init__(self, stride: int, copies: int):
        super().__init__()
        self.stride, self.copies = stride, copies

    def forward(self, x, relu, weights=None, active=None, generator=None):
        batch, channels, height, width = x[:, :, :: self.stride, :: self.stride].shape
        copies = len(active or range(self.copies))
        shape = (batch, height, width, copies, channels)
        noise = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
        return _channels(noise if weights is None else noise * weights[:, None])

    def copy(self, index: int):
        return iter(())


class EdgeByEdge(nn.Module):
    """An operation of your own: one module for each copy."""

    def __init__(self, modules: list[nn.Module]):
        super().__init__()
        self.edges = nn.ModuleList(modules)

    def forward(self, x, relu, weights=None, active=None, generator=None):
        out = [self.edges[index](x) for index in active or range(len(self.edges))]
        if weights is not None:
            out = [part * scale for part, scale in zip(out, weights, strict=True)]
        return torch.cat(out, 1)

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        state = self.edges[index].state_dict(keep_vars=True)
        return ((name, tensor) for name, tensor in state.items() if not name.endswith("num_batches_tracked"))


def _select(stacked: Tensor, active: list[int] | None) -> Tensor:
    return stacked if active is None else stacked[active]


def _weighted(x: Tensor, weights: Tensor | None, copies: int) -> Tensor:
    """`copies` copies of x, each times its weight: (batch, copies * channels, height, width)."""
    x = x.movedim(1, -1)[..., None, :]  # (batch, height, width, 1, channels): channels stay last in memory
    return _channels(x.expand(-1, -1, -1, copies, -1) if weights is None else x * weights[:, None])


def _channels(x: Tensor) -> Tensor:
    """(batch, height, width, copies, channels) as (batch, copies * channels, height, width)."""
    return x.flatten(-2).movedim(-1, 1)


def stack(name, channels, stride, copies, *, search, generator, own=None) -> nn.Module:
    """`copies` copies of the operation `name`, at `stride`, as one module.

    `search` leaves out the scales of batch-norms and puts one behind each pool, as search networks do. `own` maps
    names to functions `(channels, stride) -> nn.Module`.
    """
    convolutions = {SEP3: (3, False), SEP5: (5, False), DIL3: (3, True), DIL5: (5, True)}
    if own and name in own:
        with torch.random.fork_rng(devices=[]):  # a module of PyTorch's draws its weights from the global generator
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            return EdgeByEdge([own[name](channels, stride) for _ in range(copies)])
    if name in convolutions:
        return Convolution(channels, stride, copies, not search, generator, *convolutions[name])
    if name == SKIP and stride == 1:
        return Identity(copies)
    if name == SKIP:
        return FactorizedReduce(channels, channels, copies, not search, generator)
    if name in (MAX, AVG):
        return Pool(channels, stride, copies, search, name == MAX)
    if name == NOISE:
        return Noise(stride, copies)
    raise ValueError(f"operation: {name!r} is not known")
