"""Finite differences, against which products with a Hessian are held."""

import numpy as np
import torch


def product_and_difference(hessian, step):
    """H v for a direction v, from the operator and from gradients `step` to both sides, both (n,); means over batches."""
    direction = np.random.default_rng(1).standard_normal(hessian.shape[0])

    def gradient(sign):
        at = (hessian.point + sign * step * torch.from_numpy(direction).view(hessian.layout)).requires_grad_()
        with hessian.context():
            loss = sum(hessian.loss(at, batch) for batch in hessian.batches) / len(hessian.batches)
            return torch.autograd.grad(loss, at)[0].flatten().numpy()

    return hessian.matvec(direction), (gradient(1) - gradient(-1)) / (2 * step)
