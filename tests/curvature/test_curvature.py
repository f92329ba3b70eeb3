"""The Hessian of the validation loss against PyTorch's own, finite differences, and NumPy."""

import functools
import shutil
import sys
import threading

import numpy as np
import pytest
import torch
from reference.differences import product_and_difference
from scipy.sparse.linalg import LinearOperator
from tqdm.auto import tqdm

import darts_lab as dl
from darts_lab import curvature
from darts_lab.curvature import hessian as hessian_module
from darts_lab.curvature.eigenvalues import dominant_eigenvalue, extreme_eigenvalues, spectrum, trace
from darts_lab.curvature.hessian import Hessian
from darts_lab.curvature.landscape import landscape
from darts_lab.methods.monitors import LITERAL, Adaptation, EarlyStopping, Rule
from darts_lab.networks import operations

SPACES = [name for name, space in dl.spaces.SPACES.items() if space.cell_types == dl.spaces.CELL_TYPES]


def in_float64(search):
    """The same search in float64, its mixing weights moved so that the operations differ."""
    search.supernet.double()
    with torch.no_grad():
        search.alpha.add_(torch.randn(search.alpha.shape, generator=torch.Generator().manual_seed(5)))
    return search


@pytest.fixture(scope="module")
def symmetric():
    """A function that makes a symmetric matrix with the given eigenvalues."""

    def make(values, seed=0):
        q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
        return q @ np.diag(values) @ q.T

    return make


# ---------------------------------------------------------------- the matrix


def scaled_behind(norm, x, weights=None, active=None):
    """What `BatchNorm.forward` computes in search, with the scale as a product of its own.

    PyTorch 2.15 takes wrong derivatives under `vmap` (so in `torch.func.hessian`) of a batch-norm in training mode whose
    scale depends on the variable; the unbatched `jvp(grad)` and double backward are right, as differences confirm.
    """
    mean, var = (None, None) if norm.training else (norm.running_mean, norm.running_var)
    out = torch.nn.functional.batch_norm(x, mean, var, None, None, norm.training)
    return out if weights is None else out * weights[:, None, None]


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", SPACES)
def test_dense_hessian_is_that_of_torch_func(name, mode, small_search, monkeypatch):
    hessian = in_float64(small_search(name, nodes=1)).hessian(mode=mode, batch_size=8)
    found = hessian.dense()[0]

    def loss(alpha):
        return hessian.loss(alpha, hessian.batches[0])

    with hessian.context():
        monkeypatch.setattr(operations.BatchNorm, "forward", scaled_behind)
        row = torch.func.jvp(torch.func.grad(loss), (hessian.point,), (torch.ones_like(hessian.point),))[1]
        assert np.abs(found.sum(1) - row.flatten().numpy()).max() < 1e-8
        expected = torch.func.jacfwd(torch.func.jacrev(loss), randomness="same")(hessian.point)  # torch.func.hessian
    expected = expected.reshape(found.shape).numpy()
    assert np.abs(found - expected).max() < 1e-8 * np.abs(expected).max()
    assert np.abs(expected).max() > 1e-6


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", SPACES)
def test_products_are_finite_differences_of_gradients(name, mode, small_search):
    hessian = in_float64(small_search(name, nodes=2)).hessian(mode=mode, batch_size=8)
    product, difference = product_and_difference(hessian, 1e-6)
    assert np.abs(product - difference).max() < 1e-8 * max(1, np.abs(product).max())
    assert np.linalg.norm(product) > 1e-6


def test_a_constant_on_an_edge_is_what_softmax_cannot_see_and_the_decay_gives_it_its_own_value(small_search):
    search = in_float64(small_search("S3"))
    unseen = np.zeros((search.alpha.numel() // 3, 3))
    unseen[4] = 1
    assert np.abs(search.hessian().matvec(unseen.ravel())).max() < 1e-12
    with_decay = search.hessian(decay=True)
    assert with_decay.matvec(unseen.ravel()) == pytest.approx(1e-3 * unseen.ravel(), abs=1e-12)
    assert with_decay.options["decay"] == 1e-3


def test_several_batches_are_their_mean_and_each_alone_is_one_of_them(small_search):
    search = small_search("S2")
    together = search.hessian(batches=4, batch_size=4)
    alone = [search.hessian(batches=[batch]).dense()[0] for batch in together.batches]
    assert np.allclose(together.dense(), alone, atol=1e-6)
    vector = np.random.default_rng(0).standard_normal(together.shape[0])
    assert np.allclose(together.matvec(vector), np.mean([one @ vector for one in alone], 0), atol=1e-5)
    samples = torch.cat([inputs for inputs, _ in together.batches])
    assert len(torch.unique(samples, dim=0)) == 16, "every sample of the split once"


@pytest.mark.parametrize(
    "threads, keep, shared", [(2, True, True), (8, True, True), (2, False, False), (1, True, False)]
)
def test_threads_share_the_batches_where_there_are_several(threads, keep, shared, small_search):
    hessian = in_float64(small_search("S4")).hessian(batches=3, batch_size=4, keep_graphs=keep)
    vector, loss, seen = np.random.default_rng(0).standard_normal(hessian.shape[0]), hessian.loss, []

    def watched(point, batch):
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return loss(point, batch)

    alone = hessian.per_batch(vector), hessian.gradient()
    hessian._graphs.clear()
    hessian.loss = watched
    torch.set_num_threads(threads)
    try:
        together = hessian.per_batch(vector), hessian.gradient()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    idents, numbers = map(set, zip(*seen, strict=True))
    assert (threading.get_ident() not in idents) == shared and numbers == {max(threads // 3, 1) if shared else threads}
    assert all(np.allclose(*pair, rtol=1e-10, atol=1e-14) for pair in zip(alone, together, strict=True))


def test_what_fails_on_one_batch_is_raised_where_threads_share_them():
    def loss(point, batch):
        if batch == 2:
            raise ArithmeticError("two")
        return batch * (point**3).sum()

    torch.set_num_threads(2)
    try:
        with pytest.raises(ArithmeticError, match="two"):
            Hessian(loss, torch.ones(3), [1, 2, 3]).dense()
    finally:
        torch.set_num_threads(1)


def test_graphs_built_anew_give_what_kept_ones_give(small_search):
    search = small_search("S4")
    kept, anew = (spectrum(search, batches=2, keep_graphs=keep) for keep in (True, False))
    assert np.allclose(kept.matrix, anew.matrix, atol=1e-7)


def test_with_respect_to_the_mixing_weights_the_chain_rule_holds(small_search):
    """H_alpha = J' H_mixing J + the curvature of the activation; with the identity as activation they are the same."""
    plain = dl.Method("identity", activation=lambda alpha: alpha)
    search = in_float64(small_search("S2", method=plain))
    of_alpha, of_mixing = (spectrum(search, variable=variable).matrix for variable in ("alpha", "mixing"))
    assert np.allclose(of_alpha, of_mixing)
    search = in_float64(small_search("S2"))
    of_alpha, of_mixing = (search.hessian(variable=variable) for variable in ("alpha", "mixing"))
    jacobian = torch.func.jacrev(search.method.activation)(of_alpha.point).reshape(of_alpha.shape).numpy()
    slope = of_mixing.gradient()[0]
    bend = torch.func.hessian(lambda alpha: (search.method.activation(alpha).flatten() * torch.from_numpy(slope)).sum())
    expected = jacobian.T @ of_mixing.dense()[0] @ jacobian + bend(of_alpha.point).reshape(of_alpha.shape).numpy()
    assert np.allclose(of_alpha.dense()[0], expected, atol=1e-12)


@pytest.mark.parametrize("name", ["S2", "S4"])
def test_measuring_changes_nothing_in_the_search(name, small_search):
    def steps(search, look):
        for _ in range(3):
            search.step()
            if look:
                dominant_eigenvalue(search, batches=2)
                dominant_eigenvalue(search, parity=True)
                spectrum(search, mode="eval")
                landscape(search, points=3)
        return search

    plain, looked_at = (steps(small_search(name, drop_path=0.3), look) for look in (False, True))
    assert all(map(torch.equal, plain.supernet.state_dict().values(), looked_at.supernet.state_dict().values()))
    assert torch.equal(plain.alpha, looked_at.alpha)
    assert torch.equal(plain.descent.generator.get_state(), looked_at.descent.generator.get_state())
    assert all(weight.requires_grad for weight in looked_at.supernet.parameters()) and looked_at.supernet.training


def test_modes_differ_and_are_recorded(small_search):
    search = small_search("S2")
    next(search)
    train, evaluation = (dominant_eigenvalue(search, mode=mode) for mode in ("train", "eval"))
    assert train.value != evaluation.value
    assert train.options == {
        "batches": 1, "batch_size": 8, "seed": 0, "augmented": False, "mode": "train", "variable": "alpha",
        "decay": 0.0, "drop_path": 0.0,
    }  # fmt: skip


def test_parity_is_one_augmented_batch_with_drop_path_and_decay(small_search):
    """The matrix of Zela et al.: written out here with the textbook's loss on the batch that the search has drawn."""
    search = small_search("S1", drop_path=0.4, epochs=3)
    next(search), next(search)
    inputs, targets = search.task.training_batch("valid", torch.arange(8), torch.Generator().manual_seed(3), 0)
    hessian = search.hessian(batches=[(inputs, targets)], parity=True)
    assert hessian.options["drop_path"] == pytest.approx(0.2) and hessian.options["augmented"]
    noise = torch.Generator().manual_seed(2**34)

    def loss(alpha):
        outputs = search.supernet(inputs, alpha.softmax(-1), drop_path=0.2, generator=noise)
        return torch.nn.functional.cross_entropy(outputs, targets)

    search.supernet.train()
    expected = torch.autograd.functional.hessian(loss, search.alpha.detach()).reshape(hessian.shape).numpy()
    assert np.allclose(hessian.dense()[0], expected + 1e-3 * np.eye(len(expected)), atol=1e-4)


# ---------------------------------------------------------------- eigenvalues


def test_lanczos_is_the_end_of_the_dense_spectrum(small_search):
    search = small_search("S3")
    hessian = search.hessian(batches=2)
    dense = spectrum(hessian)
    for k in (1, 3, 5, 8):
        for end, expected in (("largest", dense.values[:k]), ("smallest", dense.values[::-1][:k])):
            found = extreme_eigenvalues(search.hessian(batches=2), k, end, tolerance=1e-4)
            assert [pair.value for pair in found] == pytest.approx(list(expected), rel=1e-4, abs=1e-6)
            assert all(pair.residual <= 1e-3 * abs(pair.value) + 1e-5 for pair in found)
    first = dominant_eigenvalue(hessian, tolerance=1e-5)
    assert first.vector.shape == search.space.shape and np.linalg.norm(first.vector) == pytest.approx(1)
    assert abs(np.vdot(first.vector, dense.vectors[0])) == pytest.approx(1, abs=1e-3)
    assert float(first) == first.value and str(first).startswith(f"{first.value:.4f} ± ")


def test_the_largest_by_sign_is_found_and_not_the_largest_by_magnitude(symmetric):
    matrix = symmetric([1.0, *np.linspace(0.3, -0.5, 20), -4.0])
    assert dominant_eigenvalue(matrix).value == pytest.approx(1.0, rel=1e-3)
    assert extreme_eigenvalues(matrix, 1, "smallest")[0].value == pytest.approx(-4.0, rel=1e-3)


def as_operator(matrix, kind=torch.float64):
    """A matrix behind products alone, as the Hessian of the loss x' A x / 2."""
    matrix = torch.as_tensor(matrix, dtype=kind)
    return Hessian(lambda x, batch: 0.5 * x @ batch @ x, torch.zeros(len(matrix), dtype=kind), [matrix])


def wishart(seed, n=56, freedom=112):
    columns = np.random.default_rng(seed).normal(size=(n, freedom))
    return columns @ columns.T


@pytest.mark.parametrize("seed", [20, 3, 217])
def test_the_dominant_eigenvalue_is_none_of_the_smaller_ones(seed):
    """Among 300 such matrices are 24 in which a first random vector leads Lanczos near a smaller one at first."""
    matrix = wishart(seed)
    expected = np.linalg.eigvalsh(matrix)[-1]
    exact, iterated = dominant_eigenvalue(matrix), dominant_eigenvalue(as_operator(matrix))
    assert exact.value == pytest.approx(expected, rel=1e-12) and exact.products == 0
    assert iterated.value == pytest.approx(expected, rel=1e-3)
    assert iterated.interval[0] <= expected <= iterated.interval[1] <= expected * 1.02


SPECTRA = {
    "normal": lambda rng, n: rng.normal(size=n),
    "positive": lambda rng, n: rng.normal(size=n) ** 2,
    "negative": lambda rng, n: -np.abs(rng.normal(size=n)) - 0.1,
    "two close above a bulk": lambda rng, n: np.r_[0.05 * rng.normal(size=n - 2), 1.0, 0.99],
    "repeated": lambda rng, n: rng.normal(size=n).round(1),
    "downwards, with directions that softmax cannot see": lambda rng, n: np.r_[
        -(rng.normal(size=n - n // 2) ** 2), np.zeros(n // 2)
    ],
}


@pytest.mark.parametrize("kind", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_interval_holds_the_eigenvalue_in_a_hundred_random_spectra_of_each_kind(name, kind):
    rng = np.random.default_rng(len(name))
    for _ in range(100):
        values = SPECTRA[name](rng, int(rng.integers(2, 113)))
        q = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
        matrix = q @ np.diag(values) @ q.T
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
        for end, expected in (("largest", values[-1]), ("smallest", values[0])):
            (found,) = extreme_eigenvalues(as_operator(matrix, kind), 1, end)
            low, high = found.interval
            assert low <= expected <= high and low <= found.value <= high
            assert found.products <= len(values)
            width = curvature.TOLERANCE * abs(found.value)
            rounding = 3 * as_operator(matrix, kind).rounding * np.abs(values).max()
            assert high - low <= width + rounding or found.products == len(values)


def test_one_takes_at_most_as_many_products_as_the_dense_matrix_and_several_take_just_that(symmetric):
    crowded = symmetric([1.0, *np.linspace(0.99, 0.9, 55)])
    for k, end in ((1, "largest"), (3, "smallest"), (5, "largest")):
        found = extreme_eigenvalues(as_operator(crowded), k, end, tolerance=1e-9)
        values = np.linalg.eigvalsh(crowded)
        expected = values[::-1][:k] if end == "largest" else values[:k]
        assert [pair.value for pair in found] == pytest.approx(list(expected))
        assert found[0].products == 56 if k > 1 else found[0].products <= 56
        for pair, value in zip(found, expected, strict=True):
            assert pair.interval[0] <= value <= pair.interval[1]


def test_a_hessian_belongs_to_the_state_in_which_it_was_made(small_search):
    search = small_search("S2")
    used, unused = search.hessian(), search.hessian()
    used.matvec(np.ones(20))
    search.step()
    for hessian in (used, unused):
        with pytest.raises(ValueError, match="search: has gone on since this Hessian was made"):
            hessian.matvec(np.ones(20))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 12])
def test_small_matrices_and_all_of_their_eigenvalues(n, symmetric):
    values = np.arange(n, 0, -1.0)
    matrix = symmetric(values)
    assert [pair.value for pair in extreme_eigenvalues(matrix, n)] == pytest.approx(list(values))
    assert dominant_eigenvalue(matrix, tolerance=1e-6).value == pytest.approx(n)


def test_a_landscape_that_is_flat_has_eigenvalue_zero_and_one_of_decay_alone_has_the_decay():
    assert dominant_eigenvalue(np.zeros((56, 56))).value == 0
    collapsed = dominant_eigenvalue(1e-3 * np.eye(56))  # as in the authors' runs with a weight decay of 0.0729
    assert collapsed.value == pytest.approx(1e-3) and collapsed.residual < 1e-12


def test_standard_error_is_that_of_the_batches_quotients(small_search):
    """A resampling of the batches moves the eigenvalue by about as much as the standard error says."""
    search = small_search("S2")
    hessian = search.hessian(batches=4, batch_size=4)
    found, matrices = dominant_eigenvalue(hessian, tolerance=1e-6), hessian.dense()
    vector = found.vector.ravel()
    quotients = [vector @ matrix @ vector for matrix in matrices]
    assert found.value == pytest.approx(np.mean(quotients), rel=1e-4)
    assert found.standard_error == pytest.approx(np.std(quotients, ddof=1) / 2, rel=1e-3)
    whole = spectrum(hessian)
    assert whole.standard_errors[0] == pytest.approx(found.standard_error, rel=1e-2)
    assert dominant_eigenvalue(search).standard_error is None and spectrum(search).standard_errors is None


def test_standard_error_covers_what_other_batches_would_give(symmetric):
    """Synthetic: a fixed matrix plus noise of each batch; the spread of the eigenvalue over repetitions is the error."""
    truth, rng = symmetric([2.0, *np.linspace(0.4, -0.4, 19)]), np.random.default_rng(0)

    class Noisy(Hessian):
        def __init__(self):
            noise = 0.1 * rng.standard_normal((8, 20, 20))
            self.matrices, self.products, self.options, self.layout = truth + noise + noise.swapaxes(1, 2), 0, {}, (20,)
            self.point = torch.zeros(20, dtype=torch.float64)
            LinearOperator.__init__(self, np.float64, (20, 20))

        def per_batch(self, vector):
            return self.matrices @ vector

    found = [dominant_eigenvalue(Noisy(), tolerance=1e-6) for _ in range(300)]
    spread = np.std([pair.value for pair in found])
    assert np.sqrt(np.mean([pair.standard_error**2 for pair in found])) == pytest.approx(spread, rel=0.15)


def test_products_are_counted_batch_by_batch(small_search):
    hessian = small_search("S2").hessian(batches=2)
    found = dominant_eigenvalue(hessian)
    assert found.products == hessian.products and found.products % 2 == 0
    assert spectrum(hessian).products == 2 * hessian.shape[0]


@pytest.mark.parametrize(("progress", "terminal", "seen"), [(True, True, 20), (True, False, 0), (False, True, 0)])
def test_a_bar_counts_the_products_of_the_dense_matrix_to_its_end_where_it_is_asked_for_and_can_be_seen(
    progress, terminal, seen, small_search, monkeypatch, capsys
):
    bars = []

    class Recorded(tqdm):
        def close(self):
            bars.append((0 if self.disable else self.n, len(self)))
            super().close()

    monkeypatch.setattr(hessian_module, "tqdm", Recorded)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    found = spectrum(small_search("S2"), progress=progress)
    assert bars[0] == (seen, 20) and len(found.values) == 20
    assert ("Hessian" in capsys.readouterr().err) == bool(seen)


def test_trace_is_the_sum_of_the_spectrum_within_its_error(small_search, symmetric):
    search = small_search("S2")
    exact = spectrum(search).trace
    estimate, error = trace(search, probes=64)
    assert abs(estimate - exact) < 4 * error
    diagonal = np.diag([3.0, 2.0, -1.0])
    assert trace(diagonal, probes=2) == (4.0, 0.0), "random signs see a diagonal without error"


def test_spectrum_holds_values_vectors_and_matrix(small_search):
    search = small_search("S5")
    found = spectrum(search, batches=2)
    n = search.alpha.numel()
    assert found.values.shape == (n,) and (np.diff(found.values) <= 0).all()
    assert found.vectors.shape == (n, *search.space.shape)
    flat = found.vectors.reshape(n, n)
    assert np.allclose(flat.T @ np.diag(found.values) @ flat, found.matrix, atol=1e-6)
    assert found.trace == pytest.approx(np.trace(found.matrix))


# ---------------------------------------------------------------- landscape


def test_the_landscape_bends_along_an_eigenvector_as_its_eigenvalue_says(small_search):
    search = in_float64(small_search("S2"))
    hessian = search.hessian(batches=2)
    pair = dominant_eigenvalue(hessian, tolerance=1e-8)
    found = landscape(hessian, reach=1e-5, points=3)  # so near that no ReLU on the way turns over
    below, here, above = found.losses
    assert (above - 2 * here + below) / 1e-10 == pytest.approx(pair.value, rel=1e-3)
    assert found.directions.shape == (1, *search.space.shape) and list(found.steps) == [-1e-5, 0, 1e-5]
    slope = hessian.gradient().mean(0) @ found.directions[0].ravel()
    assert (above - below) / 2e-5 == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_plane_holds_its_lines_and_its_axes_are_orthogonal(small_search):
    search = small_search("S2")
    first, second = np.random.default_rng(0).standard_normal((2, *search.space.shape))
    plane = landscape(search, [first, second], reach=0.5, points=5)
    line = landscape(search, [first], reach=0.5, points=5)
    assert plane.losses.shape == (5, 5) and plane.per_batch.shape == (1, 5, 5)
    assert np.allclose(plane.losses[:, 2], line.losses, atol=1e-6)
    assert np.vdot(*plane.directions) == pytest.approx(0, abs=1e-12)
    assert landscape(search, "random", 2, points=3).losses.shape == (3, 3)


def test_the_decay_of_alpha_is_a_bowl_in_the_landscape(small_search):
    search = in_float64(small_search("S2"))
    direction = np.random.default_rng(0).standard_normal(search.space.shape)
    with_decay, without = (landscape(search, [direction], points=3, decay=decay).losses for decay in (True, False))
    places = search.alpha.detach().numpy()[None] + np.linspace(-1, 1, 3)[:, None, None, None] * (
        direction / np.linalg.norm(direction)
    )
    assert np.allclose(with_decay - without, 0.5e-3 * (places**2).sum((1, 2, 3)))


# ---------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.hessian(mode="test"), "mode: 'test' is not allowed; it must be 'train' or 'eval'"),
        (lambda s: s.hessian(variable="w"), "variable: 'w' is not allowed"),
        (lambda s: s.hessian(variable="mixing", decay=True), "decay: acts on alpha"),
        (lambda s: s.hessian(parity=True, mode="eval"), "parity: means one batch"),
        (lambda s: s.hessian(parity=True, batches=2), "parity: means one batch"),
        (lambda s: s.hessian(batches=0), "batches: 0 is not allowed; the validation split holds 1 to 2 batches of 8"),
        (lambda s: s.hessian(batches=3), "batches: 3 is not allowed"),
        (lambda s: s.hessian(batches=[]), "batches: is empty"),
        (lambda s: s.hessian(batch_size=17), "batch_size: 17 is not allowed; it must be 1 to 16"),
        (lambda s: extreme_eigenvalues(s, 41), "k: 41 is not allowed; the Hessian has 1 to 20 eigenvalues"),
        (lambda s: extreme_eigenvalues(s, 0), "k: 0 is not allowed"),
        (lambda s: extreme_eigenvalues(s, end="both"), "end: 'both' is not allowed"),
        (lambda s: dominant_eigenvalue(s, tolerance=-1), "tolerance: -1 is not allowed"),
        (lambda s: dominant_eigenvalue(s.hessian(), batches=2), "batches: belongs to the Hessian of a search"),
        (lambda s: dominant_eigenvalue(np.eye(3), batches=2), "batches: belongs to the Hessian of a search"),
        (
            lambda s: s.hessian(batches=[s.task.plain_batch("valid", torch.arange(4))] * 2, parity=True),
            "parity: means",
        ),
        (lambda s: landscape(s, [np.full(20, np.nan)]), "directions: must be one or two independent arrays"),
        (lambda s: trace(s, probes=1), "probes: 1 is not allowed"),
        (lambda s: landscape(s, points=2), "points: 2 is not allowed"),
        (lambda s: landscape(s, reach=0), "reach: 0 is not allowed"),
        (lambda s: landscape(s, "up"), "directions: 'up'"),
        (lambda s: landscape(s, [np.ones(3)]), "directions: must be one or two independent arrays"),
        (lambda s: spectrum(np.ones((2, 3))), "Hessian: has shape (2, 3); it must be square"),
        (lambda s: spectrum([[1.0, 2.0], [0.0, 1.0]]), "Hessian: is not symmetric; opposite values differ by up to 2"),
        (lambda s: spectrum([[1.0, np.nan], [np.nan, 1.0]]), "Hessian: 2 of its values are NaN or infinite"),
        (lambda s: spectrum([["a"]]), "Hessian: is no matrix of numbers"),
    ],
)
def test_wrong_arguments_are_named(call, says, small_search):
    with pytest.raises(ValueError) as error:
        call(small_search("S2"))
    assert says in str(error.value)


def test_a_hessian_that_holds_nan_is_said_to(small_search):
    search = small_search("S2")
    with torch.no_grad():
        search.supernet.classifier.weight.fill_(torch.nan)
    for measure in (dominant_eigenvalue, spectrum, trace):
        with pytest.raises(FloatingPointError, match="the Hessian holds NaN"):
            measure(search)


# ---------------------------------------------------------------- within a search


def test_the_eigenvalue_is_measured_every_n_epochs_and_at_the_last(small_search):
    for every, expected in ((2, [0, 2, 4, 5]), (1, [0, 1, 2, 3, 4, 5]), (4, [0, 4, 5]), (0, [])):
        search = small_search("S2", epochs=6, curvature_every=every)
        assert [record.epoch for record in search if record.dominant_eigenvalue is not None] == expected


def test_the_measured_eigenvalue_is_that_of_the_finished_epoch(small_search):
    search = small_search("S4", epochs=1, curvature_batches=2)
    record = next(search)
    again = dominant_eigenvalue(search, batches=2, seed=search.seed)
    assert record.dominant_eigenvalue == pytest.approx(again.value, rel=1e-6)
    assert record.eigenvalue_error == pytest.approx(again.standard_error, rel=1e-5)


def test_measuring_does_not_change_what_is_searched(small_search):
    searches = [small_search("S4", epochs=3, curvature_every=every) for every in (0, 1)]
    for search in searches:
        list(search)
    assert torch.equal(searches[0].alpha, searches[1].alpha)


def test_parity_measures_the_last_validation_batch_of_the_epoch(small_search, monkeypatch):
    search, drawn, measured = small_search("S2", epochs=1, curvature_parity=True), [], []
    real = search.task.training_batch

    def batch(split, *rest):
        found = real(split, *rest)
        if split == "valid":
            drawn.append(found)
        return found

    search.task.training_batch = batch
    measure = curvature.dominant_eigenvalue
    monkeypatch.setattr(
        curvature, "dominant_eigenvalue", lambda *a, **more: measured.append(more) or measure(*a, **more)
    )
    record = next(search)
    assert len(drawn) == 2 and len(measured) == 1
    assert measured[0]["batches"][0] is drawn[-1] and measured[0]["parity"] is True
    with_decay, without = (measure(search, batches=[drawn[-1]], decay=decay, seed=0).value for decay in (True, False))
    assert record.dominant_eigenvalue == pytest.approx(with_decay, rel=1e-4) and with_decay > without + 0.9e-3


def test_parity_draws_augmented_batches_where_it_draws_itself(small_search):
    search, asked = small_search("S2", drop_path=0.2, cutout=3), []
    real = search.task.training_batch
    search.task.training_batch = lambda *given: asked.append((given[0], *given[3:])) or real(*given)
    list(search)
    asked.clear()
    search.hessian()
    assert asked == []
    assert search.hessian(parity=True).options["augmented"] and asked == [("valid", 1.0)], "with Cutout as it is now"


RISING = Rule(window=1, delta=1, factor=1.5, start=0)


def with_eigenvalues(search, monkeypatch, values):
    """Lets `search` measure the given eigenvalues, one after the other."""
    left = (curvature.Eigenpair(value, None, np.eye(1), 0.0, (value, value), 1, {}) for value in values)
    monkeypatch.setattr(curvature, "dominant_eigenvalue", lambda *_, **__: next(left))
    return search


def test_early_stopping_ends_the_search_and_gives_the_cell_of_the_epoch_it_names(small_search, monkeypatch, tmp_path):
    method = dl.Method("ES", monitor=EarlyStopping(RISING))
    more = {"method": method, "epochs": 8, "curvature_every": 1, "alpha_learning_rate": 0.5, "path": tmp_path / "run"}
    search = with_eigenvalues(small_search("S3", **more), monkeypatch, [1, 1, 1, 1.2, 2, 2, 2, 2])
    records = list(search)
    assert [record.epoch for record in records] == [0, 1, 2, 3, 4], "1.2 to 2 is seen at epoch 4"
    assert [record.stop_epoch for record in records] == [None] * 4 + [3]
    assert search.finished and search.genotype == records[3].genotype != dl.discretize(search.mixing, search.space)
    assert (search.run.path / "genotype.txt").read_text().strip() == str(records[3].genotype)
    again = dl.Search.resume(search.run.path, data=search.task.data, method=method)
    assert again.finished and list(again) == [] and again.genotype == search.genotype


def test_early_stopping_that_never_holds_changes_nothing(small_search):
    method = dl.Method("ES", monitor=EarlyStopping(Rule(window=1, delta=1, start=0, factor=1e6)))
    plain, watched = (small_search("S2", method=m, epochs=3, curvature_every=1) for m in ("DARTS", method))
    assert [r.alpha.tolist() for r in plain] == [r.alpha.tolist() for r in watched]
    assert watched.history[-1].stop_epoch is None and watched.genotype == plain.genotype


def test_adaptation_goes_back_to_the_state_of_the_epoch_and_on_with_more_decay(small_search, monkeypatch):
    method = dl.Method("ADA", {"weight_decay": 3e-4}, monitor=Adaptation(RISING))
    search = small_search("S2", method=method, epochs=5, curvature_every=1)
    plain = small_search("S2", epochs=5, curvature_every=0, weight_decay=3e-4)
    values = [1, 1, 2, 1, 2, 9, 20]  # epochs 0 1 2, back to 1, then 2 3, back to 2, then 3 4
    with_eigenvalues(search, monkeypatch, values)
    for _ in range(3):
        next(search)
    states = {record.epoch: record for record in search.history}
    assert states[2].back_to == 1 and search.epoch == 2
    assert search.weight_decay == 3e-3
    next(plain), next(plain)
    assert torch.equal(search.alpha, plain.alpha), "the state after epoch 1 ..."
    assert all(map(torch.equal, search.supernet.state_dict().values(), plain.supernet.state_dict().values()))
    assert torch.equal(search.descent.generator.get_state(), plain.descent.generator.get_state())
    momenta = [
        [state["momentum_buffer"] for state in one.descent.optimizer.state_dict()["state"].values()]
        for one in (search, plain)
    ]
    assert all(map(torch.equal, *momenta)), "... with its optimisers and random numbers"
    list(search)
    told = [(r.epoch, r.weight_decay, r.back_to) for r in search.history]
    assert told == [
        (0, 3e-4, None), (1, 3e-4, None), (2, 3e-4, 1), (2, 3e-3, None), (3, 3e-3, 2), (3, 3e-2, None), (4, 3e-2, None),
    ]  # fmt: skip


def test_the_step_of_w_and_the_unrolled_step_use_the_adapted_decay(small_search, monkeypatch):
    method = dl.Method("ADA", {"order": 2}, monitor=Adaptation(RISING, most=0.3))
    search = with_eigenvalues(
        small_search("S2", method=method, epochs=4, curvature_every=1, weight_decay=3e-3), monkeypatch, [1, 2, 2, 2, 2]
    )
    next(search), next(search)
    assert search.weight_decay == 3e-2
    search.step()
    assert search.descent.optimizer.param_groups[0]["weight_decay"] == 3e-2
    batches = [
        search.task.training_batch(split, torch.arange(8), search.descent.generator) for split in ("train", "valid")
    ]
    twin = small_search("S2", order=2, weight_decay=3e-2, epochs=4)
    twin.load_state(search.state())
    twin.history = search.history[:1]
    monkeypatch.setattr(type(twin), "weight_decay", 3e-2)
    expected = twin.descent.alpha_gradient(*batches, 0.1)
    monkeypatch.undo()
    assert torch.equal(search.descent.alpha_gradient(*batches, 0.1), expected)


@pytest.fixture(scope="module")
def adapted(small_search, tmp_path_factory):
    """A search that was thrown back twice by real eigenvalues, and copies of its run after each of its epochs."""
    folder = tmp_path_factory.mktemp("adapted")
    method = dl.Method("ADA", monitor=Adaptation(Rule(window=1, delta=1, factor=1.000001, start=1)))
    more = {"method": method, "epochs": 6, "curvature_every": 1, "alpha_learning_rate": 0.1}
    search = small_search("S2", path=folder / "whole", **more)
    for done, _ in enumerate(search, 1):
        shutil.copytree(folder / "whole", folder / f"after{done}")
    back = [record.back_to for record in search.history]
    assert sum(epoch is not None for epoch in back) == 2, "the rule must fire for these tests to say much"
    return search, folder


@pytest.mark.parametrize("epochs_done", range(1, 8))
def test_a_resumed_adaptation_goes_back_as_it_would_have(epochs_done, adapted, tmp_path):
    """Wherever the process ended, the rest is bit for bit the same."""
    whole, folder = adapted
    path = shutil.copytree(folder / f"after{epochs_done}", tmp_path / "run")
    search = dl.Search.resume(path, data=whole.task.data, method=whole.method)
    list(search)
    assert (path / "history.jsonl").read_bytes() == (folder / "whole" / "history.jsonl").read_bytes()
    assert torch.equal(search.alpha, whole.alpha)


def test_a_method_that_watches_otherwise_than_the_run_did_is_refused(adapted):
    whole, folder = adapted
    other = dl.Method("ADA", monitor=Adaptation(Rule(window=1, delta=1, factor=2.0, start=1)))
    with pytest.raises(ValueError, match="method: 'ADA' had monitor Adaptation"):
        dl.Search.resume(folder / "whole", data=whole.task.data, method=other)


def test_adaptation_with_a_rule_in_epochs_goes_back_to_an_epoch_that_was_measured(small_search, monkeypatch):
    method = dl.Method("ADA", monitor=Adaptation(LITERAL))
    search = small_search("S2", method=method, epochs=20, curvature_every=2)
    with_eigenvalues(search, monkeypatch, [1, 1, 1, 4, 4, 4, 4, 1, 1, 1, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9])
    list(search)
    back = [record.back_to for record in search.history if record.back_to is not None]
    assert len(back) == 2 and all(epoch % 2 == 0 for epoch in back)
    assert search.history[-1].epoch == 19


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "DARTS-ES", "curvature_every": 0}, "curvature_every: 0 is not allowed with method 'DARTS-ES'"),
        ({"method": "DARTS-ES", "epochs": 2}, "window: 5 measurements are more than a search with 2 measurements"),
        ({"method": "DARTS-ADA", "epochs": 10, "curvature_every": 1}, "start: from epoch 10 on"),
        ({"method": "DARTS-ADA", "epochs": 22, "curvature_every": 2}, "start: from epoch 10 on"),
        ({"method": "DARTS-ADA", "epochs": 50, "weight_decay": 0.0}, "weight_decay: 0.0 is not allowed"),
        ({"curvature_every": -1}, "curvature_every: -1 is not allowed"),
        ({"curvature_batches": 0}, "curvature_batches: 0 is not allowed"),
        ({"curvature_batches": 3}, "curvature_batches: 3 is not allowed"),
        ({"curvature_parity": 1}, "curvature_parity: 1 is not allowed"),
    ],
)
def test_a_search_that_could_not_be_watched_is_refused_before_it_begins(arguments, says, small_search, tmp_path):
    with pytest.raises(ValueError) as error:
        small_search("S2", path=tmp_path / "run", **arguments)
    assert says in str(error.value) and not (tmp_path / "run").exists()


# --- Of any loss ------------------------------------------------------------------------------


class Mixture(torch.nn.Module):
    """A user's own supernet: two edges, each a mixture of three layers; alpha is a parameter of it."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        draw = functools.partial(torch.randn, generator=generator, dtype=torch.float64)
        self.alpha = torch.nn.Parameter(draw(2, 3))
        self.edges = torch.nn.Parameter(draw(2, 3, 5, 5), requires_grad=False)

    def at(self, x, alpha):
        for weights, layers in zip(alpha.softmax(-1), self.edges):
            x = sum(weight * torch.tanh(x @ layer) for weight, layer in zip(weights, layers))
        return x

    def forward(self, x):
        return self.at(x, self.alpha)


def test_the_hessian_of_a_users_own_supernet_is_that_of_curvlinops_and_of_torch():
    curvlinops = pytest.importorskip("curvlinops")
    net, generator = Mixture(), torch.Generator().manual_seed(1)
    batches = [
        (torch.randn(8, 5, generator=generator, dtype=torch.float64), torch.randint(5, (8,), generator=generator))
        for _ in range(3)
    ]

    def loss(alpha, batch):
        return torch.nn.functional.cross_entropy(net.at(batch[0], alpha), batch[1])

    ours = Hessian(loss, net.alpha, batches)
    theirs = curvlinops.HessianLinearOperator(net, torch.nn.CrossEntropyLoss(), [net.alpha], batches)
    matrix = (theirs @ torch.eye(6, dtype=torch.float64)).detach().numpy()
    exact = sum(torch.func.hessian(loss)(net.alpha.detach(), batch) for batch in batches).view(6, 6).numpy() / 3
    np.testing.assert_allclose(ours @ np.eye(6), exact, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.dense().mean(0), matrix, rtol=1e-10, atol=1e-12)
    assert float(dominant_eigenvalue(ours, tolerance=1e-9)) == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-9)
    assert ours.gradient().shape == (3, 6) and spectrum(ours).standard_errors.shape == (6,)
    here = landscape(ours, directions=[np.eye(6)[0]], reach=0.5, points=3)
    assert here.losses[1] == pytest.approx(float(sum(loss(net.alpha, batch) for batch in batches)) / 3)
    with pytest.raises(ValueError, match="batches: is empty"):
        Hessian(loss, net.alpha, [])
    with pytest.raises(
        ValueError, match="search: int is not allowed; it must be a Search, a Hessian or a symmetric matrix"
    ):
        dominant_eigenvalue(3)
