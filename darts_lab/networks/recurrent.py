"""Language models whose recurrent cell is searched: the supernet as a function of its mixing weights, and the network
of one genotype.

As in Liu et al. 2019, section 2.1 and appendix (quark0/darts, `rnn/`): words are embedded, read by the cell one after
the other, and its output is decoded with the embedding itself. Inside the cell every edge passes a state on through a
highway whose gate and candidate come from one matrix of the node it enters,

    (c, h) = s_source W_node,    s_node = s_source + sigmoid(c) * (f(h) - s_source),

in search summed over all edges and operations f by their mixing weights; the output is the mean of all nodes. `none`
takes its share of the mixing weights and passes nothing on. In search a batch-norm without scale stands behind the
first state and every node. In evaluation it takes the statistics of the streams that are read side by side, unless
`running_statistics` asks for running ones: with those, as in the official code, nothing holds the hidden state of a
half-trained supernet back, and over hundreds of words it grows without bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab.genotype import Genotype
from darts_lab.networks.operations import EPSILON, BatchNorm
from darts_lab.spaces import IDENTITY, NONE, RECURRENT, RELU, SIGMOID, TANH, SearchSpace

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    TANH: torch.tanh, RELU: torch.relu, SIGMOID: torch.sigmoid, IDENTITY: lambda h: h,
}  # fmt: skip


class Output(NamedTuple):
    """What a language model says of a window of text."""

    log_probabilities: Tensor  # (streams, window, vocabulary), of the next word
    hidden: Tensor  # (streams, channels), behind the last word: where the next window goes on
    states: Tensor  # (streams, window, channels), the cell's outputs before dropout


class Part(NamedTuple):
    """Edges into one node on which the same operations run, computed together."""

    sources: list[int]
    names: tuple[str, ...]
    weights: tuple[Tensor, ...] | None  # of each operation (edges, 1 or streams, 1); None: all weigh 1
    share: Tensor | None  # their sum


class Cell(nn.Module):
    """The recurrent cell of `edges`, each (source state, node, candidate operations), node by node.

    State 0 is made of the embedded word and the hidden state before it; state n + 1 is node n. `concat` are the states
    whose mean is the output.
    """

    def __init__(
        self, edges, concat, channels: int, normalised: bool, spread: float, generator, own=None, running=False
    ):
        super().__init__()
        self.edges, self.concat, self.running_statistics = edges, concat, running
        self.nodes = 1 + max(node for _, node, _ in edges)
        self.first = _uniform(2 * channels, 2 * channels, spread=spread, generator=generator)
        self.matrices = nn.ParameterList(
            _uniform(channels, 2 * channels, spread=spread, generator=generator) for _ in range(self.nodes)
        )
        self.norms = nn.ModuleList(BatchNorm(channels, affine=False) for _ in range(normalised * (self.nodes + 1)))
        used = {name for _, _, names in edges for name in names}
        with torch.random.fork_rng(devices=[]):  # a module of PyTorch's draws its weights from the global generator
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            self.own = nn.ModuleDict({name: make(channels, 1) for name, make in (own or {}).items() if name in used})
        self.everything = self.plan([[True] * len(names) for *_, names in edges])

    def plan(self, runs) -> list[list[tuple[list[int], tuple[str, ...], list[int]]]]:
        """For each node the groups of its edges on which the same operations run: (sources, operations, places), with
        places in the flattened mixing weights, operation by operation. `runs` (edges, candidates) says what runs."""
        groups = [{} for _ in range(self.nodes)]
        for edge, (_, node, names) in enumerate(self.edges):
            active = tuple(name for name, on in zip(names, runs[edge], strict=True) if on and name != NONE)
            if active:
                groups[node].setdefault(active, []).append(edge)
        candidates = len(self.edges[0][2])
        return [
            [
                (
                    [self.edges[edge][0] for edge in of],
                    names,
                    [candidates * edge + self.edges[edge][2].index(name) for name in names for edge in of],
                )
                for names, of in group.items()
            ]
            for group in groups
        ]

    def parts(self, mixing: Tensor | None, runs=None, kept: Tensor | None = None) -> list[list[Part]]:
        """What `forward` computes for each node, weighed by `mixing` (edges, candidates) and, where paths are dropped,
        by `kept` (streams, edges). Without `mixing` everything weighs 1."""
        plan = self.everything if runs is None else self.plan(runs)
        if mixing is None:
            return [[Part(sources, names, None, None) for sources, names, _ in group] for group in plan]
        flat, candidates = mixing.flatten(), mixing.shape[1]
        found = []
        for group in plan:
            found.append([])
            for sources, names, places in group:
                weights = flat[places].view(len(names), -1, 1, 1)
                if kept is not None:
                    edges = [place // candidates for place in places[: len(sources)]]
                    weights = weights * kept[:, edges].t()[:, :, None]
                found[-1].append(Part(sources, names, weights.unbind(), weights.sum(0)))
        return found

    def forward(self, x: Tensor, hidden: Tensor, parts: list[list[Part]], masks=(None, None)) -> tuple[Tensor, Tensor]:
        """(outputs (window, streams, channels), hidden state) of embedded words x (window, streams, channels).

        `masks` (streams, channels) are what dropout leaves of the input, and of every state inside.
        """
        mask_input, mask_hidden = masks
        x, outputs = x if mask_input is None else x * mask_input, []
        for word in x.unbind():
            hidden = self.step(word, hidden, parts, mask_hidden)
            outputs.append(hidden)
        return torch.stack(outputs), hidden

    def step(self, word: Tensor, hidden: Tensor, parts: list[list[Part]], mask: Tensor | None) -> Tensor:
        before = hidden if mask is None else hidden * mask
        gate, candidate = (torch.cat([word, before], -1) @ self.first).to(hidden.dtype).chunk(2, -1)
        states, masked = [], []
        self._add(torch.lerp(hidden, candidate.tanh(), gate.sigmoid()), states, masked, mask)
        for node, matrix in enumerate(self.matrices):
            sums = [self._passed_on(part, matrix, states, masked) for part in parts[node]]
            self._add(sum(sums[1:], sums[0]) if sums else torch.zeros_like(hidden), states, masked, mask)
        return torch.stack([states[state] for state in self.concat]).mean(0)

    def _add(self, state: Tensor, states: list[Tensor], masked: list[Tensor], mask: Tensor | None) -> None:
        if self.norms and (self.training or self.running_statistics):
            state = self.norms[len(states)](state)
        elif self.norms:
            state = F.batch_norm(state, None, None, training=True, eps=EPSILON)
        states.append(state)
        masked.append(states[-1] if mask is None else states[-1] * mask)

    def _passed_on(self, part: Part, matrix: Tensor, states: list[Tensor], masked: list[Tensor]) -> Tensor:
        """What a node receives of some of its edges, (streams, channels)."""
        s, seen = _stacked(states, part.sources), _stacked(masked, part.sources)
        gate, h = (seen.flatten(0, 1) @ matrix).to(s.dtype).view(*seen.shape[:2], -1).chunk(2, -1)
        if part.weights is None:
            return torch.lerp(s, self._activated(part.names[0], h), gate.sigmoid()).sum(0)
        s, mixed = part.share * s, None
        for name, weight in zip(part.names, part.weights, strict=True):
            one = self._activated(name, h)
            mixed = weight * one if mixed is None else torch.addcmul(mixed, weight, one)
        return torch.lerp(s, mixed, gate.sigmoid()).sum(0)

    def _activated(self, name: str, h: Tensor) -> Tensor:
        return self.own[name](h) if name in self.own else ACTIVATIONS[name](h)


def _stacked(states: list[Tensor], sources: list[int]) -> Tensor:
    """(sources, streams, channels)"""
    return states[sources[0]][None] if len(sources) == 1 else torch.stack([states[source] for source in sources])


def _uniform(*shape: int, spread: float, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-spread, spread, generator=generator))


class LanguageModel(nn.Module):
    """Embedding, cell and decoder. `dropout` holds the rates for the cell's output, the states inside it, its input,
    the embedding, and whole words: variational, the same mask for all words of a window (Gal and Ghahramani 2016)."""

    def __init__(self, vocabulary: int, channels: int, dropout, spread: float, generator):
        super().__init__()
        self.dropout, self.channels = dropout, channels
        self.embedding = _uniform(vocabulary, channels, spread=spread, generator=generator)  # and decoder
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def read(self, inputs: tuple[Tensor, Tensor], parts, generator) -> Output:
        """`inputs` are words (streams, window) and the hidden state before them (streams, channels)."""
        words, hidden = inputs
        words, hidden = words.t(), hidden.to(self.embedding.dtype)
        streams = words.shape[1]
        of_output, of_hidden, of_input, of_embedding, of_words = self.dropout if self.training else [0.0] * 5

        def mask(rate: float, *shape: int) -> Tensor | None:
            if rate == 0:
                return None
            draws = torch.rand(shape, generator=generator, device=words.device, dtype=self.embedding.dtype)
            return (draws >= rate) / (1 - rate)

        table = _times(self.embedding, mask(of_words, len(self.embedding), 1))
        x = _times(F.embedding(words, table), mask(of_embedding, streams, self.channels))
        masks = mask(of_input, streams, self.channels), mask(of_hidden, streams, self.channels)
        states, hidden = self.cell(x, hidden, parts, masks)
        states = states.transpose(0, 1)
        output = _times(states, mask(of_output, streams, 1, self.channels))
        return Output(F.linear(output, self.embedding, self.bias).log_softmax(-1), hidden, states)


def _times(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask.to(x.dtype)


class RecurrentSupernet(LanguageModel):
    """All recurrent cells of `space` at once: output = supernet(inputs, mixing). `running_statistics`: of the
    batch-norms, in evaluation."""

    def __init__(
        self, space: SearchSpace, vocabulary: int, *, channels: int, dropout, spread: float, generator,
        running_statistics: bool = False,
    ):  # fmt: skip
        super().__init__(vocabulary, channels, dropout, spread, generator)
        self.space = space
        edges = [(*edge, names) for edge, names in zip(space.edges, space.cell(RECURRENT), strict=True)]
        concat = range(1, space.nodes + 1)
        self.cell = Cell(edges, concat, channels, True, spread, generator, space.operations, running_statistics)

    def forward(self, inputs, mixing: Tensor, *, drop_path=0.0, generator=None, running=None) -> Output:
        """As `supernet.Supernet`: `mixing` (1, edges, candidates) weighs the operations, those that weigh exactly zero
        are not run where that can be seen without waiting, or where `running` says so; `drop_path` is the probability
        with which an edge is left out for a stream of text (training mode only)."""
        if tuple(mixing.shape) != self.space.shape:
            raise ValueError(
                f"mixing: shape {tuple(mixing.shape)} does not fit space {self.space.name!r}: {self.space.shape}"
            )
        if running is None and not mixing.requires_grad and mixing.device.type == "cpu":
            running = (mixing != 0).tolist()
        mixing, kept = mixing[0].to(self.embedding.device, self.embedding.dtype, non_blocking=True), None
        if self.training and drop_path > 0:
            shape = len(inputs[0]), len(self.cell.edges)
            draws = torch.rand(shape, generator=generator, device=mixing.device, dtype=mixing.dtype)
            kept = (draws >= drop_path).to(mixing.dtype) / (1 - drop_path)
        return self.read(inputs, self.cell.parts(mixing, running and running[0], kept), generator)


class RecurrentNetwork(LanguageModel):
    """The language model of one genotype, as trained from scratch: output = network(inputs). No batch-norms."""

    def __init__(
        self, genotype: Genotype, vocabulary: int, *, channels: int, dropout, spread: float, generator, own=None
    ):
        super().__init__(vocabulary, channels, dropout, spread, generator)
        edges = [(source, node, (name,)) for source, node, name in genotype.edges(RECURRENT)]
        self.cell = Cell(edges, genotype.concat[RECURRENT], channels, False, spread, generator, own)

    def forward(self, inputs, *, drop_path=0.0, generator=None, with_auxiliary=False):
        """`drop_path` is not for networks of one path; there is no auxiliary output (None)."""
        output = self.read(inputs, self.cell.parts(None), generator)
        return (output, None) if with_auxiliary else output
