"""The command line says the same as the Python interface, and one line when something is wrong."""

import json
import subprocess
import sys

import pandas as pd
import pytest
import torch

import darts_lab as dl
from darts_lab import cli
from darts_lab.environment import processor
from darts_lab.studies.job import COSTS


def call(capsys, *arguments):
    status = cli.main(list(arguments))
    output = capsys.readouterr()
    return status, output.out.splitlines(), output.err.splitlines()


def test_search_and_evaluate_give_what_the_python_interface_gives(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, lines, _ = call(capsys, "search", "--scale", "tiny", "--seed", "3", "--path", "run", "--json")
    *epochs, last = map(json.loads, lines)
    search = dl.Search(scale="tiny", seed=3, path=False)
    assert status == 0
    assert [epoch["valid_error"] for epoch in epochs] == [record.valid_error for record in search]
    assert last == {"genotype": str(search.genotype), "run": "run"}

    status, lines, _ = call(capsys, "evaluate", "run", "--scale", "tiny", "--seed", "3", "--json")
    assert status == 0
    assert json.loads(lines[-1])["test_error"] == dl.evaluate(search.genotype, scale="tiny", seed=3).test_error


def test_a_run_is_evaluated_on_its_own_data_at_its_own_scale_and_seed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("--data", "bathymetry", "--scale", "tiny", "--seed", "4", "--space", "S4", "--path", "bt")
    assert call(capsys, "search", *options)[0] == 0
    status, lines, _ = call(capsys, "evaluate", "bt")
    assert status == 0 and "RMSE" in lines[-1] and "multiply-adds" in lines[-1]
    genotype = dl.runs.read("bt").genotype
    found = dl.evaluate(genotype, "bathymetry", "tiny", 4)
    assert f"test RMSE {found.test_error:.2f} m" in lines[-1]
    _, lines, _ = call(capsys, "evaluate", "bt", "--data", "digits", "--seed", "0", "--json")
    assert json.loads(lines[-1])["test_error"] == dl.evaluate(genotype, "digits", "tiny", 0).test_error
    status, _, errors = call(capsys, "evaluate", "bt", "--data", "pydocs")
    assert status == 2 and errors == [
        "darts-lab evaluate: genotype: has cells normal, reduce; data 'pydocs' needs recurrent, as space 'RNN' has"
    ]
    status, lines, _ = call(capsys, "evaluate", str(genotype), "--scale", "tiny", "--json")
    assert json.loads(lines[-1])["test_error"] == dl.evaluate(genotype, "digits", "tiny", 0).test_error


@pytest.mark.parametrize(("command", "words"), [("search", "--resume"), ("sweep", "same command"), ("evaluate", None)])
def test_an_interrupt_promises_only_what_is_kept(command, words, capsys, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, f"_{command}", interrupted)
    status, _, errors = call(capsys, command, *(["x"] if command == "evaluate" else []))
    assert status == 130 and (errors == ["interrupted"] if words is None else words in errors[0])


def test_check_is_that_of_the_python_interface(capsys, monkeypatch):
    free = lambda: 16 * 2**30  # noqa: E731 (what is really free changes from one call to the next)
    monkeypatch.setattr(sys.modules["darts_lab.check"], "host_memory", free)
    status, lines, errors = call(capsys, "check")
    dl.check()
    assert status == 0 and not errors and lines == capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Python ")


def test_an_interrupted_search_goes_on(capsys, tmp_path):
    search = dl.Search(scale="tiny", seed=1, path=tmp_path / "run")
    next(search)
    status, lines, _ = call(capsys, "search", "--resume", str(tmp_path / "run"), "--json")
    whole = list(dl.Search(scale="tiny", seed=1, path=False))
    assert status == 0 and len(lines) == len(whole)  # the other epochs and the genotype
    assert json.loads(lines[-2])["alpha"] == whole[-1].alpha.tolist()


def test_settings_are_changed_by_name(capsys, tmp_path):
    _, lines, _ = call(
        capsys,
        "search",
        "--scale",
        "tiny",
        "--set",
        "epochs=1",
        "--set",
        "weight_decay=0.01",
        "--path",
        str(tmp_path / "r"),
    )
    assert json.loads((tmp_path / "r" / "config.json").read_text())["settings"]["weight_decay"] == 0.01
    assert [line.split()[0] for line in lines if line.lstrip()[:1].isdigit()] == ["0"], "one epoch, number 0"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["search", "--space", "S9"], "space: 'S9' is not known; known: S1, S2"),
        (["search", "--method", "x"], "method: 'x' is not known; known: DARTS"),
        (["search", "--scale", "huge"], "scale: 'huge' is not known; known: tiny, laptop, workstation, paper"),
        (["search", "--data", "mnist"], "data: 'mnist' is not known"),
        (["search", "--set", "epochs"], "--set: 'epochs' does not have the form NAME=VALUE"),
        (["search", "--set", "two\nlines=3"], r"--set: 'two\nlines=3' does not have the form NAME=VALUE"),
        (["search", "--set", "epochs=many"], "epochs: 'many' is not allowed"),
        (["search", "--set", "epoch=3"], "epoch: not a setting; known: "),
        (["search", "--set", "epochs=0"], "epochs: 0 is not allowed; it must be a whole number of at least 1"),
        (["search", "--device", "cuda:99"], "device: 'cuda:99' is not there"),
        (["search", "--resume", "nowhere"], "run: 'nowhere' holds no config.json"),
        (["evaluate", "nothing"], "genotype: 'nothing' is neither a genotype's text, nor a file, nor a run directory"),
        (["evaluate", "Genotype(__import__('os'))"], "does not have the form Genotype(normal="),
        (["evaluate", "BEST = Genotype(normal=[('skip_connect', 0)"], "line 1, column 24, at "),
        (["evaluate", "11/03 07:19:27 PM genotype = Genotype()"], "lacks normal, normal_concat, reduce"),
        (["evaluate", "(((0, 9), (1, 2)), ((0, 0), (1, 0)))"], "normal, edge 0: operation 9 is not known"),
    ],
)
def test_a_wrong_call_gives_one_line_and_leaves_nothing(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(capsys, *arguments)
    assert status == 2 and len(err) == 1 and words in err[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("before", ["NAME = ", "11/03 07:19:27 PM genotype = ", ""])
def test_a_genotype_is_taken_as_text_whatever_stands_before_it(capsys, tmp_path, monkeypatch, before):
    monkeypatch.chdir(tmp_path)
    genotype = dl.uniform_genotype(dl.spaces.S5, "skip_connect")
    text = f"{before}{genotype}".replace("'", '"')
    (tmp_path / "cell (1).txt").write_text(f"# found\n{text}\n")
    for given in (text, "cell (1).txt"):
        _, lines, _ = call(capsys, "evaluate", given, "--scale", "tiny", "--set", "epochs=1", "--json")
        assert json.loads(lines[-1])["genotype"] == str(genotype)


def test_help_teaches():
    shown = subprocess.run(
        [sys.executable, "-m", "darts_lab.cli", "search", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "darts-lab search --space S2" in shown and "weight_decay" in shown and "R-DARTS(L2)" in shown


def test_spectrum_of_a_run_is_that_of_the_python_interface_and_leaves_the_run_alone(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = dl.Search(scale="tiny", seed=1, path="run")
    next(search)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    status, lines, _ = call(capsys, "spectrum", "run", "--batches", "2", "--json")
    (found,) = map(json.loads, lines)
    expected = dl.curvature.spectrum(search, batches=2).values.tolist()
    assert status == 0 and found["epoch"] == 0 and found["batches"] == 2 and found["products"] == 2 * 20
    assert [pair["value"] for pair in found["eigenvalues"]] == expected[:3] + expected[-3:]
    assert all(pair["standard_error"] > 0 for pair in found["eigenvalues"])
    _, lines, _ = call(capsys, "spectrum", "run", "--batches", "1", "--all", "--figure", "eigenvalues")
    assert "20 alphas, 1 batches of 32" in lines[0] and len(lines) == 1 + 20 + 1
    assert lines[-1] == "figure: figures/eigenvalues.png" and (tmp_path / "figures" / "eigenvalues.pdf").exists()
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_the_ends_of_a_spectrum_may_be_of_batch_norms_that_judge(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = dl.Search("S5", scale="tiny", seed=1, path="run")
    next(search)
    _, (line,), _ = call(capsys, "spectrum", "run", "--mode", "eval", "-k", "1", "--batches", "2", "--json")
    found = json.loads(line)
    for wrong in ("0", "7"):  # of twelve alphas, six at either end
        status, _, errors = call(capsys, "spectrum", "run", "-k", wrong)
        assert status == 2 and errors == [
            f"darts-lab spectrum: -k: {wrong} is not allowed; it must be a whole number from 1 to 6"
        ]
    hessian = search.hessian(batches=2, mode="eval")
    ends = [dl.curvature.extreme_eigenvalues(hessian, 1, end)[0].value for end in ("largest", "smallest")]
    assert found["mode"] == "eval" and [pair["value"] for pair in found["eigenvalues"]] == ends


def test_parity_and_version_are_told(capsys, tmp_path):
    options = ("--scale", "tiny", "--set", "epochs=1", "--path", str(tmp_path / "run"))
    assert call(capsys, "search", "--parity", *options)[0] == 0
    assert dl.Search.resume(tmp_path / "run").settings.parity == "RobustDARTS"
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"darts-lab {dl.__version__}\n"


def test_a_sweep_by_several_processes_is_that_of_one(capsys, tmp_path):
    options = ("--space", "S2", "--seeds", "2", "--scale", "tiny", "--set", "epochs=1", "--path")
    tables = []
    for name, more in (("one", ()), ("two", ("--workers", "2"))):
        assert call(capsys, "sweep", *options, str(tmp_path / name), *more)[0] == 0
        tables.append(pd.read_csv(tmp_path / name / "table.csv").drop(columns=list(COSTS)))
    pd.testing.assert_frame_equal(*(table.sort_values("config_hash", ignore_index=True) for table in tables))


def test_spectrum_of_the_authors_logs_is_a_line_a_run(capsys, shared):
    status, lines, _ = call(capsys, "spectrum", str(shared / "robustdarts_logs" / "search_logs" / "s3"), "--json")
    (row,) = map(json.loads, lines)
    assert status == 0 and (row["space"], row["data"], row["stop_epoch"]) == ("S3", "svhn", 22)


def test_spectrum_says_in_one_line_what_is_wrong(capsys, tmp_path):
    for path, says in ((tmp_path, "holds no logs of RobustDARTS"), (tmp_path / "nowhere", "holds no config.json")):
        status, _, errors = call(capsys, "spectrum", str(path))
        assert status == 2 and len(errors) == 1 and says in errors[0]


def test_a_search_that_stops_early_or_turns_back_says_so(capsys, tmp_path):
    for method, word in (("DARTS-ES", "stopped: the eigenvalue"), ("DARTS-ADA", "back to the end of epoch")):
        settings = ("epochs=24", "alpha_learning_rate=0.1", "train_samples=32", "valid_samples=32")
        pairs = [part for setting in settings for part in ("--set", setting)]
        _, lines, _ = call(
            capsys, "search", "--scale", "tiny", "--method", method, "--path", str(tmp_path / method), *pairs
        )
        assert any(line.startswith(word) for line in lines), lines


def test_a_sweep_prints_a_line_a_run_and_its_rows_can_be_verified(capsys, tmp_path):
    path = str(tmp_path / "s")
    options = ("--space", "S2", "S4", "--seeds", "1", "--scale", "tiny", "--set", "epochs=1", "--path", path)
    status, lines, _ = call(capsys, "sweep", *options)
    assert status == 0 and lines[0].startswith("1 of 2: S2 digits DARTS tiny seed 0: one shot error")
    assert any(line.split()[:2] == ["S4", "DARTS"] for line in lines)
    status, lines, errors = call(capsys, "verify", f"{path}/table.csv", "--row", "1")
    assert status == 0 and not errors and any(line.startswith("test_error: 0.") for line in lines)
    assert (
        lines[0].startswith("to be expected: the same bits") and lines[-1] == "came out the same, as was to be expected"
    )
    assert not any("in the table" in line for line in lines)
    table = (tmp_path / "s" / "table.csv").read_text()
    (tmp_path / "changed.csv").write_text(table.replace("DARTS,0.0003,0.0,0,tiny,0.", "DARTS,0.0003,0.0,0,tiny,1."))
    status, lines, errors = call(capsys, "verify", str(tmp_path / "changed.csv"))
    assert sum(line.startswith("one_shot_error: 0.") and ", in the table 1." in line for line in lines) == 1
    assert status == 2 and errors == [
        f"darts-lab verify: row 0 of '{tmp_path}/changed.csv': came out differently in one_shot_error"
    ]
    other = (tmp_path / "changed.csv").read_text().replace(processor(torch.device("cpu")), "abacus")
    (tmp_path / "other.csv").write_text(other)
    status, lines, errors = call(capsys, "verify", str(tmp_path / "other.csv"))
    assert (
        status == 0
        and not errors
        and lines[0].startswith("to be expected: another draw of the same experiment: processor")
    )
    assert lines[-1] == "came out differently in one_shot_error, as was to be expected"


def test_a_row_that_is_not_there_is_said_to_be(capsys, tmp_path):
    (tmp_path / "t.csv").write_text("space,data\nS2,digits\n")
    for arguments, says in ((("--row", "3"), "row: 3 is not in"), ((), "row: holds no job of a sweep")):
        status, _, errors = call(capsys, "verify", str(tmp_path / "t.csv"), *arguments)
        assert status == 2 and len(errors) == 1 and says in errors[0]


def test_a_table_without_rows_is_said_to_be_empty(capsys, tmp_path):
    (tmp_path / "t.csv").write_text("space,data\n")
    status, _, errors = call(capsys, "verify", str(tmp_path / "t.csv"))
    assert status == 2 and errors == [f"darts-lab verify: table: '{tmp_path}/t.csv' holds no row"]


def test_a_sweep_whose_runs_failed_says_so_and_ends_with_an_error(capsys, tmp_path):
    options = ("--scale", "tiny", "--seeds", "2", "--set", "batch_size=100000", "--path", str(tmp_path / "s"))
    status, lines, errors = call(capsys, "sweep", *options)
    assert status == 2 and len(errors) == 1 and "2 of 2 runs failed; the first: ValueError: batch_size" in errors[0]
    assert (tmp_path / "s" / "table.csv").exists() and str(tmp_path / "s" / "table.csv") in lines


def test_the_cell_of_a_run_is_what_its_history_ends_with(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = dl.Search(scale="tiny", seed=1, path="run", epochs=1)
    status, _, errors = call(capsys, "evaluate", "run")
    assert status == 2 and "genotype: 'run' is neither" in errors[0]
    list(search)
    other = dl.uniform_genotype(search.space, "skip_connect")
    assert other != search.genotype
    (tmp_path / "run" / "genotype.txt").write_text(f"{other}\n")
    _, lines, _ = call(capsys, "evaluate", "run", "--scale", "tiny", "--set", "epochs=1", "--json")
    assert json.loads(lines[-1])["genotype"] == str(search.genotype)


def test_the_spectrum_of_no_batch_is_refused(capsys, tmp_path):
    next(dl.Search(scale="tiny", seed=1, path=tmp_path / "run"))
    status, _, errors = call(capsys, "spectrum", str(tmp_path / "run"), "--batches", "0")
    assert status == 2 and len(errors) == 1 and "batches: 0" in errors[0]


def test_prime_searches_from_the_command_line_with_fewer_steps_of_alpha(capsys, tmp_path):
    options = ("--method", "DARTS-PRIME", "--scale", "tiny", "--set", "epochs=2", "--path", str(tmp_path / "run"))
    status, lines, _ = call(capsys, "search", *options, "--json")
    epochs = [json.loads(line) for line in lines[:-1]]
    assert status == 0 and len(epochs) == 2
    batches = sum(len(epoch["moments"]) for epoch in epochs)
    assert 0 <= sum(epoch["alpha_steps"] for epoch in epochs) < batches / 2, "alpha waits for its moments"
