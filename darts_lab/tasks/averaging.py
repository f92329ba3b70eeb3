"""Averaged SGD, by which recurrent networks are trained from scratch (Merity et al. 2018)."""

import math

from darts_lab.capture import capturable, number
from darts_lab.optimizers import ASGD


class AveragedSGD(ASGD):
    """SGD without momentum that keeps the mean of its weights once `begin` is called: Polyak averaging."""

    def __init__(self, parameters, learning_rate: float, weight_decay: float):
        parameters = list(parameters)
        rate, more = number(learning_rate, parameters[0].device), capturable(parameters)
        super().__init__(parameters, rate, lambd=0.0, t0=math.inf, weight_decay=weight_decay, foreach=True, **more)

    @property
    def averaging(self) -> bool:
        return self.param_groups[0]["t0"] < math.inf

    def begin(self) -> None:
        """Keeps the means from the next step on."""
        self.param_groups[0]["t0"] = float(next(iter(self.state.values()))["step"]) - 1  # PyTorch weighs one step late

    def step(self, closure=None):
        for group in self.param_groups:
            for state in filter(None, (self.state.get(parameter) for parameter in group["params"])):
                state["eta"].fill_(group["lr"])  # which PyTorch updates behind a step: one batch too late
        return super().step(closure)
