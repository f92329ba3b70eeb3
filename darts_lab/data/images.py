"""Labelled images from arrays, tensors or lists, checked; splits that are not given are drawn."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from darts_lab.checks import Count, Natural, Seed, Switch, allow, plain
from darts_lab.data.arrays import channels_first, numbered
from darts_lab.data.splits import SPLITS, Dataset, check_array, check_pair, checked_splits, drawn, mean_and_std


def from_tensors(
    train, valid=None, test=None, *, name="own", classes: int | None = None, mean=None, std=None, crop_padding=0,
    flip=False, channels: str | None = None, seed=0,
) -> Dataset:  # fmt: skip
    """A checked Dataset from pairs (images, labels) of tensors, arrays or lists.

    Images: (n, channels, height, width), uint8 or float (finite). (n, height, width, channels) and grey ones (n,
    height, width) are recognised by their shape, see `arrays.channels_first`. Labels: (n,) integers in 0..classes-1, or
    words, whose sorted names become `class_names`. By default `classes` follows from the largest label, `mean` and
    `std` (a number for each channel) from the training images, on whose device all will be. Of train alone two fifths
    become train, two valid and one test; without valid it is half of train, without test half of valid; `seed` draws
    them, of every class its share. Raises ValueError naming the split or argument at fault.
    """
    pairs = {split: pair for split, pair in zip(SPLITS, (train, valid, test)) if split == "train" or pair is not None}
    for split, pair in pairs.items():
        check_pair(split, pair, "(images, labels)")
    class_names, labels = numbered({split: labels for split, (_, labels) in pairs.items()})

    def check(split: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return _check_images_and_labels(split, channels_first(split, images, len(labels), channels), labels)

    pairs = {split: (images, labels[split]) for split, (images, _) in pairs.items()}
    splits = completed(checked_splits(pairs, check, "(images, labels)"), seed)
    reference = splits["train"][0]
    in_channels, *size = reference.shape[1:]
    classes = None if classes is None else allow("classes", classes, Count)
    crop_padding, flip = allow("crop_padding", crop_padding, Natural), allow("flip", flip, Switch)
    mean, std = ([value] * in_channels if isinstance(plain(value), float | int) else value for value in (mean, std))
    if classes is None:
        classes = 1 + max(int(labels.max()) for _, labels in splits.values())
        if classes > sum(len(labels) for _, labels in splits.values()):
            words = "is more than there are samples; number the classes from 0 on, or say classes="
            raise ValueError(f"labels: {classes - 1} {words}")
        classes = classes if class_names is None else len(class_names)
    if classes < 2:
        raise ValueError(f"classes: {classes} is too few; at least 2 are needed")
    for split, (images, labels) in splits.items():
        if len(outside := labels[(labels < 0) | (labels >= classes)]):
            raise ValueError(f"{split}: labels must lie in 0..{classes - 1}, found {outside[0]}")
        splits[split] = images.to(reference.device), labels.to(reference.device)
    measured = mean_and_std(reference) if mean is None or std is None else (mean, std)
    mean, std = (tuple(map(float, m if value is None else value)) for value, m in zip((mean, std), measured))
    for argument, values in (("mean", mean), ("std", std)):
        if len(values) != in_channels or not np.isfinite(values).all():
            raise ValueError(f"{argument}: must be {in_channels} finite numbers, found {values}")
    if min(std) <= 0:
        raise ValueError(f"std: must be above 0 in every channel, found {min(std)}")
    if not 0 <= crop_padding < min(size):
        raise ValueError(f"crop_padding: {crop_padding} is not in 0..{min(size) - 1}")
    return Dataset(
        name, **splits, mean=mean, std=std, classes=classes, class_names=class_names, crop_padding=crop_padding,
        flip=flip,
    )  # fmt: skip


from_arrays = from_tensors


def completed(splits: dict[str, Any], seed: int) -> dict[str, Any]:
    """All three splits, where train or train and another one are given; `seed` as for `from_tensors`."""
    seed = allow("seed", seed, Seed)

    def cut(split: str, share: float) -> list[tuple]:
        images, labels = splits[split]
        if len(labels) < 2:
            raise ValueError(f"{split}: has {len(labels)} samples, too few to make another split of them")
        n = min(max(round(share * len(labels)), 1), len(labels) - 1)
        chosen = torch.from_numpy(drawn(labels, n, seed)).to(labels.device)
        return [(images[mask], labels[mask]) for mask in (chosen, ~chosen)]

    if "valid" not in splits:
        splits["train"], splits["valid"] = cut("train", 0.5 if "test" in splits else 0.4)
        share = 2 / 3
    else:
        share = 0.5
    if "test" not in splits:
        splits["valid"], splits["test"] = cut("valid", share)
    return {split: splits[split] for split in SPLITS}


def _check_images_and_labels(split: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    check_array(split, "images", images, ("n", "channels", "height", "width"))
    check_array(split, "labels", labels, images.shape[:1])
    if images.is_floating_point():
        images = images.float()
        if not images.isfinite().all():
            raise ValueError(f"{split}: images must be finite, found NaN or infinity")
    elif images.dtype != torch.uint8:
        change = "images / 65535" if images.dtype == torch.uint16 else "images.astype('uint8') if they are 0 to 255"
        raise ValueError(f"{split}: images must be uint8 or float, found {images.dtype}; take {change}")
    return images, labels.long()
