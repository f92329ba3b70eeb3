"""Arrays as people have them, made tensors: in any byte order, channels last, as lists, classes in words."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

CHANNELS = ("first", "last")


def to_tensor(split: str, name: str, values) -> Tensor:
    """Numbers as a tensor, without a copy where that can be: an array, a tensor, a column of a table, a list of any of
    them or of PIL images. Raises ValueError, naming the split, for anything else and for images that differ in size."""
    if isinstance(values, Tensor):
        return values
    try:
        if as_list(values):
            values = [_picture(value) if hasattr(value, "getbands") else _part(value) for value in values]
            if len(shapes := list(dict.fromkeys(map(np.shape, values)))) > 1:
                raise ValueError(f"{split}: {name} must all be of one size, found {shapes[0]} and {shapes[1]}")
        array = np.asarray(values)
        array = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    except TypeError:
        raise ValueError(f"{split}: {name} must be an array, found {type(values).__name__}") from None
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{split}: {name} must be numbers, found {array.dtype}")
    return torch.from_numpy(array)


def as_list(values) -> bool:
    """Whether these are a list of anything, or an array or column of it, and no array of numbers."""
    return isinstance(values, list | tuple) or hasattr(values, "__iter__") and np.asarray(values).dtype.kind in "OUS"


def _part(value) -> np.ndarray:
    try:
        return np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except ValueError as error:  # of lists of different lengths
        raise TypeError from error


def _picture(image) -> np.ndarray:
    """A PIL image as (channels, height, width); black and white is grey, a palette its colours."""
    convert = {"1": "L", "LA": "L", "La": "L", "P": "RGB", "PA": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
    array = np.asarray(image.convert(convert.get(image.mode, image.mode)))
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)


def channels_first(split: str, images: Tensor, samples: int, channels: str | None) -> Tensor:
    """Images (n, channels, height, width) from these, from (n, height, width, channels), or from grey ones (n, height,
    width).

    `channels` says where they are, "first" or "last". With None the shape tells: they are the one of the two dimensions
    that is 1 to 4; else the one that is smaller than the other two, or beside two that are equal. What is then not as
    PyTorch has it is said in a warning, for train alone. Raises ValueError where the shape does not tell.
    """
    if channels not in (None, *CHANNELS):
        raise ValueError(f"channels: {channels!r} is not allowed; it must be 'first' or 'last', or None")
    shape = tuple(images.shape)
    if len(shape) == 3 and len(images) == samples:
        if channels is None and split == "train":
            warnings.warn(f"images: {shape} is taken as (n, height, width), grey images of one channel", stacklevel=5)
        return images[:, None]
    if len(shape) != 4 or channels == "first" or 0 in shape:
        return images
    if channels is None:
        c, h, w = shape[1:]
        first, last = c <= 4, w <= 4
        if first == last:
            first, last = c < min(h, w) or h == w != c, w < min(c, h) or c == h != w
        if first == last:
            words = "do not tell where the channels are; say channels='first' or channels='last'"
            raise ValueError(f"{split}: images {shape} {words}")
        if first:
            return images
        if split == "train":
            words = "taken as (n, height, width, channels); channels='last' says so without this warning"
            warnings.warn(f"images: {shape} is {words}", stacklevel=5)
    return images.movedim(-1, 1).contiguous()


def numbered(labels: Mapping[str, object]) -> tuple[tuple[str, ...] | None, dict[str, Any]]:
    """(names of the classes or None, labels by split as tensors of integers).

    Classes in words (strings, categories) are numbered in the order of their sorted names. Raises ValueError, naming
    the split, for labels that are neither integers nor words, and for words that train has not.
    """
    found = {split: _labels(split, values) for split, values in labels.items()}
    words = {split: values for split, values in found.items() if isinstance(values, list)}
    if not words:
        return None, found
    if missing := [split for split in found if split not in words]:
        raise ValueError(f"{missing[0]}: labels must be words as in {next(iter(words))}, found numbers")
    names = sorted(set(words["train"]))
    numbers = {name: number for number, name in enumerate(names)}
    for split, values in words.items():
        if others := set(values) - numbers.keys():
            raise ValueError(f"{split}: class {min(others)!r} is not in train, which has {', '.join(names)[:80]}")
    return tuple(names), {split: torch.tensor([numbers[one] for one in values]) for split, values in words.items()}


def _labels(split: str, values) -> Tensor | list[str]:
    """Integers as a tensor, or words."""
    if not isinstance(values, Tensor):
        values = list(values) if as_list(values) else values
        is_word = [isinstance(value, str | bytes) for value in values] if isinstance(values, list) else []
        if any(is_word):
            if not all(is_word):
                raise ValueError(f"{split}: labels must all be words, found {values[is_word.index(False)]!r}")
            return [str(value, "utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
    tensor = to_tensor(split, "labels", values)
    if tensor.dim() == 2 and tensor.shape[1] > 1:
        words = "labels.argmax(1) makes them so if they are one-hot"
        raise ValueError(f"{split}: labels must be (n,), found {tuple(tensor.shape)}; {words}")
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        way = "long()" if isinstance(values, Tensor) else "astype(int)"
        raise ValueError(f"{split}: labels must be integers, found {tensor.dtype}; labels.{way} makes them so")
    return tensor.long()
