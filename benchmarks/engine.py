"""How much faster than the textbook: the engine of darts_lab against tests/reference/textbook.py, side by side.

    python benchmarks/engine.py [--size laptop|middle|paper] [--space DARTS] [--threads 2] [--only STEP] [--json]

Both do the same steps on the same batch, in turn, in one process; what counts is the ratio of each pair, reference over
engine, of which the median and the range are given. (Seconds on a shared machine say little.) Operations are counted
(views, which do nothing, are not), so they do not depend on the machine. Memory is what a step adds to a fresh process, whose libraries have been warmed by
a step of a tiny network. What this machine can do at best, a product of large matrices and a copy in memory, is
measured in the same run. CPU only.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from reference import textbook  # noqa: E402

import darts_lab as dl  # noqa: E402
from darts_lab import spaces
from darts_lab.interop import official  # noqa: E402
from darts_lab.settings import EvaluationSettings, Scale, SearchSettings
from darts_lab.tasks.classification import LAPTOP, PAPER, TINY

MIDDLE = Scale(
    "middle",
    SearchSettings(channels=8, layers=5, order=1),
    EvaluationSettings(channels=8, layers=8, batch_size=64, auxiliary=0.0, drop_path=0.0, cutout=0),
)
# size: (settings, pixels on a side, how often each pair is measured, of which the first are not counted)
SIZES = {
    "tiny": (TINY, 16, 3, 1),
    "laptop": (LAPTOP, 16, 23, 3),
    "middle": (MIDDLE, 16, 11, 2),
    "paper": (PAPER, 32, 3, 1),
}
STEPS = ("first_order", "second_order", "alpha_gradient", "one_hot_forward", "retraining_step")


class Pair:
    """One search (or training) in both forms, with equal weights and one batch."""

    def __init__(self, size: str, space: str, device: str = "cpu"):
        self.device = device
        self.scale, pixels, *_ = SIZES[size]
        s, e = self.scale.search, self.scale.evaluation
        n = max(s.batch_size, e.batch_size)
        generator = torch.Generator().manual_seed(0)

        def split(count):
            images = torch.randn(count, 3, pixels, pixels, generator=generator)
            return images, torch.randint(10, (count,), generator=generator)

        self.data = dl.data.from_tensors(split(n), split(n), split(n), classes=10)
        self.space = space
        self.train, self.valid = (
            [part[: s.batch_size].to(device) for part in getattr(self.data, name)] for name in ("train", "valid")
        )
        self.to_train = [part[: e.batch_size].to(device) for part in self.data.train]

    def search(self, order: int, **settings) -> dl.Search:
        some = {"train_samples": None, "valid_samples": None, "order": order} | settings
        return dl.Search(self.space, self.data, scale=self.scale, path=False, device=self.device, **some)

    def textbook(self, search: dl.Search):
        """The textbook's supernet and alphas, equal to those of a search; their optimisers."""
        s, space = search.settings, search.space
        edges = {kind: space.cell(kind) for kind in spaces.CELL_TYPES}
        net = textbook.SupernetTextbook(edges, s.channels, s.layers, 10, space.nodes).to(self.device)
        net.load_state_dict(official.state_dict(search.supernet), strict=False)
        alphas = [alpha.clone().requires_grad_() for alpha in search.alpha.detach()]
        more = {"momentum": s.momentum, "weight_decay": s.weight_decay}
        of_w = torch.optim.SGD(net.parameters(), s.learning_rate, **more)
        of_alpha = torch.optim.Adam(
            alphas, s.alpha_learning_rate, betas=s.alpha_betas, weight_decay=s.alpha_weight_decay
        )
        return net, alphas, of_w, of_alpha

    def step(self, order: int) -> tuple[Callable, Callable]:
        """(reference, engine): one step of alpha and one of w."""
        search = self.search(order)
        net, alphas, of_w, of_alpha = self.textbook(search)
        lr, clip = search.settings.learning_rate, search.settings.clip

        def reference():
            textbook.search_epoch(net, alphas, of_w, of_alpha, [self.train], [self.valid], lr, order=order, clip=clip)

        return reference, lambda: search.descent.step(self.train, self.valid, lr)

    def first_order(self):
        return self.step(1)

    def second_order(self):
        return self.step(2)

    def alpha_gradient(self):
        search = self.search(1)
        net, alphas, *_ = self.textbook(search)
        return (
            lambda: textbook.first_order_alpha_gradient(net, alphas, self.valid),
            lambda: search.descent.alpha_gradient(self.train, self.valid, search.settings.learning_rate),
        )

    def one_hot_forward(self):
        search = self.search(1)
        net, *_ = self.textbook(search)
        best = torch.rand(search.space.shape, generator=torch.Generator().manual_seed(0)).argmax(-1)
        one_hot = F.one_hot(best, search.space.candidates).float()
        return (
            torch.no_grad()(lambda: net(self.train[0], *one_hot)),
            torch.no_grad()(lambda: search.supernet(self.train[0], one_hot)),
        )

    def retraining_step(self, **more):
        space = self.search(1).space
        genotype = dl.random_genotype(space, torch.Generator().manual_seed(0))
        sizes = {"channels": self.scale.evaluation.channels, "layers": self.scale.evaluation.layers}
        sizes |= {"train_samples": None, "test_samples": None}
        training = dl.Training(genotype, self.data, self.scale, device=self.device, space=space, **sizes, **more)
        e = training.settings
        parts = {kind: [(name, source) for source, _, name in genotype.edges(kind)] for kind in spaces.CELL_TYPES}
        parts |= {f"{kind}_concat": states for kind, states in genotype.concat.items()}
        net = textbook.NetworkTextbook(parts, e.channels, e.layers, 10, e.auxiliary > 0).to(self.device)
        optimizer = torch.optim.SGD(net.parameters(), e.learning_rate, momentum=e.momentum, weight_decay=e.weight_decay)
        images, labels = self.to_train

        def reference():
            logits, auxiliary = net(images, e.drop_path)
            loss = F.cross_entropy(logits, labels)
            if auxiliary is not None:
                loss = loss + e.auxiliary * F.cross_entropy(auxiliary, labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), e.clip)
            optimizer.step()

        training.network.train()
        return reference, lambda: training.descend(images, labels, e.drop_path)


def compared(reference: Callable, engine: Callable, times: int, skipped: int, device: str = "cpu") -> dict:
    """Median and range of the ratios of `times` pairs after `skipped` more; the seconds of both are medians.

    The work of both ends within their time, on `device` too.
    """
    wait, seconds = torch.get_device_module(device).synchronize, [[], []]
    for number in range(times + skipped):
        order = (0, 1) if number % 2 else (1, 0)
        for which in order:
            started = time.perf_counter()
            (reference, engine)[which]()
            wait()
            if number >= skipped:
                seconds[which].append(time.perf_counter() - started)
    ratios = [mine / other for mine, other in zip(*seconds, strict=True)]
    medians = {name: statistics.median(of) for name, of in zip(("reference_s", "engine_s"), seconds, strict=True)}
    return summary(ratios) | medians


def summary(values: list[float], name: str = "ratio") -> dict:
    return {name: statistics.median(values), "low": min(values), "high": max(values)}


class Count(TorchDispatchMode):
    """Counts the tensor operations that PyTorch dispatches and that do something: views are not counted."""

    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, function, types, arguments=(), more=None):
        self.operations += not (function.is_view or function._schema.name in ("aten::detach", "aten::_unsafe_view"))
        return function(*arguments, **(more or {}))


def operations(pair: Pair) -> dict:
    counts = []
    for step in pair.first_order():
        step()
        with Count() as count:
            step()
        counts.append(count.operations)
    return summary([counts[0] / counts[1]]) | {"reference": counts[0], "engine": counts[1]}


def gradients(pair: Pair, search: dl.Search, net: nn.Module, dtype: torch.dtype, engine: bool) -> dict:
    """Logits and the gradients of alpha and of every weight, by the textbook's names, of one form in one precision."""
    images, labels = pair.train[0].to(dtype), pair.train[1]
    mixing = search.mixing.detach().to(dtype)
    leaves = [mixing.clone().requires_grad_()] if engine else [cell.clone().requires_grad_() for cell in mixing]
    model = copy.deepcopy(search.supernet if engine else net).to(dtype)
    logits = model(images, *leaves)
    loss = F.cross_entropy(logits, labels)
    of_alpha = torch.autograd.grad(loss, leaves, retain_graph=True)
    names, parameters = zip(*model.named_parameters())
    of_w = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    with torch.no_grad():  # the adapter knows the names: let it carry gradients instead of weights
        for parameter, gradient in zip(parameters, of_w, strict=True):
            parameter.copy_(gradient)
    named = official.state_dict(model) if engine else dict(zip(names, of_w))
    found = {name: named[name] for name, _ in net.named_parameters()}
    return {"logits": logits.detach(), "alpha": of_alpha[0] if engine else torch.stack(of_alpha), **found}


def agreement(pair: Pair, batches: int = 5) -> dict:
    """How far each form is from the textbook in float64, tensor by tensor in units of its largest value.

    Medians and ranges over batches. In float32 rounding decides, here and there, whether a ReLU or a pool lets a value
    pass: gradients of a batch in which that happens differ by far more than rounding itself.
    """
    search = pair.search(1)
    net, *_ = pair.textbook(search)
    generator = torch.Generator().manual_seed(1)
    forms = {"engine_float64": (torch.float64, True), "engine_float32": (torch.float32, True)}
    forms |= {"reference_float32": (torch.float32, False)}
    found = {form: {"logits": [], "alpha_gradient": [], "w_gradient": []} for form in forms}
    for _ in range(batches):
        pair.train = [torch.randn(pair.train[0].shape, generator=generator), pair.train[1]]
        exact = gradients(pair, search, net, torch.float64, False)
        for form, (dtype, engine) in forms.items():
            ours = gradients(pair, search, net, dtype, engine)
            apart = {
                name: float((ours[name].double() - value).abs().max() / value.abs().max().clamp(min=1e-30))
                for name, value in exact.items()
            }
            found[form]["logits"].append(apart.pop("logits"))
            found[form]["alpha_gradient"].append(apart.pop("alpha"))
            found[form]["w_gradient"].append(max(apart.values()))
    return {form: {name: summary(values, "median") for name, values in rows.items()} for form, rows in found.items()}


def resident(field: str) -> int:
    """Bytes, of /proc/self/status: VmHWM the most so far, VmRSS now."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def memory_here(size: str, space: str, which: int) -> dict:
    """Of one first-order step in this process: bytes added to the resident set, most bytes in tensors at one time."""
    for step in Pair("tiny", space).first_order():
        step()
    before = resident("VmRSS")
    step = Pair(size, space).first_order()[which]
    step()
    added = resident("VmHWM") - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    total = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return {"resident": added, "tensors": peak}


def memory(size: str, space: str, threads: int) -> dict:
    found = {"resident": [], "tensors": []}
    last = {}
    for _ in range(1 if size == "paper" else 3):
        pair = []
        for which in (0, 1):
            command = [sys.executable, __file__, "--size", size, "--space", space, "--threads", str(threads)]
            ran = subprocess.run([*command, "--memory-of", str(which)], capture_output=True, text=True, check=True)
            pair.append(json.loads(ran.stdout.splitlines()[-1]))
        for name, ratios in found.items():
            ratios.append(pair[0][name] / pair[1][name])
            last[name] = {"reference_bytes": pair[0][name], "engine_bytes": pair[1][name]}
    return {f"peak_{'memory' if name == 'resident' else name}": summary(of) | last[name] for name, of in found.items()}


def limits(device: str = "cpu") -> dict:
    """What this machine reaches now: a float32 product of 2,048 x 2,048 matrices, a copy of 256 MiB (read and written)."""
    a, source = torch.randn(2048, 2048, device=device), torch.randn(2**26, device=device)
    target, wait = torch.empty_like(source), torch.get_device_module(device).synchronize

    def best(work):
        seconds = []
        for _ in range(7):
            wait()
            started = time.perf_counter()
            work()
            wait()
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    return {
        "gemm_gflop_per_s": 2 * 2048**3 / best(lambda: a @ a) / 1e9,
        "copy_gb_per_s": 2 * source.nbytes / best(lambda: target.copy_(source)) / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="laptop")
    parser.add_argument("--space", choices=list(spaces.SPACES), default="DARTS")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=STEPS, help="this kind of step and nothing else")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--memory-of", type=int, choices=(0, 1), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.memory_of is not None:
        print(json.dumps(memory_here(chosen.size, chosen.space, chosen.memory_of)))
        return
    *_, times, skipped = SIZES[chosen.size]
    pair = Pair(chosen.size, chosen.space)
    found = {"size": chosen.size, "space": chosen.space, "threads": chosen.threads, "torch": torch.__version__}
    found |= {"limits": limits()}
    steps = (chosen.only,) if chosen.only else STEPS
    found |= {step: compared(*getattr(pair, step)(), times, skipped) for step in steps}
    if chosen.only:
        print(json.dumps(found) if chosen.json else table(found))
        return
    found |= {"operations": operations(pair)}
    found |= memory(chosen.size, chosen.space, chosen.threads)
    found |= {"agreement": agreement(pair, 1 if chosen.size == "paper" else 5)}
    print(json.dumps(found) if chosen.json else table(found))


def table(found: dict) -> str:
    lines = [
        "{size} size, space {space}, {threads} threads, torch {torch}".format(**found),
        "best here: {gemm_gflop_per_s:.0f} GFLOP/s, {copy_gb_per_s:.0f} GB/s copied".format(**found["limits"]),
        f"{'reference over engine':22s} {'ratio':>6s} {'range':>15s} {'reference':>12s} {'engine':>12s}",
    ]
    for name in (*STEPS, "operations", "peak_memory", "peak_tensors"):
        row = found.get(name)
        if row is None:
            continue
        unit, scale = ("ms", 1e3) if name in STEPS else ("MB", 1e-6) if name.startswith("peak") else ("", 1)
        mine, other = (next(row[key] for key in row if key.startswith(who)) * scale for who in ("reference", "engine"))
        span = f"{row['low']:.2f} to {row['high']:.2f}"
        lines.append(f"{name:22s} {row['ratio']:6.2f} {span:>15s} {mine:9.0f} {unit:2s} {other:9.0f} {unit}")
    if "agreement" not in found:
        return "\n".join(lines)
    lines.append(f"{'apart from float64':22s} {'logits':>24s} {'alpha gradient':>24s} {'w gradient':>24s}")
    for form, row in found["agreement"].items():
        spans = (f"{of['median']:.0e} ({of['low']:.0e} to {of['high']:.0e})" for of in row.values())
        lines.append(f"{form:22s} " + " ".join(f"{span:>24s}" for span in spans))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
