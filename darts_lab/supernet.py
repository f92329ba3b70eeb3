"""The continuous relaxation as a function of its mixing weights, and the network of one genotype.

`Supernet(space)(x, mixing)` takes the mixing weights as an argument: softmax(alpha), a one-hot sample, a discretized
cell or a perturbed alpha are all just other tensors of shape (cell types, edges, candidate operations). Both networks
are chains of the same cell; in the network of a genotype every kept edge has one candidate.

Layout as in Liu et al. 2019 (quark0/darts): a 3 x 3 stem of `stem_multiplier` times the width, reduction cells after
one and two thirds of the depth, which halve the image and double the channels, mean pooling and a linear classifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab import operations
from darts_lab.genotype import Genotype
from darts_lab.operations import BatchNorm, FactorizedReduce, weight
from darts_lab.spaces import CELL_TYPES, NONE, SearchSpace

# One edge of a cell: (source state, node, candidate operations).
Edge = tuple[int, int, tuple[str, ...]]


class ReluConvNorm(nn.Module):
    """ReLU, 1 x 1 convolution, batch-norm: brings an input of a cell to the cell's channels."""

    def __init__(self, channels_in, channels, affine, generator):
        super().__init__()
        self.weight = weight(channels, channels_in, 1, 1, fan_in=channels_in, generator=generator)
        self.norm = BatchNorm(channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.conv2d(x.relu(), self.weight))

    def copy(self, index: int) -> Iterator[tuple[str, Tensor]]:
        yield "op.1.weight", self.weight
        yield from operations.prefixed("op.2", self.norm.copy(0))


class Halving(FactorizedReduce):
    """A factorized reduction by itself: brings the older input to the size of the newer one."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x, x.relu())


class Cell(nn.Module):
    """One cell. Its operations are stacked by the state they leave: `sources[state][operation]`.

    `places[state][operation]` lists, for the copies of that module, (edge, candidate, node): which weight scales the
    copy and which node receives it.
    """

    def __init__(self, edges: list[Edge], concat, inputs, channels, reduction, reduced_before, search, generator, own):
        super().__init__()
        self.search, self.concat, self.edges = search, concat, len(edges)
        self.nodes = max(node for _, node, _ in edges) + 1
        self.channels = channels * len(concat)
        if reduced_before:  # the older input is still twice as large
            self.preprocess0 = Halving(inputs[0], channels, 1, not search, generator)
        else:
            self.preprocess0 = ReluConvNorm(inputs[0], channels, not search, generator)
        self.preprocess1 = ReluConvNorm(inputs[1], channels, not search, generator)
        self.places: list[dict[str, list[tuple[int, int, int]]]] = [{} for _ in range(self.nodes + 1)]
        for edge, (source, node, candidates) in enumerate(edges):
            for candidate, name in enumerate(candidates):
                if name != NONE:  # it adds nothing
                    self.places[source].setdefault(name, []).append((edge, candidate, node))
        self.sources = nn.ModuleList()
        for source, kinds in enumerate(self.places):
            stride = 2 if reduction and source < 2 else 1
            stacked = {
                name: operations.stack(name, channels, stride, len(places), search=search, generator=generator, own=own)
                for name, places in kinds.items()
            }
            self.sources.append(nn.ModuleDict(stacked))
        self.downsampling = 2 if reduction else 1

    def forward(self, s0, s1, weights, active, drop_path: float, generator) -> Tensor:
        """`weights[source][operation]` are the mixing weights of that module's copies; `active` which copies run."""
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        incoming: list[list[Tensor]] = [[] for _ in range(self.nodes)]
        kept = self._kept_paths(states[0], drop_path, generator)
        for source, kinds in enumerate(self.sources):
            x = states[source]
            relu = x.relu()
            sums: dict[tuple[int, ...], Tensor] = {}  # what leaves this state, by the nodes that receive it
            for name, operation in kinds.items():
                chosen = None if active is None else active[source][name]
                if chosen == []:
                    continue
                places = self.places[source][name]
                places = places if chosen is None else [places[copy] for copy in chosen]
                scale = None if weights is None else weights[source][name]
                scale = scale if scale is None or chosen is None else scale[chosen]
                out = operation(x, relu, scale, chosen, generator)  # (batch, copies * channels, height, width)
                if kept is not None and (self.search or not isinstance(operation, operations.Identity)):
                    paths = kept[:, [edge for edge, _, _ in places]]
                    out = out * paths.repeat_interleave(x.shape[1], 1)[:, :, None, None]
                receivers = tuple(node for _, _, node in places)
                sums[receivers] = sums[receivers] + out if receivers in sums else out
            for receivers, out in sums.items():
                for node, part in zip(receivers, out.split(x.shape[1], 1), strict=True):
                    incoming[node].append(part)
            if source >= 1:  # every edge into node `source - 1` has now been followed
                states.append(self._sum(incoming[source - 1], states[0]))
        return torch.cat([states[state] for state in self.concat], 1)

    def _sum(self, parts: list[Tensor], like: Tensor) -> Tensor:
        if not parts:  # every operation into this node is `none` or weighs nothing
            step = self.downsampling
            return torch.zeros_like(like[:, :, ::step, ::step])
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _kept_paths(self, x: Tensor, drop_path: float, generator) -> Tensor | None:
        """Scheduled drop path: for every sample and edge 0, or 1 / (1 - drop_path) so that the mean stays."""
        if not (self.training and drop_path > 0):
            return None
        draws = torch.rand((len(x), self.edges), generator=generator, device=x.device, dtype=x.dtype)
        return (draws >= drop_path).to(x.dtype) / (1 - drop_path)


class Backbone(nn.Module):
    """Stem and cells: from images (batch, in_channels, height, width) to features, one tensor for each cell."""

    def __init__(self, edges, concat, channels, layers, in_channels, stem_multiplier, search, generator, own=None):
        super().__init__()
        width = stem_multiplier * channels
        self.stem = weight(width, in_channels, 3, 3, fan_in=9 * in_channels, generator=generator)
        self.stem_norm = BatchNorm(width, affine=True)
        self.reductions = {layers // 3, 2 * layers // 3}
        self.cells, self.cell_types = nn.ModuleList(), []
        inputs, reduced_before = [width, width], False
        for layer in range(layers):
            reduction = layer in self.reductions
            channels *= 2 if reduction else 1
            cell_type = CELL_TYPES[reduction]
            cell = Cell(
                edges[cell_type], concat[cell_type], inputs, channels, reduction, reduced_before, search, generator, own
            )
            self.cells.append(cell)
            self.cell_types.append(cell_type)
            inputs, reduced_before = [inputs[1], cell.channels], reduction
        self.channels = inputs[1]

    def forward(self, x, weights, active, drop_path=0.0, generator=None) -> Iterator[Tensor]:
        """`weights` and `active` hold, by cell type, what `Cell.forward` takes; a missing type means 1 and all."""
        x = x.contiguous(memory_format=torch.channels_last)
        s0 = s1 = self.stem_norm(F.conv2d(x, self.stem, padding=1))
        for cell, cell_type in zip(self.cells, self.cell_types, strict=True):
            s0, s1 = s1, cell(s0, s1, weights.get(cell_type), active.get(cell_type), drop_path, generator)
            yield s1


class Linear(nn.Module):
    """A linear layer whose weights come from an explicit generator."""

    def __init__(self, features: int, classes: int, generator):
        super().__init__()
        self.weight = weight(classes, features, fan_in=features, generator=generator)
        self.bias = weight(classes, fan_in=features, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Supernet(nn.Module):
    """All architectures of `space` at once: logits = supernet(x, mixing).

    `channels` is the width of the first cell, `layers` the number of cells (16 and 8 in the papers). `generator` (on
    the CPU) draws the initial weights. Raises ValueError for sizes that are not positive.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        channels: int = 16,
        layers: int = 8,
        classes: int = 10,
        in_channels: int = 3,
        stem_multiplier: int = 3,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        _positive(channels=channels, layers=layers, classes=classes, in_channels=in_channels)
        self.space = space
        generator = generator or torch.Generator().manual_seed(0)
        edges = {
            cell_type: [(*edge, names) for edge, names in zip(space.edges, space.cell(cell_type), strict=True)]
            for cell_type in CELL_TYPES
        }
        concat = dict.fromkeys(CELL_TYPES, tuple(range(2, space.nodes + 2)))
        self.backbone = Backbone(
            edges, concat, channels, layers, in_channels, stem_multiplier, True, generator, space.operations
        )
        self.classifier = Linear(self.backbone.channels, classes, generator)

    def forward(self, x, mixing, *, drop_path=0.0, generator=None) -> Tensor:
        """Logits (batch, classes) of images (batch, in_channels, height, width).

        `mixing` (cell types, edges, candidates) weighs the operations. Where it asks for no gradient, operations that
        weigh exactly zero are not run. `drop_path` is the probability with which a mixed edge is left out of a sample
        (training mode only); `generator` drives drop path and the noise operation, on the device of x.
        """
        if tuple(mixing.shape) != self.space.shape:
            raise ValueError(
                f"mixing: shape {tuple(mixing.shape)} does not fit space {self.space.name!r}: {self.space.shape}"
            )
        nonzero = None if mixing.requires_grad else (mixing != 0).tolist()
        if nonzero and all(w for cell in nonzero for edge in cell for w in edge):
            nonzero = None
        weights, active = {}, {}
        for number, cell_type in enumerate(CELL_TYPES):
            if cell_type not in self.backbone.cell_types:
                continue
            places = self.backbone.cells[self.backbone.cell_types.index(cell_type)].places
            weights[cell_type] = _gather(mixing[number], places)
            if nonzero is not None:
                active[cell_type] = [
                    {
                        name: [copy for copy, (edge, candidate, _) in enumerate(of) if nonzero[number][edge][candidate]]
                        for name, of in kinds.items()
                    }
                    for kinds in places
                ]
        for features in self.backbone(x, weights, active, drop_path, generator):  # noqa: B007, only the last counts
            pass
        return self.classifier(features.mean((2, 3)))


def _gather(mixing: Tensor, places) -> list[dict[str, Tensor]]:
    """The weights of one cell type, (edges, candidates), cut into those of every stacked operation."""
    candidates = mixing.shape[1]
    sizes = [len(of) for kinds in places for of in kinds.values()]
    order = [edge * candidates + candidate for kinds in places for of in kinds.values() for edge, candidate, _ in of]
    parts = iter(mixing.flatten()[torch.tensor(order, dtype=torch.long, device=mixing.device)].split(sizes))
    return [{name: next(parts) for name in kinds} for kinds in places]


class Network(nn.Module):
    """The network of one genotype, as trained from scratch: logits = network(x).

    As `Supernet`, but only the kept edges, batch-norms with scales, drop path on every operation but the identity,
    and `auxiliary` classifier after two thirds of the depth: `network(x, with_auxiliary=True)` gives both logits.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        channels: int = 36,
        layers: int = 20,
        classes: int = 10,
        in_channels: int = 3,
        stem_multiplier: int = 3,
        auxiliary: bool = False,
        operations=None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        _positive(channels=channels, layers=layers, classes=classes, in_channels=in_channels)
        generator = generator or torch.Generator().manual_seed(0)
        edges = {
            cell_type: [(source, node, (operation,)) for source, node, operation in genotype.edges(cell_type)]
            for cell_type in CELL_TYPES
        }
        concat = {"normal": genotype.normal_concat, "reduce": genotype.reduce_concat}
        self.backbone = Backbone(
            edges, concat, channels, layers, in_channels, stem_multiplier, False, generator, operations
        )
        self.classifier = Linear(self.backbone.channels, classes, generator)
        self.auxiliary_after = 2 * layers // 3
        width = self.backbone.cells[self.auxiliary_after].channels
        self.auxiliary = AuxiliaryHead(width, classes, generator) if auxiliary else None

    def forward(self, x, *, drop_path=0.0, generator=None, with_auxiliary=False):
        auxiliary = None
        for layer, features in enumerate(self.backbone(x, {}, {}, drop_path, generator)):
            if with_auxiliary and self.auxiliary is not None and layer == self.auxiliary_after:
                auxiliary = self.auxiliary(features)
        logits = self.classifier(features.mean((2, 3)))
        return (logits, auxiliary) if with_auxiliary else logits


class AuxiliaryHead(nn.Module):
    """The auxiliary tower of DARTS for CIFAR: expects feature maps of 8 x 8, that is images of 32 x 32."""

    def __init__(self, channels: int, classes: int, generator):
        super().__init__()
        self.first = weight(128, channels, 1, 1, fan_in=channels, generator=generator)
        self.first_norm = BatchNorm(128, affine=True)
        self.second = weight(768, 128, 2, 2, fan_in=4 * 128, generator=generator)
        self.second_norm = BatchNorm(768, affine=True)
        self.classifier = Linear(768, classes, generator)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (8, 8):
            raise ValueError(
                f"auxiliary: the tower needs feature maps of 8 x 8 (images of 32 x 32), got {tuple(x.shape[-2:])}"
            )
        x = F.avg_pool2d(x.relu(), 5, 3, 0, count_include_pad=False)
        x = self.first_norm(F.conv2d(x, self.first)).relu()
        x = self.second_norm(F.conv2d(x, self.second)).relu()
        return self.classifier(x.flatten(1))


@contextmanager
def frozen_statistics(network: nn.Module):
    """Within it, training passes use the statistics of their batch but leave the running ones alone.

    So an alpha step, a perturbed copy of the weights or a Hessian does not change what evaluation will see.
    """
    switches = [(module, "update") for module in network.modules() if isinstance(module, BatchNorm)]
    foreign = nn.modules.batchnorm._BatchNorm  # in operations of the user's own
    switches += [(module, "track_running_stats") for module in network.modules() if isinstance(module, foreign)]
    before = [getattr(*switch) for switch in switches]
    for switch in switches:
        setattr(*switch, False)
    try:
        yield network
    finally:
        for switch, value in zip(switches, before, strict=True):
            setattr(*switch, value)


def parameter_count(network: nn.Module) -> int:
    """Number of trained weights; alpha is not one of them."""
    return sum(parameter.numel() for parameter in network.parameters())


def check_images(size: tuple[int, int], layers: int, auxiliary: bool = False) -> None:
    """Raises ValueError where images of `size` (height, width) fit no network of `layers` cells."""
    halvings = len({layers // 3, 2 * layers // 3})
    shown = " x ".join(map(str, size))
    if any(side % 2**halvings for side in size):
        raise ValueError(
            f"data: images of {shown} cannot be halved by {halvings} reduction cells; height and width must be "
            f"multiples of {2**halvings}"
        )
    if auxiliary and tuple(size) != (8 * 2**halvings,) * 2:
        raise ValueError(f"auxiliary: the tower needs images of 32 x 32, not {shown}; auxiliary=0 leaves it out")


def _positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name}: {size!r} is not allowed; it must be a whole number of at least 1")
