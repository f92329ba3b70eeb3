"""A run on disk: a directory that is the whole truth about one search or one training.

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
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from darts_lab import __version__
from darts_lab.runs import files

LISTS = ("history.jsonl", "costs.jsonl")
FILES = (*LISTS, "config.json", "genotype.txt", "checkpoint.pt")


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
                path = _new_folder(f"{folder_name(config['name'])}-{config['hash']}")
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
        return {"config": _digest(self.config), "history": hashlib.sha256(b"".join(lines)).hexdigest()}

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


def _digest(config: dict) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


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
