"""Norms: the moments of a group of samples, the maps that they become, their gradients; and sums of such maps."""

import numpy as np

from darts_lab.networks.kernels.stages import W, part
from darts_lab.networks.kernels.vectors import (
    across,
    after,
    fma,
    load,
    minus,
    plus,
    pointer,
    spread,
    start,
    store,
    times,
    zeros,
)  # fmt: skip
from darts_lab.networks.tables import PATHS


@part
def place(arrays, array, at, group, like):
    """The pointer to the first number of something in a group; `arrays` (arrays, 2): address, numbers in a group."""
    return pointer(arrays[array, 0] + (arrays[array, 1] * group + at) * like.itemsize, like)


@part
def path_of(arrays, path, group, like):
    """How much each sample of a group keeps of a path."""
    return load(place(arrays, PATHS, path * W, group, like), 0)


@part
def moments(row, y, out):
    """Of each channel, lane by lane: its first pixel, and the sums of the distances from it and of their squares."""
    pixels = row.high * row.wide
    for c in range(row.outputs):
        plane, sums = after(y, c * pixels * W), after(start(out), (row.slot + c) * 3 * W)
        first = load(plane, 0)
        total, squares, other, of_other = zeros(y), zeros(y), zeros(y), zeros(y)
        for p in range(0, pixels - 1, 2):
            a, b = minus(load(plane, p * W), first), minus(load(plane, (p + 1) * W), first)
            total, other = plus(total, a), plus(other, b)
            squares, of_other = fma(a, a, squares), fma(b, b, of_other)
        if pixels % 2:
            a = minus(load(plane, (pixels - 1) * W), first)
            total, squares = plus(total, a), fma(a, a, squares)
        store(sums, 0, first)
        store(sums, W, plus(total, other))
        store(sums, 2 * W, plus(squares, of_other))


@part
def normalise(row, sums, samples, mode, running, variances, chosen, weights, normal, maps):
    """The norm of channels from their `moments` (groups, slots, 3, W): normal (2, slots) is mean and inverse deviation,
    maps (2, slots) are scale and shift of what it makes.

    `mode` 0: by the running statistics, at `chosen`; 1: by those of the batch; 2: which also move the running ones.
    """
    pixels, momentum, epsilon = row.high * row.wide, 0.1, 1e-5
    total = pixels * samples
    for c in range(row.outputs):
        slot, at = row.slot + c, chosen[row.chosen + c]
        if mode == 0:
            mean, variance = np.float64(running[at]), np.float64(variances[at])
        else:
            mean, variance = 0.0, 0.0
            for n in range(samples):
                mean += np.float64(sums[n // W, slot, 0, n % W]) + np.float64(sums[n // W, slot, 1, n % W]) / pixels
            mean /= samples
            for n in range(samples):
                of_one = np.float64(sums[n // W, slot, 1, n % W])
                away = np.float64(sums[n // W, slot, 0, n % W]) + of_one / pixels - mean
                variance += np.float64(sums[n // W, slot, 2, n % W]) - of_one * of_one / pixels + pixels * away * away
            if mode == 2:
                running[at] = (1 - momentum) * running[at] + momentum * mean
                variances[at] = (1 - momentum) * variances[at] + momentum * (variance / max(total - 1, 1))
            variance /= total
        inverse = 1 / np.sqrt(variance + epsilon)
        normal[0, slot], normal[1, slot] = mean, inverse
        gamma = np.float64(weights[row.scale + c]) if row.scale >= 0 else 1.0
        beta = np.float64(weights[row.shift + c]) if row.shift >= 0 else 0.0
        maps[0, slot], maps[1, slot] = gamma * inverse, beta - gamma * inverse * mean


@part
def combine(count, factors, places, shift, pixels, out, add):
    """out (+)= shift and the sum of factors[t] * what is at places[t], for the pixels of a channel; in one pass.
    `shift` and factors (count, W) are of each sample."""
    one = shift
    whole = pixels - pixels % 4
    for p in range(0, whole, 4):
        if add:
            a, b = plus(one, load(out, p * W)), plus(one, load(out, (p + 1) * W))
            c, d = plus(one, load(out, (p + 2) * W)), plus(one, load(out, (p + 3) * W))
        else:
            a, b, c, d = one, one, one, one
        for t in range(count):
            f, x = load(start(factors), t * W), pointer(places[t], factors)
            a, b = fma(f, load(x, p * W), a), fma(f, load(x, (p + 1) * W), b)
            c, d = fma(f, load(x, (p + 2) * W), c), fma(f, load(x, (p + 3) * W), d)
        store(out, p * W, a)
        store(out, (p + 1) * W, b)
        store(out, (p + 2) * W, c)
        store(out, (p + 3) * W, d)
    for p in range(whole, pixels):
        a = plus(one, load(out, p * W)) if add else one
        for t in range(count):
            a = fma(load(start(factors), t * W), load(pointer(places[t], factors), p * W), a)
        store(out, p * W, a)


@part
def add_up(row, terms, arrays, group, mixing, maps, factors, places, y):
    """A state: the sum of its terms."""
    pixels, one = row.high * row.wide, factors.dtype.type(1)
    for c in range(row.outputs):
        shift = zeros(y)
        for t in range(row.first, row.last):
            term = terms[t]
            f, kept = mixing[term.weight] if term.weight >= 0 else one, path_of(arrays, term.path, group, factors)
            if term.slot >= 0:
                shift = plus(shift, times(spread(f * maps[1, term.slot + c]), kept))
                f *= maps[0, term.slot + c]
            store(start(factors), (t - row.first) * W, times(spread(f), kept))
            places[t - row.first] = (
                arrays[term.x, 0] + (arrays[term.x, 1] * group + term.x_at + c * pixels * W) * factors.itemsize
            )
        combine(row.last - row.first, factors, places, shift, pixels, after(y, c * pixels * W), False)


@part
def gradient_of(row, c, terms, arrays, group, entering, factors, places, y, out, add):
    """The gradient of channel c of what `row` made and its terms added up: written to `out`, or added."""
    pixels, count, shift, of_y = row.high * row.wide, row.last - row.first, factors.dtype.type(0), factors.dtype.type(0)
    for t in range(count):
        term = terms[row.first + t]
        kept = path_of(arrays, term.path, group, factors)
        store(start(factors), t * W, times(spread(entering[0, term.term + c]), kept))
        of_y += entering[1, term.term + c]
        shift += entering[2, term.term + c]
        places[t] = arrays[term.d, 0] + (arrays[term.d, 1] * group + term.d_at + c * pixels * W) * factors.itemsize
    if row.slot >= 0:
        store(start(factors), count * W, spread(of_y))
        places[count] = arrays[row.y, 0] + (arrays[row.y, 1] * group + row.y_at + c * pixels * W) * factors.itemsize
        count += 1
    combine(count, factors, places, spread(shift), pixels, out, add)


@part
def inner_products(row, d, y, kept, normal, out):
    """Lane by lane the sums over pixels of d and of d * (y - mean), of the `kept` paths: out (terms, 2, W)."""
    pixels = row.high * row.wide
    for c in range(row.outputs):
        e, x, sums = after(d, c * pixels * W), after(y, c * pixels * W), after(start(out), (row.term + c) * 2 * W)
        mean = spread(out.dtype.type(normal[0, row.slot + c] if row.slot >= 0 else 0.0))
        total, products, other, of_other = zeros(d), zeros(d), zeros(d), zeros(d)
        for p in range(0, pixels - 1, 2):
            a, b = load(e, p * W), load(e, (p + 1) * W)
            total, other = plus(total, a), plus(other, b)
            products = fma(a, minus(load(x, p * W), mean), products)
            of_other = fma(b, minus(load(x, (p + 1) * W), mean), of_other)
        if pixels % 2:
            a = load(e, (pixels - 1) * W)
            total, products = plus(total, a), fma(a, minus(load(x, (pixels - 1) * W), mean), products)
        store(sums, 0, times(plus(total, other), kept))
        store(sums, W, times(plus(products, of_other), kept))


@part
def norm_gradients(row, sums, samples, mode, weights, mixing, normal, entering, of_weights, of_mixing):
    """From the `inner_products` (groups, terms, 2, W): the gradients of the term's weight and of the norm's scale and
    shift, and `entering` (3, terms), the factors with which the result's gradient, the result and 1 enter the gradient
    of what was normalised."""
    groups, total, of_weight = sums.shape[0], samples * row.high * row.wide, 0.0
    weight = np.float64(mixing[row.weight]) if row.weight >= 0 else 1.0
    for c in range(row.outputs):
        once, product = 0.0, 0.0
        if row.weighs:
            for group in range(groups):
                both, lanes = after(start(sums[group]), (row.term + c) * 2 * W), min(W, samples - group * W)
                once += np.float64(across(load(both, 0), lanes))
                product += np.float64(across(load(both, W), lanes))
        mean, inverse = 0.0, 1.0
        if row.slot >= 0:
            mean, inverse = normal[0, row.slot + c], normal[1, row.slot + c]
        gamma = np.float64(weights[row.scale + c]) if row.scale >= 0 else 1.0
        beta = np.float64(weights[row.shift + c]) if row.shift >= 0 else 0.0
        product *= inverse
        of_weight += gamma * product + beta * once
        if row.scale >= 0:
            of_weights[row.scale + c] = weight * product
            of_weights[row.shift + c] = weight * once
        factor = weight * gamma * inverse
        entering[0, row.term + c], entering[1, row.term + c], entering[2, row.term + c] = factor, 0.0, 0.0
        if row.slot >= 0 and mode > 0:
            of_result = -factor * inverse * product / total
            entering[1, row.term + c] = of_result
            entering[2, row.term + c] = -factor * once / total - of_result * mean
    if row.weight >= 0:
        of_mixing[row.weight] = of_weight
