"""What a GPU makes of it: the engine against the textbook, layouts and precisions, the schedule, and whole searches.

    python benchmarks/gpu.py [--part engine|forms|schedule|curvature|whole|compile ...]

Random images of the sizes of each scale; every step is timed until the device has done it. `engine` and `forms` give
ratios of steps taken in turn in one process. `whole` measures a step and what an epoch adds, and multiplies by the numbers
of steps and epochs of the papers' protocol: nobody has waited for the end of that. `compile` takes minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from unittest.mock import patch

import torch
from engine import STEPS, Pair, compared
from schedule import ratios

import darts_lab as dl
from darts_lab.environment import full_precision
from darts_lab.scales import PAPER

CIFAR_TRAIN, CIFAR_VALID, CIFAR_EVALUATION = 25_000, 25_000, 50_000  # images that a search and a training go through


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable, device: str, times: int = 9, skipped: int = 3) -> float:
    """Median seconds of `work`, until the device has done it."""
    found = []
    for _ in range(times + skipped):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - began)
    return statistics.median(found[skipped:])


def peak(work: Callable, device: str) -> int:
    """Bytes: the most that tensors took on the GPU during `work`, above what they took before it."""
    work()
    wait(device)
    if device != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    wait(device)
    return torch.cuda.max_memory_allocated() - before


def engine(device: str, sizes=(("laptop", "S2"), ("laptop", "DARTS"), ("paper", "DARTS")), times: int = 9) -> None:
    """Reference over engine, as engine.py has it on a CPU."""
    print("reference over engine           ratio           range    reference       engine")
    for size, space in sizes:
        pair = Pair(size, space, device)
        for step in STEPS:
            row = compared(*getattr(pair, step)(), times, 3, lambda: wait(device))
            mine, other = row["reference_s"], row["engine_s"]
            print(
                f"{size:7s}{space:6s} {step:17s} {row['ratio']:6.2f}    {row['low']:5.2f} to {row['high']:5.2f} "
                f"{1e3 * mine:9.1f} ms {1e3 * other:9.1f} ms",
                flush=True,
            )
        mine, other = (peak(step, device) for step in pair.first_order())
        print(
            f"{size:7s}{space:6s} peak memory       {mine / max(other, 1):6.2f}    {'':14s} {mine / 1e6:9.0f} MB {other / 1e6:9.0f} MB"
        )


def forms(device: str, size: str = "paper", space: str = "DARTS", compile: bool = False) -> None:
    """A first-order step of the engine in each layout and precision: milliseconds, megabytes."""
    first = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
    pair = Pair(size, space, device)
    for layout, form in first.items():
        for precision, strict in (("float32", False), ("float32", True), ("bfloat16", False)):
            for compiled in (False, True) if compile else (False,):
                if compiled and strict:
                    continue
                with (
                    patch.object(torch, "channels_last", form),
                    full_precision(torch.device(device)) if strict else nullcontext(),
                ):
                    torch.manual_seed(0)
                    search = pair.search(1, precision=precision, compile=compiled)
                    step = lambda: search.descend(pair.train, pair.valid, 0.025)  # noqa: B023, E731
                    began = time.perf_counter()
                    step()
                    wait(device)
                    begin = time.perf_counter() - began
                    took, most = seconds(step, device), peak(step, device)
                name = "float32, no TF32" if strict else precision
                print(
                    f"{size} {space}: {layout:15s} {name:17s} {'compiled' if compiled else 'eager':9s} "
                    f"{1e3 * took:8.1f} ms {most / 1e6:8.0f} MB   first step {begin:.1f} s",
                    flush=True,
                )


def schedule(device: str, steps: int = 60) -> None:
    for space in ("S2", "DARTS"):
        found = sorted(ratios(space, steps, device))
        tenth = len(found) // 10
        print(
            f"{space}: a step that reads the trace takes {statistics.median(found):.3f} times as long (nine of ten ratios "
            f"from {found[tenth // 2]:.2f} to {found[-tenth // 2 - 1]:.2f}, {len(found)} steps)",
            flush=True,
        )


def curvature(device: str, size: str = "paper", space: str = "DARTS") -> float:
    """Seconds of one measurement of the dominant eigenvalue as a search makes it, from nothing."""
    pair = Pair(size, space, device)
    search = pair.search(1)
    for _ in range(3):
        search.descend(pair.train, pair.valid, 0.025)
    gradient = seconds(lambda: search.alpha_gradient(pair.train, pair.valid, 0.025), device)
    found = []
    took = seconds(lambda: found.append(dl.curvature.dominant_eigenvalue(search)), device, times=3, skipped=1)
    products = statistics.median(pair.products for pair in found)
    print(
        f"{size} {space}: the dominant eigenvalue takes {took:.2f} s, {products:.0f} products, each "
        f"{took / products / gradient:.1f} gradients of alpha",
        flush=True,
    )
    return took


def whole(device: str) -> None:
    """What a search and a training of the papers' protocol would take, by its parts."""
    pair, s, e = Pair("paper", "DARTS", device), PAPER.search, PAPER.evaluation
    eigenvalue = curvature(device)
    for order in (1, 2):
        for space in ("S2", "DARTS"):
            pair = Pair("paper", space, device)
            search = pair.search(order)
            step = seconds(lambda: search.descend(pair.train, pair.valid, 0.025), device)  # noqa: B023
            forward = torch.no_grad()(lambda: search.supernet(pair.valid[0], search.mixing.detach()))  # noqa: B023
            look = seconds(forward, device) * CIFAR_VALID / s.batch_size
            epoch = step * (CIFAR_TRAIN // s.batch_size) + look
            hours = s.epochs * epoch / 3600
            print(
                f"{space}, order {order}: a step {1e3 * step:.0f} ms, an epoch {epoch:.0f} s, {s.epochs} epochs {hours:.1f} h",
                flush=True,
            )
    print(
        f"one eigenvalue: {eigenvalue:.1f} s, one after each of {s.epochs} epochs {s.epochs * eigenvalue / 3600:.2f} h"
    )
    step = seconds(Pair("paper", "DARTS", device).retraining_step()[1], device)
    hours = step * (CIFAR_EVALUATION // e.batch_size) * e.epochs / 3600
    print(f"training a cell: a step {1e3 * step:.0f} ms, {e.epochs} epochs {hours:.1f} h", flush=True)


def main() -> None:
    parts = {"engine": engine, "forms": forms, "schedule": schedule, "curvature": curvature, "whole": whole}
    parts |= {"compile": lambda device: forms(device, compile=True)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=list(parts), default=["engine", "forms", "schedule", "whole"])
    parser.add_argument("--device", default="cuda")
    chosen = parser.parse_args()
    if chosen.device == "cuda":
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    for name in chosen.part:
        parts[name](chosen.device)


if __name__ == "__main__":
    main()
