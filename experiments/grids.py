"""Makes results/grids.csv, grids_epochs.csv and grids.md: how much L2 and how much drop path, in today's preset.

    make grids                             (or: python experiments/grids.py)
    python experiments/grids.py --so-far      (writes what is done by now, and computes nothing)

As results/protocol.md declares: plain searches with the L2 factors and the drop-path probabilities of Zela et al. 2020 on
S1, S2 and S4, five of the seeds of the declared comparison. What other tables hold of them is taken from there: DARTS and
R-DARTS(L2) from collapse.csv, R-DARTS(DP) on S2 and S4 from remedies.csv. Runs are kept below runs/grids, and rows that the
table holds already are not made again.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from collapse import DARTS, GUESSING
from collapse import PATH as COLLAPSE
from remedies import PATH as REMEDIES
from writing import RESULTS, filler, made, markdown, means, unfinished, within

import darts_lab as dl
from darts_lab import methods
from darts_lab.studies import statistics

SPACES, SEEDS = ("S1", "S2", "S4"), range(200, 205)
L2, DROP_PATH = "weight_decay", "drop_path"
METHODS = DARTS, "R-DARTS(L2)", "R-DARTS(DP)"
NAMES = {L2: "L2 factor", DROP_PATH: "drop path"}
PLAIN = {L2: methods.L2_FACTORS[0], DROP_PATH: 0.0}
GRIDS = {L2: methods.L2_FACTORS, DROP_PATH: methods.DROP_PATHS}
PATH = RESULTS / "grids.csv"
RUNS = PATH.parents[1] / "runs" / "grids"


def elsewhere() -> pd.DataFrame:
    """The searches of the grids that other tables hold."""
    others = pd.read_csv(REMEDIES)
    table = pd.concat([pd.read_csv(COLLAPSE), others[others["method"] == "R-DARTS(DP)"]], ignore_index=True)
    searches = table["method"].isin(METHODS) & (table["reductions"] == "skip")
    return table[searches & table["space"].isin(SPACES) & table["seed"].isin(SEEDS)]


def jobs() -> list[dict]:
    """Setting by setting, so that a sweep that is not finished yet has all seeds of what it has."""
    known = elsewhere()
    found = []
    for setting, values in GRIDS.items():
        for value in values[1:]:
            for space in SPACES:
                same = (known["space"] == space) & (known[setting] == value)
                seeds = [seed for seed in SEEDS if seed not in set(known.loc[same, "seed"])]
                found += dl.grid(space=space, seed=seeds, **{setting: value}) if seeds else []
    return found


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """`table` and the rows that stand elsewhere."""
    return pd.concat([elsewhere(), table], ignore_index=True)


def by_strength(table: pd.DataFrame, of: Sequence[str] = (DARTS,)) -> pd.DataFrame:
    """The searches of the grids by these methods, in whose column `method` a strength that is not plain has its name."""
    rows = whole(table)
    rows = rows[rows["method"].isin(of)].assign(method=DARTS)
    for setting, name in NAMES.items():
        stronger = rows[setting] != PLAIN[setting]
        rows = rows.assign(method=rows["method"].mask(stronger, name + rows[setting].map(" {:g}".format)))
    return rows


def of_grid(rows: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The searches in which nothing but `setting` may be other than plain."""
    other = DROP_PATH if setting == L2 else L2
    return rows[rows[other] == PLAIN[other]]


def lines(rows: pd.DataFrame, setting: str, space: str) -> list[list[str]]:
    columns = {"one_shot_error": (100, 1), f"{filler(space)}_normal": (1, 1), "dominant_eigenvalue_mean": (1, 2),
               "discretization_drop": (100, 1)}  # fmt: skip
    found = []
    of = of_grid(rows[rows["space"] == space], setting)
    for value, group in of.groupby(setting):
        told = ""
        if value != PLAIN[setting]:
            both = of[of[setting].isin([PLAIN[setting], value])]
            apart = statistics.differences(both, "test_error", PLAIN[setting], value, of=setting)
            told = within(statistics.bootstrap(100 * apart))
        found.append(
            [f"{value:g}", str(len(group)), f"{100 * group['test_error'].mean():.1f}", f"{100 * group['test_error'].median():.1f}",
             str((group["test_error"] > GUESSING).sum()), told, *means(group, columns)]
        )  # fmt: skip
    return found


def summary(table: pd.DataFrame) -> str:
    state = unfinished(table, jobs(), "searches")
    rows = whole(table)
    text = [
        "# How much L2, how much drop path",
        "",
        f"Ours: data digits, scale laptop, darts_lab {dl.__version__}, seeds {SEEDS[0]} to {SEEDS[-1]}.{state} As protocol.md declares: "
        "retrained test errors in per cent, of the normal cell alone; differences to plain DARTS (the first row of each table) in points, paired by seed, "
        "with bootstrap intervals; five seeds decide nothing, and no test is made. L2 factors are counted as in the paper. Means ± half of the 95 % interval "
        "(Student's t). Rows of DARTS and R-DARTS(L2) stand in `collapse.csv`, of R-DARTS(DP) on S2 and S4 in `remedies.csv`. "
        "Steps under drop path are computed in the fused form where a row's processor ends with `fused 3`, else in the plain one; rows of collapse.csv are plain throughout, and R-DARTS(DP) on S2 and S4 ran on another processor. Made by `make grids` from `experiments/grids.py`.",
    ]
    for setting, name in NAMES.items():
        for space in SPACES:
            heads = [name, "seeds", "retrained test error", "median", f"above {100 * GUESSING:.0f} %", "plain minus this",
                     "one-shot error", f"{filler(space)}, normal", "mean eigenvalue", "drop when discretized"]  # fmt: skip
            text += ["", f"## {name}, {space}", "", *markdown(heads, lines(rows, setting, space))]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    made(jobs(), PATH, RUNS, summary)
