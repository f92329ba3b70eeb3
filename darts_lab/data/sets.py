"""Data by name: those that are embedded, and those that lie in a folder of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darts_lab.data import bathymetry, corpus, stereo
from darts_lab.data.handwriting import digits
from darts_lab.data.splits import SPLITS, Dataset, Splits, folder_of, from_tensors


def load(data: Any, *, folder: str | Path | None = None, download: bool = False) -> Splits:
    """The data called `data`, one of `NAMES`; case does not matter.

    Splits such as a Dataset or a Corpus are returned as they are; a mapping with the arguments of `from_tensors`, or any object
    with train, valid and test, goes through `from_tensors`. `folder` (default: the environment
    variable DARTS_LAB_DATA, else the user's cache folder) and `download` concern the real sets only.
    Raises ValueError for an unknown name, FileNotFoundError when a real set is not in `folder`,
    RuntimeError when its files fail torchvision's checksums, TypeError for anything else.
    """
    if isinstance(data, Splits):
        return data
    if isinstance(data, str):
        embedded = {
            "digits": digits, "pydocs": corpus.pydocs, "stereo": stereo.stereo, "bathymetry": bathymetry.bathymetry,
        }  # fmt: skip
        if data.lower() in embedded:
            return embedded[data.lower()]()
        if data.lower() == "ptb":
            return corpus.ptb(folder)
        if data.lower() == "flyingthings3d":
            return stereo.flying_things(folder_of(folder) / "flyingthings3d")
        if data.lower() in _REAL:
            return _real(data.lower(), folder, download)
        raise ValueError(
            f"data: {data!r} is not known; known: {', '.join(NAMES)}; or pass your own tensors (see from_tensors)"
        )
    if isinstance(data, Mapping) and all(s in data for s in SPLITS):
        return from_tensors(**data)
    if all(hasattr(data, s) for s in SPLITS):
        return from_tensors(data.train, data.valid, data.test)
    raise TypeError(f"data: {type(data).__name__} is no name, Dataset, or object with train, valid and test")


# The files that must be there, and mean and std as in RobustDARTS (Zela et al. 2020), src/utils.py.
_REAL = {
    "cifar10": (
        ["cifar-10-batches-py/test_batch"] + [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)],
        (0.49139968, 0.48215827, 0.44653124),
        (0.24703233, 0.24348505, 0.26158768),
    ),
    "cifar100": (
        ["cifar-100-python/train", "cifar-100-python/test"],
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
    ),
    "svhn": (
        ["train_32x32.mat", "test_32x32.mat"],
        (0.4377, 0.4438, 0.4728),
        (0.1980, 0.2010, 0.1970),
    ),
}
DOWNLOADS = tuple(_REAL)  # what `load` can fetch, and what it knows
NAMES = ("digits", *_REAL, "pydocs", "ptb", "stereo", "flyingthings3d", "bathymetry")


def available(folder: str | Path | None = None) -> dict[str, bool]:
    """Which real data sets have all their files in `folder` (FlyingThings3D: its folder); checksums are left to `load`."""
    where = folder_of(folder)
    found = {n: all((where / f).is_file() for f in needed) for n, (needed, *_) in _REAL.items()}
    return found | {"ptb": corpus.has_ptb(folder), "flyingthings3d": (where / "flyingthings3d").is_dir()}


def _real(name: str, folder: str | Path | None, download: bool) -> Dataset:
    """CIFAR or SVHN in the papers' protocol: the first half of the training set, in the order of
    the files, is train and the rest valid; SVHN without `extra`; crops and flips for all three."""
    where = folder_of(folder)
    given = "" if folder is None else f"folder={str(folder)!r}, "
    call = f'dl.data.load("{name}", {given}download=True)'
    if not download and not available(where)[name]:
        raise FileNotFoundError(f"data: {name!r} was not found in {where}; {call} downloads it")

    import torchvision.datasets  # takes seconds, so only where it is needed

    read = getattr(torchvision.datasets, name.upper())
    parts = ("train", "test") if name == "svhn" else (True, False)
    try:
        (images, labels), test = (_tensors(read(where, p, download=download)) for p in parts)
    except RuntimeError as error:
        if download:
            raise
        raise RuntimeError(
            f"data: the files of {name!r} in {where} fail torchvision's checksums; {call} fetches them again"
        ) from error
    half = len(labels) // 2
    train, valid = (images[:half], labels[:half]), (images[half:], labels[half:])
    classes = 100 if name == "cifar100" else 10
    _, mean, std = _REAL[name]
    return from_tensors(train, valid, test, name=name, classes=classes, mean=mean, std=std,
                        crop_padding=4, flip=True)  # fmt: skip


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    """What a torchvision CIFAR or SVHN object holds, as (n, 3, 32, 32) uint8 and (n,) int64."""
    images = torch.from_numpy(part.data)
    if hasattr(part, "targets"):  # CIFAR, which torchvision keeps as (n, height, width, channels)
        return images.permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets)
    return images.contiguous(), torch.from_numpy(part.labels)
