"""Makes results/claims.md from the committed tables: what the papers claim, their number, ours, and one word.

    python experiments/claims.py

Words follow from a rule and not from a reader. A difference is *shown* where its p-value, corrected by Holm over the rows of
its question, is below 0.05 and it has the claimed sign, *contradicted* where it has the other, else *absent*; a correlation is
*shown* where its 95 % interval lies above zero, *contradicted* below, else *absent*; *untested* is what no table holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import fashion
import full_space
import grids
import ground_truth
import pandas as pd
import remedies
from collapse import DARTS, RANDOM, REMEDY, SEEDS, SPACES, STOPPED
from writing import RESULTS, filler, markdown, usual, within

from darts_lab.studies import published, statistics

PATH = RESULTS / "claims.md"
WORDS = SHOWN, ABSENT, CONTRADICTED, UNTESTED = "shown", "absent", "contradicted", "untested"


@dataclass
class Row:
    """A claim; `p` is there where words depend on a correction over the rows of its question."""

    claim: str
    papers: str
    ours: str = ""
    value: float = float("nan")
    p: float | None = None
    word: str = UNTESTED


def difference(claim: str, papers: str, rows: pd.DataFrame, one: str, other: str, least: int = 10) -> Row:
    """`one` minus `other` in the retrained test error, in points, paired by seed; positive is what is claimed."""
    if min((rows["method"] == name).sum() for name in (one, other)) < least:
        return Row(claim, papers)
    apart = 100 * statistics.differences(rows[rows["method"].isin([one, other])], "test_error", one, other)
    told = f"{within(statistics.bootstrap(apart), ' points')}, {len(apart)} seeds, signed rank"
    return Row(claim, papers, told, apart.mean(), statistics.signed_rank(apart))


def secondary(method: str, space: str, papers: str, compared: dict[str, tuple]) -> Row:
    """DARTS minus a remedy, corrected as protocol.md declares: over its family on the space, once all of it are there."""
    claim = f"DARTS minus {method}, {space}"
    if method not in compared:
        return Row(claim, papers)
    family = next(family for family in remedies.FAMILIES if method in family)
    apart, p, by_holm = compared[method]
    told = f"{within(statistics.bootstrap(apart), ' points')}, {len(apart)} seeds, signed rank"
    told += f", p = {p:.2g}, {by_holm:.2g} by Holm over {len(family)} methods"
    return Row(claim, papers, told, apart.mean(), None, judged(apart.mean(), by_holm))


def judged(value: float, p: float) -> str:
    """The word of a difference and its corrected p-value."""
    return ABSENT if p >= 0.05 else SHOWN if value > 0 else CONTRADICTED


def beside_random(claim: str, papers: str, rows: pd.DataFrame) -> Row:
    """Plain DARTS minus random cells, not paired."""
    one, other = (100 * rows.loc[rows["method"] == name, "test_error"] for name in (DARTS, RANDOM))
    if len(other) < 25:
        return Row(claim, papers)
    apart = statistics.difference(one, other)
    told = f"{within(apart, ' points')}, {len(one)} and {len(other)} cells, rank sum"
    return Row(claim, papers, told, apart.value, statistics.rank_sum(one, other))


def correlated(
    claim: str,
    papers: str,
    rows: pd.DataFrame,
    x: str,
    y: str = "test_error",
    least: int = 10,
    groups: str | None = None,
) -> Row:
    """Spearman's rank correlation of two columns; positive is what is claimed. `groups`: the column whose values the
    bootstrap draws, in place of rows."""
    rows = rows[rows[x].notna() & rows[y].notna()]
    if len(rows) < least:
        return Row(claim, papers)
    r = statistics.correlation(rows[x], rows[y], "spearman", groups=None if groups is None else rows[groups])
    word = SHOWN if r.low > 0 else CONTRADICTED if r.high < 0 else ABSENT
    return Row(claim, papers, f"{within(r, digits=2)}, {len(rows)} searches", r.value, None, word)


def corrected(rows: list[Row]) -> list[Row]:
    """With the words of those that have a p-value, by Holm over all of them."""
    tested = [row for row in rows if row.p is not None]
    for row, p in zip(tested, statistics.holm([row.p for row in tested]) if tested else [], strict=True):
        row.ours += f", p = {row.p:.2g}, {p:.2g} by Holm"
        row.word = judged(row.value, p)
    return rows


def theirs(space: str, methods: tuple[str, ...], name: str = "methods") -> str:
    """Published means on CIFAR-10."""
    table = published.table(name)
    table = table[(table["space"] == space) & (table["data"] == "cifar10") & table["method"].isin(methods)]
    return ", ".join(f"{row.method} {row.value:.2f} ± {row.spread:.2f}" for row in table.itertuples())


def quoted() -> str:
    """What other papers quote of the full space, on CIFAR-100."""
    table = published.table("original_space").query("data == 'cifar100'")
    rows = ", ".join(f"{row.method} {row.value:.2f} ± {row.spread:.2f}" for row in table.itertuples())
    return f"CIFAR-100: {rows}, as other papers quote them"


def ladder(space: str, data: str = "cifar10") -> str:
    """The published test errors along the L2 factors (one search each)."""
    table = published.table("l2")
    of = table[(table["space"] == space) & (table["data"] == data) & (table["method"] == "DARTS")]
    return "L2 0.0003 to 0.0243: " + ", ".join(f"{v:.2f}" if v == v else "not given" for v in of["value"])


def foretold(searched: dict[str, pd.DataFrame]) -> list[Row]:
    """Do the eigenvalue and the one-shot error foretell the retrained error, over settings and within them?"""
    points = published.table("correlation").pivot(index="setting", columns="statistic", values="value").dropna()
    pooled = statistics.correlation(points["mean dominant eigenvalue"], points["test error"], "spearman")
    paper = f"S1, {pooled.n} searches of eight settings: {within(pooled, digits=2)}"
    x, rows = "dominant_eigenvalue_mean", []
    for space, of in searched.items():
        rows.append(correlated(f"mean eigenvalue and retrained error, {space}, two settings pooled", paper, of, x))
        rows += [correlated(f"the same within {name}, {space}", "not told apart", of[of["method"] == name], x) for name in (DARTS, REMEDY)]  # fmt: skip
        rows.append(correlated(f"one-shot error in its place, {space}, pooled", "not given", of, "one_shot_error"))
    whole_grids = grids.by_strength(pd.read_csv(grids.PATH), grids.METHODS)
    for space in grids.SPACES:
        of = whole_grids[whole_grids["space"] == space]
        ranks = of.groupby("method")[[x, "test_error"]].rank().assign(method=of["method"])
        rows += [
            correlated(f"mean eigenvalue and retrained error, {space}, eight settings pooled (not declared)", paper, of, x, groups="method"),
            correlated(f"the same, ranked within the eight settings, {space}", "not told apart", ranks, x, groups="method"),
            correlated(f"one-shot error in its place, {space}, eight settings pooled", "not given", of, "one_shot_error", groups="method"),
        ]  # fmt: skip
    return rows


def questions() -> dict[str, list[Row]]:
    collapse = pd.read_csv(RESULTS / "collapse.csv")
    alone, both = (collapse[collapse["reductions"] == kind] for kind in ("skip", "searched"))
    if (alone["method"] == STOPPED).sum() < len(SEEDS) * len(SPACES):  # nothing is decided before all are there
        alone = alone[alone["method"] != STOPPED]
    found = alone[alone["method"].isin([DARTS, REMEDY])]
    table = pd.read_csv(remedies.PATH) if remedies.PATH.exists() else alone.iloc[:0]
    others = remedies.beside(table)
    whole = pd.read_csv(full_space.PATH) if full_space.PATH.exists() else alone.iloc[:0]
    by_space = {space: alone[alone["space"] == space] for space in SPACES}
    searched = {space: found[found["space"] == space] for space in SPACES}
    means = ("DARTS", "DARTS-ES", "RS-ws")
    asked = {}

    asked["a. DARTS degenerates, and its cells lose"] = [
        *corrected([difference(f"DARTS minus R-DARTS(L2), {space} (declared)", f"{theirs(space, means)}; {ladder(space)}",
                               by_space[space], DARTS, REMEDY) for space in SPACES]),
        *corrected([beside_random(f"DARTS minus random cells, {space}", theirs(space, ("DARTS", "RS-ws")), by_space[space])
                    for space in SPACES]),
        *corrected([difference(f"DARTS minus R-DARTS(L2), both cells trained, {space} (not declared)", theirs(space, means),
                               both[both["space"] == space], DARTS, REMEDY) for space in SPACES]),
        *corrected([difference("DARTS minus R-DARTS(L2), full space", quoted(), whole, DARTS, REMEDY)]),
        s5(),
    ]  # fmt: skip

    of_both = whole[whole["method"] != RANDOM]
    asked["b. Curvature foretells generalization"] = foretold({**searched, "full space": of_both, "S5": s5_searches()})

    declared = {row.claim: row for row in asked["a. DARTS degenerates, and its cells lose"]}
    beside = {space: others[others["space"] == space] for space in remedies.SPACES}
    compared = {space: remedies.against_plain(of) for space, of in beside.items()}
    asked["c. Early stopping, adaptation, L2 and drop path mend it"] = [
        row
        for space, of in compared.items()
        for row in (
            declared[f"DARTS minus R-DARTS(L2), {space} (declared)"],
            secondary("R-DARTS(DP)", space, "one search a setting, `published.table('drop_path')`", of),
            *(secondary(name, space, theirs(space, ("DARTS", name)), of) for name in ("DARTS-ES", "DARTS-ADA")),
        )
    ]

    ended = corrected(
        [difference(f"retrained: at the end minus after epoch 10, DARTS, {space}", s5_published(), by_space[space], DARTS, STOPPED)
         for space in SPACES]
    )  # fmt: skip
    asked["d. The one-shot error misleads"] = [
        row for pair in zip(map(falling, SPACES), ended, strict=True) for row in pair
    ]

    sharp = published.table("sharpness_drop").pivot(index="setting", columns="statistic", values="value").dropna()
    rank = statistics.correlation(sharp["dominant eigenvalue"], sharp["accuracy drop"], "spearman")
    gap = f"{rank.n} searches of several settings: {within(rank, digits=2)}"
    asked["e. Sharp optima lose more when discretized"] = [
        row
        for space in SPACES
        for row in (
            correlated(f"last eigenvalue and drop, {space}, two settings pooled", gap, searched[space], "dominant_eigenvalue_last", "discretization_drop"),
            *(correlated(f"the same within {name}, {space}", "not told apart", searched[space][searched[space]["method"] == name], "dominant_eigenvalue_last", "discretization_drop") for name in (DARTS, REMEDY)),
        )
    ]  # fmt: skip

    language, dense = (pd.read_csv(RESULTS / f"{name}.csv") for name in ("language", "dense"))
    clothes = pd.read_csv(fashion.PATH) if fashion.PATH.exists() else alone.iloc[:0]
    asked["f. Other data and domains"] = [
        *corrected([difference(f"Fashion-MNIST: DARTS minus R-DARTS(L2), {space}",
                               f"CIFAR-100, {ladder(space, 'cifar100')}; SVHN, {ladder(space, 'svhn')}",
                               clothes[clothes["space"] == space], DARTS, REMEDY) for space in fashion.SPACES]),
        *corrected([*recurrent(language), augmented(dense)]),
    ]  # fmt: skip

    parts = (("PRIME(random)", "DARTS-PRIME"), ("PRIME(fixed)", "DARTS-PRIME"), ("PRIME(schedule only)", "DARTS-PRIME"),
             ("PRIME(random timing only)", "PRIME(schedule only)"))  # fmt: skip
    prime = "no verified number"
    asked["g. DARTS-PRIME: when alpha steps are taken, and proximity"] = [
        row
        for space, of in beside.items()
        for row in (
            secondary("DARTS-PRIME", space, prime, compared[space]),
            *corrected([difference(f"{one} minus {other}, {space}", "", of, one, other) for one, other in parts]),
        )
    ]
    return asked


def falling(space: str) -> Row:
    """From epoch 10 on the one-shot error falls while the cells get more skips (S4: noise)."""
    epochs = pd.read_csv(RESULTS / "collapse_epochs.csv")
    of = epochs[(epochs["space"] == space) & (epochs["method"] == DARTS)]
    kept = f"{filler(space)}_normal"
    at = {
        epoch: of[of["epoch"] == epoch].set_index("seed")[["one_shot_error", kept]] for epoch in (10, of["epoch"].max())
    }
    change = list(at.values())[1] - list(at.values())[0]
    error, more = statistics.bootstrap(-100 * change["one_shot_error"]), statistics.bootstrap(change[kept])
    told = (
        f"from epoch 10 to the end one-shot error down by {within(error, ' points')}, "
        f"{filler(space)} of 4 up by {within(more)}, {error.n} seeds"
    )
    both = SHOWN if error.low > 0 and more.low > 0 else ABSENT
    return Row(f"one-shot error falls while cells degenerate, {space}", s5_published(), told, word=both)


def s5_published() -> str:
    """Regret and one-shot error of the paper's Fig. 2 where the regret is least, and at the end."""
    table = published.table("s5").query("method == 'DARTS'")
    table = table.assign(epoch=table["setting"].str.removeprefix("epoch=").astype(int))
    curves = table.pivot(index="epoch", columns="statistic", values="value")
    regret, error = curves["test regret"], curves["one-shot validation error"]
    least, last = regret.idxmin(), regret.index.max()
    told = f"regret {regret[least]:.2f} to {regret[last]:.2f}, one-shot error {error[least]:.2f} to {error[last]:.2f}"
    return f"S5, from epoch {least}, the least regret, to {last}: {told}"


def s5() -> Row:
    """Whether the regret of plain DARTS rises again on S5, in our own truth, as protocol.md declares."""
    searches, cells = pd.read_csv(ground_truth.SEARCHES), pd.read_csv(ground_truth.CELLS)
    truth = 100 * cells.groupby("genotype")["test_error"].mean()
    plain = searches[(searches["method"] == DARTS) & (searches["weight_decay"] == 3e-4)]
    rise = ground_truth.rises(plain.assign(regret=plain["genotype"].map(truth) - truth.min()))
    p = statistics.signed_rank(rise)
    early, late = ("{} to {}".format(*window) for window in (ground_truth.EARLY, ground_truth.LATE))
    told = (
        f"epochs {late} minus {early}: {within(statistics.bootstrap(rise), ' points')}, {len(rise)} seeds, signed rank, "
        f"p = {p:.2g}"
    )
    return Row("the regret of DARTS on S5 rises again", s5_published(), told, word=judged(rise.mean(), p))


def s5_searches() -> pd.DataFrame:
    """The searches of S5 by DARTS and R-DARTS(L2), whose cells have their test errors in the truth."""
    searches, cells = pd.read_csv(ground_truth.SEARCHES), pd.read_csv(ground_truth.CELLS)
    searches = searches[
        (searches["method"] == REMEDY) | (searches["method"] == DARTS) & (searches["weight_decay"] == 3e-4)
    ]
    ends = searches.sort_values("epoch").groupby("config_hash").last()
    ends["dominant_eigenvalue_mean"] = searches.groupby("config_hash")["dominant_eigenvalue"].mean()
    ends["test_error"] = ends["genotype"].map(cells.groupby("genotype")["test_error"].mean())
    return ends


def unpaired(claim: str, papers: str, one, other, unit: str) -> Row:
    """Difference of means with Welch's interval and the rank-sum test."""
    apart = statistics.difference(one, other)
    told = f"{within(apart, f' {unit}', 2)}, {len(one)} and {len(other)}, rank sum"
    enough = min(len(one), len(other)) >= 5  # fewer cannot have a p-value below 0.05
    return Row(claim, papers, told, apart.value, statistics.rank_sum(one, other) if enough else None)


def recurrent(table: pd.DataFrame) -> list[Row]:
    """Does a stronger L2 penalty find better recurrent cells?"""
    told = published.table("language")
    medians = told[told["statistic"] == "test perplexity, median"]
    papers = "medians along the L2 factors " + ", ".join(f"{value:.1f}" for value in medians["value"])
    found = []
    for space, of in table[table["method"] == "DARTS"].groupby("space"):
        factors = sorted(of["weight_decay"].unique())
        weak, strong = (of.loc[of["weight_decay"] == factor, "test_error"] for factor in (factors[0], factors[-1]))
        claim = f"language ({space}): weakest minus strongest L2, test perplexity"
        found.append(unpaired(claim, papers, weak, strong, "perplexity"))
    return found


def augmented(table: pd.DataFrame) -> Row:
    """Does strong augmentation in the search find better cells for disparity?"""
    rows = table[(table["data"] == "stereo") & (table["method"] == "DARTS")]
    strength = rows["settings"].map(lambda text: json.loads(text).get("augmentation"))
    weak, strong = (rows.loc[strength == value, "test_error"] for value in (strength.min(), strength.max()))
    told = published.table("disparity")
    of = told[
        (told["statistic"] == "test EPE")
        & (told["space"] == "S6")
        & told["setting"].str.startswith("augmentation")
        & (told["data"] == "FlyingThings3D")
    ]
    papers = "test EPE along the augmentation " + ", ".join(f"{value:.2f}" for value in of["value"])
    return unpaired("disparity: no minus strongest augmentation, end-point error", papers, weak, strong, "px")


def parted() -> list[str]:
    """Remedies under which the mean eigenvalue falls by a quarter or more and the retrained error not clearly."""
    heads = ["searches", "remedy", "mean eigenvalue, DARTS and this", "retrained error, DARTS minus this", "seeds"]
    lines = [
        [
            "S4, both cells, 320 images a split (told in protocol.md; no table)",
            "R-DARTS(L2)",
            "0.78, 0.28",
            "90.0 - 85.0",
            "",
        ]
    ]
    alone = "normal cell alone"
    tables = {
        "collapse.csv": (alone, None),
        "remedies.csv": (alone, remedies.beside),
        "grids.csv": (alone, grids.by_strength),
        "full_space.csv": (alone, None),
        "robustness.csv": ("both cells, former L2 factors", None),
    }
    for name, (how, completed) in tables.items():
        if not (RESULTS / name).exists():
            continue
        table = pd.read_csv(RESULTS / name)
        table = completed(table) if completed else table
        table = table[table["reductions"] == "skip"] if "reductions" in table else table
        table = table[usual(table) & table["dominant_eigenvalue_mean"].notna()]
        for (space, method), _ in table[table["method"] != DARTS].groupby(["space", "method"]):
            rows = table[(table["space"] == space) & table["method"].isin([DARTS, method])]
            before, after = (
                rows.loc[rows["method"] == of, "dominant_eigenvalue_mean"].mean() for of in (DARTS, method)
            )
            apart = 100 * statistics.differences(rows, "test_error", DARTS, method)
            if len(apart) >= 5 and after < 0.75 * before and not (interval := statistics.bootstrap(apart)).low > 0:
                told = within(interval)
                where = "full space" if space == full_space.SPACE else space
                lines.append([f"{where}, {how} ({name})", method, f"{before:.2f}, {after:.2f}", told, str(len(apart))])
    text = "Remedies under which the mean eigenvalue falls by a quarter or more, and the interval of the retrained error's difference (points) does not lie above zero: curvature is no proof of quality. Where five seeds have a wide interval, they tell little."
    return ["", "## Where curvature falls and quality does not follow", "", text, "", *markdown(heads, lines)]


def summary(asked: dict[str, list[Row]]) -> str:
    text = [
        "# The papers' claims, one by one",
        "",
        "Ours: scale laptop; retrained test errors are of the normal cell alone (protocol.md) and on digits, where nothing else "
        "is named. Positive differences and correlations are what is claimed. Words follow from a rule (`experiments/claims.py`, which "
        "makes this page from the committed tables): *shown* and *contradicted* where the p-value, corrected by Holm over the rows of "
        "its question and test (of remedies other than L2 over their family on a space, as protocol.md declares), is below 0.05, or the interval of a correlation excludes zero; *absent* where it does not; *untested* "
        "where no table has enough seeds to tell (ten; five for language and disparity). Published numbers are of CIFAR-10, where no other data are named, at paper scale "
        "and stand beside ours, never on one scale: what can be compared is the sign.",
    ]
    for question, rows in asked.items():
        words = ", ".join(f"{count} {word}" for word in WORDS if (count := sum(row.word == word for row in rows)))
        text += ["", f"## {question}", "", f"{words[0].upper()}{words[1:]}.", ""]
        text += markdown(
            ["claim", "published", "ours", "word"],
            [[row.claim, row.papers, row.ours, f"**{row.word}**"] for row in rows],
        )
    return "\n".join(text + parted()) + "\n"


if __name__ == "__main__":
    PATH.write_text(summary(questions()))
    print(PATH.read_text())
