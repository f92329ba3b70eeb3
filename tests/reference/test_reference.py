"""The oracle itself, held against published numbers, closed forms and exact derivatives."""

import ast
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from reference import textbook
from reference.textbook import (
    SPACES,
    NetworkTextbook,
    SupernetTextbook,
    cross_entropy,
    discretize,
    drop_path,
    exact_unrolled_gradient,
    first_order_alpha_gradient,
    make_operation,
    search,
    search_epoch,
    second_order_alpha_gradient,
    set_noise_generator,
    unrolled_net,
)

SHARED = Path(__file__).resolve().parents[3] / "shared"
CHECKPOINT = SHARED / "official_supernet" / "s2_cifar10_randomnas_seed4.pt"
LOGS = SHARED / "robustdarts_logs" / "search_logs"

# Two nodes, five edges, all different.
TINY = [
    ["skip_connect", "sep_conv_3x3", "none"],
    ["avg_pool_3x3", "dil_conv_3x3", "skip_connect"],
    ["none", "sep_conv_5x5", "skip_connect"],
    ["skip_connect", "dil_conv_5x5", "avg_pool_3x3"],
    ["max_pool_3x3", "sep_conv_3x3", "skip_connect"],
]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def genotype(normal, reduce):
    concat = list(range(2, 2 + len(normal) // 2))
    return {
        "normal": normal,
        "reduce": reduce,
        "normal_concat": concat,
        "reduce_concat": concat,
    }


def tiny_net(seed=0):
    torch.manual_seed(seed)
    return SupernetTextbook({"normal": TINY, "reduce": TINY[::-1]}, channels=2, layers=3, classes=3, nodes=2).double()


def smoothed(module):
    """The same net without kinks: SiLU for ReLU, average pooling for max pooling."""
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, name, nn.SiLU())
        elif isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.AvgPool2d(3, child.stride, padding=1))
        else:
            smoothed(child)
    return module


def tiny_alphas(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [0.5 * torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2)]


def batch(seed, n=6, size=8):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, size, size, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (n,), generator=generator)


def random_buffers(net, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return [0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in net.parameters()]


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


# --- Networks ---------------------------------------------------------------------------------


@pytest.mark.skipif(
    not CHECKPOINT.exists(),
    reason=f"the official checkpoint is not beside the repository: {CHECKPOINT}",
)
def test_official_checkpoint_of_zela_et_al_loads_strictly_and_classifies():
    state = torch.load(CHECKPOINT, weights_only=True, map_location="cpu")
    net = SupernetTextbook(SPACES["S2"])
    net.load_state_dict(state, strict=True)
    ours = {k for k in net.state_dict() if not k.endswith("num_batches_tracked")}
    assert ours == set(state)
    one_path = F.one_hot(torch.ones(14, dtype=torch.long), 2).float()
    with torch.no_grad():
        logits = net.eval()(torch.randn(2, 3, 32, 32), one_path, one_path)
    assert logits.shape == (2, 10) and logits.isfinite().all()


@pytest.mark.parametrize(
    ("space", "count"),
    [("S1", 405146), ("S2", 665466), ("S3", 665466), ("S4", 624506), ("DARTS", 1930618)],
)
def test_supernet_has_the_published_number_of_parameters(space, count):
    assert sum(p.numel() for p in SupernetTextbook(SPACES[space]).parameters()) == count


@pytest.mark.skipif(not LOGS.exists(), reason=f"the official logs are not there: {LOGS}")
@pytest.mark.parametrize("space", ["S1", "S3"])
def test_every_genotype_in_the_official_logs_is_in_the_space(space):
    form = re.compile(r"Genotype\(normal=(\[.*?\]), .*reduce=(\[.*?\]),")
    found = 0
    for log in LOGS.glob(f"{space.lower()}/**/log_*.txt"):
        for genes in form.findall(log.read_text()):
            found += 1
            for kind, gene in zip(("normal", "reduce"), genes, strict=True):
                for k, (name, source) in enumerate(ast.literal_eval(gene)):
                    assert name in SPACES[space][kind][(0, 2, 5, 9)[k // 2] + source]
    assert found > 0


DARTS_V2 = genotype(  # 3.349342 MB in quark0's train.py, auxiliary head not counted
    [("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1)]
    + [("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2)],
    [("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1)]
    + [("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1)],
)
PDARTS = genotype(  # both counts: github.com/chenxin061/pdarts, issue 7
    [("skip_connect", 0), ("dil_conv_3x3", 1), ("skip_connect", 0), ("sep_conv_3x3", 1)]
    + [("sep_conv_3x3", 1), ("sep_conv_3x3", 3), ("sep_conv_3x3", 0), ("dil_conv_5x5", 4)],
    [("avg_pool_3x3", 0), ("sep_conv_5x5", 1), ("sep_conv_3x3", 0), ("dil_conv_5x5", 2)]
    + [("max_pool_3x3", 0), ("dil_conv_3x3", 1), ("dil_conv_3x3", 1), ("dil_conv_5x5", 3)],
)


@pytest.mark.parametrize(
    ("architecture", "auxiliary", "count"),
    [(DARTS_V2, False, 3349342), (PDARTS, False, 3433798), (PDARTS, True, 3910224)],
    ids=["DARTS_V2", "PDARTS", "PDARTS-auxiliary"],
)
def test_discrete_network_has_the_published_number_of_parameters(architecture, auxiliary, count):
    net = NetworkTextbook(architecture, 36, 20, 10, auxiliary)
    assert sum(p.numel() for p in net.parameters()) == count


def test_discrete_network_is_the_supernet_at_a_one_hot_mixing():
    # No pools here: after them only the supernet has a batch norm.
    names = ["none", "sep_conv_3x3", "dil_conv_5x5", "skip_connect"]
    genes, mixing = {}, {}
    generator = torch.Generator().manual_seed(3)
    for kind in ("normal", "reduce"):
        mixing[kind] = torch.zeros(9, 4)
        genes[kind] = []
        for node, first in enumerate((0, 2, 5)):
            for source in torch.randperm(node + 2, generator=generator)[:2].tolist():
                k = int(torch.randint(1, 4, (), generator=generator))
                genes[kind].append((names[k], source))
                mixing[kind][first + source, k] = 1.0
    supernet = SupernetTextbook({"normal": [names] * 9, "reduce": [names] * 9}, channels=4, layers=5, nodes=3)
    net = NetworkTextbook(genotype(**genes), 4, 5, 10, auxiliary=False)
    net.stem.load_state_dict(supernet.stem.state_dict())
    net.classifier.load_state_dict(supernet.classifier.state_dict())
    for cell, searched in zip(net.cells, supernet.cells, strict=True):
        kind = "reduce" if searched.reduction else "normal"
        cell.preprocess0.load_state_dict(searched.preprocess0.state_dict(), strict=False)
        cell.preprocess1.load_state_dict(searched.preprocess1.state_dict(), strict=False)
        for k, (name, source) in enumerate(genes[kind]):
            edge = (0, 2, 5)[k // 2] + source
            op = searched._ops[edge]._ops[names.index(name)]
            cell._ops[k].load_state_dict(op.state_dict(), strict=False)
    x = torch.randn(4, 3, 16, 16)
    expected = supernet(x, mixing["normal"], mixing["reduce"])
    torch.testing.assert_close(net(x)[0], expected, rtol=1e-4, atol=1e-5)


def test_auxiliary_head_answers_on_32x32_images_in_train_mode_only():
    net = NetworkTextbook(DARTS_V2, 4, 5, 7, auxiliary=True)
    x = torch.randn(2, 3, 32, 32)
    assert net(x)[1].shape == (2, 7)
    logits, auxiliary = net.eval()(x)
    assert logits.shape == (2, 7) and auxiliary is None


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", [*SPACES["DARTS"]["normal"][0], "noise", "sep_conv_7x7", "conv_7x1_1x7"])
def test_every_operation_divides_the_image_by_its_stride(name, stride):
    out = make_operation(name, 4, stride, affine=False)(torch.randn(2, 4, 8, 8))
    assert out.shape == (2, 4, 8 // stride, 8 // stride)


def test_average_pool_leaves_the_padding_out():
    ones = torch.ones(1, 4, 8, 8)
    torch.testing.assert_close(make_operation("avg_pool_3x3", 4, 1, False)(ones), ones)


@pytest.mark.parametrize(
    ("name", "reach"),
    [("sep_conv_3x3", 2), ("sep_conv_5x5", 4), ("dil_conv_3x3", 2), ("dil_conv_5x5", 4)],
)
def test_receptive_field_of_a_convolution_is_the_papers(name, reach):
    op = make_operation(name, 4, 1, False).eval()
    for p in op.parameters():  # positive, so that no ReLU hides a path
        p.data.fill_(0.1)
    x = torch.rand(1, 4, 17, 17, requires_grad=True)
    op(x)[0, :, 8, 8].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
    step = 2 if name.startswith("dil") else 1
    assert rows == list(range(8 - reach, 9 + reach, step))


def test_factorized_reduce_reads_two_interleaved_grids():
    op = make_operation("skip_connect", 4, 2, False).eval()
    x = torch.rand(1, 4, 8, 8, requires_grad=True)
    for half, grid in ((slice(0, 2), [[2, 4]]), (slice(2, 4), [[3, 5]])):
        (gradient,) = torch.autograd.grad(op(x)[0, half, 1, 2].sum(), x)
        assert gradient.abs().sum((0, 1)).nonzero().tolist() == grid


@pytest.mark.parametrize(
    "op",
    [
        textbook.SepConv(4, 3, 1, False),
        textbook.DilConv(4, 5, 2, False),
        textbook.FactorizedReduce(4, 4, False),
        textbook.ReLUConvBN(4, 4, False),
    ],
    ids=lambda op: type(op).__name__,
)
def test_every_layer_with_weights_begins_with_a_relu(op):
    x = torch.rand(2, 4, 8, 8)
    assert op.eval()(x).abs().max() > 0
    assert (op(-x) == 0).all()


def test_noise_ignores_its_input_and_is_fresh_in_eval_mode():
    op = make_operation("noise", 4, 2, affine=False).eval()
    set_noise_generator(op, torch.Generator().manual_seed(0))
    x = torch.full((8, 4, 64, 64), 1e6, requires_grad=True)
    first, second = op(x), op(x)
    assert not first.requires_grad and not torch.equal(first, second)
    assert abs(first.mean()) < 0.02 and abs(first.std() - 1) < 0.02


def test_mixing_is_linear_and_none_adds_nothing():
    mixed = textbook.MixedOp(["none", "skip_connect", "max_pool_3x3"], 2, 1)
    x = torch.randn(3, 2, 8, 8)
    pooled = F.batch_norm(F.max_pool2d(x, 3, 1, 1), None, None, training=True)
    torch.testing.assert_close(mixed(x, torch.tensor([0.5, 0.2, 0.3])), 0.2 * x + 0.3 * pooled)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    out = drop_path(torch.ones(20000, 2, 2, 2), 0.3, torch.Generator().manual_seed(0))
    per_sample = out.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert sorted(per_sample.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    assert out.mean().item() == pytest.approx(1, abs=0.02)


def test_drop_path_spares_identities_and_eval_mode():
    skips = [("skip_connect", 0), ("skip_connect", 1)]
    states = torch.randn(4, 8, 8, 8), torch.randn(4, 8, 8, 8)
    cell = textbook.DiscreteCell(skips, [2], 8, 8, 8, False, False)
    torch.testing.assert_close(cell(*states, 0.9), cell(*states, 0.0))
    strided = textbook.DiscreteCell(skips, [2], 8, 8, 8, True, False)
    assert (strided(*states, 0.9) - strided(*states, 0.0)).abs().max() > 0.1
    strided.eval()
    torch.testing.assert_close(strided(*states, 0.9), strided(*states, 0.0))


# --- Discretization ---------------------------------------------------------------------------


def test_discretize_keeps_the_two_strongest_edges_in_order_of_strength():
    ops = [["none", "a", "b"]] * 5
    weights = torch.tensor(
        [[0.1, 0.5, 0.4], [0.0, 0.4, 0.6]]  # node 0: b from 1, then a from 0
        + [[0.9, 0.0, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]]  # `none` hides edge 0
    )
    assert discretize(weights, ops, nodes=2) == [("b", 1), ("a", 0), ("a", 1), ("b", 2)]


def test_discretize_gives_ties_to_the_lower_index():
    ops = [["a", "none", "b"]] * 5
    assert discretize(torch.full((5, 3), 1 / 3), ops, nodes=2) == [("a", 0), ("a", 1)] * 2


# --- Gradients --------------------------------------------------------------------------------


def test_first_order_gradient_equals_finite_differences():
    net, alphas, valid = smoothed(tiny_net()), tiny_alphas(), batch(0)
    gradients = first_order_alpha_gradient(net, alphas, valid)
    h = 1e-5
    for kind, edge, k in [(0, 0, 1), (0, 4, 0), (1, 2, 2), (1, 3, 1)]:
        losses = []
        for sign in (+1, -1):
            moved = [alpha.clone() for alpha in alphas]
            moved[kind][edge, k] += sign * h
            losses.append(cross_entropy(net, moved, valid).item())
        expected = (losses[0] - losses[1]) / (2 * h)
        assert gradients[kind][edge, k].item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


def exact_of_net(net, alphas, train, valid, eta, buffers, momentum, weight_decay):
    """exact_unrolled_gradient of a net: its parameters and alphas as two flat tensors."""
    named = dict(net.named_parameters())

    def loss(data):
        def function(w, alpha):
            parts = w.split([p.numel() for p in named.values()])
            weights = {n: v.view_as(p) for (n, p), v in zip(named.items(), parts, strict=True)}
            mixing = [F.softmax(a.view(5, 3), -1) for a in alpha.split(15)]
            return F.cross_entropy(functional_call(net, weights, (data[0], *mixing)), data[1])

        return function

    return exact_unrolled_gradient(
        loss(train), loss(valid), flat(named.values()), flat(alphas), eta, flat(buffers),
        momentum, weight_decay,
    )  # fmt: skip


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def test_second_order_gradient_equals_exact_double_backward_on_a_smooth_net():
    net, alphas, train, valid = smoothed(tiny_net()), tiny_alphas(), batch(0), batch(1)
    setting = (0.3, random_buffers(net), 0.9, 0.05)  # eta, buffers, momentum, weight decay
    exact = exact_of_net(net, alphas, train, valid, *setting)
    found = second_order_alpha_gradient(net, alphas, train, valid, *setting, epsilon=1e-5)
    assert relative_error(flat(found), exact) < 1e-6
    # The correction is large enough to see: neither half alone is the gradient.
    direct = first_order_alpha_gradient(unrolled_net(net, alphas, train, *setting), alphas, valid)
    assert relative_error(flat(direct), exact) > 0.01
    # The papers' step is a central difference: its error falls with the square of epsilon.
    errors = [
        relative_error(flat(second_order_alpha_gradient(net, alphas, train, valid, *setting, epsilon=e)), exact)
        for e in (0.01, 0.001)
    ]
    assert errors[0] < 0.01
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.2)


def test_exact_unrolled_gradient_equals_the_closed_form_of_a_quadratic():
    # L_train = |w|^2/2 - w.A alpha, L_valid = |w|^2/2 + c.alpha:
    # w' = w - eta (mu b + w - A alpha + wd w), d/d alpha = eta A^T w' + c.
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    w, b = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    alpha, c = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    found = exact_unrolled_gradient(
        lambda w, alpha: w @ w / 2 - w @ a @ alpha,
        lambda w, alpha: w @ w / 2 + c @ alpha,
        w, alpha, eta=0.2, buffer=b, momentum=0.9, weight_decay=0.1,
    )  # fmt: skip
    unrolled = w - 0.2 * (0.9 * b + w - a @ alpha + 0.1 * w)
    torch.testing.assert_close(found, 0.2 * a.T @ unrolled + c)


@pytest.mark.parametrize("order", [1, 2])
def test_alpha_gradients_leave_weights_and_running_statistics_bit_for_bit(order):
    net, alphas, train, valid = tiny_net(), tiny_alphas(), batch(0), batch(1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    if order == 1:
        first_order_alpha_gradient(net, alphas, valid)
    else:
        second_order_alpha_gradient(net, alphas, train, valid, 0.1)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in net.parameters())


def test_second_order_gradient_without_a_step_is_the_first_order_one():
    net, alphas, train, valid = tiny_net(), tiny_alphas(), batch(0), batch(1)
    second = second_order_alpha_gradient(net, alphas, train, valid, eta=0.0)
    torch.testing.assert_close(flat(second), flat(first_order_alpha_gradient(net, alphas, valid)))


def test_unrolled_net_is_one_step_of_torchs_sgd():
    net, alphas, train = tiny_net(), tiny_alphas(), batch(0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.05)
    cross_entropy(net, alphas, batch(5)).backward()
    optimizer.step()
    buffers = [optimizer.state[p]["momentum_buffer"].clone() for p in net.parameters()]
    unrolled = unrolled_net(net, alphas, train, 0.02, buffers, 0.9, 0.05)
    optimizer.param_groups[0]["lr"] = 0.02
    optimizer.zero_grad()
    cross_entropy(net, alphas, train).backward()
    optimizer.step()
    torch.testing.assert_close(flat(unrolled.parameters()), flat(net.parameters()))


# --- Search -----------------------------------------------------------------------------------


def test_two_steps_are_adam_on_alpha_and_then_clipped_sgd_on_w_by_hand():
    net, alphas = tiny_net(), tiny_alphas()
    train, valid, lrs = [batch(0), batch(1)], [batch(2), batch(3)], [0.1, 0.03]
    wd, alpha_wd, alpha_lr, clip = 0.05, 0.3, 0.02, 0.01
    found, after = search(
        net, alphas, [[b] for b in train], [[b] for b in valid], lrs, weight_decay=wd,
        alpha_lr=alpha_lr, alpha_weight_decay=alpha_wd, clip=clip,
    )  # fmt: skip
    alpha, buf, mean, square = flat(alphas), 0.0, 0.0, 0.0
    for t in (1, 2):
        shaped = [a.view(5, 3) for a in alpha.split(15)]
        g = flat(first_order_alpha_gradient(net, shaped, valid[t - 1])) + alpha_wd * alpha
        mean = 0.5 * mean + 0.5 * g
        square = 0.999 * square + 0.001 * g**2
        unbiased = mean / (1 - 0.5**t), square / (1 - 0.999**t)
        alpha = alpha - alpha_lr * unbiased[0] / (unbiased[1].sqrt() + 1e-8)

        w = list(net.parameters())
        shaped = [a.view(5, 3) for a in alpha.split(15)]
        g = flat(torch.autograd.grad(cross_entropy(net, shaped, train[t - 1]), w))
        assert g.norm() > clip
        buf = 0.9 * buf + g * clip / (g.norm() + 1e-6) + wd * flat(w)
        nn.utils.vector_to_parameters(flat(w) - lrs[t - 1] * buf, w)
    torch.testing.assert_close(flat(found), alpha)
    torch.testing.assert_close(flat(after.parameters()), flat(net.parameters()))


def test_second_order_step_unrolls_with_the_optimizers_momentum_and_learning_rate():
    net, train, valid = tiny_net(), [batch(0), batch(1)], [batch(2), batch(3)]
    alphas = [alpha.requires_grad_() for alpha in tiny_alphas()]
    sgd = torch.optim.SGD(net.parameters(), lr=9.0, momentum=0.9, weight_decay=0.05)
    adam = torch.optim.Adam(alphas, lr=0.02, betas=(0.5, 0.999))
    search_epoch(net, alphas, sgd, adam, train[:1], valid[:1], 0.1, order=2)
    buffers = [sgd.state[p]["momentum_buffer"] for p in net.parameters()]
    expected = second_order_alpha_gradient(net, alphas, train[1], valid[1], 0.07, buffers, 0.9, 0.05)
    search_epoch(net, alphas, sgd, adam, train[1:], valid[1:], 0.07, order=2)
    torch.testing.assert_close(flat(a.grad for a in alphas), flat(expected), rtol=0, atol=0)


@pytest.mark.parametrize("order", [1, 2])
def test_search_repeats_itself_and_leaves_its_arguments_alone(order):
    net, alphas = tiny_net(), tiny_alphas()
    before = flat([*net.parameters(), *alphas])
    train, valid = [[batch(0)], [batch(1)]], [[batch(2)], [batch(3)]]
    first = search(net, alphas, train, valid, [0.1, 0.05], order=order)
    second = search(net, alphas, train, valid, [0.1, 0.05], order=order)
    assert torch.equal(flat(first[0]), flat(second[0]))
    assert not torch.equal(flat(first[0]), flat(alphas))
    assert torch.equal(flat([*net.parameters(), *alphas]), before)
    assert torch.equal(flat(first[1].parameters()), flat(second[1].parameters()))


def test_noise_space_searches_the_same_twice_from_the_same_generator():
    edges = {kind: [["noise", "sep_conv_3x3"]] * 5 for kind in ("normal", "reduce")}
    net = SupernetTextbook(edges, channels=2, layers=3, classes=3, nodes=2).double()
    alphas = [torch.zeros(5, 2, dtype=torch.float64)] * 2
    results = []
    for seed in (0, 0, 1):
        set_noise_generator(net, torch.Generator().manual_seed(seed))
        results.append(flat(search(net, alphas, [[batch(0)]], [[batch(1)]], [0.1], order=2)[0]))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
