"""Pairs of images and their disparity: the embedded `stereo`, FlyingThings3D and Sintel from a directory, augmentation.

A point of the scene is in the same row of both images, in columns c (left) and c - d (right): d pixels of disparity.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from darts_lab.data.arrays import channels_first
from darts_lab.data.pictures import MOST_PIXELS, naming, read_image
from darts_lab.data.splits import SPLITS, Images, check_array, checked_splits, mean_and_std


@dataclass(frozen=True, eq=False)
class Stereo(Images):
    """Image pairs (n, 6, height, width) uint8, left and right RGB stacked, and disparities (n, height, width) float32
    of the left image in pixels, NaN where unknown."""


def from_arrays(name: str, train, valid, test) -> Stereo:
    """A checked Stereo from three pairs (images, disparities) of arrays or tensors. Raises ValueError, with the split,
    where shapes or types are not those of `Stereo`, or no disparity is known."""

    def check(split: str, images: Tensor, disparities: Tensor) -> tuple[Tensor, Tensor]:
        if images.dim() == 4 and images.shape[1] != 6 == images.shape[3]:
            images = channels_first(split, images, len(disparities), None)
        check_array(split, "images", images, ("n", 6, "height", "width"), "uint8")
        check_array(split, "disparities", disparities, (len(images), *images.shape[2:]), "float")
        disparities = torch.where(disparities.isfinite(), disparities.float(), torch.nan)
        known = disparities.isfinite().flatten(1).any(1)
        if not known.any():
            raise ValueError(f"{split}: no disparity is known")
        if not known.all():  # it would count as answered without an error
            raise ValueError(f"{split}: of sample {int(known.long().argmin())} no disparity is known; leave it out")
        return images, disparities

    splits = checked_splits(dict(zip(SPLITS, (train, valid, test))), check, "(images, disparities)")
    mean, std = mean_and_std(splits["train"][0])
    return Stereo(name, **splits, mean=mean, std=std)


CROP = (32, 96)  # pixels of half the photograph's resolution, at which the disparity is 4 to 30
BANDS = 7  # of 35 rows; in turn train, test, valid, train, test, valid, train
SIZES = {"train": 2000, "valid": 1000, "test": 500}


@lru_cache(maxsize=4)
def stereo(seed: int = 0) -> Stereo:
    """Crops of one real scene: 2,000 / 1,000 / 500 pairs of 32 x 96 pixels with measured disparity.

    It is the motorcycle of Middlebury 2014 (Scharstein et al. 2014) from scikit-image, at half its resolution. The
    splits are bands of rows, so they share no pixel of a photograph and no point of the scene. (The match of a pixel is
    up to 30 pixels further left, so bands of columns would share points.) The floor is near and the wall far, so every
    split has bands at several heights. Both crops of a pair have the same columns: at the left edge the match is
    outside, and can only be guessed. `seed` decides where the crops are. Kept in memory and shared: do not write to it.
    """
    left, right, disparity = _motorcycle()
    rng, (height, width) = np.random.default_rng(seed), CROP
    borders = np.linspace(0, len(left), BANDS + 1).astype(int)
    splits = {}
    for split, first in zip(SPLITS, (0, 2, 1)):  # the valid bands are numbers 2 and 5, the test bands 1 and 4
        n = SIZES[split]
        band = np.resize(np.arange(first, BANDS, 3), n)  # in turn
        top = rng.integers(borders[band], borders[band + 1] - height + 1)
        rows = (top[:, None] + np.arange(height))[:, :, None]
        columns = (rng.integers(left.shape[1] - width + 1, size=n)[:, None] + np.arange(width))[:, None, :]
        images = np.concatenate([left[rows, columns], right[rows, columns]], -1)
        splits[split] = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), disparity[rows, columns]
    return replace(from_arrays("stereo", **splits), ordered=True)


def _motorcycle() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The photographs (250, 370, 3) uint8 and the disparity (250, 370) float32 at half resolution."""
    import skimage.data

    left, right, disparity = skimage.data.stereo_motorcycle()
    return halved(left), halved(right), halved_disparity(disparity)


def halved(image: np.ndarray) -> np.ndarray:
    """An image (height, width, 3) uint8 at half the resolution: means of 2 x 2 pixels."""
    height, width = (side // 2 for side in image.shape[:2])
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return blocks.mean((1, 3)).round().astype(np.uint8)


def halved_disparity(disparity: np.ndarray) -> np.ndarray:
    """A disparity map at half the resolution, in its pixels: one of 2 x 2 values, as a mean over the border of an
    object would be the disparity of nothing."""
    return (disparity[:-1:2, :-1:2] / 2).astype(np.float32)


# Standard deviations at strength 1. Kinds as in the training of DispNet (Mayer et al. 2016, section 5), sizes ours.
ZOOM, SHIFT = 0.15, 0.1  # of the logarithm; of the image's height and width
GAMMA, CONTRAST, COLOUR = 0.2, 0.2, 0.1  # of the logarithm
BRIGHTNESS, NOISE = 0.1, 0.02  # of the range from 0 to 1


def augment(images: Tensor, disparities: Tensor, strength: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Pairs (b, 6, height, width) in [0, 1] and disparities (b, height, width), changed at random; of the same shapes.

    `strength` multiplies the variance of every random parameter (Zela et al. 2020, appendix D, Table 3). Geometric:
    zoom, by which the disparity grows, and shift; pixels from outside the image are black and of unknown disparity.
    Photometric: gamma, contrast, brightness and colour, the same for both images, and noise.
    """
    if strength == 0:
        return images, disparities
    spread, device, b = math.sqrt(strength), images.device, len(images)

    def draw(*shape: int) -> Tensor:
        return spread * torch.randn((b, *shape), generator=generator, device=device)

    zoom = torch.exp(ZOOM * draw())
    matrices = torch.zeros(b, 2, 3, device=device)
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1 / zoom
    matrices[:, :, 2] = 2 * SHIFT * draw(2)  # coordinates run from -1 to 1
    grid = F.affine_grid(matrices, [b, 1, *images.shape[2:]], align_corners=False)
    known = disparities.isfinite()
    map_and_mask = torch.stack([disparities.nan_to_num(0), known.float()], 1)
    disparities, known = F.grid_sample(map_and_mask, grid, "nearest", align_corners=False).unbind(1)
    disparities = torch.where(known > 0.5, zoom[:, None, None] * disparities, torch.nan)
    images = F.grid_sample(images, grid, align_corners=False)

    images = images.clamp_min(1e-6) ** torch.exp(GAMMA * draw())[:, None, None, None]
    images = images * torch.exp(CONTRAST * draw())[:, None, None, None]
    images = images * torch.exp(COLOUR * draw(3)).repeat(1, 2)[:, :, None, None]
    images = images + BRIGHTNESS * draw()[:, None, None, None] + NOISE * draw(*images.shape[1:])
    return images.clamp(0, 1), disparities


def flying_things(path: str | Path, samples: int | None = None, multiple: int = 64, shrinkage: int = 2) -> Stereo:
    """FlyingThings3D (Mayer et al. 2016) below `path`; the first half of its training pairs is train, the second valid.

    `shrinkage` 2 is half resolution, as Zela et al. 2020 search, 1 full, as they train (appendix D). Both published
    layouts are read: the whole set (frames_cleanpass/TRAIN/A/0000/left/0006.png and
    disparity/TRAIN/A/0000/left/0006.pfm) and the subset of 21,818 and 4,248 pairs (train/image_clean/left/0000000.png
    and train/disparity/left/0000000.pfm). `samples` takes only the first so many training and test pairs. Images are
    cut at the right and below to multiples of `multiple` pixels. All is in memory: 1.1 MB a pair at half resolution, 30
    GB for the subset. Raises FileNotFoundError where there are no pairs, ValueError, naming the file, for damage.
    """
    if shrinkage not in (1, 2):
        raise ValueError(f"shrinkage: {shrinkage!r} is not allowed; it must be 1 or 2")
    parts = {}
    for part in ("train", "test"):
        files = _flying_files(Path(path), part)[:samples]
        if not files or (part == "train" and len(files) < 2):
            raise FileNotFoundError(f"flyingthings3d: no image pairs with disparities ({part}) were found in {path}")
        parts[part] = _stacked((_flying_pair(*triple, shrinkage) for triple in files), multiple)
    images, disparities = parts["train"]
    n = len(images) // 2
    halves = (images[:n], disparities[:n]), (images[n:], disparities[n:])
    return replace(from_arrays("flyingthings3d", *halves, parts["test"]), ordered=True)


def _flying_files(path: Path, part: str) -> list[tuple[Path, Path, Path]]:
    """(left image, right image, disparity of the left) of every pair, in the order of the names."""
    subset = path / {"train": "train", "test": "val"}[part]
    layouts = (  # images, which of them are left ones, disparities
        (path / "frames_cleanpass" / part.upper(), "*/*/left/*.png", path / "disparity" / part.upper()),
        (subset / "image_clean", "left/*.png", subset / "disparity"),
    )
    triples = [
        (left, left.parents[1] / "right" / left.name, (disparities / left.relative_to(images)).with_suffix(".pfm"))
        for images, lefts, disparities in layouts
        for left in sorted(images.glob(lefts))
    ]
    return [triple for triple in triples if all(file.is_file() for file in triple)]


def _flying_pair(left: Path, right: Path, truth: Path, shrinkage: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    left, right = read_image(left), read_image(right)
    disparity = np.abs(read_pfm(truth))  # some files have it negative, a matter of which way is counted
    if shrinkage > 1:
        left, right, disparity = halved(left), halved(right), halved_disparity(disparity)
    return left, right, disparity


def sintel(path: str | Path, part: str = "clean", samples: int | None = None, multiple: int = 64):
    """The 1,064 pairs of Sintel (Butler et al. 2012) below `path`, to test on: a split of `Stereo`, at full resolution.

    `part` is "clean" or "final". A disparity whose match is outside the right image (`outofframe`) counts as unknown,
    as the authors ask. Raises as `flying_things` does.
    """
    if part not in ("clean", "final"):
        raise ValueError(f"part: {part!r} is not allowed; it must be 'clean' or 'final'")
    root = Path(path) / "training"
    left, right, disparities = root / f"{part}_left", root / f"{part}_right", root / "disparities"
    names = [file.relative_to(left) for file in sorted(left.glob("*/*.png"))]
    names = [name for name in names if (right / name).is_file() and (disparities / name).is_file()][:samples]
    if not names:
        raise FileNotFoundError(f"sintel: no image pairs with disparities were found in {root}")

    def pair(name: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        disparity = read_sintel(disparities / name)
        if (hidden := root / "outofframe" / name).is_file():
            mask = read_image(hidden)[:, :, 0] > 0
            if mask.shape != disparity.shape:
                raise ValueError(f"{str(hidden)!r}: is {mask.shape}, its disparity {disparity.shape}")
            disparity = np.where(mask, np.float32(np.nan), disparity)
        return read_image(left / name), read_image(right / name), disparity

    return _stacked(map(pair, names), multiple)


def _stacked(pairs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], multiple: int) -> tuple[Tensor, Tensor]:
    """(left image, right image, disparity) of every pair as one split. Raises ValueError where they do not fit."""
    images: list[Tensor] = []
    disparities = []
    for number, (left, right, disparity) in enumerate(pairs):
        height, width = (side // multiple * multiple for side in disparity.shape)
        if left.shape != right.shape or left.shape[:2] != disparity.shape:
            shapes = f"left image {left.shape}, right image {right.shape} and disparity {disparity.shape}"
            raise ValueError(f"pair {number}: {shapes} differ in size")
        if not height or not width:
            raise ValueError(f"pair {number}: {disparity.shape} is less than {multiple} pixels high or wide")
        if images and images[0].shape[1:] != (height, width):
            raise ValueError(f"pair {number}: {(height, width)} pixels, the first {tuple(images[0].shape[1:])}")
        both = np.concatenate([left, right], -1)[:height, :width]
        images.append(torch.from_numpy(both).permute(2, 0, 1))
        disparities.append(torch.from_numpy(np.ascontiguousarray(disparity[:height, :width], np.float32)))
    return torch.stack(images), torch.stack(disparities)


def read_sintel(path: str | Path) -> np.ndarray:
    """The disparity in a PNG of Sintel, (height, width) float32 in pixels: 4 R + G / 64 + B / 16384 (its readme)."""
    red, green, blue = np.moveaxis(read_image(path).astype(np.float32), -1, 0)
    return 4 * red + green / 2**6 + blue / 2**14


def read_pfm(path: str | Path) -> np.ndarray:
    """A portable float map of one channel, (height, width) float32, top row first. Raises ValueError, naming the file,
    where the header is not that of a PFM or the file is not as long as it says."""
    with naming(path), Path(path).open("rb") as file:
        magic, sides, scale = (file.readline(64).split() for _ in range(3))
        if magic != [b"Pf"]:
            raise ValueError("is no portable float map of one channel, which begins with 'Pf'")
        if len(sides) != 2 or not all(side.isdigit() for side in sides) or len(scale) != 1:
            raise ValueError("its header does not give width, height and scale")
        width, height = map(int, sides)
        try:
            scale = float(scale[0])
        except ValueError:
            scale = 0.0
        if scale == 0 or not math.isfinite(scale):
            raise ValueError("its header does not give a scale other than 0, whose sign is the order of bytes")
        size, rest = 4 * width * height, Path(path).stat().st_size - file.tell()
        if not 0 < width * height <= MOST_PIXELS or rest != size:
            raise ValueError(f"its header says {width} x {height} pixels, {size:,} bytes, but {rest:,} follow")
        values = np.frombuffer(file.read(), "<f4" if scale < 0 else ">f4").reshape(height, width)
    return values[::-1].astype(np.float32)  # files begin with the lowest row


def best_constant(data: Stereo, split: str = "train") -> Tensor:
    """The best disparity (height, width) that does not depend on the images: each pixel's median over a split, or the
    median over all pixels where it is never known."""
    disparities = getattr(data, split)[1]
    medians = disparities.nanmedian(0).values
    return torch.where(medians.isfinite(), medians, disparities[disparities.isfinite()].median())


def end_point_error(predicted: Tensor, disparities: Tensor) -> Tensor:
    """Mean distance (b,) in pixels of predicted and true disparities (b, height, width), where these are not NaN."""
    known = disparities.isfinite()
    distance = (predicted - disparities.nan_to_num(0)).abs() * known
    return distance.flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)


def constant_error(data: Stereo) -> float:
    """The end-point error in pixels of `best_constant` of the training split on the test split."""
    return float(end_point_error(best_constant(data)[None], data.test[1]).mean())
