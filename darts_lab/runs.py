"""A run on disk: a directory that is the whole truth about one search or one training. And the logs of others.

    config.json     what was asked for; enough to start again
    history.jsonl   one line an epoch: what happened, the same for the same config and device
    costs.jsonl     one line an epoch: seconds and memory, which are never the same twice
    checkpoint.pt   everything needed to go on after the last finished epoch, bit for bit
    previous.pt     the same, one epoch older: what a damaged checkpoint falls back on
    genotype.txt    the result so far
    lock            held by the process that computes here

Every file but the two lists appears whole or not at all. A list may be one line ahead of the checkpoint, or end in
half a line, when a process was killed; the next epoch of the resumed run cuts it back. A checkpoint tells of which
config and history it is, and its own sums are checked, so none is used that is damaged or of another run.

`read` and `read_robustdarts` give searches that have been run, ours and those of Zela et al. 2020, as the same kind of
object, so that every figure and every rule works on both.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from torch import Tensor

from darts_lab import __version__, files
from darts_lab.curvature import checked_matrix
from darts_lab.genotype import Genotype
from darts_lab.spaces import CELL_TYPES, KNOWN_OPERATIONS, NOISE, SKIP

LISTS = ("history.jsonl", "costs.jsonl")
COSTS = ("seconds", "processor_seconds", "peak_memory_bytes")  # what a record tells that is never the same twice
FILES = (*LISTS, "config.json", "genotype.txt", "checkpoint.pt")


@dataclass(frozen=True, eq=False)
class EpochRecord:
    """What one epoch did. `valid_*` are one-shot: the supernet with all operations. Errors are the task's: fractions in
    [0, 1] in classification. A one-shot loss that is not finite is recorded as it is, and the search goes on: it moves
    nothing."""

    epoch: int  # 0, 1, ...
    train_loss: float
    train_error: float
    valid_loss: float
    valid_error: float
    learning_rate: float
    alpha_steps: int | None  # in this epoch
    alpha: Tensor | None  # (cell types, edges, candidates), after the epoch; None where a log does not tell
    mixing: Tensor | None  # the same after the activation
    genotype: Genotype
    weight_decay: float  # of w, in this epoch
    seconds: float
    peak_memory_bytes: int | None
    dominant_eigenvalue: float | None = None  # of the Hessian of the validation loss, where it was measured
    eigenvalue_error: float | None = None  # its standard error, where it was measured on several batches
    stop_epoch: int | None = None  # where early stopping ended the search: the epoch whose cell is its result
    back_to: int | None = None  # where adaptation threw the search back: the epoch after which it went on
    fisher_trace: float | None = None  # its running average after the epoch, where the schedule of alpha follows it
    moments: list | None = None  # then, before every batch: [running average, threshold, whether alpha was updated]
    processor_seconds: float | None = None  # of all threads of this process; `seconds` is what a clock on the wall says
    changed: dict | None = None  # settings that were changed by hand before this epoch: name -> value

    def to_json(self) -> tuple[dict, dict]:
        """(what happened, what it cost): the second differs from run to run."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record |= {name: value.tolist() for name, value in record.items() if isinstance(value, Tensor)}
        record["genotype"] = str(self.genotype)
        return record, {name: record.pop(name) for name in COSTS}

    @classmethod
    def from_json(cls, record: dict, operations: tuple[str, ...]) -> EpochRecord:
        """The record of a line of history.jsonl and one of costs.jsonl together."""
        tensors = {name: torch.tensor(record[name]) for name in ("alpha", "mixing") if record[name] is not None}
        genotype = Genotype.parse(record["genotype"], operations)
        return cls(**(record | tensors | {"genotype": genotype}))


def cost(history: Iterable, of: str = "seconds") -> float | None:
    """The sum of a cost over the records of a search or training; None where one of them tells nothing of it."""
    costs = [getattr(record, of) for record in history]
    return None if None in costs else sum(costs)


class Run:
    """One run directory. `Run(path)` opens one that is there; `Run.create` makes one."""

    def __init__(self, path: str | Path):
        self.path = files.path_of(path, "run")
        self._lock: FileLock | None = None
        self._seen: tuple | None = None  # the checkpoint from which what is in memory goes on
        self._replaces_damaged = False  # whether that one was damaged, so that it is not worth keeping
        if not (self.path / "config.json").is_file():
            raise FileNotFoundError(f"run: {str(self.path)!r} holds no config.json, so it is not a run")
        try:
            self.config = files.from_json(files.read_text(self.path / "config.json"))
        except ValueError as error:
            raise ValueError(f"run: {str(self.path / 'config.json')!r} is damaged: {error}") from error

    @classmethod
    def of_kind(cls, path: str | Path, kind: str) -> Run:
        """The run in `path`, which must be a "search" or a "training", as `kind` says; else ValueError."""
        run = cls(path)
        found = run.config.get("kind") if isinstance(run.config, dict) else None
        if found != kind:
            raise ValueError(f"run: {str(run.path)!r} holds no {kind} that can go on: it is a {found}")
        return run

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def create(cls, config: dict, path: str | Path | None = None) -> Run:
        """A new run directory: `path`, which must be new or empty, or one named after the config below `runs/`.

        The environment variable DARTS_LAB_RUNS names another folder than `runs`.
        """
        content = json.dumps(config, indent=1).encode()
        if path is not None:
            path = files.path_of(path)
            if path.exists() and not _empty(path):
                raise FileExistsError(f"path: {str(path)!r} is not empty; resume the run in it, or choose another")
        with files.writing(path or Path(os.environ.get("DARTS_LAB_RUNS", "runs"))):
            if path is None:
                path = _new_folder(f"{folder_name(config['name'])}-{config_hash(config)}")
            path.mkdir(parents=True, exist_ok=True)
            lock = files.locked(path)
            if not _empty(path):  # another process was faster
                raise FileExistsError(f"path: {str(path)!r} is not empty; resume the run in it, or choose another")
            _sweep_up(path)
            files.write(path / "config.json", content)
        run = cls(path)
        run._lock = lock
        return run

    def hold(self) -> None:
        """Keeps every other process from computing here, until `release` or the end of this object.

        In one process two objects may hold a run, but only the one that wrote last can write on. Raises ValueError where
        another process holds it, and where the run has gone on since it was read here.
        """
        with files.ONE_AT_A_TIME, files.writing(self.path):
            if self._lock is None:
                self._lock = files.locked(self.path)
                _sweep_up(self.path)
            if self._stamp() != self._seen:
                self.release()
                raise ValueError(f"run: {str(self.path)!r} has gone on since it was read here; resume it again")

    def release(self) -> None:
        """Lets others compute here."""
        self._lock = None  # which unlocks, where nobody else in this process holds it

    def save(self, state: dict, record: dict, cost: dict, genotype: str, before: int) -> None:
        """Adds one finished epoch behind `before` others: its lines first, then the checkpoint that makes them valid.

        Raises as `hold`, and OSError in one sentence where the disk takes no more.
        """
        with files.ONE_AT_A_TIME, files.writing(self.path):
            self.hold()
            self.cut(before)
            files.append(self.path / "history.jsonl", record)
            files.append(self.path / "costs.jsonl", cost)
            files.write(self.path / "genotype.txt", f"{genotype}\n".encode())
            buffer = io.BytesIO()
            torch.save(state | {"of": self._of(before + 1)}, buffer)
            kept = None if self._replaces_damaged else self.path / "previous.pt"
            files.write(self.path / "checkpoint.pt", buffer.getvalue(), kept)
            self._seen, self._replaces_damaged = self._stamp(), False

    def _of(self, epochs: int) -> dict:
        """What a checkpoint after so many epochs belongs to."""
        lines = (self.path / "history.jsonl").read_bytes().splitlines(keepends=True)[:epochs]
        return {"config": config_hash(self.config), "history": hashlib.sha256(b"".join(lines)).hexdigest()}

    def _stamp(self) -> tuple | None:
        """What tells this checkpoint from any before or after it."""
        try:
            found = (self.path / "checkpoint.pt").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def load(self, device: torch.device) -> dict | None:
        """The state after the last finished epoch, or None before the first. No code from the file is run.

        Where the checkpoint is damaged, the one before it, with a warning. Raises ValueError where there is none, or the
        run is of another version, which would go on differently.
        """
        made = self.config.get("version", __version__)
        if made != __version__:
            raise ValueError(
                f"run: {str(self.path)!r} was made by darts_lab {made}, this is {__version__}, which would go on differently"
            )
        path, previous = self.path / "checkpoint.pt", self.path / "previous.pt"
        self._seen = self._stamp()
        try:
            if self._seen is None and not previous.exists():
                found = len(files.lines(self.path / "history.jsonl"))
                if found > 1:  # a first line may be there already
                    raise ValueError(f"run: {str(self.path)!r} holds {found} epochs, but its checkpoint.pt is gone")
                return None
            return self._state(path, device)
        except (FileNotFoundError, files.Damaged) as error:
            if not previous.exists():
                raise
            state = self._state(previous, device)
            self._replaces_damaged = True
            words = str(error) if isinstance(error, files.Damaged) else f"checkpoint: {str(path)!r} is gone"
            warnings.warn(f"{words}; the one before it is used", stacklevel=3)
            return state

    @staticmethod
    def _state(path: Path, device: torch.device) -> dict:
        files.check_sums(path)
        state = files.tensors(path, device)
        if not (isinstance(state, dict) and isinstance(state.get("epoch"), int) and state["epoch"] >= 1):
            raise ValueError(f"checkpoint: {str(path)!r} holds no state of a run after its first epoch")
        return state

    def check(self, state: dict, epochs: int) -> None:
        """Raises ValueError where `state`, after so many epochs, is not of the config and the history beside it."""
        told = state.get("of")  # which the first runs did not tell
        for name, found in {} if told is None else self._of(epochs).items():
            if not isinstance(told, dict) or told.get(name) != found:
                file = {"config": "config.json", "history": "history.jsonl"}[name]
                raise ValueError(
                    f"run: {str(self.path / file)!r} is damaged, or it and the checkpoint are of different runs"
                )

    def check_history(self) -> None:
        """`check` for whoever only reads: against the checkpoint, where that can be read, and without its tensors."""
        try:
            state = torch.load(self.path / "checkpoint.pt", map_location="cpu", weights_only=True, mmap=True)
            epochs = state.get("records", state["epoch"])
        except Exception:  # damaged, or not there: that is found, and said, by `load`
            return
        self.check(state, epochs)

    def history(self, record: Callable[[dict], object] = dict, epochs: int | None = None) -> list:
        """What `record` makes of every epoch's dictionary: its lines of history.jsonl and costs.jsonl together.

        `epochs` is how many the checkpoint knows of: others are left out. Raises ValueError, naming the line, where one
        is damaged, and where there are fewer.
        """
        lists = [files.lines(self.path / name, epochs) for name in LISTS]
        if epochs is not None:
            for name, lines in zip(LISTS, lists, strict=True):
                self._check_count(name, len(lines), epochs)
        found = []
        for number, (line, cost) in enumerate(zip(*lists, strict=False), 1):
            try:
                found.append(record(cost | line))
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
                where = str(self.path / "history.jsonl")
                words = files.in_a_line(error)
                raise ValueError(f"run: line {number} of {where!r} is no record of an epoch: {words}") from error
        return found

    def cut(self, epochs: int) -> None:
        """Cuts the lists back to what the checkpoint knows of. Raises ValueError where they hold less."""
        for name in LISTS:
            path = self.path / name
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            whole = [line for line in lines[:epochs] if line.endswith(b"\n")]
            self._check_count(name, len(whole), epochs)
            if lines != whole:
                files.write(path, b"".join(whole))

    def _check_count(self, name: str, found: int, epochs: int) -> None:
        if found < epochs:
            raise ValueError(f"run: {str(self.path / name)!r} holds {found} epochs, its checkpoint {epochs}")


def config_hash(config: dict) -> str:
    """Eight hexadecimal digits that tell configs apart."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]


def folder_name(name: str) -> str:
    """`name`, in which spaces and data of your own may have put anything, as a file system takes it."""
    return re.sub(r"[^\w.()+-]+", "_", name).lstrip(".")[:60]


def _new_folder(name: str) -> Path:
    root = Path(os.environ.get("DARTS_LAB_RUNS", "runs"))
    root.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def _sweep_up(path: Path) -> None:
    for file in files.leftovers(path, *FILES):
        file.unlink(missing_ok=True)


def _empty(path: Path) -> bool:
    """Whether `path` is a directory that holds nothing, or nothing but what is left of a process that died at once."""
    return path.is_dir() and not {*path.iterdir()} - {path / "lock", *files.leftovers(path, "config.json")}


# ---------------------------------------------------------------- searches that have been run


@dataclass(frozen=True, eq=False)
class Recorded:
    """A search that was run, here or elsewhere: what it was, its epochs, and in `problems` what is wrong with it."""

    name: str
    path: Path
    space: str
    data: str
    seed: int
    drop_path: float
    weight_decay: float
    history: list[EpochRecord]
    problems: list[str]

    @property
    def genotype(self) -> Genotype:
        """The result so far: the cell of the last epoch, or of the one that early stopping chose. Raises ValueError before
        the first."""
        if not self.history:
            raise ValueError(f"run: {str(self.path)!r} has not finished its first epoch")
        stop = self.history[-1].stop_epoch
        return next(record.genotype for record in reversed(self.history) if stop in (None, record.epoch))

    def hessians(self) -> Iterator[tuple[int, np.ndarray]]:
        """(epoch, Hessian of the validation loss with respect to alpha), where the logs of Zela et al. hold them.

        Their matrices contain the decay of alpha, 1e-3 times the identity. Raises ValueError for one that is not
        square, not symmetric or not finite.
        """
        for epoch, matrix in _derivatives(self.path, self.seed):
            try:
                yield epoch, checked_matrix(matrix)
            except ValueError as error:
                raise ValueError(f"{self.name}, epoch {epoch}: {error}") from error


def read(path: str | Path) -> Recorded:
    """The search in a run directory of ours, as far as it has come. Nothing in the directory is changed.

    Raises FileNotFoundError or ValueError where there is none, it is damaged, or its history is that of another run.
    """
    run = Run.of_kind(path, "search")
    run.check_history()
    try:
        space, settings = run.config["space"], run.config["settings"]
        names = {name for cell in space["cells"].values() for edge in cell for name in edge}
        history = run.history(lambda record: EpochRecord.from_json(record, (*names, *KNOWN_OPERATIONS)))
        told = space["name"], run.config["data"]["name"], run.config["seed"]
        reg = settings["drop_path"], settings["weight_decay"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"run: {str(run.path)!r} holds no search that can be read: {error}") from error
    return Recorded(run.config["name"], run.path, *told, *reg, history, [])


def table(searches: Iterable[Recorded]) -> pd.DataFrame:
    """Every epoch of every search as one row: what was searched, and how it stood. Errors are fractions."""
    rows = []
    for search in searches:
        told = {name: getattr(search, name) for name in ("name", "space", "data", "seed", "drop_path")}
        for record in search.history:
            row = {name: getattr(record, name) for name in ("epoch", "weight_decay", "train_error")}
            row |= {"one_shot_error": record.valid_error, "dominant_eigenvalue": record.dominant_eigenvalue}
            row |= {"eigenvalue_error": record.eigenvalue_error}
            for word, operation in (("skips", SKIP), ("noise", NOISE)):
                kinds = (kind for kind in CELL_TYPES if kind in record.genotype.cells)
                row |= {f"{word}_{kind}": record.genotype.count(operation, kind) for kind in kinds}
            row |= {"genotype": str(record.genotype)}
            rows.append(told | row | {name: getattr(record, name) for name in ("stop_epoch", "back_to", "seconds")})
    return pd.DataFrame(rows)


_SETTING = re.compile(r"(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?(?:e-?\d+)?)-(\d+)")  # drop path _ weight decay - job
_LINE = re.compile(r"([\d-]{10} [\d:]{8}),\d{3} (?:epoch (\d+) lr (\S+)|(train|valid)_acc (\S+)|genotype = (.+))")


def read_robustdarts(path: str | Path) -> list[Recorded]:
    """The searches in the published logs of Zela et al. 2020 (`experiments/search_logs` of automl/RobustDARTS).

    `path` is that folder or one below it; a setting's own folder is named like `0.0_0.0003-2516843`. Errors, there
    per cent and called accuracies, become fractions; the dominant eigenvalues are computed from the logged Hessians
    (train mode, one batch, with the decay of alpha). Runs that were cut short, or diverged, or whose files are damaged
    are there too, and say so in `problems`. Raises ValueError where there are no such logs.
    """
    path = files.path_of(path)
    if not path.is_dir():
        raise FileNotFoundError(f"path: {str(path)!r} is no directory")
    path = path.resolve()  # the folders above tell space and data
    folders = [path] if _SETTING.fullmatch(path.name) else []
    folders += [folder for folder in path.rglob("*") if folder.is_dir() and _SETTING.fullmatch(folder.name)]
    logs = sorted(log for folder in folders for log in folder.glob("log_*.txt") if log.stem[4:].isdigit())
    if not logs:
        raise ValueError(
            f"path: {str(path)!r} holds no logs of RobustDARTS: no folder named like 0.0_0.0003-2516843 with log_1.txt"
        )
    return [_read_log(log) for log in logs]


def _read_log(log: Path) -> Recorded:
    drop_path, weight_decay, job = _SETTING.fullmatch(log.parent.name).groups()
    space, data, seed = log.parents[2].name.upper(), log.parents[1].name, int(log.stem[4:])
    problems: list[str] = []
    losses = {"train_loss": [], "valid_loss": []}
    try:
        told = files.from_json(files.read_text(log.with_name(f"errors_{seed}.json")))
        losses = {name: [float(loss) for loss in told[name]] for name in losses}
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"errors_{seed}.json cannot be read: {error}")
    eigenvalues = {}
    try:
        for epoch, matrix in _derivatives(log.parent, seed):
            try:
                eigenvalues[epoch] = float(np.linalg.eigvalsh(checked_matrix(matrix))[-1])
            except ValueError as error:
                problems.append(f"epoch {epoch}: {error}")
    except (OSError, ValueError) as error:
        problems.append(f"derivatives_{seed}.json cannot be read to its end: {error}")
    history = []
    for epoch, found in _epochs(log, problems):
        loss = {name: of[epoch] if epoch < len(of) else float("nan") for name, of in losses.items()}
        record = EpochRecord(
            epoch=epoch, train_loss=loss["train_loss"], valid_loss=loss["valid_loss"], alpha_steps=None, alpha=None,
            mixing=None, weight_decay=float(weight_decay), peak_memory_bytes=None,
            dominant_eigenvalue=eigenvalues.get(epoch), **found,
        )  # fmt: skip
        history.append(record)
    last = history[-1].epoch if history else -1
    if last < 49:
        problems.append(f"ends after {last + 1} of 50 epochs")
    if len(history) <= last:
        problems.append(f"log_{seed}.txt tells of {len(history)} of the first {last + 1} epochs only")
    diverged = next((r.epoch for r in history if not np.isfinite((r.train_loss, r.valid_loss)).all()), None)
    if diverged is not None:
        problems.append(f"the loss is not a finite number from epoch {diverged} on")
    name = f"{space}-{data}-dp{drop_path}-wd{weight_decay}-job{job}-seed{seed}"
    return Recorded(name, log.parent, space, data, seed, float(drop_path), float(weight_decay), history, problems)


def _epochs(log: Path, problems: list[str]) -> Iterator[tuple[int, dict]]:
    """(epoch, what log_S.txt says of it), for each epoch that it tells of from beginning to end."""
    number, started, found = 0, None, {}
    for line in log.read_text(errors="replace").splitlines():
        if not (match := _LINE.match(line)):
            continue
        when, epoch, rate, split, accuracy, genotype = match.groups()
        try:
            when = datetime.fromisoformat(when)
            if epoch is not None:
                number, started, found = int(epoch), when, {"learning_rate": float(rate)}
            elif split is not None:
                if not 0 <= float(accuracy) <= 100:
                    raise ValueError(f"{split}_acc {accuracy} is no percentage")
                found[f"{split}_error"] = (100 - float(accuracy)) / 100
            elif len(found) == 3:
                seconds = (when - started).total_seconds()
                yield number, found | {"genotype": Genotype.parse(genotype), "seconds": seconds}
                found = {}
        except ValueError as error:
            problems.append(f"{log.name}: {str(error)[:200]}")
            return


def _derivatives(folder: Path, seed: int) -> Iterator[tuple[int, list]]:
    """(epoch, H) of every line of derivatives_S.json; nothing where there is no such file."""
    path = folder / f"derivatives_{seed}.json"
    if not path.exists():
        return
    with open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                measured = files.from_json(line)
                yield int(measured["epoch"]), measured["H"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number} of {path.name}: {error}") from error
