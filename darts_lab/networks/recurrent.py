"""Language models whose recurrent cell is searched (Liu et al. 2019, section 2.1 and appendix; quark0/darts, `rnn/`).

The embedding also decodes the cell's output. In the cell every edge passes a state on through a highway whose gate and
candidate come from one matrix of the node it enters,

    (c, h) = s_source W_node,    s_node = s_source + sigmoid(c) * (f(h) - s_source),

in search summed over all edges and operations f by their mixing weights, of which `none` has its share; the output is
the mean of all nodes. In search the first state and every node pass one batch-norm without scale, the same for all of
them. In evaluation it takes its running statistics (`running_statistics`), as in the official code, or those of the
streams that are read side by side: with running ones the hidden state of a half-trained supernet diverges over hundreds
of words.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab import ranks
from darts_lab.genotype import Genotype
from darts_lab.networks.assembly import running_operations
from darts_lab.networks.norms import batch_norm
from darts_lab.networks.operations import EPSILON, BatchNorm, kept_paths, seeded_globally
from darts_lab.spaces import IDENTITY, NONE, RECURRENT, RELU, SIGMOID, TANH, SearchSpace

ACTIVATIONS = {TANH: torch.tanh, RELU: torch.relu, SIGMOID: torch.sigmoid, IDENTITY: lambda h: h}


class Output(NamedTuple):
    """What a language model says of a window of text."""

    log_probabilities: Tensor  # (streams, window, vocabulary), of the next word
    hidden: Tensor  # (streams, channels), after the last word: where the next window goes on
    states: Tensor  # (streams, window, channels), the cell's outputs before dropout


class Part(NamedTuple):
    """Edges into one node on which the same operations run."""

    sources: list[int]
    names: tuple[str, ...]
    weights: tuple[Tensor, ...] | None  # of each operation (edges, 1 or streams, 1); None: all weigh 1
    share: Tensor | None  # their sum


class Cell(nn.Module):
    """The recurrent cell of `edges`, each (source state, node, candidate operations).

    State 0 is made of a word and the hidden state before it; state n + 1 is node n. `concat` are the states whose mean
    is the output, `own` the user's operations by name.
    """

    def __init__(self, edges, concat, channels, normalised, spread, generator, own=None, running_statistics=False):
        super().__init__()
        self.edges, self.concat, self.running_statistics = edges, concat, running_statistics
        self.nodes = 1 + max(node for _, node, _ in edges)
        draw = partial(_uniform, columns=2 * channels, spread=spread, generator=generator)
        self.first, self.matrices = draw(2 * channels), nn.ParameterList(draw(channels) for _ in range(self.nodes))
        self.norm = BatchNorm(channels, affine=False) if normalised else None
        used = {name for _, _, names in edges for name in names}
        with seeded_globally(generator):
            self.own = nn.ModuleDict({name: make(channels, 1) for name, make in (own or {}).items() if name in used})

    def parts(self, mixing: Tensor | None, runs=None, kept: Tensor | None = None) -> list[list[Part]]:
        """For each node its edges, in groups on which the same operations run. `mixing` (edges, candidates) and `kept`
        (streams, edges) weigh them, None by 1; without `runs` all run."""
        groups: list[dict[tuple[str, ...], list[int]]] = [{} for _ in range(self.nodes)]
        for edge, (_, node, names) in enumerate(self.edges):
            running = [True] * len(names) if runs is None else runs[edge]
            active = tuple(name for name, on in zip(names, running, strict=True) if on and name != NONE)
            if active:
                groups[node].setdefault(active, []).append(edge)
        return [[self._part(names, edges, mixing, kept) for names, edges in group.items()] for group in groups]

    def _part(self, names: tuple[str, ...], edges: list[int], mixing: Tensor | None, kept: Tensor | None) -> Part:
        sources = [self.edges[edge][0] for edge in edges]
        if mixing is None:
            return Part(sources, names, None, None)
        flat = mixing.flatten().unbind()  # an index of lists would come from the host
        places = [mixing.shape[1] * edge + self.edges[edge][2].index(name) for name in names for edge in edges]
        weights = torch.stack([flat[place] for place in places]).view(len(names), -1, 1, 1)
        if kept is not None:
            weights = weights * torch.stack([kept[:, edge] for edge in edges])[:, :, None]
        return Part(sources, names, weights.unbind(), weights.sum(0))

    def forward(self, x: Tensor, hidden: Tensor, parts: list[list[Part]], masks) -> tuple[Tensor, Tensor]:
        """(outputs (window, streams, channels), hidden state) of embedded words x (window, streams, channels). `masks`
        (streams, channels) are those of dropout on the input and on every state inside."""
        outputs = []
        for word in _times(x, masks[0]).unbind():
            hidden = self._step(word, hidden, parts, masks[1])
            outputs.append(hidden)
        return torch.stack(outputs), hidden

    def _step(self, word: Tensor, hidden: Tensor, parts: list[list[Part]], mask: Tensor | None) -> Tensor:
        """The next hidden state (streams, channels) after one embedded word (streams, channels)."""
        gate, candidate = (torch.cat([word, _times(hidden, mask)], -1) @ self.first).to(hidden.dtype).chunk(2, -1)
        states = [self._normalised(torch.lerp(hidden, candidate.tanh(), gate.sigmoid()))]
        masked = [_times(states[0], mask)]
        for matrix, parts_of_node in zip(self.matrices, parts, strict=True):
            sums = [self._passed_on(part, matrix, states, masked) for part in parts_of_node]
            state = sum(sums[1:], sums[0]) if sums else torch.zeros_like(hidden)
            states.append(self._normalised(state))
            masked.append(_times(states[-1], mask))
        return torch.stack([states[state] for state in self.concat]).mean(0)

    def _normalised(self, state: Tensor) -> Tensor:
        if self.norm is None:
            return state
        if self.training or self.running_statistics:
            return self.norm(state)
        return batch_norm(state, training=True, epsilon=EPSILON)

    def _passed_on(self, part: Part, matrix: Tensor, states: list[Tensor], masked: list[Tensor]) -> Tensor:
        """What a node receives of some of its edges, (streams, channels)."""
        s, inputs = _stacked(states, part.sources), _stacked(masked, part.sources)
        gate, h = (inputs.flatten(0, 1) @ matrix).to(s.dtype).view(*inputs.shape[:2], matrix.shape[1]).chunk(2, -1)
        if part.weights is None:
            return torch.lerp(s, self._activated(part.names[0], h), gate.sigmoid()).sum(0)
        s = s if part.share is None else part.share * s
        mixed = part.weights[0] * self._activated(part.names[0], h)
        for name, weight in zip(part.names[1:], part.weights[1:], strict=True):
            mixed = torch.addcmul(mixed, weight, self._activated(name, h))
        return torch.lerp(s, mixed, gate.sigmoid()).sum(0)

    def _activated(self, name: str, h: Tensor) -> Tensor:
        return self.own[name](h) if name in self.own else ACTIVATIONS[name](h)


def _stacked(states: list[Tensor], sources: list[int]) -> Tensor:
    """(sources, streams, channels)"""
    return states[sources[0]][None] if len(sources) == 1 else torch.stack([states[source] for source in sources])


def _uniform(rows: int, columns: int, spread: float, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(rows, columns).uniform_(-spread, spread, generator=generator))


def _times(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask.to(x.dtype)


class LanguageModel(nn.Module):
    """Embedding, cell and decoder. `dropout` has the rates for the cell's output, the states inside it, its input, the
    embedding, and whole words, with one mask for all words of a window (Gal and Ghahramani 2016)."""

    cell: Cell

    def __init__(self, vocabulary: int, channels: int, dropout, spread: float, generator):
        super().__init__()
        self.dropout, self.channels = dropout, channels
        self.embedding = _uniform(vocabulary, channels, spread, generator)  # and decoder
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def read(self, inputs: tuple[Tensor, Tensor], parts, generator) -> Output:
        """`inputs` are words (streams, window) and the hidden state before them (streams, channels)."""
        words, hidden = inputs[0].t(), inputs[1].to(self.embedding.dtype)
        streams = words.shape[1]
        of_output, of_hidden, of_input, of_embedding, of_words = self.dropout if self.training else [0.0] * 5

        draw = partial(torch.rand, generator=generator, device=words.device, dtype=self.embedding.dtype)

        def mask(rate: float, *shape: int) -> Tensor | None:
            """For every stream one of `shape`; rows of a batch."""
            if rate == 0:
                return None
            return (ranks.drawn(lambda n: draw((n, *shape)), streams) >= rate) / (1 - rate)

        of_vocabulary = (draw((len(self.embedding), 1)) >= of_words) / (1 - of_words) if of_words else None
        table = _times(self.embedding, of_vocabulary)
        x = _times(F.embedding(words, table), mask(of_embedding, self.channels))
        masks = mask(of_input, self.channels), mask(of_hidden, self.channels)
        states, hidden = self.cell(x, hidden, parts, masks)
        states = states.transpose(0, 1)
        output = _times(states, mask(of_output, 1, self.channels))
        return Output(F.linear(output, self.embedding, self.bias).log_softmax(-1), hidden, states)


class RecurrentSupernet(LanguageModel):
    """All recurrent cells of `space` at once: output = supernet(inputs, mixing)."""

    def __init__(
        self, space: SearchSpace, vocabulary: int, *, channels, dropout, spread, generator, running_statistics=False
    ):
        super().__init__(vocabulary, channels, dropout, spread, generator)
        self.space = space
        edges = [(*edge, names) for edge, names in zip(space.edges, space.cell(RECURRENT), strict=True)]
        concat = range(1, space.nodes + 1)
        self.cell = Cell(edges, concat, channels, True, spread, generator, space.operations, running_statistics)

    def forward(self, inputs, mixing: Tensor, *, drop_path=0.0, generator=None, running=None) -> Output:
        """As `images.Supernet`: `mixing` (1, edges, candidates); `drop_path` leaves edges out for a stream of text."""
        running = running_operations(self.space, mixing, running)
        mixing = ranks.spread(mixing[0].to(self.embedding.device, self.embedding.dtype, non_blocking=True))
        kept = kept_paths(self, mixing, len(inputs[0]), len(self.cell.edges), drop_path, generator)
        return self.read(inputs, self.cell.parts(mixing, running and running[0], kept), generator)


class RecurrentNetwork(LanguageModel):
    """The language model of one genotype, as trained from scratch: output = network(inputs). No batch-norms."""

    def __init__(self, genotype: Genotype, vocabulary: int, *, channels, dropout, spread, generator, own=None):
        super().__init__(vocabulary, channels, dropout, spread, generator)
        edges = [(source, node, (name,)) for source, node, name in genotype.edges(RECURRENT)]
        self.cell = Cell(edges, genotype.concat[RECURRENT], channels, False, spread, generator, own)

    def forward(self, inputs, *, drop_path=0.0, generator=None) -> Output:
        """`drop_path` has no effect in a network of one path."""
        return self.read(inputs, self.cell.parts(None), generator)
