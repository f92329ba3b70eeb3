"""Makes results/over_epochs.csv: the test error of the cell that plain DARTS would have returned after every fifth epoch.

    make over_epochs        (or: python experiments/over_epochs.py)

On S2 and S4, three seeds each (Zela et al. 2020, Fig. 3). Every cell is trained from scratch once for each seed, however
often it comes back; these trainings stand in over_epochs_cells.csv. Runs are kept below runs/over_epochs, and what the
tables hold already is not made again: the command may be stopped, killed and called again.
"""

from __future__ import annotations

import pandas as pd
from writing import RESULTS, former, searched, swept

import darts_lab as dl

SPACES, SEEDS, EVERY = ("S2", "S4"), range(3), 5
PATH = RESULTS / "over_epochs.csv"
CELLS = PATH.with_name("over_epochs_cells.csv")
RUNS = PATH.parents[1] / "runs" / "over_epochs"
COLUMNS = [
    "space", "seed", "epoch", "train_error", "one_shot_error", "dominant_eigenvalue", "skips_normal", "skips_reduce",
    "noise_normal", "noise_reduce", "genotype", "config_hash",
]  # fmt: skip


def searches() -> list[dict]:
    return former(dl.grid(space=list(SPACES), seed=SEEDS, evaluation=None))


def epochs() -> pd.DataFrame:
    """Every fifth epoch of the searches, and the last, with the cell that each would have returned."""
    found = searched(searches(), RUNS, PATH)
    found = found[(found["epoch"] % EVERY == 0) | (found["epoch"] == found["epoch"].max())]
    cells = found["genotype"].map(lambda text: str(dl.Genotype.parse(text).canonical))
    return found[COLUMNS].assign(genotype=cells).sort_values(["space", "seed", "epoch"])


def main() -> None:
    found = epochs()
    cells = found[["space", "seed", "genotype"]].drop_duplicates().assign(method="cell").to_dict("records")
    trained = swept(former(cells), RUNS, CELLS)
    trained.to_csv(CELLS, index=False)
    table = found.merge(trained[["space", "seed", "genotype", "test_error"]], on=["space", "seed", "genotype"])
    table.to_csv(PATH, index=False, float_format="%.6g")
    print(table.pivot_table(index="epoch", columns="space", values="test_error").round(3).to_string())


if __name__ == "__main__":
    main()
