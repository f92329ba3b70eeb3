"""Checkpoints of quark0/darts, RobustDARTS and projects based on them, converted in both directions. Their supernets
hold a module for every operation of every edge (`cells.2._ops.5._ops.1.op.6.weight`), ours stack the copies."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from darts_lab.networks.images import Supernet
from darts_lab.runs.files import path_of, read_tensors


def state_dict(supernet: Supernet) -> dict[str, Tensor]:
    """Copies of the weights and running statistics of `supernet`, by their names in quark0/darts."""
    return {name: tensor.detach().clone() for name, tensor in _tensors(supernet).items()}


@torch.no_grad()
def load_state_dict(supernet: Supernet, theirs: Mapping[str, Tensor]) -> None:
    """Copies a state dict with the names of quark0/darts into `supernet`. Raises ValueError, and changes nothing, where
    names or shapes do not fit, or the poolings of one state, which share running statistics here, differ in them."""
    ours = _tensors(supernet)
    if not isinstance(theirs, Mapping) or not all(isinstance(tensor, Tensor) for tensor in theirs.values()):
        raise ValueError("state_dict: must map names to tensors, as torch.nn.Module.state_dict() gives them")
    theirs = {name: tensor for name, tensor in theirs.items() if not name.endswith("num_batches_tracked")}
    misfits = {
        "lacks": ours.keys() - theirs.keys(),
        "has no place for": theirs.keys() - ours.keys(),
        "has another shape for": {n for n in ours.keys() & theirs.keys() if ours[n].shape != theirs[n].shape},
    }
    for problem, names in misfits.items():
        if names:
            what = f"{problem} {min(names)!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            space = supernet.space.name
            raise ValueError(f"state_dict: not a checkpoint of space {space!r} at this size: it {what}")
    first_names: dict[tuple, str] = {}
    for name, tensor in ours.items():
        first = first_names.setdefault((tensor.data_ptr(), tensor.shape), name)
        if not torch.allclose(theirs[first], theirs[name], equal_nan=True):
            raise ValueError(f"state_dict: {first!r} and {name!r} differ, but pools of one state share their norm here")
    for name, tensor in ours.items():
        tensor.copy_(theirs[name])


def read(path: str | Path) -> dict[str, Tensor]:
    """The state dict in one of their files, on the CPU; no code in it is run. Raises ValueError where it is damaged or
    holds more than tensors and plain values."""
    return read_tensors(path_of(path), torch.device("cpu"))


def _tensors(supernet: Supernet) -> dict[str, Tensor]:
    """Their name -> the tensor of ours, or the part of one."""
    if not hasattr(supernet, "backbone"):
        raise ValueError(f"supernet: {type(supernet).__name__} is not allowed; it must be a Supernet")
    backbone = supernet.backbone
    tensors = {"stem.0.weight": backbone.stem}
    tensors |= {f"classifier.{name}": tensor for name, tensor in supernet.classifier.named_parameters()}
    tensors |= {f"stem.1.{name}": tensor for name, tensor in backbone.stem_norm.copy(0)}
    for layer, cell in enumerate(backbone.cells):
        for name in ("preprocess0", "preprocess1"):
            tensors |= {f"cells.{layer}.{name}.{suffix}": tensor for suffix, tensor in getattr(cell, name).copy(0)}
        for place, module, copy in cell.modules_by_place():
            prefix = f"cells.{layer}._ops.{place.edge}._ops.{place.candidate}"
            tensors |= {f"{prefix}.{suffix}": tensor for suffix, tensor in module.copy(copy)}
    return tensors
