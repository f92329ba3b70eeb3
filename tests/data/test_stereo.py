"""Image pairs: the embedded ones share nothing between splits, augmentation keeps them true, files are read or refused."""

import numpy as np
import pytest
import torch
from PIL import Image

import darts_lab as dl
from darts_lab.data import stereo


@pytest.fixture(scope="module")
def pairs():
    return dl.data.load("stereo")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- embedded


def test_pairs_are_small_crops_of_both_photographs_with_disparities_that_are_mostly_known(pairs):
    for split, n in stereo.SIZES.items():
        images, disparities = getattr(pairs, split)
        assert images.shape == (n, 6, 32, 96) and images.dtype == torch.uint8
        assert disparities.shape == (n, 32, 96) and disparities.dtype == torch.float32
        known = disparities.isfinite()
        assert known.float().mean() > 0.9 and known.flatten(1).float().mean(1).min() > 0.5
        assert 3 < disparities[known].min() and disparities[known].max() < 31


def test_the_sign_is_right_what_the_disparity_names_looks_alike_in_both_images(pairs):
    images, disparities = pairs.test[0][:100].float(), pairs.test[1][:100]
    columns = torch.arange(96).expand_as(disparities)

    def difference(sign):
        at = columns - sign * disparities.nan_to_num(0).round().long()
        fine = disparities.isfinite() & (at >= 0) & (at < 96)
        right = images[:, 3:].gather(3, at.clamp(0, 95)[:, None].expand(-1, 3, -1, -1))
        return (images[:, :3] - right).abs().mean(1)[fine].mean()

    assert difference(1) < 0.5 * difference(-1) and difference(1) < 0.5 * difference(0)


def test_splits_share_neither_a_row_of_the_photographs_nor_a_point_of_the_scene(pairs, monkeypatch):
    """With its own row as its colour, every pixel tells where it comes from; matches lie in the same row."""
    rows = np.arange(250, dtype=np.uint8)[:, None, None]
    photograph = np.broadcast_to(rows, (250, 370, 3))
    monkeypatch.setattr(stereo, "_motorcycle", lambda: (photograph, photograph, np.ones((250, 370), np.float32)))
    marked = stereo.stereo.__wrapped__(seed=1)
    seen = {split: set(getattr(marked, split)[0].unique().tolist()) for split in dl.data.SPLITS}
    assert not (seen["train"] & seen["valid"] or seen["train"] & seen["test"] or seen["valid"] & seen["test"])
    assert len(set.union(*seen.values())) > 240, "and next to nothing of the scene is left out"


def test_a_seed_gives_the_same_pairs_and_another_seed_others(pairs):
    again, other = stereo.stereo.__wrapped__(0), stereo.stereo.__wrapped__(1)
    assert all(torch.equal(a, b) for a, b in zip(pairs.test[:1], again.test[:1]))
    assert not torch.equal(pairs.test[0], other.test[0])


def test_the_best_constant_is_worse_than_any_network_may_be(pairs):
    constant = stereo.best_constant(pairs)
    assert constant.shape == (32, 96) and constant.isfinite().all()
    error = stereo.constant_error(pairs)
    shifted = stereo.end_point_error((constant + 1)[None], pairs.train[1]).mean()
    assert stereo.end_point_error(constant[None], pairs.train[1]).mean() < shifted, "it is best where it was chosen"
    assert 5 < error < 15


# ---------------------------------------------------------------- augmentation


def test_strength_zero_changes_nothing_and_strength_multiplies_the_variance():
    images, disparities = torch.full((4000, 6, 4, 4), 0.5), torch.full((4000, 4, 4), 10.0)
    same = stereo.augment(images, disparities, 0.0, seeded())
    assert same[0] is images and same[1] is disparities

    def variance(strength):  # of the logarithm of the zoom, which is what disparities are multiplied by
        found = stereo.augment(images, disparities, strength, seeded(3))[1].flatten(1).nanmean(1)
        return (found[found.isfinite()] / 10).log().var()

    assert variance(1.0) == pytest.approx(stereo.ZOOM**2, rel=0.1)
    assert variance(2.0) == pytest.approx(2 * stereo.ZOOM**2, rel=0.1)
    assert variance(0.1) == pytest.approx(0.1 * stereo.ZOOM**2, rel=0.1)


def test_what_is_zoomed_and_shifted_still_matches_at_the_disparity_that_is_told(monkeypatch):
    for name in ("GAMMA", "CONTRAST", "COLOUR", "BRIGHTNESS", "NOISE"):
        monkeypatch.setattr(stereo, name, 0.0)
    texture = torch.nn.functional.interpolate(torch.rand(8, 3, 8, 30, generator=seeded()), (32, 120), mode="bilinear")
    left, right = texture[..., 0:96], texture[..., 9:105]  # a point in column c of the left is in c - 9 of the right
    images, told = stereo.augment(torch.cat([left, right], 1), torch.full((8, 32, 96), 9.0), 1.0, seeded(1))
    columns = torch.arange(96.0)
    for pair, disparity in zip(images, told):
        known = disparity.isfinite()
        fine = known & (columns > disparity.nan_to_num(0) + 1)
        assert disparity[disparity.isfinite()].std() < 1e-4
        at = (columns - disparity.nan_to_num(0)).clamp(0, 95)
        low = at.floor().long().clamp(0, 94)
        weight = at - low
        rows = torch.arange(32)[:, None].expand(32, 96)
        fine &= known[rows, low] & known[rows, low + 1]  # where the match came in from outside there is nothing to see
        assert fine.any()
        matched = pair[3:][:, rows, low] * (1 - weight) + pair[3:][:, rows, low + 1] * weight
        assert (pair[:3] - matched).abs().mean(0)[fine].mean() < 0.02


def test_colours_change_in_both_images_alike_and_what_comes_in_from_outside_is_unknown():
    images = torch.full((64, 6, 32, 96), 0.5)
    changed, disparities = stereo.augment(images, torch.full((64, 32, 96), 5.0), 1.0, seeded())
    inside = disparities.isfinite()[:, None].expand(-1, 3, -1, -1)
    assert 0 <= changed.min() and changed.max() <= 1 and changed[:, :3][inside].std() > 0.05
    assert (changed[:, :3] - changed[:, 3:])[inside].abs().mean() < 3 * stereo.NOISE
    assert not disparities.isfinite().all() and disparities.isfinite().float().mean() > 0.6
    again = stereo.augment(images, torch.full((64, 32, 96), 5.0), 1.0, seeded())
    assert torch.equal(changed, again[0])


# ---------------------------------------------------------------- the error


def test_unknown_pixels_count_nowhere_in_the_error_nor_its_gradient():
    truth = torch.tensor([[[1.0, torch.nan], [3.0, 4.0]], [[torch.nan] * 2, [torch.nan] * 2]])
    predicted = torch.zeros(2, 2, 2, requires_grad=True)
    error = stereo.end_point_error(predicted, truth)
    assert error.tolist() == [pytest.approx(8 / 3), 0]
    error.sum().backward()
    assert torch.equal(predicted.grad == 0, truth.isnan()) and predicted.grad.isfinite().all()


# ---------------------------------------------------------------- files


def write_pfm(path, values, little=True, header=None):
    height, width = values.shape
    header = header or f"Pf\n{width} {height}\n{-1.0 if little else 1.0}\n"
    path.write_bytes(header.encode() + values[::-1].astype("<f4" if little else ">f4").tobytes())


def picture(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.mark.parametrize("little", [True, False])
def test_a_portable_float_map_is_read_in_either_order_of_bytes_and_from_the_top(tmp_path, little):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_pfm(tmp_path / "map.pfm", values, little)
    assert (stereo.read_pfm(tmp_path / "map.pfm") == values).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no portable float map"),
        (b"PF\n2 2\n-1\n" + bytes(48), "is no portable float map of one channel"),
        (
            b"Pf\n50000 50000\n-1\n" + bytes(64),
            "its header says 50000 x 50000 pixels, 10,000,000,000 bytes, but 64 follow",
        ),
        (b"Pf\n4 4\n-1\n" + bytes(60), "its header says 4 x 4 pixels, 64 bytes, but 60 follow"),
        (b"Pf\n0 4\n-1\n", "its header says 0 x 4"),
        (b"Pf\n-4 4\n-1\n" + bytes(64), "does not give width, height and scale"),
        (b"Pf\n4 4\nnan\n" + bytes(64), "does not give a scale other than 0"),
        (b"Pf\n" + b"9" * 5000, "does not give width"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is no portable float map"),
    ],
)
def test_a_damaged_or_lying_float_map_is_refused_in_one_sentence(tmp_path, content, says):
    (tmp_path / "map.pfm").write_bytes(content)
    with pytest.raises(ValueError, match="file .*map.pfm") as error:
        stereo.read_pfm(tmp_path / "map.pfm")
    assert says in str(error.value) and "\n" not in str(error.value)


def test_the_encoding_of_sintel_is_undone(tmp_path):
    disparity = np.array([[0, 0.5, 3.984375], [4, 100.25, 1023]], np.float32)
    encoded = np.stack([disparity // 4, disparity * 64 % 256, 0 * disparity], -1).astype(np.uint8)  # their readme
    picture(tmp_path / "frame.png", encoded)
    assert (stereo.read_sintel(tmp_path / "frame.png") == disparity).all()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_a_damaged_picture_is_refused_in_one_sentence(tmp_path, content):
    (tmp_path / "frame.png").write_bytes(content)
    with pytest.raises(ValueError, match="file .*frame.png") as error:
        stereo.read_image(tmp_path / "frame.png")
    assert "\n" not in str(error.value)


def test_a_picture_cut_off_in_the_middle_is_refused(tmp_path):
    picture(tmp_path / "frame.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = (tmp_path / "frame.png").read_bytes()
    (tmp_path / "frame.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="file .*frame.png"):
        stereo.read_image(tmp_path / "frame.png")


def things(root, layout, n=4):
    """A directory in one of the two layouts of FlyingThings3D, of n pairs for training and two for testing."""
    rng = np.random.default_rng(0)
    for part, count in (("train", n), ("val" if layout == "subset" else "test", 2)):
        for number in range(count):
            if layout == "subset":
                name, sides = f"{number:07d}", root / part / "image_clean"
                truth = root / part / "disparity" / "left" / f"{name}.pfm"
            else:
                name, sides = f"{number:04d}", root / "frames_cleanpass" / part.upper() / "A" / "0000"
                truth = root / "disparity" / part.upper() / "A" / "0000" / "left" / f"{name}.pfm"
            for side in ("left", "right"):
                picture(sides / side / f"{name}.png", rng.integers(0, 256, (70, 140, 3), np.uint8))
            truth.parent.mkdir(parents=True, exist_ok=True)
            write_pfm(truth, np.full((70, 140), (-1 if layout == "subset" else 1) * (number + 2), np.float32))


@pytest.mark.parametrize("layout", ["whole", "subset"])
def test_flying_things_are_read_at_half_resolution_in_both_layouts(tmp_path, layout):
    things(tmp_path, layout)
    found = stereo.flying_things(tmp_path, multiple=16)
    assert [len(getattr(found, split)[0]) for split in dl.data.SPLITS] == [2, 2, 2]
    assert found.image_size == (32, 64), "35 x 70 pixels, cut to multiples of 16"
    assert found.train[1][:, 0, 0].tolist() == [1, 1.5] and found.valid[1][:, 0, 0].tolist() == [2, 2.5]
    assert len(stereo.flying_things(tmp_path, samples=2, multiple=16).train[0]) == 1
    full = stereo.flying_things(tmp_path, multiple=16, shrinkage=1)
    assert full.image_size == (64, 128) and full.train[1][:, 0, 0].tolist() == [2, 3]


def test_flying_things_have_a_name_where_the_folder_of_data_holds_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match="flyingthings3d: no image pairs with disparities .train. were found in"
    ):
        dl.data.load("FlyingThings3D")
    things(tmp_path / "flyingthings3d", "subset", n=2)
    with pytest.raises(ValueError, match="pair 0: .35, 70. is less than 64 pixels high or wide"):
        dl.data.load("flyingthings3d")


def test_pairs_that_do_not_fit_together_are_refused(tmp_path):
    things(tmp_path, "whole")
    write_pfm(tmp_path / "disparity" / "TRAIN" / "A" / "0000" / "left" / "0001.pfm", np.ones((70, 100), np.float32))
    with pytest.raises(
        ValueError, match=r"pair 1: left image .35, 70, 3., right image .* and disparity .35, 50. differ"
    ):
        stereo.flying_things(tmp_path, multiple=16)


def test_sintel_is_read_and_what_leaves_the_right_image_is_unknown(tmp_path):
    root, rng = tmp_path / "training", np.random.default_rng(0)
    for side in ("clean_left", "clean_right"):
        picture(root / side / "alley_1" / "frame_0001.png", rng.integers(0, 256, (32, 64, 3), np.uint8))
    picture(root / "disparities" / "alley_1" / "frame_0001.png", np.full((32, 64, 3), [3, 128, 0], np.uint8))
    mask = np.zeros((32, 64), np.uint8)
    mask[:, :10] = 1
    picture(root / "outofframe" / "alley_1" / "frame_0001.png", mask)
    images, disparities = stereo.sintel(tmp_path, multiple=16)
    assert images.shape == (1, 6, 32, 64) and disparities[0, :, :10].isnan().all()
    assert (disparities[0, :, 10:] == 14).all()
    with pytest.raises(FileNotFoundError, match="sintel: no image pairs with disparities were found in"):
        stereo.sintel(tmp_path, "final")


@pytest.mark.parametrize(
    ("images", "disparities", "says"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.ones(2, 8, 8), r"train: images must be uint8 \(n, 6,"),
        (torch.zeros(2, 6, 8, 8), torch.ones(2, 8, 8), "train: images must be uint8"),
        (
            torch.zeros(2, 6, 8, 8, dtype=torch.uint8),
            torch.ones(2, 8, 4),
            r"train: disparities must be float \(2, 8, 8\)",
        ),
        (torch.zeros(2, 6, 8, 8, dtype=torch.uint8), torch.full((2, 8, 8), torch.nan), "train: no disparity is known"),
    ],
)
def test_arrays_that_are_no_pairs_are_refused(images, disparities, says):
    fine = torch.zeros(2, 6, 8, 8, dtype=torch.uint8), torch.ones(2, 8, 8)
    with pytest.raises(ValueError, match=says):
        stereo.from_arrays("own", (images, disparities), fine, fine)


def test_a_pair_without_a_known_disparity_is_refused_since_it_would_count_as_answered():
    images, disparities = torch.zeros(3, 6, 8, 8, dtype=torch.uint8), torch.ones(3, 8, 8)
    disparities[1] = torch.nan
    with pytest.raises(ValueError, match="train: of sample 1 no disparity is known"):
        stereo.from_arrays("mine", (images, disparities), (images, disparities), (images, disparities))
