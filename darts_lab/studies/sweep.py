"""Many runs: a grid of searches, each followed by a training from scratch, through any executor, as one tidy table.

A *job* is a dictionary: the arguments of `Search` by name, settings included, and under "evaluation" the settings of
the `Training` that follows (None: no training; at paper scale "protocol" chooses the published width and depth). With a
"genotype" there is no search: that cell is trained, and "method" is only what the table calls it. Every job has a
folder, named by what it is and by the hash of its plan:

    search/, training/    run directories, which can be resumed after any interruption
    row.json              the result, written last: a job that has one is finished and never done again
    lock                  held by the process that works here

So a sweep can be stopped or killed and called again, and two sweeps can share a folder. Only `submit` of the executor
and `concurrent.futures.as_completed` are used: loky on one machine, `dask.distributed.Client.get_executor(pure=False)`
beyond.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from darts_lab import __version__, plan, ranks, runs, tasks
from darts_lab.checks import Count, Natural, checked, plain
from darts_lab.plan import Plan
from darts_lab.runs import files
from darts_lab.studies.job import COLUMNS, begun, failed, finished, folder, in_words, words, work

KEYS = 2  # the form of the hashes by which folders are named: 2 is that of plans


def grid(**axes) -> list[dict]:
    """Jobs for every combination: `grid(space=["S1", "S2"], method="DARTS", seed=range(3))` gives six.

    A list, tuple, range, array or column of a table is an axis, anything else the same for all: one pair of
    `alpha_betas` is `[(0.5, 0.999)]`. Raises ValueError for an axis that is empty or holds a value twice, and for what
    the jobs themselves do not allow (`sweep`).

    >>> jobs = dl.grid(space=["S1", "S2"], method="DARTS", seed=range(3))
    >>> len(jobs), jobs[0]
    (6, {'space': 'S1', 'method': 'DARTS', 'seed': 0})
    """
    values = {}
    for name, axis in axes.items():
        axis = plain(axis)
        values[name] = list(axis) if isinstance(axis, list | tuple | range) else [axis]
        if not values[name]:
            raise ValueError(f"{name}: is empty; an axis needs at least one value")
        for value in values[name]:
            if values[name].count(value) > 1:
                raise ValueError(f"{name}: {value!r} stands twice")
    jobs = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
    for job in jobs:
        plan.of_job(job)
    return jobs


@checked
def sweep(
    jobs: Iterable[dict],
    path: str | Path = "runs/sweep",
    executor: Executor | str | int | None = None,
    *,
    threads: Count = 1,
    retries: Natural = 2,
    known: pd.DataFrame | None = None,
    report: Callable[[str], object] = tqdm.write,
) -> pd.DataFrame:
    """The table of `jobs`, one row each, in their order; what is finished below `path` is not done again.

    Nor is what `known`, the table of an earlier sweep of this version, has a row for, on whatever machine. `executor`
    is None (one job after the other, here), "loky" (a process for every core), a number of such processes, or any
    `concurrent.futures.Executor`. A job whose worker dies is sent again, up to `retries` times; one that fails is a row
    with its `error`, and is done again by the next call. `threads` is how many of PyTorch's threads each job uses: the
    same number gives the same bits, however many workers there are. `report` gets a line for every job that ends. What
    has ended below `path` also stands in its table.csv and table.parquet (`read`; `epochs` reads the epochs).

    Raises ValueError, before anything is done, where a job is not allowed or stands twice, `path` holds anything but a
    sweep of this version of darts_lab, or the executor takes no jobs.
    """
    ranks.join()
    if ranks.count() > 1:
        raise ValueError("executor: a sweep is not for the processes of torchrun; start it once, with an executor")
    if isinstance(jobs, Mapping):
        raise ValueError("jobs: dict is not allowed; it must be a list of jobs, such as grid(...) gives")
    plans = [plan.of_job(job) for job in jobs]
    first: dict[str, int] = {}
    for number, one in enumerate(plans):
        other = first.setdefault(one.hash, number)
        if other != number:
            raise ValueError(f"jobs: number {number} asks for the same as number {other}: {words(one)}")
    path = files.path_of(path)
    before = {} if known is None else _rows(known)
    if executor is not None:
        _pool(executor)
    _claim(path)
    rows = {
        number: row
        for number, one in enumerate(plans)
        if (row := finished(one, folder(one, path)) or before.get(one.hash)) is not None
    }
    todo = {number: one for number, one in enumerate(plans) if number not in rows}
    if rows:
        report(f"{len(rows)} of {len(plans)} are finished already")
    _write_table(path, report)  # a process that was killed may have left it behind its rows
    threads_before = torch.get_num_threads()
    try:
        with tqdm(total=len(plans), initial=len(rows), desc="sweep", unit="job", disable=None) as bar:
            for number, row in _worked(todo, path, executor, threads, retries, report):
                rows[number] = row
                bar.update()
                report(f"{len(rows)} of {len(plans)}: {words(plans[number])}: {_result(row)}")
                _write_table(path, report)
    finally:
        torch.set_num_threads(threads_before)  # jobs in threads side by side may have set one another's number
    return pd.DataFrame([rows[number] for number in sorted(rows)], columns=list(COLUMNS))


def read(path: str | Path) -> pd.DataFrame:
    """The table of all that has ended below `path`, a folder of `sweep`: failures too, with their `error`."""
    rows = _rows_below(path)
    return pd.DataFrame([files.object_in(file) for file in rows], columns=list(COLUMNS))


def epochs(path: str | Path) -> pd.DataFrame:
    """Every epoch of every finished search below `path`, a folder of `sweep`: `runs.table`, with the method and the
    hash of the job."""
    tables = []
    for file in _rows_below(path):
        row = files.object_in(file)
        if row.get("error") is None and (file.parent / "search").is_dir():
            table = runs.table([runs.read(file.parent / "search")]).drop(columns="name")
            tables.append(table.assign(method=row["method"], config_hash=row["config_hash"]))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["config_hash"])


def _rows_below(path: str | Path) -> list[Path]:
    """The files of all rows below `path`. Raises FileNotFoundError where there is no such folder."""
    path = files.path_of(path)
    if not path.is_dir():
        raise FileNotFoundError(f"path: {str(path)!r} is no directory")
    return sorted(path.glob("*/row.json"))


def _result(row: dict) -> str:
    """The errors of a row in a few words."""
    task = tasks.of(row["data"])
    return row["error"] or " and ".join(
        f"{name.replace('_', ' ').replace('error', task.metric)} {task.show(row[name])}"
        for name in ("one_shot_error", "test_error")
        if row[name] is not None
    )


def _worked(todo: dict[int, Plan], path: Path, executor, threads, retries, report) -> Iterator[tuple[int, dict]]:
    """(number, row) of every job, as they end."""
    if executor is None:
        yield from ((number, work(one.to_json(), path, threads)) for number, one in todo.items())
        return
    started = {number for number, one in todo.items() if any(map(begun, folder(one, path).glob("*")))}
    deaths, sent_before = dict.fromkeys(todo, 0), False  # of a worker that had the job
    while todo:
        # what may have been the death of its worker has its last try alone, so that no other job pays for it
        doubtful = [number for number in todo if 0 < deaths[number] == retries]
        now = [number for number in todo if number not in doubtful] or doubtful[:1]
        lost: dict[int, Exception] = {}
        for number, result in _sent({number: todo[number] for number in now}, path, executor, threads, sent_before):
            if isinstance(result, Exception):
                lost[number] = result
                continue
            if result.get("resumed") and number not in started:  # the executor sends jobs again by itself
                report(f"{words(todo[number])}: its worker died; another has gone on with it")
            del todo[number]
            yield number, result
        sent_before = True
        for number in [number for number in lost if folder(todo[number], path).exists()] or lost:
            deaths[number] += 1
            if deaths[number] > retries:
                error = f"the worker died, {deaths[number]} times: {in_words(lost[number])}"
                yield number, failed(todo.pop(number), path, threads, error)
            else:
                todo[number] = todo.pop(number)  # last, so that those which had not begun come first
        started |= lost.keys()
        if lost and todo:
            report(f"a worker died ({in_words(next(iter(lost.values())))}); {len(todo)} jobs are sent again")


def _sent(jobs: dict[int, Plan], path: Path, executor, threads: int, before: bool) -> Iterator[tuple[int, Any]]:
    """(number, row) of every job, or its worker's error, as they end. `before`: the executor has taken jobs already."""
    pool, futures = _pool(executor), {}
    try:
        for number, one in jobs.items():
            futures[pool.submit(work, one.to_json(), str(path.resolve()), threads)] = number
    except RuntimeError as error:  # it was shut down, or a worker's death has broken it
        if not before:
            raise ValueError(f"executor: {executor!r} takes no jobs: {error}") from error
        yield from ((number, error) for number in jobs.keys() - futures.values())
    try:
        for future in as_completed(futures):
            try:
                result = future.result()
            except Exception as error:  # `work` catches what a job raises, so this is the worker's own end
                result = error
            yield futures[future], result
    finally:
        for future in futures:
            future.cancel()


def _pool(executor: Executor | str | int):
    if isinstance(executor, Executor) or hasattr(executor, "submit"):
        return executor
    if executor != "loky" and not (isinstance(executor, int) and not isinstance(executor, bool) and executor >= 1):
        raise ValueError(
            f"executor: {executor!r} is not allowed; None, 'loky', a number of processes, or a "
            "concurrent.futures.Executor"
        )
    from loky import get_reusable_executor

    return get_reusable_executor(None if executor == "loky" else executor)  # a new one where the last was broken


def _rows(table: pd.DataFrame) -> dict[str, dict]:
    """The rows of a sweep's table that ended well with this version, by their hash."""
    for name in ("error", "version", "config_hash"):
        if name not in table:
            raise ValueError(f"known: is no table of a sweep: it has no column {name!r}")
    fine = table[table["error"].isna() & (table["version"] == __version__)]
    rows = fine.astype(object).where(fine.notna(), None).to_dict("records")
    return {row["config_hash"]: row for row in rows}


def _claim(path: Path) -> None:
    """Makes `path` a sweep's folder, or checks that it is one, even one that a killed process had only begun. Raises
    ValueError where it is something else."""
    file = path / "sweep.json"
    strange = path.exists() and not (path.is_dir() and {*path.iterdir()} <= files.leftovers(path, file.name))
    if file.is_file():  # asked last, since another process may just now be claiming the folder
        content = files.object_in(file)
        if content.get("version") != __version__:
            raise ValueError(
                f"path: {str(path)!r} holds results of darts_lab {content.get('version')}, this is {__version__}; "
                "choose another folder"
            )
        if content.get("keys") != KEYS:
            raise ValueError(f"path: {str(path)!r} holds results under keys of another form; choose another folder")
        return
    if strange:
        raise ValueError(f"path: {str(path)!r} is neither new nor empty nor the folder of a sweep")
    path.mkdir(parents=True, exist_ok=True)
    files.write(file, json.dumps({"version": __version__, "keys": KEYS}).encode())


def _write_table(path: Path, report: Callable[[str], object]) -> None:
    table, buffer = read(path), io.BytesIO()
    table.to_parquet(buffer, index=False)
    try:
        files.write(path / "table.csv", table.to_csv(index=False).encode())
        files.write(path / "table.parquet", buffer.getvalue())
    except PermissionError as error:  # on Windows, while another program has it open
        report(f"the table is not up to date ({error}); close what has it open, and `read` gives it anyway")
