"""The live lab: its buttons act between two batches, its thread ends, and nothing goes wrong in silence.

Buttons are clicked as objects; nothing here depends on how fast the machine is, only on what happens in the end.
"""

import asyncio
import io
import threading
import time

import pytest
from matplotlib.image import imread

import darts_lab as dl
from darts_lab.monitors import Adaptation, EarlyStopping, Rule


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    made = dl.lab("S2", scale="tiny", seed=0, epochs=200)
    yield made
    made.stop()
    made._thread and made._thread.join(60)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def click(lab, name):
    lab.buttons[name].click()


def test_start_draws_moves_and_stop_ends_the_thread(lab):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 2 and lab.frames >= 2)
    picture = imread(io.BytesIO(lab.picture.value))
    assert picture.ndim == 3 and picture.std() > 0.05  # a picture, and not an empty one
    click(lab, "Stop")
    assert lab.result(60) is lab.search
    assert "Stopped" in lab.status.value and not lab._thread.is_alive()
    assert not lab.buttons["Start"].disabled and lab.buttons["Stop"].disabled


def test_pause_holds_the_search_and_start_goes_on_with_the_same_one(lab):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    click(lab, "Pause")
    until(lambda: "Paused" in lab.status.value)
    search, epoch, alpha = lab.search, lab.search.epoch, lab.search.alpha.detach().clone()
    time.sleep(0.3)
    assert lab.search.epoch == epoch and (lab.search.alpha == alpha).all()
    click(lab, "Start")
    until(lambda: lab.search.epoch > epoch)
    assert lab.search is search


def test_step_does_one_epoch(lab):
    click(lab, "Step")
    until(lambda: "Paused" in lab.status.value)
    assert lab.search.epoch == 1
    click(lab, "Step")
    until(lambda: lab.search.epoch == 2 and "Paused" in lab.status.value)
    time.sleep(0.2)
    assert lab.search.epoch == 2


def test_stop_answers_while_paused(lab):
    click(lab, "Step")
    until(lambda: "Paused" in lab.status.value)
    click(lab, "Stop")
    lab.result(60)
    assert not lab._thread.is_alive()


def test_what_the_lab_computes_is_what_the_loop_computes(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S4", scale="tiny", seed=5)
    lab.start()
    search = asyncio.run(lab.finished())
    alone = dl.Search("S4", scale="tiny", seed=5, path=False)
    list(alone)
    assert (search.alpha == alone.alpha).all() and search.genotype == alone.genotype
    assert search.finished and "Finished" in lab.status.value and lab.progress.value == 1


def test_retrain_shows_the_test_error_of_the_current_cell(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", scale="tiny", seed=0)
    click(lab, "Retrain")
    assert "press Start first" in lab.status.value
    click(lab, "Start")
    lab.result(60)
    click(lab, "Retrain")
    lab.result(60)
    expected = dl.evaluate(lab.search.genotype, scale="tiny", seed=0)
    assert lab.evaluation.test_error == expected.test_error
    assert f"{100 * expected.test_error:.1f} %" in lab.status.value


def test_retrain_in_mid_search_pauses_it_and_a_retrain_pressed_while_it_ends_is_not_lost(lab, monkeypatch):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    click(lab, "Retrain")
    until(lambda: lab.evaluation is not None and "Paused" in lab.status.value)
    assert f"retrained test error {100 * lab.evaluation.test_error:.1f} %" in lab.status.value
    report = lab._report

    def press_retrain_now(spent, batches, word):
        report(spent, batches, word)
        if word == "Stopped":
            monkeypatch.setattr(lab, "evaluation", None)
            click(lab, "Retrain")

    monkeypatch.setattr(lab, "_report", press_retrain_now)
    click(lab, "Stop")
    lab._thread.join(60)
    assert lab.evaluation is not None and "Retrained test error" in lab.status.value


def test_an_error_in_the_thread_is_shown_and_raised():
    lab = dl.lab("S2", scale="tiny", batch_size=64_000)
    lab.start()
    with pytest.raises(ValueError, match="batch_size: 64000 is larger than the 64 samples"):
        lab.result(60)
    assert "batch_size: 64000" in lab.status.value
    assert not lab.buttons["Start"].disabled


def test_two_labs_run_at_once_and_do_not_disturb_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    labs = [dl.lab("S2", scale="tiny", seed=seed) for seed in (1, 2)]
    for one in labs:
        one.start()
    found = [one.result(60) for one in labs]
    for seed, search in zip((1, 2), found, strict=True):
        alone = dl.Search("S2", scale="tiny", seed=seed, path=False)
        list(alone)
        assert (search.alpha == alone.alpha).all()


def test_objects_of_the_users_own_stand_in_the_menus():
    space = dl.SearchSpace("mine", dl.spaces.S5.cells)
    lab = dl.lab(space, method=dl.Method("plain"), scale="tiny")
    assert lab.space.value == "mine" and lab.method.value == "plain"


def test_an_unknown_name_is_refused_at_once():
    with pytest.raises(ValueError, match="space: 'S9' is not known; known: S1, S2"):
        dl.lab("S9")


def test_no_thread_is_left_behind():
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "darts-lab"])


def test_a_search_that_is_thrown_back_says_so_and_its_progress_stays_a_fraction(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    always = Rule(window=1, delta=1, factor=1.000001, start=1)
    method = dl.Method("ADA", monitor=Adaptation(always))
    lab = dl.lab("S2", method=method, scale="tiny", epochs=6, alpha_learning_rate=0.1)
    seen = []
    lab.progress.observe(lambda change: seen.append(change["new"]), "value")
    lab.start()
    search = lab.result(120)
    assert any(record.back_to is not None for record in search.history), "the rule must fire for this test to say much"
    assert "thrown back to epoch" in lab.status.value and "weight decay now 0.0" in lab.status.value
    assert "dominant eigenvalue" in lab.status.value
    assert lab.progress.value == 1 and all(0 <= value <= 1 for value in seen)


def test_a_search_that_stops_early_ends_the_lab_with_the_chosen_cell(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    method = dl.Method("ES", monitor=EarlyStopping(Rule(window=1, delta=1, factor=1.000001, start=0)))
    lab = dl.lab("S2", method=method, scale="tiny", epochs=30)
    lab.start()
    search = lab.result(120)
    stop = search.history[-1].stop_epoch
    assert stop is not None and len(search.history) < 30
    assert f"the cell of epoch {stop} is the result" in lab.status.value and lab.progress.value == 1
