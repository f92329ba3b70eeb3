"""DARTS as its papers define it, in plain loops: the oracle of the tests.

Liu et al., "DARTS: Differentiable Architecture Search" (ICLR 2019, quark0/darts) gives the
operations, the cell, both networks and the bilevel step; Zela et al., "Understanding and
Robustifying Differentiable Architecture Search" (ICLR 2020) gives the spaces S1 to S4 and the
noise operation. Attribute names are those of quark0/darts, so that its state dicts load.
Nothing here is fast and nothing here imports darts_lab.
"""

import copy
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

# --- Search spaces: per cell type, the candidate operations of every edge ---------------------
# Edge order: for node i = 0, 1, ..., for input j = 0 .. i+1 (0 = c_{k-2}, 1 = c_{k-1}, 2 = node 0).

_SHORT = {
    "none": "none",
    "noise": "noise",
    "skip": "skip_connect",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


def _edges(text):
    """'skip dil3, max avg' -> [['skip_connect', 'dil_conv_3x3'], [...]]: one list per edge."""
    return [[_SHORT[name] for name in edge.split()] for edge in text.split(",")]


def _everywhere(edge):
    return {"normal": _edges(edge) * 14, "reduce": _edges(edge) * 14}


SPACES = {  # Zela et al. 2020, appendix B; one line per node
    "S1": {
        "normal": _edges(
            "skip dil3, skip dil5,"
            "skip dil5, skip sep3, skip dil3,"
            "max skip, skip sep3, skip sep3, skip dil3,"
            "skip sep3, max skip, skip dil3, dil3 dil5, dil3 dil5"
        ),
        "reduce": _edges(
            "max avg, max dil3,"
            "max avg, max avg, skip dil5,"
            "max avg, max sep3, skip dil3, skip dil5,"
            "max avg, max avg, skip dil5, skip dil5, skip dil5"
        ),
    },
    "S2": _everywhere("skip sep3"),
    "S3": _everywhere("none skip sep3"),
    "S4": _everywhere("noise sep3"),
    "DARTS": _everywhere("none max avg skip sep3 sep5 dil3 dil5"),
}


# --- Operations (quark0/darts, cnn/operations.py; noise: Zela et al. 2020) --------------------


class Zero(nn.Module):
    """`none`: zeros of the output's shape."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class Identity(nn.Module):
    def forward(self, x):
        return x


class Noise(nn.Module):
    """S4's `noise`: N(0, 1) of the output's shape, drawn afresh in train and in eval mode.

    `generator` is a torch.Generator, None the global one; `set_noise_generator` sets a net's.
    """

    def __init__(self, stride, generator=None):
        super().__init__()
        self.stride, self.generator = stride, generator

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)

    def __deepcopy__(self, memo):  # a copied net goes on drawing from the same stream
        return Noise(self.stride, self.generator)


class FactorizedReduce(nn.Module):
    """`skip_connect` with stride 2: two 1x1 convolutions, one on the grid shifted by a pixel.

    Height and width must be even.
    """

    def __init__(self, channels_in, channels_out, affine):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x):
        x = self.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


class ReLUConvBN(nn.Module):
    def __init__(self, channels_in, channels_out, affine):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out, affine=affine),
        )

    def forward(self, x):
        return self.op(x)


def _relu_dw_pw_bn(channels, kernel, stride, dilation, affine):
    """ReLU, depthwise convolution, 1x1 convolution, batch norm, as a list of modules."""
    padding = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return [nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels, affine=affine)]


class SepConv(nn.Module):
    """ReLU-dw-pw-BN twice; the stride is in the first."""

    def __init__(self, channels, kernel, stride, affine):
        super().__init__()
        first = _relu_dw_pw_bn(channels, kernel, stride, 1, affine)
        second = _relu_dw_pw_bn(channels, kernel, 1, 1, affine)
        self.op = nn.Sequential(*first, *second)

    def forward(self, x):
        return self.op(x)


class DilConv(nn.Module):
    """ReLU-dw-pw-BN once, with dilation 2."""

    def __init__(self, channels, kernel, stride, affine):
        super().__init__()
        self.op = nn.Sequential(*_relu_dw_pw_bn(channels, kernel, stride, 2, affine))

    def forward(self, x):
        return self.op(x)


def set_noise_generator(net, generator):
    """Let every noise operation of the net draw from `generator`, in the order of execution."""
    for module in net.modules():
        if isinstance(module, Noise):
            module.generator = generator


def make_operation(name, channels, stride, affine):
    """The operation `name`, (N, C, H, W) -> (N, C, H/stride, W/stride); pools without BN."""
    if name == "none":
        return Zero(stride)
    if name == "noise":
        return Noise(stride)
    if name == "skip_connect":
        return Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, padding=1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    if name == "conv_7x1_1x7":
        row = nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False)
        column = nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False)
        return nn.Sequential(nn.ReLU(), row, column, nn.BatchNorm2d(channels, affine=affine))
    if name in ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"):
        return SepConv(channels, int(name[-1]), stride, affine)
    if name in ("dil_conv_3x3", "dil_conv_5x5"):
        return DilConv(channels, int(name[-1]), stride, affine)
    raise ValueError(f"operation: {name!r} is not known")


# --- The supernet (quark0/darts, cnn/model_search.py) -----------------------------------------


class MixedOp(nn.Module):
    """The continuous relaxation of one edge: o(x) = sum_k weights[k] o_k(x) (Liu et al., eq. 2)."""

    def __init__(self, names, channels, stride):
        super().__init__()
        self._ops = nn.ModuleList()
        for name in names:
            op = make_operation(name, channels, stride, affine=False)
            if "pool" in name:
                op = nn.Sequential(op, nn.BatchNorm2d(channels, affine=False))
            self._ops.append(op)

    def forward(self, x, weights):
        return sum(w * op(x) for w, op in zip(weights, self._ops, strict=True))


def _preprocessing(c_prev_prev, c_prev, channels, reduction_prev, affine):
    """The two input layers of a cell; after a reduction the older input is twice too large."""
    first = FactorizedReduce if reduction_prev else ReLUConvBN
    return first(c_prev_prev, channels, affine), ReLUConvBN(c_prev, channels, affine)


class Cell(nn.Module):
    """A cell of the supernet; its output is the concatenation of all its nodes."""

    def __init__(self, edge_ops, nodes, c_prev_prev, c_prev, channels, reduction, reduction_prev):
        super().__init__()
        self.nodes, self.reduction = nodes, reduction
        self.preprocess0, self.preprocess1 = _preprocessing(c_prev_prev, c_prev, channels, reduction_prev, affine=False)
        inputs = [j for i in range(nodes) for j in range(i + 2)]
        self._ops = nn.ModuleList()
        for j, names in zip(inputs, edge_ops, strict=True):
            stride = 2 if reduction and j < 2 else 1
            self._ops.append(MixedOp(names, channels, stride))

    def forward(self, s0, s1, weights):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        edge = 0
        for _ in range(self.nodes):
            total = 0
            for j in range(len(states)):
                total = total + self._ops[edge + j](states[j], weights[edge + j])
            edge += len(states)
            states.append(total)
        return torch.cat(states[2:], dim=1)


class SupernetTextbook(nn.Module):
    """The search network: net(x, weights_normal, weights_reduce) -> logits (N, classes).

    `edges_ops` is one of SPACES or of that form; the weights are (edges, operations).
    Cells layers//3 and 2*layers//3 are reductions.
    """

    def __init__(
        self,
        edges_ops,
        channels=16,
        layers=8,
        classes=10,
        nodes=4,
        stem_multiplier=3,
        in_channels=3,
    ):
        super().__init__()
        c_prev_prev = c_prev = stem_multiplier * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, c_prev, 3, padding=1, bias=False), nn.BatchNorm2d(c_prev))
        self.cells = nn.ModuleList()
        reduction_prev = False
        for index in range(layers):
            reduction = index in (layers // 3, 2 * layers // 3)
            if reduction:
                channels = 2 * channels
            edge_ops = edges_ops["reduce" if reduction else "normal"]
            self.cells.append(Cell(edge_ops, nodes, c_prev_prev, c_prev, channels, reduction, reduction_prev))
            c_prev_prev, c_prev, reduction_prev = c_prev, nodes * channels, reduction
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(c_prev, classes)

    def forward(self, x, weights_normal, weights_reduce):
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            weights = weights_reduce if cell.reduction else weights_normal
            s0, s1 = s1, cell(s0, s1, weights)
        return self.classifier(self.global_pooling(s1).flatten(1))


# --- The discrete network (quark0/darts, cnn/model.py) ----------------------------------------


def discretize(weights, edge_ops, nodes):
    """The cell's gene: [(operation, source), ...], two per node, the stronger edge first.

    Per node the two incoming edges with the largest weight of an operation other than `none`,
    each with that operation (Liu et al., section 2.4). Ties go to the lower index.
    """
    gene, edge = [], 0
    for node in range(nodes):
        best = []  # (weight, operation, source) of every incoming edge
        for source in range(node + 2):
            row = zip(weights[edge + source], edge_ops[edge + source], strict=True)
            candidates = [(float(w), name) for w, name in row if name != "none"]
            best.append((*max(candidates, key=lambda c: c[0]), source))
        best.sort(key=lambda b: -b[0])  # stable
        gene += [(name, source) for _, name, source in best[:2]]
        edge += node + 2
    return gene


def drop_path(x, p, generator=None):
    """Zero the whole of each sample with probability p, divide the kept ones by 1 - p."""
    keep = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < 1 - p
    return x / (1 - p) * keep


class DiscreteCell(nn.Module):
    """Of pairs (operation, source), two a node, or of triples (operation, state it leads to, source)."""

    def __init__(self, gene, concat, c_prev_prev, c_prev, channels, reduction, reduction_prev):
        super().__init__()
        self.sources, self.concat = [edge[-1] for edge in gene], list(concat)
        self.leads_to = [edge[1] if len(edge) == 3 else 2 + k // 2 for k, edge in enumerate(gene)]
        self.preprocess0, self.preprocess1 = _preprocessing(c_prev_prev, c_prev, channels, reduction_prev, affine=True)
        self._ops = nn.ModuleList()
        for name, *_, source in gene:
            stride = 2 if reduction and source < 2 else 1
            self._ops.append(make_operation(name, channels, stride, affine=True))

    def forward(self, s0, s1, p):
        states = {0: self.preprocess0(s0), 1: self.preprocess1(s1)}
        for k, state in enumerate(self.leads_to):
            h = self._ops[k](states[self.sources[k]])
            if self.training and p > 0 and not isinstance(self._ops[k], Identity):
                h = drop_path(h, p)
            states[state] = states[state] + h if state in states else h
        return torch.cat([states[k] for k in self.concat], dim=1)


class AuxiliaryHead(nn.Module):
    """The second classifier, on 8x8 features (32x32 images).

    The first ReLU of quark0/darts is in place, and so reaches the next cells' input too: they
    begin with a ReLU themselves, hence the same function for every network of 4 cells or more.
    """

    def __init__(self, channels, classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3, padding=0, count_include_pad=False),  # 8x8 -> 2x2
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),  # 2x2 -> 1x1
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class NetworkTextbook(nn.Module):
    """The network of one genotype: net(x, drop_path_prob) -> (logits, auxiliary logits or None).

    `genotype` is a dict with `normal` and `reduce`, lists as `DiscreteCell` takes them,
    and `normal_concat` and `reduce_concat`, the states that form the output (inputs are 0 and 1).
    The auxiliary head sits on cell 2*layers//3 and answers in train mode only.
    """

    def __init__(self, genotype, channels, layers, classes, auxiliary, stem_multiplier=3, in_channels=3):
        super().__init__()
        c_prev_prev = c_prev = stem_multiplier * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, c_prev, 3, padding=1, bias=False), nn.BatchNorm2d(c_prev))
        self.cells = nn.ModuleList()
        self.auxiliary_index = 2 * layers // 3
        reduction_prev = False
        for index in range(layers):
            reduction = index in (layers // 3, 2 * layers // 3)
            if reduction:
                channels = 2 * channels
            kind = "reduce" if reduction else "normal"
            gene, concat = genotype[kind], genotype[f"{kind}_concat"]
            self.cells.append(DiscreteCell(gene, concat, c_prev_prev, c_prev, channels, reduction, reduction_prev))
            c_prev_prev, c_prev, reduction_prev = c_prev, len(concat) * channels, reduction
            if auxiliary and index == self.auxiliary_index:
                self.auxiliary_head = AuxiliaryHead(c_prev, classes)
        self.auxiliary = auxiliary
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(c_prev, classes)

    def forward(self, x, drop_path_prob=0.0):
        auxiliary_logits = None
        s0 = s1 = self.stem(x)
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, drop_path_prob)
            if self.auxiliary and self.training and index == self.auxiliary_index:
                auxiliary_logits = self.auxiliary_head(s1)
        return self.classifier(self.global_pooling(s1).flatten(1)), auxiliary_logits


# --- The bilevel search (Liu et al. 2019, section 2.3; quark0/darts, cnn/architect.py) --------
# `net` is any module with net(x, *mixing) -> logits, `alphas` a list of raw (edges, operations)
# tensors, one per cell type, a batch is (x, y).


def cross_entropy(net, alphas, batch):
    """The loss at mixing = softmax(alpha): no decay term, mean over the batch."""
    x, y = batch
    return F.cross_entropy(net(x, *[F.softmax(alpha, dim=-1) for alpha in alphas]), y)


def _gradients(loss, tensors):
    # A net of two cells has no normal cell: its normal alphas get zeros.
    return list(torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True))


@contextmanager
def _buffers_kept(net):
    """Running statistics as they were: they take no part in train-mode outputs."""
    saved = [buffer.clone() for buffer in net.buffers()]
    try:
        yield
    finally:
        for buffer, value in zip(net.buffers(), saved, strict=True):
            buffer.copy_(value)


def first_order_alpha_gradient(net, alphas, valid_batch):
    """Gradient of L_val(w, alpha) with respect to every raw alpha, w held fixed."""
    alphas = [alpha.detach().requires_grad_() for alpha in alphas]
    with _buffers_kept(net):
        return _gradients(cross_entropy(net, alphas, valid_batch), alphas)


def unrolled_net(net, alphas, train_batch, eta, momentum_buffers, momentum, weight_decay):
    """A copy of the net at w' = w - eta (momentum buf + grad_w L_train(w, alpha) + wd w)."""
    w = list(net.parameters())
    if momentum_buffers is None:
        momentum_buffers = [torch.zeros_like(p) for p in w]
    with _buffers_kept(net):
        gradients = _gradients(cross_entropy(net, alphas, train_batch), w)
    unrolled = copy.deepcopy(net)
    with torch.no_grad():
        for q, p, g, buf in zip(unrolled.parameters(), w, gradients, momentum_buffers, strict=True):
            q.copy_(p - eta * (momentum * buf + g + weight_decay * p))
    return unrolled


def second_order_alpha_gradient(
    net,
    alphas,
    train_batch,
    valid_batch,
    eta,
    momentum_buffers=None,
    momentum=0.9,
    weight_decay=3e-4,
    epsilon=0.01,
):
    """Gradient of L_val(w'(alpha), alpha) with respect to every raw alpha (Liu et al., eq. 7, 8).

    grad_alpha L_val(w', alpha)
      - eta (grad_alpha L_train(w+, alpha) - grad_alpha L_train(w-, alpha)) / (2 R)
    with w+- = w +- R v, v = grad_w' L_val(w', alpha), R = epsilon / ||v||.
    Weights and running statistics of the net are left as they were, bit for bit. Forward passes
    (and so draws of noise) in order: train at w, valid at w', train at w+, train at w-.
    """
    alphas = [alpha.detach().requires_grad_() for alpha in alphas]
    unrolled = unrolled_net(net, alphas, train_batch, eta, momentum_buffers, momentum, weight_decay)
    w, w_unrolled = list(net.parameters()), list(unrolled.parameters())
    gradients = _gradients(cross_entropy(unrolled, alphas, valid_batch), alphas + w_unrolled)
    direct, v = gradients[: len(alphas)], gradients[len(alphas) :]

    radius = epsilon / torch.cat([part.flatten() for part in v]).norm()
    saved = [p.detach().clone() for p in w]

    def alpha_gradient_at(step):  # of L_train at w + step * v
        with torch.no_grad():
            for p, p0, part in zip(w, saved, v, strict=True):
                p.copy_(p0 + step * part)
        return _gradients(cross_entropy(net, alphas, train_batch), alphas)

    with _buffers_kept(net):
        plus, minus = alpha_gradient_at(+radius), alpha_gradient_at(-radius)
    with torch.no_grad():
        for p, p0 in zip(w, saved, strict=True):
            p.copy_(p0)
    return [d - eta * (up - down) / (2 * radius) for d, up, down in zip(direct, plus, minus, strict=True)]


def exact_unrolled_gradient(loss_train, loss_valid, w, alpha, eta, buffer=None, momentum=0.0, weight_decay=0.0):
    """d/d alpha of L_val(w'(alpha), alpha), exactly, by double backward.

    w'(alpha) = w - eta (momentum buffer + grad_w L_train(w, alpha) + weight_decay w); the losses
    are twice differentiable functions of two flat tensors (w, alpha). Meant for float64.
    """
    w, alpha = w.detach().requires_grad_(), alpha.detach().requires_grad_()
    buffer = torch.zeros_like(w) if buffer is None else buffer
    (gradient,) = torch.autograd.grad(loss_train(w, alpha), w, create_graph=True)
    unrolled = w - eta * (momentum * buffer + gradient + weight_decay * w)
    (result,) = torch.autograd.grad(loss_valid(unrolled, alpha), alpha)
    return result


def search_epoch(
    net,
    alphas,
    w_optimizer,
    alpha_optimizer,
    train_batches,
    valid_batches,
    lr,
    *,
    order=1,
    clip=5.0,
    epsilon=0.01,
):
    """One epoch of Algorithm 1 (Liu et al. 2019), in place: per step first alpha, then w.

    `lr` is the epoch's learning rate of w, and the eta of the unrolled step.
    """
    net.train()
    group = w_optimizer.param_groups[0]
    group["lr"] = lr
    for train_batch, valid_batch in zip(train_batches, valid_batches, strict=True):
        if order == 1:
            gradients = first_order_alpha_gradient(net, alphas, valid_batch)
        else:
            buffers = []
            for p in net.parameters():
                buf = w_optimizer.state[p].get("momentum_buffer")
                buffers.append(torch.zeros_like(p) if buf is None else buf)
            gradients = second_order_alpha_gradient(
                net,
                alphas,
                train_batch,
                valid_batch,
                lr,
                buffers,
                group["momentum"],
                group["weight_decay"],
                epsilon,
            )
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
        alpha_optimizer.step()

        w_optimizer.zero_grad()
        cross_entropy(net, [alpha.detach() for alpha in alphas], train_batch).backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        w_optimizer.step()


def search(
    net,
    alphas,
    train_batches,
    valid_batches,
    lrs,
    *,
    order=1,
    momentum=0.9,
    weight_decay=3e-4,
    alpha_lr=3e-4,
    alpha_weight_decay=1e-3,
    clip=5.0,
    epsilon=0.01,
):
    """A whole search; returns (alphas, net), new ones: those given are left as they were.

    `train_batches[epoch][step]` and `valid_batches[epoch][step]` are the batches, `lrs[epoch]`
    the learning rates of w.
    """
    net = copy.deepcopy(net)
    alphas = [alpha.detach().clone().requires_grad_() for alpha in alphas]
    w_optimizer = torch.optim.SGD(net.parameters(), lr=lrs[0], momentum=momentum, weight_decay=weight_decay)
    alpha_optimizer = torch.optim.Adam(alphas, lr=alpha_lr, betas=(0.5, 0.999), weight_decay=alpha_weight_decay)
    for train, valid, lr in zip(train_batches, valid_batches, lrs, strict=True):
        search_epoch(
            net,
            alphas,
            w_optimizer,
            alpha_optimizer,
            train,
            valid,
            lr,
            order=order,
            clip=clip,
            epsilon=epsilon,
        )
    return [alpha.detach() for alpha in alphas], net
