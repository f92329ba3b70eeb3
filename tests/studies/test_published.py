"""The papers' numbers: what they say about each other, and whether they are the digitised ones."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from darts_lab.studies import published
from darts_lab.studies.published import CERTAINTIES, NAMES

ERROR, ONE_SHOT, EIGENVALUE, DROP = "test error", "one-shot validation error", "dominant eigenvalue", "accuracy drop"
COLUMNS = (
    "paper", "table", "space", "data", "method", "setting", "statistic", "value", "spread", "certainty", "note",
)  # fmt: skip

TABLES = {name: published.table(name) for name in NAMES}
DATA = {"C10": "cifar10", "C100": "cifar100", "SVHN": "svhn"}


def values(rows, **wanted):
    """The values of the rows that have what is wanted in the columns of these names."""
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows["value"].tolist()


def points(name, x, y):
    wide = TABLES[name].pivot(index="setting", columns="statistic", values="value")
    return wide[x].to_numpy(), wide[y].to_numpy()


@pytest.fixture(scope="module")
def digitised(shared):
    """A function that gives the digitised curve of a figure, by its x."""
    rows = pd.read_csv(shared / "published" / "robustdarts_figures.csv")

    def curve(figure, series, kind="mean", panel=None):
        chosen = rows[(rows["figure"] == figure) & (rows["series"] == series) & (rows["kind"] == kind)]
        chosen = chosen if panel is None else chosen[chosen["panel"] == panel]
        return pd.Series(chosen["y"].to_numpy(), index=chosen["x"].abs().to_numpy())

    return curve


# ---------------------------------------------------------------- what they say


def test_sharp_searches_find_bad_cells_figure_4():
    eigenvalue, error = points("correlation", f"mean {EIGENVALUE}", ERROR)
    assert len(error) == 24 and round(pearsonr(eigenvalue, error).statistic, 3) == 0.867


def test_half_the_cells_of_figure_4_are_those_of_table_2():
    seeds = values(TABLES["seeds"], space="S1", statistic=ERROR)
    assert len(seeds) == 12 and set(seeds) <= set(values(TABLES["correlation"], statistic=ERROR))


def test_sharp_searches_lose_most_when_they_are_discretized_figure_7():
    eigenvalue, drop = points("sharpness_drop", EIGENVALUE, DROP)
    assert len(drop) == 47 and round(spearmanr(eigenvalue, drop).statistic, 3) == 0.736


def test_the_spread_of_table_1_is_the_population_std_of_the_seeds_of_table_2():
    for space, spread in (("S1", 0.71), ("S2", 0.40), ("S3", 0.85), ("S4", 0.18)):
        seeds = [
            values(TABLES["seeds"], space=space, statistic=ERROR, setting=f"drop_path=0.0 seed={seed}")
            for seed in (1, 2, 3)
        ]
        methods = TABLES["methods"]
        row = methods[(methods["space"] == space) & (methods["data"] == "cifar10") & (methods["method"] == "DARTS")]
        assert row["spread"].item() == spread == round(np.std(seeds), 2)
        assert row["value"].item() == pytest.approx(np.mean(seeds), abs=0.005)


def test_figure_3_ends_where_tables_1_and_2_do():
    plain = TABLES["methods"].query("data == 'cifar10' and method == 'DARTS'")
    epochs, seeds = TABLES["epochs"], TABLES["seeds"]
    end = epochs[(epochs["statistic"] == ERROR) & (epochs["setting"] == "epoch=50")]
    assert end[["space", "value", "spread"]].values.tolist() == plain[["space", "value", "spread"]].values.tolist()
    plain = seeds[seeds["setting"].str.startswith("drop_path=0.0") & (seeds["statistic"] == EIGENVALUE)]
    means = plain.groupby("space")["value"].mean().tolist()
    assert values(epochs, statistic=EIGENVALUE, setting="epoch=49") == pytest.approx(means, abs=1e-3)


def test_figure_10_shows_the_first_seed_of_table_2_but_for_three_points():
    others = {}
    for row in TABLES["drop_path"].query("data == 'cifar10' and method == 'DARTS'").itertuples():
        (seed,) = values(TABLES["seeds"], space=row.space, statistic=ERROR, setting=f"{row.setting} seed=1")
        if row.value != seed:
            others[row.space, row.setting] = (row.value, seed)
    assert others == {
        ("S1", "drop_path=0.0"): (4.26, 3.84),
        ("S2", "drop_path=0.2"): (4.06, 4.85),
        ("S3", "drop_path=0.2"): (3.23, 3.22),
    }


def test_plain_darts_is_the_same_search_in_figures_5_and_10_and_in_figures_12_and_13():
    """But for CIFAR-10, where figure 5 has smaller networks, and one cell found on CIFAR-100 in S1."""
    dropped, decayed = (
        TABLES[name][TABLES[name]["setting"] == setting].set_index(["data", "space", "method"])["value"]
        for name, setting in (("drop_path", "drop_path=0.0"), ("l2", "weight_decay=0.0003"))
    )
    differ = dropped.index[(dropped != decayed) & dropped.notna()]
    smaller = {("cifar10", space, method) for space in ("S2", "S3", "S4") for method in ("DARTS", "DARTS-ES")}
    assert set(differ) == smaller | {("cifar100", "S1", "DARTS-ES")}
    assert dropped.isna().sum() == 1 and decayed.isna().sum() == 1  # SVHN, S1: above both axes
    stops = TABLES["stops"]
    assert values(stops, setting="drop_path=0.0") == values(stops, setting="weight_decay=0.0003")


def test_the_points_of_figure_6_are_among_those_of_figure_7():
    drops = set(values(TABLES["sharpness_drop"], statistic=DROP))
    drawn = TABLES["discretization"]["value"].dropna()
    assert len(drawn) == 22 and set(drawn) <= drops


def test_what_is_off_the_axis_has_no_value_and_says_so():
    every = pd.concat(TABLES.values())
    missing = every[every["value"].isna()]
    assert missing["note"].str.startswith("off the axis").all() and len(missing) == 6
    assert set(every.loc[every["value"].isna(), "table"]) == {"Fig. 5", "Fig. 6", "Fig. 10"}


# ---------------------------------------------------------------- their form


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_tidy(name):
    table = published.table(name)
    assert tuple(table.columns) == COLUMNS and len(table) > 0
    assert not table.drop(columns=["value", "spread", "note"]).duplicated().any()
    assert set(table["certainty"]) <= set(CERTAINTIES)
    others = {"prime": {"Maile et al. 2021"}, "later": {"Wang et al. 2021", "ROME (arXiv 2011.11233)"}}
    assert set(table["paper"]) == others.get(name, {"Zela et al. 2020"})
    assert table["value"].dtype == table["spread"].dtype == float
    assert all(x is None or isinstance(x, str) for column in COLUMNS[:7] for x in table[column])
    assert published.table(name.upper()).equals(table)


def test_tables_have_every_number():
    lengths = dict(methods=48, drop_path=96, l2=120, seeds=192, s5=150, disparity=40, stops=108, language=25)
    assert {name: len(TABLES[name]) for name in lengths} == lengths
    assert len(TABLES["extra_strong"]) == 35 and len(TABLES["epochs"]) == 4 * 11 + 4 * 6


def test_what_only_the_iclr_text_says_is_left_out_unless_it_is_quoted():
    assert set(TABLES["summary"]["method"]) == {"DARTS"} and len(TABLES["summary"]) == 12
    assert TABLES["original_space"][["data", "method", "value", "spread"]].values.tolist() == [
        ["cifar10", "R-DARTS(L2)", 2.95, 0.21],
        ["cifar100", "DARTS", 20.58, 0.44],
        ["cifar100", "R-DARTS(L2)", 18.01, 0.26],
    ]
    assert TABLES["cost"][["method", "value"]].values.tolist() == [["R-DARTS", 1.6]]
    every = pd.concat(TABLES.values())
    iclr = every[every["table"] == "ICLR version"]
    assert set(iclr["certainty"]) == {"quoted"} and iclr["note"].str.contains("quoted by").all()
    assert set(every.loc[every["certainty"] == "quoted", "table"]) == {"ICLR version"}
    assert set(every.loc[every["method"].str.startswith("R-DARTS"), "certainty"]) == {"quoted"}


def test_of_later_methods_there_is_what_was_read():
    table = TABLES["later"]
    assert len(table) == 48 and set(table["certainty"]) == {"paper"}
    cifar = table[table["data"] == "cifar10"].pivot(index="method", columns="space", values="value")
    assert cifar.loc["DARTS-PT"].tolist() == [3.50, 2.79, 2.49, 2.64]
    assert cifar.loc["DARTS-PT(fixed alpha)"].tolist() == [2.86, 2.59, 2.52, 2.58]


def test_of_prime_there_is_what_an_index_lists():
    table = TABLES["prime"]
    assert set(table["certainty"]) == {"listed"} and set(table["note"]) == {"as listed by Papers with Code"}
    assert table[["data", "statistic", "value"]].values.tolist() == [
        ["cifar10", "test error", 2.62],
        ["cifar10", "parameters", 3.7],
        ["cifar10", "search cost in GPU days", 0.5],
        ["cifar100", "test error", 17.44],
        ["cifar100", "parameters", 3.16],
    ]


def test_an_unknown_name_is_told_the_known_ones():
    for wrong in ("tabel", None):
        with pytest.raises(ValueError) as error:
            published.table(wrong)
        assert f"name: {wrong!r} is not known; known: {', '.join(NAMES)}" == str(error.value)


def test_the_citation_is_one_line():
    assert "\n" not in published.cite() and published.cite().endswith("ICLR 2020, arXiv 1909.09656")


# ---------------------------------------------------------------- the digitised numbers


def test_tables_without_a_file_are_those_of_the_notes(shared):
    """Table 1, the DARTS column of the ICLR version's summary, and tables 3 and 4."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (shared / "papers" / "robustdarts.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    by_data = {tuple(name.split()): row for name, *row in cells if len(row) == 4 and all("+-" in cell for cell in row)}
    for (data, space), row in by_data.items():
        ours = TABLES["methods"].query(f"space == {space!r} and data == {DATA[data]!r}")
        assert [f"{value:.2f}+-{spread:.2f}" for value, spread in zip(ours["value"], ours["spread"])] == row
    summary = {tuple(name.split()): row[1] for name, *row in cells if len(row) == 7 and name.startswith(tuple(DATA))}
    assert len(by_data) == len(summary) == 12
    for (data, space), value in summary.items():
        assert values(TABLES["summary"], space=space, data=DATA[data]) == [float(value)]
    rows = [row for row in cells if len(row) == 11 and row[0][0].isdigit()]
    left, right = (sum((row[start : start + 5] for row in rows if row[start]), []) for start in (0, 6))
    for where, theirs in (("Table 3", left), ("Table 4", right)):
        ours = TABLES["disparity"][TABLES["disparity"]["table"] == where]
        assert ours["value"].tolist() == [float(cell) for index, cell in enumerate(theirs) if index % 5]
        settings = [float(setting.split("=")[1]) for setting in ours["setting"][::4]]
        assert settings == pytest.approx([float(cell) for cell in theirs[::5]])


def test_the_extra_strong_regularisation_is_that_of_the_notes(shared):
    notes = (shared / "papers" / "robustdarts.md").read_text()
    (line,) = (line for line in notes.splitlines() if line.startswith("Extra-strong regularisation"))
    theirs = re.findall(r"(?<=[ /])(\d+\.\d\d|-)(?=[ /;.])", line)  # accuracies: strengths, spaces, data
    assert len(theirs) == 3 * 4 * 3
    ours = TABLES["extra_strong"].set_index(["setting", "space", "data"])["value"]
    for setting in ("drop_path=0.8", "weight_decay=0.0729", "weight_decay=0.2187"):
        for space in ("S1", "S2", "S3", "S4"):
            for data in DATA.values():
                accuracy = theirs.pop(0)
                if accuracy == "-":
                    assert (setting, space, data) not in ours.index
                else:
                    assert ours[setting, space, data] == pytest.approx(100 - float(accuracy), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "figure", "parameter"), [("drop_path", "Fig10_DP", "drop_path"), ("l2", "Fig5_L2", "weight_decay")]
)
def test_the_grids_are_the_digitised_ones(name, figure, parameter, shared):
    theirs = pd.read_csv(shared / "published" / "robustdarts_grids.csv").drop_duplicates()
    theirs = theirs[theirs["figure"] == figure]
    theirs = {
        (DATA[row.dataset], row.space, row.method, f"{parameter}={row.reg_value}"): row.test_error_percent
        for row in theirs.itertuples()
    }
    ours = TABLES[name].dropna(subset="value").set_index(["data", "space", "method", "setting"])["value"]
    assert ours.to_dict() == pytest.approx(theirs, abs=0.00501)


def test_the_seeds_are_those_of_table_2(shared):
    for row in pd.read_csv(shared / "published" / "robustdarts_per_seed_cifar10.csv").itertuples():
        rows = TABLES["seeds"].query(f"space == {row.space!r}")
        rows = rows[rows["setting"] == f"drop_path={row.max_drop_prob} seed={row.seed}"]
        assert dict(zip(rows["statistic"], rows["value"])) == pytest.approx(
            {
                ERROR: 100 - row.test_acc_C10,
                ONE_SHOT: 100 - row.oneshot_valid_acc_C10,
                EIGENVALUE: row.lambda_max_end,
                "parameters": row.params_M,
            },
            abs=1e-6,
        )


@pytest.mark.parametrize(
    ("name", "figure", "x", "y"),
    [("correlation", "Fig4", f"mean {EIGENVALUE}", ERROR), ("sharpness_drop", "Fig7", EIGENVALUE, DROP)],
)
def test_the_scatter_plots_are_the_digitised_ones(name, figure, x, y, digitised):
    theirs = digitised(figure, "point", "scatter")
    assert values(TABLES[name], statistic=x) == theirs.index.tolist()
    assert values(TABLES[name], statistic=y) == theirs.tolist()


def test_figure_6_is_the_digitised_one(digitised):
    for row in TABLES["discretization"].itertuples():
        series = f"{row.data.upper().replace('CIFAR', 'C')}-{row.space}"
        theirs = digitised("Fig6", series, "value")
        drop_path = float(row.setting.removeprefix("drop_path="))
        if np.isnan(row.value):
            assert drop_path not in theirs.index and len(digitised("Fig6", series, "clipped")) == 1
        else:
            assert row.value == theirs[drop_path]


def test_figures_2_and_3_are_the_digitised_ones_at_the_listed_epochs(digitised):
    assert len(TABLES["s5"]) == 3 * 50
    for row in TABLES["s5"].itertuples():
        words = {"test regret": "test regret", ONE_SHOT: "one-shot val error"}[row.statistic]
        epoch = int(row.setting.removeprefix("epoch="))
        assert row.value == pytest.approx(digitised("Fig2", f"{row.method} {words}")[epoch], abs=0.00501)
    for row in TABLES["epochs"].itertuples():
        epoch = int(row.setting.removeprefix("epoch="))
        low, high = (digitised("Fig3", row.space, kind, row.statistic) for kind in ("lo", "hi"))
        if row.statistic == EIGENVALUE:
            epoch = 50 if epoch == 49 else epoch
            assert row.value == pytest.approx((low[epoch] + high[epoch]) / 2, abs=0.00061)
        else:
            assert row.value == pytest.approx((low[epoch] + high[epoch]) / 2, abs=0.0052)
            assert row.spread == pytest.approx((high[epoch] - low[epoch]) / 2, abs=0.0052)


def test_the_eigenvalues_band_in_figure_3_is_a_variance(digitised):
    """Which is why it is left out."""
    seeds = TABLES["seeds"]
    seeds = seeds[seeds["setting"].str.startswith("drop_path=0.0") & (seeds["statistic"] == EIGENVALUE)]
    for space, rows in seeds.groupby("space"):
        low, high = (digitised("Fig3", space, kind, EIGENVALUE) for kind in ("lo", "hi"))
        assert (high[50] - low[50]) / 2 == pytest.approx(np.var(rows["value"]), abs=2e-4)


def test_figure_11_is_the_digitised_one(shared):
    rows = pd.read_csv(shared / "published" / "robustdarts_figures.csv").query("figure == 'Fig11'")
    theirs = {
        "lo": "lower whisker", "q1": "lower quartile", "median": "median", "q3": "upper quartile",
        "hi": "upper whisker", "outlier": "outlier",
    }  # fmt: skip
    theirs = {kind: f"test perplexity, {words}" for kind, words in theirs.items()}
    theirs["one_shot_valid_ppl"] = "one-shot validation perplexity"
    theirs = {(f"weight_decay={row.series}", theirs[row.kind]): row.y for row in rows.itertuples()}
    assert TABLES["language"].set_index(["setting", "statistic"])["value"].to_dict() == theirs


def test_the_stops_are_the_markers_of_figures_12_and_13(digitised):
    for row in TABLES["stops"].itertuples():
        series = row.setting.replace("drop_path", "dp").replace("weight_decay", "L2")
        figure = row.table.replace(". ", "")
        (epoch,) = digitised(figure, series, "es_stop_marker", f"{row.space} {row.data}").index
        assert row.value == epoch


def test_the_means_of_the_logs_are_those_of_their_summary(shared):
    runs = pd.read_csv(shared / "published" / "robustdarts_logs_summary.csv")
    runs = runs[runs["n_hessians"].notna() & (runs["job_id"] != 2516872)].sort_values("seed")
    theirs = {
        (f"{EIGENVALUE}, first", "DARTS"): "ev_first",
        (f"{EIGENVALUE}, last", "DARTS"): "ev_last",
        (f"{EIGENVALUE}, mean", "DARTS"): "ev_mean",
        (ONE_SHOT, "DARTS"): "final_valid_err",
        (ONE_SHOT, "DARTS-ES"): "valid_err_at_offline_stop",
        ("skips", "DARTS"): "n_skip_normal_final",
        ("skips", "DARTS-ES"): "n_skip_normal_at_offline_stop",
    }
    for row in TABLES["logs"].itertuples():
        setting, _, seed = row.setting.partition(" seed=")
        parameter, strength = setting.split("=")
        drop_path, weight_decay = (strength, 3e-4) if parameter == "drop_path" else (0, strength)
        chosen = runs[runs["space"] == row.space.lower()]
        chosen = chosen[
            (chosen["drop_path_prob"] == float(drop_path)) & (chosen["weight_decay"] == float(weight_decay))
        ]
        assert chosen["seed"].tolist() == [1, 2, 3] and set(chosen["dataset"]) == {row.data}
        if seed:
            assert row.value == chosen["es_stop_epoch_offline_plots"].iloc[int(seed) - 1]
        else:
            half_a_digit = {"s": 0.051, "o": 0.0051, "d": 0.00051}[row.statistic[0]]
            assert row.value == pytest.approx(chosen[theirs[row.statistic, row.method]].mean(), abs=half_a_digit)
