"""Which of several found cells to keep, what they predict, and what discretization costs."""

from dataclasses import dataclass

import pandas as pd
import torch

from darts_lab import data as datasets
from darts_lab import tasks
from darts_lab.checks import plain
from darts_lab.genotype import Genotype
from darts_lab.search.search import Search
from darts_lab.search.training import Training, evaluate
from darts_lab.tasks import scales


@dataclass(frozen=True)
class Selection:
    """The best of several cells by their validation errors (as those of records) after a short training."""

    genotype: Genotype
    index: int
    valid_errors: tuple[float, ...]  # in the order in which the cells were given
    epochs: int
    seconds: float


def select(genotypes, data="digits", scale="laptop", seed=0, epochs: int | None = None, **settings) -> Selection:
    """The best of several cells, such as those of several searches: what papers call "best of four".

    Each is trained from scratch for `epochs` (default: a sixth of the scale's, as in Liu et al. 2019, section 3.2) on
    the training half of the search and measured on its validation half. The test error of the chosen cell is not the
    mean over all cells: report both. Other arguments as for `Training`. Raises ValueError where there are no cells.
    """
    genotypes = list(genotypes)
    if not genotypes:
        raise ValueError("genotypes: are none; at least one is needed")
    data = datasets.load(data)
    task = tasks.of(data)
    epochs = max(1, round(scales.get(scale, task.domain).evaluation.epochs / 6)) if epochs is None else epochs
    settings = {"train_samples": None, "test_samples": None} | settings | {"epochs": epochs}
    results = [evaluate(genotype, task.halves(data), scale, seed, **settings) for genotype in genotypes]
    errors = tuple(result.test_error for result in results)
    index = errors.index(min(errors))
    return Selection(results[index].genotype, index, errors, epochs, sum(result.seconds for result in results))


@torch.no_grad()
def predictions(trained: Search | Training, samples: int | None = None, split: str = "test", data=None):
    """Arrays (inputs, predictions, targets) of the first `samples` of a split (None: all), for figures. Predictions, by
    a search's supernet or a training's network, are depths in metres, disparities in pixels or logits of classes.
    `data` is other data of the same kind. Raises ValueError for a number of samples that the split does not hold."""
    task = trained.task if data is None else type(trained.task)(data.to(trained.device), trained.settings)
    size = task.size(split) if samples is None else plain(samples)
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= task.size(split):
        raise ValueError(f"samples: {samples!r} is not allowed; the {split} split holds 1 to {task.size(split)}")
    noise = torch.Generator(trained.device).manual_seed(trained.seed + 2**33)  # of its own, so the search is unchanged
    is_search = isinstance(trained, Search)
    network, mixing = (trained.supernet, (trained.mixing.detach(),)) if is_search else (trained.network, ())
    mode, batches = network.training, []
    network.eval()
    for indices in torch.arange(size, device=trained.device).split(256):
        inputs, targets = task.plain_batch(split, indices)
        batches.append((task.answer(network(inputs, *mixing, generator=noise), targets), targets))
    network.train(mode)
    answers, targets = (torch.cat(parts).cpu().numpy() for parts in zip(*batches))
    return getattr(task.data, split)[0][:size].cpu().numpy(), answers, targets


def discretization_drop(search: Search) -> float:
    """By how much the one-shot validation error rises if the supernet is reduced to the search's cell without
    retraining: a difference of fractions (Zela et al. 2020, Fig. 6 and 7)."""
    return search.one_shot(search.genotype.mixing(search.space))[1] - search.one_shot()[1]


def ground_truth(trainings: pd.DataFrame) -> pd.DataFrame:
    """All trained cells of a space, best first, from a table of trainings with `genotype` and `test_error`.

    The index is the text of the canonical genotype. Columns: `test_error` (the mean over trainings, a fraction),
    `standard_error`, `trainings`, `regret` (the distance to the best cell's mean; Zela et al. 2020, Fig. 2), `rank` (1
    is best). The best of many noisy means is a little too good, so every regret is too large by the same amount.
    """
    genotypes = trainings["genotype"].map(lambda text: str(Genotype.parse(text).canonical))
    by_cell = trainings["test_error"].groupby(genotypes)
    table = by_cell.agg(test_error="mean", standard_error="sem", trainings="size").sort_values("test_error")
    table["regret"] = table["test_error"] - table["test_error"].min()
    return table.assign(rank=range(1, len(table) + 1))
