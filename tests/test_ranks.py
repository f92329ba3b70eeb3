"""Two processes that share every batch come to what one comes to, but for rounding; each ends when the other does."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
import shared
import torch
from waiting import PATIENCE

import darts_lab as dl
from darts_lab import ranks

NAMES = list(shared.cases())


def dies_in_its_second_epoch(path: str) -> None:
    torch.set_default_dtype(torch.float64)
    search = shared.small_search(path)
    next(search)
    search.step()
    if ranks.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    next(search)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """(a run that was left when one of two processes was killed, what was said)"""
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("needs SIGKILL")
    path = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(RuntimeError) as said:
        ranks.run(2, dies_in_its_second_epoch, str(path))
    return path, str(said.value)


@pytest.fixture(scope="module")
def both(killed, tmp_path_factory):
    """What one process comes to, and two together, by case."""
    paths = [tmp_path_factory.mktemp("again") / "run" for _ in range(2)]
    for path in paths:
        shutil.copytree(killed[0], path)
    together = ranks.run(2, shared.computed, NAMES, str(paths[1]))
    return shared.computed(NAMES, str(paths[0])), together


@pytest.mark.parametrize("name", [*NAMES, "goes on"])
def test_two_processes_come_to_what_one_comes_to(both, name):
    one, two = (results[name] for results in both)
    assert one.keys() == two.keys() and one
    for what, value in one.items():
        if isinstance(value, torch.Tensor | float):
            torch.testing.assert_close(
                torch.as_tensor(two[what], dtype=torch.float64), torch.as_tensor(value, dtype=torch.float64),
                rtol=1e-10, atol=1e-10, msg=lambda words, what=what: f"{what}: {words}",
            )  # fmt: skip
        else:
            assert two[what] == value, what


def test_the_cases_are_in_numbers_of_64_bits_and_watch_what_they_are_named_for(both):
    one = both[0]
    assert one["GDAS"]["alpha 0"].dtype == torch.float64
    assert one["DARTS-PRIME"]["fisher_trace 1"] > 0 and one["DARTS-ADA"]["dominant_eigenvalue 2"] != 0


def test_a_run_goes_on_by_one_process_or_two_as_if_nobody_had_been_killed(both):
    whole, *resumed = both[0]["whole"], both[0]["goes on"], both[1]["goes on"]
    for one in resumed:
        assert one.keys() == whole.keys()
        for what, value in whole.items():
            if isinstance(value, torch.Tensor):
                assert torch.allclose(one[what], value, 1e-10, 1e-10), what


def test_when_a_process_is_killed_the_others_end_with_one_sentence(killed):
    path, said = killed
    assert said == "ranks: a process was killed by SIGKILL, so the others end too; finished epochs are kept"
    assert len(dl.runs.read(path).history) == 1


def test_processes_that_were_asked_for_different_things_say_so(both):
    assert both[0]["different"] == {"said": None}
    assert both[1]["different"]["said"].startswith("ranks: the processes were asked for different things; all need ")


@pytest.mark.parametrize("processes", [0, -1, 2.0, True, "2"])
def test_a_number_of_processes_that_is_none_is_refused(processes):
    with pytest.raises(ValueError, match="^processes: "):
        ranks.run(processes, print)


def test_a_single_process_changes_nothing():
    x = torch.arange(5.0)
    assert ranks.count() == 1 and ranks.rank() == 0
    assert ranks.total(x) is x and ranks.spread(x) is x and ranks.share(x) is x and ranks.samples(5) == 5


def test_torchrun_makes_one_search_of_all_processes_and_the_first_speaks(tmp_path):
    search = ["search", "--space", "S5", "--scale", "tiny", "--set", "epochs=1", "--path", "run", "--json"]
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*started, "-m", "darts_lab", *search], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    epoch, last = map(json.loads, done.stdout.splitlines())
    (record,) = dl.runs.read(tmp_path / "run").history
    assert epoch["valid_error"] == record.valid_error and last == {"genotype": str(record.genotype), "run": "run"}


def test_a_run_that_was_begun_with_other_arguments_is_not_taken_for_this_one(tmp_path):
    run = tmp_path / "run"
    list(dl.Search("S5", scale="tiny", epochs=1, path=run))
    assert len(dl.search_by(1, "S5", scale="tiny", epochs=1, path=run, bar=False).history) == 1
    for other in ({"seed": 5}, {"epochs": 2}, {"method": "R-DARTS(L2)"}):
        with pytest.raises(ValueError, match=f"{next(iter(other))}"):
            dl.search_by(1, "S5", **({"scale": "tiny", "epochs": 1} | other), path=run, bar=False)
    with pytest.raises(ValueError, match="method: the run .* was made with another one"):
        dl.Search.resume(run, method="R-DARTS(L2)")


def test_a_process_that_was_started_is_waited_for_and_its_pipes_are_closed(recwarn):
    before = set(psutil.Process().children())
    assert ranks.run(1, os.getpid) != os.getpid()
    assert set(psutil.Process().children()) <= before
    gc.collect()
    assert not [one for one in recwarn if issubclass(one.category, ResourceWarning)]
