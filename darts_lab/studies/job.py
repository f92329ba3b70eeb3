"""One job of a sweep: a search, the training of its cell, and the row of a table that they give."""

import json
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from darts_lab import __version__, runs
from darts_lab.genotype import Genotype
from darts_lab.methods.monitors import measurements
from darts_lab.networks.fused import arithmetic
from darts_lab.plan import Plan
from darts_lab.runs import files
from darts_lab.search.search import Search
from darts_lab.search.training import Training
from darts_lab.spaces import CELL_TYPES, NOISE, SKIP
from darts_lab.studies.cells import discretization_drop

COLUMNS = (
    "space", "data", "method", "weight_decay", "drop_path", "seed", "scale", "one_shot_error", "test_error",
    "discretization_drop", "dominant_eigenvalue_mean", "dominant_eigenvalue_last", "skips_normal", "skips_reduce",
    "noise_normal", "noise_reduce", "epochs", "alpha_steps", "stop_epoch", "parameters", "multiply_adds", "reductions",
    "seconds", "search_seconds", "processor_seconds", "threads", "device", "processor", "torch", "settings",
    "evaluation", "genotype", "config_hash", "version", "error",
)  # fmt: skip
COSTS = ("seconds", "search_seconds", "processor_seconds")


def work(content: dict, path: str | Path, threads: int = 1) -> dict:
    """The row of one job, `content` the JSON of its plan, in a folder below `path`; whatever goes wrong stands in its
    `error`.

    `resumed` says whether another process had begun it and not finished.
    """
    plan, before = Plan.from_json(content), torch.get_num_threads()
    here = folder(plan, Path(path))
    torch.set_num_threads(threads)
    try:
        here.mkdir(parents=True, exist_ok=True)
        with FileLock(here / "lock", timeout=0):
            row = finished(plan, here)
            resumed = row is None and any(map(begun, here.glob("*")))
            if row is None:
                searched = _searched(plan, here)
                trained = _trained(plan, here, searched["genotype"])
                row = _row(plan, threads) | searched | trained | _costs(searched, trained)
                files.write(here / "row.json", json.dumps(row).encode())
        return row | {"resumed": resumed}
    except Timeout:
        return _row(plan, threads) | {"error": f"path: {str(here)!r} is in use by another process"}
    except Exception as error:
        return failed(plan, Path(path), threads, in_words(error))
    finally:
        torch.set_num_threads(before)


def words(plan: Plan) -> str:
    """A job in a few words."""
    names = plan.names
    return f"{names['space']} {names['data']} {names['method']} {plan.scale} seed {plan.seed}"


def folder(plan: Plan, path: Path) -> Path:
    """Where a job lives below `path`."""
    return path / f"{runs.folder_name(words(plan))}-{plan.hash}"


def finished(plan: Plan, here: Path) -> dict | None:
    """The row in the folder `here` of a job that has ended well; else None."""
    file = here / "row.json"
    row = files.object_in(file) if file.is_file() else {"config_hash": None}
    return row if row.get("config_hash") == plan.hash and row.get("error") is None else None


def begun(run: Path) -> bool:
    """Whether a search or a training has been begun in the directory `run`."""
    return (run / "config.json").is_file()


def failed(plan: Plan, path: Path, threads: int, error: str) -> dict:
    """The row of a job that failed, also written into its folder; where it has ended well all the same, that row."""
    here = folder(plan, path)
    if (row := finished(plan, here)) is not None:
        return row
    row = _row(plan, threads) | {"error": error}
    try:
        files.write(here / "row.json", json.dumps(row).encode())
    except OSError:  # a full disk, for instance: then at least the caller gets the row
        pass
    return row


def in_words(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {files.in_a_line(error, 300)}"


def _row(plan: Plan, threads: int) -> dict:
    """A row that holds what was asked for, and no result yet."""
    content = plan.to_json()
    wanted = plan.names | {
        "threads": threads, "version": __version__, "torch": torch.__version__, "config_hash": plan.hash,
        "seconds": 0.0, "settings": json.dumps(content["settings"]), "evaluation": json.dumps(content["evaluation"]),
        "genotype": content["genotype"], "reductions": getattr(plan.evaluation, "reductions", None),
        **{name: getattr(plan.search, name, None) for name in ("weight_decay", "drop_path")},
    }  # fmt: skip
    return dict.fromkeys(COLUMNS) | wanted


def _searched(plan: Plan, here: Path) -> dict:
    """What the search of a job came to; it goes on where it was interrupted."""
    if plan.search is None:
        genotype = plan.trained[0]
        return _counts(genotype) | {"genotype": str(genotype)}
    search = Search.resume(here / "search") if begun(here / "search") else Search.of(plan, here / "search")
    for _ in search:
        pass
    last, (_, eigenvalues) = search.history[-1], measurements(search.history)
    stopped = last.stop_epoch is not None
    result = next(record for record in search.history if record.epoch == last.stop_epoch) if stopped else last
    return _counts(search.genotype) | {
        "one_shot_error": result.valid_error,
        "discretization_drop": None if stopped else discretization_drop(search),  # of weights that are gone
        "dominant_eigenvalue_mean": sum(eigenvalues) / len(eigenvalues) if eigenvalues else None,
        "dominant_eigenvalue_last": eigenvalues[-1] if eigenvalues else None,
        "epochs": len(search.history),
        "alpha_steps": sum(record.alpha_steps or 0 for record in search.history),
        "stop_epoch": last.stop_epoch,
        "seconds": (seconds := sum(record.seconds for record in search.history)),
        "search_seconds": round(seconds, 2),
        "processor_seconds": runs.cost(search.history, "processor_seconds"),
        "device": search.device.type,
        "processor": arithmetic(search.device),
        "genotype": str(search.genotype),
    }


def _counts(genotype: Genotype) -> dict:
    return {
        f"{word}_{kind}": genotype.count(operation, kind) if kind in genotype.cells else None
        for word, operation in (("skips", SKIP), ("noise", NOISE))
        for kind in CELL_TYPES
    }


def _trained(plan: Plan, here: Path, genotype: str) -> dict:
    """What the training from scratch of a job's cell came to; it goes on where it was interrupted."""
    if plan.evaluation is None:
        return {}
    if begun(here / "training"):
        training = Training.resume(here / "training")
    else:
        training = Training.of(plan.training_of(genotype), here / "training")
    for _ in training:
        pass
    result = training.result()
    return {
        "test_error": result.test_error, "parameters": result.parameters, "multiply_adds": result.multiply_adds,
        "seconds": result.seconds, "processor_seconds": result.processor_seconds, "device": training.device.type,
        "processor": arithmetic(training.device),
    }  # fmt: skip


def _costs(*parts: dict) -> dict:
    """What a search and a training took together."""
    sums = {}
    for name in ("seconds", "processor_seconds"):
        costs = [part[name] for part in parts if name in part]
        sums[name] = None if None in costs else round(sum(costs), 2)
    return sums
