"""What a GPU makes of it: the engine against the textbook, layouts and precisions, the schedule, and whole searches.

    python benchmarks/gpu.py [--part engine|forms|schedule|curvature|captured|whole|compile ...]

Random images of the sizes of each scale; every step is timed until the device has done it. `engine` gives ratios of steps
taken in turn in one process, `captured` of the textbook, the engine issued by the host and the engine as CUDA graphs, with
what recording takes, and whole searches; `forms` the medians of one form after the other. `whole` measures a step and what an epoch
adds, and multiplies by the numbers of steps and epochs of the papers' protocol: nobody has waited for the end of that.
`compile` takes minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from unittest.mock import patch

import torch
from engine import STEPS, Pair, compared, limits, summary, table
from schedule import ratios, told

import darts_lab as dl
from darts_lab import capture
from darts_lab.environment import full_precision
from darts_lab.tasks.classification import PAPER

CIFAR_TRAIN, CIFAR_VALID, CIFAR_EVALUATION = 25_000, 25_000, 50_000  # images that a search and a training go through
SIZES = (("laptop", "S2"), ("laptop", "DARTS"), ("paper", "DARTS"))
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


def seconds(work: Callable, device: str, times: int = 9, skipped: int = 3) -> float:
    """Median seconds of `work`, until the device has done it."""
    wait, found = torch.get_device_module(device).synchronize, []
    for _ in range(times + skipped):
        wait()
        began = time.perf_counter()
        work()
        wait()
        found.append(time.perf_counter() - began)
    return statistics.median(found[skipped:])


def peak(work: Callable, device: str) -> int:
    """Bytes: the most that tensors took on the GPU during `work`, above what they took before it; 0 elsewhere."""
    work()
    if device != "cuda":
        return 0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def engine(device: str, sizes=SIZES, times: int = 9) -> None:
    """Reference over engine, as engine.py has it on a CPU."""
    for size, space in sizes:
        pair = Pair(size, space, device)
        found = {"size": size, "space": space, "threads": torch.get_num_threads(), "torch": torch.__version__}
        found |= {"limits": limits(device)}
        found |= {step: compared(*getattr(pair, step)(), times, 3, device) for step in STEPS}
        reference, ours = (peak(step, device) for step in pair.first_order())
        found["peak_tensors"] = summary([reference / max(ours, 1)])
        found["peak_tensors"] |= {"reference_bytes": reference, "engine_bytes": ours}
        print(table(found) + "\n", flush=True)


def forms(device: str, size: str = "paper", space: str = "DARTS", compiled: bool = False) -> None:
    """A first-order step of the engine in each layout and precision: milliseconds, megabytes."""
    pair = Pair(size, space, device)
    for layout, memory_format in LAYOUTS.items():
        for name, strict in (("float32", False), ("float32, no TF32", True), ("bfloat16", False)):
            precision = full_precision(torch.device(device)) if strict else nullcontext()
            with patch.object(torch, "channels_last", memory_format), precision:
                search = pair.search(1, precision="float32" if strict else name, compile=compiled)
                took = _step(pair, search, device)
            print(
                f"{size} {space}: {layout:15s} {name:17s} {'compiled' if compiled else 'eager':9s} {took}", flush=True
            )


def _step(pair: Pair, search: dl.Search, device: str) -> str:
    """What a first-order step takes, and the first of all."""

    def step():
        search.descent.step(pair.train, pair.valid, 0.025)

    first = seconds(step, device, times=1, skipped=0)
    return f"{1e3 * seconds(step, device):8.1f} ms {peak(step, device) / 1e6:8.0f} MB   first step {first:.1f} s"


def schedule(device: str, steps: int = 60) -> None:
    """What the Fisher trace costs, as schedule.py has it on a CPU."""
    for space in ("S2", "DARTS"):
        print(told(space, ratios(space, steps, device)), flush=True)


def curvature(device: str, size: str = "paper", space: str = "DARTS") -> float:
    """Seconds of one measurement of the dominant eigenvalue as a search makes it, from nothing."""
    pair = Pair(size, space, device)
    search = pair.search(1)
    for _ in range(3):
        search.descent.step(pair.train, pair.valid, 0.025)
    gradient = seconds(lambda: search.descent.alpha_gradient(pair.train, pair.valid, 0.025), device)
    found = []
    took = seconds(lambda: found.append(dl.curvature.dominant_eigenvalue(search)), device, times=3, skipped=1)
    products = statistics.median(pair.products for pair in found)
    print(
        f"{size} {space}: the dominant eigenvalue takes {took:.2f} s, {products:.0f} products, each "
        f"{took / products / gradient:.1f} gradients of alpha",
        flush=True,
    )
    return took


CASES = (("laptop", "S2", 1), ("laptop", "S2", 2), ("laptop", "DARTS", 1), ("paper", "S2", 1), ("paper", "S2", 2),
         ("paper", "DARTS", 1), ("paper", "DARTS", 2))  # fmt: skip


def captured(device: str, cases=CASES, times: int = 7, searches=("S2",), scale: str = "laptop") -> None:
    """Steps and Hessian-vector products, issued by the host and as CUDA graphs; then whole searches, without files."""
    print(
        "case                            textbook      eager   captured   textbook over captured   eager over captured"
    )
    for size, space, order in cases:
        pair = Pair(size, space, device)
        reference, eager = pair.step(order)
        search, rate = pair.search(order, capture=True), pair.scale.search.learning_rate

        def step(search=search, pair=pair, rate=rate):
            search.descent.step(pair.train, pair.valid, rate)

        _row(f"{size} {space}, order {order}", reference, eager, step, device, times)
        if order == 1:
            products = [_product(pair.search(1, capture=wanted)) for wanted in (False, True)]
            _row(f"{size} {space}, Hessian times vector", None, *products, device, times)
    for size in dict.fromkeys(size for size, *_ in cases):
        pair = Pair(size, "S2", device)
        (reference, eager), (_, recorded) = (pair.retraining_step(capture=wanted) for wanted in (False, True))
        _row(f"{size}, training a cell", reference, eager, recorded, device, times)
    for space in searches:
        for wanted in (False, True):
            began = time.perf_counter()
            for _ in (search := dl.Search(space, scale=scale, path=False, device=device, capture=wanted)):
                pass
            took, steps = time.perf_counter() - began, search.epochs * search.steps_per_epoch
            print(f"a {scale} search of {space}, capture {wanted}: {took:.1f} s, {steps} steps", flush=True)


def _product(search: dl.Search) -> Callable:
    hessian = search.hessian()
    vector = torch.linspace(-1, 1, hessian.shape[0]).numpy()
    return lambda: hessian @ vector


def _row(name: str, reference: Callable | None, eager: Callable, recorded: Callable, device: str, times: int) -> None:
    """Medians in milliseconds and of the ratios, measured in turn; what the first recorded calls take, and memory."""
    firsts = [seconds(recorded, device, times=1, skipped=0) for _ in range(capture.WARM_UP + 1)]
    found = {"eager": compared(eager, recorded, times, 1, device)}
    if reference is not None:
        found["textbook"] = compared(reference, recorded, times, 1, device)
    cells = [
        f"{1e3 * found[one]['reference_s']:8.1f} ms" if one in found else " " * 11 for one in ("textbook", "eager")
    ]
    cells.append(f"{1e3 * found['eager']['engine_s']:8.2f} ms")
    for one in ("textbook", "eager"):
        of = found.get(one)
        cells.append(f"{of['ratio']:6.1f} ({of['low']:.1f} to {of['high']:.1f})" if of else " " * 20)
    took = f"recorded in {firsts[-1]:.2f} s, {peak(recorded, device) / 1e6:.0f} MB"
    print(f"{name:32s} {' '.join(cells)}   {took}", flush=True)


def whole(device: str) -> None:
    """What a search and a training of the papers' protocol would take, by its parts."""
    s, e, eigenvalue = PAPER.search, PAPER.evaluation, curvature(device)
    for order in (1, 2):
        for space in ("S2", "DARTS"):
            step, look = _search(space, order, device)
            epoch = step * (CIFAR_TRAIN // s.batch_size) + look * CIFAR_VALID / s.batch_size
            print(
                f"{space}, order {order}: a step {1e3 * step:.0f} ms, an epoch {epoch:.0f} s, {s.epochs} epochs "
                f"{s.epochs * epoch / 3600:.1f} h",
                flush=True,
            )
    print(
        f"one eigenvalue: {eigenvalue:.1f} s, one after each of {s.epochs} epochs {s.epochs * eigenvalue / 3600:.2f} h"
    )
    step = seconds(Pair("paper", "DARTS", device).retraining_step()[1], device)
    hours = step * (CIFAR_EVALUATION // e.batch_size) * e.epochs / 3600
    print(f"training a cell: a step {1e3 * step:.0f} ms, {e.epochs} epochs {hours:.1f} h", flush=True)


def _search(space: str, order: int, device: str) -> tuple[float, float]:
    """Seconds of a step of a search of the papers' size, and of a look at one batch."""
    pair = Pair("paper", space, device)
    search = pair.search(order)
    step = seconds(lambda: search.descent.step(pair.train, pair.valid, 0.025), device)
    return step, seconds(torch.no_grad()(lambda: search.supernet(pair.valid[0], search.mixing.detach())), device)


def main() -> None:
    parts = {"engine": engine, "forms": forms, "schedule": schedule, "curvature": curvature, "whole": whole}
    parts |= {"captured": captured}
    parts |= {"compile": lambda device: forms(device, compiled=True)}
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
