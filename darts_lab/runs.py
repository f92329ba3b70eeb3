"""A run on disk: a directory that is the whole truth about one search or one training. And the logs of others.

    config.json     what was asked for; enough to start again
    history.jsonl   one line an epoch: what happened, the same for the same config and device
    costs.jsonl     one line an epoch: seconds and memory, which are never the same twice
    checkpoint.pt   everything needed to go on after the last finished epoch, bit for bit
    genotype.txt    the result so far

Every file but the two lists appears whole or not at all. A list may be one line ahead of the checkpoint, or end in
half a line, when a process was killed; the next epoch of the resumed run cuts it back.

`read` and `read_robustdarts` give searches that have been run, ours and those of Zela et al. 2020, as the same kind of
object, so that every figure and every rule works on both.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from darts_lab.curvature import checked_matrix
from darts_lab.genotype import Genotype
from darts_lab.spaces import CELL_TYPES, KNOWN_OPERATIONS, NOISE, SKIP

LISTS = ("history.jsonl", "costs.jsonl")


@dataclass(frozen=True, eq=False)
class EpochRecord:
    """What one epoch did. `valid_*` are one-shot: the supernet with all operations. Errors are the task's: fractions in
    [0, 1] in classification."""

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
    changed: dict | None = None  # settings that were changed by hand before this epoch: name -> value

    def to_json(self) -> tuple[dict, dict]:
        """(what happened, what it cost): the second differs from run to run."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record |= {name: value.tolist() for name, value in record.items() if isinstance(value, Tensor)}
        record["genotype"] = str(self.genotype)
        return record, {name: record.pop(name) for name in ("seconds", "peak_memory_bytes")}

    @classmethod
    def from_json(cls, record: dict, operations: tuple[str, ...]) -> EpochRecord:
        """The record of a line of history.jsonl and one of costs.jsonl together."""
        tensors = {name: torch.tensor(record[name]) for name in ("alpha", "mixing") if record[name] is not None}
        genotype = Genotype.parse(record["genotype"], operations)
        return cls(**(record | tensors | {"genotype": genotype}))


class Run:
    """One run directory. `Run(path)` opens one that is there; `Run.create` makes one."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not (self.path / "config.json").is_file():
            raise FileNotFoundError(f"run: {str(self.path)!r} holds no config.json, so it is not a run")
        try:
            self.config = json.loads((self.path / "config.json").read_text())
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
            path = Path(path)
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise FileExistsError(f"path: {str(path)!r} is not empty; resume the run in it, or choose another")
            path.mkdir(parents=True, exist_ok=True)
        else:
            root = Path(os.environ.get("DARTS_LAB_RUNS", "runs"))
            root.mkdir(parents=True, exist_ok=True)
            path = _new_folder(root, f"{folder_name(config['name'])}-{config_hash(config)}")
        write(path / "config.json", content)
        return cls(path)

    def save(self, state: dict, record: dict, cost: dict, genotype: str, before: int) -> None:
        """Adds one finished epoch behind `before` others: its lines first, then the checkpoint that makes them valid."""
        self.cut(before)
        _append(self.path / "history.jsonl", record)
        _append(self.path / "costs.jsonl", cost)
        write(self.path / "genotype.txt", f"{genotype}\n".encode())
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write(self.path / "checkpoint.pt", buffer.getvalue())

    def load(self, device: torch.device) -> dict | None:
        """The state after the last finished epoch, or None before the first. No code from the file is run."""
        path = self.path / "checkpoint.pt"
        if not path.exists():
            return None
        state = read_tensors(path, device)
        if not (isinstance(state, dict) and isinstance(state.get("epoch"), int) and state["epoch"] >= 1):
            raise ValueError(f"checkpoint: {str(path)!r} holds no state of a run after its first epoch")
        return state

    def history(self, record: Callable[[dict], object] = dict, epochs: int | None = None) -> list:
        """What `record` makes of every epoch's dictionary: its lines of history.jsonl and costs.jsonl together.

        `epochs` is how many the checkpoint knows of: others are left out. Raises ValueError, naming the line, where one
        is damaged, and where there are fewer.
        """
        lists = [_lines(self.path / name, epochs) for name in LISTS]
        if epochs is not None:
            for name, lines in zip(LISTS, lists, strict=True):
                self._check_count(name, len(lines), epochs)
        found = []
        for number, (line, cost) in enumerate(zip(*lists, strict=False), 1):
            try:
                found.append(record(line | cost))
            except (KeyError, TypeError) as error:
                where = str(self.path / "history.jsonl")
                raise ValueError(f"run: line {number} of {where!r} is no record of an epoch: {error}") from error
        return found

    def cut(self, epochs: int) -> None:
        """Cuts the lists back to what the checkpoint knows of. Raises ValueError where they hold less."""
        for name in LISTS:
            path = self.path / name
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            whole = [line for line in lines[:epochs] if line.endswith(b"\n")]
            self._check_count(name, len(whole), epochs)
            if lines != whole:
                write(path, b"".join(whole))

    def _check_count(self, name: str, found: int, epochs: int) -> None:
        if found < epochs:
            raise ValueError(f"run: {str(self.path / name)!r} holds {found} epochs, its checkpoint {epochs}")


def config_hash(config: dict) -> str:
    """Eight hexadecimal digits that tell configs apart."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]


def folder_name(name: str) -> str:
    """`name`, in which spaces and data of your own may have put anything, as a file system takes it."""
    return re.sub(r"[^\w.()+-]+", "_", name).lstrip(".")[:60]


def _new_folder(root: Path, name: str) -> Path:
    number = 1
    while True:
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def write(path: Path, content: bytes) -> None:
    """Replaces a file whole: written beside it, flushed to the disk, then renamed."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _append(path: Path, line: dict) -> None:
    with open(path, "ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path, most: int | None = None) -> list[dict]:
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True)[:most], 1):
        if line.endswith(b"\n"):  # a last line without an end was being written when the process died
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"run: line {number} of {str(path)!r} is damaged: {error}") from error
    return found


def read_tensors(path: str | Path, device: torch.device) -> dict:
    """What `torch.save` wrote into a file: tensors and plain values. No code from the file is run.

    Raises ValueError where the file is damaged or holds anything else, FileNotFoundError where there is none.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file raises whatever its reader stumbles over
        raise ValueError(
            f"checkpoint: {str(path)!r} cannot be read: it is damaged or holds more than tensors and plain values "
            f"({type(error).__name__})"
        ) from error


def read_text(path: str | Path, most: int = 1_000_000) -> str:
    """The text in a small file. Raises ValueError where it is larger than `most` bytes or not text."""
    path = Path(path)
    if path.stat().st_size > most:
        raise ValueError(f"path: {str(path)!r} is larger than {most} bytes")
    try:
        return path.read_text().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"path: {str(path)!r} is not text") from error


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

    Raises FileNotFoundError or ValueError where there is none, or it is damaged.
    """
    run = Run.of_kind(path, "search")
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
    if not Path(path).is_dir():
        raise FileNotFoundError(f"path: {str(path)!r} is no directory")
    path = Path(path).resolve()  # the folders above tell space and data
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
        told = json.loads(read_text(log.with_name(f"errors_{seed}.json")))
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
        when = datetime.fromisoformat(when)
        try:
            if epoch is not None:
                number, started, found = int(epoch), when, {"learning_rate": float(rate)}
            elif split is not None:
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
                measured = json.loads(line)
                yield int(measured["epoch"]), measured["H"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number} of {path.name}: {error}") from error
