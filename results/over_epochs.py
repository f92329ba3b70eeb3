"""Makes results/over_epochs.csv: the test error of the cell that plain DARTS would have returned after every fifth epoch.

    make over_epochs        (or: python results/over_epochs.py)

On S2 and S4, three seeds each (Zela et al. 2020, Fig. 3). Every cell is trained from scratch once for each seed, however
often it comes back. Runs are kept below runs/over_epochs; the command may be stopped, killed and called again.
"""

from __future__ import annotations

from pathlib import Path

import darts_lab as dl
from darts_lab import sweeps

SPACES, SEEDS, EVERY = ("S2", "S4"), range(3), 5
PATH = Path(__file__).with_suffix(".csv")
RUNS = PATH.parents[1] / "runs" / "over_epochs"


def main() -> None:
    asked = dl.grid(space=list(SPACES), seed=SEEDS, evaluation=None)
    sweeps.sweep(asked, RUNS, "loky")
    epochs = sweeps.epochs(RUNS)
    epochs = epochs[(epochs["epoch"] % EVERY == 0) | (epochs["epoch"] == epochs["epoch"].max())]
    epochs = epochs.assign(genotype=epochs["genotype"].map(lambda text: str(dl.Genotype.parse(text).canonical)))
    cells = epochs[["space", "seed", "genotype"]].drop_duplicates().assign(method="cell").to_dict("records")
    trained = sweeps.sweep(cells, RUNS, "loky")
    columns = ["space", "seed", "epoch", "train_error", "one_shot_error", "dominant_eigenvalue", "skips_normal",
               "skips_reduce", "noise_normal", "noise_reduce", "genotype", "test_error"]  # fmt: skip
    table = epochs.merge(trained[["space", "seed", "genotype", "test_error"]], on=["space", "seed", "genotype"])
    table = table[columns].sort_values(["space", "seed", "epoch"])
    table.to_csv(PATH, index=False, float_format="%.6g")
    print(table.pivot_table(index="epoch", columns="space", values="test_error").round(3).to_string())


if __name__ == "__main__":
    main()
