"""Monitors of a search: a rule that says from the eigenvalues when the search has gone too far, and what to do then.

The rule of Zela et al. 2020 (section 5.1 and appendix D.1) uses the dominant eigenvalue, measured every few epochs. It
averages each value over its neighbours and looks for a steep rise from one average to a later one. There are two
versions of it:

- `RULE`, the default, made the published figures (`plots/increasing_eigens.py` of their code): averages over 5
  measurements (nine epochs in the paper), compared 4 measurements apart, a rise by more than 1.3, from epoch 10 on.
- `LITERAL` follows the text: averages over five epochs, compared five epochs apart, a rise by more than 1 / 0.75, from
  the first epoch on. It stops half of the authors' own runs before epoch 10.

A monitor sees only the history, so a resumed search ends in the same epoch as one that was not interrupted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from darts_lab.checks import AboveOne, Count, Natural, Positive, Switch, argument, check, checked, one_of
from darts_lab.spaces import SKIP

UNITS = ("measurements", "epochs")


@dataclass(frozen=True)
class Rule:
    """When the dominant eigenvalue has risen too much.

    Each value is averaged over a window of `window` values around it (fewer at both ends of a run). If an average is
    more than `factor` times the one `delta` before it, the search should have stopped at that earlier one, provided
    that it is in epoch `start` or later. `window` and `delta` are counted in `unit`: "measurements" or "epochs".

    >>> rule = dl.monitors.Rule(window=1, factor=1.3, delta=2, start=0)
    >>> rule.replay(epochs=[0, 5, 10, 15], values=[1.0, 1.0, 1.2, 1.5])  # stop at epoch 5, known in epoch 15
    (5, 15)
    """

    window: Count = 5
    factor: AboveOne = 1.3
    delta: Count = 4
    start: Natural = 10
    unit: Annotated[str, one_of(*UNITS)] = "measurements"

    def __post_init__(self):
        check(self)
        if self.window % 2 == 0:
            raise ValueError(f"window: {self.window} is not allowed; it must be odd, as many before as behind")

    def averages(self, epochs: Sequence[int], values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """(epochs, local averages) of `values` that were measured in `epochs`."""
        epochs, values = np.asarray(epochs, int), np.asarray(values, float)
        half, count = self.window // 2, len(values)
        if self.unit == "measurements":
            return epochs, np.array([values[max(0, j - half) : j + half + 1].mean() for j in range(count)])
        all_epochs = np.arange(epochs[0], epochs[-1] + 1) if count else epochs
        windows = [values[np.abs(epochs - epoch) <= half] for epoch in all_epochs]
        return all_epochs, np.array([window.mean() if len(window) else np.nan for window in windows])

    def stop(self, epochs: Sequence[int], values: Sequence[float], finished: bool = True) -> int | None:
        """The epoch at which to stop, or None.

        While a search runs (`finished` is False), averages whose window is not full yet do not count.
        """
        epochs, averages = self.averages(epochs, values)
        known = len(averages) - (0 if finished else self.window // 2)
        for epoch, now, later in zip(epochs, averages, averages[self.delta : max(known, 0)], strict=False):
            if epoch >= self.start and now >= 0 and later > self.factor * now:
                return int(epoch)
        return None

    def replay(self, epochs: Sequence[int], values: Sequence[float], finished: bool = True) -> tuple[int, int] | None:
        """(the epoch at which to stop, the epoch in which a running search knew it), or None. `finished` says whether
        the last value is that of a finished search."""
        for count in range(1, len(values) + 1):
            stop = self.stop(epochs[:count], values[:count], finished and count == len(values))
            if stop is not None:
                return stop, int(epochs[count - 1])
        return None

    def check(self, epochs: Sequence[int], finished: bool = True) -> None:
        """Raises ValueError where the rule can never hold in a search measured in `epochs`; `finished` as in `stop`."""
        places = list(epochs) if self.unit == "measurements" or not epochs else list(range(epochs[-1] + 1))
        places = places[: len(places) - (0 if finished else self.window // 2)]
        for name in ("window", "delta"):
            if getattr(self, name) + (name == "delta") > len(places):
                raise ValueError(
                    f"{name}: {getattr(self, name)} {self.unit} are more than a search with {len(places)} {self.unit} "
                    "can hold against each other"
                )
        if places[len(places) - 1 - self.delta] < self.start:
            raise ValueError(
                f"start: from epoch {self.start} on, no {self.unit} are {self.delta} apart in a search that is "
                f"measured {len(epochs)} times, last in epoch {epochs[-1]}"
            )


RULE = Rule()
LITERAL = Rule(window=5, factor=1 / 0.75, delta=5, start=0, unit="epochs")


class Verdict(NamedTuple):
    """The answer of a monitor after an epoch: go on, or end with the cell of epoch `stop`, or go `back` to an epoch.

    `keep` is the number of last measured epochs to which it may still go back.
    """

    stop: int | None = None
    back: int | None = None
    keep: int = 0


@dataclass(frozen=True)
class EarlyStopping:
    """DARTS-ES: ends the search as soon as `rule` holds. The result is the cell of the epoch that the rule gives."""

    kept: ClassVar[int] = 0  # of the epochs before: it never goes back
    rule: Rule = RULE
    at_end: Switch = True  # whether it judges after the last epoch too, as for the published figures; the code does not

    def official(self, carries: bool) -> "EarlyStopping":
        """As in the code of Zela et al."""
        return replace(self, at_end=False)

    def __post_init__(self):
        argument("rule", self.rule, Rule)
        check(self)

    def verdict(self, history, finished: bool) -> Verdict:
        """The verdict after the last epoch of `history`. `finished` says whether the search ends with it."""
        if finished and not self.at_end:
            return Verdict()
        return Verdict(stop=self.rule.stop(*measurements(history), finished))

    def check(self, measured: Sequence[int], weight_decay: float) -> None:
        """Raises ValueError where it could never act in a search in which the epochs `measured` are measured."""
        self.rule.check(measured)


@dataclass(frozen=True)
class Adaptation:
    """DARTS-ADA: goes back to the epoch that `rule` gives, then on with `factor` times the weight decay, up to `most`.

    Weights, alpha, optimisers and random numbers are those of that epoch. After going back, only new measurements
    count; with `keeps`, as in the code of Zela et al., all do, each behind the one before, whatever epoch it was of.
    With the largest decay, the search goes on to its end. Zela et al. 2020, algorithm 1: 3e-4, 3e-3, 3e-2.
    """

    rule: Rule = RULE
    factor: AboveOne = 10.0
    most: Positive = 3e-2
    keeps: Switch = False

    def __post_init__(self):
        argument("rule", self.rule, Rule)
        check(self)
        if self.keeps and self.rule.unit != "measurements":
            raise ValueError(f"keeps: True is not allowed with a rule in {self.rule.unit}; it counts measurements")

    def official(self, carries: bool) -> "Adaptation":
        """As in the code of Zela et al."""
        return replace(self, keeps=True)

    def verdict(self, history, finished: bool) -> Verdict:
        """As `EarlyStopping.verdict`, but after the last epoch or with the largest decay it is to go on."""
        if finished:
            return Verdict()
        if self.stronger(history[-1].weight_decay) is None:  # until it is changed by hand
            return Verdict(keep=self.kept)
        if self.keeps:
            return Verdict(back=self._back_of_all(history), keep=self.kept)
        back = self.rule.stop(*measurements(history), finished)
        return Verdict(back=back, keep=self.kept if back is None else 0)

    @property
    def kept(self) -> int:
        """The number of last measured epochs to which it may go back."""
        return self.rule.delta + self.rule.window

    def _back_of_all(self, history) -> int | None:
        """The epoch to go back to, by the newest average of all measurements."""
        measured = [record for record in history if record.dominant_eigenvalue is not None]
        _, averages = self.rule.averages(range(len(measured)), [record.dominant_eigenvalue for record in measured])
        half = self.rule.window // 2
        known = averages[: len(averages) - half]
        if len(known) <= self.rule.delta or not known[-1] > self.rule.factor * known[-1 - self.rule.delta] >= 0:
            return None
        every = measured[1].epoch - measured[0].epoch
        epoch = measured[-1].epoch - every * (half + self.rule.delta)
        return epoch if epoch >= self.rule.start else None

    def check(self, measured: Sequence[int], weight_decay: float) -> None:
        """As `EarlyStopping.check`. Also raises ValueError if there is no weight decay to multiply."""
        self.rule.check(measured[:-1], finished=False)  # after the last epoch it does nothing
        if weight_decay == 0:
            raise ValueError("weight_decay: 0.0 is not allowed with adaptation, which multiplies it")

    def stronger(self, weight_decay: float) -> float | None:
        """The next weight decay, or None if it is the largest already (or 0, which cannot be multiplied)."""
        if weight_decay >= self.most or weight_decay == 0:
            return None
        return min(float(f"{weight_decay * self.factor:.12g}"), self.most)  # 3e-3 and not 0.0029999999999999996


def measured_epochs(epochs: int, every: int) -> list[int]:
    """The epochs in which the eigenvalue is measured: 0, `every`, 2 * `every`, ..., the last; [] if `every` is 0."""
    return sorted({*range(0, epochs, every), epochs - 1}) if every else []


def measurements(history) -> tuple[list[int], list[float]]:
    """(epochs, dominant eigenvalues) of a history, since the last time that the search went back."""
    since = max((index + 1 for index, record in enumerate(history) if record.back_to is not None), default=0)
    measured = [record for record in history[since:] if record.dominant_eigenvalue is not None]
    return [record.epoch for record in measured], [record.dominant_eigenvalue for record in measured]


@checked
def replay(searches: Iterable, rule: Rule = RULE) -> pd.DataFrame:
    """Where `rule` would have stopped searches that have been run (`runs.Recorded`), one row for each.

    `ev_*` are the dominant eigenvalues: the first and last, their mean and maximum. `stop_epoch` is the last epoch if
    the rule never holds, `known_at` the epoch in which a running search would have known. Errors are fractions, skips
    are those of the normal cell.
    """
    rows = []
    for search in searches:
        if not hasattr(search, "problems"):
            what = "searches that have been run (runs.read, read_robustdarts)"
            raise ValueError(f"searches: {type(search).__name__} is not allowed in the list; it must hold {what}")
        epochs, values = measurements(search.history)
        row = {name: getattr(search, name) for name in ("name", "space", "data", "drop_path", "weight_decay", "seed")}
        row |= {"epochs": len(search.history), "problems": "; ".join(search.problems)}
        if values:
            last = search.history[-1]
            stop, known_at = rule.replay(epochs, values, search.whole) or (last.epoch, last.epoch)
            stopped = next(record for record in reversed(search.history) if record.epoch == stop)
            row |= {"ev_first": values[0], "ev_last": values[-1], "ev_mean": float(np.mean(values))}
            row |= {"ev_max": max(values), "stop_epoch": stop, "known_at": known_at}
            for when, record in (("last", last), ("stop", stopped)):
                row[f"valid_error_{when}"] = record.valid_error
                row[f"skips_{when}"] = record.genotype.count(SKIP, "normal")
        rows.append(row)
    return pd.DataFrame(rows)
