"""The Hessian of the validation loss with respect to alpha: products, eigenvalues, spectrum, trace, landscape.

Zela et al. 2020 (section 4) found that the dominant eigenvalue of this matrix rises as a search goes wrong. It is small
(56 alphas in S1, S2 and S4), but each of its rows costs more than a gradient, so the matrix is used as an operator: a
product with a vector is the derivative of a gradient (Pearlmutter 1994), and the Lanczos method (ARPACK, by SciPy's
`eigsh`) finds its extreme eigenvalues from a few products.

    H v = d/d alpha (g . v),    g = d L_valid(w, alpha) / d alpha        (w held fixed, first order)

Every result says what was measured, in its `options`: which batches, in which mode of the batch-norms, with or without
the decay of alpha, with respect to alpha or to the mixing weights. Over several batches the matrix is the mean of
theirs, and the standard error of an eigenvalue is that of the quotients v' H_b v of the single batches b, whose mean is
the eigenvalue; to first order that is how much it would move with other batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from darts_lab.environment import full_precision
from darts_lab.supernet import frozen_statistics

if TYPE_CHECKING:
    from darts_lab.search import Search

# SciPy 1.17 draws a vector where Lanczos breaks down, by chance if not told how
_HAS_RNG = "rng" in signature(eigsh).parameters
TOLERANCE = 0.02  # of ||H v - lambda v|| / |lambda|; the eigenvalue itself is usually off by less than a thousandth


class Hessian(LinearOperator):
    """The Hessian of a search's validation loss at its present alpha and weights, as a symmetric operator (n, n).

    `batches` is how many batches of the validation split to take the mean over, or a list of (inputs, targets).
    Those that are counted are `batch_size` samples each (default: as in the search), drawn without repetition by
    `seed`, not augmented. `mode` is that of the batch-norms: "train" takes the statistics of the batch, "eval" the
    running ones. `variable` is "alpha" or "mixing", the weights after the activation. `decay` adds the decay of alpha, a
    multiple of the identity. `parity` gives what Zela et al. measured (`search/analyze.py` of their code): one
    augmented batch, train mode, drop path as in the search at that time, with the decay of alpha, 1e-3 in all their
    runs. `keep_graphs=False` builds a batch's gradient anew for each product: twice the time, but memory for one batch.

    Nothing of the search changes, its random numbers included. `products` counts products with one batch's matrix.
    Raises ValueError, naming the argument, for anything that is not allowed.
    """

    def __init__(
        self,
        search: Search,
        *,
        batches: int | Sequence[tuple[Tensor, Tensor]] = 1,
        batch_size: int | None = None,
        seed: int = 0,
        mode: str = "train",
        variable: str = "alpha",
        decay: bool = False,
        parity: bool = False,
        keep_graphs: bool = True,
    ):
        if mode not in ("train", "eval"):
            raise ValueError(f"mode: {mode!r} is not allowed; it must be 'train' or 'eval'")
        if variable not in ("alpha", "mixing"):
            raise ValueError(f"variable: {variable!r} is not allowed; it must be 'alpha' or 'mixing'")
        count = batches if isinstance(batches, int) else len(batches)
        if parity and (mode != "train" or variable != "alpha" or count != 1):
            raise ValueError("parity: means one batch, mode 'train' and variable 'alpha'; leave these as they are")
        decay = decay or parity
        if decay and variable != "alpha":
            raise ValueError("decay: acts on alpha, so it cannot be measured with variable='mixing'")
        self.search, self.mode, self.variable, self.keep_graphs = search, mode, variable, keep_graphs
        self.batches, drawn = self._draw(batches, batch_size, seed, parity)
        self.decay = search.settings.alpha_weight_decay if decay else 0.0
        self.drop_path = search.drop_path if parity else 0.0
        self.noise_seed = seed
        self.options = drawn | {
            "mode": mode, "variable": variable, "decay": self.decay, "drop_path": self.drop_path,
        }  # fmt: skip
        first = next(search.supernet.parameters())
        self.device, self.tensor_type = first.device, first.dtype
        self._version = search.alpha._version  # PyTorch counts every change of a tensor
        alpha = search.alpha.detach().to(self.tensor_type, copy=True)
        self.point = alpha if variable == "alpha" else search.activate(alpha)
        self.layout = tuple(self.point.shape)  # (cell types, edges, candidates)
        self.products = 0
        self._graphs: dict[int, tuple[Tensor, Tensor]] = {}
        super().__init__(np.float64, (self.point.numel(),) * 2)

    def _draw(self, batches, batch_size, seed, augmented) -> tuple[list, dict]:
        search = self.search
        if not isinstance(batches, int):
            batches = list(batches)
            if not batches:
                raise ValueError("batches: is empty; at least one batch is needed")
            told = {"batches": len(batches), "batch_size": len(batches[0][1]), "seed": None}
            return batches, told | {"augmented": True if augmented else None}  # None: whatever they are
        task, size = search.task, search.valid_batch_size if batch_size is None else batch_size
        most = task.most("valid", size) if isinstance(size, int) and size > 0 else 0
        if not most:
            raise ValueError(f"batch_size: {size!r} is not allowed; it must be 1 to {task.size('valid')}")
        if isinstance(batches, bool) or not 1 <= batches <= most:
            raise ValueError(
                f"batches: {batches!r} is not allowed; the validation split holds 1 to {most} batches of {size}"
            )
        generator = torch.Generator(search.device).manual_seed(seed)
        chosen = task.apart(batches, size, generator)
        if augmented:
            drawn = [task.training_batch("valid", one, generator, *search.cutout) for one in chosen]
        else:
            drawn = [task.plain_batch("valid", one) for one in chosen]
        return drawn, {"batches": batches, "batch_size": size, "seed": seed, "augmented": augmented}

    def loss(self, variables: Tensor, batch: int) -> Tensor:
        """The validation loss on one batch at other alphas (or mixing weights); call it within `still()`."""
        search = self.search
        if search.alpha._version != self._version:
            raise ValueError("search: has gone on since this Hessian was made; make a new one")
        inputs, targets = self.batches[batch]
        noise = torch.Generator(self.device).manual_seed(self.noise_seed + 2**34 + batch)  # the same at every call
        mixing = search.activate(variables) if self.variable == "alpha" else variables
        inputs = _as(inputs, self.tensor_type)
        outputs = search.supernet(inputs, mixing, drop_path=self.drop_path, generator=noise)
        return search.task.loss(outputs, targets) + 0.5 * self.decay * variables.pow(2).sum()

    @contextmanager
    def still(self):
        """Within it the supernet is in the chosen mode, moves no statistics, and keeps nothing for gradients of w."""
        supernet = self.search.supernet
        before, trained = supernet.training, [weight for weight in supernet.parameters() if weight.requires_grad]
        supernet.train(self.mode == "train")
        for weight in trained:
            weight.requires_grad_(False)
        try:
            with frozen_statistics(supernet), full_precision(self.device):
                yield
        finally:
            supernet.train(before)
            for weight in trained:
                weight.requires_grad_(True)

    def _graph(self, batch: int) -> tuple[Tensor, Tensor]:
        """(alpha, gradient of the batch's loss), the second differentiable with respect to the first."""
        if batch in self._graphs and self.search.alpha._version == self._version:
            return self._graphs[batch]
        at = self.point.clone().requires_grad_()
        with self.still(), torch.enable_grad():
            gradient = torch.autograd.grad(self.loss(at, batch), at, create_graph=True)[0]
        if self.keep_graphs:
            self._graphs[batch] = at, gradient
        return at, gradient

    def per_batch(self, vector: np.ndarray) -> np.ndarray:
        """H_b `vector` for every batch b, (batches, n)."""
        direction = torch.as_tensor(vector, dtype=self.tensor_type, device=self.device).view(self.layout)
        found = []
        for batch in range(len(self.batches)):
            at, gradient = self._graph(batch)
            with full_precision(self.device):
                found.append(torch.autograd.grad(gradient, at, direction, retain_graph=self.keep_graphs)[0].flatten())
        self.products += len(self.batches)
        return torch.stack(found).cpu().double().numpy()

    def gradient(self) -> np.ndarray:
        """The gradient of every batch's loss, (batches, n)."""
        found = [self._graph(batch)[1].detach().flatten() for batch in range(len(self.batches))]
        return torch.stack(found).cpu().double().numpy()

    def dense(self) -> np.ndarray:
        """The matrix of every batch, (batches, n, n), from n products; symmetric to rounding."""
        n = self.shape[0]
        rows = np.stack([self.per_batch(unit) for unit in np.eye(n)], 1)
        return (rows + rows.transpose(0, 2, 1)) / 2

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self.per_batch(vector.ravel()).mean(0)

    def _adjoint(self) -> Hessian:
        return self


def _as(inputs, tensor_type: torch.dtype):
    """`inputs`, a tensor or a tuple of tensors, with floating-point numbers of this type."""
    if isinstance(inputs, tuple):
        return tuple(_as(part, tensor_type) for part in inputs)
    return inputs.to(tensor_type) if inputs.is_floating_point() else inputs


class Matrix(LinearOperator):
    """A Hessian that came as numbers, such as a logged one, with the face of `Hessian`: one batch, nothing to compute."""

    def __init__(self, matrix):
        self.matrix, self.options, self.products, self.decay = checked_matrix(matrix), {}, 0, None
        self.layout = (len(self.matrix),)
        super().__init__(np.float64, self.matrix.shape)

    def per_batch(self, vector: np.ndarray) -> np.ndarray:
        self.products += 1
        return (self.matrix @ vector)[None]

    def dense(self) -> np.ndarray:
        return self.matrix[None]

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self.per_batch(vector.ravel())[0]


class _Remembering(LinearOperator):
    """An operator that keeps its products, so that of any vector spanned by what it was asked H v comes for nothing."""

    def __init__(self, operator: Hessian | Matrix):
        self.operator, self.asked, self.answers = operator, [], []
        super().__init__(np.float64, operator.shape)

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        vector = vector.ravel()
        answer = self.operator.per_batch(vector)
        if not np.isfinite(answer).all():
            raise FloatingPointError("curvature: the Hessian holds NaN or infinite values")
        self.asked.append(vector.copy())
        self.answers.append(answer)
        return answer.mean(0)

    def per_batch(self, vector: np.ndarray) -> np.ndarray:
        """H_b `vector`, (batches, n), for a vector in the span of those asked."""
        share = np.linalg.lstsq(np.stack(self.asked, 1), vector, rcond=None)[0]
        return np.tensordot(share, np.stack(self.answers), 1)


@dataclass(frozen=True, eq=False)
class Eigenpair:
    """One eigenvalue of the Hessian, how sure it is, and what it took.

    `standard_error` is that over batches (None for a single one), `residual` is ||H v - value v||, `products` the
    Hessian-vector products used, each with one batch; `vector` has unit length and the shape of alpha.
    """

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
        """The sum of all eigenvalues."""
        return float(self.values.sum())


def dominant_eigenvalue(
    search, *, start: np.ndarray | None = None, tolerance: float = TOLERANCE, **options
) -> Eigenpair:
    """The largest eigenvalue of the Hessian of the validation loss (Zela et al. 2020, section 4.1), by sign.

    `search` is a Search (then `options` are those of `Hessian`), a `Hessian`, or a symmetric matrix. `start`, such as the
    vector of a measurement before, saves products. `tolerance` bounds ||H v - lambda v|| / |lambda|. On the
    Hessians that Zela et al. logged the default misses the eigenvalue by 2e-4 (median) and 1e-3 (one in twenty); where
    the two largest lie close together it can give the second (one in four hundred).
    """
    return extreme_eigenvalues(search, 1, start=start, tolerance=tolerance, **options)[0]


def extreme_eigenvalues(
    search,
    k: int = 3,
    end: str = "largest",
    *,
    start: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    **options,
) -> list[Eigenpair]:
    """The `k` largest eigenvalues, largest first, or with `end="smallest"` the k smallest, smallest first.

    Arguments as for `dominant_eigenvalue`. Never takes many more than n products a batch: where Lanczos does not come to
    an end by then, the dense matrix is used. Raises ValueError where there are fewer than k, or `end` is another word.
    """
    operator = _operator(search, options)
    n = operator.shape[0]
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= n:
        raise ValueError(f"k: {k!r} is not allowed; the Hessian has 1 to {n} eigenvalues")
    if end not in ("largest", "smallest"):
        raise ValueError(f"end: {end!r} is not allowed; it must be 'largest' or 'smallest'")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance: {tolerance!r} is not allowed; it must be a number in [0, 1)")
    remembering = _Remembering(operator)
    vectors = _lanczos(remembering, k, end, _start(operator, start, k), tolerance)
    if vectors is None:
        for unit in np.eye(n):
            remembering.matvec(unit)
        matrix = np.stack([answer.mean(0) for answer in remembering.answers[-n:]])
        vectors = np.linalg.eigh((matrix + matrix.T) / 2)[1]
        vectors = vectors[:, -k:] if end == "largest" else vectors[:, :k]
    batches = len(remembering.answers[0])
    pairs = []
    for vector in vectors.T:
        images = remembering.per_batch(vector)
        quotients = images @ vector
        value = float(quotients.mean())
        error = float(quotients.std(ddof=1) / np.sqrt(batches)) if batches > 1 else None
        residual = float(np.linalg.norm(images.mean(0) - value * vector))
        made = len(remembering.answers) * batches
        pairs.append(Eigenpair(value, error, vector.reshape(operator.layout), residual, made, dict(operator.options)))
    return sorted(pairs, key=float, reverse=end == "largest")


def _lanczos(operator: _Remembering, k: int, end: str, first: np.ndarray, tolerance: float) -> np.ndarray | None:
    """The vectors (n, k) of the eigenvalues at one end, or None where the dense matrix is the better way."""
    n = operator.shape[0]
    # One eigenvalue to a hundredth takes the fewest products with the smallest basis that ARPACK knows; several of them
    # would be found slowly, and now and then one would be missed.
    basis = 3 if k == 1 else max(2 * k + 1, 20)
    if basis >= n:
        return None
    which, rounds = ("LA" if end == "largest" else "SA"), max(1, (n - basis) // (basis - k))
    more = {"rng": np.random.default_rng(0)} if _HAS_RNG else {}
    try:
        values, vectors = eigsh(operator, k, which=which, v0=first, ncv=basis, tol=tolerance, maxiter=rounds, **more)
    except ArpackError:  # a matrix of zeros, or no convergence
        return None
    # What softmax cannot see has the eigenvalue of the decay alone, and Lanczos begins without it.
    unseen = operator.operator.decay
    beyond = unseen is not None and k == 1 and (values[0] <= unseen if end == "largest" else values[0] >= unseen)
    return None if beyond else vectors


def spectrum(search, **options) -> Spectrum:
    """All eigenvalues, from the dense matrix: exact to rounding, at the price of n products a batch.

    `search` and `options` as for `dominant_eigenvalue`.
    """
    operator = _operator(search, options)
    before = operator.products
    matrices = operator.dense()
    if not np.isfinite(matrices).all():
        raise FloatingPointError("curvature: the Hessian holds NaN or infinite values")
    made = operator.products - before
    mean = matrices.mean(0)
    values, vectors = np.linalg.eigh(mean)
    values, vectors = values[::-1], vectors[:, ::-1]
    errors = None
    if len(matrices) > 1:
        quotients = np.einsum("ik,bij,jk->bk", vectors, matrices, vectors)
        errors = quotients.std(0, ddof=1) / np.sqrt(len(matrices))
    return Spectrum(values, errors, vectors.T.reshape(-1, *operator.layout), mean, made, dict(operator.options))


def trace(search, probes: int = 8, seed: int = 0, **options) -> tuple[float, float]:
    """(estimate, standard error) of the trace from products with random signs (Hutchinson 1990).

    `probes` random vectors, at least two; `search` and `options` as for `dominant_eigenvalue`. `spectrum(search).trace` is exact.
    """
    if isinstance(probes, bool) or not isinstance(probes, int) or probes < 2:
        raise ValueError(f"probes: {probes!r} is not allowed; it must be a whole number of at least 2")
    operator = _operator(search, options)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (probes, operator.shape[0]))
    found = np.array([sign @ operator.matvec(sign) for sign in signs])
    if not np.isfinite(found).all():
        raise FloatingPointError("curvature: the Hessian holds NaN or infinite values")
    return float(found.mean()), float(found.std(ddof=1) / np.sqrt(probes))


def checked_matrix(matrix) -> np.ndarray:
    """A Hessian that came as numbers, (n, n) in float64. Raises ValueError where it is not square, finite, symmetric."""
    try:
        matrix = np.asarray(matrix.detach().cpu() if isinstance(matrix, Tensor) else matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Hessian: is no matrix of numbers: {error}") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"Hessian: has shape {matrix.shape}; it must be square")
    if not np.isfinite(matrix).all():
        raise ValueError(f"Hessian: {int((~np.isfinite(matrix)).sum())} of its values are NaN or infinite")
    apart = float(np.abs(matrix - matrix.T).max())
    if apart > 1e-3 * max(float(np.abs(matrix).max()), 1e-12):
        raise ValueError(f"Hessian: is not symmetric; opposite values differ by up to {apart:.3g}")
    return (matrix + matrix.T) / 2


def _operator(search, options: dict) -> Hessian | Matrix:
    """The operator of a Search, of a matrix of numbers, or one that is there already."""
    given = isinstance(search, Hessian | Matrix)
    if given or isinstance(search, np.ndarray | Tensor | list):
        if options:
            raise ValueError(f"{next(iter(options))}: belongs to the Hessian of a search; give it where that is made")
        return search if given else Matrix(search)
    return Hessian(search, **options)


def _start(operator: Hessian | Matrix, start: np.ndarray | None, k: int) -> np.ndarray:
    """Where Lanczos begins: `start`, or a random vector; for one eigenvalue without what softmax cannot see."""
    n = operator.shape[0]
    if start is not None:
        start = np.asarray(start, dtype=np.float64).ravel()
        if start.shape != (n,) or not np.isfinite(start).all() or not start.any():
            raise ValueError(f"start: must be {n} finite numbers, not all zero")
        return start / np.linalg.norm(start)
    drawn = np.random.default_rng(0).standard_normal(operator.layout)
    if k == 1 and operator.decay is not None and operator.layout[-1] > 1:
        drawn = drawn - drawn.mean(-1, keepdims=True)
    return drawn.ravel() / np.linalg.norm(drawn)


# ---------------------------------------------------------------- landscape


@dataclass(frozen=True, eq=False)
class Landscape:
    """The validation loss on a line or a plane through alpha.

    `losses` (points,) or (points, points), means over batches; `per_batch` (batches, ...); `steps` (points,) are the
    distances from alpha, in units of alpha, along `directions` (1 or 2, *shape of alpha), which have unit length.
    """

    steps: np.ndarray
    losses: np.ndarray
    per_batch: np.ndarray
    directions: np.ndarray
    options: dict


def landscape(
    search, directions: str | Sequence[np.ndarray] = "eigen", dimensions: int = 1, reach: float = 1.0, points: int = 21,
    seed: int = 0, **options,
) -> Landscape:  # fmt: skip
    """The validation loss around the present alpha, `reach` to both sides, at `points` places a direction.

    `directions` are one or two arrays of the shape of alpha, or a word: "eigen" for the vectors of the `dimensions`
    largest eigenvalues, "random" for random ones (drawn by `seed`, without the part that softmax cannot see). Further
    ones are made orthogonal to the first, and all of unit length. `search` is a Search or a `Hessian`, with its options.
    """
    operator = search if isinstance(search, Hessian) else Hessian(search, **options)
    if isinstance(points, bool) or not isinstance(points, int) or points < 3:
        raise ValueError(f"points: {points!r} is not allowed; it must be a whole number of at least 3")
    if not (isinstance(reach, int | float) and 0 < reach < np.inf):
        raise ValueError(f"reach: {reach!r} is not allowed; it must be a number above 0")
    if isinstance(directions, str):
        if directions not in ("eigen", "random") or dimensions not in (1, 2):
            raise ValueError(
                f"directions: {directions!r} with dimensions {dimensions!r} is not allowed; 'eigen' or 'random', 1 or 2"
            )
        if directions == "eigen":
            directions = [pair.vector for pair in extreme_eigenvalues(operator, dimensions)]
        else:
            drawn = np.random.default_rng(seed).standard_normal((dimensions, *operator.layout))
            directions = list(drawn - drawn.mean(-1, keepdims=True))
    axes = np.stack([np.asarray(direction, dtype=np.float64).reshape(-1) for direction in directions])
    fits = len(axes) in (1, 2) and axes.shape[1] == operator.shape[0] and np.isfinite(axes).all()
    if not fits or np.linalg.matrix_rank(axes) < len(axes):
        raise ValueError(f"directions: must be one or two independent arrays of shape {operator.layout}")
    axes = np.stack([axis / np.linalg.norm(axis) for axis in _orthogonal(axes)])
    steps = np.linspace(-reach, reach, points)
    grid = np.stack(np.meshgrid(*[steps] * len(axes), indexing="ij"), -1)  # (points, [points,] directions)
    losses = []
    with operator.still(), torch.no_grad():
        for place in (grid.reshape(-1, len(axes)) @ axes).reshape(-1, *operator.layout):
            at = operator.point + torch.as_tensor(place, dtype=operator.tensor_type, device=operator.device)
            losses.append(torch.stack([operator.loss(at, batch).detach() for batch in range(len(operator.batches))]))
    per_batch = torch.stack(losses, 1).cpu().double().numpy().reshape(-1, *grid.shape[:-1])
    return Landscape(steps, per_batch.mean(0), per_batch, axes.reshape(-1, *operator.layout), dict(operator.options))


def _orthogonal(axes: np.ndarray) -> list[np.ndarray]:
    first, *rest = axes
    return [first, *(other - first * (first @ other) / (first @ first) for other in rest)]
