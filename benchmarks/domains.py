"""How long a whole search takes in every domain, seed 0, plain DARTS.

    python benchmarks/domains.py [--scale laptop] [--threads 2]

Seconds, not ratios: they are meant to be looked at on a machine that does nothing else. The time in which the processor
worked for it is told beside; where that is far below threads times seconds, something else was running.
"""

from __future__ import annotations

import argparse
import time

import torch

import darts_lab as dl

SEARCHES = (("S2", "digits"), ("RNN", "pydocs"), ("S6", "stereo"), ("S2", "bathymetry"))


def seconds(space: str, data: str, scale: str) -> tuple[float, float, int]:
    """(seconds, seconds of the processor, epochs) of one search, data and supernet included."""
    began, used = time.perf_counter(), time.process_time()
    epochs = len(list(dl.Search(space, data, scale=scale, seed=0, path=False, device="cpu")))
    return time.perf_counter() - began, time.process_time() - used, epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="laptop")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(f"{chosen.scale} scale, {chosen.threads} threads, torch {torch.__version__}")
    print("space  data        epochs  seconds  of the processor")
    for space, data in SEARCHES:
        took, used, epochs = seconds(space, data, chosen.scale)
        print(f"{space:5s}  {data:10s}  {epochs:6d}  {took:7.0f}  {used:7.0f}", flush=True)


if __name__ == "__main__":
    main()
