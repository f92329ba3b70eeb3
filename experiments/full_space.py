"""Makes results/full_space.csv, full_space_epochs.csv and full_space.md: the declared comparison in the whole space of DARTS.

    make full_space                             (or: python experiments/full_space.py)
    python experiments/full_space.py --so-far      (writes what is done by now, and computes nothing)

As results/protocol.md declares: DARTS and R-DARTS(L2), ten seeds, the laptop's preset, all operations on every edge; beside
them 25 random cells. Runs are kept below runs/full_space, and rows that the table holds already are not made again.
"""

from __future__ import annotations

import pandas as pd
import torch
from collapse import DARTS, RANDOM, RANDOM_CELLS, REMEDY
from fashion import compared, kinds
from writing import RESULTS, made, unfinished, within

import darts_lab as dl
from darts_lab.studies import statistics
from darts_lab.tasks import classification

SPACE, SEEDS = "DARTS", range(200, 210)  # the space is called like the method
PATH = RESULTS / "full_space.csv"
RUNS = PATH.parents[1] / "runs" / "full_space"


def jobs() -> list[dict]:
    """Seed by seed, so that a sweep that is not finished yet compares like with like; then the random cells."""
    found = [job for seed in SEEDS for job in dl.grid(space=SPACE, method=[DARTS, REMEDY], seed=seed)]
    space = dl.spaces.get(SPACE).with_nodes(classification.LAPTOP.search.nodes)
    for number in range(RANDOM_CELLS):
        drawn = dl.random_genotype(space, torch.Generator().manual_seed(50_000 + number))
        found.append({"space": SPACE, "method": RANDOM, "seed": SEEDS[0] + number, "genotype": str(drawn)})
    return found


def beside_random(table: pd.DataFrame) -> list[str]:
    """Both methods minus the random cells, not paired."""
    chance = 100 * table.loc[table["method"] == RANDOM, "test_error"]
    lines = []
    for method in (DARTS, REMEDY):
        errors = 100 * table.loc[table["method"] == method, "test_error"]
        if len(chance) == RANDOM_CELLS and len(errors) == len(SEEDS):
            apart = statistics.difference(errors, chance)
            lines.append(
                f"{method} minus random cells: {within(apart, ' points')} (Welch's t), "
                f"p = {statistics.rank_sum(errors, chance):.2g} (rank sum, not corrected)."
            )
    return [line for text in lines for line in ("", text)]


def summary(table: pd.DataFrame) -> str:
    state = unfinished(table, jobs(), "trainings")
    text = [
        "# The same comparison in the full space",
        "",
        f"Ours: data digits, scale laptop, darts_lab {dl.__version__}, the whole space of DARTS (eight operations on every edge), "
        f"seeds {SEEDS[0]} to {SEEDS[-1]}.{state} A secondary comparison, as protocol.md declares it: retrained test errors in per "
        "cent, of the normal cell alone. The difference in points, paired by seed, with its bootstrap interval and Wilcoxon's "
        "signed-rank test (of one comparison, so that Holm's correction changes nothing); means ± half of the 95 % interval "
        "(Student's t). Made by `make full_space` from `experiments/full_space.py`.",
        "",
        *compared(table.assign(space="full space"), whole=not state),
        *beside_random(table),
        *kinds(table, SPACE),
    ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    made(jobs(), PATH, RUNS, summary)
