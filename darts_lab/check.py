"""`dl.check()`: what this installation has, in words."""

import os
import platform
from importlib import metadata

import torch

from darts_lab import data as datasets
from darts_lab import spaces
from darts_lab.environment import choose_device, free_memory, host_memory, processor
from darts_lab.networks import fused
from darts_lab.networks.images import Supernet


def check() -> None:
    """Prints the versions, the device and the reason for it, the number of threads, and the data found or missing."""
    device, reason = choose_device()
    packages = ("darts-lab", "torch", "torchvision", "numpy", "scikit-image", "ipywidgets", "jupyterlab")
    print(f"Python {platform.python_version()} on {platform.system()}; " + ", ".join(map(_version, packages)))
    cores = f"{torch.get_num_threads()} threads, {os.cpu_count()} cores"
    print(f"Device: {device.type} ({processor(device)}), because {reason}; {cores}.")
    fast, reason = fused.available()
    words = f"on ({reason})" if fast else f"off, because {reason}: on a CPU a step takes two to four times as long"
    print(f"Fused kernels: {words}.")
    print("Data: digits is embedded and needs no download; so are pydocs, stereo and bathymetry.")
    available = datasets.available()
    for name, found in available.items():
        if found:
            print(f"Data: {name} found.")
    missing = [name for name, found in available.items() if not found]
    if downloads := [name for name in missing if name in datasets.DOWNLOADS]:
        print(f'Data: {", ".join(downloads)} not found; dl.data.load("{downloads[0]}", download=True) fetches it.')
    if others := [name for name in missing if name not in datasets.DOWNLOADS]:
        print(f"Data: {', '.join(others)} not found; put it into the folder named by DARTS_LAB_DATA.")
    most = free_memory(device)
    most, place = (host_memory(), "memory") if most is None else (most // 2, "the GPU")
    more = "of larger ones, from_folder(..., cache=True), batches are gathered ahead"
    print(f"Data: sets of up to {most / 2**30:.0f} GB stay in {place}; {more}.")
    print(
        f"Scale: {os.environ.get('DARTS_LAB_SCALE', 'laptop')} (DARTS_LAB_SCALE: tiny, laptop, workstation or paper)."
    )


def compile_kernels() -> None:
    """Compiles the fused kernels, half a minute once, for later processes; does nothing where they cannot be had."""
    space = spaces.get("DARTS")
    mixing, images = torch.rand(space.shape).requires_grad_(), torch.randn(2, 3, 8, 8)
    with fused.switched(True), fused.differentiated_once():
        Supernet(space, channels=4, layers=3)(images, mixing).sum().backward()


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} missing"
