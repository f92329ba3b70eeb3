"""DARTS on one page: a first-order search of S2 on `digits`, its cell and its dominant eigenvalue, with nothing hidden.

    python examples/darts_on_one_page.py [tiny | laptop]

Two players take turns: weights w go down the training loss, alpha goes down the validation loss (Liu et al. 2019,
algorithm 1 with xi = 0). `dl.Search("S2")` does the same (to the last bit with DARTS_LAB_FUSED=0, since fused kernels
round otherwise), and writes it down, resumes it, watches it.
"""

import math
import sys

import torch
from torch.nn.functional import cross_entropy

import darts_lab as dl
from darts_lab.networks.assembly import frozen_statistics


def search(scale="laptop", seed=0):
    """(genotype, alpha, dominant eigenvalue) after a whole search."""
    s = dl.scales.get(scale).search
    space = dl.spaces.get("S2").with_nodes(s.nodes)  # every edge: a skip connection or a separable convolution
    data = dl.data.load("digits").subset(s.train_samples, s.valid_samples)

    initial = torch.Generator().manual_seed(seed)
    supernet = dl.Supernet(space, channels=s.channels, layers=s.layers, generator=initial)
    alpha = (
        s.alpha_spread * torch.randn(space.shape, generator=initial)
    ).requires_grad_()  # (cells, edges, operations)
    draw = torch.Generator().manual_seed(seed + 2**32)  # order of batches and augmentation

    weights = list(supernet.parameters())
    decay = s.weight_decay * s.decay_scale
    of_weights = torch.optim.SGD(weights, s.learning_rate, momentum=s.momentum, weight_decay=decay)
    of_alpha = torch.optim.Adam([alpha], s.alpha_learning_rate, betas=s.alpha_betas, weight_decay=s.alpha_weight_decay)

    def loss(alpha, batch):  # the supernet is a function of its mixing weights
        images, labels = batch
        return cross_entropy(supernet(images, torch.softmax(alpha, -1)), labels)

    for epoch in range(s.epochs):
        span = s.learning_rate - s.learning_rate_min
        rate = s.learning_rate_min + span * (1 + math.cos(math.pi * epoch / s.epochs)) / 2
        of_weights.param_groups[0]["lr"] = rate
        supernet.train()
        for places in dl.data.shuffled_batches(len(data.train[1]), s.batch_size, draw):
            train = dl.data.training_batch(data, "train", places, draw)
            places = dl.data.random_batch(len(data.valid[1]), s.batch_size, draw)
            valid = dl.data.training_batch(data, "valid", places, draw)

            with frozen_statistics(supernet):  # alpha: one step down the validation loss
                alpha.grad = torch.autograd.grad(loss(alpha, valid), alpha)[0]
            of_alpha.step()

            of_weights.zero_grad()  # w: one step down the training loss
            loss(alpha.detach(), train).backward()
            torch.nn.utils.clip_grad_norm_(weights, s.clip)
            of_weights.step()

    places = torch.randperm(len(data.valid[1]), generator=torch.Generator().manual_seed(seed))[: s.batch_size]
    with frozen_statistics(supernet):
        hessian = dl.curvature.Hessian(loss, alpha, [dl.data.plain_batch(data, "valid", places)])
        sharpness = dl.curvature.dominant_eigenvalue(hessian)
    return dl.discretize(torch.softmax(alpha, -1), space), alpha.detach(), sharpness


if __name__ == "__main__":
    genotype, alpha, sharpness = search(*sys.argv[1:2])
    print(f"{genotype}\nskips in the normal cell: {genotype.count('skip_connect', 'normal')} of {len(genotype.normal)}")
    print(f"dominant eigenvalue of the validation loss with respect to alpha: {float(sharpness):.3f}")
