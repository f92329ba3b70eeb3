"""A cell as a table of rows (`kernels.tables`): what its kernels do, for inputs of one shape and one set of operations.

A cell's states become known one after the other. What leaves a state is computed as soon as it is known, in at most two
steps, each with its norms; a node is the sum of its terms. Rows in one phase need nothing of other groups of samples; a
norm needs all of them, so phases of norms lie in between.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from darts_lab.networks.operations import BatchNorm, FactorizedReduce, Noise, Pool, select
from darts_lab.networks.tables import (
    KEPT,
    NODES,
    NOISE,
    NORM,
    OF_NODES,
    PASSED,
    POOL,
    S0,
    STAGE,
    SUM,
    WIDTH,
    Phases,
    Row,
    Tables,
    Term,
    reading,
)  # fmt: skip

SLACK = 64  # vectors behind a buffer, up to which blocks of four pixels may read


class Layer(NamedTuple):
    """A convolution of several copies and its norm: rows for its stages, and where each copy's result is."""

    rows: list[Row]
    norm: Row
    of_copies: list[Row]  # y, slot and term of each
    sources: list[int]  # the state that each row reads; -1: a result of the layer before
    weights: list[int]  # which of the program's are its convolution's
    passed: list[int]  # where the gradient of each copy's result is, if another layer reads it


class Part(NamedTuple):
    """What leaves a state: layers one after the other; or a pool (`row`), the identity or noise, without layers."""

    layers: list[Layer]
    targets: list[int]  # the state that each term adds to
    terms: list[Term]
    row: Row | None = None
    source: int = -1  # the state that `row` reads, or the input that the layer does


class Goal(NamedTuple):
    """Where a result is added: the state, the place of its weight (-1: none), its path (`Row.path`)."""

    target: int
    weight: int
    path: int


Size = tuple[int, int]  # (height, width)


def _strided(size: Size, stride: int) -> Size:
    return -(-size[0] // stride), -(-size[1] // stride)


class Program:
    """The forward pass of a cell. `weights` are its tensors, first those of convolutions; `noises` what draws noise,
    with how many draws each, for states of which size."""

    def __init__(self, cell, plan, weighted: bool, shapes: Sequence[Sequence[int]]):
        self.width, self.nodes, stride = cell.width, cell.nodes, cell.downsampling
        self.inner: Size = (shapes[1][1], shapes[1][2])
        self.size: Size = self.inner[0] // stride, self.inner[1] // stride
        self.weights: list[tuple[nn.Module, str, list[int] | None]] = []
        self.norms: list[tuple[BatchNorm, list[int] | None]] = []
        self.affine: dict[int, tuple[int, int]] = {}  # by norm: the places of its scale and shift
        self.of_affine: dict[int, list[int]] = {}  # and which of the weights they are
        self.noises: list[tuple[Noise, int, tuple[int, int]]] = []
        self.chosen: list[int] = []  # which channels of a module's statistics are its own, norm by norm
        self.kept = self.passed = self.slots = self.terms = self.kernels = 0
        self.sizes = [1] * 5  # of the kernels' buffers: what is read, lines of it, a gradient of it, its result's, sums
        self.fewest, self.halves = 1 << 30, 2 if isinstance(cell.preprocess0, FactorizedReduce) else 1
        self.scales = 0  # how many weights of copies there are
        self.states = [(KEPT, self.keep(self.width, self.inner)) for _ in range(2)]
        pixels = self.size[0] * self.size[1] * WIDTH
        self.states += [(NODES, node * self.width * pixels) for node in range(self.nodes)]
        self.of_states = [(PASSED, self.pass_on(self.width, self.inner)) for _ in range(2)]
        self.of_states += [(OF_NODES, node * self.width * pixels) for node in range(self.nodes)]
        before = cell.preprocess0, cell.preprocess1
        self.inputs = [self._input(module, shapes[number], number) for number, module in enumerate(before)]
        self.waves = [self._wave(cell, plan, wave, weighted) for wave in range(self.nodes)]
        self._place_affine()
        self.tables = self._forward()
        self.buffers, self.of_statistics = np.array(self.sizes), np.array(self.chosen, np.int64)
        self.counts = [tensor.numel() for tensor in self.tensors()]
        self.backward: dict[tuple, object] = {}  # the gradients by what is needed

    # Places

    def keep(self, channels: int, size: Sequence[int]) -> int:
        self.kept += (count := channels * size[0] * size[1] * WIDTH)
        return self.kept - count

    def pass_on(self, channels: int, size: Sequence[int]) -> int:
        self.passed += (count := channels * size[0] * size[1] * WIDTH)
        return self.passed - count

    def _term(self) -> int:
        self.terms += self.width
        return self.terms - self.width

    def _weight(self, module: nn.Module, name: str, active: list[int] | None) -> int:
        """The place of a convolution's tensor among all weights."""
        tensor = getattr(module, name)
        self.weights.append((module, name, active))
        if tensor.dim() == 4:
            count = tensor.numel()
        else:
            count = tensor[0].numel() * (len(tensor) if active is None else len(active))
        self.kernels += count
        return self.kernels - count

    def _norm(self, norm: BatchNorm | None, channels: int, active, size) -> Row:
        """The row of a norm; its scale and shift get their places when those of all convolutions are known."""
        if norm is None:
            return Row(NORM, outputs=channels, high=size[0], wide=size[1])
        first, slot = len(self.chosen), self.slots
        chosen = np.arange(len(norm.running_mean))
        if active is not None:
            chosen = chosen.reshape(norm.copies, -1)[active].ravel()
        self.chosen += chosen.tolist()
        self.slots += channels
        self.fewest = min(self.fewest, size[0] * size[1])
        self.norms.append((norm, active))
        more = {"slot": slot, "chosen": first, "number": len(self.norms) - 1}
        return Row(NORM, outputs=channels, high=size[0], wide=size[1], **more)

    def _place_affine(self) -> None:
        self.convolutions, place = len(self.weights), self.kernels
        for number, (norm, active) in enumerate(self.norms):
            if norm.scale is not None:
                count = len(norm.scale) if active is None else len(norm.scale) // norm.copies * len(active)
                self.affine[number] = place, place + count
                self.of_affine[number] = [len(self.weights), len(self.weights) + 1]
                self.weights += [(norm, "scale", active), (norm, "shift", active)]
                place += 2 * count

    # What there is

    def _input(self, module, shape: Sequence[int], number: int) -> Part:
        channels, size = shape[0], (shape[1], shape[2])
        if isinstance(module, FactorizedReduce):
            layer = self._reducing(module, [(number, S0 + number, 0)], channels, size, None)
        else:
            place = self._weight(module, "weight", None)
            layer = self._layer([(number, S0 + number, 0, -1)], channels, size, module.norm, None, place)
        term = self._added(layer.of_copies[0], number, -1, 0)
        return Part([layer], [number], [term], source=number)

    def _added(self, made: Row, target: int, weight: int, path: int) -> Term:
        return Term(made.y, made.y_at, made.slot, weight, made.term, *self.of_states[target], path)

    def _layer(
        self, reads, channels, size: Size, norm, active, pointwise, depthwise=-1, kernel=1, stride=1, dilation=1,
        last=True,
    ) -> Layer:  # fmt: skip
        """Copies of which each reads (state, array, place, map)."""
        width, copies, border = self.width, len(reads), dilation * (kernel // 2)
        made = _strided(size, stride)
        of_norm = self._norm(norm, copies * width, active, made)
        y_at, term, pixels = self.keep(copies * width, made), self.terms, made[0] * made[1] * WIDTH
        self.terms += copies * width
        rows = []
        for copy, (_, x, x_at, of_map) in enumerate(reads):
            row = Row(
                STAGE, x, x_at, of_map, channels, *size, KEPT, y_at + copy * width * pixels, width, *made, kernel,
                stride, dilation, 0, border, 0, depthwise + copy * channels * kernel**2 if kernel > 1 else -1,
                pointwise + copy * width * channels, of_norm.slot + copy * width, term=term + copy * width,
            )  # fmt: skip
            rows.append(row)
        self._fit(rows[0])
        passed = [] if last else [self.pass_on(width, made) for _ in reads]
        weights = range(len(self.weights) - (1 if kernel == 1 else 2), len(self.weights))
        return Layer(rows, of_norm, rows, [state for state, *_ in reads], list(weights), passed)

    def _reducing(self, module: FactorizedReduce, reads, channels, size: Size, active) -> Layer:
        width, copies, made = self.width, len(reads), (size[0] // 2, size[1] // 2)
        even, odd = (self._weight(module, name, active) for name in ("even", "odd"))
        half, of_norm = module.even.shape[1], self._norm(module.norm, len(reads) * self.width, active, made)
        y_at, term, pixels = self.keep(copies * width, made), self.terms, made[0] * made[1] * WIDTH
        self.terms += copies * width
        rows, of_copies = [], []
        for copy, (_, x, x_at) in enumerate(reads):
            whole = Row(
                STAGE, x, x_at, -1, channels, *size, KEPT, y_at + copy * width * pixels, width, *made, 1, 2,
                slot=of_norm.slot + copy * width, term=term + copy * width,
            )  # fmt: skip
            of_copies.append(whole)
            first = whole._replace(outputs=half, pointwise=even + copy * half * channels)
            rest = width - half
            second = first._replace(
                outputs=rest, pointwise=odd + copy * rest * channels, offset=1, y_at=whole.y_at + half * pixels,
                slot=whole.slot + half, term=whole.term + half,
            )  # fmt: skip
            rows += [first, second]
        self._fit(rows[0])
        weights = [len(self.weights) - 2, len(self.weights) - 1]
        return Layer(rows, of_norm, of_copies, [state for state, *_ in reads for _ in range(2)], weights, [])

    def _fit(self, row: Row) -> None:
        """Makes the kernels' buffers large enough."""
        wide = -(-row.wide // 4) * 4
        lines, beyond = min(row.high, max(1, 16 // wide)), -(-row.border // row.stride)
        sizes = (
            row.channels * (row.height + 2 * row.border) * (row.width + 2 * row.border),
            row.channels * lines * wide,
            row.channels * (row.high + 2 * beyond) * (row.wide + 2 * beyond),
            row.outputs * lines * wide,
            row.outputs * row.channels,
        )
        self.sizes = [max(one, (other + SLACK) * WIDTH) for one, other in zip(self.sizes, sizes)]

    def _wave(self, cell, plan, wave: int, weighted: bool) -> list[Part]:
        """The parts that leave the states of a wave."""
        size, parts = self.inner if wave == 0 else self.size, []
        for name, module in cell.stacked[wave].items():
            running, places = plan.copies[wave][name], cell.places[wave][name]
            if running:
                active = running if len(running) < len(places) else None
                places = [places[copy] for copy in running]
                weights = [-1] * len(running)
                if weighted:
                    weights = list(range(self.scales, self.scales + len(running)))
                    self.scales += len(running)
                goals = [Goal(place.node + 2, at, place.edge + 1) for place, at in zip(places, weights)]
                parts.append(self._stacked(module, [place.source for place in places], goals, active, size))
        table, first = plan.tables[wave], sum(plan.sizes[: wave + 1])
        for part, (module, (source, _), places) in enumerate(
            zip(cell.shared[wave], cell.readers[wave], cell.readers[wave].values())
        ):
            drops = not isinstance(module, nn.Identity)  # which, in a network of a genotype, is never dropped
            goals = [Goal(place.node + 2, -1, place.edge + 1 if drops else 0) for place in places]
            if weighted:
                if part not in plan.parts[wave]:
                    continue
                column, columns = plan.parts[wave].index(part), len(plan.parts[wave])
                used = [(row, node, table[node][column]) for row, node in enumerate(table)]
                goals = [
                    Goal(node + 2, first + row * columns + column, place.edge + 1)
                    for row, node, place in used
                    if place is not None
                ]
            parts.append(self._shared(module, source, goals, size))
        return parts

    def _stacked(self, module, sources, goals: list[Goal], active, size) -> Part:
        if isinstance(module, Noise):
            array, pixels = NOISE + len(self.noises), self.size[0] * self.size[1] * WIDTH
            self.noises.append((module, len(goals), tuple(size)))
            draws = [
                Row(SUM, y=array, y_at=copy * self.width * pixels, term=self._term()) for copy in range(len(goals))
            ]
            return self._part([], draws, goals)
        reads = [(source, *self.states[source], -1) for source in sources]
        if isinstance(module, FactorizedReduce):
            layers = [self._reducing(module, [read[:3] for read in reads], self.width, size, active)]
        else:
            layers = []
            for stage in module.stages:
                layer = self._layer(
                    reads, self.width, size, stage.norm, active, self._weight(stage, "pointwise", active),
                    self._weight(stage, "depthwise", active), stage.depthwise.shape[-1], stage.stride, stage.dilation,
                    stage is module.stages[-1],
                )  # fmt: skip
                layers.append(layer)
                reads, size = (
                    [(-1, row.y, row.y_at, row.slot) for row in layer.of_copies],
                    (layer.norm.high, layer.norm.wide),
                )
        return self._part(layers, layers[-1].of_copies, goals)

    def _shared(self, module, source: int, goals: list[Goal], size: Size) -> Part:
        x, x_at = self.states[source]
        row = Row(SUM, x, x_at, -1, self.width, *size, x, x_at, self.width, *size)
        if isinstance(module, Pool):
            made = _strided(size, module.stride)
            norm = self._norm(module.norm, self.width, None, made)
            y_at = self.keep(self.width, made)
            row = Row(
                POOL, x, x_at, -1, self.width, *size, KEPT, y_at, self.width, *made, stride=module.stride,
                maximum=int(module.maximum), slot=norm.slot, number=norm.number, chosen=norm.chosen,
            )  # fmt: skip
            self.sizes[2] = max(self.sizes[2], made[0] * made[1] * WIDTH)
        return self._part([], [row._replace(term=self._term()) for _ in goals], goals, row, source)

    def _part(self, layers: list[Layer], made: list[Row], goals: list[Goal], *more) -> Part:
        terms = [self._added(row, *goal) for row, goal in zip(made, goals)]
        return Part(layers, [goal.target for goal in goals], terms, *more)

    # What is done

    def into(self, state: int) -> list[tuple[Part, Term]]:
        """The terms of a state."""
        parts = self.inputs if state < 2 else [part for wave in self.waves[: state - 1] for part in wave]
        return [(part, term) for part in parts for term, target in zip(part.terms, part.targets) if target == state]

    def _forward(self) -> Tables:
        phases = Phases()
        terms: list[Term] = []
        phases.each(reading(row for part in self.inputs for row in part.layers[0].rows))
        phases.once(self.affine_of(part.layers[0].norm) for part in self.inputs)
        phases.each([self._sum(0, terms), self._sum(1, terms)])
        for wave in range(self.nodes):
            parts = self.waves[wave]
            pools = [part.row for part in parts if part.row is not None and part.row.kind == POOL]
            phases.each(pools)
            phases.each(reading(row for part in parts for layer in part.layers[:1] for row in layer.rows))
            norms = [pool._replace(kind=NORM) for pool in pools if pool.slot >= 0]
            phases.once(norms + [self.affine_of(layer.norm) for part in parts for layer in part.layers[:1]])
            phases.each(reading(row for part in parts for layer in part.layers[1:] for row in layer.rows))
            phases.once(self.affine_of(layer.norm) for part in parts for layer in part.layers[1:])
            phases.each([self._sum(wave + 2, terms)])  # the node that has all its terms now
        return phases.tables(terms)

    def _sum(self, state: int, terms: list[Term]) -> Row:
        (y, y_at), size = self.states[state], self.inner if state < 2 else self.size
        first = len(terms)
        terms += [term for _, term in self.into(state)]
        return Row(SUM, y=y, y_at=y_at, outputs=self.width, high=size[0], wide=size[1], first=first, last=len(terms))

    def affine_of(self, norm: Row) -> Row:
        """The row of a norm with the places of its scale and shift."""
        scale, shift = self.affine.get(norm.number, (-1, -1))
        return norm._replace(scale=scale, shift=shift)

    def tensors(self) -> list[Tensor]:
        """The cell's tensors, in the order of their places."""
        return [
            module.chosen(tensor, active) if isinstance(module, BatchNorm) else select(tensor, active)
            for module, name, active in self.weights
            for tensor in [getattr(module, name)]
        ]
