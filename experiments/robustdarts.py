"""Makes results/robustdarts.csv and results/robustdarts_spectra.csv from the published logs of Zela et al. 2020.

    git clone https://github.com/automl/RobustDARTS
    python experiments/robustdarts.py RobustDARTS/experiments/search_logs

These numbers are theirs: errors and genotypes as logged, eigenvalues computed from the Hessians that they logged (CIFAR-10
and SVHN, second order, one batch of 64, with the decay of alpha, 1e-3). One row of the first table is one epoch of one
search; one of the second is one eigenvalue of the last Hessian of a search, largest first.
"""

from __future__ import annotations

import sys

import pandas as pd
from writing import RESULTS

from darts_lab import curvature, runs
from darts_lab.interop import robustdarts


def main(path: str) -> None:
    searches = robustdarts.read_robustdarts(path)
    absent = ["eigenvalue_error", "stop_epoch", "back_to", "noise_normal", "noise_reduce", "genotype"]
    runs.table(searches).drop(columns=absent).to_csv(RESULTS / "robustdarts.csv", index=False, float_format="%.6g")
    rows = []
    for search in searches:
        matrices = list(search.hessians())
        if matrices:
            epoch, matrix = matrices[-1]
            told = {
                name: getattr(search, name) for name in ("name", "space", "data", "drop_path", "weight_decay", "seed")
            }
            values = curvature.spectrum(matrix).values
            rows += [told | {"epoch": epoch, "rank": rank, "eigenvalue": value} for rank, value in enumerate(values, 1)]
    pd.DataFrame(rows).to_csv(RESULTS / "robustdarts_spectra.csv", index=False, float_format="%.6g")
    for search in searches:
        if search.problems:
            print(f"{search.name}: {'; '.join(search.problems)}")
    print(f"{len(searches)} searches, {len({row['name'] for row in rows})} with Hessians")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
