"""Candidate operations, stacked: all copies of one kind that are ready at the same time are one module.

The ReLU and the pools of a state are computed once for all edges that leave it; convolutions of one kind become one
over their channels side by side, with one batch-norm, whose scales are the mixing weights. The mathematics is that of
Liu et al. 2019 (quark0/darts), edge by edge; `tests/reference/` compares it with the textbook form.

A *shared* operation (pools, the identity), `op(x)`, is the same for every edge that leaves the state x. A *stacked* one
has `copies`, one for each edge:
    op(states, sources, scale, active, generator)
    states    tensors (batch, channels, height, width), after a ReLU where `op.rectified` says so;
    sources   which of them each active copy takes;
    scale     (active copies * channels,) mixing weights, each repeated for its channels, or None for 1;
    active    indices of the copies that take part, or None for all;
    generator for `noise` alone;
it returns (batch, active copies * channels, height / stride, width / stride), copy by copy. `op.copy(i)` gives the
tensors of copy i under the names they have in quark0/darts.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab import ranks
from darts_lab.networks.norms import batch_norm
from darts_lab.networks.separable import separable_convolution
from darts_lab.spaces import AVG, DIL3, DIL5, MAX, NOISE, SEP3, SEP5, SEP7, SKIP, STRIPS7

AUXILIARY_SKIP = "auxiliary_skip"  # as `skip_connect`, beside the candidates and never kept (DARTS-)
MOMENTUM, EPSILON = 0.1, 1e-5  # of every batch-norm, PyTorch's own defaults


def weight(*shape: int, fan_in: int, generator: torch.Generator) -> nn.Parameter:
    """A parameter drawn uniformly from +-1/sqrt(fan_in): what PyTorch's convolutions and linear layers begin with."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))


class BatchNorm(nn.Module):
    """Batch normalisation of `copies` stacked groups of `channels` channels, with scales and shifts of its own if
    `affine`. `update` decides whether a training pass moves the running statistics."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, affine: bool, copies: int = 1):
        super().__init__()
        self.copies, self.update = copies, True
        self.register_buffer("running_mean", torch.zeros(copies * channels))
        self.register_buffer("running_var", torch.ones(copies * channels))
        self.scale = nn.Parameter(torch.ones(copies * channels)) if affine else None
        self.shift = nn.Parameter(torch.zeros(copies * channels)) if affine else None

    def forward(self, x: Tensor, weights: Tensor | None = None, active: list[int] | None = None) -> Tensor:
        """`weights` (active copies * channels,) multiply the result."""
        mean, var = self.chosen(self.running_mean, active), self.chosen(self.running_var, active)
        scale = None if self.scale is None else self.chosen(self.scale, active)
        shift = None if self.shift is None else self.chosen(self.shift, active)
        if weights is not None:
            # PyTorch's kernels read past the end of an expanded scalar (stride 0), silently
            scale = weights.contiguous() if scale is None else scale * weights
            shift = None if shift is None else shift * weights
        moved = self.update or not self.training
        x = batch_norm(
            x, mean if moved else None, var if moved else None, scale, shift, self.training, MOMENTUM, EPSILON
        )
        if active is not None and self.training and self.update:  # `mean` and `var` were copies
            self._by_copy(self.running_mean)[active] = mean.view(len(active), -1)
            self._by_copy(self.running_var)[active] = var.view(len(active), -1)
        return x

    def chosen(self, tensor: Tensor, active: list[int] | None) -> Tensor:
        """The entries of the active copies."""
        return tensor if active is None else self._by_copy(tensor)[active].flatten()

    def _by_copy(self, tensor: Tensor) -> Tensor:
        return tensor.view(self.copies, -1)

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        names = ("weight", "bias", "running_mean", "running_var")
        tensors = (self.scale, self.shift, self.running_mean, self.running_var)
        return ((name, self._by_copy(tensor)[index]) for name, tensor in zip(names, tensors) if tensor is not None)


def prefixed(prefix: str, tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    return ((f"{prefix}.{name}", tensor) for name, tensor in tensors)


class Pool(nn.Module):
    """`max_pool_3x3` or `avg_pool_3x3`; in search followed by a batch-norm without scale."""

    def __init__(self, channels: int, stride: int, normalised: bool, maximum: bool):
        super().__init__()
        self.stride, self.maximum = stride, maximum
        self.norm = BatchNorm(channels, affine=False) if normalised else None

    def forward(self, x: Tensor) -> Tensor:
        pool = F.max_pool2d if self.maximum else partial(F.avg_pool2d, count_include_pad=False)
        x = pool(x, 3, self.stride, 1)
        return x if self.norm is None else self.norm(x)

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        return iter(()) if self.norm is None else prefixed("1", self.norm.copy(0))


class Separable(nn.Module):
    """`separable_convolution` of `copies` edges, then batch-norm."""

    def __init__(self, channels, kernel, stride, dilation, copies, affine, generator):
        super().__init__()
        self.stride, self.dilation = stride, dilation
        self.depthwise = weight(copies, channels, 1, kernel, kernel, fan_in=kernel**2, generator=generator)
        self.pointwise = weight(copies, channels, channels, 1, 1, fan_in=channels, generator=generator)
        self.norm = BatchNorm(channels, affine, copies)

    def forward(self, inputs, scale: Tensor | None = None, active: list[int] | None = None) -> Tensor:
        depthwise, pointwise = select(self.depthwise, active), select(self.pointwise, active)
        return self.norm(separable_convolution(inputs, depthwise, pointwise, self.stride, self.dilation), scale, active)


class Convolution(nn.Module):
    """`sep_conv_*` (twice ReLU, depthwise, pointwise, batch-norm) or `dil_conv_*` (once, dilation 2)."""

    rectified = True

    def __init__(self, channels, stride, copies, affine, generator, kernel, dilated):
        super().__init__()
        stages = [(stride, 2)] if dilated else [(stride, 1), (1, 1)]
        self.stages: Any = nn.ModuleList(
            Separable(channels, kernel, *stage, copies, affine, generator) for stage in stages
        )

    def forward(self, states, sources, scale=None, active=None, generator=None):
        inputs = _inputs(states, sources)
        for stage in self.stages[:-1]:
            inputs = [stage(inputs, None, active).relu_()]
        return self.stages[-1](inputs, scale, active)

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        for number, stage in enumerate(self.stages):
            yield f"op.{4 * number + 1}.weight", stage.depthwise[index]
            yield f"op.{4 * number + 2}.weight", stage.pointwise[index]
            yield from prefixed(f"op.{4 * number + 3}", stage.norm.copy(index))


class Strips(nn.Module):
    """`conv_7x1_1x7` of AmoebaNet: ReLU, a convolution of 1 x 7 pixels, one of 7 x 1, batch-norm."""

    rectified = True

    def __init__(self, channels, stride, copies, affine, generator, length=7):
        super().__init__()
        self.stride, self.padding = stride, length // 2
        draw = partial(weight, fan_in=length * channels, generator=generator)
        self.row, self.column = draw(copies, channels, channels, 1, length), draw(copies, channels, channels, length, 1)
        self.norm = BatchNorm(channels, affine, copies)

    def forward(self, states, sources, scale=None, active=None, generator=None):
        row, column = select(self.row, active), select(self.column, active)
        x = torch.cat([states[source] for source in sources], 1)
        x = F.conv2d(x, row.flatten(0, 1), None, (1, self.stride), (0, self.padding), groups=len(sources))
        x = F.conv2d(x, column.flatten(0, 1), None, (self.stride, 1), (self.padding, 0), groups=len(sources))
        return self.norm(x, scale, active)

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        yield "1.weight", self.row[index]
        yield "2.weight", self.column[index]
        yield from prefixed("3", self.norm.copy(index))


class FactorizedReduce(nn.Module):
    """`skip_connect` where the stride is 2: two 1 x 1 convolutions with stride 2, the second shifted by one pixel.

    Even and odd pixels are gathered side by side in the channels, for one 1 x 1 convolution: each half of its kernel is
    zero for the other pixels. (A strided convolution of 2 x 2 pixels, group by group, takes several times as long.)
    """

    rectified = True

    def __init__(self, channels_in, channels, copies, affine, generator):
        super().__init__()
        half = channels // 2
        self.even = weight(copies, half, channels_in, 1, 1, fan_in=channels_in, generator=generator)
        self.odd = weight(copies, channels - half, channels_in, 1, 1, fan_in=channels_in, generator=generator)
        self.norm = BatchNorm(channels, affine, copies)

    def forward(self, states, sources, scale=None, active=None, generator=None):
        even, odd = select(self.even, active), select(self.odd, active)
        inputs, channels = _inputs(states, sources), even.shape[2]
        squares = (x.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2)) for x in inputs)
        diagonals = [x.diagonal(dim1=2, dim2=4).movedim(-1, -2) for x in squares]  # the first pixel and the last
        pixels = torch.cat(diagonals, 3).flatten(3, 4).permute(0, 3, 1, 2)
        halves = F.pad(even, (0, 0, 0, 0, 0, channels)), F.pad(odd, (0, 0, 0, 0, channels, 0))
        x = F.conv2d(pixels, torch.cat(halves, 1).flatten(0, 1), groups=len(inputs))
        return self.norm(x, scale, active)

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        yield "conv_1.weight", self.even[index]
        yield "conv_2.weight", self.odd[index]
        yield from prefixed("bn", self.norm.copy(index))


class Noise(nn.Module):
    """`noise` of S4: a fresh draw from N(0, 1) in place of the state, in training and in evaluation alike."""

    rectified = False

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, states, sources, scale=None, active=None, generator=None):
        x = states[sources[0]]
        batch, channels, height, width = x[:, :, :: self.stride, :: self.stride].shape
        shape = (height, width, len(sources) * channels)  # channels last in memory, as all states are
        draw = partial(torch.randn, generator=generator, dtype=x.dtype, device=x.device)
        noise = ranks.drawn(lambda samples: draw((samples, *shape)), batch)
        return (noise if scale is None else noise * scale).movedim(-1, 1)

    def copy(self, index: int):
        return iter(())


class EdgeByEdge(nn.Module):
    """An operation of the user's: one module for each copy."""

    rectified = False

    def __init__(self, modules: list[nn.Module], name: str, stride: int):
        super().__init__()
        self.edges, self.name, self.stride = nn.ModuleList(modules), name, stride

    def forward(self, states, sources, scale=None, active=None, generator=None):
        edges = self.edges if active is None else [self.edges[index] for index in active]
        parts = []
        for edge, source in zip(edges, sources, strict=True):
            batch, channels, *size = states[source].shape
            wanted = (batch, channels, *(-(-side // self.stride) for side in size))
            parts.append(edge(states[source]))
            if tuple(parts[-1].shape) != wanted:
                found = f"{tuple(parts[-1].shape)} from {tuple(states[source].shape)}, stride {self.stride}"
                raise ValueError(f"operations: {self.name!r} makes {found}; it must make {wanted}")
        out = torch.cat(parts, 1)
        return out if scale is None else out * scale[:, None, None]

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        state = self.edges[index].state_dict(keep_vars=True)
        return ((name, tensor) for name, tensor in state.items() if not name.endswith("num_batches_tracked"))


def _inputs(states: list[Tensor], sources: list[int]) -> list[Tensor]:
    """The state of each copy; or each state once, if equally many copies, next to each other, take each of them."""
    unique = sorted(set(sources))
    if sources != [source for source in unique for _ in range(len(sources) // len(unique))]:
        unique = sources
    return [states[source] for source in unique]


def select(stacked: Tensor, active: list[int] | None) -> Tensor:
    return stacked if active is None else stacked[active]


def is_shared(name: str, stride: int, own=None) -> bool:
    """Whether the operation `name` is the same for every edge that leaves a state. `own` as for `stack`."""
    return name not in (own or {}) and (name in (MAX, AVG) or (name in (SKIP, AUXILIARY_SKIP) and stride == 1))


def shared(name: str, channels: int, stride: int, search: bool) -> nn.Module:
    """The operation `name` of all edges that leave one state."""
    return nn.Identity() if name in (SKIP, AUXILIARY_SKIP) else Pool(channels, stride, search, name == MAX)


def draws_noise(network: nn.Module) -> bool:
    """Whether an operation of the network is `noise`, in evaluation too."""
    return any(isinstance(module, Noise) for module in network.modules())


def stack(name, channels, stride, copies, *, search, generator, own=None) -> nn.Module:
    """`copies` copies of the operation `name` as one module, with scales in its batch-norms unless in `search`. `own`
    are the user's operations: functions `(channels, stride) -> nn.Module` by name."""
    convolutions = {SEP3: (3, False), SEP5: (5, False), SEP7: (7, False), DIL3: (3, True), DIL5: (5, True)}
    if name in (own or {}):
        with seeded_globally(generator):
            modules = [own[name](channels, stride) for _ in range(copies)]
        for module in modules:
            if not isinstance(module, nn.Module):
                kind = type(module).__name__
                raise ValueError(
                    f"operations: {name!r} gives {kind} for {channels}, {stride}; it must give a nn.Module"
                )
        return EdgeByEdge(modules, name, stride)
    if name in convolutions:
        return Convolution(channels, stride, copies, not search, generator, *convolutions[name])
    if name == STRIPS7:
        return Strips(channels, stride, copies, not search, generator)
    if name in (SKIP, AUXILIARY_SKIP):
        return FactorizedReduce(channels, channels, copies, not search, generator)
    if name == NOISE:
        return Noise(stride)
    raise ValueError(f"operation: {name!r} is not known")


@contextmanager
def seeded_globally(generator: torch.Generator):
    """Within it the global generator, from which modules of PyTorch draw their weights, has a seed from `generator`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield


@torch.no_grad()
def draw_as_in_pytorch_0_3(network: nn.Module, generator: torch.Generator) -> None:
    """Gives `network` initial weights as PyTorch 0.3.1 drew them, with which Zela et al. computed: depthwise kernels
    within ±1/sqrt(channels k²) instead of ±1/k, and the scales of batch-norms uniformly from 0 to 1 instead of 1."""
    for module in network.modules():
        if isinstance(module, Separable):
            module.depthwise.div_(math.sqrt(module.depthwise.shape[1]))
        elif isinstance(module, BatchNorm) and module.scale is not None:
            module.scale.uniform_(generator=generator)


def kept_paths(cell: nn.Module, like: Tensor, samples: int, edges: int, drop_path: float, generator) -> Tensor | None:
    """Scheduled drop path, in training: (samples, edges) of 0 or 1 / (1 - drop_path), which keeps the mean."""
    if not (cell.training and drop_path > 0):
        return None
    draw = partial(torch.rand, generator=generator, device=like.device, dtype=like.dtype)
    draws = ranks.drawn(lambda n: draw((n, edges)), samples)
    return (draws >= drop_path).to(like.dtype) / (1 - drop_path)
