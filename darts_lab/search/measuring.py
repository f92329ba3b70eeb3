"""The Hessian of a search's validation loss, for `darts_lab.curvature`; its `options` say what was measured."""

from collections.abc import Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Annotated

import torch
from numpy.linalg import LinAlgError
from torch import Tensor

from darts_lab import curvature
from darts_lab.checks import Seed, checked, one_of
from darts_lab.curvature import Eigenpair, Hessian
from darts_lab.environment import full_precision
from darts_lab.networks.assembly import frozen_statistics
from darts_lab.networks.norms import differentiated_twice
from darts_lab.networks.operations import draws_noise


@checked
def hessian(
    search, *, batches: int | str | Sequence[tuple] = 1, batch_size: int | None = None, seed: Seed = 0,
    mode: Annotated[str, one_of("train", "eval")] = "train",
    variable: Annotated[str, one_of("alpha", "mixing")] = "alpha", decay: bool = False, parity: bool = False,
    keep_graphs: bool = True,
) -> Hessian:  # fmt: skip
    """The Hessian of a search's validation loss at its present alpha and weights (w held fixed, first order).

    `batches` is how many batches of the validation split to take the mean over, "all" that it holds whole, or a list of
    (inputs, targets). Those
    that are counted are `batch_size` samples each (default: as in the search), drawn without repetition by `seed`, not
    augmented. `mode` is that of the batch-norms: "train" takes the statistics of the batch, "eval" the running ones.
    `variable` is "alpha" or "mixing", the weights after the activation. `decay` adds the decay of alpha, a multiple of
    the identity. `parity` gives what Zela et al. measured (`search/analyze.py` of their code): one augmented batch,
    train mode, drop path as in the search at that time, with the decay of alpha, 1e-3 in all their runs. `keep_graphs`
    as for `Hessian`.

    Nothing of the search changes, its random numbers included. Raises ValueError for anything that is not allowed.
    """
    count = len(batches) if isinstance(batches, list | tuple) else batches
    if parity and (mode != "train" or variable != "alpha" or count != 1):
        raise ValueError("parity: means one batch, mode 'train' and variable 'alpha'; leave these as they are")
    decay = decay or parity
    if decay and variable != "alpha":
        raise ValueError("decay: acts on alpha, so it cannot be measured with variable='mixing'")
    drawn, options = _drawn(search, batches, batch_size, seed, parity)
    decay = search.settings.alpha_weight_decay if decay else 0.0
    drop_path = search.drop_path if parity else 0.0
    options |= {"mode": mode, "variable": variable, "decay": decay, "drop_path": drop_path}
    supernet, version = search.supernet, search.alpha._version  # PyTorch counts every change of a tensor
    first = next(supernet.parameters())
    alpha = search.alpha.detach().to(first.dtype, copy=True)

    def loss(variables: Tensor, batch: tuple) -> Tensor:
        place = next(place for place, one in enumerate(drawn) if one is batch)
        noise = torch.Generator(first.device).manual_seed(seed + 2**34 + place)  # the same at every call
        return _loss(search.descent, variables, batch, variable, decay, drop_path, noise)

    @contextmanager
    def still():
        """Within it the supernet is in the chosen mode, moves no statistics, and keeps nothing for gradients of w."""
        if search.alpha._version != version:
            raise ValueError("search: has gone on since this Hessian was made; make a new one")
        before, trained = supernet.training, [weight for weight in supernet.parameters() if weight.requires_grad]
        supernet.train(mode == "train")
        for weight in trained:
            weight.requires_grad_(False)
        try:
            with frozen_statistics(supernet), differentiated_twice(), full_precision(first.device):
                yield
        finally:
            supernet.train(before)
            for weight in trained:
                weight.requires_grad_(True)

    def recorded(direction: Tensor, point: Tensor, batch: tuple) -> Tensor:
        return search.recorded_product(direction, point, batch, mode, variable, decay)

    point = alpha if variable == "alpha" else search.descent.activate(alpha)
    drawing = search.descent.draws(drop_path) and (mode == "train" or draws_noise(supernet))  # anew from a seed
    product = recorded if search.descent.recorder.on and not drawing else None
    return Hessian(loss, point, drawn, context=still, keep_graphs=keep_graphs, options=options, product=product)


def _loss(descent, variables: Tensor, batch: tuple, variable: str, decay: float, drop_path=0.0, noise=None) -> Tensor:
    mixing = descent.activate(variables) if variable == "alpha" else variables
    inputs = _as(batch[0], next(descent.supernet.parameters()).dtype)
    outputs = descent.supernet(inputs, mixing, drop_path=drop_path, generator=noise)
    return descent.task.loss(outputs, batch[1]) + 0.5 * decay * variables.pow(2).sum()


def product(descent, direction: Tensor, point: Tensor, batch: tuple, mode: str, variable: str, decay: float) -> Tensor:
    """The Hessian of one batch times `direction`, in one step that can be recorded; `mode` is baked in with it."""
    variables = point.detach().requires_grad_()
    with torch.enable_grad():
        loss = _loss(descent, variables, batch, variable, decay)
        gradient = torch.autograd.grad(loss, variables, create_graph=True)[0]
    return torch.autograd.grad(gradient, variables, direction)[0]


def after_epoch(search, valid: tuple | None) -> Eigenpair:
    """The dominant eigenvalue as a search measures it: always on the same batches, or with `curvature_parity` on
    `valid`, the last batch of an alpha step in the epoch (None: there was none). Raises FloatingPointError where it
    cannot be had."""
    s, task, generator = search.settings, search.task, search.descent.generator
    if s.curvature_parity:
        if valid is None:
            place = task.next_valid(search.valid_batch_size, generator)
            valid = task.training_batch("valid", place, generator, search.strength)
        options = {"batches": [valid], "parity": True, "seed": search.seed + search.epoch}
    else:
        options = {"batches": s.curvature_batches, "seed": search.seed}
    try:
        return curvature.dominant_eigenvalue(search, **options)
    except (FloatingPointError, LinAlgError) as error:
        raise FloatingPointError(f"dominant_eigenvalue: {error} after epoch {search.epoch}") from error


def _drawn(search, batches, batch_size, seed, augmented) -> tuple[list, dict]:
    """The batches, and which they are in words."""
    if not isinstance(batches, int | Integral | str):
        batches = list(batches)
        if not batches:
            raise ValueError("batches: is empty; at least one batch is needed")
        if not all(isinstance(one, tuple | list) and len(one) == 2 and isinstance(one[1], Tensor) for one in batches):
            raise ValueError("batches: must be pairs (inputs, targets) of tensors")
        options = {"batches": len(batches), "batch_size": len(batches[0][1]), "seed": None}
        return batches, options | {"augmented": True if augmented else None}  # None: unknown
    task, size = search.task, search.valid_batch_size if batch_size is None else batch_size
    most = task.most("valid", size) if isinstance(size, int) and size > 0 else 0
    if not most:
        raise ValueError(f"batch_size: {size!r} is not allowed; it must be 1 to {task.size('valid')}")
    batches = most if batches == "all" else batches
    if isinstance(batches, str) or not 1 <= int(batches) <= most:
        allowed = f"the validation split holds 1 to {most} batches of {size}, or 'all'"
        raise ValueError(f"batches: {batches!r} is not allowed; {allowed}")
    generator = torch.Generator(search.device).manual_seed(seed)
    chosen = task.apart(batches, size, generator)
    if augmented:
        drawn = [task.training_batch("valid", one, generator, search.strength) for one in chosen]
    else:
        drawn = [task.plain_batch("valid", one) for one in chosen]
    return drawn, {"batches": batches, "batch_size": size, "seed": seed, "augmented": augmented}


def _as(inputs, tensor_type: torch.dtype):
    """`inputs`, a tensor or a tuple of tensors, with floating-point numbers of this type."""
    if isinstance(inputs, tuple):
        return tuple(_as(part, tensor_type) for part in inputs)
    return inputs.to(tensor_type) if inputs.is_floating_point() else inputs
