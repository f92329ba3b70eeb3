"""How large everything is, chosen by one word: tiny, laptop or paper.

A scale holds the settings of the search and those of the training from scratch. `paper` is the protocol of Zela et
al. 2020 (their code's `args.py`, `config.yaml` and `evaluation/config.yaml`; facts marked below), `laptop` shows the
same phenomena within minutes on two cores, `tiny` only proves that the code runs.
"""

from __future__ import annotations

import math
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


PAPER = Scale("paper", SearchSettings(curvature_parity=True), EvaluationSettings())


def as_strong_as_in_the_papers(settings: SearchSettings, train_samples: int) -> float:
    """The `decay_scale` at which an L2 factor takes as much of the weights over a search as in the papers.

    Over a search SGD multiplies a weight that nothing else moves by about exp(-decay x sum of the learning rates). That sum
    is 254 in the search of Zela et al. (50 epochs of 391 steps, from 0.025 to 0.001 along a cosine) and 32 at laptop scale.
    """

    def moved(s: SearchSettings, samples: int) -> float:
        return s.epochs * math.ceil(samples / s.batch_size) * (s.learning_rate + s.learning_rate_min) / 2

    return round(moved(PAPER.search, 25_000) / moved(settings, train_samples), 2)


# How these numbers were chosen. The search: small enough for a minute or two on two cores, long enough that plain DARTS
# has learnt its training half by heart after a third of it. With fewer images (320 were tried) the weights do so within
# a few epochs whatever their decay, and no decay brings the convolutions back; with 1,024 the papers' strongest factor
# holds the training error up for two thirds of the search, and does. (640 lie between: noise wins S4 with certainty, but
# the decay hardly mends S2.) Four cells, so that the last is a normal one; with
# four nodes a cell instead of two the skips did not win within that time. The training from scratch was chosen on fixed
# cells, see results/protocol.md: convolutions in the reduction cells solve digits whatever the normal cells are, so the
# reduction cells are skips, and the network is narrow. BOTH_CELLS is the training as the papers do it, of both cells found.
_LAPTOP_SEARCH = SearchSettings(
    channels=8, layers=4, nodes=2, train_samples=1024, valid_samples=1024, epochs=40, order=1, learning_rate=0.1,
    alpha_learning_rate=1e-2, cutout=8, paths=64, path_batches=1, finalists=5,
)  # fmt: skip
LAPTOP = Scale(
    "laptop",
    replace(_LAPTOP_SEARCH, decay_scale=as_strong_as_in_the_papers(_LAPTOP_SEARCH, 1024)),
    EvaluationSettings(
        channels=4, layers=5, train_samples=12000, epochs=10, batch_size=96, learning_rate=0.1, drop_path=0.0, cutout=0,
        auxiliary=0.0, reductions="skip",
    ),
    strong_decay=9,
)  # fmt: skip
BOTH_CELLS = {"layers": 8, "reductions": "searched"}  # at laptop scale

TINY = Scale(
    "tiny",
    SearchSettings(
        channels=4, layers=3, nodes=2, train_samples=64, valid_samples=64, epochs=3, batch_size=32, order=1,
        learning_rate=0.1, alpha_learning_rate=1e-2, cutout=8, curvature_every=1, paths=6, path_batches=1, finalists=2,
    ),
    EvaluationSettings(
        channels=4, layers=3, train_samples=128, test_samples=128, epochs=2, batch_size=32, learning_rate=0.1,
        drop_path=0.0, cutout=0, auxiliary=0.0,
    ),
)  # fmt: skip

SCALES = {scale.name: scale for scale in (TINY, LAPTOP, PAPER)}


# ---------------------------------------------------------------- language


@dataclass(frozen=True)
class _Reading:
    """How a language model is fed and regularized, in search and training alike. Defaults: `rnn/train_search.py` of
    quark0/darts, Liu et al. 2019; `batch_size` is how many streams of text are read side by side, `channels` the width of
    words and hidden states, and numbers of samples are numbers of words."""

    bptt: int = 35  # words of a window: the hidden state is carried on, the gradient is not
    short_windows: float = 0.05  # the probability that a window is only half as long; its learning rate follows
    window_spread: float = 0.0  # the standard deviation of its length beside that, in words
    dropout_output: float = 0.75  # of the cell's output; all masks stay the same over a window
    dropout_hidden: float = 0.25  # of the states inside the cell
    dropout_input: float = 0.75  # of the cell's input
    dropout_embedding: float = 0.2  # of what a word is embedded to
    dropout_word: float = 0.0  # of whole words of the vocabulary
    slowness: float = 1e-3  # times the mean squared change of the output from word to word, added to the loss of w
    initial_spread: float = 0.04  # weights begin uniformly between plus and minus this
    valid_streams: int = 10  # side by side where the validation split is measured ...
    test_streams: int = 1  # ... and the test split


@dataclass(frozen=True)
class LanguageSearchSettings(_Reading, SearchSettings):
    """Sizes and hyper-parameters of a search for a recurrent cell. Defaults: as `_Reading`."""

    channels: int = 300
    layers: int = 1
    batch_size: int = 256
    learning_rate: float = 20.0
    learning_rate_min: float = 20.0  # it stays
    momentum: float = 0.0
    weight_decay: float = 5e-7  # Zela et al. 2020: times 1, 3, 9 and 27 (LANGUAGE_L2_FACTORS)
    clip: float = 0.25
    alpha_learning_rate: float = 3e-3
    alpha_betas: tuple[float, float] = (0.9, 0.999)
    cutout: int = 0
    running_statistics: bool = True  # of the batch-norms in evaluation; False: those of the streams, see `recurrent`


@dataclass(frozen=True)
class LanguageEvaluationSettings(_Reading, EvaluationSettings):
    """Sizes and hyper-parameters of training one recurrent cell from scratch. Defaults: `rnn/train.py` of quark0/darts,
    but for the number of epochs, which is that of Zela et al. 2020 (8,000 there)."""

    channels: int = 850
    layers: int = 1
    epochs: int = 1600
    batch_size: int = 64
    learning_rate: float = 20.0
    learning_rate_min: float = 20.0
    momentum: float = 0.0
    weight_decay: float = 8e-7
    clip: float = 0.25
    drop_path: float = 0.0
    cutout: int = 0
    auxiliary: float = 0.0
    window_spread: float = 5.0
    dropout_word: float = 0.1
    nonmonotone: int = 5  # epochs without a new best before the weights are averaged


# Maile et al. 2021 differ on Penn Treebank (`train_search_rnn.py`, `train_rnn.py` of their code): the Fisher trace is not
# averaged (`average` 1.0 of `schedules.FisherTrace`), and trainings last at most 1,200 epochs, or until 20 in a row bring no
# better validation.
LANGUAGE_L2_FACTORS = (5e-7, 15e-7, 45e-7, 135e-7)  # weight decays of w in search, Zela et al. 2020, Fig. 11

# How laptop's numbers were chosen. Four nodes and 64 channels, so that a search of 600 steps takes about 260 s of processor
# time on a crowded machine; a text short enough to be read 24 times in that, because the rules that watch the eigenvalue need
# as many epochs. No dropout: as for images, weights that learn their text by heart are what a search can suffer from, and what
# L2 is meant to mend. The L2 factor is ten times that of the paper, whose search has about nine times as many steps at the
# same learning rate, so that as much of a weight is taken away over a search. Tried, one seed: three of four edges become the
# identity and one ReLU; the one-shot perplexity falls to 155 (single words: 234) at epoch 12 and rises to 207, as the text
# is learnt by heart. With 64,000 words and 12 epochs, as many steps, all four are the identity from epoch 5 on, and it is 111.
_UNDROPPED = dict.fromkeys(
    ("dropout_output", "dropout_hidden", "dropout_input", "dropout_embedding", "short_windows", "window_spread"), 0.0
)
_STRONG = 27  # times the plain factor: the strongest of Zela et al., Fig. 11 (language) and Table 4 (disparity)
_LANGUAGE = {
    scale.name: scale
    for scale in (
        Scale(
            "tiny",
            LanguageSearchSettings(
                channels=8, nodes=3, train_samples=600, valid_samples=300, epochs=3, batch_size=8, order=1, bptt=6,
                learning_rate=5.0, learning_rate_min=5.0, curvature_every=1, paths=6, path_batches=1, finalists=2,
                valid_streams=8, test_streams=8, running_statistics=False, **_UNDROPPED,
            ),
            LanguageEvaluationSettings(
                channels=8, train_samples=600, test_samples=300, epochs=2, batch_size=8, bptt=6, learning_rate=5.0,
                learning_rate_min=5.0, valid_streams=256, test_streams=8, nonmonotone=1, **_UNDROPPED,
            ),
            _STRONG,
        ),
        Scale(
            "laptop",
            LanguageSearchSettings(
                channels=64, nodes=4, train_samples=32_000, valid_samples=12_800, epochs=24, batch_size=64, order=1, bptt=20,
                weight_decay=5e-6, alpha_learning_rate=1e-2, initial_spread=0.1, valid_streams=64, test_streams=64,
                paths=64, path_batches=1, finalists=5, running_statistics=False, **_UNDROPPED,
            ),
            LanguageEvaluationSettings(
                channels=64, epochs=6, batch_size=64, bptt=20, weight_decay=5e-6, initial_spread=0.1, nonmonotone=2,
                valid_streams=64, test_streams=64, **_UNDROPPED,
            ),
            _STRONG,
        ),
        Scale("paper", LanguageSearchSettings(), LanguageEvaluationSettings(), _STRONG),
    )
}  # fmt: skip

# ---------------------------------------------------------------- disparity


@dataclass(frozen=True)
class DisparitySearch(SearchSettings):
    """Settings of a search for a disparity network."""

    augmentation: float = 1.0  # multiplies the variance of every parameter of the augmentation, see `stereo.augment`
    displacements: int = 40  # pixels of the quarter-sized images that the correlation looks to the left


@dataclass(frozen=True)
class DisparityEvaluation(EvaluationSettings):
    """Settings of training a disparity network from scratch, by Adam: `momentum` does nothing."""

    augmentation: float = 1.0
    displacements: int = 40


# Zela et al., appendix D: 300,000 iterations at half resolution, SGD on w and Adam on alpha, first order, no warm start;
# 300,000 at full resolution by Adam, 1e-4 to 0 along a cosine. Their code is not published; rates of the search as the
# authors tell them (github.com/lmb-freiburg/autodispnet, issue 1). By its name the data come at half resolution; for the
# training, `stereo.flying_things(path, shrinkage=1)` gives the full one. Channels, cells and batches are not told: ours, in the
# layout of AutoDispNet, and so is everything that stands in no other comment here. Epochs are what makes 300,000
# iterations of the 10,909 pairs of a half of FlyingThings3D, and of both halves.
DISPARITY_PAPER = Scale(
    "paper",
    DisparitySearch(channels=16, layers=9, epochs=220, batch_size=8, order=1, cutout=0, curvature_every=10),
    DisparityEvaluation(
        channels=16, layers=9, epochs=110, batch_size=8, learning_rate=1e-4, weight_decay=0.0, drop_path=0.0, cutout=0,
        auxiliary=0.0,
    ),
    _STRONG,
)  # fmt: skip
# Chosen so that a search takes one to two of one on `digits`, and a training from scratch gets well below half of the best
# constant's 9.1 px (a searched cell: 2.9 px, one run).
DISPARITY_LAPTOP = Scale(
    "laptop",
    DisparitySearch(
        channels=8, layers=6, nodes=2, train_samples=512, valid_samples=512, epochs=30, batch_size=32, order=1,
        learning_rate=0.1, alpha_learning_rate=1e-2, cutout=0, displacements=8, paths=64, path_batches=1, finalists=5,
    ),
    DisparityEvaluation(
        channels=8, layers=6, epochs=8, batch_size=32, learning_rate=3e-3, weight_decay=0.0, drop_path=0.0, cutout=0,
        auxiliary=0.0, displacements=8,
    ),
    _STRONG,
)  # fmt: skip
DISPARITY_TINY = Scale(
    "tiny",
    DisparitySearch(
        channels=4, layers=3, nodes=2, train_samples=16, valid_samples=16, epochs=3, batch_size=8, order=1,
        learning_rate=0.1, alpha_learning_rate=1e-2, cutout=0, displacements=8, curvature_every=1, paths=6,
        path_batches=1, finalists=2,
    ),
    DisparityEvaluation(
        channels=4, layers=3, train_samples=32, test_samples=16, epochs=2, batch_size=8, learning_rate=3e-3,
        weight_decay=0.0, drop_path=0.0, cutout=0, auxiliary=0.0, displacements=8,
    ),
    _STRONG,
)  # fmt: skip

# ---------------------------------------------------------------- bathymetry


# The code of Maile et al. 2021 (`train_bath.py`, `bath_eval.py`): a plain DARTS search of 50 epochs, 16 channels and 8
# cells; then 36 channels, 8 cells, 100 epochs, batches of 64, 0.025 along a cosine, no drop path. What these scripts
# leave to DARTS is as in DARTS.
BATHYMETRY_PAPER = Scale(
    "paper",
    SearchSettings(channels=16, layers=8, epochs=50, batch_size=64, order=1, cutout=0),
    EvaluationSettings(
        channels=36, layers=8, epochs=100, batch_size=64, learning_rate=0.025, drop_path=0.0, cutout=0, auxiliary=0.0
    ),
)
# The search as for `digits`; the training until a searched cell was below half of the mean's 7.2 m (3.0 m, one run).
BATHYMETRY_LAPTOP = Scale(
    "laptop",
    replace(_LAPTOP_SEARCH, cutout=0),
    replace(LAPTOP.evaluation, train_samples=None, epochs=20, **BOTH_CELLS),
)
BATHYMETRY_TINY = Scale("tiny", replace(TINY.search, cutout=0), TINY.evaluation)

DOMAINS = {  # what a task calls its `domain`
    "classification": SCALES,
    "language": _LANGUAGE,
    "disparity": {scale.name: scale for scale in (DISPARITY_TINY, DISPARITY_LAPTOP, DISPARITY_PAPER)},
    "bathymetry": {scale.name: scale for scale in (BATHYMETRY_TINY, BATHYMETRY_LAPTOP, BATHYMETRY_PAPER)},
}

# Width and depth of the networks that Zela et al. train from scratch, by space and data. Source: `evaluation/config.yaml`
# of their code, commit f83f0a8, in agreement with their appendix B.1; "L2" are their weight-decay experiments. The full
# space: Liu et al. 2019, section 3.1 (CIFAR-10) and the code of Maile et al. 2021 (`train.py`, both CIFARs).
_SMALL, _THIN, _FULL = (16, 8), (16, 20), (36, 20)
PAPER_NETWORKS = {
    ("S1", "cifar10"): {"default": _FULL, "L2": _FULL},
    ("S2", "cifar10"): {"default": _THIN, "L2": _SMALL},
    ("S3", "cifar10"): {"default": _FULL, "L2": _SMALL},
    ("S4", "cifar10"): {"default": _THIN, "L2": _SMALL},
    ("DARTS", "cifar10"): {"default": _FULL, "L2": _FULL},
    ("DARTS", "cifar100"): {"default": _FULL, "L2": _FULL},
} | {
    (space, data): {"default": _SMALL, "L2": _SMALL}
    for space in ("S1", "S2", "S3", "S4")
    for data in ("cifar100", "svhn")
}


def get(scale: str | Scale, domain: str = "classification") -> Scale:
    """A scale by its name (without regard to case) in a domain, or the scale itself."""
    if isinstance(scale, Scale):
        return scale
    known = DOMAINS[domain]
    if not isinstance(scale, str) or scale.lower() not in known:
        raise ValueError(f"scale: {scale!r} is not known; known: {', '.join(known)}; or pass a dl.Scale")
    return known[scale.lower()]


PROTOCOLS = ("default", "L2")


def check_protocol(protocol) -> None:
    """Raises ValueError where `protocol` is none of `PROTOCOLS`, between which `paper_network` chooses."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r} is not known; known: {', '.join(PROTOCOLS)}")


def paper_network(space: str, data: str, protocol: str = "default") -> tuple[int, int]:
    """(channels, layers) that the papers train for a cell of `space` on `data`.

    `protocol` is "default" (Zela et al.'s drop-path, early-stopping and baseline tables) or "L2" (their weight-decay
    experiments). Raises ValueError where the papers give no size.
    """
    known = {(s.lower(), d.lower()): sizes for (s, d), sizes in PAPER_NETWORKS.items()}
    sizes = known.get((str(space).lower(), str(data).lower()))
    if sizes is None or protocol not in sizes:
        raise ValueError(
            f"paper scale: no published network size for space {space!r}, data {data!r}, protocol {protocol!r}; "
            "give channels and layers"
        )
    return sizes[protocol]


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
