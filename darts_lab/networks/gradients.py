"""The gradients of a cell as a table of rows, from those of its nodes back to its inputs."""

from collections.abc import Iterator, Sequence

from darts_lab.networks.program import Layer, Part, Program
from darts_lab.networks.tables import (
    INNER,
    NORM,
    NORM_BACK,
    OF_S0,
    PASSED,
    POOL,
    POOL_BACK,
    STAGE_BACK,
    SUM_BACK,
    ZERO,
    Phases,
    Row,
    Term,
    reading,
)  # fmt: skip


class Gradients:
    """The backward pass of a program, where `inputs`, `mixing` and `weights` (of `program.weights`) say whose gradients
    somebody needs."""

    def __init__(self, program: Program, inputs: Sequence[bool], mixing: bool, weights: Sequence[bool]):
        self.program, self.inputs, self.mixing, self.weights = program, inputs, mixing, weights
        self.kernels = any(weights[: program.convolutions])
        self.terms: list[Term] = []
        self.states = [self._reaches(part, part.layers) for part in program.inputs]
        for state in range(2, program.nodes + 2):
            self.states.append(any(self._is_used(part, term) for part, term in program.into(state)))
        self.tables = self._rows()

    def _reaches(self, part: Part, layers: Sequence[Layer]) -> bool:
        """Whether one of the first layers of a part, or what it reads, needs gradients."""
        affine = self.program.of_affine
        for layer in layers:
            if any(self.weights[number] for number in (*layer.weights, *affine.get(layer.norm.number, ()))):
                return True
        if part.targets[0] < 2:
            return self.inputs[part.source]
        sources = [part.source] if part.row is not None else part.layers[0].sources if part.layers else []
        return any(self.states[source] for source in sources)

    def _is_used(self, part: Part, term: Term) -> bool:
        return self._reaches(part, part.layers) or (self.mixing and term.weight >= 0)

    def _rows(self):
        program, phases = self.program, Phases()
        for state in (0, 1):
            if self.states[state]:
                array, at = program.of_states[state]
                size = program.inner
                phases.each([Row(ZERO, dx=array, dx_at=at, outputs=program.width, high=size[0], wide=size[1])])
        for wave in reversed(range(program.nodes)):
            self._into(phases, wave + 2)
            parts = [part for part in program.waves[wave] if self._reaches(part, part.layers)]
            chains = [part for part in parts if part.layers]
            for part in chains:
                if len(part.layers) > 1:
                    phases.each(self._stages(part, 1))
            phases.once(
                self._norm(layer.norm, copy, -1)
                for part in chains
                for layer in part.layers[:-1]
                for copy in layer.of_copies
                if self._reaches(part, part.layers[:1])
            )
            for part in chains:
                if self._reaches(part, part.layers[:1]):
                    phases.each(self._stages(part, 0))
            rows = [(part, part.row) for part in parts if part.row is not None and self.states[part.source]]
            phases.each(self._shared(part, row) for part, row in rows)
        for state in (0, 1):
            if self.states[state]:
                self._into(phases, state)
        for number, part in enumerate(program.inputs):
            if self.states[number]:
                phases.each(self._stages(part, 0))
        return phases.tables(self.terms)

    def _into(self, phases: Phases, state: int) -> None:
        """What the gradient of a state is to each of its terms."""
        program, size = self.program, self.program.inner if state < 2 else self.program.size
        inner, norms = [], []
        for part, term in program.into(state):
            if self._is_used(part, term):
                norm = part.layers[-1].norm if part.layers else part.row or Row(NORM)
                row = self._norm(norm, Row(NORM, slot=term.slot, term=term.term), term.weight)
                row = row._replace(high=size[0], wide=size[1], outputs=program.width)
                if row.weighs:
                    places = {"y": term.x, "y_at": term.x_at, "d": term.d, "d_at": term.d_at, "path": term.path}
                    inner.append(row._replace(kind=INNER, **places))
                norms.append(row)
        phases.each(inner)
        phases.once(norms)

    def _norm(self, norm: Row, of_copy: Row, weight: int) -> Row:
        """The row of a term's norm."""
        scale, shift = self.program.affine.get(norm.number, (-1, -1))
        place = of_copy.slot - norm.slot if scale >= 0 else 0
        more = {"scale": scale + place, "shift": shift + place} if scale >= 0 else {}
        weighs = of_copy.slot >= 0 or (self.mixing and weight >= 0)
        return Row(
            NORM_BACK, outputs=self.program.width, high=norm.high, wide=norm.wide, slot=of_copy.slot, term=of_copy.term,
            number=norm.number, weight=weight, weighs=int(weighs), **more,
        )  # fmt: skip

    def _stages(self, part: Part, number: int) -> Iterator[Row]:
        """The gradients of a layer; and, where a layer is behind it, what they are to its norm."""
        program, layer, rows = self.program, part.layers[number], []
        weighs = any(self.weights[weight] for weight in layer.weights)
        last = layer is part.layers[-1]
        for place, (row, source) in enumerate(zip(layer.rows, layer.sources)):
            copy = place * len(layer.of_copies) // len(layer.rows)
            d, d_at, path = part.terms[copy].d, part.terms[copy].d_at, part.terms[copy].path
            if not last:
                d, d_at, path = PASSED, layer.passed[copy], 0
            d_at += row.y_at - layer.of_copies[copy].y_at
            if number > 0:
                reads, dx, dx_at = self._reaches(part, part.layers[:1]), PASSED, part.layers[0].passed[copy]
            elif part.targets[0] < 2:
                reads, dx, dx_at = self.inputs[part.source], OF_S0 + part.source, 0
            else:
                reads, (dx, dx_at) = self.states[source], program.of_states[source]
            rows.append(
                row._replace(
                    kind=STAGE_BACK,
                    d=d,
                    d_at=d_at,
                    path=path,
                    dx=dx,
                    dx_at=dx_at,
                    reads=int(reads),
                    weighs=int(weighs),
                    adds=int(number == 0 and (part.targets[0] >= 2 or row.stride > 1)),
                )  # fmt: skip
            )
        for row in reading(rows) if weighs else rows:
            yield row
            if number > 0 and row.kind == STAGE_BACK and row.reads:
                before = part.layers[0].of_copies[rows.index(row)]
                yield Row(
                    INNER, y=before.y, y_at=before.y_at, d=row.dx, d_at=row.dx_at, outputs=program.width,
                    high=before.high, wide=before.wide, slot=before.slot, term=before.term,
                )  # fmt: skip

    def _shared(self, part: Part, row: Row) -> Row:
        dx, dx_at = self.program.of_states[part.source]
        first = len(self.terms)
        self.terms += part.terms
        kind = POOL_BACK if row.kind == POOL else SUM_BACK
        return row._replace(kind=kind, dx=dx, dx_at=dx_at, first=first, last=len(self.terms))
