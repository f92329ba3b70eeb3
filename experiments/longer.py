"""Makes results/longer.csv, longer_epochs.csv and longer.md: S2 searched twice as long.

    make longer        (or: python experiments/longer.py)

After the forty epochs of the scale, plain DARTS has brought skips to three of the four kept edges of S2's normal cell, and
their weight still rises; a cell with one convolution left is hardly worse than one of four. So here the same searches run
for eighty epochs. That number was settled on when one such search (seed 0) had brought skips to all four edges, and one
with the strong decay to none, before any cell of such a search was trained.
Plain DARTS and R-DARTS(L2), ten seeds each, and RS-ws, five; every search is followed by the scale's own training from
scratch. Random cells, which no search has to do with, are those of robustness.csv. Runs are kept below runs/longer, and
rows that the table holds already are not made again.
"""

from __future__ import annotations

import pandas as pd
from robustness import HEADS, RANDOM, columns
from writing import FORMER, RESULTS, apart, former, markdown, means, swept, usual, written

import darts_lab as dl
from darts_lab.tasks import classification

EPOCHS, SEEDS, METHODS = 2 * classification.LAPTOP.search.epochs, range(10), ("DARTS", "R-DARTS(L2)")
BASELINES = ("RS-ws", RANDOM)
PATH = RESULTS / "longer.csv"
RUNS = PATH.parents[1] / "runs" / "longer"


def jobs() -> list[dict]:
    """Seed by seed, so that a sweep that is not finished yet compares like with like."""
    found = [job for seed in SEEDS for job in dl.grid(space="S2", method=list(METHODS), seed=seed, epochs=EPOCHS)]
    return former(found + dl.grid(space="S2", method=BASELINES[0], seed=range(5), epochs=EPOCHS))


def summary(table: pd.DataFrame, shorter: pd.DataFrame) -> str:
    """`shorter` are the rows of robustness.csv: the same searches with half as many epochs, and the baselines."""
    shorter = shorter[(shorter["space"] == "S2") & shorter["method"].isin(METHODS + BASELINES)]
    measured = {name: how for name, how in columns("S2").items() if name != "seconds"}  # told falsely: a busy machine
    rows = []
    cells = shorter[shorter["method"] == RANDOM]
    for epochs, of in ((EPOCHS // 2, shorter[usual(shorter)]), (EPOCHS, pd.concat([table, cells]))):
        for method, group in of.groupby("method", sort=False):
            searched = "" if method == RANDOM else str(epochs)
            difference = "" if method == "DARTS" else apart(of, "DARTS", method)
            rows.append([method, searched, str(len(group)), *means(group, measured), difference])
    heads = [
        "method",
        "epochs",
        "seeds",
        *(head.format(word="skips") for head in HEADS[:-1]),
        "DARTS minus this, paired",
    ]
    lines = [
        "# S2 searched twice as long",
        "",
        f"{FORMER}Ours: data digits, scale laptop but for {EPOCHS} epochs of search, darts_lab {dl.__version__}, {len(table)} runs; "
        "above them searches with the epochs of the scale. A random cell is searched in neither way: the same trainings stand "
        "twice. Mean over seeds ± half of the 95 % interval (Student's t); "
        "errors in per cent, of four kept edges. Bold: the interval of the paired difference (percentage points of the "
        "retrained test error) excludes zero. Made by `make longer` from `experiments/longer.py`, which says why; every run stands in "
        "`longer.csv`, every second epoch in `longer_epochs.csv`.",
        "",
        *markdown(heads, rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    write(swept(jobs(), RUNS, PATH))


def write(table: pd.DataFrame) -> None:
    """The three files, from the rows that are done."""
    shorter = pd.read_csv(PATH.with_name("robustness.csv"))
    written(PATH, RUNS, table, lambda table, epochs: summary(table, shorter))


if __name__ == "__main__":
    main()
