"""The Hessian of a loss with respect to a few variables, such as alpha, as an operator.

The matrix is small (56 alphas in S1, S2 and S4), but each of its rows costs more than a gradient. So it is used through
its products with vectors, which are derivatives of a gradient (Pearlmutter 1994):

    H v = d/d alpha (g . v),    g = d L(alpha) / d alpha
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor
from tqdm.auto import tqdm

from darts_lab import ranks
from darts_lab.checks import checked
from darts_lab.environment import fewer_threads


class Hessian(LinearOperator):
    """The Hessian of a loss with respect to a few variables, as a symmetric operator (n, n).

    `loss(point, batch)` gives the loss, a scalar, at any values of the variables (a tensor shaped like `point`) on one
    of the `batches`, which can be any objects; the matrix is the mean over them. `context()` is entered around every
    use of `loss`: it can hold other state fixed, or raise if that has changed. `keep_graphs=False` computes gradients
    again for each product: twice the time, but the memory of one batch. `product(direction, point, batch)`, if given,
    computes the product with the matrix of a batch in place of all that. `options` are copied into every result.
    `products` counts products with the matrix of one batch.
    """

    @checked
    def __init__(
        self, loss: Callable[[Tensor, Any], Tensor], point: Tensor, batches: Iterable, *, context=nullcontext,
        keep_graphs: bool = True, options: dict | None = None,
        product: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
    ):  # fmt: skip
        self.loss, self.context, self.keep_graphs, self.product = loss, context, keep_graphs, product
        self.point, self.batches, self.options = point.detach(), list(batches), dict(options or {})
        if not self.batches:
            raise ValueError("batches: is empty; at least one batch is needed")
        if not point.is_floating_point():
            raise ValueError(f"point: must be of floating-point numbers, found {point.dtype}")
        self.layout = tuple(point.shape)
        self.products = 0
        self._graphs: dict[int, tuple[Tensor, Tensor]] = {}
        super().__init__(np.float64, (point.numel(),) * 2)

    @property
    def rounding(self) -> float:
        """A bound on what rounding changes in an eigenvalue, as a share of the largest."""
        return 8 * self.shape[0] * torch.finfo(self.point.dtype).eps

    def _tensor(self, values: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(values, dtype=self.point.dtype, device=self.point.device).view(self.layout)

    def _graph(self, batch: int) -> tuple[Tensor, Tensor]:
        """(variables, gradient of the batch's loss with respect to them, which can be differentiated again)."""
        if batch in self._graphs:
            return self._graphs[batch]
        variables = self.point.clone().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(variables, self.batches[batch])
            gradient = torch.autograd.grad(loss, variables, create_graph=True)[0]
        if self.keep_graphs:
            self._graphs[batch] = variables, gradient
        return variables, gradient

    def per_batch(self, vector: np.ndarray) -> np.ndarray:
        """H_b `vector` for every batch b, (batches, n). Raises FloatingPointError where it is not finite."""
        direction = self._tensor(vector)

        def of_batch(batch: int) -> Tensor:
            if self.product is not None:
                return self.product(direction, self.point, self.batches[batch])
            variables, gradient = self._graph(batch)
            return torch.autograd.grad(gradient, variables, direction, retain_graph=self.keep_graphs)[0]

        with self.context():
            found = self._of_each(of_batch)
        self.products += len(self.batches)
        products = torch.stack([product.flatten() for product in found]).cpu().double().numpy()
        if not np.isfinite(products).all():
            raise FloatingPointError("curvature: the Hessian holds NaN or infinite values")
        return products

    def _of_each(self, of_batch: Callable[[int], Tensor]) -> list[Tensor]:
        """What `of_batch` gives for every batch. On a CPU threads share the batches: those that PyTorch has for each
        operation gain next to nothing where images are small and few."""
        numbers = range(len(self.batches))
        threads = min(len(numbers), torch.get_num_threads()) if self.point.device.type == "cpu" else 1
        if threads == 1 or not self.keep_graphs or ranks.count() > 1:  # what ranks say to one another has an order
            return [of_batch(number) for number in numbers]
        contexts = [copy_context() for _ in numbers]
        with fewer_threads(lambda all_of_them: max(all_of_them // threads, 1)), ThreadPoolExecutor(threads) as pool:
            return [*pool.map(lambda context, number: context.run(of_batch, number), contexts, numbers)]

    def gradient(self) -> np.ndarray:
        """The gradient of every batch's loss, (batches, n)."""
        with self.context():
            gradients = self._of_each(lambda batch: self._graph(batch)[1].detach().flatten())
        return torch.stack(gradients).cpu().double().numpy()

    @torch.no_grad()
    def losses(self, points: Sequence[np.ndarray | Tensor]) -> np.ndarray:
        """The loss of every batch at other values of the variables, (batches, points)."""
        with self.context():
            losses = [[self.loss(point, batch) for batch in self.batches] for point in map(self._tensor, points)]
        return torch.stack([torch.stack(of_point) for of_point in losses], 1).cpu().double().numpy()

    def dense(self, progress: bool = False) -> np.ndarray:
        """The matrix of every batch, (batches, n, n), from n products. `progress`: a bar, in a terminal or notebook."""
        shown = progress and ("ipykernel" in sys.modules or sys.stderr.isatty())
        units = tqdm(np.eye(self.shape[0]), "Hessian", unit="row", leave=False, disable=not shown)
        rows = np.stack([self.per_batch(unit) for unit in units], 1)
        return (rows + rows.transpose(0, 2, 1)) / 2

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self.per_batch(vector.ravel()).mean(0)

    def _adjoint(self) -> Hessian:
        return self


class Matrix(LinearOperator):
    """A Hessian given as numbers, such as a logged one, with the interface of `Hessian` for one batch."""

    def __init__(self, matrix):
        self.matrix, self.options, self.products = checked_matrix(matrix), {}, 0
        self.layout, self.rounding = (len(self.matrix),), 8 * len(self.matrix) * np.finfo(np.float64).eps
        super().__init__(np.float64, self.matrix.shape)

    def per_batch(self, vector: np.ndarray) -> np.ndarray:
        """H `vector`, (1, n), as of a single batch."""
        self.products += 1
        return (self.matrix @ vector)[None]

    def dense(self, progress: bool = False) -> np.ndarray:
        """The matrix itself, (1, n, n)."""
        return self.matrix[None]

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self.per_batch(vector.ravel())[0]


def checked_matrix(matrix) -> np.ndarray:
    """A Hessian given as numbers, as (n, n) in float64. Raises ValueError if it is not square, finite and symmetric."""
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


def operator(source, options: dict) -> Hessian | Matrix:
    """`source` as an operator: it is one, a matrix, or an object with a method `hessian`, which gets the `options`."""
    if isinstance(source, Hessian | Matrix | np.ndarray | Tensor | list):
        if options:
            raise ValueError(f"{next(iter(options))}: belongs to the Hessian of a search; give it where that is made")
        return source if isinstance(source, Hessian | Matrix) else Matrix(source)
    if not hasattr(source, "hessian"):
        allowed = "a Search, a Hessian or a symmetric matrix"
        raise ValueError(f"search: {type(source).__name__} is not allowed; it must be {allowed}")
    return source.hessian(**options)
