"""What a grid of runs will cost on this machine, from a few steps that are measured."""

import io
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch

from darts_lab import data as datasets
from darts_lab import plan, ranks
from darts_lab.checks import Count, checked
from darts_lab.environment import choose_device, free_memory, host_memory, peak_memory, processor
from darts_lab.genotype import random_genotype
from darts_lab.plan import Plan
from darts_lab.search.search import Search
from darts_lab.search.training import Training

PRODUCTS = 12  # of an eigenvalue with the Hessian of a batch, median on the Hessians that Zela et al. logged
SIZES = {"cifar10": (25_000, 25_000, 10_000), "cifar100": (25_000, 25_000, 10_000), "svhn": (36_628, 36_629, 26_032)}


@dataclass(frozen=True, eq=False)
class Cost:
    """What `jobs` runs will take: `hours` one after the other, `hours_at_best` where as many go on `side_by_side` as
    memory and cores allow and none slows another down, the bytes of `memory` of the largest and of `disk` of all.
    `table` has a row for every kind of run: how often it occurs, its hours (search, training, eigenvalues), seconds of
    its steps, memory and disk."""

    jobs: int
    hours: float
    hours_at_best: float
    side_by_side: int
    memory: int
    disk: int
    device: str
    threads: int
    table: pd.DataFrame

    def __str__(self) -> str:
        memory, disk = (f"{size / 2**30:.1f} GB" for size in (self.memory, self.disk))
        return (
            f"{self.jobs} runs: {self.hours:,.1f} hours on {self.device}, {self.threads} threads, one after the other; "
            f"{self.hours_at_best:,.1f} at best with {self.side_by_side} side by side, "
            f"of up to {memory} of memory each; {disk} on disk"
        )


@checked
def plan_cost(jobs: Iterable[dict], *, steps: Count = 2, threads: Count = 1) -> Cost:
    """What a sweep of `jobs` (as for `sweep`, with `threads` as there) would cost here, from `steps` measured steps.

        print(dl.plan_cost(dl.grid(space=["S1", "S2"], scale="paper", seed=range(3), data="cifar10", protocol="L2")))

    Of every kind of run (space, data, method, settings; whatever the seed, and the strength of regularizers) a process
    of its own computes `steps` steps of the search and of a training from scratch of a random cell, an evaluation batch
    of each, and two products for an eigenvalue, of which 12 are counted; medians are multiplied. CIFAR and SVHN need
    not be there: images of their size do. Early stopping is not foreseen, nor what a method selects by, nor the
    validation after every epoch of training a recurrent cell; steps that are dearer later on (drop path) count as the
    first ones. Raises as `sweep`.
    """
    plans = [plan.of_job(job) for job in jobs]
    if not plans:
        raise ValueError("jobs: is empty; at least one is needed")
    kinds: dict[str, list[Plan]] = {}
    for one in plans:
        kinds.setdefault(_kind(one), []).append(one)
    rows = [_named(like) | ranks.run(1, _measured, like[0].to_json(), steps, threads) for like in kinds.values()]
    table = pd.DataFrame(rows)
    device, hours = choose_device(plans[0].device)[0], float((table["hours"] * table["jobs"]).sum())
    memory = int(table["memory_bytes"].max())
    there = free_memory(device) or host_memory()
    cores = (os.cpu_count() or 1) // threads if device.type == "cpu" else len(plans)
    beside = max(min(there // memory, cores, len(plans)), 1)
    disk = int((table["disk_bytes"] * table["jobs"]).sum())
    return Cost(len(plans), hours, hours / beside, beside, memory, disk, processor(device), threads, table)


def _kind(one: Plan) -> str:
    """Equal for runs that cost the same."""
    content = one.to_json() | {"seed": 0, "genotype": None}
    for part in ("settings", "evaluation"):
        if content[part] is not None:
            content[part] |= {"weight_decay": 0, "drop_path": bool(content[part]["drop_path"])}
    return json.dumps(content, sort_keys=True)


def _named(like: list[Plan]) -> dict:
    names = like[0].names
    del names["seed"]
    return names | {"jobs": len(like)}


def _measured(content: dict, steps: int, threads: int) -> dict:
    """A row of the table: what one run costs."""
    torch.set_num_threads(threads)
    name = content["data"]["name"]
    there = name not in SIZES or datasets.available()[name]
    one = Plan.from_json(content, data=None if there else stand_in(name))
    names = ("search_hours", "eigenvalue_hours", "training_hours", "search_step", "training_step")
    row: dict[str, Any] = dict.fromkeys(names, 0.0) | {"disk_bytes": 0}
    if one.search is not None:
        row |= _of_search(one, steps)
    if one.evaluation is not None:
        row |= _of_training(one, steps, row["disk_bytes"])
    row["hours"] = row["search_hours"] + row["eigenvalue_hours"] + row["training_hours"]
    device = choose_device(one.device)[0]
    return row | {"memory_bytes": peak_memory(device), "stand_in": not there}


def _of_search(one: Plan, steps: int) -> dict:
    search = Search.of(one, False)
    s, task, epochs = search.settings, search.task, search.epochs
    step = _timed(search.step, steps, search.device)
    evaluation = _of_evaluation(search, "valid", lambda inputs: search.supernet(inputs, search.mixing.detach()))
    eigenvalue = 0.0
    if search.measured and search.method.schedule.trains_alpha:
        operator = search.hessian(batches=1)
        vector = np.ones(operator.shape[0])
        first, product = (_once(lambda: operator.per_batch(vector), search.device) for _ in range(2))
        eigenvalue = (first + (PRODUCTS - 1) * product) * s.curvature_batches * len(search.measured)
    monitor = search.method.monitor
    kept = 2 * (1 + (0 if monitor is None else monitor.kept))  # in the checkpoint and in the one before it
    return {
        "search_hours": epochs * (task.batches_per_epoch(s.batch_size) * step + evaluation) / 3600,
        "eigenvalue_hours": eigenvalue / 3600,
        "search_step": step,
        "disk_bytes": kept * _stored(search.state()),
    }


def _of_training(one: Plan, steps: int, before: int) -> dict:
    if one.genotype is None:
        one = one.training_of(random_genotype(one.searched[0], torch.Generator().manual_seed(0)))
    training = Training.of(one, False)
    s, task = training.settings, training.task
    step = _timed(training.step, steps, training.device)
    evaluation = _of_evaluation(training, "test", training.network)
    return {
        "training_hours": (s.epochs * task.batches_per_epoch(s.batch_size) * step + evaluation) / 3600,
        "training_step": step,
        "disk_bytes": before + 2 * _stored(training.state()),
    }


@torch.no_grad()
def _of_evaluation(loop, split: str, forward) -> float:
    """Seconds of a whole split, from its first batch."""
    network = loop.supernet if hasattr(loop, "supernet") else loop.network
    inputs, targets = next(iter(loop.task.batches(split)))
    mode = network.training
    network.eval()
    seconds = _once(lambda: forward(inputs), loop.device)
    network.train(mode)
    return seconds * loop.task.size(split) / loop.task.samples(targets)


def _timed(step, steps: int, device: torch.device) -> float:
    """The median of so many calls, in seconds, behind two that are not counted."""
    return median([_once(step, device) for _ in range(steps + 2)][2:])


def _once(call, device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _stored(state: dict) -> int:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.tell()


def stand_in(name: str) -> datasets.Dataset:
    """Images of one colour in the numbers, sizes and classes of a set that is not here, for measuring time alone."""
    classes = 100 if name == "cifar100" else 10
    splits = [
        (torch.full((1, 3, 32, 32), 128, dtype=torch.uint8).expand(n, -1, -1, -1), torch.arange(n) % classes)
        for n in SIZES[name]
    ]
    train, valid, test = splits
    return datasets.Dataset(
        name, train, valid, test, mean=(0.5,) * 3, std=(0.25,) * 3, classes=classes, crop_padding=4, flip=True,
        ordered=True,
    )  # fmt: skip
