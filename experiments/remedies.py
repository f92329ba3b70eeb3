"""Makes results/remedies.csv, remedies_epochs.csv and remedies.md: every other remedy, as results/protocol.md declares.

    make remedies                             (or: python experiments/remedies.py)
    python experiments/remedies.py --so-far      (writes what is done by now, and computes nothing)

The remedies of Zela et al. 2020, DARTS-PRIME and its parts, and those that came later, on S2 and S4, ten of the seeds of the
declared comparison, whose rows of DARTS and R-DARTS(L2) stand beside (collapse.csv). Cells are trained as the laptop does it,
the normal cell alone. Runs are kept below runs/remedies, and rows that the table holds already are not made again.
"""

from __future__ import annotations

import pandas as pd
from collapse import DARTS, GUESSING, REMEDY
from writing import RESULTS, filler, made, markdown, means, unfinished, within

import darts_lab as dl
from darts_lab.methods import later
from darts_lab.studies import statistics

SPACES, SEEDS = ("S2", "S4"), range(200, 210)
ZELA = ("R-DARTS(DP)", "DARTS-ES", "DARTS-ADA", "RS-ws")
PRIME = (
    "DARTS-PRIME", "PRIME(fixed)", "PRIME(random)", "PRIME(schedule only)", "PRIME(random timing only)", "PRIME(ADMM)",
    "CRB", "CRB+PRIME",
)  # fmt: skip
LATER = tuple(method.name for method in later.METHODS)
FAMILIES = (ZELA, PRIME, LATER)  # a p-value is corrected over those of its own
METHODS = ZELA + PRIME + LATER
SAME = "DARTS, same form"  # plain DARTS again, computed in the form of cells in which the remedies were
PATH = RESULTS / "remedies.csv"
BESIDE = RESULTS / "collapse.csv"
RUNS = PATH.parents[1] / "runs" / "remedies"


def jobs() -> list[dict]:
    """Family by family, and seed by seed in each, so that a sweep that is not finished yet compares like with like."""
    return [
        job
        for family in (*FAMILIES, (DARTS,))
        for seed in SEEDS
        for job in dl.grid(space=list(SPACES), method=list(family), seed=seed)
    ]


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """`table`, whose plain searches are called SAME, and the rows of collapse.csv of the same seeds."""
    table = table.assign(method=table["method"].replace(DARTS, SAME))
    known = pd.read_csv(BESIDE)
    known = known[known["method"].isin([DARTS, REMEDY]) & (known["reductions"] == "skip")]
    return pd.concat([known[known["space"].isin(SPACES) & known["seed"].isin(SEEDS)], table], ignore_index=True)


def against_plain(rows: pd.DataFrame) -> dict[str, tuple]:
    """Of each of METHODS on one space: (differences, p, p corrected over its family), DARTS minus it in points, paired by
    seed. A family counts once each of its methods has all seeds."""
    return {method: found for family in FAMILIES for method, found in tested(rows, DARTS, family).items()}


def tested(rows: pd.DataFrame, plain: str, family: tuple[str, ...]) -> dict[str, tuple]:
    """Of each method of a family: (differences, p, p corrected over the family), `plain` minus it in points, paired by seed;
    nothing until all seeds of all are there."""
    if any((rows["method"] == method).sum() < len(SEEDS) for method in (plain, *family)):
        return {}
    apart = [100 * statistics.differences(rows, "test_error", plain, method) for method in family]
    p = [statistics.signed_rank(values) for values in apart]
    return dict(zip(family, zip(apart, p, statistics.holm(p), strict=True), strict=True))


def in_the_same_form(rows: pd.DataFrame) -> dict[str, tuple]:
    """Of both papers' remedies on one space, against plain DARTS in their own form of cells."""
    return tested(rows, SAME, ZELA) | tested(rows, SAME, PRIME)


def of_space(rows: pd.DataFrame, space: str) -> list[str]:
    compared, lines = against_plain(rows), []
    columns = {"one_shot_error": (100, 1), f"{filler(space)}_normal": (1, 1), "dominant_eigenvalue_mean": (1, 2)}
    for method in filter(set(rows["method"]).__contains__, (DARTS, REMEDY, SAME, *METHODS)):
        of = rows[rows["method"] == method]
        apart = 100 * statistics.differences(rows, "test_error", DARTS, method) if method in METHODS else []
        told = [""] * 3
        if len(apart) >= 5:
            told[0] = within(statistics.bootstrap(apart))
        if method in compared:
            told[1:] = (f"{p:.2g}" for p in compared[method][1:])
        lines.append(
            [method, str(len(of)), f"{of['percent'].mean():.1f}", f"{of['percent'].median():.1f}",
             str((of["test_error"] > GUESSING).sum()), *told, *means(of, columns)]
        )  # fmt: skip
    heads = ["method", "seeds", "retrained test error", "median", f"above {100 * GUESSING:.0f} %", "DARTS minus this",
             "p", "p, Holm", "one-shot error", f"{filler(space)}, normal", "mean eigenvalue"]  # fmt: skip
    return ["", f"## {space}", "", *markdown(heads, lines)]


def paired(rows: pd.DataFrame) -> list[str]:
    """The section about `in_the_same_form`."""
    lines, again = [], []
    for space, of in rows.groupby("space"):
        if not (found := in_the_same_form(of)):
            continue
        for method, (apart, p, corrected) in found.items():
            told = within(statistics.bootstrap(apart))
            lines.append([space, method, str((apart == 0).sum()), told, f"{p:.2g}", f"{corrected:.2g}"])
        apart = 100 * statistics.differences(of, "test_error", DARTS, SAME)
        again.append(f"{space} {within(statistics.bootstrap(apart))}")
    if not lines:
        return []
    silent, plain = computed(rows, "DARTS-ES"), computed(rows, SAME)
    one = "are one and the same here, and the difference is zero"
    two = f"are two draws: the former ran on {silent}, the latter on {plain}, which round otherwise"
    heads = ["space", "method", "equal errors", f"{SAME}, minus this", "p", "p, Holm"]
    return ["", "## In the same form of cells", "", "Plain DARTS once more, in the fused form: declared for the four of Zela et al.; "
            f"not declared, those of DARTS-PRIME. Where DARTS-ES or DARTS-ADA is silent, its search and the plain one {one if silent == plain else two}. "
            f"What another draw alone does, DARTS minus {SAME}, in points: {', '.join(again)}.", "", *markdown(heads, lines)]  # fmt: skip


def computed(rows: pd.DataFrame, method: str) -> str:
    """On what the searches of a method ran."""
    places = rows.loc[rows["method"] == method, ["processor", "torch"]].drop_duplicates()
    return ", or ".join(f"{place.processor} with PyTorch {place.torch}" for place in places.itertuples())


def across(rows: pd.DataFrame) -> list[str]:
    """Does the mean eigenvalue of a method foretell its mean retrained error? One point a method."""
    lines = []
    for space, of in rows.groupby("space"):
        of = of[of["dominant_eigenvalue_mean"].notna() & (of["method"] != SAME)]
        points = of.groupby("method")[["dominant_eigenvalue_mean", "one_shot_error", "percent"]].mean()
        if len(points) >= 8:
            told = (
                statistics.correlation(points[x], points["percent"], "spearman") for x in points.columns.drop("percent")
            )
            lines.append([space, str(len(points)), *(within(r, digits=2) for r in told)])
    if not lines:
        return []
    heads = ["space", "methods", "mean eigenvalue", "one-shot error"]
    return ["", "## Across methods", "", "Rank correlations (Spearman) of the methods' means with their mean retrained test "
            "error, with bootstrap intervals over methods; those without an eigenvalue are left out. Alpha of CRB are mixing "
            "weights themselves, with no softmax between (Fair-DARTS: a sigmoid), so their eigenvalues stand on another scale.", "",
            *markdown(heads, lines)]  # fmt: skip


def summary(table: pd.DataFrame) -> str:
    rows = beside(table).assign(percent=lambda of: 100 * of["test_error"])
    state = unfinished(table, jobs(), "searches")
    text = [
        "# What the other remedies do at laptop scale",
        "",
        f"Ours: data digits, scale laptop, darts_lab {dl.__version__}, seeds {SEEDS[0]} to {SEEDS[-1]}.{state} Secondary comparisons, "
        "as protocol.md declares them: retrained test errors in per cent, of the normal cell alone; DARTS minus each method in "
        "points, paired by seed, with bootstrap intervals, Wilcoxon's signed-rank test and Holm's correction over the methods "
        "of a family (Zela et al.'s, DARTS-PRIME's, the later ones) on a space, once all of it are there. The rows of DARTS and "
        "R-DARTS(L2) are those of collapse.csv; they were computed in the plain form of cells, the others in the fused one where their processor says so. Made by `make remedies` from "
        "`experiments/remedies.py`.",
    ]
    for space in SPACES:
        if (rows["space"] == space).any():
            text += of_space(rows[rows["space"] == space], space)
    return "\n".join(text + paired(rows) + across(rows)) + "\n"


if __name__ == "__main__":
    made(jobs(), PATH, RUNS, summary)
