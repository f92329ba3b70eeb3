"""Fashion-MNIST from its four files."""

import gzip
import struct

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import darts_lab as dl
from darts_lab import data
from darts_lab.data import fashion


def idx(array) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with 40 images to train on and 20 to test on, and the images and labels by part."""
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "nothing")
    monkeypatch.setenv("DARTS_LAB_DATA", str(tmp_path))
    rng, truth = np.random.default_rng(0), {}
    path = tmp_path / "fashion-mnist"
    path.mkdir()
    for part, number in (("train", 40), ("t10k", 20)):
        truth[part] = rng.integers(0, 256, (number, 28, 28), np.uint8), np.arange(number, dtype=np.uint8) % 10
        for array, kind in zip(truth[part], ("images-idx3", "labels-idx1"), strict=True):
            (path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    return path, truth


@pytest.mark.parametrize("name, pixels", [("fashion_mnist", 16), ("Fashion_MNIST32", 32)])
def test_halves_of_the_training_set_and_the_test_set_in_their_order(name, pixels, folder):
    read = data.load(name)
    for split, part, where in (
        ("train", "train", slice(20)),
        ("valid", "train", slice(20, 40)),
        ("test", "t10k", slice(20)),
    ):
        images, labels = (torch.from_numpy(array)[where] for array in folder[1][part])
        framed = F.pad(images[:, None].double(), (2, 2, 2, 2))
        expected = framed if pixels == 32 else framed.unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
        assert (getattr(read, split)[0] - expected).abs().max() <= 0.5 and getattr(read, split)[0].dtype == torch.uint8
        assert getattr(read, split)[1].tolist() == labels.tolist()
    assert read.classes == 10 and read.class_names[9] == "ankle boot" and read.ordered
    assert read.name == name.lower() and read.image_size == (pixels, pixels)
    assert data.available()["fashion_mnist"] and data.available()["fashion_mnist32"]


def test_a_search_runs_on_them_and_a_larger_scale_takes_larger_images(folder):
    search = dl.Search("S2", "fashion_mnist", scale="tiny", train_samples=20, valid_samples=20, batch_size=10, epochs=1)
    assert next(search).valid_error <= 1 and dl.runs.read(search.run.path).data == "fashion_mnist"
    assert dl.plan.of_job({"scale": "workstation", "data": "fashion_mnist"}).data == "fashion_mnist32"


def test_where_they_are_not_it_is_said_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "nothing")
    assert not data.available(tmp_path)["fashion_mnist"]
    with pytest.raises(FileNotFoundError, match="^data: 'fashion_mnist' was not found in .*train-images-idx3-ubyte.gz"):
        data.load("fashion_mnist", folder=tmp_path)


IMAGES, LABELS = np.zeros((20, 28, 28), np.uint8), np.zeros(20, np.uint8)
DAMAGED = {
    "no gzip": ("t10k-images-idx3", b"nothing of the kind", "is no IDX file"),
    "cut off": ("t10k-images-idx3", gzip.compress(idx(IMAGES))[:-9], "is no IDX file"),
    "too short": ("t10k-images-idx3", gzip.compress(idx(IMAGES)[:-1]), "its length is another"),
    "too long": ("t10k-labels-idx1", gzip.compress(idx(LABELS) + b"0"), "its length is another"),
    "other numbers": ("t10k-labels-idx1", gzip.compress(b"\0\0\x0d" + idx(LABELS)[3:]), "is no IDX file"),
    "other sizes": ("t10k-images-idx3", gzip.compress(idx(IMAGES[:, :27])), r"with shape \(n, 28, 28\)"),
    "far too many": ("t10k-labels-idx1", gzip.compress(b"\0\0\x08\x01" + b"\xff" * 4), "is no IDX file"),
    "empty": ("t10k-labels-idx1", gzip.compress(b""), "is no IDX file"),
    "fewer labels": ("t10k-labels-idx1", gzip.compress(idx(LABELS[:19])), "20 images, but 19 labels"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_refused(kind, folder):
    name, content, said = DAMAGED[kind]
    (folder[0] / f"{name}-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        data.load("fashion_mnist")


def test_the_real_ones_are_those_of_debian():
    if fashion.place() is None:
        pytest.skip("Fashion-MNIST is not on this machine (Debian's package dataset-fashion-mnist)")
    read = data.load("fashion_mnist")
    assert [len(getattr(read, split)[1]) for split in data.SPLITS] == [30_000, 30_000, 10_000]
    assert read.train[1][:4].tolist() == [9, 0, 0, 3] and torch.bincount(read.test[1]).tolist() == [1000] * 10
