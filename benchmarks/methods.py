"""What a step of each method costs beside one of plain DARTS.

    python benchmarks/methods.py [--space S2] [--size laptop] [--steps 15] [--threads 1] [--method GDAS ...]

A step is one of alpha (where the method takes one before every batch) and one of w, first order, with what the method does
around them, under the drop path with which it ends. Each is taken in turn with one of plain DARTS in one process, on the
same batches; what counts is the median of their ratios. What a selection or a monitor does at the end of an epoch is not
in it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import darts_lab as dl

PLAIN = "DARTS-1st"


def stepped(search, batches) -> float:
    """Seconds of one step on (train, valid)."""
    (train, valid), drop_path = batches, search.settings.drop_path
    began = time.perf_counter()
    if search.method.schedule.due(search.descent.timing, search.seed):
        search.descent.alpha_step(train, valid, 0.025, drop_path)
    search.descent.weight_step(train, drop_path)
    if search.method.after_step is not None:
        search.method.after_step(search.descent, train, valid)
    return time.perf_counter() - began


def ratios(method: str, space: str, scale: str, steps: int) -> list[float]:
    """How many times as long as plain DARTS, step by step."""
    pair = [dl.Search(space, method=name, scale=scale, seed=0, path=False, order=1) for name in (PLAIN, method)]
    task, size, found = pair[0].task, pair[0].settings.batch_size, []
    for number in range(steps + 3):
        generator = torch.Generator().manual_seed(number)
        places = torch.randperm(min(task.size("train"), task.size("valid")), generator=generator)
        batches = [task.training_batch(split, places[:size], generator) for split in ("train", "valid")]
        order = (0, 1) if number % 2 else (1, 0)
        seconds = {which: stepped(pair[which], batches) for which in order}
        found.append(seconds[1] / seconds[0])
    return found[3:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=list(dl.spaces.SPACES), default="S2")
    parser.add_argument("--size", default="laptop")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--method", nargs="*", default=[method.name for method in dl.methods.later.METHODS])
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(f"{chosen.space}, {chosen.size} size, {chosen.threads} thread(s), torch {torch.__version__}; {PLAIN} is 1")
    for method in chosen.method:
        found = ratios(method, chosen.space, chosen.size, chosen.steps)
        print(f"{method:24}{statistics.median(found):6.2f}   {min(found):.2f} to {max(found):.2f}", flush=True)


if __name__ == "__main__":
    main()
