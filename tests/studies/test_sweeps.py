"""A sweep gives one table, whoever does the work and however often that is interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from filelock import FileLock
from waiting import PATIENCE, until

import darts_lab as dl
from darts_lab.networks.fused import arithmetic
from darts_lab.plan import Plan, of_job
from darts_lab.runs import files
from darts_lab.studies.job import COLUMNS, COSTS, _row, failed, finished, folder, work
from darts_lab.studies.sweep import epochs, grid, read, sweep
from darts_lab.studies.verify import expected, plan_of, verify
from darts_lab.tasks.classification import BOTH_CELLS

TINY = {"scale": "tiny", "epochs": 2, "evaluation": {"epochs": 1}}
NOTHING = lambda _: None  # noqa: E731
needs_sigkill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


def quietly(jobs, path, executor=None, **more):
    return sweep(jobs, path, executor, report=NOTHING, **more)


def same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables hold the same bits, but for what it took."""
    one, other = (
        table.drop(columns=list(COSTS)).sort_values("config_hash", ignore_index=True).astype(object)
        for table in (one, other)
    )
    return one.where(one.notna(), None).equals(other.where(other.notna(), None))


@pytest.fixture(scope="module")
def jobs():
    return grid(space=["S2", "S4"], method=["DARTS", "RS-ws"], seed=3, **TINY)


@pytest.fixture(scope="module")
def inline(jobs, tmp_path_factory):
    """(folder, table) of the jobs done one after the other."""
    path = tmp_path_factory.mktemp("sweep") / "inline"
    return path, quietly(jobs, path)


# --- Jobs ------------------------------------------------------------------------------------


def test_a_grid_is_every_combination():
    jobs = grid(space=("S1", "S2"), method="DARTS", seed=range(3), epochs=5, scale="tiny", evaluation={"epochs": 1})
    assert len(jobs) == 6 and {(job["space"], job["seed"]) for job in jobs} == {
        (s, n) for s in ("S1", "S2") for n in range(3)
    }
    assert all(job["epochs"] == 5 and job["evaluation"] == {"epochs": 1} for job in jobs)


def test_a_job_asks_for_every_setting_and_names_mean_the_same_in_any_case():
    one = of_job({"space": "s2", "method": "darts", "scale": "TINY", "epochs": 2})
    assert one == of_job({"space": "S2", "scale": "tiny", "epochs": 2})
    assert one.search.epochs == 2 and one.search.weight_decay == 3e-4
    assert one.hash != of_job({"scale": "tiny", "epochs": 3}).hash
    assert one.hash != of_job({"scale": "tiny", "epochs": 2, "evaluation": {"epochs": 1}}).hash


def test_at_paper_scale_a_cell_is_trained_in_the_published_size():
    sizes = {}
    for data, protocol in (("cifar10", "default"), ("cifar10", "L2"), ("svhn", "L2")):
        (job,) = grid(space="S2", data=data, scale="paper", protocol=protocol)
        sizes[data, protocol] = tuple(getattr(of_job(job).evaluation, name) for name in ("channels", "layers"))
    assert sizes == {("cifar10", "default"): (16, 20), ("cifar10", "L2"): (16, 8), ("svhn", "L2"): (16, 8)}
    (job,) = grid(space="S2", data="cifar10", scale="paper", evaluation={"channels": 8, "layers": 5})
    assert of_job(job).evaluation.channels == 8
    with pytest.raises(ValueError, match="no published network size for space 'S5'"):
        grid(space="S5", data="cifar10", scale="paper")


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: grid(seed=[]), ["seed:", "at least one"]),
        (lambda: grid(seed=[1, 2, 1]), ["seed: 1 stands twice"]),
        (lambda: grid(method="R-DARTS(L2)", weight_decay=[3e-4]), ["weight_decay: 0.0003 contradicts", "R-DARTS(L2)", "more than 0.0003"]),
        (lambda: grid(space="S9"), ["space: 'S9'", "S1"]),
        (lambda: grid(epoch=3), ["epoch:", "epochs"]),
        (lambda: grid(epochs=0), ["epochs: 0"]),
        (lambda: grid(data="mnist"), ["data: 'mnist'", "digits"]),
        (lambda: grid(method=dl.Method("mine")), ["method:", "must be a name"]),
        (lambda: grid(evaluation=3), ["evaluation: 3", "dictionary"]),
        (lambda: grid(evaluation={"epoch": 3}), ["epoch:", "epochs"]),
        (lambda: grid(space="RNN"), ["space: 'RNN'", "recurrent", "'digits'"]),
        (lambda: grid(space="S6", data="digits"), ["space: 'S6'", "upsample", "'digits'"]),
        (lambda: of_job({"genotype": "nonsense"}), ["genotype:"]),
        (lambda: of_job({"genotype": dl.uniform_genotype(dl.spaces.get("RNN"), "tanh")}), ["genotype:", "recurrent", "'digits'"]),
        (lambda: of_job([1]), ["job: [1]"]),
        (lambda: sweep([{"scale": "tiny"}, {"scale": "TINY"}], "nowhere"), ["number 1", "number 0"]),
        (lambda: sweep([TINY], "nowhere", threads=0), ["threads: 0", "at least 1"]),
        (lambda: sweep([TINY], "nowhere", retries=-1), ["retries: -1", "at least 0"]),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_named_before_anything_is_done(call, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        call()
    assert all(word in str(caught.value) for word in says) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


# --- Its table -------------------------------------------------------------------------------


def test_rows_are_what_the_search_and_the_training_found(inline):
    _, table = inline
    assert list(table.columns) == list(COLUMNS) and table["error"].isna().all()
    row = table.iloc[0]
    with_one_thread = torch.get_num_threads()
    assert with_one_thread == 1
    search = dl.Search("S2", scale="tiny", seed=3, epochs=2, path=False)
    last = list(search)[-1]
    assert (row["one_shot_error"], row["genotype"]) == (last.valid_error, str(search.genotype))
    values = [record.dominant_eigenvalue for record in search.history]
    assert row["dominant_eigenvalue_mean"] == pytest.approx(np.mean(values), rel=1e-12)
    assert row["dominant_eigenvalue_last"] == values[-1]
    assert row["skips_normal"] == search.genotype.count("skip_connect", "normal")
    assert (row["weight_decay"], row["drop_path"]) == (3e-4, 0.0)
    cut = search.one_shot(search.genotype.mixing(search.space))[1]
    assert row["discretization_drop"] == cut - last.valid_error
    assert row["test_error"] == dl.evaluate(search.genotype, "digits", "tiny", 3, epochs=1, space="S2").test_error


def test_the_table_on_disk_is_the_one_that_was_given(inline):
    path, table = inline
    for found in (read(path), pd.read_csv(path / "table.csv"), pd.read_parquet(path / "table.parquet")):
        assert same(found, table)


def test_a_cell_of_ones_own_is_only_trained(tmp_path):
    cell = dl.uniform_genotype(dl.spaces.get("S2").with_nodes(2), "skip_connect")
    job = {"space": "S2", "method": "all skips", "genotype": str(cell), "scale": "tiny", "evaluation": {"epochs": 1}}
    (row,) = quietly([job], tmp_path / "sweep").to_dict("records")
    assert (row["skips_normal"], row["method"]) == (4, "all skips") and row["one_shot_error"] is None
    assert row["test_error"] == dl.evaluate(cell, "digits", "tiny", 0, epochs=1).test_error
    stored = pd.read_csv(tmp_path / "sweep" / "table.csv").iloc[0].to_dict()
    assert verify(stored)["equal"].all(), "nothing was searched, which a CSV file writes as null"


def test_early_stopping_gives_the_cell_and_the_error_of_the_epoch_it_names(tmp_path):
    settings = {"epochs": 24, "alpha_learning_rate": 0.1, "train_samples": 32, "valid_samples": 32}
    (row,) = quietly([{"method": "DARTS-ES", "scale": "tiny", "evaluation": None} | settings], tmp_path / "s").to_dict(
        "records"
    )
    search = dl.Search("S2", method="DARTS-ES", scale="tiny", path=False, **settings)
    list(search)
    stop = search.history[-1].stop_epoch
    assert stop is not None, "the rule must fire for this test to say much"
    assert (row["stop_epoch"], row["one_shot_error"]) == (stop, search.history[stop].valid_error)
    assert row["genotype"] == str(search.genotype) and row["test_error"] is None


# --- Nothing is done twice, and nothing is lost --------------------------------------------------


def test_what_is_finished_is_not_done_again(inline, jobs, monkeypatch):
    path, table = inline
    monkeypatch.setattr("darts_lab.studies.sweep.work", lambda *_: pytest.fail("done again"))
    heard = []
    assert same(sweep(jobs, path, report=heard.append), table)
    assert heard == ["4 of 4 are finished already"]


def test_a_table_that_a_killed_process_left_behind_its_rows_is_made_good(inline, jobs, tmp_path):
    shutil.copytree(inline[0], path := tmp_path / "s")
    (path / "table.csv").unlink()
    quietly(jobs, path)
    assert len(pd.read_csv(path / "table.csv")) == len(jobs)


def test_rows_of_a_table_that_is_known_are_taken_as_they_are(inline, jobs, tmp_path):
    table = pd.read_csv(inline[0] / "table.csv")
    told = []
    again = sweep(jobs, tmp_path / "other", report=told.append, known=table)
    assert same(again, inline[1]) and told == ["4 of 4 are finished already"]
    names = sorted(path.name for path in (tmp_path / "other").iterdir())
    assert names == ["sweep.json", "table.csv", "table.parquet"] and read(tmp_path / "other").empty
    spoilt = table.assign(error=["no", None, None, None], version=[*table["version"][:3], "0.0.1"])
    sweep(jobs, tmp_path / "other", report=told.append, known=spoilt)
    assert told[1] == "2 of 4 are finished already" and len(told) == 4, "failures and other versions are not known"


def test_epochs_are_those_of_the_searches(inline, jobs):
    path, table = inline
    found = epochs(path)
    assert set(found["config_hash"]) == set(table["config_hash"]) and len(found) == 2 * len(jobs)
    last = found[found["epoch"] == 1].set_index("config_hash")
    row = table.iloc[0]
    assert last.loc[row["config_hash"], ["one_shot_error", "genotype", "method"]].tolist() == [
        row["one_shot_error"],
        row["genotype"],
        "DARTS",
    ]
    assert last.loc[row["config_hash"], "skips_normal"] == row["skips_normal"]


def test_a_sweep_killed_while_it_claimed_its_folder_can_begin_again(tmp_path):
    (tmp_path / ".sweep.json.half").write_text("{")
    assert quietly([TINY | {"evaluation": None}], tmp_path)["error"].isna().all()


def test_a_folder_of_trainings_alone_has_no_epochs(tmp_path):
    assert epochs(tmp_path).empty


KILLED = """
import os, signal
from darts_lab.runs import Run
from darts_lab.studies.sweep import sweep

save = Run.save

def killed(run, *arguments, **named):
    save(run, *arguments, **named)
    if run.path.parent.name.startswith("S4"):  # in the middle of the third job, its first epoch done
        os.kill(os.getpid(), signal.SIGKILL)

Run.save = killed
sweep({jobs!r}, {path!r})
"""


@needs_sigkill
def test_a_sweep_that_was_killed_goes_on_to_the_same_table(inline, jobs, tmp_path):
    path = tmp_path / "killed"
    process = subprocess.run(
        [sys.executable, "-c", KILLED.format(jobs=jobs, path=str(path))], stdout=subprocess.DEVNULL
    )
    assert process.returncode == -signal.SIGKILL
    (checkpoint,) = path.glob("S4*/search/checkpoint.pt")
    assert 2 <= len(list(path.glob("*/row.json"))) < 4
    assert same(quietly(jobs, path), inline[1])


def test_a_job_that_fails_is_a_row_and_is_done_again_by_the_next_call(jobs, tmp_path, monkeypatch):
    def failing(plan, here):
        raise MemoryError("no more") if plan.space.name == "S4" else RuntimeError("two\nlines")

    with monkeypatch.context() as patch:
        patch.setattr("darts_lab.studies.job._searched", failing)
        table = quietly(jobs[1:3], tmp_path / "s")
        assert list(table["error"]) == ["RuntimeError: two lines", "MemoryError: no more"]
        assert list(read(tmp_path / "s")["error"]) == list(table.sort_values("space")["error"])
    assert quietly(jobs[1:3], tmp_path / "s")["error"].isna().all()


def test_a_folder_in_use_by_another_process_is_left_alone_and_said_to_be(jobs, tmp_path):
    (row,) = quietly(jobs[:1], tmp_path / "s", threads=1).to_dict("records")
    (here,) = (tmp_path / "s").glob("S2*")
    before = (here / "row.json").read_bytes()
    (here / "row.json").unlink()
    with FileLock(here / "lock"):
        (found,) = quietly(jobs[:1], tmp_path / "s").to_dict("records")
        assert "is in use by another process" in found["error"] and not (here / "row.json").exists()
    assert quietly(jobs[:1], tmp_path / "s")["error"].isna().all()
    again = json.loads((here / "row.json").read_text())
    found, expected = ({k: v for k, v in row.items() if "seconds" not in k} for row in (again, json.loads(before)))
    assert found == expected


def test_two_sweeps_at_once_over_one_folder_leave_whole_rows(inline, jobs, tmp_path):
    path = tmp_path / "shared"
    script = f"from darts_lab.studies.sweep import sweep; sweep({jobs!r}, {str(path)!r})"
    processes = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    table = quietly(jobs, path)
    assert same(table, inline[1]) and same(pd.read_parquet(path / "table.parquet"), table)


def test_a_folder_that_another_process_claims_at_this_moment_is_shared(inline, jobs, tmp_path, monkeypatch):
    begun = tmp_path / ".sweep.json.0123"
    begun.write_text((inline[0] / "sweep.json").read_text())

    def claimed(*arguments, leftovers=files.leftovers):
        if begun.exists():
            begun.rename(tmp_path / "sweep.json")  # what the other process does next
        return leftovers(*arguments)

    monkeypatch.setattr(files, "leftovers", claimed)
    assert same(quietly(jobs, tmp_path), inline[1])


def test_a_folder_of_another_version_or_of_something_else_is_refused(jobs, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "sweep.json").write_text('{"version": "0.0.1"}')
    with pytest.raises(ValueError, match=r"path: .*holds results of darts_lab 0\.0\.1, this is .*choose another"):
        quietly(jobs, other)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(ValueError, match="neither new nor empty nor the folder of a sweep"):
        quietly(jobs, tmp_path / "thesis")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


# --- Executors -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["[]", "{", "[" * 5000, '"x"'])
def test_a_file_of_a_sweep_that_is_damaged_is_named(content, jobs, tmp_path):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(ValueError, match=r"path: .*sweep.json' is damaged"):
        sweep(jobs[:1], tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "row.json").write_text(content)
    for reader in (read, epochs):
        with pytest.raises(ValueError, match=r"path: .*row.json' is damaged"):
            reader(tmp_path)


def test_processes_of_loky_give_the_bits_of_one(inline, jobs, tmp_path):
    heard = []
    assert same(sweep(jobs, tmp_path / "s", 2, report=heard.append), inline[1])
    assert len(heard) == 4 and all("one shot error" in line for line in heard)


@needs_sigkill
def test_a_worker_that_is_killed_is_replaced_and_the_sweep_says_so(inline, jobs, tmp_path):
    heard, path, killed = [], tmp_path / "s", []

    def workers():
        children = psutil.Process().children(recursive=True)
        return [child.pid for child in children if "popen_loky_posix" in " ".join(child.cmdline())]

    def kill():
        until(lambda: any(killed_amid_a_job(pid) and not killed.append(pid) for pid in workers()))

    thread = threading.Thread(target=kill)
    thread.start()
    table = sweep(jobs, path, 2, report=heard.append)
    thread.join()
    assert killed and same(table, inline[1]) and any(line.startswith("a worker died") for line in heard)


@needs_sigkill
def test_a_worker_that_always_dies_is_a_row_with_its_error(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr("darts_lab.studies.sweep.work", _die)
    table = quietly(jobs[:1], tmp_path / "s", 1, retries=1)
    assert "the worker died, 2 times" in table["error"][0]
    assert read(tmp_path / "s")["error"].notna().all()


@needs_sigkill
def test_a_job_that_always_kills_its_worker_takes_no_other_with_it(inline, jobs, tmp_path, monkeypatch):
    monkeypatch.setattr("darts_lab.studies.sweep.work", _die_of_the_first)
    table = quietly(jobs, tmp_path / "s", 2, retries=1)
    assert "the worker died, 2 times" in table["error"][0]
    assert same(table[1:], inline[1][1:])


def _die_of_the_first(content, path, threads):
    """The job that is sent first is the death of its worker once it has begun."""
    one = Plan.from_json(content)
    if (one.space.name, one.names["method"]) == ("S2", "DARTS"):
        folder(one, Path(path)).mkdir(parents=True, exist_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return work(content, path, threads)


def _die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_executor_that_is_shut_down_or_none_is_refused(jobs, tmp_path):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(ValueError, match="executor: .*takes no jobs: cannot schedule new futures after shutdown"):
        quietly(jobs, tmp_path / "s", pool)
    for wrong in ("slurm", 0, True, 2.5):
        with pytest.raises(ValueError, match=f"executor: {wrong!r} is not allowed"):
            quietly(jobs, tmp_path / "s", wrong)


@needs_sigkill
def test_a_pool_that_a_dead_worker_has_broken_ends_in_rows_that_say_so(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr("darts_lab.studies.sweep.work", _die)
    with ProcessPoolExecutor(1) as pool:
        table = quietly(jobs[:2], tmp_path / "s", pool, retries=1)
    assert table["error"].str.contains("the worker died, 2 times: BrokenProcessPool").all()


def test_a_job_that_has_ended_well_is_not_made_a_failure_by_a_worker_that_dies_behind_it(inline, jobs):
    path, table = inline
    one = of_job(jobs[0])
    row = failed(one, path, 1, "the worker died")
    assert (
        row["error"] is None and row["test_error"] == table["test_error"][0] and finished(one, folder(one, path)) == row
    )


def killed_amid_a_job(pid):
    """Kills a worker if it has begun with a job and not come to its end; it stands still while that is found out."""
    os.kill(pid, signal.SIGSTOP)
    held = {Path(file.path).parent for file in psutil.Process(pid).open_files() if file.path.endswith("/lock")}
    amid = any((job / "search" / "checkpoint.pt").exists() and not (job / "row.json").exists() for job in held)
    os.kill(pid, signal.SIGKILL if amid else signal.SIGCONT)
    return amid


@needs_sigkill
def test_dask_with_a_worker_killed_in_the_middle_gives_the_bits_of_one_process(inline, jobs, tmp_path):
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    patient = {f"distributed.comm.timeouts.{name}": f"{PATIENCE}s" for name in ("connect", "tcp")}
    path, options = tmp_path / "s", {"dashboard_address": None, "host": "127.0.0.1", "memory_limit": 0}
    with (
        dask.config.set(patient),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = client.run(os.getpid).values()
        thread = threading.Thread(target=lambda: until(lambda: any(map(killed_amid_a_job, workers))))
        thread.start()
        said = []
        table = sweep(jobs, path, client.get_executor(pure=False), report=said.append)
        thread.join()
    assert same(table, inline[1])
    assert any("its worker died; another has gone on with it" in line for line in said)


# --- Doing a row again ---------------------------------------------------------------------------


def test_a_row_of_a_committed_table_can_be_done_again(inline):
    path, _ = inline
    row = pd.read_csv(path / "table.csv").iloc[1].to_dict()
    found = verify(row)
    assert found["equal"].all() and {"test_error", "genotype", "config_hash"} <= set(found.index)
    assert list(found[~verify(row | {"test_error": 0.5})["equal"]].index) == ["test_error"]


def test_a_row_tells_what_made_it_and_whether_the_same_bits_can_be_had_here(inline):
    row = inline[1].iloc[0].to_dict()
    assert row["processor"] == arithmetic(torch.device("cpu")) and row["torch"] == torch.__version__
    assert (row["threads"], row["reductions"]) == (1, "searched") and row["processor_seconds"] > 0
    assert expected(row) == (True, "the same bits: it was made on such a processor, with these versions")
    same, why = expected(row | {"processor": "abacus, wood"})
    assert not same and "another draw of the same experiment: processor 'abacus, wood' there, " in why
    assert expected(row | {"torch": "1.0"})[0] is False and "torch '1.0' there" in expected(row | {"torch": "1.0"})[1]
    older = {name: value for name, value in row.items() if name not in ("processor", "torch")}
    assert expected(older) == (
        True,
        "the same bits, if on this processor: the table does not say its processor and torch",
    )


def test_a_setting_that_a_row_does_not_name_has_its_default_whatever_the_scale_says(tmp_path):
    (older,), (scaled,) = grid(scale="laptop", decay_scale=1.0, evaluation=BOTH_CELLS), grid(scale="laptop")
    assert of_job(scaled).search.decay_scale == 7.86 and of_job(scaled).evaluation.reductions == "skip"
    row = _row(of_job(older), 1)
    assert row["reductions"] == "searched" and plan_of(row) == of_job(older)
    for column, name in (("settings", "decay_scale"), ("evaluation", "reductions")):
        settings = json.loads(row[column])
        del settings[name]
        row[column] = json.dumps(settings)
    assert plan_of(row) == of_job(older)
    short = of_job({"scale": "laptop", "decay_scale": 1.0, "epochs": 1, "train_samples": 64, "evaluation": None})
    done = work(short.to_json(), tmp_path)
    assert done["error"] is None
    (run,) = tmp_path.glob("*/search/config.json")
    assert json.loads(run.read_text())["settings"]["decay_scale"] == 1.0


def test_a_row_that_is_none_or_was_changed_or_is_of_another_device_is_refused(inline):
    row = inline[1].iloc[0].to_dict()
    with pytest.raises(ValueError, match="row: was computed on 'abacus', here it would be on 'c"):
        verify(row | {"device": "abacus"})
    for gone in ({name: value for name, value in row.items() if name != "threads"}, row | {"threads": float("nan")}):
        with pytest.raises(ValueError, match="row: holds no job of a sweep: it has no threads"):
            verify(gone)
    with pytest.raises(ValueError, match="row: holds no job of a sweep"):
        plan_of({"space": "S2"})
    with pytest.raises(ValueError, match="row: its config_hash is '00000000', but what it asks for now makes"):
        plan_of(row | {"config_hash": "00000000"})


def test_a_row_that_is_another_jobs_is_not_believed(inline, jobs, tmp_path):
    path, table = inline
    one, other = (folder(of_job(job), path) for job in (jobs[0], jobs[2]))
    here = folder(of_job(jobs[0]), tmp_path / "s")
    here.mkdir(parents=True)
    (tmp_path / "s" / "sweep.json").write_bytes((path / "sweep.json").read_bytes())
    (here / "row.json").write_bytes((other / "row.json").read_bytes())
    assert finished(of_job(jobs[0]), here) is None and finished(of_job(jobs[0]), one) is not None
    assert same(quietly(jobs[:1], tmp_path / "s"), table[:1])


def test_a_folder_named_by_keys_of_another_form_is_refused(inline, jobs, tmp_path):
    file = tmp_path / "sweep.json"
    content = json.loads((inline[0] / "sweep.json").read_text())
    del content["keys"]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="path: .* holds results under keys of another form; choose another folder"):
        quietly(jobs[:1], tmp_path)


def test_work_leaves_the_threads_of_the_process_as_they_were(jobs, tmp_path):
    work(of_job(jobs[0] | {"evaluation": None, "epochs": 1}).to_json(), tmp_path, threads=2)
    assert torch.get_num_threads() == 1


def test_a_pool_of_threads_leaves_them_so_too(jobs, tmp_path):
    short = [job | {"evaluation": None, "epochs": 1} for job in jobs[:2]]
    with ThreadPoolExecutor(2) as pool:
        table = sweep(short, tmp_path, pool, threads=2, report=lambda line: None)
        assert table["error"].isna().all() and torch.get_num_threads() == 1
