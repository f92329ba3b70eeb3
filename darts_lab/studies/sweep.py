"""Many runs: a grid of searches, each followed by a training from scratch, through any executor, as one tidy table.

A *job* is a dictionary: the arguments of `Search` by name, settings included, and under "evaluation" the settings of the
`Training` that follows (None: no training; at paper scale "protocol" chooses the published width and depth). With a "genotype" there is no search: that cell is trained, and "method" is
only what the table calls it. Every job has a folder of its own, named by what it is and by a hash of all it asks for:

    search/, training/    run directories, which go on after any interruption
    row.json              the result, written last: a job that has one is finished and never done again
    lock                  held by the process that works here

so a sweep can be stopped or killed and called again, and two sweeps can share a folder. Only `submit` of the executor and
`concurrent.futures.as_completed` are used: loky on one machine, `dask.distributed.Client.get_executor(pure=False)` beyond.
"""

from __future__ import annotations

import io
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, as_completed
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock, Timeout

from darts_lab import __version__, methods, runs, spaces, tasks
from darts_lab import data as datasets
from darts_lab.checks import Seed, allow
from darts_lab.environment import choose_device, processor
from darts_lab.genotype import Genotype
from darts_lab.methods.monitors import measurements
from darts_lab.runs import files
from darts_lab.search.search import Search
from darts_lab.search.training import Training
from darts_lab.settings import EvaluationSettings, SearchSettings, asked, override, telling
from darts_lab.spaces import CELL_TYPES, NOISE, SKIP
from darts_lab.studies.cells import discretization_drop
from darts_lab.tasks import scales

NAMES = {"space": "S2", "data": "digits", "method": "DARTS", "scale": "laptop", "seed": 0}
COLUMNS = (
    "space", "data", "method", "weight_decay", "drop_path", "seed", "scale", "one_shot_error", "test_error",
    "discretization_drop", "dominant_eigenvalue_mean", "dominant_eigenvalue_last", "skips_normal", "skips_reduce",
    "noise_normal", "noise_reduce", "epochs", "alpha_steps", "stop_epoch", "parameters", "reductions", "seconds",
    "search_seconds", "processor_seconds", "threads", "device", "processor", "torch", "settings", "evaluation", "genotype",
    "config_hash", "version", "error",
)  # fmt: skip
COSTS = ("seconds", "search_seconds", "processor_seconds")
MADE_BY = ("device", "processor", "threads", "torch", "version")  # what decides which bits come out, beside what is asked  # fmt: skip


def grid(**axes) -> list[dict]:
    """Jobs for every combination: `grid(space=["S1", "S2"], method="DARTS", seed=range(3))` gives six.

    A list, tuple or range is an axis, anything else the same for all: one pair of `alpha_betas` is `[(0.5, 0.999)]`. Raises ValueError for an axis that is empty or
    holds a value twice, and for what the jobs themselves do not allow (`sweep`).
    """
    values = {}
    for name, axis in axes.items():
        values[name] = list(axis) if isinstance(axis, list | tuple | range) else [axis]
        if not values[name]:
            raise ValueError(f"{name}: is empty; an axis needs at least one value")
        for value in values[name]:
            if values[name].count(value) > 1:
                raise ValueError(f"{name}: {value!r} stands twice")
    jobs = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
    for job in jobs:
        complete(job)
    return jobs


def complete(job: dict) -> dict:
    """Everything that `job` asks for, as JSON can hold it: names, seed, and all settings of search and training.

    Raises ValueError, naming the argument, for what is unknown or not allowed, and for settings that contradict the
    method, whose name would then stand for something else.
    """
    if not isinstance(job, dict):
        raise ValueError(f"job: {job!r} is not allowed; it must be a dictionary of arguments of Search")
    rest = dict(job)
    found = {name: rest.pop(name, default) for name, default in NAMES.items()}
    evaluation, genotype = rest.pop("evaluation", {}), rest.pop("genotype", None)
    protocol = rest.pop("protocol", "default")
    scales.check_protocol(protocol)
    for name in ("space", "data", "method", "scale"):
        if not isinstance(found[name], str):
            kind = type(found[name]).__name__
            raise ValueError(f"{name}: {kind} is not allowed in a sweep; it must be a name")
    if found["data"] not in datasets.NAMES:
        raise ValueError(f"data: {found['data']!r} is not known in a sweep; known: {', '.join(datasets.NAMES)}")
    task = tasks.of(found["data"])
    space, scale = spaces.get(found["space"]), scales.get(found["scale"], task.domain)
    if isinstance(genotype, str):
        genotype = Genotype.parse(genotype)
    task.check_cells(space if genotype is None else genotype, found["data"])
    allow("seed", found["seed"], Seed)
    found |= {"space": space.name, "scale": scale.name}
    if genotype is None:
        method = methods.get(found["method"])
        for name in sorted(rest.keys() & method.settings.keys()):
            if rest[name] != method.settings[name]:
                raise ValueError(
                    f"{name}: {rest[name]!r} contradicts method {method.name!r}, which means {method.settings[name]!r}"
                )
        settings = override(scale.search, **(method.defaults(scale) | rest))
        if method.strong_decay and settings.weight_decay <= scale.search.weight_decay:
            raise ValueError(
                f"weight_decay: {settings.weight_decay!r} contradicts method {method.name!r}, which means more than "
                f"{scale.search.weight_decay!r}"
            )
        settings = telling(settings)
        found |= {"method": method.name, "monitor": repr(method.monitor), "settings": settings}
        plain = methods.Method(method.name)
        for name in ("schedule", "terms", "admm", "train_portion", "node_norm", "pruning"):
            if getattr(method, name) != getattr(plain, name):
                found[name] = repr(getattr(method, name))
    else:
        if rest:
            raise ValueError(f"{next(iter(rest))}: is not allowed beside a genotype, for which nothing is searched")
        if evaluation is None:
            raise ValueError("evaluation: None is not allowed beside a genotype, for which there is nothing else to do")
        found["genotype"] = str(genotype)
    if evaluation is not None:
        if not isinstance(evaluation, dict):
            raise ValueError(f"evaluation: {evaluation!r} is not allowed; it must be a dictionary of settings, or None")
        if scale.name == "paper":
            evaluation = task.published(space.name, found["data"], protocol, evaluation)
        found["evaluation"] = telling(override(scale.evaluation, **evaluation))
    return json.loads(json.dumps(found))  # as it will be read back


def sweep(
    jobs: Iterable[dict],
    path: str | Path = "runs/sweep",
    executor: Executor | str | int | None = None,
    *,
    threads: int = 1,
    retries: int = 2,
    known: pd.DataFrame | None = None,
    report: Callable[[str], object] = print,
) -> pd.DataFrame:
    """The table of `jobs`, one row each, in their order; what is finished below `path` already is not done again.

    Nor is what `known`, the table of an earlier sweep of this version, has a row for. `executor` is None (one job after
    the other, here), "loky" (a process for every core), a number of such processes, or any `concurrent.futures.Executor`.
    A job whose worker dies is sent again, up to `retries` times. A job that fails is a row with its `error`, and is done
    again by the next call. `threads` is how many of PyTorch's each job uses on a CPU: the same number gives the same
    bits, however many workers there are. `report` is told of every job that ends, and of the time left. All that has
    ended below `path` also stands in table.csv and table.parquet there (`read`), and its epochs can be had (`epochs`).

    Raises ValueError, before anything is done, where a job is not allowed or stands twice, `path` holds anything but a
    sweep of this version of darts_lab, or the executor takes no jobs.
    """
    configs = [complete(job) for job in jobs]
    for name, value, least in (("threads", threads, 1), ("retries", retries, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: {value!r} is not allowed; it must be a whole number of at least {least}")
    first = {}
    for number, config in enumerate(configs):
        other = first.setdefault(runs.config_hash(config), number)
        if other != number:
            raise ValueError(f"jobs: number {number} asks for the same as number {other}: {told(config)}")
    path = files.path_of(path)
    if executor is not None:
        _pool(executor)
    _claim(path)
    before = {} if known is None else _rows(known)
    rows = {
        number: row
        for number, config in enumerate(configs)
        if (row := _finished(_folder(config, path)) or before.get(runs.config_hash(config)))
    }
    todo = {number: config for number, config in enumerate(configs) if number not in rows}
    if rows:
        report(f"{len(rows)} of {len(configs)} are finished already")
    began, before = time.perf_counter(), torch.get_num_threads()
    try:
        for ended, (number, row) in enumerate(_worked(todo, path, executor, threads, retries, report), 1):
            rows[number] = row
            _write_table(path)
            left = (time.perf_counter() - began) / ended * (len(todo) - ended) / 60
            report(f"{len(rows)} of {len(configs)}: {told(configs[number])}: {_result(row)}; about {left:.0f} min left")
    finally:
        torch.set_num_threads(before)  # threads that worked side by side took one another's number for that before
    return pd.DataFrame([rows[number] for number in sorted(rows)], columns=list(COLUMNS))


def read(path: str | Path) -> pd.DataFrame:
    """The table of all that has ended below `path`, a folder of `sweep`: failures too, with their `error`."""
    found = sorted(files.path_of(path).glob("*/row.json"))
    return pd.DataFrame([files.object_in(file) for file in found], columns=list(COLUMNS))


def epochs(path: str | Path) -> pd.DataFrame:
    """Every epoch of every finished search below `path`, a folder of `sweep`: `runs.table`, with the method and the hash
    of the job."""
    tables = []
    for file in sorted(files.path_of(path).glob("*/row.json")):
        row = files.object_in(file)
        if row.get("error") is None and (file.parent / "search").is_dir():
            table = runs.table([runs.read(file.parent / "search")]).drop(columns="name")
            tables.append(table.assign(method=row["method"], config_hash=row["config_hash"]))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["config_hash"])


def job_of(row: dict) -> dict:
    """The job that a row of a sweep's table came from. Raises ValueError where the row does not hold one."""
    try:
        job = {name: row[name] for name in NAMES} | {"seed": int(row["seed"])}
        settings, evaluation = (  # "null" in a CSV file is read as a missing value
            None if pd.isna(row[name]) else files.from_json(row[name]) for name in ("settings", "evaluation")
        )
        if settings is None:
            job["genotype"] = row["genotype"]
        else:
            job |= asked(SearchSettings, settings)
        job["evaluation"] = None if evaluation is None else asked(EvaluationSettings, evaluation)
        config, wanted, version = complete(job), row["config_hash"], row["version"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"row: holds no job of a sweep: {repr(error)[:200]}") from error
    if runs.config_hash(config) != wanted:
        raise ValueError(
            f"row: its config_hash is {str(wanted)[:80]!r}, but what it asks for now makes {runs.config_hash(config)!r}; "
            f"it was made by version {str(version)[:80]!r}, this is {__version__!r}"
        )
    return job


def verify(row: dict) -> pd.DataFrame:
    """Does the job of one row of a table again and compares: one line a column, `table`, `again` and `equal`.

    The same processor, number of threads and version of PyTorch give the same bits; another processor chooses other
    kernels and rounds differently, which a search makes into other numbers within its first epoch and at its end maybe into
    another cell (`met` says which of the two this is). Raises ValueError where the row holds no job, or was computed on
    another kind of device than there is: batches come in another order there.
    """
    job, here = job_of(row), choose_device()[0].type
    if row.get("device", here) != here:
        raise ValueError(
            f"row: was computed on {str(row['device'])[:80]!r}, here it would be on {here!r}, with batches in another order; "
            "nothing would come out the same"
        )
    with tempfile.TemporaryDirectory() as path:
        again = work(complete(job), path, int(row["threads"]))
    names = [  # a table may be older than a column
        name for name in COLUMNS if name in row and name not in (*COSTS, *MADE_BY, "settings", "evaluation")
    ]
    pairs = [tuple(None if pd.isna(value) else value for value in (row[name], again[name])) for name in names]
    found = pd.DataFrame(pairs, index=names, columns=["table", "again"])
    return found.assign(equal=[one == other or _close(one, other) for one, other in pairs])


def met(row: dict) -> tuple[bool, str]:
    """Whether `verify` of a row of a table must give the same bits here as far as the row tells, and in words why; else it
    gives another draw of the same experiment."""
    told = {name: None if pd.isna(value := row.get(name)) else str(value)[:80] for name in MADE_BY}
    here = {
        "device": (device := choose_device()[0]).type, "processor": processor(device), "threads": told["threads"],
        "torch": torch.__version__, "version": __version__,
    }  # fmt: skip
    other = [
        f"{name} {told[name]!r} there, {here[name]!r} here" for name in MADE_BY if told[name] not in (None, here[name])
    ]
    missing = [name for name in MADE_BY if told[name] is None]
    if other:
        return False, f"another draw of the same experiment: {'; '.join(other)}"
    if missing:
        return (
            True,
            f"the same bits, if it was made on this processor: the table does not tell its {' and '.join(missing)}",
        )
    return True, "the same bits: it was made on such a processor, with these versions"


def _close(one, other) -> bool:
    """Equal to the digits with which a table keeps its numbers."""
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return numbers and abs(one - other) <= 1e-9 * max(abs(one), abs(other))


def told(config: dict) -> str:
    """A job in a few words."""
    return f"{config['space']} {config['data']} {config['method']} {config['scale']} seed {config['seed']}"


def _result(row: dict) -> str:
    """What a row found, in a few words."""
    task = tasks.of(row["data"])
    return row["error"] or " and ".join(
        f"{name.replace('_', ' ').replace('error', task.metric)} {task.show(row[name])}"
        for name in ("one_shot_error", "test_error")
        if row[name] is not None
    )


def _worked(todo: dict[int, dict], path: Path, executor, threads, retries, report) -> Iterator[tuple[int, dict]]:
    """(number, row) of every job, as they end."""
    if executor is None:
        yield from ((number, work(config, path, threads)) for number, config in todo.items())
        return
    begun = {number for number, config in todo.items() if any(map(_begun, _folder(config, path).glob("*")))}
    for attempt in range(retries + 1):
        pool, futures, lost = _pool(executor), {}, {}
        try:
            for number, config in todo.items():
                futures[pool.submit(work, config, str(path.resolve()), threads)] = number
        except RuntimeError as error:  # it was shut down, or a worker's death has broken it
            if not attempt:
                raise ValueError(f"executor: {executor!r} takes no jobs: {error}") from error
            lost |= dict.fromkeys(todo.keys() - futures.values(), error)
        try:
            for future in as_completed(futures):
                try:
                    row = future.result()
                except Exception as error:  # `work` catches what a job raises, so this is the worker's own end
                    lost[futures[future]] = error
                else:
                    number = futures[future]
                    if row.get("resumed") and number not in begun:  # the executor sends jobs again by itself
                        report(f"{told(todo[number])}: its worker died; another has gone on with it")
                    yield number, row
        finally:
            for future in futures:
                future.cancel()
        if not lost:
            return
        todo = {number: todo[number] for number in lost}
        begun |= lost.keys()
        if attempt < retries:
            report(f"a worker died ({_words(next(iter(lost.values())))}); {len(todo)} jobs are sent again")
    for number, error in lost.items():
        yield number, _failed(todo[number], path, threads, f"the worker died, {retries + 1} times: {_words(error)}")


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


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {files.in_a_line(error, 300)}"


def work(config: dict, path: str | Path, threads: int = 1) -> dict:
    """The row of one complete job, whose folder lies below `path`; whatever goes wrong stands in its `error`.

    `resumed` says whether somebody else had begun with it, and not come to its end.
    """
    before, here = torch.get_num_threads(), _folder(config, Path(path))
    torch.set_num_threads(threads)
    try:
        here.mkdir(parents=True, exist_ok=True)
        with FileLock(here / "lock", timeout=0):
            row = _finished(here)
            resumed = row is None and any(map(_begun, here.glob("*")))
            if row is None:
                found = _searched(config, here)
                trained = _trained(config, here, found["genotype"])
                row = _row(config, threads) | found | trained | _added(found, trained)
                files.write(here / "row.json", json.dumps(row).encode())
        return row | {"resumed": resumed}
    except Timeout:
        return _row(config, threads) | {"error": f"path: {str(here)!r} is in use by another process"}
    except Exception as error:
        return _failed(config, Path(path), threads, _words(error))
    finally:
        torch.set_num_threads(before)


def _begun(run: Path) -> bool:
    """Whether a search or a training has been begun in the directory `run`."""
    return (run / "config.json").is_file()


def _row(config: dict, threads: int) -> dict:
    """A row that holds what was asked for, and no result yet."""
    evaluation = config.get("evaluation")
    wanted = {name: config[name] for name in NAMES} | {
        "threads": threads, "version": __version__, "config_hash": runs.config_hash(config), "seconds": 0.0,
        "settings": json.dumps(config.get("settings")),
        "evaluation": json.dumps(evaluation),
        "reductions": None if evaluation is None else asked(EvaluationSettings, evaluation)["reductions"],
        "torch": torch.__version__,
        "genotype": config.get("genotype"),
        **{name: config.get("settings", {}).get(name) for name in ("weight_decay", "drop_path")},
    }  # fmt: skip
    return dict.fromkeys(COLUMNS) | wanted


def _searched(config: dict, here: Path) -> dict:
    """What the search of a job found; it goes on where it was interrupted."""
    if "settings" not in config:
        genotype = Genotype.parse(config["genotype"])
        return _counted(genotype) | {"genotype": str(genotype)}
    if _begun(here / "search"):
        search = Search.resume(here / "search")
    else:
        names = (config[name] for name in NAMES)
        search = Search(*names, path=here / "search", **asked(SearchSettings, config["settings"]))
    for _ in search:
        pass
    last, (_, eigenvalues) = search.history[-1], measurements(search.history)
    stopped = last.stop_epoch is not None
    at = next(record for record in search.history if record.epoch == last.stop_epoch) if stopped else last
    return _counted(search.genotype) | {
        "one_shot_error": at.valid_error,
        "discretization_drop": None if stopped else discretization_drop(search),  # of weights that are gone
        "dominant_eigenvalue_mean": sum(eigenvalues) / len(eigenvalues) if eigenvalues else None,
        "dominant_eigenvalue_last": eigenvalues[-1] if eigenvalues else None,
        "epochs": len(search.history),
        "alpha_steps": sum(record.alpha_steps for record in search.history),
        "stop_epoch": last.stop_epoch,
        "seconds": (seconds := runs.cost(search.history)),
        "search_seconds": round(seconds, 2),
        "processor_seconds": runs.cost(search.history, "processor_seconds"),
        "device": search.device.type,
        "processor": processor(search.device),
        "genotype": str(search.genotype),
    }


def _counted(genotype: Genotype) -> dict:
    return {
        f"{word}_{kind}": genotype.count(operation, kind) if kind in genotype.cells else None
        for word, operation in (("skips", SKIP), ("noise", NOISE))
        for kind in CELL_TYPES
    }


def _trained(config: dict, here: Path, genotype: str) -> dict:
    """What the training from scratch of a job's cell, `genotype`, found; it goes on where it was interrupted."""
    if "evaluation" not in config:
        return {}
    if _begun(here / "training"):
        training = Training.resume(here / "training")
    else:
        settings = asked(EvaluationSettings, config["evaluation"])
        training = Training(
            genotype, config["data"], config["scale"], config["seed"], path=here / "training", **settings
        )
    for _ in training:
        pass
    result = training.result()
    return {
        "test_error": result.test_error, "parameters": result.parameters, "seconds": result.seconds,
        "processor_seconds": result.processor_seconds, "device": training.device.type, "processor": processor(training.device),
    }  # fmt: skip


def _added(*parts: dict) -> dict:
    """What a search and a training took together."""
    found = {}
    for name in ("seconds", "processor_seconds"):
        costs = [part[name] for part in parts if name in part]
        found[name] = None if None in costs else round(sum(costs), 2)
    return found


def _failed(config: dict, path: Path, threads: int, error: str) -> dict:
    row = _row(config, threads) | {"error": error}
    try:
        files.write(_folder(config, path) / "row.json", json.dumps(row).encode())
    except OSError:  # a full disk, say: then at least the caller knows
        pass
    return row


def _folder(config: dict, path: Path) -> Path:
    return path / f"{runs.folder_name(told(config))}-{runs.config_hash(config)}"


def _finished(here: Path) -> dict | None:
    """The row of a job that has ended well."""
    file = here / "row.json"
    row = files.object_in(file) if file.is_file() else None
    return row if row is not None and row.get("error") is None else None


def _rows(table: pd.DataFrame) -> dict[str, dict]:
    """The rows of a sweep's table that ended well with this version, by their hash."""
    fine = table[table["error"].isna() & (table["version"] == __version__)]
    rows = fine.astype(object).where(fine.notna(), None).to_dict("records")
    return {row["config_hash"]: row for row in rows}


def _claim(path: Path) -> None:
    """Makes `path` a sweep's folder, or finds that it is one, even one that a killed process had only begun. Raises ValueError where it is something else."""
    file = path / "sweep.json"
    if file.is_file():
        version = files.object_in(file).get("version")
        if version != __version__:
            raise ValueError(
                f"path: {str(path)!r} holds results of darts_lab {version}, this is {__version__}; choose another folder"
            )
        return
    if path.exists() and not (path.is_dir() and {*path.iterdir()} <= files.leftovers(path, file.name)):
        raise ValueError(f"path: {str(path)!r} is neither new nor empty nor the folder of a sweep")
    path.mkdir(parents=True, exist_ok=True)
    files.write(file, json.dumps({"version": __version__}).encode())


def _write_table(path: Path) -> None:
    table, buffer = read(path), io.BytesIO()
    files.write(path / "table.csv", table.to_csv(index=False).encode())
    table.to_parquet(buffer, index=False)
    files.write(path / "table.parquet", buffer.getvalue())
