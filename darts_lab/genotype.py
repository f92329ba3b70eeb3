"""The discrete architecture: what a search returns.

Its text form is the one that quark0/darts prints,
`Genotype(normal=[('skip_connect', 1), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))`.
It is read by a grammar and never evaluated.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx
import torch

from darts_lab.spaces import CELL_TYPES, KNOWN_OPERATIONS, NONE, SearchSpace

EDGES_PER_NODE = 2  # every node keeps two incoming edges, Liu et al. 2019, section 2.4
_LONGEST_TEXT = 20_000

_number = "[0-9]{1,3}"  # not \d, which takes the digits of every script
_pair = rf"\(\s*'(\w{{1,80}})'\s*,\s*({_number})\s*\)"


def _listed(item: str) -> str:
    # Commas and blanks match in one way only: where there are several, a refusal takes exponential time.
    return rf"\[\s*{item}(?:\s*,\s*{item})*\s*(?:,\s*)?\]"


_pairs = "(" + _listed(rf"\(\s*'\w{{1,80}}'\s*,\s*{_number}\s*\)") + ")"
_concat = rf"(range\(\s*{_number}\s*,\s*{_number}\s*\)|{_listed(_number)})"
_GENOTYPE = re.compile(
    rf"\s*Genotype\(\s*normal\s*=\s*{_pairs}\s*,\s*normal_concat\s*=\s*{_concat}\s*,"
    rf"\s*reduce\s*=\s*{_pairs}\s*,\s*reduce_concat\s*=\s*{_concat}\s*\)\s*"
)


@dataclass(frozen=True)
class Genotype:
    """The kept edges of both cells: (operation, source state) pairs, two for each node, node by node.

    States 0 and 1 are the cell's inputs, state 2 is the first node. `normal_concat` and `reduce_concat` are the
    states whose concatenation is the cell's output. Raises ValueError where a source lies behind its node or an
    operation is not a word of the field; `operations` of your own are checked against a space by `check`.
    """

    normal: tuple[tuple[str, int], ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[tuple[str, int], ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self):
        for cell_type in CELL_TYPES:
            try:
                pairs = tuple(
                    (_word(operation), operator.index(source)) for operation, source in getattr(self, cell_type)
                )
                concat = tuple(operator.index(state) for state in getattr(self, f"{cell_type}_concat"))
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"genotype: {cell_type} must list pairs (operation, state) and {cell_type}_concat states; {error}"
                ) from error
            object.__setattr__(self, cell_type, pairs)
            object.__setattr__(self, f"{cell_type}_concat", concat)
            if not pairs or len(pairs) % EDGES_PER_NODE:
                raise ValueError(f"genotype: {cell_type} lists {len(pairs)} edges; every node needs {EDGES_PER_NODE}")
            for index, (operation, source) in enumerate(pairs):
                node = index // EDGES_PER_NODE
                if not 0 <= source < node + 2:
                    raise ValueError(
                        f"genotype: {cell_type} edge {index} ({operation!r}) comes from state {source}; node {node} "
                        f"can take states 0 to {node + 1}"
                    )
            states = len(pairs) // EDGES_PER_NODE + 2
            if not concat or not all(2 <= state < states for state in concat):
                raise ValueError(f"genotype: {cell_type}_concat is {concat}; allowed: states 2 to {states - 1}")

    @property
    def nodes(self) -> int:
        """Number of intermediate nodes of the normal cell."""
        return len(self.normal) // EDGES_PER_NODE

    def edges(self, cell_type: str) -> Iterator[tuple[int, int, str]]:
        """(source state, node, operation) of every kept edge."""
        for index, (operation, source) in enumerate(getattr(self, cell_type)):
            yield source, index // EDGES_PER_NODE, operation

    def count(self, operation: str, cell_type: str) -> int:
        """How often `operation` stands in one cell, e.g. `genotype.count("skip_connect", "normal")`."""
        return sum(name == operation for name, _ in getattr(self, cell_type))

    @property
    def canonical(self) -> Genotype:
        """The same cells with the edges into each node in the order of their sources: two genotypes that differ only in
        that order are the same architecture."""
        cells = []
        for pairs in (self.normal, self.reduce):
            nodes = [pairs[i : i + EDGES_PER_NODE] for i in range(0, len(pairs), EDGES_PER_NODE)]
            cells.append(tuple(pair for node in nodes for pair in sorted(node, key=lambda pair: (pair[1], pair[0]))))
        return Genotype(cells[0], self.normal_concat, cells[1], self.reduce_concat)

    def __str__(self) -> str:
        def concat(states):
            contiguous = states == tuple(range(states[0], states[-1] + 1))
            return f"range({states[0]}, {states[-1] + 1})" if contiguous else str(list(states))

        return (
            f"Genotype(normal={list(self.normal)}, normal_concat={concat(self.normal_concat)}, "
            f"reduce={list(self.reduce)}, reduce_concat={concat(self.reduce_concat)})"
        )

    @classmethod
    def parse(cls, text: str, operations: tuple[str, ...] = KNOWN_OPERATIONS) -> Genotype:
        """The genotype written in `text` in the form of quark0/darts.

        `operations` are the allowed names. Raises ValueError for anything else, code included.
        """
        found = _GENOTYPE.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST_TEXT else None
        if found is None:
            shown = repr(text if len(str(text)) < 60 else str(text)[:57] + "...")
            raise ValueError(
                f"genotype: {shown} does not have the form Genotype(normal=[('operation', state), ...], "
                "normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"
            )
        normal, normal_concat, reduce, reduce_concat = found.groups()
        genotype = cls(_edges(normal), _states(normal_concat), _edges(reduce), _states(reduce_concat))
        genotype.check(operations)
        return genotype

    def check(self, operations: tuple[str, ...]) -> None:
        """Raises ValueError where an edge holds an operation that is not among `operations`."""
        for cell_type in CELL_TYPES:
            for name, _ in getattr(self, cell_type):
                if name not in operations:
                    raise ValueError(
                        f"genotype: operation {name!r} in the {cell_type} cell is not known; known: "
                        f"{', '.join(operations)}"
                    )

    def to_json(self) -> dict:
        """A dictionary of lists that `json` can write; `Genotype.from_json` reads it."""
        return {
            "normal": [list(pair) for pair in self.normal],
            "normal_concat": list(self.normal_concat),
            "reduce": [list(pair) for pair in self.reduce],
            "reduce_concat": list(self.reduce_concat),
        }

    @classmethod
    def from_json(cls, fields: dict) -> Genotype:
        """The genotype of `to_json`. Raises ValueError where the fields are not those of a genotype."""
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"genotype: {str(fields)[:80]!r} does not hold the fields of a genotype") from error

    def graph(self, cell_type: str) -> nx.MultiDiGraph:
        """One cell as a graph: nodes 'c_{k-2}', 'c_{k-1}', 0, 1, ..., 'c_k'; edges carry `operation`."""
        names = ["c_{k-2}", "c_{k-1}", *range(len(getattr(self, cell_type)) // EDGES_PER_NODE)]
        graph = nx.MultiDiGraph()
        graph.add_nodes_from([*names, "c_k"])
        for source, node, operation in self.edges(cell_type):
            graph.add_edge(names[source], node, operation=operation)
        for state in getattr(self, f"{cell_type}_concat"):
            graph.add_edge(names[state], "c_k", operation=None)
        return graph

    def mixing(self, space: SearchSpace) -> torch.Tensor:
        """The discretized cell as mixing weights, shape `space.shape`: 1 on the kept operations, 0 elsewhere.

        Raises ValueError where the genotype is not one of the space.
        """
        mixing = torch.zeros(space.shape)
        for cell, cell_type in enumerate(CELL_TYPES):
            if len(getattr(self, cell_type)) != EDGES_PER_NODE * space.nodes:
                raise ValueError(f"genotype: has {self.nodes} nodes, space {space.name!r} has {space.nodes}")
            for source, node, operation in self.edges(cell_type):
                edge = space.edges.index((source, node))
                if operation not in space.cell(cell_type)[edge]:
                    raise ValueError(
                        f"genotype: {operation!r} is no candidate on edge ({source}, {node}) of the {cell_type} cell "
                        f"of space {space.name!r}; candidates: {', '.join(space.cell(cell_type)[edge])}"
                    )
                mixing[cell, edge, space.cell(cell_type)[edge].index(operation)] = 1
        return mixing


def _word(name) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no operation")
    return name


def _edges(text: str) -> list[tuple[str, int]]:
    return [(operation, int(source)) for operation, source in re.findall(_pair, text)]


def _states(text: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    return tuple(range(*numbers)) if text.startswith("range") else tuple(numbers)


def discretize(mixing: torch.Tensor, space: SearchSpace, with_none: bool = False) -> Genotype:
    """The genotype of mixing weights of shape `space.shape`.

    Every node keeps the two incoming edges whose strongest operation weighs most, strongest first, and on each the
    strongest operation; `none` is never chosen (Liu et al. 2019, section 2.4; ties go to the earlier edge or
    operation), unless `with_none`, as the code of Zela et al. does here and there. Raises ValueError for weights of another shape or that are not finite.
    """
    if tuple(mixing.shape) != space.shape:
        raise ValueError(f"mixing: shape {tuple(mixing.shape)} does not fit space {space.name!r}: {space.shape}")
    if not torch.isfinite(mixing).all():
        raise ValueError("mixing: holds NaN or infinite weights; nothing can be discretized from them")
    weights = mixing.detach().cpu().tolist()
    cells = []
    for cell, cell_type in enumerate(CELL_TYPES):
        pairs = []
        for node in range(space.nodes):
            incoming = []  # (weight, source, operation) of the strongest operation of every edge into this node
            for edge, (source, target) in enumerate(space.edges):
                names = space.cell(cell_type)[edge]
                choices = [(w, n) for w, n in zip(weights[cell][edge], names, strict=True) if with_none or n != NONE]
                if target == node and choices:
                    weight, operation = max(choices, key=lambda choice: choice[0])
                    incoming.append((weight, source, operation))
            strongest = sorted(incoming, key=lambda edge: -edge[0])[:EDGES_PER_NODE]
            pairs += [(operation, source) for _, source, operation in strongest]
        cells.append(pairs)
    concat = range(2, space.nodes + 2)
    return Genotype(cells[0], concat, cells[1], concat)


def random_genotype(space: SearchSpace, generator: torch.Generator, with_none: bool = False) -> Genotype:
    """A genotype drawn uniformly: two edges for each node, one operation (`none` only if `with_none`) on each."""
    weights = torch.rand(space.shape, generator=generator, device=generator.device)
    return discretize(weights, space, with_none)


def uniform_genotype(space: SearchSpace, operation: str) -> Genotype:
    """`operation` wherever an edge offers it: the all-skip, all-convolution or all-noise cell of a space.

    Raises ValueError where no edge offers it.
    """
    weights = torch.tensor(
        [[[float(name == operation) for name in edge] for edge in space.cell(cell_type)] for cell_type in CELL_TYPES]
    )
    if not weights.any():
        raise ValueError(f"operation: {operation!r} is no candidate in space {space.name!r}")
    return discretize(weights, space)


def enumerate_genotypes(space: SearchSpace) -> list[Genotype]:
    """Every genotype of a space in which nodes have no choice of edges: the 81 of S5.

    Raises ValueError for larger spaces, whose number of genotypes is astronomical.
    """
    if space.nodes != 1:
        raise ValueError(f"space: {space.name!r} has {space.nodes} nodes; only spaces of one node (S5) are enumerated")
    cells = []
    for cell_type in CELL_TYPES:
        choices = [[name for name in edge if name != NONE] for edge in space.cell(cell_type)]
        cells.append([tuple(zip(names, (0, 1), strict=True)) for names in itertools.product(*choices)])
    return [Genotype(normal, (2,), reduce, (2,)) for normal, reduce in itertools.product(*cells)]
