"""Makes results/longer.csv and longer.md: cells of results/robustness.csv on S2 and S4, trained three times as long.

    make longer        (or: python results/longer.py)

After the ten epochs of the scale, two trainings of one cell of S2 differ by as much as the cells of different methods do.
Thirty epochs were chosen on fixed cells, before any cell of a method was trained for so long (`CHOICE`). The cells are
those of plain DARTS and of R-DARTS(L2), ten seeds each, and of the two baselines; each is trained with the seed of its
search. Runs are kept below runs/longer, and rows that the table holds already are not made again.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from robustness import CONVOLUTIONS, RANDOM, plain
from writing import apart, markdown, means, swept

import darts_lab as dl
from darts_lab import statistics

EPOCHS = 30
# Test error (%) of cells of S2 whose reduction half is all convolutions, by skips among the four edges of the normal half
CHOICE = "@@"
KINDS, SPACES = ("DARTS", "R-DARTS(L2)", RANDOM, CONVOLUTIONS), ("S2", "S4")
PATH = Path(__file__).with_suffix(".csv")
RUNS = PATH.parents[1] / "runs" / "longer"


def jobs(searched: pd.DataFrame) -> list[dict]:
    """Space by space, seed by seed; `searched` is the table of robustness.csv."""
    named = searched[searched["method"].isin(KINDS) & (plain(searched) | (searched["method"] != "DARTS"))]
    rows = pd.concat([named[named["space"] == space].sort_values("seed", kind="stable") for space in SPACES])
    return [
        {name: row[name] for name in ("space", "method", "seed", "genotype")} | {"evaluation": {"epochs": EPOCHS}}
        for row in rows.to_dict("records")
    ]


def summary(table: pd.DataFrame, searched: pd.DataFrame) -> str:
    lines = [
        "# The cells of S2 and S4, trained three times as long",
        "",
        f"Ours: data digits, scale laptop but for {EPOCHS} epochs of training, darts_lab {dl.__version__}, {len(table)} "
        "trainings. Mean over seeds ± half of the 95 % interval (Student's t) of the test error in per cent, after the ten "
        "epochs of the scale (`robustness.csv`) and after thirty; the difference is that after thirty, in points, paired "
        "by seed, bold where the interval excludes zero; beside it the bootstrap interval (bias-corrected and accelerated) "
        "of the same differences, which suits two-peaked ones better. Made by `make longer` from `results/longer.py`; "
        "every training stands in `longer.csv`.",
        "",
        CHOICE,
    ]
    before = searched.set_index(["space", "method", "seed"])["test_error"]
    for space in SPACES:
        of, rows = table[table["space"] == space], []
        for method, group in of.groupby("method", sort=False):
            at = pd.MultiIndex.from_frame(group[["space", "method", "seed"]])
            group = group.assign(before=before[before.index.isin(at)].reindex(at).to_numpy())
            told = means(group, {"before": (100, 1), "test_error": (100, 1), "parameters": (1, 0), "seconds": (1, 0)})
            differences = ["", ""]
            if method != "DARTS":
                pairs = of.pivot_table(index="seed", columns="method", values="test_error")[["DARTS", method]].dropna()
                resampled = statistics.bootstrap(100 * (pairs["DARTS"] - pairs[method]))
                interval = f"[{resampled.low:.1f}, {resampled.high:.1f}]" if resampled.n >= 10 else ""
                differences = [apart(of, "DARTS", method), interval]
            rows.append([method, str(len(group)), *told, *differences])
        heads = ["method", "seeds", "after 10 epochs", f"after {EPOCHS} epochs", "weights", "seconds",
                 "DARTS minus this, paired", "bootstrap"]  # fmt: skip
        lines += ["", f"## {space}", "", *markdown(heads, rows)]
    return "\n".join(lines) + "\n"


def main() -> None:
    searched = pd.read_csv(PATH.with_name("robustness.csv"))
    table = swept(jobs(searched), RUNS, PATH)
    table.to_csv(PATH, index=False)
    text = summary(table, searched)
    PATH.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
