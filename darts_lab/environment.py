"""What this machine offers a run: the device and why, memory, threads, precision."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache

import torch


def choose_device(device: str | torch.device | None = None) -> tuple[torch.device, str]:
    """The device to compute on and, in words, why: the given one, or the first of cuda, mps, cpu that is there.

    Raises ValueError for a device that is not known or not there.
    """
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if device is None:
        reason = {"cuda": "a CUDA GPU is there", "mps": "an Apple GPU is there", "cpu": "no GPU is there"}[there[0]]
        return torch.device(there[0]), reason
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        chosen = None
    index = 0 if chosen is None else chosen.index or 0
    if chosen is None or chosen.type not in there or (chosen.type == "cuda" and index >= torch.cuda.device_count()):
        raise ValueError(f"device: {str(device)!r} is not there; there are: {', '.join(there)}")
    return chosen, "as asked"


@cache
def processor(device: torch.device) -> str:
    """What computes on `device`, in words: its name and, of a CPU, the instruction set by which PyTorch chooses its kernels.
    Another one rounds differently."""
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
    """Bytes: the most this process has held so far: on a CUDA device what tensors took, else the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def stopwatch(device: torch.device) -> Callable[[], dict]:
    """A function that gives what was spent since now: seconds on the wall, seconds of all threads, peak memory in bytes."""
    started, processor_started = time.perf_counter(), time.process_time()
    return lambda: {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor_started,
        "peak_memory_bytes": peak_memory(device),
    }


@cache
def keep_memory() -> bool:
    """Lets this process keep the memory that tensors on the CPU give back, for the next step to use again.

    The allocator of Linux (glibc) would return every large tensor to the system and fetch it anew, page by page: a
    fifth of a step at laptop scale, a third at the papers' size. True where that could be said to it; the environment
    variable DARTS_LAB_KEEP_MEMORY=0 forbids it.
    """
    if os.environ.get("DARTS_LAB_KEEP_MEMORY") == "0" or platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    allocator = ctypes.CDLL(None)
    return bool(allocator.mallopt(mmap_max, 0) and allocator.mallopt(trim_threshold, 2**31 - 1))


@cache
def deterministic() -> bool:
    """Whether the environment variable DARTS_LAB_DETERMINISTIC=1 asks for the same bits on a GPU too, and sees to it.

    On a CPU a seed gives the same bits in any case, with the same number of threads. On a GPU this takes slower
    operations (`torch.use_deterministic_algorithms`); PyTorch warns of one that has no such form.
    """
    wanted = os.environ.get("DARTS_LAB_DETERMINISTIC") == "1"
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return wanted


def restore(generator: torch.Generator, state: dict, elsewhere: int) -> None:
    """Brings `generator` back to where the checkpoint `state` left it; one left on another kind of device cannot be
    brought here, and it starts from the seed `elsewhere`."""
    if state.get("device", generator.device.type) == generator.device.type:
        generator.set_state(state["generator"].cpu())
    else:
        generator.manual_seed(elsewhere)


@contextmanager
def lower_precision(device: torch.device, precision: str):
    """Within it PyTorch chooses bfloat16 where that is known to do no harm; "float32" changes nothing."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield


@contextmanager
def full_precision(device: torch.device):
    """Within it float32 means float32: a CUDA device would round the factors of convolutions to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = before and device.type != "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
