"""Makes results/selection.csv: which of several searches' cells a short training would have kept.

    make selection        (or: python experiments/selection.py)

Papers report the best of several searches, chosen by a short training (Liu et al. 2019, section 3.2). For every method in
results/robustness.csv, and DARTS-PRIME in results/prime.csv, on S2 and S4: its cells, one a seed, each trained for a sixth
of the usual epochs on the training half of the search and measured on the validation half. The R-DARTS that Zela et al.
report is chosen between strengths of regularization instead of seeds: so are those "over strengths", of seed 0. One row is
one cell; `chosen` is the one that would be reported. What is in the table already is not done again.
"""

from __future__ import annotations

import pandas as pd
import torch
from writing import RESULTS, save, usual

import darts_lab as dl
from darts_lab import methods
from darts_lab.tasks import classification

PATH = RESULTS / "selection.csv"
SEEDS = range(5)  # the same number for every method, since the best of more is better
KINDS = ("DARTS", "R-DARTS(L2)", "R-DARTS(DP)", "DARTS-ES", "DARTS-ADA", "RS-ws", "random cell", "DARTS-PRIME")
SOURCES = ("robustness.csv", "prime.csv")
COLUMNS = ["space", "seed", "weight_decay", "drop_path", "test_error", "genotype", "config_hash", "version"]


def groups(runs: pd.DataFrame):
    """(space, name, rows) of everything between which is chosen."""
    weak, still = runs["weight_decay"] == methods.L2_FACTORS[0], runs["drop_path"] == 0
    searched = runs["method"].isin(("DARTS", "R-DARTS(L2)", "R-DARTS(DP)")) & (runs["seed"] == 0)
    for space in ("S2", "S4"):
        here = runs["space"] == space
        for kind in KINDS:
            rows = runs[here & usual(runs) & (runs["method"] == kind) & runs["seed"].isin(SEEDS)]
            if len(rows) == len(SEEDS):
                yield space, kind, rows
        factors = runs[here & searched & still & runs["weight_decay"].isin(methods.L2_FACTORS)]
        drops = runs[here & searched & weak & runs["drop_path"].isin(methods.DROP_PATHS)]
        yield from ((space, "R-DARTS(L2) over strengths", factors), (space, "R-DARTS(DP) over strengths", drops))


def main() -> None:
    torch.set_num_threads(1)
    sources = [PATH.with_name(name) for name in SOURCES]
    runs = pd.concat([pd.read_csv(source) for source in sources if source.exists()], ignore_index=True)
    done = pd.read_csv(PATH) if PATH.exists() else pd.DataFrame(columns=["method", *COLUMNS])
    for space, kind, rows in groups(runs):
        same = (done["space"] == space) & (done["method"] == kind)
        if set(done[same]["config_hash"]) == set(rows["config_hash"]):
            continue
        found = dl.select(rows["genotype"], "digits", "laptop", **classification.BOTH_CELLS)
        new = rows[COLUMNS].assign(
            method=kind, short_valid_error=found.valid_errors, short_epochs=found.epochs, short_seconds=round(found.seconds, 1),
            chosen=[number == found.index for number in range(len(rows))],
        )  # fmt: skip
        done = pd.concat([done[~same], new], ignore_index=True)
        save(done, PATH)
        best = new[new["chosen"]].iloc[0]
        print(
            f"{space} {kind}: mean {new['test_error'].mean():.1%}, reported as the best of {len(new)}: "
            f"{best['test_error']:.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
