"""Encoder and decoder of cells: networks with an output for every pixel, here the disparity of an image pair.

Layout after AutoDispNet-C (Saikia et al. 2019), reduced as in Zela et al. 2020 (appendix D): a stem that correlates
both images at a quarter of their size; an encoder in which normal and reduction cells alternate; a decoder of
upsampling cells, one for every reduction, each of which gives a disparity map.

    layers = 6:   stem -> normal -> reduce -> normal -> reduce -> upsample -> upsample
                            |                   '----------------->'           ^
                            '-------------------------------------------------'

An upsampling cell first doubles what comes from the cell before it, so all its edges are at the new size (as in
AutoDispNet). Three things are ours. State 0 is the encoder's normal cell of that size, so all cell types have two
inputs and fit one alpha. The doubling is bilinear, not a transposed convolution, so a cell has no weights besides its
operations. No coarser disparity is an input of the next cell.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab.genotype import Genotype
from darts_lab.networks.assembly import cells_of_genotype, cells_of_space, positive, weightings_of
from darts_lab.networks.operations import BatchNorm, weight
from darts_lab.spaces import CELL_TYPES, UPSAMPLE, SearchSpace

SHRINKAGE = 4  # of the stem, as in DispNet-C and AutoDispNet-C


def cell_types_of(layers: int) -> list[str]:
    """The cell types of a network of `layers` cells, a multiple of three."""
    return list(CELL_TYPES) * (layers // 3) + [UPSAMPLE] * (layers // 3)


def check_pairs(size: tuple[int, int], layers: int) -> None:
    """Raises ValueError where image pairs of `size` (height, width) fit no network of `layers` cells."""
    if layers % 3:
        kinds = "a normal, a reduction and an upsampling cell"
        raise ValueError(f"layers: {layers} is not allowed; it must be a multiple of 3 ({kinds})")
    multiple = SHRINKAGE * 2 ** (layers // 3)
    if any(side % multiple for side in size):
        problem = f"data: image pairs of {size[0]} x {size[1]} do not fit a network of {layers} cells"
        raise ValueError(f"{problem}; height and width must be multiples of {multiple}")


class Stem(nn.Module):
    """From a pair (batch, 6, height, width) to features at a quarter of the size: those of the left image, and how well
    they agree with the right image's at 0, 1, ... `displacements` pixels further left.

    Two 3 x 3 convolutions of stride 2 with batch-norm, the same for both images; the agreement is the mean over
    channels of the product (the correlation layer of Dosovitskiy et al. 2015 and DispNet-C, in one dimension). Ours is
    that each pixel's features are first scaled to the same length: bright and busy places would agree with everything.
    A plain network of the stem and four convolutions, 160 steps on `stereo`, one run each, test split: 4.0 px; 6.5 px
    with the right image's features in place of the agreement; 5.0 px with products not normalised (after 240 steps).
    """

    def __init__(self, width: int, displacements: int, generator: torch.Generator):
        super().__init__()
        half = width // 2
        self.first = weight(half, 3, 3, 3, fan_in=27, generator=generator)
        self.first_norm = BatchNorm(half, affine=True)
        self.second = weight(width, half, 3, 3, fan_in=9 * half, generator=generator)
        self.second_norm = BatchNorm(width, affine=True)
        self.displacements = displacements
        self.agreement_norm = BatchNorm(displacements + 1, affine=True)
        self.channels = width + displacements + 1

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat(x.chunk(2, 1)).contiguous(memory_format=torch.channels_last)  # all left images, all right ones
        x = self.first_norm(F.conv2d(x, self.first, stride=2, padding=1)).relu()
        left, right = self.second_norm(F.conv2d(x, self.second, stride=2, padding=1)).unflatten(0, (2, x.shape[0] // 2))
        width, directions = left.shape[-1], F.normalize(left)
        moved = F.pad(F.normalize(right), (self.displacements, 0))  # nothing agrees with pixels outside the image
        starts = range(self.displacements, -1, -1)
        agreement = [(directions * moved[..., start : start + width]).mean(1) for start in starts]
        return torch.cat([left, self.agreement_norm(torch.stack(agreement, 1))], 1)


class Head(nn.Module):
    """A 3 x 3 convolution from the features of an upsampling cell to one value a pixel, (batch, height, width)."""

    def __init__(self, channels: int, generator: torch.Generator):
        super().__init__()
        self.weight = weight(1, channels, 3, 3, fan_in=9 * channels, generator=generator)
        self.bias = weight(1, fan_in=9 * channels, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=1)[:, 0]


class Hourglass(nn.Module):
    """Stem, cells from `make_cell`, and heads: pairs (batch, 6, height, width) to disparity maps at a quarter, an
    eighth, ... of the size, the finest first."""

    def __init__(self, make_cell, channels: int, layers: int, displacements: int, generator: torch.Generator):
        super().__init__()
        self.stem = Stem(4 * channels, displacements, generator)
        self.cells, self.heads, self.cell_types = nn.ModuleList(), nn.ModuleList(), cell_types_of(layers)
        inputs = [self.stem.channels] * 2
        skips: list[int] = []
        for cell_type in self.cell_types:
            if cell_type == UPSAMPLE:
                channels //= 2
                inputs = [skips.pop(), inputs[1]]
            elif cell_type == "reduce":
                channels *= 2
            after_reduction = cell_type == "normal" and bool(self.cells)  # as every normal cell but the first
            cell = make_cell(cell_type, inputs, channels, after_reduction, generator)
            if cell_type == UPSAMPLE:
                doubling = nn.Upsample(scale_factor=2, mode="bilinear")
                cell.preprocess1 = nn.Sequential(cell.preprocess1, doubling)  # cheaper than the other way round
                self.heads.append(Head(cell.channels, generator))
            elif cell_type == "normal":
                skips.append(cell.channels)
            self.cells.append(cell)
            inputs = [inputs[1], cell.channels]

    def forward(self, x, weightings, drop_path=0.0, generator=None) -> tuple[Tensor, ...]:
        """`weightings` as for `images.Backbone`."""
        s0 = s1 = self.stem(x).relu()
        heads, maps = iter(self.heads), []
        skips: list[Tensor] = []
        weightings = weightings or [None] * len(self.cells)
        for cell, cell_type, weighting in zip(self.cells, self.cell_types, weightings, strict=True):
            if cell_type == UPSAMPLE:
                s0 = skips.pop()
            s0, s1 = s1, cell(s0, s1, weighting, drop_path, generator).relu()
            if cell_type == "normal":
                skips.append(s1)
            elif cell_type == UPSAMPLE:
                maps.append(next(heads)(s1))
        return tuple(reversed(maps))


class DenseSupernet(nn.Module):
    """All architectures of `space`, of cells normal, reduce and upsample, at once: maps = supernet(pairs, mixing). As
    `images.Supernet`, with `layers` a multiple of 3; `displacements` as in `Stem`."""

    def __init__(
        self, space: SearchSpace, *, channels=16, layers=9, displacements=40, node_norm=False, share=1,
        auxiliary_skip=False, generator=None,
    ):  # fmt: skip
        super().__init__()
        positive(channels=channels, layers=layers, share=share)
        self.space = space
        generator = generator or torch.Generator().manual_seed(0)
        cells = cells_of_space(space, node_norm, share, auxiliary_skip)
        self.backbone = Hourglass(cells, channels, layers, displacements, generator)

    def forward(self, x, mixing, *, drop_path=0.0, generator=None, running=None) -> tuple[Tensor, ...]:
        """Maps of pairs (batch, 6, height, width), see `Hourglass`; all else as in `Supernet.forward`."""
        return self.backbone(x, weightings_of(self.space, self.backbone, mixing, x, running), drop_path, generator)


class DenseNetwork(nn.Module):
    """The network of one genotype of cells normal, reduce and upsample, trained from scratch: maps = network(pairs)."""

    def __init__(self, genotype: Genotype, *, channels=16, layers=9, displacements=40, operations=None, generator=None):
        super().__init__()
        positive(channels=channels, layers=layers)
        generator = generator or torch.Generator().manual_seed(0)
        self.backbone = Hourglass(cells_of_genotype(genotype, operations), channels, layers, displacements, generator)

    def forward(self, x, *, drop_path=0.0, generator=None) -> tuple[Tensor, ...]:
        return self.backbone(x, None, drop_path, generator)
