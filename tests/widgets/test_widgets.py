"""The live lab: its buttons act between two batches, its thread ends, and nothing goes wrong in silence.

Buttons are clicked as objects; nothing here depends on how fast the machine is, only on what happens in the end.
"""

import asyncio
import io
import itertools
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import pytest
from ipywidgets.widgets.widget import _instances
from matplotlib.image import imread
from waiting import PATIENCE, until

import darts_lab as dl
from darts_lab.figures.panels import View
from darts_lab.methods.monitors import Adaptation, EarlyStopping, Rule
from darts_lab.widgets.kept import PAUSE
from darts_lab.widgets.lab import SHARE, pause_between_pictures
from darts_lab.widgets.panels import _content
from darts_lab.widgets.wording import forgets


@pytest.fixture(autouse=True)
def no_lab_and_no_thread_is_left_behind():
    """Else a later test with the same arguments would be shown that lab again."""
    yield
    for one in dl.running():
        one.close()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "darts-lab"])


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    made = dl.lab("S2", scale="tiny", seed=0, epochs=200)
    yield made
    made.close()
    made.worker.thread and made.worker.thread.join(PATIENCE)


def click(lab, name):
    lab.buttons[name].click()


def test_pictures_take_a_small_share_of_the_time_but_a_search_of_seconds_has_its_dozen():
    assert pause_between_pictures(0.1, 3600) == pytest.approx(0.1 / SHARE)
    for whole in (5, 8):  # seconds, as on a GPU
        assert whole / pause_between_pictures(0.1, whole) >= 10
    assert pause_between_pictures(0.0, 3600) == pause_between_pictures(1.0, 0.1) == PAUSE


def test_start_draws_moves_and_stop_ends_the_thread(lab):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 2)
    until(lambda: sum(bool(image.value) for image in lab.panels.images.values()) >= 4)
    pictures = [imread(io.BytesIO(image.value)) for image in lab.panels.images.values() if image.value]
    assert all(picture.std() > 0.05 for picture in pictures)  # no empty ones
    click(lab, "Stop")
    assert lab.result(PATIENCE) is lab.search
    assert "Stopped" in lab.status.value and not lab.worker.thread.is_alive()
    assert not lab.buttons["Start"].disabled and lab.buttons["Stop"].disabled


def test_pause_holds_the_search_and_start_goes_on_with_the_same_one(lab):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    click(lab, "Pause")
    until(lambda: "Paused" in lab.status.value and not lab.worker.thread.is_alive())  # so nothing can go on
    search, epoch = lab.search, lab.search.epoch
    click(lab, "Start")
    until(lambda: lab.search.epoch > epoch)
    assert lab.search is search


def test_step_does_one_epoch(lab):
    click(lab, "Step")
    until(lambda: "Paused" in lab.status.value)
    assert lab.search.epoch == 1
    click(lab, "Step")
    until(lambda: lab.search.epoch == 2 and "Paused" in lab.status.value)
    until(lambda: not lab.worker.thread.is_alive())
    assert lab.search.epoch == 2 and lab.state == "paused"


IN_ONE_BREATH = {  # what is pressed, and the state in which the lab comes to rest
    "start pause resume": "finished",
    "start pause": "paused",
    "start pause start": "finished",
    "start pause resume pause": "paused",
    "start stop": "stopped",
    "start stop resume": "finished",
    "start stop start": "finished",
    "step pause resume": "finished",
    "start reset": "idle",
    "start reset start": "finished",
    "start reset start pause": "idle",
    "start reset step": "finished",  # whose only epoch it is
    "start pause resume reset": "idle",
}


def at_rest(worker) -> bool:
    """Asked under the lock, within which one thread ends and the next begins."""
    with worker.lock:
        return not worker.running


@pytest.mark.parametrize("pressed", IN_ONE_BREATH)
def test_buttons_in_one_breath_do_what_they_do_one_after_the_other(pressed, tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", scale="tiny", epochs=1)
    for name in pressed.split():
        getattr(lab, name)()
    until(lambda: at_rest(lab.worker))
    assert lab.state == IN_ONE_BREATH[pressed] and "Stopped:" not in lab.status.value, lab.status.value
    if lab.state == "paused":
        lab.resume()
        assert lab.result(PATIENCE).finished and lab.state == "finished"
    lab.close()


def test_a_result_that_is_not_there_in_time_is_said_to_be_late(lab):
    lab.start()
    with pytest.raises(TimeoutError, match="lab: is still computing after 0 s; wait longer, or press Stop"):
        lab.result(0)


def test_stop_answers_while_paused(lab):
    click(lab, "Step")
    until(lambda: "Paused" in lab.status.value)
    click(lab, "Stop")
    lab.result(PATIENCE)
    assert not lab.worker.thread.is_alive()


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
    lab.result(PATIENCE)
    click(lab, "Retrain")
    assert lab.result(PATIENCE) is lab.search and lab.state == "finished"
    expected = dl.evaluate(lab.search.genotype, scale="tiny", seed=0)
    assert lab.evaluation.test_error == expected.test_error
    assert f"{100 * expected.test_error:.1f} %" in lab.status.value


def test_a_kept_cell_is_retrained_as_it_was_searched_whatever_the_controls_say_by_then(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", scale="tiny", seed=0)
    click(lab, "Start")
    lab.result(PATIENCE)
    lab.choices.scale.value = "laptop"
    click(lab, "Retrain")
    lab.result(PATIENCE)
    assert lab.evaluation.test_error == dl.evaluate(lab.search.genotype, scale="tiny", seed=0).test_error


def test_the_search_waits_for_a_retraining_and_then_goes_on(lab):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    click(lab, "Retrain")
    until(lambda: lab.evaluation is not None)
    epoch = lab.search.epoch
    assert "retrained test error" in lab.kept[0].words.value
    until(lambda: lab.search.epoch > epoch and "retrained test error" in lab.status.value)
    click(lab, "Pause")
    until(lambda: lab.state == "paused")
    click(lab, "Retrain")
    until(lambda: len(lab.kept) == 2 and lab.kept[1].evaluation is not None and lab.state == "paused")


def test_a_retrain_pressed_while_the_search_comes_to_its_end_is_not_lost(lab, monkeypatch):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    report = lab.report

    def press_retrain_now():
        report()
        if lab.state == "stopped" and not lab.kept:
            click(lab, "Retrain")

    monkeypatch.setattr(lab, "report", press_retrain_now)
    click(lab, "Stop")
    lab.result(PATIENCE)
    assert lab.kept[0].evaluation is not None and "retrained test error" in lab.status.value


def test_pause_holds_a_retraining_between_two_batches_and_stop_ends_it(lab):
    click(lab, "Step")
    until(lambda: lab.state == "paused")
    (kept,) = lab.keep()
    step, batches = kept.step, []

    def steps_without_end():
        if not batches:
            step()
        batches.append(kept.training)
        return False

    kept.step = steps_without_end
    lab.retrain(kept)
    until(lambda: batches)
    click(lab, "Pause")
    until(lambda: lab.state == "paused" and not lab.worker.thread.is_alive())
    held = len(batches)
    assert kept.evaluation is None and list(lab.worker.queue) == [kept] and kept.training is not None
    click(lab, "Resume")
    until(lambda: len(batches) > held)
    click(lab, "Stop")
    lab.result(PATIENCE)
    assert lab.state == "stopped" and not lab.worker.queue and kept.training is None and kept.evaluation is None


def test_an_error_in_the_thread_is_shown_and_raised():
    lab = dl.lab("S2", scale="tiny", batch_size=64_000)
    lab.start()
    with pytest.raises(ValueError, match="batch_size: 64000 is larger than the 64 samples"):
        lab.result(PATIENCE)
    assert "batch_size: 64000" in lab.status.value
    assert not lab.buttons["Start"].disabled


def test_two_labs_run_at_once_and_do_not_disturb_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    labs = [dl.lab("S2", scale="tiny", seed=seed) for seed in (1, 2)]
    for one in labs:
        one.start()
    found = [one.result(PATIENCE) for one in labs]
    for seed, search in zip((1, 2), found, strict=True):
        alone = dl.Search("S2", scale="tiny", seed=seed, path=False)
        list(alone)
        assert (search.alpha == alone.alpha).all()


def test_objects_of_the_users_own_stand_in_the_menus():
    space = dl.SearchSpace("mine", dl.spaces.S5.cells)
    lab = dl.lab(space, method=dl.Method("plain"), scale="tiny")
    assert lab.space.value == "mine" and lab.method.value == "plain"
    lab.choices.domain.value = "language"
    lab.choices.domain.value = "classification"
    assert "mine" in lab.space.options


def test_a_task_offers_its_data_spaces_and_strengths_of_decay():
    lab = dl.lab(method="R-DARTS(L2)")
    decay = lab.tracks[0].method.weight_decay
    assert set(dl.methods.L2_FACTORS) < set(decay.options) and decay.value == 0.0027
    assert "RNN" not in lab.space.options and "pydocs" not in lab.data.options
    lab.choices.domain.value = "language"
    assert (lab.data.value, lab.space.options) == ("pydocs", ("RNN", "RNN-S"))
    usual = dl.scales.get("laptop", "language").search.weight_decay
    assert decay.value == pytest.approx(27 * usual) and max(decay.options) < 1e-3
    lab.choices.domain.value = "disparity"
    assert (lab.data.value, lab.space.options) == ("stereo", ("S6",)) and decay.value == pytest.approx(0.0081)
    lab.reset()
    assert (lab.choices.domain.value, lab.space.value, lab.data.value) == ("classification", "S2", "digits")
    assert decay.value == 0.0027


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"space": "S9"}, "space: 'S9' is not known; known: S1, S2"),
        ({"seed": -1}, "seed: -1 is not allowed"),
        ({"weight_decay": -1.0}, "weight_decay: -1.0 is not allowed"),
        ({"epoch": 3}, "epoch: not a setting; known: alpha_betas"),
    ],
)
def test_what_is_not_allowed_is_refused_at_once(arguments, words):
    with pytest.raises(ValueError, match=words):
        dl.lab(**arguments)


def test_a_search_that_is_thrown_back_says_so_and_its_progress_stays_a_fraction(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    always = Rule(window=1, delta=1, factor=1.000001, start=1)
    method = dl.Method("ADA", monitor=Adaptation(always))
    lab = dl.lab("S2", method=method, scale="tiny", epochs=6, alpha_learning_rate=0.1)
    seen = []
    lab.progress.observe(lambda change: seen.append(change["new"]), "value")
    lab.start()
    search = lab.result(PATIENCE)
    assert any(record.back_to is not None for record in search.history), "the rule must fire for this test to say much"
    assert "thrown back to epoch" in lab.status.value and "weight decay now 0.0" in lab.status.value
    assert "dominant eigenvalue" in lab.status.value
    assert lab.progress.value == 1 and all(0 <= value <= 1 for value in seen)


def test_a_search_that_stops_early_ends_the_lab_with_the_chosen_cell(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    method = dl.Method("ES", monitor=EarlyStopping(Rule(window=1, delta=1, factor=1.000001, start=0)))
    lab = dl.lab("S2", method=method, scale="tiny", epochs=30)
    lab.start()
    search = lab.result(PATIENCE)
    stop = search.history[-1].stop_epoch
    assert stop is not None and len(search.history) < 30
    assert f"the cell of epoch {stop} is the result" in lab.status.value and lab.progress.value == 1


# --- L2, drop path and the methods' own parameters ----------------------------------------------


def test_moving_l2_while_the_search_runs_takes_effect_and_stands_in_its_history(lab):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    lab.tracks[0].method.weight_decay.value = 0.0243
    lab.tracks[0].method.drop_path.value = 0.4
    until(lambda: lab.search.history[-1].weight_decay == 0.0243)
    click(lab, "Pause")
    until(lambda: lab.state == "paused")
    lab.tracks[0].method.weight_decay.value = 0.0  # no thread: it waits in the search
    assert lab.search.waiting == {"weight_decay": 0.0} and "L2 0 from the next epoch on" in lab.status.value
    click(lab, "Stop")
    changes = [record.changed for record in lab.search.history if record.changed]
    assert {name: value for change in changes for name, value in change.items()} == {
        "weight_decay": 0.0243, "drop_path": 0.4,
    }  # fmt: skip
    stored = dl.runs.read(lab.search.run.path).history
    assert [record.changed for record in stored] == [record.changed for record in lab.search.history]


def test_choosing_a_method_shows_its_own_parameters_and_sets_l2_and_drop_path():
    lab = dl.lab(scale="tiny")
    choice = lab.tracks[0].method
    assert not choice.parameters and choice.weight_decay.value == 3e-4
    for method, names in {
        "DARTS-ES": {"window", "factor"}, "DARTS-PRIME": {"rho", "multiplier"}, "PRIME(ADMM)": {"rho", "multiplier"},
        "R-DARTS(L2)": set(),
    }.items():  # fmt: skip
        lab.method.value = method
        assert choice.parameters.keys() == names, method
    assert choice.weight_decay.value == 0.0243
    lab.method.value = "R-DARTS(DP)"
    assert choice.weight_decay.value == 3e-4 and choice.drop_path.value == 0.6


def test_a_parameter_that_was_moved_is_searched_with_and_stands_in_the_methods_name():
    lab = dl.lab(method="DARTS-PRIME", scale="tiny")
    choice = lab.tracks[0].method
    assert choice.method is dl.methods.METHODS["DARTS-PRIME"]
    choice.parameters["rho"].value, choice.parameters["multiplier"].value = 1.0, 1.2
    method = choice.method
    assert method.terms[0].rho == 1.0 and method.schedule.growth == 1.2
    assert method.name == "DARTS-PRIME(rho 1, multiplier 1.2)"
    lab = dl.lab(method="DARTS-ES", scale="tiny")
    lab.tracks[0].method.parameters["factor"].value = 2.0
    assert lab.tracks[0].method.method.monitor.rule == Rule(factor=2.0)


def test_adaptation_moves_the_slider_and_that_is_no_change_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    method = dl.Method("ADA", monitor=Adaptation(Rule(window=1, delta=1, factor=1.000001, start=1)))
    lab = dl.lab("S2", method=method, scale="tiny", epochs=6, alpha_learning_rate=0.1)
    lab.start()
    search = lab.result(PATIENCE)
    assert search.weight_decay > 3e-4 and lab.tracks[0].method.weight_decay.value == search.weight_decay
    assert not any(record.changed for record in search.history)


def test_two_batches_give_the_eigenvalue_an_error_bar(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", scale="tiny")
    lab.tracks[0].method.batches.value = 2
    lab.start()
    search = lab.result(PATIENCE)
    assert all(record.eigenvalue_error > 0 for record in search.history)
    assert dl.Search.resume(search.run.path).settings.curvature_batches == 2, "it goes on so wherever it is resumed"


# --- Resume and Reset ---------------------------------------------------------------------------


def test_resume_after_stop_goes_on_with_the_same_search(lab):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    click(lab, "Stop")
    search = lab.result(PATIENCE)
    epoch = search.epoch
    click(lab, "Resume")
    until(lambda: lab.search.epoch > epoch)
    assert lab.search is search


def test_a_new_lab_resumes_the_unfinished_run_on_disk_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    first = dl.lab("S4", scale="tiny", seed=3)
    first.step()
    until(lambda: first.state == "paused")
    other = dl.widgets.Lab("S4", scale="tiny", seed=3)  # `dl.lab` would show the first one
    other.resume()
    with pytest.raises(
        ValueError, match=r"no unfinished run of these choices \(DARTS\) lies in .* that no other lab holds"
    ):
        other.result(PATIENCE)
    first.close()  # as when a kernel ends: its lock is free
    until(lambda: not first.worker.thread.is_alive())
    other.resume()
    found = other.result(PATIENCE)
    alone = dl.Search("S4", scale="tiny", seed=3, path=False)
    list(alone)
    assert len(list(tmp_path.iterdir())) == 1, "no second run was begun"
    assert found.finished and (found.alpha == alone.alpha).all()
    other.resume()
    assert "is finished" in other.status.value


def test_reset_goes_back_to_the_beginning_and_keeps_what_was_kept(lab):
    lab.method.value = "R-DARTS(L2)"
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    click(lab, "Keep")
    click(lab, "Keep")
    click(lab, "Reset")
    until(lambda: lab.state == "idle" and not lab.worker.thread.is_alive())
    assert lab.search is None and lab.method.value == "DARTS" and not lab.space.disabled
    assert not any(image.value for image in lab.panels.images.values())
    assert 1 <= len(lab.kept) == len(lab._kept_box.children) <= 2
    lab.discard(lab.kept[0])
    assert len(lab.kept) == len(lab._kept_box.children) <= 1


def test_retrain_pressed_while_a_lab_is_reset_is_done_behind_it(lab):
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    (kept,) = lab.keep()
    with lab.worker.lock:  # so that the reset is not done before
        click(lab, "Reset")
        lab.retrain(kept)
    until(lambda: kept.evaluation is not None and not lab.worker.running)
    assert lab.search is None and lab.kept == [kept]


# --- Side by side -------------------------------------------------------------------------------


def test_two_methods_go_on_side_by_side_epoch_by_epoch_and_each_is_what_it_is_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", method=["DARTS", "DARTS-PRIME"], scale="tiny", seed=4)
    apart = []
    for track in lab.tracks:
        step = track.step

        def watched(step=step):
            step()
            apart.append(abs(lab.searches[0].epoch - lab.searches[1].epoch))

        track.step = watched
    lab.step()
    until(lambda: lab.state == "paused")
    assert [len(search.history) for search in lab.searches] == [1, 1]
    lab.resume()
    lab.result(PATIENCE)
    assert max(apart) == 1 and all(search.finished for search in lab.searches)
    for method, search in zip(("DARTS", "DARTS-PRIME"), lab.searches, strict=True):
        alone = dl.Search("S2", method=method, scale="tiny", seed=4, path=False)
        list(alone)
        assert (search.alpha == alone.alpha).all()
        assert search.seed == 4 and search.task.data.name == "digits"
    shown = [image.layout.display for image in (track.panels.images["fisher"] for track in lab.tracks)]
    assert shown == ["none", "block"], "only one of them has a Fisher trace"
    until(lambda: at_rest(lab.worker))
    assert not any("errors" in track.panels.images for track in lab.tracks), "their curves are in one picture"
    assert all(bool(image.value) == (name != "retrained") for name, image in lab.shared.images.items())
    lab.retrain()
    lab.result(PATIENCE)
    until(lambda: at_rest(lab.worker))
    assert lab.shared.images["retrained"].value
    lab.reset()
    assert not any(image.value for image in lab.shared.images.values())


def test_on_s5_the_rank_among_all_cells_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S5", scale="tiny")
    lab.start()
    lab.result(PATIENCE)
    until(lambda: at_rest(lab.worker))
    (track,) = lab.tracks
    assert track.panels.images["rank"].value and "of all 81 cells" in lab.status.value
    replay = dl.replay(track.search.run.path)
    until(lambda: replay.panels.images["rank"].value)


def test_a_stronger_l2_that_makes_the_supernet_forget_is_said_to():
    def record(epoch, error, **more):
        return SimpleNamespace(**{"epoch": epoch, "train_error": error, "valid_error": error, "changed": None} | more)

    before = [record(0, 0.4, weight_decay=3e-4), record(1, 0.3, weight_decay=3e-4)]
    raised = record(2, 0.8, weight_decay=0.0243, changed={"weight_decay": 0.0243})
    assert forgets([*before, raised]) and not forgets(before)
    assert not forgets([*before, raised, record(3, 0.2, weight_decay=0.0243)])
    assert not forgets([*before, record(2, 0.8, weight_decay=0.0, changed={"weight_decay": 0.0})])


# --- What it costs, and its end ------------------------------------------------------------------


@pytest.mark.parametrize("took", [0.001, 0.1, 0.4])
def test_pictures_come_at_most_four_times_a_second_and_take_less_than_a_tenth_of_the_time(took, monkeypatch):
    lab, clock, drawn, reported = dl.lab(scale="tiny"), [100.0], [], []

    def draw(most):
        clock[0] += took
        drawn.append(clock[0])
        return took

    def report():
        reported.append(clock[0])
        lab._reported = clock[0]

    monkeypatch.setattr("darts_lab.widgets.lab.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(lab.tracks[0], "draw", draw)
    monkeypatch.setattr(type(lab.tracks[0]), "left", 100.0)  # seconds
    monkeypatch.setattr(lab, "report", report)
    while clock[0] < 200:
        clock[0] += 0.01  # a batch
        lab.show_progress()
    assert len(drawn) > 10 and len(drawn) * took < 10
    assert min(b - a for a, b in itertools.pairwise(drawn)) > 0.25
    assert min(b - a for a, b in itertools.pairwise(reported)) > 0.25


def test_a_closed_lab_leaves_no_widget_behind():
    before = set(_instances)
    lab = dl.lab(scale="tiny", method=["DARTS", "CRB"])
    assert len(set(_instances) - before) > 50
    lab.close()
    assert set(_instances) <= before


# --- Whatever is pressed ------------------------------------------------------------------------


def test_clicking_at_random_loses_no_run_shows_no_trace_and_leaves_no_thread(tmp_path, monkeypatch):
    """A hundred times, and for DARTS_LAB_CLICKING seconds."""
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    chance = random.Random(0)
    lab = dl.lab("S2", method=["DARTS", "DARTS-ADA"], scale="tiny", epochs=40)
    sliders = [slider for track in lab.tracks for slider in track.method.live.values()]
    said = []
    lab.status.observe(lambda change: said.append(change["new"]), "value")
    end, clicks = time.monotonic() + float(os.environ.get("DARTS_LAB_CLICKING", 0)), 0
    while clicks < 100 or time.monotonic() < end:
        kind = chance.random()
        if kind < 0.8:
            button = lab.buttons[chance.choice(list(lab.buttons))]
            if not button.disabled:
                button.click()
        elif kind < 0.9:
            slider = chance.choice(sliders)
            slider.value = chance.choice(slider.options)
        elif kind < 0.95 and lab.kept:
            chance.choice([lab.retrain, lab.discard])(chance.choice(lab.kept))
        elif not lab.method.disabled:
            lab.method.value = chance.choice(["DARTS", "R-DARTS(L2)", "DARTS-PRIME", "DARTS-ES", "RS-ws"])
        clicks += 1
        time.sleep(chance.choice([0, 0, 0.01, 0.2]))
    lab.stop()
    until(lambda: not lab.worker.thread.is_alive())
    assert lab.state in ("idle", "stopped", "finished", "failed")
    assert not [words for words in said if "Traceback" in words or "Error:" in words]
    for run in tmp_path.iterdir():
        if (run / "history.jsonl").exists():
            expected = 0
            for record in dl.runs.read(run).history:
                assert record.epoch == expected
                expected = 1 + (record.epoch if record.back_to is None else record.back_to)
    lab.stop()
    lab.worker.thread.join(PATIENCE)


def test_a_lab_that_runs_when_python_ends_does_not_hold_it_up_and_its_run_can_go_on(tmp_path):
    code = """
        import time, darts_lab as dl
        lab = dl.lab("S4", scale="tiny", seed=3, epochs=500)
        lab.start()
        while lab.search is None or lab.search.epoch < 2: time.sleep(0.01)
    """
    environment = os.environ | {"DARTS_LAB_RUNS": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
    (run,) = tmp_path.iterdir()
    search = dl.Search.resume(run)
    assert search.epoch >= 2 and next(search).epoch == search.epoch - 1


def test_a_cell_that_is_run_again_shows_the_lab_that_it_began_while_that_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", method=["DARTS"], scale="tiny", epochs=300)
    assert dl.lab("S2", method=["DARTS"], scale="tiny", epochs=300) is not lab, "nothing was started yet"
    lab.start()
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    assert dl.running() == [lab]
    assert dl.lab("S2", method=("DARTS",), scale="tiny", seed=0, epochs=300) is lab
    assert dl.lab("S2", method=["DARTS"], scale="".join(["ti", "ny"]), epochs=int("300")) is lab, "as values"
    other = dl.lab("S2", method=["DARTS"], scale="tiny", epochs=300, seed=1)
    assert other is not lab and f"Running in this kernel: {lab.search.plan.name}" in other.status.value
    lab.pause()
    until(lambda: lab.state == "paused")
    assert dl.lab("S2", method=["DARTS"], scale="tiny", epochs=300) is lab
    lab.close()
    assert dl.running() == [] and dl.lab("S2", method=["DARTS"], scale="tiny", epochs=300) is not lab


def test_panels_and_status_tell_of_the_same_epoch_and_nothing_is_drawn_before_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", scale="tiny", epochs=2)
    lab.start()
    until(lambda: at_rest(lab.worker))
    assert "epoch 1 of 1" in lab.status.value and lab.search.history[-1].epoch == 1
    view = View(lab.search.space, [], None, lab.search.genotype)
    assert _content("counts", view) is None and _content("cell normal", view) is not None
    lab.close()


def test_in_front_of_a_class_type_is_large_choices_are_folded_away_and_one_click_brings_all_back(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", scale="tiny", present=True)
    assert lab.choices.layout.display == "none" and "darts-lab-present" in lab._dom_classes
    lab.start()
    lab.result(PATIENCE)
    until(lambda: at_rest(lab.worker))

    def shown():
        return {name for name, image in lab.panels.images.items() if image.layout.display == "block"}

    assert shown() == {"weights normal", "cell normal", "eigenvalue", "counts", "errors"}
    large = lab.panels._axes["errors"].figure.get_figwidth()
    click(lab, "Present")
    assert shown() > {"weights reduce", "losses", "cost", "errors"} and lab.choices.layout.display is None
    assert lab.panels._axes["errors"].figure.get_figwidth() > large, "so that the same type is smaller on the screen"
    lab.close()


# --- What is chosen, and what a search does by itself --------------------------------------------


def test_sliders_act_again_after_a_failure(lab):
    lab.resume()
    with pytest.raises(ValueError, match="no unfinished run of these choices"):
        lab.result(PATIENCE)
    assert lab.state == "failed"
    click(lab, "Start")
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    lab.tracks[0].method.weight_decay.value = 9e-4
    until(lambda: lab.search.weight_decay == 9e-4)


def test_what_is_chosen_behind_a_finished_search_is_for_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = dl.lab("S2", scale="tiny", epochs=1)
    for decay in (3e-4, 9e-4):
        lab.tracks[0].method.weight_decay.value = decay
        lab.start()
        assert lab.result(PATIENCE).history[0].weight_decay == decay
    lab.method.value = "R-DARTS(DP)"
    lab.start()
    search = lab.result(PATIENCE)
    assert (search.method.name, search.weight_decay, search.settings.drop_path) == ("R-DARTS(DP)", 3e-4, 0.6)


def test_what_is_moved_while_a_search_is_prepared_counts_from_its_first_epoch(lab, monkeypatch):
    make = dl.Search

    def move_and_make(*arguments, **settings):
        lab.tracks[0].method.weight_decay.value = 9e-4
        return make(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr("darts_lab.widgets.tracks.Search", move_and_make)
        lab.step()
        lab.worker.wait(PATIENCE)
    (record,) = lab.search.history
    assert record.weight_decay == 9e-4 and record.changed == {"weight_decay": 9e-4}


def test_resume_after_stop_shows_what_goes_on_and_its_cell_shows_that_lab_again(lab):
    lab.start()
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    lab.tracks[0].method.weight_decay.value = 9e-4
    lab.stop()
    lab.worker.wait(PATIENCE)
    assert dl.lab("S2", scale="tiny", seed=0, epochs=200) is lab
    lab.method.value, lab.seed.value, search = "R-DARTS(L2)", 7, lab.search
    lab.resume()
    lab.stop()
    assert lab.result(PATIENCE) is search and (lab.method.value, lab.seed.value) == ("DARTS", 0)
    until(lambda: not lab.worker.running)
    lab.resume()  # with what was moved by hand
    until(lambda: lab.search.weight_decay == lab.tracks[0].method.weight_decay.value == 9e-4)


def test_runs_on_data_that_a_scale_puts_in_its_place_can_be_resumed(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    small = {"channels": 4, "layers": 3, "train_samples": 64, "valid_samples": 64, "batch_size": 32, "epochs": 2}
    first = dl.lab("S2", scale="workstation", **small, curvature_every=0)
    first.step()
    first.worker.wait(PATIENCE)
    first.close()
    lab = dl.lab("S2", scale="workstation", **small, curvature_every=0)
    lab.resume()
    assert lab.result(PATIENCE).run.path == first.search.run.path and lab.state == "finished"


def test_of_two_methods_one_goes_on_where_the_other_has_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    two = {"method": ["DARTS", "R-DARTS(L2)"], "scale": "tiny", "epochs": 2}
    first = dl.lab("S2", **two)
    first.step()
    first.worker.wait(PATIENCE)
    first.close()
    list(dl.Search.resume(first.search.run.path))
    lab = dl.lab("S2", **two)
    lab.resume()
    lab.result(PATIENCE)
    assert [search.epoch for search in lab.searches] == [2, 2]
    assert [search.run.path for search in lab.searches] == [search.run.path for search in first.searches]


def test_settings_of_another_task_are_left_out():
    lab = dl.widgets.Lab("RNN", data="pydocs", scale="tiny", bptt=6)
    lab.choices.domain.value = "classification"
    assert lab.space.value in dl.spaces.SPACES and "bptt" not in lab.tracks[0].method.settings
    lab.choices.domain.value = "language"
    assert lab.tracks[0].method.settings["bptt"] == 6


def test_resume_after_a_failure_finds_the_run_whatever_was_moved_meanwhile(lab, monkeypatch):
    lab.start()
    until(lambda: lab.search is not None and lab.search.epoch >= 1)
    run, decay = lab.search.run.path, lab.tracks[0].method.weight_decay
    decay.value = 9e-4
    until(lambda: lab.search.history[-1].weight_decay == 9e-4)  # an epoch with it is on the disk
    with monkeypatch.context() as patch:
        patch.setattr(lab.search, "step", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lab.result(PATIENCE)
    decay.value = 2.7e-3
    click(lab, "Resume")
    until(lambda: lab.search is not None and lab.search.run is not None)
    click(lab, "Stop")
    assert lab.result(PATIENCE).run.path == run and lab.search.weight_decay == decay.value == 9e-4


def test_what_adaptation_raised_is_not_the_choice_for_the_next_search(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    method = dl.Method("ADA", monitor=Adaptation(Rule(window=1, factor=1.0001, delta=1, start=0)))
    lab = dl.lab("S2", method=method, scale="tiny", epochs=6, alpha_learning_rate=0.1)
    lab.start()
    raised = lab.result(PATIENCE).weight_decay
    assert raised > 3e-4 and lab.tracks[0].method.weight_decay.value == raised
    lab.start()
    search = lab.result(PATIENCE)
    assert search.history[0].weight_decay == 3e-4


def test_resume_after_a_paused_retraining_begins_no_search(lab):
    lab.step()
    until(lambda: lab.state == "paused")
    (kept,) = lab.keep()
    click(lab, "Reset")
    until(lambda: lab.state == "idle" and not lab.worker.running)
    kept.step = lambda: False  # a retraining that goes on until it is held
    lab.retrain(kept)
    click(lab, "Pause")
    until(lambda: lab.state == "paused")
    del kept.step
    click(lab, "Resume")
    until(lambda: kept.evaluation is not None and not lab.worker.running)
    assert lab.searches == [None] and lab.state == "idle" and not lab.buttons["Start"].disabled
    told = kept.words.value
    lab.retrain(kept)
    assert kept.words.value == told and not lab.worker.queue and "retrained test error" in lab.status.value
    lab.discard(kept)
    assert lab.kept == []


def test_only_scales_of_the_task_are_offered_and_reset_finds_back():
    lab = dl.widgets.Lab("S2", scale="workstation")
    lab.choices.domain.value = "language"
    assert "workstation" not in lab.scale.options and lab.scale.value == "tiny" and lab.space.value == "RNN"
    lab.reset()
    assert (lab.scale.value, lab.data.value, lab.space.value) == ("workstation", "digits", "S2")
    with pytest.raises(ValueError, match="device: not a setting of a lab"):
        dl.lab(device="cpu")


def test_kept_cells_of_another_task_have_no_bar_beside_these(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    drawn = []
    monkeypatch.setattr("darts_lab.figures.retrained", lambda results, ax, unit: drawn.append((dict(results), unit)))
    lab = dl.widgets.Lab("S2", scale="tiny", epochs=1)
    for data, space, unit in (("digits", "S2", "%"), ("bathymetry", "S2", "m")):
        lab.reset()
        lab.choices.domain.value = dl.tasks.of(data).domain
        lab.space.value = space
        lab.start()
        lab.result(PATIENCE)
        lab.keep()
        lab.draw_shared()
        results, told = drawn[-1]
        assert len(results) == 1 and told == unit
