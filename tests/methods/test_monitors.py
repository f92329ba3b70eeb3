"""The rule of early stopping against the published figures, and the authors' logs as searches like our own."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import darts_lab as dl
from darts_lab import runs
from darts_lab.curvature.eigenvalues import dominant_eigenvalue, spectrum
from darts_lab.curvature.hessian import Hessian
from darts_lab.interop import robustdarts
from darts_lab.methods import monitors
from darts_lab.methods.monitors import LITERAL, RULE, Adaptation, Rule, measured_epochs, replay


@pytest.fixture(scope="module")
def logs(shared):
    return robustdarts.read_robustdarts(shared / "robustdarts_logs" / "search_logs")


@pytest.fixture(scope="module")
def published(shared):
    return pd.read_csv(shared / "published" / "robustdarts_logs_summary.csv")


@pytest.fixture(scope="module")
def hessians(logs):
    return [[matrix for _, matrix in log.hessians()] for log in logs]


# ---------------------------------------------------------------- the published figures


def test_the_rule_gives_all_108_stop_markers_of_figures_12_and_13(shared):
    """From the published local averages: so with a window of one, which leaves them as they are."""
    figures = pd.read_csv(shared / "published" / "robustdarts_figures.csv")
    rule, seen = Rule(window=1), 0
    for _, series in figures[figures["figure"].isin(["Fig12", "Fig13"])].groupby(["figure", "panel", "series"]):
        averages = series[series["kind"] == "local_avg_ev"].sort_values("x")
        marker = float(series.loc[series["kind"] == "es_stop_marker", "x"].iloc[0])
        epochs = averages["x"].round().astype(int).tolist()
        assert (rule.stop(epochs, averages["y"].tolist()) or epochs[-1]) == round(marker)
        seen += 1
    assert seen == 108


def test_our_summary_of_the_logs_is_the_published_one_row_by_row(logs, published):
    table = replay(logs)
    literal = replay(logs, LITERAL)
    assert len(table) == 16 and not table["problems"].any()
    for row, text, log in zip(table.itertuples(), literal.itertuples(), logs, strict=True):
        job = int(log.path.name.split("-")[1])
        theirs = published[(published["job_id"] == job) & (published["seed"] == row.seed)].iloc[0]
        assert (row.space.lower(), row.data) == (theirs["space"], theirs["dataset"])
        assert (row.drop_path, row.weight_decay) == (theirs["drop_path_prob"], theirs["weight_decay"])
        for name in ("ev_first", "ev_last", "ev_mean", "ev_max"):
            assert getattr(row, name) == pytest.approx(theirs[name], rel=1e-9)
        assert row.stop_epoch == theirs["es_stop_epoch_offline_plots"]
        assert text.stop_epoch == theirs["es_stop_epoch_paper_text"]
        epochs, values = monitors.measurements(log.history)
        online = RULE.replay(epochs[:-1], values[:-1], finished=False) or (49, 49)  # their code never looks at epoch 49
        assert online == (theirs["es_stop_epoch_online_code"], theirs["es_detect_epoch_online_code"])
        assert 100 * row.valid_error_last == pytest.approx(theirs["final_valid_err"])
        assert 100 * row.valid_error_stop == pytest.approx(theirs["valid_err_at_offline_stop"])
        assert row.skips_last == theirs["n_skip_normal_final"]
        assert row.skips_stop == theirs["n_skip_normal_at_offline_stop"]
        assert sum(record.seconds for record in log.history) / 3600 == pytest.approx(theirs["log_hours"], abs=0.02)


def test_our_eigenvalues_of_the_authors_hessians_are_numpys(hessians):
    for matrices in hessians:
        for matrix in matrices[::5]:
            expected = np.linalg.eigvalsh(matrix)[::-1]
            assert np.abs(spectrum(matrix).values - expected).max() < 1e-6
            assert dominant_eigenvalue(matrix, tolerance=1e-6).value == pytest.approx(expected[0], rel=1e-6)


def test_the_interval_holds_the_eigenvalue_of_each_of_the_authors_hessians(hessians):
    products, errors = [], []
    for matrices in hessians:
        for matrix in matrices:
            largest = np.linalg.eigvalsh(matrix)[-1]
            batches, point = [torch.from_numpy(matrix)], torch.zeros(len(matrix), dtype=torch.float64)
            found = dominant_eigenvalue(Hessian(lambda x, batch: 0.5 * x @ batch @ x, point, batches))
            assert found.interval[0] <= largest <= found.interval[1]
            assert found.interval[1] - found.interval[0] <= 0.021 * largest
            products.append(found.products)
            errors.append(abs(found.value / largest - 1))
    assert np.median(products) <= 13 and max(products) <= 25
    assert max(errors) < 1e-6


def test_the_all_ones_of_an_edge_are_an_eigenvector_of_the_authors_hessians_with_the_decay_of_alpha(logs):
    _, matrix = next(logs[0].hessians())
    ones = np.zeros(len(matrix))
    ones[:2] = 1
    assert np.abs(matrix @ ones - 1e-3 * ones).max() < 1e-7


# ---------------------------------------------------------------- the rule by itself


def test_the_two_rules_are_those_of_the_code_and_of_the_text():
    # plots/increasing_eigens.py of RobustDARTS; Zela et al. 2020, section 5.1: window 5, T = 0.75
    assert RULE == Rule(window=5, factor=1.3, delta=4, start=10, unit="measurements")
    assert LITERAL == Rule(window=5, factor=1 / 0.75, delta=5, start=0, unit="epochs")


def test_a_rise_is_seen_four_measurements_later_when_its_window_is_full():
    epochs = measured_epochs(50, 2)
    values = [0.1] * 10 + [1.0] * 16  # from epoch 20 on
    averages = RULE.averages(epochs, values)[1]
    assert averages[7] == pytest.approx(0.1) and averages[8] == pytest.approx((4 * 0.1 + 1.0) / 5)
    # the average of measurement 5 (epoch 10) is 0.1, that of measurement 9 (epoch 18) is 0.46, known at epoch 22
    assert RULE.stop(epochs, values) == 10 and RULE.replay(epochs, values) == (10, 22)
    assert RULE.stop(epochs[:11], values[:11], finished=False) is None
    assert RULE.stop(epochs[:12], values[:12], finished=False) == 10


def test_a_finished_run_uses_windows_that_are_cut_off_and_a_running_one_does_not():
    epochs, values = list(range(12)), [1.0] * 11 + [2.4]
    rule = Rule(start=0)
    assert rule.stop(epochs, values, finished=False) is None
    assert rule.stop(epochs, values) == 6  # the average of 10 is over 8 to 11


@pytest.mark.parametrize(
    ("values", "stop"),
    [([1, 1, 1, 1, 1, 1], None), ([1, 1, 1, 2, 2, 2], 2), ([0, 0, 1, 1, 1, 1], 1), ([1, float("nan"), 2, 2, 2, 3], 4)],
)
def test_flat_rising_zero_and_missing_values(values, stop):
    assert Rule(window=1, delta=1, start=0, factor=1.3).stop(range(6), values) == stop


def test_the_literal_rule_counts_epochs_and_averages_what_was_measured_near():
    epochs, averages = LITERAL.averages([0, 2, 4, 6], [1.0, 2.0, 3.0, 4.0])
    assert list(epochs) == list(range(7))
    assert list(averages) == [1.5, 1.5, 2.0, 2.5, 3.0, 3.5, 3.5]  # within two epochs
    assert LITERAL.stop([0, 2, 4, 6], [1.0, 2.0, 3.0, 4.0]) == 0


def test_a_rule_says_early_when_it_could_never_hold():
    assert RULE.check(measured_epochs(50, 2)) is None
    for rule, says in ((Rule(window=27), "window: 27"), (Rule(delta=26), "delta: 26"), (Rule(start=45), "start: ")):
        with pytest.raises(ValueError, match=says):
            rule.check(measured_epochs(50, 2))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"window": 4}, "window: 4 is not allowed; it must be odd"),
        ({"window": 0}, "window: 0 is not allowed"),
        ({"delta": 0}, "delta: 0 is not allowed"),
        ({"factor": 1.0}, "factor: 1.0 is not allowed; it must be a number above 1"),
        ({"start": -1}, "start: -1 is not allowed"),
        ({"unit": "weeks"}, "unit: 'weeks' is not allowed; it must be 'measurements' or 'epochs'"),
    ],
)
def test_wrong_rules_are_refused(wrong, says):
    with pytest.raises(ValueError) as error:
        Rule(**wrong)
    assert says in str(error.value)


def test_adaptation_takes_the_papers_steps():
    ada = dl.methods.get("DARTS-ADA").monitor
    assert (ada.stronger(3e-4), ada.stronger(3e-3), ada.stronger(3e-2)) == (3e-3, 3e-2, None)
    assert ada.rule == dl.methods.get("DARTS-ES").monitor.rule == Rule(5, 1.3, 4, 10)
    assert Adaptation(most=1e-2).stronger(3e-3) == 1e-2
    for wrong in ({"factor": 1}, {"most": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Adaptation(**wrong)


# ---------------------------------------------------------------- logs as searches


def test_a_run_of_ours_and_a_log_of_theirs_are_the_same_kind_of_object(logs, small_search, tmp_path):
    search = small_search("S2", path=tmp_path / "run", epochs=7, curvature_every=1)
    list(search)
    ours = runs.read(tmp_path / "run")
    assert (ours.space, ours.data, ours.seed, ours.weight_decay) == ("S2", "colours", 0, 3e-4)
    assert [record.to_json()[0] for record in ours.history] == [record.to_json()[0] for record in search.history]
    table = replay([ours, logs[0]], Rule(start=0))
    assert list(table["epochs"]) == [7, 50] and table.notna().all(axis=None)
    assert list(logs[0].hessians())[0][1].shape == (56, 56) and list(ours.hessians()) == []


def test_a_record_without_alpha_goes_to_json_and_back(logs):
    record = logs[0].history[0]
    line, cost = record.to_json()
    again = runs.EpochRecord.from_json(json.loads(json.dumps(line)) | cost, dl.spaces.KNOWN_OPERATIONS)
    assert again.to_json() == (line, cost) and again.alpha is None


SETTING = "search_logs/s1/cifar10/0.0_0.0003-2516843"


@pytest.fixture
def one_log(shared, tmp_path):
    """A copy of one of the authors' runs, to be damaged."""
    folder = tmp_path / SETTING
    folder.mkdir(parents=True)
    for name in ("log_1.txt", "errors_1.json", "derivatives_1.json"):
        shutil.copy(shared / "robustdarts_logs" / SETTING / name, folder / name)
    return folder


def damaged_line(folder, change):
    lines = (folder / "derivatives_1.json").read_text().splitlines()
    measured = json.loads(lines[3])
    lines[3] = json.dumps(change(measured))
    (folder / "derivatives_1.json").write_text("\n".join(lines) + "\n")


def test_a_log_that_was_cut_short_is_read_and_says_so(one_log):
    lines = (one_log / "log_1.txt").read_text().splitlines(keepends=True)
    (one_log / "log_1.txt").write_text("".join(lines[:390]))  # in the middle of an epoch
    (log,) = robustdarts.read_robustdarts(one_log)
    assert log.problems == ["ends after 19 of 50 epochs"] and len(log.history) == 19 and not log.whole
    assert replay([log])["problems"].item() == "ends after 19 of 50 epochs"


def test_a_log_without_a_finished_epoch_is_there_and_says_so(one_log):
    lines = (one_log / "log_1.txt").read_text().splitlines(keepends=True)
    (one_log / "log_1.txt").write_text("".join(lines[:5]))
    (log,) = robustdarts.read_robustdarts(one_log)
    assert log.history == [] and log.problems == ["ends after 0 of 50 epochs"]
    assert "ev_last" not in replay([log]) and replay([log])["problems"].item() == "ends after 0 of 50 epochs"


def test_a_diverged_run_says_from_when_on(one_log):
    errors = json.loads((one_log / "errors_1.json").read_text())
    errors["train_loss"][30:] = [float("nan")] * 20
    (one_log / "errors_1.json").write_text(json.dumps(errors))
    (log,) = robustdarts.read_robustdarts(one_log.parents[2])
    assert log.problems == ["the loss is not a finite number from epoch 30 on"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m | {"H": m["H"][:-1]}, "epoch 6: Hessian: has shape (55, 56); it must be square"),
        (lambda m: m | {"H": m["H"][:-1] + [m["H"][-1][:-1]]}, "epoch 6: Hessian: is no matrix of numbers"),
        (
            lambda m: m | {"H": [[9.0, *m["H"][0][1:]][:1] + [5.0] * 55, *m["H"][1:]]},
            "epoch 6: Hessian: is not symmetric",
        ),
        (lambda m: m | {"H": [[float("nan")] * 56, *m["H"][1:]]}, "epoch 6: Hessian: 56 of its values are NaN"),
    ],
)
def test_a_damaged_hessian_is_named_and_the_others_are_read(change, says, one_log):
    damaged_line(one_log, change)
    (log,) = robustdarts.read_robustdarts(one_log)
    assert len(log.problems) == 1 and says in log.problems[0]
    measured = [record.epoch for record in log.history if record.dominant_eigenvalue is not None]
    assert measured == [epoch for epoch in measured_epochs(50, 2) if epoch != 6]
    with pytest.raises(ValueError) as error:
        list(log.hessians())
    assert says.split(": ", 1)[1] in str(error.value)


def test_files_that_are_missing_or_no_json_are_problems_and_not_the_end(one_log):
    (one_log / "errors_1.json").unlink()
    with open(one_log / "derivatives_1.json", "a") as file:
        file.write('{"epoch": 50, "H"')
    (log,) = robustdarts.read_robustdarts(one_log)
    assert len(log.history) == 50 and log.history[-1].dominant_eigenvalue is not None
    assert any("errors_1.json cannot be read" in problem for problem in log.problems)
    assert any("derivatives_1.json cannot be read to its end: line 27" in problem for problem in log.problems)


@pytest.mark.parametrize(
    "damaged", ["[1, 2]", "5", '{"train_loss": null}', '{"train_loss": [1], "valid_loss": [null]}']
)
def test_losses_in_another_form_are_a_problem_and_not_the_end(damaged, one_log):
    (one_log / "errors_1.json").write_text(damaged)
    (log,) = robustdarts.read_robustdarts(one_log)
    assert len(log.history) == 50 and np.isnan(log.history[3].train_loss)
    assert any("errors_1.json cannot be read" in problem for problem in log.problems)


def test_an_epoch_that_the_log_does_not_tell_whole_is_left_out_and_shifts_no_other(one_log):
    (whole,) = robustdarts.read_robustdarts(one_log)
    lines = (one_log / "log_1.txt").read_text().splitlines(keepends=True)
    cut = [number for number, line in enumerate(lines) if "train_acc" in line][10]
    (one_log / "log_1.txt").write_text("".join(lines[:cut] + lines[cut + 1 :]))
    (log,) = robustdarts.read_robustdarts(one_log)
    assert [record.epoch for record in log.history] == [*range(10), *range(11, 50)]
    expected = [record.to_json() for record in whole.history if record.epoch != 10]
    assert [record.to_json() for record in log.history] == expected
    assert log.problems == ["log_1.txt tells of 49 of the first 50 epochs only"]


def test_logs_are_read_from_within_their_folder_too(one_log, monkeypatch):
    monkeypatch.chdir(one_log)
    (here,) = robustdarts.read_robustdarts(".")
    monkeypatch.chdir(one_log.parents[1])
    (below,) = robustdarts.read_robustdarts("cifar10")
    assert (here.name, here.space, here.data) == (below.name, below.space, below.data) == (below.name, "S1", "cifar10")


def test_code_in_a_log_is_not_run(one_log, tmp_path):
    proof = tmp_path / "proof"
    text = (
        (one_log / "log_1.txt")
        .read_text()
        .replace("Genotype(normal=", f"open({str(proof)!r}, 'w') or Genotype(normal=")
    )
    (one_log / "log_1.txt").write_text(text)
    (log,) = robustdarts.read_robustdarts(one_log)
    assert not proof.exists() and log.history == []
    assert any("does not have the form Genotype" in problem for problem in log.problems)


def test_a_folder_without_logs_is_said_to_have_none(tmp_path):
    with pytest.raises(ValueError, match="holds no logs of RobustDARTS"):
        robustdarts.read_robustdarts(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no directory"):
        robustdarts.read_robustdarts(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no config.json"):
        runs.read(tmp_path)


def test_a_replay_of_a_run_that_was_interrupted_judges_as_a_running_search_does(small_search, tmp_path):
    list(small_search(epochs=2, path=tmp_path / "whole"))
    next(small_search(epochs=2, path=tmp_path / "begun"))
    whole, begun = (dl.runs.read(tmp_path / name) for name in ("whole", "begun"))
    assert whole.whole and not begun.whole
    epochs, values = list(range(12)), [1.0] * 11 + [2.4]
    rule, record = Rule(start=0), whole.history[0]
    history = [replace(record, epoch=epoch, dominant_eigenvalue=value) for epoch, value in zip(epochs, values)]
    stops = [replay([replace(whole, history=history, epochs=asked)], rule)["stop_epoch"][0] for asked in (12, 40)]
    assert stops == [6, 11], "the last windows are not full: it cannot know yet"


def test_adaptation_goes_back_once_a_decay_that_was_at_its_largest_is_lowered_again(small_search):
    method = dl.Method("ADA", monitor=Adaptation(Rule(window=1, delta=1, start=0), most=0.01))
    search = small_search(method=method, epochs=8, curvature_every=1, weight_decay=0.01)
    for value in (1.0, 1.0, 1.0, 9.0):
        next(search)
        record = search.history[-1]
        search.history[-1] = search._watched(replace(record, dominant_eigenvalue=value, back_to=None), method.monitor)
    assert search.history[-1].back_to is None, "with the largest decay it goes on"
    search.change(weight_decay=3e-4)
    assert next(search).back_to == 2, "the epoch before the rise"
