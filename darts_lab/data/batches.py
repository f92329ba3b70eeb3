"""Batches of images, drawn and augmented on the device of the data. All randomness comes from a given generator."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from darts_lab.data.splits import SPLITS, Dataset, Images, normalise


def training_batch(
    dataset: Dataset, split: str, indices: Tensor, generator: Generator, *, cutout_length=0, cutout_probability=1.0
) -> tuple[Tensor, Tensor]:
    """Augmented, normalised images (b, channels, height, width) float32 and their labels (b,).

    Crop and flip as the data set says, then normalisation, then cutout: as in the papers, a crop's border is raw 0
    (black) and a cut-out square is the mean. `split` is any of the three, since the papers augment the validation
    images of the alpha steps too. `indices` (b,) and `generator` are on the device of the batches, `dataset.device`.
    """
    images, labels = samples(dataset, split, indices)
    images = crop(images, dataset.crop_padding, generator)
    if dataset.flip:
        images = flip(images, generator)
    return cutout(normalise(images, dataset), cutout_length, generator, probability=cutout_probability), labels


def plain_batch(dataset: Dataset, split: str, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised images (b, channels, height, width) float32, not augmented, and their labels (b,)."""
    images, labels = samples(dataset, split, indices)
    return normalise(images, dataset), labels


def samples(dataset: Images, split: str, indices: Tensor) -> tuple[Tensor, Tensor]:
    """The inputs and targets at `indices` (b,) of a split as they are, on the device of the batches."""
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is not known; known: {', '.join(SPLITS)}")
    coming = dataset.coming.get(split)
    if coming is not None and (found := coming.take(indices)) is not None:
        return found
    images, labels = (part[indices.to(part.device)] for part in getattr(dataset, split))
    return images.to(dataset.device), labels.to(dataset.device)


def crop(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """A random crop of each zero-padded image (b, channels, height, width): moved by -padding..padding pixels."""
    if padding == 0:
        return images
    b, _, height, width = images.shape
    top, left = torch.randint(2 * padding + 1, (2, b), generator=generator, device=images.device)
    crops = F.pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
    return crops[torch.arange(b, device=images.device), :, top, left]


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Each image (b, channels, height, width) mirrored left to right with probability 1/2."""
    mirrored = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def cutout(images: Tensor, length: int, generator: Generator, *, probability: float = 1.0) -> Tensor:
    """Zeros in a square of `length` pixels a side in each image, with `probability` (DeVries & Taylor 2017).

    Its centre is any pixel, so the border may cut it off. Raises ValueError unless length >= 0, 0 <= probability <= 1.
    """
    if length < 0:
        raise ValueError(f"cutout_length: {length} is below 0")
    if not 0 <= probability <= 1:
        raise ValueError(f"cutout_probability: {probability} is outside 0..1")
    if length == 0 or probability == 0:
        return images
    b, _, height, width = images.shape
    draw: dict[str, Any] = {"generator": generator, "device": images.device}
    inside = []
    for size in (height, width):
        first = torch.randint(size, (b, 1), **draw) - length // 2
        pixel = torch.arange(size, device=images.device)
        inside.append((first <= pixel) & (pixel < first + length))
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    hole &= (torch.rand(b, **draw) < probability)[:, None, None]
    return images.masked_fill(hole[:, None], 0)


def shuffled_batches(n: int, batch_size: int, generator: Generator) -> tuple[Tensor, ...]:
    """One epoch: a permutation of 0..n-1, on the generator's device, in parts of `batch_size`, the last maybe shorter.
    Raises ValueError unless 1 <= batch_size <= n."""
    return _permutation(n, batch_size, generator).split(batch_size)


def random_batch(n: int, batch_size: int, generator: Generator) -> Tensor:
    """The first part of such a permutation, drawn anew each time: the validation batch of an alpha step."""
    return _permutation(n, batch_size, generator)[:batch_size]


def _permutation(n: int, batch_size: int, generator: Generator) -> Tensor:
    if batch_size > n:
        raise ValueError(f"batch_size: {batch_size} is larger than the {n} samples of the split")
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size} is too small; allowed: 1..{n}")
    return torch.randperm(n, generator=generator, device=generator.device)
