"""Data sets as three splits of whole tensors on one device, and the checks of the arrays they are built from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from darts_lab.checks import Between, Seed, allow, plain
from darts_lab.data.ahead import Ahead
from darts_lab.data.arrays import to_tensor
from darts_lab.environment import free_memory

SPLITS = ("train", "valid", "test")
MANY = 2**28  # numbers of which floats take a gigabyte


@dataclass(frozen=True, eq=False)
class Splits:
    """Three splits, each a tuple of tensors whose first index is that of the samples, all on one device.

    Parts of them are drawn, unless they are `ordered`: then they are the first samples, as of the embedded sets and
    those that papers cut in the order of their files.
    """

    name: str
    train: tuple[Tensor, ...]
    valid: tuple[Tensor, ...]  # for the alpha steps
    test: tuple[Tensor, ...]
    ordered: bool = field(default=False, kw_only=True)
    batches_on: torch.device | None = field(default=None, kw_only=True)  # None: where the tensors are
    mapped: bool = field(default=False, kw_only=True)  # whether they lie in a file

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return self.train[-1].device if self.batches_on is None else self.batches_on

    @cached_property
    def coming(self) -> dict[str, Ahead]:
        """Samples that are being gathered, by split."""
        return {}

    def gather_ahead(self, split: str, places: Sequence[Tensor]) -> None:
        """Gathers the samples at `places` ahead, in whose order they will be asked for, where they are not on the
        device already."""
        if self.batches_on is not None or self.mapped:
            self.coming[split] = Ahead(getattr(self, split), places, self.device)

    def to(self, device: torch.device | str) -> Splits:
        """The same data on `device`, where batches are then drawn and augmented. Data that would take more than half of
        its free memory stay where they are, with a warning, and only batches go there."""
        device = torch.device(device)
        free, tensors = free_memory(device), [tensor for split in SPLITS for tensor in getattr(self, split)]
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor.device.type != device.type)
        if free is not None and size > free / 2:
            warnings.warn(
                f"data: {self.name!r} takes {size / 2**30:.3g} GB, more than half of the {free / 2**30:.3g} GB free on "
                f"{device}; it stays in the host's memory, from which batches are gathered ahead",
                stacklevel=2,
            )
            return replace(self, batches_on=device)

        def moved(tensor: Tensor) -> Tensor:
            if device.type == "cuda" and tensor.device.type == "cpu":
                return tensor.pin_memory().to(device, non_blocking=True)
            return tensor.to(device)

        mapped = self.mapped and device.type == "cpu"
        return replace(
            self, batches_on=None, mapped=mapped, train=(*map(moved, self.train),), valid=(*map(moved, self.valid),),
            test=(*map(moved, self.test),),
        )  # fmt: skip

    def subset(
        self, train: int | None = None, valid: int | None = None, test: int | None = None, seed: int = 0
    ) -> Splits:
        """So many samples of each split (None: all), in their order: drawn by `seed`, of every class its share; of
        `ordered` data the first. Raises ValueError where a split has fewer, or for below 1."""
        shorter: dict[str, Any] = {}
        for split, n in zip(SPLITS, (train, valid, test)):
            tensors, n = getattr(self, split), plain(n)
            if n is not None and not (isinstance(n, int) and 1 <= n <= len(tensors[-1])):
                raise ValueError(f"{split}: {n!r} samples asked for; allowed: 1..{len(tensors[-1])}")
            shorter[split] = tensors if n in (None, len(tensors[-1])) else next(self._parts(tensors, n, seed, split))
        return replace(self, **shorter)

    def resplit(self, portion: float, seed: int = 0) -> Splits:
        """The samples of train and valid, split anew: a `portion` of them, drawn as for `subset`, is train, the rest
        valid. Raises ValueError where that leaves nothing for one of them."""
        tensors = pooled(self).train
        portion = allow("train_portion", portion, Between)
        n = int(portion * len(tensors[-1]))
        if not 1 <= n < len(tensors[-1]):
            raise ValueError(f"train_portion: {portion!r} of {len(tensors[-1])} samples leaves none for train or valid")
        train, valid = self._parts(tensors, n, seed, "resplit")
        return replace(self, train=train, valid=valid)

    def _parts(self, tensors: tuple[Tensor, ...], n: int, seed: int, purpose: str) -> Iterator[tuple[Tensor, ...]]:
        """n of the samples, then all others."""
        if self.ordered:
            yield from zip(*(tensor.tensor_split([n]) for tensor in tensors))
            return
        chosen = drawn(self.strata(tensors), n, (allow("seed", seed, Seed), *purpose.encode()))
        chosen = torch.from_numpy(chosen).to(tensors[-1].device)
        for mask in (chosen, ~chosen):
            yield tuple(tensor[mask] for tensor in tensors)

    def strata(self, tensors: tuple[Tensor, ...]) -> Tensor:
        """The class (n,) of every sample of a split: of every class its share is drawn. Here all are alike."""
        return torch.zeros(len(tensors[-1]), dtype=torch.int64)


def drawn(classes: Tensor, n: int, seed: int | Sequence[int]) -> np.ndarray:
    """Which samples, a mask over `classes`, are among the `n` drawn by `seed`, the same on every machine.

    Of every class its share, rounded by Webster's method (Sainte-Laguë), and at least one sample where `n` allows.
    """
    classes, rng = classes.cpu().numpy(), np.random.default_rng(seed)
    order = rng.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]  # by class, within it at random
    _, first, counts = np.unique(classes[order], return_index=True, return_counts=True)
    rank, size = np.arange(len(order)) - np.repeat(first, counts), np.repeat(counts, counts)
    quotient = np.where(rank == 0, 0, (rank + 0.5) / size)
    chosen = np.zeros(len(order), bool)
    chosen[order[np.lexsort((rng.random(len(order)), quotient))[:n]]] = True
    return chosen


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
        height, width = self.train[0].shape[2:]
        return height, width

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and std as (channels, 1, 1) tensors, cached: a copy to a GPU in every batch would make it wait."""
        mean, std = (torch.tensor(values, device=self.device).view(-1, 1, 1) for values in (self.mean, self.std))
        return mean, std


@dataclass(frozen=True, eq=False)
class Dataset(Images):
    """Images and labels (n,) int64 in 0..classes-1; `crop_padding` (pixels) and `flip` are for `training_batch`,
    `class_names`, by number, for people."""

    classes: int
    crop_padding: int = 0
    flip: bool = False
    class_names: tuple[str, ...] | None = None

    def strata(self, tensors: tuple[Tensor, ...]) -> Tensor:
        return tensors[-1]


def pooled(dataset: Splits) -> Splits:
    """The same data, with train and valid together as train."""
    return replace(dataset, train=tuple(map(_joined, dataset.train, dataset.valid)))


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """Both, one behind the other: not copied where they lie so."""
    beside = first.is_contiguous() and second.is_contiguous() and first.dtype == second.dtype
    same = beside and first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()
    if same and second.storage_offset() == first.storage_offset() + first.numel():
        return first.as_strided((len(first) + len(second), *first.shape[1:]), first.stride())
    return torch.cat([first, second])


def check_pair(split: str, pair, names: str) -> None:
    """Raises ValueError, naming the split, for what is no pair."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        more = "; dl.data.from_dataset reads a data set of PyTorch" if isinstance(pair, TorchDataset) else ""
        raise ValueError(f"{split}: must be a pair {names}, found {type(pair).__name__}{more}")


def checked_splits(pairs: Mapping, check: Callable[..., tuple[Tensor, Tensor]], names: str) -> dict[str, Any]:
    """The pairs (images, targets), by split, as `check(split, images, targets)` returns them. Raises ValueError, naming
    the split, for what is no pair or has images of another shape or type than train."""
    splits = {}
    for split, pair in pairs.items():
        check_pair(split, pair, names)
        inputs, targets = names.strip("()").split(", ")
        splits[split] = check(split, to_tensor(split, inputs, pair[0]), to_tensor(split, targets, pair[1]))
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
    if images.numel() > MANY:  # as floats they might not fit into memory: part by part
        parts = images.split(max(len(images) * MANY // (8 * images.numel()), 1))
        moments = torch.stack([torch.stack(_moments(part)).double() for part in parts])
        weights = torch.tensor([len(part) / len(images) for part in parts], dtype=torch.float64)[:, None]
        mean = (weights * moments[:, 0]).sum(0)
        std = (weights * (moments[:, 1].square() + (moments[:, 0] - mean).square())).sum(0).sqrt()
    else:
        mean, std = _moments(images)
    # Divided by its rounding error, a constant channel would become noise.
    return tuple(mean.tolist()), tuple(torch.where(std > 1e-6 * mean.abs(), std, 1.0).tolist())


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    std, mean = torch.std_mean(unit(images), dim=(0, 2, 3), correction=0)
    return mean, std


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
