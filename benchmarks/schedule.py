"""What the Fisher trace costs: a step of the weights that reads it against the same step that does not.

    python benchmarks/schedule.py [--space S2] [--steps 200] [--threads 2]

The trace is the squared norm that clipping computes anyway, so all there is to pay is that the host waits for one number.
Both steps are taken in turns in one process, on the same batches; what counts is the median of their ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import darts_lab as dl
from darts_lab.methods.schedules import FisherTrace, Timing


def ratios(space: str, steps: int, device: str = "cpu") -> list[float]:
    searches = [dl.Search(space, scale="laptop", seed=0, path=False, device=device) for _ in range(2)]
    schedule, timing, found = FisherTrace(), Timing(), []
    wait = torch.get_device_module(device).synchronize
    for number in range(steps + 10):
        indices = torch.randperm(searches[0].task.size("train"), generator=torch.Generator().manual_seed(number))[:64]
        indices, seconds = indices.to(device), []
        for reads, search in sorted(enumerate(searches), key=lambda pair: (pair[0] + number) % 2):
            batch = search.task.training_batch("train", indices, search.descent.generator)
            wait()
            began = time.perf_counter()
            *_, squared_gradient = search.descent.weight_step(batch)
            if reads:
                due = schedule.due(timing, 0)
                timing = timing.after(due, float(squared_gradient), schedule.average)
            wait()
            seconds.append((reads, time.perf_counter() - began))
        seconds = dict(seconds)
        found.append(seconds[1] / seconds[0])
    return found[10:]


def told(space: str, found: list[float]) -> str:
    """The ratios in a sentence."""
    found, tenth = sorted(found), len(found) // 10
    return (
        f"{space}: a step that reads the trace takes {statistics.median(found):.3f} times as long "
        f"(nine of ten ratios from {found[tenth // 2]:.2f} to {found[-tenth // 2 - 1]:.2f}, {len(found)} steps)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=list(dl.spaces.SPACES), default="S2")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(told(chosen.space, ratios(chosen.space, chosen.steps)))


if __name__ == "__main__":
    main()
