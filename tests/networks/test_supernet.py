"""The supernet as a function of its mixing weights and the network of one genotype, held against the textbook."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from reference import textbook
from torch import nn

import darts_lab as dl
from darts_lab import spaces
from darts_lab.genotype import random_genotype
from darts_lab.interop import official
from darts_lab.networks.assembly import frozen_statistics
from darts_lab.networks.costs import parameter_count
from darts_lab.networks.images import Network, Supernet
from darts_lab.networks.operations import MOMENTUM

CHANNELS, LAYERS, CLASSES, BATCH = 4, 5, 10, 6  # normal, reduce, normal, reduce, normal
S2_SMALL, S3_SMALL = spaces.S2.with_nodes(2), spaces.S3.with_nodes(2)

IMAGES = [name for name, space in spaces.SPACES.items() if space.cell_types == spaces.CELL_TYPES]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def supernet_of(space, layers=LAYERS, dtype=torch.float64):
    return Supernet(space, channels=CHANNELS, layers=layers, classes=CLASSES, generator=seeded()).to(dtype)


def pair(space, layers=LAYERS, dtype=torch.float64):
    """(ours, the textbook's) supernet with the same weights and the same running statistics, none of them trivial."""
    torch.manual_seed(1)
    edges = {cell_type: space.cell(cell_type) for cell_type in spaces.CELL_TYPES}
    theirs = textbook.SupernetTextbook(edges, CHANNELS, layers, CLASSES, space.nodes).to(dtype)
    scatter(theirs)
    share_pool_statistics(theirs)
    ours = supernet_of(space, layers, dtype)
    official.load_state_dict(ours, theirs.state_dict())
    return ours, theirs


@torch.no_grad()
def scatter(network):
    """Scales, shifts and running statistics as after some training, so that no mistake in them can hide."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)


def share_pool_statistics(supernet):
    """What training brings about by itself: pools of one kind see the same state on all edges that leave it."""
    for cell in supernet.cells:
        first = {}
        for mixed, source in zip(cell._ops, [j for i in range(cell.nodes) for j in range(i + 2)], strict=True):
            for operation in mixed._ops:
                if isinstance(operation, nn.Sequential):
                    norm = first.setdefault((source, type(operation[0])), operation[1])
                    operation[1].load_state_dict(norm.state_dict())


def batch(dtype=torch.float64, size=8, seed=2):
    generator = seeded(seed)
    x = torch.randn(BATCH, 3, size, size, generator=generator, dtype=dtype)
    return x, torch.randint(CLASSES, (BATCH,), generator=generator)


def random_mixing(space, dtype=torch.float64, seed=3):
    return torch.randn(space.shape, generator=seeded(seed), dtype=dtype).softmax(-1)


def one_hot(space, seed=3):
    best = torch.rand(space.shape, generator=seeded(seed)).argmax(-1)
    return F.one_hot(best, space.candidates).double()


def relative(found, expected):
    """Largest difference in units of the largest value."""
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30)).item()


def statistics(network):
    return {name: value for name, value in official.state_dict(network).items() if "running" in name}


def textbook_statistics(network):
    return {name: value for name, value in network.state_dict().items() if "running" in name}


class SameDraws:
    """Lets the textbook see the very random numbers that ours drew, edge by edge.

    Ours draws once for all copies of an operation (or all edges of a cell), the textbook once for each edge.
    """

    def __init__(self, monkeypatch, function):
        self.drawn, self.monkeypatch, self.function = [], monkeypatch, function
        self.real = getattr(torch, function)

    def record(self):
        self.drawn = []

        def recording(*arguments, **options):
            self.drawn.append(self.real(*arguments, **options))
            return self.drawn[-1].clone()

        self.monkeypatch.setattr(torch, self.function, recording)

    def replay(self, tensors):
        queue = iter(tensors)
        self.monkeypatch.setattr(torch, self.function, lambda *_, **__: next(queue))

    def stop(self):
        self.monkeypatch.setattr(torch, self.function, self.real)

    def noise_by_edge(self, ours):
        """(batch, channels, height, width) for every noise edge of every cell, in the textbook's order."""
        drawn = iter(self.drawn)
        for cell in ours.backbone.cells:
            found = {}
            for kinds in cell.places:
                if "noise" in kinds:
                    copies = (
                        next(drawn).movedim(-1, 1).split(cell.width, 1)
                    )  # (batch, copies * channels, height, width)
                    found |= {place.edge: noise for place, noise in zip(kinds["noise"], copies, strict=True)}
            yield from (found[edge] for edge in sorted(found))
        assert next(drawn, None) is None


# --- Equal to the textbook --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "logits", "gradients"),
    [(torch.float32, 1e-5, 1e-4), (torch.float64, 1e-12, 1e-10)],
    ids=["float32", "float64"],
)
@pytest.mark.parametrize("name", IMAGES)
def test_logits_gradients_and_running_statistics_are_the_textbooks(
    name, dtype, logits, gradients, monkeypatch, under_their_names
):
    space = spaces.get(name)
    ours, theirs = pair(space, dtype=dtype)
    x, y = batch(dtype)
    mixing = random_mixing(space, dtype).requires_grad_()
    weights = [cell.clone().requires_grad_() for cell in mixing.detach()]
    draws = SameDraws(monkeypatch, "randn")

    for mode in ("train", "eval"):  # in this order: the evaluation sees the statistics that the training moved
        getattr(ours, mode)(), getattr(theirs, mode)()
        draws.record()
        found = ours(x, mixing, generator=seeded())
        draws.replay(list(draws.noise_by_edge(ours)))
        expected = theirs(x, *weights)
        draws.stop()
        assert relative(found, expected) < logits

        moved, expected_moved = statistics(ours), textbook_statistics(theirs)
        assert moved.keys() == expected_moved.keys()
        assert max(relative(moved[key], expected_moved[key]) for key in moved) < logits

        ours_gradients = torch.autograd.grad(F.cross_entropy(found, y), [mixing, *ours.parameters()])
        theirs_gradients = torch.autograd.grad(F.cross_entropy(expected, y), [*weights, *theirs.parameters()])
        assert relative(ours_gradients[0], torch.stack(theirs_gradients[:2])) < gradients
        named = under_their_names(ours, ours_gradients[1:])
        for (key, _), gradient in zip(theirs.named_parameters(), theirs_gradients[2:], strict=True):
            assert relative(named[key], gradient) < gradients, key


@pytest.mark.parametrize("requires_grad", [False, True], ids=["skipping", "running all"])
@pytest.mark.parametrize("kind", ["one-hot", "half zero", "one edge zero", "all zero"])
@pytest.mark.parametrize("name", ["S1", "DARTS"])
def test_zero_weights_give_the_textbooks_logits(name, kind, requires_grad):
    space = spaces.get(name).with_nodes(3)
    mixing = random_mixing(space)
    if kind == "one-hot":
        mixing = one_hot(space)
    elif kind == "half zero":
        mixing *= torch.rand(space.shape, generator=seeded(4)) < 0.5
    elif kind == "one edge zero":
        mixing[:, 4] = 0
    else:
        mixing *= 0
    x, _ = batch()
    mixing.requires_grad_(requires_grad)
    for mode in ("train", "eval"):
        ours, theirs = pair(space, layers=3)
        getattr(ours, mode)(), getattr(theirs, mode)()
        assert relative(ours(x, mixing), theirs(x, *mixing)) < 1e-11, mode


def test_operations_of_weight_zero_keep_their_running_statistics_and_the_others_move_as_in_the_textbook():
    space = spaces.same_on_every_edge("own", "skip_connect", "sep_conv_3x3", "dil_conv_5x5", nodes=3)  # no shared pools
    ours, theirs = pair(space)
    mixing, (x, _) = one_hot(space), batch()
    before = statistics(ours)
    ours(x, mixing)
    theirs(x, *mixing)
    after, expected = statistics(ours), textbook_statistics(theirs)
    skipped = ran = 0
    for key, value in after.items():
        words = key.split(".")
        if words[2] == "_ops":
            cell = int(ours.backbone.cell_types[int(words[1])] == "reduce")
            if mixing[cell, int(words[3]), int(words[5])] == 0:
                assert torch.equal(value, before[key]), key
                skipped += 1
                continue
        assert not torch.equal(value, before[key]) and relative(value, expected[key]) < 1e-12, key
        ran += 1
    assert skipped > ran > 0


def test_operations_of_weight_zero_are_not_run(monkeypatch):
    ours = supernet_of(S2_SMALL)
    convolutions = []
    real = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *arguments, **more: convolutions.append(1) or real(*arguments, **more))
    x, _ = batch()
    ours(x, torch.tensor([0.5, 0.5]).double().expand(S2_SMALL.shape))
    everything = len(convolutions)
    convolutions.clear()
    ours(x, torch.tensor([1.0, 0.0]).double().expand(S2_SMALL.shape))
    # Left are the stem, two inputs of each cell, and the strided skips of the two reductions.
    assert len(convolutions) == 1 + 2 * LAYERS + 2 < everything


def test_a_node_that_only_none_enters_is_zero():
    ours, theirs = pair(S3_SMALL)
    mixing = random_mixing(S3_SMALL)
    mixing[:, 2:] = torch.tensor([1.0, 0.0, 0.0])  # all edges into node 1
    x, _ = batch()
    found = ours(x, mixing)
    assert found.isfinite().all() and relative(found, theirs(x, *mixing)) < 1e-12
    only_none = Supernet(spaces.same_on_every_edge("nothing", "none"), channels=4, layers=3).double()
    logits = only_none(x, torch.ones(2, 14, 1).double())
    assert torch.equal(logits, only_none.classifier.bias.expand(BATCH, -1))


def test_mixing_weights_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"mixing: shape \(5, 2\) does not fit space 'S2': \(2, 5, 2\)"):
        supernet_of(S2_SMALL)(batch()[0], torch.rand(5, 2))


# --- Derivatives ------------------------------------------------------------------------------


def loss_of(supernet, data):
    x, y = data
    return lambda mixing: F.cross_entropy(supernet(x, mixing), y)


def finite_difference(function, mixing, step):
    """d function / d mixing by central differences, one entry at a time."""
    result = torch.zeros_like(mixing)
    for index in itertools.product(*map(range, mixing.shape)):
        ends = []
        for sign in (+1, -1):
            moved = mixing.clone()
            moved[index] += sign * step
            ends.append(function(moved))
        result[index] = (ends[0] - ends[1]) / (2 * step)
    return result


@pytest.mark.parametrize("asked", ["alpha", "w"])
def test_a_cell_with_a_single_convolution_has_the_gradients_of_the_textbook_every_time(asked):
    """Its scale is one number spread over the channels, and PyTorch's batch-norm reads past the end of such a view."""
    space = spaces.S1.with_nodes(1)
    ours, theirs = pair(space)
    (x, labels), mixing = batch(), random_mixing(space)
    leaves = [cell.clone().requires_grad_() for cell in mixing]
    tensors = leaves if asked == "alpha" else [theirs.classifier.weight, theirs.stem[0].weight]
    expected = torch.autograd.grad(F.cross_entropy(theirs(x, *leaves), labels), tensors)
    for fill in range(1, 20):
        junk = [torch.full((2**k,), 1e3 * fill, dtype=torch.float64) for k in range(4, 16) for _ in range(4)]
        del junk  # what lies beyond the end now differs from time to time
        leaf = mixing.clone().requires_grad_(asked == "alpha")
        tensors = [leaf] if asked == "alpha" else [ours.classifier.weight, ours.backbone.stem]
        found = torch.autograd.grad(F.cross_entropy(ours(x, leaf), labels), tensors)
        found = found[0] if asked == "alpha" else found
        assert all(relative(one, other) < 1e-10 for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "space",
    [S2_SMALL, spaces.S5, spaces.DARTS.with_nodes(1)],
    ids=["S2 with 2 nodes", "S5", "DARTS with 1 node"],
)
def test_gradient_of_the_mixing_weights_equals_finite_differences(space):
    # Where a state has one edge out, its operations have one copy, and the scale of their batch-norm is one weight
    # spread over the channels. With a stride of 0 the kernels of torch 2.14 read it past its end.
    supernet = supernet_of(space, layers=3)
    loss, mixing = loss_of(supernet, batch()), random_mixing(space).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(mixing), mixing)
    with torch.no_grad():
        expected = finite_difference(loss, mixing.detach(), 1e-6)
    assert relative(gradient, expected) < 1e-6


def test_hessian_vector_product_by_double_backward_equals_a_difference_of_gradients():
    space = spaces.DARTS.with_nodes(2)
    supernet = supernet_of(space, layers=3)
    loss, mixing = loss_of(supernet, batch()), random_mixing(space).requires_grad_()
    vector = torch.randn(space.shape, generator=seeded(5), dtype=torch.float64)
    with frozen_statistics(supernet):
        (gradient,) = torch.autograd.grad(loss(mixing), mixing, create_graph=True)
        (product,) = torch.autograd.grad((gradient * vector).sum(), mixing)
        ends = []
        for step in (1e-6, -1e-6):
            moved = (mixing.detach() + step * vector).requires_grad_()
            ends.append(torch.autograd.grad(loss(moved), moved)[0])
    assert relative(product, (ends[0] - ends[1]) / 2e-6) < 1e-6


# --- Drop path --------------------------------------------------------------------------------


def test_drop_path_of_the_supernet_keeps_the_mean_and_is_drawn_for_each_sample_and_edge():
    p, n = 0.3, 2000
    space = spaces.same_on_every_edge("skips", "skip_connect", nodes=1)
    supernet = Supernet(space, channels=4, layers=3)
    cell = supernet.backbone.cells[0]
    states = [torch.randn(n, 12, 2, 2, generator=seeded(seed)) for seed in (0, 1)]
    weighting, generator = cell.weighting(torch.tensor([[0.25], [0.75]])), seeded(2)
    parts = [cell.preprocess0(states[0]) * 0.25, cell.preprocess1(states[1]) * 0.75]
    out = cell(*states, weighting, p, generator)
    # Each sample is k0 part0 + k1 part1: solve for (k0, k1) sample by sample.
    basis = torch.stack([part.flatten(1) for part in parts], -1)
    kept = torch.linalg.lstsq(basis, out.flatten(1)[..., None]).solution[..., 0].detach()
    torch.testing.assert_close(kept, (kept > 0.5) / (1 - p), rtol=1e-3, atol=1e-3)
    assert kept.mean(0).tolist() == pytest.approx([1, 1], abs=0.06)
    both = (kept > 0.5).all(1).double().mean().item()
    assert both == pytest.approx((1 - p) ** 2, abs=0.04), "edges are dropped independently"
    supernet.eval()
    torch.testing.assert_close(cell(*states, weighting, p, generator), cell(*states, weighting, 0, generator))


def test_drop_path_comes_from_its_generator():
    supernet, (x, _) = supernet_of(S2_SMALL), batch()
    mixing = random_mixing(S2_SMALL)
    first, same, other = (supernet(x, mixing, drop_path=0.5, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


# --- Running statistics -----------------------------------------------------------------------


def own_space():
    """A space with an operation of its own that has one of PyTorch's batch-norms."""

    def mine(channels, stride):
        return nn.Sequential(nn.Conv2d(channels, channels, 3, stride, 1), nn.BatchNorm2d(channels))

    return spaces.same_on_every_edge("own", "skip_connect", "max_pool_3x3", "mine", nodes=2, operations={"mine": mine})


@pytest.mark.parametrize("space", [spaces.DARTS.with_nodes(2), own_space()], ids=lambda space: space.name)
def test_frozen_statistics_leave_every_buffer_bit_for_bit_and_change_no_output(space):
    supernet, (x, _) = supernet_of(space), batch()
    mixing = random_mixing(space)
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    with frozen_statistics(supernet):
        frozen = supernet(x, mixing)
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
    assert torch.equal(supernet(x, mixing), frozen), "a training pass uses the statistics of its batch either way"
    moved = {key for key, value in supernet.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {key for key in before if "running" in key or key.endswith("num_batches_tracked")}


def test_frozen_statistics_thaw_after_an_error_and_where_they_were_frozen_before():
    supernet = supernet_of(S2_SMALL)
    norm = supernet.backbone.stem_norm
    with pytest.raises(KeyError), frozen_statistics(supernet):
        raise KeyError
    assert norm.update
    with frozen_statistics(supernet):
        with frozen_statistics(supernet):
            pass
        assert not norm.update
    assert norm.update


def test_running_statistics_follow_the_batches_with_torchs_momentum():
    supernet, (x, _) = supernet_of(S2_SMALL), batch()
    norm = supernet.backbone.stem_norm
    stem = F.conv2d(x, supernet.backbone.stem, padding=1)
    supernet(x, random_mixing(S2_SMALL))
    torch.testing.assert_close(norm.running_mean, MOMENTUM * stem.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 1 - MOMENTUM + MOMENTUM * stem.var((0, 2, 3)))


# --- Operations -------------------------------------------------------------------------------


def test_noise_is_fresh_standard_normal_on_every_edge_in_training_and_in_evaluation(monkeypatch):
    supernet = supernet_of(spaces.S4)
    x = torch.randn(64, 3, 16, 16, dtype=torch.float64, generator=seeded())
    mixing, generator = random_mixing(spaces.S4), seeded()
    draws, found = SameDraws(monkeypatch, "randn"), []
    for mode in ("train", "eval"):
        getattr(supernet, mode)()
        draws.record()
        supernet(x, mixing, generator=generator)
        draws.stop()
        found.append([noise.flatten() for noise in draws.noise_by_edge(supernet)])
        assert len(found[-1]) == 14 * LAYERS
        for noise in found[-1]:
            assert abs(noise.mean()) < 6 / len(noise) ** 0.5 and abs(noise.std() - 1) < 6 / len(noise) ** 0.5
    assert not torch.equal(found[0][0], found[1][0])
    assert abs(torch.corrcoef(torch.stack(found[0][:5]))[0, 1:]).max() < 0.05, "each edge draws its own"


def test_own_operations_take_part_with_their_weight_and_are_drawn_from_the_generator():
    class Constant(nn.Module):
        def __init__(self, stride):
            super().__init__()
            self.stride, self.value = stride, nn.Parameter(torch.rand(()))

        def forward(self, x):
            return self.value.expand_as(x[:, :, :: self.stride, :: self.stride])

    own = {"constant": lambda channels, stride: Constant(stride)}
    space = spaces.same_on_every_edge("own", "none", "constant", nodes=1, operations=own)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, same, other = (Supernet(space, channels=4, layers=3, generator=seeded(seed)).double() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    values = [[p for name, p in net.named_parameters() if name.endswith("value")] for net in (first, same, other)]
    assert len(values[0]) == 2 * 3 and values[0] == values[1] != values[2]
    cell, x = first.backbone.cells[0], torch.randn(2, 12, 4, 4).double()
    for weight in (0.0, 0.25, 1.0):
        out = cell(x, x, cell.weighting(torch.tensor([[0.0, weight]] * 2)))
        assert out.shape == (2, 4, 4, 4)
        torch.testing.assert_close(out, (weight * (values[0][0] + values[0][1])).double().expand_as(out))


# --- The network of one genotype --------------------------------------------------------------

SEP, SKIP = "sep_conv_3x3", "skip_connect"
DARTS_V2 = dl.Genotype(  # 3.349342 million in quark0's train.py, without the auxiliary head
    {
        "normal": [(SEP, 0), (SEP, 1), (SEP, 0), (SEP, 1), (SEP, 1), (SKIP, 0), (SKIP, 0), ("dil_conv_3x3", 2)],
        "reduce": [("max_pool_3x3", 0), ("max_pool_3x3", 1), (SKIP, 2), ("max_pool_3x3", 1)]
        + [("max_pool_3x3", 0), (SKIP, 2), (SKIP, 2), ("max_pool_3x3", 1)],
    },
    {"normal": range(2, 6), "reduce": range(2, 6)},
)
PDARTS = dl.Genotype(  # both numbers: github.com/chenxin061/pdarts, issue 7
    {
        "normal": [
            (SKIP, 0),
            ("dil_conv_3x3", 1),
            (SKIP, 0),
            (SEP, 1),
            (SEP, 1),
            (SEP, 3),
            (SEP, 0),
            ("dil_conv_5x5", 4),
        ],
        "reduce": [("avg_pool_3x3", 0), ("sep_conv_5x5", 1), (SEP, 0), ("dil_conv_5x5", 2)]
        + [("max_pool_3x3", 0), ("dil_conv_3x3", 1), ("dil_conv_3x3", 1), ("dil_conv_5x5", 3)],
    },
    {"normal": range(2, 6), "reduce": range(2, 6)},
)


MAX, AVG, SEP5, SEP7 = "max_pool_3x3", "avg_pool_3x3", "sep_conv_5x5", "sep_conv_7x7"
NASNET = dl.Genotype(  # quark0/darts, cnn/genotypes.py
    {
        "normal": [
            (SEP5, 1),
            (SEP, 0),
            (SEP5, 0),
            (SEP, 0),
            (AVG, 1),
            (SKIP, 0),
            (AVG, 0),
            (AVG, 0),
            (SEP, 1),
            (SKIP, 1),
        ],
        "reduce": [
            (SEP5, 1),
            (SEP7, 0),
            (MAX, 1),
            (SEP7, 0),
            (AVG, 1),
            (SEP5, 0),
            (SKIP, 3),
            (AVG, 2),
            (SEP, 2),
            (MAX, 1),
        ],
    },
    {"normal": [2, 3, 4, 5, 6], "reduce": [4, 5, 6]},
)
AMOEBANET = dl.Genotype(  # the same
    {
        "normal": [
            (AVG, 0),
            (MAX, 1),
            (SEP, 0),
            (SEP5, 2),
            (SEP, 0),
            (AVG, 3),
            (SEP, 1),
            (SKIP, 1),
            (SKIP, 0),
            (AVG, 1),
        ],
        "reduce": [(AVG, 0), (SEP, 1), (MAX, 0), (SEP7, 2), (SEP7, 0), (AVG, 1), (MAX, 0), (MAX, 1)]
        + [("conv_7x1_1x7", 0), (SEP, 5)],
    },
    {"normal": [4, 5, 6], "reduce": [3, 4, 6]},
)
FAIR = dl.Genotype(  # state 3 of the normal cell receives nothing, state 4 of the other three edges
    {
        "normal": [(SEP, 2, 0), (SEP5, 2, 1), (MAX, 4, 0), (SEP, 5, 2)],
        "reduce": [(MAX, 2, 1), (SKIP, 3, 0), (AVG, 4, 0), (SEP, 4, 0), (SKIP, 4, 2)],
    },
    {"normal": [2, 4, 5], "reduce": [2, 3, 4]},
)
PC_DARTS = dl.Genotype(  # PC_DARTS_cifar of github.com/yuhuixu1993/PC-DARTS
    {
        "normal": [(SEP, 1), ("skip_connect", 0), (SEP, 0), ("dil_conv_3x3", 1)]
        + [("sep_conv_5x5", 0), (SEP, 1), ("avg_pool_3x3", 0), ("dil_conv_3x3", 1)],
        "reduce": [("sep_conv_5x5", 1), ("max_pool_3x3", 0), ("sep_conv_5x5", 1), ("sep_conv_5x5", 2)]
        + [(SEP, 0), (SEP, 3), (SEP, 1), (SEP, 2)],
    },
    {"normal": range(2, 6), "reduce": range(2, 6)},
)
PUBLISHED = {"DARTS_V2": (DARTS_V2, 3_349_342), "PDARTS": (PDARTS, 3_433_798), "PC_DARTS": (PC_DARTS, 3_634_678)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_network_has_the_published_number_of_parameters_with_or_without_the_auxiliary_tower(name):
    genotype, count = PUBLISHED[name]
    for auxiliary in (False, True):
        network = Network(genotype, channels=36, layers=20, auxiliary=auxiliary)
        assert parameter_count(network) == count
        assert sum(weights.numel() for weights in network.parameters()) == count + 476_426 * auxiliary


# genotypes.py of xiaomi-automl/FairDARTS says how many; of its cells with the auxiliary head, but for this one
FAIR_C = (
    "Genotype(normal=[('max_pool_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('dil_conv_3x3', 4, 0), ('dil_conv_5x5', 4, 2), "
    "('skip_connect', 5, 3), ('sep_conv_3x3', 5, 0)], normal_concat=range(2, 6), reduce=[('dil_conv_3x3', 2, 1), "
    "('dil_conv_5x5', 2, 0), ('dil_conv_3x3', 3, 0), ('sep_conv_3x3', 3, 1), ('sep_conv_5x5', 4, 0), "
    "('sep_conv_5x5', 4, 3), ('sep_conv_5x5', 5, 0), ('skip_connect', 5, 1)], reduce_concat=range(2, 6))"
)
FAIR_E = (
    "Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_3x3', 2, 1), ('dil_conv_3x3', 4, 1), ('dil_conv_3x3', 4, 2), "
    "('dil_conv_3x3', 5, 0), ('dil_conv_5x5', 5, 1)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 2, 1), "
    "('max_pool_3x3', 2, 0), ('max_pool_3x3', 3, 1), ('max_pool_3x3', 3, 0), ('sep_conv_5x5', 4, 1), "
    "('max_pool_3x3', 4, 0), ('avg_pool_3x3', 5, 0), ('dil_conv_5x5', 5, 1)], reduce_concat=range(2, 6))"
)


@pytest.mark.parametrize(
    ("genotype", "auxiliary", "millions"),
    [(NASNET, False, 3.83), (dl.Genotype.parse(FAIR_C), False, 2.59), (dl.Genotype.parse(FAIR_E), True, 3.12)],
    ids=["NASNet", "FairDARTS_c", "FairDARTS_e"],
)
def test_networks_of_others_have_the_published_number_of_parameters(genotype, auxiliary, millions):
    network = Network(genotype, channels=36, layers=20, auxiliary=auxiliary)
    count = sum(weights.numel() for weights in network.parameters())
    assert millions <= count / 1e6 < millions + 0.01


def network_pair(genotype, auxiliary, layers=LAYERS):
    """(ours, the textbook's) network with the same weights and running statistics."""
    torch.manual_seed(1)
    theirs = textbook.NetworkTextbook(genotype.to_json(), CHANNELS, layers, CLASSES, auxiliary).double()
    scatter(theirs)
    ours = Network(genotype, channels=CHANNELS, layers=layers, classes=CLASSES, auxiliary=auxiliary).double()
    state, seen = theirs.state_dict(), set()
    with torch.no_grad():
        for name, tensor in named(ours).items():
            tensor.copy_(state[name])
            seen.add(name)
    assert seen == {name for name in state if not name.endswith("num_batches_tracked")}
    return ours, theirs


def named(network):
    """Every tensor of our network under the name it has in the textbook's."""

    def under(prefix, tensors):
        return {f"{prefix}.{name}": tensor for name, tensor in tensors}

    found = {"stem.0.weight": network.backbone.stem} | under("stem.1", network.backbone.stem_norm.copy(0))
    found |= under("classifier", network.classifier.named_parameters())
    for layer, cell in enumerate(network.backbone.cells):
        for name in ("preprocess0", "preprocess1"):
            found |= under(f"cells.{layer}.{name}", getattr(cell, name).copy(0))
        for place, module, copy_ in cell.modules_by_place():
            found |= under(f"cells.{layer}._ops.{place.edge}", module.copy(copy_))
    if head := network.auxiliary:
        prefix = "auxiliary_head.features"
        found |= {f"{prefix}.2.weight": head.first, f"{prefix}.5.weight": head.second}
        found |= under(f"{prefix}.3", head.first_norm.copy(0)) | under(f"{prefix}.6", head.second_norm.copy(0))
        found |= under("auxiliary_head.classifier", head.classifier.named_parameters())
    return found


def some_genotypes():
    drawn = {f"random {seed}": random_genotype(spaces.DARTS, seeded(seed)) for seed in range(3)}
    twice = dl.Genotype(
        {"normal": [(SEP, 0), (SEP, 0), (SKIP, 1), (SEP, 2)], "reduce": [(SKIP, 1), (SEP, 1)] * 2},
        {"normal": [3], "reduce": [2, 3]},
    )
    none = dl.Genotype(
        {"normal": [("none", 0), (SEP, 1), ("none", 0), ("none", 1)], "reduce": [("none", 0), (SKIP, 1)]},
        {"normal": [2, 3], "reduce": [2]},
    )
    others = {"NASNet": NASNET, "AmoebaNet": AMOEBANET, "FairDARTS": FAIR}
    return others | {"DARTS_V2": DARTS_V2, "twice the same edge": twice, "with none": none} | drawn


@pytest.mark.parametrize("genotype", some_genotypes().values(), ids=some_genotypes())
def test_network_is_the_textbooks(genotype):
    ours, theirs = network_pair(genotype, auxiliary=True)
    x = batch(size=32)[0].requires_grad_()
    found, expected = ours(x, with_auxiliary=True), theirs(x)
    for mine, other in zip(found, expected, strict=True):
        assert relative(mine, other) < 1e-11
    gradients = [torch.autograd.grad(logits.square().sum() + aux.sum(), x)[0] for logits, aux in (found, expected)]
    assert relative(*gradients) < 1e-9
    state = theirs.state_dict()
    assert max(relative(tensor.detach(), state[name]) for name, tensor in named(ours).items()) < 1e-11
    assert relative(ours.eval()(x), theirs.eval()(x)[0]) < 1e-11


@pytest.mark.parametrize("genotype", some_genotypes().values(), ids=some_genotypes())
def test_drop_path_of_the_network_is_the_textbooks_and_spares_identities(genotype, monkeypatch):
    ours, theirs = network_pair(genotype, auxiliary=False)
    x, _ = batch()
    draws = SameDraws(monkeypatch, "rand")
    draws.record()
    found = ours(x, drop_path=0.4, generator=seeded())
    by_edge = []
    for cell, drawn in zip(theirs.cells, draws.drawn, strict=True):
        for edge, operation in enumerate(cell._ops):
            if not isinstance(operation, textbook.Identity):
                by_edge.append(1 - drawn[:, edge].view(-1, 1, 1, 1))  # ours keeps draws above p, the textbook below 1-p
    draws.replay(by_edge)
    assert relative(found, theirs(x, 0.4)[0]) < 1e-11
    draws.stop()
    assert relative(ours.eval()(x, drop_path=0.4), theirs.eval()(x, 0.4)[0]) < 1e-11


def test_a_space_may_offer_the_operations_of_nasnet_and_amoebanet():
    space = spaces.same_on_every_edge("wide", "none", SEP7, "conv_7x1_1x7", nodes=2)
    ours = supernet_of(space)
    edges = {cell_type: space.cell(cell_type) for cell_type in spaces.CELL_TYPES}
    theirs = textbook.SupernetTextbook(edges, CHANNELS, LAYERS, CLASSES, nodes=2).double()
    scatter(theirs)
    official.load_state_dict(ours, theirs.state_dict())
    mixing, (x, _) = random_mixing(space), batch()
    assert relative(ours(x, mixing), theirs(x, *mixing)) < 1e-11
    chosen = one_hot(space)
    assert relative(ours(x, chosen), theirs(x, *chosen)) < 1e-11, "where some copies do not run"


def test_the_cells_of_others_are_trained_from_scratch(small, colours):
    for genotype in (NASNET, AMOEBANET, FAIR):
        found = dl.evaluate(genotype, data=colours(), scale=small)
        assert found.epochs == 2 and 0 <= found.test_error <= 1


def test_supernet_at_a_one_hot_mixing_is_the_network_of_that_genotype():
    space = spaces.same_on_every_edge("no pools", "none", SKIP, SEP, "dil_conv_5x5", nodes=3)  # search norms its pools
    genotype = random_genotype(space, seeded(1))
    supernet = supernet_of(space)
    network = Network(genotype, channels=CHANNELS, layers=LAYERS, classes=CLASSES).double()
    theirs = official.state_dict(supernet)
    with torch.no_grad():
        for name, tensor in named(network).items():
            words = name.split(".")
            if words[2:3] == ["_ops"]:
                cell_type = network.backbone.cell_types[int(words[1])]
                source, node, operation = list(genotype.edges(cell_type))[int(words[3])]
                edge = space.edges.index((source, node))
                words[3:4] = [str(edge), "_ops", str(space.cell(cell_type)[edge].index(operation))]
            if ".".join(words) in theirs:  # else a scale of 1 or a shift of 0, which only the network has
                tensor.copy_(theirs[".".join(words)])
    x, _ = batch()
    assert relative(network(x), supernet(x, genotype.mixing(space))) < 1e-11


def test_auxiliary_head_refuses_images_of_another_size():
    network = Network(DARTS_V2, channels=4, layers=5, auxiliary=True)
    with pytest.raises(ValueError, match=r"auxiliary: .* 32 x 32\), got \(4, 4\)"):
        network(torch.randn(2, 3, 16, 16), with_auxiliary=True)


@pytest.mark.parametrize("size", ["channels", "layers", "classes", "in_channels"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, None])
def test_sizes_that_are_no_positive_whole_numbers_are_refused(size, value):
    for make in (lambda **sizes: Supernet(spaces.S5, **sizes), lambda **sizes: Network(DARTS_V2, **sizes)):
        with pytest.raises(
            ValueError, match=f"^{size}: {value!r} is not allowed; it must be a whole number of at leas"
        ):
            make(**{size: value})


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    for make in (
        lambda seed: Supernet(spaces.DARTS.with_nodes(2), channels=4, layers=3, generator=seeded(seed)),
        lambda seed: Network(DARTS_V2, channels=4, layers=3, auxiliary=True, generator=seeded(seed)),
    ):
        first, same, other = (torch.cat([p.flatten() for p in make(seed).parameters()]) for seed in (0, 0, 1))
        assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_initial_weights_have_the_spread_of_torchs_own_layers():
    ours = dict(official.state_dict(Supernet(spaces.DARTS, channels=16, layers=8)))
    torch.manual_seed(0)
    theirs = textbook.SupernetTextbook(textbook.SPACES["DARTS"])
    for name, parameter in theirs.named_parameters():
        if parameter.numel() >= 500:
            assert ours[name].std() == pytest.approx(parameter.std().item(), rel=0.2), name
            assert ours[name].abs().max() <= 1.01 * parameter.abs().max() * 1.2, name


def test_a_norm_behind_every_node_normalizes_its_sum():
    supernet = Supernet(spaces.S5, channels=CHANNELS, layers=LAYERS, node_norm=True, generator=seeded()).double()
    plain = supernet_of(spaces.S5)
    assert parameter_count(supernet) == parameter_count(plain)
    cell, other = supernet.backbone.cells[0], plain.backbone.cells[0]
    inputs = torch.randn(BATCH, 3 * CHANNELS, 8, 8, generator=seeded(1), dtype=torch.float64).relu()
    mixing = torch.rand(spaces.S5.shape[1:], generator=seeded(2), dtype=torch.float64)
    summed = other(inputs, inputs, other.weighting(mixing))
    found = cell(inputs, inputs, cell.weighting(mixing))
    torch.testing.assert_close(found, F.batch_norm(summed, None, None, training=True))
