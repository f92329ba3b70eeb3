"""What each oddity of the official code changes, one at a time, where that can be measured on a laptop in minutes.

    python experiments/parity.py        (writes results/parity.csv)

docs/parity.md says what they are. Everything is measured on digits, or pydocs for language, from seeds 0 to 4.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import mean

import pandas as pd
import torch

import darts_lab as dl
from darts_lab.methods.schedules import FisherTrace, Timing
from darts_lab.search.loop import cosine
from darts_lab.tasks import scales

PATH = Path(__file__).parents[1] / "results" / "parity.csv"
SEEDS = range(5)
SIZES = {"channels": 16, "layers": 8, "nodes": None, "path": False}  # of the papers' supernet


def batches(search) -> tuple[tuple, tuple]:
    task, generator, size = search.task, search.descent.generator, search.settings.batch_size
    train = task.training_batch("train", next(iter(task.order(size, generator))), generator)
    return train, task.training_batch("valid", task.next_valid(size, generator), generator)


def first_gradient(seed: int, parity) -> float:
    search = dl.Search("S2", seed=seed, parity=parity, **SIZES)
    return float(search.descent.weight_step(batches(search)[0])[2]) ** 0.5


def alpha_gradients_apart(space: str, seed: int, drop_path: float) -> float:
    """The distance of the gradients of alpha with noise drawn anew and with the same noise, relative to the latter."""
    gradients = []
    for parity in (False, "DARTS-PRIME"):  # which begins with the same weights
        search = dl.Search(space, method="DARTS-2nd", seed=seed, parity=parity, nodes=4, path=False)
        train, valid = batches(search)
        gradients.append(search.descent.alpha_gradient(train, valid, 0.1, drop_path))
    return float((gradients[1] - gradients[0]).norm() / gradients[0].norm())


def decays_apart(seed: int) -> float:
    gradients = []
    for decay in (3e-4, 3e-3):
        search = dl.Search("S2", method="DARTS-2nd", seed=seed, nodes=4, path=False)
        train, valid = batches(search)
        search.descent.unrolled_decay = decay
        gradients.append(search.descent.alpha_gradient(train, valid, 0.025))
    return float((gradients[1] - gradients[0]).norm() / gradients[0].norm())


def recurrent_gradients_apart(seed: int) -> float:
    gradients = []
    for parity in (False, "DARTS-PRIME"):
        search = dl.Search("RNN", "pydocs", "DARTS-2nd", seed=seed, parity=parity, path=False)
        train, valid = batches(search)
        gradients.append(search.descent.alpha_gradient(train, valid, search.settings.learning_rate))
    return float((gradients[1] - gradients[0]).norm() / gradients[0].norm())


def one_shot_errors(seed: int) -> tuple[float, float, float]:
    """After ten epochs with drop path: the error on plain validation images, on augmented ones, and on plain ones with
    running statistics of batches from both halves."""
    search = dl.Search("S2", method="R-DARTS(DP)", seed=seed, epochs=10, curvature_every=0, path=False)
    for _ in search:
        pass
    plain, task, generator = search.one_shot()[1], search.task, torch.Generator().manual_seed(seed)

    def forward(inputs):
        return search.supernet(inputs, search.mixing.detach(), generator=generator)

    task.settings = search.plan.search.__class__(**(vars(search.settings) | {"parity": "RobustDARTS"}))
    augmented = task.measure(forward, "valid", seen=(generator, 1.0))[1]
    task.settings = search.settings
    search.supernet.train()
    with torch.no_grad():
        for _ in range(50):
            for split in ("train", "valid"):
                place = torch.randperm(task.size(split), generator=generator)[:64]
                forward(task.training_batch(split, place, generator, search.strength)[0])
    search.supernet.eval()
    return plain, augmented, task.measure(forward, "valid")[1]


def seen_in_an_epoch(replacement: bool, seed: int, samples: int = 4546, size: int = 64, steps: int = 65) -> float:
    """The share of the validation split of DARTS-PRIME that the alpha steps of an epoch see."""
    generator, left, seen = torch.Generator().manual_seed(seed), [], set()
    for _ in range(steps):
        if replacement or not left:
            left = list(torch.randperm(samples, generator=generator).split(size))
        seen.update(left.pop(0).tolist())
    return len(seen) / samples


def wait_for_the_first_step(seed: int, start: float | None) -> int:
    """Training batches before the first alpha step of DARTS-PRIME."""
    method = dl.Method("PRIME", {"order": 1}, schedule=FisherTrace(10, start=start))
    search = dl.Search("S2", method=method, seed=seed, **SIZES)
    timing, batch = Timing(), batches(search)[0]
    while not method.schedule.due(timing, seed):
        timing = method.schedule.after(timing, False, search.descent.weight_step(batch)[2])
    return timing.batches


def mean_rate(ahead: int) -> float:
    settings = scales.get("paper").search
    return mean(cosine(settings, epoch + ahead) for epoch in range(settings.epochs))


def measured():
    """(oddity, what is measured, by default, with parity)"""
    yield (
        "initial weights",
        "norm of the first gradient, S2",
        *(mean(first_gradient(seed, parity) for seed in SEEDS) for parity in (False, "RobustDARTS")),
    )
    apart = "distance of the gradient of alpha from that of the default, relative"
    for space, drop_path in (("S4", 0.0), ("S2", 0.3)):
        words = f"{apart}, {space}, drop path {drop_path}"
        yield "noise drawn anew", words, 0.0, mean(alpha_gradients_apart(space, seed, drop_path) for seed in SEEDS)
    plain, augmented, moved = (mean(errors) for errors in zip(*(one_shot_errors(seed) for seed in SEEDS), strict=True))
    yield "augmented validation", "one-shot error, S2, ten epochs with drop path", plain, augmented
    yield "moving statistics", "one-shot error, S2, ten epochs with drop path", plain, moved
    yield "Cutout at once", "share of training images cut, mean over a search", 0.5, 1.0
    yield "rate ahead", "mean learning rate of 50 epochs", mean_rate(0), mean_rate(1)
    yield (
        "without replacement",
        "share of the validation split that an epoch sees",
        *(mean(seen_in_an_epoch(replacement, seed) for seed in SEEDS) for replacement in (True, False)),
    )
    yield (
        "first threshold",
        "batches before the first alpha step, S2",
        *(mean(wait_for_the_first_step(seed, start) for seed in SEEDS) for start in (None, 1.0)),
    )
    yield "decay of the unrolled step", f"{apart}, S2, after going back once", 0.0, mean(map(decays_apart, SEEDS))
    yield "clipping of the recurrent search", apart, 0.0, mean(map(recurrent_gradients_apart, SEEDS))
    yield "steps of RS-ws", "epochs on SVHN", 50.0, 50 * 25_000 // 64 / math.ceil(36_628 / 64)


if __name__ == "__main__":
    rows = []
    for row in measured():
        print(*row, sep="; ", flush=True)
        rows.append(row)
    table = pd.DataFrame(rows, columns=["oddity", "measured", "default", "parity"])
    table.to_csv(PATH, index=False, float_format="%.4g", lineterminator="\n")
