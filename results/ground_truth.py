"""Makes results/s5_cells.csv, s5_searches.csv and s5.md: how far from the best of the 81 cells of S5 a search is, and when.

    make s5        (or: python results/ground_truth.py)

All 81 cells are trained from scratch, `len(CELL_SEEDS)` times each; a row of the first table is one training. Then DARTS
with the five L2 factors of Zela et al., DARTS-ES and RS-ws search among them; a row of the second table is one epoch of
one search, with the cell that it would have returned. Runs are kept below runs/s5, and rows that the tables hold already
are not made again: the command may be stopped, killed and called again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import darts_lab as dl
from darts_lab import methods, sweeps
from darts_lab.genotype import enumerate_genotypes

CELL_SEEDS, SEEDS = range(2), range(3)
HERE = Path(__file__).parent
CELLS, SEARCHES, RUNS = HERE / "s5_cells.csv", HERE / "s5_searches.csv", HERE.parent / "runs" / "s5"


def cells() -> list[dict]:
    """Seed by seed: the first seed of all, then the second."""
    return [
        {"space": "S5", "method": "cell", "seed": seed, "genotype": str(genotype)}
        for seed in CELL_SEEDS
        for genotype in enumerate_genotypes(dl.spaces.get("S5"))
    ]


def searches() -> list[dict]:
    """Nothing is trained after them: the table of all cells tells what that would have given."""
    found = []
    for seed in SEEDS:
        found += dl.grid(space="S5", weight_decay=list(methods.L2_FACTORS), seed=seed, evaluation=None)
        found += dl.grid(space="S5", method=["DARTS-ES", "RS-ws"], seed=seed, evaluation=None)
    return found


def worked(jobs: list[dict], known: pd.DataFrame | None) -> pd.DataFrame:
    table = sweeps.sweep(jobs, RUNS, "loky", known=known)
    failed = table[table["error"].notna()]
    if len(failed):
        sys.exit(f"{len(failed)} runs failed; the first: {failed['error'].iloc[0]}")
    return table
