"""The discrete architecture that a search returns.

Its text form is that of quark0/darts, for images
`Genotype(normal=[('skip_connect', 1), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))`, for a
recurrent cell `Genotype(recurrent=[('tanh', 0), ...], concat=range(1, 9))`; `notation` reads it, and those of others.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from darts_lab import notation, spaces
from darts_lab.checks import checked
from darts_lab.spaces import NONE, SKIP, SearchSpace, concat_name, inputs_of


@dataclass(frozen=True, repr=False)
class Genotype:
    """The kept edges of every type of cell: (operation, source state) pairs, node by node, as many as each node keeps.

    `cells` maps cell types to pairs, `concat` maps them to the states that are concatenated into the cell's output. In
    a cell of two inputs, states 0 and 1 are the inputs and state 2 is the first node. A cell in which a node takes
    another number of edges lists triples (operation, state it leads to, source state), as FairDARTS does. Raises
    ValueError where an edge does not come from an earlier state, a state is used that no edge leads to, or an operation
    is not a string; `check` tells whether it is known.

    >>> cell = dl.uniform_genotype(dl.spaces.get("S5"), "skip_connect")
    >>> cell.normal, cell.count("skip_connect", "normal")
    ((('skip_connect', 0), ('skip_connect', 1)), 2)
    >>> dl.Genotype.of(str(cell)) == cell
    True
    """

    cells: Mapping[str, Sequence[tuple]]
    concat: Mapping[str, Sequence[int]]

    def __post_init__(self):
        kinds = spaces.family(self.cells)
        if kinds is None or spaces.family(self.concat) != kinds:
            found = f"{str(self.cells)[:60]} and {str(self.concat)[:60]}"
            raise ValueError(f"genotype: cells and concat must both map {spaces.ALLOWED_CELLS}, found {found}")
        cells, concats = {}, {}
        for kind in kinds:
            name, inputs = concat_name(kind), inputs_of(kind)
            try:
                edges = _edges(self.cells[kind], inputs)
                concat = tuple(operator.index(state) for state in self.concat[kind])
            except (TypeError, ValueError, LookupError) as error:
                needs = f"pairs (operation, state) and {name} states"
                raise ValueError(f"genotype: {kind} must list {needs}; {error}") from error
            cells[kind], concats[kind] = _listed(edges, inputs), concat
            pairs = not edges or len(self.cells[kind][0]) == 2
            if not edges or (pairs and len(edges) % inputs) or (inputs == 1 and len(cells[kind][0]) > 2):
                raise ValueError(f"genotype: {kind} lists {len(edges)} edges; every node needs {inputs}")
            reached = {*range(inputs), *(node + inputs for _, node, _ in edges)}
            for index, (source, node, operation) in enumerate(edges):
                if node < 0 or source not in reached or source > node + inputs - 1:
                    raise ValueError(
                        f"genotype: {kind} edge {index} ({operation!r:.80}) comes from state {source}; node {node} can "
                        f"take states 0 to {node + inputs - 1}" + ("" if source < 0 else " to which an edge leads")
                    )
            if not concat or not all(state >= inputs and state in reached for state in concat):
                allowed = f"{inputs} to {max(reached)}"
                raise ValueError(
                    f"genotype: {name} is {str(concat)[:60]}; allowed: states {allowed} to which an edge leads"
                )
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "concat", concats)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def cell_types(self) -> tuple[str, ...]:
        return tuple(self.cells)

    @property
    def normal(self) -> Sequence[tuple]:
        return self.cells["normal"]

    @property
    def reduce(self) -> Sequence[tuple]:
        return self.cells["reduce"]

    @property
    def nodes(self) -> int:
        """The number of intermediate nodes of its first cell."""
        return self.nodes_of(self.cell_types[0])

    def nodes_of(self, cell_type: str) -> int:
        """The number of intermediate nodes of a cell."""
        return 1 + max(node for _, node, _ in self.edges(cell_type))

    def edges(self, cell_type: str) -> Iterator[tuple[int, int, str]]:
        """(source state, node, operation) of every kept edge."""
        self._check_type(cell_type)
        return iter(_edges(self.cells[cell_type], inputs_of(cell_type)))

    def count(self, operation: str, cell_type: str) -> int:
        """How often `operation` occurs in a cell, e.g. `genotype.count("skip_connect", "normal")`."""
        self._check_type(cell_type)
        return sum(name == operation for name, *_ in self.cells[cell_type])

    def _check_type(self, cell_type: str) -> None:
        if cell_type not in self.cell_types:
            raise ValueError(f"cell_type: {cell_type!r} is not one of this genotype, {', '.join(self.cell_types)}")

    @property
    def canonical(self) -> Genotype:
        """The same architecture with the edges into each node sorted by their sources."""
        edges = {kind: sorted(self.edges(kind), key=lambda edge: (edge[1], edge[0], edge[2])) for kind in self.cells}
        return Genotype({kind: _listed(edges[kind], inputs_of(kind)) for kind in self.cells}, self.concat)

    def __str__(self) -> str:
        def listed(states):
            contiguous = states == tuple(range(states[0], states[-1] + 1))
            return f"range({states[0]}, {states[-1] + 1})" if contiguous else str(list(states))

        concats = {kind: f"{concat_name(kind)}={listed(states)}" for kind, states in self.concat.items()}
        return f"Genotype({', '.join(f'{kind}={list(pairs)}, {concats[kind]}' for kind, pairs in self.cells.items())})"

    __repr__ = __str__

    @classmethod
    def parse(cls, text: str, operations: tuple[str, ...] = spaces.KNOWN_OPERATIONS) -> Genotype:
        """The genotype in `text`, in any form of `notation`. Raises ValueError, with the place at which the text went
        wrong, for another form, and for operations not in `operations`."""
        if not isinstance(text, str):
            raise ValueError(f"genotype: {ascii(text)[:60]} is no text; it must have the form {notation.FORM}")
        return cls.of(text, operations)

    @classmethod
    def of(cls, source, operations: tuple[str, ...] | None = spaces.KNOWN_OPERATIONS) -> Genotype:
        """The genotype that `source` is: a Genotype, its text, or one of other code (see `notation`), such as a
        namedtuple with normal and reduce. Raises as `parse`; without `operations` (None) all are allowed."""
        genotype = source if isinstance(source, cls) else cls(*notation.read(source))
        if operations is not None:
            genotype.check(operations)
        return genotype

    def check(self, operations: tuple[str, ...]) -> None:
        """Raises ValueError where an edge has an operation that is not one of `operations`."""
        for cell_type, pairs in self.cells.items():
            for name, *_ in pairs:
                if name not in operations:
                    what = f"operation {name!r:.80} in the {cell_type} cell"
                    raise ValueError(f"genotype: {what} is not known; known: {', '.join(operations)}")

    def to_json(self) -> dict:
        """A dictionary of lists that `json` can write and `Genotype.from_json` reads."""
        fields: dict[str, Any] = {}
        for kind, pairs in self.cells.items():
            fields |= {kind: list(map(list, pairs)), concat_name(kind): list(self.concat[kind])}
        return fields

    @classmethod
    def from_json(cls, fields: dict) -> Genotype:
        """The genotype of `to_json`. Raises ValueError where the fields are not those of a genotype."""
        if not isinstance(fields, dict):
            raise ValueError(f"genotype: {str(fields)[:80]!r} does not hold the fields of a genotype")
        return cls(*notation.fields(fields))

    @checked
    def mixing(self, space: SearchSpace) -> torch.Tensor:
        """The genotype as mixing weights of shape `space.shape`: 1 on the kept operations, 0 elsewhere. Raises
        ValueError where it is not of this space."""
        if self.cell_types != space.cell_types:
            ours, theirs = ", ".join(self.cell_types), ", ".join(space.cell_types)
            raise ValueError(f"genotype: tells of cells {ours}, space {space.name!r} has {theirs}")
        mixing = torch.zeros(space.shape)
        for cell, cell_type in enumerate(self.cells):
            if self.nodes_of(cell_type) != space.nodes:
                nodes = self.nodes_of(cell_type)
                raise ValueError(f"genotype: has {nodes} nodes, space {space.name!r} has {space.nodes}")
            for source, node, operation in self.edges(cell_type):
                edge = space.edges.index((source, node))
                candidates = space.cell(cell_type)[edge]
                if operation not in candidates:
                    raise ValueError(
                        f"genotype: {operation!r} is no candidate on edge ({source}, {node}) of the {cell_type} cell "
                        f"of space {space.name!r}; candidates: {', '.join(candidates)}"
                    )
                mixing[cell, edge, candidates.index(operation)] = 1
        return mixing


def _word(name) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no operation")
    return name


def _edges(cell, inputs: int) -> list[tuple[int, int, str]]:
    """(source, node, operation) of the pairs or triples of a cell. Raises TypeError or ValueError for anything else."""
    edges = []
    for index, (operation, *state, source) in enumerate(cell):
        if len(state) > 1 or len(state) != len(cell[0]) - 2:
            raise ValueError("it must list pairs, or triples, alone")
        node = operator.index(state[0]) - inputs if state else index // inputs
        edges.append((operator.index(source), node, _word(operation)))
    return edges


def _listed(edges: list[tuple[int, int, str]], inputs: int) -> tuple[tuple, ...]:
    """The inverse of `_edges`: pairs where every node takes `inputs` edges, else triples, node by node."""
    edges = sorted(edges, key=lambda edge: edge[1])
    if [node for _, node, _ in edges] == [index // inputs for index in range(len(edges))]:
        return tuple((operation, source) for source, _, operation in edges)
    return tuple((operation, node + inputs, source) for source, node, operation in edges)


@checked
def discretize(mixing: torch.Tensor, space: SearchSpace, with_none: bool = False) -> Genotype:
    """The genotype of mixing weights of shape `space.shape` (Liu et al. 2019, section 2.4).

    Every node keeps the two incoming edges (one in a recurrent cell) whose strongest operations weigh most, strongest
    first, each with that operation. Ties go to the earlier edge or operation. `none` is never chosen, unless
    `with_none`, as in parts of the code of Zela et al. Raises ValueError for another shape or weights not finite.

    >>> space = dl.spaces.get("S5")  # of max_pool_3x3, skip_connect and sep_conv_3x3 on every edge
    >>> dl.discretize(torch.tensor([0.2, 0.3, 0.5]).expand(space.shape), space).normal
    (('sep_conv_3x3', 0), ('sep_conv_3x3', 1))
    """
    if tuple(mixing.shape) != space.shape:
        raise ValueError(f"mixing: shape {tuple(mixing.shape)} does not fit space {space.name!r}: {space.shape}")
    if not torch.isfinite(mixing).all():
        raise ValueError("mixing: holds NaN or infinite weights; nothing can be discretized from them")
    weights = mixing.detach().cpu().tolist()
    cells = {}
    for cell, cell_type in enumerate(space.cell_types):
        pairs = []
        for node in range(space.nodes):
            incoming = []  # (weight, source, operation) of the strongest operation of every edge into this node
            for edge, (source, target) in enumerate(space.edges):
                names = space.cell(cell_type)[edge]
                choices = [(w, n) for w, n in zip(weights[cell][edge], names, strict=True) if with_none or n != NONE]
                if target == node and choices:
                    weight, operation = max(choices, key=lambda choice: choice[0])
                    incoming.append((weight, source, operation))
            strongest = sorted(incoming, key=lambda edge: -edge[0])[: space.inputs]
            pairs += [(operation, source) for _, source, operation in strongest]
        cells[cell_type] = pairs
    return Genotype(cells, dict.fromkeys(cells, tuple(range(space.inputs, space.nodes + space.inputs))))


@checked
def random_genotype(space: SearchSpace, generator: torch.Generator, with_none: bool = False) -> Genotype:
    """A genotype drawn uniformly: as many edges for each node as it keeps, one operation on each.

    >>> dl.random_genotype(dl.spaces.get("S2"), torch.Generator().manual_seed(0)).nodes
    4
    """
    weights = torch.rand(space.shape, generator=generator, device=generator.device)
    return discretize(weights, space, with_none)


@checked
def uniform_genotype(space: SearchSpace, operation: str) -> Genotype:
    """The genotype with `operation` wherever an edge has it as a candidate, such as the all-skip cell of a space.
    Raises ValueError where no edge has it.

    >>> dl.uniform_genotype(dl.spaces.get("S2"), "skip_connect").count("skip_connect", "normal")
    8
    """
    weights = [[[float(name == operation) for name in edge] for edge in edges] for edges in space.cells.values()]
    if not torch.tensor(weights).any():
        raise ValueError(f"operation: {operation!r} is no candidate in space {space.name!r}")
    return discretize(torch.tensor(weights), space)


def skip_reductions(genotype: Genotype) -> Genotype:
    """`genotype` with a reduction cell of skips in which every node takes the two states before it, so that the
    accuracy of its network depends on the normal cells. Raises ValueError where there is no reduction cell."""
    if "reduce" not in genotype.cells:
        types = ", ".join(genotype.cell_types)
        raise ValueError(f"reductions: 'skip' is not allowed for cells {types}; it must be 'searched'")
    nodes = genotype.nodes_of("reduce")
    skips = [(SKIP, state) for node in range(nodes) for state in (node, node + 1)]
    return replace(genotype, cells={**genotype.cells, "reduce": skips})


@checked
def enumerate_genotypes(space: SearchSpace) -> list[Genotype]:
    """All genotypes of a space of one node, which has no choice of edges: the 81 of S5. Raises ValueError for larger
    spaces, which have too many.

    >>> len(dl.enumerate_genotypes(dl.spaces.get("S5")))
    81
    """
    if space.nodes != 1:
        raise ValueError(f"space: {space.name!r} has {space.nodes} nodes; only spaces of one node (S5) are enumerated")
    choices = []
    for edges in space.cells.values():
        names = itertools.product(*([name for name in edge if name != NONE] for edge in edges))
        choices.append([tuple(zip(operations, range(space.inputs), strict=True)) for operations in names])
    concat = dict.fromkeys(space.cell_types, (space.inputs,))
    return [Genotype(dict(zip(space.cell_types, cells, strict=True)), concat) for cells in itertools.product(*choices)]
