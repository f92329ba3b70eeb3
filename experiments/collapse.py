"""Makes results/collapse.csv, collapse_epochs.csv and collapse.md: the comparison that results/protocol.md declares.

    make collapse                           (or: python experiments/collapse.py)
    python experiments/collapse.py --so-far     (writes what is done by now, and computes nothing)

DARTS and R-DARTS(L2) on S1 to S4, twenty seeds that nothing was chosen on; beside them random cells, cells of one operation,
and plain DARTS stopped early. Every cell is trained as the laptop does it, its normal cell alone; the found and the random
ones also with both cells, as in the papers (column `reductions`). Runs are kept below runs/collapse, and rows that the table
holds already are not made again.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import torch
from fixed_cells import cell
from writing import (
    RESULTS,
    epochs_of,
    epochs_path,
    every_second,
    filler,
    markdown,
    marked,
    save,
    shown,
    so_far,
    swept,
    within,
)

import darts_lab as dl
from darts_lab.studies import statistics
from darts_lab.tasks import classification

SPACES, SEEDS = ("S1", "S2", "S3", "S4"), range(200, 220)
DARTS, REMEDY = "DARTS", "R-DARTS(L2)"
RANDOM, RANDOM_CELLS = "random cell", 25
STOPPED, STOP = "DARTS, stopped", 10  # the epoch after which early stopping usually stops (robustness.md)
ONE_SEEDS = range(200, 210)  # of cells of one operation
GUESSING = 0.3  # a test error above this: the cell has learnt next to nothing, or only what skips can
PATH = RESULTS / "collapse.csv"
EPOCHS = epochs_path(PATH)
RUNS = PATH.parents[1] / "runs" / "collapse"


def searches() -> list[dict]:
    """Space by space and seed by seed, so that a sweep that is not finished yet compares like with like."""
    order = ("S2", "S4", "S3", "S1")  # first those that the first notebooks show
    return [job for space in order for seed in SEEDS for job in dl.grid(space=space, method=[DARTS, REMEDY], seed=seed)]


def random_cells() -> list[dict]:
    """Each space has draws of its own."""
    found = []
    for number in range(RANDOM_CELLS):
        for place, name in enumerate(SPACES):
            space = dl.spaces.get(name).with_nodes(classification.LAPTOP.search.nodes)
            drawn = dl.random_genotype(space, torch.Generator().manual_seed(10_000 * (place + 1) + number))
            found.append({"space": name, "method": RANDOM, "seed": SEEDS[0] + number, "genotype": str(drawn)})
    return found


def single(space: str, idle: bool) -> tuple[str, str]:
    """(space under whose name it is trained, what it is called): many cells of one operation are the same in several."""
    if idle:
        return ("S4", "all noise") if space == "S4" else ("S2", "all skips")
    return ("S1" if space == "S1" else "S2"), "all convolutions"


def cells_of_one() -> list[dict]:
    kinds = dict.fromkeys((*single(space, idle), idle) for space in SPACES for idle in (False, True))
    return [
        {"space": space, "method": method, "seed": seed, "genotype": str(cell(space, "0123" if idle else ""))}
        for seed in ONE_SEEDS
        for space, method, idle in kinds
    ]


def stopped(epochs: pd.DataFrame) -> list[dict]:
    """The cells that plain DARTS would have returned after epoch STOP."""
    at = epochs[(epochs["method"] == DARTS) & (epochs["epoch"] == STOP)].sort_values(["seed", "space"])
    return [
        {"space": row.space, "method": STOPPED, "seed": int(row.seed), "genotype": row.genotype}
        for row in at.itertuples()
    ]


def both(table: pd.DataFrame) -> list[dict]:
    """The found and the random cells once more, trained as in the papers."""
    rows = table[table["method"].isin([DARTS, REMEDY, RANDOM]) & (table["reductions"] == "skip")].sort_values("seed")
    return [
        {"space": row.space, "method": row.method, "seed": int(row.seed), "genotype": row.genotype,
         "evaluation": classification.BOTH_CELLS}
        for row in rows.itertuples()
    ]  # fmt: skip


def of_space(table: pd.DataFrame, space: str) -> pd.DataFrame:
    """The rows of a space, cells of one operation included that are trained under another's name."""
    rows = table[(table["space"] == space) & ~table["method"].str.startswith("all ")]
    ones = [
        table[(table["space"] == at) & (table["method"] == name)]
        for at, name in (single(space, False), single(space, True))
    ]
    return pd.concat([rows, *ones]).assign(space=space)


def compared(alone: pd.DataFrame) -> tuple[list[str], dict[str, float]]:
    """The declared comparison: the lines of its table, and Holm's corrected p-value of every space."""
    found = {}
    for space in SPACES:
        rows = alone[alone["space"] == space]
        if set(rows["method"]) >= {DARTS, REMEDY}:
            found[space] = statistics.differences(rows, "percent", DARTS, REMEDY)
    p = {space: statistics.signed_rank(apart) for space, apart in found.items()}
    corrected = dict(zip(p, statistics.holm(list(p.values())), strict=True))
    lines = []
    for space, apart in found.items():
        lines.append(
            [space, str(len(apart)), *(f"{alone.loc[(alone['space'] == space) & (alone['method'] == name), 'percent'].mean():.1f}"
             for name in (DARTS, REMEDY)), within(statistics.bootstrap(apart)),
             f"{np.median(apart):.1f}", f"{(apart > 0).sum()} of {len(apart)}", f"{p[space]:.2g}", f"{corrected[space]:.2g}"]
        )  # fmt: skip
    heads = ["space", "seeds", DARTS, REMEDY, "difference", "median", "DARTS worse in", "p (signed rank)", "p, Holm"]
    return markdown(heads, lines), corrected


def kinds(of: pd.DataFrame, with_both: pd.DataFrame, space: str) -> list[str]:
    """Every kind of cell of one space beside random cells."""
    columns = {"one_shot_error": (100, 1), f"{filler(space)}_normal": (1, 1), "dominant_eigenvalue_mean": (1, 2)}
    chance, lines = of.loc[of["method"] == RANDOM, "percent"], []
    order = (DARTS, STOPPED, REMEDY, RANDOM, "all convolutions", "all skips", "all noise")
    for method in filter(set(of["method"]).__contains__, order):
        rows = of[of["method"] == method]
        known = [
            shown(statistics.mean(factor * rows[name].astype(float)), digits) if rows[name].notna().all() else ""
            for name, (factor, digits) in columns.items()
        ]
        papers = with_both.loc[with_both["method"] == method, "percent"]
        beside = ""
        if method != RANDOM and len(chance) > 1 and len(rows) > 1:
            apart = statistics.difference(rows["percent"], chance)
            beside = f"{marked(apart)} (p = {statistics.rank_sum(rows['percent'], chance):.2g})"
        lines.append(
            [method, str(len(rows)), shown(statistics.mean(rows["percent"])), f"{rows['percent'].median():.1f}",
             f"{(rows['test_error'] > GUESSING).sum()}", beside, *known,
             f"{shown(statistics.mean(papers))} ({len(papers)})" if len(papers) else ""]
        )  # fmt: skip
    heads = ["cells", "number", "retrained test error", "median", f"above {100 * GUESSING:.0f} %", "minus random cells",
             "one-shot error", f"{filler(space)}, normal", "mean eigenvalue", "both cells trained (number)"]  # fmt: skip
    return ["", f"## {space}", "", *markdown(heads, lines)]


def ranked(alone: pd.DataFrame) -> list[str]:
    """How well a search's own numbers foretell the retrained error."""
    lines = []
    for space in SPACES:
        rows = alone[(alone["space"] == space) & alone["method"].isin([DARTS, REMEDY])]
        for name, of in (
            ("both methods", rows),
            *((method, rows[rows["method"] == method]) for method in (DARTS, REMEDY)),
        ):
            if len(of) >= 10:  # fewer tell nothing
                told = [
                    statistics.correlation(of[x], of["percent"], "spearman")
                    for x in ("dominant_eigenvalue_mean", "one_shot_error")
                ]
                lines.append([space, name, str(len(of)), *(within(r, digits=2) for r in told)])
    heads = ["space", "searches of", "number", "mean eigenvalue", "one-shot error"]
    return ["", "## What foretells the retrained error", "", "Rank correlations (Spearman) with the retrained test error, with "
            "bootstrap intervals; not part of the declared comparison.", "", *markdown(heads, lines)]  # fmt: skip


def summary(table: pd.DataFrame) -> str:
    table = table.assign(percent=100 * table["test_error"])
    alone, papers = table[table["reductions"] == "skip"], table[table["reductions"] == "searched"]
    lines, corrected = compared(alone)
    done = len(alone[alone["method"].isin([DARTS, REMEDY])])
    whole = 2 * len(SEEDS) * len(SPACES)
    state = (
        "" if done == whole else f" **Not finished: {done} of {whole} searches are done; nothing is decided before.**"
    )
    clear = [space for space, p in corrected.items() if p < 0.05]
    found = alone["method"].isin([DARTS, REMEDY, RANDOM]).sum()
    with_both = "" if len(papers) == found else f" (so far {len(papers)} of {found}, seed by seed)"
    text = [
        "# What the collapse costs at laptop scale",
        "",
        f"Ours: data digits, scale laptop, darts_lab {dl.__version__}, {len(table)} trainings. The comparison is declared in "
        f"protocol.md, seeds {SEEDS[0]} to {SEEDS[-1]}.{state} Retrained test errors in per cent, of the normal cell alone "
        "(reduction cells of skips); in the last column of the later tables of both cells, as the papers train them"
        f"{with_both}. Made by `make collapse` from `experiments/collapse.py`; every training stands in `collapse.csv` with the processor that computed it.",
        "",
        "## The declared comparison",
        "",
        "DARTS minus R-DARTS(L2), percentage points of retrained test error, paired by seed; bootstrap interval (bias-corrected "
        "and accelerated); Wilcoxon's signed-rank test, two-sided; Holm's correction over the four spaces.",
        "",
        *lines,
        "",
        f"Corrected p below 0.05: {', '.join(clear) or 'none'}.",
    ]
    for space in SPACES:
        if (alone["space"] == space).any():
            text += kinds(of_space(alone, space), papers[papers["space"] == space], space)
    text += [
        "",
        "Mean ± half of the 95 % interval (Student's t), which errors in two heaps make a rough guide. *Minus random cells*: "
        "difference of means with Welch's interval, bold where it excludes zero, and the p-value of the rank-sum test, not "
        "corrected.",
    ]
    return "\n".join(text + ranked(alone)) + "\n"


def shown_seed(table: pd.DataFrame, space: str = "S2") -> int:
    """The seed that pictures of a space show: of plain DARTS on it the one whose retrained error is the lower median
    (protocol.md); the first until all are done."""
    plain = table[(table["space"] == space) & (table["method"] == DARTS) & (table["reductions"] == "skip")]
    if len(plain) < len(SEEDS):
        return SEEDS[0]
    return int(plain.sort_values(["test_error", "seed"])["seed"].iloc[len(SEEDS) // 2 - 1])


def write(table: pd.DataFrame) -> None:
    """The three files, from the rows that are done."""
    order = ["reductions", "space", "method", "seed", "genotype"]
    table = table[table["error"].isna()].drop_duplicates("config_hash").sort_values(order, ignore_index=True)
    epochs = epochs_of(RUNS, EPOCHS)
    epochs = epochs[epochs["config_hash"].isin(table["config_hash"])]
    wanted = (epochs["method"] == DARTS) & (epochs["epoch"] == STOP)  # whose cells are trained too
    epochs = every_second(epochs).assign(genotype=epochs["genotype"].where(wanted))
    save(table, PATH)
    save(epochs.sort_values(["space", "method", "seed", "epoch"]), EPOCHS, float_format="%.6g")
    text = summary(pd.read_csv(PATH))
    PATH.with_suffix(".md").write_text(text)
    print(text)


def main() -> None:
    if "--so-far" not in sys.argv:
        found = swept(searches(), RUNS, PATH)
        for jobs in (random_cells(), cells_of_one(), stopped(epochs_of(RUNS, EPOCHS))):
            found = pd.concat([found, swept(jobs, RUNS, PATH)], ignore_index=True)
        swept(both(found), RUNS, PATH)
    write(so_far(PATH, RUNS))


if __name__ == "__main__":
    main()
