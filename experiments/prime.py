"""Makes results/prime.csv, prime_epochs.csv and prime.md: DARTS-PRIME and its parts, at laptop scale.

    make prime        (or: python experiments/prime.py)

Every part of DARTS-PRIME (Maile et al. 2021) by itself and together, on S2, S4 and the full space, five seeds each, every
search followed by a training of its cell from scratch; plain DARTS and random cells on the full space (on S2 and S4:
`robustness.csv`). The controls take as many alpha steps, on the same split: at a fixed rhythm, or at random moments. Runs
are kept below runs/prime, and rows that the table holds already are not made again.
"""

from __future__ import annotations

import pandas as pd
from robustness import RANDOM, cells
from writing import FORMER, RESULTS, apart, former, markdown, means, swept, usual, written

import darts_lab as dl

SEEDS, SPACES = range(5), ("S2", "S4", "DARTS")
METHODS = (
    "DARTS-PRIME", "PRIME(fixed)", "PRIME(random)", "PRIME(schedule only)", "PRIME(random timing only)", "PRIME(ADMM)",
    "CRB", "CRB+PRIME",
)  # fmt: skip
PATH = RESULTS / "prime.csv"
RUNS = PATH.parents[1] / "runs" / "prime"
COLUMNS = {
    "one_shot_error": (100, 1), "test_error": (100, 1), "discretization_drop": (100, 1),
    "dominant_eigenvalue_mean": (1, 2), "skips_normal": (1, 1), "noise_normal": (1, 1), "alpha_steps": (1, 0),
}  # fmt: skip


def jobs() -> list[dict]:
    """Seed by seed, so that a sweep that is not finished yet compares like with like."""
    found = []
    for seed in SEEDS:
        found += dl.grid(space=list(SPACES), method=list(METHODS), seed=seed)
        found += dl.grid(space="DARTS", method="DARTS", seed=seed)
        found.append({"space": "DARTS", "method": RANDOM, "seed": seed, "genotype": str(cells("DARTS", seed)[RANDOM])})
    return former(found)


def summary(table: pd.DataFrame, others: pd.DataFrame) -> str:
    """`others` are the rows of robustness.csv, of which plain DARTS and the remedies of Zela et al. stand beside."""
    named = others["method"].isin(["DARTS", "R-DARTS(L2)", "R-DARTS(DP)", "DARTS-ES", "DARTS-ADA", RANDOM])
    others = others[usual(others) & named & others["seed"].isin(SEEDS)]
    lines = [
        "# What the parts of DARTS-PRIME do at laptop scale",
        "",
        f"{FORMER}Ours: data digits, scale laptop, darts_lab {dl.__version__}, up to {len(SEEDS)} seeds. Mean over seeds ± half of the "
        "95 % interval (Student's t); errors in per cent. Kept edges are 4 in each cell. The methods of Zela et al. take an alpha step before every "
        "batch. The split of DARTS-PRIME leaves 1/11 of the "
        "images for validation: its one-shot errors and drops are measured on these, those of DARTS on half of all. A cell whose "
        "test error is above 50 % has learnt next to nothing; on S4 such cells rule every mean of the test error, and how "
        "many they are says more. The controls take about as many alpha steps: the random moments of a seed are the same in "
        "every space. The Fisher trace was read from every batch, the last of an epoch included (today it is left out), which has 5 images here and a "
        "squared gradient many times as large (notebook 09, section 3). Seconds are search and training together: on a CPU those of one "
        "thread on a shared machine of two cores, on which other work ran at times; on a GPU those of one of thirteen processes "
        "that shared an NVIDIA H200 (with `NVIDIA_TF32_OVERRIDE=0`, so that float32 means that). They tell apart only what "
        "differs by far. (`darts-lab verify` does a row again on the kind of device that it was computed on.) The differences are those of the retrained test error, in "
        "points, paired by seed; bold where the interval excludes zero, as one of twenty does by chance. Made by `make prime` from `experiments/prime.py`; every "
        "run stands in `prime.csv`, the rows of methods of Zela et al. in `robustness.csv`.",
    ]
    for space in SPACES:
        of = pd.concat([others[others["space"] == space], table[table["space"] == space]], ignore_index=True)
        device = of["device"].mode()[0]
        rows = [
            [method, str(len(group)), *means(group, COLUMNS), *means(group[group["device"] == device], {"seconds": (1, 0)}), str(group["test_error"].gt(0.5).sum()), *("" if method == other else apart(of, other, method)
             for other in ("DARTS", "PRIME(random)") if (of["method"] == other).any())]
            for method, group in of.groupby("method", sort=False)
        ]  # fmt: skip
        heads = ["method", "seeds", "one-shot error", "retrained test error", "drop when discretized", "mean eigenvalue",
                 "skips, normal", "noise, normal", "alpha steps", "seconds", "above 50 %", "DARTS minus this", "PRIME(random) minus this"]  # fmt: skip
        rows.sort(key=lambda row: row[0] != "DARTS")
        lines += ["", f"## {space}", "", _computed(of, device), "", *markdown(heads, rows)]
    return "\n".join(lines) + "\n"


def _computed(rows: pd.DataFrame, usual: str) -> str:
    """On which devices, and which runs not on the usual one."""
    counts = rows["device"].map({"cpu": "a CPU", "cuda": "a GPU"}).value_counts()
    others = ", ".join(f"{row.method} seed {row.seed}" for row in rows[rows["device"] != usual].itertuples())
    where = ", ".join(f"{runs} on {device}" for device, runs in counts.items())
    return f"Runs: {where}" + (f" ({others}, which the seconds leave out)." if others else ".")


def main() -> None:
    others = pd.read_csv(PATH.with_name("robustness.csv"))
    written(PATH, RUNS, swept(jobs(), RUNS, PATH), lambda table, epochs: summary(table, others))


if __name__ == "__main__":
    main()
