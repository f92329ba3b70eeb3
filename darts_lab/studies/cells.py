"""Which of several found cells to keep, what they predict, and what discretization costs."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from darts_lab import data as datasets
from darts_lab import plan, spaces, tasks
from darts_lab.checks import Seed, checked, one_of, plain
from darts_lab.data.splits import Images
from darts_lab.genotype import Genotype
from darts_lab.search.search import Search
from darts_lab.search.training import Training, evaluate
from darts_lab.settings import EvaluationSettings
from darts_lab.spaces import SearchSpace
from darts_lab.tasks import scales

KNOWN = {("S5", "digits"): "s5_digits.csv"}  # (space, data) whose cells have all been trained, at laptop scale
BATCH = 256  # images that are predicted at once


@dataclass(frozen=True)
class Selection:
    """The best of several cells by their validation errors (as those of records) after a short training."""

    genotype: Genotype
    index: int
    valid_errors: tuple[float, ...]  # in the order in which the cells were given
    epochs: int
    seconds: float


@checked
def select(
    genotypes: Iterable, data=None, scale=None, seed: Seed = 0, epochs: int | None = None, *, space=None, **settings
) -> Selection:
    """The best of several cells, such as those of several searches: what papers call "best of four".

    Each is trained from scratch for `epochs` (default: a sixth of the scale's, as in Liu et al. 2019, section 3.2) on
    the training half of the search and measured on its validation half. The test error of the chosen cell is not the
    mean over all cells: report both. Other arguments, and what stands for a genotype, as for `Training`; but `seed` is
    the same for all. Raises ValueError where there are no cells, or runs differ in their data or scale.
    """
    cells = [plan.found(one, data, scale, seed, space) for one in genotypes]
    if not cells:
        raise ValueError("genotypes: are none; at least one is needed")
    for name in ("data", "scale"):
        first, *others = (getattr(cell, name) for cell in cells)
        if any(other is not first and other != first for other in others):
            raise ValueError(f"{name}: the runs differ in it; pass {name}= to train all cells alike")
    first, scale = cells[0], cells[0].scale
    data = datasets.load(plan.of_training(*first[:4], space=first.space).data)  # which a scale may put in its place
    task = tasks.of(data)
    epochs = max(1, round(scales.get(scale, task.domain).evaluation.epochs / 6)) if epochs is None else epochs
    settings = {"train_samples": None, "test_samples": None} | settings | {"epochs": epochs}
    halves = task.halves(data)
    results = [evaluate(cell.genotype, halves, scale, seed, space=cell.space, **settings) for cell in cells]
    errors = tuple(result.test_error for result in results)
    index = errors.index(min(errors))
    return Selection(results[index].genotype, index, errors, epochs, sum(result.seconds for result in results))


@torch.no_grad()
@checked
def predictions(
    trained: Search | Training, samples=None, split: Annotated[str, one_of(*datasets.SPLITS)] = "test", data=None
):
    """Arrays (inputs, predictions, targets) of the first `samples` of a split (None: all), for figures. Predictions, by
    a search's supernet or a training's network, are depths in metres, disparities in pixels or logits of classes.
    `data` is other data of the same kind. With images (n, channels, height, width), such as nobody has labels for, in
    place of a number: the array of their predictions alone.

    Raises ValueError for a number of samples that the split does not hold, for images or data of another kind than
    those of the search or training, and for text, which has no samples that stand alone.
    """
    task = _task(trained, data)
    if isinstance(samples, Tensor | np.ndarray):
        if data is not None:
            raise ValueError("data: is not allowed beside images; they are the data")
        images = _images(samples, task.data)
        return _answers(trained, task, [datasets.normalise(part.to(trained.device), task.data) for part in images])
    size = task.size(split) if samples is None else plain(samples)
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= task.size(split):
        allowed = f"the {split} split holds 1 to {task.size(split)}; or pass an array of images"
        raise ValueError(f"samples: {str(samples)[:80]} is not allowed; {allowed}")
    batches = [task.plain_batch(split, indices) for indices in torch.arange(size, device=trained.device).split(BATCH)]
    targets = torch.cat([targets for _, targets in batches]).cpu().numpy()
    answers = _answers(trained, task, [inputs for inputs, _ in batches])
    return getattr(task.data, split)[0][:size].cpu().numpy(), answers, targets


def _task(trained, data) -> tasks.Task:
    """The task of a search or training, with `data` in place of its own if given."""
    task = trained.task
    if not isinstance(task.data, Images):
        raise ValueError(f"trained: predicts {task.domain} of {task.data.name!r}; only images can be asked about")
    if data is None:
        return task
    data = datasets.load(data)
    if type(data) is not type(task.data) or data.train[0].shape[1:] != task.data.train[0].shape[1:]:
        raise ValueError(f"data: {data.name!r} is of another kind or size than {task.data.name!r}, on which it learned")
    return type(task)(data.to(trained.device), trained.settings)


def _images(images, data: Images) -> tuple[Tensor, ...]:
    """Checked images in batches."""
    try:
        images, own = torch.as_tensor(images), data.train[0]
    except TypeError:
        raise ValueError(f"samples: {images.dtype} is not allowed; images must be numbers") from None
    if images.dim() != 4 or not len(images) or images.shape[1:] != own.shape[1:]:
        wanted = ", ".join(map(str, ("n", *own.shape[1:])))
        raise ValueError(f"samples: images must be ({wanted}) as in {data.name!r}, found {tuple(images.shape)}")
    if (images.dtype == torch.uint8) != (own.dtype == torch.uint8) or images.dtype == torch.bool:
        raise ValueError(f"samples: images must be {own.dtype} as in {data.name!r}, found {images.dtype}")
    if not images.isfinite().all():
        raise ValueError("samples: images must be finite, found NaN or infinity")
    return images.split(BATCH)


def _answers(trained: Search | Training, task: tasks.Task, batches: list[Tensor]) -> np.ndarray:
    noise = torch.Generator(trained.device).manual_seed(trained.seed + 2**33)  # of its own, so the search is unchanged
    if isinstance(trained, Search):
        network, mixing = trained.supernet, (trained.mixing.detach(),)
    else:
        network, mixing = trained.network, ()
    mode = network.training
    network.eval()
    try:
        answers = [
            task.answer(network(one, *mixing, generator=noise), (one.shape[-2], one.shape[-1])) for one in batches
        ]
    finally:
        network.train(mode)
    return torch.cat(answers).cpu().numpy()


@checked
def discretization_drop(search: Search) -> float:
    """By how much the one-shot validation error rises if the supernet is reduced to the search's cell without
    retraining: a difference of fractions (Zela et al. 2020, Fig. 6 and 7)."""
    return search.one_shot(search.genotype.mixing(search.space))[1] - search.one_shot()[1]


@checked
def ground_truth(trainings: pd.DataFrame) -> pd.DataFrame:
    """All trained cells of a space, best first, from a table of trainings with `genotype` and `test_error`.

    The index is the text of the canonical genotype. Columns: `test_error` (the mean over trainings, a fraction),
    `standard_error`, `trainings`, `regret` (the distance to the best cell's mean; Zela et al. 2020, Fig. 2), `rank` (1
    is best). The best of many noisy means is a little too good, so every regret is too large by the same amount.
    Raises ValueError where the trainings were not all on the same data, at the same scale and with the same settings.
    """
    if missing := {"genotype", "test_error"} - set(trainings.columns):
        raise ValueError(f"trainings: the table has no column {min(missing)!r}")
    if trainings.empty:
        raise ValueError("trainings: the table holds no row")
    if not pd.api.types.is_numeric_dtype(trainings["test_error"]) or trainings["test_error"].isna().any():
        raise ValueError("trainings: test_error must hold numbers, and no NaN")
    for name in ("space", "data", "scale", "evaluation"):
        if name in trainings and trainings[name].map(_in_full).nunique() > 1:
            raise ValueError(f"trainings: differ in {name}, so their errors cannot be ranked together; choose one")
    genotypes = trainings["genotype"].map(lambda text: str(Genotype.parse(text).canonical))
    by_cell = trainings["test_error"].groupby(genotypes)
    table = by_cell.agg(test_error="mean", standard_error="sem", trainings="size").sort_values("test_error")
    table["regret"] = table["test_error"] - table["test_error"].min()
    return table.assign(rank=range(1, len(table) + 1))


def _in_full(value):
    """Settings that are JSON, with the defaults of those that rows of before do not name; all else as it is."""
    try:
        return json.dumps(asdict(EvaluationSettings()) | json.loads(value), sort_keys=True)
    except (TypeError, ValueError):  # no settings
        return value


@cache
def known_truth(space: SearchSpace, data: str) -> pd.DataFrame | None:
    """The `ground_truth` of a space on data, at laptop scale (both cells trained); None where it is unknown."""
    name = KNOWN.get((space.name, data)) if space == spaces.SPACES.get(space.name) else None
    return None if name is None else pd.read_csv(str(files("darts_lab.studies") / name), index_col="genotype")
