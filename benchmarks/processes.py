"""How many more steps a second two processes take that share every batch (`ranks`), beside one that does not.

    python benchmarks/processes.py [--size workstation] [--space S2] [--processes 2] [--rounds 9] [--order 1]

Every process computes in one thread. In every round the first of them takes a step alone, in the plain form and in the
fused one (which is what a process alone takes by default), while the others wait; then all take one together. What
counts is the ratio of a round, alone over together, of which the median and the range are given: in seconds on the wall,
which others on the machine spoil, and in processor seconds of the busiest process, which they do not, but in which
waiting for messages costs nothing. Last in a round every process takes a plain step alone, all at the same time and without
a message: what they then do more than one is the most that this machine can give (two threads of one core are not two
cores). The load that the system gives (running processes, mean of a minute) stands beside.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import torch

import darts_lab as dl
from darts_lab import ranks
from darts_lab.networks import fused

FORMS = {"plain": False, "fused": True}  # of a process alone
AT_ONCE = "at once"  # every process a plain step of its own


def measured(space: str, size: str, rounds: int, order: int) -> dict[str, list[tuple[float, float]]]:
    """(wall seconds, processor seconds of the busiest process) of every round's step together, on the first process of
    one alone in either form, and of the slowest process at once with the others. The first round is not counted."""
    torch.set_num_threads(1)
    options = {"space": space, "scale": size, "order": order, "path": False}
    steps = {"together": dl.Search(**options).step}
    count, ranks._count = ranks.count(), 1
    steps |= {form: dl.Search(**options).step for form in FORMS}
    ranks._count = count
    spent = {name: [] for name in (*steps, AT_ONCE)}
    for _ in range(rounds + 1):
        for form in FORMS:
            if ranks.rank() == 0:
                ranks._count = 1
                with fused.switched(FORMS[form]):
                    spent[form].append(_spent(steps[form]))
                ranks._count = count
            ranks.samples(0)  # all wait for the first
        wall, processor = _spent(steps["together"])
        busiest = float(ranks.gathered(torch.tensor([processor], dtype=torch.float64)).max())
        spent["together"].append((wall, busiest))
        ranks._count = 1
        with fused.switched(False):
            wall, processor = _spent(steps["plain"])
        ranks._count = count
        slowest = ranks.gathered(torch.tensor([wall, processor], dtype=torch.float64)).amax(0)
        spent[AT_ONCE].append(tuple(slowest.tolist()))
    return {name: times[1:] for name, times in spent.items()}


def _spent(step: Callable) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - processor


def table(spent: dict[str, list[tuple[float, float]]], count: int) -> list[str]:
    """A line for each form of a process alone, and one for what `count` processes do more than one that share nothing."""
    lines = ["alone over together  ratio           range   in processor seconds           range   a step alone"]
    for form in FORMS:
        pairs = list(zip(spent[form], spent["together"], strict=True))
        cells = []
        for clock in (0, 1):
            ratios = [alone[clock] / together[clock] for alone, together in pairs]
            cells.append(f"{statistics.median(ratios):5.2f}    {min(ratios):5.2f} to {max(ratios):5.2f}")
        alone = statistics.median(processor for _, processor in spent[form])
        lines.append(f"{form:20s} {cells[0]}                  {cells[1]}   {alone:6.2f} s of processor")
    most = [count * alone[0] / both[0] for alone, both in zip(spent["plain"], spent[AT_ONCE], strict=True)]
    lines.append(f"the most of plain    {statistics.median(most):5.2f}    {min(most):5.2f} to {max(most):5.2f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="workstation")
    parser.add_argument("--space", default="S2")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--order", type=int, default=1)
    options = parser.parse_args()
    before = os.getloadavg()[0]
    spent = ranks.run(options.processes, measured, options.space, options.size, options.rounds, options.order)
    print(
        f"{options.size} size, space {options.space}, order {options.order}, {options.processes} processes of one thread "
        f"on {os.cpu_count()} cores, {options.rounds} rounds, load {before:.1f} before and {os.getloadavg()[0]:.1f} after, "
        f"torch {torch.__version__}"
    )
    print("\n".join(table(spent, options.processes)))


if __name__ == "__main__":
    sys.exit(main())
