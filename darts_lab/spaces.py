"""Search spaces as data: which operations compete on which edge of a cell.

A cell has `inputs` input states (the outputs of the two cells before it; a recurrent cell has one) and `nodes`
intermediate nodes, which are the states after them. Every node receives an edge from every earlier state, so a cell of
two inputs and n nodes has 2 + 3 + ... + (n + 1) edges, listed node by node, as (source state, node): (0,0) (1,0) |
(0,1) (1,1) (2,1) | ... A network can have several types of cells, each with its own architecture.

Sources: DARTS and RNN, Liu et al. 2019, sections 2.1 and 3.1; S1 to S4, Zela et al. 2020, appendix B (and
`src/spaces.py` of their code); S5, section 4 of the same; S6, appendix D, reduced from AutoDispNet (Saikia et al.
2019); RNN-S, their experiments on Penn Treebank (Fig. 11 of the workshop paper).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral

SKIP, SEP3, SEP5 = "skip_connect", "sep_conv_3x3", "sep_conv_5x5"
DIL3, DIL5 = "dil_conv_3x3", "dil_conv_5x5"
MAX, AVG = "max_pool_3x3", "avg_pool_3x3"
SEP7, STRIPS7 = "sep_conv_7x7", "conv_7x1_1x7"  # of NASNet and AmoebaNet
NONE, NOISE = "none", "noise"
TANH, RELU, SIGMOID, IDENTITY = "tanh", "relu", "sigmoid", "identity"

IMAGE_OPERATIONS = (NONE, MAX, AVG, SKIP, SEP3, SEP5, DIL3, DIL5, NOISE, SEP7, STRIPS7)
RECURRENT_OPERATIONS = (NONE, TANH, RELU, SIGMOID, IDENTITY)
KNOWN_OPERATIONS = (*IMAGE_OPERATIONS, *RECURRENT_OPERATIONS[1:])
CELL_TYPES = ("normal", "reduce")  # of the networks for images
UPSAMPLE, RECURRENT = "upsample", "recurrent"
FAMILIES = (CELL_TYPES, (*CELL_TYPES, UPSAMPLE), (RECURRENT,))  # the cell types that one network can have
KNOWN_CELL_TYPES = (*CELL_TYPES, UPSAMPLE, RECURRENT)


def inputs_of(cell_type: str) -> int:
    """The number of input states of a cell, which is also the number of edges that each node keeps."""
    return 1 if cell_type == RECURRENT else 2


def concat_name(cell_type: str) -> str:
    """The name in quark0/darts of the states that are concatenated into the output of a cell."""
    return "concat" if cell_type == RECURRENT else f"{cell_type}_concat"


def family(cells) -> tuple[str, ...] | None:
    """The one of FAMILIES with exactly the cell types of the mapping `cells`, or None."""
    return next((kinds for kinds in FAMILIES if isinstance(cells, Mapping) and set(kinds) == set(cells)), None)


ALLOWED_CELLS = " or ".join(", ".join(kinds) for kinds in FAMILIES)  # in words


def edges_of(nodes: int, inputs: int = 2) -> list[tuple[int, int]]:
    """All edges of a cell with `nodes` nodes, as (source state, node), in the order of the rows of alpha."""
    return [(source, node) for node in range(nodes) for source in range(node + inputs)]


@dataclass(frozen=True)
class SearchSpace:
    """The candidate operations of every edge of every type of cell.

    `cells` maps cell types (one of FAMILIES; normal and reduce for images) to sequences of edges, each a sequence of
    operation names, in the index order of alpha. `operations` adds your own: name -> function
    `(channels, stride) -> torch.nn.Module`. Raises ValueError where the number of edges fits no number of nodes, an
    edge lists an operation twice or an unknown one, or edges differ in their number of candidates.

    >>> edges = [("skip_connect", "sep_conv_3x3")] * 2
    >>> space = dl.SearchSpace("mine", {"normal": edges, "reduce": edges})
    >>> space.nodes, space.shape
    (1, (2, 2, 2))
    """

    name: str
    cells: Mapping[str, Sequence[Sequence[str]]]
    operations: Mapping[str, Callable] = field(default_factory=dict, compare=False)

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name: {self.name!r} is not allowed; it must be the name of a space")
        if not isinstance(self.operations, Mapping) or not all(map(callable, self.operations.values())):
            raise ValueError(f"space {self.name!r}: operations must map names to functions (channels, stride)")
        kinds = family(self.cells)
        if kinds is None:
            found = str(self.cells)[:80]
            raise ValueError(f"space {self.name!r}: cells must map {ALLOWED_CELLS} to lists of edges, found {found}")
        try:
            cells = {kind: tuple(tuple(edge) for edge in self.cells[kind]) for kind in kinds}
        except TypeError as error:
            raise ValueError(f"space {self.name!r}: cells must hold lists of edges: {error}") from error
        object.__setattr__(self, "cells", cells)
        for name in self.operations:
            if not re.fullmatch(r"\w{1,80}", name, re.ASCII):
                allowed = "of letters, digits and _, so that a genotype can be written and read"
                raise ValueError(f"space {self.name!r}: operation name {name!r} is not allowed; it must be {allowed}")
        if len(set(map(len, cells.values()))) > 1 or not self.nodes:
            counts = " and ".join(f"{kind} has {len(edges)} edges" for kind, edges in cells.items())
            allowed = ", ".join(str(len(edges_of(nodes, self.inputs))) for nodes in range(1, 5))
            raise ValueError(f"space {self.name!r}: {counts}; all must have {allowed}, ... (1, 2, 3, 4, ... nodes)")
        sizes = {len(edge) for edges in cells.values() for edge in edges}
        if len(sizes) != 1 or 0 in sizes:
            needs = "the same number of candidate operations, at least one"
            raise ValueError(f"space {self.name!r}: every edge must have {needs}; found {sorted(sizes)}")
        for cell_type, edges in cells.items():
            known = (RECURRENT_OPERATIONS if cell_type == RECURRENT else IMAGE_OPERATIONS) + tuple(self.operations)
            for index, edge in enumerate(edges):
                for name in edge:
                    if name not in known:
                        raise ValueError(
                            f"space {self.name!r}: operation {name!r} on edge {index} of the {cell_type} cell is "
                            f"not known; known: {', '.join(known)} (bring your own as operations={{name: function}})"
                        )
                if len(set(edge)) != len(edge):
                    raise ValueError(
                        f"space {self.name!r}: edge {index} of the {cell_type} cell lists an operation twice: {edge}"
                    )

    def __hash__(self) -> int:
        return hash((self.name, *self.cells.items()))

    @property
    def cell_types(self) -> tuple[str, ...]:
        """The types of cells, in the order of the first index of alpha."""
        return tuple(self.cells)

    @property
    def inputs(self) -> int:
        """`inputs_of` its cells: 2, or 1 in a recurrent cell."""
        return inputs_of(self.cell_types[0])

    @cached_property
    def nodes(self) -> int:
        """The number of intermediate nodes of a cell (4 in the papers' image spaces)."""
        edges = len(next(iter(self.cells.values())))
        return {len(edges_of(nodes, self.inputs)): nodes for nodes in range(1, 17)}.get(edges, 0)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(source state, node) of every row of alpha."""
        return edges_of(self.nodes, self.inputs)

    @property
    def names(self) -> tuple[str, ...]:
        """The operations that a genotype may name: the known ones and the space's own."""
        return (*KNOWN_OPERATIONS, *self.operations)

    @property
    def candidates(self) -> int:
        """The number of operations that compete on one edge."""
        return len(next(iter(self.cells.values()))[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of alpha and of the mixing weights: (cell types, edges, candidates)."""
        return len(self.cells), len(self.edges), self.candidates

    def cell(self, cell_type: str) -> Sequence[Sequence[str]]:
        """The edges of one cell type."""
        if cell_type not in self.cell_types:
            types = ", ".join(self.cell_types)
            raise ValueError(f"cell_type: {cell_type!r} is not one of space {self.name!r}, which has {types}")
        return self.cells[cell_type]

    @property
    def normal(self) -> Sequence[Sequence[str]]:
        return self.cells["normal"]

    @property
    def reduce(self) -> Sequence[Sequence[str]]:
        return self.cells["reduce"]

    def with_nodes(self, nodes: int) -> SearchSpace:
        """The same space with only the first `nodes` nodes, as the smaller scales search it."""
        if isinstance(nodes, bool) or not isinstance(nodes, Integral) or not 1 <= nodes <= self.nodes:
            raise ValueError(f"nodes: {nodes!r} is not possible in space {self.name!r}; allowed: 1 to {self.nodes}")
        count = len(edges_of(nodes, self.inputs))
        return SearchSpace(self.name, {kind: edges[:count] for kind, edges in self.cells.items()}, self.operations)

    def without(self, operation: str) -> SearchSpace:
        """The same space without one candidate. Raises ValueError if edges then have different numbers of them."""
        cells = {
            kind: [[name for name in edge if name != operation] for edge in edges] for kind, edges in self.cells.items()
        }
        return SearchSpace(self.name, cells, self.operations)


def same_on_every_edge(
    name: str, *operations: str, nodes: int = 4, cell_types: Sequence[str] = CELL_TYPES, **arguments
) -> SearchSpace:
    """A space in which all edges of all cells, by default a normal and a reduction cell, have the same candidates.
    `arguments` are those of `SearchSpace`."""
    edges = [operations] * len(edges_of(nodes, inputs_of(cell_types[0])))
    return SearchSpace(name, dict.fromkeys(cell_types, edges), **arguments)


S1 = SearchSpace(
    "S1",
    {
        "normal": [
            (SKIP, DIL3), (SKIP, DIL5),
            (SKIP, DIL5), (SKIP, SEP3), (SKIP, DIL3),
            (MAX, SKIP), (SKIP, SEP3), (SKIP, SEP3), (SKIP, DIL3),
            (SKIP, SEP3), (MAX, SKIP), (SKIP, DIL3), (DIL3, DIL5), (DIL3, DIL5),
        ],
        "reduce": [
            (MAX, AVG), (MAX, DIL3),
            (MAX, AVG), (MAX, AVG), (SKIP, DIL5),
            (MAX, AVG), (MAX, SEP3), (SKIP, DIL3), (SKIP, DIL5),
            (MAX, AVG), (MAX, AVG), (SKIP, DIL5), (SKIP, DIL5), (SKIP, DIL5),
        ],
    },
)  # fmt: skip
S2 = same_on_every_edge("S2", SKIP, SEP3)
S3 = same_on_every_edge("S3", NONE, SKIP, SEP3)
S4 = same_on_every_edge("S4", NOISE, SEP3)
S5 = same_on_every_edge("S5", MAX, SKIP, SEP3, nodes=1)
DARTS = same_on_every_edge("DARTS", NONE, MAX, AVG, SKIP, SEP3, SEP5, DIL3, DIL5)
S6 = same_on_every_edge("S6", SEP3, MAX, SKIP, cell_types=(*CELL_TYPES, UPSAMPLE))

RNN = same_on_every_edge("RNN", *RECURRENT_OPERATIONS, nodes=8, cell_types=(RECURRENT,))  # 36 edges
RNN_S = same_on_every_edge("RNN-S", RELU, IDENTITY, nodes=8, cell_types=(RECURRENT,))

SPACES = {space.name: space for space in (S1, S2, S3, S4, S5, S6, DARTS, RNN, RNN_S)}


def get(space: str | SearchSpace) -> SearchSpace:
    """A space by its name (in any case), or the space itself. Raises ValueError for an unknown name."""
    if isinstance(space, SearchSpace):
        return space
    name = space.upper() if isinstance(space, str) else None
    if name not in SPACES:
        raise ValueError(f"space: {space!r} is not known; known: {', '.join(SPACES)}; or pass a dl.SearchSpace")
    return SPACES[name]
