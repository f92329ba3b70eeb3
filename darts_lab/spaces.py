"""Search spaces as data: which operations compete on which edge of a cell.

A cell has two inputs (the outputs of the two cells before it, states 0 and 1) and `nodes` intermediate nodes
(states 2, 3, ...). Every node receives one edge from every earlier state, so a cell with n nodes has
2 + 3 + ... + (n + 1) edges, listed node by node: (0,0) (1,0) | (0,1) (1,1) (2,1) | ... as (source state, node).

Sources: DARTS, Liu et al. 2019, section 2.1; S1 to S4, Zela et al. 2020, appendix B (and `src/spaces.py` of their
code); S5, Zela et al. 2020, section 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

SKIP, SEP3, SEP5 = "skip_connect", "sep_conv_3x3", "sep_conv_5x5"
DIL3, DIL5 = "dil_conv_3x3", "dil_conv_5x5"
MAX, AVG = "max_pool_3x3", "avg_pool_3x3"
NONE, NOISE = "none", "noise"

KNOWN_OPERATIONS = (NONE, MAX, AVG, SKIP, SEP3, SEP5, DIL3, DIL5, NOISE)
CELL_TYPES = ("normal", "reduce")


def edges_of(nodes: int) -> list[tuple[int, int]]:
    """All edges of a cell with `nodes` nodes as (source state, node), in the order of the rows of alpha."""
    return [(source, node) for node in range(nodes) for source in range(node + 2)]


@dataclass(frozen=True)
class SearchSpace:
    """The candidate operations of every edge of the normal and of the reduction cell.

    `normal` and `reduce` are sequences of edges, each a sequence of operation names; their order is the index order
    of alpha. Every edge of a space has the same number of candidates, so that alpha is one tensor of shape
    (2 cell types, edges, candidates). `operations` brings operations of your own: name -> function
    `(channels, stride) -> torch.nn.Module`.

    Raises ValueError where the number of edges fits no number of nodes, an edge lists an operation twice or an
    unknown one, or edges differ in their number of candidates.
    """

    name: str
    normal: Sequence[Sequence[str]]
    reduce: Sequence[Sequence[str]]
    operations: Mapping[str, Callable] = field(default_factory=dict, compare=False)

    def __post_init__(self):
        for cell_type in CELL_TYPES:
            object.__setattr__(self, cell_type, tuple(tuple(edge) for edge in getattr(self, cell_type)))
        known = KNOWN_OPERATIONS + tuple(self.operations)
        for name in self.operations:
            if not re.fullmatch(r"\w{1,80}", name, re.ASCII):
                raise ValueError(
                    f"space {self.name!r}: operation name {name!r} is not allowed; it must be of letters, digits and _, "
                    "so that a genotype can be written and read"
                )
        sizes = {len(edge) for edge in self.normal + self.reduce}
        if len(self.normal) != len(self.reduce) or self.nodes is None:
            raise ValueError(
                f"space {self.name!r}: normal has {len(self.normal)} edges and reduce {len(self.reduce)}; "
                "both must have 2, 5, 9, 14, ... (1, 2, 3, 4, ... nodes)"
            )
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(
                f"space {self.name!r}: every edge must have the same number of candidate operations, "
                f"at least one; found {sorted(sizes)}"
            )
        for cell_type in CELL_TYPES:
            for index, edge in enumerate(getattr(self, cell_type)):
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

    @cached_property
    def nodes(self) -> int | None:
        """Number of intermediate nodes of a cell (4 in the papers)."""
        return {len(edges_of(n)): n for n in range(1, 17)}.get(len(self.normal))

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(source state, node) of every row of alpha."""
        return edges_of(self.nodes)

    @property
    def candidates(self) -> int:
        """Operations that compete on one edge."""
        return len(self.normal[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of alpha and of the mixing weights: (cell types, edges, candidate operations)."""
        return (len(CELL_TYPES), len(self.normal), self.candidates)

    def cell(self, cell_type: str) -> tuple[tuple[str, ...], ...]:
        """The edges of one cell type."""
        return getattr(self, cell_type)

    def with_nodes(self, nodes: int) -> SearchSpace:
        """The same space with the first `nodes` nodes only: what the smaller scales search."""
        if not 1 <= nodes <= self.nodes:
            raise ValueError(f"nodes: {nodes} is not possible in space {self.name!r}; allowed: 1 to {self.nodes}")
        edges = len(edges_of(nodes))
        return SearchSpace(self.name, self.normal[:edges], self.reduce[:edges], self.operations)

    def without(self, operation: str) -> SearchSpace:
        """The same space with one candidate fewer on every edge that has it.

        Raises ValueError where edges would then differ in their number of candidates.
        """
        cells = [[tuple(name for name in edge if name != operation) for edge in self.cell(kind)] for kind in CELL_TYPES]
        return SearchSpace(self.name, *cells, self.operations)


def same_on_every_edge(name: str, *operations: str, nodes: int = 4, **more) -> SearchSpace:
    """A space in which every edge of both cells has the same candidate operations."""
    edges = [operations] * len(edges_of(nodes))
    return SearchSpace(name, edges, edges, **more)


S1 = SearchSpace(
    "S1",
    normal=[
        (SKIP, DIL3), (SKIP, DIL5),
        (SKIP, DIL5), (SKIP, SEP3), (SKIP, DIL3),
        (MAX, SKIP), (SKIP, SEP3), (SKIP, SEP3), (SKIP, DIL3),
        (SKIP, SEP3), (MAX, SKIP), (SKIP, DIL3), (DIL3, DIL5), (DIL3, DIL5),
    ],
    reduce=[
        (MAX, AVG), (MAX, DIL3),
        (MAX, AVG), (MAX, AVG), (SKIP, DIL5),
        (MAX, AVG), (MAX, SEP3), (SKIP, DIL3), (SKIP, DIL5),
        (MAX, AVG), (MAX, AVG), (SKIP, DIL5), (SKIP, DIL5), (SKIP, DIL5),
    ],
)  # fmt: skip
S2 = same_on_every_edge("S2", SKIP, SEP3)
S3 = same_on_every_edge("S3", NONE, SKIP, SEP3)
S4 = same_on_every_edge("S4", NOISE, SEP3)
S5 = same_on_every_edge("S5", MAX, SKIP, SEP3, nodes=1)
DARTS = same_on_every_edge("DARTS", NONE, MAX, AVG, SKIP, SEP3, SEP5, DIL3, DIL5)

SPACES = {space.name: space for space in (S1, S2, S3, S4, S5, DARTS)}


def get(space: str | SearchSpace) -> SearchSpace:
    """A space by its name (without regard to case), or the space itself."""
    if isinstance(space, SearchSpace):
        return space
    known = {name.lower(): found for name, found in SPACES.items()}
    if not isinstance(space, str) or space.lower() not in known:
        raise ValueError(f"space: {space!r} is not known; known: {', '.join(SPACES)}; or pass a dl.SearchSpace")
    return known[space.lower()]
