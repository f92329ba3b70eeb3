"""The committed tables are those of the present settings, and their summaries say what they hold."""

import hashlib
import importlib
import json
from pathlib import Path

import pandas as pd
import pytest

import darts_lab as dl
import darts_lab.demo
from darts_lab import plan
from darts_lab.studies import job, statistics
from darts_lab.studies.verify import plan_of

RESULTS = Path(__file__).parents[2] / "results"
SEARCHED = ("robustness.csv", "longer.csv")
FORMER = ("robustness", "longer", "prime")  # tables of the preset of before
TABLES = (
    *SEARCHED, "s5_cells.csv", "over_epochs_cells.csv", "language.csv", "dense.csv", "prime.csv", "fixed_cells.csv",
    "collapse.csv", "ladder.csv", "fashion.csv", "remedies.csv",
)  # fmt: skip
ISSUE = (
    "space data method seed scale one_shot_error test_error discretization_drop dominant_eigenvalue_mean "
    "dominant_eigenvalue_last skips_normal skips_reduce seconds config_hash version"
).split()


@pytest.fixture
def made_by(monkeypatch):
    """A function that imports the script of a table."""
    monkeypatch.syspath_prepend(str(RESULTS.parent / "experiments"))
    return importlib.import_module


@pytest.mark.parametrize("name", TABLES)
def test_every_row_asks_for_what_its_names_mean_today(name):
    table = pd.read_csv(RESULTS / name)
    assert set(ISSUE) <= set(table.columns) and len(table) and table["error"].isna().all()
    assert table["config_hash"].is_unique
    for row in table.to_dict("records"):
        plan_of(row)  # raises where a setting of the scale or the method has changed since


def test_the_tables_with_their_former_keys_are_to_the_byte_what_they_were(made_by, tmp_path):
    """`rekey` gave every row the hash of its plan, `multiply_adds` a column, and they moved nothing else. A table that is
    made anew leaves the record."""
    rekey, costs = made_by("rekey"), made_by("multiply_adds")
    record = json.loads(rekey.DONE.read_text())
    former = {new: old for old, new in record["keys"].items()}
    assert len(former) == len(record["keys"])
    assert set(record["tables"]) == {
        "fixed_cells.csv", "selection.csv", *(f"{of}{part}.csv" for of in FORMER for part in ("", "_epochs"))
    }  # fmt: skip
    for name, before in record["tables"].items():
        path = tmp_path / name
        tells = costs.NAME in pd.read_csv(RESULTS / name, nrows=0).columns
        path.write_bytes(costs.without(RESULTS / name) if tells else (RESULTS / name).read_bytes())
        assert hashlib.sha256(rekey.with_keys(path, former)).hexdigest() == before, name


def test_tables_tell_the_multiply_adds_of_their_networks_and_can_be_filled_at_any_time(made_by, tmp_path):
    costs = made_by("multiply_adds")
    for path in costs.tables(RESULTS):
        table = pd.read_csv(path)
        assert (table[costs.NAME].notna() == table[costs.BEFORE].notna()).all(), path.name
    source = costs.read(RESULTS / "dense.csv")
    few, path = source.iloc[[0, 1, -1]], tmp_path / "few.csv"
    path.write_text(few.drop(columns=costs.NAME).to_csv(index=False))
    for _ in range(2):
        path.write_bytes(costs.filled(path))
        assert path.read_text() == few.to_csv(index=False)
    path.write_text(few.assign(parameters="7").to_csv(index=False))
    with pytest.raises(ValueError, match="its network has 7 weights, that of today"):
        costs.filled(path)


def test_the_claims_are_those_of_the_tables_and_their_words_follow_from_the_rule(made_by):
    script = made_by("claims")
    questions = script.questions()
    assert script.summary(questions) == script.PATH.read_text()
    for claim in (
        "DARTS minus R-DARTS(L2), S",
        "DARTS minus random cells, S",
        "retrained: at the end minus after epoch 10",
    ):
        rows = [
            row for question in "ad" for row in questions[next(one for one in questions if one.startswith(question))]
        ]
        rows = [row for row in rows if row.claim.startswith(claim)]
        for row, p in zip(rows, statistics.holm([row.p for row in rows]), strict=True):
            assert len(rows) == 4 and row.ours.endswith(f"{p:.2g} by Holm"), "over all four spaces"
    words = [row.word for rows in questions.values() for row in rows]
    counts = f"{words.count('shown')} shown, {words.count('absent')} absent, none contradicted"
    assert counts in (RESULTS.parent / "README.md").read_text() and set(words) == {"shown", "absent"}
    rows = [script.Row("", "", value=value, p=p) for value, p in ((1, 0.001), (-1, 0.002), (1, 0.04), (1, None))]
    assert [row.word for row in script.corrected(rows)] == ["shown", "contradicted", "shown", "untested"]
    rows = [script.Row("", "", value=1, p=0.04) for _ in range(2)]
    assert [row.word for row in script.corrected(rows)] == ["absent", "absent"], "by Holm"


def chosen(begins: str) -> dict[str, str]:
    """Space -> cell of the row of docs/choose.md that begins so."""
    text = (RESULTS.parent / "docs" / "choose.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {begins}"))
    return dict(zip(("S1", "S2", "S3", "S4"), (cell.strip() for cell in row.split("|")[2:-1]), strict=True))


def test_the_pages_quote_the_declared_comparison(made_by):
    script, readme = made_by("collapse"), (RESULTS.parent / "README.md").read_text()
    whole, protocol = pd.read_csv(script.PATH), (RESULTS / "protocol.md").read_text()
    for kind, begins in (("skip", "R-DARTS(L2), declared"), ("searched", "R-DARTS(L2), both cells")):
        told = {}
        for space, rows in whole[whole["reductions"] == kind].groupby("space"):
            apart = 100 * statistics.differences(rows, "test_error", script.DARTS, script.REMEDY)
            told[space] = script.within(statistics.bootstrap(apart))
            if kind == "searched":
                assert f"{told[space]} on {space}" in protocol.replace(" points [", " [")
            elif space in ("S2", "S4"):
                assert f"{space} {told[space]}" in readme
        assert chosen(begins) == told


def test_the_summary_of_the_methods_is_that_of_its_tables(made_by):
    script = made_by("robustness")
    text = script.summary(pd.read_csv(script.PATH), pd.read_csv(script.EPOCHS))
    assert text == script.PATH.with_suffix(".md").read_text()


def test_fixed_cells_are_those_of_their_script_and_hold_what_the_protocol_asks_of_them(made_by):
    script = made_by("fixed_cells")
    table = pd.read_csv(script.PATH)
    assert script.summary(table) == script.PATH.with_suffix(".md").read_text()
    assert set(table["config_hash"]) == {plan.of_job(one).hash for one in script.jobs()}
    found = table.groupby(["space", "method"])["test_error"]
    means, protocol = 100 * found.mean(), (RESULTS / "protocol.md").read_text()
    for space in script.SPACES:
        none = "S2" if space == "S4" else space
        names = [(none, "0 skips"), *((space, f"{number} {script.filler(space)}") for number in (2, 3, 4))]
        errors = [means[name] for name in names]
        assert errors == sorted(errors) and errors[0] < means[space, script.RANDOM] < errors[-1]
        assert errors[-1] - errors[0] > 4 * 100 * max(found.std()[name] for name in names)
        assert ", ".join(f"{error:.1f}" for error in errors) + " %" in protocol
        assert f"{means[space, script.RANDOM]:.1f}" in protocol


def test_the_ladder_names_the_strongest_factor_with_which_every_search_learns(made_by):
    script = made_by("ladder")
    table, epochs, authors = map(pd.read_csv, (script.PATH, script.EPOCHS, script.AUTHORS))
    assert set(table["config_hash"]) == set(epochs["config_hash"]) == {plan.of_job(one).hash for one in script.jobs()}
    assert len(table) == 5 * 4 * 2
    text = script.summary(epochs, authors)
    assert text == script.PATH.with_suffix(".md").read_text()
    strongest = dl.methods.get("R-DARTS(L2)").defaults(dl.tasks.classification.LAPTOP)["weight_decay"]
    assert f"is {strongest}, 9 times the plain one" in text
    last = epochs[epochs["epoch"] == script.AT[-1]]
    failed = last[last["train_error"] > script.LEARNT].groupby("weight_decay").size()
    assert failed.to_dict() == {0.0081: 1, 0.0243: 6} and "with 0.0243 six" in (RESULTS / "protocol.md").read_text()
    rows = [
        {"space": space, "seed": seed, "weight_decay": factor, "epoch": 39, "one_shot_error": 0.2,
         "train_error": 0.9 if factor > 0.0081 or (space, seed, factor) == ("S4", 101, 0.0081) else 0.01}
        for space in script.SPACES for seed in script.SEEDS for factor in dl.methods.L2_FACTORS
    ]  # fmt: skip
    text = script.summary(pd.DataFrame(rows), pd.read_csv(script.AUTHORS))  # errors that nobody measured
    assert "is 0.0027, 9 times the plain one" in text and "nan" not in text
    assert text.count("\n| 0.0") == 5 and "| 0.0081 | 0.0637 |" in text and "1.0, 90.0" in text


def test_the_comparison_is_the_declared_one_and_its_summary_that_of_its_table(made_by):
    script = made_by("collapse")
    table, protocol = pd.read_csv(script.PATH), (RESULTS / "protocol.md").read_text()
    assert script.summary(table) == script.PATH.with_suffix(".md").read_text()
    assert f"**seeds {script.SEEDS[0]} to {script.SEEDS[-1]}**" in protocol and len(script.SEEDS) == 20
    assert f"{script.RANDOM_CELLS} random cells a space" in protocol and f"after epoch {script.STOP}" in protocol
    alone = table[(table["reductions"] == "skip") & table["settings"].notna()]
    declared = {plan.of_job(one).hash: one for one in script.searches()}
    assert set(alone["config_hash"]) <= set(declared) and alone["config_hash"].is_unique
    done = f"{len(alone)} of {len(declared)} searches are done; nothing is decided before."
    assert (done in script.PATH.with_suffix(".md").read_text()) == (len(alone) < len(declared))
    assert table[["processor", "torch", "processor_seconds"]].notna().all(axis=None)
    assert {space: script.shown_seed(table, space) for space in script.SPACES} == dl.demo.SEEDS
    assert dl.demo.SEED == dl.demo.SEEDS["S2"] == script.shown_seed(table)
    whole = pd.DataFrame({"space": "S2", "method": "DARTS", "reductions": "skip", "seed": script.SEEDS})
    errors = [0.1] * 3 + [0.5] * 6 + [0.2] * 5 + [0.3] * 6  # the tenth of them in order is the second of 0.3
    assert script.shown_seed(whole.assign(test_error=errors)) == script.SEEDS[15]


def test_the_summary_of_longer_searches_is_that_of_both_tables(made_by):
    script = made_by("longer")
    text = script.summary(pd.read_csv(script.PATH), pd.read_csv(script.PATH.with_name("robustness.csv")))
    assert text == script.PATH.with_suffix(".md").read_text()


def test_the_summary_of_prime_is_that_of_its_table_which_is_whole(made_by):
    script = made_by("prime")
    table, others = pd.read_csv(script.PATH), pd.read_csv(script.PATH.with_name("robustness.csv"))
    text = script.summary(table, others)
    assert text == script.PATH.with_suffix(".md").read_text() and "nan" not in text
    assert set(table["config_hash"]) == {plan.of_job(one).hash for one in script.jobs()}
    assert len(table) == 5 * (3 * 8 + 1 + 1)
    for name in (*script.METHODS, "DARTS", "random cell"):
        assert text.count(f"\n| {name} | 5 |") == len(script.SPACES), name


def test_the_summary_of_disparity_and_depth_is_that_of_its_table(made_by):
    script = made_by("dense")
    assert script.summary(pd.read_csv(script.PATH)) == script.PATH.with_suffix(".md").read_text()


def test_notebook_11_quotes_the_correlations_and_curves_of_the_searches_for_disparity():
    text = (RESULTS.parent / "notebooks" / "11_dense_and_scalar_regression.ipynb").read_text()
    table, epochs = (pd.read_csv(RESULTS / f"dense{part}.csv").query("data == 'stereo'") for part in ("", "_epochs"))
    of = table[table["one_shot_error"].notna() & (table["method"] != "DARTS-PRIME")]
    found = (
        statistics.correlation(of[x], of["test_error"], "spearman")
        for x in ("one_shot_error", "dominant_eigenvalue_mean")
    )
    told = " and ".join(f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in found)
    assert f"the retrained cells of {len(of)} searches" in text and told in text
    measured = epochs.dropna(subset="dominant_eigenvalue").sort_values("epoch")
    curves = [of["dominant_eigenvalue"].to_numpy() for _, of in measured.groupby("config_hash")]
    fallen = sum(values.max() > values[0] > values[-1] for values in curves)
    assert f"In {fallen} of {len(curves)} stored searches" in text


def test_the_summary_of_s5_is_that_of_its_tables(made_by):
    script = made_by("ground_truth")
    trainings, epochs = pd.read_csv(script.CELLS), pd.read_csv(script.SEARCHES)
    assert script.summary(trainings, epochs) == script.CELLS.with_name("s5.md").read_text()
    assert set(trainings.groupby("genotype").size()) == {len(script.CELL_SEEDS)}
    assert trainings["genotype"].nunique() == 81
    assert script.packaged(trainings) == script.PACKAGED.read_text()
    wanted = {plan.of_job(one).hash for one in script.searches()}
    assert set(epochs["config_hash"]) == wanted


def test_the_cell_of_every_fifth_epoch_has_been_trained(made_by):
    script = made_by("over_epochs")
    table, cells = pd.read_csv(script.PATH), pd.read_csv(script.CELLS)
    assert table["test_error"].notna().all() and set(table["genotype"]) == set(cells["genotype"])
    assert set(table.groupby(["space", "seed"]).size()) == {1 + 40 // script.EVERY}
    wanted = {plan.of_job(one).hash for one in script.searches()}
    assert set(table["config_hash"]) == wanted


def test_the_jobs_on_other_images_are_the_declared_ones_and_their_summary_says_what_they_hold(made_by):
    script, protocol = made_by("fashion"), (RESULTS / "protocol.md").read_text()
    plans = [plan.of_job(one) for one in script.jobs()]  # which needs none of the images
    assert len({one.hash for one in plans}) == 2 * 10 * 3 and {one.data for one in plans} == {script.DATA}
    assert f"`{script.DATA}`, 1 x 16 x 16), S2 and S4, seeds 200 to 209" in protocol
    rows = []
    for number, one in enumerate(plans):  # numbers that nobody measured
        row = job._row(one, 1) | {
            "test_error": (0.5 if one.names["method"] == script.DARTS else 0.1) + 0.001 * (number**2 % 13)
        }
        rows.append(
            row | {"one_shot_error": 0.2, "skips_normal": 2, "noise_normal": 3, "dominant_eigenvalue_mean": 0.5}
        )
    text = script.summary(pd.DataFrame(rows))
    assert "\n| S2 | 10 | 40.0 [" in text and text.count("] | 10 of 10 | 0.002 | 0.0039 |") == 2
    assert text.count(f"\n| {script.RANDOM} | 10 | 1") == 2 and "nan" not in text and "Not finished" not in text
    assert "**Not finished: 6 of 60 trainings are done.**" in script.summary(pd.DataFrame(rows[:6]))
    table = pd.read_csv(script.PATH)
    assert script.summary(table) == script.PATH.with_suffix(".md").read_text()
    assert set(table["config_hash"]) == {one.hash for one in plans}
    for space, of in table.groupby("space"):
        found = statistics.bootstrap(100 * statistics.differences(of, "test_error", script.DARTS, script.REMEDY))
        assert chosen("the same on Fashion-MNIST")[space] == script.within(found)
        assert f"{space} {script.within(found)}" in (RESULTS.parent / "README.md").read_text()
    errors = [
        100 * table.loc[(table["space"] == "S2") & (table["method"] == name), "test_error"]
        for name in (script.REMEDY, script.RANDOM)
    ]
    apart = statistics.difference(*errors)
    quoted = f"{apart.value:.1f} points [{apart.low:.1f}, {apart.high:.1f}] worse than random cells"
    assert quoted in (RESULTS.parent / "docs" / "choose.md").read_text()


def test_what_chance_reaches_is_quoted_as_the_claims_have_it():
    rows = [row for row in (RESULTS / "claims.md").read_text().splitlines() if "| DARTS minus random cells, " in row]
    assert [row.rsplit("**", 2)[1] for row in rows] == ["absent", "shown", "absent", "shown"]
    told = [row.split(" | ")[2].replace(" points", "").split("],")[0] + "]" for row in rows]
    assert list(chosen("25 random cells").values()) == told


def test_the_jobs_in_the_full_space_are_the_declared_ones_and_their_summary_says_what_they_hold(made_by):
    script, protocol = made_by("full_space"), (RESULTS / "protocol.md").read_text()
    plans = [plan.of_job(one) for one in script.jobs()]
    assert len({one.hash for one in plans}) == 2 * 10 + 25 and {one.space.name for one in plans} == {"DARTS"}
    assert len({str(one.genotype) for one in plans[20:]}) == 25, "every random cell is another"
    assert "all eight operations, seeds 200 to 209, digits, the preset as it stands" in protocol
    rows = []
    for number, one in enumerate(plans):  # numbers that nobody measured
        error = {script.DARTS: 0.3, script.REMEDY: 0.1}.get(one.names["method"], 0.2) + 0.001 * (number**2 % 13)
        rows.append(job._row(one, 1) | {"test_error": error, "one_shot_error": 0.2, "skips_normal": 2})
        rows[-1] |= {"dominant_eigenvalue_mean": 0.5}
    text = script.summary(pd.DataFrame(rows))
    assert "\n| full space | 10 | 20." in text and "] | 10 of 10 | 0.002 | 0.002 |" in text
    assert "\nDARTS minus random cells: 10." in text and "\nR-DARTS(L2) minus random cells: -" in text
    assert "nan" not in text and "Not finished" not in text
    assert "**Not finished: 6 of 45 trainings are done.**" in script.summary(pd.DataFrame(rows[:6]))
    table = pd.read_csv(script.PATH)
    assert script.summary(table) == script.PATH.with_suffix(".md").read_text()
    assert set(table["config_hash"]) == {one.hash for one in plans}
    found = statistics.bootstrap(100 * statistics.differences(table, "test_error", script.DARTS, script.REMEDY))
    assert (
        f"({script.within(found).replace(' [', ' points [')}, ten seeds"
        in (RESULTS.parent / "docs" / "choose.md").read_text()
    )


def test_the_grids_are_the_declared_ones_with_what_stands_elsewhere_and_their_summary_says_what_they_hold(made_by):
    script, known = made_by("grids"), made_by("grids").elsewhere()
    plans = [plan.of_job(one) for one in script.jobs()]
    assert not {one.hash for one in plans} & set(known["config_hash"])
    rows = [job._row(one, 1) | {"test_error": 0.1 + 0.001 * (number**2 % 13), "one_shot_error": 0.2, "skips_normal": 2,
                                "noise_normal": 2, "dominant_eigenvalue_mean": 0.5, "discretization_drop": 0.3}
            for number, one in enumerate(plans)]  # numbers that nobody measured  # fmt: skip
    text = script.summary(pd.DataFrame(rows))
    for values in script.GRIDS.values():
        for value in values:
            assert text.count(f"\n| {value:g} | 5 |") == len(script.SPACES), value
    assert "nan" not in text and "Not finished" not in text
    assert f"**Not finished: 7 of {len(plans)} searches are done.**" in script.summary(pd.DataFrame(rows[:7]))


def test_what_weaker_and_stronger_factors_do_is_quoted_as_the_grids_have_it(made_by):
    script, text = made_by("grids"), (RESULTS.parent / "docs" / "choose.md").read_text()
    rows = script.by_strength(pd.read_csv(script.PATH))
    weaker = rows[(rows["space"] == "S2") & (rows["method"] == "L2 factor 0.0009")]
    stronger = rows[(rows["space"] == "S4") & (rows["method"] == "L2 factor 0.0081")]
    assert (len(weaker), (weaker["test_error"] > script.GUESSING).sum()) == (5, 1)
    assert (len(stronger), (stronger["one_shot_error"] > 0.8).sum()) == (5, 3)
    assert "With a third of its factor one of five cells of S2 still fails" in text
    assert "with three times its factor three of five searches of S4 learn nothing" in text


def test_a_family_of_remedies_is_decided_once_it_is_whole_and_corrected_over_itself_alone(made_by):
    script = made_by("remedies")
    methods = (script.DARTS, *script.ZELA, *script.PRIME)
    rows = pd.DataFrame(
        [{"method": method, "seed": seed, "test_error": 0.5 - 0.001 * number * (10 + seed % 7)}
         for number, method in enumerate(methods) for seed in script.SEEDS]
    )  # fmt: skip
    lacking = rows[(rows["method"] != script.PRIME[0]) | (rows["seed"] != script.SEEDS[-1])]
    found = script.against_plain(lacking)
    assert set(found) == set(script.ZELA), "one search of the other family is not there yet"
    assert {round(corrected / p) for _, p, corrected in found.values()} == {len(script.ZELA)}
    assert set(script.against_plain(rows)) == {*script.ZELA, *script.PRIME}


def test_plain_searches_of_the_remedies_own_form_stand_beside_and_pair_with_the_silent_ones(made_by):
    script = made_by("remedies")
    rows = [
        {"space": "S2", "method": method, "seed": seed, "test_error": 0.5 - (method != script.DARTS) * 0.01 * (seed % 5),
         "processor": "one", "torch": "2.14"}
        for method in (script.DARTS, *script.ZELA) for seed in script.SEEDS
    ]  # fmt: skip
    table = script.beside(pd.DataFrame(rows))
    assert (table["method"] == script.SAME).sum() == 10
    assert ((table["method"] == script.DARTS) & (table["space"] == "S2")).sum() == 10, "those of collapse.csv"
    found = script.in_the_same_form(table[table["space"] == "S2"])
    assert set(found) == set(script.ZELA) and (found["DARTS-ES"][0] == 0).sum() == 2
    text = "\n".join(script.paired(table))
    assert "| S2 | DARTS-ES | 2 | 2.0 [" in text and "are one and the same here" in text
    table.loc[table["method"] == script.SAME, "processor"] = "another"
    told = "are two draws: the former ran on one with PyTorch 2.14, the latter on another with PyTorch 2.14,"
    assert told in "\n".join(script.paired(table))
    assert script.in_the_same_form(table[table["method"] != "RS-ws"]) == {}


def test_the_pages_say_of_the_remedies_what_their_table_holds(made_by):
    script, text = made_by("remedies"), (RESULTS.parent / "docs" / "choose.md").read_text()
    table = pd.read_csv(script.PATH)
    assert script.summary(table) == script.PATH.with_suffix(".md").read_text()
    assert set(table["config_hash"]) <= {plan.of_job(job).hash for job in script.jobs()}
    rows, silent = script.beside(table), []
    for space in script.SPACES:
        apart, _, _ = script.against_plain(rows[rows["space"] == space])["R-DARTS(DP)"]
        assert f"{space} {script.within(statistics.bootstrap(apart), ' points' * (space == 'S2'))}" in text
        of_prime = {name: script.against_plain(rows[rows["space"] == space])[name] for name in script.PRIME}
        assert script.within(statistics.bootstrap(of_prime["DARTS-PRIME"][0]), " points" * (space == "S4")) in text
        assert {p < 0.05 for _, _, p in of_prime.values()} == {space == "S4"}, "all mend S4, none is shown to mend S2"
        for method in ("DARTS-ES", "DARTS-ADA"):
            of = table[(table["space"] == space) & (table["method"] == method)]
            silent.append(f"{(of['epochs'] == 40).sum()} of {len(of)}")
    assert silent[0] == silent[1] and silent[2] == silent[3]
    assert f"silent in {silent[0]} searches of S2 and {silent[2]} of S4" in text


def test_selection_chose_one_cell_of_each_group_by_the_least_error_of_its_short_training():
    table = pd.read_csv(RESULTS / "selection.csv")
    runs = pd.read_csv(RESULTS / "robustness.csv").set_index("config_hash")
    assert (table["test_error"].to_numpy() == runs.loc[table["config_hash"], "test_error"].to_numpy()).all()
    for group, rows in table.groupby(["space", "method"]):
        assert rows["chosen"].sum() == 1, group
        assert rows.loc[rows["chosen"], "short_valid_error"].item() == rows["short_valid_error"].min(), group


@pytest.mark.parametrize("name", SEARCHED)
def test_epochs_end_as_their_runs_did(name):
    runs = pd.read_csv(RESULTS / name).set_index("config_hash")
    epochs = pd.read_csv((RESULTS / name).with_suffix("").as_posix() + "_epochs.csv")
    last = epochs.groupby("config_hash").last()
    assert set(last.index) == set(runs.index[runs["settings"].notna() & runs["one_shot_error"].notna()])
    running = runs.loc[last.index, "stop_epoch"].isna()
    assert (last["one_shot_error"] - runs.loc[last.index, "one_shot_error"])[running].abs().max() < 1e-5


def test_the_jobs_of_language_are_allowed_and_their_summary_says_what_they_hold(made_by):
    script = made_by("language")
    plans = [plan.of_job(one) for one in script.jobs()]
    assert len({one.hash for one in plans}) == len(plans)
    rows = []
    for number, one in enumerate(plans):  # numbers that nobody measured
        row = job._row(one, 1) | {"test_error": 150.0 + number % 7}
        if one.search is not None:
            row |= dict.fromkeys([name for name in script.COLUMNS if name in row], 100.0 + number % 5)
            row["genotype"] = str(script.cells(one.space.name, 0)["all identity"])
        rows.append(row)
    epochs = pd.DataFrame([row | {"epoch": 1, "dominant_eigenvalue": 1.0} for row in rows if row["one_shot_error"]])
    text = script.summary(pd.DataFrame(rows), epochs)
    for name in (*(f"DARTS, L2 {factor:g}" for factor in script.FACTORS), "DARTS-PRIME", "all identity", "all relu"):
        assert text.count(f"\n| {name} | ") >= len(script.SPACES), name
    assert text.count("\n| random cell |  | 8 |") == 2 and text.count("\n| random cell | 8 | 15") == 2


def test_the_jobs_of_the_dense_tables_are_allowed_and_their_summary_says_what_they_hold(made_by):
    script = made_by("dense")
    jobs = script.jobs()
    plans = [plan.of_job(one) for one in jobs]
    assert len({one.hash for one in plans}) == len(jobs) == 3 * ((3 + 3 + 1 + 3 + 5) + (3 + 2)) + 2 * 2
    rows = []
    for number, one in enumerate(plans):  # numbers that nobody measured, to see that all of them are found again
        row = job._row(one, 1) | {"one_shot_error": 5.0, "test_error": 3 + 0.01 * number, "parameters": 20_000}
        row |= {"genotype": row["genotype"] or script.cells(one.data, number)[script.RANDOM], "seconds": 100.0}
        rows.append(row | {name: 0.5 for name in ("dominant_eigenvalue_mean", "dominant_eigenvalue_last")})
    text = script.summary(pd.DataFrame(rows).assign(skips_normal=1, skips_reduce=2))
    for strength in script.STRENGTHS:
        assert f"\n| {strength:g} | {5 if strength in (0, 2) else 3} |" in text
    for name in ("DARTS-PRIME", "random cell", "R-DARTS(L2)", *(f"{factor:g}" for factor in script.FACTORS)):
        assert f"\n| {name} | 3 |" in text
    assert "| stereo | DARTS | 3." in text and "| bathymetry | random cell | 3." in text and "nan" not in text
