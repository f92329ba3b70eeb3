"""The continuous relaxation as a function of its mixing weights, and the network of one genotype.

Layout as in Liu et al. 2019 (quark0/darts): a 3 x 3 stem of three times the width, reduction cells after one and two
thirds of the depth, which halve the image and double the channels, mean pooling and a linear classifier.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab.checks import checked
from darts_lab.genotype import Genotype
from darts_lab.networks import fused
from darts_lab.networks.assembly import cells_of_genotype, cells_of_space, of_cells, positive, weightings_of
from darts_lab.networks.operations import BatchNorm, weight
from darts_lab.spaces import CELL_TYPES, KNOWN_OPERATIONS, SearchSpace


class Backbone(nn.Module):
    """Stem, and cells from `make_cell`: images (batch, in_channels, height, width) to the features of each cell."""

    channels: int  # of the last cell's features

    def __init__(self, make_cell, channels: int, layers: int, in_channels: int, generator):
        super().__init__()
        width = 3 * channels
        self.stem = weight(width, in_channels, 3, 3, fan_in=9 * in_channels, generator=generator)
        self.stem_norm = BatchNorm(width, affine=True)
        self.cells, self.cell_types = nn.ModuleList(), []
        inputs, reduced_before = [width, width], False
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduction else 1
            self.cell_types.append(CELL_TYPES[reduction])
            cell = make_cell(self.cell_types[-1], inputs, channels, reduced_before, generator)
            self.cells.append(cell)
            inputs, reduced_before = [inputs[1], cell.channels], reduction
        self.channels = inputs[1]

    def forward(self, x, weightings, drop_path=0.0, generator=None, of=(-1,)) -> list[Tensor]:
        """The features of the cells `of`. `weightings` are the arguments of each `Cell.forward`; where None every
        operation weighs 1."""
        weightings = weightings or [None] * len(self.cells)
        if all(fused.takes(cell, x) for cell in self.cells):
            s0 = self.stem_norm(F.conv2d(x.contiguous(), self.stem, padding=1))
            return fused.cells(self.cells, s0, weightings, drop_path, generator, of)
        x = x.contiguous(memory_format=torch.channels_last)
        s0 = s1 = torch.relu(self.stem_norm(F.conv2d(x, self.stem, padding=1)))
        features = []
        for cell, weighting in zip(self.cells, weightings, strict=True):
            features.append(cell(s0, s1, weighting, drop_path, generator))
            s0, s1 = s1, torch.relu(features[-1])
        return [features[cell] for cell in of]


def linear(features: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer whose weights come from an explicit generator."""
    layer = nn.Linear(features, classes, device="meta")  # where nothing is drawn
    layer.weight = weight(classes, features, fan_in=features, generator=generator)
    layer.bias = weight(classes, fan_in=features, generator=generator)
    return layer


class Supernet(nn.Module):
    """All architectures of `space` at once: logits = supernet(x, mixing).

    `channels` is the width of the first cell, `layers` the number of cells (16 and 8 in the papers). `node_norm` puts a
    batch-norm after the sum of every node, for mixing weights that do not sum to one (Maile et al. 2021). Operations
    get 1/`share` of the channels, the rest is passed on (Xu et al. 2020). `auxiliary_skip` puts a skip beside the
    candidates of every edge, whose weights are a last column of `mixing` that may be left out (Chu et al. 2021).
    `generator` (on the CPU) draws the initial weights. Raises ValueError for sizes that are not positive.

    >>> space = dl.spaces.get("S2")
    >>> supernet = dl.Supernet(space, channels=4, layers=2)
    >>> supernet(torch.zeros(5, 3, 8, 8), mixing=torch.full(space.shape, 0.5)).shape
    torch.Size([5, 10])
    """

    @checked
    def __init__(
        self, space: SearchSpace, *, channels=16, layers=8, classes=10, in_channels=3, node_norm=False, share=1,
        auxiliary_skip=False, generator=None,
    ):  # fmt: skip
        super().__init__()
        of_cells(space, CELL_TYPES)
        positive(channels=channels, layers=layers, classes=classes, in_channels=in_channels, share=share)
        self.space = space
        generator = generator or torch.Generator().manual_seed(0)
        cells = cells_of_space(space, node_norm, share, auxiliary_skip)
        self.backbone = Backbone(cells, channels, layers, in_channels, generator)
        self.classifier = linear(self.backbone.channels, classes, generator)

    def forward(self, x, mixing, *, drop_path=0.0, generator=None, running=None) -> Tensor:
        """Logits (batch, classes) of images (batch, in_channels, height, width).

        `mixing` (cell types, edges, candidates) weighs the operations; or (layers, edges, candidates), where there are
        more layers than cell types, those of each cell by itself. If it is on the CPU and needs no gradient, those
        of weight zero are not run (on a GPU, to look would make the host wait). `running`, nested lists of booleans of
        the same shape, says instead which run; the others weigh nothing. `drop_path` is the probability with which a
        mixed edge is left out of a sample, in training. `generator`, on the device of x, drives drop path and noise.
        """
        weightings = weightings_of(self.space, self.backbone, mixing, x, running)
        (features,) = self.backbone(x, weightings, drop_path, generator)
        return self.classifier(features.mean((2, 3)))


class Network(nn.Module):
    """The network of one genotype, as trained from scratch: logits = network(x).

    As `Supernet`, but with only the kept edges, batch-norms with scales, drop path on every operation but the identity,
    and an `auxiliary` classifier after two thirds of the depth: `network(x, with_auxiliary=True)` gives both logits.

    >>> cell = dl.uniform_genotype(dl.spaces.get("S2"), "sep_conv_3x3")
    >>> dl.Network(cell, channels=4, layers=3)(torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5, 10])
    """

    @checked
    def __init__(
        self,
        genotype,
        *,
        channels=36,
        layers=20,
        classes=10,
        in_channels=3,
        auxiliary: bool = False,
        operations=None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        genotype = Genotype.of(genotype, (*KNOWN_OPERATIONS, *(operations or {})))
        of_cells(genotype, CELL_TYPES)
        positive(channels=channels, layers=layers, classes=classes, in_channels=in_channels)
        generator = generator or torch.Generator().manual_seed(0)
        self.backbone = Backbone(cells_of_genotype(genotype, operations), channels, layers, in_channels, generator)
        self.classifier = linear(self.backbone.channels, classes, generator)
        self.auxiliary_after = 2 * layers // 3
        width = self.backbone.cells[self.auxiliary_after].channels
        self.auxiliary = AuxiliaryHead(width, classes, generator) if auxiliary else None

    def forward(self, x, *, drop_path=0.0, generator=None, with_auxiliary=False):
        of = (-1, self.auxiliary_after) if with_auxiliary and self.auxiliary else (-1,)
        features, *others = self.backbone(x, None, drop_path, generator, of)
        auxiliary = self.auxiliary(others[0]) if self.auxiliary and others else None
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
        self.classifier = linear(768, classes, generator)

    def forward(self, x: Tensor) -> Tensor:
        size = tuple(x.shape[-2:])
        if size != (8, 8):
            raise ValueError(f"auxiliary: the tower needs feature maps of 8 x 8 (images of 32 x 32), got {size}")
        x = F.avg_pool2d(x.relu(), 5, 3, 0, count_include_pad=False)
        x = self.first_norm(F.conv2d(x, self.first)).relu()
        x = self.second_norm(F.conv2d(x, self.second)).relu()
        return self.classifier(x.flatten(1))


def check_images(size: tuple[int, int], layers: int, auxiliary: bool = False) -> None:
    """Raises ValueError where images of `size` (height, width) fit no network of `layers` cells."""
    halvings = len({layers // 3, 2 * layers // 3})
    shown, multiple = " x ".join(map(str, size)), 2**halvings
    if any(side % multiple for side in size):
        problem = f"data: images of {shown} cannot be halved by {halvings} reduction cells"
        raise ValueError(f"{problem}; height and width must be multiples of {multiple}")
    if auxiliary and tuple(size) != (8 * multiple,) * 2:
        raise ValueError(f"auxiliary: the tower needs images of 32 x 32, not {shown}; auxiliary=0 leaves it out")
