"""Files that appear whole or not at all, are read without being trusted, and locks on their folders.

What a file says is parsed, never evaluated; where it is damaged or too large, one sentence says so.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

ONE_AT_A_TIME = threading.RLock()  # among the threads of this process, which share its locks


def write(path: Path, content: bytes, kept: Path | None = None) -> None:
    """Replaces a file whole: written beside it, flushed to the disk, then renamed. `kept` is where the one before goes."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if kept is not None and path.exists():
            os.replace(path, kept)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def leftovers(folder: Path, *names: str) -> set[Path]:
    """What processes were writing in `folder`, as files of these names, when they were killed."""
    return {file for name in names for file in folder.glob(f".{name}.*")}


def append(path: Path, line: dict) -> None:
    """Adds a line to a list in a file, and flushes it to the disk."""
    with open(path, "ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def lines(path: Path, most: int | None = None) -> list[dict]:
    """The whole lines of such a list, `most` of them; none where there is no file. Raises ValueError, naming a damaged one."""
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True)[:most], 1):
        if line.endswith(b"\n"):  # a last line without an end was being written when the process died
            try:
                found.append(from_json(line))
            except ValueError as error:
                raise ValueError(f"run: line {number} of {str(path)!r} is damaged: {error}") from error
    return found


def from_json(text: str | bytes):
    """What JSON says. Raises ValueError for anything else, and for what is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def object_in(path: Path) -> dict:
    """The JSON object in a small file of ours. Raises ValueError, naming the file, where it holds anything else."""
    try:
        found = from_json(read_text(path))
    except ValueError as error:
        raise ValueError(f"path: {str(path)!r} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"path: {str(path)!r} is damaged: it holds no JSON object")
    return found


def path_of(path, name: str = "path") -> Path:
    """`path` as a path. Raises ValueError, naming the argument, where it is none."""
    try:
        return Path(path)
    except TypeError:
        raise ValueError(f"{name}: {path!r} is not allowed; it must be a path") from None


def read_text(path: str | Path, most: int = 1_000_000) -> str:
    """The text in a small file. Raises ValueError where it is larger than `most` bytes or not text."""
    path = Path(path)
    if path.stat().st_size > most:
        raise ValueError(f"path: {str(path)!r} is larger than {most} bytes")
    try:
        return path.read_text().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"path: {str(path)!r} is not text") from error


def in_a_line(error: BaseException, most: int = 200) -> str:
    """What an error says, in one line of at most so many letters: others' errors may be long, and have several lines."""
    return " ".join(str(error).split())[:most]


class Damaged(ValueError):
    """A file is not what was written."""


def check_sums(path: str | Path) -> None:
    """Raises Damaged where a file of `torch.save` is not whole. (PyTorch does not look: 9 of 10 flipped bits pass it.)"""
    try:
        size = Path(path).stat().st_size
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type or entry.file_size > size for entry in archive.infolist()):
                raise ValueError("it claims more than it holds")
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"the sum of {broken!r} is wrong")
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # whatever the reader stumbles over
        words = in_a_line(error, 100)
        raise Damaged(f"checkpoint: {str(path)!r} cannot be read: it is damaged ({words})") from error


def read_tensors(path: str | Path, device: torch.device) -> dict:
    """What `torch.save` wrote into a file: tensors and plain values. No code from the file is run.

    Raises ValueError where the file is damaged or holds anything else, FileNotFoundError where there is none.
    """
    with open(path, "rb") as file:
        if file.read(2) == b"PK":  # older files have no sums
            check_sums(path)
    return tensors(path, device)


def tensors(path: str | Path, device: torch.device) -> dict:
    """The same without a look at the sums."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file raises whatever its reader stumbles over
        raise ValueError(
            f"checkpoint: {str(path)!r} cannot be read: it is damaged or holds more than tensors and plain values "
            f"({type(error).__name__})"
        ) from error


@contextmanager
def writing(path: Path):
    """Says in words what the disk does not take."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno is None or getattr(error, "told", False):
            raise
        words = f"path: {str(path)!r} cannot be written: {os.strerror(error.errno)}; finished epochs are kept"
        told = OSError(error.errno, words)
        told.told = True
        raise told from error


def _lock_of(path: Path) -> FileLock:
    return FileLock(path.resolve() / "lock", thread_local=False, is_singleton=True)  # one for each process


def locked(path: Path) -> FileLock:
    """The lock of the directory `path`, taken. Raises ValueError where another process holds it."""
    lock = _lock_of(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"path: the run {str(path)!r} is in use by another process; wait for it, or end it") from None
    return lock


def held(path: str | Path) -> bool:
    """Whether a search or training, of this process or another, holds the run in `path`."""
    if not Path(path).is_dir():  # which taking the lock would make
        return False
    with ONE_AT_A_TIME:
        lock = _lock_of(Path(path))
        try:
            return lock.is_locked or not lock.acquire(timeout=0)
        except Timeout:
            return True
