"""The later remedies: each against its formula, written down anew or worked out by hand, in float64."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import darts_lab as dl
from darts_lab import spaces
from darts_lab.methods import later
from darts_lab.networks.assembly import cells_of_space
from darts_lab.networks.operations import FactorizedReduce

S2 = spaces.S2.with_nodes(2)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def alpha_of(space=S2, seed=1, columns=0):
    shape = (*space.shape[:2], space.candidates + columns)
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64).requires_grad_()


# --- SDARTS


def test_sdarts_rs_shifts_every_weight_evenly_and_keeps_edges_at_one():
    mixing = torch.tensor([[[0.5, 0.3, 0.2], [0.02, 0.9, 0.08]]], dtype=torch.float64)
    draws = torch.rand(mixing.shape, generator=seeded(), dtype=torch.float64)
    found = later.sdarts.at_random(mixing, None, 0.5, None, seeded())
    most = 0.03 + 0.27 * 0.5
    for edge in (0, 1):
        moved = [min(max(float(m) + most * (2 * float(u) - 1), 0), 1) for m, u in zip(mixing[0, edge], draws[0, edge])]
        assert found[0, edge].tolist() == pytest.approx([value / sum(moved) for value in moved], abs=1e-14)
    assert not torch.equal(found, mixing)


def test_sdarts_leaves_one_operation_where_all_would_be_zero():
    below = torch.tensor([[[-0.1, -0.02, -0.3], [0.2, -0.1, 0.6]]])
    assert later.sdarts.on_simplex(below).tolist() == [[[0, 1, 0], [0.25, 0, pytest.approx(0.75)]]]


def test_sdarts_adv_climbs_by_signs_within_its_bound():
    mixing = torch.tensor([[[0.6, 0.4]]], dtype=torch.float64)

    def linear(point):
        return (point * torch.tensor([2.0, 1.0], dtype=torch.float64)).sum()

    def hill(point):  # 0.65 for the first is its top
        return -(point[0, 0, 0] - 0.65).square() - (point[0, 0, 1] - 0.35).square()

    first, second = later.sdarts.at_random(mixing, None, 1.0, None, seeded(2)).flatten().tolist()  # the start
    # both derivatives are positive: each step adds 2/7 epsilon to both weights, within epsilon, and then they sum to one
    for _ in range(7):
        first, second = (b + min(max(a + 2 * 0.3 / 7 - b, -0.3), 0.3) for a, b in ((first, 0.6), (second, 0.4)))
        first, second = min(max(first, 0), 1), min(max(second, 0), 1)
        first, second = first / (first + second), second / (first + second)
    expected = [first, second] if 2 * first + second > 1.6 else [0.6, 0.4]
    found = later.sdarts.against(mixing, linear, 1.0, None, seeded(2))
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-14)
    uphill = later.sdarts.against(mixing, hill, 0.0, None, seeded(2), steps=1)  # one step of 2 * 0.03, cut to 0.03
    assert uphill.flatten().tolist() == pytest.approx([0.63, 0.37], abs=1e-14)
    assert torch.equal(later.sdarts.against(mixing, lambda point: -hill(point) * 0, 1.0, None, seeded()), mixing)


# --- Terms


def test_beta_decay_is_the_mean_of_logsumexp():
    alpha, rows = alpha_of(), []
    for row in alpha.detach().flatten(0, 1).tolist():
        rows.append(math.log(sum(map(math.exp, row))))
    found = later.beta_darts.BetaDecay(50)(alpha, None, 0.3, S2)
    assert found.item() == pytest.approx(0.3 * 50 * sum(rows) / len(rows), rel=1e-13)
    gradient = torch.autograd.grad(found, alpha)[0]
    torch.testing.assert_close(gradient, 15 * alpha.softmax(-1) / len(rows))  # each alpha pays its share


def test_the_zero_one_loss_is_least_at_zero_and_one():
    alpha = alpha_of()
    sigmoids = [1 / (1 + math.exp(-a)) for a in alpha.flatten().tolist()]
    mixing = later.fair_darts.sigmoid(alpha)
    assert mixing.flatten().tolist() == pytest.approx(sigmoids, rel=1e-13)
    expected = -10 * sum((s - 0.5) ** 2 for s in sigmoids) / len(sigmoids)
    assert later.fair_darts.ZeroOne()(alpha, mixing, 0.1, S2).item() == pytest.approx(expected, rel=1e-13)


# --- Samples


@pytest.mark.parametrize(("progress", "tau"), [(0.0, 10.0), (0.5, 5.05), (1.0, 0.1)])
def test_gdas_draws_one_operation_with_the_gradient_of_its_relaxation(progress, tau):
    alpha = alpha_of()
    found = later.gdas.gumbel(alpha, progress, seeded(4))
    noise = -torch.empty_like(alpha).exponential_(generator=seeded(4)).log()
    relaxed = torch.exp((alpha.log_softmax(-1) + noise) / tau)
    relaxed = relaxed / relaxed.sum(-1, keepdim=True)
    assert torch.equal(found, F.one_hot(relaxed.argmax(-1), S2.candidates).double())
    weights = torch.randn(found.shape, generator=seeded(5), dtype=torch.float64)
    gradients = [torch.autograd.grad((one * weights).sum(), alpha)[0] for one in (found, relaxed)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)


def test_gdas_draws_operations_as_often_as_their_softmax():
    alpha = torch.tensor([0.3, -0.5, 1.0], dtype=torch.float64).log_softmax(-1).expand(1, 20_000, 3)
    shares = later.gdas.gumbel(alpha, 0.9, seeded()).mean((0, 1))
    torch.testing.assert_close(shares, alpha[0, 0].exp(), rtol=0, atol=4 * math.sqrt(0.25 / 20_000))


def test_drnas_samples_and_differentiates_as_the_dirichlet_distribution():
    alpha = alpha_of()
    torch.manual_seed(6)
    expected = torch.distributions.Dirichlet(1 + F.elu(alpha)).rsample()
    found = later.drnas.sample(alpha, 0.5, seeded(6))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    weights = torch.randn(found.shape, generator=seeded(5), dtype=torch.float64)
    gradients = [torch.autograd.grad((one * weights).sum(), alpha)[0] for one in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)


def test_the_concentration_of_drnas_is_one_at_the_start():
    assert later.drnas.mean(torch.zeros(1, 1, 4)).flatten().tolist() == [0.25] * 4
    assert later.drnas.concentration(torch.tensor([0.0, 2.0, -1.0])).tolist() == pytest.approx([1, 3, math.exp(-1)])


# --- Networks


def cell_of(kind, **more):
    torch.manual_seed(7)
    cell = cells_of_space(S2, **more)(kind, [8, 8], 8, False, seeded()).double()
    inputs = torch.randn(2, 3, 8, 8, 8, generator=seeded(8), dtype=torch.float64)
    return cell, *inputs.relu()


def applied(module, copy, state):
    """One candidate alone."""
    if isinstance(module, torch.nn.Identity):
        return module(state)
    return module([state.relu() if module.rectified else state], [0], None, [copy])


@pytest.mark.parametrize("kind", ("normal", "reduce"))
def test_a_cell_of_partial_channels_edge_by_edge(kind):
    cell, s0, s1 = cell_of(kind, share=4)
    row = S2.cell_types.index(kind)
    mixing = later.pc_darts.normalised(alpha_of(columns=1))[row].detach()
    found = cell(s0, s1, cell.weighting(mixing))
    places = {(place.edge, place.candidate): (module, copy) for place, module, copy in cell.modules_by_place()}
    states = [cell.preprocess0(s0), cell.preprocess1(s1)]
    for node in range(S2.nodes):
        total = 0
        for edge, (source, to) in enumerate(S2.edges):
            if to != node:
                continue
            through, past = states[source][:, :2], states[source][:, 2:]
            halved = kind == "reduce" and source < 2
            made = 0
            for candidate in range(S2.candidates):
                module, copy = places.get((edge, candidate), (torch.nn.Identity(), 0))
                made = made + mixing[edge, candidate] * applied(module, copy, through)
            past = F.max_pool2d(past, 2, 2) if halved else past
            together = torch.cat([made, mixing[edge].sum() * past], 1)
            batch, channels, height, width = together.shape
            shuffled = together.view(batch, 4, channels // 4, height, width).transpose(1, 2).reshape(together.shape)
            total = total + shuffled
        states.append(total)
    torch.testing.assert_close(found, torch.cat(states[2:], 1), rtol=1e-11, atol=1e-12)


def test_the_edges_into_a_node_share_one():
    alpha = alpha_of(spaces.S2, columns=1)
    mixing = later.pc_darts.normalised(alpha)
    assert mixing.shape == spaces.S2.shape
    begin = 0
    for node in range(spaces.S2.nodes):
        edges = range(begin, begin := begin + node + 2)
        for cell in (0, 1):
            total = sum(alpha[cell, edge, -1].exp().item() for edge in edges)
            for edge in edges:
                row = [math.exp(value) for value in alpha[cell, edge, :-1].tolist()]
                expected = [alpha[cell, edge, -1].exp().item() / total * value / sum(row) for value in row]
                assert mixing[cell, edge].tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ("normal", "reduce"))
def test_the_auxiliary_skip_does_what_a_skip_does_and_may_be_left_out(kind):
    cell, s0, s1 = cell_of(kind, auxiliary_skip=True)
    skip = [names.index("skip_connect") for names in S2.cell(kind)]
    edges = torch.arange(len(S2.edges))
    copies = {(place.edge, place.candidate): (module, copy) for place, module, copy in cell.modules_by_place()}
    for edge in range(len(edges)):  # in reduction cells it has weights of its own: those of the skip for now
        if (edge, S2.candidates) in copies:
            (ours, to), (theirs, origin) = copies[edge, S2.candidates], copies[edge, skip[edge]]
            assert isinstance(ours, FactorizedReduce) and ours is not theirs
            with torch.no_grad():
                ours.even[to], ours.odd[to] = theirs.even[origin], theirs.odd[origin]
    mixing = alpha_of().detach().softmax(-1)[0]
    beta = 0.7
    found = cell(s0, s1, cell.weighting(torch.cat([mixing, torch.full_like(mixing[:, :1], beta)], 1)))
    mixing[edges, torch.tensor(skip)] += beta
    without = torch.cat([mixing, torch.zeros_like(mixing[:, :1])], 1)
    torch.testing.assert_close(found, cell(s0, s1, cell.weighting(without)), rtol=1e-11, atol=1e-12)


def test_weights_of_the_auxiliary_skip_fall_and_need_not_be_given(small_search):
    search = small_search("S4", method="DARTS-")
    drawn = later.darts_minus.with_auxiliary_skip(search.alpha, 0.25, None)
    assert torch.equal(drawn[..., :-1], search.alpha.softmax(-1)) and torch.equal(
        drawn[..., -1], torch.full(search.space.shape[:2], 0.75)
    )
    images = torch.randn(2, 3, 8, 8, generator=seeded())
    search.supernet.eval()
    zero = torch.cat([search.mixing, torch.zeros(*search.space.shape[:2], 1)], -1)
    noise = [seeded(9) for _ in range(3)]
    found = [search.supernet(images, mixing, generator=noise.pop()) for mixing in (search.mixing, zero, drawn)]
    assert torch.equal(*found[:2]) and not torch.equal(*found[1:])
    with pytest.raises(ValueError, match="mixing: shape"):
        search.supernet(images, zero[..., :-2])


def test_what_recurrent_cells_have_not_is_refused():
    for method in ("PC-DARTS", "DARTS-"):
        with pytest.raises(ValueError, match="method: needs .* of the supernet, which recurrent cells have not"):
            dl.Search("RNN", "pydocs", method, "tiny", path=False)
    with pytest.raises(ValueError, match="pruning: True is not allowed with edge_alpha"):
        dl.Method("both", edge_alpha=True, pruning=True)
    with pytest.raises(ValueError, match="channels: 6 of a cell cannot be shared among 4"):
        dl.Search("S2", method="PC-DARTS", scale="tiny", channels=6, path=False)


def test_alpha_waits_in_pc_darts(small_search):
    search = small_search("S2", method="PC-DARTS", epochs=5)
    steps = [record.alpha_steps for record in search]
    assert steps == [0, 1, 2, 2, 2], "two batches an epoch: the first three of ten are waited for"
    assert search.alpha.shape == (2, 5, 3) and search.history[-1].mixing.shape == search.space.shape


# --- Weights


def test_the_direction_of_lambda_darts_is_the_derivative_of_the_mean_cosine():
    gradients = torch.randn(4, 6, generator=seeded(), dtype=torch.float64).requires_grad_()
    pairs = [(i, j) for i in range(4) for j in range(i)]
    mean = sum(F.cosine_similarity(gradients[i], gradients[j], 0) for i, j in pairs) / len(pairs)
    expected = torch.autograd.grad(mean, gradients)[0]
    torch.testing.assert_close(
        later.lambda_darts.alignment_gradient(gradients.detach()), expected, rtol=1e-12, atol=1e-14
    )


def test_lambda_darts_descends_what_second_derivatives_say(small_search):
    """The gradient in w of the term against that of lambda times the mean cosine, differentiated twice."""
    search = small_search("S2", layers=5, channels=4, method="Lambda-DARTS")
    supernet = search.supernet.double().train()
    images, labels = torch.randn(8, 3, 8, 8, generator=seeded(), dtype=torch.float64), torch.arange(8) % 4
    mixing, cells = alpha_of(search.space).softmax(-1).detach(), tuple(supernet.backbone.cell_types)
    normal = [layer for layer, kind in enumerate(cells) if kind == "normal"]
    assert len(normal) == 3

    def loss(mixing):
        return F.cross_entropy(supernet(images, mixing), labels)

    weights = list(supernet.parameters())
    each = mixing[[search.space.cell_types.index(kind) for kind in cells]].requires_grad_()
    assert torch.equal(loss(each), loss(mixing))
    (g,) = torch.autograd.grad(loss(each), each, create_graph=True)
    g = g[normal].flatten(1)
    mean = sum(F.cosine_similarity(g[i], g[j], 0) for i in range(3) for j in range(i)) / 3
    expected = torch.autograd.grad(-0.25 * 0.4 * mean, weights, materialize_grads=True)
    term = later.lambda_darts.Alignment(step=1e-5)(mixing, loss, 0.4, search.space, cells)
    found = torch.autograd.grad(term, weights, materialize_grads=True)
    apart, whole = (
        torch.cat([(a - b).flatten() for a, b in zip(found, of)]).norm() for of in (expected, [0 * w for w in weights])
    )
    assert apart < 1e-4 * whole
    assert later.lambda_darts.Alignment()(mixing, loss, 1.0, search.space, ("normal", "reduce")) == 0


def test_lambda_darts_takes_its_difference_at_one_draw_of_the_noise(small_search):
    """In S4 another draw at each end would be divided by the tiny step."""
    search = small_search("S4", layers=5, channels=4, method="Lambda-DARTS")
    descent, weights = search.descent, list(search.supernet.parameters())
    seen = []

    def term(mixing, loss, progress, space, cells):
        value = later.lambda_darts.Alignment()(mixing, loss, progress, space, cells)
        seen.append(
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)]
            )
        )
        return value

    descent.method = replace(search.method, training_term=term)
    start = descent.generator.get_state()
    train = search.task.training_batch(
        "train", next(iter(search.task.order(8, descent.generator))), descent.generator, None
    )
    for _ in range(2):
        descent.generator.set_state(start)
        loss = descent.loss_of(train)(search.mixing.detach())
        descent._with_term(loss, train, search.mixing.detach(), 1.0)
    plain = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, materialize_grads=True)])
    assert torch.equal(*seen) and 0 < seen[0].norm() < 100 * plain.norm()


def test_oles_freezes_what_over_fits_for_good(small_search, monkeypatch):
    monkeypatch.setattr(later.oles, "EVERY", 3)
    seen = []
    noted = dl.Method("noted", after_step=lambda *step: (later.oles.freeze(*step), seen.append(step)))
    search = small_search("S2", method=noted, epochs=4)  # eight steps
    descent, stacks = search.descent, later.oles.operations(search.supernet)
    search.step()
    assert len(descent.memory["frozen"]) == sum(copies for _, copies in stacks)
    weights, copies = stacks[0]
    valid = torch.autograd.grad(descent.loss_of(seen[0][2])(search.mixing), weights)  # at the weights after the step
    for copy in range(copies):  # its cosine by hand
        one = torch.cat([weight.grad[copy].flatten() for weight in weights])  # of the step that was taken
        other = one + torch.cat([part[copy].flatten() for part in valid])
        cosine = one @ other / one.norm() / other.norm()
        assert descent.memory["cosines"][copy].item() == pytest.approx(cosine.item(), rel=1e-3, abs=1e-4)
    while descent.memory["steps"] != 2:
        search.step()
    descent.memory["cosines"][1:] = -1.0  # all but the first disagree
    descent.memory["cosines"][0] = 3.0
    while descent.memory["steps"] != 0:
        search.step()
    assert descent.memory["frozen"].tolist() == [False] + [True] * (len(descent.memory["frozen"]) - 1)
    before = [weight.detach().clone() for weights, _ in stacks for weight in weights]
    stem = search.supernet.backbone.stem.detach().clone()
    list(search)
    after = [weight for weights, _ in stacks for weight in weights]
    assert all(torch.equal(*pair) for pair in zip(before[len(weights) :], after[len(weights) :]))
    assert not torch.equal(before[0][0], after[0][0]) and torch.equal(before[0][1:], after[0][1:])
    assert not torch.equal(stem, search.supernet.backbone.stem)


def test_oles_goes_on_bit_for_bit_with_what_it_has_frozen(small_search, tmp_path, colours, monkeypatch):
    monkeypatch.setattr(later.oles, "EVERY", 3)
    monkeypatch.setattr(later.oles, "LEAST", 0.9)  # so that some of them are
    whole = small_search(method="OLES", epochs=4)
    list(whole)
    assert whole.descent.memory["frozen"].any()
    begun = small_search(method="OLES", epochs=4, path=tmp_path / "run")
    next(begun), next(begun)
    assert begun.descent.memory["frozen"].any() and begun.descent.memory["steps"] == 1
    begun.release()
    resumed = dl.Search.resume(tmp_path / "run", data=colours())
    list(resumed)
    assert [one.train_loss for one in resumed.history] == [one.train_loss for one in whole.history]
    pairs = zip(resumed.supernet.parameters(), whole.supernet.parameters())
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_state_that_is_taken_over_stays_as_it_was(small_search, monkeypatch):
    """Adaptation may return to it a second time."""
    search = small_search(method="OLES")
    next(search)
    state = {**search.state(), "memory": {name: tensor.clone() for name, tensor in search.descent.memory.items()}}
    before = {name: tensor.clone() for name, tensor in state["memory"].items()}
    search.load_state(state)
    next(search)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state["memory"].items())


# --- Selection


@pytest.mark.parametrize("space", ("S2", "DARTS"))
def test_darts_pt_keeps_what_is_missed_most(space, small_search, monkeypatch):
    search = small_search(space, method="DARTS-PT", epochs=1)
    importance = torch.rand(search.space.shape, generator=seeded(3))
    monkeypatch.setattr(search, "one_shot", lambda mixing: (0.0, float(-(mixing * importance).sum())))
    with torch.no_grad():
        search.alpha.zero_()  # every operation weighs the same
    found = later.darts_pt.by_perturbation(search)
    expected = importance.clone()
    for cell, kind in enumerate(search.space.cell_types):
        for edge, names in enumerate(search.space.cell(kind)):
            if "none" in names:
                expected[cell, edge, names.index("none")] = 0
    wanted = dl.genotype.discretize(expected, search.space)
    assert all(set(found.edges(kind)) == set(wanted.edges(kind)) for kind in search.space.cell_types)


def test_darts_pt_selects_after_the_last_epoch_alone_and_tuning_leaves_no_trace(small_search):
    search = small_search("S2", method="DARTS-PT", epochs=2, curvature_every=1)
    next(search)
    assert search.selected is None
    record = next(search)
    assert record.genotype == search.selected
    plain = small_search("S2", epochs=2, curvature_every=1)
    assert [one.train_loss for one in plain] == [one.train_loss for one in search.history]
    before = {name: tensor.clone() for name, tensor in search.supernet.state_dict().items()}
    generator = search.descent.generator.get_state()
    search.history.pop()
    assert isinstance(later.darts_pt.by_perturbation(search, tune=1), dl.Genotype)
    assert all(torch.equal(tensor, before[name]) for name, tensor in search.supernet.state_dict().items())
    assert torch.equal(generator, search.descent.generator.get_state()) and search.descent.method is search.method


# --- All


def test_each_has_its_short_file_and_its_page():
    folder = dl.__path__[0]
    for module in later.MODULES:
        name = module.__name__.rsplit(".", 1)[1]
        with open(f"{folder}/methods/later/{name}.py") as file:
            lines = file.read().splitlines()
        assert len(lines) < 75 and f"docs/methods/{name}.md" in "\n".join(lines)
        assert (Path(folder).parent / "docs" / "methods" / f"{name}.md").is_file()


@pytest.mark.parametrize("method", later.METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("space", ("S1", "S2", "S3", "S4", "S5", "DARTS"))
def test_each_searches_every_image_space(space, method, small_search):
    search = small_search(space, method=method)
    records = list(search)
    assert len(records) == 2 and all(math.isfinite(record.train_loss) for record in records)
    assert dl.methods.get(method.name.lower()) is method
