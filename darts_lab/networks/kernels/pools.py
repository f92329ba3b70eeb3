"""Pools of 3 x 3 pixels of one group of samples, and their gradients. What lies outside of an image does not count."""

from darts_lab.networks.kernels.stages import W, part
from darts_lab.networks.kernels.vectors import after, equal, larger, load, minus, plus, spread, start, store, times


@part
def share(row, kind, i, j):
    """1 / (how many pixels of the image are around pixel (i, j) of the result)."""
    down = min(i * row.stride + 2, row.height) - max(i * row.stride - 1, 0)
    along = min(j * row.stride + 2, row.width) - max(j * row.stride - 1, 0)
    return kind.type(1 / (down * along))


@part
def pool(row, x, kind, y):
    for c in range(row.channels):
        plane, out = after(x, c * row.height * row.width * W), after(y, c * row.high * row.wide * W)
        for i in range(row.high):
            for j in range(row.wide):
                total = load(plane, (i * row.stride * row.width + j * row.stride) * W)
                for u in range(max(i * row.stride - 1, 0), min(i * row.stride + 2, row.height)):
                    for v in range(max(j * row.stride - 1, 0), min(j * row.stride + 2, row.width)):
                        one = load(plane, (u * row.width + v) * W)
                        if row.maximum:
                            total = larger(total, one)
                        elif u != i * row.stride or v != j * row.stride:
                            total = plus(total, one)
                if not row.maximum:
                    total = times(total, spread(share(row, kind, i, j)))
                store(out, (i * row.wide + j) * W, total)


@part
def pool_gradients(row, x, y, d, c, kind, dx):
    """Adds the gradient of what the pool read, from that of its result, d, for channel c. That of a maximum goes to the
    first pixel, line by line, that has it, as in PyTorch."""
    plane, result = after(x, c * row.height * row.width * W), after(y, c * row.high * row.wide * W)
    out = after(dx, c * row.height * row.width * W)
    for i in range(row.high):
        for j in range(row.wide):
            left, highest = load(start(d), (i * row.wide + j) * W), load(result, (i * row.wide + j) * W)
            if not row.maximum:
                left = times(left, spread(share(row, kind, i, j)))
            for u in range(max(i * row.stride - 1, 0), min(i * row.stride + 2, row.height)):
                for v in range(max(j * row.stride - 1, 0), min(j * row.stride + 2, row.width)):
                    at, hit = (u * row.width + v) * W, left
                    if row.maximum:
                        hit = equal(load(plane, at), highest, left)
                        left = minus(left, hit)
                    store(out, at, plus(load(out, at), hit))
