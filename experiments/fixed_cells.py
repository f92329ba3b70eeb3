"""Makes results/fixed_cells.csv and fixed_cells.md: what a normal cell of so many skips costs when it is trained from scratch.

    make fixed_cells        (or: python experiments/fixed_cells.py)

No search takes part: these are the cells on which the laptop's training from scratch was chosen (protocol.md). In S2, S4 and
S1: normal cells of 0, 2, 3 and 4 skips (in S4 noise) of four edges, the others convolutions, and random cells; design seeds
from 100 on, which no comparison uses. Cells of S3 that are made of skips and convolutions are those of S2. Runs are kept
below runs/fixed_cells, and rows that the table holds already are not made again.
"""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import torch
from writing import RESULTS, filler, markdown, save, shown, swept

import darts_lab as dl
from darts_lab.spaces import NOISE, SEP3, SKIP
from darts_lab.studies import statistics
from darts_lab.tasks import classification

SPACES = ("S2", "S4", "S1")
SEEDS, RANDOM_SEEDS = range(100, 105), range(100, 108)
IDLE = {0: "", 2: "03", 3: "023", 4: "0123"}  # which of the four edges learn nothing
RANDOM = "random cell"
PATH = RESULTS / "fixed_cells.csv"
RUNS = PATH.parents[1] / "runs" / "fixed_cells"


def cell(space: str, idle: str) -> dl.Genotype:
    """Both inputs into the first node, the two states before it into the second; `idle` are the edges that hold a skip or
    noise, the others hold what the space offers beside it."""
    offers = dl.spaces.get(space).with_nodes(classification.LAPTOP.search.nodes)
    nothing, pairs = NOISE if space == "S4" else SKIP, []
    for number, (source, node) in enumerate([(0, 0), (1, 0), (1, 1), (2, 1)]):
        candidates = offers.normal[offers.edges.index((source, node))]
        learns = next(name for name in candidates if name not in (SKIP, NOISE, dl.spaces.NONE))
        pairs.append((nothing if str(number) in idle else learns, source))
    return dl.Genotype(
        {"normal": pairs, "reduce": [(SEP3, 0), (SEP3, 1)] * 2}, dict.fromkeys(("normal", "reduce"), (2, 3))
    )


def jobs() -> list[dict]:
    found = []
    for space in SPACES:
        offers = dl.spaces.get(space).with_nodes(classification.LAPTOP.search.nodes)
        for number, idle in IDLE.items():
            if number or space != "S4":  # without noise they are those of S2
                found += [
                    {
                        "space": space,
                        "method": f"{number} {filler(space)}",
                        "seed": seed,
                        "genotype": str(cell(space, idle)),
                    }
                    for seed in SEEDS
                ]
        found += [
            {"space": space, "method": RANDOM, "seed": seed,
             "genotype": str(dl.random_genotype(offers, torch.Generator().manual_seed(seed)))}
            for seed in RANDOM_SEEDS
        ]  # fmt: skip
    return found


def summary(table: pd.DataFrame) -> str:
    table = table.assign(percent=100 * table["test_error"])
    lines = [
        "# What skips and noise in the normal cell cost",
        "",
        f"Ours: data digits, scale laptop, {len(table)} trainings from scratch of cells that nobody searched for, design seeds "
        f"{SEEDS[0]} to {SEEDS[-1]} (random cells: to {RANDOM_SEEDS[-1]}). Reduction cells are skips, see protocol.md. "
        "Retrained test errors in per cent; mean ± half of the 95 % interval (Student's t). Made by `make fixed_cells` from "
        "`experiments/fixed_cells.py`; every training stands in `fixed_cells.csv`.",
    ]
    for space in SPACES:
        errors = {}
        for number in IDLE:
            at = "S2" if space == "S4" and not number else space  # without noise they are those of S2
            here = (table["space"] == at) & (table["method"] == f"{number} {filler(at)}")
            errors[f"{number} {filler(space)}"] = table.loc[here, "percent"]
        errors[RANDOM] = table.loc[(table["space"] == space) & (table["method"] == RANDOM), "percent"]
        rows = [
            [name, ", ".join(f"{error:.1f}" for error in found), shown(statistics.mean(found))]
            for name, found in errors.items()
        ]
        lines += ["", f"## {space}", "", *markdown(["normal cell", "by seed", "mean"], rows)]
        none, *_, full, chance = errors.values()
        *_, worst, _ = errors
        means = [found.mean() for found in list(errors.values())[:-1]]
        noise = (sum(found.var() for found in list(errors.values())[:-1]) / len(means)) ** 0.5
        lines += [
            "",
            f"One training has a standard deviation of {none.std():.2f} points where all edges learn ({noise:.2f} pooled over "
            f"the four kinds of cells). {worst} cost {full.mean() - none.mean():.1f} points, "
            f"{(full.mean() - none.mean()) / noise:.1f} of these pooled standard deviations; means "
            f"{'rise' if all(a < b for a, b in pairwise(means)) else 'do not rise'} with the number of {filler(space)}. All edges "
            f"learning {'beat' if none.mean() < chance.mean() else 'do not beat'} random cells, and these "
            f"{'beat' if chance.mean() < full.mean() else 'do not beat'} {worst}.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    table = swept(jobs(), RUNS, PATH)
    save(table, PATH)
    PATH.with_suffix(".md").write_text(summary(pd.read_csv(PATH)))
    print(PATH.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
