"""The steps of one epoch: for every training batch one of alpha, where the schedule says so, and one of w."""

import itertools
from collections.abc import Generator
from typing import NamedTuple

import torch
from torch import Tensor

from darts_lab import ranks
from darts_lab.capture import set_rate
from darts_lab.search.loop import check_finite


class Steps(NamedTuple):
    """What the steps of an epoch came to."""

    train_loss: float
    train_error: float  # the task's
    alpha_steps: int
    moments: list | None  # before every batch: [*what the schedule goes by, whether alpha was updated]
    fisher_trace: float | None  # its running average, where the schedule goes by it


def take(search, learning_rate: float) -> Generator[None, None, tuple[Steps, tuple | None]]:
    """Takes the steps of the present epoch; between two batches the caller may wait, look, or never come back. Gives
    what they came to, and the last validation batch of an alpha step, where there was one.

    Raises FloatingPointError where a loss, or what the epoch leaves behind, is not finite.
    """
    descent, task, schedule = search.descent, search.task, search.method.schedule
    drop_path, strength, generator = search.drop_path, search.strength, descent.generator
    descent.optimizer.param_groups[0]["weight_decay"] = search.weight_decay * search.settings.decay_scale
    descent.unrolled_decay = search.unrolled_decay
    left = None if search.budget is None else search.budget - descent.timing.batches
    losses: list[Tensor] = []
    deviations: list[Tensor] = []
    valid_losses: dict[int, Tensor] = {}  # by batch
    moments, place_of_valid, valid = [], None, None
    for place in itertools.islice(task.order(search.settings.batch_size, generator), left):
        if losses:
            yield None
        rate = learning_rate * task.rate(place)
        set_rate(descent.optimizer, rate)
        train = task.training_batch("train", place, generator, strength)
        waits, moment = descent.progress <= schedule.wait, schedule.moment(descent.timing)
        due = not waits and schedule.due(descent.timing, search.seed)
        if moment is not None:
            moments.append([*moment, due])
        if due:
            place_of_valid = task.next_valid(search.valid_batch_size, generator)
        if due or (schedule.repeats and place_of_valid is not None):
            valid = task.training_batch("valid", place_of_valid, generator, strength)
            valid_losses[len(losses)] = descent.alpha_step(train, valid, rate, drop_path)
        loss, deviation, squared_gradient = descent.weight_step(train, drop_path)
        if ranks.samples(len(train[1])) < search.settings.batch_size and not search.settings.parity:
            squared_gradient = None  # of few samples it is many times as large
        descent.timing = schedule.after(descent.timing, due, squared_gradient)
        if search.method.after_step is not None:
            search.method.after_step(descent, train, valid)
        losses.append(loss)
        deviations.append(deviation)
    check_finite(
        search.epoch,
        {"valid_loss": valid_losses, "train_loss": dict(enumerate(losses))},
        {"alpha": descent.alpha} | descent.weights | dict(descent.supernet.named_buffers()),
    )
    train_loss = float(torch.stack(losses).mean())
    whole = len(losses) == search.steps_per_epoch or left is None
    samples = task.size("train") if whole else len(losses) * search.settings.batch_size
    train_error = task.error(float(sum(deviations)), samples)
    return Steps(train_loss, train_error, len(valid_losses), moments or None, descent.timing.trace), valid
