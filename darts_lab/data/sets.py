"""Data by name: embedded sets, and sets in a folder of the user's."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from darts_lab.data import bathymetry, corpus, fashion, stereo
from darts_lab.data.handwriting import digits
from darts_lab.data.images import from_tensors
from darts_lab.data.splits import SPLITS, Dataset, Splits, folder_of

_EMBEDDED: dict[str, Callable] = {
    "digits": digits,
    "digits32": partial(digits, pixels=32),
    "pydocs": corpus.pydocs,
    "stereo": stereo.stereo,
    "bathymetry": bathymetry.bathymetry,
}
_FASHION = {"fashion_mnist": 16, "fashion_mnist32": 32}  # and their pixels
_FILES = {
    "cifar10": [f"cifar-10-batches-py/{file}" for file in ("test_batch", *(f"data_batch_{i}" for i in range(1, 6)))],
    "cifar100": ["cifar-100-python/train", "cifar-100-python/test"],
    "svhn": ["train_32x32.mat", "test_32x32.mat"],
    "ptb": [f"ptb.{split}.txt" for split in SPLITS],
}
_MOMENTS: dict[str, dict[str, Any]] = {  # as in RobustDARTS (Zela et al. 2020), src/utils.py
    "cifar10": {"mean": (0.49139968, 0.48215827, 0.44653124), "std": (0.24703233, 0.24348505, 0.26158768)},
    "cifar100": {"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)},
    "svhn": {"mean": (0.4377, 0.4438, 0.4728), "std": (0.1980, 0.2010, 0.1970)},
}
DOWNLOADS = tuple(_MOMENTS)  # what `load` can download
NAMES = ("digits", *DOWNLOADS, "pydocs", "ptb", "stereo", "flyingthings3d", "bathymetry", "digits32")
NAMES += tuple(_FASHION)


def load(data: Any, *, folder: str | Path | None = None, download: bool = False) -> Splits:
    """The data called `data`, one of `NAMES`; case does not matter.

    Splits are returned as they are. A mapping with the arguments of `from_tensors`, or any object with train, valid and
    test, goes through it. `folder` (default: the environment variable DARTS_LAB_DATA, else the user's cache folder) and
    `download` are for the sets that are not embedded. Raises ValueError for an unknown name, FileNotFoundError where a
    set is not in `folder`, RuntimeError where files fail torchvision's checksums, TypeError for anything else.
    """
    if isinstance(data, Splits):
        return data
    if isinstance(data, Mapping) and "train" in data:
        return from_tensors(**data)
    if all(hasattr(data, split) for split in SPLITS):
        return from_tensors(data.train, data.valid, data.test)
    if not isinstance(data, str):
        more = "; see from_dataset" if isinstance(data, TorchDataset) else "; see from_tensors, from_folder"
        raise TypeError(f"data: {type(data).__name__} is no name, Dataset, or object with train, valid and test{more}")
    name = data.lower()
    if name in _EMBEDDED:
        return _EMBEDDED[name]()
    if name == "ptb":
        return corpus.ptb(folder)
    if name in _FASHION:
        return fashion.fashion_mnist(folder, _FASHION[name])
    if name == "flyingthings3d":
        return stereo.flying_things(folder_of(folder) / "flyingthings3d")
    if name in DOWNLOADS:
        return _downloaded(name, folder, download)
    known = ", ".join(NAMES)
    raise ValueError(
        f"data: {data!r} is not known; known: {known}; or pass data of your own (see from_tensors, from_folder)"
    )


def available(folder: str | Path | None = None) -> dict[str, bool]:
    """Which sets that are not embedded have all files (FlyingThings3D: its folder) in `folder`, sums unchecked."""
    folder = folder_of(folder)
    complete = {name: all((folder / file).is_file() for file in files) for name, files in _FILES.items()}
    complete |= dict.fromkeys(_FASHION, fashion.place(folder) is not None)
    return complete | {"flyingthings3d": (folder / "flyingthings3d").is_dir()}


def _downloaded(name: str, folder: str | Path | None, download: bool) -> Dataset:
    """CIFAR or SVHN (without `extra`) as in the papers: the first half of the training set is train, the rest valid."""
    root, own_folder = folder_of(folder), "" if folder is None else f"folder={str(folder)!r}, "
    call = f'dl.data.load("{name}", {own_folder}download=True)'
    if not download and not available(root)[name]:
        raise FileNotFoundError(f"data: {name!r} was not found in {root}; {call} downloads it")

    import torchvision.datasets  # takes seconds, so only where it is needed

    read = getattr(torchvision.datasets, name.upper())
    parts = ("train", "test") if name == "svhn" else (True, False)
    try:
        (images, labels), test = (_tensors(read(root, part, download=download)) for part in parts)
    except RuntimeError as error:
        if download:
            raise
        problem = f"data: the files of {name!r} in {root} fail torchvision's checksums"
        raise RuntimeError(f"{problem}; {call} fetches them again") from error
    half, classes = len(labels) // 2, 100 if name == "cifar100" else 10
    train, valid = (images[:half], labels[:half]), (images[half:], labels[half:])
    more = _MOMENTS[name] | {"name": name, "classes": classes, "crop_padding": 4, "flip": True}
    return replace(from_tensors(train, valid, test, **more), ordered=True)


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    """Images (n, 3, 32, 32) uint8 and labels (n,) int64 of torchvision's CIFAR or SVHN."""
    images = torch.from_numpy(part.data)
    if hasattr(part, "targets"):  # CIFAR, which torchvision keeps as (n, height, width, channels)
        return images.permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets)
    return images.contiguous(), torch.from_numpy(part.labels)
