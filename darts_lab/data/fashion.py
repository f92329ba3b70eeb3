"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): grey pictures of ten kinds of clothes, from its four files."""

import gzip
import struct
import zlib
from dataclasses import replace
from functools import lru_cache
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from darts_lab.data.images import from_tensors
from darts_lab.data.splits import Dataset, folder_of

FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
KINDS = "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"


def place(folder: str | Path | None = None) -> Path | None:
    """The directory that holds all files: `fashion-mnist` in the folder for data, or Debian's; None if neither does."""
    for path in (folder_of(folder) / "fashion-mnist", DEBIAN):
        if all((path / file).is_file() for file in FILES):
            return path
    return None


def fashion_mnist(folder: str | Path | None = None, pixels: int = 16) -> Dataset:
    """30,000 / 30,000 / 10,000 images of one channel, uint8: the halves of the training set, and the test set.

    The pictures of 28 x 28 get a border of two pixels (32 `pixels` a side); with 16 these are averaged two by two.
    Raises FileNotFoundError where the files are not there, ValueError where one of them is damaged.
    """
    found = place(folder)
    if found is None:
        wanted = folder_of(folder) / "fashion-mnist"
        raise FileNotFoundError(
            f"data: 'fashion_mnist' was not found in {wanted} or {DEBIAN}; put {', '.join(FILES)} of "
            "github.com/zalandoresearch/fashion-mnist there, or install Debian's package dataset-fashion-mnist"
        )
    return _read(found, pixels)


@lru_cache(maxsize=2)
def _read(path: Path, pixels: int) -> Dataset:
    parts = []
    for images, labels in (FILES[:2], FILES[2:]):
        pictures, kinds = _idx(path / images, (28, 28)), _idx(path / labels, ())
        if len(pictures) != len(kinds):
            raise ValueError(f"{path}: {len(pictures)} images, but {len(kinds)} labels")
        shown = torch.cat([_shown(some, pixels) for some in torch.from_numpy(pictures).split(1000)])
        parts.append((shown, torch.from_numpy(kinds).long()))
    (images, labels), test = parts
    half, name = len(labels) // 2, "fashion_mnist" if pixels == 16 else f"fashion_mnist{pixels}"
    train, valid = (images[:half], labels[:half]), (images[half:], labels[half:])
    found = from_tensors(train, valid, test, name=name, classes=10)
    return replace(found, ordered=True, class_names=KINDS)


def _shown(pictures: Tensor, pixels: int) -> Tensor:
    framed = F.pad(pictures[:, None].float(), (2, 2, 2, 2))
    return (framed if pixels == 32 else F.avg_pool2d(framed, 2)).round().to(torch.uint8)


def _idx(path: Path, of_each: tuple[int, ...]) -> np.ndarray:
    """The bytes (n, *of_each) in a compressed IDX file; no more is read than it says that there are."""
    damaged = f"{path}: is no IDX file of bytes with shape (n{''.join(f', {size}' for size in of_each)})"
    try:
        with gzip.open(path) as file:
            magic = file.read(4)
            sizes = struct.unpack(f">{1 + len(of_each)}I", file.read(4 * (1 + len(of_each))))
            if magic != bytes([0, 0, 8, len(sizes)]) or sizes[1:] != of_each or sizes[0] > 100_000:
                raise ValueError(damaged)
            content = file.read(prod(sizes) + 1)
    except (EOFError, gzip.BadGzipFile, struct.error, zlib.error) as error:
        raise ValueError(f"{damaged}: {error}") from error
    if len(content) != prod(sizes):
        raise ValueError(f"{damaged}: its length is another")
    return np.frombuffer(content, np.uint8).reshape(sizes).copy()
