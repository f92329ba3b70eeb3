"""`python -m darts_lab.demo`, or `make demo`: searches S4, where the collapse costs most, on the embedded digits with
plain DARTS and a stronger L2 factor, trains both found cells from scratch, prints one table and draws one figure."""

import os
import statistics
import time
from pathlib import Path

import pandas as pd
import torch
from loky import get_reusable_executor
from matplotlib.figure import Figure
from tqdm import tqdm

from darts_lab import figures, runs, spaces
from darts_lab.methods.monitors import measurements
from darts_lab.runs import files
from darts_lab.search.search import Search
from darts_lab.search.training import Training
from darts_lab.spaces import CELL_TYPES, NOISE
from darts_lab.tasks import scales

SPACE, METHODS = "S4", ("DARTS", "R-DARTS(L2)")
SEEDS = {"S1": 210, "S2": 210, "S3": 214, "S4": 218}  # for pictures of each space: results/protocol.md says how chosen
SEED = SEEDS["S2"]
_BAR = "{desc} {percentage:3.0f} % {bar} {elapsed}, about {remaining} left{postfix}"


def demo(scale: str = "laptop", folder: str | Path = "figures", seed: int = SEEDS[SPACE]) -> pd.DataFrame:
    """One row a method: edges of noise, mean eigenvalue, both errors (%), seconds, peak memory; writes
    `folder`/demo.png.

    Both methods run side by side, each in a process of one thread: as in a sweep, and with its bits.
    """
    figures.use_style()
    print(
        f"{SPACE} on digits, scale {scale}: {' and '.join(METHODS)} side by side, then their cells trained from scratch"
    )
    pool = get_reusable_executor(len(METHODS))
    jobs = [pool.submit(work, method, scale, seed, place) for place, method in enumerate(METHODS)]
    rows, searches = zip(*(job.result() for job in jobs), strict=True)
    table = pd.DataFrame(rows).set_index("method")
    figure = Figure(figsize=(14, 6), layout="constrained")
    space = spaces.get(SPACE).with_nodes(searches[0][-1].genotype.nodes)
    for row, method, history in zip(figure.subplots(2, 4), METHODS, searches, strict=True):
        figures.weight_shares(history, space, "normal", row[0])
        row[0].set_title(f"{method}: normal cell")
        figures.errors(history, row[1])
        figures.eigenvalues(history, ax=row[2])
        figures.cell(history[-1].genotype, "normal", history[-1].mixing, space, row[3])
    paths = figures.save("demo", figure, folder=folder)
    alone = scales.get(scale).evaluation.reductions == "skip"
    print(
        f"\nOne seed ({seed}, which results/protocol.md chooses); errors of this machine's run, no published numbers;"
    )
    print(f"test error: trained from scratch{', the normal cell alone' if alone else ''}\n")
    print(table.to_string())
    print(f"\nfigure: {paths[1]}")
    return table


def work(method: str, scale: str, seed: int, place: int) -> tuple[dict, list]:
    """The row of a method, and the history of its search; its progress bar is in line `place`."""
    torch.set_num_threads(1)
    bar = tqdm(total=1.0, desc=f"{method}:", position=place, leave=False, bar_format=_BAR, mininterval=0.5)
    search = Search(SPACE, "digits", method, scale, seed, path=False)
    share = _share_of_the_search(method)
    began = time.perf_counter()
    for record in search:
        kept = len([*record.genotype.edges("normal")])
        noise = record.genotype.count(NOISE, "normal")
        bar.set_postfix_str(f"searching, {noise} of {kept} edges noise", refresh=False)
        bar.update(share / search.settings.epochs)
    searched = time.perf_counter() - began
    training = Training(search.genotype, "digits", scale, seed)
    for record in training:
        bar.set_postfix_str(f"training its cell, training error {100 * record.train_error:.0f} %", refresh=False)
        bar.update((1 - share) / training.settings.epochs)
    bar.close()
    result = training.result()
    row = {
        "method": method,
        "L2": search.settings.weight_decay,
        **{f"noise {kind}": search.genotype.count(NOISE, kind) for kind in CELL_TYPES},
        "mean eigenvalue": round(statistics.fmean(measurements(search.history)[1]), 2),
        "one-shot error %": round(100 * search.history[-1].valid_error, 1),
        "test error %": round(100 * result.test_error, 1),
        "search s": round(searched),
        "retrain s": round(result.seconds),
        "peak MB": round(result.peak_memory_bytes / 1e6),
    }
    return row, search.history


def _share_of_the_search(method: str) -> float:
    """The part of the time that goes into the search, as it was when the stored one was made."""
    row = files.object_in(runs.stored()[f"{SPACE} {method} on digits"] / "row.json")
    return row["search_seconds"] / row["seconds"]


if __name__ == "__main__":
    demo(os.environ.get("DARTS_LAB_SCALE", "laptop"))
