"""How large everything is: the settings of a search and of a training from scratch, and what is allowed of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, TypeVar

from darts_lab.checks import Amount, Betas, Count, CountOrAll, Fraction, Natural, Positive, Switch, check, one_of, plain

ROBUSTDARTS, PRIME = CODES = ("RobustDARTS", "DARTS-PRIME")  # the code of Zela et al. 2020; of Maile et al. 2021
Settings = TypeVar("Settings", bound="SearchSettings | EvaluationSettings")
Parity = Annotated[bool | str, one_of(False, True, *CODES)]


@dataclass(frozen=True)
class SearchSettings:
    """Sizes and hyper-parameters of one search. `None` for a number of samples or nodes means all there are."""

    channels: Count = 16
    layers: Count = 8
    nodes: CountOrAll = None
    train_samples: CountOrAll = None
    valid_samples: CountOrAll = None
    epochs: Count = 50
    batch_size: Count = 64
    order: Annotated[int, one_of(1, 2)] = (
        2  # 1: gradient at the current weights; 2: one unrolled step (Liu et al. 2019, eq. 5 to 7)
    )
    learning_rate: Positive = 0.025  # SGD on w, cosine from here ...
    learning_rate_min: Amount = 0.001  # ... to here
    momentum: Fraction = 0.9
    weight_decay: Amount = 3e-4  # the L2 factor, as Zela et al. count it (section 4.2)
    decay_scale: Positive = 1.0  # what SGD is given is weight_decay times this: see `as_strong_as_in_the_papers`
    clip: Positive = 5.0
    alpha_learning_rate: Amount = 3e-4  # Adam on alpha
    alpha_betas: Betas = (0.5, 0.999)
    alpha_weight_decay: Amount = 1e-3
    alpha_spread: Amount = 1e-3  # alpha begins as this times N(0, 1)
    drop_path: Fraction = 0.0  # on mixed edges; rises linearly from 0 to this
    cutout: Natural = 16  # pixels a side; only where there is drop path, as in all searches of Zela et al.
    cutout_rises: Switch = (
        True  # its probability, linearly from 0 to 1 (Zela et al., appendix C.1); False: their code, 1
    )
    unrolled_epsilon: Positive = 0.01  # finite difference of the unrolled step: this / ||v||
    curvature_every: Natural = 2  # epochs from one measurement of the dominant eigenvalue to the next; 0: never
    curvature_batches: Count = 1  # of the validation split, the same every time
    curvature_parity: Switch = False  # measure what Zela et al. did: the epoch's last batch, see `curvature.Hessian`
    paths: Count = 1000  # random search with weight sharing: sampled cells that are scored ...
    path_batches: Count = 10  # ... each on so many batches of the validation split ...
    finalists: Count = 10  # ... and the best so many of them on the whole of it
    parity: Parity = False  # True: all that the authors' code does otherwise than their text, see docs/parity.md
    # "bfloat16": where PyTorch's autocast allows it; never in differences or Hessians
    precision: Annotated[str, one_of("float32", "bfloat16")] = "float32"
    compile: Switch = False  # torch.compile; takes minutes, and pays on a GPU if at all


@dataclass(frozen=True)
class EvaluationSettings:
    """Sizes and hyper-parameters of training one genotype from scratch."""

    channels: Count = 36
    layers: Count = 20
    train_samples: CountOrAll = None
    test_samples: CountOrAll = None
    epochs: Count = 600
    batch_size: Count = 96
    learning_rate: Positive = 0.025
    learning_rate_min: Amount = 0.0
    momentum: Fraction = 0.9
    weight_decay: Amount = 3e-4
    clip: Positive = 5.0
    drop_path: Fraction = 0.2  # rises linearly from 0
    cutout: Natural = 16
    auxiliary: Amount = 0.4  # weight of the auxiliary classifier; 0 for none
    # "skip": the normal cell alone is measured, in a network whose reduction cells are skips
    reductions: Annotated[str, one_of("searched", "skip")] = "searched"
    parity: Parity = False  # as in a search; True: of RobustDARTS
    # "bfloat16": where PyTorch's autocast allows it
    precision: Annotated[str, one_of("float32", "bfloat16")] = "float32"
    compile: Switch = False  # torch.compile; takes minutes, and pays on a GPU if at all


@dataclass(frozen=True)
class Scale:
    """A name and the settings that go with it; `strong_decay` is how many times the weight decay of plain DARTS the
    method R-DARTS(L2) takes: 81, the strongest factor of Zela et al. (section 4.2), where a scale can bear it.
    `instead` names data that are taken in place of others, in another size.

    >>> dl.scales.get("laptop").search.epochs, dl.scales.get("paper").search.epochs
    (40, 50)
    """

    name: str
    search: SearchSettings
    evaluation: EvaluationSettings
    strong_decay: float = 81
    instead: Mapping[str, str] = field(default_factory=dict)

    def data(self, data):
        """`data`, or the name of those that are taken in their place."""
        return self.instead.get(data, data) if isinstance(data, str) else data


def override(settings: Settings, **changes) -> Settings:
    """`settings` with some fields changed. Raises ValueError for a field that is not there or a senseless value."""
    known = {field.name for field in fields(settings)}
    for name in changes:
        if name not in known:
            raise ValueError(f"{ascii(name)[1:-1][:80]}: not a setting; known: {', '.join(sorted(known))}")
    return from_values(type(settings), vars(settings) | changes)


def from_values(kind: type[Settings], values: dict) -> Settings:
    """The settings of a `kind` with these values, and its defaults for all others; JSON's lists become tuples.

    Raises ValueError for a senseless value, TypeError for a field that is not there and for `values` of another type.
    """
    values = plain(values)
    settings = kind(**values)
    check(settings)
    floats = {field.name for field in fields(kind) if isinstance(field.default, float)}
    as_meant: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    as_meant |= {name: float(values[name]) for name in floats & values.keys()}  # 1 and 1.0 are the same plan
    return replace(settings, **as_meant)
