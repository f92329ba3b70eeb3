"""The samples that a search, or a training from scratch, takes of its data: the same for the same plan."""

import warnings

from darts_lab import data as datasets
from darts_lab import tasks
from darts_lab.data import Splits
from darts_lab.plan import Plan
from darts_lab.tasks import scales


def of_search(plan: Plan) -> Splits:
    """The data that the weights and alpha of a search descend. Raises ValueError for more samples than there are."""
    data = datasets.load(plan.data)
    data = _subset(data, plan, "search", ("train", "valid"))
    portion = plan.searched[1].train_portion
    return data if portion is None else data.resplit(portion, plan.seed)


def of_training(plan: Plan) -> Splits:
    """The data that a training from scratch learns from and is tested on. Raises as `of_search`."""
    data = datasets.load(plan.data)
    return _subset(tasks.of(data).whole(data), plan, "evaluation", ("train", "test"))


def _subset(data: Splits, plan: Plan, part: str, splits: tuple[str, ...]) -> Splits:
    """As many samples of `splits` as the settings say: all where that is the scale's number and there are fewer."""
    preset = scales.DOMAINS[tasks.of(data).domain].get(plan.scale)
    wanted, fewer = {}, []
    for split in splits:
        name, there = f"{split}_samples", len(getattr(data, split)[-1])
        n = getattr(getattr(plan, part), name)
        if n is not None and n > there:
            if preset is None or n != getattr(getattr(preset, part), name):
                raise ValueError(f"{name}: {n} is not allowed; the {split} split holds 1 to {there}, None for all")
            fewer.append(f"{there} of {n} for {split}")
            n = None
        wanted[split] = n
    if fewer:
        words = f"has fewer samples than scale {plan.scale!r} asks for; all are taken: {', '.join(fewer)}"
        warnings.warn(f"data: {data.name!r} {words}", stacklevel=5)
    return data.subset(**wanted, seed=plan.seed)
