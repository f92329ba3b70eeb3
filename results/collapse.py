"""Makes results/collapse.csv and results/collapse.md: does plain DARTS collapse on S2 at laptop scale?

    make table            (or: python results/collapse.py)

Five seeds; for each a search with DARTS and one with R-DARTS(L2), both found cells trained from scratch, and beside
them the all-skip, the all-convolution and one random cell, trained in the same way with the same seed. A row is
written as soon as it is measured and never measured twice, so the command may be stopped and started again; rows made
with other settings are measured anew.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

import darts_lab as dl
from darts_lab import scales
from darts_lab.spaces import CELL_TYPES, SEP3, SKIP

SEEDS = range(5)
SEARCHED = ("DARTS", "R-DARTS(L2)")
FIXED = ("all skips", "all convolutions", "random cell")
HERE = Path(__file__).parent


def fixed_cell(name: str, seed: int, space: dl.SearchSpace) -> dl.Genotype:
    if name == "random cell":
        return dl.random_genotype(space, torch.Generator().manual_seed(seed))
    return dl.uniform_genotype(space, SKIP if name == "all skips" else SEP3)


def row(cell: str, seed: int) -> dict:
    """Everything measured of one cell with one seed."""
    torch.set_num_threads(1)  # the sums of one thread come in one order, so the same machine gives the same table
    found = {"space": "S2", "data": "digits", "scale": "laptop", "cell": cell, "seed": seed}
    if cell in SEARCHED:
        search = dl.Search("S2", "digits", cell, "laptop", seed, path=False)
        *_, record = search
        genotype = search.genotype
        found |= {
            "train_error": record.train_error,
            "one_shot_error": record.valid_error,
            "search_seconds": round(sum(epoch.seconds for epoch in search.history), 1),
        } | {
            f"skip_weight_{kind}": float(record.mixing[index, :, search.space.normal[0].index(SKIP)].mean())
            for index, kind in enumerate(CELL_TYPES)
        }
    else:
        nodes = scales.LAPTOP.search.nodes
        space = dl.spaces.get("S2")
        genotype = fixed_cell(cell, seed, space.with_nodes(nodes) if nodes else space)
    result = dl.evaluate(genotype, "digits", "laptop", seed)
    return found | {
        **{f"skips_{kind}": genotype.count(SKIP, kind) for kind in CELL_TYPES},
        "edges": len(genotype.normal),
        "test_error": result.test_error,
        "retraining_seconds": round(result.seconds, 1),
        "parameters": result.parameters,
        "genotype": str(genotype),
        "settings": settings_hash(cell),
        "version": dl.__version__,
    }


def settings_hash(cell: str) -> str:
    """Tells the settings apart with which a row was measured: fixed cells know nothing of the search."""
    laptop = [asdict(scales.LAPTOP.evaluation)]
    search = {name: value for name, value in asdict(scales.LAPTOP.search).items() if not name.startswith("curvature")}
    laptop += [search] if cell in SEARCHED else []  # what is measured on the way changes no search
    return hashlib.sha256(json.dumps(laptop, sort_keys=True).encode()).hexdigest()[:8]


def interval(values, digits: int = 1) -> str:
    """Mean and 95 % interval of the mean (Student's t), in the values' own unit."""
    values = np.asarray(values, float)
    if np.isnan(values).all():
        return ""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return f"{values.mean():.{digits}f} ± {half:.{digits}f}"


def summary(table: pd.DataFrame) -> str:
    lines = [
        "# Does DARTS collapse on S2 at laptop scale?",
        "",
        "Ours: space S2, data digits, scale laptop (settings "
        f"{settings_hash('DARTS')}), seeds 0 to {max(SEEDS)}, darts_lab {dl.__version__}. Mean over seeds ± half of the "
        "95 % interval (Student's t). Seconds are those of one thread beside other work on a shared machine of two "
        "cores. Made by `make table` from `results/collapse.py`; every run stands in `collapse.csv`.",
        "",
        "| cell | skips, normal | skips, reduction | one-shot error % | retrained test error % | search s | training s |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in (*SEARCHED, *FIXED):
        rows = table[table["cell"] == cell]
        edges = rows["edges"].iloc[0]
        lines.append(
            f"| {cell} | {interval(rows['skips_normal'])} of {edges} | {interval(rows['skips_reduce'])} of {edges} | "
            f"{interval(100 * rows['one_shot_error'])} | {interval(100 * rows['test_error'])} | "
            f"{interval(rows['search_seconds'])} | {interval(rows['retraining_seconds'])} |"
        )
    lines += ["", "By seed: skips (normal + reduction), one-shot error %, retrained test error %", ""]
    lines += ["| seed | " + " | ".join((*SEARCHED, *FIXED)) + " |", "|---|" + "---|" * 5]
    for seed in SEEDS:
        cells = []
        for cell in (*SEARCHED, *FIXED):
            one = table[(table["cell"] == cell) & (table["seed"] == seed)].iloc[0]
            shot = "" if np.isnan(one["one_shot_error"]) else f"{100 * one['one_shot_error']:.1f}, "
            cells.append(f"{one['skips_normal']} + {one['skips_reduce']}; {shot}**{100 * one['test_error']:.1f}**")
        lines.append(f"| {seed} | " + " | ".join(cells) + " |")
    paired = table.pivot(index="seed", columns="cell", values="test_error") * 100
    lines += ["", "Paired differences of the retrained test error (percentage points, same seed):", ""]
    for other in (*SEARCHED[1:], *FIXED):
        lines.append(f"* DARTS minus {other}: {interval(paired['DARTS'] - paired[other])}")
    return "\n".join(lines) + "\n"


def main() -> None:
    path = HERE / "collapse.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    rows = [found for found in rows if found["settings"] == settings_hash(found["cell"])]
    done = {(found["cell"], found["seed"]) for found in rows}
    todo = [(cell, seed) for seed in SEEDS for cell in (*SEARCHED, *FIXED) if (cell, seed) not in done]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(row, cell, seed) for cell, seed in todo]):
            rows.append(future.result())
            print("{cell} seed {seed}: test error {test_error:.1%}".format(**rows[-1]), flush=True)
            partial = path.with_suffix(".part")
            order = sorted(rows, key=lambda found: (found["seed"], (*SEARCHED, *FIXED).index(found["cell"])))
            pd.DataFrame(order).to_csv(partial, index=False)
            partial.replace(path)
    text = summary(pd.read_csv(path))
    (HERE / "collapse.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
