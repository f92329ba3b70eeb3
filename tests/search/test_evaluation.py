"""Training from scratch: the published sizes, what is measured on what, and that it learns."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

import darts_lab as dl
from darts_lab import spaces
from darts_lab.genotype import random_genotype, uniform_genotype
from darts_lab.networks.costs import multiply_adds, parameter_count
from darts_lab.networks.images import Network
from darts_lab.runs.records import TrainingRecord
from darts_lab.search.loop import cosine
from darts_lab.search.training import Evaluation, Training
from darts_lab.studies import cells
from darts_lab.tasks import classification

CONVOLUTIONS = uniform_genotype(spaces.S2.with_nodes(2), "sep_conv_3x3")


@pytest.fixture(scope="module")
def training(colours, small):
    """A function that makes a small Training, with `changes` of its arguments and settings."""
    data = colours()

    def make(genotype=CONVOLUTIONS, **changes):
        return Training(genotype, **({"data": data, "scale": small} | changes))

    return make


# --- What comes out ---------------------------------------------------------------------------


def test_evaluate_runs_at_tiny_scale_on_digits_and_gives_every_field():
    seen = []
    result = dl.evaluate(CONVOLUTIONS, data="digits", scale="tiny", seed=0, on_epoch=seen.append)
    assert isinstance(result, Evaluation) and result.genotype == CONVOLUTIONS
    tiny = classification.TINY.evaluation
    assert [record.epoch for record in seen] == list(range(tiny.epochs)) and result.epochs == tiny.epochs
    assert 0 <= result.test_error <= 1 and result.test_error * tiny.test_samples % 1 == 0
    assert 0 <= result.train_error <= 1 and result.test_loss > 0 and result.train_loss == seen[-1].train_loss
    assert result.parameters == parameter_count(Network(CONVOLUTIONS, channels=tiny.channels, layers=tiny.layers))
    assert result.seconds == sum(record.seconds for record in seen) > 0 and result.peak_memory_bytes > 2**20
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.test_error = 0.0


def test_evaluate_reads_the_text_of_a_genotype_and_repeats_itself(colours, small):
    def once(genotype, seed):
        result = dl.evaluate(genotype, colours(), small, seed, epochs=1)
        assert 0 < result.processor_seconds < 60 * result.seconds
        return dataclasses.replace(result, seconds=0.0, processor_seconds=0.0, peak_memory_bytes=0)

    first = once(CONVOLUTIONS, 0)
    assert once(str(CONVOLUTIONS), 0) == first != once(CONVOLUTIONS, 1)


def test_with_skips_in_the_reduction_cells_the_normal_cell_alone_decides(training):
    skips = uniform_genotype(spaces.S2.with_nodes(2), "skip_connect")
    other = dataclasses.replace(CONVOLUTIONS, cells=CONVOLUTIONS.cells | {"reduce": skips.reduce})
    one, two, both = training(reductions="skip"), training(other, reductions="skip"), training()
    assert one.genotype == CONVOLUTIONS and one.config()["genotype"] == str(CONVOLUTIONS)
    for run in (one, two):
        list(run)
    assert one.result().test_loss == two.result().test_loss
    assert one.result().parameters < parameter_count(both.network)
    reduction = dl.genotype.skip_reductions(CONVOLUTIONS)
    assert reduction.normal == CONVOLUTIONS.normal
    assert reduction.reduce == (("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 1), ("skip_connect", 2))
    assert next(cell for cell in one.network.backbone.cells if cell.downsampling == 2).edges == 4
    with pytest.raises(
        ValueError, match="reductions: 'skip' is not allowed for cells recurrent; it must be 'searched'"
    ):
        dl.evaluate("Genotype(recurrent=[('tanh', 0)], concat=range(1, 2))", "pydocs", "tiny", reductions="skip")


def test_result_waits_for_the_last_epoch(training):
    unfinished = training()
    next(unfinished)
    with pytest.raises(ValueError, match="training: 1 of 2 epochs are done; finish it first"):
        unfinished.result()
    next(unfinished)
    assert unfinished.result().epochs == 2 and list(unfinished) == []


def test_training_looks_at_the_test_split_only_for_the_result(training):
    run = training()
    data = run.task.data
    run.task.data = dataclasses.replace(data, test=None)
    assert len(list(run)) == 2
    run.task.data = data
    assert 0 <= run.result().test_error <= 1


def test_test_error_is_that_of_the_network_in_evaluation_mode_on_the_whole_split(training):
    run = training()
    list(run)
    result = run.result()
    images, labels = run.task.data.test
    mean, std = (torch.tensor(m).view(-1, 1, 1) for m in (run.task.data.mean, run.task.data.std))
    with torch.no_grad():
        logits = run.network.eval()((images - mean) / std)
    assert result.test_error == (logits.argmax(1) != labels).double().mean()
    assert result.test_loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
    run.network.train()
    real = run.task.batches
    run.task.batches = lambda split, *_: real(
        split, 5
    )  # 5, 5, 5, 1: a short batch does not weigh as much as the others
    assert run.test() == pytest.approx((result.test_loss, result.test_error), rel=1e-4)


@pytest.mark.parametrize("genotype", (CONVOLUTIONS, uniform_genotype(spaces.S4.with_nodes(2), "noise")))
def test_testing_in_between_changes_nothing(genotype, training):
    plain, tested = (training(genotype, batch_size=8) for _ in range(2))
    list(plain)
    while not tested.finished:  # between two batches too
        tested.step()
        tested.test()
    for (name, weight), other in zip(plain.network.named_parameters(), tested.network.parameters(), strict=True):
        assert torch.equal(weight, other), name


# --- How it trains ----------------------------------------------------------------------------


def test_training_learns_what_is_easy(training, colours):
    run = training(data=colours(samples=64), epochs=6, batch_size=16, learning_rate=0.1)
    records = list(run)
    assert records[-1].train_loss < records[0].train_loss
    assert run.result().test_error < 0.2, "chance is 0.75"


def test_training_sees_both_halves_of_the_search(training, colours):
    data = colours()
    run = training(data=data)
    images, labels = run.task.data.train
    assert torch.equal(images, torch.cat([data.train[0], data.valid[0]]))
    assert torch.equal(labels, torch.cat([data.train[1], data.valid[1]]))
    assert training(data=data, train_samples=20).task.size("train") == 20
    assert training(data=data, test_samples=5).task.size("test") == 5


def test_records_say_what_the_epochs_did(training):
    run = training(learning_rate=0.1, learning_rate_min=0.01)
    records = list(run)
    assert run.history == records and all(isinstance(record, TrainingRecord) for record in records)
    for epoch, record in enumerate(records):
        assert record.epoch == epoch and record.seconds > 0 and record.train_loss > 0
        assert record.learning_rate == cosine(run.settings, epoch)
        assert record.train_error * 32 % 1 == 0
    assert [record.learning_rate for record in records] == pytest.approx([0.1, 0.055])


def test_drop_path_rises_linearly_from_zero(training):
    run = training(drop_path=0.4, epochs=4)
    given, real = [], run.network.forward
    run.network.forward = lambda *arguments, **more: given.append(more["drop_path"]) or real(*arguments, **more)
    list(run)
    assert given == pytest.approx([0.0] * 4 + [0.1] * 4 + [0.2] * 4 + [0.3] * 4)  # quark0/darts: p * epoch / epochs


def test_one_step_is_clipped_sgd_with_momentum_and_decay(training):
    settings = {"weight_decay": 0.1, "clip": 0.01, "learning_rate": 0.2, "batch_size": 32, "epochs": 1}
    run = training(**settings)
    batches, real = [], run.task.training_batch
    run.task.training_batch = lambda *arguments: batches.append(real(*arguments)) or batches[-1]
    before = [weight.detach().clone() for weight in run.network.parameters()]
    untouched = training(**settings).network
    list(run)
    ((x, y),) = batches
    gradients = torch.autograd.grad(F.cross_entropy(untouched(x), y), list(untouched.parameters()))
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert norm > 0.01
    for old, new, gradient in zip(before, run.network.parameters(), gradients, strict=True):
        expected = old - 0.2 * (gradient * 0.01 / (norm + 1e-6) + 0.1 * old)
        torch.testing.assert_close(new.detach(), expected, rtol=1e-4, atol=1e-6)


def test_training_leaves_the_global_generator_alone(training):
    torch.manual_seed(4)
    before = torch.random.get_rng_state()
    list(training(drop_path=0.3, cutout=2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_loss_that_is_not_finite_ends_the_training_in_words(training):
    run = training()
    with torch.no_grad():
        run.network.classifier.bias.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="train_loss: nan at epoch 0, batch 0"):
        next(run)


def test_an_interrupted_epoch_is_not_silently_begun_again_on_half_trained_weights(training):
    run = training()
    real, run.task.loss = run.task.loss, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    run.task.loss = real
    with pytest.raises(RuntimeError, match="training: epoch 0 was interrupted"):
        list(run)


# --- The auxiliary tower ----------------------------------------------------------------------


@pytest.mark.usefixtures("plain_form")  # both sides, so that they turn over the same ReLUs
def test_auxiliary_loss_is_added_with_its_weight_to_the_gradient_and_not_to_the_record(training, colours):
    more = {"data": colours(samples=8, size=32), "batch_size": 16, "epochs": 1, "clip": 1e9}
    assert training(auxiliary=0.0, **more).network.auxiliary is None
    run, untouched = (training(auxiliary=0.4, **more) for _ in range(2))
    batches, gradients, real = [], [], run.task.training_batch
    run.task.training_batch = lambda *arguments: batches.append(real(*arguments)) or batches[-1]
    run.optimizer.step = lambda: gradients.extend(weight.grad.clone() for weight in run.network.parameters())
    record = next(run)
    ((x, y),) = batches
    main, auxiliary = (F.cross_entropy(logits, y) for logits in untouched.network(x, with_auxiliary=True))
    assert record.train_loss == pytest.approx(main.item(), rel=1e-4)
    expected = torch.autograd.grad(main + 0.4 * auxiliary, list(untouched.network.parameters()))
    for found, gradient in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("size", [8, 16, 64])
def test_auxiliary_tower_is_refused_for_other_images_before_anything_is_written(size, training, colours, tmp_path):
    says = f"auxiliary: the tower needs images of 32 x 32, not {size} x {size}; auxiliary=0 leaves it out"
    with pytest.raises(ValueError, match=says):
        training(data=colours(samples=4, size=size), auxiliary=0.4, batch_size=2, path=tmp_path / "run")
    assert not list(tmp_path.iterdir())


# --- The published sizes ----------------------------------------------------------------------

PUBLISHED = {
    # Zela et al. 2020, appendix B.1 and evaluation/config.yaml of their code: (channels, cells)
    ("S1", "cifar10", "default"): (36, 20),
    ("S2", "cifar10", "default"): (16, 20),
    ("S3", "cifar10", "default"): (36, 20),
    ("S4", "cifar10", "default"): (16, 20),
    ("S1", "cifar10", "L2"): (36, 20),
    ("S2", "cifar10", "L2"): (16, 8),
    ("S3", "cifar10", "L2"): (16, 8),
    ("S4", "cifar10", "L2"): (16, 8),
    ("S1", "cifar100", "default"): (16, 8),
    ("S2", "cifar100", "default"): (16, 8),
    ("S3", "svhn", "default"): (16, 8),
    ("S4", "svhn", "L2"): (16, 8),
    ("DARTS", "cifar10", "default"): (36, 20),
    ("darts", "CIFAR10", "default"): (36, 20),
}


@pytest.mark.parametrize(("case", "size"), PUBLISHED.items(), ids=map(" ".join, PUBLISHED))
def test_network_sizes_are_the_published_ones(case, size):
    assert classification.paper_network(*case) == size


@pytest.mark.parametrize("case", [("S5", "cifar10"), ("S1", "digits"), ("S1", "cifar10", "L3"), (None, None)], ids=str)
def test_no_size_is_made_up_where_none_is_published(case):
    with pytest.raises(ValueError, match="no published network size .*; give channels and layers"):
        classification.paper_network(*case)


def test_paper_scale_takes_the_published_size_of_the_space(colours):
    data = colours(samples=48, size=32, name="cifar10")
    for protocol, size in (("default", (16, 20)), ("L2", (16, 8))):
        run = Training(CONVOLUTIONS, data, "paper", space="S2", protocol=protocol)
        assert (run.settings.channels, run.settings.layers) == size
        assert len(run.network.backbone.cells) == size[1] and run.network.auxiliary is not None
        assert (run.settings.epochs, run.settings.batch_size, run.settings.drop_path) == (600, 96, 0.2)
    own = Training(CONVOLUTIONS, data, "paper", space="S2", channels=4, layers=3)
    assert (own.settings.channels, own.settings.layers) == (4, 3), "what the call says wins"


def test_own_operations_come_with_their_space(training):
    def mine(channels, stride):
        return torch.nn.Sequential(torch.nn.Conv2d(channels, channels, 3, stride, 1), torch.nn.BatchNorm2d(channels))

    space = spaces.same_on_every_edge("own", "skip_connect", "mine", nodes=2, operations={"mine": mine})
    genotype = uniform_genotype(space, "mine")
    run = training(str(genotype), space=space)
    assert len(list(run)) == 2 and any(isinstance(module, torch.nn.BatchNorm2d) for module in run.network.modules())
    with pytest.raises(ValueError, match="operation 'mine' in the normal cell is not known"):
        training(genotype)


# --- Choosing among cells, and cutting a supernet down -----------------------------------------


def test_select_keeps_the_cell_with_the_least_validation_error_and_never_sees_the_test_split(colours, small):
    data = colours(32)
    blind = dataclasses.replace(data, test=(torch.full_like(data.test[0], float("nan")), data.test[1]))
    cells = [uniform_genotype(spaces.S2.with_nodes(2), name) for name in ("skip_connect", "sep_conv_3x3")]
    found = dl.select(cells, blind, small, epochs=4)
    assert found.valid_errors[found.index] == min(found.valid_errors) and found.genotype == cells[found.index]
    assert found.epochs == 4 and found.seconds > 0 and len(found.valid_errors) == 2
    swapped = dataclasses.replace(data, test=data.valid, valid=tuple(split[:0] for split in data.valid))
    expected = dl.evaluate(cells[1], swapped, small, epochs=4).test_error
    assert found.valid_errors[1] == expected, "trained on the training half, measured on the validation half"
    assert dl.select(cells[:1], data, small).epochs == 1, "a sixth, but at least one"
    with pytest.raises(ValueError, match="genotypes: are none"):
        dl.select([], data, small)


def test_select_takes_the_data_that_a_scale_puts_in_its_place(monkeypatch):
    cells, given = [uniform_genotype(spaces.S2, "skip_connect")], []

    def evaluate(genotype, data, *_, **__):
        given.append(data)
        return SimpleNamespace(test_error=0.5, seconds=0.0, genotype=genotype)

    monkeypatch.setattr("darts_lab.studies.cells.evaluate", evaluate)
    dl.select(cells, "digits", "workstation")
    assert given[0].image_size == (32, 32) and len(given[0].train[1]) == len(dl.data.load("digits32").train[1])


def test_the_drop_is_that_of_the_kept_operations_alone(small_search):
    search = small_search("S3")
    list(search)
    kept = search.genotype.mixing(search.space)
    assert cells.discretization_drop(search) == search.one_shot(kept)[1] - search.history[-1].valid_error


# --- All cells of a space ----------------------------------------------------------------------


def test_the_ground_truth_ranks_cells_whatever_the_order_of_their_edges():
    cells = [str(cell) for cell in dl.enumerate_genotypes(spaces.S5)[:3]]
    turned = dl.Genotype.parse(cells[1])
    turned = str(dataclasses.replace(turned, cells=turned.cells | {"normal": turned.normal[::-1]}))
    trainings = pd.DataFrame(
        {"genotype": [*cells, cells[0], turned, cells[2]], "test_error": [0.3, 0.1, 0.2, 0.5, 0.2, 0.2]}
    )
    truth = dl.ground_truth(trainings)
    assert list(truth.index) == [cells[1], cells[2], cells[0]] and list(truth["rank"]) == [1, 2, 3]
    assert truth["test_error"].tolist() == pytest.approx([0.15, 0.2, 0.4])
    assert truth["regret"].tolist() == pytest.approx([0, 0.05, 0.25])
    assert list(truth["trainings"]) == [2, 2, 2] and truth["standard_error"].iloc[0] == pytest.approx(0.05)


# --- A run brings what it was made with --------------------------------------------------------


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A search on bathymetry of another seed, and its run directory."""
    search = dl.Search("S4", "bathymetry", scale="tiny", seed=5, epochs=1, path=tmp_path_factory.mktemp("deep") / "run")
    list(search)
    return search


def test_a_search_its_run_and_its_directory_are_trained_on_their_own_data(deep):
    plain = dl.Training(deep.genotype, "bathymetry", "tiny", 5, space=deep.space)
    path = deep.run.path
    for cell in (deep, deep.run, path, str(path), dl.runs.read(path)):
        training = dl.Training(cell)
        assert training.plan == plain.plan and training.plan.hash == plain.plan.hash and training.task.metric == "RMSE"
    alone = dl.evaluate(deep.genotype, "bathymetry", "tiny", 5, epochs=1)
    assert dl.evaluate(deep, epochs=1).test_error == alone.test_error


def test_what_is_given_comes_before_what_a_run_brings_and_other_cells_are_refused(deep):
    training = dl.Training(deep, data="digits", seed=1)
    assert (training.task.metric, training.seed, training.plan.scale) == ("error", 1, "tiny")
    assert dl.Training(deep, scale="laptop").settings == dl.scales.get("laptop", "bathymetry").evaluation
    with pytest.raises(ValueError, match="genotype: has cells normal, reduce; data 'pydocs' needs recurrent"):
        dl.Training(deep.run.path, data="pydocs")


def test_a_training_brings_its_cell_too(deep, tmp_path):
    training = dl.Training(deep, epochs=1, path=tmp_path / "run")
    list(training)
    for cell in (training, tmp_path / "run"):
        again = dl.Training(cell)
        assert again.genotype == deep.genotype and again.plan.names == training.plan.names


def test_own_objects_of_a_run_have_to_be_passed_and_one_sentence_says_so(colours, small, tmp_path):
    edges = [("skip_connect", "mine")] * 2
    mine = {"mine": lambda channels, stride: torch.nn.Conv2d(channels, channels, 1, stride)}
    space = dl.SearchSpace("own", {"normal": edges, "reduce": edges}, operations=mine)
    given = {"scale": small, "space": space, "data": colours()}
    search = dl.Search(**given, epochs=1, path=tmp_path / "run")
    list(search)
    for name, words in (
        ("scale", "scale: 'small' was a scale of your own; pass it as scale="),
        ("space", r"space: has operations of your own \(mine\); pass it as space="),
        ("data", r"data of your own \('colours'\); pass it as data="),
    ):
        with pytest.raises(ValueError, match=words):
            dl.Training(tmp_path / "run", **(given | {name: None}))
    assert dl.Training(tmp_path / "run", **given).plan == dl.Training(search, scale=small).plan


def test_selection_takes_runs_and_what_they_were_made_with(deep):
    other = dl.Search("S2", "bathymetry", scale="tiny", epochs=1, path=False)
    list(other)
    found = dl.select([deep, other, deep.run.path], epochs=1)
    assert found.valid_errors[0] == found.valid_errors[2]
    expected = dl.select([deep.genotype, other.genotype], "bathymetry", "tiny", epochs=1)
    assert found.valid_errors[:2] == expected.valid_errors
    digits = dl.Search("S2", scale="tiny", epochs=1, path=False)
    list(digits)
    with pytest.raises(ValueError, match="data: the runs differ in it; pass data="):
        dl.select([deep, digits])


def test_only_trainings_alike_are_ranked_together():
    cells = [str(cell) for cell in dl.enumerate_genotypes(spaces.S5)[:2]]
    table = pd.DataFrame({"genotype": cells, "test_error": [0.3, 0.1], "data": "digits", "scale": "tiny"})
    assert len(dl.ground_truth(table)) == 2
    for name, values in (("data", ["digits", "svhn"]), ("scale", ["tiny", "laptop"]), ("evaluation", ["{}", "{1}"])):
        with pytest.raises(ValueError, match=f"trainings: differ in {name}"):
            dl.ground_truth(table.assign(**{name: values}))


# --- What it costs, and what can be done with it -----------------------------------------------

WHERE = {"digits": "DARTS", "stereo": "S6", "pydocs": "RNN", "bathymetry": "S2"}


@pytest.mark.parametrize("data", WHERE)
def test_the_network_is_a_plain_module_that_export_takes(data):
    cell = random_genotype(spaces.get(WHERE[data]).with_nodes(2), torch.Generator().manual_seed(1))
    training = dl.Training(cell, data, "tiny", reductions="searched")
    network, inputs, shapes = training.network.eval(), training.task.one_sample(), None
    if data != "pydocs":  # any number of images
        inputs = inputs.repeat(3, 1, 1, 1) + torch.arange(3)[:, None, None, None]
        shapes = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(network, (inputs,), dynamic_shapes=shapes).module()
    with torch.no_grad():
        for one in (inputs,) if data == "pydocs" else (inputs, inputs[:2]):
            expected, found = ([out] if isinstance(out, torch.Tensor) else out for out in (network(one), exported(one)))
            assert all(map(torch.equal, expected, found))


def test_the_evaluation_tells_weights_and_multiply_adds_of_the_network_alone(colours):
    data = colours(size=32)
    sizes = {"channels": 4, "layers": 3, "epochs": 1, "batch_size": 8, "cutout": 0, "reductions": "searched"}
    sizes |= {"train_samples": None, "test_samples": None}
    plain, towered = (dl.evaluate(CONVOLUTIONS, data, "tiny", auxiliary=weight, **sizes) for weight in (0.0, 0.4))
    alone = Network(CONVOLUTIONS, channels=4, layers=3, classes=4)
    assert plain.parameters == towered.parameters == parameter_count(alone)
    assert plain.multiply_adds == towered.multiply_adds == multiply_adds(alone, torch.rand(1, 3, 32, 32))
    assert dataclasses.fields(Evaluation)[-1].default is None, "older ones do not tell"


@pytest.mark.parametrize("data", ["digits", "stereo", "bathymetry"])
def test_predictions_of_images_without_labels_are_those_of_the_split(data):
    search = dl.Search(WHERE[data], data, scale="tiny", path=False, epochs=1)
    list(search)
    training = dl.Training(search, epochs=1)
    for trained in (search, training):
        inputs, answers, _ = dl.predictions(trained, 5)
        for images in (inputs, torch.from_numpy(inputs)):
            assert np.array_equal(dl.predictions(trained, images), answers)
        assert np.array_equal(dl.predictions(trained, inputs[:1]), dl.predictions(trained, 1)[1])


def test_predictions_of_text_are_refused():
    training = dl.Training("Genotype(recurrent=[('tanh', 0)], concat=range(1, 2))", "pydocs", "tiny")
    with pytest.raises(ValueError, match="trained: predicts language of 'pydocs'; only images can be asked about"):
        dl.predictions(training)
