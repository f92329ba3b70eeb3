"""The validation loss on a line or a plane through alpha."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from darts_lab.checks import Positive, Seed, checked, whole
from darts_lab.curvature.eigenvalues import extreme_eigenvalues
from darts_lab.curvature.hessian import Matrix
from darts_lab.curvature.hessian import operator as operator_of


@dataclass(frozen=True, eq=False)
class Landscape:
    """`losses` (points,) or (points, points) are means over batches, `per_batch` (batches, ...) those of each. `steps`
    (points,) are the distances from alpha along `directions` (1 or 2, *shape of alpha), which have unit length."""

    steps: np.ndarray
    losses: np.ndarray
    per_batch: np.ndarray
    directions: np.ndarray
    options: dict


@checked
def landscape(
    search, directions: str | Sequence[np.ndarray] = "eigen", dimensions: int = 1, reach: Positive = 1.0,
    points: Annotated[int, whole(3)] = 21, seed: Seed = 0, **options,
) -> Landscape:  # fmt: skip
    """The validation loss around the present alpha, up to `reach` on both sides, at `points` points per direction.

    `directions` are one or two arrays of the shape of alpha, or a word: "eigen" for the vectors of the `dimensions`
    largest eigenvalues, "random" for random ones (drawn by `seed`, without the part that softmax cannot see). A second
    one is made orthogonal to the first. `search` is a Search, with `options` of `Search.hessian`, or a `Hessian`.
    """
    operator = operator_of(search, options)
    if isinstance(operator, Matrix):
        raise ValueError("search: a matrix is not allowed; there is no loss around it")
    if isinstance(directions, str):
        if directions not in ("eigen", "random") or dimensions not in (1, 2):
            what = f"{directions!r} with dimensions {dimensions!r}"
            raise ValueError(f"directions: {what} is not allowed; 'eigen' or 'random', 1 or 2")
        if directions == "eigen":
            directions = [pair.vector for pair in extreme_eigenvalues(operator, dimensions)]
        else:
            drawn = np.random.default_rng(seed).standard_normal((dimensions, *operator.layout))
            directions = list(drawn - drawn.mean(-1, keepdims=True))
    try:
        axes = np.stack([np.asarray(direction, dtype=np.float64).reshape(-1) for direction in directions])
    except (TypeError, ValueError):
        axes = np.empty((0, 0))  # no numbers, or not equally many
    fits = len(axes) in (1, 2) and axes.shape[1] == operator.shape[0] and np.isfinite(axes).all()
    if not fits or np.linalg.matrix_rank(axes) < len(axes):
        raise ValueError(f"directions: must be one or two independent arrays of shape {operator.layout}")
    first, *rest = axes
    axes = [first, *(other - first * (first @ other) / (first @ first) for other in rest)]
    axes = np.stack([axis / np.linalg.norm(axis) for axis in axes])
    steps = np.linspace(-reach, reach, points)
    grid = np.stack(np.meshgrid(*[steps] * len(axes), indexing="ij"), -1)  # (points, [points,] directions)
    shifts = torch.as_tensor((grid.reshape(-1, len(axes)) @ axes).reshape(-1, *operator.layout))
    per_batch = operator.losses(list(operator.point + shifts.to(operator.point))).reshape(-1, *grid.shape[:-1])
    return Landscape(steps, per_batch.mean(0), per_batch, axes.reshape(-1, *operator.layout), dict(operator.options))
