"""A run on disk: a directory that is the whole truth about one search or one training.

    config.json     what was asked for; enough to start again
    history.jsonl   one line an epoch: what happened, the same for the same config and device
    costs.jsonl     one line an epoch: seconds and memory, which are never the same twice
    checkpoint.pt   everything needed to go on after the last finished epoch, bit for bit
    genotype.txt    the result so far

Every file but the two lists appears whole or not at all. A list may be one line ahead of the checkpoint, or end in
half a line, when a process was killed; resuming cuts it back and repeats that epoch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch


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
            path = _new_folder(root, f"{_folder_name(config['name'])}-{config_hash(config)}")
        _write(path / "config.json", content)
        return cls(path)

    def save(self, state: dict, record: dict, cost: dict, genotype: str) -> None:
        """Adds one finished epoch: its lines first, then the checkpoint that makes them valid."""
        _append(self.path / "history.jsonl", record)
        _append(self.path / "costs.jsonl", cost)
        _write(self.path / "genotype.txt", f"{genotype}\n".encode())
        buffer = io.BytesIO()
        torch.save(state, buffer)
        _write(self.path / "checkpoint.pt", buffer.getvalue())

    def load(self, device: torch.device) -> dict | None:
        """The state after the last finished epoch, or None before the first. No code from the file is run."""
        path = self.path / "checkpoint.pt"
        if not path.exists():
            return None
        state = read_tensors(path, device)
        if not (isinstance(state, dict) and isinstance(state.get("epoch"), int) and state["epoch"] >= 1):
            raise ValueError(f"checkpoint: {str(path)!r} holds no state of a run after its first epoch")
        return state

    def history(self, record: Callable[[dict], object] = dict) -> list:
        """What `record` makes of every epoch's dictionary: its lines of history.jsonl and costs.jsonl together.

        Raises ValueError, naming the line, where one is damaged.
        """
        pairs = zip(_lines(self.path / "history.jsonl"), _lines(self.path / "costs.jsonl"), strict=False)
        found = []
        for number, (line, cost) in enumerate(pairs, 1):
            try:
                found.append(record(line | cost))
            except (KeyError, TypeError) as error:
                where = str(self.path / "history.jsonl")
                raise ValueError(f"run: line {number} of {where!r} is no record of an epoch: {error}") from error
        return found

    def cut(self, epochs: int) -> None:
        """Cuts the lists back to what the checkpoint knows of. Raises ValueError where they hold less."""
        for name in ("history.jsonl", "costs.jsonl"):
            path = self.path / name
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            whole = [line for line in lines[:epochs] if line.endswith(b"\n")]
            if len(whole) < epochs:
                raise ValueError(f"run: {str(path)!r} holds {len(whole)} epochs, its checkpoint {epochs}")
            if lines != whole:
                _write(path, b"".join(whole))


def config_hash(config: dict) -> str:
    """Eight hexadecimal digits that tell configs apart."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]


def _folder_name(name: str) -> str:
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


def _write(path: Path, content: bytes) -> None:
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


def _lines(path: Path) -> list[dict]:
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
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
