"""Makes results/dense.csv, dense_epochs.csv and dense.md: disparity and depth at laptop scale.

    make dense        (or: python experiments/dense.py)

Disparity (data stereo, space S6): the L2 factors of Table 4 and the strengths of augmentation of Table 3 of Zela et al.
2020, DARTS-PRIME, random cells, and cells of one operation. Depth (data bathymetry, space S2): DARTS, the strongest L2
factor, DARTS-PRIME, and such cells. Three seeds each (the weakest and the strongest augmentation, which results/protocol.md
compares: five); every search is followed by a training of its cell from scratch, with the same augmentation for all. Runs are kept below runs/dense, and rows that the table holds already are not made again: the command may be
stopped, killed and called again.
"""

from __future__ import annotations

import json

import pandas as pd
import torch
from writing import RESULTS, markdown, marked, means, shown, swept, written

import darts_lab as dl
from darts_lab import methods
from darts_lab.data import bathymetry, stereo
from darts_lab.studies import statistics
from darts_lab.tasks import scales

SEEDS, COMPARED_SEEDS = range(3), range(5)
FACTORS = methods.L2_FACTORS[:4]  # Table 4
STRENGTHS = (0.0, 0.1, 0.5, 1.0, 1.5, 2.0)  # Table 3
RANDOM = "random cell"
SPACES = {"stereo": "S6", "bathymetry": "S2"}
PATH = RESULTS / "dense.csv"
RUNS = PATH.parents[1] / "runs" / "dense"
COLUMNS = {
    "one_shot_error": (1, 2), "test_error": (1, 2), "dominant_eigenvalue_mean": (1, 3),
    "dominant_eigenvalue_last": (1, 3), "skips_normal": (1, 1), "skips_reduce": (1, 1), "skips_upsample": (1, 1),
    "parameters": (1e-3, 1), "search_seconds": (1, 0), "seconds": (1, 0),
}  # fmt: skip
HEADS = ["one-shot, validation", "retrained, test", "mean eigenvalue", "last eigenvalue", "skips, normal",
         "skips, reduction", "skips, upsampling", "thousand weights", "seconds of the search", "with training"]  # fmt: skip


def cells(data: str, seed: int) -> dict[str, str]:
    """Cells that nobody searched for: a random one, and those of one operation everywhere."""
    nodes = scales.get("laptop", dl.tasks.of(data).domain).search.nodes
    space = dl.spaces.get(SPACES[data]).with_nodes(nodes)
    found = {RANDOM: dl.random_genotype(space, torch.Generator().manual_seed(seed))}
    found |= {f"all {operation}": dl.uniform_genotype(space, operation) for operation in space.cell("normal")[0]}
    return {name: str(cell) for name, cell in found.items()}


def jobs() -> list[dict]:
    """Seed by seed, so that a sweep that is not finished yet compares like with like."""
    found = []
    for seed in SEEDS:
        for data, space in SPACES.items():
            same = {"data": data, "space": space, "seed": seed}
            found.append(same | {"method": "DARTS"})
            found.append(same | {"method": "DARTS-PRIME"})
            found += [same | {"method": name, "genotype": cell} for name, cell in cells(data, seed).items()]
        found.append({"data": "bathymetry", "space": SPACES["bathymetry"], "seed": seed, "method": "R-DARTS(L2)"})
        disparity = {"data": "stereo", "space": SPACES["stereo"], "seed": seed, "method": "DARTS"}
        found += [disparity | {"weight_decay": factor} for factor in FACTORS[1:]]
        found += [disparity | {"augmentation": strength} for strength in STRENGTHS if strength != 1]
    for seed in COMPARED_SEEDS[len(SEEDS) :]:
        disparity = {"data": "stereo", "space": SPACES["stereo"], "seed": seed, "method": "DARTS"}
        found += [disparity | {"augmentation": strength} for strength in (STRENGTHS[0], STRENGTHS[-1])]
    return found


def told(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the strength of augmentation of every search, and the skips that its upsampling cell keeps."""
    settings = [json.loads(text) if isinstance(text, str) else None for text in table["settings"]]
    genotypes = [dl.Genotype.parse(text) for text in table["genotype"]]
    return table.assign(
        augmentation=[one and one.get("augmentation") for one in settings],
        skips_upsample=[
            cell.count(dl.spaces.SKIP, "upsample") if "upsample" in cell.cells else None for cell in genotypes
        ],
    )


def difference(rows: pd.DataFrame, of: str, one, other) -> str:
    """`one` minus `other` in the retrained test error, bold where the interval excludes zero: paired by seed, but for random
    cells, which come from no search: unpaired."""
    if other == RANDOM:
        found = statistics.difference(*(rows.loc[rows[of] == kind, "test_error"] for kind in (one, other)))
    else:
        found = statistics.paired_difference(rows, "test_error", one, other, of)
    return marked(found, 2)


def section(title: str, rows: pd.DataFrame, by: str, base) -> list[str]:
    """One line for every value of the column `by`, against `base`, where there are two seeds of both."""
    lines = []
    for value, group in rows.groupby(by, sort=False):
        against = ""
        if value != base and min(len(group), int((rows[by] == base).sum())) > 1:
            against = difference(rows, by, base, value)
        name = value if isinstance(value, str) else f"{value:g}"
        lines.append([name, str(len(group)), *means(group, COLUMNS), against])
    shown_base = base if isinstance(base, str) else f"{base:g}"
    return [
        "",
        f"## {title}",
        "",
        *markdown([by.replace("_", " "), "seeds", *HEADS, f"{shown_base} minus this"], lines),
    ]


def reached(table: pd.DataFrame) -> list[str]:
    """What a constant answer reaches, beside the cells."""
    lines = []
    for data, constant, unit in (
        ("stereo", stereo.constant_error(stereo.stereo()), "px"),
        ("bathymetry", bathymetry.mean_error(bathymetry.bathymetry()), "m"),
    ):
        for method in ("DARTS", RANDOM):
            rows = table[(table["data"] == data) & (table["method"] == method)]
            if method == "DARTS":
                rows = rows[(rows["weight_decay"] == FACTORS[0]) & ~(rows["augmentation"].astype(float) < 1)]
                rows = rows[~(rows["augmentation"].astype(float) > 1)]
            if len(rows) > 1:
                mean = statistics.mean(rows["test_error"].astype(float))
                share = statistics.mean(rows["test_error"].astype(float) / constant)
                lines.append([data, method, f"{shown(mean, 2)} {unit}", f"{constant:.2f} {unit}", shown(share, 2)])
    return markdown(["data", "cells", "retrained test error", "best constant", "share of it"], lines)


def summary(table: pd.DataFrame) -> str:
    table = told(table)
    pairs, depths = (table[table["data"] == data] for data in SPACES)
    plain = pairs["method"] == "DARTS"
    base = plain & (pairs["weight_decay"] == FACTORS[0]) & (pairs["augmentation"] == 1)
    factors = pairs[plain & (pairs["augmentation"] == 1)].sort_values("weight_decay")
    strengths = pairs[plain & (pairs["weight_decay"] == FACTORS[0])].sort_values("augmentation")
    lines = [
        "# Disparity and depth at laptop scale",
        "",
        f"Ours: scale laptop, darts_lab {dl.__version__}, up to {len(COMPARED_SEEDS)} seeds. Mean over seeds ± half of the 95 % interval "
        "(Student's t). Errors are end-point errors in pixels of the half-sized photographs (disparity) and root mean squares "
        "in metres (depth). Kept edges are 4 in each cell. Seconds are those of one thread on a shared machine of two cores, on which "
        "other work ran at times: some are twice too large, and `benchmarks/README.md` has those of an idle machine. "
        "The last column is the difference of the retrained test errors, paired by seed, that with random cells not (Welch's t); "
        "bold where the interval excludes zero. Every cell is trained with the same augmentation (strength 1). Made by `make dense` "
        "from `experiments/dense.py`; every run stands in `dense.csv`, every second epoch in `dense_epochs.csv`.",
        "",
        "The best constant for disparity is the median of every pixel over the training split; for depth it is the mean.",
        "",
        *reached(table),
        *section("Disparity: strength of augmentation in the search", strengths, "augmentation", 1.0),
        *section("Disparity: L2 factor in the search", factors, "weight_decay", FACTORS[0]),
        *section("Disparity: methods", pairs[base | ~plain], "method", "DARTS"),
        *section("Depth: methods", depths, "method", "DARTS"),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    written(PATH, RUNS, swept(jobs(), RUNS, PATH), lambda table, epochs: summary(table))


if __name__ == "__main__":
    main()
