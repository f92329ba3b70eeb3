"""Figures show the values they are given."""

import hashlib
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from PIL import Image

import darts_lab as dl
from darts_lab import figures, spaces
from darts_lab.methods.monitors import Adaptation, Rule
from darts_lab.studies import statistics
from darts_lab.studies.cells import known_truth


@pytest.fixture(scope="module")
def search():
    search = dl.Search("S2", scale="tiny", path=False)
    list(search)
    return search


@pytest.fixture
def ax():
    return Figure().subplots()


def test_every_operation_has_its_own_colour():
    assert set(figures.OPERATION_STYLE) == set(spaces.KNOWN_OPERATIONS)
    for together in (spaces.IMAGE_OPERATIONS, spaces.RECURRENT_OPERATIONS):
        assert len({figures.OPERATION_STYLE[name][0] for name in together}) == len(together)


def test_the_heat_map_shows_the_mixing_weights(search, ax):
    figures.mixing(search.history[-1].mixing, search.space, "reduce", ax)
    np.testing.assert_allclose(ax.collections[0].get_array(), search.history[-1].mixing[1].T)


def test_every_kept_edge_is_drawn_once_and_in_its_colour(ax):
    genotype = dl.random_genotype(spaces.S1, torch.Generator().manual_seed(0))
    figures.cell(genotype, "normal", ax=ax)
    kept = len(genotype.normal)
    assert len(ax.patches) == kept + len(genotype.concat["normal"])
    drawn = {patch.get_edgecolor()[:3] for patch in ax.patches[:kept]}
    assert len(drawn) == len({operation for operation, _ in genotype.normal})


def test_cells_of_others_are_drawn_whole(ax):
    pairs = [
        ("sep_conv_7x7", 0),
        ("conv_7x1_1x7", 0),
        ("avg_pool_3x3", 0),
        ("avg_pool_3x3", 0),
        ("skip_connect", 1),
        ("skip_connect", 2),
    ]
    triples = [("skip_connect", 2, 0), ("sep_conv_3x3", 4, 2)]
    genotype = dl.Genotype({"normal": pairs, "reduce": triples}, {"normal": [3, 4], "reduce": [4]})
    figures.cell(genotype, "normal", ax=ax)
    names = sorted(patch.get_gid() for patch in ax.patches[:6])
    assert names[:3] == ["0→2 conv_7x1_1x7", "0→2 sep_conv_7x7", "0→3 avg_pool_3x3"] and len(ax.patches) == 6 + 2
    bends = {patch.get_connectionstyle().rad for patch in ax.patches[:2]}
    assert len(bends) == 2, "two operations of one edge do not hide each other"
    figures.cell(genotype, "reduce", ax=ax)
    assert [patch.get_gid() for patch in ax.patches] == ["0→2 skip_connect", "2→4 sep_conv_3x3", "4→output"]


def test_with_weights_lines_are_as_wide_as_their_operation_weighs(ax):
    space = spaces.S2.with_nodes(1)
    weights = torch.tensor([[[0.9, 0.1], [0.25, 0.75]]] * 2)
    figures.cell(dl.discretize(weights, space), "normal", weights, space, ax)
    assert sorted(patch.get_linewidth() for patch in ax.patches[:2]) == pytest.approx([3.0, 3.6])


def test_curves_show_the_history(search, ax):
    figures.errors(search.history, ax)
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [100 * record.valid_error for record in search.history])
    figures.counts(search.history, "skip_connect", ax)
    np.testing.assert_array_equal(
        ax.lines[1].get_ydata(), [record.genotype.count("skip_connect", "reduce") for record in search.history]
    )
    figures.weight_shares(search.history, search.space, "normal", ax)
    means = [line for line in ax.lines if not line.get_gid()]
    np.testing.assert_allclose(sum(line.get_ydata() for line in means), 1, atol=1e-6)
    edges = {line.get_gid(): line.get_ydata() for line in ax.lines if line.get_gid()}
    assert len(edges) == 2 * len(search.space.edges)
    for number, (source, node) in enumerate(search.space.edges):
        weights = [record.mixing[0, number, 1] for record in search.history]
        np.testing.assert_allclose(edges[f"{source}→{node + 2} sep_conv_3x3"], weights)
    assert set(figures.plotted(ax.figure)["label"]) == {*edges, "skip_connect", "sep_conv_3x3"}


def test_ranks_are_those_of_the_cells_among_all_that_were_trained(ax):
    search = dl.Search("S5", scale="tiny", path=False)
    list(search)
    truth = known_truth(search.space, "digits")
    assert list(truth["rank"]) == list(range(1, 82)) and truth["test_error"].is_monotonic_increasing
    figures.ranks(search.history, truth, ax)
    expected = [truth.loc[str(record.genotype.canonical), "rank"] for record in search.history]
    assert list(ax.lines[0].get_ydata()) == expected and ax.get_ylim() == (82, 0), "the best are above"
    assert ax.texts[0].get_text().startswith(f" {expected[-1]}: ")
    figures.ranks([], truth, ax)
    weights = search.mixing.detach().numpy()
    view = figures.View(search.space, search.history, weights, search.genotype, truth=truth)
    figures.panel("rank", view, ax)
    assert list(ax.lines[0].get_ydata()) == expected
    with pytest.raises(ValueError, match="^truth: None is not allowed"):
        figures.panel("rank", replace(view, truth=None), ax)
    assert known_truth(search.space, "cifar10") is None and known_truth(spaces.S1, "digits") is None
    other = dl.SearchSpace("S5", {name: [("skip_connect", "noise")] * 2 for name in ("normal", "reduce")})
    assert known_truth(other, "digits") is None


def test_the_fisher_trace_is_drawn_with_a_mark_for_every_alpha_step(ax):
    search = dl.Search("S2", method="DARTS-PRIME", scale="tiny", path=False)
    figures.fisher_trace(list(search), ax)
    trace, threshold, marks = ax.lines
    moments = [moment for record in search.history for moment in record.moments]
    assert list(trace.get_ydata()) == [moment[0] for moment in moments]
    assert list(threshold.get_ydata()) == [moment[1] for moment in moments]
    assert len(marks.get_xdata()) == search.descent.timing.alpha_steps
    figures.fisher_trace([], ax)


def test_kinds_are_marked_at_their_mean_with_its_interval(ax):
    table = pd.DataFrame({"method": ["a", "a", "b", "c"], "test_error": [0.1, 0.3, 0.5, np.nan]})
    figures.by_kind(table, ax=ax)
    dots, alone = (points.get_offsets().data.T for points in ax.collections)
    assert list(dots[0]) == [10, 30] and list(alone[0]) == [50]
    assert dots[1][0] == pytest.approx(-dots[1][1]) and dots[1][0] < 0 and alone[1][0] == pytest.approx(1), (
        "runs are spread in their order, not at random"
    )
    intervals = [line for line in ax.lines if line.get_linestyle() == "-"]
    (means,) = [line for line in ax.lines if line.get_marker() == "|"]
    np.testing.assert_allclose(means.get_xdata(), [20, 50])
    expected = statistics.mean([10, 30])
    np.testing.assert_allclose(intervals[0].get_xdata(), [expected.low, expected.high])
    assert np.isnan(intervals[1].get_xdata()).all(), "one run has no interval"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"], "who has no value has no row"


def test_lines_over_epochs_are_means_bands_are_intervals_and_the_picture_ends_with_the_runs(ax):
    table = pd.DataFrame({"method": "a", "epoch": [0, 1, 0, 1], "seed": [0, 0, 1, 1], "regret": [0.4, 0.2, 0.2, 0.0]})
    figures.over_epochs(table, "regret", factor=100, ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [30, 10])
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(statistics.mean([20, 40]).high)
    assert band[:, 1].min() == pytest.approx(statistics.mean([0, 20]).low)
    assert ax.get_ylim() == pytest.approx((0 - 3.2, 40 + 3.2))


def test_kinds_of_a_category_keep_their_colours_from_picture_to_picture(ax):
    kinds = pd.Series(pd.Categorical(["b", "c"], ["a", "b", "c"]))
    figures.scatter([1, 2], [3, 4], kinds, ax=ax)
    assert [points.get_label() for points in ax.collections] == ["b", "c"]
    assert ax.get_legend().get_title().get_text() == ""
    table = pd.DataFrame({"test_error": [0.1, 0.2], "epoch": [0, 0], "seed": [0, 0]})
    for names, first in ((kinds, 1), (["b", "c"], 0)):
        expected = [to_rgb(colour) for colour in figures.PALETTE[first : first + 2]]
        figures.scatter([1, 2], [3, 4], names, ax=ax)
        assert [tuple(points.get_facecolor()[0, :3]) for points in ax.collections] == expected
        figures.by_kind(table.assign(method=names), ax=ax)
        assert [tuple(points.get_facecolor()[0, :3]) for points in ax.collections] == expected
        figures.over_epochs(table.assign(method=names), "test_error", ax=ax)
        assert [to_rgb(line.get_color()) for line in ax.lines] == expected
        figures.over_setting(table.assign(method=names), "epoch", "test_error", "method", ax=ax)
        assert [to_rgb(points.get_facecolor()[0]) for points in ax.collections[1::2]] == expected
        assert ax.get_legend().get_title().get_text() == ""


def test_a_shared_legend_has_every_label_once_and_covers_no_axes():
    figure = Figure(figsize=(7, 2), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, names in zip(axes, ("ab", "bc")):
        figures.spectrum(dict.fromkeys(names, [2.0, 1.0]), ax)
    figures.share_legend(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    assert not any(ax.get_legend() for ax in axes)
    figure.draw_without_rendering()
    assert legend.get_window_extent().x0 > max(ax.get_tightbbox().x1 for ax in axes)
    figures.share_legend(Figure(layout="constrained"))  # nothing to tell
    with pytest.raises(ValueError, match="constrained"):
        figures.share_legend(Figure())


def test_methods_have_their_colours_in_eigenvalues_too(ax):
    table = pd.DataFrame({"epoch": [0, 2], "dominant_eigenvalue": [0.1, 0.2]})
    names = ["DARTS", "L2 0.0003", "R-DARTS(L2)"]
    figures.eigenvalues(dict.fromkeys(names, table), ax=ax)
    drawn = {line.get_label(): line.get_color() for line in ax.lines if line.get_label() in names}
    assert drawn == figures.methods_style(names)
    figures.eigenvalues({"DARTS": table}, ax=ax, colours={"DARTS": "black"})
    assert "black" in {line.get_color() for line in ax.lines}


def test_settings_stand_side_by_side_with_means_of_their_runs(ax):
    table = pd.DataFrame({"space": "S2", "weight_decay": [3e-4, 3e-4, 0.0243], "skips_normal": [4.0, 3.0, 2.0]})
    figures.over_setting(table, "weight_decay", "skips_normal", ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [3.5, 2.0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.0003", "0.0243"]
    interval, expected = ax.collections[0].get_segments()[0], statistics.mean([4.0, 3.0])
    np.testing.assert_allclose(interval[:, 1], [expected.low, expected.high])
    np.testing.assert_allclose(ax.collections[1].get_offsets()[:, 1], [4, 3, 2])


def test_scatter_shows_every_point_and_its_correlation(ax):
    x = [1.0, 2.0, 3.0, 5.0]
    figures.scatter(x, x, [1, 1, 2, 2], statistics.correlation(x, [1.0, 2.0, 2.5, 6.0]), ax)
    assert sorted(value for points in ax.collections for value in points.get_offsets()[:, 0]) == x
    line = ax.lines[0].get_data()
    np.testing.assert_allclose(line[1], np.polyval(np.polyfit(x, x, 1), line[0]), err_msg="the regression line")
    figures.scatter(x, x, [1, 1, 2, 2], ax=ax)
    assert not ax.lines, "no line without a correlation"
    figures.scatter(x, x, [1, 1, 2, 2], statistics.correlation(x, [1.0, 2.0, 2.5, 6.0]), ax)
    assert "0.9" in ax.get_title() and "4 points" in ax.get_title()


def test_save_writes_pdf_png_and_what_is_plotted_with_the_hash_of_the_run(search, tmp_path):
    figure = Figure()
    figures.errors(search.history, figure.subplots())
    paths = figures.save("errors", figure, run=search, folder=tmp_path / "figures")
    assert [path.name for path in paths] == ["errors.pdf", "errors.png", "errors.csv"]
    told = f"run {search.plan.hash}"
    with Image.open(paths[1]) as picture:
        assert told in picture.text["Description"]
    assert told.encode() in paths[0].read_bytes() and paths[2].read_text().startswith(f"# {told}")
    table = pd.read_csv(paths[2], comment="#")
    valid = table[table["label"] == "one-shot validation"]
    np.testing.assert_allclose(valid["y"], [100 * record.valid_error for record in search.history])
    first = [path.read_bytes() for path in paths]
    assert first == [
        path.read_bytes() for path in figures.save("errors", figure, run=search, folder=tmp_path / "figures")
    ]


def test_a_figure_for_a_paper_is_as_wide_as_a_column_with_type_of_eight_points(search, tmp_path):
    with matplotlib.rc_context():
        figures.use_style("paper")
        figure = Figure(figsize=(5, 3), layout="constrained")
        ax = figures.errors(search.history, figure.subplots())
        _, png, _ = figures.save("errors", figure, folder=tmp_path, width=3.3)
    with Image.open(png) as picture:
        assert picture.size == (990, 594)  # 3.3 x 1.98 inches of 300 dpi
    assert {text.get_fontsize() for text in (ax.title, ax.xaxis.label, *ax.get_xticklabels())} == {8}
    assert tuple(figure.get_size_inches()) == (5, 3)


def test_the_csv_holds_lines_points_images_bars_error_bars_and_arrows(search):
    figure = Figure()
    axes = figure.subplots(2, 3).ravel()
    axes[0].bar([1, 2], [3.0, 4.0], label="bars")
    axes[1].errorbar([1, 2], [5.0, 6.0], [0.5, 0.25], fmt=".")
    axes[2].scatter([1, 2], [7.0, 8.0], c=[0.1, 0.2])
    figures.mixing(search.mixing.detach(), search.space, "normal", axes[3])
    figures.cell(search.genotype, "reduce", search.mixing.detach().numpy(), search.space, axes[4])
    axes[5].fill_between([1, 2], [0, 0], [9.0, 10.0])
    levels = axes[5].contourf(np.arange(6.0).reshape(2, 3), 3).levels
    figure.colorbar(axes[3].collections[0], ax=axes[3])  # holds no data of its own
    table = figures.plotted(figure)
    of = dict(list(table.groupby("artist")))
    assert list(of["bar"]["y"]) == [3, 4] and list(of["points"]["value"]) == [0.1, 0.2]
    assert set(of["interval"]["y"]) == {4.5, 5.5, 5.75, 6.25} and {9.0, 10.0} <= set(of["band"]["y"])
    assert set(of["contour"]["value"]) == set(levels[:-1])
    np.testing.assert_allclose(of["image"]["value"].astype(float), search.mixing.detach()[0].T.ravel())
    kept = [f"{source}→{node + 2} {name}" for source, node, name in search.genotype.edges("reduce")]
    assert set(kept) <= set(of["arrow"]["label"])


def test_a_name_that_is_no_files_is_refused_and_the_folder_may_come_from_outside(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="name: '../up' is not allowed"):
        figures.save("../up", Figure(), folder=tmp_path)
    monkeypatch.setenv("DARTS_LAB_FIGURES", str(tmp_path / "there"))
    assert figures.save("empty", Figure(), run="results/robustness.csv")[0].parent == tmp_path / "there"


def test_a_figure_of_a_search_that_was_changed_by_hand_carries_the_hash_of_its_run(tmp_path):
    search = dl.Search("S2", scale="tiny", path=tmp_path / "run")
    search.change(weight_decay=0.1)
    next(search)
    paths = figures.save("empty", Figure(), run=[search, dl.runs.read(tmp_path / "run"), "a table"], folder=tmp_path)
    digits = search.plan.hash
    assert paths[2].read_text().splitlines()[0].count(f"run {digits}") == 2 and "a table" in paths[2].read_text()


def test_a_figure_of_a_table_carries_the_hash_of_its_bytes(tmp_path):
    table = tmp_path / "results" / "some.csv"
    table.parent.mkdir()
    table.write_bytes(b"a,b\n1,2\n")
    paths = figures.save("empty", Figure(), run=table, folder=tmp_path)
    digits = hashlib.sha256(b"a,b\n1,2\n").hexdigest()[:8]
    assert paths[2].read_text().splitlines()[0] == f"# table results/some.csv, sha256 {digits}"
    assert f"sha256 {digits}".encode() in paths[1].read_bytes()


def test_the_gallery_shows_every_figure_with_its_source(tmp_path):
    figures.save("one", Figure(), run="a <table>", folder=tmp_path)
    page = figures.gallery(tmp_path).read_text()
    assert 'src="one.png"' in page and 'href="one.pdf"' in page and 'href="one.csv"' in page
    assert "a &lt;table&gt;" in page


def test_the_threshold_is_factor_times_the_average_delta_before(ax):
    table = pd.DataFrame({"epoch": range(12), "dominant_eigenvalue": np.linspace(1, 2, 12)})
    rule = Rule(window=3, delta=2, start=4, factor=1.5)
    figures.eigenvalues(table, rule, ax)
    (threshold,) = [line for line in ax.lines if line.get_label() == "stops above"]
    places, averages = rule.averages(range(12), table["dominant_eigenvalue"])
    np.testing.assert_allclose(threshold.get_ydata(), 1.5 * averages[4:-2])
    np.testing.assert_array_equal(threshold.get_xdata(), places[6:])


def test_changes_by_hand_are_marked_where_they_took_effect(ax):
    search = dl.Search("S2", scale="tiny", path=False)
    next(search)
    search.change(weight_decay=0.1)
    list(search)
    figures.losses(search.history, ax)
    assert [text.get_text().strip() for text in ax.texts] == ["L2 0.1"] and ax.texts[0].get_position()[0] == 1
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [record.train_loss for record in search.history])
    figures.cost(search.history, search.steps_per_epoch, ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1000 * r.seconds / 2 for r in search.history])


def test_none_is_counted_where_it_weighs_most(ax):
    search = dl.Search("S3", scale="tiny", path=False, epochs=1)
    next(search)
    figures.counts(search.history, ["skip_connect", "none"], ax, search.space)
    weights = search.history[0].mixing[0]
    assert ax.lines[2].get_label() == "none weighs most, normal"
    assert list(ax.lines[2].get_ydata()) == [sum(int(edge.argmax()) == 0 for edge in weights)]


OF_IMAGES = [name for name in figures.PANELS if name in figures.CURVES or name.split()[1] in spaces.CELL_TYPES]
OF_IMAGES.remove("rank")  # of S5 alone


@pytest.mark.parametrize("name", OF_IMAGES)
def test_every_panel_draws_a_search_at_any_moment_and_a_log_of_others(name, search, ax):
    weights = search.mixing.detach().numpy()
    for history in ([], search.history[:1], search.history):
        figures.panel(name, figures.View(search.space, history, weights, search.genotype, at=0), ax)
        ax.figure.canvas.draw()
    figures.panel(name, figures.View(search.space, search.history, None, search.genotype), ax)
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", ["S6", "RNN"])
def test_the_dashboard_draws_whatever_cells_a_space_has(name):
    space = spaces.get(name)
    weights = torch.softmax(torch.randn(space.shape, generator=torch.Generator().manual_seed(0)), -1)
    dashboard = figures.Dashboard(space)
    dashboard.draw([], weights.numpy(), dl.discretize(weights, space)).canvas.draw()
    assert [name.split()[1] for name in dashboard.axes if name.startswith("cell")] == list(space.cell_types)


@pytest.mark.parametrize(
    ("name", "cell_type", "first"),
    [("S2", "reduce", "$c_{k-2}$"), ("S6", "upsample", "encoder"), ("RNN", "recurrent", "$x_t, h_{t-1}$")],
)
def test_a_cell_says_what_comes_into_it(name, cell_type, first, ax):
    genotype = dl.random_genotype(spaces.get(name), torch.Generator().manual_seed(0))
    assert figures.cell(genotype, cell_type, ax=ax).texts[0].get_text() == first


def test_the_demo_prints_one_table_and_draws_one_figure(tmp_path, capsys):
    from darts_lab.demo import demo

    table = demo("tiny", tmp_path)
    assert list(table.index) == ["DARTS", "R-DARTS(L2)"] and list(table["L2"]) == [3e-4, 0.0243]
    assert table["test error %"].between(0, 100).all() and table["peak MB"].gt(0).all()
    assert (tmp_path / "demo.png").exists()
    assert "no published numbers" in capsys.readouterr().out


def test_eigenvalues_show_measurements_local_averages_and_the_stop(ax):
    table = pd.DataFrame({"epoch": range(12), "dominant_eigenvalue": [1.0] * 4 + [3.0] * 8})
    rule = Rule(window=3, delta=2, start=0)
    figures.eigenvalues({"one": table, "flat": table.assign(dominant_eigenvalue=1.0)}, rule, ax)
    dots, average, star = ax.lines[:3]
    np.testing.assert_array_equal(dots.get_ydata(), table["dominant_eigenvalue"])
    np.testing.assert_allclose(average.get_ydata(), rule.averages(range(12), table["dominant_eigenvalue"])[1])
    assert star.get_xdata() == [rule.stop(range(12), table["dominant_eigenvalue"])] == [1]
    assert [line.get_marker() for line in ax.lines].count("*") == 1, "a flat one is not stopped"


def test_a_search_that_was_thrown_back_is_drawn_in_pieces(ax):
    method = dl.Method("ADA", monitor=Adaptation(Rule(window=1, delta=1, factor=1.000001, start=1)))
    search = dl.Search("S2", method=method, scale="tiny", path=False, epochs=6, alpha_learning_rate=0.1)
    list(search)
    back = [index for index, record in enumerate(search.history) if record.back_to is not None]
    assert back, "the rule must fire for this test to say much"
    figures.errors(search.history, ax)
    drawn = ax.lines[1].get_ydata()
    assert len(drawn) == len(search.history) + len(back) and np.isnan(drawn).sum() == len(back)
    assert np.isnan(drawn[back[0] + 1])
    figures.eigenvalues(search.history, ax=ax)
    assert len(ax.lines[0].get_xdata()) == len(search.history)
    averages = ax.lines[1].get_xdata(), ax.lines[1].get_ydata()
    recorded = dl.runs.Recorded("ADA", None, "S2", "digits", 0, 0.0, 3e-4, search.history, [])
    figures.eigenvalues(dl.runs.table([recorded]), ax=ax)
    np.testing.assert_array_equal(averages, (ax.lines[1].get_xdata(), ax.lines[1].get_ydata()))


def test_spectra_fall_with_their_rank(ax):
    figures.spectrum({"one": [0.5, -1.0, 2.0], "other": np.array([1.0, 0.0])}, ax)
    assert list(ax.lines[0].get_ydata()) == [2.0, 0.5, -1.0] and list(ax.lines[0].get_xdata()) == [1, 2, 3]


def test_landscapes_of_one_and_two_dimensions(search):
    line, plane = (dl.curvature.landscape(search, dimensions=d, points=3, batches=2) for d in (1, 2))
    ax = figures.landscape(line, Figure().subplots())
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), line.losses)
    assert len(ax.lines) == 3, "both batches and their mean"
    assert figures.landscape(plane, Figure().subplots()).figure.axes[1].get_ylabel() == "validation loss"


def test_a_picture_is_the_left_image_of_a_pair_or_what_the_eye_sees_of_four_bands():
    pair = np.zeros((6, 4, 5), np.uint8)
    pair[0], pair[3] = 200, 100
    shown = dl.figures.picture(pair, Figure().subplots()).images[0].get_array()
    assert shown.shape == (4, 5, 3) and (shown[..., 0] == 200).all() and not shown[..., 1:].any()
    bands = np.stack([np.full((4, 5), value) for value in (0.01, 0.02, 0.04, 9.0)])  # blue, green, red, infrared
    shown = dl.figures.picture(bands, Figure().subplots()).images[0].get_array()
    assert np.allclose(shown[0, 0], [1, 0.5, 0.25])


def test_a_map_shows_its_values_within_the_limits_and_leaves_out_the_unknown():
    values = np.array([[1.0, np.nan], [3.0, 4.0]])
    image = dl.figures.pixel_map(values, "depth (m)", (0, 5), Figure().subplots()).images[0]
    assert image.get_clim() == (0, 5) and np.ma.getmaskarray(image.get_array()).sum() == 1
    assert dl.figures.pixel_map(values, "depth (m)", ax=Figure().subplots()).images[0].get_clim() == (1, 4)


def test_pictures_of_tables_leave_styles_and_random_numbers_as_they_were(ax):
    style, (_, numbers, place, *_) = dict(matplotlib.rcParams), np.random.get_state()
    table = pd.DataFrame({"method": list("aab"), "epoch": [0, 1, 1], "seed": 0, "test_error": [0.1, 0.2, 0.4]})
    figures.by_kind(table, ax=ax)
    figures.over_epochs(table, "test_error", ax=ax)
    figures.over_setting(table, "epoch", "test_error", "method", ax=ax)
    figures.scatter([1, 2, 3, 4], [1, 2, 3, 5], None, statistics.correlation([1, 2, 3, 4], [1, 2, 3, 5]), ax)
    figures.by_kind(table.iloc[:0], ax=ax)
    figures.over_epochs(table.iloc[:0], "test_error", ax=ax)
    _, numbers_after, place_after, *_ = np.random.get_state()
    assert dict(matplotlib.rcParams) == style and place_after == place and (numbers_after == numbers).all()


def test_errors_in_another_unit_are_shown_in_it():
    table = pd.DataFrame({"method": ["a", "a"], "test_error": [2.0, 3.0]})
    ax = dl.figures.by_kind(table, ax=Figure().subplots(), factor=1, unit="px")
    assert ax.collections[0].get_offsets()[:, 0].tolist() == [2, 3] and "(px)" in ax.get_xlabel()


DRAWINGS = {  # hashes of the words in it and the number of its lines and arrows
    "network": "1edcf6d8", "taking_turns": "c9139aec", "flat_and_sharp": "21486087", "projection": "a793cdeb", "unrolled_step": "f2316be0",
    "candidates": "5f0400f3", "going_back": "2428fec8",
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_shows_what_it_showed_when_it_was_looked_at(name, ax):
    getattr(figures.drawings, name)(ax=ax)
    shown = [text.get_text() for text in ax.texts] + [str(len(ax.lines)), str(len(ax.patches))]
    assert hashlib.sha256("".join(shown).encode()).hexdigest()[:8] == DRAWINGS[name]


def test_drawings_say_what_is_so(ax):
    figures.drawings.network(layers=8, ax=ax)
    words = [text.get_text() for text in ax.texts]
    kinds = [word for word in words if word in ("N", "R")]
    network = dl.Supernet(spaces.S2, channels=2, layers=8)
    assert kinds == [kind[0].upper() for kind in network.backbone.cell_types]
    figures.drawings.flat_and_sharp(flat=0.5, sharp=4, ax=ax)
    assert {"+0.25", "+2"} < {text.get_text() for text in ax.texts}


def test_the_drawing_of_candidates_has_an_arrow_for_each_operation(ax):
    figures.drawings.candidates(ax)
    offered = [operation for space in (spaces.S1, spaces.S2, spaces.S3, spaces.S4) for operation in space.normal[0]]
    words = [text.get_text() for text in ax.texts if ":" in text.get_text()]
    assert [word.split(":")[0] for word in words] == [dl.figures.style.short_name(operation) for operation in offered]
    assert sum(isinstance(patch, FancyArrowPatch) for patch in ax.patches) == len(offered) == 9


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_epochs_are_whole_numbers_from_zero_on(search, epochs, ax):
    history = [replace(search.history[0], epoch=epoch) for epoch in range(epochs)]
    for draw in (figures.errors, figures.eigenvalues, lambda history, ax: figures.counts(history, "skip_connect", ax)):
        draw(history, ax=ax)
        low, high = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert ticks and all(tick >= 0 and tick == round(tick) for tick in ticks)


def test_an_overlay_has_a_curve_for_each_search_in_the_colour_of_its_method(search, ax):
    weights = search.history[-1].mixing.numpy()
    view = figures.View(search.space, search.history, weights, search.genotype)
    for name in figures.OVERLAYS:
        figures.overlay(name, {"DARTS": view, "R-DARTS(L2)": view}, ax)
        of = {line.get_label(): line.get_color() for line in ax.lines}
        assert {method: of[method] for method in ("DARTS", "R-DARTS(L2)")} == {
            method: figures.METHOD_STYLE[method][0] for method in ("DARTS", "R-DARTS(L2)")
        }
        figures.overlay(name, {"DARTS": replace(view, history=[])}, ax)
    with pytest.raises(ValueError, match="name: 'fisher' is not known; known: eigenvalue"):
        figures.overlay("fisher", {"DARTS": view}, ax)


def test_every_method_in_a_picture_has_a_colour_of_its_own():
    colours, markers = zip(*figures.METHOD_STYLE.values(), strict=True)
    assert len(set(colours)) == len(colours) and len(set(markers)) == len(markers)
    found = figures.methods_style(["DARTS", "mine", "R-DARTS(L2)", "OLES"])
    assert len(set(found.values())) == 4 and found["DARTS"] == figures.METHOD_STYLE["DARTS"][0]


def test_what_counts_is_the_test_error_beside_the_one_shot_error(ax):
    figures.retrained({"DARTS": ("DARTS", 17.9, 90.2), "R-DARTS(L2)": ("R-DARTS(L2)", 14.0, None)}, ax)
    assert [bar.get_width() for bar in ax.patches] == [90.2]
    assert [line.get_xdata()[0] for line in ax.lines] == [17.9, 14.0]


def test_bars_that_lie_are_told_by_their_length():
    ax = Figure().subplots()
    figures.retrained({"one": ("DARTS", 15.0, 12.0), "two": ("R-DARTS(L2)", 14.0, 9.0)}, ax)
    bars = figures.plotted(ax.figure).query("artist == 'bar'")
    assert bars["x"].tolist() == [12.0, 9.0] and bars["y"].tolist() == [0.0, 1.0]


def test_colours_of_float_images_are_in_their_order_and_black_stays_black():
    pixel = np.zeros((3, 2, 2), np.float32)
    pixel[0] = 1
    shown = figures.picture(pixel, Figure().subplots()).images[0].get_array()
    assert shown[0, 0].tolist() == [1, 0, 0]
    assert not figures.picture(0 * pixel, Figure().subplots()).images[0].get_array().any()


def test_weights_of_a_search_are_drawn_as_they_are_and_a_cell_of_another_space_is_refused(search):
    figures.mixing(search.mixing.clone().requires_grad_(), search.space, "normal", Figure().subplots())
    other = spaces.S4.with_nodes(search.space.nodes)
    with pytest.raises(ValueError, match="genotype"):
        figures.cell(dl.uniform_genotype(other, "noise"), "normal", search.mixing, search.space, Figure().subplots())


def test_every_search_is_judged_by_its_own_rule(ax):
    values = [0.1, 0.1, 0.1, 0.5, 0.6]
    table = pd.DataFrame({"epoch": range(5), "dominant_eigenvalue": values})
    quick, never = Rule(window=1, delta=1, start=0), Rule(window=1, delta=1, start=0, factor=100.0)
    figures.eigenvalues({"a": table, "b": table}, {"a": quick, "b": never}, ax, {"a": True, "b": True})
    assert [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "*"] == [[2]]
