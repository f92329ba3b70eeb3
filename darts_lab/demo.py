"""The main job without a browser: `python -m darts_lab.demo`, what `make demo` runs.

Searches S2 on the embedded digits with plain DARTS and with a strong L2 factor (0.0243, the strongest of Zela et al.
2020), trains both found cells from scratch, prints one table and draws one figure.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from darts_lab import figures
from darts_lab.evaluation import evaluate
from darts_lab.search import Search
from darts_lab.spaces import CELL_TYPES, SKIP

METHODS = ("DARTS", "R-DARTS(L2)")


def demo(scale: str = "laptop", folder: str | Path = "figures", seed: int = 0) -> pd.DataFrame:
    """One row a method: skips, last eigenvalue, both errors (%), seconds, peak memory; writes `folder`/demo.png."""
    rows, searches = [], {}
    for method in METHODS:
        began = time.perf_counter()
        search = searches[method] = Search("S2", "digits", method, scale, seed, path=False)
        print(f"searching with {method} (weight decay {search.settings.weight_decay:g}) on {search.device.type} ...")
        for record in search:
            if record.dominant_eigenvalue is not None and (record.epoch % 8 == 0 or search.finished):
                print(
                    f"  epoch {record.epoch:3d}: one-shot validation error {100 * record.valid_error:.1f} %, dominant "
                    f"eigenvalue {record.dominant_eigenvalue:.2f}",
                    flush=True,
                )
        searched = time.perf_counter() - began
        print("training the found cell from scratch ...", flush=True)
        result = evaluate(search.genotype, "digits", scale, seed)
        rows.append(
            {
                "method": method,
                "L2": search.settings.weight_decay,
                **{f"skips {kind}": search.genotype.count(SKIP, kind) for kind in CELL_TYPES},
                "eigenvalue": round(record.dominant_eigenvalue, 2),
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
    print(f"\nS2 on digits, scale {scale}, one seed ({seed}); errors of this machine's run, no published numbers\n")
    print(table.to_string())
    print(f"\nfigure: {paths[1]}")
    return table


if __name__ == "__main__":
    demo(os.environ.get("DARTS_LAB_SCALE", "laptop"))
