"""Makes results/fashion.csv, fashion_epochs.csv and fashion.md: the declared comparison once more, on Fashion-MNIST.

    make fashion                             (or: python experiments/fashion.py)
    python experiments/fashion.py --so-far      (writes what is done by now, and computes nothing)

Needs the images (docs/choose.md says where they come from). As results/protocol.md declares: DARTS and R-DARTS(L2) on S2 and S4,
ten seeds, the laptop's preset as it was found on digits; beside them random cells of collapse.csv, trained on these images.
Runs are kept below runs/fashion, and rows that the table holds already are not made again.
"""

from __future__ import annotations

import pandas as pd
from collapse import DARTS, GUESSING, RANDOM, REMEDY, random_cells
from writing import RESULTS, filler, made, markdown, means, shown, unfinished, within

import darts_lab as dl
from darts_lab.studies import statistics

DATA, SPACES, SEEDS = "fashion_mnist", ("S2", "S4"), range(200, 210)
PATH = RESULTS / "fashion.csv"
RUNS = PATH.parents[1] / "runs" / "fashion"


def jobs() -> list[dict]:
    """Seed by seed, so that a sweep that is not finished yet compares like with like."""
    cells = [job for job in random_cells() if job["space"] in SPACES]
    found = []
    for seed in SEEDS:
        found += dl.grid(space=list(SPACES), data=DATA, method=[DARTS, REMEDY], seed=seed)
        found += [job | {"data": DATA} for job in cells if job["seed"] == seed]
    return found


def compared(table: pd.DataFrame, whole: bool) -> list[str]:
    """DARTS minus R-DARTS(L2) on each space, with its test once all trainings are done."""
    apart = {
        space: 100 * statistics.differences(rows, "test_error", DARTS, REMEDY)
        for space, rows in table.groupby("space")
        if set(rows["method"]) >= {DARTS, REMEDY}
    }
    p = {space: statistics.signed_rank(values) for space, values in apart.items()}
    lines = []
    for (space, values), corrected in zip(apart.items(), statistics.holm(list(p.values())) if p else [], strict=True):
        decided = [f"{p[space]:.2g}", f"{corrected:.2g}"] if whole else ["", ""]
        lines.append(
            [space, str(len(values)), within(statistics.bootstrap(values)),
             f"{(values > 0).sum()} of {len(values)}", *decided]
        )  # fmt: skip
    return markdown(
        ["space", "seeds", "DARTS minus R-DARTS(L2)", "DARTS worse in", "p (signed rank)", "p, Holm"], lines
    )


def kinds(rows: pd.DataFrame, space: str) -> list[str]:
    columns = {"one_shot_error": (100, 1), f"{filler(space)}_normal": (1, 1), "dominant_eigenvalue_mean": (1, 2)}
    lines = []
    for method in filter(set(rows["method"]).__contains__, (DARTS, REMEDY, RANDOM)):
        of = rows[rows["method"] == method]
        lines.append(
            [method, str(len(of)), shown(statistics.mean(100 * of["test_error"])), f"{100 * of['test_error'].median():.1f}",
             str((of["test_error"] > GUESSING).sum()), *means(of, columns)]
        )  # fmt: skip
    heads = ["cells", "number", "retrained test error", "median", f"above {100 * GUESSING:.0f} %", "one-shot error",
             f"{filler(space)}, normal", "mean eigenvalue"]  # fmt: skip
    return ["", f"## {space}", "", *markdown(heads, lines)]


def summary(table: pd.DataFrame) -> str:
    state = unfinished(table, jobs(), "trainings")
    text = [
        "# The same comparison on Fashion-MNIST",
        "",
        f"Ours: data {DATA} (1 x 16 x 16), scale laptop, darts_lab {dl.__version__}, seeds {SEEDS[0]} to {SEEDS[-1]}.{state} A "
        "secondary comparison, as protocol.md declares it: retrained test errors in per cent, of the normal cell alone; the preset "
        "is that of digits, and nothing was chosen on these images. Differences in points, paired by seed, with bootstrap "
        "intervals, Wilcoxon's signed-rank test and Holm's correction over the two spaces; means ± half of the 95 % interval "
        "(Student's t). Made by `make fashion` from `experiments/fashion.py`.",
        "",
        *compared(table, whole=not state),
    ]
    for space, rows in table.groupby("space"):
        text += kinds(rows, space)
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    made(jobs(), PATH, RUNS, summary)
