"""What must be true of the data sets and of the batches drawn from them."""

import hashlib
import pickle
import socket
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darts_lab import data
from darts_lab.data import fashion, handwriting, splits


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def own(n=12, channels=3, size=8, **options):
    """A small data set of random bytes with every class in every split."""

    def split(seed):
        shape = (n, channels, size, size)
        images = torch.randint(1, 256, shape, generator=generator(seed), dtype=torch.uint8)
        return images, torch.arange(n) % 4

    return data.from_tensors(split(1), split(2), split(3), **options)


def numbered(b=400, channels=2, height=6, width=7):
    """Images whose pixels all differ and are never 0, so that each tells where it came from."""
    return torch.arange(1, 1 + b * channels * height * width).view(b, channels, height, width)


# ---------------------------------------------------------------- embedded digits


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture
def ingredients(monkeypatch):
    """The strokes and patches that go into each split of a freshly built `digits`."""
    seen = []

    def compose(strokes, patches, rng):
        seen.append((strokes, patches))
        return torch.zeros(len(strokes), 3, 16, 16, dtype=torch.uint8)

    monkeypatch.setattr(handwriting, "_compose", compose)
    return seen


def test_digits_have_the_announced_shapes_and_types(digits):
    for split, n in (("train", 8000), ("valid", 4000), ("test", 4000)):
        images, labels = getattr(digits, split)
        assert images.shape == (n, 3, 16, 16) and images.dtype == torch.uint8
        assert labels.shape == (n,) and labels.dtype == torch.int64
    assert (digits.channels, digits.image_size, digits.classes) == (3, (16, 16), 10)
    assert not digits.flip, "a mirrored digit is no digit"


def test_every_ten_consecutive_digits_hold_each_class_once_in_no_fixed_order(digits):
    for split in data.SPLITS:
        tens = getattr(digits, split)[1].view(-1, 10)
        assert (tens.sort(dim=1).values == torch.arange(10)).all()
        assert len(tens.unique(dim=0)) > 0.9 * len(tens)


def test_no_handwritten_digit_is_shared_between_splits_and_labels_are_right(ingredients):
    strokes, labels = handwriting._handwriting()
    truth = {s.tobytes(): int(y) for s, y in zip(strokes, labels)}
    built = data.digits.__wrapped__()
    used = [[s.tobytes() for s in strokes] for strokes, _ in ingredients]
    assert [len(set(u)) for u in used] == [2500, 1250, 1250]
    assert len(set().union(*used)) == 5000
    for split, mine in zip(data.SPLITS, used):
        assert [truth[s] for s in mine] == getattr(built, split)[1].tolist()


def test_no_digit_comes_back_before_all_others_were_used(ingredients):
    data.digits.__wrapped__()
    for strokes, _ in ingredients:
        n = len({s.tobytes() for s in strokes})
        for start in range(0, len(strokes) - n + 1, n):
            assert len({s.tobytes() for s in strokes[start : start + n]}) == n


def test_no_photograph_pixel_region_is_shared_between_splits(ingredients, monkeypatch):
    """Heights that three does not divide, every pixel its own number: overlaps cannot hide."""
    pixels = np.arange(97 * 40 + 62 * 30)
    first, second = pixels[: 97 * 40].reshape(97, 40), pixels[97 * 40 :].reshape(62, 30)
    photographs = [np.stack([p] * 3, axis=-1) for p in (first, second)]
    monkeypatch.setattr(handwriting, "_photographs", lambda: photographs)
    data.digits.__wrapped__()
    used = [np.unique(patches) for _, patches in ingredients]
    assert sum(map(len, used)) == len(pixels), "a pixel is in two splits, or in none"
    assert len(np.unique(np.concatenate(used))) == len(pixels)
    for mine in used:
        assert 0 < (mine < 97 * 40).sum() < len(mine), "a split without one of the photographs"
    for _, patches in ingredients:
        assert patches.shape[1:] == (16, 16, 3)
        assert (np.diff(patches, axis=2) == 1).all(), "a patch is not one piece of a photograph"


def test_where_there_is_no_ink_the_photograph_stays_as_it_is():
    patches = np.random.default_rng(0).integers(256, size=(50, 16, 16, 3), dtype=np.uint8)
    blank = np.zeros((50, 28, 28), dtype=np.float32)
    images = handwriting._compose(blank, patches, np.random.default_rng(1))
    assert (images.numpy() == patches.transpose(0, 3, 1, 2)).all()


def test_a_digit_stands_out_and_lies_inside_the_image():
    n = 500
    box = np.zeros((n, 28, 28), dtype=np.float32)
    box[:, 4:24, 4:24] = 1  # where MNIST keeps its strokes
    night = np.zeros((n, 16, 16, 3), dtype=np.uint8)
    images = handwriting._compose(box, night, np.random.default_rng(0)).float()
    colour = images.amax(dim=(2, 3))
    luma = colour / 255 @ torch.tensor([0.299, 0.587, 0.114])
    assert (luma > data.DIGIT_CONTRAST - 0.01).float().mean() > 0.99
    ink = (images / colour[:, :, None, None]).mean(dim=1)
    side = ink.sum(dim=(1, 2)).sqrt()  # pixels; ink beyond the border would be missing here
    assert side.min() > 11.8 and side.max() < 15.2 and side.std() > 0.5
    rows = (ink.sum(dim=2) * torch.arange(16)).sum(dim=1) / ink.sum(dim=(1, 2)) - 7.5
    assert (rows.abs() <= (16 - side) / 2 + 0.1).all() and rows.std() > 0.4


def test_digits_are_decided_by_the_seed_and_kept(digits):
    again, other = data.digits.__wrapped__(0), data.digits.__wrapped__(1)
    for split in data.SPLITS:
        assert torch.equal(getattr(digits, split)[0], getattr(again, split)[0])
        assert torch.equal(getattr(digits, split)[1], getattr(again, split)[1])
        assert not torch.equal(getattr(digits, split)[0], getattr(other, split)[0])
    assert data.digits() is digits


def test_digits_need_neither_a_network_nor_torchvision(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a network connection was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it now raises
    assert len(data.digits.__wrapped__().train[0]) == 8000
    data.available()


# ---------------------------------------------------------------- Dataset and from_tensors


def test_a_subset_of_ordered_data_is_the_first_samples_with_the_same_mean_and_std(digits):
    part = digits.subset(train=5, test=1, seed=3)
    assert torch.equal(part.train[0], digits.train[0][:5])
    assert torch.equal(part.train[1], digits.train[1][:5])
    assert [len(getattr(part, s)[1]) for s in data.SPLITS] == [5, 4000, 1]
    assert (part.mean, part.std) == (digits.mean, digits.std)
    again = digits.resplit(0.75, seed=3)
    assert torch.equal(again.train[1], torch.cat([digits.train[1], digits.valid[1][:1000]]))
    assert torch.equal(again.valid[1], digits.valid[1][1000:])


def test_a_subset_of_your_own_data_is_drawn_by_the_seed_with_images_and_labels_together():
    full = own(n=40)
    part, again, other = (full.subset(train=20, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(part.train[0], again.train[0]) and not torch.equal(part.train[0], other.train[0])
    places = [(full.train[0] == image).flatten(1).all(1).nonzero().item() for image in part.train[0]]
    assert torch.equal(full.train[1][places], part.train[1])
    assert places == sorted(places) and places != list(range(20))
    assert torch.equal(full.subset(train=40, valid=None, seed=1).train[0], full.train[0]), "all of them, in their order"
    assert (part.mean, part.std) == (full.mean, full.std)


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8), share=st.floats(0, 1), seed=st.integers(0, 2**31 - 1)
)
def test_of_every_class_its_share_is_drawn(counts, share, seed):
    """Webster's rounding: within one sample of the exact share, but for what gives every class its one."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    n = max(1, round(share * len(labels)))
    chosen = splits.drawn(labels, n, seed)
    taken = np.bincount(labels[chosen], minlength=len(counts))
    assert taken.sum() == n
    if n < len(counts):
        assert taken.max() == 1
        return
    assert taken.min() >= 1
    # no class could give a sample to another and both be nearer to their shares (the optimality of Webster's method)
    worth = [(taken[i] - 0.5) / counts[i] for i in range(len(counts)) if taken[i] > 1]
    wanted = [(taken[i] + 0.5) / counts[i] for i in range(len(counts)) if taken[i] < counts[i]]
    assert not worth or not wanted or max(worth) <= min(wanted) + 1e-12


def test_a_new_split_of_your_own_data_shares_nothing_and_loses_nothing():
    labels = torch.arange(60) // 20  # sorted by class
    images = torch.arange(60, dtype=torch.float32).view(60, 1, 1, 1).expand(60, 1, 6, 6)
    mine = data.from_tensors((images[::2], labels[::2]), (images[1::2], labels[1::2]), (images, labels))
    again = mine.resplit(0.9, seed=1)
    numbers = [split[0][:, 0, 0, 0].int().tolist() for split in (again.train, again.valid)]
    assert sorted(numbers[0] + numbers[1]) == list(range(60)) and len(numbers[0]) == 54
    assert again.valid[1].bincount().tolist() == [2, 2, 2]
    assert torch.equal(again.train[0][:, 0, 0, 0].int() // 20, again.train[1]), "labels go with their images"
    assert numbers[0] != mine.resplit(0.9, seed=2).train[0][:, 0, 0, 0].int().tolist()


@pytest.mark.parametrize("n", [0, -3, 13])
def test_a_subset_that_cannot_be_is_refused(n):
    with pytest.raises(ValueError, match=rf"valid: {n} samples asked for; allowed: 1\.\.12"):
        own().subset(valid=n)


def test_moving_a_data_set_moves_all_of_it():
    full = own()
    assert full.moments[0].device.type == "cpu"  # kept from here on, but not to travel along
    moved = full.to("meta")
    tensors = [t for s in data.SPLITS for t in getattr(moved, s)]
    assert {t.device.type for t in (*tensors, *moved.moments)} == {"meta"}
    assert full.train[0].device.type == "cpu"


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_mean_and_std_are_those_of_the_training_pixels(kind):
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(20, 2, 5, 6), dtype=np.uint8)
    images[:, 1] //= 3
    scaled = images / 255
    if kind == "float":
        images = scaled = images * 0.1 - 7.0
    labels = np.arange(20) % 2
    built = data.from_tensors((images, labels), (images[:5], labels[:5]), (images[5:], labels[5:]))
    assert np.allclose(built.mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-5)
    assert np.allclose(built.std, scaled.std(axis=(0, 2, 3)), rtol=1e-5)
    normalised = data.normalise(built.train[0], built)
    assert normalised.dtype == torch.float32
    assert torch.allclose(normalised.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(normalised.std(dim=(0, 2, 3), correction=0), torch.ones(2), atol=1e-5)


def test_a_constant_channel_becomes_zeros_not_noise():
    images = torch.full((10, 1, 4, 4), 0.1)
    pair = images, torch.arange(10) % 2
    built = data.from_tensors(pair, pair, pair)
    assert built.std == (1.0,)
    assert data.normalise(images, built).abs().max() < 1e-6


def test_given_moments_and_classes_are_kept():
    built = own(classes=7, mean=np.array([0.0, 0.5, 1.0]), std=(1, 2, 3), crop_padding=2, flip=True)
    assert (built.classes, built.mean, built.std) == (7, (0.0, 0.5, 1.0), (1.0, 2.0, 3.0))
    assert (built.crop_padding, built.flip) == (2, True)
    assert own().classes == 4


IMAGES, LABELS = torch.zeros(6, 3, 8, 8, dtype=torch.uint8), torch.arange(6) % 3
GOOD = (IMAGES, LABELS)
NAN = torch.full((6, 3, 8, 8), float("nan"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": IMAGES}, "train: must be a pair .images, labels., found Tensor"),
        ({"valid": (IMAGES[0], LABELS)}, r"valid: images must be \(n, channels, height, width\)"),
        ({"test": (IMAGES[:0], LABELS[:0])}, r"test: images must be .* found \(0, 3, 8, 8\)"),
        ({"test": (IMAGES, LABELS[:5])}, r"test: labels must be \(6,\), found \(5,\)"),
        ({"test": (IMAGES, LABELS[:, None])}, r"test: labels must be \(6,\), found \(6, 1\)"),
        (
            {"train": (IMAGES, LABELS.float())},
            "train: labels must be integers, found torch.float32",
        ),
        (
            {"train": (IMAGES.long(), LABELS)},
            "train: images must be uint8 or float, found torch.in",
        ),
        ({"train": (NAN, LABELS)}, "train: images must be finite, found NaN or infinity"),
        ({"valid": (IMAGES[:, :1], LABELS)}, r"valid: each image is \(1, 8, 8\) .* \(3, 8, 8\)"),
        ({"test": (IMAGES[..., :7], LABELS)}, r"test: each image is \(3, 8, 7\) .* \(3, 8, 8\)"),
        (
            {"valid": (IMAGES.float(), LABELS)},
            "valid: each image is .* torch.float32, but in train",
        ),
        (
            {"train": (IMAGES, LABELS + 8), "classes": 10},
            r"train: labels must lie in 0\.\.9, found 10",
        ),
        ({"test": (IMAGES, LABELS - 1)}, r"test: labels must lie in 0\.\.2, found -1"),
        ({"classes": 1}, "classes: 1 is too few; at least 2"),
        ({"mean": (0.5,)}, r"mean: must be 3 finite numbers, found \(0.5,\)"),
        ({"std": (1.0, float("nan"), 1.0)}, "std: must be 3 finite numbers"),
        ({"std": (1, 0, 1)}, "std: must be above 0 in every channel, found 0.0"),
        ({"crop_padding": 8}, r"crop_padding: 8 is not in 0\.\.7"),
    ],
)
def test_bad_tensors_are_refused_in_one_sentence(change, message):
    with pytest.raises(ValueError, match=message) as error:
        data.from_tensors(**{"train": GOOD, "valid": GOOD, "test": GOOD, **change})
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- by name, and from files


def test_names_are_matched_without_regard_to_case(digits):
    assert data.load("Digits") is digits


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'mnist' is not known; known: digits, cifar10, cifar100, "):
        data.load("mnist")


def test_your_own_data_are_taken_as_data_set_mapping_or_object():
    mine = own()
    assert data.load(mine) is mine
    parts = {s: getattr(mine, s) for s in data.SPLITS}
    assert torch.equal(data.load(SimpleNamespace(**parts)).test[0], mine.test[0])
    assert data.load({**parts, "name": "mine", "flip": True}).flip
    for nothing in (3, {"images": GOOD}, None):
        with pytest.raises(TypeError, match=f"data: {type(nothing).__name__} is no name"):
            data.load(nothing)


CIFAR = {  # folder, key of the labels, training files, test file, file of the class names
    "cifar10": ("cifar-10-batches-py", "labels", [f"data_batch_{i}" for i in range(1, 6)],
                "test_batch", "batches.meta"),
    "cifar100": ("cifar-100-python", "fine_labels", ["train"], "test", "meta"),
}  # fmt: skip


def write_cifar(folder, name):
    """Files as in the Python version of CIFAR, but of 4 images each; also gives what is in them:
    [[file, md5], ...], pixels and labels, test set last."""
    base, key, training, test, meta = CIFAR[name]
    rng = np.random.default_rng(0)
    contents, pixels, labels = {}, [], []
    for file in (*training, test):
        pixels.append(rng.integers(256, size=(4, 3072), dtype=np.uint8))
        labels.append(rng.integers(10 if name == "cifar10" else 100, size=4).tolist())
        contents[file] = {"data": pixels[-1], key: labels[-1], "coarse_labels": [0] * 4}
    contents[meta] = {"label_names": ["a"], "fine_label_names": ["a"]}
    (folder / base).mkdir(parents=True)
    files = []
    for file, content in contents.items():
        (folder / base / file).write_bytes(pickle.dumps(content))
        files.append([file, md5(folder / base / file)])
    return files, np.concatenate(pixels).reshape(-1, 3, 32, 32), np.concatenate(labels)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def believe(monkeypatch, name, files):
    """Make torchvision expect the checksums of these files."""
    import torchvision.datasets

    read = getattr(torchvision.datasets, name.upper())
    monkeypatch.setattr(read, "train_list", files[:-2])
    monkeypatch.setattr(read, "test_list", files[-2:-1])
    monkeypatch.setattr(read, "meta", {**read.meta, "filename": files[-1][0], "md5": files[-1][1]})
    return read


PAPERS = {  # Zela et al. 2020, utils.py
    "cifar10": ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768), 10),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), 100),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), 10),
}


def check_protocol(read, pixels, labels, half, end):
    """The first half of the training set trains, the rest validates, in the order of the files."""
    bounds = zip(data.SPLITS, (slice(half), slice(half, end), slice(end, None)))
    for split, part in bounds:
        assert torch.equal(getattr(read, split)[0], torch.from_numpy(pixels[part]))
        assert getattr(read, split)[1].tolist() == labels[part].tolist()
    assert (read.mean, read.std, read.classes) == PAPERS[read.name]
    assert (read.crop_padding, read.flip) == (4, True)


@pytest.mark.parametrize(("name", "half", "end"), [("cifar10", 10, 20), ("cifar100", 2, 4)])
def test_cifar_is_read_in_the_order_of_its_files(name, half, end, tmp_path, monkeypatch):
    files, pixels, labels = write_cifar(tmp_path, name)
    believe(monkeypatch, name, files)
    monkeypatch.setenv("DARTS_LAB_DATA", str(tmp_path))
    check_protocol(data.load(name.upper()), pixels, labels, half, end)
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "nothing")
    others = "ptb", "flyingthings3d", "fashion_mnist", "fashion_mnist32"
    assert data.available() == {n: n == name for n in (*PAPERS, *others)}


def test_svhn_is_read_without_extra_and_its_ten_is_zero(tmp_path, monkeypatch):
    import torchvision.datasets
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(11, 3, 32, 32), dtype=np.uint8)
    labels = np.array([10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    for split, part in (("train", slice(7)), ("test", slice(7, None))):
        file = tmp_path / f"{split}_32x32.mat"
        savemat(file, {"X": pixels[part].transpose(2, 3, 1, 0), "y": labels[part, None]})
        entry = ["no address", file.name, md5(file)]
        monkeypatch.setitem(torchvision.datasets.SVHN.split_list, split, entry)
    check_protocol(data.load("svhn", folder=tmp_path), pixels, labels % 10, 3, 7)
    assert data.available(tmp_path)["svhn"]


def test_a_missing_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # the answer comes without importing it
    monkeypatch.delenv("DARTS_LAB_DATA", raising=False)
    monkeypatch.setattr("darts_lab.data.splits.user_cache_path", lambda name: tmp_path / name)
    with pytest.raises(FileNotFoundError) as error:
        data.load("cifar10")
    assert str(error.value) == (
        f"data: 'cifar10' was not found in {tmp_path / 'darts_lab'}; "
        'dl.data.load("cifar10", download=True) downloads it'
    )
    with pytest.raises(FileNotFoundError, match=f"svhn.*folder='{tmp_path}', download=True"):
        data.load("svhn", folder=tmp_path)


def test_damaged_files_are_refused_by_their_checksums(tmp_path):
    write_cifar(tmp_path, "cifar10")  # its checksums are not the real ones
    with pytest.raises(RuntimeError, match=r"'cifar10' in .* fail torchvision's checksums; dl\.d"):
        data.load("cifar10", folder=tmp_path)


def test_nothing_is_downloaded_unless_asked_for(tmp_path, monkeypatch):
    asked = []

    def download(self):
        if not asked:
            files, *_ = write_cifar(tmp_path, "cifar10")
            believe(monkeypatch, "cifar10", files)
        asked.append(self.root)

    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", download)
    with pytest.raises(FileNotFoundError):
        data.load("cifar10", folder=tmp_path)
    assert not asked
    assert len(data.load("cifar10", folder=tmp_path, download=True).train[1]) == 10
    assert set(map(str, asked)) == {str(tmp_path)}


# ---------------------------------------------------------------- augmentation


def shifts(original, cropped, padding):
    """For each image the (down, right) offsets of the one padded window it equals."""
    height, width = original.shape[-2:]
    padded = torch.nn.functional.pad(original, [padding] * 4)
    found = torch.full((len(original), 2), -1)
    for i in range(2 * padding + 1):
        for j in range(2 * padding + 1):
            window = padded[:, :, i : i + height, j : j + width]
            found[(window == cropped).flatten(1).all(dim=1)] = torch.tensor([i, j])
    return found


def test_crop_keeps_every_pixel_value_that_stays_inside():
    images = numbered()
    found = shifts(images, data.crop(images, 2, generator()), 2)
    assert (found >= 0).all(), "an image that is no window of its padded original"


def test_crop_moves_each_image_by_itself_and_to_all_places_alike():
    images = numbered(b=5000, channels=1, height=4, width=4)
    found = shifts(images, data.crop(images, 2, generator()), 2)
    counts = torch.bincount(5 * found[:, 0] + found[:, 1], minlength=25)
    assert counts.min() > 140 and counts.max() < 260  # 200 expected, standard deviation 14


def test_flip_mirrors_half_of_the_images_and_leaves_the_others():
    images = numbered()
    flipped = data.flip(images, generator())
    same = (flipped == images).flatten(1).all(dim=1)
    mirrored = (flipped == images.flip(-1)).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 160 < mirrored.sum() < 240  # 200 expected, standard deviation 10


@pytest.mark.parametrize("length", [1, 3, 4, 16, 40])
def test_cutout_area(length):
    """Centres are uniform, so along one axis the mean side is the mean over centres, clipped."""
    height, width = 10, 12
    cut = data.cutout(torch.ones(6000, 2, height, width), length, generator()) == 0
    assert torch.equal(cut[:, 0], cut[:, 1]), "channels are cut alike"
    rows, columns = cut[:, 0].any(dim=2), cut[:, 0].any(dim=1)
    assert torch.equal(cut[:, 0], rows[:, :, None] & columns[:, None, :]), "the hole is a rectangle"
    for side, size in ((rows, height), (columns, width)):
        steps = side.long().diff(dim=1, prepend=torch.zeros(6000, 1, dtype=torch.long))
        assert ((steps == 1).sum(dim=1) == 1).all(), "the hole is one piece"
        first = torch.arange(size) - length // 2
        expected = ((first + length).clamp(0, size) - first.clamp(0, size)).float()
        assert side.sum(dim=1).max() == expected.max()
        assert side.sum(dim=1).min() == expected.min()
        assert abs(side.sum(dim=1).float().mean() - expected.mean()) < 0.1


def test_cutout_touches_nothing_else_and_only_as_many_images_as_asked():
    images = numbered(b=1000).float()
    cut = data.cutout(images, 3, generator(), probability=0.3)
    assert torch.equal(images, numbered(b=1000).float()), "the input itself was cut"
    assert ((cut == images) | (cut == 0)).all()
    touched = (cut == 0).flatten(1).any(dim=1)
    assert 240 < touched.sum() < 360  # 300 expected, standard deviation 14
    assert torch.equal(data.cutout(images, 3, generator(), probability=0.0), images)
    assert torch.equal(data.cutout(images, 0, generator()), images)


def test_cutout_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="cutout_length: -1 is below 0"):
        data.cutout(IMAGES.float(), -1, generator())
    with pytest.raises(ValueError, match=r"cutout_probability: 1.5 is outside 0\.\.1"):
        data.training_batch(own(), "train", torch.arange(3), generator(), cutout_probability=1.5)


# ---------------------------------------------------------------- batches


def test_a_plain_batch_is_the_samples_scaled_minus_mean_over_std():
    mine = own(mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0), crop_padding=2, flip=True)
    indices = torch.tensor([7, 0, 7])
    images, labels = data.plain_batch(mine, "valid", indices)
    raw = mine.valid[0][indices].double() / 255
    scale = torch.tensor([0.5, 1.0, 2.0]).double().view(3, 1, 1)
    expected = (raw - torch.tensor([0.1, 0.2, 0.3]).double().view(3, 1, 1)) / scale
    assert images.dtype == torch.float32
    assert torch.allclose(images.double(), expected, atol=1e-6)
    assert torch.equal(labels, mine.valid[1][indices])


def test_a_training_batch_without_augmentation_is_the_plain_one():
    mine, indices = own(), torch.tensor([3, 1, 4])
    augmented, labels = data.training_batch(mine, "test", indices, generator())
    assert torch.equal(augmented, data.plain_batch(mine, "test", indices)[0])
    assert torch.equal(labels, mine.test[1][indices])


def test_crops_pad_with_black_and_cutout_fills_with_the_mean():
    mine = own(n=200, mean=(0.5,) * 3, std=(0.25,) * 3, crop_padding=2)  # its own bytes are >= 1
    cropped, _ = data.training_batch(mine, "train", torch.arange(200), generator())
    assert cropped.min() == -2.0, "black is (0 - 0.5) / 0.25"
    assert (cropped[:, :, 2:-2, 2:-2] > -2).all()
    cut, _ = data.training_batch(mine, "train", torch.arange(200), generator(), cutout_length=4)
    assert ((cut == 0) | (cut == cropped)).all()
    assert (cut == 0).flatten(1).any(dim=1).all()


def test_images_are_flipped_only_where_the_data_set_allows_it():
    for allowed in (True, False):
        mine = own(flip=allowed)
        plain, _ = data.plain_batch(mine, "train", torch.arange(12))
        images, _ = data.training_batch(mine, "train", torch.arange(12), generator())
        assert torch.equal(images, plain) is not allowed


def test_an_unknown_split_lists_the_known_ones():
    for batch in (data.plain_batch, lambda *a: data.training_batch(*a, generator())):
        with pytest.raises(ValueError, match="split: 'dev' is not known; known: train, valid, test"):
            batch(own(), "dev", torch.arange(2))


def everything_random(mine, rng):
    batches = data.shuffled_batches(12, 5, rng)
    images = [data.training_batch(mine, "train", b, rng, cutout_length=3, cutout_probability=0.5)[0]
              for b in batches]  # fmt: skip
    return torch.cat([torch.cat(images).flatten(), data.random_batch(12, 5, rng).float()])


def test_same_generator_state_gives_the_same_bits():
    mine = own(crop_padding=2, flip=True)
    rng = generator(3)
    state = rng.get_state()
    first, second = everything_random(mine, rng), everything_random(mine, rng)
    assert not torch.equal(first, second), "the generator did not move on"
    assert torch.equal(first, everything_random(mine, rng.set_state(state)))


def test_global_rng_is_untouched():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    everything_random(own(crop_padding=2, flip=True), generator())
    data.digits.__wrapped__()
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()


def test_augmentation_leaves_the_data_set_as_it_was():
    for mine in (own(crop_padding=2, flip=True), own()):
        before = mine.train[0].clone()
        everything_random(mine, generator())
        assert torch.equal(mine.train[0], before)


def test_an_epoch_shows_every_sample_once_and_keeps_the_short_last_batch():
    batches = data.shuffled_batches(50, 16, generator())
    assert [len(b) for b in batches] == [16, 16, 16, 2]
    order = torch.cat(batches)
    assert torch.equal(order.sort().values, torch.arange(50))
    assert not torch.equal(order, torch.arange(50))
    assert len(data.shuffled_batches(50, 50, generator())) == 1


def test_a_random_batch_has_no_sample_twice_and_favours_none():
    rng = generator()
    drawn = torch.stack([data.random_batch(10, 4, rng) for _ in range(1000)])
    assert drawn.shape == (1000, 4)
    assert (drawn.sort(dim=1).values.diff(dim=1) > 0).all()
    counts = torch.bincount(drawn.flatten(), minlength=10)
    assert counts.min() > 330 and counts.max() < 470  # 400 expected, standard deviation 15


@pytest.mark.parametrize("draw", [data.shuffled_batches, data.random_batch])
def test_impossible_batch_sizes_are_refused(draw):
    with pytest.raises(ValueError, match="batch_size: 64 is larger than the 50 samples of the spl"):
        draw(50, 64, generator())
    with pytest.raises(ValueError, match=r"batch_size: 0 is too small; allowed: 1\.\.50"):
        draw(50, 0, generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_are_made_where_the_data_live():
    mine = own(crop_padding=2, flip=True).to("cuda")
    rng = torch.Generator("cuda").manual_seed(0)
    indices = data.shuffled_batches(12, 5, rng)[0]
    images, labels = data.training_batch(mine, "train", indices, rng, cutout_length=3)
    assert indices.is_cuda and images.is_cuda and labels.is_cuda


def test_arguments_of_data_of_your_own_are_checked_and_one_number_is_for_every_channel():
    assert data.load({"train": GOOD}).test[1].numel()
    grey = data.from_tensors(GOOD, mean=0.5, std=0.25)
    assert grey.mean == (0.5,) * 3 and grey.std == (0.25,) * 3
    for name, wrong in (("classes", "3"), ("classes", 3.5), ("crop_padding", 1.5), ("flip", "no")):
        with pytest.raises(ValueError, match=f"{name}: {wrong!r} is not allowed"):
            data.from_tensors(GOOD, **{name: wrong})
    for wrong in (5.0, "5"):
        with pytest.raises(ValueError, match="train: .* samples asked for; allowed"):
            own().subset(train=wrong)
