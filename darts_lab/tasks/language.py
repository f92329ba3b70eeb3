"""Language modelling, to predict every next word of a text, and its presets."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_lab import ranks
from darts_lab.checks import Amount, Betas, Count, Fraction, Natural, Positive, Switch
from darts_lab.genotype import Genotype
from darts_lab.networks.recurrent import Output, RecurrentNetwork, RecurrentSupernet
from darts_lab.settings import EvaluationSettings, Scale, SearchSettings
from darts_lab.spaces import RECURRENT, SearchSpace
from darts_lab.tasks.averaging import AveragedSGD
from darts_lab.tasks.base import Task


@dataclass(frozen=True)
class _Reading:
    """How a language model is fed and regularized, in search and training alike. Defaults: `rnn/train_search.py` of
    quark0/darts, Liu et al. 2019. `batch_size` is the number of streams of text read side by side, `channels` the width
    of words and hidden states; samples are words."""

    layers: Count = 1
    learning_rate: Positive = 20.0
    learning_rate_min: Amount = 20.0  # constant
    momentum: Fraction = 0.0
    clip: Positive = 0.25
    cutout: Natural = 0
    bptt: Count = 35  # words of a window: the hidden state is carried on, the gradient is not
    short_windows: Fraction = 0.05  # the probability that a window is half as long; its learning rate follows
    window_spread: Amount = 0.0  # the standard deviation of its length, in words
    dropout_output: Fraction = 0.75  # of the cell's output; all masks stay the same over a window
    dropout_hidden: Fraction = 0.25  # of the states inside the cell
    dropout_input: Fraction = 0.75  # of the cell's input
    dropout_embedding: Fraction = 0.2  # of what a word is embedded to
    dropout_word: Fraction = 0.0  # of whole words of the vocabulary
    slowness: Amount = 1e-3  # times the mean squared change of the output from word to word, added to the loss of w
    initial_spread: Positive = 0.04  # weights begin uniformly between plus and minus this
    valid_streams: Count = 10  # side by side where the validation split is measured ...
    test_streams: Count = 1  # ... and the test split


@dataclass(frozen=True)
class LanguageSearchSettings(_Reading, SearchSettings):
    """Settings of a search for a recurrent cell. Defaults: as `_Reading`."""

    channels: Count = 300
    batch_size: Count = 256
    weight_decay: Amount = 5e-7
    alpha_learning_rate: Amount = 3e-3
    alpha_betas: Betas = (0.9, 0.999)
    running_statistics: Switch = True  # of the batch-norms in evaluation; False: those of the streams, see `recurrent`


@dataclass(frozen=True)
class LanguageEvaluationSettings(_Reading, EvaluationSettings):
    """Settings of training one recurrent cell from scratch. Defaults: `rnn/train.py` of quark0/darts, but for the
    number of epochs, which is that of Zela et al. 2020 (8,000 there)."""

    channels: Count = 850
    epochs: Count = 1600
    batch_size: Count = 64
    weight_decay: Amount = 8e-7
    drop_path: Fraction = 0.0
    auxiliary: Amount = 0.0
    window_spread: Amount = 5.0
    dropout_word: Fraction = 0.1
    nonmonotone: Count = 5  # epochs without a new best before the weights are averaged


# Maile et al. 2021 differ on Penn Treebank (`train_search_rnn.py`, `train_rnn.py` of their code): the Fisher trace is
# not averaged (`average` 1.0 of `schedules.FisherTrace`), and trainings last at most 1,200 epochs, or until 20 in a row
# bring no better validation.
LANGUAGE_L2_FACTORS = (5e-7, 15e-7, 45e-7, 135e-7)  # weight decays of w in search, Zela et al. 2020, Fig. 11
_STRONG = 27  # times the plain factor: the strongest of Fig. 11

# How laptop's numbers were chosen. A search of 600 steps takes about 260 s of processor time on a crowded machine. The
# text is short enough to be read 24 times in that, because the rules that watch the eigenvalue need as many epochs. No
# dropout: weights that learn their text by heart are what a search can suffer from and L2 is meant to mend. The L2
# factor is ten times the paper's, whose search has about nine times as many steps. With one seed, three of four edges
# become the identity and one ReLU; the one-shot perplexity falls to 155 (single words: 234) at epoch 12 and rises to
# 207. With 64,000 words and 12 epochs, as many steps, all four are the identity from epoch 5 on, and it is 111.
_UNDROPPED: dict[str, Any] = dict.fromkeys(
    ("dropout_output", "dropout_hidden", "dropout_input", "dropout_embedding", "short_windows", "window_spread"), 0.0
)
LANGUAGE_TINY = Scale(
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
)  # fmt: skip
_LAPTOP = dict.fromkeys(("channels", "batch_size", "valid_streams", "test_streams"), 64) | _UNDROPPED
_LAPTOP |= {"bptt": 20, "weight_decay": 5e-6, "initial_spread": 0.1}
LANGUAGE_LAPTOP = Scale(
    "laptop",
    LanguageSearchSettings(
        nodes=4, train_samples=32_000, valid_samples=12_800, epochs=24, order=1, alpha_learning_rate=1e-2, paths=64,
        path_batches=1, finalists=5, running_statistics=False, **_LAPTOP,
    ),
    LanguageEvaluationSettings(epochs=6, nonmonotone=2, **_LAPTOP),
    _STRONG,
)  # fmt: skip
LANGUAGE_PAPER = Scale("paper", LanguageSearchSettings(), LanguageEvaluationSettings(), _STRONG)


class Window(NamedTuple):
    """A piece of every stream: a split is cut into `streams` streams of equal length, which are read side by side."""

    begin: int
    length: int
    streams: int


class Language(Task):
    """Language modelling on a `Corpus`: cross-entropy of the next word, and perplexity, its exponential, as the error.

    A batch is one window of every stream: inputs are (words (streams, window), hidden state (streams, channels)),
    targets the words one further on. The hidden state goes on over the windows of training, and over the validation
    windows of the alpha steps, which follow each other from a random one on; both begin at zero in every epoch. All
    other batches (curvature, scoring) begin at zero. Samples are predicted words.
    """

    domain = "language"
    scales = {scale.name: scale for scale in (LANGUAGE_TINY, LANGUAGE_LAPTOP, LANGUAGE_PAPER)}
    cell_types = (RECURRENT,)
    space = "RNN"
    metric, factor, unit = "perplexity", 1, ""
    carries = True
    clips_unrolled = True  # as Liu et al. 2019 (`rnn/architect.py`): the learning rate of 20 asks for it

    def __init__(self, data, settings):
        super().__init__(data, settings)
        self.hidden: dict[str, Tensor | None] = {}  # where the next window of a split goes on; missing: zero
        self.next_window: int | None = None  # of the validation split

    @staticmethod
    def whole(data):
        """The validation split does not train: it tells when to average, and which weights to keep."""
        return data

    @staticmethod
    def halves(data):
        return replace(data, test=data.valid)

    def check(self, cells, settings) -> None:
        super().check(cells, settings)
        searching = isinstance(cells, SearchSpace)
        for name, fine, allowed in (
            ("batch_size", not searching or settings.batch_size > 1, "at least 2, for the batch-norms"),
            (
                "valid_streams", not searching or settings.running_statistics or settings.valid_streams > 1,
                "at least 2, for the batch-norms, unless running_statistics is True",
            ),
            ("layers", settings.layers == 1, "1: there is one cell"),
            ("momentum", searching or settings.momentum == 0, "0 where weights are averaged"),
        ):  # fmt: skip
            if not fine:
                raise ValueError(f"{name}: {getattr(settings, name)!r} is not allowed; it must be {allowed}")
        streams, length = settings.batch_size, settings.bptt + 1
        for split in ("train", "valid") if searching else ("train",):
            words = len(getattr(self.data, split)[0])
            if words < streams * length:
                need = f"{streams} streams of {length} words need {streams * length} words"
                raise ValueError(f"batch_size: {need}, the {split} split has {words}")

    def supernet(self, space, settings, generator: torch.Generator, node_norm=True, **more) -> RecurrentSupernet:
        """Every node has its batch-norm in any case. Raises ValueError for what networks for images have alone."""
        if more:
            raise ValueError(f"method: needs {', '.join(more)} of the supernet, which recurrent cells have not")
        more = _sizes(settings) | {"running_statistics": settings.running_statistics}
        return RecurrentSupernet(space, len(self.data.words), generator=generator, **more)

    def network(self, genotype: Genotype, settings, generator: torch.Generator, operations=None) -> RecurrentNetwork:
        more = _sizes(settings) | {"own": operations}
        return RecurrentNetwork(genotype, len(self.data.words), generator=generator, **more)

    def _length(self, split: str, streams: int) -> int:
        """Words that each stream predicts: all but its first."""
        return len(getattr(self.data, split)[0]) // streams - 1

    def size(self, split: str) -> int:
        return self.settings.batch_size * self._length(split, self.settings.batch_size)

    def samples(self, targets: Tensor) -> int:
        return targets.numel()  # words

    def batches_per_epoch(self, batch_size: int) -> int:
        """Windows of an epoch; where their length varies, somewhat more in the end."""
        return math.ceil(self._length("train", batch_size) / self.settings.bptt)

    def most(self, split: str, batch_size: int) -> int:
        return max(self._length(split, batch_size), 0) // self.settings.bptt

    def order(self, batch_size: int, generator: torch.Generator) -> list[Window]:
        whole = self.most("valid", self.settings.batch_size)
        self.hidden, self.next_window = {}, _random(whole, generator) if whole else 0
        windows, begin, length = [], 0, self._length("train", batch_size)
        while begin < length:
            windows.append(Window(begin, min(self._window(generator), length - begin), batch_size))
            begin += windows[-1].length
        return windows

    def _window(self, generator: torch.Generator) -> int:
        """The length of a training window: `bptt` or half of it, normally spread, from 5 to `bptt` + 20 (quark0/darts,
        `rnn/train.py`; their search has no spread)."""
        s, length = self.settings, self.settings.bptt
        if s.short_windows and torch.rand((), generator=generator, device=generator.device) < s.short_windows:
            length = s.bptt / 2
        if s.window_spread:
            length += s.window_spread * float(torch.randn((), generator=generator, device=generator.device))
            length = min(max(length, 5), s.bptt + 20)
        return max(int(length), 1)

    def rate(self, place: Window) -> float:
        return place.length / self.settings.bptt

    def next_valid(self, batch_size: int, generator: torch.Generator) -> Window:
        """The window after the last; at the end of the split its first, with a hidden state of zero."""
        whole = self.most("valid", batch_size)
        if self.next_window is None:
            self.next_window = _random(whole, generator)
        if self.next_window >= whole:
            self.next_window = 0
            self.hidden.pop("valid", None)
        self.next_window += 1
        return self._numbered(self.next_window - 1, batch_size)

    def apart(self, batches: int, batch_size: int, generator: torch.Generator) -> list[Window]:
        chosen = torch.randperm(self.most("valid", batch_size), generator=generator, device=generator.device)
        return [self._numbered(number, batch_size) for number in chosen[:batches].tolist()]

    def _numbered(self, number: int, streams: int) -> Window:
        return Window(number * self.settings.bptt, self.settings.bptt, streams)

    def training_batch(self, split: str, place: Window, generator, strength: float | None = None):
        """The window at `place` and the hidden state carried there."""
        return self.plain_batch(split, place, self.hidden.get(split))

    def plain_batch(self, split: str, place: Window, hidden: Tensor | None = None):
        """Of several processes each reads its share of the streams, and carries on their hidden states."""
        text = getattr(self.data, split)[0]
        streams = text[: len(text) // place.streams * place.streams].view(place.streams, -1)
        return self._read(ranks.share(streams), place, hidden)

    def _read(self, streams: Tensor, place: Window, hidden: Tensor | None):
        if hidden is None:
            hidden = torch.zeros(len(streams), self.settings.channels, device=self.data.device)
        window = streams[:, place.begin : place.begin + place.length + 1].to(self.data.device)
        return (window[:, :-1], hidden), window[:, 1:]

    def judged_batch(self, split: str, place: Window, generator=None, strength: float | None = None):
        """There is no augmentation."""
        return self.plain_batch(split, place)

    def one_sample(self):
        """One word of one stream."""
        return self._read(self.data.test[0][None], Window(0, 1, 1), None)[0]

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether any dropout is on."""
        return any(_sizes(self.settings)["dropout"])

    def carried(self, outputs: Output) -> Tensor:
        return outputs.hidden.detach()

    def carry(self, split: str, state: Tensor | None) -> None:
        self.hidden[split] = state

    def loss(self, outputs: Output, targets: Tensor) -> Tensor:
        return ranks.mean(F.nll_loss(outputs.log_probabilities.flatten(0, 1), targets.flatten()), len(targets))

    def training_loss(self, outputs: Output, targets: Tensor) -> Tensor:
        """The loss, and `slowness` times the mean squared change of the outputs from word to word."""
        loss, states = self.loss(outputs, targets), outputs.states
        if self.settings.slowness == 0 or states.shape[1] < 2:
            return loss
        return loss + self.settings.slowness * ranks.mean((states[:, 1:] - states[:, :-1]).square().mean(), len(states))

    @torch.no_grad()
    def deviation(self, outputs: Output, targets: Tensor) -> Tensor:
        """The sum of the negative log-probabilities of all words."""
        return ranks.total(-outputs.log_probabilities.gather(2, targets[:, :, None]).sum())

    def error(self, deviation: float, samples: int) -> float:
        return math.exp(min(deviation / samples, 700.0))  # which is 1e304

    @torch.no_grad()
    def measure(self, forward, split: str, batch_size: int | None = None, seen: tuple = ()) -> tuple[float, float]:
        """`batch_size` is the number of streams (default: of the settings); the hidden state is carried through."""
        s = self.settings
        streams = (s.test_streams if split == "test" else s.valid_streams) if batch_size is None else batch_size
        streams = min(streams, len(getattr(self.data, split)[0]) // 2)
        deviation, length, hidden = 0.0, self._length(split, streams), None
        for begin in range(0, length, s.bptt):
            place = Window(begin, min(s.bptt, length - begin), streams)
            inputs, targets = self.plain_batch(split, place, hidden)
            outputs = forward(inputs)
            deviation, hidden = deviation + self.deviation(outputs, targets), outputs.hidden
        return float(deviation) / (length * streams), self.error(float(deviation), length * streams)

    def batches(self, split: str, batch_size: int | None = None, window: int | None = None) -> Iterator:
        """The windows of a split in order, each of `window` words (`bptt` where None) with a hidden state of zero."""
        streams, window = batch_size or self.settings.batch_size, window or self.settings.bptt
        for begin in range(0, self._length(split, streams), window):
            length = min(window, self._length(split, streams) - begin)
            yield self.plain_batch(split, Window(begin, length, streams))

    def optimizer(self, weights) -> AveragedSGD:
        return AveragedSGD(weights, self.settings.learning_rate, self.settings.weight_decay)

    def after_epoch(self, training) -> float:
        """NT-ASGD (Merity et al. 2018): averages the weights once the validation perplexity is worse than the best
        before the last `nonmonotone` epochs. The weights with the best one, averaged or not, are kept."""
        optimizer, averaging = training.optimizer, training.optimizer.averaging
        named = training.network.named_parameters()
        now = {name: (optimizer.state[weight]["ax"] if averaging else weight).detach() for name, weight in named}
        error, before = training.measure("valid", now)[1], [record.valid_error for record in training.history]
        if error < min(before, default=math.inf):
            training.kept = {name: weight.clone() for name, weight in now.items()}
        patience = self.settings.nonmonotone
        if not averaging and len(before) > patience and error > min(before[:-patience]):
            optimizer.begin()
        return error

    def describe(self) -> tuple:
        return (self.data.words,)


def _sizes(settings) -> dict:
    dropout = [getattr(settings, f"dropout_{name}") for name in ("output", "hidden", "input", "embedding", "word")]
    return {"channels": settings.channels, "spread": settings.initial_spread, "dropout": dropout}


def _random(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator, device=generator.device))
