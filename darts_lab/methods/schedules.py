"""When alpha is updated: before which training batches an alpha step is taken.

A schedule is data; what it remembers is a `Timing`, which the search stores. `FisherTrace` is that of DARTS-PRIME
(Maile et al. 2021; formulas of their code, `train_scheduled_hard_statebn.py`): alpha waits for moments at which the
weights have little left to learn. `Random` is the control that tells whether the moments matter.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace

from darts_lab.checks import AboveOne, Count, Fraction, PositiveOrNone, Share, check


@dataclass(frozen=True)
class Timing:
    """What a schedule remembers: training batches and alpha steps so far; the Fisher trace's average and first
    value."""

    batches: int = 0
    alpha_steps: int = 0
    trace: float | None = None
    first: float | None = None

    def after(self, due: bool, trace: float | None = None, average: float = 1.0) -> Timing:
        """One training batch later, with an alpha step before it if one was `due`, and `trace` averaged in."""
        later = replace(self, batches=self.batches + 1, alpha_steps=self.alpha_steps + due)
        if trace is None:
            return later
        if self.trace is None:
            return replace(later, trace=trace, first=trace)
        return replace(later, trace=average * trace + (1 - average) * self.trace)


@dataclass(frozen=True)
class Every:
    """An alpha step before every `batches`-th training batch; 1 is DARTS. In the first `wait` of the search (0 to 1)
    there is none."""

    batches: Count = 1
    wait: Fraction = field(default=0.0, kw_only=True)
    trains_alpha = True  # whether there are alpha steps at all
    repeats = False  # whether a batch at which no step is due repeats the last one: `StaleFisherTrace`

    def __post_init__(self):
        check(self)

    def due(self, timing: Timing, seed: int) -> bool:
        """Whether an alpha step comes before the next training batch; `seed` is that of the search."""
        return (timing.batches + 1) % self.batches == 0

    def moment(self, timing: Timing) -> tuple[float, float | None] | None:
        """What it goes by before the next training batch: nothing."""
        return None

    def after(self, timing: Timing, due: bool, squared_gradient) -> Timing:
        """What is remembered one training batch later; `squared_gradient` is that of the weights on it, a tensor; None
        for a batch that has fewer samples than others."""
        return timing.after(due)


@dataclass(frozen=True)
class Never(Every):
    """No alpha step: random search with weight sharing, which has no alpha to train or to measure."""

    trains_alpha = False

    def due(self, timing: Timing, seed: int) -> bool:
        """As `Every.due`: False."""
        return False


@dataclass(frozen=True)
class Random(Every):
    """An alpha step before a training batch with probability 1 / (`batches` + 1): as often as `FisherTrace`, on
    average."""

    batches: Count = 10

    def due(self, timing: Timing, seed: int) -> bool:
        """As `Every.due`; the same seed draws the same moments."""
        return random.Random(f"{seed} {timing.batches}").random() < 1 / (self.batches + 1)


@dataclass(frozen=True)
class FisherTrace(Every):
    """An alpha step where the weights' gradient has become small: one for `batches` training batches that wait.

    The trace of the empirical Fisher information is estimated, free of charge, by the squared norm of the weights'
    gradient on a training batch before it is clipped, averaged exponentially with weight `average` for the newest; an
    epoch's last batch, where it is smaller, is left out. An
    alpha step is due where that lies below a threshold, which grows by `growth` with every batch that waits and shrinks
    by growth^-`batches` with every alpha step: after n batches with a alpha steps among them

        threshold = start * growth^(n - (batches + 1) a).

    Where the trace stays within bounds a is therefore n / (batches + 1), whatever its course: the rule decides when,
    not how often. `start` None is the first trace that is seen; the code of Maile et al. starts with 1.
    """

    batches: Count = 10
    average: Share = 0.2
    growth: AboveOne = 1.05
    start: PositiveOrNone = None

    def official(self, carries: bool) -> FisherTrace:
        """As in the code of Maile et al.: `train_scheduled_hard_statebn.py`, or where batches carry a state on
        `train_search_rnn.py`."""
        if carries:
            return StaleFisherTrace(self.batches, average=1.0, growth=self.growth, start=1.0)
        return replace(self, start=1.0)

    def threshold(self, timing: Timing) -> float | None:
        """Below which the averaged trace must lie; None before the first batch, which sets where it starts."""
        start = timing.first if self.start is None else self.start
        if start is None:
            return None
        exponent = timing.batches - (self.batches + 1) * timing.alpha_steps
        return start * self.growth ** min(exponent, 700 / math.log(self.growth))  # e^700: a float holds little more

    def due(self, timing: Timing, seed: int) -> bool:
        """As `Every.due`; never before the first batch."""
        threshold = self.threshold(timing)
        return timing.trace is not None and threshold is not None and 0 < timing.trace < threshold

    def moment(self, timing: Timing) -> tuple[float, float | None] | None:
        """(averaged trace, threshold) before the next training batch; None before the first."""
        return None if timing.trace is None else (timing.trace, self.threshold(timing))

    def after(self, timing: Timing, due: bool, squared_gradient) -> Timing:
        """As `Every.after`, with the trace averaged in; the device is waited for."""
        return timing.after(due, None if squared_gradient is None else float(squared_gradient), self.average)


class StaleFisherTrace(FisherTrace):
    """What the recurrent search of Maile et al. does (`train_search_rnn.py` of their code): after the first batch of an
    epoch at which an alpha step is due, one is taken before every later batch, and those that are not due use the last
    validation batch again. For comparison with it alone: about ten times as many steps as `FisherTrace` takes."""

    repeats = True
