"""Questions about cells that have been found: which of several to keep, what they answer, what the cut costs."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch

from darts_lab import data as datasets
from darts_lab import tasks
from darts_lab.genotype import Genotype
from darts_lab.search.search import Search
from darts_lab.search.training import Training, evaluate
from darts_lab.tasks import scales


@dataclass(frozen=True)
class Selection:
    """Which of some cells to keep, by their error on the validation split after a short training; fractions in [0, 1]."""

    genotype: Genotype
    index: int
    valid_errors: tuple[float, ...]  # in the order in which the cells were given
    epochs: int
    seconds: float


def select(genotypes, data="digits", scale="laptop", seed=0, epochs: int | None = None, **more) -> Selection:
    """The best of several cells, such as those of several searches: what papers mean by "best of four".

    Each is trained from scratch for `epochs` (default: a sixth of the scale's, as Liu et al. 2019 do, section 3.2) on the
    training half of the search, and measured on the validation half; the test split stays unseen. Report the test error
    of the chosen cell beside the mean over all: they are not the same quantity. Arguments as for `Training`.
    """
    genotypes = list(genotypes)
    if not genotypes:
        raise ValueError("genotypes: are none; at least one is needed")
    data = datasets.load(data)
    task = tasks.of(data)
    halves = task.halves(data)
    epochs = max(1, round(scales.get(scale, task.domain).evaluation.epochs / 6)) if epochs is None else epochs
    settings = {"train_samples": None, "test_samples": None} | more | {"epochs": epochs}
    found = [evaluate(genotype, halves, scale, seed, **settings) for genotype in genotypes]
    errors = tuple(result.test_error for result in found)
    index = errors.index(min(errors))
    return Selection(found[index].genotype, index, errors, epochs, sum(result.seconds for result in found))


@torch.no_grad()
def predictions(trained: Search | Training, samples: int | None = None, split: str = "test", data=None):
    """What a search's supernet, or the network of a training, answers on the first `samples` of a split (None: all):
    (inputs, predicted, truth), arrays as in the data, for figures.

    Depths in metres, disparities in pixels, logits of classes. `data` asks about other data of the same kind. Raises
    ValueError for a number of samples that the split does not hold.
    """
    task = trained.task if data is None else type(trained.task)(data.to(trained.device), trained.settings)
    size = task.size(split) if samples is None else samples
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= task.size(split):
        raise ValueError(f"samples: {samples!r} is not allowed; the {split} split holds 1 to {task.size(split)}")
    noise = torch.Generator(trained.device).manual_seed(trained.seed + 2**33)  # to look changes nothing
    if isinstance(trained, Search):
        network, mixing = trained.supernet, trained.mixing.detach()
    else:
        network, mixing = trained.network, None
    mode, found = network.training, []
    network.eval()
    for place in torch.arange(size, device=trained.device).split(256):
        inputs, targets = task.plain_batch(split, place)
        arguments = (inputs,) if mixing is None else (inputs, mixing)
        found.append((task.answer(network(*arguments, generator=noise), targets), targets))
    network.train(mode)
    answers, targets = (torch.cat(parts).cpu().numpy() for parts in zip(*found))
    return getattr(task.data, split)[0][:size].cpu().numpy(), answers, targets


def discretization_drop(search: Search) -> float:
    """How much the one-shot validation error rises when the supernet is cut down to the cell that the search would
    return, its weights as they are: a difference of fractions (Zela et al. 2020, Fig. 6 and 7)."""
    cut = search.one_shot(search.genotype.mixing(search.space))[1]
    return cut - search.one_shot()[1]


def ground_truth(trainings: pd.DataFrame) -> pd.DataFrame:
    """All cells of a space that were trained, best first, from a table of trainings with `genotype` and `test_error`.

    Indexed by the text of the canonical genotype: `test_error` (the mean over trainings, a fraction), `standard_error`,
    `regret` (how far above the best cell's mean; Zela et al. 2020, Fig. 2), `rank` (1 is best) and `trainings`. The best
    of many noisy means is somewhat too good, and so every regret too large by the same amount.
    """
    text = trainings["genotype"].map(lambda text: str(Genotype.parse(text).canonical))
    by_cell = trainings["test_error"].groupby(text)
    table = pd.DataFrame(
        {"test_error": by_cell.mean(), "standard_error": by_cell.sem(), "trainings": by_cell.size()}
    ).sort_values("test_error")
    table["regret"] = table["test_error"] - table["test_error"].min()
    return table.assign(rank=range(1, len(table) + 1))
