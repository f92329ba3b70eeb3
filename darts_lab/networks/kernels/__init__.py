"""The arithmetic of `fused`, compiled by numba: all rows of a program (`tables`), forward and backward.

Sixteen samples lie side by side: arrays are (groups, channels, height, width, 16), and what is computed for one pixel
is computed for sixteen samples by one operation on vectors, whatever the size of an image, the stride or the dilation.
Lanes without a sample hold some number and are left out of every sum. Each sample has a factor for each path, 0 where
it is dropped, else 1 / (1 - probability); path 0, of what is never dropped, has 1. A stage reads through the norm
before it and a ReLU: what is normalised is never written. Sums over samples are kept group by group and added up in
one order, so no bit depends on who did which groups.
"""

from pathlib import Path
from zlib import crc32

import numba
import numpy as np
from numba import njit

from darts_lab.networks import tables as table
from darts_lab.networks.kernels import norms, pools, stages
from darts_lab.networks.kernels.norms import path_of, place
from darts_lab.networks.kernels.vectors import pointer, start, store, zeros
from darts_lab.networks.tables import (
    INNER,
    NORM,
    NORM_BACK,
    POOL,
    POOL_BACK,
    READ,
    STAGE,
    STAGE_BACK,
    SUM,
    SUM_BACK,
    WIDTH,
    ZERO,
)  # fmt: skip

VERSION = f"numba {numba.__version__}"


def _kernels(sources: int):
    """(forward, backward). numba compiles anew where this file has changed, or what a function has from outside."""

    @njit(nogil=True, cache=True)
    def forward(
        rows, phases, terms, sizes, first_phase, last_phase, first, last, samples, arrays, running, chosen, modes,
        weights, mixing, maps, sums, normal,
    ):  # fmt: skip
        """The phases of a program from `first_phase` to `last_phase`, for the groups from `first` to `last`.

        `phases` (*, 3): the first of the rows, the last, whether they are done once and not for each group. `running`
        (norms, 2) are addresses of running statistics, `modes` as for `norms.normalise`.
        """
        sources  # other sources are other kernels  # noqa: B018
        like = weights
        tall, buffer = np.empty(sizes[0], like.dtype), np.empty(sizes[1], like.dtype)
        places, factors = np.empty(512, np.int64), np.empty(512 * WIDTH, like.dtype)
        for phase in range(first_phase, last_phase):
            for group in range(first, first + 1 if phases[phase, 2] else last):
                for r in range(phases[phase, 0], phases[phase, 1]):
                    row = rows[r]
                    kind = row.kind
                    if kind == NORM:
                        mean, variance = pointer(running[row.number, 0], like), pointer(running[row.number, 1], like)
                        norms.normalise(
                            row, sums, samples, modes[row.number], mean, variance, chosen, weights, normal, maps
                        )
                        continue
                    y = place(arrays, row.y, row.y_at, group, like)
                    if kind == SUM:
                        norms.add_up(row, terms, arrays, group, mixing, maps, factors, places, y)
                        continue
                    x = place(arrays, row.x, row.x_at, group, like)
                    if kind == READ:
                        stages.read(row, x, start(maps[0]), start(maps[1]), start(tall))
                    elif kind == STAGE:
                        stages.stage(row, start(tall), weights, places, buffer, y)
                    else:
                        pools.pool(row, x, like.dtype, y)
                    if kind != READ and row.slot >= 0:
                        norms.moments(row, y, sums[group])

    @njit(nogil=True, cache=True)
    def backward(
        rows, phases, terms, sizes, first_phase, last_phase, first, last, samples, arrays, modes, weights, mixing, maps,
        sums, normal, entering, of_kernels, of_weights, of_mixing,
    ):  # fmt: skip
        """The phases of a program's gradients; `of_kernels` (groups, weights of convolutions)."""
        sources  # other sources are other kernels  # noqa: B018
        like = weights
        tall, back = np.empty(sizes[0], like.dtype), np.empty(sizes[2], like.dtype)
        buffers = (np.empty(sizes[3], like.dtype), np.empty(sizes[1], like.dtype), back, np.empty(sizes[4], like.dtype))
        places, factors = np.empty(512, np.int64), np.empty(512 * WIDTH, like.dtype)
        for phase in range(first_phase, last_phase):
            for group in range(first, first + 1 if phases[phase, 2] else last):
                lanes = min(WIDTH, samples - group * WIDTH)
                for r in range(phases[phase, 0], phases[phase, 1]):
                    row = rows[r]
                    kind = row.kind
                    if kind == NORM_BACK:
                        mode = modes[row.number] if row.number >= 0 else 0
                        norms.norm_gradients(
                            row, sums, samples, mode, weights, mixing, normal, entering, of_weights, of_mixing
                        )
                        continue
                    y = place(arrays, row.y, row.y_at, group, like)
                    d = place(arrays, row.d, row.d_at, group, like)
                    dx = place(arrays, row.dx, row.dx_at, group, like)
                    x = place(arrays, row.x, row.x_at, group, like)
                    pixels, kept = row.high * row.wide, path_of(arrays, row.path, group, like)
                    if kind == READ:
                        stages.read(row, x, start(maps[0]), start(maps[1]), start(tall))
                    elif kind == STAGE_BACK:
                        stages.stage_gradients(
                            row, x, start(tall), start(maps[0]), start(maps[1]), weights, y, d, kept, entering, lanes,
                            places, factors, buffers, dx, of_kernels[group],
                        )  # fmt: skip
                    elif kind == INNER:
                        norms.inner_products(row, d, y, kept, normal, sums[group])
                    elif kind == POOL_BACK:
                        for c in range(row.outputs):
                            norms.gradient_of(
                                row, c, terms, arrays, group, entering, factors, places, y, start(back), False
                            )
                            pools.pool_gradients(row, x, y, back, c, like.dtype, dx)
                    elif kind == SUM_BACK:
                        for c in range(row.outputs):
                            out = place(arrays, row.dx, row.dx_at + c * pixels * WIDTH, group, like)
                            norms.gradient_of(row, c, terms, arrays, group, entering, factors, places, y, out, True)
                    else:
                        for i in range(row.outputs * pixels):
                            store(dx, i * WIDTH, zeros(dx))

    return forward, backward


_files = [Path(table.__file__), *sorted(Path(__file__).parent.glob("*.py"))]
forward, backward = _kernels(crc32(b"".join(file.read_bytes() for file in _files)))


@njit(nogil=True, cache=True)
def into_groups(x, out):
    """Samples (batch, numbers) side by side: out (groups, numbers, WIDTH), zero where there is none."""
    for group in range(out.shape[0]):
        lanes = min(WIDTH, x.shape[0] - group * WIDTH)
        for p in range(out.shape[1]):
            for lane in range(lanes):
                out[group, p, lane] = x[group * WIDTH + lane, p]
            for lane in range(lanes, WIDTH):
                out[group, p, lane] = 0


@njit(nogil=True, cache=True)
def out_of_groups(x, out):
    """The inverse of `into_groups`."""
    for group in range(x.shape[0]):
        for lane in range(min(WIDTH, out.shape[0] - group * WIDTH)):
            for p in range(x.shape[1]):
                out[group * WIDTH + lane, p] = x[group, p, lane]
