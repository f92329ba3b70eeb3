"""Random search with weight sharing (Li and Talwalkar 2019): a random cell in every step of w, and the best of many at
the end."""

from functools import partial

import torch
from torch import Generator, Tensor

from darts_lab.genotype import Genotype, random_genotype
from darts_lab.networks.fused import differentiated_once
from darts_lab.spaces import SearchSpace


def random_cell(mixing, loss, progress, space: SearchSpace, generator: Generator, with_none: bool = False) -> Tensor:
    """The mixing weights of a random cell of `space`, whatever alpha is: a `perturb` of `Method`."""
    return random_genotype(space, generator, with_none=with_none).mixing(space)


@torch.no_grad()
def best_random_cell(search, with_none: bool = False) -> Genotype:
    """The best of `paths` random cells under the present weights: a `selection` of `Method`.

    The `finalists` with the least error on `path_batches` batches of the validation split are measured on the whole of
    it. (Li and Talwalkar 2019; Zela et al. score 1,000 cells once, on 10 batches.)
    """
    s, task, space = search.settings, search.task, search.space
    generator = torch.Generator(search.device).manual_seed(search.seed + 2**35 + search.epoch)
    cells = {}  # by their mixing weights: the order in which edges were drawn does not matter
    for _ in range(s.paths):
        cell = random_genotype(space, generator, with_none=with_none)
        cells[cell.mixing(space).numpy().tobytes()] = cell
    cells, deviations = list(cells.values()), []
    search.supernet.eval()
    for cell in cells:
        mixing, of_batches = cell.mixing(space), []
        for _ in range(s.path_batches):
            place = task.next_valid(search.valid_batch_size, generator)
            inputs, targets = task.judged_batch("valid", place, generator)
            with differentiated_once():
                outputs = search.supernet(inputs, mixing, generator=generator)
            of_batches.append(task.deviation(outputs, targets))
        deviations.append(sum(of_batches[1:], of_batches[0]))
    best = torch.stack(deviations).argsort(stable=True)[: s.finalists].tolist()
    return min((cells[index] for index in best), key=lambda cell: search.one_shot(cell.mixing(space))[1])


for _part in (random_cell, best_random_cell):  # the code of Zela et al. may draw `none` (parity, see docs/parity.md)
    _part.official = lambda carries, part=_part: partial(part, with_none=True)  # type: ignore[union-attr]
