"""Makes results/selection.csv: which of several searches' cells a short training would have kept.

    make selection        (or: python results/selection.py)

Papers report the best of several searches, chosen by a short training (Liu et al. 2019, section 3.2). For every method in
results/robustness.csv on S2 and S4: its cells, one a seed, each trained for a sixth of the usual epochs on the training
half of the search and measured on the validation half. One row is one cell; `chosen` is the one that would be reported.
What is in the table already is not done again.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

import darts_lab as dl

PATH = Path(__file__).with_suffix(".csv")
SEEDS = range(5)  # the same number for every method, since the best of more is better
KINDS = ("DARTS", "R-DARTS(L2)", "R-DARTS(DP)", "DARTS-ES", "DARTS-ADA", "RS-ws", "random cell")


def main() -> None:
    torch.set_num_threads(1)
    runs = pd.read_csv(PATH.with_name("robustness.csv"))
    done = pd.read_csv(PATH) if PATH.exists() else pd.DataFrame(columns=["space", "method", "runs"])
    plain = (runs["weight_decay"] == 3e-4) & (runs["drop_path"] == 0)
    same = runs["space"].isin(["S2", "S4"]) & runs["method"].isin(KINDS) & runs["seed"].isin(SEEDS)
    named = runs[same & ((runs["method"] != "DARTS") | plain)]
    for (space, method), rows in named.groupby(["space", "method"], sort=False):
        hashes = " ".join(rows["config_hash"])
        if ((done["space"] == space) & (done["method"] == method) & (done["runs"] == hashes)).any():
            continue
        found = dl.select(rows["genotype"], "digits", "laptop")
        new = rows[["space", "method", "seed", "test_error", "genotype"]].assign(
            short_valid_error=found.valid_errors, runs=hashes, seconds=round(found.seconds, 1),
            chosen=[number == found.index for number in range(len(rows))],
        )  # fmt: skip
        done = pd.concat([done[(done["space"] != space) | (done["method"] != method)], new], ignore_index=True)
        done.to_csv(PATH, index=False)
        best = new[new["chosen"]].iloc[0]
        print(
            f"{space} {method}: mean {new['test_error'].mean():.1%}, reported as the best of {len(new)}: "
            f"{best['test_error']:.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
