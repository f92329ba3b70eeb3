"""The main job without a browser: `python -m darts_lab.demo`, what `make demo` runs.

Searches S2 on the embedded digits with plain DARTS and with a stronger L2 factor, trains both found cells from scratch, prints
one table and draws one figure.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from darts_lab import figures
from darts_lab.methods.monitors import measurements
from darts_lab.search.search import Search
from darts_lab.search.training import Training
from darts_lab.spaces import CELL_TYPES, SKIP

METHODS = ("DARTS", "R-DARTS(L2)")
SEED = 200  # the seed that results/protocol.md chooses for pictures


def demo(scale: str = "laptop", folder: str | Path = "figures", seed: int = SEED) -> pd.DataFrame:
    """One row a method: skips, last eigenvalue, both errors (%), seconds, peak memory; writes `folder`/demo.png."""
    rows, searches = [], {}
    figures.use_style()
    for method in METHODS:
        search = searches[method] = Search("S2", "digits", method, scale, seed, path=False)
        began, bar = time.perf_counter(), _bar(search, f"searching with {method} (L2 {search.settings.weight_decay:g})")
        for record in bar:
            bar.set_postfix_str(
                f"one-shot error {100 * record.valid_error:.0f} %, {record.genotype.count(SKIP, 'normal')} skips in the normal cell"
            )
        searched = time.perf_counter() - began
        training = Training(search.genotype, "digits", scale, seed)
        bar = _bar(training, "training its cell from scratch")
        for epoch in bar:
            bar.set_postfix_str(f"training error {100 * epoch.train_error:.0f} %")
        result = training.result()
        rows.append(
            {
                "method": method,
                "L2": search.settings.weight_decay,
                **{f"skips {kind}": search.genotype.count(SKIP, kind) for kind in CELL_TYPES},
                "mean eigenvalue": round(statistics.fmean(measurements(search.history)[1]), 2),
                "one-shot error %": round(100 * record.valid_error, 1),
                "test error %": round(100 * result.test_error, 1),
                "search s": round(searched),
                "retrain s": round(result.seconds),
                "peak MB": round(result.peak_memory_bytes / 1e6),
            }
        )
    table = pd.DataFrame(rows).set_index("method")
    figure = Figure(figsize=(14, 6), layout="constrained")
    axes = figure.subplots(2, 4)
    for row, (method, search) in zip(axes, searches.items(), strict=True):
        figures.weight_shares(search.history, search.space, "normal", row[0])
        row[0].set_title(f"{method}: normal cell")
        figures.errors(search.history, row[1])
        figures.eigenvalues(search.history, ax=row[2])
        figures.cell(search.genotype, "normal", search.history[-1].mixing, search.space, row[3])
    paths = figures.save("demo", figure, folder=folder)
    normal = ", the normal cell alone" if training.settings.reductions == "skip" else ""
    print(f"\nS2 on digits, scale {scale}, one seed ({seed}); errors of this machine's run, no published numbers;")
    print(f"test error: trained from scratch{normal}\n")
    print(table.to_string())
    print(f"\nfigure: {paths[1]}")
    return table


def _bar(steps: Search | Training, words: str) -> tqdm:
    return tqdm(steps, words, steps.settings.epochs, unit="epoch")


if __name__ == "__main__":
    demo(os.environ.get("DARTS_LAB_SCALE", "laptop"))
