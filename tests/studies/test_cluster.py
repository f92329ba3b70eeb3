"""The lines of the documentation on a cluster, on a SLURM of one node: a worker is killed, a job is cancelled."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import slurm

import darts_lab as dl

PAGE = Path(__file__).parents[2] / "docs" / "many_runs.md"
INSTEAD = {  # of what the documentation asks for
    'memory="16GB"': 'memory="2GB"',
    'job_extra_directives=["--gres=gpu:1"]': f"python={sys.executable!r}, interface='lo', log_directory=folder",
    "minimum_jobs=24, maximum_jobs=24": "minimum_jobs=2, maximum_jobs=2",
    'space=["S1", "S2", "S3", "S4"], data=["cifar10", "cifar100", "svhn"], seed=[1, 2, 3], scale="paper",': (
        'space=["S2", "S3"], seed=[1, 2], scale="tiny", epochs=6, evaluation={"epochs": 1},'
    ),
    'weight_decay=list(dl.methods.L2_FACTORS), protocol="L2",': "",
    '"runs/paper", ': "path, report=told, executor=",
}


def lines() -> str:
    """The documentation's, with a smaller grid."""
    block = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "SLURMCluster" in block
    )
    for asked, instead in INSTEAD.items():
        assert asked in block, asked
        block = block.replace(asked, instead)
    return block


@pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())
def test_a_sweep_on_slurm_gives_the_whole_table_though_a_worker_is_killed_and_a_job_cancelled(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install -e .[cluster])")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for part in ("slurm", "logs"):
        (tmp_path / part).mkdir()
    said, told = [], {}

    def ended(words: str) -> None:
        said.append(words)
        done = sum(bool(re.match(r"\d of 4: ", one)) for one in said)
        if done == 1 and "killed" not in told:
            told["killed"] = next(iter(told["client"]().run(os.getpid).values()))
            os.kill(told["killed"], signal.SIGKILL)
        if done == 2 and "cancelled" not in told:
            jobs = subprocess.run(["squeue", "--noheader", "--states=R", "--format=%i"], capture_output=True, text=True)
            told["cancelled"] = jobs.stdout.split()[0]
            subprocess.run(["scancel", told["cancelled"]], check=True)

    from dask.distributed import default_client

    told["client"] = default_client
    place = {"folder": str(tmp_path / "logs"), "path": tmp_path / "sweep", "told": ended}
    with slurm.running(tmp_path / "slurm"):
        try:
            exec(compile(lines(), str(PAGE), "exec"), place)
        finally:
            for name in ("client", "cluster"):
                if name in place:
                    place[name].close()
    table = place["table"]
    assert len(table) == 4 and table["error"].isna().all() and table["test_error"].between(0, 1).all()
    assert {"killed", "cancelled"} <= told.keys()
    assert any("its worker died; another has gone on with it" in words for words in said), said
    again = dl.Search("S2", seed=1, scale="tiny", epochs=6, path=False)
    *_, last = again
    assert last.valid_error == table["one_shot_error"][0], "the same bits as here"
