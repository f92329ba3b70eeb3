"""The machine of a run: its device, processor, memory, and precision."""

import ctypes
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Lock

import psutil
import torch

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_lock = Lock()
_asked: list[int] = []  # how many threads PyTorch was told to take, once for each thread within `fewer_threads`


def choose_device(device: str | torch.device | None = None) -> tuple[torch.device, str]:
    """(the device to compute on, the reason in words): the given one, or the first of cuda, mps and cpu that exists.
    Raises ValueError for a device that does not exist."""
    reasons = {"cuda": "a CUDA GPU is there", "mps": "an Apple GPU is there", "cpu": "no GPU is there"}
    exists = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [name for name in reasons if exists[name]]
    if device is None:
        return torch.device(available[0]), reasons[available[0]]
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        chosen = None
    out_of_range = chosen is not None and chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count()
    if chosen is None or chosen.type not in available or out_of_range:
        raise ValueError(f"device: {str(device)!r} is not there; there are: {', '.join(available)}")
    return chosen, "as asked"


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a GPU; None for a CPU and other devices that share the memory of the host."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def host_memory() -> int:
    """Bytes of the host's memory that processes could still get."""
    return psutil.virtual_memory().available


@cache
def processor(device: torch.device) -> str:
    """The name of the processor of `device` and, for a CPU, the instruction set of PyTorch's kernels, because another
    one rounds differently."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:  # not Linux
        pass
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def peak_memory(device: torch.device) -> int:
    """The peak memory of this process so far, in bytes: that of tensors on a CUDA device, else the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return psutil.Process().memory_info().peak_wset
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def stopwatch(device: torch.device) -> Callable[[], dict]:
    """A function that gives what was spent since now: wall seconds, seconds of all threads, peak memory in bytes."""
    started, processor_started = time.perf_counter(), time.process_time()
    return lambda: {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor_started,
        "peak_memory_bytes": peak_memory(device),
    }


@contextmanager
def holding(variable: ContextVar, value):
    """Within it `variable` has this value, for this thread alone."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def fewer_threads(number: Callable[[int], int]):
    """Within it operations of PyTorch take number(n) threads of the n that it was told to take; the context gives n."""
    with _lock:  # a thread that begins while others are within would find the number that they have set
        threads = _asked[0] if _asked else torch.get_num_threads()
        _asked.append(threads)
    torch.set_num_threads(number(threads))
    try:
        yield threads
    finally:
        with _lock:
            torch.set_num_threads(threads)
            _asked.pop()


@cache
def keep_memory() -> bool:
    """Makes this process keep the memory of freed CPU tensors for the next step. Returns whether it does.

    Otherwise the allocator of Linux (glibc) returns every large tensor to the system and gets it back page by page,
    which takes a fifth of a step at laptop scale, a third at the papers' size. DARTS_LAB_KEEP_MEMORY=0 forbids it.
    """
    if os.environ.get("DARTS_LAB_KEEP_MEMORY") == "0" or platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    allocator = ctypes.CDLL(None)
    return bool(allocator.mallopt(mmap_max, 0) and allocator.mallopt(trim_threshold, 2**31 - 1))


@cache
def deterministic() -> bool:
    """Whether DARTS_LAB_DETERMINISTIC=1 is set; if so, the same seed gives the same bits on a GPU too.

    On a CPU it always does, for the same number of threads. On a GPU this needs slower operations
    (`torch.use_deterministic_algorithms`); PyTorch warns of one that has no such form.
    """
    wanted = os.environ.get("DARTS_LAB_DETERMINISTIC") == "1"
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return wanted


def restore(generator: torch.Generator, state: dict, elsewhere: int) -> None:
    """Sets `generator` to its state in a checkpoint, or to the seed `elsewhere` if that is of another device type."""
    if state.get("device", generator.device.type) == generator.device.type:
        generator.set_state(state["generator"].cpu())
    else:
        generator.manual_seed(elsewhere)


@contextmanager
def lower_precision(device: torch.device, precision: str):
    """A context in which PyTorch uses bfloat16 where that is known to be safe; "float32" changes nothing."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield


@contextmanager
def full_precision(device: torch.device):
    """A context in which a CUDA device does not round the factors of float32 convolutions to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = before and device.type != "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
