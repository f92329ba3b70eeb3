"""What watches a search: the rule that tells from the eigenvalues when it has gone too far, and what to do then.

The rule of Zela et al. 2020 (section 5.1 and appendix D.1) works on the dominant eigenvalue, measured every few epochs:
it averages each value over its neighbours and looks for a steep rise from one average to a later one. There are two
versions of it:

- `RULE`, the default, made the published figures (`plots/increasing_eigens.py` of their code): averages over 5
  measurements (nine epochs in the paper), compared 4 measurements apart, a rise by more than 1.3, from epoch 10 on.
- `LITERAL` is what the text says: averages over five epochs, compared five epochs apart, a rise by more than 1 / 0.75,
  from the first epoch on. It stops half of the authors' own runs before epoch 10.

What a monitor says follows from the history alone, so a resumed search ends where it would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd

from darts_lab.checks import AboveOne, Count, Natural, Positive, check, one_of
from darts_lab.spaces import SKIP

UNITS = ("measurements", "epochs")


@dataclass(frozen=True)
class Rule:
    """When the dominant eigenvalue has risen too much.

    The local average is over `window` values, as many before as behind (fewer at both ends of a run). Where it is more
    than `factor` times as large `delta` later, the search should have stopped at the first of the two, if that is
    epoch `start` or later. `window` and `delta` are counted in `unit`: "measurements" or "epochs".
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
        """(epochs, local averages of `values`), which were measured at `epochs`."""
        epochs, values = np.asarray(epochs, int), np.asarray(values, float)
        half, count = self.window // 2, len(values)
        if self.unit == "measurements":
            return epochs, np.array([values[max(0, j - half) : j + half + 1].mean() for j in range(count)])
        every = np.arange(epochs[0], epochs[-1] + 1) if count else epochs
        near = [values[np.abs(epochs - epoch) <= half] for epoch in every]
        return every, np.array([some.mean() if len(some) else np.nan for some in near])

    def stop(self, epochs: Sequence[int], values: Sequence[float], finished: bool = True) -> int | None:
        """The epoch at which to stop, or None.

        While a search runs (`finished` False) averages whose window is not full yet do not count.
        """
        places, averages = self.averages(epochs, values)
        known = len(averages) - (0 if finished else self.window // 2)
        for place, now, later in zip(places, averages, averages[self.delta : max(known, 0)], strict=False):
            if place >= self.start and now >= 0 and later > self.factor * now:
                return int(place)
        return None

    def replay(self, epochs: Sequence[int], values: Sequence[float], finished: bool = True) -> tuple[int, int] | None:
        """(the epoch at which to stop, the epoch at which that was known), or None: as if the search ran now.

        `finished` says whether the last value is that of a finished search.
        """
        for count in range(1, len(values) + 1):
            stop = self.stop(epochs[:count], values[:count], finished and count == len(values))
            if stop is not None:
                return stop, int(epochs[count - 1])
        return None

    def check(self, epochs: Sequence[int], finished: bool = True) -> None:
        """Raises ValueError where in a search measured at `epochs` the rule could never hold.

        `finished` as for `stop`: whether averages at the end count whose window is not full.
        """
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
                f"start: from epoch {self.start} on, no {self.unit} are {self.delta} apart in a search that is measured "
                f"{len(epochs)} times, last in epoch {epochs[-1]}"
            )


RULE = Rule()
LITERAL = Rule(window=5, factor=1 / 0.75, delta=5, start=0, unit="epochs")


class Verdict(NamedTuple):
    """What a monitor says after an epoch: go on, or end with the cell of epoch `stop`, or go `back` to an epoch. `keep` is how
    many of the last measured epochs it may want to go back to."""

    stop: int | None = None
    back: int | None = None
    keep: int = 0


@dataclass(frozen=True)
class EarlyStopping:
    """DARTS-ES: ends the search as soon as `rule` holds; the cell of the epoch that it names is the result."""

    rule: Rule = RULE

    def verdict(self, history, finished: bool) -> Verdict:
        """After the last epoch of `history`; `finished` says whether that is the last of the search."""
        return Verdict(stop=self.rule.stop(*measurements(history), finished))

    def check(self, measured: Sequence[int], weight_decay: float) -> None:
        """Raises ValueError where it could never act in a search that is measured in these epochs."""
        self.rule.check(measured)


@dataclass(frozen=True)
class Adaptation:
    """DARTS-ADA: goes back to the epoch that `rule` names and on with `factor` times the weight decay, up to `most`.

    Weights, alpha, optimisers and random numbers are those of that epoch. After going back only new measurements
    count, and with the largest decay the search goes on to its end. Zela et al. 2020, algorithm 1: 3e-4, 3e-3, 3e-2.
    """

    rule: Rule = RULE
    factor: AboveOne = 10.0
    most: Positive = 3e-2

    def __post_init__(self):
        check(self)

    def verdict(self, history, finished: bool) -> Verdict:
        """As `EarlyStopping.verdict`; in the last epoch, and with the largest decay, it goes on."""
        if finished or self.stronger(history[-1].weight_decay) is None:
            return Verdict()
        keep = self.rule.delta + self.rule.window
        return Verdict(back=self.rule.stop(*measurements(history), finished), keep=keep)

    def check(self, measured: Sequence[int], weight_decay: float) -> None:
        """As `EarlyStopping.check`, and where there is no weight decay to be made stronger."""
        self.rule.check(measured[:-1], finished=False)  # in the last epoch it does nothing
        if weight_decay == 0:
            raise ValueError("weight_decay: 0.0 is not allowed with adaptation, which multiplies it")

    def stronger(self, weight_decay: float) -> float | None:
        """The next weight decay, or None where it is the largest already (or 0, which no factor raises)."""
        if weight_decay >= self.most or weight_decay == 0:
            return None
        return min(float(f"{weight_decay * self.factor:.12g}"), self.most)  # 3e-3 and not 0.0029999999999999996


def measured_epochs(epochs: int, every: int) -> list[int]:
    """When the eigenvalue is measured: epochs 0, `every`, 2 * `every`, ... and the last; never where `every` is 0."""
    if every == 0:
        return []
    return sorted({*range(0, epochs, every), epochs - 1})


def measurements(history) -> tuple[list[int], list[float]]:
    """(epochs, dominant eigenvalues) of a history, from the last time on that the search was thrown back."""
    thrown_back = [index for index, record in enumerate(history) if record.back_to is not None]
    recent = history[thrown_back[-1] + 1 :] if thrown_back else history
    found = [(record.epoch, record.dominant_eigenvalue) for record in recent if record.dominant_eigenvalue is not None]
    return [epoch for epoch, _ in found], [value for _, value in found]


def replay(searches: Iterable, rule: Rule = RULE) -> pd.DataFrame:
    """Where `rule` would have stopped searches that have been run (`runs.Recorded`), one row for each.

    `ev_*` are the dominant eigenvalues: of the first and last measurement, their mean and largest; `stop_epoch` is the
    last epoch where the rule never holds, and `known_at` the epoch at which a running search would have known. Errors
    are fractions; skips are those of the normal cell.
    """
    rows = []
    for search in searches:
        epochs, values = measurements(search.history)
        row = {name: getattr(search, name) for name in ("name", "space", "data", "drop_path", "weight_decay", "seed")}
        row |= {"epochs": len(search.history), "problems": "; ".join(search.problems)}
        if values:
            last = search.history[-1]
            stop, known_at = rule.replay(epochs, values) or (last.epoch, last.epoch)
            stopped = next(record for record in reversed(search.history) if record.epoch == stop)
            row |= {
                "ev_first": values[0],
                "ev_last": values[-1],
                "ev_mean": float(np.mean(values)),
                "ev_max": max(values),
            }
            row |= {"stop_epoch": stop, "known_at": known_at}
            for when, record in (("last", last), ("stop", stopped)):
                row |= {
                    f"valid_error_{when}": record.valid_error,
                    f"skips_{when}": record.genotype.count(SKIP, "normal"),
                }
        rows.append(row)
    return pd.DataFrame(rows)
