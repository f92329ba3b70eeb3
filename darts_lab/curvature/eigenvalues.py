"""Eigenvalues of a Hessian from products with vectors, with their residuals and standard errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Annotated

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from darts_lab.checks import Seed, checked, one_of, whole
from darts_lab.curvature.hessian import Hessian, Matrix
from darts_lab.curvature.hessian import operator as _operator

# SciPy 1.17 draws a random vector where Lanczos breaks down, without a seed unless it is given one
_HAS_RNG = "rng" in signature(eigsh).parameters
TOLERANCE = 0.02  # of ||H v - lambda v|| / |lambda|; the eigenvalue itself is usually off by less than a thousandth


@dataclass(frozen=True, eq=False)
class Eigenpair:
    """One eigenvalue of the Hessian: its `standard_error` over batches (None for one batch), its `vector` v of unit
    length and alpha's shape, the `residual` ||H v - value v||, and the `products` H v used, each with one batch."""

    value: float
    standard_error: float | None
    vector: np.ndarray
    residual: float
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
def dominant_eigenvalue(search, *, start: Sequence | None = None, tolerance: float = TOLERANCE, **options) -> Eigenpair:
    """The largest eigenvalue of the Hessian of the validation loss (Zela et al. 2020, section 4.1), by sign.

    `search` is a Search (then `options` are those of `Search.hessian`), a `Hessian`, or a symmetric matrix. A `start`
    close to the eigenvector, such as that of an earlier measurement, saves products. `tolerance` bounds
    ||H v - lambda v|| / |lambda|. On the Hessians that Zela et al. logged, the default misses the eigenvalue by 2e-4
    (median) and 1e-3 (one in twenty). Where the two largest are close, it can give the second (one in four hundred).
    """
    return extreme_eigenvalues(search, 1, start=start, tolerance=tolerance, **options)[0]


@checked
def extreme_eigenvalues(
    search,
    k: int = 3,
    end: Annotated[str, one_of("largest", "smallest")] = "largest",
    *,
    start: Sequence | None = None,
    tolerance: float = TOLERANCE,
    **options,
) -> list[Eigenpair]:
    """The `k` largest eigenvalues, largest first, or with `end="smallest"` the k smallest, smallest first.

    Arguments as for `dominant_eigenvalue`. Takes at most about 2 n products per batch: if Lanczos has not converged
    after n, the dense matrix is used. Raises ValueError if there are fewer than k, or `end` is another word.
    """
    operator = _operator(search, options)
    n = operator.shape[0]
    if not 1 <= k <= n:
        raise ValueError(f"k: {k!r} is not allowed; the Hessian has 1 to {n} eigenvalues")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance: {tolerance!r} is not allowed; it must be a number in [0, 1)")
    inputs, products = [], []  # the vectors (n,) that were multiplied, and their products (batches, n)

    def multiply(vector: np.ndarray) -> np.ndarray:
        inputs.append(vector.ravel().copy())
        products.append(operator.per_batch(vector.ravel()))
        return products[-1].mean(0)

    recorder = LinearOperator((n, n), multiply, dtype=np.float64)
    vectors = _lanczos(recorder, operator.unseen, k, end, _start(operator, start, k), tolerance)
    if vectors is None:
        matrix = np.stack([multiply(unit) for unit in np.eye(n)])
        vectors = np.linalg.eigh((matrix + matrix.T) / 2)[1]
        vectors = vectors[:, -k:] if end == "largest" else vectors[:, :k]
    batches, pairs = len(products[0]), []
    for vector in vectors.T:  # they lie in the span of the inputs, so their products cost nothing
        coefficients = np.linalg.lstsq(np.stack(inputs, 1), vector, rcond=None)[0]
        images = np.tensordot(coefficients, np.stack(products), 1)
        quotients = images @ vector
        value = float(quotients.mean())
        error = float(quotients.std(ddof=1) / np.sqrt(batches)) if batches > 1 else None
        residual = float(np.linalg.norm(images.mean(0) - value * vector))
        vector, used = vector.reshape(operator.layout), len(products) * batches
        pairs.append(Eigenpair(value, error, vector, residual, used, dict(operator.options)))
    return sorted(pairs, key=float, reverse=end == "largest")


def _lanczos(
    operator: LinearOperator, unseen: float | None, k: int, end: str, first: np.ndarray, tolerance: float
) -> np.ndarray | None:
    """The eigenvectors (n, k) at one end of the spectrum, or None where the dense matrix should be used."""
    n = operator.shape[0]
    # ARPACK's smallest basis takes the fewest products for one eigenvalue; for several it would sometimes miss one.
    basis = 3 if k == 1 else max(2 * k + 1, 20)
    if basis >= n:
        return None
    which, rounds = ("LA" if end == "largest" else "SA"), max(1, (n - basis) // (basis - k))
    seed = {"rng": np.random.default_rng(0)} if _HAS_RNG else {}
    try:
        values, vectors = eigsh(operator, k, which=which, v0=first, ncv=basis, tol=tolerance, maxiter=rounds, **seed)
    except ArpackError:  # a matrix of zeros, or no convergence
        return None
    # Directions that softmax cannot see have the eigenvalue of the decay, and Lanczos starts orthogonal to them.
    beyond = unseen is not None and k == 1 and (values[0] <= unseen if end == "largest" else values[0] >= unseen)
    return None if beyond else vectors


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
def trace(search, probes: whole(2) = 8, seed: Seed = 0, **options) -> tuple[float, float]:
    """(estimate, standard error) of the trace from products with `probes` (at least two) vectors of random signs
    (Hutchinson 1990). Other arguments as for `dominant_eigenvalue`. The exact trace is `spectrum(search).trace`."""
    operator = _operator(search, options)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (probes, operator.shape[0]))
    estimates = np.array([sign @ operator.matvec(sign) for sign in signs])
    return float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(probes))


def _start(operator: Hessian | Matrix, start: np.ndarray | None, k: int) -> np.ndarray:
    """The first vector of Lanczos: `start`, or a random one; for one eigenvalue, without what softmax cannot see."""
    n = operator.shape[0]
    if start is not None:
        try:
            start = np.asarray(start, dtype=np.float64).ravel()
        except (TypeError, ValueError):
            start = np.empty(0)  # no numbers at all
        if start.shape != (n,) or not np.isfinite(start).all() or not start.any():
            raise ValueError(f"start: must be {n} finite numbers, not all zero")
        return start / np.linalg.norm(start)
    start = np.random.default_rng(0).standard_normal(operator.layout)
    if k == 1 and operator.unseen is not None and operator.layout[-1] > 1:
        start = start - start.mean(-1, keepdims=True)
    return start.ravel() / np.linalg.norm(start)
