"""Images as people have them: a data set of PyTorch, a folder with one folder for every class."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.data import Dataset as TorchDataset
from tqdm.auto import tqdm

from darts_lab.checks import Count, allow, plain
from darts_lab.data.arrays import numbered
from darts_lab.data.images import completed, from_tensors
from darts_lab.data.pictures import is_grey, read_image
from darts_lab.data.splits import SPLITS, Dataset, folder_of

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
    pairs: dict[str, Any] = {split: _samples(split, dataset) for split, dataset in given.items()}
    data = from_tensors(**pairs, **({} if names is None else {"classes": len(names)}) | options)
    if names is None or data.class_names is not None or len(names) != data.classes:
        return data
    return replace(data, class_names=names)


def _samples(split: str, dataset: Any) -> tuple[list, list]:
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
    path: str | Path, *, size: int | tuple[int, int] | None = None, mode: str | None = None,
    cache: bool | str | Path = False, **options,
) -> Dataset:  # fmt: skip
    """A Dataset from pictures below `path`, in one folder for every class: `path/cat/1.png`, `path/dog/1.png`.

    Folders train, valid (or val) and test, of such folders each, are the splits; `from_tensors` makes those that are
    not there. `size`, in pixels or (height, width), scales all pictures to it, whatever their proportions; without it
    all must have one size. `mode` is "L" for grey, "RGB" for colour; by default grey where all pictures are. The
    folders' names are the `class_names`; hidden files, and files that are no pictures, are passed over. `options` are
    those of `from_tensors`.

    With `cache` the pictures are read once, with a progress bar, into a file below the folder of that name (True: one
    in the user's cache folder), which is mapped into memory: so they may be more than fit into it. Later calls take the
    file, until a picture or an argument changes; batches are the same either way.

    Raises FileNotFoundError where there is no such folder, ValueError, naming the file, for what does not fit.
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
    files, options = _files(path), {"name": path.name or "own", "channels": "first"} | options
    if cache is not False:
        folder = folder_of(None) / "pictures" if cache is True else Path(cache).expanduser()
        return _mapped(files, folder, size, mode, options)
    pictures = _pictures([file for split in files.values() for file, _ in split], size, mode)
    pairs: dict[str, Any] = {
        split: (np.stack([next(pictures) for _ in labelled]), [label for _, label in labelled])
        for split, labelled in files.items()
    }
    return from_tensors(**pairs, **options)


def _pictures(files: list[Path], size: tuple[int, int] | None, mode: str | None) -> Iterator[np.ndarray]:
    """The pictures, (channels, height, width), all of one size."""
    grey = [is_grey(file) for file in files]  # looked at in any case, for what cannot be read
    mode = ("L" if all(grey) else "RGB") if mode is None else mode
    first = None
    for file in files:
        picture = read_image(file, mode, size)
        first = first or (file, picture.shape[:2])
        if picture.shape[:2] != first[1]:
            sides = [f"{height} x {width}" for height, width in (picture.shape[:2], first[1])]
            raise ValueError(
                f"file {str(file)!r}: is {sides[0]} pixels, {str(first[0])!r} is {sides[1]}; "
                "size=(height, width) scales all to one size"
            )
        yield picture[None] if mode == "L" else np.moveaxis(picture, -1, 0)


def _mapped(labelled: dict[str, list], folder: Path, size, mode: str | None, options: dict) -> Dataset:
    """The data set of these files, from a file in `folder` that holds all pictures, split after split."""
    every = [pair for pairs in labelled.values() for pair in pairs]
    _, labels = numbered({split: [word for _, word in pairs] for split, pairs in labelled.items()})
    places = dict(zip(labels, torch.arange(len(every)).split([len(of) for of in labels.values()])))
    splits = completed({split: (places[split], of) for split, of in labels.items()}, options.get("seed", 0))
    order = torch.cat([chosen for chosen, _ in splits.values()]).tolist()
    files = [every[place][0] for place in order]
    states = [(str(file.absolute()), (state := file.stat()).st_size, state.st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((states, size, mode)).encode()).hexdigest()[:16]
    store = folder / f"{options['name']}-{key}.npy"
    if not store.is_file():
        _store(files, store, size, mode)
    images = torch.from_numpy(np.load(store, mmap_mode="c"))  # "c": a change would not go into the file
    words = [every[place][1] for place in order]
    ends = np.cumsum([0] + [len(chosen) for chosen, _ in splits.values()]).tolist()
    pairs: dict[str, Any] = {
        split: (images[begin:end], words[begin:end]) for split, begin, end in zip(splits, ends, ends[1:], strict=False)
    }
    return replace(from_tensors(**pairs, **options), mapped=True)


def _store(files: list[Path], store: Path, size, mode: str | None) -> None:
    """Writes the pictures in `files` into the array file `store`, which appears whole or not at all."""
    store.parent.mkdir(parents=True, exist_ok=True)
    unfinished = store.with_name(f"{store.name}.{os.getpid()}.part")
    for left in store.parent.glob(f"{store.name}.*.part"):  # by processes that were killed
        number = left.name.split(".")[-2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            left.unlink(missing_ok=True)
    pictures = _pictures(files, size, mode)
    first = next(pictures)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *first.shape)}
    try:
        # written, not mapped: on a full disk to write is an error, to touch a map is the end of the process
        with open(unfinished, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for picture in tqdm(itertools.chain([first], pictures), "pictures", len(files), disable=None):
                file.write(np.asarray(picture, np.uint8).tobytes())
        os.replace(unfinished, store)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(error.errno, f"cache: the disk of {str(store.parent)!r} is full") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _files(path: Path) -> dict[str, list[tuple[Path, str]]]:
    """(picture, class) by split, in the order of their names."""
    if not path.is_dir():
        raise FileNotFoundError(f"folder: {str(path)!r} is not there")
    inside = _folders(path)
    splits = {folder: SPLIT_FOLDERS.get(folder.name.lower(), "") for folder in inside}
    if "" in splits.values() or "train" not in splits.values():  # "train" may also be a class, beside "car"
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
