"""Makes results/s5_cells.csv, s5_searches.csv and s5.md: how far from the best of the 81 cells of S5 a search is, and when.

    make s5        (or: python experiments/ground_truth.py)

All 81 cells are trained from scratch, both cells of each, `len(CELL_SEEDS)` times; a row of the first table is one training.
Then DARTS, R-DARTS(L2), DARTS-ES and RS-ws search among them, in the laptop's preset as it stands (results/protocol.md
declares the comparison); a row of the second table is one epoch of one search, with the cell that it would have returned. Runs are kept below runs/s5, and rows that the tables hold already
are not made again: the command may be stopped, killed and called again. What all cells came to is also written into the
package, for the lab.
"""

from __future__ import annotations

import pandas as pd
from writing import RESULTS, former, markdown, save, searched, shown, swept, within

import darts_lab as dl
from darts_lab.genotype import enumerate_genotypes
from darts_lab.studies import statistics

CELL_SEEDS = range(3)
SEEDS, FEWER = range(200, 210), range(200, 205)  # of the comparison, and of what stands beside it
BETWEEN = (
    0.0009  # an L2 factor between those of DARTS and R-DARTS(L2); stronger ones the search does not bear (ladder.md)
)
EARLY, LATE = (4, 12), (31, 39)  # epochs, first and last
PACKAGED = RESULTS.parent / "darts_lab" / "studies" / "s5_digits.csv"  # the truth, for the lab
CELLS, SEARCHES, RUNS = RESULTS / "s5_cells.csv", RESULTS / "s5_searches.csv", RESULTS.parent / "runs" / "s5"


def cells() -> list[dict]:
    """Seed by seed: the first seed of all, then the second."""
    return former(
        [
            {"space": "S5", "method": "cell", "seed": seed, "genotype": str(genotype)}
            for seed in CELL_SEEDS
            for genotype in enumerate_genotypes(dl.spaces.get("S5"))
        ]
    )


def searches() -> list[dict]:
    """Nothing is trained after them: the table of all cells tells what that would have given."""
    compared = dl.grid(space="S5", method=["DARTS", "R-DARTS(L2)"], seed=SEEDS, evaluation=None)
    beside = dl.grid(space="S5", method=["DARTS-ES", "RS-ws"], seed=FEWER, evaluation=None)
    return compared + beside + dl.grid(space="S5", weight_decay=BETWEEN, seed=FEWER, evaluation=None)


def epochs() -> pd.DataFrame:
    """The epochs of all searches, with the cell that each would have returned."""
    found = searched(searches(), RUNS, SEARCHES)
    cells = found["genotype"].map(lambda text: str(dl.Genotype.parse(text).canonical))
    names = ["method", "weight_decay", "seed", "epoch", "one_shot_error", "dominant_eigenvalue", "config_hash"]
    order = ["method", "weight_decay", "seed", "epoch"]
    return found[names].assign(genotype=cells).sort_values(order, ignore_index=True)


def labelled(epochs: pd.DataFrame) -> pd.DataFrame:
    """With a column `search` that tells kinds of search apart, the L2 factor included."""
    other = (epochs["method"] == "DARTS") & (epochs["weight_decay"] == BETWEEN)
    return epochs.assign(search=epochs["method"].where(~other, f"DARTS, L2 {BETWEEN:g}"))


def rises(epochs: pd.DataFrame) -> pd.Series:
    """Mean regret over the epochs LATE minus that over EARLY, of every seed; `epochs` are those of one kind of search."""
    early, late = (
        epochs[epochs["epoch"].between(*window)].groupby("seed")["regret"].mean() for window in (EARLY, LATE)
    )
    return late - early


def summary(trainings: pd.DataFrame, epochs: pd.DataFrame) -> str:
    truth = dl.ground_truth(trainings)
    epochs = labelled(epochs).join(truth[["regret", "rank"]], on="genotype")
    best, worst = truth.iloc[0], truth.iloc[-1]
    lines = [
        "# The 81 cells of S5, and how near to the best of them a search comes",
        "",
        f"Ours: data digits, scale laptop, darts_lab {dl.__version__}. Every cell was trained {len(CELL_SEEDS)} times; test "
        f"errors go from {100 * best['test_error']:.1f} to {100 * worst['test_error']:.1f} %, median "
        f"{100 * truth['test_error'].median():.1f} %; one training has a standard deviation of "
        f"{100 * (truth['standard_error'] ** 2 * truth['trainings']).mean() ** 0.5:.2f} points. The regret is the mean test "
        "error of a cell minus that of the best (which, of so many uncertain means, is somewhat too good), in percentage "
        "points; below: of the cell that a search would have returned "
        "after so many epochs, mean over seeds ± half of the 95 % interval (Student's t). *Rise*: mean regret over epochs "
        f"{LATE[0]} to {LATE[1]} minus that over {EARLY[0]} to {EARLY[1]}, with its bootstrap interval and, where there are ten seeds, "
        "the p-value of the signed-rank test; protocol.md declares that of DARTS. Made by `make s5` "
        "from `experiments/ground_truth.py`; trainings in `s5_cells.csv`, epochs in `s5_searches.csv`.",
        "",
    ]
    told, rows = [0, 4, 8, 12, 20, 30, 39], []
    for name, of in epochs.groupby("search", sort=False):
        until = [
            of[of["epoch"] <= epoch].groupby("seed")["regret"].last() for epoch in told
        ]  # stopped: it keeps its cell
        ranks = ", ".join(str(rank) for rank in of.groupby("seed")["rank"].last())
        rise = 100 * rises(of) if name != "DARTS-ES" else []  # which stops
        apart = ""
        if len(rise):
            apart = within(statistics.bootstrap(rise))
            apart += f", p = {statistics.signed_rank(rise):.2g}" if len(rise) == len(SEEDS) else ""
        seeds = str(of["seed"].nunique())
        rows.append([name, seeds, *(shown(statistics.mean(100 * regret)) for regret in until), apart, ranks])
    heads = ["search", "seeds", *(f"epoch {epoch}" for epoch in told), "rise", "rank at the end, by seed"]
    lines += markdown(heads, rows)
    chance = statistics.mean(100 * truth["regret"])
    lines += ["", f"A random cell: {chance.value:.1f} on average over all 81."]
    return "\n".join(lines) + "\n"


def packaged(trainings: pd.DataFrame) -> str:
    return dl.ground_truth(trainings).to_csv(float_format="%.6g")


def main() -> None:
    trainings = swept(cells(), RUNS, CELLS)
    save(trainings, CELLS)
    PACKAGED.write_text(packaged(trainings))
    found = epochs()
    save(found, SEARCHES, float_format="%.6g")
    text = summary(trainings, found)
    CELLS.with_name("s5.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
