"""The arithmetic of `fused`, compiled by numba: stages of convolutions, pools, norms, and sums of what a node receives.

A *stage* reads (batch, channels, height, width) through an affine map and a ReLU, convolves depth by depth and
then point by point. Its norm is another such map, so that whatever reads the result applies it while reading: what is
normalised is never written. Samples are taken in groups, one under the other in one tall image whose lines are parted
by zeros: all loops are long, whatever the size of an image. A kernel does the groups from `first` to `last`, and every
sum over samples is left to the caller, group by group: the result does not depend on who did which.
"""

import numba
import numpy as np
from numba import njit

VERSION = f"numba {numba.__version__}"

place = np.uint64  # a place in a line: what cannot be below zero needs no test, and the loop uses vectors
# Sums may be taken in another order, but always in the same one; nothing is assumed about infinities.
SUMS = {"contract", "reassoc", "nsz"}
compiled = njit(nogil=True, cache=True, fastmath=SUMS)
# Of a function that is called, a kernel from the cache finds another copy than one just compiled, with other bits.
part = njit(nogil=True, cache=True, fastmath=SUMS, forceinline=True)


@part
def weighted_sums(rows, factors, out, begin, size, add):
    """out[o, begin : begin + size] (+)= the sum of factors[o, c] * rows[c], two by four, of multiples of four."""
    for o in range(0, factors.shape[0], 2):
        d0, d1 = out[o][begin : begin + size], out[o + 1][begin : begin + size]
        for c in range(0, rows.shape[0], 4):
            f0, f1, f2, f3 = factors[o, c], factors[o, c + 1], factors[o, c + 2], factors[o, c + 3]
            g0, g1, g2, g3 = factors[o + 1, c], factors[o + 1, c + 1], factors[o + 1, c + 2], factors[o + 1, c + 3]
            r0, r1, r2, r3 = rows[c], rows[c + 1], rows[c + 2], rows[c + 3]
            if c == 0 and not add:
                for p in range(size):
                    d0[p] = f0 * r0[p] + f1 * r1[p] + f2 * r2[p] + f3 * r3[p]
                    d1[p] = g0 * r0[p] + g1 * r1[p] + g2 * r2[p] + g3 * r3[p]
            else:
                for p in range(size):
                    d0[p] += f0 * r0[p] + f1 * r1[p] + f2 * r2[p] + f3 * r3[p]
                    d1[p] += g0 * r0[p] + g1 * r1[p] + g2 * r2[p] + g3 * r3[p]


@part
def products(ones, others, out, size):
    """out[o, c] = <ones[o], others[c]>, two by four."""
    zero = ones.dtype.type(0)
    for o in range(0, ones.shape[0], 2):
        d0, d1 = ones[o], ones[o + 1]
        for c in range(0, others.shape[0], 4):
            r0, r1, r2, r3 = others[c], others[c + 1], others[c + 2], others[c + 3]
            s0, s1, s2, s3 = zero, zero, zero, zero
            t0, t1, t2, t3 = zero, zero, zero, zero
            for p in range(size):
                v, w = d0[p], d1[p]
                s0 += v * r0[p]
                s1 += v * r1[p]
                s2 += v * r2[p]
                s3 += v * r3[p]
                t0 += w * r0[p]
                t1 += w * r1[p]
                t2 += w * r2[p]
                t3 += w * r3[p]
            out[o, c], out[o, c + 1], out[o, c + 2], out[o, c + 3] = s0, s1, s2, s3
            out[o + 1, c], out[o + 1, c + 1], out[o + 1, c + 2], out[o + 1, c + 3] = t0, t1, t2, t3


@part
def three_lines(x, down, step, k, out, size, add):
    """out[q] (+)= the sum over u and v of k[u, v] * x[u down + v step + q], 3 x 3: in one pass, three times faster."""
    k0, k1, k2, k3, k4, k5, k6, k7, k8 = k[0, 0], k[0, 1], k[0, 2], k[1, 0], k[1, 1], k[1, 2], k[2, 0], k[2, 1], k[2, 2]
    x0, x1, x2 = x[:size], x[step : step + size], x[2 * step : 2 * step + size]
    y = x[down:]
    x3, x4, x5 = y[:size], y[step : step + size], y[2 * step : 2 * step + size]
    y = x[2 * down :]
    x6, x7, x8 = y[:size], y[step : step + size], y[2 * step : 2 * step + size]
    if add:
        for q in range(size):
            above, below = k0 * x0[q] + k1 * x1[q] + k2 * x2[q], k6 * x6[q] + k7 * x7[q] + k8 * x8[q]
            out[q] += above + (k3 * x3[q] + k4 * x4[q] + k5 * x5[q]) + below
    else:
        for q in range(size):
            above, below = k0 * x0[q] + k1 * x1[q] + k2 * x2[q], k6 * x6[q] + k7 * x7[q] + k8 * x8[q]
            out[q] = above + (k3 * x3[q] + k4 * x4[q] + k5 * x5[q]) + below


@part
def line_of_five(x, step, k, out, size, add):
    """out[q] (+)= the sum over v of k[v] * x[v step + q]."""
    k0, k1, k2, k3, k4 = k[0], k[1], k[2], k[3], k[4]
    x0, x1, x2 = x[:size], x[step : step + size], x[2 * step : 2 * step + size]
    x3, x4 = x[3 * step : 3 * step + size], x[4 * step : 4 * step + size]
    if add:
        for q in range(size):
            out[q] += k0 * x0[q] + k1 * x1[q] + k2 * x2[q] + k3 * x3[q] + k4 * x4[q]
    else:
        for q in range(size):
            out[q] = k0 * x0[q] + k1 * x1[q] + k2 * x2[q] + k3 * x3[q] + k4 * x4[q]


@part
def convolve(x, down, step, k, out, size, add):
    """out[q] (+)= the sum over u and v of k[u, v] * x[u down + v step + q], for a kernel of 3, 5 or more lines."""
    if k.shape[0] == 3:
        three_lines(x, down, step, k, out, size, add)
    elif k.shape[0] == 5:
        for u in range(5):
            line_of_five(x[u * down :], step, k[u], out, size, add or u > 0)
    else:
        for u in range(k.shape[0]):
            for v in range(k.shape[1]):
                factor, moved = k[u, v], x[u * down + v * step : u * down + v * step + size]
                if add or u + v > 0:
                    for q in range(size):
                        out[q] += factor * moved[q]
                else:
                    for q in range(size):
                        out[q] = factor * moved[q]


@part
def correlate(x, down, step, y, out, size):
    """out[u, v] = <x from u down + v step on, y>: the gradient of a kernel."""
    zero = y.dtype.type(0)
    if out.shape[0] == 3:
        x0, x1, x2 = x[:size], x[step : step + size], x[2 * step : 2 * step + size]
        z = x[down:]
        x3, x4, x5 = z[:size], z[step : step + size], z[2 * step : 2 * step + size]
        z = x[2 * down :]
        x6, x7, x8 = z[:size], z[step : step + size], z[2 * step : 2 * step + size]
        s0, s1, s2, s3, s4, s5, s6, s7, s8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
        for q in range(size):
            d = y[q]
            s0 += d * x0[q]
            s1 += d * x1[q]
            s2 += d * x2[q]
            s3 += d * x3[q]
            s4 += d * x4[q]
            s5 += d * x5[q]
            s6 += d * x6[q]
            s7 += d * x7[q]
            s8 += d * x8[q]
        out[0, 0], out[0, 1], out[0, 2] = s0, s1, s2
        out[1, 0], out[1, 1], out[1, 2] = s3, s4, s5
        out[2, 0], out[2, 1], out[2, 2] = s6, s7, s8
        return
    for u in range(out.shape[0]):
        if out.shape[1] == 5:
            z = x[u * down :]
            x0, x1, x2 = z[:size], z[step : step + size], z[2 * step : 2 * step + size]
            x3, x4 = z[3 * step : 3 * step + size], z[4 * step : 4 * step + size]
            s0, s1, s2, s3, s4 = zero, zero, zero, zero, zero
            for q in range(size):
                d = y[q]
                s0 += d * x0[q]
                s1 += d * x1[q]
                s2 += d * x2[q]
                s3 += d * x3[q]
                s4 += d * x4[q]
            out[u, 0], out[u, 1], out[u, 2], out[u, 3], out[u, 4] = s0, s1, s2, s3, s4
        else:
            for v in range(out.shape[1]):
                moved, total = x[u * down + v * step : u * down + v * step + size], zero
                for q in range(size):
                    total += y[q] * moved[q]
                out[u, v] = total


@part
def read(x, n, group, at, height, width, scale, shift, border, tall):
    """Writes samples of x, through the map and the ReLU, into tall (channels, pixels), where zeros around them stay."""
    zero, pitch = x.dtype.type(0), width + border
    for c in range(tall.shape[0]):
        s, t = scale[at + c], shift[at + c]
        for m in range(group):
            source, target = x[n + m, at + c], tall[c]
            size = width if border else height * width
            for i in range(height if border else 1):
                to, begin = place((border + m * (height + border) + i) * pitch + border), place(i * width)
                for j in range(place(size)):
                    v = source[begin + j] * s + t
                    target[to + j] = zero if v <= zero else v  # what is no number stays so


@part
def pick(line, start, group, height, sample_pitch, pitch, stride, width, out):
    """out[...] = every pixel of a stride in a tall line."""
    for m in range(group):
        for i in range(height):
            at, to = place(start + m * sample_pitch + i * stride * pitch), place((m * height + i) * width)
            for j in range(place(width)):
                out[to + j] = line[at + j * place(stride)]


@part
def put(out, start, group, height, sample_pitch, pitch, stride, width, line, add):
    """The transpose of `pick`: what lies between stays."""
    for m in range(group):
        for i in range(height):
            at, to = place(start + m * sample_pitch + i * stride * pitch), place((m * height + i) * width)
            if add:
                for j in range(place(width)):
                    line[at + j * place(stride)] += out[to + j]
            else:
                for j in range(place(width)):
                    line[at + j * place(stride)] = out[to + j]


@part
def write(line, plane_pitch, pitch, width, out, n, group, to):
    """Copies planes of a tall line to channel `to` of samples of out; returns (their sum, the sum of the squared
    distances from its mean)."""
    pixels, total, squares = out.shape[2], line.dtype.type(0), line.dtype.type(0)
    if pitch == width:
        width = pixels
    for m in range(group):
        target = out[n + m, to]
        for i in range(pixels // width):
            at, begin = place(m * plane_pitch + i * pitch), place(i * width)
            for j in range(place(width)):
                target[begin + j] = line[at + j]
                total += line[at + j]
    mean = total / line.dtype.type(group * pixels)
    for m in range(group):
        target = out[n + m, to]
        for p in range(pixels):
            squares += (target[p] - mean) * (target[p] - mean)
    return total, squares


@part
def enter(dy, raw, n, group, of, channel, entering, line, plane_pitch, pitch, width):
    """Writes entering[0] * dy + entering[1] * raw + entering[2] into a tall line, of channel `of` of dy and `channel`
    of the others."""
    of_dy, of_raw, of_one = entering[0, channel], entering[1, channel], entering[2, channel]
    pixels = raw.shape[2]
    if pitch == width:
        width = pixels
    for m in range(group):
        d, r = dy[n + m, of], raw[n + m, channel]
        for i in range(pixels // width):
            at, to = place(i * width), place(m * plane_pitch + i * pitch)
            for j in range(place(width)):
                line[to + j] = of_dy * d[at + j] + of_raw * r[at + j] + of_one


@part
def leave(of_line, line, start, sample_pitch, pitch, width, dx, n, group, to, add):
    """Writes or adds planes of a tall line to channel `to` of samples of dx, where what was read is above zero."""
    zero, pixels = dx.dtype.type(0), dx.shape[2]
    if pitch == width:
        width = pixels
    for m in range(group):
        plane = dx[n + m, to]
        for i in range(pixels // width):
            at, begin = place(m * sample_pitch + i * pitch), place(i * width)
            old = place(start + m * sample_pitch + i * pitch)
            if add:
                for j in range(place(width)):
                    plane[begin + j] += zero if line[old + j] <= zero else of_line[at + j]
            else:
                for j in range(place(width)):
                    plane[begin + j] = zero if line[old + j] <= zero else of_line[at + j]


@compiled
def stage(
    first, last, per, x, from_channel, height, width, scale, shift, own, depthwise, pointwise, stride, dilation, offset,
    out, to_channel, copy_pitch, statistics,
):  # fmt: skip
    """`copies` of a stage: out (batch, *, pixels), and the moments (groups, 2, *) of its channels by group.

    `depthwise` (copies, channels, k, k), `pointwise` (copies, outputs, channels); k = 1 leaves the depthwise part out.
    All copies read the channels of x (batch, *, height * width) from `from_channel` on or, where they are `own`, each
    those that come behind the others'. The outputs of copy g go to the channels from to_channel + g * copy_pitch on.
    `offset` is the first pixel of a stride.
    """
    copies, channels, k = depthwise.shape[0], depthwise.shape[1], depthwise.shape[2]
    outputs, high, wide = pointwise.shape[1], -(-height // stride), -(-width // stride)
    border = dilation * (k // 2)
    pitch, sample_pitch = width + border, (height + border) * (width + border)
    start, pixels, corner = border * pitch + border, high * wide, offset * (pitch + 1)
    tall = np.zeros((channels, per * sample_pitch + 2 * start), x.dtype)
    between = np.empty((channels if k > 1 else 0, per * sample_pitch), x.dtype)
    picked = np.empty((channels if stride > 1 else 0, per * pixels), x.dtype)
    result = np.empty((outputs, per * sample_pitch), x.dtype)
    for part in range(first, last):
        n = part * per
        group = min(per, len(x) - n)
        size = (group - 1) * sample_pitch + (height - 1) * pitch + width
        if group < per:
            tall[:] = 0
        for g in range(copies):
            at = from_channel + g * channels if own else from_channel
            if g == 0 or own:
                read(x, n, group, at, height, width, scale, shift, border, tall)
            for c in range(channels):
                if k > 1:
                    convolve(tall[c], dilation * pitch, dilation, depthwise[g, c], between[c], size, False)
                if stride > 1:
                    line = between[c] if k > 1 else tall[c]
                    pick(line, corner, group, high, sample_pitch, pitch, stride, wide, picked[c])
            if stride > 1:
                weighted_sums(picked, pointwise[g], result, 0, group * pixels, False)
                line_pitch, plane_pitch = wide, pixels
            else:
                weighted_sums(between if k > 1 else tall, pointwise[g], result, 0, size, False)
                line_pitch, plane_pitch = pitch, sample_pitch
            for o in range(outputs):
                to = to_channel + g * copy_pitch + o
                total, squares = write(result[o], plane_pitch, line_pitch, wide, out, n, group, to)
                statistics[part, 0, to], statistics[part, 1, to] = total, squares


@compiled
def stage_gradients(
    first, last, per, x, from_channel, height, width, scale, shift, own, depthwise, pointwise, stride, dilation, offset,
    dy, dy_channels, raw, to_channel, copy_pitch, entering, needs_kernels, dx, of_depthwise, of_pointwise,
):  # fmt: skip
    """The gradients of a `stage` from that of its normalised result, which for copy g is dy (batch, *, pixels) from
    dy_channels[g] on: that of the stage itself is entering[0] * dy + entering[1] * raw + entering[2], by channel.

    That of what was read, before the ReLU, is added to dx or, where copies are `own`, written there. of_depthwise and
    of_pointwise get another first dimension, the group.
    """
    copies, channels, k = depthwise.shape[0], depthwise.shape[1], depthwise.shape[2]
    outputs, high, wide = pointwise.shape[1], -(-height // stride), -(-width // stride)
    border = dilation * (k // 2)
    pitch, sample_pitch = width + border, (height + border) * (width + border)
    start, pixels, corner = border * pitch + border, high * wide, offset * (pitch + 1)
    line_pitch, plane_pitch = (wide, pixels) if stride > 1 else (pitch, sample_pitch)
    zero = x.dtype.type(0)
    tall = np.zeros((channels, per * sample_pitch + 2 * start), x.dtype)
    of_tall = np.zeros((channels, per * sample_pitch), x.dtype)
    between = np.empty((channels if needs_kernels and k > 1 else 0, per * sample_pitch), x.dtype)
    of_between = np.zeros((channels if k > 1 else 0, per * sample_pitch + 2 * start), x.dtype)  # zeros between outputs
    picked = np.empty((channels if stride > 1 else 0, per * pixels), x.dtype)
    of_picked = np.empty_like(picked)
    of_result = np.zeros((outputs, per * sample_pitch), x.dtype)
    transposed, turned = np.empty((channels, outputs), x.dtype), np.empty((k, k), x.dtype)
    for part in range(first, last):
        n = part * per
        group = min(per, len(x) - n)
        size = (group - 1) * sample_pitch + (height - 1) * pitch + width
        count = group * pixels if stride > 1 else size
        if group < per:
            tall[:] = zero
            of_between[:] = zero
        for g in range(copies):
            at = from_channel + g * channels if own else from_channel
            again = g > 0 and not own
            if not again:
                read(x, n, group, at, height, width, scale, shift, border, tall)
            for o in range(outputs):
                to = to_channel + g * copy_pitch + o
                of = dy_channels[g] + o
                enter(dy, raw, n, group, of, to, entering, of_result[o], plane_pitch, line_pitch, wide)
                for c in range(channels):
                    transposed[c, o] = pointwise[g, o, c]
            if stride > 1:
                weighted_sums(of_result, transposed, of_picked, 0, count, False)
            elif k > 1:
                weighted_sums(of_result, transposed, of_between, start, size, False)
            else:
                weighted_sums(of_result, transposed, of_tall, 0, size, again)
            for c in range(channels):
                if stride > 1 and k > 1:
                    put(of_picked[c], start, group, high, sample_pitch, pitch, stride, wide, of_between[c], False)
                elif stride > 1:
                    put(of_picked[c], corner, group, high, sample_pitch, pitch, stride, wide, of_tall[c], again)
                if k > 1 and needs_kernels:
                    convolve(tall[c], dilation * pitch, dilation, depthwise[g, c], between[c], size, False)
                    change = of_between[c, start : start + size]
                    correlate(tall[c], dilation * pitch, dilation, change, of_depthwise[part, g, c], size)
                if k > 1:
                    for u in range(k):
                        for v in range(k):
                            turned[u, v] = depthwise[g, c, k - 1 - u, k - 1 - v]
                    convolve(of_between[c], dilation * pitch, dilation, turned, of_tall[c], size, again)
                if stride > 1 and needs_kernels:
                    line = between[c] if k > 1 else tall[c]
                    pick(line, corner, group, high, sample_pitch, pitch, stride, wide, picked[c])
            if needs_kernels:
                products(of_result, picked if stride > 1 else between if k > 1 else tall, of_pointwise[part, g], count)
            if own or g == copies - 1:
                for c in range(channels):
                    leave(of_tall[c], tall[c], start, sample_pitch, pitch, width, dx, n, group, at + c, not own)


@part
def frame(x, n, group, channel, height, width, tall):
    """Writes planes of x into a tall line with one pixel between them, where what was there stays."""
    for m in range(group):
        plane = x[n + m, channel]
        for i in range(height):
            at, to = place(i * width), place((1 + m * (height + 1) + i) * (width + 1) + 1)
            for j in range(place(width)):
                tall[to + j] = plane[at + j]


@part
def larger(a, b):
    """The larger of two numbers, or what is none."""
    return a if a > b or a != a else b


@part
def windows(tall, pitch, size, maximum, lines, out):
    """out[q] = the largest value, or the sum, of the 3 x 3 pixels that begin at tall[q]. `lines` is scratch."""
    x0, x1, x2 = tall, tall[1:], tall[2:]
    y0, y1, y2 = lines, lines[pitch:], lines[2 * pitch :]
    if maximum:
        for q in range(size + 2 * pitch):
            lines[q] = larger(larger(x0[q], x1[q]), x2[q])
        for q in range(size):
            out[q] = larger(larger(y0[q], y1[q]), y2[q])
    else:
        for q in range(size + 2 * pitch):
            lines[q] = x0[q] + x1[q] + x2[q]
        for q in range(size):
            out[q] = y0[q] + y1[q] + y2[q]


@part
def shares(per, height, width, kind):
    """1 / (how many of the 3 x 3 pixels around it are in the image), for each pixel of tall lines; 0 between them."""
    line = np.zeros(per * (height + 1) * (width + 1), kind)
    for m in range(per):
        for i in range(height):
            for j in range(width):
                rows, columns = min(i + 1, height - 1) - max(i - 1, 0) + 1, min(j + 1, width - 1) - max(j - 1, 0) + 1
                line[(m * (height + 1) + i) * (width + 1) + j] = 1 / (rows * columns)
    return line


@compiled
def pool(first, last, per, x, from_channel, height, width, maximum, stride, out, statistics):
    """3 x 3 pools of the channels of x from `from_channel` on; arguments as for `stage`. What lies outside of an image
    does not count."""
    pitch, sample_pitch, high, wide = width + 1, (height + 1) * (width + 1), -(-height // stride), -(-width // stride)
    tall = np.full(per * sample_pitch + 2 * pitch + 2, -np.inf if maximum else 0.0).astype(x.dtype)
    lines, result, picked = np.empty_like(tall), np.empty_like(tall), np.empty(per * high * wide, x.dtype)
    share = shares(per, height, width, x.dtype)
    for part in range(first, last):
        n = part * per
        group = min(per, len(x) - n)
        size = (group - 1) * sample_pitch + (height - 1) * pitch + width
        for c in range(out.shape[1]):
            frame(x, n, group, from_channel + c, height, width, tall)
            windows(tall, pitch, size, maximum, lines, result)
            if not maximum:
                for q in range(size):
                    result[q] *= share[q]
            if stride > 1:
                pick(result, 0, group, high, sample_pitch, pitch, stride, wide, picked)
                total, squares = write(picked, high * wide, wide, wide, out, n, group, c)
            else:
                total, squares = write(result, sample_pitch, pitch, wide, out, n, group, c)
            statistics[part, 0, c], statistics[part, 1, c] = total, squares


@compiled
def pool_gradients(first, last, per, x, from_channel, height, width, maximum, stride, dy, dx):
    """Adds the gradient of what a `pool` read to the same channels of dx. That of a maximum goes to the first pixel,
    line by line, that has it, as in PyTorch."""
    pitch, sample_pitch, high, wide = width + 1, (height + 1) * (width + 1), -(-height // stride), -(-width // stride)
    start, long = pitch + 1, per * sample_pitch + 4 * pitch + 4
    zero = x.dtype.type(0)
    tall = np.full(long, -np.inf if maximum else 0.0).astype(x.dtype)
    lines, result, of_tall, change = np.empty_like(tall), np.empty_like(tall), np.empty_like(tall), np.zeros_like(tall)
    share = shares(per, height, width, x.dtype)
    for part in range(first, last):
        n = part * per
        group = min(per, len(x) - n)
        size = (group - 1) * sample_pitch + (height - 1) * pitch + width
        change[:] = zero
        for c in range(dy.shape[1]):
            for m in range(group):
                put(dy[n + m, c], start + m * sample_pitch, 1, high, 0, pitch, stride, wide, change, False)
            if maximum:
                frame(x, n, group, from_channel + c, height, width, tall)
                windows(tall, pitch, size, True, lines, result)
                of_tall[:] = zero
                for u in range(3):
                    for v in range(3):
                        moved, of_moved, left = tall[u * pitch + v :], of_tall[u * pitch + v :], change[start:]
                        for q in range(size):
                            hit = left[q] if moved[q] == result[q] else zero
                            of_moved[q] += hit
                            left[q] -= hit
                at = start
            else:
                for q in range(size):
                    change[start + q] *= share[q]
                windows(change, pitch, size, False, lines, of_tall)
                at = 0
            for m in range(group):
                plane = dx[n + m, from_channel + c]
                for i in range(height):
                    begin, to = place(at + m * sample_pitch + i * pitch), place(i * width)
                    for j in range(place(width)):
                        plane[to + j] += of_tall[begin + j]


@compiled
def add_scaled(first, last, x, channels_of, scale, shift, out, out_channels):
    """Adds scale * x + shift to out, both (batch, *, pixels), for each row of scale and shift (terms, channels): term g
    takes the channels of x from channels_of[g] on, and gives to those of out from out_channels[g] on."""
    for n in range(first, last):
        for g in range(scale.shape[0]):
            for c in range(scale.shape[1]):
                s, t = scale[g, c], shift[g, c]
                source, target = x[n, channels_of[g] + c], out[n, out_channels[g] + c]
                for p in range(len(source)):
                    target[p] += s * source[p] + t


@compiled
def inner_products(first, last, x, channels_of, mean, dy, dy_channels, sums):
    """Sums over pixels of dy, and of dy * (x - mean), for the terms of `add_scaled`: (batch, 2, terms, channels)."""
    zero = x.dtype.type(0)
    for n in range(first, last):
        for g in range(mean.shape[0]):
            for c in range(mean.shape[1]):
                source, d, m = x[n, channels_of[g] + c], dy[n, dy_channels[g] + c], mean[g, c]
                total, product = zero, zero
                for p in range(len(source)):
                    total += d[p]
                    product += d[p] * (source[p] - m)
                sums[n, 0, g, c], sums[n, 1, g, c] = total, product


@compiled
def add_gradients(first, last, dy, dy_channels, of_dy, x, from_channel, of_x, of_one, dx, to_channel):
    """Adds of_x * x + of_one, and of_dy[g] * dy for the channels from dy_channels[g] on, to dx."""
    for n in range(first, last):
        for c in range(len(of_x)):
            source, target = x[n, from_channel + c], dx[n, to_channel + c]
            s, t = of_x[c], of_one[c]
            for p in range(len(source)):
                target[p] += s * source[p] + t
            for g in range(len(dy_channels)):
                d, f = dy[n, dy_channels[g] + c], of_dy[g, c]
                for p in range(len(source)):
                    target[p] += f * d[p]


@compiled
def normalise(moments, counts, mode, running, chosen, weights, gamma, beta, momentum, epsilon, normal, scale, shift):
    """The norm of channels from their moments (groups, 2, channels), of groups of `counts` pixels: normal (2, channels)
    is mean and inverse deviation, scale and shift are what it makes of a result, weighted.

    `mode` 0: by the running statistics (2, copies * channels), at `chosen`; 1: by those of the batch; 2: which also
    move the running ones.
    """
    total = counts.sum()
    for c in range(len(chosen)):
        if mode == 0:
            mean, variance = np.float64(running[0][chosen[c]]), np.float64(running[1][chosen[c]])
        else:
            mean, variance = 0.0, 0.0
            for part in range(len(counts)):
                mean += moments[part, 0, c]
            mean /= total
            for part in range(len(counts)):
                variance += moments[part, 1, c] + counts[part] * (moments[part, 0, c] / counts[part] - mean) ** 2
            if mode == 2:
                m, v = running[0], running[1]
                unbiased = variance / max(total - 1, 1)
                m[chosen[c]] = (1 - momentum) * m[chosen[c]] + momentum * mean
                v[chosen[c]] = (1 - momentum) * v[chosen[c]] + momentum * unbiased
            variance /= total
        inverse = 1 / np.sqrt(variance + epsilon)
        normal[0, c], normal[1, c] = mean, inverse
        scale[c] = weights[c] * gamma[c] * inverse
        shift[c] = weights[c] * (beta[c] - gamma[c] * inverse * mean)


@compiled
def norm_gradients(sums, normal, total, weights, gamma, beta, entering, gradients):
    """From the sums over pixels (batch, 2, channels) of `inner_products`: the gradients of the weights and of the
    norm's scale and shift, and `entering` (3, channels), the factors with which the result's gradient, the result and 1
    enter the gradient of what was normalised. `total`: pixels that made the norm, 0 where they did not."""
    for c in range(normal.shape[1]):
        once, product = 0.0, 0.0
        for n in range(sums.shape[0]):
            once += sums[n, 0, c]
            product += sums[n, 1, c]
        mean, inverse = normal[0, c], normal[1, c]
        product *= inverse
        gradients[0, c] = gamma[c] * product + beta[c] * once
        gradients[1, c], gradients[2, c] = weights[c] * product, weights[c] * once
        factor = weights[c] * gamma[c] * inverse
        entering[0, c], entering[1, c], entering[2, c] = factor, 0, 0
        if total > 0:
            of_result = -factor * inverse * product / total
            entering[1, c] = of_result
            entering[2, c] = -factor * once / total - of_result * mean
