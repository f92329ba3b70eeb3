"""Data as people have them: arrays in every layout, labels in words, data sets of PyTorch, folders of pictures."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from darts_lab import data
from darts_lab.data import bathymetry, stereo

LABELS = np.arange(30) % 3
WORDS = np.array(["dog", "cat", "emu"])[LABELS]


def pixels(*shape, n=30):
    return np.random.default_rng(0).integers(256, size=(n, *shape), dtype=np.uint8)


def made(images, labels=LABELS, **options):
    return data.from_arrays((images, labels), (images, labels), (images, labels), **options)


# ---------------------------------------------------------------- where the channels are


@pytest.mark.parametrize(
    "shape", [(16, 16, 4), (32, 32, 3), (28, 28, 1), (20, 30, 3), (64, 64, 13), (40, 30, 12), (5, 5, 4), (6, 6, 1)]
)
def test_channels_that_come_last_are_recognised_and_said_once(shape):
    images = pixels(*shape)
    with pytest.warns(UserWarning, match=re.escape(f"images: (30, {', '.join(map(str, shape))}) is taken as")) as said:
        read = made(images)
    assert len(said) == 1 and said[0].filename == __file__
    assert (read.channels, read.image_size) == (shape[2], shape[:2])
    assert torch.equal(read.test[0], torch.from_numpy(images.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize(
    "shape", [(3, 32, 32), (1, 28, 28), (4, 16, 16), (13, 64, 64), (2, 6, 7), (16, 8, 8), (3, 4, 4), (1, 1, 100)]
)
def test_channels_that_come_first_are_left_there_in_silence(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(made(pixels(*shape)).train[0], torch.from_numpy(pixels(*shape)))


@pytest.mark.parametrize("shape", [(3, 3, 3), (4, 4, 4), (16, 16, 16), (20, 10, 15)])
def test_a_shape_that_does_not_tell_asks_for_a_word(shape):
    images = pixels(*shape)
    with pytest.raises(
        ValueError, match=r"train: images .* do not tell where the channels are; say channels='first' or"
    ):
        made(images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(made(images, channels="first").train[0], torch.from_numpy(images))
        assert torch.equal(made(images, channels="last").train[0], torch.from_numpy(images.transpose(0, 3, 1, 2)))
    with pytest.raises(ValueError, match="channels: 'NHWC' is not allowed; it must be 'first' or 'last'"):
        made(images, channels="NHWC")


def test_grey_images_without_a_channel_get_one_and_it_is_said():
    with pytest.warns(UserWarning, match=r"images: \(30, 8, 9\) is taken as \(n, height, width\), grey images"):
        read = made(pixels(8, 9))
    assert torch.equal(read.train[0][:, 0], torch.from_numpy(pixels(8, 9)))


def test_patches_and_pairs_with_the_channels_last_too():
    depths, disparities = np.linspace(1, 9, 30), np.ones((30, 12, 20), np.float32)
    with pytest.warns(UserWarning, match=r"\(30, 16, 16, 4\) is taken as"):
        assert bathymetry.from_arrays("sea", *[(pixels(16, 16, 4), depths)] * 3).train[0].shape == (30, 4, 16, 16)
    with pytest.warns(UserWarning, match=r"\(30, 12, 20, 6\) is taken as"):
        pairs = stereo.from_arrays("road", *[(pixels(12, 20, 6), disparities)] * 3)
    assert torch.equal(pairs.train[0], torch.from_numpy(pixels(12, 20, 6).transpose(0, 3, 1, 2)))


# ---------------------------------------------------------------- arrays and lists


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f8", "f2"])
def test_bytes_in_any_order_give_the_same_numbers(kind):
    images = (pixels(3, 8, 8) / 256).astype(kind)  # a binary fraction, exact in all of them
    read = made(images, LABELS.astype(">i4"))
    assert read.train[0].dtype == torch.float32
    assert torch.equal(read.train[0], torch.from_numpy((pixels(3, 8, 8) / 256).astype("f4")))
    assert read.train[1].tolist() == LABELS.tolist()


def test_arrays_that_cannot_be_written_or_run_backwards_are_copied():
    images = pixels(3, 8, 8)[::-1]
    images.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = made(images)
    assert torch.equal(read.train[0], torch.from_numpy(images.copy()))
    read.train[0].zero_()
    assert images.any(), "the array itself was written to"


@pytest.mark.parametrize(
    ("mode", "channels"), [("RGB", 3), ("L", 1), ("1", 1), ("P", 3), ("RGBA", 4), ("LA", 1), ("CMYK", 3)]
)
def test_lists_of_pil_images_are_what_they_look_like(mode, channels):
    images = [Image.fromarray(image).convert(mode) for image in pixels(9, 8, 3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = made(images, LABELS.tolist())
    assert read.train[0].shape == (30, channels, 9, 8) and read.train[0].dtype == torch.uint8
    looks = [
        np.asarray(image.convert({3: "RGB", 1: "L", 4: "RGBA"}[channels])).reshape(9, 8, channels) for image in images
    ]
    assert torch.equal(read.train[0], torch.from_numpy(np.stack(looks).transpose(0, 3, 1, 2)))


@pytest.mark.parametrize(
    "form", [list, tuple, lambda images: [torch.from_numpy(image) for image in images], np.ndarray.tolist]
)
def test_lists_of_arrays_and_of_tensors_are_stacked(form):
    images = pixels(3, 6, 6) / 256
    assert torch.equal(made(form(images)).train[0], torch.from_numpy(images).float())


RAGGED = [np.zeros((3, 8, 8)), np.zeros((3, 9, 8))] * 15


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (RAGGED, r"train: images must all be of one size, found \(3, 8, 8\) and \(3, 9, 8\)"),
        ([Image.new("RGB", (8, 8)), Image.new("L", (8, 8))] * 15, r"found \(3, 8, 8\) and \(1, 8, 8\)"),
        (pixels(3, 8, 8).astype("u2"), "must be uint8 or float, found torch.uint16; take images / 65535"),
        (pixels(3, 8, 8).astype("i8"), r"found torch.int64; take images.astype\('uint8'\) if they are 0 to 255"),
        (pixels(3, 8, 8) * 1j, "must be uint8 or float, found torch.complex"),
        ([[[[1, 2], [3]]]] * 30, "train: images must be an array, found list"),
        (["a.png"] * 30, "train: images must be numbers, found <U5"),
        (None, "train: images must be"),
        (3, r"train: images must be \(n, channels, height, width\), none of them 0, found \(\)"),
    ],
)
def test_images_that_are_none_are_refused_in_one_sentence(images, message):
    with pytest.raises(ValueError, match=message) as error:
        made(images)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    "labels",
    [
        WORDS, WORDS.tolist(), WORDS.astype("S"), WORDS.astype(object), pd.Series(WORDS, index=range(30, 60)),
        pd.Categorical(WORDS), pd.Series(WORDS).astype("category"), list(map(np.str_, WORDS)),
    ],
)  # fmt: skip
def test_words_are_numbered_in_the_order_of_their_names(labels):
    read = made(pixels(3, 8, 8), labels)
    assert read.class_names == ("cat", "dog", "emu") and read.classes == 3
    assert [read.class_names[number] for number in read.test[1]] == WORDS.tolist()


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.tolist(), LABELS.astype(">u2"), [np.int8(label) for label in LABELS], [torch.tensor(label) for label in LABELS],
        pd.Series(LABELS), pd.Series(LABELS, dtype="Int64"), pd.Categorical(LABELS), torch.from_numpy(LABELS).to(torch.uint8),
    ],
)  # fmt: skip
def test_whole_numbers_of_every_kind_stay_what_they_are(labels):
    read = made(pixels(3, 8, 8), labels)
    assert read.train[1].dtype == torch.int64 and read.train[1].tolist() == LABELS.tolist()
    assert read.class_names is None and read.classes == 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3)[LABELS], r"train: labels must be \(n,\), found \(30, 3\); labels.argmax\(1\) makes them so if"),
        (np.eye(3)[LABELS].tolist(), r"labels must be \(n,\), found \(30, 3\)"),
        (LABELS * 1.0, r"labels must be integers, found torch.float64; labels.astype\(int\) makes them so"),
        (torch.from_numpy(LABELS).float(), r"found torch.float32; labels.long\(\) makes them so"),
        (LABELS > 0, "labels must be integers, found torch.bool"),
        ([*WORDS[:-1], float("nan")], "labels must all be words, found nan"),
        (pd.Series([*WORDS[:-1], None]), "labels must all be words, found"),
        (
            LABELS + 1_000_000,
            "labels: 1000002 is more than there are samples; number the classes from 0 on, or say classes=",
        ),
        (None, "train: labels must be"),
        (["cat"] * 30, "classes: 1 is too few"),
    ],
)
def test_labels_that_are_none_are_refused_in_one_sentence(labels, message):
    with pytest.raises(ValueError, match=message) as error:
        made(pixels(3, 8, 8), labels)
    assert "\n" not in str(error.value)


def test_words_must_be_those_of_train():
    images = pixels(3, 8, 8)
    with pytest.raises(ValueError, match="test: class 'Dog' is not in train, which has cat, dog, emu"):
        data.from_arrays((images, WORDS), (images, WORDS), (images, np.where(WORDS == "dog", "Dog", WORDS)))
    with pytest.raises(ValueError, match="valid: labels must be words as in train, found numbers"):
        data.from_arrays((images, WORDS), (images, LABELS), (images, WORDS))


def test_sizes_may_be_numbers_of_numpy_and_tell_the_same_data():
    from darts_lab.tasks import Classification

    plain, other = (
        made(pixels(3, 8, 8), classes=4, crop_padding=2),
        made(pixels(3, 8, 8), classes=np.int64(4), crop_padding=np.int8(2), flip=np.bool_(False)),
    )
    assert Classification(plain).fingerprint() == Classification(other).fingerprint()


# ---------------------------------------------------------------- splits that are not given


def numbers(dataset):
    """Which samples are in each split, by the value of their pixels."""
    return {split: getattr(dataset, split)[0][:, 0, 0, 0].int().tolist() for split in data.SPLITS}


SORTED = np.broadcast_to(np.arange(100.0).reshape(100, 1, 1, 1), (100, 1, 6, 6)), np.repeat([0, 1], [80, 20])


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"train": SORTED}, {"train": [32, 8], "valid": [32, 8], "test": [16, 4]}),
        ({"train": SORTED, "test": SORTED}, {"train": [40, 10], "valid": [40, 10], "test": [80, 20]}),
        ({"train": SORTED, "valid": SORTED}, {"train": [80, 20], "valid": [40, 10], "test": [40, 10]}),
    ],
)
def test_splits_that_are_not_given_are_drawn_with_the_share_of_every_class(given, sizes):
    read = data.from_arrays(**given, seed=1)
    assert {split: getattr(read, split)[1].bincount().tolist() for split in data.SPLITS} == sizes
    parts = numbers(read)
    for split, part in parts.items():
        assert [0 if number < 80 else 1 for number in part] == getattr(read, split)[1].tolist()
    made_of_train = (
        [split for split in data.SPLITS if split not in given or split == "train"]
        if "valid" not in given
        else ["valid", "test"]
    )
    assert sorted(sum((parts[split] for split in made_of_train), [])) == list(range(100))
    assert numbers(data.from_arrays(**given, seed=1)) == parts != numbers(data.from_arrays(**given, seed=2))


def test_a_rare_class_is_in_train_first():
    labels = np.array([0] * 20 + [1])
    read = data.from_arrays((pixels(1, 6, 6, n=21), labels))
    assert 1 in read.train[1] and 1 not in read.test[1]


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_samples_for_splits_are_refused(n):
    with pytest.raises(ValueError, match="has 1 samples, too few to make another split of them"):
        data.from_arrays((pixels(1, 6, 6, n=n), np.arange(n)), classes=2)


# ---------------------------------------------------------------- data sets of PyTorch


class Photographs(torch.utils.data.Dataset):
    """As torchvision's: pictures of PIL, and names of the classes."""

    classes = ["wolf", "ape", "bee"]

    def __init__(self, transform=lambda image: image, n=30):
        self.images, self.transform = [Image.fromarray(image) for image in pixels(8, 9, 3, n=n)], transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), index % 3


def test_a_data_set_of_pictures_keeps_the_numbers_and_names_of_its_classes():
    read = data.from_dataset(Photographs(), Photographs(), Photographs(), name="animals", flip=True)
    assert (read.name, read.flip, read.classes, read.class_names) == ("animals", True, 3, ("wolf", "ape", "bee"))
    assert torch.equal(read.valid[0], torch.from_numpy(pixels(8, 9, 3).transpose(0, 3, 1, 2)))
    assert read.valid[1].tolist() == LABELS.tolist()


def test_a_data_set_of_tensors_is_cut_into_splits():
    mine = torch.utils.data.TensorDataset(torch.rand(50, 3, 8, 8), torch.arange(50) // 25)
    read = data.from_dataset(mine)
    assert [getattr(read, split)[1].bincount().tolist() for split in data.SPLITS] == [[10, 10], [10, 10], [5, 5]]
    part = torch.utils.data.Subset(mine, [0, 49, 1, 48])
    read = data.from_dataset(part, part, part)
    assert torch.equal(read.test[0], mine.tensors[0][[0, 49, 1, 48]])


def test_torchvisions_own_sets_and_transforms_are_taken():
    from torchvision import transforms
    from torchvision.datasets import FakeData

    read = data.from_dataset(FakeData(40, (3, 12, 12), num_classes=4, transform=transforms.ToTensor()))
    assert (
        read.channels == 3
        and read.train[0].dtype == torch.float32
        and 0 <= read.train[0].min() <= read.train[0].max() <= 1
    )
    flipped = data.from_dataset(Photographs(transforms.RandomHorizontalFlip(1.0)))
    plain = data.from_dataset(Photographs())
    assert torch.equal(flipped.train[0], plain.train[0].flip(-1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": iter([1])}, "train: list_iterator is no data set with a length and an index"),
        ({"train": Photographs(), "test": torch.utils.data.TensorDataset(torch.rand(5, 3, 8, 9))}, "test: samples must be pairs"),
        ({"train": Photographs(n=0)}, "train: holds no sample"),
        ({"train": Photographs(lambda image: image.resize((image.getpixel((0, 0))[0] + 1, 4)))}, "train: images must all be of one size"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_of_images_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        data.from_dataset(**given)


def test_a_data_set_in_the_wrong_place_is_told_the_right_one():
    with pytest.raises(ValueError, match="train: must be a pair .* found Photographs; dl.data.from_dataset reads"):
        data.from_tensors(Photographs())
    with pytest.raises(TypeError, match="Photographs is no name.*; see from_dataset"):
        data.load(Photographs())


# ---------------------------------------------------------------- folders


def write(folder, names="abcdef", size=(10, 8), mode="RGB", suffix=".png", colour=None):
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        value = 40 * number if colour is None else colour
        Image.new("RGB", size, (value, value // 2, 7)).convert(mode).save(folder / f"{name}{suffix}")


def test_a_folder_for_every_class_becomes_three_splits(tmp_path):
    for name, colour in (("zebra", 200), ("ant", 10)):
        write(tmp_path / "zoo" / name, "abcdefghij", colour=colour)
    (tmp_path / "zoo" / "ant" / "notes.txt").write_text("no picture")
    (tmp_path / "zoo" / "ant" / "._a.png").write_bytes(b"left by a Mac")
    (tmp_path / "zoo" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "zoo" / "README.md").write_text("no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = data.from_folder(tmp_path / "zoo", crop_padding=2)
    assert (read.name, read.class_names, read.channels, read.image_size) == ("zoo", ("ant", "zebra"), 3, (8, 10))
    assert [getattr(read, split)[1].bincount().tolist() for split in data.SPLITS] == [[4, 4], [4, 4], [2, 2]]
    for split in data.SPLITS:
        images, labels = getattr(read, split)
        assert images[:, 0, 0, 0].tolist() == [[10, 200][label] for label in labels]


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("train", "val", "test"), ("Train", "Validation", "Test")]
)
def test_folders_of_splits_are_the_splits(names, tmp_path):
    for split, size in zip(names, ("abcd", "ab", "a")):
        for name, colour in (("cat", 1), ("dog", 2)):
            write(tmp_path / split / name, size, colour=colour, suffix=".jpg" if split == "val" else ".png")
    read = data.from_folder(str(tmp_path))
    assert [getattr(read, split)[1].tolist() for split in data.SPLITS] == [[0] * 4 + [1] * 4, [0, 0, 1, 1], [0, 1]]


def test_a_folder_of_train_and_test_halves_train(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write(tmp_path / split / name)
    assert [len(getattr(data.from_folder(tmp_path), split)[1]) for split in data.SPLITS] == [6, 6, 12]


def test_train_can_be_a_class_beside_car(tmp_path):
    for name in ("train", "car", "bus"):
        write(tmp_path / name)
    assert data.from_folder(tmp_path).class_names == ("bus", "car", "train")


def test_pictures_of_different_sizes_need_a_size(tmp_path):
    write(tmp_path / "cat", size=(10, 8)), write(tmp_path / "dog", size=(12, 20))
    with pytest.raises(
        ValueError, match=r"dog/a.png': is 20 x 12 pixels, '.*cat/a.png' is 8 x 10; size=\(height, width\)"
    ):
        data.from_folder(tmp_path)
    assert data.from_folder(tmp_path, size=16).image_size == (16, 16)
    assert data.from_folder(tmp_path, size=(np.int64(8), 12)).image_size == (8, 12)
    for size in (0, (8, 8, 3), "small", 2.5):
        with pytest.raises(ValueError, match="size: "):
            data.from_folder(tmp_path, size=size)


def test_grey_pictures_stay_grey_and_a_mode_is_obeyed(tmp_path):
    write(tmp_path / "grey" / "a", mode="L"), write(tmp_path / "grey" / "b", mode="1")
    write(tmp_path / "mixed" / "a", mode="L"), write(tmp_path / "mixed" / "b", mode="P")
    assert data.from_folder(tmp_path / "grey").channels == 1
    assert data.from_folder(tmp_path / "mixed").channels == 3
    assert data.from_folder(tmp_path / "grey", mode="RGB").channels == 3
    assert data.from_folder(tmp_path / "mixed", mode="L").channels == 1
    with pytest.raises(ValueError, match="mode: 'BGR' is not allowed; it must be 'L' or 'RGB', or None"):
        data.from_folder(tmp_path / "grey", mode="BGR")


def spoil(folder, file="b/a.png", content=b"no picture"):
    (folder / file).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda folder: spoil(folder), ValueError, "b/a.png': cannot identify"),
        (lambda folder: Image.new("I;16", (10, 8)).save(folder / "b/a.png"), ValueError, "b/a.png': has pixels of type 'I;16'"),
        (lambda folder: (folder / "c").mkdir(), ValueError, "c' holds no pictures"),
        (lambda folder: folder.rename(folder.parent / "elsewhere"), FileNotFoundError, "folder: .* is not there"),
        (lambda folder: [*map(lambda one: one.rename(folder.parent / one.name), [folder / "a", folder / "b"])], ValueError,
         "holds no folders of pictures, one for every class"),
        (lambda folder: (folder / "b").rename(folder.parent / "b"), ValueError, "classes: 1 is too few"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_read_names_what_is_wrong(change, error, message, tmp_path):
    for name in "ab":
        write(tmp_path / "mine" / name)
    change(tmp_path / "mine")
    with pytest.raises(error, match=message) as raised:
        data.from_folder(tmp_path / "mine")
    assert "\n" not in str(raised.value)


def test_a_class_that_train_has_not_is_refused(tmp_path):
    for folder in ("train/cat", "train/dog", "test/cat", "test/cow"):
        write(tmp_path / folder)
    with pytest.raises(ValueError, match="test: class 'cow' is not in train, which has cat, dog"):
        data.from_folder(tmp_path)
