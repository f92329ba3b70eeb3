"""How much faster than the dense way: the dominant eigenvalue by Lanczos against all eigenvalues of the whole matrix.

    python benchmarks/curvature.py [--space S2] [--states 5] [--threads 2] [--json]

Laptop sizes, but cells of four nodes, as in the papers: 56 alphas in S1, S2 and S4, 84 in S3, 224 in the full space. In
several states of one search, some epochs apart, both measure the same Hessian, from the same batch, one after the other,
in one process, each from nothing (the gradient's graph included). What counts is the ratio of the seconds, dense over
Lanczos, and how far Lanczos is from the dense eigenvalue; products with vectors are counted. Beside it: what the norms of
`networks/norms.py` save, whose second derivatives are cheaper than PyTorch's, and what threads save that share two batches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import nullcontext
from unittest.mock import patch

import torch

import darts_lab as dl
from darts_lab.curvature.eigenvalues import dominant_eigenvalue, spectrum
from darts_lab.curvature.hessian import Hessian

EPOCHS_APART = 5


def timed(work):
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def one_after_the_other(hessian, of_batch):
    return [of_batch(number) for number in range(len(hessian.batches))]


def compared(space: str, states: int, epochs_apart: int = EPOCHS_APART) -> dict:
    epochs = states * epochs_apart
    search = dl.Search(space, scale="laptop", nodes=4, epochs=epochs, curvature_every=0, path=False, device="cpu")
    (batch,) = search.hessian().batches
    search.descent.alpha_gradient(batch, batch, 0.1), dominant_eigenvalue(search)  # warms the libraries up
    found = {name: [] for name in ("ratio", "apart", "products", "price", "norms", "shared")}
    for record in search:
        if (record.epoch + 1) % epochs_apart:
            continue
        lanczos_s, lanczos = timed(lambda: dominant_eigenvalue(search))
        dense_s, dense = timed(lambda: spectrum(search))
        with patch("darts_lab.search.measuring.differentiated_twice", nullcontext):
            norms_s, _ = timed(lambda: dominant_eigenvalue(search))
        together_s, _ = timed(lambda: dominant_eigenvalue(search, batches=2))
        with patch.object(Hessian, "_of_each", one_after_the_other):
            apart_s, _ = timed(lambda: dominant_eigenvalue(search, batches=2))
        gradient_s, _ = timed(lambda: search.descent.alpha_gradient(batch, batch, 0.1))
        found["ratio"].append(dense_s / lanczos_s)
        found["apart"].append(abs(lanczos.value / dense.values[0] - 1))
        found["products"].append(lanczos.products)
        found["norms"].append(norms_s / lanczos_s)
        found["shared"].append(apart_s / together_s)
        found["price"].append(dense_s / dense.products / gradient_s)
    return {
        "space": space, "alphas": search.alpha.numel(), "states": states, "epochs_apart": epochs_apart,
        "ratio": statistics.median(found["ratio"]), "low": min(found["ratio"]), "high": max(found["ratio"]),
        "dense_products": dense.products, "lanczos_products": statistics.median(found["products"]),
        "norms": statistics.median(found["norms"]), "shared": statistics.median(found["shared"]),
        "relative_error": statistics.median(found["apart"]),
        "largest_error": max(found["apart"]), "gradients_a_product": statistics.median(found["price"]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=list(dl.spaces.SPACES), default="S2")
    parser.add_argument("--states", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    found = compared(chosen.space, chosen.states)
    if chosen.json:
        print(json.dumps(found))
        return
    print("{space}, {alphas} alphas, {states} states of a search, {epochs_apart} epochs apart".format(**found))
    print("seconds, dense over Lanczos   {ratio:.1f} ({low:.1f} to {high:.1f})".format(**found))
    print("products, dense               {dense_products}".format(**found))
    print("products, Lanczos             {lanczos_products:g}".format(**found))
    print("Lanczos off by                {relative_error:.0e}, at most {largest_error:.0e}".format(**found))
    print("seconds, PyTorch's norms over ours   {norms:.2f}".format(**found))
    print("seconds, two batches one by one over at once   {shared:.2f}".format(**found))
    print("one product costs             {gradients_a_product:.1f} gradients of alpha".format(**found))


if __name__ == "__main__":
    main()
