"""How large everything is: the settings of a search and of a training from scratch, and what is allowed of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace


@dataclass(frozen=True)
class SearchSettings:
    """Sizes and hyper-parameters of one search. `None` for a number of samples or nodes means all there are."""

    channels: int = 16
    layers: int = 8
    nodes: int | None = None
    train_samples: int | None = None
    valid_samples: int | None = None
    epochs: int = 50
    batch_size: int = 64
    order: int = 2  # 1: gradient at the current weights; 2: one unrolled step (Liu et al. 2019, eq. 5 to 7)
    learning_rate: float = 0.025  # SGD on w, cosine from here ...
    learning_rate_min: float = 0.001  # ... to here
    momentum: float = 0.9
    weight_decay: float = 3e-4  # the L2 factor, as Zela et al. count it (section 4.2)
    decay_scale: float = 1.0  # what SGD is given is weight_decay times this: see `as_strong_as_in_the_papers`
    clip: float = 5.0
    alpha_learning_rate: float = 3e-4  # Adam on alpha
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    alpha_weight_decay: float = 1e-3
    alpha_spread: float = 1e-3  # alpha begins as this times N(0, 1)
    drop_path: float = 0.0  # on mixed edges; rises linearly from 0 to this
    cutout: int = 16  # pixels a side; only where there is drop path, as in all searches of Zela et al.
    cutout_rises: bool = True  # its probability, linearly from 0 to 1 (Zela et al., appendix C.1); False: their code, 1
    unrolled_epsilon: float = 0.01  # finite difference of the unrolled step: this / ||v||
    curvature_every: int = 2  # epochs from one measurement of the dominant eigenvalue to the next; 0: never
    curvature_batches: int = 1  # of the validation split, the same every time
    curvature_parity: bool = False  # measure what Zela et al. did: the epoch's last batch, see `curvature.Hessian`
    paths: int = 1000  # random search with weight sharing: sampled cells that are scored ...
    path_batches: int = 10  # ... each on so many batches of the validation split ...
    finalists: int = 10  # ... and the best so many of them on the whole of it
    precision: str = "float32"  # "bfloat16": where PyTorch's autocast allows it; never in differences or Hessians
    compile: bool = False  # torch.compile; takes minutes, and pays on a GPU if at all


@dataclass(frozen=True)
class EvaluationSettings:
    """Sizes and hyper-parameters of training one genotype from scratch."""

    channels: int = 36
    layers: int = 20
    train_samples: int | None = None
    test_samples: int | None = None
    epochs: int = 600
    batch_size: int = 96
    learning_rate: float = 0.025
    learning_rate_min: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    drop_path: float = 0.2  # rises linearly from 0
    cutout: int = 16
    auxiliary: float = 0.4  # weight of the auxiliary classifier; 0 for none
    reductions: str = (
        "searched"  # "skip": the normal cell alone is measured, in a network whose reduction cells are skips
    )
    precision: str = "float32"  # "bfloat16": where PyTorch's autocast allows it
    compile: bool = False  # torch.compile; takes minutes, and pays on a GPU if at all


# What settings that came later mean where an older table or run says nothing of them: what was done before.
BEFORE = {"decay_scale": 1.0, "reductions": "searched"}


@dataclass(frozen=True)
class Scale:
    """A name and the settings that go with it; `strong_decay` is how many times the weight decay of plain DARTS the method
    R-DARTS(L2) takes: 81, the strongest factor of Zela et al. (section 4.2), where a scale can bear it."""

    name: str
    search: SearchSettings
    evaluation: EvaluationSettings
    strong_decay: float = 81


def telling(settings) -> dict:
    """`settings` by name, without those of `BEFORE` that mean what was done before there was such a setting: what a table
    or a hash says of them, so that a new setting leaves every older row what it was."""
    return {name: value for name, value in asdict(settings).items() if (name, value) not in BEFORE.items()}


def asked(kind: type, told: dict) -> dict:
    """`told` by a table or a run of settings of a `kind`, completed with what `telling` leaves out."""
    return {name: value for name, value in BEFORE.items() if hasattr(kind, name)} | told


def override(settings, **changes):
    """`settings` with some fields changed. Raises ValueError for a field that is not there or a senseless value."""
    known = {field.name for field in fields(settings)}
    for name in changes:
        if name not in known:
            raise ValueError(f"{name}: not a setting; known: {', '.join(sorted(known))}")
    settings = replace(settings, **changes)
    check(settings)
    return settings


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_COUNT = "a whole number of at least 1", lambda value: _whole(value) and value >= 1
_FRACTION = "a number in [0, 1)", lambda value: _number(value) and 0 <= value < 1
_POSITIVE = "a number above 0", lambda value: _number(value) and 0 < value < float("inf")
_FINITE = "a number of at least 0", lambda value: _number(value) and 0 <= value < float("inf")
_ALLOWED = {
    **dict.fromkeys(("channels", "layers", "epochs", "batch_size", "curvature_batches"), _COUNT),
    **dict.fromkeys(("paths", "path_batches", "finalists"), _COUNT),
    **dict.fromkeys(("bptt", "valid_streams", "test_streams", "nonmonotone"), _COUNT),
    **dict.fromkeys(("momentum", "drop_path", "short_windows"), _FRACTION),
    **dict.fromkeys(
        ("dropout_output", "dropout_hidden", "dropout_input", "dropout_embedding", "dropout_word"), _FRACTION
    ),
    **dict.fromkeys(("learning_rate", "clip", "unrolled_epsilon", "initial_spread", "decay_scale"), _POSITIVE),
    **dict.fromkeys(
        ("nodes", "train_samples", "valid_samples", "test_samples"),
        (_COUNT[0] + ", or None for all", lambda value: value is None or _COUNT[1](value)),
    ),
    "reductions": ("'searched' or 'skip'", lambda value: value in ("searched", "skip")),
    "precision": ("'float32' or 'bfloat16'", lambda value: value in ("float32", "bfloat16")),
    **dict.fromkeys(
        ("compile", "curvature_parity", "cutout_rises", "running_statistics"),
        ("True or False", lambda value: isinstance(value, bool)),
    ),
    "order": ("1 or 2", lambda value: _whole(value) and value in (1, 2)),
    **dict.fromkeys(
        ("cutout", "curvature_every", "displacements"),
        ("a whole number of at least 0", lambda value: _whole(value) and value >= 0),
    ),
    "alpha_betas": (
        "two numbers in [0, 1)",
        lambda value: isinstance(value, tuple | list) and len(value) == 2 and all(map(_FRACTION[1], value)),
    ),
}


def check(settings) -> None:
    """Raises ValueError, naming the field, its value and what is allowed, where a setting makes no sense."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        words, fine = _ALLOWED.get(field.name, _FINITE)
        if not fine(value):
            raise ValueError(f"{field.name}: {value!r} is not allowed; it must be {words}")
