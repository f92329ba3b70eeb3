"""Runs on disk: whatever ends a process, going on gives bit for bit what would have been without the interruption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
from samples import same

import darts_lab as dl
from darts_lab import runs
from darts_lab.genotype import uniform_genotype
from darts_lab.runs import files
from darts_lab.search.training import Training
from darts_lab.tasks import Classification

EPOCHS = 3


def same_run(path, reference, epochs=EPOCHS):
    """Whether two finished runs hold the same: every byte but the costs, and every number of the checkpoint."""
    for name in ("config.json", "history.jsonl", "genotype.txt"):
        assert (path / name).read_bytes() == (reference / name).read_bytes(), name
    assert len((path / "costs.jsonl").read_text().splitlines()) == epochs
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (path, reference)]
    assert not same(states[0], {}) and {"optimizer", "generator"} <= states[0].keys()
    return same(*states)


@pytest.fixture(scope="module")
def data(colours):
    return colours()


def run_through(small_search, path, space, order):
    """A finished run in `path` and a list of copies of it, one after each number of finished epochs from 0 on."""
    search = small_search(space, order=order, epochs=EPOCHS, path=path, drop_path=0.2, cutout=2)
    copies = []
    search.step()
    copies.append(shutil.copytree(path, path.parent / "after0"))  # a process that died in the first epoch
    for record in search:
        copies.append(shutil.copytree(path, path.parent / f"after{record.epoch + 1}"))
    return path, copies


@pytest.fixture(scope="module")
def reference(small_search, tmp_path_factory):
    return run_through(small_search, tmp_path_factory.mktemp("reference") / "run", "S4", 1)


@pytest.fixture(scope="module")
def second_order(small_search, tmp_path_factory):
    return run_through(small_search, tmp_path_factory.mktemp("reference") / "run", "S3", 2)


def copied(path, tmp_path):
    return shutil.copytree(path, tmp_path / "run")


# --- Going on ---------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["reference", "second_order"])
@pytest.mark.parametrize("epochs", range(EPOCHS + 1))
def test_a_resumed_search_gives_bit_for_bit_what_the_uninterrupted_one_gives(epochs, which, data, request, tmp_path):
    path, copies = request.getfixturevalue(which)
    search = dl.Search.resume(copied(copies[epochs], tmp_path), data=data)
    assert search.epoch == epochs and search.finished == (epochs == EPOCHS)
    assert [record.epoch for record in search.history] == list(range(epochs))
    assert [record.epoch for record in search] == list(range(epochs, EPOCHS))
    assert same_run(search.run.path, path)


def test_a_search_resumed_after_every_epoch_is_the_uninterrupted_one(reference, data, tmp_path):
    path, copies = reference
    here = copied(copies[0], tmp_path)
    for epoch in range(EPOCHS):
        search = dl.Search.resume(here, data=data)
        assert next(search).epoch == epoch
        search.step() if not search.finished else None  # and lost again in the middle of the next one
    assert same_run(here, path)


def test_records_of_a_resumed_search_are_the_recorded_ones(reference, data, small_search, tmp_path):
    path, _ = reference
    records = dl.Search.resume(copied(path, tmp_path), data=data).history
    lines = [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
    assert [record.to_json()[0] for record in records] == lines
    assert all(isinstance(record.genotype, dl.Genotype) and record.seconds > 0 for record in records)


@pytest.mark.parametrize("damage", ["one line ahead", "half a line", "one and a half", "costs ahead", "half a cost"])
def test_lists_that_ran_ahead_of_the_checkpoint_are_cut_back_with_the_next_epoch(damage, reference, data, tmp_path):
    path, copies = reference
    here = copied(copies[1], tmp_path)
    name = "costs.jsonl" if "cost" in damage else "history.jsonl"
    lines = (path / name).read_bytes().splitlines(keepends=True)
    whole = lines[1] if damage in ("one line ahead", "one and a half", "costs ahead") else b""
    half = lines[2][:40] if "half" in damage else b""
    with open(here / name, "ab") as file:
        file.write(whole + half)
    before = (here / name).read_bytes()
    search = dl.Search.resume(here, data=data)
    assert search.epoch == len(search.history) == 1
    assert (here / name).read_bytes() == before, "to look at a run, which may be under way, changes nothing in it"
    list(search)
    assert same_run(here, path)


KILLED = """
    import os, signal, sys
    import torch
    torch.set_num_threads(1)
    import darts_lab as dl
    from darts_lab import runs

    search = dl.Search.resume(sys.argv[1], data=torch.load(sys.argv[2], weights_only=True))
    next(search)
    if sys.argv[3] == "in a batch":
        search.step()
        search.task.loss = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    else:  # between the lines of an epoch and its checkpoint, with a temporary file left behind
        os.replace = lambda temporary, path: os.kill(os.getpid(), signal.SIGKILL)
    next(search)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("moment", ["in a batch", "in writing"])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(moment, reference, data, tmp_path):
    path, copies = reference
    here = copied(copies[0], tmp_path)
    arguments = {name: getattr(data, name) for name in ("name", "train", "valid", "test", "classes", "mean", "std")}
    torch.save(arguments, tmp_path / "data.pt")
    script = [sys.executable, "-c", textwrap.dedent(KILLED), str(here), str(tmp_path / "data.pt"), moment]
    done = subprocess.run(script, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len((here / "history.jsonl").read_bytes().splitlines()) == (1 if moment == "in a batch" else 2)
    search = dl.Search.resume(here, data=data)
    assert search.epoch == 1
    list(search)
    assert same_run(here, path)


def test_a_training_from_scratch_is_resumed_bit_for_bit(data, small, tmp_path):
    noise = uniform_genotype(dl.spaces.S4.with_nodes(2), "noise")
    convolutions = uniform_genotype(dl.spaces.S2.with_nodes(2), "sep_conv_3x3")
    for genotype, reductions in ((noise, "searched"), (convolutions, "searched"), (convolutions, "skip")):
        folder = tmp_path / genotype.normal[0][0] / reductions
        more = {"data": data, "scale": small, "epochs": EPOCHS, "drop_path": 0.3, "cutout": 2, "reductions": reductions}
        whole, broken = (Training(genotype, path=folder / name, **more) for name in ("whole", "broken"))
        list(whole)
        for epoch in range(EPOCHS):
            assert next(broken).epoch == epoch
            broken = Training.resume(broken.run.path, data=data)
        assert list(broken) == []
        assert same_run(broken.run.path, whole.run.path)
        assert broken.test() == whole.test()
        first, second = broken.result(), whole.result()
        assert (first.test_error, first.test_loss, first.genotype) == (second.test_error, second.test_loss, genotype)


def test_a_run_from_before_a_setting_goes_on_as_it_began(data, tmp_path):
    """Its config does not name the setting, for which the scale has another value than the default by now."""
    sizes = {"channels": 4, "layers": 3, "batch_size": 8, "train_samples": 16}
    more = {"valid_samples": 16, "decay_scale": 1.0, "curvature_every": 0}
    search = dl.Search("S2", data, scale="laptop", path=tmp_path / "search", **sizes, **more)
    training = Training(search.genotype, data, "laptop", path=tmp_path / "training", reductions="searched", **sizes)
    for run, part, of_scale, name in (
        (search, "settings", "search", "decay_scale"), (training, "evaluation", "evaluation", "reductions"),
    ):  # fmt: skip
        run.step()  # it has begun, and saved nothing yet
        config = run.run.path / "config.json"
        told = json.loads(config.read_text())
        default = getattr(type(run.settings)(), name)
        laptop = dl.scales.get("laptop")
        assert told[part].pop(name) == default != getattr(getattr(laptop, of_scale), name)
        run.run.release()
        config.write_text(json.dumps(told))
        again = type(run).resume(run.run.path, data=data)
        assert getattr(again.settings, name) == default


# --- The directory ----------------------------------------------------------------------------


def test_a_run_directory_holds_config_history_costs_checkpoint_and_genotype(reference):
    path, _ = reference
    lists = ["costs.jsonl", "history.jsonl"]
    assert sorted(os.listdir(path)) == sorted(
        ["checkpoint.pt", "config.json", "genotype.txt", "lock", "previous.pt", *lists]
    )
    config = json.loads((path / "config.json").read_text())
    assert config["kind"] == "search" and config["settings"]["epochs"] == EPOCHS and config["seed"] == 0
    costs = [json.loads(line) for line in (path / "costs.jsonl").read_text().splitlines()]
    assert all(cost.keys() == set(dl.runs.COSTS) for cost in costs)
    lines = [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
    assert dl.Genotype.parse((path / "genotype.txt").read_text()) == dl.Genotype.parse(lines[-1]["genotype"])


def test_nothing_is_written_before_the_first_step_and_nothing_at_all_without_a_path(
    small_search, small, data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARTS_LAB_RUNS", "runs")
    search = small_search(path=False)
    list(search)
    list(Training(search.genotype, data, small))
    waiting = small_search(path="here"), small_search(path=None)
    assert search.run is None and os.listdir() == []
    for search in waiting:
        search.step()
    assert sorted(os.listdir()) == ["here", "runs"]


def test_runs_of_the_same_name_get_folders_of_their_own_below_runs(small_search, tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path / "deep" / "runs"))
    searches = [small_search(path=None, seed=seed) for seed in (0, 0, 1)]
    for search in searches:
        search.step()
    folders = [search.run.path for search in searches]
    assert len(set(folders)) == 3 and {folder.parent for folder in folders} == {tmp_path / "deep" / "runs"}
    assert folders[0].name.startswith("S2-colours-DARTS-small-seed0-") and folders[1].name == f"{folders[0].name}-2"


@pytest.mark.parametrize("name", ["a/b", "../../up", "/nowhere/absolute", "x" * 500, "räume & co", "."])
def test_a_name_of_your_own_stays_below_runs(name, small_search, tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path / "runs"))
    space = dl.spaces.same_on_every_edge(name, "skip_connect", "sep_conv_3x3", nodes=1)
    search = small_search(space, path=None)
    search.step()
    assert search.run.path.parent == tmp_path / "runs"
    assert os.listdir(tmp_path) == ["runs"] and len(os.listdir(tmp_path / "runs")) == 1
    assert runs.Run(search.run.path).config["space"]["name"] == name


@pytest.mark.parametrize("what", ["folder", "file", "run"])
def test_a_path_that_is_taken_is_refused_and_left_as_it_is(what, reference, small_search, tmp_path):
    path = tmp_path / "taken"
    if what == "file":
        path.write_text("mine")
    elif what == "folder":
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
    else:
        shutil.copytree(reference[0], path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(FileExistsError, match="path: '.*taken' is not empty; resume the run in it, or choose another"):
        small_search(path=path).step()
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_an_empty_folder_is_taken_over(small_search, tmp_path):
    search = small_search(path=tmp_path)
    next(search)
    assert search.run.path == tmp_path and (tmp_path / "checkpoint.pt").exists()


def test_a_construction_that_fails_leaves_no_directory(small_search, small, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARTS_LAB_RUNS", "runs")
    for changes in ({"batch_size": 17}, {"seed": -1}, {"channels": 0}, {"device": "abacus"}, {"order": 3}):
        for path in ("here", None):
            with pytest.raises(ValueError):
                small_search(path=path, **changes)
    with pytest.raises(ValueError):
        Training("no genotype", data, small, path="here")
    assert os.listdir() == []


def test_a_config_that_json_cannot_hold_leaves_no_directory(tmp_path):
    with pytest.raises(TypeError):
        runs.Run.create({"name": "x", "what": object()}, tmp_path / "run")
    assert os.listdir(tmp_path) == []


# --- What cannot go on ------------------------------------------------------------------------


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        for kind in (dl.Search, Training):
            with pytest.raises(FileNotFoundError, match="run: '.*' holds no config.json, so it is not a run"):
                kind.resume(path)


def damaged_config(content):
    return lambda path: (path / "config.json").write_bytes(content)


def edited_config(**changes):
    def edit(path):
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | changes))

    return edit


def edited_settings(part="settings", **changes):
    def edit(path):
        config = json.loads((path / "config.json").read_text())
        edited_config(**{part: config[part] | changes})(path)

    return edit


def edited_checkpoint(change):
    def edit(path):
        state = torch.load(path / "checkpoint.pt", weights_only=True)
        torch.save(change(state), path / "checkpoint.pt")

    return edit


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


def cut(name, keep):
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:keep])


def without_previous(damage):
    def edit(path):
        (path / "previous.pt").unlink()
        damage(path)

    return edit


DAMAGES = {
    "config empty": (damaged_config(b""), "run: .*config.json' is damaged"),
    "config half": (cut("config.json", 60), "run: .*config.json' is damaged"),
    "config binary": (damaged_config(b"\xff\xfe\x00"), "run: .*config.json' is damaged"),
    "config a list": (damaged_config(b"[]"), "run: .*config.json' is damaged: it holds no JSON object"),
    "config of nothing": (damaged_config(b"{}"), "run: .*holds no search that can go on"),
    "config of a training": (edited_config(kind="training"), "run: .*holds no search that can go on"),
    "settings a list": (edited_config(settings=[]), "run: .*holds no search that can go on"),
    "setting unknown": (edited_settings(depth=3), "run: .*holds no search that can go on.*depth"),
    "setting senseless": (edited_settings(channels=-4), "channels: -4 is not allowed"),
    "method unknown": (edited_config(method="MAGIC"), "method: 'MAGIC' is not known; known: DARTS"),
    "other data": (edited_config(data={"name": "colours", "fingerprint": "0" * 16}), "data: 'colours' is not what"),
    "data a word": (edited_config(data="colours"), "run: .*holds no search that can go on"),
    "space a word": (edited_config(space="S4"), "run: .*holds no search that can go on"),
    "history short": (cut("history.jsonl", 100), "run: .*history.jsonl' holds 0 epochs, its checkpoint 3"),
    "costs short": (cut("costs.jsonl", 10), "run: .*costs.jsonl' holds 0 epochs, its checkpoint 3"),
    "history damaged": (
        lambda path: (path / "history.jsonl").write_bytes(b"{]\n" * 3),
        "run: line 1 of .*history.jsonl' is damaged",
    ),
    "history of nothing": (
        lambda path: (path / "history.jsonl").write_bytes(b"{}\n" * 3),
        "run: line 1 of .*history.jsonl' is no record of an epoch: .*alpha",
    ),
    "history a number": (
        lambda path: (path / "history.jsonl").write_bytes(b"7\n" * 3),
        "run: line 1 of .*history.jsonl' is no record",
    ),
    "checkpoint empty": (without_previous(cut("checkpoint.pt", 0)), "checkpoint: .* cannot be read"),
    "checkpoint half": (without_previous(cut("checkpoint.pt", 5000)), "checkpoint: .* cannot be read"),
    "checkpoint text": (
        without_previous(lambda path: (path / "checkpoint.pt").write_text("no checkpoint")),
        "checkpoint: .* cannot be read",
    ),
    "checkpoint gone": (
        without_previous(lambda path: (path / "checkpoint.pt").unlink()),
        "run: .* holds 3 epochs, but its checkpoint.pt is gone",
    ),
    "version older": (edited_config(version="0.0.9"), r"run: .* was made by darts_lab 0\.0\.9, this is "),
    "config nested": (damaged_config(b"[" * 100_000), "run: .*config.json' is damaged: it is nested too deeply"),
    "config of another seed": (
        edited_config(seed=1),
        "config.json' is damaged: its hash is not that of what it asks for",
    ),
    "a digit of history": (
        lambda path: (path / "history.jsonl").write_bytes(
            (path / "history.jsonl").read_bytes().replace(b'"alpha_steps": 2', b'"alpha_steps": 3', 1)
        ),
        "history.jsonl' is damaged, or it and the checkpoint are of different",
    ),
    "checkpoint a list": (edited_checkpoint(lambda state: [1, 2]), "checkpoint: .*holds no state"),
    "checkpoint of nothing": (edited_checkpoint(lambda state: {}), "checkpoint: .*holds no state"),
    "checkpoint without weights": (edited_checkpoint(without("supernet")), "checkpoint: .*supernet"),
    "checkpoint without alpha": (edited_checkpoint(without("alpha")), "checkpoint: .*alpha"),
    "checkpoint without optimiser": (edited_checkpoint(without("optimizer")), "checkpoint: .*optimizer"),
    "checkpoint without generator": (edited_checkpoint(without("generator")), "checkpoint: .*generator"),
    "alpha of another shape": (
        edited_checkpoint(lambda state: state | {"alpha": torch.zeros(2, 5, 7)}),
        r"checkpoint: .*alpha has shape \(2, 5, 7\)",
    ),
    "alpha no tensor": (edited_checkpoint(lambda state: state | {"alpha": 3}), "checkpoint: .*does not fit"),
    "epoch no number": (edited_checkpoint(lambda state: state | {"epoch": "3"}), "checkpoint: .*holds no state"),
    "epoch negative": (edited_checkpoint(lambda state: state | {"epoch": -1}), "checkpoint: .*holds no state"),
    "generator of zeros": (
        edited_checkpoint(lambda state: state | {"generator": torch.zeros(3)}),
        "checkpoint: .*does not fit",
    ),
}


def test_a_run_left_on_another_kind_of_device_goes_on_with_other_batches(reference, data, tmp_path):
    path, copies = reference
    here = copied(copies[1], tmp_path)
    edited_checkpoint(lambda state: state | {"device": "cuda", "generator": torch.zeros(16, dtype=torch.uint8)})(here)
    search = dl.Search.resume(here, data=data)
    assert search.epoch == 1
    assert torch.equal(search.alpha, dl.Search.resume(copied(copies[1], tmp_path / "same"), data=data).alpha)
    list(search)
    assert search.finished
    assert search.history[-1].train_loss != dl.Search.resume(path, data=data).history[-1].train_loss


@pytest.mark.parametrize(("damage", "says"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_run_is_refused_in_words(damage, says, reference, data, tmp_path):
    here = copied(reference[0], tmp_path)
    damage(here)
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    with pytest.raises(ValueError, match=says) as error:
        dl.Search.resume(here, data=data)
    assert len(str(error.value)) < 600
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before, "nothing of it is lost"


def test_a_checkpoint_of_another_space_or_size_is_refused(small_search, data, tmp_path):
    def finished(name, **changes):
        search = small_search(path=tmp_path / name, **changes)
        list(search)
        return search.run.path

    mine = finished("mine")
    for other, says in (
        (finished("s4", space="S4"), "of space 'S4', does not fit a search of space 'S2'"),
        (finished("wide", channels=8), "with 4 channels and 3 cells: .*shape"),
        (finished("deep", layers=4), "with 4 channels and 3 cells: .*cells.3"),
        (finished("nodes", nodes=1), "does not fit a search of space 'S2'"),
    ):
        shutil.copy(other / "checkpoint.pt", mine / "checkpoint.pt")
        with pytest.raises(ValueError, match=f"^checkpoint: .*{says}") as error:
            dl.Search.resume(mine, data=data)
        assert "\n" not in str(error.value)


def test_a_run_with_other_data_is_refused(reference, colours, tmp_path):
    for other in (colours(samples=20), colours(size=12)):
        with pytest.raises(ValueError, match="data: 'colours' is not what the run '.*' was made with"):
            dl.Search.resume(copied(reference[0], tmp_path / str(len(other.train[1]))), data=other)


def test_a_run_of_own_operations_asks_for_its_space(small_search, data, tmp_path):
    space = dl.spaces.same_on_every_edge(
        "own", "skip_connect", "mine", nodes=1, operations={"mine": lambda c, s: torch.nn.AvgPool2d(3, s, 1)}
    )
    whole, broken = (small_search(space, path=tmp_path / name) for name in ("whole", "broken"))
    list(whole)
    next(broken)
    with pytest.raises(ValueError, match=r"space: has operations of your own \(mine\); pass it as space="):
        dl.Search.resume(tmp_path / "broken", data=data)
    list(dl.Search.resume(tmp_path / "broken", data=data, space=space))
    assert same(*(torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "broken")))


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_checkpoint_is_not_run(reference, data, tmp_path):
    here, owned = copied(reference[0], tmp_path), tmp_path / "owned"
    state = torch.load(here / "checkpoint.pt", weights_only=True)
    torch.save(state | {"more": Malicious(owned)}, here / "checkpoint.pt")
    with pytest.raises(ValueError, match="checkpoint: .* cannot be read: .*more than tensors") as error:
        dl.Search.resume(here, data=data)
    assert not owned.exists() and "weights_only=False" not in str(error.value)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (edited_checkpoint(lambda state: [1]), "checkpoint: .*holds no state"),
        (edited_checkpoint(without("network")), "checkpoint: .*network"),
        (edited_config(settings=[]), "holds no training that can go on"),
        (edited_config(kind="search"), "holds no training that can go on"),
        (
            edited_settings("evaluation", channels=12),
            r"^run: '[^\n]*config.json' is damaged: its hash is not that of what it asks for$",
        ),
        (edited_config(genotype="Genotype()"), "genotype: {} lacks normal, normal_concat, reduce"),
        (cut("history.jsonl", 0), "holds 0 epochs, its checkpoint 1"),
        (lambda path: (path / "history.jsonl").write_bytes(b"{}\n"), "run: line 1 of .*history.jsonl' is no record"),
    ],
    ids=["list", "no network", "settings", "kind", "size", "genotype", "history", "record"],
)
def test_a_damaged_training_is_refused_in_words(damage, says, small, data, tmp_path):
    genotype = uniform_genotype(dl.spaces.S5, "skip_connect")
    training = Training(genotype, data, small, path=tmp_path / "run", epochs=1)
    list(training)
    damage(training.run.path)
    with pytest.raises(ValueError, match=says):
        Training.resume(training.run.path, data=data)


def test_what_a_line_of_costs_says_of_the_epoch_itself_does_not_count(reference, tmp_path):
    here = copied(reference[0], tmp_path)
    costs = here / "costs.jsonl"
    costs.write_text("".join(json.dumps(json.loads(line) | {"epoch": 7}) + "\n" for line in costs.open()))
    assert [record.epoch for record in runs.read(here).history] == list(range(EPOCHS))


def test_the_history_of_another_run_is_not_read(reference, second_order, tmp_path):
    path = shutil.copytree(reference[0], tmp_path / "run")
    assert runs.read(path).genotype == runs.read(reference[0]).genotype
    for name in ("history.jsonl", "costs.jsonl"):
        shutil.copy(second_order[0] / name, path / name)
    with pytest.raises(ValueError, match="history.jsonl' is damaged, or it and the checkpoint are of different runs"):
        runs.read(path)


def test_the_result_of_a_recorded_search_is_the_cell_that_early_stopping_chose(reference):
    found = runs.read(reference[0])
    assert found.genotype == found.history[-1].genotype
    ended = replace(found, history=[*found.history[:-1], replace(found.history[-1], stop_epoch=0)])
    assert ended.genotype == found.history[0].genotype
    with pytest.raises(ValueError, match="has not finished its first epoch"):
        _ = replace(found, history=[]).genotype


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_others_may_read_what_is_written_as_far_as_the_umask_lets_them(reference):
    new = os.umask(0)
    os.umask(new)
    assert (reference[0] / "config.json").stat().st_mode & 0o777 == 0o666 & ~new


# --- Reading small files ----------------------------------------------------------------------


def test_text_of_a_file_is_read_and_what_is_large_or_no_text_is_refused(tmp_path):
    path = tmp_path / "genotype.txt"
    path.write_text("  Genotype\n")
    assert files.read_text(path) == "Genotype"
    with pytest.raises(ValueError, match="path: '.*genotype.txt' is larger than 5 bytes"):
        files.read_text(path, most=5)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="path: '.*genotype.txt' is not text"):
        files.read_text(path)


def test_the_same_pixels_with_another_augmentation_are_other_data(colours):
    data = colours()
    prints = {
        Classification(replace(data, **change)).fingerprint()
        for change in ({}, {"flip": True}, {"crop_padding": 1}, {"mean": (0.1, 0.2, 0.3)})
    }
    assert len(prints) == 4


# --- Settings changed by hand -----------------------------------------------------------------


def changed_by_hand(search):
    """The search, finished: its decay changed inside epoch 1, its drop path between epochs 2 and 3."""
    next(search)
    search.step()
    search.change(weight_decay=0.5)
    next(search)
    next(search)
    search.change(drop_path=0.6)
    return search, list(search)


def test_a_change_takes_effect_with_the_next_epoch_and_stands_in_its_record(small_search):
    search, _ = changed_by_hand(small_search("S4", epochs=5, drop_path=0.2))
    assert [record.changed for record in search.history] == [
        None,
        None,
        {"weight_decay": 0.5},
        {"drop_path": 0.6},
        None,
    ]
    assert [record.weight_decay for record in search.history] == [3e-4, 3e-4, 0.5, 0.5, 0.5]
    assert search.drop_path == 0.6, "the largest, in the last epoch"
    decayed, plain = search.descent.weights, small_search("S4", epochs=5, drop_path=0.2)
    list(plain)
    norms = [torch.stack([w.norm() for w in weights.values()]).norm() for weights in (decayed, plain.descent.weights)]
    assert norms[0] < 0.97 * norms[1], "the decay must be felt"


@pytest.mark.parametrize("order", [1, 2])
def test_a_search_changed_by_hand_is_resumed_bit_for_bit_after_every_epoch(order, data, small_search, tmp_path):
    def make(path):
        return small_search("S4", order=order, epochs=5, drop_path=0.2, path=path)

    whole, _ = changed_by_hand(make(tmp_path / "whole"))
    search = make(tmp_path / "run")
    next(search)
    search.step()
    search.change(weight_decay=0.5)  # still waiting when the checkpoint of this epoch is written
    next(search)
    search = dl.Search.resume(tmp_path / "run", data=data)
    assert search.waiting == {"weight_decay": 0.5} and search.weight_decay == 0.5
    next(search)
    search = dl.Search.resume(tmp_path / "run", data=data)
    search.change(drop_path=0.6)
    next(search)
    list(dl.Search.resume(tmp_path / "run", data=data))
    assert same_run(tmp_path / "run", tmp_path / "whole", 5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 3}, "epochs: cannot be changed while a search runs; only weight_decay, drop_path can"),
        ({"weight_decay": -1}, "weight_decay: -1 is not allowed"),
        ({"drop_path": 1.0}, "drop_path: 1.0 is not allowed"),
    ],
)
def test_what_cannot_be_changed_is_refused_and_nothing_happens(changes, words, small_search):
    search = small_search()
    with pytest.raises(ValueError, match=words):
        search.change(**({"weight_decay": 0.1} | changes))
    assert search.waiting == {}
