"""Makes results/language.csv, language_epochs.csv and language.md: searching a recurrent cell on `pydocs`, at laptop scale.

    make language        (or: python experiments/language.py)

On RNN and RNN-S (ReLU and identity alone): plain DARTS with four L2 factors, DARTS-PRIME, random cells, and cells of one
operation. Three seeds each (the weakest and the strongest factor, which results/protocol.md compares: five; random cells:
eight), every cell trained from scratch. Runs are kept below runs/language, and rows that the table holds already are not made
again.

The factors are those of Zela et al. 2020 (Fig. 11) times ten. What a decay does to a weight over a whole search is exp(-steps *
learning rate * factor), and a search at laptop scale has about a ninth of the steps of theirs (600 instead of 5,150), at the same
learning rate of 20: with the factors as they stand even the strongest would take away but 15 %.
"""

from __future__ import annotations

import platform

import pandas as pd
import torch
from writing import RESULTS, markdown, marked, means, shown, swept, within, written

import darts_lab as dl
from darts_lab import spaces
from darts_lab.studies import statistics
from darts_lab.tasks import language, scales

SEEDS, COMPARED_SEEDS, RANDOM_SEEDS = range(3), range(5), range(8)
SPACES, DATA = ("RNN", "RNN-S"), "pydocs"
FACTORS = tuple(float(f"{10 * factor:.3g}") for factor in language.LANGUAGE_L2_FACTORS)  # the first is laptop's own
RANDOM = "random cell"
PATH = RESULTS / "language.csv"
RUNS = PATH.parents[1] / "runs" / "language"
COLUMNS = {
    "one_shot_error": (1, 1), "test_error": (1, 1), "discretization_drop": (1, 0), "dominant_eigenvalue_mean": (1, 3),
    "dominant_eigenvalue_last": (1, 3), "identity": (1, 1), "commonest": (1, 1), "search_seconds": (1, 0), "seconds": (1, 0),
}  # fmt: skip
HEADS = [
    "L2 factor", "seeds", "one-shot perplexity", "retrained test perplexity", "rise when discretized", "mean eigenvalue",
    "last eigenvalue", "identity edges", "edges of the commonest operation", "seconds of the search", "with training",
]  # fmt: skip


def cells(name: str, seed: int) -> dict[str, dl.Genotype]:
    """Cells of a space that nobody searched for."""
    space = spaces.get(name).with_nodes(scales.get("laptop", "language").search.nodes)
    found = {RANDOM: dl.random_genotype(space, torch.Generator().manual_seed(seed))}
    if seed in SEEDS:
        kinds = [operation for operation in space.cell(spaces.RECURRENT)[0] if operation != spaces.NONE]
        found |= {f"all {operation}": dl.uniform_genotype(space, operation) for operation in kinds}
    return found


def jobs() -> list[dict]:
    """Seed by seed, so that a sweep that is not finished yet compares like with like."""
    found = []
    for seed in RANDOM_SEEDS:
        if seed in SEEDS:
            found += dl.grid(space=list(SPACES), data=DATA, method="DARTS", weight_decay=list(FACTORS), seed=seed)
            found += dl.grid(space=list(SPACES), data=DATA, method="DARTS-PRIME", seed=seed)
        elif seed in COMPARED_SEEDS:
            compared = [FACTORS[0], FACTORS[-1]]
            found += dl.grid(space=list(SPACES), data=DATA, method="DARTS", weight_decay=compared, seed=seed)
        found += [
            {"space": name, "data": DATA, "method": what, "seed": seed, "genotype": str(cell)}
            for name in SPACES
            for what, cell in cells(name, seed).items()
        ]
    return found


def kind(row: dict) -> str:
    """What a row of the table is called: plain DARTS goes by its L2 factor."""
    return f"DARTS, L2 {row['weight_decay']:g}" if row["method"] == "DARTS" else row["method"]


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """With what the cells consist of."""
    genotypes = [dl.Genotype.parse(text) for text in table["genotype"]]
    names = [[name for name, _ in genotype.cells[spaces.RECURRENT]] for genotype in genotypes]
    return table.assign(
        kind=[kind(row) for row in table.to_dict("records")],
        identity=[of.count(spaces.IDENTITY) for of in names],
        commonest=[max(map(of.count, of)) for of in names],
    )


def apart(rows: pd.DataFrame, one: str, other: str) -> str:
    """`one` minus `other` in the retrained test perplexity, bold where the interval excludes zero: paired by seed, but for
    random cells, which come from no search: unpaired."""
    if one == RANDOM:
        difference = statistics.difference(*(rows.loc[rows["kind"] == kind, "test_error"] for kind in (one, other)))
    else:
        difference = statistics.paired_difference(rows, "test_error", one, other, "kind")
    return marked(difference)


def reached(rows: pd.DataFrame, unigram: float) -> list[str]:
    """What cells reach of the perplexity of guessing words by their frequency."""
    lines = []
    for kind in (f"DARTS, L2 {FACTORS[0]:g}", RANDOM):
        errors = rows.loc[rows["kind"] == kind, "test_error"].astype(float)
        share = statistics.mean(errors / unigram)
        lines.append([kind, str(len(errors)), shown(statistics.mean(errors)), f"{unigram:.0f}", shown(share, 2)])
    return ["", *markdown(["cells", "seeds", "retrained test perplexity", "single words", "share of it"], lines)]


def summary(table: pd.DataFrame, epochs: pd.DataFrame) -> str:
    corpus, table = dl.corpus.pydocs(), counted(table)
    unigram = ", ".join(f"{corpus.unigram_perplexity(split):.0f} ({split})" for split in ("valid", "test"))
    plain = f"DARTS, L2 {FACTORS[0]:g}"
    lines = [
        "# Searching a recurrent cell at laptop scale",
        "",
        f"Ours: data pydocs as Python {platform.python_version()} has it (the text differs from version to version), scale laptop, "
        f"darts_lab {dl.__version__}, {len(table)} runs. Mean over seeds ± half of the 95 % interval (Student's t); errors are "
        f"perplexities. Guessing words by their frequency has a perplexity of {unigram}. Cells have 4 nodes and so keep 4 edges. Seconds "
        "are those of one thread on a shared machine of two cores, on which processes stood still for minutes at times: they are too "
        "large, some by far, and `benchmarks/README.md` has those of an idle machine. The differences are those of "
        "the retrained test perplexity, paired by seed, those with random cells not (Welch's t); bold where the interval excludes zero. The L2 factors are those of "
        "Zela et al. (Fig. 11) times ten, see `experiments/language.py`. Made by `make language`; every run stands in "
        "`language.csv`, every second epoch in `language_epochs.csv`.",
    ]
    for space in SPACES:
        of = table[table["space"] == space]
        rows = []
        for name, group in of.groupby("kind", sort=False):
            factor = "" if group["weight_decay"].isna().any() else f"{group['weight_decay'].iloc[0]:g}"
            differences = ["" if name == other else apart(of, other, name) for other in (plain, RANDOM)]
            rows.append([name, factor, str(len(group)), *means(group, COLUMNS), *differences])
        lines += ["", f"## {space}", "", *markdown(["cell", *HEADS, "plain minus this", "random minus this"], rows)]
        lines += reached(of, corpus.unigram_perplexity("test"))
        searched = of[of["one_shot_error"].notna()]
        for x in ("one_shot_error", "dominant_eigenvalue_mean", "dominant_eigenvalue_last"):
            found = statistics.correlation(searched[x], searched["test_error"], "spearman")
            lines += ["", f"Rank correlation of the {x.replace('_', ' ')} with the test perplexity over {found.n} searches: "
                      f"{within(found, digits=2)}."]  # fmt: skip
    rows = []
    for (space, method, decay), of in epochs.dropna(subset="dominant_eigenvalue").groupby(
        ["space", "method", "weight_decay"]
    ):
        values = of.sort_values("epoch").groupby("seed")["dominant_eigenvalue"].agg(["first", "max", "last"])
        rows.append([space, method, f"{decay:g}", *(shown(statistics.mean(values[name]), 3) for name in values)])
    heads = ["space", "method", "L2 factor", "after epoch 0", "largest", "last"]
    return "\n".join([*lines, "", "## The dominant eigenvalue over the searches", "", *markdown(heads, rows)]) + "\n"


def main() -> None:
    written(PATH, RUNS, swept(jobs(), RUNS, PATH), summary)


if __name__ == "__main__":
    main()
