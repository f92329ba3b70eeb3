"""From cells to networks: the cells of a space or genotype, the mixing weights of all cells of a supernet, and what is
asked of a network as a whole."""

from collections.abc import Callable
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F

from darts_lab import ranks
from darts_lab.checks import Count, allow, argument
from darts_lab.genotype import Genotype
from darts_lab.networks.cell import Cell, Weighting
from darts_lab.networks.operations import AUXILIARY_SKIP, BatchNorm
from darts_lab.spaces import SearchSpace


def cells_of_space(space: SearchSpace, node_norm=False, share=1, auxiliary_skip=False) -> Callable[..., Cell]:
    """A function that makes the cells of `space`, with all candidates and, with `auxiliary_skip`, one more an edge."""
    more = (AUXILIARY_SKIP,) if auxiliary_skip else ()

    def make(cell_type: str, inputs: list[int], channels: int, reduced_before: bool, generator) -> Cell:
        edges = [(*edge, (*names, *more)) for edge, names in zip(space.edges, space.cell(cell_type), strict=True)]
        concat, reduction, own = range(2, space.nodes + 2), cell_type == "reduce", space.operations
        return Cell(edges, concat, inputs, channels, reduction, reduced_before, True, generator, own, node_norm, share)

    return make


def cells_of_genotype(genotype: Genotype, own=None) -> Callable[..., Cell]:
    """The same with the operations of one genotype; `own` are the user's operations by name."""

    def make(cell_type: str, inputs: list[int], channels: int, reduced_before: bool, generator) -> Cell:
        edges = [(source, node, (operation,)) for source, node, operation in genotype.edges(cell_type)]
        concat, reduction = genotype.concat[cell_type], cell_type == "reduce"
        return Cell(edges, concat, inputs, channels, reduction, reduced_before, False, generator, own)

    return make


def weightings_of(space: SearchSpace, backbone, mixing: Tensor, x: Tensor, running=None) -> list[Weighting]:
    """What each cell of a supernet's `backbone` takes; the rest as in `Supernet.forward`."""
    argument("mixing", mixing, Tensor)
    cells, candidates = backbone.cells, backbone.cells[0].candidates
    beyond = candidates - space.candidates
    if beyond and mixing.shape[-1:] == (space.candidates,):  # an auxiliary skip weighs nothing where it is not given
        mixing = F.pad(mixing, (0, beyond))
    rows, count = [space.cell_types.index(cell_type) for cell_type in backbone.cell_types], len(space.cell_types)
    if mixing.shape[:1] == (len(cells),) and len(cells) > count:  # every cell has its own
        rows, count, running = list(range(len(cells))), len(cells), None
    running = running_operations(space, mixing, running, (count, len(space.edges), candidates))
    if running is not None and all(runs for cell in running for edge in cell for runs in edge):
        running = None
    mixing = ranks.spread(mixing.to(x.device, x.dtype, non_blocking=True))
    found = {row: cells[rows.index(row)].weighting(mixing[row], running and running[row]) for row in sorted(set(rows))}
    return [found[row] for row in rows]


def running_operations(space: SearchSpace, mixing: Tensor, running=None, shape=None):
    """`running`, or else which operations of `mixing` do not weigh zero; None where to know that is to wait for the
    device, or all need a gradient. Raises ValueError where `mixing` has not the shape of the space, or `shape`."""
    argument("mixing", mixing, Tensor)
    if tuple(mixing.shape) != (shape or space.shape):
        raise ValueError(f"mixing: shape {tuple(mixing.shape)} does not fit space {space.name!r}: {space.shape}")
    if running is None and not mixing.requires_grad and mixing.device.type == "cpu":
        return (mixing != 0).tolist()
    return running


@contextmanager
def frozen_statistics(network: nn.Module):
    """Within it, training passes use statistics of their batch and leave the running ones, for evaluation, alone."""
    foreign = nn.modules.batchnorm._BatchNorm  # in the user's operations
    names = ((BatchNorm, "update"), (foreign, "track_running_stats"))
    switches = [(module, name) for module in network.modules() for kind, name in names if isinstance(module, kind)]
    before = [getattr(*switch) for switch in switches]
    for switch in switches:
        object.__setattr__(*switch, False)  # modules look for parameters in whatever is set, which takes long
    try:
        yield network
    finally:
        for switch, value in zip(switches, before, strict=True):
            object.__setattr__(*switch, value)


def positive(**sizes: int) -> None:
    """Raises ValueError for a size that is no whole number of at least 1."""
    for name, size in sizes.items():
        allow(name, size, Count)


def of_cells(cells: SearchSpace | Genotype, cell_types: tuple[str, ...]) -> None:
    """Raises ValueError where the cells of a space or genotype are not of the types that a network has."""
    if cells.cell_types != cell_types:
        what = "space" if isinstance(cells, SearchSpace) else "genotype"
        raise ValueError(f"{what}: has cells {', '.join(cells.cell_types)}; the network needs {', '.join(cell_types)}")
