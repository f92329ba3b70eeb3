"""Numbers that go wrong: a search stops, names the quantity and the batch, and keeps the last good epoch."""

import os
import sys

import numpy as np
import pytest
import torch

import darts_lab as dl
from darts_lab import spaces
from darts_lab.genotype import uniform_genotype
from darts_lab.search.loop import check_finite
from darts_lab.search.training import Training


@pytest.fixture
def begun(small_search, tmp_path):
    """A function that gives a search after one epoch, and the files of its run."""

    def make(**changes):
        search = small_search(epochs=3, layers=1, path=tmp_path / "run", **changes)
        next(search)
        return search, kept(tmp_path / "run")

    return make


def kept(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name != "lock"}


def after(calls, value, of):
    """A loss that is `value` from call number `calls` on."""
    count = iter(range(10**6))

    def loss(outputs, targets):
        found = of(outputs, targets)
        return found * value if next(count) >= calls else found

    return loss


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("calls", "says"), [(0, "valid_loss: {} at epoch 1, batch 0"), (1, "train_loss: {} at epoch 1, batch 0")]
)
def test_a_loss_that_is_not_finite_names_itself_and_its_batch(calls, says, value, begun, data_of_run):
    search, before = begun()
    search.task.loss = after(calls, value, search.task.loss)
    with pytest.raises(FloatingPointError) as error:
        next(search)
    assert str(error.value) == f"{says.format(value)}; the last good epoch is kept in the run"
    assert kept(search.run.path) == before
    again = dl.Search.resume(search.run.path, data=data_of_run)
    assert again.epoch == 1 and len(list(again)) == 2, "and it goes on from there"


@pytest.mark.parametrize("kind", ["nowhere", "in the first epoch"])
def test_nothing_is_said_to_be_kept_where_nothing_is(kind, small_search, tmp_path):
    search = small_search("S2", path=False if kind == "nowhere" else tmp_path / "run")
    if kind == "nowhere":
        next(search)
    search.task.loss = after(0, float("nan"), search.task.loss)
    with pytest.raises(FloatingPointError) as error:
        next(search)
    assert "nan at epoch" in str(error.value) and "kept" not in str(error.value)
    with pytest.raises(RuntimeError, match="cannot be finished; begin a new one"):
        next(search)


def test_a_training_that_is_written_nowhere_keeps_nothing_either(colours, small):
    training = Training(uniform_genotype(spaces.S2, "sep_conv_3x3"), colours(), small)
    training.task.loss = after(1, float("nan"), training.task.loss)
    with pytest.raises(FloatingPointError) as error:
        next(training)
    assert "nan at epoch 0" in str(error.value) and "kept" not in str(error.value)


@pytest.fixture
def data_of_run(colours):
    return colours()


def test_the_first_fault_is_told_and_the_alpha_step_comes_first():
    nan, one = torch.tensor(float("nan")), torch.tensor(1.0)
    weights = {"w": torch.ones(3)}
    check_finite(0, {"valid_loss": {}, "train_loss": {0: one}}, weights)
    for losses, says in (
        ({"valid_loss": {4: nan}, "train_loss": {0: one, 3: nan}}, "train_loss: nan at epoch 7, batch 3"),
        ({"valid_loss": {2: one, 3: nan}, "train_loss": {3: nan}}, "valid_loss: nan at epoch 7, batch 3"),
    ):
        with pytest.raises(FloatingPointError, match=says):
            check_finite(7, losses, weights)
    huge = {"w": torch.full((3,), 3e38), "count": torch.tensor(3)}
    check_finite(7, {"train_loss": {0: one}}, huge)
    with pytest.raises(FloatingPointError, match="b: holds NaN or infinite values after the last batch of epoch 7"):
        check_finite(7, {"train_loss": {0: one}}, huge | {"b": torch.tensor([0.0, -float("inf")])})


def test_weights_that_explode_in_the_last_batch_are_not_kept(begun):
    """All losses of the epoch are finite: without a look at the weights the checkpoint would hold what is lost."""
    search, before = begun()
    carry, batches = search.task.carry, []

    def spoil(split, state):
        batches.append(split)
        if batches.count("train") == 2:
            with torch.no_grad():
                search.supernet.classifier.weight[0, 0] = float("inf")
        return carry(split, state)

    search.task.carry = spoil
    with pytest.raises(
        FloatingPointError, match="classifier.weight: holds NaN or infinite values after the last batch of epoch 1"
    ):
        next(search)
    assert kept(search.run.path) == before


def test_a_learning_rate_that_explodes_is_stopped_in_words(small_search, small, colours):
    with pytest.raises(FloatingPointError, match=r"at epoch \d, batch \d|after the last batch of epoch \d"):
        list(small_search(learning_rate=1e30, clip=1e30, epochs=3))
    genotype = uniform_genotype(dl.spaces.S2.with_nodes(2), "sep_conv_3x3")
    with pytest.raises(FloatingPointError, match=r"train_loss: nan at epoch \d, batch \d"):
        list(Training(genotype, colours(), small, learning_rate=1e30, clip=1e30, epochs=3))


def test_a_validation_gradient_of_zero_leaves_no_second_order_term(small_search):
    """v = 0: the step of the finite difference, epsilon / ||v||, would be infinite."""
    search = small_search(order=2)
    generator = torch.Generator().manual_seed(0)
    train = search.task.training_batch("train", torch.arange(8), generator)
    search.task.loss = lambda outputs, targets: outputs.sum() * 0.0
    search.task.training_loss = lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets)
    gradient = search.descent.alpha_gradient(train, train, 0.1)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_row_of_zeros_takes_its_edge_out_and_the_search_goes_on(small_search):
    """Softmax has no such row; CRB's activation, clamp(alpha), has."""
    search = small_search(method="CRB", epochs=3)
    with torch.no_grad():
        search.alpha[0, 0] = 0.0
    next(search)
    assert torch.equal(search.mixing[0, 0], torch.zeros_like(search.mixing[0, 0])), "an edge that is gone stays so"
    assert search.mixing[0].sum() > 0 and len(list(search)) == 2
    inputs = search.task.plain_batch("valid", torch.arange(4))[0]
    assert search.supernet(inputs, torch.zeros(search.space.shape)).isfinite().all()
    assert search.genotype.nodes == 2


def test_a_second_order_search_goes_on_without_the_weights_of_what_is_pruned(small_search):
    """Where every copy of an operation is out, its weights have no part in the loss."""
    search = small_search(method="CRB+PRIME", order=2, epochs=4, layers=2, alpha_learning_rate=0.5, curvature_every=0)
    assert len(list(search)) == 4 and not search.descent.alive.all()


def test_an_eigen_solver_that_fails_ends_the_search_in_words(begun, monkeypatch):
    search, before = begun(curvature_every=1)

    def fails(*_, **__):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    monkeypatch.setattr(np.linalg, "eigh", fails)
    says = "dominant_eigenvalue: Eigenvalues did not converge after epoch 1; the last good epoch is kept"
    with pytest.raises(FloatingPointError, match=says):
        next(search)
    assert kept(search.run.path) == before


@pytest.mark.parametrize("epochs", range(2, 12))
def test_cutout_is_a_probability_in_every_epoch_whatever_rounding_does(epochs, small_search):
    search = small_search(epochs=epochs, drop_path=0.2, cutout=2, cutout_rises=True)
    search._steps = iter(())  # as within an epoch
    for epoch in range(epochs):
        search.history = [type("Record", (), {"epoch": epoch - 1, "back_to": None})()] if epoch else []
        assert 0 <= search.strength <= 1


def test_the_device_is_asked_once_an_epoch_and_at_no_batch(small_search, monkeypatch):
    """A loss that were looked at in every batch would make a GPU wait for it. (Adam looks at a number of its own.)"""
    asked = []

    def watched(of):
        def ask(self, *more):
            if sys._getframe(1).f_code.co_filename.startswith(os.path.dirname(dl.__file__) + os.sep):
                asked.append(sys._getframe(1).f_code.co_name)
            return of(self, *more)

        return ask

    for name in ("item", "tolist", "__float__", "__bool__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, watched(getattr(torch.Tensor, name)))
    search = small_search(batch_size=4, epochs=1, curvature_every=0)
    for _ in range(3):
        assert search.step() is None
    assert set(asked) <= {"running_operations"}, "which has to know what is zero"
    assert search.step() is None and asked.count("check_finite") == 3, "two kinds of losses, and what is left"
    assert search.step() is not None
