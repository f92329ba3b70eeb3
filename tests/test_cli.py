"""The command line says the same as the Python interface, and one line when something is wrong."""

import json
import subprocess
import sys

import pytest

import darts_lab as dl
from darts_lab import cli


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
    assert sum(line.lstrip().startswith("1 ") for line in lines) == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["search", "--space", "S9"], "space: 'S9' is not known; known: S1, S2"),
        (["search", "--method", "x"], "method: 'x' is not known; known: DARTS"),
        (["search", "--scale", "huge"], "scale: 'huge' is not known; known: tiny, laptop, paper"),
        (["search", "--data", "mnist"], "data: 'mnist' is not known"),
        (["search", "--set", "epochs"], "--set: 'epochs' does not have the form NAME=VALUE"),
        (["search", "--set", "epochs=many"], "epochs: 'many' is not a number"),
        (["search", "--set", "epoch=3"], "epoch: not a setting; known: "),
        (["search", "--set", "epochs=0"], "epochs: 0 is not allowed; it must be a whole number of at least 1"),
        (["search", "--device", "cuda:99"], "device: 'cuda:99' is not there"),
        (["search", "--resume", "nowhere"], "run: 'nowhere' holds no config.json"),
        (["evaluate", "nothing"], "genotype: 'nothing' is neither a genotype's text, nor a file, nor a run directory"),
        (["evaluate", "Genotype(__import__('os'))"], "does not have the form Genotype(normal="),
    ],
)
def test_a_wrong_call_gives_one_line_and_leaves_nothing(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(capsys, *arguments)
    assert status == 2 and len(err) == 1 and words in err[0]
    assert not list(tmp_path.iterdir())


def test_help_teaches():
    shown = subprocess.run(
        [sys.executable, "-m", "darts_lab.cli", "search", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "darts-lab search --space S2" in shown and "weight_decay" in shown and "R-DARTS(L2)" in shown
