"""What a method is: data that says what differs from plain DARTS.

Parts of different papers combine freely: `dl.Method("mine", {"weight_decay": 0.0081, "order": 2})`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from darts_lab.genotype import Genotype, random_genotype
from darts_lab.methods.monitors import Adaptation, EarlyStopping
from darts_lab.methods.schedules import Every, Schedule
from darts_lab.methods.terms import ADMM
from darts_lab.spaces import SearchSpace


def softmax(alpha: Tensor) -> Tensor:
    """Mixing weights that compete within an edge (Liu et al. 2019, eq. 2)."""
    return torch.softmax(alpha, -1)


def clip(alpha: Tensor) -> Tensor:
    """Mixing weights that do not compete: alpha between 0 and 1 (the CRB activation of Maile et al. 2021)."""
    return alpha.clamp(0, 1)


@dataclass(frozen=True)
class Method:
    """How to search.

    `settings` are the search settings the method fixes, whatever the scale says, e.g. `{"weight_decay": 0.0243}`;
    with `strong_decay` it takes the scale's stronger decay of the weights, `Scale.strong_decay` times the plain one.
    `activation` turns alpha into mixing weights. `terms` are functions `(mixing, progress, space) -> scalar` added to
    the validation loss of the alpha steps; `progress` runs from 0 to 1 over the search (`regularizers` holds some).
    `pruning` is for activations that reach zero: alpha begins at the uniform share, `none` is no candidate, and an
    operation whose alpha has fallen to zero is out for good (and costs nothing any more); `node_norm` puts a batch-norm
    behind every node. `admm` is a term with a memory of its own. `schedule` says before which training batches alpha is updated, and
    `train_portion` how much of both halves together trains the weights (None: as the data are split). `monitor` ends the
    search, or throws it back, when the dominant eigenvalue has risen too much. `sample` is for searches without alpha:
    each step of w trains one cell `sample(space, generator)`, and the result is the best of many samples
    (`Search.best_path`).
    """

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    activation: Callable[[Tensor], Tensor] = softmax
    node_norm: bool = False
    pruning: bool = False
    terms: tuple[Callable[[Tensor, float, SearchSpace], Tensor], ...] = ()
    admm: ADMM | None = None
    schedule: Schedule = Every()
    train_portion: float | None = None
    monitor: EarlyStopping | Adaptation | None = None
    sample: Callable[[SearchSpace, Generator], Genotype] | None = None
    strong_decay: bool = False

    def __post_init__(self):
        kinds = {
            "name": (str, "a name"), "settings": (Mapping, "a dictionary of settings"), "terms": (tuple, "a tuple of functions"),
            "admm": (ADMM | None, "a regularizers.ADMM, or None"), "schedule": (Schedule, "one of those in schedules"),
            "monitor": (EarlyStopping | Adaptation | None, "a monitors.EarlyStopping or Adaptation, or None"),
            "strong_decay": (bool, "True or False"),
        }  # fmt: skip
        for name, (kind, words) in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name}: {getattr(self, name)!r} is not allowed; it must be {words}")
        for name, of in (
            ("terms", self.terms),
            ("activation", [self.activation]),
            ("sample", [self.sample or random_genotype]),
        ):
            for function in of:
                if not callable(function):
                    raise ValueError(f"{name}: {function!r} is not allowed; it must be a function")

    def defaults(self, scale) -> dict[str, object]:
        """The search settings in which the method differs from a `Scale`: name -> value. All but a stronger weight decay,
        of which there is a ladder (L2_FACTORS), are fixed."""
        decay = float(f"{scale.strong_decay * scale.search.weight_decay:.12g}")  # 0.0027 and not 0.0026999999999999997
        return ({"weight_decay": decay} if self.strong_decay else {}) | dict(self.settings)
