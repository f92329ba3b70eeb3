"""Searches for disparity and depth networks: what images can do, they can do too."""

import ast
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from reference.differences import product_and_difference
from torch.nn import functional as F

import darts_lab as dl
from darts_lab import cli, methods, spaces, tasks
from darts_lab.data import bathymetry, stereo
from darts_lab.networks import hourglass as dense
from darts_lab.networks.assembly import frozen_statistics
from darts_lab.networks.costs import parameter_count
from darts_lab.networks.hourglass import DenseNetwork, DenseSupernet
from darts_lab.settings import check
from darts_lab.studies.verify import plan_of
from darts_lab.tasks import classification, disparity, regression, scales

KINDS = {"stereo": "S6", "bathymetry": "S2", "digits": "S2"}  # data of each task (language: test_language), and a space
SIZES = {"epochs": 2, "batch_size": 4, "channels": 4, "layers": 3, "train_samples": 8, "valid_samples": 8}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def small_data():
    """By name, data of the kind of that name, of sixteen small samples."""

    def pairs(seed):
        images = torch.randint(256, (16, 6, 16, 32), generator=seeded(seed)).to(torch.uint8)
        truth = 10 * torch.rand(16, 16, 32, generator=seeded(seed + 1))
        return images, torch.where(truth < 9, truth, torch.nan)

    def patches(seed):
        return torch.rand(16, 4, 8, 8, generator=seeded(seed)), 20 * torch.rand(16, generator=seeded(seed + 1))

    def images(seed):
        pixels = torch.randint(256, (16, 3, 8, 8), generator=seeded(seed)).to(torch.uint8)
        return pixels, torch.arange(16) % 4

    return {
        "stereo": stereo.from_arrays("pairs", *map(pairs, (0, 2, 4))),
        "bathymetry": bathymetry.from_arrays("patches", *map(patches, (0, 2, 4))),
        "digits": dl.data.from_tensors(*map(images, (0, 2, 4)), classes=4),
    }


@pytest.fixture
def small_search(small_data):
    """A function that makes a very small search on data of one kind; it writes nothing."""

    def make(kind, method="DARTS", **changes):
        arguments = {"scale": "tiny", "path": False} | SIZES | changes
        return dl.Search(arguments.pop("space", KINDS[kind]), small_data[kind], method, **arguments)

    return make


# ---------------------------------------------------------------- networks


def test_cells_of_three_types_stand_as_an_hourglass():
    assert dense.cell_types_of(6) == ["normal", "reduce", "normal", "reduce", "upsample", "upsample"]
    net = DenseSupernet(spaces.S6.with_nodes(2), channels=4, layers=6, displacements=3)
    widths = [cell.width for cell in net.backbone.cells]
    assert widths == [4, 8, 8, 16, 8, 4], "doubled by a reduction, halved by an upsampling cell"


def test_maps_come_finest_first_at_a_quarter_and_an_eighth_of_the_size():
    space = spaces.S6.with_nodes(2)
    net = DenseSupernet(space, channels=4, layers=6, displacements=3)
    pairs = torch.randn(2, 6, 32, 48, generator=seeded())
    maps = net(pairs, torch.full(space.shape, 1 / 3))
    assert [tuple(one.shape) for one in maps] == [(2, 8, 12), (2, 4, 6)]
    genotype = dl.random_genotype(space, seeded())
    maps = DenseNetwork(genotype, channels=4, layers=6, displacements=3)(pairs)
    assert [tuple(one.shape) for one in maps] == [(2, 8, 12), (2, 4, 6)]


def test_the_stem_agrees_most_where_the_right_image_shows_the_same():
    stem = dense.Stem(16, 4, seeded()).eval()
    stem.agreement_norm = torch.nn.Identity()
    left = torch.randn(4, 3, 32, 96, generator=seeded(1))
    shifted = F.pad(left, (0, 8))[..., 8:]  # disparity 8: two pixels at a quarter of the size
    agreement = stem(torch.cat([left, shifted], 1))[:, 16:]
    assert agreement.shape == (4, 5, 8, 24)
    assert (agreement[..., 4:20].mean((0, 2, 3)).argmax() == 2).item()


def test_the_encoder_reaches_the_decoder_past_the_bottom():
    """With the bottom's answer cut off, the finest map still depends on the input: through the skip connection."""
    space = spaces.S6.with_nodes(1)
    net = DenseSupernet(space, channels=4, layers=3, displacements=3).eval()
    mixing = torch.full(space.shape, 1 / 3)
    net.backbone.cells[1].register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    first, second = (net(torch.randn(1, 6, 16, 32, generator=seeded(seed)), mixing)[0] for seed in (0, 1))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_genotypes_mixing_in_the_supernet_leaves_out_all_else(mode):
    """What weighs zero on the CPU is not run, and running everything gives the same."""
    space = spaces.S6.with_nodes(2)
    net = getattr(DenseSupernet(space, channels=4, layers=3, displacements=3), mode)()
    mixing = dl.random_genotype(space, seeded()).mixing(space)
    pairs = torch.randn(3, 6, 16, 32, generator=seeded())
    everything = [[[True] * 3] * 5] * 3
    with frozen_statistics(net):
        short, whole = net(pairs, mixing)[0], net(pairs, mixing, running=everything)[0]
    assert torch.allclose(short, whole, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_no_global_random_number_is_used():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = (DenseSupernet(spaces.S6, channels=4, layers=3, generator=seeded(5)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))


def test_convolutions_cost_weights_and_skips_do_not():
    space = spaces.S6.with_nodes(2)
    costs = [parameter_count(DenseNetwork(dl.uniform_genotype(space, name), layers=6)) for name in space.normal[0]]
    assert costs[0] > costs[2] > costs[1], "a skip in a reduction cell is a factorized reduction"


@pytest.mark.parametrize(
    ("size", "layers", "says"),
    [((32, 96), 4, "layers: 4 is not allowed; it must be a multiple of 3"),
     ((24, 96), 6, "image pairs of 24 x 96 do not fit a network of 6 cells; height and width must be multiples of 16")],
)  # fmt: skip
def test_pairs_that_cannot_be_halved_often_enough_are_refused(size, layers, says):
    with pytest.raises(ValueError, match=says):
        dense.check_pairs(size, layers)


# ---------------------------------------------------------------- tasks


def test_cells_of_another_family_are_refused_in_words(small_search):
    with pytest.raises(
        ValueError, match="space: 'S2' has cells normal, reduce; data 'pairs' needs normal, reduce, upsam"
    ):
        small_search("stereo", space="S2")
    with pytest.raises(
        ValueError, match="space: 'S6' has cells normal, reduce, upsample; data 'patches' needs normal, r"
    ):
        small_search("bathymetry", space="S6")


def test_the_loss_is_the_end_point_error_of_every_map_in_units_of_ten_pixels(small_data):
    task = tasks.Disparity(small_data["stereo"])
    truth = task.plain_batch("test", torch.arange(4))[1]
    exact = torch.where(truth.isnan(), 0, truth) / disparity.UNIT
    assert task.loss((exact,), truth) < 1e-6 and task.deviation((exact,), truth) < 1e-5
    off = exact + 0.3
    assert task.loss((off,), truth) == pytest.approx(0.3, rel=1e-4)
    assert task.loss((exact, off), truth) == pytest.approx(0.15, rel=1e-3), "a coarser map counts half"
    assert task.deviation((off, exact), truth) == pytest.approx(4 * 3.0, rel=1e-4), "the error is that of the finest"
    assert task.show(1.26) == "1.3 px"


def test_the_depth_error_is_a_root_mean_square_in_metres(small_data):
    task = tasks.Regression(small_data["bathymetry"])
    depths = torch.tensor([1.0, 10.0, 20.0])
    outputs = torch.tensor([[0.1], [1.2], [1.6]])  # 1, 12 and 16 m
    assert task.deviation(outputs, depths) == pytest.approx(20) and task.error(20.0, 3) == pytest.approx(
        (20 / 3) ** 0.5
    )
    assert task.loss(outputs, depths) == pytest.approx(0.2 / 3), "of targets times 0.1"
    assert task.show(3.14) == "3.1 m"


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_of_a_split_does_not_depend_on_the_size_of_batches(kind, small_search):
    search = small_search(kind)
    next(search)
    mixing = search.mixing.detach()
    search.supernet.eval()
    measured = [search.task.measure(lambda x: search.supernet(x, mixing), "valid", size) for size in (8, 3)]
    assert np.allclose(*measured, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", methods.METHODS)
def test_every_named_method_runs_two_epochs_on_every_task(method, kind, small_search):
    changes, monitor = {"nodes": 1}, methods.get(method).monitor
    if monitor is not None:  # the papers' rule asks for more epochs than two; adaptation does nothing in the last
        changes |= {"epochs": 3}
        method = dl.Method(
            method, monitor=dataclasses.replace(monitor, rule=dl.monitors.Rule(window=1, delta=1, start=0))
        )
    search = small_search(kind, method, **changes)
    for record in search:
        assert np.isfinite([record.train_error, record.valid_error, record.train_loss]).all()
    assert len(search.history) >= 2 and search.finished
    assert search.genotype.cell_types == search.space.cell_types
    assert search.genotype.mixing(search.space).sum() == 2 * len(search.space.cells)


CORE = sorted(
    file for room in ("search", "curvature", "methods") for file in (Path(dl.__file__).parent / room).glob("*.py")
)
DOMAINS = {*scales.DOMAINS, *dl.data.NAMES, "Classification", "Language", "Disparity", "Regression"}


def words_of(source):
    """The names and strings in Python code, but for its docstrings."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value
        yield from (
            getattr(node, name) for name in ("id", "attr", "name") if isinstance(getattr(node, name, None), str)
        )


@pytest.mark.parametrize("file", CORE, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_the_core_asks_for_no_domain(file):
    source = file.read_text()
    found = set(words_of(source)) & DOMAINS - {"digits"}
    assert not found and "isinstance(self.task" not in source and "isinstance(task" not in source
    branch = 'if task.domain == "language": pass'
    assert "language" in set(words_of(source + "\n" + branch)), "so that the test can fail"


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_search_goes_on_bit_for_bit(kind, small_data, tmp_path):
    arguments = KINDS[kind], small_data[kind], "DARTS-PRIME", "tiny"
    sizes = SIZES | {"drop_path": 0.2} | ({"augmentation": 0.5} if kind == "stereo" else {})
    whole = list(dl.Search(*arguments, path=False, **sizes))
    begun = dl.Search(*arguments, path=tmp_path / "run", **sizes)
    next(begun)
    resumed = dl.Search.resume(tmp_path / "run", data=small_data[kind])
    rest = list(resumed)
    assert torch.equal(rest[-1].alpha, whole[-1].alpha) and rest[-1].valid_error == whole[-1].valid_error
    if kind == "stereo":
        assert resumed.task.settings.augmentation == 0.5, "a setting, and so it comes back"


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_goes_on_bit_for_bit(kind, small_data, tmp_path):
    space = spaces.get(KINDS[kind]).with_nodes(2)
    genotype = dl.random_genotype(space, seeded())
    sizes = {name: SIZES[name] for name in ("epochs", "batch_size", "channels", "layers")}
    arguments = genotype, small_data[kind], "tiny"
    sizes |= {"train_samples": 32, "test_samples": 16}
    whole = dl.evaluate(*arguments, **sizes)
    begun = dl.Training(*arguments, path=tmp_path / "run", **sizes)
    next(begun)
    resumed = dl.Training.resume(tmp_path / "run", data=small_data[kind])
    assert list(resumed) and resumed.result().test_error == whole.test_error
    assert isinstance(resumed.optimizer, torch.optim.Adam if kind == "stereo" else torch.optim.SGD)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_products_with_the_hessian_are_finite_differences_of_gradients(kind, mode, small_search):
    search = small_search(kind)
    search.supernet.double()
    with torch.no_grad():
        search.alpha.add_(torch.randn(search.alpha.shape, generator=seeded(5)))
    hessian = search.hessian(mode=mode, batch_size=4)
    product, difference = product_and_difference(hessian, 1e-6)
    assert np.abs(product - difference).max() < 1e-6 * max(1, np.abs(product).max())
    assert np.linalg.norm(product) > 1e-6


def test_second_order_sees_the_same_augmentation_and_runs(small_search):
    search = small_search("stereo", "DARTS-2nd", unrolled_epsilon=1e-4)
    assert torch.isfinite(list(search)[-1].alpha).all()


def test_the_strength_of_augmentation_is_a_setting_of_the_search_and_decides_what_it_sees(small_search):
    place = torch.arange(8)
    plain = small_search("stereo", augmentation=0.0)
    strong = small_search("stereo", augmentation=2.0)
    inputs, targets = plain.task.plain_batch("train", place)
    same = plain.task.training_batch("train", place, seeded())
    assert torch.equal(same[0], inputs) and torch.equal(same[1].nan_to_num(-1), targets.nan_to_num(-1))
    assert not torch.equal(strong.task.training_batch("train", place, seeded())[0], inputs)
    assert list(plain)[-1].train_error != list(strong)[-1].train_error
    with pytest.raises(ValueError, match="augmentation: -1 is not allowed; it must be a number of at least 0"):
        small_search("stereo", augmentation=-1)
    with pytest.raises(ValueError, match="augmentation: not a setting"):
        small_search("bathymetry", augmentation=1.0)


# ---------------------------------------------------------------- presets

PAPER_SEARCH = {name: getattr(classification.PAPER.search, name) for name in vars(classification.PAPER.search)}


def test_the_disparity_paper_scale_is_appendix_d_field_by_field():
    """Zela et al. 2020, appendix D; what it does not say is as in AutoDispNet's layout or as in their image searches."""
    search, evaluation = vars(disparity.DISPARITY_PAPER.search), vars(disparity.DISPARITY_PAPER.evaluation)
    told = {
        "order": 1,  # first-order DARTS
        "alpha_learning_rate": 3e-4, "alpha_betas": (0.5, 0.999),  # autodispnet, issue 1 ...
        "learning_rate": 0.025, "momentum": 0.9,  # ... as told by its author
        "weight_decay": 3e-4,  # the first of the factors of Table 4
        "augmentation": 1.0,  # the base of Table 3
    }  # fmt: skip
    ours = {
        "channels": 16, "layers": 9, "batch_size": 8, "cutout": 0, "curvature_every": 10, "displacements": 40,
        "epochs": 220, "curvature_parity": False,
    }  # fmt: skip
    assert search == PAPER_SEARCH | told | ours
    assert search["epochs"] * (21818 // 2 / 8) == pytest.approx(300_000, rel=0.01)  # iterations
    told = {"learning_rate": 1e-4, "learning_rate_min": 0.0, "augmentation": 1.0}  # Adam, 1e-4 to 0 along a cosine
    ours = {
        "channels": 16, "layers": 9, "batch_size": 8, "epochs": 110, "weight_decay": 0.0, "drop_path": 0.0, "cutout": 0,
        "auxiliary": 0.0, "displacements": 40,
    }  # fmt: skip
    assert evaluation == vars(classification.PAPER.evaluation) | told | ours
    assert evaluation["epochs"] * (21818 / 8) == pytest.approx(300_000, rel=0.01)


def test_the_bathymetry_paper_scale_is_the_code_of_maile_et_al_field_by_field():
    """`train_bath.py` and `bath_eval.py`; what they leave to DARTS is as in DARTS."""
    search, evaluation = vars(regression.BATHYMETRY_PAPER.search), vars(regression.BATHYMETRY_PAPER.evaluation)
    told = {"channels": 16, "layers": 8, "epochs": 50}
    assert search == PAPER_SEARCH | told | {"batch_size": 64, "order": 1, "cutout": 0, "curvature_parity": False}
    told = {"channels": 36, "layers": 8, "epochs": 100, "batch_size": 64, "learning_rate": 0.025, "drop_path": 0.0}
    assert evaluation == vars(classification.PAPER.evaluation) | told | {"cutout": 0, "auxiliary": 0.0}


@pytest.mark.parametrize("domain", ["disparity", "bathymetry"])
def test_every_scale_of_the_domains_makes_sense(domain):
    for name, scale in scales.DOMAINS[domain].items():
        assert scale.name == name
        check(scale.search)
        check(scale.evaluation)


# ---------------------------------------------------------------- around it


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_what_the_error_is_measured_on(kind, small_search, small_data):
    search = small_search(kind)
    next(search)
    before = search.supernet.training
    inputs, found, truth = dl.predictions(search)
    assert search.supernet.training == before and len(inputs) == len(found) == len(truth) == 16
    if kind == "digits":
        found = found.argmax(1)  # of the logits
    assert found.shape == truth.shape
    if kind == "digits":
        error = (found != truth).mean()
    elif kind == "stereo":
        error = np.nanmean(np.abs(found - truth), (1, 2)).mean()
    else:
        error = np.sqrt(((found - truth) ** 2).mean())
    assert error == pytest.approx(search.one_shot(split="test")[1], rel=1e-5)
    assert len(dl.predictions(search, 3)[1]) == 3
    with pytest.raises(ValueError, match="samples: 17 is not allowed; the test split holds 1 to 16"):
        dl.predictions(search, 17)


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_searches_trains_and_tells_the_unit(kind, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = [f"--set={name}={value}" for name, value in SIZES.items()]
    arguments = ["--data", kind, "--scale", "tiny"]
    assert cli.main(["search", "--space", KINDS[kind], *arguments, "--path", "run", *sizes]) == 0
    out = capsys.readouterr().out
    assert tasks.of(kind).metric in out and f" {tasks.of(kind).unit}" in out
    sizes = ["--set=epochs=1", "--set=train_samples=8", "--set=test_samples=4", "--set=batch_size=4"]
    assert cli.main(["evaluate", "run", *arguments, *sizes]) == 0
    assert f"test {tasks.of(kind).metric}" in capsys.readouterr().out


def test_a_sweep_over_both_domains_gives_one_table(tmp_path):
    evaluation = {"epochs": 1, "train_samples": 8, "test_samples": 4, "batch_size": 4}
    jobs = dl.grid(space="S6", data="stereo", scale="tiny", augmentation=[0.0, 1.0], **SIZES, evaluation=evaluation)
    jobs += dl.grid(space="S2", data="bathymetry", scale="tiny", **SIZES, evaluation=evaluation)
    table = dl.sweep(jobs, tmp_path / "sweep", report=lambda line: None)
    assert table["error"].isna().all() and table["test_error"].notna().all()
    assert [json.loads(text).get("augmentation") for text in table["settings"]] == [0.0, 1.0, None]
    for row in table.to_dict("records"):
        plan_of(row)  # raises where a row does not hold its job
