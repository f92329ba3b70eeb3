"""Replay: stored searches, epoch by epoch, under a rule that moves."""

import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from torch.nn import AvgPool2d
from waiting import PATIENCE, until

import darts_lab as dl
from darts_lab.methods.monitors import LITERAL, RULE
from darts_lab.plan import of_job

ROOT = Path(__file__).parents[2]


def rising(recorded, values):
    """A recorded search of so many epochs, with these eigenvalues."""
    record = recorded.history[-1]
    history = [replace(record, epoch=i, dominant_eigenvalue=value) for i, value in enumerate(values)]
    return replace(recorded, history=history)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("replay") / "run"
    list(dl.Search("S2", scale="tiny", epochs=2, path=path))
    return dl.runs.read(path)


@pytest.fixture
def replayed(recorded):
    """One that rises slowly until epoch 14 and steeply then; its replay."""
    values = [1 + 0.01 * epoch for epoch in range(15)] + [1.2 + 0.4 * epoch for epoch in range(15)]
    return dl.replay(rising(recorded, values))


@pytest.fixture(autouse=True)
def no_thread_is_left_behind():
    yield
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "darts-lab-replay"])


def settled(replay):
    until(lambda: replay._thread is None)


def test_the_rule_is_applied_again_as_its_sliders_move(replayed):
    epochs, values = zip(*((r.epoch, r.dominant_eigenvalue) for r in replayed.search.history), strict=True)
    assert replayed.rule == RULE and replayed.stop == RULE.replay(epochs, values) is not None
    assert (
        f"stopped in epoch {replayed.stop[1]} with the cell of epoch <b>{replayed.stop[0]}</b>" in replayed.status.value
    )
    before = replayed.stop
    replayed.factor.value = 1.6
    assert replayed.preset.value == "moved" and replayed.stop == replace(RULE, factor=1.6).replay(epochs, values)
    assert replayed.stop[0] > before[0]
    replayed.factor.value = 3.0
    replayed.delta.value = 1
    assert replayed.stop is None and "never holds" in replayed.status.value
    replayed.preset.value = "as in the paper's text"
    assert (replayed.window.value, replayed.unit.value) == (LITERAL.window, LITERAL.unit)
    assert replayed.stop == LITERAL.replay(epochs, values)


def test_the_slider_of_epochs_shows_each_as_it_was(replayed):
    assert replayed.epoch.value == replayed.epoch.max == 29 and "<b>epoch 29</b> of 29" in replayed.status.value
    settled(replayed)
    shown = replayed.panels.images["eigenvalue"].value
    replayed.epoch.value = 3
    assert "<b>epoch 3</b> of 29" in replayed.status.value and "dominant eigenvalue 1.030" in replayed.status.value
    settled(replayed)
    assert shown and replayed.panels.images["eigenvalue"].value != shown


def test_searches_of_one_name_and_a_path_that_was_shown_before_can_be_chosen(recorded):
    replay = dl.replay([recorded, rising(recorded, [1.0] * 5)])
    replay.menu.index = 1
    assert len(replay.search.history) == 5 and replay.epoch.max == replay.epoch.value == 4
    for _ in range(2):
        replay.path.value = str(recorded.path)
        assert replay.search.path == recorded.path and replay.stored.value is None
        replay.stored.value = replay.stored.options[1][1]
        assert replay.search.path != recorded.path and replay.path.value == ""


@pytest.mark.parametrize("kind", ["nothing there", "no epoch yet", "a space nobody knows"])
def test_what_cannot_be_shown_is_said_and_the_one_before_stays(kind, recorded, replayed, tmp_path):
    path = tmp_path / "run"
    if kind == "no epoch yet":
        dl.Search("S2", scale="tiny", path=path).step()
    elif kind == "a space nobody knows":
        path = tmp_path / "s9" / "cifar10" / "0.0_0.0003-1"
        path.mkdir(parents=True)
        rates = "lr 1.0", "train_acc 50.0", "valid_acc 50.0", f"genotype = {recorded.genotype}"
        lines = [f"2019-06-01 00:00:00,000 {word}" for word in (f"epoch 0 {rates[0]}", *rates[1:])]
        (path / "log_1.txt").write_text("\n".join(lines) + "\n")
    before = replayed.search
    replayed.path.value = str(path)
    words = {"nothing there": "is not there", "no epoch yet": "finished an epoch", "a space nobody knows": "space: "}
    assert "Not opened:" in replayed.status.value and words[kind] in replayed.status.value
    assert replayed.search is before


def test_all_panels_of_another_search_are_drawn_and_those_it_lacks_are_hidden(recorded):
    bare = replace(recorded, name="bare", history=[replace(record, mixing=None) for record in recorded.history])
    replay = dl.replay([recorded, bare])
    settled(replay)
    images, before = replay.panels.images, replay.panels.frames
    assert images["weights normal"].value
    replay.menu.index = 1
    settled(replay)
    assert not images["weights normal"].value and not images["weights reduce"].value
    assert replay.panels.frames - before == sum(bool(image.value) for image in images.values()) >= 7


@pytest.mark.parametrize("data", ["bathymetry", "stereo", "digits"])
def test_data_of_ones_own_are_shown_in_their_own_unit(data, tmp_path):
    own = replace(dl.data.load(data), name="mine")
    search = dl.Search({"stereo": "S6"}.get(data, "S2"), own, scale="tiny", epochs=1, path=tmp_path / "run")
    list(search)
    replay = dl.replay(tmp_path / "run")
    error = search.task.show(search.history[0].valid_error)
    assert f"one-shot {search.task.metric} {error}" in replay.status.value
    settled(replay)


def test_searches_come_with_the_package_and_play_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    replay, stored = dl.replay(), dl.runs.stored()
    assert replay.epoch.value == 0 and replay.epoch.max == 39 and not replay.play.playing
    replay._seen.seen = True  # as the page says once it shows it
    assert replay.play.playing
    assert replay.search.space == "S4" and f"{100 * replay.search.test_error:.1f} %" in replay.status.value
    assert [name for name, _ in replay.stored.options][1:] == list(stored)
    settled(replay)
    replay.stored.value = stored["S1 DARTS on cifar10, Zela et al. 2020"]
    assert replay.search.test_error is None and replay.epoch.max == 49 and "from scratch" not in replay.status.value
    settled(replay)
    list(dl.Search("S2", scale="tiny", epochs=1, path=tmp_path / "run"))
    replay.path.value = str(tmp_path / "run")
    assert replay.stored.value is None and replay.epoch.max == 0
    settled(replay)


def test_what_comes_with_the_package_is_small_and_whole_and_of_the_seeds_that_the_protocol_chooses():
    files = [file for path in dl.runs.stored().values() for file in path.iterdir()]
    assert sum(file.stat().st_size for file in files) < 3e6
    assert {file.suffix for file in files} == {".json", ".jsonl", ".txt"}
    table = pd.read_csv(ROOT / "results" / "collapse.csv")
    plain = table[(table["method"] == "DARTS") & (table["reductions"] == "skip")].sort_values(["test_error", "seed"])
    seeds = {space: rows["seed"].iloc[9] for space, rows in plain.groupby("space")}
    for path in dl.runs.stored().values():
        config, search = dl.runs.Run(path).config, dl.runs.read(path)
        assert str(search.genotype) == (path / "genotype.txt").read_text().strip()
        if "source" in config:
            assert "Apache-2.0" in config["source"] and search.test_error is None
        else:
            (job,) = dl.grid(space=search.space, method=config["method"], seed=search.seed)
            assert of_job(job).hash == config["hash"]
            assert search.seed == seeds[search.space] and 0 < search.test_error < 1
    assert '"darts_lab.runs" = ["searches/*/*"]' in (ROOT / "pyproject.toml").read_text()  # so that wheels hold them


def test_replays_that_draw_when_python_ends_do_not_hold_it_up(recorded):
    code = f"""
        import darts_lab as dl
        shown = [dl.replay({str(recorded.path)!r}) for _ in range(5)]
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=os.environ, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode == 0 and not ended.stderr, ended.stderr


def test_a_search_with_operations_of_its_own_is_opened(tmp_path):
    edges = [("skip_connect", "mine")] * 2
    space = dl.SearchSpace(
        "own", dict.fromkeys(("normal", "reduce"), edges), {"mine": lambda c, stride: AvgPool2d(stride)}
    )
    list(dl.Search(space, scale="tiny", epochs=1, path=tmp_path / "run"))
    replayed = dl.replay(tmp_path / "run")
    assert len(replayed.searches) == 1 and replayed.status.value.startswith("<b>epoch 0</b>")
