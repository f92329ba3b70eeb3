"""What a program is made of: rows, one for each operation on a group of samples, and terms, whose sums are states.

Numbers are places: of an array (`x`, `y`, `d`, `dx`: which array, `*_at`: the first number in it, in each group), of a
weight among all weights, of a channel among all that are normalised (`slot`) or all that are added up (`term`).
"""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

import numpy as np

WIDTH = 16  # samples in a group, side by side in memory: arrays are (groups, channels, height, width, WIDTH)

S0, S1, NODES, KEPT, OF_S0, OF_S1, OF_NODES, PASSED, PATHS, NOISE = range(10)  # the arrays; draws of noise come last
READ, STAGE, POOL, SUM, NORM, STAGE_BACK, POOL_BACK, SUM_BACK, INNER, NORM_BACK, ZERO = range(11)


class Row(NamedTuple):
    """An operation, of which each kind looks at some of the columns."""

    kind: int
    x: int = 0  # what is read: (channels, height, width)
    x_at: int = 0
    map: int = -1  # the slot of the norm that is applied while reading; -1: none
    channels: int = 0
    height: int = 1
    width: int = 1
    y: int = 0  # what is made: (outputs, high, wide)
    y_at: int = 0
    outputs: int = 0
    high: int = 1
    wide: int = 1
    kernel: int = 1  # pixels on a side; 1: nothing is convolved depth by depth
    stride: int = 1
    dilation: int = 1
    offset: int = 0  # the first pixel of a stride
    border: int = 0  # pixels of zeros around what is read
    maximum: int = 0
    depthwise: int = -1
    pointwise: int = -1
    slot: int = -1
    first: int = 0  # of the terms
    last: int = 0
    d: int = 0  # the gradient of what was made, after its norm
    d_at: int = 0
    term: int = 0
    dx: int = 0  # the gradient of what was read
    dx_at: int = 0
    adds: int = 0  # whether that is added to, or written
    reads: int = 0  # whether it is needed
    weighs: int = 0  # whether the gradients of weights are
    weight: int = -1  # of a term
    scale: int = -1  # the norm's scale and shift
    shift: int = -1
    path: int = 0  # 1 + the edge whose drop path it is; 0: never dropped
    number: int = -1  # of the norm
    chosen: int = 0  # the first of its channels in the list of those in the module's statistics


class Term(NamedTuple):
    """weight * norm(x), where a sample keeps the path, added to a state; `d` is the gradient of that state."""

    x: int
    x_at: int
    slot: int
    weight: int
    term: int
    d: int
    d_at: int
    path: int


ROW = np.dtype([(name, np.int64) for name in Row._fields])
TERM = np.dtype([(name, np.int64) for name in Term._fields])


class Tables(NamedTuple):
    """Rows, phases (the first row, the last, whether once) and terms, as arrays."""

    rows: np.ndarray
    phases: np.ndarray
    terms: np.ndarray


class Phases:
    """Rows, phase after phase."""

    def __init__(self):
        self.rows: list[Row] = []
        self.phases: list[list[int]] = []

    def each(self, rows: Iterable[Row]) -> None:
        """Rows for each group of samples by itself."""
        self._add(rows, 0)

    def once(self, rows: Iterable[Row]) -> None:
        """Rows that need all groups."""
        self._add(rows, 1)

    def _add(self, rows: Iterable[Row], once: int) -> None:
        first = len(self.rows)
        self.rows += rows
        if len(self.rows) == first:
            return
        if self.phases and self.phases[-1][2] == once:
            self.phases[-1][1] = len(self.rows)
        else:
            self.phases.append([first, len(self.rows), once])

    def tables(self, terms: list[Term]) -> Tables:
        phases = np.array(self.phases, np.int64).reshape(-1, 3)
        return Tables(np.array(self.rows, ROW), phases, np.array(terms or [Term(*[0] * 8)], TERM))


def reading(rows: Iterable[Row]) -> Iterable[Row]:
    """Each row behind one that reads for it, but for those that read the same as the row before."""
    for _, run in groupby(rows, key=lambda row: (row.x, row.x_at, row.map, row.border)):
        run = list(run)
        yield run[0]._replace(kind=READ)
        yield from run
