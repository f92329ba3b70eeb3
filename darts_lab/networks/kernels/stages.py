"""Convolutions of one group of samples: depth by depth and point by point, and their gradients."""

from numba import njit

from darts_lab.networks.kernels.vectors import (
    across,
    after,
    fma,
    load,
    plus,
    spread,
    start,
    store,
    times,
    value,
    where_positive,
    zeros,
)  # fmt: skip

# Of a function that is called, a kernel from the cache finds another copy than one just compiled.
part = njit(nogil=True, forceinline=True)
BLOCK = 4  # pixels, or channels, whose sums are in registers together
W = 16


@part
def weighted(x, places, factors, count, step):
    """The sums of factors[t] * x[places[t]], for four pixels `step` apart."""
    a, b, c, d = zeros(x), zeros(x), zeros(x), zeros(x)
    for t in range(count):
        f, at = spread(value(factors, t)), after(x, value(places, t))
        a = fma(f, load(at, 0), a)
        b = fma(f, load(at, step), b)
        c = fma(f, load(at, 2 * step), c)
        d = fma(f, load(at, 3 * step), d)
    return a, b, c, d


@part
def product(factors, down, along, count, x, pitch, out, out_pitch):
    """out[o] = the sum over c of factors[o, c] * x[c], for four o and one pixel."""
    a, b, c, d = zeros(x), zeros(x), zeros(x), zeros(x)
    for i in range(count):
        v, f = load(x, i * pitch), after(factors, i * along)
        a = fma(spread(value(f, 0)), v, a)
        b = fma(spread(value(f, down)), v, b)
        c = fma(spread(value(f, 2 * down)), v, c)
        d = fma(spread(value(f, 3 * down)), v, d)
    store(out, 0, a)
    store(out, out_pitch, b)
    store(out, 2 * out_pitch, c)
    store(out, 3 * out_pitch, d)


@part
def frame(out, height, width, border):
    """Writes zeros around a plane."""
    pitch, zero = (width + 2 * border) * W, zeros(out)
    for i in range(height + 2 * border):
        line = after(out, i * pitch)
        if i < border or i >= height + border:
            for j in range(width + 2 * border):
                store(line, j * W, zero)
        else:
            for j in range(border):
                store(line, j * W, zero)
                store(line, (border + width + j) * W, zero)


@part
def read(row, x, scale, shift, tall):
    """Writes what a stage reads, through the norm's map and the ReLU, with zeros around it."""
    pitch = (row.width + 2 * row.border) * W
    size = (row.height + 2 * row.border) * pitch
    for c in range(row.channels):
        out = after(tall, c * size)
        frame(out, row.height, row.width, row.border)
        source, target = after(x, c * row.height * row.width * W), after(out, row.border * (pitch + W))
        if row.map >= 0:
            s, t = spread(value(scale, row.map + c)), spread(value(shift, row.map + c))
            for i in range(row.height):
                for j in range(row.width):
                    v = fma(load(source, (i * row.width + j) * W), s, t)
                    store(target, i * pitch + j * W, where_positive(v, v))
        else:
            for i in range(row.height):
                for j in range(row.width):
                    v = load(source, (i * row.width + j) * W)
                    store(target, i * pitch + j * W, where_positive(v, v))


@part
def lines_of(row):
    """(lines that are computed together, pixels of a line with those that fill the last block)."""
    wide = -(-row.wide // BLOCK) * BLOCK
    return min(row.high, max(1, 16 // wide)), wide


@part
def between(row, tall, kernels, places, line, lines, out):
    """Writes what the depthwise convolution makes of some lines: (channels, lines, pixels of a line)."""
    pitch, (many, wide) = (row.width + 2 * row.border) * W, lines_of(row)
    size, step = (row.height + 2 * row.border) * pitch, row.stride * W
    for u in range(row.kernel):
        for v in range(row.kernel):
            places[u * row.kernel + v] = row.dilation * (u * pitch + v * W)
    for c in range(row.channels):
        factors = after(kernels, row.depthwise + c * row.kernel**2)
        for i in range(lines):
            source = after(tall, c * size + (line + i) * row.stride * pitch)
            target = after(out, (c * many + i) * wide * W)
            for j in range(0, row.wide, BLOCK):
                a, b, e, d = weighted(after(source, j * step), start(places), factors, row.kernel**2, step)
                store(target, j * W, a)
                store(target, (j + 1) * W, b)
                store(target, (j + 2) * W, e)
                store(target, (j + 3) * W, d)


@part
def source_of(row, tall, line, buffer):
    """(what the pointwise convolution reads of a line, from one channel, line and pixel to the next)."""
    many, wide = lines_of(row)
    if row.kernel > 1:
        return buffer, many * wide * W, wide * W, W
    pitch = (row.width + 2 * row.border) * W
    first = after(tall, (line * row.stride + row.offset) * pitch + row.offset * W)
    return first, (row.height + 2 * row.border) * pitch, row.stride * pitch, row.stride * W


@part
def stage(row, tall, weights, places, buffer, y):
    """The stage of one copy."""
    many, _ = lines_of(row)
    kernels = start(weights)
    for line in range(0, row.high, many):
        lines = min(many, row.high - line)
        if row.kernel > 1:
            between(row, tall, kernels, places, line, lines, start(buffer))
        source, channel, down, step = source_of(row, tall, line, start(buffer))
        for o in range(0, row.outputs, BLOCK):
            factors = after(kernels, row.pointwise + o * row.channels)
            for i in range(lines):
                out = after(y, (o * row.high + line + i) * row.wide * W)
                for j in range(row.wide):
                    x = after(source, i * down + j * step)
                    product(
                        factors, row.channels, 1, row.channels, x, channel, after(out, j * W), row.high * row.wide * W
                    )


@part
def add_products(d, d_pitch, d_down, x, x_pitch, x_down, step, lines, wide, outputs, channels, sums):
    """sums[o, c] += the sum over pixels of d[o] * x[c], two by two."""
    for o in range(0, outputs, 2):
        for c in range(0, channels, 2):
            total, other = after(sums, (o * channels + c) * W), after(sums, ((o + 1) * channels + c) * W)
            a, b, e, f = load(total, 0), load(total, W), load(other, 0), load(other, W)
            for i in range(lines):
                d0, x0 = after(d, o * d_pitch + i * d_down), after(x, c * x_pitch + i * x_down)
                d1, x1 = after(d0, d_pitch), after(x0, x_pitch)
                for j in range(wide):
                    p, q, u, v = load(d0, j * W), load(d1, j * W), load(x0, j * step), load(x1, j * step)
                    a = fma(p, u, a)
                    b = fma(p, v, b)
                    e = fma(q, u, e)
                    f = fma(q, v, f)
            store(total, 0, a)
            store(total, W, b)
            store(other, 0, e)
            store(other, W, f)


@part
def correlate(row, tall, back, places, lanes, out):
    """out[c, t] = the sum over pixels of what a depthwise kernel read at its pixel t times the gradient of its
    result."""
    pitch, count = (row.width + 2 * row.border) * W, row.kernel**2
    beyond = -(-row.border // row.stride)
    back_pitch = (row.wide + 2 * beyond) * W
    step, last = row.stride * W, count - 1
    for u in range(row.kernel):
        for v in range(row.kernel):
            places[u * row.kernel + v] = row.dilation * (u * pitch + v * W)
    for c in range(row.channels):
        x = after(tall, c * (row.height + 2 * row.border) * pitch)
        d = after(back, c * (row.high + 2 * beyond) * back_pitch + beyond * (back_pitch + W))
        for t in range(0, count, 5):
            x0, x1 = after(x, places[t]), after(x, places[min(t + 1, last)])
            x2, x3, x4 = (
                after(x, places[min(t + 2, last)]),
                after(x, places[min(t + 3, last)]),
                after(x, places[min(t + 4, last)]),
            )
            a, b, e, f, g = zeros(x), zeros(x), zeros(x), zeros(x), zeros(x)
            for i in range(row.high):
                of, at = after(d, i * back_pitch), i * row.stride * pitch
                for j in range(row.wide):
                    v = load(of, j * W)
                    a = fma(v, load(x0, at + j * step), a)
                    b = fma(v, load(x1, at + j * step), b)
                    e = fma(v, load(x2, at + j * step), e)
                    f = fma(v, load(x3, at + j * step), f)
                    g = fma(v, load(x4, at + j * step), g)
            sums = (across(a, lanes), across(b, lanes), across(e, lanes), across(f, lanes), across(g, lanes))
            for more in range(min(5, count - t)):
                out[row.depthwise + c * count + t + more] = sums[more]


@part
def leave(row, x, scale, shift, kernels, back, places, factors, dx):
    """Writes, or adds, the gradient of what was read, where that is above zero: of each input pixel the sum over those
    results that it went into, by the same pixels of the kernel for all input pixels of one phase of the stride."""
    stride, size = row.stride, row.height * row.width * W
    beyond = -(-row.border // stride)
    pitch = (row.wide + 2 * beyond) * W
    back_size = (row.high + 2 * beyond) * pitch
    taps = places[64:]
    for down in range(stride):
        for along in range(stride):
            count = 0
            for u in range(row.kernel):
                for v in range(row.kernel):
                    i = down + row.border - row.offset - u * row.dilation
                    j = along + row.border - row.offset - v * row.dilation
                    if i % stride == 0 and j % stride == 0:
                        places[count] = (i // stride + beyond) * pitch + (j // stride + beyond) * W
                        taps[count] = u * row.kernel + v
                        count += 1
            if count == 0 and row.adds:
                continue
            wide, step = -(-(row.width - along) // stride), stride * W
            for c in range(row.channels):
                for t in range(count):
                    if row.kernel > 1:
                        factors[t] = value(kernels, row.depthwise + c * row.kernel**2 + taps[t])
                    else:
                        factors[t] = 1
                if row.map >= 0:
                    s, m = spread(value(scale, row.map + c)), spread(value(shift, row.map + c))
                else:
                    s, m = spread(factors.dtype.type(1)), zeros(x)
                for i in range(-(-(row.height - down) // stride)):
                    source = after(back, c * back_size + i * pitch)
                    at = c * size + ((i * stride + down) * row.width + along) * W
                    read, target = after(x, at), after(dx, at)
                    for j in range(0, wide, BLOCK):
                        sums = weighted(after(source, j * W), start(places), start(factors), count, W)
                        leave_one(read, target, j * step, s, m, sums[0], row.adds)
                        if j + 1 < wide:
                            leave_one(read, target, (j + 1) * step, s, m, sums[1], row.adds)
                        if j + 2 < wide:
                            leave_one(read, target, (j + 2) * step, s, m, sums[2], row.adds)
                        if j + 3 < wide:
                            leave_one(read, target, (j + 3) * step, s, m, sums[3], row.adds)


@part
def leave_one(x, dx, at, scale, shift, gradient, adds):
    left = where_positive(fma(load(x, at), scale, shift), gradient)
    if adds:
        left = plus(left, load(dx, at))
    store(dx, at, left)


@part
def stage_gradients(
    row, x, tall, scale, shift, weights, y, d, kept, entering, lanes, places, factors, buffers, dx, out
):  # fmt: skip
    """The gradients of a `stage` from that of its normalised result d: that of the result itself is
    entering[0] * kept * d + entering[1] * y + entering[2], by channel. Those of weights go to `out`."""
    change, buffer, back, sums = start(buffers[0]), start(buffers[1]), start(buffers[2]), start(buffers[3])
    many, wide = lines_of(row)
    kernels, beyond = start(weights), -(-row.border // row.stride)
    pitch = (row.wide + 2 * beyond) * W
    size = (row.high + 2 * beyond) * pitch
    if row.weighs:
        for i in range(row.outputs * row.channels):
            store(sums, i * W, zeros(x))
    for c in range(row.channels):
        frame(after(back, c * size), row.high, row.wide, beyond)
    for line in range(0, row.high, many):
        lines = min(many, row.high - line)
        for o in range(row.outputs):
            of_d, of_y = times(spread(entering[0, row.term + o]), kept), spread(entering[1, row.term + o])
            of_one = spread(entering[2, row.term + o])
            at = (o * row.high + line) * row.wide * W
            for i in range(lines):
                for j in range(row.wide):
                    p = at + (i * row.wide + j) * W
                    v = fma(load(d, p), of_d, fma(load(y, p), of_y, of_one))
                    store(change, ((o * many + i) * wide + j) * W, v)
        if row.reads or row.kernel > 1:
            for c in range(0, row.channels, BLOCK):
                factors_of = after(kernels, row.pointwise + c)
                for i in range(lines):
                    target = after(back, c * size + (line + i + beyond) * pitch + beyond * W)
                    for j in range(row.wide):
                        source = after(change, (i * wide + j) * W)
                        product(
                            factors_of,
                            1,
                            row.channels,
                            row.outputs,
                            source,
                            many * wide * W,
                            after(target, j * W),
                            size,
                        )
        if row.weighs:
            if row.kernel > 1:
                between(row, tall, kernels, places, line, lines, buffer)
            source, channel, down, step = source_of(row, tall, line, buffer)
            add_products(
                change,
                many * wide * W,
                wide * W,
                source,
                channel,
                down,
                step,
                lines,
                row.wide,
                row.outputs,
                row.channels,
                sums,
            )
    if row.weighs:
        for i in range(row.outputs * row.channels):
            out[row.pointwise + i] = across(load(sums, i * W), lanes)
        if row.kernel > 1:
            correlate(row, tall, back, places, lanes, out)
    if row.reads:
        leave(row, x, scale, shift, kernels, back, places, factors, dx)
