"""DARTS-PT: what is kept is what the supernet misses most, not what has the largest alpha.

Wang et al. 2021, *Rethinking Architecture Selection in Differentiable NAS*, algorithm 1: edge after edge, in random
order, each operation is left out in turn, and the one whose absence raises the error most is kept; then, node after
node, of its edges the two whose absence raises it most. Between two decisions the weights may be tuned.
With alpha frozen at its start it does as well (their section 5). Facts and traps: docs/methods/darts_pt.md.
"""

from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from torch import Generator, Tensor

from darts_lab.genotype import Genotype, discretize
from darts_lab.methods.method import Method
from darts_lab.methods.schedules import Never
from darts_lab.spaces import NONE


def by_perturbation(search, tune: int = 0) -> Genotype | None:
    """A `selection` after the last epoch (None before); `tune` epochs follow each decision. The search stays as is."""
    if search.epoch < search.epochs - 1:
        return None
    before = deepcopy(search.descent.state())
    try:
        return _selected(search, tune)
    finally:
        search.descent.method = search.method
        search.descent.load_state(before)


def _selected(search, tune: int) -> Genotype:
    space, mixing = search.space, search.descent.activate(search.alpha).detach().cpu()
    generator, missed = Generator().manual_seed(search.seed + 2**37), partial(_without, search, mixing)
    for number in torch.randperm(mixing[..., 0].numel(), generator=generator).tolist():
        cell, edge = divmod(number, len(space.edges))
        names = space.cell(space.cell_types[cell])[edge]
        *_, kept = max(((cell, edge, place) for place, name in enumerate(names) if name != NONE), key=missed)
        mixing[cell, edge] = 0
        mixing[cell, edge, kept] = 1
        _tune(search, mixing, tune)
    for number in torch.randperm(len(space.cell_types) * space.nodes, generator=generator).tolist():
        cell, node = divmod(number, space.nodes)
        into = [(cell, edge) for edge, (_, to) in enumerate(space.edges) if to == node]
        if len(into) > space.inputs:
            for least in sorted(into, key=missed)[: -space.inputs]:
                mixing[least] = 0
            _tune(search, mixing, tune)
    return discretize(mixing, space)


def _without(search, mixing: Tensor, place: tuple) -> tuple[float, float]:
    """(error, loss) on the validation split without the operation or edge at `place`."""
    rest = mixing.clone()
    rest[place] = 0
    return search.one_shot(rest)[::-1]


def _tune(search, mixing: Tensor, epochs: int) -> None:
    """Trains w with these mixing weights."""
    descent, task = search.descent, search.task
    descent.method = replace(search.method, draw=None, perturb=lambda *_: mixing)
    for _ in range(epochs):
        for place in task.order(search.settings.batch_size, descent.generator):
            train = task.training_batch("train", place, descent.generator, search.strength)
            descent.weight_step(train, search.drop_path)


METHODS = (
    Method("DARTS-PT", selection=by_perturbation),
    Method("DARTS-PT(fixed alpha)", {"alpha_spread": 0.0}, schedule=Never(), selection=by_perturbation),
)
