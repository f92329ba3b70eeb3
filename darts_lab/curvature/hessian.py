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
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from darts_lab.environment import full_precision
from darts_lab.networks.cell import frozen_statistics

if TYPE_CHECKING:
    from darts_lab.search.search import Search


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
