"""Data that are not where batches are made: gathered ahead, from memory or a file, and the same batches all the same."""

import errno
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from samples import colours

import darts_lab as dl
from darts_lab.data import splits


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A folder of 24 pictures in three classes."""
    folder, rng = tmp_path_factory.mktemp("zoo"), np.random.default_rng(0)
    for number in range(24):
        of_class = folder / ("cat", "dog", "emu")[number % 3]
        of_class.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(of_class / f"{number}.png")
    return folder


def searched(data):
    search = dl.Search("S5", data=data, scale="tiny", batch_size=4, train_samples=None, valid_samples=None, path=False)
    return [next(search).train_loss for _ in range(2)] + [search.alpha.detach().clone()]


def test_pictures_from_a_file_give_the_batches_that_those_in_memory_give(zoo, tmp_path, monkeypatch):
    read, mapped = dl.data.from_folder(zoo), dl.data.from_folder(zoo, cache=tmp_path)
    assert mapped.mapped and not read.mapped and mapped.class_names == read.class_names == ("cat", "dog", "emu")
    for split in dl.data.SPLITS:
        for one, other in zip(getattr(read, split), getattr(mapped, split), strict=True):
            assert torch.equal(one, other)
    assert (read.mean, read.std) == (mapped.mean, mapped.std)
    *losses, alpha = searched(read)
    *again, alpha_again = searched(mapped)
    assert losses == again and torch.equal(alpha, alpha_again)
    monkeypatch.setattr("darts_lab.data.own.read_image", None)  # nothing is read again
    assert torch.equal(dl.data.from_folder(zoo, cache=tmp_path).train[0], read.train[0])


def test_a_file_is_made_anew_when_a_picture_changes_and_appears_whole(zoo, tmp_path, monkeypatch):
    dl.data.from_folder(zoo, cache=tmp_path)
    (stored,) = tmp_path.iterdir()
    Image.new("RGB", (8, 8), "red").save(zoo / "emu" / "2.png")
    dl.data.from_folder(zoo, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    Image.new("RGB", (9, 8)).save(zoo / "emu" / "99.png")
    with pytest.raises(ValueError, match=r"99.png': is 8 x 9 pixels"):
        dl.data.from_folder(zoo, cache=tmp_path)
    (zoo / "emu" / "99.png").unlink()
    assert len(list(tmp_path.iterdir())) == 2 and stored.exists()


def test_what_lies_side_by_side_in_the_file_is_not_copied_for_a_training(zoo, tmp_path):
    mapped = dl.data.from_folder(zoo, cache=tmp_path)
    pooled = splits.pooled(mapped)
    assert pooled.train[0].data_ptr() == mapped.train[0].data_ptr()
    assert torch.equal(pooled.train[0], torch.cat([mapped.train[0], mapped.valid[0]]))


def test_batches_are_gathered_ahead_in_their_order_and_others_as_they_are_asked_for():
    data = replace(colours(), batches_on=torch.device("cpu"))
    places = torch.randperm(16, generator=torch.Generator().manual_seed(0)).split(5)
    data.gather_ahead("train", places)
    coming = data.coming["train"]
    for number, place in enumerate(places):
        assert coming.next == number
        for other in (place.clone(), torch.tensor([3, 1])):  # not the next place, though equal
            assert torch.equal(dl.data.batches.samples(data, "train", other)[1], data.train[1][other])
        assert coming.next == number
        for one, whole in zip(dl.data.batches.samples(data, "train", place), data.train, strict=True):
            assert torch.equal(one, whole[place])
    assert coming.coming is None and coming.take(places[0]) is None


def test_a_search_on_data_that_are_elsewhere_has_the_same_bits():
    *losses, alpha = searched(colours())
    *again, alpha_again = searched(replace(colours(), batches_on=torch.device("cpu")))
    assert losses == again and torch.equal(alpha, alpha_again)


def test_moments_of_many_images_are_those_of_all_of_them_together(monkeypatch):
    images = (
        torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 + torch.arange(50)[:, None, None, None]
    )
    expected = splits.mean_and_std(images)
    monkeypatch.setattr(splits, "MANY", 1000)
    for one, other in zip(splits.mean_and_std(images), expected, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(zoo, tmp_path, monkeypatch):
    """Writing is refused after some pictures, as a full disk does; a map of a file would have ended the process."""
    store = tmp_path / "cache"
    store.mkdir()
    whole, opened = dl.data.from_folder(zoo, cache=tmp_path / "whole"), open

    class Full(io.BufferedWriter):
        def write(self, data):
            if self.tell() + len(data) > 2000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    def full(path, mode="r", *more, **options):
        return Full(io.FileIO(path, "w")) if mode == "wb" else opened(path, mode, *more, **options)

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(OSError, match=f"cache: the disk of '{store}' is full"):
        dl.data.from_folder(zoo, cache=store)
    monkeypatch.undo()
    assert not list(store.glob("*.npy*"))
    (name,) = (file.name for file in (tmp_path / "whole").glob("*.npy"))
    left = store / f"{name}.999999999.part"  # of a process that was killed
    left.touch()
    assert torch.equal(dl.data.from_folder(zoo, cache=store).train[0], whole.train[0])
    assert [file.name for file in store.iterdir()] == [name]
