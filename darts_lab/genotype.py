"""The discrete architecture that a search returns.

Its text form, which is parsed and never evaluated, is that of quark0/darts, for images
`Genotype(normal=[('skip_connect', 1), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))`, for a
recurrent cell `Genotype(recurrent=[('tanh', 0), ...], concat=range(1, 9))`.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from darts_lab import spaces
from darts_lab.checks import checked
from darts_lab.spaces import NONE, RECURRENT, SKIP, SearchSpace, inputs_of

_LONGEST_TEXT = 20_000
_number = "[0-9]{1,3}"  # not \d, which matches the digits of every script


def _listed(item: str) -> str:
    # Commas and spaces match in one way only: with several, refusing a text could take exponential time.
    return rf"\[\s*{item}(?:\s*,\s*{item})*\s*(?:,\s*)?\]"


_pairs = "(" + _listed(rf"\(\s*'\w{{1,80}}'\s*,\s*{_number}\s*\)") + ")"
_concat = rf"(range\(\s*{_number}\s*,\s*{_number}\s*\)|{_listed(_number)})"


def _concat_name(cell_type: str) -> str:
    """The name in quark0/darts of the states that are concatenated into the output of a cell."""
    return "concat" if cell_type == RECURRENT else f"{cell_type}_concat"


def _form(cell_types: tuple[str, ...]) -> re.Pattern:
    fields = (rf"{kind}\s*=\s*{_pairs}\s*,\s*{_concat_name(kind)}\s*=\s*{_concat}" for kind in cell_types)
    return re.compile(r"\s*Genotype\(\s*" + r"\s*,\s*".join(fields) + r"\s*\)\s*")


_FORMS = {cell_types: _form(cell_types) for cell_types in spaces.FAMILIES}


@dataclass(frozen=True, repr=False)
class Genotype:
    """The kept edges of every type of cell: (operation, source state) pairs, node by node, as many as each node keeps.

    `cells` maps cell types to pairs, `concat` maps them to the states that are concatenated into the cell's output. In
    a cell of two inputs, states 0 and 1 are the inputs and state 2 is the first node. Raises ValueError where an edge
    does not come from an earlier state, or an operation is not a string; `check` tells whether it is known.
    """

    cells: Mapping[str, tuple[tuple[str, int], ...]]
    concat: Mapping[str, tuple[int, ...]]

    def __post_init__(self):
        kinds = spaces.family(self.cells)
        if kinds is None or spaces.family(self.concat) != kinds:
            found = f"{str(self.cells)[:60]} and {str(self.concat)[:60]}"
            raise ValueError(f"genotype: cells and concat must both map {spaces.ALLOWED_CELLS}, found {found}")
        cells, concats = {}, {}
        for cell_type in kinds:
            try:
                pairs = tuple((_word(operation), operator.index(source)) for operation, source in self.cells[cell_type])
                concat = tuple(operator.index(state) for state in self.concat[cell_type])
            except (TypeError, ValueError) as error:
                needs = f"pairs (operation, state) and {_concat_name(cell_type)} states"
                raise ValueError(f"genotype: {cell_type} must list {needs}; {error}") from error
            cells[cell_type], concats[cell_type], keeps = pairs, concat, inputs_of(cell_type)
            if not pairs or len(pairs) % keeps:
                raise ValueError(f"genotype: {cell_type} lists {len(pairs)} edges; every node needs {keeps}")
            for index, (operation, source) in enumerate(pairs):
                last = index // keeps + keeps - 1
                if not 0 <= source <= last:
                    raise ValueError(
                        f"genotype: {cell_type} edge {index} ({operation!r}) comes from state {source}; node "
                        f"{index // keeps} can take states 0 to {last}"
                    )
            last = len(pairs) // keeps + keeps - 1
            if not concat or not all(keeps <= state <= last for state in concat):
                raise ValueError(f"genotype: {_concat_name(cell_type)} is {concat}; allowed: states {keeps} to {last}")
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "concat", concats)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def cell_types(self) -> tuple[str, ...]:
        return tuple(self.cells)

    @property
    def normal(self) -> tuple[tuple[str, int], ...]:
        return self.cells["normal"]

    @property
    def reduce(self) -> tuple[tuple[str, int], ...]:
        return self.cells["reduce"]

    @property
    def nodes(self) -> int:
        """The number of intermediate nodes of its first cell."""
        kind = self.cell_types[0]
        return len(self.cells[kind]) // inputs_of(kind)

    def edges(self, cell_type: str) -> Iterator[tuple[int, int, str]]:
        """(source state, node, operation) of every kept edge."""
        self._check_type(cell_type)
        for index, (operation, source) in enumerate(self.cells[cell_type]):
            yield source, index // inputs_of(cell_type), operation

    def count(self, operation: str, cell_type: str) -> int:
        """How often `operation` occurs in a cell, e.g. `genotype.count("skip_connect", "normal")`."""
        self._check_type(cell_type)
        return sum(name == operation for name, _ in self.cells[cell_type])

    def _check_type(self, cell_type: str) -> None:
        if cell_type not in self.cell_types:
            raise ValueError(f"cell_type: {cell_type!r} is not one of this genotype, {', '.join(self.cell_types)}")

    @property
    def canonical(self) -> Genotype:
        """The same architecture with the edges into each node sorted by their sources."""
        cells = {}
        for kind in self.cells:
            edges = sorted((node, source, operation) for source, node, operation in self.edges(kind))
            cells[kind] = tuple((operation, source) for _, source, operation in edges)
        return Genotype(cells, self.concat)

    def __str__(self) -> str:
        def listed(states):
            contiguous = states == tuple(range(states[0], states[-1] + 1))
            return f"range({states[0]}, {states[-1] + 1})" if contiguous else str(list(states))

        concats = {kind: f"{_concat_name(kind)}={listed(states)}" for kind, states in self.concat.items()}
        return f"Genotype({', '.join(f'{kind}={list(pairs)}, {concats[kind]}' for kind, pairs in self.cells.items())})"

    __repr__ = __str__

    @classmethod
    def parse(cls, text: str, operations: tuple[str, ...] = spaces.KNOWN_OPERATIONS) -> Genotype:
        """The genotype in `text`. Raises ValueError for another form and for operations not in `operations`."""
        readable = isinstance(text, str) and len(text) <= _LONGEST_TEXT
        for kinds, form in _FORMS.items():
            if readable and (match := form.fullmatch(text)):
                cells, concats = match.groups()[::2], match.groups()[1::2]
                genotype = cls(dict(zip(kinds, map(_pairs_in, cells))), dict(zip(kinds, map(_states_in, concats))))
                genotype.check(operations)
                return genotype
        shown = repr(text if len(str(text)) < 60 else str(text)[:57] + "...")
        raise ValueError(
            f"genotype: {shown} does not have the form Genotype(normal=[('operation', state), ...], "
            "normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"
        )

    def check(self, operations: tuple[str, ...]) -> None:
        """Raises ValueError where an edge has an operation that is not one of `operations`."""
        for cell_type, pairs in self.cells.items():
            for name, _ in pairs:
                if name not in operations:
                    what = f"operation {name!r} in the {cell_type} cell"
                    raise ValueError(f"genotype: {what} is not known; known: {', '.join(operations)}")

    def to_json(self) -> dict:
        """A dictionary of lists that `json` can write and `Genotype.from_json` reads."""
        fields = {}
        for kind, pairs in self.cells.items():
            fields |= {kind: list(map(list, pairs)), _concat_name(kind): list(self.concat[kind])}
        return fields

    @classmethod
    def from_json(cls, fields: dict) -> Genotype:
        """The genotype of `to_json`. Raises ValueError where the fields are not those of a genotype."""
        kinds = [kind for kind in spaces.KNOWN_CELL_TYPES if isinstance(fields, dict) and kind in fields]
        if not kinds or {*fields} != {*kinds, *map(_concat_name, kinds)}:
            raise ValueError(f"genotype: {str(fields)[:80]!r} does not hold the fields of a genotype")
        return cls({kind: fields[kind] for kind in kinds}, {kind: fields[_concat_name(kind)] for kind in kinds})

    @checked
    def mixing(self, space: SearchSpace) -> torch.Tensor:
        """The genotype as mixing weights of shape `space.shape`: 1 on the kept operations, 0 elsewhere. Raises
        ValueError where it is not of this space."""
        if self.cell_types != space.cell_types:
            ours, theirs = ", ".join(self.cell_types), ", ".join(space.cell_types)
            raise ValueError(f"genotype: tells of cells {ours}, space {space.name!r} has {theirs}")
        mixing = torch.zeros(space.shape)
        for cell, (cell_type, pairs) in enumerate(self.cells.items()):
            if len(pairs) != inputs_of(cell_type) * space.nodes:
                raise ValueError(f"genotype: has {self.nodes} nodes, space {space.name!r} has {space.nodes}")
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


def _pairs_in(text: str) -> list[tuple[str, int]]:
    return [(operation, int(source)) for operation, source in re.findall(r"'(\w+)'\s*,\s*(\d+)", text)]


def _states_in(text: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    return tuple(range(*numbers)) if text.startswith("range") else tuple(numbers)


@checked
def discretize(mixing: torch.Tensor, space: SearchSpace, with_none: bool = False) -> Genotype:
    """The genotype of mixing weights of shape `space.shape` (Liu et al. 2019, section 2.4).

    Every node keeps the two incoming edges (one in a recurrent cell) whose strongest operations weigh most, strongest
    first, each with that operation. Ties go to the earlier edge or operation. `none` is never chosen, unless
    `with_none`, as in parts of the code of Zela et al. Raises ValueError for another shape or weights not finite.
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
    return Genotype(cells, dict.fromkeys(cells, range(space.inputs, space.nodes + space.inputs)))


@checked
def random_genotype(space: SearchSpace, generator: torch.Generator, with_none: bool = False) -> Genotype:
    """A genotype drawn uniformly: as many edges for each node as it keeps, one operation on each."""
    weights = torch.rand(space.shape, generator=generator, device=generator.device)
    return discretize(weights, space, with_none)


@checked
def uniform_genotype(space: SearchSpace, operation: str) -> Genotype:
    """The genotype with `operation` wherever an edge has it as a candidate, such as the all-skip cell of a space.
    Raises ValueError where no edge has it."""
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
    nodes = len(genotype.reduce) // inputs_of("reduce")
    skips = [(SKIP, state) for node in range(nodes) for state in (node, node + 1)]
    return replace(genotype, cells=genotype.cells | {"reduce": skips})


@checked
def enumerate_genotypes(space: SearchSpace) -> list[Genotype]:
    """All genotypes of a space of one node, which has no choice of edges: the 81 of S5. Raises ValueError for larger
    spaces, which have too many."""
    if space.nodes != 1:
        raise ValueError(f"space: {space.name!r} has {space.nodes} nodes; only spaces of one node (S5) are enumerated")
    choices = []
    for edges in space.cells.values():
        names = itertools.product(*([name for name in edge if name != NONE] for edge in edges))
        choices.append([tuple(zip(operations, range(space.inputs), strict=True)) for operations in names])
    concat = dict.fromkeys(space.cell_types, (space.inputs,))
    return [Genotype(dict(zip(space.cell_types, cells, strict=True)), concat) for cells in itertools.product(*choices)]
