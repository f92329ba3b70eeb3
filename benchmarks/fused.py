"""How much the fused form of cells saves: the textbook, the plain form and the fused one, in turn in one process.

    python benchmarks/fused.py [--size laptop|middle|paper] [--space S2] [--threads 2] [--pairs 15] [--steps ...]

The steps are those of engine.py. Every number is a median of `pairs` rounds; ratios are those of each round.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from engine import SIZES, STEPS, Pair

from darts_lab.environment import keep_memory
from darts_lab.networks.fused import switched

FORMS = ("textbook", "plain", "fused")


def rounds(pair: Pair, step: str, count: int) -> dict[str, list[float]]:
    """Milliseconds of each form, round by round."""
    textbook, engine = getattr(pair, step)()

    spent: dict[str, list[float]] = {form: [] for form in FORMS}
    for number in range(-1, count):
        for form in FORMS:
            started = time.perf_counter()
            with switched(form == "fused"):
                (textbook if form == "textbook" else engine)()
            if number >= 0:  # the first round warms up
                spent[form].append(1000 * (time.perf_counter() - started))
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="laptop")
    parser.add_argument("--space", default="S2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument(
        "--steps", nargs="+", choices=STEPS, default=["first_order", "alpha_gradient", "retraining_step"]
    )
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(options.threads)
    print(f"{options.size} size, space {options.space}, {options.threads} threads, torch {torch.__version__}")
    print(f"{'':18}" + "".join(f"{form:>10}" for form in FORMS) + "   textbook/plain  textbook/fused  plain/fused")
    for step in options.steps:
        spent = rounds(Pair(options.size, options.space), step, options.pairs)
        medians = "".join(f"{statistics.median(spent[form]):>7.0f} ms" for form in FORMS)
        ratios = (
            statistics.median(one / other for one, other in zip(spent[first], spent[second], strict=True))
            for first, second in (("textbook", "plain"), ("textbook", "fused"), ("plain", "fused"))
        )
        print(f"{step:18}{medians}   " + "".join(f"{ratio:>12.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
