"""Logs of quark0/darts (`search-EXP-20181207-110319/log.txt`) and of projects based on it, as searches like ours.

Its search prints the genotype and the mixing weights at the beginning of an epoch, so those of an epoch's end are
printed by the next one; projects that print them behind `valid_acc` are read so.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import torch
from torch import Tensor

from darts_lab import spaces
from darts_lab.genotype import Genotype
from darts_lab.interop.robustdarts import read_robustdarts
from darts_lab.runs import files
from darts_lab.runs.records import EpochRecord, Recorded

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:,\d{3})?\s+|(\d\d/\d\d \d\d:\d\d:\d\d [AP]M)\s+")
_LINE = re.compile(
    r"epoch (?P<epoch>\d+) lr (?P<rate>\S+)|(?P<split>train|valid)_acc (?P<accuracy>\S+)"
    r"|(?P<part>train|valid) \d+ (?P<loss>\S+) \S+|genotype = (?P<genotype>Genotype.*)|args = (?P<settings>Namespace.*)"
)
_SETTING = re.compile(
    r"\b(?:(seed|epochs)=(\d{1,9})|(weight_decay)=(\d{1,6}(?:\.\d{1,12})?(?:e-?\d{1,2})?)|(set|dataset|space)='(\w{1,40})')"
    r"(?=[,)])"
)
_EPOCHS = 100_000  # more than any log has


@dataclass
class _Epoch:
    """What a log tells of an epoch; `before` and `behind` its steps: the genotype and its lines of mixing weights."""

    number: int
    rate: float
    began: datetime | None
    ended: datetime | None = None
    errors: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    before: tuple[Genotype, list[str]] | None = None
    behind: tuple[Genotype, list[str]] | None = None


def read_quark0(path: str | Path) -> list[Recorded]:
    """The searches in logs of quark0/darts (`cnn/train_search.py`): `path` is a log, a captured output (which has the
    mixing weights too), or a folder with `log*.txt` in it or below it; logs without genotypes are left out.

    A log that was cut off is read as far as it goes. Errors are fractions, losses the means over an epoch up to their
    last report. Nothing tells of drop path, which the search of quark0/darts does not do, or of curvature. The space is
    that of the settings in the log, else DARTS. `problems` says what is missing. Raises FileNotFoundError where there
    is nothing, ValueError where there is no such log.
    """
    path = files.path_of(path)
    if not path.exists():
        raise FileNotFoundError(f"path: {str(path)!r} is not there")
    logs = [path] if path.is_file() else sorted(log for log in path.rglob("log*.txt") if log.is_file())
    found = [search for log in logs if (search := _read_log(log)) is not None]
    if not found:
        missing = "with lines such as 'epoch 0 lr 2.500000e-02' and 'genotype = Genotype(...)'"
        raise ValueError(f"path: {str(path)!r} holds no log of a search of quark0/darts, {missing}")
    return found


def read_logs(path: str | Path) -> Sequence[Recorded]:
    """The searches in the logs of other projects: RobustDARTS, else quark0/darts. Raises as these."""
    if files.path_of(path).is_dir():
        try:
            return read_robustdarts(path)
        except ValueError as error:
            other = str(error)
        try:
            return read_quark0(path)
        except ValueError as error:
            raise ValueError(f"{other}; nor of quark0/darts") from error
    return read_quark0(path)


def _read_log(log: Path) -> Recorded | None:
    text = log.read_text(errors="replace")
    problems: list[str] = []
    if "genotype = " not in text:
        return None
    settings, epochs = _parsed(text.splitlines(), problems)
    weight_decay = float(settings.get("weight_decay", "nan"))
    space = settings.get("space", "DARTS").upper()
    if space not in spaces.SPACES:
        problems.append(f"its space {space!r} is not known here; it is read as DARTS")
        space = "DARTS"
    history = list(_records(epochs, spaces.get(space), weight_decay, problems))
    asked = int(settings.get("epochs", "50"))
    if len(history) < asked:
        problems.append(f"ends after {len(history)} of {asked} epochs")
    if "weight_decay" not in settings:
        problems.append("it does not tell its settings")
    name = log.parent.name if log.name == "log.txt" else log.stem
    data, seed = settings.get("set", settings.get("dataset", "cifar10")), int(settings.get("seed", "0"))
    return Recorded(name, log.parent, space, data, seed, 0.0, weight_decay, history, problems, epochs=asked)


def _parsed(lines: list[str], problems: list[str]) -> tuple[dict[str, str], dict[int, _Epoch]]:
    """(settings, epochs by their numbers) of a log, up to its end or to the first line that cannot be read."""
    settings: dict[str, str] = {}
    epochs: dict[int, _Epoch] = {}
    epoch: _Epoch | None = None
    printed: list[str] | None = None
    for number, line in enumerate(lines, 1):
        stamp = _STAMP.match(line)
        words = line[stamp.end() :] if stamp else line
        match = _LINE.match(words)
        if match is None:
            if printed is not None and len(printed) < 400:
                printed.append(words)
            continue
        try:
            if match["settings"]:
                found = _SETTING.finditer(match["settings"])
                settings |= {one[last - 1]: one[last] for one in found if (last := one.lastindex)}
            elif match["epoch"]:
                if (began := int(match["epoch"])) > _EPOCHS:
                    raise ValueError(f"epoch {began} is not allowed")
                if epochs and began <= max(epochs):
                    problems.append(f"line {number}: begins again with epoch {began}")
                epochs = {before: kept for before, kept in epochs.items() if before < began}
                epoch = epochs[began] = _Epoch(began, float(match["rate"]), _time(stamp))
            elif epoch is None:
                continue
            elif match["split"]:
                if not 0 <= float(match["accuracy"]) <= 100:
                    raise ValueError(f"{match['split']}_acc {match['accuracy']} is no percentage")
                epoch.errors[match["split"]], epoch.ended = (100 - float(match["accuracy"])) / 100, _time(stamp)
            elif match["part"]:
                epoch.losses[match["part"]] = float(match["loss"])
            else:
                genotype, printed = Genotype.parse(match["genotype"]), []
                if genotype.cell_types != spaces.CELL_TYPES:
                    raise ValueError(f"genotype: has the cells {', '.join(genotype.cell_types)}, not those for images")
                setattr(epoch, "behind" if epoch.errors else "before", (genotype, printed))
                continue
            printed = None
        except ValueError as error:
            problems.append(f"line {number}: {files.in_a_line(error)}")
            break
    return settings, epochs


def _records(epochs: dict[int, _Epoch], space, weight_decay: float, problems: list[str]) -> Iterator[EpochRecord]:
    """A record for every epoch that has both errors and a genotype, up to the first that has not."""
    for number, epoch in sorted(epochs.items()):
        if set(epoch.errors) != {"train", "valid"}:
            problems.append(f"epoch {number} is not whole")
            return
        following = epochs.get(number + 1)
        if following is None and number < max(epochs):
            problems.append(f"epoch {number + 1} is not in the log")
        printed = epoch.behind or (following and following.before)
        if (whose := printed or epoch.before) is None:
            problems.append(f"epoch {number} tells no genotype")
            return
        if printed is None:
            problems.append(f"the cell after epoch {number} is not in the log; its record has the one before it")
        weights = _mixing(*printed, space, number, problems) if printed else None
        seconds = float("nan")
        if epoch.began and epoch.ended and epoch.ended >= epoch.began:
            seconds = (epoch.ended - epoch.began).total_seconds()
        yield EpochRecord(
            number, train_error=epoch.errors["train"], valid_error=epoch.errors["valid"],
            train_loss=epoch.losses.get("train", float("nan")), valid_loss=epoch.losses.get("valid", float("nan")),
            learning_rate=epoch.rate, alpha_steps=None, alpha=None, mixing=weights, weight_decay=weight_decay,
            genotype=whose[0], seconds=seconds, peak_memory_bytes=None,
        )  # fmt: skip


def _time(stamp: re.Match | None) -> datetime | None:
    """The time of a stamp, without a year (2000) where it has none. Raises ValueError for one that never was."""
    if stamp is None:
        return None
    if stamp[1]:
        return datetime.fromisoformat(stamp[1])
    return datetime.strptime(f"2000/{stamp[2]}", "%Y/%m/%d %I:%M:%S %p")


def _mixing(genotype: Genotype, lines: list[str], space, number: int, problems: list[str]) -> Tensor | None:
    """The mixing weights, (cell types, edges, candidates), that a log prints as tensors, in the form of today's PyTorch
    or of 0.3; None where it does not, or where they are cut off or are not those of `space`."""
    text = "\n".join(lines)
    cells = [re.findall(r"\[([^\[\]]*)\]", part.split("]]")[0] + "]") for part in text.split("tensor([")[1:]]
    if not cells:  # "Variable containing:", rows, "[torch.cuda.FloatTensor of size 14x8 (GPU 0)]"
        cells = [part.split("[torch")[0].strip().splitlines() for part in text.split("Variable containing:")[1:]]
    if not cells:
        return None
    try:
        expected = genotype.mixing(space.with_nodes(genotype.nodes))
        rows = [[[float(word) for word in row.replace(",", " ").split()] for row in cell] for cell in cells]
        weights = torch.tensor(rows[: len(spaces.CELL_TYPES)])
        if weights.shape != expected.shape or not torch.allclose(
            weights.sum(-1), torch.ones(weights.shape[:2]), atol=0.01
        ):
            raise ValueError(f"they must be {tuple(expected.shape)}, with a sum of 1 on every edge")
        return weights
    except ValueError as error:
        problems.append(f"the mixing weights after epoch {number} are left out: {files.in_a_line(error)}")
        return None
