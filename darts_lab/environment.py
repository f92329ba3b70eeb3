"""What this machine offers: the device a run uses and why, memory, versions, data."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib import metadata

import torch

from darts_lab import data as datasets


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


def peak_memory(device: torch.device) -> int:
    """Bytes: the most this process has held so far: on a CUDA device what tensors took, else the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def check() -> None:
    """Prints, in words, what is there: versions, the device and why, threads, data found or missing."""
    device, why = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    names = ("darts-lab", "torch", "torchvision", "numpy", "scikit-image", "ipywidgets", "jupyterlab")
    print(f"Python {platform.python_version()} on {platform.system()}; " + ", ".join(map(_version, names)))
    print(f"Device: {device.type} ({name}), because {why}; {torch.get_num_threads()} threads, {os.cpu_count()} cores.")
    print("Data: digits is embedded and needs no download.")
    found = datasets.available()
    for real, there in found.items():
        if there:
            print(f"Data: {real} found.")
    missing = [real for real, there in found.items() if not there]
    if missing:
        print(f'Data: {", ".join(missing)} not found; dl.data.load("{missing[0]}", download=True) fetches it.')
    print(f"Scale: {os.environ.get('DARTS_LAB_SCALE', 'laptop')} (from DARTS_LAB_SCALE: tiny, laptop or paper).")


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} missing"
