"""Eigenvalues of a Hessian from products with vectors, with their intervals and their standard errors."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import scipy  # its optimize is imported on first use

from darts_lab.checks import Seed, checked, one_of, whole
from darts_lab.curvature.hessian import Hessian
from darts_lab.curvature.hessian import operator as _operator

TOLERANCE = 0.02  # of the width of the interval, as a share of the eigenvalue, which is itself off by far less
DOUBT = 1e-6  # the probability, over Lanczos' first vector, that the interval misses the eigenvalue


@dataclass(frozen=True, eq=False)
class Eigenpair:
    """One eigenvalue of the Hessian: its `standard_error` over batches (None for one batch), its `vector` v of unit
    length and alpha's shape, the `residual` ||H v - value v||, the `interval` (low, high) in which the eigenvalue of
    this Hessian lies, and the `products` H v used, each with one batch."""

    value: float
    standard_error: float | None
    vector: np.ndarray
    residual: float
    interval: tuple[float, float]
    products: int
    options: dict

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        spread = "" if self.standard_error is None else f" ± {self.standard_error:.4f} (standard error over batches)"
        return f"{self.value:.4f}{spread}"


@dataclass(frozen=True, eq=False)
class Spectrum:
    """All eigenvalues, largest first: `values` (n,), their `standard_errors` over batches (None for one batch),
    `vectors` (n, *shape of alpha), and the `matrix` (n, n) itself."""

    values: np.ndarray
    standard_errors: np.ndarray | None
    vectors: np.ndarray
    matrix: np.ndarray
    products: int
    options: dict

    @property
    def trace(self) -> float:
        return float(self.values.sum())


@checked
def dominant_eigenvalue(search, *, tolerance: float = TOLERANCE, **options) -> Eigenpair:
    """The largest eigenvalue of the Hessian of the validation loss (Zela et al. 2020, section 4.1), by sign.

    `search` is a Search (then `options` are those of `Search.hessian`), a `Hessian`, or a symmetric matrix, whose
    eigenvalues are exact. `tolerance` bounds the width of the interval, as a share of the eigenvalue. On the Hessians
    that Zela et al. logged the default takes 12 products (median; at most 19), and the eigenvalue is off by less than
    1e-12 of itself.

    >>> loss = lambda x, batch: batch * (x**2).sum() + x[0] ** 2
    >>> hessian = dl.curvature.Hessian(loss, point=torch.zeros(3), batches=[1.0, 2.0])
    >>> eigenpair = dl.curvature.dominant_eigenvalue(hessian)  # of diag(4, 2, 2) and diag(6, 4, 4)
    >>> round(eigenpair.value, 3), round(eigenpair.standard_error, 3), abs(eigenpair.vector).round(3).tolist()
    (5.0, 1.0, [1.0, 0.0, 0.0])
    """
    return extreme_eigenvalues(search, 1, tolerance=tolerance, **options)[0]


@checked
def extreme_eigenvalues(
    search,
    k: int = 3,
    end: Annotated[str, one_of("largest", "smallest")] = "largest",
    *,
    tolerance: float = TOLERANCE,
    **options,
) -> list[Eigenpair]:
    """The `k` largest eigenvalues, largest first, or with `end="smallest"` the k smallest, smallest first.

    Arguments as for `dominant_eigenvalue`. One takes at most n products per batch; more are those of the dense matrix,
    and take n. Raises ValueError if there are fewer than k, or `end` is another word.
    """
    operator = _operator(search, options)
    n = operator.shape[0]
    if not 1 <= k <= n:
        raise ValueError(f"k: {k!r} is not allowed; the Hessian has 1 to {n} eigenvalues")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance: {tolerance!r} is not allowed; it must be a number in [0, 1)")
    before, sign = operator.products, 1 if end == "largest" else -1
    if k == 1 and isinstance(operator, Hessian):
        vectors, images, size, beyond = _lanczos(operator, sign, tolerance)
    else:
        matrices = operator.dense()
        values, vectors = np.linalg.eigh(matrices.mean(0))
        vectors, size, beyond = vectors[:, np.argsort(-sign * values)[:k]].T, np.abs(values).max(), None
        images = np.einsum("bij,kj->kbi", matrices, vectors)
    products, pairs = operator.products - before, []
    for vector, image in zip(vectors, images, strict=True):
        quotients, batches = image @ vector, len(image)
        value = float(quotients.mean())
        error = float(quotients.std(ddof=1) / np.sqrt(batches)) if batches > 1 else None
        residual = float(np.linalg.norm(image.mean(0) - value * vector))
        ends = (value - residual, value + residual) if beyond is None else sorted((value, value + sign * beyond))
        interval = float(ends[0] - operator.rounding * size), float(ends[1] + operator.rounding * size)
        vector = vector.reshape(operator.layout)
        pairs.append(Eigenpair(value, error, vector, residual, interval, products, dict(operator.options)))
    return pairs


def _lanczos(operator: Hessian, sign: int, tolerance: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    """The eigenvector at one end of the spectrum (1, n), its images (1, batches, n), the largest magnitude of an
    eigenvalue, and how far beyond the quotient of the vector the true eigenvalue can lie.

    Lanczos' method from a random vector, every vector made orthogonal to all before. The bound is that of van
    Dorsselaer, Hochstenbach and van der Vorst (2000, SIAM J. Matrix Anal. Appl. 22): the polynomial p for which
    p(H) first is the next vector, of length 1, is at most 1 / |c| at an eigenvalue on whose vector `first` has the
    component c; |c| is below `least` with probability DOUBT.
    """
    n = operator.shape[0]
    least = DOUBT / np.sqrt(2 * n / np.pi)
    vector = np.random.default_rng(0).standard_normal(n)
    basis, products, diagonal = [vector / np.linalg.norm(vector)], [], []
    beside: list[float] = []
    while True:
        products.append(operator.per_batch(basis[-1]))
        rest = sign * products[-1].mean(0)
        diagonal.append(rest @ basis[-1])
        for _ in range(2):  # the second time takes away what the first one's rounding has left
            rest = rest - (np.stack(basis) @ rest) @ np.stack(basis)
        length = float(np.linalg.norm(rest))
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        size = float(np.abs(values).max())
        if len(basis) == n or length <= operator.rounding * size:  # all that there is has been seen
            beyond = length * abs(vectors[-1, -1])
            break
        beyond = _reach(values, [*beside, length], least, operator.rounding * size)
        if beyond <= tolerance * abs(values[-1]):
            break
        beside.append(length)
        basis.append(rest / length)
    vector, images = vectors[:, -1] @ np.stack(basis), np.tensordot(vectors[:, -1], np.stack(products), 1)
    return vector[None], images[None], size, beyond


def _reach(values: np.ndarray, lengths: list[float], least: float, shortest: float) -> float:
    """The distance beyond the last of `values`, at least `shortest`, at which p = product (x - value) / product lengths
    is 1 / `least`."""

    def excess(distance: float) -> float:
        return np.log(values[-1] - values + distance).sum() - np.log(lengths).sum() + np.log(least)

    farthest = shortest
    while excess(farthest) < 0:
        farthest *= 2
    return farthest if farthest == shortest else scipy.optimize.brentq(excess, farthest / 2, farthest)


def spectrum(search, *, progress: bool = False, **options) -> Spectrum:
    """All eigenvalues, from the dense matrix: exact to rounding, for n products per batch. `search` and `options` as
    for `dominant_eigenvalue`. `progress` shows a bar in a terminal or notebook."""
    operator = _operator(search, options)
    before = operator.products
    matrices = operator.dense(progress)
    used, mean = operator.products - before, matrices.mean(0)
    values, vectors = np.linalg.eigh(mean)
    values, vectors = values[::-1], vectors[:, ::-1]
    errors = None
    if len(matrices) > 1:
        quotients = np.einsum("ik,bij,jk->bk", vectors, matrices, vectors)
        errors = quotients.std(0, ddof=1) / np.sqrt(len(matrices))
    return Spectrum(values, errors, vectors.T.reshape(-1, *operator.layout), mean, used, dict(operator.options))


@checked
def trace(search, probes: Annotated[int, whole(2)] = 8, seed: Seed = 0, **options) -> tuple[float, float]:
    """(estimate, standard error) of the trace from products with `probes` (at least two) vectors of random signs
    (Hutchinson 1990). Other arguments as for `dominant_eigenvalue`. The exact trace is `spectrum(search).trace`."""
    operator = _operator(search, options)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (probes, operator.shape[0]))
    estimates = np.array([sign @ operator.matvec(sign) for sign in signs])
    return float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(probes))
