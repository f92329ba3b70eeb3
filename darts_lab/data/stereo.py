"""Pairs of images and their disparity: the embedded `stereo`, FlyingThings3D and Sintel from a directory, augmentation.

The pairs are rectified: a point of the scene stands in the same row of both images, in column c of the left and in column
c - d of the right one. d is the disparity, in pixels; it is what a network has to find for every pixel of the left image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from darts_lab.data.splits import SPLITS, Images, mean_and_std
from darts_lab.runs.files import in_a_line

MOST_PIXELS = 40_000_000  # of one image that is read from a file: a header that claims more is not believed


@dataclass(frozen=True, eq=False)
class Stereo(Images):
    """Image pairs (n, 6, height, width) uint8, left and right RGB stacked, and disparities (n, height, width) float32 of
    the left image in pixels, NaN where unknown."""


def from_arrays(name: str, train, valid, test) -> Stereo:
    """A checked Stereo from three pairs (images, disparities) of arrays or tensors; mean and std are those of `train`.

    Raises ValueError, naming the split, where shapes or types are not those of `Stereo`, or no disparity is known.
    """
    splits = {}
    for split, (images, disparities) in zip(SPLITS, (train, valid, test)):
        images, disparities = torch.as_tensor(images), torch.as_tensor(disparities)
        if images.dim() != 4 or images.shape[1] != 6 or images.dtype != torch.uint8 or 0 in images.shape:
            raise ValueError(
                f"{split}: images must be uint8 (n, 6, height, width), none of them 0, found {tuple(images.shape)} "
                f"{images.dtype}"
            )
        if tuple(disparities.shape) != (len(images), *images.shape[2:]) or not disparities.is_floating_point():
            raise ValueError(
                f"{split}: disparities must be float {(len(images), *images.shape[2:])}, found "
                f"{tuple(disparities.shape)} {disparities.dtype}"
            )
        disparities = torch.where(disparities.isfinite(), disparities.float(), torch.nan)
        if not disparities.isfinite().any():
            raise ValueError(f"{split}: no disparity is known")
        splits[split] = images, disparities
    sizes = {split: tuple(images.shape[2:]) for split, (images, _) in splits.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"images must have the same size in every split, found {sizes}")
    mean, std = mean_and_std(splits["train"][0])
    return Stereo(name, **splits, mean=tuple(mean), std=tuple(std))


CROP = (32, 96)  # pixels of half the photograph's resolution, at which the disparity is 4 to 30
BANDS = 7  # of 35 rows; dealt out as train, test, valid, train, test, valid, train
SIZES = {"train": 2000, "valid": 1000, "test": 500}


@lru_cache(maxsize=4)
def stereo(seed: int = 0) -> Stereo:
    """Crops of one real scene: 2,000 / 1,000 / 500 pairs of 32 x 96 pixels with the disparity that was measured.

    The motorcycle of Middlebury 2014 (Scharstein et al. 2014), which scikit-image carries, at half its resolution. The
    splits share no pixel of either photograph, nor a point of the scene: they are bands of *rows*, and what the left image
    shows in some rows the right one shows in the same rows. (Splits by columns would not do: a window of the right image
    reaches up to 30 pixels further left than what it has to be matched with, into its neighbour.) As the floor is near
    and the wall far, every split gets bands at several heights. Both windows of a pair have the same columns, so that
    what is seen at the left edge of the left one has its match outside the right one: that has to be guessed.

    `seed` decides which windows. The result is kept in memory and shared, so do not write into it.
    """
    left, right, disparity = _motorcycle()
    rng, (height, width) = np.random.default_rng(seed), CROP
    bands = np.linspace(0, len(left), BANDS + 1).astype(int)
    splits = {}
    for split, first in zip(SPLITS, (0, 2, 1)):  # the valid bands are numbers 2 and 5, the test bands 1 and 4
        mine, n = range(first, BANDS, 3), SIZES[split]
        which = np.arange(n) % len(mine)
        starts = np.array([bands[band] for band in mine])[which]
        ends = np.array([bands[band + 1] for band in mine])[which]
        rows = (rng.integers(starts, ends - height + 1)[:, None] + np.arange(height))[:, :, None]
        columns = (rng.integers(left.shape[1] - width + 1, size=n)[:, None] + np.arange(width))[:, None, :]
        images = np.concatenate([left[rows, columns], right[rows, columns]], -1)
        splits[split] = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), disparity[rows, columns]
    return from_arrays("stereo", **splits)


def _motorcycle() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The photographs (250, 370, 3) uint8 and the disparity (250, 370) float32 at half resolution."""
    import skimage.data

    left, right, disparity = skimage.data.stereo_motorcycle()
    return *map(halved, (left, right)), halved_disparity(disparity)


def halved(image: np.ndarray) -> np.ndarray:
    """An image (height, width, 3) uint8 of half the resolution: means of 2 x 2 pixels."""
    height, width = (side // 2 * 2 for side in image.shape[:2])
    blocks = image[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)
    return blocks.mean((1, 3)).round().astype(np.uint8)


def halved_disparity(disparity: np.ndarray) -> np.ndarray:
    """A disparity map of half the resolution, in its pixels. One of four values is taken: a mean over the border of an
    object would be the disparity of nothing."""
    height, width = (side // 2 * 2 for side in disparity.shape)
    return (disparity[:height:2, :width:2] / 2).astype(np.float32)


# Standard deviations at strength 1. Kinds as in the training of DispNet (Mayer et al. 2016, section 5), sizes ours.
ZOOM, SHIFT = 0.15, 0.1  # of the logarithm; of the image's height and width
GAMMA, CONTRAST, COLOUR = 0.2, 0.2, 0.1  # of the logarithm
BRIGHTNESS, NOISE = 0.1, 0.02  # of the range from 0 to 1


def augment(images: Tensor, disparities: Tensor, strength: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Pairs (b, 6, height, width) in [0, 1] and disparities (b, height, width), changed at random; of the same shapes.

    `strength` multiplies the variance of every parameter's distribution, as the scale of augmentation of Zela et al. 2020
    does (appendix D, Table 3): 0 changes nothing. Geometric: zoom, by which the disparity grows, and shift; what comes in
    from outside is black and of unknown disparity. Photometric: gamma, contrast, brightness, colour, all of them the same
    for both images of a pair, and noise, which is not.
    """
    if strength == 0:
        return images, disparities
    spread, device, b = math.sqrt(strength), images.device, len(images)

    def draw(*shape: int) -> Tensor:
        return spread * torch.randn((b, *shape), generator=generator, device=device)

    zoom = torch.exp(ZOOM * draw())
    matrices = torch.zeros(b, 2, 3, device=device)
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1 / zoom
    matrices[:, :, 2] = 2 * SHIFT * draw(2)  # places run from -1 to 1
    places = F.affine_grid(matrices, [b, 1, *images.shape[2:]], align_corners=False)
    known = disparities.isfinite()
    map_and_mask = torch.stack([disparities.nan_to_num(0), known.float()], 1)
    disparities, known = F.grid_sample(map_and_mask, places, "nearest", align_corners=False).unbind(1)
    disparities = torch.where(known > 0.5, zoom[:, None, None] * disparities, torch.nan)
    images = F.grid_sample(images, places, align_corners=False)

    images = images.clamp_min(1e-6) ** torch.exp(GAMMA * draw())[:, None, None, None]
    images = images * torch.exp(CONTRAST * draw())[:, None, None, None]
    images = images * torch.exp(COLOUR * draw(3)).repeat(1, 2)[:, :, None, None]
    images = images + BRIGHTNESS * draw()[:, None, None, None] + NOISE * draw(*images.shape[1:])
    return images.clamp(0, 1), disparities


def flying_things(path: str | Path, samples: int | None = None, multiple: int = 64, shrinkage: int = 2) -> Stereo:
    """FlyingThings3D (Mayer et al. 2016) below `path`: with `shrinkage` 2 at half resolution, as Zela et al. 2020 search on
    it, with 1 at full resolution, as they train what they found (appendix D).

    Both layouts that are published are known: the whole set (frames_cleanpass/TRAIN/A/0000/left/0006.png and
    disparity/TRAIN/A/0000/left/0006.pfm) and the subset of 21,818 and 4,248 pairs (train/image_clean/left/0000000.png and
    train/disparity/left/0000000.pfm). Its training half is train and valid here, one after the other, half of it each;
    its test half is test. `samples` takes the first so many pairs of each half only. Images are cut at the right and
    below to multiples of `multiple` pixels. All of it lies in memory: about 1.1 MB a pair at half resolution, 30 GB
    for the subset.

    Raises FileNotFoundError where nothing of the kind is there, ValueError, naming the file, where one is damaged.
    """
    if shrinkage not in (1, 2):
        raise ValueError(f"shrinkage: {shrinkage!r} is not allowed; it must be 1 or 2")
    path, half = Path(path), {}
    for part in ("train", "test"):
        files = _flying_files(path, part)[:samples]
        if not files or (part == "train" and len(files) < 2):
            raise FileNotFoundError(f"flyingthings3d: no image pairs with disparities ({part}) were found in {path}")
        pairs = (_flying_pair(*paths, shrinkage) for paths in files)
        half[part] = _stacked(pairs, multiple)
    images, disparities = half["train"]
    n = len(images) // 2
    return from_arrays("flyingthings3d", (images[:n], disparities[:n]), (images[n:], disparities[n:]), half["test"])


def _flying_files(path: Path, part: str) -> list[tuple[Path, Path, Path]]:
    """(left image, right image, disparity of the left) of every pair, in the order of the names."""
    whole, subset = path / "frames_cleanpass" / part.upper(), {"train": "train", "test": "val"}[part]
    found = [(image, path / "disparity" / part.upper() / image.relative_to(whole))
             for image in sorted(whole.glob("*/*/left/*.png"))]  # fmt: skip
    found += [(image, path / subset / "disparity" / "left" / image.name)
              for image in sorted((path / subset / "image_clean" / "left").glob("*.png"))]  # fmt: skip
    pairs = ((image, image.parents[1] / "right" / image.name, truth.with_suffix(".pfm")) for image, truth in found)
    return [files for files in pairs if all(file.is_file() for file in files)]


def _flying_pair(left: Path, right: Path, truth: Path, shrinkage: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # the left image's disparity may come with a minus, a matter of which way is counted; it is positive by nature
    found = read_image(left), read_image(right), np.abs(read_pfm(truth))
    return found if shrinkage == 1 else (*map(halved, found[:2]), halved_disparity(found[2]))


def sintel(path: str | Path, part: str = "clean", samples: int | None = None, multiple: int = 64):
    """The 1,064 pairs of Sintel (Butler et al. 2012) below `path`, to test on: images (n, 6, height, width) uint8 and
    disparities (n, height, width), as one split of `Stereo`, at full resolution.

    `part` is "clean" or "final". Where the match lies outside the right image (`outofframe`) the disparity counts as
    unknown, as its authors ask. Raises FileNotFoundError and ValueError as `flying_things` does.
    """
    if part not in ("clean", "final"):
        raise ValueError(f"part: {part!r} is not allowed; it must be 'clean' or 'final'")
    root = Path(path) / "training"
    lefts = sorted((root / f"{part}_left").glob("*/*.png"))
    names = [left.relative_to(root / f"{part}_left") for left in lefts]
    folders = (f"{part}_right", "disparities")
    names = [name for name in names if all((root / folder / name).is_file() for folder in folders)][:samples]
    if not names:
        raise FileNotFoundError(f"sintel: no image pairs with disparities were found in {root}")

    def pair(name: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        disparity = read_sintel(root / "disparities" / name)
        hidden = root / "outofframe" / name
        if hidden.is_file():
            mask = read_image(hidden)[:, :, 0] > 0
            if mask.shape != disparity.shape:
                raise ValueError(f"{str(hidden)!r}: is {mask.shape}, its disparity {disparity.shape}")
            disparity = np.where(mask, np.float32(np.nan), disparity)
        return read_image(root / f"{part}_left" / name), read_image(root / f"{part}_right" / name), disparity

    return _stacked(map(pair, names), multiple)


def _stacked(pairs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], multiple: int) -> tuple[Tensor, Tensor]:
    """Pairs as one split. Raises ValueError where they do not fit together."""
    images, disparities = [], []
    for number, (left, right, disparity) in enumerate(pairs):
        height, width = (side // multiple * multiple for side in disparity.shape)
        if left.shape != right.shape or left.shape[:2] != disparity.shape:
            raise ValueError(
                f"pair {number}: left image {left.shape}, right image {right.shape} and disparity {disparity.shape} "
                "differ in size"
            )
        if not height or not width:
            raise ValueError(f"pair {number}: {disparity.shape} is less than {multiple} pixels high or wide")
        both = np.concatenate([left, right], -1)[:height, :width]
        if images and images[0].shape[1:] != (height, width):
            raise ValueError(f"pair {number}: {(height, width)} pixels, the first {tuple(images[0].shape[1:])}")
        images.append(torch.from_numpy(both).permute(2, 0, 1))
        disparities.append(torch.from_numpy(np.ascontiguousarray(disparity[:height, :width], np.float32)))
    return torch.stack(images), torch.stack(disparities)


def read_image(path: str | Path) -> np.ndarray:
    """A picture as (height, width, 3) uint8. Raises ValueError where the file holds none."""
    from PIL import Image

    with _told(path), Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"claims {image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are read")
        if image.mode == "1":
            image = image.convert("L")
        return np.asarray(image.convert("RGB"))


def read_sintel(path: str | Path) -> np.ndarray:
    """The disparity that a PNG of Sintel encodes, (height, width) float32: 4 R + G / 64 + B / 16384, in pixels.

    (Readme of the stereo training data, where B is 0; later versions put a finer part there.)
    """
    red, green, blue = np.moveaxis(read_image(path).astype(np.float32), -1, 0)
    return 4 * red + green / 2**6 + blue / 2**14


def read_pfm(path: str | Path) -> np.ndarray:
    """What a portable float map of one channel holds, (height, width) float32, top row first.

    Raises ValueError, with the file's name, where the header is not that of a PFM or the file is not as long as it says.
    """
    path = Path(path)
    with _told(path):
        size = path.stat().st_size
        with path.open("rb") as file:
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
            if not 0 < width * height <= MOST_PIXELS or size - file.tell() != 4 * width * height:
                raise ValueError(
                    f"its header says {width} x {height} pixels, {4 * width * height:,} bytes, but "
                    f"{size - file.tell():,} follow"
                )
            values = np.frombuffer(file.read(), "<f4" if scale < 0 else ">f4").reshape(height, width)
    return values[::-1].astype(np.float32)  # rows stand from the lowest up


class _told:
    """Puts the name of the file before whatever is wrong with it."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        from PIL import Image

        if isinstance(error, FileNotFoundError | PermissionError):
            return
        if isinstance(error, OSError | ValueError | SyntaxError | EOFError | Image.DecompressionBombError):
            words = in_a_line(error)
            raise ValueError(f"file {str(self.path)!r}: {words}") from error


def best_constant(data: Stereo, split: str = "train") -> Tensor:
    """The disparity (height, width) that is best for every pixel whatever the images show: its median over a split.

    What is known nowhere in the split gets the median over all pixels.
    """
    disparities = getattr(data, split)[1]
    medians = disparities.nanmedian(0).values
    return torch.where(medians.isfinite(), medians, disparities[disparities.isfinite()].median())


def end_point_error(predicted: Tensor, disparities: Tensor) -> Tensor:
    """Mean distance (b,) in pixels of predicted disparities (b, height, width) where the true ones are known (not NaN)."""
    known = disparities.isfinite()
    distance = (predicted - disparities.nan_to_num(0)).abs() * known
    return distance.flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)


def constant_error(data: Stereo) -> float:
    """The end-point error in pixels of `best_constant` of the training split on the test split."""
    return float(end_point_error(best_constant(data)[None], data.test[1]).mean())
