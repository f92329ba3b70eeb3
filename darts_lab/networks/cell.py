"""A cell as a function of its mixing weights, for supernets and, with one candidate an edge, networks of a genotype."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab.networks import fused, operations
from darts_lab.networks.operations import BatchNorm, FactorizedReduce, kept_paths, weight
from darts_lab.spaces import NONE


class Place(NamedTuple):
    """One candidate of one edge, from state `source` to node `node`."""

    edge: int
    candidate: int
    source: int
    node: int


class Plan(NamedTuple):
    """Which operations of a cell run, and where their mixing weights are."""

    copies: list[dict[str, list[int]]]  # [wave][operation]: the copies that run
    parts: list[list[int]]  # [wave]: the shared operations that run
    tables: list[dict[int, list[Place | None]]]  # [wave][node]: the place of each of these parts, None where unused
    order: Tensor  # of the mixing weights, edge by edge: first those of all copies, then of all tables
    sizes: list[int]  # of the pieces of `order`: the copies, then each wave's table


class Weighting(NamedTuple):
    """The mixing weights of one cell type in the order in which its cells use them (`Cell.weighting`)."""

    plan: Plan
    scales: Tensor  # (copies that run,), wave by wave
    matrices: list[Tensor]  # for each wave (nodes, shared operations)
    edges: Tensor | None  # (edges,): the sums over each edge's operations, where channels are passed on


class ConvNorm(nn.Module):
    """1 x 1 convolution and batch-norm: brings an input of a cell, after a ReLU, to the cell's channels."""

    def __init__(self, channels_in, channels, affine, generator):
        super().__init__()
        self.weight = weight(channels, channels_in, 1, 1, fan_in=channels_in, generator=generator)
        self.norm = BatchNorm(channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.conv2d(x, self.weight))

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        yield "op.1.weight", self.weight
        yield from operations.prefixed("op.2", self.norm.copy(0))


class Halving(FactorizedReduce):
    """A single factorized reduction: brings the older input, after a ReLU, to the size of the newer one."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward([x], [0])


class Cell(nn.Module):
    """The cell of `edges`, each (source state, node, candidate operations); `own` are the user's operations by name.

    Its states become known in waves, first both inputs, then node after node; what leaves a wave is computed together.
    `stacked[wave][operation]` is one module for all copies of an operation, which are at `places[wave][operation]`.
    `shared[wave]` are the shared operations, one for each state and kind; `readers[wave]` has the places of each.

    With `share` above 1 operations get and make the first 1/share of the channels; the rest of a state is passed on,
    weighted by the sum of its edge's mixing weights, and the channels of a node are shuffled (PC-DARTS).
    """

    order: Tensor

    def __init__(
        self, edges, concat, inputs, channels, reduction, reduced_before, search, generator, own, node_norm=False,
        share=1,
    ):  # fmt: skip
        super().__init__()
        if channels % share:
            raise ValueError(f"channels: {channels} of a cell cannot be shared among {share}")
        self.concat, self.edges = concat, len(edges)
        self.candidates = max(len(names) for _, _, names in edges)
        self.nodes = max(node for _, node, _ in edges) + 1
        self.into: list[list[tuple[int, int]]] = [[] for _ in range(self.nodes)]  # (edge, source state) by node
        for edge, (source, node, _) in enumerate(edges):
            self.into[node].append((edge, source))
        self.width, self.channels = channels, channels * len(concat)
        self.share, self.inner = share, channels // share  # the latter are those that operations get
        self.downsampling = 2 if reduction else 1
        self.preprocess0: nn.Module
        if reduced_before:  # the older input is still twice as large
            self.preprocess0 = Halving(inputs[0], channels, 1, not search, generator)
        else:
            self.preprocess0 = ConvNorm(inputs[0], channels, not search, generator)
        self.preprocess1 = ConvNorm(inputs[1], channels, not search, generator)

        self.stacked: Any = nn.ModuleList()
        self.places: list[dict[str, list[Place]]] = [{} for _ in range(self.nodes)]
        self.shared: Any = nn.ModuleList()
        self.readers: list[dict[tuple[int, str], list[Place]]] = [{} for _ in range(self.nodes)]
        strides = [self.downsampling] + [1] * (self.nodes - 1)  # of the waves: only edges that leave the inputs halve
        candidates = [
            (Place(edge, candidate, source, node), name)
            for edge, (source, node, names) in enumerate(edges)
            for candidate, name in enumerate(names)
            if name != NONE
        ]
        for place, name in sorted(candidates, key=lambda pair: (pair[0].source, pair[0].node)):
            wave = max(place.source - 1, 0)
            if operations.is_shared(name, strides[wave], own):
                self.readers[wave].setdefault((place.source, name), []).append(place)
            else:
                self.places[wave].setdefault(name, []).append(place)
        stack = partial(operations.stack, search=search, generator=generator, own=own)
        for stride, kinds, readers in zip(strides, self.places, self.readers):
            stacks = {name: stack(name, self.inner, stride, len(places)) for name, places in kinds.items()}
            self.stacked.append(nn.ModuleDict(stacks))
            shared = (operations.shared(name, self.inner, stride, search) for _, name in readers)
            self.shared.append(nn.ModuleList(shared))
        self.norms = nn.ModuleList(BatchNorm(channels, affine=False) for _ in range(self.nodes) if node_norm)
        self.full_plan = self._plan(lambda place: True)
        self.fusable: bool | None = None  # whether all of it has a fused form; None: not looked at yet
        if search:
            self.register_buffer("order", self.full_plan.order, persistent=False)

    def modules_by_place(self) -> Iterator[tuple[Place, nn.Module, int]]:
        """(place, module, copy): the module of each candidate but the identity, and which of its copies it is."""
        for kinds, modules, readers, shared in zip(self.places, self.stacked, self.readers, self.shared, strict=True):
            for name, places in kinds.items():
                yield from ((place, modules[name], copy) for copy, place in enumerate(places))
            for module, places in zip(shared, readers.values(), strict=True):
                yield from ((place, module, 0) for place in places if not isinstance(module, nn.Identity))

    def _plan(self, runs: Callable[[Place], bool]) -> Plan:
        copies = [
            {name: [copy for copy, place in enumerate(places) if runs(place)] for name, places in kinds.items()}
            for kinds in self.places
        ]
        order: list[Place | None] = []
        order += [place for kinds in self.places for places in kinds.values() for place in filter(runs, places)]
        parts, tables, sizes = [], [], [len(order)]
        for readers in self.readers:
            running = [list(filter(runs, places)) for places in readers.values()]
            parts.append([part for part, places in enumerate(running) if places])
            nodes = sorted({place.node for places in running for place in places})
            by_node = [{place.node: place for place in running[part]} for part in parts[-1]]
            tables.append({node: [places.get(node) for places in by_node] for node in nodes})
            order += [place for row in tables[-1].values() for place in row]
            sizes.append(len(order) - sum(sizes))
        zero = self.edges * self.candidates  # the index of a weight of zero, after all others
        indices = [zero if place is None else place.edge * self.candidates + place.candidate for place in order]
        return Plan(copies, parts, tables, torch.tensor(indices, dtype=torch.long), sizes)

    def weighting(self, mixing: Tensor, nonzero: list[list[bool]] | None = None) -> Weighting:
        """`mixing` (edges, candidates) in the order of `forward`; `nonzero` says which operations run (None: all)."""
        if nonzero is None:
            plan = self.full_plan._replace(order=self.order)
        else:
            plan = self._plan(lambda place: nonzero[place.edge][place.candidate])
        flat = torch.cat([mixing.flatten(), mixing.new_zeros(1)])
        scales, *matrices = flat[plan.order].split(plan.sizes)
        matrices = [matrix.view(len(table), -1) if table else matrix for matrix, table in zip(matrices, plan.tables)]
        return Weighting(plan, scales, matrices, mixing.sum(1) if self.share > 1 else None)

    def forward(self, s0, s1, weighting: Weighting | None = None, drop_path: float = 0.0, generator=None) -> Tensor:
        """The nodes of `concat` side by side, (batch, nodes * channels, height, width). `s0` and `s1` are the inputs
        after a ReLU. Without `weighting` every operation weighs 1."""
        if fused.takes(self, s0):
            return fused.cell(self, s0, s1, weighting, drop_path, generator)
        whole = [self.preprocess0(s0), self.preprocess1(s1)]
        rectified: list[Tensor] = []
        states = [self._inner(state) for state in whole]  # what operations get
        received: list[list[Tensor]] = [[] for _ in range(self.nodes)]
        kept = kept_paths(self, whole[0], s0.shape[0], self.edges, drop_path, generator)
        plan, scales = self.full_plan, []
        if weighting is not None:
            plan = weighting.plan
            sizes = [self.inner * len(copies) for kinds in plan.copies for copies in kinds.values() if copies]
            scales = list(weighting.scales[:, None].expand(-1, self.inner).reshape(-1).split(sizes))
        for wave, modules in enumerate(self.stacked):
            rectified += [state.relu() for state in states[len(rectified) :]]
            sums: dict[tuple, Tensor] = {}  # of what leaves this wave, by the nodes that receive it
            for name, operation in modules.items():
                running, places = plan.copies[wave][name], self.places[wave][name]
                if not running:
                    continue
                active = running if len(running) < len(places) else None
                places = [places[copy] for copy in running]
                scale = scales.pop(0) if scales else None
                inputs = rectified if operation.rectified else states
                out = operation(inputs, [place.source for place in places], scale, active, generator)
                if kept is not None:
                    paths = torch.stack([kept[:, place.edge] for place in places], 1)
                    out = out * paths.repeat_interleave(self.inner, 1)[:, :, None, None]
                receivers = _receivers(places)
                sums[receivers] = sums[receivers] + out if receivers in sums else out
            for receivers, out in sums.items():
                if len(receivers) > 1 and len(set(receivers)) == 1:  # every state of the wave goes to the same nodes
                    first, *rest = out.chunk(len(receivers), 1)
                    receivers, out = receivers[:1], sum(rest, first)
                nodes = [node for of_state in receivers for node in of_state]
                for node, part in zip(nodes, out.split(self.inner, 1), strict=True):
                    received[node].append(part)
            for node, part in self._from_shared(wave, states, weighting, kept):
                received[node].append(part)
            if received[wave]:
                node = sum(received[wave][1:], received[wave][0])
            else:  # every operation into this node is `none` or weighs nothing
                node = torch.zeros_like(states[0][:, :, :: self.downsampling, :: self.downsampling])
            if self.share > 1 and weighting is not None and weighting.edges is not None:
                node = self._with_rest(wave, node, whole, weighting.edges, kept)
            whole.append(self.norms[wave](node) if self.norms else node)
            states.append(self._inner(whole[-1]))
        return torch.cat([whole[state] for state in self.concat], 1)

    def _inner(self, state: Tensor) -> Tensor:
        return state if self.share == 1 else state[:, : self.inner]

    def _with_rest(self, node: int, made: Tensor, states: list[Tensor], weights: Tensor, kept) -> Tensor:
        """All channels of a node: those that its operations `made`, and those that no operation got, shuffled."""
        rest: list[Tensor] = []
        for edge, source in self.into[node]:
            passed = states[source][:, self.inner :]
            if source < 2 and self.downsampling == 2:
                passed = F.max_pool2d(passed, 2)
            passed = passed * weights[edge]
            rest.append(passed if kept is None else passed * kept[:, edge, None, None, None])
        return F.channel_shuffle(torch.cat([made, sum(rest[1:], rest[0])], 1), self.share)

    def _from_shared(self, wave: int, states, weighting, kept) -> list[tuple[int, Tensor]]:
        """What the nodes receive of a wave's shared operations, as (node, tensor)."""
        modules, sources = self.shared[wave], [source for source, _ in self.readers[wave]]
        if weighting is None:
            received = []
            for module, source, places in zip(modules, sources, self.readers[wave].values(), strict=True):
                part = module(states[source])
                drops = kept is not None and not isinstance(module, nn.Identity)
                for place in places:
                    received.append((place.node, part * kept[:, place.edge, None, None, None] if drops else part))
            return received
        running, table, matrix = weighting.plan.parts[wave], weighting.plan.tables[wave], weighting.matrices[wave]
        if not running:
            return []
        parts = [modules[part](states[sources[part]]) for part in running]
        if kept is not None:  # the weights differ from sample to sample: (batch, nodes, parts)
            edges = [0 if place is None else place.edge for row in table.values() for place in row]
            matrix = matrix * torch.stack([kept[:, edge] for edge in edges], 1).unflatten(1, matrix.shape)
        return list(zip(table, _mix(parts, matrix), strict=True))


def _receivers(places: list[Place]) -> tuple[tuple[int, ...], ...]:
    """The nodes that receive each of the states that `places` leave."""
    nodes: dict[int, list[int]] = {}
    for place in places:
        nodes.setdefault(place.source, []).append(place.node)
    return tuple(map(tuple, nodes.values()))


def _mix(parts: list[Tensor], matrix: Tensor) -> tuple[Tensor, ...]:
    """Sums of `parts`, each (batch, channels, height, width), weighted by `matrix` ([batch,] sums, parts)."""
    x = torch.cat([part.permute(0, 2, 3, 1) for part in parts])  # channels last in memory, part after part
    batch, shape = len(parts[0]), x.shape[1:]
    if matrix.dim() == 2:
        sums = (matrix @ x.view(len(parts), batch * shape.numel())).view(len(matrix), batch, *shape)
    else:
        sums = (matrix @ x.view(len(parts), batch, shape.numel()).transpose(0, 1)).transpose(0, 1).unflatten(2, shape)
    return sums.permute(0, 1, 4, 2, 3).unbind()
