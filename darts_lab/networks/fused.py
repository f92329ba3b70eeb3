"""A cell in few passes over memory, for laptops, whose time goes into many small images.

`cell` of this module stands for `Cell.forward`, which stays the definition: one function of PyTorch's autograd, with
the arithmetic in `kernels`. It is taken for float32 on a CPU where gradients are taken once (`differentiated_once`),
and equals the plain form but for rounding; its bits do not depend on the number of threads. DARTS_LAB_FUSED=0 turns it
off.

A cell is a list of terms, in the order in which its states become known. Each adds something to some states:
a *chain* of stages, each a convolution of several copies and its norm; or a *plain* term, a pool or a draw of noise.
What is normalised is never written: whoever reads it applies the norm's scale and shift.
"""

import os
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from darts_lab import ranks
from darts_lab.environment import processor
from darts_lab.networks.operations import (
    EPSILON,
    MOMENTUM,
    BatchNorm,
    Convolution,
    FactorizedReduce,
    Noise,
    Pool,
    select,
)

GROUP = 256  # pixels of the samples that are computed together
SMALL = 100_000  # numbers in an array below which a second thread takes longer to wake than it saves

KNOWN = Convolution, FactorizedReduce, Noise
KINDS = (torch.float32,)  # others are for comparisons
_once: ContextVar[bool] = ContextVar("once", default=False)
_threads: ContextVar[int | None] = ContextVar("threads", default=None)
_lock, _asked = Lock(), []  # how many threads PyTorch was told to take, once for each thread that is in a step


@contextmanager
def differentiated_once():
    """Within it networks may compute in the fused form: first derivatives only are taken of their outputs, backward."""
    token = _once.set(True)
    try:
        yield
    finally:
        _once.reset(token)


def available() -> tuple[bool, str]:
    """(whether cells are computed in the fused form here, the reason in words)."""
    if os.environ.get("DARTS_LAB_FUSED") == "0":
        return False, "DARTS_LAB_FUSED=0 was set"
    return _loads()


@contextmanager
def switched(on: bool):
    """Within it DARTS_LAB_FUSED is 1 or 0, in this process and those that it starts."""
    before = os.environ.get("DARTS_LAB_FUSED")
    os.environ["DARTS_LAB_FUSED"] = str(int(on))
    try:
        yield
    finally:
        del os.environ["DARTS_LAB_FUSED"]
        if before is not None:
            os.environ["DARTS_LAB_FUSED"] = before


@cache
def _loads() -> tuple[bool, str]:
    if platform.machine().lower() in ("x86_64", "amd64") and "AVX" not in torch.backends.cpu.get_cpu_capability():
        return False, "this processor has no AVX2"
    try:
        from darts_lab.networks import kernels
    except ModuleNotFoundError as error:
        return False, f"{error.name} is not installed"
    except Exception as error:  # of whatever kind, such as no folder in which compiled kernels can be kept
        reason = f"the kernels do not load ({' '.join(str(error).split())[:150]})"
        warnings.warn(f"fused: {reason}; steps take up to twice as long", stacklevel=2)
        return False, reason
    if not any(Path(kernels.stage.stats.cache_path).glob("kernels.stage-*.nbi")):
        print("The fused kernels are compiled now, once; it takes half a minute.", file=sys.stderr)
    return True, kernels.VERSION


def arithmetic(device: torch.device) -> str:
    """The processor of `device`, and by whose kernels it computes, because others round differently."""
    return processor(device) + ", fused" * (device.type == "cpu" and available()[0])


@contextmanager
def step(network: nn.Module, settings, drop_path: float = 0.0):
    """Within it, where the network's cells will be fused, all threads are theirs and PyTorch's operations have one.

    What is left to PyTorch is small. Its threads would wait on the processors that the kernels need, and split sums by
    their number.
    """
    cells, weights = getattr(getattr(network, "backbone", None), "cells", ()), next(network.parameters())
    plain = settings.precision != "float32" or settings.compile or drop_path > 0
    if _threads.get() or not cells or plain or not all(takes(cell, weights, drop_path, once=True) for cell in cells):
        yield
        return
    with _lock:  # a thread that begins while others are in a step would find the one that they have set
        threads = _asked[0] if _asked else torch.get_num_threads()
        _asked.append(threads)
    token = _threads.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(threads)
            _asked.pop()
        _threads.reset(token)


class Piece(NamedTuple):
    """Some copies of a stage, next to each other, that read the same. Tensors are numbers among those of the cell."""

    source: int | None  # the state they read; None: each its own channels of the stage before
    copies: slice
    depthwise: int | None
    pointwise: int
    offset: int = 0  # the first pixel of a stride
    to: int = 0  # the first channel of a copy that they make


class Stage(NamedTuple):
    pieces: list[Piece]
    stride: int
    dilation: int
    norm: BatchNorm
    affine: tuple[int | None, int | None]  # the norm's scale and shift
    active: list[int] | None


class Chain(NamedTuple):
    """Stages one after the other, each behind a ReLU."""

    stages: list[Stage]
    targets: list[int]  # the state that each copy adds to
    weights: tuple[int, slice] | None  # where the weight of each copy is; None for 1


class Plain(NamedTuple):
    """A pool or the identity of one state, or noise, for several states."""

    module: nn.Module
    source: int
    targets: list[int]
    weights: tuple[int, object] | None


class Program:
    """The terms of a cell, and the tensors they use."""

    def __init__(self, cell, weighting, generator):
        self.width, self.nodes, self.stride = cell.width, cell.nodes, cell.downsampling
        self.generator = generator
        self.tensors: list[Tensor] = []
        self.terms: list[Chain | Plain] = []
        self.number(None), self.number(None)  # of the inputs
        before = cell.preprocess0, cell.preprocess1
        self.halves = 2 if isinstance(cell.preprocess0, FactorizedReduce) else 1  # how much larger the older input is
        self.inputs = tuple((m.even if isinstance(m, FactorizedReduce) else m.weight).shape[-3] for m in before)
        for state, module in enumerate(before):
            self._input(module, state)
        plan = cell.full_plan if weighting is None else weighting.plan
        scales, first = (None if weighting is None else self.number(weighting.scales)), 0
        for wave, modules in enumerate(cell.stacked):
            for name, module in modules.items():
                running, places = plan.copies[wave][name], cell.places[wave][name]
                if running:
                    weights = None if scales is None else (scales, slice(first, first + len(running)))
                    first += len(running)
                    active = running if len(running) < len(places) else None
                    places = [places[copy] for copy in running]
                    sources, targets = [place.source for place in places], [place.node + 2 for place in places]
                    self._stacked(module, sources, targets, weights, active)
            sources = [source for source, _ in cell.readers[wave]]
            if weighting is None:
                for module, source, places in zip(cell.shared[wave], sources, cell.readers[wave].values()):
                    self.terms.append(Plain(module, source, [place.node + 2 for place in places], None))
            elif plan.parts[wave]:
                matrix, targets = self.number(weighting.matrices[wave]), [node + 2 for node in plan.tables[wave]]
                for column, part in enumerate(plan.parts[wave]):
                    weights = matrix, (slice(None), column)
                    self.terms.append(Plain(cell.shared[wave][part], sources[part], targets, weights))

    def number(self, tensor: Tensor | None) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _input(self, module, state: int) -> None:
        """The chain from an input, `~state`, to the state that it becomes."""
        if isinstance(module, FactorizedReduce):
            stage = self._reducing(module, [(~state, slice(0, 1))], None)
        else:
            piece = Piece(~state, slice(0, 1), None, self.number(module.weight[None]))
            stage = Stage([piece], 1, 1, module.norm, self._affine(module.norm, None), None)
        self.terms.append(Chain([stage], [state], None))

    def _stacked(self, module, sources, targets, weights, active) -> None:
        if isinstance(module, Noise):
            self.terms.append(Plain(module, sources[0], targets, weights))
            return
        runs, stages, end = [], [], 0
        for source, run in groupby(sources):
            begin, end = end, end + len(list(run))
            runs.append((source, slice(begin, end)))
        if isinstance(module, FactorizedReduce):
            stages.append(self._reducing(module, runs, active))
        else:
            for stage in module.stages:
                tensors = [self.number(select(tensor, active)) for tensor in (stage.depthwise, stage.pointwise)]
                pieces, affine = [Piece(*run, *tensors) for run in runs], self._affine(stage.norm, active)
                stages.append(Stage(pieces, stage.stride, stage.dilation, stage.norm, affine, active))
                runs = [(None, slice(0, len(sources)))]
        self.terms.append(Chain(stages, targets, weights))

    def _reducing(self, module: FactorizedReduce, runs, active) -> Stage:
        pieces = []
        for offset, tensor in enumerate((module.even, module.odd)):
            kernel, to = self.number(select(tensor, active)), offset * module.even.shape[1]
            pieces += [Piece(*run, None, kernel, offset, to) for run in runs]
        return Stage(pieces, 2, 1, module.norm, self._affine(module.norm, active), active)

    def _affine(self, norm: BatchNorm, active) -> tuple[int | None, int | None]:
        if norm.scale is None:
            return None, None
        return tuple(self.number(norm.chosen(tensor, active)) for tensor in (norm.scale, norm.shift))


def _is_fusable(cell) -> bool:
    """Whether a cell has but known operations, and the numbers of channels that kernels take: multiples of four."""
    modules = [module for modules in cell.stacked for module in modules.values()]
    if cell.norms or cell.share > 1 or not all(isinstance(module, KNOWN) for module in modules):
        return False
    kernels = []
    for module in (cell.preprocess0, cell.preprocess1, *modules):
        names = ("even", "odd") if isinstance(module, FactorizedReduce) else ("weight",)
        places = [(stage, "pointwise") for stage in getattr(module, "stages", ())]
        if not places and not isinstance(module, Noise):
            places = [(module, name) for name in names]
        kernels += [getattr(*place, None) for place in places]
    return all(kernel is not None and not any(size % 4 for size in kernel.shape[-4:-2]) for kernel in kernels)


def takes(cell, x: Tensor, drop_path: float, once: bool = False) -> bool:
    """Whether a cell is computed in the fused form; `once`: where it is differentiated once."""
    if ranks.count() > 1:
        return False  # the kernels know no norm that processes share
    if not (once or _once.get()) or x.device.type != "cpu" or x.dtype not in KINDS or (cell.training and drop_path > 0):
        return False
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or is_in_torch_dispatch_mode():
        return False  # what these change or look at are PyTorch's own operations
    if cell.fusable is None:
        cell.fusable = _is_fusable(cell)
    return cell.fusable and available()[0]


def cell(cell, s0: Tensor, s1: Tensor, weighting=None, generator=None) -> Tensor:
    """As `Cell.forward`; since every convolution is behind a ReLU here, of inputs before theirs or after it."""
    program = Program(cell, weighting, generator)
    nodes = _Cell.apply(program, s0.contiguous(), s1.contiguous(), *program.tensors[2:])
    if list(cell.concat) == list(range(2, cell.nodes + 2)):
        return nodes
    return torch.cat([nodes[:, (state - 2) * cell.width :][:, : cell.width] for state in cell.concat], 1)


class _Cell(torch.autograd.Function):
    """All nodes of a cell side by side."""

    @staticmethod
    def forward(ctx, program: Program, *tensors):
        run = _Run(program, [tensor.detach().numpy() for tensor in tensors])
        ctx.run, ctx.kept = run, [run.chain(t) if isinstance(t, Chain) else run.plain(t) for t in program.terms]
        nodes = torch.from_numpy(run.nodes)
        ctx.save_for_backward(*tensors, nodes)
        return nodes

    @staticmethod
    @once_differentiable
    def backward(ctx, of_nodes):
        run, _ = ctx.run, ctx.saved_tensors  # which raises where one of them has been changed since
        run.prepare_gradients(of_nodes, ctx.needs_input_grad[1:])
        for term, kept in zip(reversed(run.program.terms), reversed(ctx.kept)):
            (run.chain_gradients if isinstance(term, Chain) else run.plain_gradients)(term, *kept)
        gradients = [None if gradient is None else torch.from_numpy(gradient) for gradient in run.gradients]
        run.gradients = run.of_nodes = run.of_inputs = None  # the graph may live on
        return None, *gradients


class _Normal(NamedTuple):
    """A norm of given statistics, by channel: mean and inverse deviation (2, channels) in float64, the number of pixels
    that made them (0: they are the running ones), and (weight of the result, the norm's scale, its shift)."""

    statistics: np.ndarray
    total: int
    weights: tuple[np.ndarray, np.ndarray, np.ndarray]


class _Run:
    """One pass of a program forward, and back. Arrays are (batch, channels, height, width)."""

    def __init__(self, program: Program, arrays: list[np.ndarray]):
        from darts_lab.networks import kernels  # which takes a second, and numba

        self.kernels = kernels
        self.program, self.arrays, self.width = program, arrays, program.width
        older, newer = arrays[:2]
        larger = tuple(program.halves * side for side in newer.shape[2:])
        if older.shape[2:] != larger or (program.stride == 2 and any(side % 2 for side in newer.shape[2:])):
            raise ValueError(f"images: features of {older.shape[2:]} and {newer.shape[2:]} pixels cannot be halved")
        if (older.shape[1], newer.shape[1]) != program.inputs or len(older) != len(newer) or not len(newer):
            raise ValueError(f"images: features of shapes {older.shape} and {newer.shape} do not fit this cell")
        shape, self.kind = (len(newer), self.width, *newer.shape[2:]), newer.dtype
        size = [side // program.stride for side in shape[2:]]
        self.inputs = np.zeros(shape, self.kind), np.zeros(shape, self.kind)
        self.nodes = np.zeros((len(newer), self.width * program.nodes, *size), self.kind)

    def state(self, number: int) -> tuple[np.ndarray, int]:
        """(an array, the first of its channels) of an input (below zero) or a state."""
        if number < 0:
            return self.arrays[~number], 0
        return (self.inputs[number], 0) if number < 2 else (self.nodes, (number - 2) * self.width)

    def of_state(self, number: int) -> tuple[np.ndarray | None, int]:
        """The same of its gradient; None where nobody needs it."""
        if number < 0:
            return self.gradients[~number], 0
        return (self.of_inputs[number], 0) if number < 2 else (self.of_nodes, (number - 2) * self.width)

    def targets(self, term: Chain | Plain, state: Callable) -> tuple[np.ndarray, np.ndarray]:
        """(an array, first channels) of what a term adds to."""
        places = [state(number) for number in term.targets]
        return _flat(places[0][0]), np.array([channel for _, channel in places])

    def weights(self, term: Chain | Plain) -> np.ndarray:
        """Of each copy, for all its channels."""
        weights = np.ones(len(term.targets), self.kind)
        if term.weights is not None:
            tensor, where = term.weights
            weights = self.arrays[tensor][where]
        return np.repeat(weights, self.width)

    def normalise(self, norm: BatchNorm | None, active, moments, counts, weights, affine=(None, None)):
        """(norm, scale, shift) from the moments (groups, 2, channels) of groups of `counts` pixels; moves the running
        statistics."""
        channels = moments.shape[2]
        scale, shift = (None if tensor is None else self.arrays[tensor] for tensor in affine)
        weights = (
            weights,
            _ones(channels, self.kind) if scale is None else scale,
            _zeros(channels, self.kind) if shift is None else shift,
        )
        if norm is None:
            return _Normal(np.stack([np.zeros(channels), np.ones(channels)]), 0, weights), weights[0], weights[2]
        chosen = np.arange(len(norm.running_mean))
        if active is not None:
            chosen = chosen.reshape(norm.copies, -1)[active].ravel()
        mode = 0 if not norm.training else 2 if norm.update else 1
        if mode and counts.sum() == 1:
            raise ValueError("images: there is one value a channel, from which no norm can be had in training")
        running = norm.running_mean.numpy(), norm.running_var.numpy()
        statistics, scale, shift = np.empty((2, channels)), np.empty(channels, self.kind), np.empty(channels, self.kind)
        self.kernels.normalise(
            moments, counts, mode, running, chosen, *weights, MOMENTUM, EPSILON, statistics, scale, shift
        )
        return _Normal(statistics, int(counts.sum()) if mode else 0, weights), scale, shift

    def norm_gradients(self, result, channels_of, normal: _Normal, dy, dy_channels):
        """(entering, gradients of the three weights), see `kernels.norm_gradients`, by term and channel."""
        terms, channels = len(dy_channels), normal.statistics.shape[1]
        sums = np.empty((len(result), 2, terms, channels // terms), self.kind)
        mean = normal.statistics[0].astype(self.kind).reshape(terms, -1)
        _each(len(result), self.kernels.inner_products, _flat(result), channels_of, mean, dy, dy_channels, sums)
        entering, gradients = np.empty((3, channels), self.kind), np.empty((3, channels), self.kind)
        sums = sums.reshape(len(result), 2, channels)
        self.kernels.norm_gradients(sums, normal.statistics, normal.total, *normal.weights, entering, gradients)
        return entering, gradients

    def chain(self, chain: Chain) -> tuple[list]:
        """Adds its terms; what is kept of each stage is (what the stage before made, its scale and shift, the result,
        its norm)."""
        copies, kept = len(chain.targets), []
        raw = scale = shift = None
        size = self.state(chain.stages[0].pieces[0].source)[0].shape[2:]
        for stage in chain.stages:
            last, size = stage is chain.stages[-1], [side // stage.stride for side in size]
            result = np.empty((len(self.nodes), copies * self.width, *size), self.kind)
            per, groups = self.groups(stage, raw)
            moments = np.empty((len(groups), 2, copies * self.width), self.kind)
            for piece in stage.pieces:
                read, geometry = self.read(piece, raw, scale, shift), self.geometry(stage, piece)
                to = piece.copies.start * self.width + piece.to
                _each(len(groups), self.kernels.stage, per, *read, *geometry, _flat(result), to, self.width, moments)
            weights = self.weights(chain) if last else _ones(copies * self.width, self.kind)
            counts = groups * (size[0] * size[1])
            normal, *maps = self.normalise(stage.norm, stage.active, moments, counts, weights, stage.affine)
            kept.append((raw, scale, shift, result, normal))
            raw, (scale, shift) = result, maps
        maps, (out, channels) = (x.reshape(copies, -1) for x in maps), self.targets(chain, self.state)
        _each(len(raw), self.kernels.add_scaled, _flat(raw), np.arange(copies) * self.width, *maps, out, channels)
        return (kept,)

    def chain_gradients(self, chain: Chain, kept: list) -> None:
        if self.of_state(chain.targets[0])[0] is None:
            return
        channels_of = np.arange(len(chain.targets)) * self.width
        dy, dy_channels = self.targets(chain, self.of_state)
        for number in reversed(range(len(chain.stages))):
            stage, (raw, scale, shift, result, normal) = chain.stages[number], kept[number]
            entering, of_norm = self.norm_gradients(result, channels_of, normal, dy, dy_channels)
            if number == len(chain.stages) - 1:
                self.add_of_weights(chain, of_norm[0])
            for tensor, gradient in zip(stage.affine, of_norm[1:]):
                if tensor is not None and self.gradients[tensor] is not None:
                    self.gradients[tensor] += gradient
            if not any(self.reaches(earlier) for earlier in chain.stages[: number + 1]):
                return
            of_raw = None if raw is None else np.empty_like(raw)
            for piece in stage.pieces:
                read, geometry = self.read(piece, raw, scale, shift), self.geometry(stage, piece)
                dx = of_raw if piece.source is None else self.of_state(piece.source)[0]
                dx = np.zeros_like(read[0]) if dx is None else _flat(dx)
                per, groups = self.groups(stage, raw)
                kernels = piece.depthwise, piece.pointwise
                needs = any(number is not None and self.gradients[number] is not None for number in kernels)
                of_kernels = [np.empty((len(groups) if needs else 1, *k.shape), self.kind) for k in geometry[1:3]]
                gives = dy, dy_channels[piece.copies] + piece.to, _flat(result)
                to = piece.copies.start * self.width + piece.to, self.width
                rest = entering, needs, dx, *of_kernels
                _each(len(groups), self.kernels.stage_gradients, per, *read, *geometry, *gives, *to, *rest)
                for tensor, of_kernel in zip(kernels, of_kernels):
                    if needs and tensor is not None and self.gradients[tensor] is not None:
                        gradient = self.gradients[tensor][piece.copies]
                        gradient += of_kernel.sum(0).reshape(gradient.shape)
            dy, dy_channels = None if raw is None else _flat(of_raw), channels_of

    def reaches(self, stage: Stage) -> bool:
        """Whether a stage or what it reads needs gradients."""
        kernels = (tensor for piece in stage.pieces for tensor in (piece.depthwise, piece.pointwise))
        if any(tensor is not None and self.gradients[tensor] is not None for tensor in (*kernels, *stage.affine)):
            return True
        return any(piece.source is not None and self.of_state(piece.source)[0] is not None for piece in stage.pieces)

    def add_of_weights(self, term: Chain | Plain, gradient) -> None:
        if term.weights is not None and self.gradients[term.weights[0]] is not None:
            tensor, where = term.weights
            self.gradients[tensor][where] += gradient.reshape(len(term.targets), -1).sum(1)

    def plain(self, term: Plain) -> tuple:
        """Adds its terms; what is kept is (the result, its first channels, its norm)."""
        terms, norm, moments, counts = len(term.targets), None, np.zeros((1, 2, self.width), self.kind), np.ones(1)
        x, channel = self.state(term.source)
        channels_of = np.full(terms, channel)
        if isinstance(term.module, Noise):
            state = torch.from_numpy(x[:, channel : channel + self.width])
            x = term.module([state], [0] * terms, None, None, self.program.generator).contiguous().numpy()
            channels_of = np.arange(terms) * self.width
        elif isinstance(term.module, Pool):
            norm, channels_of = term.module.norm, np.zeros(terms, np.int64)
            size = [-(-side // term.module.stride) for side in x.shape[2:]]
            result, (per, counts) = np.empty((len(x), self.width, *size), self.kind), _groups(len(x), _pixels(x))
            moments = np.empty((len(counts), 2, self.width), self.kind)
            kind = term.module.maximum, term.module.stride
            _each(len(counts), self.kernels.pool, per, _flat(x), channel, *x.shape[2:], *kind, _flat(result), moments)
            x, counts = result, counts * _pixels(result)
        normal, scale, shift = self.normalise(norm, None, moments, counts, _ones(self.width, self.kind))
        weights = self.weights(term)
        maps = (weights.reshape(terms, -1) * array for array in (scale, shift))
        _each(len(x), self.kernels.add_scaled, _flat(x), channels_of, *maps, *self.targets(term, self.state))
        tiled = [np.tile(array, terms) for array in normal.weights[1:]]
        return x, channels_of, _Normal(np.tile(normal.statistics, terms), normal.total, (weights, *tiled))

    def plain_gradients(self, term: Plain, x, channels_of, normal: _Normal) -> None:
        dy, dy_channels = self.targets(term, self.of_state)
        entering, (of_weights, *_) = self.norm_gradients(x, channels_of, normal, dy, dy_channels)
        self.add_of_weights(term, of_weights)
        of_state, channel = self.of_state(term.source)
        if of_state is None or isinstance(term.module, Noise):
            return
        of_dy, of_x, of_one = entering.reshape(3, len(dy_channels), -1)
        pooled = isinstance(term.module, Pool)
        dx, to = (np.zeros_like(x), 0) if pooled else (of_state, channel)
        maps = of_dy, _flat(x), channels_of[0], of_x.sum(0), of_one.sum(0)
        _each(len(x), self.kernels.add_gradients, dy, dy_channels, *maps, _flat(dx), to)
        if pooled:
            read, _ = self.state(term.source)
            per, counts = _groups(len(x), _pixels(read))
            geometry = channel, *read.shape[2:], term.module.maximum, term.module.stride
            _each(len(counts), self.kernels.pool_gradients, per, _flat(read), *geometry, _flat(dx), _flat(of_state))

    def prepare_gradients(self, of_nodes: Tensor, needed: Sequence[bool]) -> None:
        self.gradients = [np.zeros_like(array) if needs else None for array, needs in zip(self.arrays, needed)]
        self.of_nodes = of_nodes.clone(memory_format=torch.contiguous_format).numpy()
        self.of_inputs = [None, None]
        for state, chain in enumerate(self.program.terms[:2]):
            if self.reaches(chain.stages[0]):
                self.of_inputs[state] = np.zeros_like(self.inputs[state])

    def read(self, piece: Piece, raw, scale, shift) -> tuple:
        """What a piece reads: (array, first channel, height, width, scale, shift)."""
        if piece.source is None:
            return _flat(raw), 0, *raw.shape[2:], scale, shift
        x, channel = self.state(piece.source)
        return _flat(x), channel, *x.shape[2:], _ones(x.shape[1], self.kind), _zeros(x.shape[1], self.kind)

    def geometry(self, stage: Stage, piece: Piece) -> tuple:
        """(own, depthwise, pointwise, stride, dilation, offset) of a piece."""
        pointwise = self.arrays[piece.pointwise][piece.copies, :, :, 0, 0]
        if piece.depthwise is None:
            depthwise = np.empty((*pointwise.shape[::2], 1, 1), self.kind)
        else:
            depthwise = self.arrays[piece.depthwise][piece.copies, :, 0]
        return piece.source is None, depthwise, pointwise, stage.stride, stage.dilation, piece.offset

    def groups(self, stage: Stage, raw) -> tuple[int, np.ndarray]:
        """(samples in a group, those of each group)."""
        x = self.state(stage.pieces[0].source)[0] if raw is None else raw
        return _groups(len(x), _pixels(x))


@cache
def _groups(samples: int, pixels: int) -> tuple[int, np.ndarray]:
    per = max(1, GROUP // pixels)
    return per, np.diff(np.append(np.arange(0, samples, per), samples))


@cache
def _ones(channels: int, kind) -> np.ndarray:
    return np.ones(channels, kind)


@cache
def _zeros(channels: int, kind) -> np.ndarray:
    return np.zeros(channels, kind)


def _pixels(x: np.ndarray) -> int:
    return x.shape[2] * x.shape[3]


def _flat(x: np.ndarray) -> np.ndarray:
    """Height and width as one dimension."""
    return x.reshape(*x.shape[:-2], -1)


def _each(count: int, kernel: Callable, *arguments) -> None:
    """kernel(first, last, *arguments) for all of `count`, by as many threads as PyTorch has, where it is worth it."""
    threads = min(_threads.get() or torch.get_num_threads(), count)
    if threads < 2 or max(x.size for x in arguments if isinstance(x, np.ndarray)) < SMALL:
        return kernel(0, count, *arguments)
    workers = _workers(os.getpid(), threads - 1)
    cuts = [count * thread // threads for thread in range(threads + 1)]
    done = SimpleQueue()  # of this call alone, which may be interrupted
    for queue, part in zip(workers, pairwise(cuts[1:])):
        queue.put((kernel, *part, arguments, done))
    kernel(0, cuts[1], *arguments)
    for failed in [done.get() for _ in workers]:
        if failed is not None:
            raise failed


def _work(queue: SimpleQueue) -> None:
    while True:
        kernel, first, last, arguments, done = queue.get()
        try:
            kernel(first, last, *arguments)
            done.put(None)
        except BaseException as error:
            done.put(error)
        del kernel, arguments, done  # an idle thread keeps nothing alive


@cache
def _workers(process: int, number: int) -> list[SimpleQueue]:
    """Threads that wait for parts of a kernel; those of `concurrent.futures` take longer to wake than kernels take."""
    queues = [SimpleQueue() for _ in range(number)]
    for queue in queues:
        Thread(target=_work, args=(queue,), name="fused", daemon=True).start()
    return queues
