"""A cell in few passes over memory, for laptops, whose time goes into many small images.

`cell` of this module stands for `Cell.forward`, which stays the definition: one function of PyTorch's autograd, with
the arithmetic in `kernels`. It is taken for float32 on a CPU where gradients are taken once (`differentiated_once`),
and equals the plain form but for rounding, and for numbers nearer to zero than normal ones, which are zero here; its
bits do not depend on the number of threads. DARTS_LAB_FUSED=0 turns it off.

A cell is a table of what is to be done (`program`, `gradients`), made once for each shape of its inputs; one call of a
kernel does all of it. From cell to cell sixteen samples lie side by side in memory (`grouped`).
"""

import os
import platform
import sys
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import _get_current_dispatch_mode

from darts_lab import ranks
from darts_lab.environment import fewer_threads, holding, processor
from darts_lab.networks.gradients import Gradients
from darts_lab.networks.launch import launch
from darts_lab.networks.operations import Convolution, FactorizedReduce, Noise, kept_paths
from darts_lab.networks.program import Program
from darts_lab.networks.tables import WIDTH

NAME = "fused 3"  # what rows of results call the kernels that made them; others round otherwise
PROGRAMS = 64  # of a cell that are kept
KNOWN = Convolution, FactorizedReduce, Noise
KINDS = (torch.float32,)  # others are for comparisons
_once: ContextVar[bool] = ContextVar("once", default=False)
_threads: ContextVar[int | None] = ContextVar("threads", default=None)
_programs: WeakKeyDictionary = WeakKeyDictionary()  # those of each cell


def differentiated_once():
    """A context in which networks may compute in the fused form: only first derivatives of them are taken, backward."""
    return holding(_once, True)


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
        warnings.warn(f"fused: {reason}; steps take two to four times as long", stacklevel=2)
        return False, reason
    if not any(Path(kernels.forward.stats.cache_path).glob("*forward-*.nbi")):
        print("The fused kernels are compiled now, once; it takes half a minute.", file=sys.stderr)
    return True, kernels.VERSION


def arithmetic(device: torch.device) -> str:
    """The processor of `device`, and by whose kernels it computes, because others round differently."""
    return processor(device) + f", {NAME}" * (device.type == "cpu" and available()[0])


@contextmanager
def step(network: nn.Module, settings):
    """Within it, where the network's cells will be fused, all threads are theirs and PyTorch's operations have one.

    What is left to PyTorch is small. Its threads would wait on the processors that the kernels need, and split sums by
    their number.
    """
    cells, weights = getattr(getattr(network, "backbone", None), "cells", ()), next(network.parameters())
    plain = settings.precision != "float32" or settings.compile
    if _threads.get() or not cells or plain or not all(takes(cell, weights, once=True) for cell in cells):
        yield
        return
    with fewer_threads(lambda _: 1) as threads, holding(_threads, threads):
        yield


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


def takes(cell, x: Tensor, once: bool = False) -> bool:
    """Whether a cell is computed in the fused form; `once`: where it is differentiated once."""
    if ranks.count() > 1:
        return False  # the kernels know no norm that processes share
    if not (once or _once.get()) or x.device.type != "cpu" or x.dtype not in KINDS:
        return False
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or _get_current_dispatch_mode() is not None:
        return False  # what these change, or a mode of this thread looks at, are PyTorch's own operations
    if cell.fusable is None:
        cell.fusable = _is_fusable(cell)
    return cell.fusable and available()[0]


def cell(
    cell, s0: Tensor, s1: Tensor, weighting=None, drop_path: float = 0.0, generator=None, samples: int | None = None
) -> Tensor:
    """As `Cell.forward`; since every convolution is behind a ReLU here, of inputs before theirs or after it.

    Where the number of `samples` is given, inputs and result are side by side, as `grouped` gives them.
    """
    if samples is None:
        if len(s0) != len(s1) or not len(s1):
            raise ValueError(f"images: features of shapes {tuple(s0.shape)} and {tuple(s1.shape)} do not fit this cell")
        nodes = _one(cell, grouped(s0), grouped(s1), weighting, drop_path, generator, len(s1))
        return ungrouped(nodes, len(s1))
    return _one(cell, s0, s1, weighting, drop_path, generator, samples)


def _one(cell, s0: Tensor, s1: Tensor, weighting, drop_path: float, generator, samples: int) -> Tensor:
    program = _program(cell, weighting, tuple(s0.shape[1:4]), tuple(s1.shape[1:4]))
    paths = s1.new_ones(samples, 1 + cell.edges)
    kept = kept_paths(cell, s1, samples, cell.edges, drop_path, generator)
    if kept is not None:
        paths[:, 1:] = kept
    noises = []
    for module, copies, size in program.noises:
        state = s1.new_empty(()).expand(samples, program.width, *size)
        noises.append(grouped(module([state], [0] * copies, None, None, generator)))
    if weighting is None:
        mixing = s1.new_zeros(1)
    else:
        mixing = torch.cat([weighting.scales, *(matrix.flatten() for matrix in weighting.matrices)])
    draws = [grouped(paths[:, :, None, None]), *noises]
    nodes = _Cell.apply(program, samples, draws, s0.contiguous(), s1.contiguous(), mixing, *program.tensors())
    if list(cell.concat) == list(range(2, cell.nodes + 2)):
        return nodes
    return torch.cat([nodes[:, (state - 2) * cell.width :][:, : cell.width] for state in cell.concat], 1)


def cells(cells, x: Tensor, weightings, drop_path: float, generator, of: Sequence[int]) -> list[Tensor]:
    """The features of the cells `of`, where each is a function of those of the two before it, the first of x alone."""
    features = [grouped(x)] * 2
    for one, weighting in zip(cells, weightings, strict=True):
        features.append(cell(one, features[-2], features[-1], weighting, drop_path, generator, len(x)))
    return [ungrouped(features[2:][number], len(x)) for number in of]


def _program(cell, weighting, older: Sequence[int], newer: Sequence[int]) -> Program:
    """The program of a cell for inputs of two shapes (channels, height, width); the last few are kept."""
    plan = cell.full_plan if weighting is None else weighting.plan
    key = weighting is None, older, newer, None
    if plan.copies is not cell.full_plan.copies:
        key = *key[:3], repr(plan[:3])
    known = _programs.setdefault(cell, {})
    if key not in known:
        halves = 2 if isinstance(cell.preprocess0, FactorizedReduce) else 1  # how much larger the older input is
        larger = tuple(halves * side for side in newer[1:])
        if older[1:] != larger or (cell.downsampling == 2 and any(side % 2 for side in newer[1:])):
            raise ValueError(f"images: features of {older[1:]} and {newer[1:]} pixels cannot be halved")
        before = cell.preprocess0, cell.preprocess1
        wanted = tuple((m.even if isinstance(m, FactorizedReduce) else m.weight).shape[-3] for m in before)
        if (older[0], newer[0]) != wanted:
            raise ValueError(f"images: features of shapes {older} and {newer} do not fit this cell")
        if len(known) >= PROGRAMS:
            known.clear()
        known[key] = Program(cell, plan, weighting is not None, (older, newer))
    return known[key]


class _Cell(torch.autograd.Function):
    """All nodes of a cell side by side."""

    @staticmethod
    def forward(ctx, program: Program, samples: int, draws: list[Tensor], s0, s1, mixing, *tensors):
        groups, kind = len(s1), {"dtype": s1.dtype}
        nodes = torch.empty(groups, program.nodes * program.width, *program.size, WIDTH, **kind)
        kept = torch.empty(groups, program.kept, **kind)
        weights = torch.cat([tensor.reshape(-1) for tensor in tensors])
        maps, normal = torch.empty(2, program.slots, **kind), torch.empty(2, program.slots, dtype=torch.float64)
        modes = np.array([0 if not norm.training else 2 if norm.update else 1 for norm, _ in program.norms])
        if samples * program.fewest == 1 and modes.any():
            raise ValueError("images: there is one value a channel, from which no norm can be had in training")
        running = np.array([(norm.running_mean.data_ptr(), norm.running_var.data_ptr()) for norm, _ in program.norms])
        arrays = [s0, s1, nodes, kept, None, None, None, None, *draws]
        sums = torch.empty(groups, program.slots, 3, WIDTH, **kind)
        more = program.of_statistics, modes, *map(_numbers, (weights, mixing, maps, sums, normal))
        launch("forward", program, program.tables, _thread_count(), samples, arrays, running, *more)
        ctx.save_for_backward(s0, s1, mixing, *tensors, nodes)
        ctx.program, ctx.samples, ctx.draws, ctx.made = program, samples, draws, (kept, modes, weights, maps, normal)
        return nodes

    @staticmethod
    @once_differentiable
    def backward(ctx, of_nodes):
        s0, s1, mixing, *tensors, nodes = ctx.saved_tensors  # which raises where one of them has been changed since
        program, (kept, modes, weights, maps, normal) = ctx.program, ctx.made
        groups, kind, needs = len(nodes), {"dtype": nodes.dtype}, ctx.needs_input_grad[3:]
        if needs not in program.backward:
            program.backward[needs] = Gradients(program, needs[:2], needs[2], needs[3:])
        gradients = program.backward[needs]
        blank = torch.zeros_like if program.halves > 1 else torch.empty_like  # of the first only some pixels are read
        inputs = [blank(x) if needed else None for x, needed in zip((s0, s1), needs)]
        of_nodes = of_nodes.clone(memory_format=torch.contiguous_format)
        passed = torch.empty(groups, program.passed, **kind)
        arrays = [s0, s1, nodes, kept, *inputs, of_nodes, passed, *ctx.draws]
        sums, entering = torch.empty(groups, program.terms, 2, WIDTH, **kind), torch.empty(3, program.terms, **kind)
        of_kernels = torch.empty(groups, program.kernels if gradients.kernels else 0, **kind)
        of_weights, of_mixing = torch.zeros_like(weights), torch.zeros_like(mixing)
        more = map(_numbers, (weights, mixing, maps, sums, normal, entering, of_kernels, of_weights, of_mixing))
        launch("backward", program, gradients.tables, _thread_count(), ctx.samples, arrays, modes, *more)
        if gradients.kernels:
            torch.sum(of_kernels, 0, out=of_weights[: program.kernels])
        parts = [
            part.view(tensor.shape) if needed else None
            for part, tensor, needed in zip(of_weights.split(program.counts), tensors, needs[3:], strict=True)
        ]
        return None, None, None, *inputs, of_mixing if needs[2] else None, *parts


class _Grouped(torch.autograd.Function):
    """Samples side by side: (groups, channels, height, width, WIDTH), zero where there is none."""

    @staticmethod
    def forward(ctx, x):
        ctx.samples = len(x)
        return _into_groups(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_groups):
        return _out_of_groups(of_groups, ctx.samples)


class _Ungrouped(torch.autograd.Function):
    """The inverse of `_Grouped`."""

    @staticmethod
    def forward(ctx, x, samples: int):
        return _out_of_groups(x, samples)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_samples):
        return _into_groups(of_samples), None


def grouped(x: Tensor) -> Tensor:
    """(batch, channels, height, width) as groups of WIDTH samples side by side, which is what cells compute with:
    (groups, channels, height, width, WIDTH)."""
    return _Grouped.apply(x)


def ungrouped(x: Tensor, samples: int) -> Tensor:
    """The inverse of `grouped`."""
    return _Ungrouped.apply(x, samples)


def _into_groups(x: Tensor) -> Tensor:
    from darts_lab.networks import kernels  # which takes a second, and numba

    out = torch.empty(-(-len(x) // WIDTH), *x.shape[1:], WIDTH, dtype=x.dtype)
    kernels.into_groups(_numbers(x.contiguous().flatten(1)), _numbers(out.flatten(1, 3)))
    return out


def _out_of_groups(x: Tensor, samples: int) -> Tensor:
    from darts_lab.networks import kernels

    out = torch.empty(samples, *x.shape[1:4], dtype=x.dtype)
    kernels.out_of_groups(_numbers(x.contiguous().flatten(1, 3)), _numbers(out.flatten(1)))
    return out


def _thread_count() -> int:
    return _threads.get() or torch.get_num_threads()


def _numbers(x: Tensor) -> np.ndarray:
    return x.detach().numpy()
