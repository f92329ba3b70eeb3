"""Files that are written whole or not at all, files that are parsed and never evaluated, and locks on folders."""

import json
import os
import secrets
import threading
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

ONE_AT_A_TIME = threading.RLock()  # for the threads of this process, because they share its file locks


def write(path: Path, content: bytes, kept: Path | None = None) -> None:
    """Replaces a whole file: writes another beside it, flushes it to the disk, renames it. `kept` gets the old one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if kept is not None and path.exists():
            _replace(path, kept)
        _replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _replace(path: Path, target: Path) -> None:
    """`os.replace`. Windows refuses it while somebody has either file open; there it is tried again for two seconds."""
    for _ in range(20 if os.name == "nt" else 0):
        try:
            return os.replace(path, target)
        except PermissionError:
            time.sleep(0.1)
    os.replace(path, target)


def leftovers(folder: Path, *names: str) -> set[Path]:
    """The temporary files of `write` that killed processes left in `folder`, for files of these names."""
    return {file for name in names for file in folder.glob(f".{name}.*")}


def append(path: Path, record: dict) -> None:
    """Adds a line of JSON to a file and flushes it to the disk."""
    with open(path, "ab") as file:
        file.write(json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def lines(path: Path, most: int | None = None) -> list[dict]:
    """The records in such a file, at most `most`; [] without a file. Raises ValueError where a line is damaged."""
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True)[:most], 1):
        if line.endswith(b"\n"):  # else the process died while it wrote this line
            try:
                records.append(from_json(line))
            except ValueError as error:
                raise ValueError(f"run: line {number} of {str(path)!r} is damaged: {error}") from error
    return records


def from_json(text: str | bytes):
    """The value of a JSON text. Raises ValueError where it is not JSON or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def object_in(path: Path, name: str = "path") -> dict:
    """The JSON object in a small file. Raises ValueError, with `name` and the path, where it holds anything else."""
    try:
        value = from_json(read_text(path))
        if not isinstance(value, dict):
            raise ValueError("it holds no JSON object")
        return value
    except ValueError as error:
        raise ValueError(f"{name}: {str(path)!r} is damaged: {error}") from error


def path_of(path, name: str = "path") -> Path:
    """`path` as a Path. Raises ValueError, with the name of the argument, where it cannot be one."""
    try:
        return Path(path)
    except TypeError:
        raise ValueError(f"{name}: {path!r} is not allowed; it must be a path") from None


def read_text(path: str | Path, most: int = 1_000_000) -> str:
    """The text of a small file, stripped. Raises ValueError where it is larger than `most` bytes or not text."""
    path = Path(path)
    if path.stat().st_size > most:
        raise ValueError(f"path: {str(path)!r} is larger than {most} bytes")
    try:
        return path.read_text().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"path: {str(path)!r} is not text") from error


def in_a_line(error: BaseException, most: int = 200) -> str:
    """The message of an error in one line of at most `most` characters."""
    return " ".join(str(error).split())[:most]


class Damaged(ValueError):
    """A file does not hold what was written to it."""


def check_sums(path: str | Path) -> None:
    """Raises Damaged where a checksum in a file of `torch.save` is wrong. PyTorch accepts 9 of 10 flipped bits."""
    try:
        size = Path(path).stat().st_size
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type or entry.file_size > size for entry in archive.infolist()):
                raise ValueError("it claims more than it holds")
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"the sum of {broken!r} is wrong")
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # a damaged file can raise anything
        raise Damaged(f"checkpoint: {str(path)!r} cannot be read: it is damaged ({in_a_line(error, 100)})") from error


def read_tensors(path: str | Path, device: torch.device) -> dict:
    """What `torch.save` wrote to a file: tensors and plain values; no code in it is run. Raises FileNotFoundError where
    there is no file, ValueError where it is damaged or holds anything else."""
    with open(path, "rb") as file:
        if file.read(2) == b"PK":  # files of old versions of PyTorch have no checksums
            check_sums(path)
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        reason = f"it is damaged or holds more than tensors and plain values ({type(error).__name__})"
        raise ValueError(f"checkpoint: {str(path)!r} cannot be read: {reason}") from error


@contextmanager
def writing(path: Path):
    """A context in which an error of the disk, such as a full one, is one sentence that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, FileExistsError):
            raise
        reason = f"path: {str(path)!r} cannot be written: {os.strerror(error.errno)}; finished epochs are kept"
        raise OSError(error.errno, reason) from error


def _lock_of(path: Path) -> FileLock:
    return FileLock(path.resolve() / "lock", thread_local=False, is_singleton=True)  # one for each process


def locked(path: Path) -> FileLock:
    """The acquired lock of the directory `path`. Raises ValueError where another process holds it."""
    lock = _lock_of(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"path: the run {str(path)!r} is in use by another process; wait for it, or end it") from None
    return lock


def held(path: str | Path) -> bool:
    """Whether this process or another holds the run in `path`."""
    if not Path(path).is_dir():  # acquiring the lock would create the directory
        return False
    with ONE_AT_A_TIME:
        lock = _lock_of(Path(path))
        try:
            return lock.is_locked or not lock.acquire(timeout=0)
        except Timeout:
            return True
