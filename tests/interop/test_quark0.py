"""Logs of quark0/darts and its relatives, as searches like ours."""

import math

import pytest
import torch
from matplotlib.figure import Figure
from samples import quark0_log

import darts_lab as dl
from darts_lab.interop.quark0 import read_logs
from darts_lab.widgets import Replay


def written(folder, text, name="log.txt"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    "form",
    [{}, {"stamp": "2018-12-07 11:{:02d}:19,274"}, {"old": True}, {"stamp": ""}],
    ids=["quark0", "ISO", "PyTorch 0.3", "output alone"],
)
def test_a_log_is_read_as_a_search(form, tmp_path):
    text, weights = quark0_log(**form)
    (search,) = dl.read_quark0(written(tmp_path / "search-EXP-20181207-110319", text))
    assert (search.name, search.space, search.data, search.seed) == (
        "search-EXP-20181207-110319",
        "DARTS",
        "cifar10",
        2,
    )
    assert search.weight_decay == 3e-4 and [record.epoch for record in search.history] == [0, 1, 2]
    first = search.history[0]
    assert (first.train_error, first.valid_error) == pytest.approx((0.6, 0.5))
    assert (first.train_loss, first.valid_loss, first.learning_rate) == (2.0, 1.5, 0.025)
    assert first.seconds == 60 or form.get("stamp") == "" and math.isnan(first.seconds)
    # what an epoch prints at its beginning is what the one before it has learnt
    assert [record.genotype for record in search.history[:2]] == [
        dl.discretize(w, dl.spaces.DARTS) for w in weights[1:]
    ]
    for record, expected in zip(search.history[:2], weights[1:]):
        torch.testing.assert_close(record.mixing, expected, atol=1e-4, rtol=0)
    assert search.history[2].mixing is None and search.genotype == search.history[1].genotype
    assert search.problems == ["the cell after epoch 2 is not in the log; its record has the one before it"]


def test_a_log_file_has_no_mixing_weights_and_several_make_a_list(tmp_path):
    text = quark0_log(alphas=False)[0]
    for name in ("search-EXP-1", "search-EXP-2"):
        written(tmp_path / name, text)
    written(tmp_path / "eval-EXP-3", "11/03 07:19:27 PM epoch 0 lr 2.5e-02\n11/03 07:19:27 PM train_acc 50.0\n")
    found = dl.read_quark0(tmp_path)
    assert [search.name for search in found] == ["search-EXP-1", "search-EXP-2"], "a training tells no genotype"
    assert all(record.mixing is None for search in found for record in search.history)
    assert len(dl.runs.table(found)) == 6 and list(dl.monitors.replay(found)["epochs"]) == [3, 3]
    assert all(search.epochs in (None, 3) or not search.whole for search in found), "cut off"
    one = written(tmp_path / "else", text, "nohup.out") / "nohup.out"
    assert read_logs(one)[0].name == "nohup" and len(read_logs(tmp_path)) == 2


def test_a_genotype_behind_the_steps_is_that_of_its_epoch(tmp_path):
    genotype = dl.uniform_genotype(dl.spaces.S2, "skip_connect")
    lines = ["args = Namespace(seed=4, space='s2', set='cifar100', weight_decay=0.0027, epochs=1)", "epoch 0 lr 1e-2"]
    lines += ["train_acc 40.0", "valid_acc 30.0", f"genotype = {genotype}"]
    (search,) = dl.read_quark0(written(tmp_path, "\n".join(lines)))
    assert search.genotype == genotype and not search.problems
    assert (search.space, search.data, search.seed, search.weight_decay) == ("S2", "cifar100", 4, 0.0027)


def test_a_log_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path):
    text = quark0_log()[0]
    lengths = set()
    for end in range(0, len(text), 97):
        found = dl.read_quark0(written(tmp_path, text[:end])) if "genotype = " in text[:end] else []
        for search in found:
            assert [record.epoch for record in search.history] == list(range(len(search.history)))
            assert search.problems, "it says so"
            lengths.add(len(search.history))
    assert lengths == {0, 1, 2}


@pytest.mark.parametrize(
    ("before", "after", "words", "epochs"),
    [
        ("valid_acc 51", "valid_acc 151", "valid_acc 151.000000 is no percentage", 1),
        ("epoch 1 lr 2.5", "epoch 1 lr x", "could not convert string to float: 'x", 1),
        (
            "genotype = Genotype(normal=[(",
            "genotype = Genotype(normal=[(__import__('os').system('touch owned'), ",
            "line 5: genotype: ",
            0,
        ),
        ("epoch 2 lr", "epoch 0 lr", "begins again with epoch 0", 1),
        ("args = Namespace(", "args = (", "it does not tell its settings", 3),
        ("tensor([[", "tensor([[1.0, ", "the mixing weights after epoch 0 are left out", 3),
        ("epoch 1 lr", "epoch 1000000 lr", "epoch 1000000 is not allowed", 1),
        ("epoch 1 lr", "epoch 7 lr", "begins again with epoch 2", 2),
        ("epoch 2 lr", "epoch 5 lr", "epoch 2 is not in the log", 3),
    ],
)
def test_what_is_wrong_with_a_log_stands_in_its_problems(before, after, words, epochs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = quark0_log()[0]
    assert before in text
    (search,) = dl.read_quark0(written(tmp_path / "a", text.replace(before, after)))
    assert any(words in problem for problem in search.problems), search.problems
    assert len(search.history) == epochs and not (tmp_path / "owned").exists()


def test_what_is_no_log_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: .* is not there"):
        dl.read_quark0(tmp_path / "none")
    for read in (dl.read_quark0, read_logs):
        with pytest.raises(ValueError, match="path: .* holds no log.* of quark0/darts|nor of quark0/darts"):
            read(written(tmp_path, "nothing"))


def test_a_log_is_replayed(tmp_path):
    replay = Replay(written(tmp_path, quark0_log()[0]))
    replay.epoch.value = 1
    while replay._thread is not None:
        replay._thread.join()
    assert "epoch 1" in replay.status.value and "Not drawn" not in replay.status.value


@pytest.mark.parametrize("content", ['{"lr": 0.1}', '{"space": "darts"}'])
def test_a_config_of_their_own_beside_a_log_is_not_taken_for_one_of_ours(content, tmp_path):
    folder = tmp_path / "search-EXP-1"
    written(folder, quark0_log()[0])
    (folder / "config.json").write_text(content)
    (search,) = dl.read_quark0(folder)
    assert dl.replay(tmp_path).search.name == search.name
    figure = Figure()
    dl.figures.errors(search.history, figure.subplots())
    dl.figures.save("theirs", figure, run=search, folder=tmp_path)
    assert search.name in (tmp_path / "theirs.csv").read_text().splitlines()[0]
    with pytest.raises(ValueError, match="run: "):  # said to be a run of ours, which it is not
        dl.figures.save("theirs", figure, run=dl.runs.Run(folder), folder=tmp_path)
