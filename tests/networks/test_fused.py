"""The fused form of a cell is the plain form but for rounding, on any number of threads, and where it cannot be had the
plain form takes its place."""

import copy
import os
import subprocess
import sys
from contextlib import nullcontext
from threading import Event, Thread

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import darts_lab as dl
from darts_lab.networks import fused
from darts_lab.networks.hourglass import DenseSupernet
from darts_lab.networks.images import Network, Supernet
from darts_lab.search.training import Training

pytest.importorskip("numba")
SPACES = ("S1", "S2", "S3", "S4", "DARTS")


@pytest.fixture(autouse=True)
def switched_on(monkeypatch):
    monkeypatch.setenv("DARTS_LAB_FUSED", "1")


@pytest.fixture
def exact(monkeypatch):
    """Kernels of float64, of the same source."""
    monkeypatch.setattr(fused, "KINDS", (torch.float32, torch.float64))


@pytest.fixture
def cells(monkeypatch):
    """The cells that were computed in the fused form."""
    seen, cell = [], fused.cell
    monkeypatch.setattr(fused, "cell", lambda *arguments: (seen.append(arguments[0]), cell(*arguments))[1])
    return seen


def passed(network, *inputs, together: bool, **more):
    """(outputs, gradients of a loss with respect to inputs and weights, buffers) of a copy of the network."""
    network = copy.deepcopy(network)
    inputs = [x.clone().requires_grad_() for x in inputs]
    generator = torch.Generator().manual_seed(1)
    if together:
        with fused.differentiated_once():
            outputs = network(*inputs, generator=generator, **more)
    else:
        outputs = network(*inputs, generator=generator, **more)
    maps = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = sum((x**2).sum() + (x * torch.linspace(-1, 1, x.numel()).view_as(x)).sum() for x in maps)
    variables = inputs + list(network.parameters())
    gradients = torch.autograd.grad(loss, variables, allow_unused=True, materialize_grads=True)
    return torch.cat([x.detach().flatten() for x in maps]), gradients, dict(network.named_buffers())


def assert_close(one, other, tolerance=1e-11):
    for x, y in ((one[0], other[0]), *zip(one[1], other[1]), *((one[2][name], other[2][name]) for name in one[2])):
        assert (x - y).abs().max() <= tolerance * (1 + x.abs().max())


def supernet_of(space: str, channels=8, layers=5, dtype=torch.float64, **more) -> Supernet:
    generator = torch.Generator().manual_seed(0)
    return Supernet(dl.spaces.get(space), channels=channels, layers=layers, generator=generator, **more).to(dtype)


def batch(samples=5, size=16, dtype=torch.float64):
    return torch.randn(samples, 3, size, size, generator=torch.Generator().manual_seed(2), dtype=dtype)


def mixing_of(space: str, dtype=torch.float64):
    return torch.rand(dl.spaces.get(space).shape, generator=torch.Generator().manual_seed(3), dtype=dtype)


@pytest.mark.parametrize("training", (True, False), ids=("batch", "running"))
@pytest.mark.parametrize("space", SPACES)
def test_a_supernet_and_all_its_gradients(space, training, exact, cells):
    net = supernet_of(space).train(training)
    plain, together = (passed(net, batch(), mixing_of(space), together=on) for on in (False, True))
    assert len(cells) == len(net.backbone.cells)
    assert_close(plain, together)


@pytest.mark.parametrize("samples", (1, 17, 40))  # less than a group of the smallest images, between two, more
@pytest.mark.parametrize("size", (8, 16, 24))
def test_whatever_the_batch_and_the_size(samples, size, exact):
    net = supernet_of("DARTS", channels=4, layers=3)
    x = batch(samples + 1, size)  # of one sample alone nothing can be normalised
    assert_close(*(passed(net, x, mixing_of("DARTS"), together=on) for on in (False, True)))


def test_rectangular_images(exact):
    net, x = supernet_of("DARTS", channels=4, layers=3), torch.randn(3, 3, 8, 20, dtype=torch.float64)
    assert_close(*(passed(net, x, mixing_of("DARTS"), together=on) for on in (False, True)))


@pytest.mark.parametrize("space", SPACES)
def test_networks_of_genotypes_whose_norms_have_scales(space, exact, cells):
    for seed in range(2):
        genotype = dl.random_genotype(dl.spaces.get(space), torch.Generator().manual_seed(seed))
        net = Network(genotype, channels=8, layers=5, generator=torch.Generator().manual_seed(0)).double()
        for name, weights in net.named_parameters():
            if name.endswith(("scale", "shift")):
                weights.data += torch.rand_like(weights)
        assert_close(*(passed(net, batch(), together=on) for on in (False, True)))
    assert len(cells) == 10


def test_a_genotype_that_leaves_nodes_out_and_one_with_wide_kernels(exact, cells):
    text = dl.Genotype.of(
        "Genotype(normal=[('sep_conv_7x7', 0), ('dil_conv_5x5', 1), ('sep_conv_5x5', 2), ('max_pool_3x3', 0)], "
        "normal_concat=[3], reduce=[('skip_connect', 0), ('avg_pool_3x3', 1), ('skip_connect', 2), ('sep_conv_3x3', 1)], "
        "reduce_concat=[2, 3])"
    )
    net = Network(text, channels=4, layers=5).double()
    for drop_path in (0.0, 0.3):
        assert_close(*(passed(net, batch(), together=on, drop_path=drop_path) for on in (False, True)))
    assert len(cells) == 10


@pytest.mark.parametrize("space", SPACES)
def test_paths_are_dropped_sample_by_sample(space, exact, cells):
    """More samples than a group has, fewer than two have."""
    net = supernet_of(space)
    with_paths, without = (passed(net, batch(21), mixing_of(space), together=True, drop_path=p) for p in (0.4, 0.0))
    assert_close(passed(net, batch(21), mixing_of(space), together=False, drop_path=0.4), with_paths)
    assert not torch.allclose(with_paths[0], without[0], rtol=0.1)
    running = (torch.rand(mixing_of(space).shape, generator=torch.Generator().manual_seed(5)) < 0.5).tolist()
    mixing = mixing_of(space) * torch.tensor(running)
    some = {"drop_path": 0.4, "running": running}
    assert_close(*(passed(net, batch(), mixing, together=on, **some) for on in (False, True)))
    net.eval()  # where nothing is dropped
    assert_close(*(passed(net, batch(), mixing_of(space), together=True, drop_path=p) for p in (0.4, 0.0)), tolerance=0)
    assert len(cells) == 5 * len(net.backbone.cells)


@pytest.mark.parametrize("space", SPACES)
def test_a_network_of_a_genotype_drops_all_but_the_identity(space, exact, cells):
    for seed in range(3):
        genotype = dl.random_genotype(dl.spaces.get(space), torch.Generator().manual_seed(seed))
        net = Network(genotype, channels=8, layers=5, generator=torch.Generator().manual_seed(0)).double()
        assert_close(*(passed(net, batch(18), together=on, drop_path=0.3) for on in (False, True)))
    assert len(cells) == 15


def test_only_some_operations_run(exact):
    net, mixing = supernet_of("DARTS", channels=4, layers=3), mixing_of("DARTS")
    running = (torch.rand(mixing.shape, generator=torch.Generator().manual_seed(5)) < 0.3).tolist()
    mixing = mixing * torch.tensor(running)
    assert_close(*(passed(net, batch(), mixing, together=on, running=running) for on in (False, True)))


def test_frozen_statistics_stay(exact):
    net = supernet_of("S1")
    before = {name: value.clone() for name, value in net.named_buffers()}
    with dl.networks.assembly.frozen_statistics(net), fused.differentiated_once():
        net(batch(), mixing_of("S1"))
    assert all(torch.equal(before[name], value) for name, value in net.named_buffers())


def test_dense_prediction_has_the_same_cells(exact, cells):
    net = DenseSupernet(dl.spaces.get("S6"), channels=4, layers=3, displacements=3).double()
    mixing = torch.rand(dl.spaces.get("S6").shape, dtype=torch.float64)
    pairs = torch.randn(2, 6, 48, 48, dtype=torch.float64)
    for drop_path in (0.0, 0.3):
        assert_close(*(passed(net, pairs, mixing, together=on, drop_path=drop_path) for on in (False, True)))
    assert cells


@pytest.mark.parametrize("space", ("S1", "DARTS"))
def test_gradients_are_those_of_differences(space, exact):
    net = supernet_of(space, channels=4, layers=3).requires_grad_(False)

    def outputs(x, mixing):
        with fused.differentiated_once():
            return net(x, mixing)

    x, mixing = batch(2, 8).requires_grad_(), mixing_of(space).requires_grad_()
    assert torch.autograd.gradcheck(outputs, (x, mixing), fast_mode=True)


@pytest.mark.parametrize("space", SPACES)
def test_float32_is_as_near_to_float64_as_the_plain_form(space):
    """The mean over several batches; where a ReLU or a maximum turns over, one gradient says nothing."""
    distances = {False: 0.0, True: 0.0}
    for seed in range(4):
        net = Supernet(dl.spaces.get(space), channels=8, layers=5, generator=torch.Generator().manual_seed(seed))
        x, mixing = batch(16), mixing_of(space)
        truth = passed(copy.deepcopy(net).double(), x, mixing, together=False)
        for on in distances:
            found = passed(net, x.float(), mixing.float(), together=on)
            distances[on] += float((found[0] - truth[0]).norm() / truth[0].norm())
    assert distances[True] < 2 * distances[False]


@pytest.mark.parametrize("space", ("S4", "DARTS"))
def test_searches_and_trainings_have_the_same_bits_on_any_number_of_threads(space, colours, small, cells):
    found = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        try:
            search = dl.Search(space, colours(), scale=small, path=False, channels=8, drop_path=0.3)
            list(search)
            training = Training(search.genotype, colours(), scale=small, path=False, channels=8)
            list(training)
        finally:
            torch.set_num_threads(1)
        found.append([*search.supernet.state_dict().values(), search.alpha, *training.network.state_dict().values()])
    assert cells
    assert all(torch.equal(*pair) for other in found[1:] for pair in zip(found[0], other, strict=True))


@pytest.mark.parametrize("threads", (1, 2))
def test_what_is_nearer_to_zero_than_normal_numbers_is_zero_within_the_kernels_alone(threads):
    cell = supernet_of("S1", dtype=torch.float32).eval().backbone.cells[0]
    x = torch.full((64, 24, 16, 16), 1e-38)
    torch.set_num_threads(threads)
    try:
        with fused.differentiated_once():
            found = cell(x, x)
    finally:
        torch.set_num_threads(1)
    assert not found.any()
    assert (torch.tensor([1e-39]) * 1).any()


@pytest.mark.parametrize(("order", "drop_path"), ((1, 0.0), (2, 0.0), (2, 0.3)))
@pytest.mark.parametrize("space", ("S1", "S2", "S3", "S4"))
def test_a_step_of_a_search_comes_to_the_same_but_for_rounding(
    space, order, drop_path, small_search, monkeypatch, cells
):
    """Later steps do not: Adam turns the sign of a vanishing gradient into a whole step. The plain form is as far from
    itself where its initial weights are rounded otherwise."""
    images, labels = batch(8, 16, torch.float32), torch.arange(8) % 4
    found = []
    for switch in ("1", "0"):
        monkeypatch.setenv("DARTS_LAB_FUSED", switch)
        search = small_search(space, order=order, channels=8)
        search.descent.step((images, labels), (images.flip(3), labels), 0.025, drop_path)
        found.append(
            torch.cat([weights.detach().flatten() for weights in (search.alpha, *search.supernet.parameters())])
        )
    assert cells
    assert (found[0] - found[1]).norm() < 1e-4 * found[1].norm()


def test_what_takes_the_plain_form(cells, small_search):
    net, x, mixing = supernet_of("S2", dtype=torch.float32), batch(dtype=torch.float32), mixing_of("S2", torch.float32)
    net(x, mixing)  # whoever calls it may differentiate twice
    with fused.differentiated_once():
        supernet_of("S2", channels=5, layers=1, dtype=torch.float32)(x, mixing)
        supernet_of("S2", dtype=torch.float32, node_norm=True)(x, mixing)
        net.double()(x.double(), mixing.double())
        with torch.autocast("cpu", torch.bfloat16):
            net.float()(x, mixing)
    search = small_search(channels=8)
    dl.curvature.dominant_eigenvalue(search)
    assert not cells
    with fused.differentiated_once():
        net(x, mixing)
    assert cells


def test_a_thread_that_watches_operations_changes_none_of_another(cells):
    """As the count of multiply-adds does, on which another thread's bits must not depend."""

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), named=None):
            return function(*arguments, **(named or {}))

    net, x, mixing = supernet_of("S2", dtype=torch.float32), batch(dtype=torch.float32), mixing_of("S2", torch.float32)
    watching, go_on = Event(), Event()

    def watch():
        with Watching():
            watching.set()
            go_on.wait()

    thread = Thread(target=watch)
    thread.start()
    watching.wait()
    with fused.differentiated_once():
        net(x, mixing)
    go_on.set()
    thread.join()
    assert len(cells) == len(net.backbone.cells)
    with fused.differentiated_once(), Watching():
        net(x, mixing)
    assert len(cells) == len(net.backbone.cells)


def test_a_second_derivative_is_refused():
    net, mixing = supernet_of("S2", dtype=torch.float32), mixing_of("S2", torch.float32).requires_grad_()
    with fused.differentiated_once():
        loss = net(batch(dtype=torch.float32), mixing).square().sum()
    gradient = torch.autograd.grad(loss, mixing, create_graph=True)[0]
    with pytest.raises(RuntimeError):
        torch.autograd.grad(gradient.sum(), mixing)


@pytest.mark.parametrize("part", ("depthwise", "pointwise", "even", "alone"))
def test_some_weights_alone_need_gradients(part, exact):
    found = []
    for together in (False, True):
        net, mixing = supernet_of("DARTS", channels=4, layers=3), mixing_of("DARTS")
        for name, weights in net.named_parameters():
            weights.requires_grad_(part in name)
        with fused.differentiated_once() if together else nullcontext():
            loss = (net(batch(), mixing.requires_grad_()) ** 2).sum()
        variables = [mixing, *(weights for weights in net.parameters() if weights.requires_grad)]
        found.append(torch.autograd.grad(loss, variables))
    assert len(found[0]) > 1 or part == "alone"
    assert all(torch.allclose(*pair, rtol=1e-9, atol=1e-11) for pair in zip(*found, strict=True))


def test_inputs_that_do_not_fit_a_cell_are_refused():
    cell = supernet_of("S2", dtype=torch.float32).backbone.cells[0]
    fits = torch.randn(2, 24, 8, 8)
    for other in (fits[:1], fits[:, :12], fits[..., :4, :4], torch.randn(2, 24, 16, 16)):
        for inputs in ((fits, other), (other, fits)):
            with fused.differentiated_once(), pytest.raises(ValueError, match="^images: "):
                cell(*inputs)


def test_an_output_that_is_changed_in_place_is_noticed_or_does_no_harm():
    net, x = supernet_of("S2", dtype=torch.float32), torch.randn(2, 24, 8, 8, requires_grad=True)
    gradients = []
    for rectify in (torch.relu, torch.relu_):
        with fused.differentiated_once():
            out = rectify(net.backbone.cells[0](x, x))
        gradients.append(torch.autograd.grad(out.sum(), x)[0])
    assert torch.equal(*gradients)
    with fused.differentiated_once():
        out = fused.cell(net.backbone.cells[0], fused.grouped(x), fused.grouped(x), samples=2)
    loss = out.relu_().sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_threads_that_begin_within_a_step_of_another_keep_what_was_asked_for(small_search):
    net, settings = supernet_of("S2", dtype=torch.float32), small_search().settings
    begun, go_on, seen = Event(), Event(), []

    def first():
        torch.set_num_threads(3)
        with fused.step(net, settings):
            begun.set()
            go_on.wait()
        seen.append(torch.get_num_threads())

    def second():
        begun.wait()
        with fused.step(net, settings):
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())
        go_on.set()

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.set_num_threads(1)
    assert seen == [1, 3, 3]


@pytest.mark.parametrize("space", ("S2", "DARTS"))
def test_what_is_no_number_is_not_hidden(space):
    net = supernet_of(space, dtype=torch.float32)
    with torch.no_grad():
        net.backbone.cells[0].preprocess0.weight[0, 0] = torch.nan
    with fused.differentiated_once():
        assert net(batch(dtype=torch.float32), mixing_of(space, torch.float32)).isnan().all()


def test_images_that_cannot_be_halved_are_refused():
    net, mixing = supernet_of("S2", dtype=torch.float32), mixing_of("S2", torch.float32)
    for size in (10, 13):
        with fused.differentiated_once(), pytest.raises(ValueError, match="cannot be halved"):
            net(batch(size=size, dtype=torch.float32), mixing)


def test_weights_that_change_before_the_backward_pass_are_noticed():
    net, mixing = supernet_of("S2", dtype=torch.float32), mixing_of("S2", torch.float32).requires_grad_()
    with fused.differentiated_once():
        loss = net(batch(dtype=torch.float32), mixing).square().sum()
    with torch.no_grad():
        for weights in net.parameters():
            weights.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


SCRIPT = """
import warnings, sys
{before}
import darts_lab as dl
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    search = dl.Search("DARTS", scale="tiny", epochs=1, path=False)
    list(search)
    dl.check()
print("warned:", sum(str(w.message).startswith("fused: ") for w in caught))
print("alpha:", search.alpha.sum().item().hex(), sum(w.sum() for w in search.supernet.parameters()).item().hex())
"""


def alone(before="", with_errors=False, **environment) -> str:
    """What a process of its own prints."""
    script = SCRIPT.format(before=before)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout if with_errors else done.stdout


def alpha_of(printed: str) -> str:
    return printed.split("alpha:")[1].strip()


def test_where_it_cannot_be_had_one_line_says_so_and_everything_is_as_without():
    switched_off = alone(DARTS_LAB_FUSED="0")
    assert "Fused kernels: off, because DARTS_LAB_FUSED=0 was set" in switched_off
    missing = alone("sys.modules['numba'] = None")
    assert "Fused kernels: off, because numba is not installed" in missing and "warned: 0" in missing
    broken = "import types; m = types.ModuleType('numba'); sys.modules['numba'] = m"
    unusable = alone(broken)
    assert "Fused kernels: off, because the kernels do not load" in unusable and "warned: 1" in unusable
    old = "import torch; torch.backends.cpu.get_cpu_capability = lambda: 'DEFAULT'"
    assert "Fused kernels: off, because this processor has no AVX2" in alone(old)
    assert alpha_of(switched_off) == alpha_of(missing) == alpha_of(unusable)


def test_no_folder_in_which_kernels_can_be_kept():
    printed = alone("from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []")
    assert "warned: 1" in printed and "off, because the kernels do not load (cannot cache function" in printed


def test_a_row_is_verified_by_the_kernels_that_made_it(small_search, monkeypatch):
    from darts_lab.studies import verify

    here = fused.arithmetic(torch.device("cpu"))
    plain, kernels = here.rsplit(", ", 1)
    assert kernels == fused.NAME
    row = {"device": "cpu", "threads": 1, "torch": torch.__version__, "version": dl.__version__}
    for processor in (here, plain):
        row["processor"] = processor
        assert verify.expected(row) == (True, "the same bits: it was made on such a processor, with these versions")
        with verify._as_made(row):
            assert fused.arithmetic(torch.device("cpu")) == processor
    same, words = verify.expected(row | {"processor": f"{plain}, fused"})  # the kernels of former versions
    assert not same and f"processor '{plain}, fused' there, '{here}' here" in words
    assert os.environ["DARTS_LAB_FUSED"] == "1"


def test_kernels_are_compiled_once_and_from_the_cache_have_the_same_bits(tmp_path):
    said = "The fused kernels are compiled now, once"
    first, second = (alone(NUMBA_CACHE_DIR=str(tmp_path), with_errors=True) for _ in range(2))
    assert said in first and said not in second and "Fused kernels: on (numba" in second
    assert alpha_of(first) == alpha_of(second)
