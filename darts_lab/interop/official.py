"""Checkpoints of quark0/darts, RobustDARTS and their relatives: their names for our weights, in both directions.

Their supernets hold one module for every operation of every edge (`cells.2._ops.5._ops.1.op.6.weight`); ours stack
the copies. `state_dict(supernet)` writes their form, `load_state_dict(supernet, theirs)` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from darts_lab.networks.images import Supernet
from darts_lab.runs.files import read_tensors


def state_dict(supernet: Supernet) -> dict[str, Tensor]:
    """The weights and running statistics of `supernet` under the names of quark0/darts (copies)."""
    return {name: tensor.detach().clone() for name, tensor in _named(supernet).items()}


@torch.no_grad()
def load_state_dict(supernet: Supernet, theirs: Mapping[str, Tensor]) -> None:
    """Copies a state dict in the naming of quark0/darts into `supernet`.

    Raises ValueError, and changes nothing, where names or shapes are not those of this space and size, or where
    pools of one state, which share their running statistics here, come with different ones.
    """
    ours = _named(supernet)
    if not isinstance(theirs, Mapping) or not all(isinstance(tensor, Tensor) for tensor in theirs.values()):
        raise ValueError("state_dict: must map names to tensors, as torch.nn.Module.state_dict() gives them")
    theirs = {name: tensor for name, tensor in theirs.items() if not name.endswith("num_batches_tracked")}
    missing, surplus = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    misfits = [name for name in ours.keys() & theirs.keys() if ours[name].shape != theirs[name].shape]
    for what, names in (("lacks", missing), ("has no place for", surplus), ("has another shape for", misfits)):
        if names:
            raise ValueError(
                f"state_dict: not a checkpoint of space {supernet.space.name!r} at this size: it {what} "
                f"{min(names)!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            )
    seen: dict[tuple, str] = {}
    for name, tensor in ours.items():
        first = seen.setdefault((tensor.data_ptr(), tensor.shape), name)
        if not torch.allclose(theirs[first], theirs[name], equal_nan=True):
            raise ValueError(f"state_dict: {first!r} and {name!r} differ, but pools of one state share their norm here")
    for name, tensor in ours.items():
        tensor.copy_(theirs[name])


def read(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file of theirs, on the CPU; no code of it is run.

    Raises ValueError where the file is damaged or holds more than tensors and plain values.
    """
    return read_tensors(path, torch.device("cpu"))


def _named(supernet: Supernet) -> dict[str, Tensor]:
    """Their name -> the (part of a) tensor of ours that it stands for."""
    backbone = supernet.backbone
    named = {
        "stem.0.weight": backbone.stem,
        "classifier.weight": supernet.classifier.weight,
        "classifier.bias": supernet.classifier.bias,
    }
    named |= {f"stem.1.{name}": tensor for name, tensor in backbone.stem_norm.copy(0)}
    for layer, cell in enumerate(backbone.cells):
        prefix = f"cells.{layer}"
        for name in ("preprocess0", "preprocess1"):
            named |= {f"{prefix}.{name}.{suffix}": tensor for suffix, tensor in getattr(cell, name).copy(0)}
        for place, module, copy in cell.modules_by_place():
            own = f"{prefix}._ops.{place.edge}._ops.{place.candidate}"
            named |= {f"{own}.{suffix}": tensor for suffix, tensor in module.copy(copy)}
    return named
