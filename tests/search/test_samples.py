"""Which samples a search or a training takes of its data, where they are kept, and in which space it searches."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from samples import SMALL, colours, same

import darts_lab as dl
from darts_lab import cli, plan
from darts_lab.data import splits
from darts_lab.search.training import Training

CELL = dl.uniform_genotype(dl.spaces.get("S2").with_nodes(2), "skip_connect")


def by_class(n=2000, classes=10):
    """Images sorted by class, as a folder gives them."""
    labels = torch.arange(classes).repeat_interleave(n // classes)
    images = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(1)) + labels[:, None, None, None]
    return dl.data.from_tensors(*[(images, labels)] * 3)


@pytest.fixture(scope="module")
def sorted_data():
    return by_class()


# ---------------------------------------------------------------- samples are drawn


def test_images_sorted_by_class_keep_all_their_classes_at_laptop_scale():
    y = torch.arange(10).repeat_interleave(800)
    x = torch.rand(8000, 1, 8, 8)
    search = dl.Search("S2", data=dl.data.from_tensors(*[(x, y)] * 3), path=False)
    for split in ("train", "valid"):
        counts = getattr(search.task.data, split)[1].bincount(minlength=10)
        assert counts.sum() == 1024 and set(counts.tolist()) == {102, 103}


@pytest.mark.parametrize("method", ["DARTS", "DARTS-PRIME"])
def test_at_tiny_scale_and_in_a_new_split_too(sorted_data, method):
    search = dl.Search("S2", data=sorted_data, method=method, scale="tiny", path=False)
    train, valid = (getattr(search.task.data, split)[1].bincount(minlength=10) for split in ("train", "valid"))
    assert train.min() >= 1 and valid.min() >= 1 and train.max() - train.min() <= 2


def test_a_training_learns_and_tests_all_classes(sorted_data):
    training = Training(CELL, sorted_data, "tiny")
    for split in ("train", "test"):
        counts = getattr(training.task.data, split)[1].bincount(minlength=10)
        assert counts.sum() == 128 and counts.min() >= 12
    for _ in training:
        pass
    assert training.result().test_error > 0, "one class alone is never mistaken"


def test_rare_classes_keep_a_sample_and_frequent_ones_their_share():
    labels = torch.tensor([0] * 900 + [1] * 95 + [2] * 5)
    mine = dl.data.from_tensors(*[(torch.rand(1000, 1, 8, 8), labels)] * 3)
    search = dl.Search("S2", data=mine, scale="tiny", path=False)
    assert search.task.data.train[1].bincount().tolist() == [57, 6, 1]


def test_sorted_depths_and_disparities_are_drawn_from_all_of_them():
    depths = torch.linspace(1, 25, 600)
    mine = dl.bathymetry.from_arrays("sea", *[(torch.rand(600, 4, 16, 16), depths)] * 3)
    kept = dl.Search("S2", data=mine, scale="tiny", path=False).task.data.train[1]
    assert kept.min() < 4 and kept.max() > 22 and abs(kept.mean() - 13) < 3
    far = torch.linspace(1, 20, 200)[:, None, None].expand(200, 32, 64)
    images = torch.zeros(200, 6, 32, 64, dtype=torch.uint8)
    pairs = dl.stereo.from_arrays("road", *[(images, far)] * 3)
    kept = dl.Search("S6", data=pairs, scale="tiny", path=False).task.data.train[1][:, 0, 0]
    assert kept.min() < 6 and kept.max() > 15


def test_embedded_sets_and_texts_are_cut_in_their_order():
    for space, name in (("S2", "digits"), ("RNN", "pydocs"), ("S6", "stereo"), ("S2", "bathymetry")):
        search = dl.Search(space, data=name, scale="tiny", path=False, seed=5)
        kept, whole = search.task.data.train[0], dl.data.load(name).train[0]
        assert torch.equal(kept, whole[: len(kept)]), name
    text = dl.corpus.from_text("a text to learn from . " * 500, "a text for alpha . " * 500, "a text . " * 60)
    search = dl.Search("RNN", data=text, scale="tiny", path=False, train_samples=2000, valid_samples=2000, seed=5)
    assert torch.equal(search.task.data.train[0], text.train[0][:2000])


def test_the_seed_draws_and_a_resumed_run_has_the_same_samples(sorted_data, tmp_path):
    arguments = {"space": "S2", "data": sorted_data, "scale": "tiny", "method": "DARTS-PRIME"}
    first, again = dl.Search(seed=1, path=tmp_path / "run", **arguments), dl.Search(seed=1, path=False, **arguments)
    other = dl.Search(seed=2, path=False, **arguments)
    assert first.task.fingerprint() == again.task.fingerprint() != other.task.fingerprint()
    next(first)
    first.release()
    resumed = dl.Search.resume(tmp_path / "run", data=sorted_data)
    assert all(torch.equal(*pair) for pair in zip(first.task.data.train, resumed.task.data.train))
    assert next(resumed).train_error == (next(again), next(again))[1].train_error
    backwards = dl.data.from_tensors(*[tuple(part.flip(0) for part in sorted_data.train)] * 3)
    with pytest.raises(ValueError, match="is not what the run .* was made with"):
        dl.Search.resume(tmp_path / "run", data=backwards)


# ---------------------------------------------------------------- fewer samples than the scale asks for


def test_where_the_scale_asks_for_more_than_there_is_all_are_taken_and_it_is_said_once(tmp_path):
    mine = colours(48)
    with pytest.warns(UserWarning) as said:
        search = dl.Search("S2", data=mine, scale="tiny", path=tmp_path / "run")
    assert [str(one.message) for one in said] == [
        "data: 'colours' has fewer samples than scale 'tiny' asks for; all are taken: 48 of 64 for train, 48 of 64 for valid"
    ]
    assert said[0].filename == __file__
    assert search.task.size("train") == search.task.size("valid") == 48
    next(search)
    search.release()
    assert next(dl.Search.resume(tmp_path / "run", data=mine)).epoch == 1
    with pytest.warns(UserWarning, match="96 of 128 for train, 48 of 128 for test"):
        assert Training(CELL, mine, "tiny").task.size("test") == 48


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda **more: dl.Search("S2", train_samples=49, scale="tiny", path=False, **more), "train_samples: 49 .* holds 1 to 48, None for all"),
        (lambda **more: dl.Search("S2", valid_samples=100, scale="tiny", path=False, **more), "valid_samples: 100 .* the valid split holds 1 to 48"),
        (lambda **more: Training(CELL, scale="tiny", train_samples=97, **more), "train_samples: 97 .* the train split holds 1 to 96"),
        (lambda **more: Training(CELL, scale="tiny", test_samples=np.int64(49), **more), "test_samples: 49 .* 1 to 48"),
        (lambda **more: dl.Search("S2", scale=dl.Scale("mine", dl.settings.override(SMALL.search, train_samples=64), SMALL.evaluation), path=False, **more), "train_samples: 64"),
    ],
)  # fmt: skip
def test_where_you_ask_for_more_than_there_is_the_argument_is_named(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(data=colours(48))


def test_enough_samples_are_not_spoken_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dl.Search("S2", data=colours(64), scale="tiny", path=False)
        dl.Search("S2", data=colours(40), scale="tiny", path=False, train_samples=None, valid_samples=40)


# ---------------------------------------------------------------- data larger than the device's memory


def everything(search):
    return [record.to_json()[0] for record in search], search.state()


def test_data_larger_than_half_of_the_free_memory_stay_in_the_host_with_the_same_result(monkeypatch):
    arguments = {"space": "S2", "data": colours(64), "scale": "tiny", "path": False, "epochs": 1}
    before = everything(dl.Search(**arguments))
    size = 3 * 64 * (3 * 8 * 8 * 4 + 8)
    monkeypatch.setattr(splits, "free_memory", lambda device: 2 * size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        colours(64).to("meta")  # just fits
    monkeypatch.setattr(splits, "free_memory", lambda device: 2 * size - 1)
    with pytest.warns(
        UserWarning, match="'colours' takes .* GB, more than half of the .* GB free on meta; it stays"
    ) as said:
        kept = colours(64).to("meta")
    assert len(said) == 1 and kept.train[0].device.type == "cpu" and kept.device.type == "meta"
    monkeypatch.setattr(splits, "free_memory", lambda device: 0)
    mine = colours(64)
    search = dl.Search(**(arguments | {"data": mine}))
    assert search.task.data.train[0].data_ptr() == mine.train[0].data_ptr()
    assert same(everything(search)[1]["supernet"], before[1]["supernet"])


@pytest.mark.parametrize("kind", ["digits", "stereo", "bathymetry", "pydocs"])
def test_batches_of_data_in_the_host_come_to_the_device(kind, monkeypatch):
    """The device `meta` computes nothing, but knows where everything is."""
    monkeypatch.setattr(splits, "free_memory", lambda device: 0)
    task = dl.Search(None, data=kind, scale="tiny", path=False).task
    with pytest.warns(UserWarning, match="stays in the host's memory"):
        away = type(task)(task.data.to("meta"), task.settings)
    place = task.next_valid(4, torch.Generator().manual_seed(0))
    inputs, targets = away.plain_batch("valid", place)
    expected, right = task.plain_batch("valid", place)
    inputs, expected = (one if isinstance(one, tuple) else (one,) for one in (inputs, expected))
    assert {one.device.type for one in (*inputs, targets)} == {"meta"}
    assert [one.shape for one in (*inputs, targets)] == [one.shape for one in (*expected, right)]
    assert away.data.train[0].device.type == "cpu"


# ---------------------------------------------------------------- the default space follows the data


@pytest.mark.parametrize(
    ("data", "space"),
    [("digits", "S2"), ("pydocs", "RNN"), ("stereo", "S6"), ("bathymetry", "S2"), (colours(64), "S2")],
)
def test_the_space_goes_with_the_data_where_none_is_named(data, space):
    search, named = (dl.Search(data=data, scale="tiny", path=False, **more) for more in ({}, {"space": space}))
    assert search.space.name == space and search.plan.hash == named.plan.hash
    if isinstance(data, str):
        job, named = (plan.of_job({"data": data, "scale": "tiny"} | more) for more in ({}, {"space": space}))
        assert job == named and job.hash == named.hash and job.space.name == space


@pytest.mark.parametrize(
    ("space", "data", "fits"), [("S2", "pydocs", "RNN"), ("RNN", "digits", "S2"), ("S2", "stereo", "S6")]
)
def test_a_space_that_does_not_fit_is_refused_with_one_that_does(space, data, fits):
    for ask in (
        lambda: dl.Search(space, data=data, scale="tiny", path=False),
        lambda: dl.grid(space=space, data=data, scale="tiny"),
    ):
        with pytest.raises(
            ValueError, match=f"space: '{space}' has cells .*; data '{data}' needs .*, as space '{fits}' has"
        ) as error:
            ask()
        assert "\n" not in str(error.value)


def test_the_command_line_finds_the_space_too(tmp_path, capsys):
    common = ["--data", "pydocs", "--scale", "tiny", "--set", "epochs=1", "--set", "curvature_every=0"]
    assert cli.main(["search", *common, "--path", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.startswith("RNN on pydocs")
    assert cli.main(["sweep", *common, "--seeds", "1", "--path", str(tmp_path / "sweep")]) == 0
    assert pd.read_csv(tmp_path / "sweep" / "table.csv")["space"].tolist() == ["RNN"]


def test_the_lab_shows_the_space_of_the_data():
    assert dl.lab(data="pydocs", scale="tiny").space.value == "RNN"
    assert dl.lab().space.value == "S2"
    with pytest.raises(ValueError, match="data: 'nonsense' is not known"):
        dl.lab(data="nonsense")
