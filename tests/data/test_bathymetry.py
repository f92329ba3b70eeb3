"""Patches of the sea: splits share no depth of the map, light dies away as the model says, files are read or refused."""

import io

import numpy as np
import pytest
import torch

import darts_lab as dl
from darts_lab.data import bathymetry
from darts_lab.data.bathymetry import SAND, SEAGRASS, WATER, reflectance


@pytest.fixture(scope="module")
def soundings():
    return dl.data.load("bathymetry")


# ---------------------------------------------------------------- light


def test_a_bottom_under_no_water_looks_as_it_is():
    r = SAND / np.pi
    assert np.allclose(reflectance(0.0, SAND, 0.05, 0.006), 0.5 * r / (1 - 1.5 * r))


def test_over_deep_water_no_bottom_is_seen():
    over_sand, over_grass = (reflectance(500.0, bottom, 0.05, 0.006) for bottom in (SAND, SEAGRASS))
    assert np.allclose(over_sand, over_grass, rtol=1e-6)
    assert 1e-4 < over_sand[1] < 0.02, "the ocean is dark but not black in green"


def test_sand_grows_darker_with_depth_and_red_faster_than_green():
    depths = np.array([0.5, 2.0, 5.0, 10.0])
    seen = reflectance(depths, np.broadcast_to(SAND, (4, 4)), np.full(4, 0.02), np.full(4, 0.003))
    assert seen.shape == (4, 4) and (np.diff(seen[:, :3], axis=0) < 0).all()
    assert seen[2, 2] / seen[0, 2] < 0.2 * seen[2, 1] / seen[0, 1]
    assert list(WATER) == sorted(WATER), "the longer the wave the more the water takes"


def test_the_formula_is_that_of_lee_1999_worked_out_by_hand():
    """One wave of 560 nm, 3 m of water."""
    a, b = 0.0619 + 0.1 * np.exp(-0.015 * 120), 0.0038 * (400 / 560) ** 4.3 + 0.01 * 400 / 560
    u, path = b / (a + b), 3 * (a + b)
    down = 1 / np.sqrt(1 - (0.5 / 1.34) ** 2)
    r = (0.084 + 0.17 * u) * u * (1 - np.exp(-(down + 1.03 * (1 + 2.4 * u) ** 0.5) * path))
    r += 0.3 / np.pi * np.exp(-(down + 1.04 * (1 + 5.4 * u) ** 0.5) * path)
    found = reflectance(3.0, np.full(4, 0.3), 0.1, 0.01)[1]
    assert found == pytest.approx(0.5 * r / (1 - 1.5 * r), rel=1e-12)


# ---------------------------------------------------------------- embedded


def test_patches_have_four_bands_and_depths_of_the_whole_range(soundings):
    for split, n in bathymetry.SIZES.items():
        patches, depths = getattr(soundings, split)
        assert patches.shape == (n, 4, 16, 16) and depths.shape == (n,) and patches.dtype == torch.float32
        tenths = torch.histogram(depths, torch.linspace(0.5, 25, 11)).hist
        assert tenths.min() >= n // 10 - 1, "as many in every tenth of the range"
    assert bathymetry.mean_error(soundings) == pytest.approx(24.5 / 12**0.5, rel=0.05), "as of a uniform distribution"


def test_no_depth_of_the_map_is_used_by_two_splits():
    """With the split's number on every point of the map, linear in between, a patch must show one number only."""
    owner = np.full((91, 120), -1)
    for number, split in enumerate(dl.data.SPLITS):
        for rows, columns in bathymetry.tiles(split):
            assert (owner[rows, columns] == -1).all(), "tiles do not overlap"
            owner[rows, columns] = number
    assert (owner >= 0).all() and 0.25 < (owner == 0).mean() < 0.42
    rng = np.random.default_rng(3)
    for number in range(3):
        corners = bathymetry._corners(number, 400, rng)
        first, last = np.floor(corners).astype(int), np.ceil(corners + 15 / bathymetry.FINER).astype(int)
        for (top, left), (bottom, right) in zip(first, last):
            assert (owner[top : bottom + 1, left : right + 1] == number).all()


def test_the_depth_of_a_patch_is_that_of_the_map_at_its_centre():
    heights = bathymetry._map()
    assert heights.shape == (91, 120)
    corner = np.array([[20.0, 40.0]])
    ground = bathymetry._ground(corner)
    assert ground[0, 0, 0] == heights[20, 40] and ground[0, 8, 8] == pytest.approx(heights[21, 41], rel=1e-6)
    assert ground[0, 0, 4] == pytest.approx((heights[20, 40] + heights[20, 41]) / 2, rel=1e-6)


def test_a_seed_gives_the_same_patches_and_another_seed_others(soundings):
    again = bathymetry.bathymetry.__wrapped__(0)
    assert torch.equal(again.test[0], soundings.test[0]) and torch.equal(again.test[1], soundings.test[1])
    assert not torch.equal(bathymetry.bathymetry.__wrapped__(1).test[0], soundings.test[0])


def test_a_scene_is_asked_for_its_depth_pixel_by_pixel(soundings):
    bands, depths = bathymetry.scene()
    assert bands.shape == (4, *depths.shape) and 0.3 < ((depths > 0.5) & (depths < 25)).mean()
    asked = bathymetry.windows(soundings, bands, depths)
    width = depths.shape[1] - 15
    patches, truth = asked.test
    assert len(truth) == (depths.shape[0] - 15) * width
    at = 5 * width + 7
    assert np.array_equal(patches[at], bands[:, 5:21, 7:23]) and truth[at] == pytest.approx(depths[13, 15])
    with pytest.raises(ValueError, match="number: 99 is not allowed; the test split has tiles 0 to "):
        bathymetry.scene(99)


# ---------------------------------------------------------------- files


def table(folder, rows=3, **columns):
    """A table of the official layout and its patches of 6 x 5 pixels and 4 bands."""
    folder.mkdir(exist_ok=True)
    lines = [",depth,z,max_energy"]
    for row in range(rows):
        np.save(folder / f"{row}.npy", np.arange(120, dtype=np.float64).reshape(6, 5, 4) + row)
        lines.append(f"{row}.npy,{row + 0.5},{columns.get('z', row)},{columns.get('energy', 1.0)}")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


def test_the_official_layout_is_read_with_its_turned_patches(tmp_path):
    path = table(tmp_path / "a")
    data = bathymetry.from_csv(path, path, path)
    assert data.train[0].shape == (3, 4, 5, 6) and data.train[1].tolist() == [0.5, 1.5, 2.5]
    original = np.load(tmp_path / "a" / "1.npy")
    assert data.train[0][1, 2, 3, 4] == original[4, 3, 2]


def test_only_the_filtered_rows_are_kept(tmp_path):
    path = table(tmp_path / "a")
    text = path.read_text().replace("1.npy,1.5,1,1.0", "1.npy,1.5,41,1.0")
    path.write_text(text)
    assert bathymetry.read_csv(path, filtered=True)[1].tolist() == [0.5, 2.5]
    assert len(bathymetry.read_csv(path)[1]) == 3


def npy(header: dict, data: bytes) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + data


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no whole .npy file"),
        (b"nonsense", "is no whole .npy file"),
        (pickled(), "is no whole .npy file"),
        (npy({"descr": "<f8", "fortran_order": False, "shape": (50000, 50000, 4)}, bytes(64)), "is no whole .npy file"),
        (npy({"descr": "<f8", "fortran_order": False, "shape": (2, 2)}, bytes(32)), "must hold numbers (height, width"),
        (npy({"descr": "<c16", "fortran_order": False, "shape": (1, 1, 4)}, bytes(64)), "holds complex numbers"),
        (npy({"descr": "|S4", "fortran_order": False, "shape": (1, 1, 4)}, bytes(16)), "must hold numbers"),
    ],
)
def test_a_damaged_or_lying_patch_is_refused_in_one_sentence(tmp_path, content, says):
    path = table(tmp_path / "a")
    (tmp_path / "a" / "1.npy").write_bytes(content)
    with pytest.raises(ValueError) as error:
        bathymetry.from_csv(path, path, path)
    assert says in str(error.value) and "1.npy" in str(error.value) and "\n" not in str(error.value)


def test_what_is_wrong_with_a_table_is_said_in_one_sentence(tmp_path):
    path = table(tmp_path / "a")
    text = path.read_text()
    for wrong, says in (
        (text.replace("0.5", "deep"), "row 0 has no depth, but 'deep'"),
        (text.replace("0.5", "deep" * 1000), "row 0 has no depth, but 'deepdeep"),
        (",depth\n", "needs rows of a path and a depth"),
        ("", "is no CSV table"),
        (text.replace("1.npy", "gone.npy"), "gone.npy': is not there"),
    ):
        path.write_text(wrong)
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            bathymetry.from_csv(path, path, path)
        assert says in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 1000
    np.save(tmp_path / "a" / "2.npy", np.ones((6, 6, 4)))
    path.write_text(text)
    with pytest.raises(ValueError, match=r"2.npy': is \(4, 6, 6\), the first of its table \(4, 5, 6\)"):
        bathymetry.from_csv(path, path, path)
    path.write_text(text.replace("max_energy", "energy"))
    with pytest.raises(ValueError, match="has no column max_energy to filter by"):
        bathymetry.read_csv(path, filtered=True)
