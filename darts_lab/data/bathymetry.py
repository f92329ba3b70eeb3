"""Depth of the sea from four-band patches: the embedded `bathymetry`, and a reader of the layout of Maile et al. 2021,
whose data (Sentinel-2 over surveyed coasts) are private."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from darts_lab.data.arrays import channels_first
from darts_lab.data.splits import SPLITS, Images, check_array, checked_splits, mean_and_std
from darts_lab.runs.files import in_a_line


@dataclass(frozen=True, eq=False)
class Soundings(Images):
    """Patches (n, 4, height, width) float32, such as reflectances in blue, green, red and near infrared, and the depths
    (n,) float32 at their centres, in metres and positive downwards."""


def from_arrays(name: str, train, valid, test, *, channels: str | None = None) -> Soundings:
    """Checked Soundings from three pairs (patches, depths) of arrays or tensors. `channels` tells where the bands are,
    as in `data.from_tensors`. Raises ValueError, naming the split, where shapes differ from those of `Soundings` or a
    value is not finite."""

    def check(split: str, patches: Tensor, depths: Tensor) -> tuple[Tensor, Tensor]:
        patches = channels_first(split, patches, len(depths), channels)
        check_array(split, "patches", patches, ("n", "bands", "height", "width"))
        check_array(split, "depths", depths, patches.shape[:1])
        patches, depths = patches.float(), depths.float()
        if not (patches.isfinite().all() and depths.isfinite().all()):
            raise ValueError(f"{split}: patches and depths must be finite, found NaN or infinity")
        return patches, depths

    splits = checked_splits(dict(zip(SPLITS, (train, valid, test))), check, "(patches, depths)")
    mean, std = mean_and_std(splits["train"][0])
    return Soundings(name, **splits, mean=mean, std=std)


# Sentinel-2's blue, green, red and near-infrared bands (B2, B3, B4, B8), by their centres in nm
BANDS = np.array([490.0, 560.0, 665.0, 842.0])

# Absorption of pure water in 1/m: Pope and Fry 1997, Table 3; in the near infrared about what Kou et al. 1993 measured
WATER = np.array([0.0150, 0.0619, 0.429, 4.3])
SUN = np.cos(np.arcsin(np.sin(np.radians(30)) / 1.34))  # a sun 30 degrees from the zenith, seen from under water

# Reflectances in the same bands. Ours: round values of the size that is measured on carbonate sand and seagrass
# (Hochberg et al. 2003) and on a mixture of soil and plants.
SAND = np.array([0.22, 0.30, 0.36, 0.42])
SEAGRASS = np.array([0.03, 0.07, 0.05, 0.30])
LAND = np.array([0.06, 0.09, 0.09, 0.28])


def reflectance(depth, bottom, gelbstoff, particles) -> np.ndarray:
    """Remote-sensing reflectance above the water, in 1/sr, in the four BANDS: shape (..., 4).

    `depth` (...) in m, `bottom` (..., 4) its albedo, `gelbstoff` G (...) the absorption of dissolved matter and
    detritus at 440 nm in 1/m, `particles` X (...) the backscattering of particles at 400 nm in 1/m. The semi-analytical
    model of Lee et al. 1999 (Applied Optics 38, 3831), seen from straight above:

        a = a_water + G exp(-0.015 (l - 440))            b = 0.0038 (400 / l)^4.3 + X (400 / l)
        u = b / (a + b)                                  r_deep = (0.084 + 0.170 u) u
        r = r_deep (1 - exp(-(1 / cos s + 1.03 sqrt(1 + 2.4 u)) (a + b) H))
          + bottom / pi exp(-(1 / cos s + 1.04 sqrt(1 + 5.4 u)) (a + b) H)
        R = 0.5 r / (1 - 1.5 r)

    with the wavelength l in nm, the depth H and the sun's angle s under water. Ours is to leave out the absorption of
    phytoplankton (a second G with another spectrum) and to fix the exponent of X at 1.
    """
    depth, gelbstoff, particles = (np.asarray(part)[..., None] for part in (depth, gelbstoff, particles))
    absorption = WATER + gelbstoff * np.exp(-0.015 * (BANDS - 440))
    backscattering = 0.0038 * (400 / BANDS) ** 4.3 + particles * (400 / BANDS)
    attenuation = absorption + backscattering
    u = backscattering / attenuation
    path = attenuation * depth
    r = (0.084 + 0.170 * u) * u * (1 - np.exp(-(1 / SUN + 1.03 * np.sqrt(1 + 2.4 * u)) * path))
    r = r + bottom / np.pi * np.exp(-(1 / SUN + 1.04 * np.sqrt(1 + 5.4 * u)) * path)
    return 0.5 * r / (1 - 1.5 * r)


SIZE = 16  # pixels a side of a patch
FINER = 8  # pixels from one depth of the map to the next, 2 km further; linear in between
DEEPEST = 25.0  # metres; below, hardly any light comes back from the bottom
SIZES = {"train": 3000, "valid": 1500, "test": 1500}
TILES = (7, 8)  # of 13 x 15 depths
NOISE, GLINT = 3e-4, 5e-4  # 1/sr: of the sensor in every pixel and band; of the surface, the same in a whole patch


@lru_cache(maxsize=4)
def bathymetry(seed: int = 0) -> Soundings:
    """Real depths around Vancouver Island, and what a satellite would see: 3,000 / 1,500 / 1,500 patches 4 x 16 x 16.

    The depths are those of matplotlib's `topobathy.npz`. A patch covers two by two of its grid cells (4 km: only its
    shape is real), linear in between, with 0.5 to 25 m of water at its centre, as many samples in every tenth of that
    range. A published model, `reflectance`, gives the rest, over sand and seagrass, in water that differs from patch to
    patch in dissolved matter and particles, under glint and noise. Tiles of the map go to the splits in turn; no patch
    leaves its tile, so splits share no depth. `seed` decides all else. Kept in memory and shared: do not write to it.
    """
    rng = np.random.default_rng(seed)
    splits: dict[str, Any] = {}
    for number, (split, n) in enumerate(SIZES.items()):
        ground = _ground(_corners(number, n, rng))
        splits[split] = _bands(ground, rng), -ground[:, SIZE // 2, SIZE // 2]
    return replace(from_arrays("bathymetry", **splits), ordered=True)


@lru_cache(maxsize=1)
def _map() -> np.ndarray:
    """Heights in metres, negative below the sea, (91, 120): one row every 0.022, one column every 0.033 degrees."""
    from matplotlib.cbook import get_sample_data

    with np.load(get_sample_data("topobathy.npz", asfileobj=False), allow_pickle=False) as file:
        return file["topo"].astype(np.float32)


def tiles(split: str) -> list[tuple[slice, slice]]:
    """The rows and columns of the map that belong to a split."""
    rows, columns = (
        [slice(*pair) for pair in pairwise(np.linspace(0, side, parts + 1).astype(int).tolist())]
        for side, parts in zip(_map().shape, TILES)
    )
    number = SPLITS.index(split)
    return [(row, column) for i, row in enumerate(rows) for j, column in enumerate(columns) if (i + j) % 3 == number]


def _corners(number: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Top left corners of n patches of a split on the map, (n, 2), as many of them in every tenth of the depths."""
    borders, span = np.linspace(0.5, DEEPEST, 11), (SIZE - 1) / FINER
    own_tiles = tiles(SPLITS[number])
    starts = np.array([[side.start for side in tile] for tile in own_tiles], float)
    room = np.array([[side.stop - 1 - span - side.start for side in tile] for tile in own_tiles])
    tenths, wanted = [np.empty((0, 2))] * 10, -(-n // 10)
    while min(map(len, tenths)) < wanted:
        tile = rng.integers(len(own_tiles), size=20_000)
        corners = starts[tile] + rng.random((len(tile), 2)) * room[tile]
        depth = -_ground(corners + SIZE // 2 / FINER, 1, 1)[:, 0, 0]
        for i, (low, high) in enumerate(pairwise(borders)):
            tenths[i] = np.concatenate([tenths[i], corners[(depth >= low) & (depth < high)]])
    return rng.permutation(np.concatenate([corners[:wanted] for corners in tenths]))[:n]


def _ground(corners: np.ndarray, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """Heights (n, height, width) of patches with top left corners (n, 2): the map, linear in both directions."""
    heights = _map()
    rows = corners[:, 0, None, None] + np.arange(height)[:, None] / FINER
    columns = corners[:, 1, None, None] + np.arange(width) / FINER
    top, left = (np.minimum(place.astype(int), side - 2) for place, side in zip((rows, columns), heights.shape))
    down, right = rows - top, columns - left
    upper = heights[top, left] * (1 - right) + heights[top, left + 1] * right
    lower = heights[top + 1, left] * (1 - right) + heights[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def _bands(ground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reflectances (n, 4, height, width) float32 over ground (n, height, width)."""
    n, height, width = ground.shape
    sand = _clouds(n, height, width, rng)[..., None]
    bottom = sand * SAND + (1 - sand) * SEAGRASS
    gelbstoff = 0.05 * np.exp(0.5 * rng.standard_normal((n, 1, 1)))  # 1/m, from clear to rather green
    particles = 0.006 * np.exp(0.5 * rng.standard_normal((n, 1, 1)))
    water = reflectance(np.maximum(-ground, 0), bottom, gelbstoff, particles)
    land = LAND / np.pi * (0.7 + 0.6 * _clouds(n, height, width, rng)[..., None])
    bands = np.where((ground < 0)[..., None], water, land)
    bands = bands + np.abs(GLINT * rng.standard_normal((n, 1, 1, 1))) + NOISE * rng.standard_normal(bands.shape)
    return np.ascontiguousarray(np.moveaxis(bands, -1, 1), np.float32)


def _clouds(n: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth random fields (n, height, width) between 0 and 1, with patches of about five pixels."""
    coarse = torch.from_numpy(2 * rng.standard_normal((n, 1, height // 5 + 2, width // 5 + 2)))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    return torch.sigmoid(fine[:, 0]).numpy()


def scene(number: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A whole test tile, to draw a map: (reflectances (4, height, width), depths (height, width) in m, negative on
    land). Tile 0 has most water of 0.5 to 25 m. Raises ValueError for a number of no tile."""
    grounds = []
    for tile in tiles("test"):
        sides = (FINER * (side.stop - 1 - side.start) + 1 for side in tile)
        grounds.append(_ground(np.array([[side.start for side in tile]], float), *sides))
    grounds.sort(key=lambda ground: -int(((-ground > 0.5) & (-ground < DEEPEST)).sum()))
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(grounds):
        raise ValueError(f"number: {number!r} is not allowed; the test split has tiles 0 to {len(grounds) - 1}")
    ground = grounds[number]
    return _bands(ground, np.random.default_rng(seed))[0], -ground[0]


def windows(data: Soundings, bands: np.ndarray, depths: np.ndarray) -> Soundings:
    """`data` with all (height - 15) x (width - 15) patches of a scene, row by row, as its test split."""
    patches = torch.from_numpy(bands).unfold(1, SIZE, 1).unfold(2, SIZE, 1).permute(1, 2, 0, 3, 4)
    rows, columns = patches.shape[:2]
    centres = np.ascontiguousarray(depths[SIZE // 2 :, SIZE // 2 :][:rows, :columns], np.float32)
    return replace(data, test=(patches.flatten(0, 1).contiguous(), torch.from_numpy(centres).flatten()))


def from_csv(train: str | Path, valid: str | Path, test: str | Path, *, filtered: bool = False) -> Soundings:
    """Soundings from three tables in the layout of the code of Maile et al. 2021 (`utils.BathymetryDataset`).

    Column 0 is the path of a .npy file (height, width, bands) inside the table's folder, column 1 the depth in metres.
    Patches are turned as there, to (bands, width, height). `filtered` keeps 0.1 <= max_energy <= 4 and z <= 40. Nothing
    is unpickled. Raises FileNotFoundError, or ValueError naming the file, for what is missing, damaged or misshapen.
    """
    tables = (read_csv(path, filtered) for path in (train, valid, test))
    return from_arrays("soundings", *tables, channels="first")


def read_csv(path: str | Path, filtered: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(patches (n, bands, width, height), depths (n,)) of one table, see `from_csv`."""
    path = Path(path)
    try:
        table = pd.read_csv(path)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"file {str(path)!r}: is no CSV table: {in_a_line(error)}") from error
    if filtered:
        if missing := [name for name in ("max_energy", "z") if name not in table.columns]:
            raise ValueError(f"file {str(path)!r}: has no column {' or '.join(missing)} to filter by")
        table = table[table["max_energy"].between(0.1, 4.0) & (table["z"] <= 40)]
    if table.shape[1] < 2 or not len(table):
        raise ValueError(f"file {str(path)!r}: needs rows of a path and a depth, found {table.shape}")
    depths = pd.to_numeric(table.iloc[:, 1], errors="coerce").to_numpy(np.float32)
    if len(rows := np.flatnonzero(~np.isfinite(depths))):
        raise ValueError(f"file {str(path)!r}: row {rows[0]} has no depth, but {str(table.iloc[rows[0], 1])[:80]!r}")
    patches = []
    for name in map(str, table.iloc[:, 0]):
        if len(name) > 255:
            raise ValueError(f"file {str(path)!r}: {name[:80]!r}... is too long for the name of a file")
        file = path.parent / name
        if "\0" in name or not file.resolve().is_relative_to(path.parent.resolve()):
            raise ValueError(f"file {str(path)!r}: {name[:80]!r} leads out of its folder")
        patches.append(read_patch(file))
        if patches[-1].shape != patches[0].shape:
            raise ValueError(f"file {str(file)!r}: is {patches[-1].shape}, the first of its table {patches[0].shape}")
    return np.stack(patches), depths


def read_patch(path: str | Path) -> np.ndarray:
    """A .npy file (height, width, bands) as (bands, width, height) float32. Raises ValueError, naming the file."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # a header that lies about the size is noticed
    except FileNotFoundError:
        raise FileNotFoundError(f"file {str(path)!r}: is not there") from None
    except Exception as error:  # a damaged header may raise anything
        raise ValueError(f"file {str(path)!r}: is no whole .npy file of numbers: {in_a_line(error)}") from error
    if array.ndim != 3 or not array.size or not np.issubdtype(array.dtype, np.number):
        problem = f"must hold numbers (height, width, bands), found {array.shape} {array.dtype}"
        raise ValueError(f"file {str(path)!r}: {problem}")
    if np.iscomplexobj(array):
        raise ValueError(f"file {str(path)!r}: holds complex numbers")
    return np.ascontiguousarray(array.transpose(2, 1, 0), np.float32)


def mean_error(data: Soundings) -> float:
    """The error in metres, on the test split, of always answering the mean depth of the training split."""
    return float((data.test[1] - data.train[1].mean()).square().mean().sqrt())
