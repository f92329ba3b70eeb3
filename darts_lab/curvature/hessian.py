"""The Hessian of a loss with respect to a few variables, such as alpha, as an operator: products, never the matrix.

Zela et al. 2020 (section 4) found that the dominant eigenvalue of the validation loss with respect to alpha rises as a
search goes wrong. The matrix is small (56 alphas in S1, S2 and S4), but each of its rows costs more than a gradient, so it is
used as an operator: a product with a vector is the derivative of a gradient (Pearlmutter 1994).

    H v = d/d alpha (g . v),    g = d L(alpha) / d alpha

Over several batches the matrix is the mean of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor


class Hessian(LinearOperator):
    """The Hessian of a loss with respect to a few variables, as a symmetric operator (n, n).

    `loss(point, batch)` gives the loss as a scalar at any values of the variables, a tensor shaped like `point`, on one of
    `batches`, whatever these are; the matrix is the mean over them. `context()` is entered around every use of `loss`: it
    may hold other things still, or raise where they have moved on. `unseen` is the eigenvalue of what the loss cannot see
    of the variables, where it cannot see all of them: softmax does not see a constant added to all alphas of an edge.
    `keep_graphs=False` builds a batch's gradient anew for each product: twice the time, but memory for one batch.
    `options`, in words, stand in every result. `products` counts products with one batch's matrix.

    A search gives that of its validation loss: `search.hessian(batches=8)`.
    """

    def __init__(
        self, loss: Callable[[Tensor, object], Tensor], point: Tensor, batches: Sequence, *, context=nullcontext,
        unseen: float | None = None, keep_graphs: bool = True, options: dict | None = None,
    ):  # fmt: skip
        self.loss, self.context, self.unseen, self.keep_graphs = loss, context, unseen, keep_graphs
        self.point, self.batches, self.options = point.detach(), list(batches), dict(options or {})
        if not self.batches:
            raise ValueError("batches: is empty; at least one batch is needed")
        self.layout = tuple(point.shape)
        self.products = 0
        self._graphs: dict[int, tuple[Tensor, Tensor]] = {}
        super().__init__(np.float64, (point.numel(),) * 2)

    def _graph(self, batch: int) -> tuple[Tensor, Tensor]:
        """(variables, gradient of the batch's loss), the second differentiable with respect to the first."""
        if batch in self._graphs:
            return self._graphs[batch]
        at = self.point.clone().requires_grad_()
        with torch.enable_grad():
            gradient = torch.autograd.grad(self.loss(at, self.batches[batch]), at, create_graph=True)[0]
        if self.keep_graphs:
            self._graphs[batch] = at, gradient
        return at, gradient

    def per_batch(self, vector: np.ndarray) -> np.ndarray:
        """H_b `vector` for every batch b, (batches, n)."""
        direction = torch.as_tensor(vector, dtype=self.point.dtype, device=self.point.device).view(self.layout)
        found = []
        with self.context():
            for batch in range(len(self.batches)):
                at, gradient = self._graph(batch)
                found.append(torch.autograd.grad(gradient, at, direction, retain_graph=self.keep_graphs)[0].flatten())
        self.products += len(self.batches)
        return torch.stack(found).cpu().double().numpy()

    def gradient(self) -> np.ndarray:
        """The gradient of every batch's loss, (batches, n)."""
        with self.context():
            found = [self._graph(batch)[1].detach().flatten() for batch in range(len(self.batches))]
        return torch.stack(found).cpu().double().numpy()

    @torch.no_grad()
    def losses(self, points: Sequence[np.ndarray]) -> np.ndarray:
        """The loss of every batch at other values of the variables, (batches, points)."""
        found = []
        with self.context():
            for point in points:
                at = torch.as_tensor(point, dtype=self.point.dtype, device=self.point.device).view(self.layout)
                found.append(torch.stack([self.loss(at, batch).detach() for batch in self.batches]))
        return torch.stack(found, 1).cpu().double().numpy()

    def dense(self) -> np.ndarray:
        """The matrix of every batch, (batches, n, n), from n products; symmetric to rounding."""
        n = self.shape[0]
        rows = np.stack([self.per_batch(unit) for unit in np.eye(n)], 1)
        return (rows + rows.transpose(0, 2, 1)) / 2

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self.per_batch(vector.ravel()).mean(0)

    def _adjoint(self) -> Hessian:
        return self


class Matrix(LinearOperator):
    """A Hessian that came as numbers, such as a logged one, with the face of `Hessian`: one batch, nothing to compute."""

    def __init__(self, matrix):
        self.matrix, self.options, self.products, self.unseen = checked_matrix(matrix), {}, 0, None
        self.layout = (len(self.matrix),)
        super().__init__(np.float64, self.matrix.shape)

    def per_batch(self, vector: np.ndarray) -> np.ndarray:
        self.products += 1
        return (self.matrix @ vector)[None]

    def dense(self) -> np.ndarray:
        return self.matrix[None]

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self.per_batch(vector.ravel())[0]


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


def operator(of, options: dict) -> Hessian | Matrix:
    """`of` as an operator: one that is there already, a matrix of numbers, or whatever has a method `hessian`, such as a
    search, which `options` are for."""
    given = isinstance(of, Hessian | Matrix)
    if given or isinstance(of, np.ndarray | Tensor | list):
        if options:
            raise ValueError(f"{next(iter(options))}: belongs to the Hessian of a search; give it where that is made")
        return of if given else Matrix(of)
    if not hasattr(of, "hessian"):
        raise ValueError(
            f"search: {type(of).__name__} is not allowed; it must be a Search, a Hessian or a symmetric matrix"
        )
    return of.hessian(**options)
