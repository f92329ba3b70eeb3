"""What a method is: data that says what differs from plain DARTS.

Parts of different papers combine freely: `dl.Method("mine", {"weight_decay": 0.0081, "order": 2})`.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from types import FunctionType

import torch
from torch import Generator, Tensor

from darts_lab.checks import Between, allow, plain
from darts_lab.genotype import Genotype
from darts_lab.methods.monitors import Adaptation, EarlyStopping
from darts_lab.methods.schedules import Every
from darts_lab.methods.terms import ADMM
from darts_lab.settings import CODES, ROBUSTDARTS
from darts_lab.spaces import SearchSpace


def softmax(alpha: Tensor) -> Tensor:
    """Mixing weights that compete within an edge (Liu et al. 2019, eq. 2)."""
    return torch.softmax(alpha, -1)


def clip(alpha: Tensor) -> Tensor:
    """Mixing weights that do not compete: alpha between 0 and 1 (the CRB activation of Maile et al. 2021)."""
    return alpha.clamp(0, 1)


OPTIONAL = ("draw", "perturb", "training_term", "after_step", "selection")  # functions that a method may have


@dataclass(frozen=True)
class Method:
    """How to search. A search asks each part its question and acts on the answer, a value.

    **The settings.** `settings` are the search settings that the method fixes, whatever the scale says, for instance
    `{"weight_decay": 0.0243}`. With `strong_decay` it takes `Scale.strong_decay` times the plain weight decay.
    `train_portion` is the share of the training and validation images together that trains the weights (None: as the
    data are split). `network` holds further arguments of the supernet: `{"node_norm": True}` puts a batch-norm behind
    every node, `{"share": 4}` lets a quarter of the channels through operations.

    **Alpha and mixing weights**, both of shape (cell types, edges, candidates); with `edge_alpha` alpha has one column
    more, a number for each edge. `activation(alpha)` gives the mixing weights that alpha stands for: they are recorded,
    measured and discretized. `draw(alpha, progress, generator)` replaces them in both steps of the search, for methods
    that sample (GDAS, DrNAS); it must be differentiable in alpha. `perturb(mixing, loss, progress, space, generator)`
    replaces them in the step of w only; `loss(mixing)` is the training loss of the batch (SDARTS). `progress` runs from
    0 to 1 over the search. `training_term(mixing, loss, progress, space, cells)` is a scalar added to the training loss
    that w descends; `loss` as before, also of mixing weights (layers, edges, candidates) that every cell has for
    itself, and `cells` are the types of the layers (Lambda-DARTS).

    **The weights.** `after_step(descent, train, valid)` is called after every step of w; `valid` is the last batch of
    an alpha step, or None. It may change the weights, and what it remembers stands in `descent.memory`, tensors by name
    (OLES).

    **The step of alpha.** `schedule` says before which training batches it is taken. `terms` are functions `(alpha,
    mixing, progress, space) -> scalar` added to the validation loss; `admm` is a term with a memory. With `pruning`,
    for activations that reach zero, alpha begins at the uniform share, `none` is no candidate, and an operation whose
    alpha has fallen to zero is left out from then on.

    **The result.** `monitor` ends the search early, or returns to an earlier epoch, when the dominant eigenvalue has
    risen too much. `selection(search)` gives the genotype where it is not the one with the largest mixing weights
    (random search, DARTS-PT). It is asked after every measured epoch; None leaves the choice to the mixing weights.

    **Parity.** `code` names the code whose oddities `parity=True` turns on, one of `settings.CODES`.

    >>> both = dl.Method("both", {"weight_decay": 0.0081}, terms=(dl.terms.Proximity(0.1),))
    >>> dl.Search("S2", method=both, scale="tiny", path=False).weight_decay
    0.0081
    """

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    activation: Callable[[Tensor], Tensor] = softmax
    draw: Callable[[Tensor, float, Generator], Tensor] | None = None
    perturb: Callable[[Tensor, Callable, float, SearchSpace, Generator], Tensor] | None = None
    training_term: Callable[[Tensor, Callable, float, SearchSpace, tuple], Tensor] | None = None
    after_step: Callable[[object, tuple, tuple | None], None] | None = None
    network: Mapping[str, object] = field(default_factory=dict)
    edge_alpha: bool = False
    pruning: bool = False
    terms: tuple[Callable[[Tensor, Tensor, float, SearchSpace], Tensor], ...] = ()
    admm: ADMM | None = None
    schedule: Every = Every()
    train_portion: float | None = None
    monitor: EarlyStopping | Adaptation | None = None
    selection: Callable[[object], Genotype | None] | None = None
    strong_decay: bool = False
    code: str = ROBUSTDARTS

    def __post_init__(self):
        kinds = {
            "name": (str, "a name"),
            "settings": (Mapping, "a dictionary of settings"),
            "network": (Mapping, "a dictionary of arguments of the supernet"),
            "terms": (tuple, "a tuple of functions"),
            "admm": (ADMM | None, "a terms.ADMM, or None"),
            "schedule": (Every, "one of those in schedules"),
            "monitor": (EarlyStopping | Adaptation | None, "a monitors.EarlyStopping or Adaptation, or None"),
            "strong_decay": (bool, "True or False"),
            "pruning": (bool, "True or False"),
            "edge_alpha": (bool, "True or False"),
            "code": (str, " or ".join(map(repr, CODES))),
            "train_portion": (float | None, "a number in (0, 1), or None"),
        }
        for name, (kind, words) in kinds.items():
            object.__setattr__(self, name, plain(getattr(self, name)))
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name}: {getattr(self, name)!r} is not allowed; it must be {words}")
        if self.train_portion is not None:
            allow("train_portion", self.train_portion, Between)
        if self.pruning and self.edge_alpha:
            raise ValueError("pruning: True is not allowed with edge_alpha; what is pruned has no weight of its edge")
        functions = [("terms", term) for term in self.terms] + [("activation", self.activation)]
        optional = [(name, getattr(self, name)) for name in OPTIONAL]
        for name, function in functions + [(name, value) for name, value in optional if value is not None]:
            if not callable(function):
                raise ValueError(f"{name}: {function!r} is not allowed; it must be a function")

    def defaults(self, scale) -> dict[str, object]:
        """The search settings in which the method differs from a `Scale`: name -> value. All are fixed, but a stronger
        weight decay is only the first of a ladder (L2_FACTORS)."""
        decay = float(f"{scale.strong_decay * scale.search.weight_decay:.12g}")  # 0.0027 and not 0.0026999999999999997
        return ({"weight_decay": decay} if self.strong_decay else {}) | dict(self.settings)

    @property
    def is_random_search(self) -> bool:
        """Whether alpha is never trained and every step of w is of a cell that was drawn."""
        return not self.schedule.trains_alpha and self.perturb is not None

    def official(self, carries: bool) -> "Method":
        """The method with its parts as the authors' code has them (docs/parity.md); `carries` as in the task."""
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        parts = {name: part.official(carries) for name, part in parts.items() if hasattr(part, "official")}
        if carries:
            parts["train_portion"] = None  # `train_search_rnn.py` of Maile et al. computes it and does not use it
        return replace(self, **parts)

    def parts(self) -> dict[str, str]:
        """What tells the method from plain DARTS beside its settings: the name of each part that differs, and its form
        in words. Equal in every process; a part that keeps its default is left out, so that a new part changes no older
        answer."""
        plain = Method(self.name)
        names = [one.name for one in fields(self) if one.name not in ("name", "settings", "strong_decay", "code")]
        return {name: in_words(getattr(self, name)) for name in names if getattr(self, name) != getattr(plain, name)}


def in_words(part) -> str:
    """A function, or another part of a method, in words that are the same in every process: its name, what it encloses,
    what differs from the defaults of a dataclass."""
    if isinstance(part, partial):
        arguments = [in_words(value) for value in part.args]
        arguments += [f"{name}={in_words(value)}" for name, value in sorted(part.keywords.items())]
        return f"{in_words(part.func)} with {', '.join(arguments)}"
    if isinstance(part, Mapping):
        return "{" + ", ".join(f"{key!r}: {in_words(value)}" for key, value in sorted(part.items())) + "}"
    if isinstance(part, tuple | list):
        return ", ".join(map(in_words, part))
    if isinstance(part, FunctionType):
        part = inspect.unwrap(part)  # of decorators such as torch.no_grad
        enclosed = [cell.cell_contents for cell in part.__closure__ or ()]
        if part.__name__ == "<lambda>":  # of which many have the same name
            code = part.__code__
            enclosed += [value for value in code.co_consts if isinstance(value, int | float | str)]
            enclosed.append(hashlib.sha256(repr((code.co_code, code.co_names)).encode()).hexdigest()[:8])
        return part.__qualname__ + (f" of {in_words(enclosed)}" if enclosed else "")
    if is_dataclass(part) and not isinstance(part, type):
        values = {one.name: getattr(part, one.name) for one in fields(part) if getattr(part, one.name) != one.default}
    elif type(part).__repr__ is object.__repr__:  # type: ignore[comparison-overlap]  # it would give an address
        values = getattr(part, "__dict__", {})
    else:
        return getattr(part, "__qualname__", None) or repr(part)
    return f"{type(part).__qualname__}({', '.join(f'{name}={in_words(value)}' for name, value in values.items())})"
