"""Checkpoints of quark0/darts, RobustDARTS and projects based on them, converted in both directions. Their supernets
hold a module for every operation of every edge (`cells.2._ops.5._ops.1.op.6.weight`), ours stack the copies."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_lab import spaces
from darts_lab.networks.images import Supernet
from darts_lab.runs.files import path_of, read_tensors

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "supernet")
_PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, and classes that hold the network
_ALPHA = re.compile(r"(?:.*\.)?_?(?:alphas?_(normal|reduce)|(?:arch_parameters|alphas?)\.([01]))")


class Checkpoint(NamedTuple):
    """What a checkpoint of theirs holds."""

    weights: dict[str, Tensor]  # by their names in quark0/darts, as `load_state_dict` takes them
    alpha: Tensor | None  # (cell types, edges, candidates), before the softmax; None where it holds none


def state_dict(supernet: Supernet) -> dict[str, Tensor]:
    """Copies of the weights and running statistics of `supernet`, by their names in quark0/darts."""
    return {name: tensor.detach().clone() for name, tensor in _tensors(supernet).items()}


@torch.no_grad()
def load_state_dict(supernet: Supernet, theirs: Mapping) -> Tensor | None:
    """Copies a checkpoint with the names of quark0/darts, in any form that `unwrapped` takes, into `supernet`. Returns
    the alphas in it, (cell types, edges, candidates), or None. Raises ValueError, and changes nothing, where names or
    shapes do not fit, with the space that would, or the poolings of one state, which share running statistics here,
    differ in them."""
    ours, (theirs, alpha) = _tensors(supernet), unwrapped(theirs)
    misfits = {
        "lacks": ours.keys() - theirs.keys(),
        "has no place for": theirs.keys() - ours.keys(),
        "has another shape for": {n for n in ours.keys() & theirs.keys() if ours[n].shape != theirs[n].shape},
    }
    if any(misfits.values()):
        what = "; it ".join(f"{problem} {_some(names)}" for problem, names in misfits.items() if names)
        space = supernet.space.name
        raise ValueError(f"state_dict: not a checkpoint of space {space!r} at this size: it {what}; {_fitting(theirs)}")
    if alpha is not None and tuple(alpha.shape) != supernet.space.shape:
        shapes = f"{tuple(alpha.shape)}, space {supernet.space.name!r} has {supernet.space.shape}"
        raise ValueError(f"state_dict: its alphas have the shape {shapes}")
    first_names: dict[tuple, str] = {}
    for name, tensor in ours.items():
        first = first_names.setdefault((tensor.data_ptr(), tensor.shape), name)
        if not torch.allclose(theirs[first].to(theirs[name].dtype), theirs[name], equal_nan=True):
            raise ValueError(f"state_dict: {first!r} and {name!r} differ, but pools of one state share their norm here")
    for name, tensor in ours.items():
        tensor.copy_(theirs[name])
    return alpha


def read(path: str | Path) -> dict:
    """What one of their files holds, on the CPU; no code in it is run. Raises ValueError where it is damaged or holds
    more than tensors and plain values."""
    return read_tensors(path_of(path), torch.device("cpu"))


def unwrapped(theirs: Mapping) -> Checkpoint:
    """Weights and alphas of a state dict that may have `module.` or `_orig_mod.` before every name, may hold alphas
    (`alphas_normal`, `_arch_parameters.0`), or may lie beside them in a dictionary, as its `state_dict` or `model`.

    Raises ValueError for anything else, and where there is only one of the two alphas.
    """
    if not isinstance(theirs, Mapping):
        raise ValueError(f"state_dict: {_NEEDS}, not {type(theirs).__name__}")
    theirs = dict(theirs)
    alphas: dict[str, Tensor] = {}
    for _ in range(5):  # a dictionary can hold itself
        inner = [theirs[name] for name in _WRAPPERS if isinstance(theirs.get(name), Mapping)]
        if inner:
            theirs, alphas = dict(inner[0]), _alphas(theirs) | alphas
    others = [name for name, tensor in theirs.items() if not isinstance(name, str) or not isinstance(tensor, Tensor)]
    if others or not theirs:
        found = f"it holds {_some(others)}" if others else "it is empty"
        raise ValueError(f"state_dict: {_NEEDS}; {found}")
    alphas |= _alphas(theirs)
    weights = {
        name: tensor
        for name, tensor in theirs.items()
        if not _ALPHA.fullmatch(name) and not name.endswith("num_batches_tracked")
    }
    while prefix := next((part for part in _PREFIXES if weights and all(n.startswith(part) for n in weights)), None):
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    if not alphas:
        return Checkpoint(weights, None)
    shapes = {kind: tuple(alpha.shape) for kind, alpha in alphas.items()}
    if set(shapes) != set(spaces.CELL_TYPES) or len(set(shapes.values())) > 1 or len(shapes["normal"]) != 2:
        raise ValueError(f"state_dict: alphas of {shapes} are not allowed; both cells must have (edges, candidates)")
    return Checkpoint(weights, torch.stack([alphas[kind].detach().float() for kind in spaces.CELL_TYPES]))


_NEEDS = "must map names to tensors, as torch.nn.Module.state_dict() gives them, or hold such a state_dict"


def _alphas(entries: Mapping) -> dict[str, Tensor]:
    """The alphas among the entries of a state dict, or of what one is wrapped in, by cell type."""
    found: dict[object, object] = {}
    for name, value in entries.items():
        if name in ("alphas", "alpha", "arch_parameters", "_arch_parameters") and isinstance(value, list | tuple):
            found |= {f"alphas.{number}": tensor for number, tensor in enumerate(value)}
        else:
            found[name] = value
    matches = [
        (match, value)
        for name, value in found.items()
        if isinstance(name, str) and isinstance(value, Tensor) and (match := _ALPHA.fullmatch(name))
    ]
    return {match[1] or spaces.CELL_TYPES[int(match[2])]: value for match, value in matches}


def _some(names) -> str:
    first, *others = sorted(map(repr, names))
    return first[:80] + (f" and {len(others)} more" if others else "")


def _fitting(theirs: Mapping[str, Tensor]) -> str:
    """Which supernet a state dict is of, in words."""
    edges = {int(match[1]) for name in theirs if (match := re.match(r"cells\.\d{1,3}\._ops\.(\d{1,3})\.", name))}
    layers = {name.split(".")[1] for name in theirs if name.startswith("cells.")}
    stem, classifier = theirs.get("stem.0.weight"), theirs.get("classifier.weight")
    if any(name.startswith("backbone.") for name in theirs):
        return "its names are those of darts_lab: supernet.load_state_dict(...) takes it"
    if not edges or not layers or stem is None or classifier is None or stem.dim() != 4 or classifier.dim() != 2:
        return "it is of no network of DARTS for images, whose names are such as cells.0._ops.0._ops.1.op.1.weight"
    if not any(re.match(r"cells\.\d+\._ops\.\d+\._ops\.", name) for name in theirs):
        return "it is of a network trained from scratch, with one operation on each edge, not of a supernet"
    size = f"{stem.shape[0] // 3} channels, {len(layers)} layers and {classifier.shape[0]} classes"
    nodes = {len(spaces.edges_of(nodes)): nodes for nodes in range(1, 5)}.get(max(edges) + 1)
    for space in spaces.SPACES.values():
        if space.cell_types == spaces.CELL_TYPES and nodes is not None and nodes <= space.nodes and len(layers) < 100:
            small = Supernet(space.with_nodes(nodes), channels=2, layers=len(layers))
            if _tensors(small).keys() == theirs.keys():
                words = "" if nodes == space.nodes else f".with_nodes({nodes})"
                return f"it fits space {space.name!r}{words} with {size}"
    return f"it fits no space that is known by name; it has {size}"


def _tensors(supernet: Supernet) -> dict[str, Tensor]:
    """Their name -> the tensor of ours, or the part of one."""
    if not isinstance(supernet, Supernet):
        raise ValueError(f"supernet: {type(supernet).__name__} is not allowed; it must be a Supernet")
    backbone = supernet.backbone
    tensors: dict[str, Tensor] = {"stem.0.weight": backbone.stem}
    tensors |= {f"classifier.{name}": tensor for name, tensor in supernet.classifier.named_parameters()}
    tensors |= {f"stem.1.{name}": tensor for name, tensor in backbone.stem_norm.copy(0)}
    cells: Iterable[Any] = backbone.cells
    for layer, cell in enumerate(cells):
        for name in ("preprocess0", "preprocess1"):
            tensors |= {f"cells.{layer}.{name}.{suffix}": tensor for suffix, tensor in getattr(cell, name).copy(0)}
        for place, module, copy in cell.modules_by_place():
            prefix = f"cells.{layer}._ops.{place.edge}._ops.{place.candidate}"
            tensors |= {f"{prefix}.{suffix}": tensor for suffix, tensor in module.copy(copy)}
    return tensors
