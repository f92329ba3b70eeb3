"""Makes results/robustness.csv, robustness_epochs.csv and robustness.md: the methods of Zela et al. 2020 at laptop scale.

    make robustness        (or: python experiments/robustness.py)

On S2 and S4: every method, five seeds each (plain DARTS and the strongest L2 factor: ten); the grids of L2 factors and
drop-path probabilities, three seeds each; random cells and cells of convolutions. On S1 and S3: plain DARTS, the
strongest L2 factor and random cells, five seeds. Every search is followed by a training of its cell from scratch. One row of the first
table is one run, one of the second an epoch of a search. Runs are kept below runs/robustness, and rows that the table
holds already are not made again: the command may be stopped, killed and called again. `darts-lab verify
results/robustness.csv --row N` does a row again.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch
from writing import (
    FORMER,
    RESULTS,
    apart,
    epochs_path,
    filler,
    former,
    markdown,
    means,
    shown,
    swept,
    usual,
    within,
    written,
)

import darts_lab as dl
from darts_lab import methods
from darts_lab.methods.monitors import LITERAL, RULE
from darts_lab.studies import statistics
from darts_lab.tasks import classification

SEEDS, GRID_SEEDS = range(5), range(3)
MORE_SEEDS = range(
    5, 10
)  # on S2, where cells differ little: decided on before the second seed of R-DARTS(L2) was known
SPACES = ("S2", "S4", "S1", "S3")  # the first two with everything
FACTORS = (*methods.L2_FACTORS[1:-1], 3 * methods.L2_FACTORS[-1])  # between DARTS and R-DARTS(L2), and one beyond
DROP_PATHS = methods.DROP_PATHS[1:-1]  # between DARTS and R-DARTS(DP)
GUESSING = 0.8  # a test error that a cell of ten classes has when it has learnt next to nothing
RANDOM, CONVOLUTIONS, SKIPS = "random cell", "all convolutions", "skips in the normal cell"
PATH = RESULTS / "robustness.csv"
EPOCHS = epochs_path(PATH)
RUNS = PATH.parents[1] / "runs" / "robustness"


def cells(name: str, seed: int) -> dict[str, dl.Genotype]:
    """Cells of a space that nobody searched for."""
    space = dl.spaces.get(name).with_nodes(classification.LAPTOP.search.nodes)
    found = {RANDOM: dl.random_genotype(space, torch.Generator().manual_seed(seed))}
    if name not in SPACES[:2]:
        return found
    convolutions = found[CONVOLUTIONS] = dl.uniform_genotype(space, dl.spaces.SEP3)
    if name == "S2":
        skips = dl.uniform_genotype(space, dl.spaces.SKIP)
        found[SKIPS] = replace(convolutions, cells=convolutions.cells | {"normal": skips.normal})
    return found


def jobs() -> list[dict]:
    """Method by method, all seeds of one, so that a sweep that is not finished yet compares like with like."""
    found = dl.grid(space=list(SPACES), seed=SEEDS)
    for name in SPACES:
        found += dl.grid(space=name, method="R-DARTS(L2)", seed=SEEDS)
        found += [
            {"space": name, "method": what, "seed": seed, "genotype": str(cell)}
            for seed in SEEDS
            for what, cell in cells(name, seed).items()
        ]
    found += dl.grid(space=list(SPACES[:2]), method=["DARTS", "R-DARTS(L2)"], seed=MORE_SEEDS)
    found += dl.grid(method=["RS-ws", "DARTS-ADA", "DARTS-ES", "R-DARTS(DP)"], space=list(SPACES[:2]), seed=SEEDS)
    found += dl.grid(space=list(SPACES[:2]), seed=GRID_SEEDS, weight_decay=list(FACTORS))
    return former(found + dl.grid(space=list(SPACES[:2]), seed=GRID_SEEDS, drop_path=list(DROP_PATHS)))


def columns(space: str) -> dict[str, tuple[int, int]]:
    kept = filler(space)
    return {
        "one_shot_error": (100, 1), "test_error": (100, 1), f"{kept}_normal": (1, 1), f"{kept}_reduce": (1, 1),
        "dominant_eigenvalue_mean": (1, 2), "discretization_drop": (100, 1), "seconds": (1, 0),
    }  # fmt: skip


HEADS = ["one-shot error", "retrained test error", "{word}, normal", "{word}, reduction", "mean eigenvalue",
         "drop when discretized", "seconds"]  # fmt: skip


def compared(table: pd.DataFrame, space: str) -> list[str]:
    """Every method beside DARTS."""
    of = table[(table["space"] == space) & ~table["setting"]]
    lines = []
    for method, rows in of.groupby("method", sort=False):
        difference = "" if method == "DARTS" else apart(of, "DARTS", method)
        *told, _ = means(rows, columns(space))
        seconds = means(rows[rows["seed"].isin(SEEDS)], {"seconds": (1, 0)})
        lines.append([method, str(len(rows)), *told, *seconds, difference])
    heads = ["method", "seeds", *(head.format(word=filler(space)) for head in HEADS), "DARTS minus this, paired"]
    return ["", f"## {space}", "", *markdown(heads, lines), *heaps(of)]


def heaps(of: pd.DataFrame) -> list[str]:
    """Where some cells do no better than to guess: how many, and an interval that does not take errors to be normal."""
    guesses = of["test_error"] > GUESSING
    if not guesses.any():
        return []
    told = [f"{method} {int(bad.sum())} of {len(bad)}" for method, bad in guesses.groupby(of["method"], sort=False)]
    one, other = (of[of["method"] == name].set_index("seed")["test_error"] for name in ("DARTS", "R-DARTS(L2)"))
    found = statistics.bootstrap(100 * (one - other).dropna())
    return [
        "",
        f"Cells whose test error is above {100 * GUESSING:.0f} %, where guessing gives 90: {', '.join(told)}. Errors that fall "
        "into two heaps are not normal, and half an interval of Student's t may reach below zero error: it is a rough guide "
        f"here. The bootstrap interval (bias-corrected and accelerated) of DARTS minus R-DARTS(L2) over {found.n} seeds: "
        f"{within(found)}.",
    ]


def grids(table: pd.DataFrame, space: str) -> list[str]:
    """One line for each strength of L2 and of drop path."""
    of, lines = regularized(table, space), []
    for (decay, drop), rows in of.groupby(["weight_decay", "drop_path"]):
        lines.append([f"{decay:g}", f"{drop:g}", str(len(rows)), *means(rows, columns(space))])
    heads = ["L2 factor", "drop path", "seeds", *(head.format(word=filler(space)) for head in HEADS)]
    return ["", f"### {space}: strengths of regularization", "", *markdown(heads, lines), "", *correlations(of)]


def regularized(table: pd.DataFrame, space: str) -> pd.DataFrame:
    """The searches that differ in nothing but their L2 factor or drop path."""
    return table[(table["space"] == space) & table["method"].isin(("DARTS", "R-DARTS(L2)", "R-DARTS(DP)"))]


def correlations(of: pd.DataFrame) -> list[str]:
    pairs = (
        ("dominant_eigenvalue_mean", "test_error"),
        ("dominant_eigenvalue_last", "discretization_drop"),
        ("one_shot_error", "test_error"),
    )
    lines = []
    for x, y in pairs:
        both = [statistics.correlation(of[x], of[y], kind) for kind in ("pearson", "spearman")]
        told = [within(found, digits=2) for found in both]
        lines.append([x.replace("_", " "), y.replace("_", " "), *told, str(both[0].n)])
    return markdown(["of", "with", "Pearson", "Spearman", "searches"], lines)


def watched(epochs: pd.DataFrame) -> list[str]:
    """The eigenvalue over plain searches, and where early stopping would have ended them."""
    curves, ends = [], []
    for space, searches in epochs[(epochs["method"] == "DARTS") & usual(epochs)].groupby("space"):
        kept, found = filler(space), []
        for _, search in searches.groupby("seed"):
            measured, last = search.dropna(subset="dominant_eigenvalue"), search.iloc[-1]
            places, values = measured["epoch"].tolist(), measured["dominant_eigenvalue"]
            stop, literal = RULE.stop(places, values), LITERAL.stop(places, values)
            at = last if stop is None else search[search["epoch"] == stop].iloc[0]
            row = {"first": values.iloc[0], "mean": values.mean(), "largest": values.max(), "last": values.iloc[-1]}
            row |= {"rise": measured["epoch"].corr(values, method="spearman"), "stop": stop, "literal": literal}
            for when, record in (("stop", at), ("end", last)):
                row |= {f"{kind}_{when}": record[f"{kept}_{kind}"] for kind in dl.spaces.CELL_TYPES}
                row |= {f"error_{when}": 100 * record["one_shot_error"]}
            found.append(row)
        found = pd.DataFrame(found)
        names = ("first", "mean", "largest", "last", "rise")
        curves.append([space, str(len(found)), *(shown(statistics.mean(found[name]), 2) for name in names)])
        stops = [
            ", ".join("never" if pd.isna(stop) else f"{stop:.0f}" for stop in found[rule])
            for rule in ("stop", "literal")
        ]
        pairs = [
            " → ".join(shown(statistics.mean(found[f"{name}_{when}"])) for when in ("stop", "end"))
            for name in ("normal", "reduce", "error")
        ]
        ends.append([space, *stops, *pairs])
    curve_heads = ["space", "seeds", "epoch 0", "mean", "largest", "last", "rank correlation with the epoch"]
    end_heads = ["space", "stop epochs, by seed", "the rule of the text", "normal, stop → end",
                 "reduction, stop → end", "one-shot error, stop → end"]  # fmt: skip
    return [
        "",
        "## The dominant eigenvalue over plain searches",
        "",
        "Of one batch of the validation split, the same all through a search, batch-norms in training mode, without the "
        "decay of alpha; measured every second epoch.",
        "",
        *markdown(curve_heads, curves),
        "",
        "Where early stopping (5, 1.3, 4, from epoch 10 on) would have ended each search, and what the cell held then and "
        "holds at the end: kept skips, in S4 kept noise, of 4.",
        "",
        *markdown(end_heads, ends),
    ]


def summary(table: pd.DataFrame, epochs: pd.DataFrame) -> str:
    table = table.assign(setting=table["weight_decay"].isin(FACTORS) | table["drop_path"].isin(DROP_PATHS))
    lines = [
        "# Do the remedies help at laptop scale?",
        "",
        f"{FORMER}Ours: data digits, scale laptop, darts_lab {dl.__version__}, {len(table)} runs. Mean over seeds ± half of the "
        "95 % interval (Student's t); errors in per cent; the one-shot error of early stopping is that of the epoch it "
        "names, and the mean eigenvalue of adaptation that of the epochs after its last return. Kept edges are 4 in each "
        "cell; what is counted is skips, in S4 noise. Seconds are those of one thread on a "
        "shared machine of two cores, search and training together, of seeds 0 to 4 only: beside the later ones many other "
        "processes ran, and beside the searches from RS-ws on tests did, so theirs are too large. Made by `make robustness` from "
        "`experiments/robustness.py`; every run stands in `robustness.csv`, every second epoch in `robustness_epochs.csv`.",
        "",
        "Bold: the interval of the paired difference (percentage points of the retrained test error) excludes zero.",
    ]
    for space in SPACES:
        if (table["space"] == space).any():
            lines += compared(table, space)
        if table.loc[table["space"] == space, "setting"].any():
            lines += grids(table, space)
    return "\n".join(lines + watched(epochs)) + "\n"


def main() -> None:
    write(swept(jobs(), RUNS, PATH))


def write(table: pd.DataFrame) -> None:
    """The three files, from the rows that are done."""
    written(PATH, RUNS, table.sort_values(["space", "seed"], kind="stable", ignore_index=True), summary)


if __name__ == "__main__":
    main()
