"""`dl.check()`: what is there, in words."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import torch

from darts_lab import data as datasets
from darts_lab.environment import choose_device


def check() -> None:
    """Prints, in words, what is there: versions, the device and why, threads, data found or missing."""
    device, why = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    names = ("darts-lab", "torch", "torchvision", "numpy", "scikit-image", "ipywidgets", "jupyterlab")
    print(f"Python {platform.python_version()} on {platform.system()}; " + ", ".join(map(_version, names)))
    print(f"Device: {device.type} ({name}), because {why}; {torch.get_num_threads()} threads, {os.cpu_count()} cores.")
    print("Data: digits is embedded and needs no download; so are pydocs, stereo and bathymetry.")
    found = datasets.available()
    for real, there in found.items():
        if there:
            print(f"Data: {real} found.")
    missing = [real for real, there in found.items() if not there]
    to_fetch = [real for real in missing if real in datasets.DOWNLOADS]
    if to_fetch:
        print(f'Data: {", ".join(to_fetch)} not found; dl.data.load("{to_fetch[0]}", download=True) fetches it.')
    others = [real for real in missing if real not in datasets.DOWNLOADS]
    if others:
        print(f"Data: {', '.join(others)} not found; to be put by hand into the folder that DARTS_LAB_DATA names.")
    print(f"Scale: {os.environ.get('DARTS_LAB_SCALE', 'laptop')} (from DARTS_LAB_SCALE: tiny, laptop or paper).")


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} missing"
