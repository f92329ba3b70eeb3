"""A run on disk: a directory that holds everything about one search or training.

    config.json     what was asked for, enough to start again
    history.jsonl   one line per epoch: its results, the same for the same config and device
    costs.jsonl     one line per epoch: seconds and memory, which differ from run to run
    checkpoint.pt   the state after the last finished epoch, from which the run goes on bit for bit
    previous.pt     the same, one epoch older; used when the checkpoint is damaged
    genotype.txt    the result so far
    lock            locked by the process that computes here

The lists grow line by line; every other file is written whole or not at all. After a process was killed, a list may be
one line ahead of the checkpoint or end in half a line; the next epoch cuts it back. A checkpoint holds checksums, and
hashes of its config and history: one that is damaged or of another run is not used.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from darts_lab import __version__
from darts_lab.checks import checked
from darts_lab.runs import files

LISTS = ("history.jsonl", "costs.jsonl")
FILES = (*LISTS, "config.json", "genotype.txt", "checkpoint.pt")


class Run:
    """One run directory. `Run(path)` opens an existing one, `Run.create` makes a new one."""

    def __init__(self, path: str | Path):
        self.path = files.path_of(path, "run")
        self._lock: FileLock | None = None
        self._known: tuple | None = None  # the `_stamp` of the checkpoint that this object last read or wrote
        self._replaces_damaged = False  # whether that checkpoint is damaged, so that it is not kept as previous.pt
        if not (self.path / "config.json").is_file():
            raise FileNotFoundError(f"run: {str(self.path)!r} holds no config.json, so it is not a run")
        self.config = files.object_in(self.path / "config.json", "run")

    @classmethod
    def of_kind(cls, path: str | Path, kind: str) -> Run:
        """The run in `path`. Raises ValueError where it is not of this `kind`, "search" or "training"."""
        run = cls(path)
        if run.config.get("kind") != kind:
            raise ValueError(f"run: {str(run.path)!r} holds no {kind} that can go on: it is a {run.config.get('kind')}")
        return run

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def create(cls, config: dict, path: str | Path | None = None) -> Run:
        """A new run directory: `path`, or else a folder named after the config, in `runs` or that which the environment
        variable DARTS_LAB_RUNS names. Raises FileExistsError where `path` is not empty."""
        content = json.dumps(config, indent=1).encode()
        if path is not None:
            path = files.path_of(path)
            _check_empty(path)
        root = Path(os.environ.get("DARTS_LAB_RUNS", "runs"))
        with files.writing(path or root):
            if path is None:
                path = _new_folder(root, f"{folder_name(config['name'])}-{config['hash']}")
            path.mkdir(parents=True, exist_ok=True)
            lock = files.locked(path)
            _check_empty(path)  # another process may have been faster
            _remove_leftovers(path)
            files.write(path / "config.json", content)
        run = cls(path)
        run._lock = lock
        return run

    def hold(self) -> None:
        """Keeps other processes from computing here until `release`, or until this object is deleted. Raises ValueError
        where another process holds the run, or where it has gone on since this object read it."""
        with files.ONE_AT_A_TIME, files.writing(self.path):
            if self._lock is None:
                self._lock = files.locked(self.path)
                _remove_leftovers(self.path)
            if self._stamp() != self._known:
                self.release()
                raise ValueError(f"run: {str(self.path)!r} has gone on since it was read here; resume it again")

    def release(self) -> None:
        """Lets other processes compute here."""
        self._lock = None  # deleting the last reference in this process unlocks it

    def save(self, state: dict, record: dict, cost: dict, genotype: str, before: int) -> None:
        """Adds a finished epoch after `before` others: its lines, then the checkpoint that makes them valid. Raises as
        `hold`, and OSError with one sentence where the disk is full."""
        with files.ONE_AT_A_TIME, files.writing(self.path):
            self.hold()
            self.cut(before)
            files.append(self.path / "history.jsonl", record)
            files.append(self.path / "costs.jsonl", cost)
            files.write(self.path / "genotype.txt", f"{genotype}\n".encode())
            buffer = io.BytesIO()
            torch.save(state | {"of": self._origin(before + 1)}, buffer)
            kept = None if self._replaces_damaged else self.path / "previous.pt"
            files.write(self.path / "checkpoint.pt", buffer.getvalue(), kept)
            self._known, self._replaces_damaged = self._stamp(), False

    def _origin(self, epochs: int) -> dict:
        """What a checkpoint belongs to: hashes of the config and of the first `epochs` lines of the history."""
        lines = (self.path / "history.jsonl").read_bytes().splitlines(keepends=True)[:epochs]
        texts = {"config": json.dumps(self.config, sort_keys=True).encode(), "history": b"".join(lines)}
        return {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}

    def _stamp(self) -> tuple | None:
        """Inode, time and size of the checkpoint, which differ between any two of them."""
        try:
            status = (self.path / "checkpoint.pt").stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def load(self, device: torch.device) -> dict | None:
        """The state after the last finished epoch, or None before the first. Where the checkpoint is damaged or gone,
        it is the previous one, with a warning. Raises ValueError without one, or where another version made the run."""
        if (version := self.config.get("version", __version__)) != __version__:
            made = f"was made by darts_lab {version}, this is {__version__}"
            raise ValueError(f"run: {str(self.path)!r} {made}, which would go on differently")
        path, previous = self.path / "checkpoint.pt", self.path / "previous.pt"
        self._known = self._stamp()
        if self._known is None and not previous.exists():
            epochs = len(files.lines(self.path / "history.jsonl"))
            if epochs > 1:  # the first line is written before the first checkpoint
                raise ValueError(f"run: {str(self.path)!r} holds {epochs} epochs, but its checkpoint.pt is gone")
            return None
        try:
            return self._state(path, device)
        except (FileNotFoundError, files.Damaged) as error:
            if not previous.exists():
                raise
            state = self._state(previous, device)
            self._replaces_damaged = True
            reason = str(error) if isinstance(error, files.Damaged) else f"checkpoint: {str(path)!r} is gone"
            warnings.warn(f"{reason}; the one before it is used", stacklevel=3)
            return state

    @staticmethod
    def _state(path: Path, device: torch.device) -> dict:
        files.check_sums(path)  # of all checkpoints: one without checksums is damaged
        state = files.read_tensors(path, device)
        if not (isinstance(state, dict) and isinstance(state.get("epoch"), int) and state["epoch"] >= 1):
            raise ValueError(f"checkpoint: {str(path)!r} holds no state of a run after its first epoch")
        return state

    def check(self, state: dict, epochs: int) -> None:
        """Raises ValueError where `state`, a checkpoint after `epochs` epochs, is of another config or history."""
        origin = state.get("of")  # missing in the first runs
        for name, digest in {} if origin is None else self._origin(epochs).items():
            if not isinstance(origin, dict) or origin.get(name) != digest:
                path = str(self.path / {"config": "config.json", "history": "history.jsonl"}[name])
                raise ValueError(f"run: {path!r} is damaged, or it and the checkpoint are of different runs")

    def check_history(self) -> None:
        """`check` against the checkpoint on disk, without reading its tensors; nothing where it cannot be read."""
        try:
            state = torch.load(self.path / "checkpoint.pt", map_location="cpu", weights_only=True, mmap=True)
            epochs = state.get("records", state["epoch"])
        except Exception:  # damaged or missing, which `load` reports
            return
        self.check(state, epochs)

    def history(self, record: Callable[[dict], object] = dict, epochs: int | None = None) -> list:
        """`record(line)` for every epoch, or for the first `epochs`, where `line` joins its lines of history.jsonl and
        costs.jsonl. Raises ValueError where a line, which it names, is damaged, or there are fewer than `epochs`."""
        lists = [files.lines(self.path / name, epochs) for name in LISTS]
        for name, lines in zip(LISTS, lists, strict=True):
            self._check_count(name, len(lines), epochs or 0)
        records = []
        for number, (line, cost) in enumerate(zip(*lists, strict=False), 1):
            try:
                records.append(record(cost | line))
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
                path, reason = str(self.path / "history.jsonl"), files.in_a_line(error)
                raise ValueError(f"run: line {number} of {path!r} is no record of an epoch: {reason}") from error
        return records

    def cut(self, epochs: int) -> None:
        """Cuts the lists back to the first `epochs` lines. Raises ValueError where they hold fewer."""
        for name in LISTS:
            path = self.path / name
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            whole = [line for line in lines[:epochs] if line.endswith(b"\n")]
            self._check_count(name, len(whole), epochs)
            if lines != whole:
                files.write(path, b"".join(whole))

    def _check_count(self, name: str, lines: int, epochs: int) -> None:
        if lines < epochs:
            raise ValueError(f"run: {str(self.path / name)!r} holds {lines} epochs, its checkpoint {epochs}")


@checked
def folder_name(name: str) -> str:
    """`name`, which may be a user's, reduced to at most 60 characters that every file system allows."""
    return re.sub(r"[^\w.()+-]+", "_", name).lstrip(".")[:60]


def _new_folder(root: Path, name: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            pass
    raise AssertionError  # numbers do not end


def _remove_leftovers(path: Path) -> None:
    for file in files.leftovers(path, *FILES):
        file.unlink(missing_ok=True)


def _check_empty(path: Path) -> None:
    """Raises FileExistsError where `path` holds more than a process leaves that died before it began."""
    left = {path / "lock", *files.leftovers(path, "config.json")}
    if path.exists() and not (path.is_dir() and left.issuperset(path.iterdir())):
        raise FileExistsError(f"path: {str(path)!r} is not empty; resume the run in it, or choose another")
