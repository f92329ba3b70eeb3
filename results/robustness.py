"""Makes results/robustness.csv and results/robustness.md: every method of Zela et al. 2020 on S4 and S2, at laptop scale.

    make robustness        (or: python results/robustness.py [SPACE ...])

Five seeds each, every search followed by a training of its cell from scratch, and random cells trained likewise. One row
of the table is one run. Runs are kept below runs/robustness: the command may be stopped, killed and called again, and
nothing is done twice. `darts-lab verify results/robustness.csv --row N` does a row again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import torch

import darts_lab as dl
from darts_lab import scales, statistics, sweeps

SPACES, SEEDS = ("S4", "S2"), range(5)
METHODS = ("DARTS", "DARTS-ES", "DARTS-ADA", "R-DARTS(L2)", "R-DARTS(DP)", "RS-ws")
RANDOM = "random cell"
PATH = Path(__file__).with_suffix(".csv")


def jobs(spaces) -> list[dict]:
    """Seed by seed, so that a sweep that is not finished yet compares like with like."""
    found = []
    for space in spaces:
        for seed in SEEDS:
            found += dl.grid(space=space, method=list(METHODS), seed=seed)
            cells = dl.spaces.get(space).with_nodes(scales.LAPTOP.search.nodes)
            cell = dl.random_genotype(cells, torch.Generator().manual_seed(seed))
            found.append({"space": space, "method": RANDOM, "seed": seed, "genotype": str(cell)})
    return found


def shown(estimate: statistics.Estimate, digits: int = 1) -> str:
    """A mean and half of its interval."""
    return f"{estimate.value:.{digits}f} ± {(estimate.high - estimate.low) / 2:.{digits}f}"


def summary(table: pd.DataFrame) -> str:
    lines = [
        "# Do the remedies help at laptop scale?",
        "",
        f"Ours: data digits, scale laptop, seeds 0 to {max(SEEDS)}, darts_lab {dl.__version__}. Mean over seeds ± half of "
        "the 95 % interval (Student's t); errors in per cent; the one-shot error of early stopping is that of the epoch "
        "it names. Kept edges are 4 in each cell; what is counted is skips in S2 and noise in S4. Seconds are those of "
        "one thread on a shared machine of two cores, search and training together. Made by `make robustness` from "
        "`results/robustness.py`; every run stands in `robustness.csv`.",
    ]
    for space, rows in table.groupby("space", sort=False):
        word = "noise" if space == "S4" else "skips"
        lines += [
            "",
            f"## {space}",
            "",
            "| method | one-shot error | retrained test error | least, largest | DARTS minus this, paired | "
            f"{word}, normal | {word}, reduction | mean eigenvalue | drop when discretized | seconds |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for method in (*METHODS, RANDOM):
            of = rows[rows["method"] == method]
            if of.empty:
                continue
            cells = [method]
            for name, factor in (("one_shot_error", 100), ("test_error", 100)):
                cells.append(shown(statistics.mean(factor * of[name])) if of[name].notna().all() else "")
            cells.append(", ".join(f"{100 * error:.1f}" for error in (of["test_error"].min(), of["test_error"].max())))
            if method == "DARTS":
                cells.append("")
            else:
                apart = statistics.paired_difference(
                    rows.assign(percent=100 * rows["test_error"]), "percent", "DARTS", method
                )
                cells.append(f"**{shown(apart)}**" if apart.excludes_zero else shown(apart))
            for name, factor, digits in (
                (f"{word}_normal", 1, 1), (f"{word}_reduce", 1, 1), ("dominant_eigenvalue_mean", 1, 2),
                ("discretization_drop", 100, 1), ("seconds", 1, 0),
            ):  # fmt: skip
                known = of[name].dropna().astype(float)
                cells.append(shown(statistics.mean(factor * known), digits) if len(known) == len(of) else "")
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Bold: the interval of the paired difference excludes zero."]
    return "\n".join(lines) + "\n"


def main() -> None:
    spaces = sys.argv[1:] or SPACES
    table = sweeps.sweep(jobs(spaces), Path(__file__).parents[1] / "runs" / "robustness", "loky")
    failed = table[table["error"].notna()]
    if len(failed):
        sys.exit(f"{len(failed)} runs failed; the first: {failed['error'].iloc[0]}")
    if PATH.exists():  # rows of other spaces stay
        before = pd.read_csv(PATH)
        table = pd.concat([table, before[~before["space"].isin(spaces)]], ignore_index=True)
    table = table.sort_values(["space", "seed"], kind="stable", ignore_index=True)
    table.to_csv(PATH, index=False)
    text = summary(table)
    PATH.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
