"""Data sets as three splits of whole tensors on one device, and the checks of the arrays they are built from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor

from darts_lab.checks import Between, allow

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Splits:
    """Three splits, each a tuple of tensors whose first index is that of the samples, all on one device."""

    name: str
    train: tuple[Tensor, ...]
    valid: tuple[Tensor, ...]  # for the alpha steps
    test: tuple[Tensor, ...]

    def to(self, device: torch.device | str) -> Splits:
        """The same data on `device`, where batches are then drawn and augmented."""

        def moved(tensor: Tensor) -> Tensor:
            if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
                return tensor.pin_memory().to(device, non_blocking=True)
            return tensor.to(device)

        return replace(self, **{split: tuple(map(moved, getattr(self, split))) for split in SPLITS})

    def subset(self, train: int | None = None, valid: int | None = None, test: int | None = None) -> Splits:
        """The first so many samples of each split (None: all). Raises ValueError where it has fewer, or for below 1."""
        shorter = {}
        for split, n in zip(SPLITS, (train, valid, test)):
            tensors = getattr(self, split)
            if n is not None and not 1 <= n <= len(tensors[-1]):
                raise ValueError(f"{split}: {n} samples asked for; allowed: 1..{len(tensors[-1])}")
            shorter[split] = tuple(tensor[:n] for tensor in tensors)
        return replace(self, **shorter)

    def resplit(self, portion: float) -> Splits:
        """The samples of train, then of valid: the first `portion` is the new train, the rest valid. Raises ValueError
        where that leaves nothing for one of them."""
        tensors = pooled(self).train
        allow("train_portion", portion, Between)
        n = int(portion * len(tensors[-1]))
        if not 1 <= n < len(tensors[-1]):
            raise ValueError(f"train_portion: {portion!r} of {len(tensors[-1])} samples leaves none for train or valid")
        train, valid = zip(*(tensor.tensor_split([n]) for tensor in tensors))
        return replace(self, train=train, valid=valid)


@dataclass(frozen=True, eq=False)
class Images(Splits):
    """Splits whose inputs are images (n, channels, height, width), uint8 or float32."""

    mean: tuple[float, ...]  # per channel, of images as `unit` gives them
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        return self.train[0].shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return tuple(self.train[0].shape[2:])

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and std as (channels, 1, 1) tensors, cached: a copy to a GPU in every batch would make it wait."""
        device = self.train[0].device
        return tuple(torch.tensor(values, device=device).view(-1, 1, 1) for values in (self.mean, self.std))


@dataclass(frozen=True, eq=False)
class Dataset(Images):
    """Images and labels (n,) int64 in 0..classes-1; `crop_padding` (pixels) and `flip` are for `training_batch`."""

    classes: int
    crop_padding: int = 0
    flip: bool = False


def pooled(dataset: Splits) -> Splits:
    """The same data, with train and valid together as train."""
    return replace(dataset, train=tuple(torch.cat(pair) for pair in zip(dataset.train, dataset.valid, strict=True)))


def from_tensors(
    train, valid, test, *, name="own", classes: int | None = None, mean=None, std=None, crop_padding=0, flip=False
) -> Dataset:
    """A checked Dataset from three pairs (images, labels) of tensors or arrays.

    Images: (n, channels, height, width), uint8 or float (finite). Labels: (n,) integers in 0..classes-1. By default
    `classes` follows from the largest label, `mean` and `std` (a number for each channel) from the training images, on
    whose device all will be. Raises ValueError naming the split or argument at fault.
    """
    splits = checked_splits((train, valid, test), _check_images_and_labels, "(images, labels)")
    reference = splits["train"][0]
    channels, *size = reference.shape[1:]
    if classes is None:
        classes = 1 + max(int(labels.max()) for _, labels in splits.values())
    if classes < 2:
        raise ValueError(f"classes: {classes} is too few; at least 2 are needed")
    for split, (images, labels) in splits.items():
        if len(outside := labels[(labels < 0) | (labels >= classes)]):
            raise ValueError(f"{split}: labels must lie in 0..{classes - 1}, found {outside[0]}")
        splits[split] = images.to(reference.device), labels.to(reference.device)
    measured = mean_and_std(reference) if mean is None or std is None else (mean, std)
    mean, std = (tuple(map(float, m if value is None else value)) for value, m in zip((mean, std), measured))
    for argument, values in (("mean", mean), ("std", std)):
        if len(values) != channels or not np.isfinite(values).all():
            raise ValueError(f"{argument}: must be {channels} finite numbers, found {values}")
    if min(std) <= 0:
        raise ValueError(f"std: must be above 0 in every channel, found {min(std)}")
    if not 0 <= crop_padding < min(size):
        raise ValueError(f"crop_padding: {crop_padding} is not in 0..{min(size) - 1}")
    return Dataset(name, **splits, classes=classes, mean=mean, std=std, crop_padding=crop_padding, flip=flip)


def _check_images_and_labels(split: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    check_array(split, "images", images, ("n", "channels", "height", "width"))
    check_array(split, "labels", labels, images.shape[:1])
    if labels.dtype == torch.bool or labels.is_floating_point():
        raise ValueError(f"{split}: labels must be integers, found {labels.dtype}")
    if images.is_floating_point():
        images = images.float()
        if not images.isfinite().all():
            raise ValueError(f"{split}: images must be finite, found NaN or infinity")
    elif images.dtype != torch.uint8:
        raise ValueError(f"{split}: images must be uint8 or float, found {images.dtype}")
    return images, labels.long()


def checked_splits(pairs: Sequence, check: Callable[..., tuple[Tensor, Tensor]], names: str) -> dict[str, tuple]:
    """The pairs (images, targets), by split, as `check(split, images, targets)` returns them. Raises ValueError, naming
    the split, for what is no pair or has images of another shape or type than train."""
    splits = {}
    for split, pair in zip(SPLITS, pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(f"{split}: must be a pair {names}, found {type(pair).__name__}")
        splits[split] = check(split, *map(torch.as_tensor, pair))
        this, first = (f"{tuple(images.shape[1:])} {images.dtype}" for images, _ in (splits[split], splits["train"]))
        if this != first:
            raise ValueError(f"{split}: each image is {this}, but in train it is {first}")
    return splits


def check_array(split: str, name: str, array: Tensor, shape: Sequence[int | str], kind: str = "") -> None:
    """Raises ValueError, naming the split, where `array` has another shape, in which a word such as "height" stands for
    any size but 0, or is not of the `kind` uint8 or float."""
    allowed, actual = str(tuple(shape)).replace("'", ""), str(tuple(array.shape))
    if str in map(type, shape):
        allowed += ", none of them 0"
    if kind:
        allowed, actual = f"{kind} {allowed}", f"{actual} {array.dtype}"
    fits = (size > 0 if isinstance(wanted, str) else size == wanted for size, wanted in zip(array.shape, shape))
    if array.dim() != len(shape) or not all(fits) or kind not in str(array.dtype):
        raise ValueError(f"{split}: {name} must be {allowed}, found {actual}")


def mean_and_std(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, over all pixels (population std, 1 for a constant channel), of `unit(images)`."""
    std, mean = torch.std_mean(unit(images), dim=(0, 2, 3), correction=0)
    # Divided by its rounding error, a constant channel would become noise.
    return tuple(mean.tolist()), tuple(torch.where(std > 1e-6 * mean.abs(), std, 1.0).tolist())


def folder_of(folder: str | Path | None) -> Path:
    """Where real data are: `folder`, else the environment variable DARTS_LAB_DATA, else the user's cache folder."""
    return Path(folder or os.environ.get("DARTS_LAB_DATA") or user_cache_path("darts_lab")).expanduser()


def normalise(images: Tensor, dataset: Images) -> Tensor:
    """(images - mean) / std per channel, float32; uint8 images are scaled to [0, 1] first."""
    mean, std = dataset.moments
    return (unit(images) - mean) / std


def unit(images: Tensor) -> Tensor:
    """`images` as float32, uint8 scaled to [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images
