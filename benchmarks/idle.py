"""What it gains, and costs, that threads which wait for work sleep (darts_lab/idle.py).

    python benchmarks/idle.py [--space S2] [--size laptop] [--steps 5] [--pairs 15] [--threads 2] [--busy 2]

PyTorch reads the setting once, so two processes search in turn, one as darts_lab sets it and one as PyTorch is without it,
by default with as many threads as there are cores: in the fused form of cells, whose own threads always sleep, and in the plain
one. Each ratio is that of their seconds for a few first-order steps on the same batches: with nothing else on the machine,
and (three pairs of single steps, as these can take seconds) beside processes that only count, by default one for every core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

SPINS = {"GOMP_SPINCOUNT": "300000"}  # GNU's own number where nothing is set
SLEEPS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}


def child(space: str, size: str, threads: int) -> None:
    """Takes as many steps as every line that comes in says, and prints the seconds of one."""
    import torch

    import darts_lab as dl

    torch.set_num_threads(threads)
    search = dl.Search(space, method="DARTS-1st", scale=size, seed=0, path=False)
    for _ in range(3):
        search.step()
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            search.step()
        print((time.perf_counter() - began) / int(line), flush=True)


def begun(settings: dict, fused: bool, chosen: argparse.Namespace) -> subprocess.Popen:
    values = os.environ | settings | {"DARTS_LAB_FUSED": str(int(fused))}
    command = [sys.executable, __file__, "--child", "--space", chosen.space, "--size", chosen.size]
    command += ["--threads", str(chosen.threads)]
    return subprocess.Popen(command, env=values, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def asked(process: subprocess.Popen, steps: int) -> float:
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="S2")
    parser.add_argument("--size", default="laptop")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1, help="processes that only count")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        return child(chosen.space, chosen.size, chosen.threads)
    print(
        f"{chosen.space}, {chosen.size} size, {chosen.threads} threads: seconds with spinning over those with sleeping"
    )
    for fused in (True, False):
        pair = [begun(settings, fused, chosen) for settings in (SPINS, SLEEPS)]
        for busy, pairs, steps in ((0, chosen.pairs, chosen.steps), (chosen.busy, 3, 1)):
            others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
            seconds = []
            for number in range(pairs):
                order = pair if number % 2 else pair[::-1]
                found = {process: asked(process, steps) for process in order}
                seconds.append([found[process] for process in pair])
            for other in others:
                other.kill()
                other.wait()
            ratios = [spinning / sleeping for spinning, sleeping in seconds]
            spinning, sleeping = (1000 * statistics.median(column) for column in zip(*seconds, strict=True))
            what = f"{'fused' if fused else 'plain'}, " + (f"beside {busy} that count" if busy else "nothing else")
            print(f"{what:26s} {statistics.median(ratios):5.2f}   {min(ratios):.2f} to {max(ratios):.2f}"
                  f"   {spinning:7.0f} ms a step, {sleeping:.0f} ms", flush=True)  # fmt: skip
        for process in pair:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()
