"""Images as people have them: a data set of PyTorch, a folder with one folder for every class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset as TorchDataset

from darts_lab.checks import Count, allow, plain
from darts_lab.data.images import from_tensors
from darts_lab.data.pictures import is_grey, read_image
from darts_lab.data.splits import SPLITS, Dataset

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
SPLIT_FOLDERS = {"train": "train", "test": "test"} | dict.fromkeys(("valid", "val", "validation"), "valid")


def from_dataset(
    train: TorchDataset, valid: TorchDataset | None = None, test: TorchDataset | None = None, **options
) -> Dataset:
    """A Dataset from data sets of PyTorch or torchvision, whose samples are pairs (image, label): a PIL image, or a
    tensor or array (channels, height, width), all of one size, and a number or word.

    Every sample is read once, so a random transform is applied once and stays; `crop_padding` and `flip` augment anew
    in every batch. `options` are those of `from_tensors`, which makes the splits that are not given. The names in
    `train.classes`, as torchvision has them, become `class_names`. Raises ValueError naming the split at fault.
    """
    given = {split: one for split, one in zip(SPLITS, (train, valid, test)) if split == "train" or one is not None}
    names = getattr(train, "classes", None)
    names = tuple(names) if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names) else None
    pairs = {split: _samples(split, dataset) for split, dataset in given.items()}
    data = from_tensors(**pairs, **({} if names is None else {"classes": len(names)}) | options)
    if names is None or data.class_names is not None or len(names) != data.classes:
        return data
    return replace(data, class_names=names)


def _samples(split: str, dataset: TorchDataset) -> tuple[list, list]:
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise ValueError(f"{split}: {type(dataset).__name__} is no data set with a length and an index")
    samples = [dataset[index] for index in range(len(dataset))]
    for sample in samples:
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise ValueError(f"{split}: samples must be pairs (image, label), found {type(sample).__name__}")
    if not samples:
        raise ValueError(f"{split}: holds no sample")
    images, labels = zip(*samples)
    return list(images), [plain(label) for label in labels]


def from_folder(
    path: str | Path, *, size: int | tuple[int, int] | None = None, mode: str | None = None, **options
) -> Dataset:
    """A Dataset from pictures below `path`, in one folder for every class: `path/cat/1.png`, `path/dog/1.png`.

    Folders train, valid (or val) and test, of such folders each, are the splits; `from_tensors` makes those that are
    not there. `size`, in pixels or (height, width), scales all pictures to it, whatever their proportions; without it
    all must have one size. `mode` is "L" for grey, "RGB" for colour; by default grey where all pictures are. The
    folders' names are the `class_names`; hidden files, and files that are no pictures, are passed over. `options` are
    those of `from_tensors`. Raises FileNotFoundError where there is no such folder, ValueError, naming the file or
    folder, for what does not fit.
    """
    path = Path(path).expanduser()
    if mode not in (None, "L", "RGB"):
        raise ValueError(f"mode: {mode!r} is not allowed; it must be 'L' or 'RGB', or None")
    if size is not None:
        size = plain(size)
        size = tuple(size) if isinstance(size, list | tuple) else (size, size)
        if len(size) != 2:
            raise ValueError(f"size: {size!r} is not allowed; it must be one number of pixels or two")
        size = tuple(allow("size", side, Count) for side in size)
    files = _files(path)
    grey = [is_grey(file) for split in files.values() for file, _ in split]
    mode = ("L" if all(grey) else "RGB") if mode is None else mode
    first, pairs = None, {}
    for split, labelled in files.items():
        pictures = []
        for file, _ in labelled:
            pictures.append(read_image(file, mode, size))
            first = first or (file, pictures[0].shape[:2])
            if pictures[-1].shape[:2] != first[1]:
                sides = [f"{height} x {width}" for height, width in (pictures[-1].shape[:2], first[1])]
                raise ValueError(
                    f"file {str(file)!r}: is {sides[0]} pixels, {str(first[0])!r} is {sides[1]}; "
                    "size=(height, width) scales all to one size"
                )
        images = np.stack(pictures)
        images = images[:, None] if mode == "L" else np.moveaxis(images, -1, 1)
        pairs[split] = images, [label for _, label in labelled]
    return from_tensors(**pairs, **{"name": path.name or "own", "channels": "first"} | options)


def _files(path: Path) -> dict[str, list[tuple[Path, str]]]:
    """(picture, class) by split, in the order of their names."""
    if not path.is_dir():
        raise FileNotFoundError(f"folder: {str(path)!r} is not there")
    inside = _folders(path)
    splits = {folder: SPLIT_FOLDERS.get(folder.name.lower()) for folder in inside}
    if None in splits.values() or "train" not in splits.values():  # "train" may also be a class, beside "car"
        splits = {path: "train"}
    found: dict[str, list[tuple[Path, str]]] = {}
    for folder, split in splits.items():
        if split in found:
            raise ValueError(f"folder: {str(path)!r} holds two folders for the {split} split")
        found[split] = []
        for of_class in _folders(folder):
            files = [file for file in sorted(of_class.rglob("*")) if _is_picture(file, of_class)]
            if not files:
                raise ValueError(f"folder: {str(of_class)!r} holds no pictures ({', '.join(SUFFIXES)})")
            found[split] += [(file, of_class.name) for file in files]
        if not found[split]:
            raise ValueError(f"folder: {str(folder)!r} holds no folders of pictures, one for every class")
    return found


def _is_picture(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and not hidden


def _folders(path: Path) -> list[Path]:
    """The folders in a folder, by name, but those that systems and notebooks leave there."""
    return [one for one in sorted(path.iterdir()) if one.is_dir() and not one.name.startswith((".", "__"))]
