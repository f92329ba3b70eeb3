"""Makes results/over_epochs.csv: the test error of the cell that plain DARTS would have returned after every fifth epoch.

    make over_epochs        (or: python experiments/over_epochs.py)

On S1 to S4, five of the seeds of the declared comparison (Zela et al. 2020, Fig. 3; results/protocol.md). Of every cell the
normal one is trained, as the laptop does it, once for each seed, however often it comes back; these trainings stand in
over_epochs_cells.csv. Runs are kept below runs/over_epochs, and what the tables hold already is not made again: the command
may be stopped, killed and called again.
"""

from __future__ import annotations

import pandas as pd
from collapse import SPACES
from writing import RESULTS, save, searched, swept

import darts_lab as dl

SEEDS, EVERY = range(200, 205), 5
PATH = RESULTS / "over_epochs.csv"
CELLS = PATH.with_name("over_epochs_cells.csv")
RUNS = PATH.parents[1] / "runs" / "over_epochs"
COLUMNS = [
    "space", "seed", "epoch", "train_error", "one_shot_error", "dominant_eigenvalue", "skips_normal", "noise_normal",
    "genotype", "config_hash",
]  # fmt: skip


def searches() -> list[dict]:
    """Seed by seed, so that a sweep that is not finished yet has all spaces."""
    return [job for seed in SEEDS for job in dl.grid(space=list(SPACES), seed=seed, evaluation=None)]


def trained_part(text: str) -> str:
    """The genotype `text` with its normal cell in the place of the other too, which is not trained."""
    found = dl.Genotype.parse(text).canonical
    both = ("normal", "reduce")
    return str(dl.Genotype(dict.fromkeys(both, found.cells["normal"]), dict.fromkeys(both, found.concat["normal"])))


def epochs() -> pd.DataFrame:
    """Every fifth epoch of the searches, and the last, with the cell that each would have returned."""
    found = searched(searches(), RUNS, PATH)
    found = found[(found["epoch"] % EVERY == 0) | (found["epoch"] == found["epoch"].max())]
    cells = found["genotype"].map(trained_part)
    return found[COLUMNS].assign(genotype=cells).sort_values(["space", "seed", "epoch"])


def main() -> None:
    found = epochs()
    cells = found[["space", "seed", "genotype"]].drop_duplicates().assign(method="cell")
    trained = swept(cells.sort_values("seed", kind="stable").to_dict("records"), RUNS, CELLS)
    save(trained, CELLS)
    table = found.merge(trained[["space", "seed", "genotype", "test_error"]], on=["space", "seed", "genotype"])
    save(table, PATH, float_format="%.6g")
    print(table.pivot_table(index="epoch", columns="space", values="test_error").round(3).to_string())


if __name__ == "__main__":
    main()
