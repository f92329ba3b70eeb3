"""Terms on the mixing weights: formulas written down anew, and the projection against all cells there are."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import darts_lab as dl
from darts_lab import spaces
from darts_lab.methods.method import softmax
from darts_lab.methods.terms import ADMM, AdjustedProximity, Proximity, distance, projection, survivors

SMALL = [
    spaces.S2.with_nodes(2),
    spaces.S3.with_nodes(2),
    spaces.S5,
    spaces.DARTS.with_nodes(1),
    spaces.RNN.with_nodes(2),
]


def cells(space, cell_type):
    """Every discretized cell of one type as a matrix (edges, candidates)."""
    choices = []
    for node in range(space.nodes):
        into = [edge for edge, (_, target) in enumerate(space.edges) if target == node]
        names = space.cell(cell_type)
        choices.append(
            [
                picks
                for pair in itertools.combinations(into, space.inputs)
                for picks in itertools.product(
                    *([(edge, k) for k, name in enumerate(names[edge]) if name != "none"] for edge in pair)
                )
            ]
        )
    for picks in itertools.product(*choices):
        matrix = torch.zeros(space.shape[1:])
        for edge, k in itertools.chain(*picks):
            matrix[edge, k] = 1
        yield matrix


ALL = {space.name: [torch.stack(list(cells(space, kind))) for kind in space.cell_types] for space in SMALL}


@given(st.sampled_from(SMALL), st.integers(0, 2**32), st.booleans())
def test_the_projection_is_the_nearest_of_all_discretized_cells(space, seed, competing):
    mixing = torch.randn(space.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mixing = softmax(mixing) if competing else mixing.clamp(0, 1)
    found = projection(mixing, space)
    for cell, every in enumerate(ALL[space.name]):
        distances = (every - mixing[cell]).square().sum((1, 2))
        assert (found[cell] - mixing[cell]).square().sum() == pytest.approx(float(distances.min()), abs=1e-12)


def of_paper_size(seed=0):
    space = spaces.DARTS
    return space, torch.randn(space.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_proximity_is_the_unsquared_norm_with_a_linear_ramp():
    space, alpha = of_paper_size()
    mixing = softmax(alpha)
    target = projection(mixing, space)
    norms = [math.sqrt(float((mixing[c] - target[c]).pow(2).sum())) for c in (0, 1)]
    assert float(Proximity()(None, mixing, 0.3, space)) == pytest.approx(0.3 * 0.05 * sum(norms))
    squares = sum(norm**2 for norm in norms)
    assert float(Proximity(rho=2.0, squared=True)(None, mixing, 1.0, space)) == pytest.approx(squares)
    kept = target.sum(-1, keepdim=True)
    expected = sum(math.sqrt(float((((mixing - target) * kept)[c]).pow(2).sum())) for c in (0, 1))
    assert float(Proximity(rho=2.0, kept_only=True)(None, mixing, 1.0, space)) == pytest.approx(expected)


def test_uniform_mixing_weights_are_as_far_from_a_cell_as_the_notes_say():
    space, _ = of_paper_size()
    uniform = torch.full(space.shape, 1 / 8)
    one = float(distance(uniform, projection(uniform, space))) / 2
    assert one == pytest.approx(math.sqrt(8 * 0.875 + 6 * 0.125)) and one == pytest.approx(2.784, abs=1e-3)
    most = softmax(50 * projection(uniform, space).double())  # kept edges decided, dropped edges uniform
    assert float(distance(most, projection(most, space))) / 2 == pytest.approx(math.sqrt(6 / 8), abs=1e-6)


def test_the_gradient_of_proximity_does_not_go_through_the_projection():
    space, alpha = of_paper_size()
    mixing = softmax(alpha).requires_grad_()
    (found,) = torch.autograd.grad(Proximity(rho=2.0)(None, mixing, 1.0, space), mixing)
    apart = mixing.detach() - projection(mixing, space)
    torch.testing.assert_close(found, apart / apart.square().sum((1, 2), keepdim=True).sqrt())


def test_a_discretized_cell_has_a_finite_gradient():
    space, alpha = of_paper_size()
    mixing = projection(softmax(alpha), space).requires_grad_()
    (found,) = torch.autograd.grad(Proximity()(None, mixing, 1.0, space), mixing)
    assert not found.any()


def test_adjusted_proximity_leaves_alone_what_is_undecided():
    space, alpha = of_paper_size()
    uniform = torch.full(space.shape, 1 / 8, dtype=torch.float64)
    assert float(AdjustedProximity()(None, uniform, 0.0, space)) == pytest.approx(0, abs=1e-9)
    mixing = softmax(alpha)
    decided = 4 * (mixing.clamp(1e-4, 1) ** (1 / 3) - 0.5) ** 2
    apart = (mixing - projection(mixing, space)) * (0.75 * decided + 0.25)
    expected = 0.05 * sum(math.sqrt(float(apart[c].pow(2).sum())) for c in (0, 1))
    assert float(AdjustedProximity()(None, mixing, 0.25, space)) == pytest.approx(expected)
    assert float(AdjustedProximity()(None, mixing, 1.0, space)) == pytest.approx(
        float(Proximity()(None, mixing, 1.0, space))
    )


def test_admm_in_scaled_form_is_the_textbooks():
    space, alpha = of_paper_size()
    admm = ADMM(rho=0.3, every=2)
    z, u = admm.begin(alpha, softmax(alpha), space)
    assert torch.equal(z, projection(softmax(alpha), space)) and not u.any()
    expected_z, expected_u = z.clone(), u.clone()
    for steps in range(1, 7):
        alpha = alpha + 0.5 * torch.sin(7.0 * steps * alpha)
        term = float(admm.term(softmax(alpha), z, u))
        assert term == pytest.approx(0.15 * float((softmax(alpha) - expected_z + expected_u).pow(2).sum()))
        z, u = admm.after(steps, alpha, softmax, z, u, space)
        if steps % 2 == 0:
            expected_z = projection(softmax(alpha) + expected_u, space)
            expected_u = expected_u + softmax(alpha) - expected_z
        torch.testing.assert_close((z, u), (expected_z, expected_u))


def test_admm_with_parity_is_the_published_code():
    space, alpha = of_paper_size()
    admm = ADMM(parity=True)
    z, u = admm.begin(alpha, softmax(alpha), space)
    assert torch.equal(z, alpha) and not u.any()
    expected = 0.05 * sum(math.sqrt(float((softmax(alpha) - alpha)[c].pow(2).sum())) for c in (0, 1))
    assert float(admm.term(softmax(alpha), z, u)) == pytest.approx(expected)
    for steps in range(1, 19):
        z, u = admm.after(steps, alpha + steps, softmax, z, u, space)
        if steps < 9:
            assert torch.equal(z, alpha) and not u.any(), "nothing moves before the ninth step"
    first = projection(softmax(alpha), space)
    u_first = alpha + 9 - first
    second = projection(softmax(alpha + 18 + u_first), space)
    torch.testing.assert_close(z, second)
    torch.testing.assert_close(u, u_first + alpha + 18 - second)


# --- Pruning -----------------------------------------------------------------------------------


def test_what_falls_to_zero_is_out_and_stays_out():
    space = spaces.S5
    alpha, alive = torch.full(space.shape, 0.5), torch.ones(space.shape, dtype=torch.bool)
    alpha[0, 0, 1] = -0.1
    alive = survivors(alpha, alive, space)
    assert not alive[0, 0, 1] and alive.sum() == alive.numel() - 1
    alpha[0, 0, 1] = 0.9
    assert torch.equal(survivors(alpha, alive, space), alive), "irreversible"


@given(st.integers(0, 2**32), st.sampled_from([spaces.S5, spaces.S2, spaces.S3.with_nodes(3)]))
def test_a_node_never_loses_its_last_operation(seed, space):
    generator = torch.Generator().manual_seed(seed)
    alive = torch.ones(space.shape, dtype=torch.bool)
    for _ in range(6):
        alpha = torch.randn(space.shape, generator=generator) - 1.5
        before, alive = alive, survivors(alpha, alive, space)
        assert not (alive & ~before).any()
        for node in range(space.nodes):
            into = [edge for edge, (_, target) in enumerate(space.edges) if target == node]
            for cell in (0, 1):
                found, was = alive[cell, into], before[cell, into]
                assert found.any()
                if (alpha[cell, into][was] <= 0).all():  # all would go: the largest remains, alone
                    assert found.sum() == 1 and alpha[cell, into][found] == alpha[cell, into][was].max()


def test_crb_begins_at_the_uniform_share_without_none_and_prunes(small_search, colours):
    search = small_search("DARTS", method="CRB", alpha_learning_rate=0.05, epochs=8, data=colours(64))
    assert search.space.candidates == 7 and "none" not in search.space.normal[0]
    torch.testing.assert_close(search.alpha.detach(), torch.full(search.space.shape, 1 / 7), atol=1e-3, rtol=0)
    records = list(search)
    dead = [record.mixing == 0 for record in records]
    assert 0 < dead[-1].sum() < dead[-1].numel()
    assert all((before <= after).all() for before, after in zip(dead, dead[1:])), "what is out stays out"
    assert ((records[-1].mixing >= 0) & (records[-1].mixing <= 1)).all()
    assert len(search.supernet.backbone.cells[0].norms) == search.space.nodes


def test_pruned_operations_are_not_run_any_more(small_search, monkeypatch):
    search = small_search("S5", method="CRB")
    next(search)
    with torch.no_grad():
        search.alpha[:, :, 2] = -1  # the convolutions
    search.descent._prune()
    convolution, ran = search.supernet.backbone.cells[0].stacked[0]["sep_conv_3x3"], []
    monkeypatch.setattr(convolution, "forward", lambda *_: ran.append(1) / 0)
    batch = search.task.training_batch("valid", torch.arange(8), torch.Generator().manual_seed(0))
    gradient = search.descent.alpha_gradient(None, batch, 0.1)
    search.descent.weight_step(batch)
    assert not ran and not gradient[:, :, 2].any() and gradient[:, :, :2].any()


def test_a_pruned_search_goes_on_bit_for_bit(small_search, colours, tmp_path):
    more = {"method": "CRB+PRIME", "epochs": 6, "data": colours(64), "alpha_learning_rate": 0.1, "batch_size": 4}
    records = list(small_search("S3", **more))
    begun = small_search("S3", **more, path=tmp_path / "run")
    for _ in range(4):
        next(begun)
    resumed = dl.Search.resume(tmp_path / "run", data=colours(64))
    assert torch.equal(resumed.descent.alive, begun.descent.alive) and not resumed.descent.alive.all()
    again = [*resumed.history, *resumed]
    assert all(a.alpha.equal(b.alpha) and a.mixing.equal(b.mixing) for a, b in zip(records, again, strict=True))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Proximity(rho=-1), "rho: -1 is not allowed"),
        (lambda: AdjustedProximity(rho=float("nan")), "rho: nan is not allowed"),
        (lambda: ADMM(every=0), "every: 0 is not allowed"),
        (lambda: ADMM(every=1, parity=True), "every: 1 is not allowed"),
    ],
)
def test_a_senseless_term_is_refused_by_name(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_proximity_of_a_search_is_added_to_its_validation_loss(small_search, colours):
    data = colours(64)
    searches = [small_search("DARTS", method=name, data=data) for name in ("PRIME(schedule only)", "DARTS-PRIME")]
    valid = searches[0].task.training_batch("valid", torch.arange(8), torch.Generator().manual_seed(0))
    plain, prime = (search.descent.alpha_gradient(None, valid, 0.1) for search in searches)
    alpha = searches[1].alpha.detach().requires_grad_()
    term = Proximity()(alpha, softmax(alpha), searches[1].descent.progress, searches[1].space)
    torch.testing.assert_close(prime - plain, torch.autograd.grad(term, alpha)[0], rtol=1e-3, atol=1e-6)


def test_admm_pulls_alpha_towards_a_cell_where_no_edge_is_dropped(small_search, colours):
    more = {"data": colours(64), "epochs": 12, "alpha_learning_rate": 0.1, "batch_size": 8}
    apart = []
    for rho in (0.0, 30.0):
        method = dl.Method("mine", admm=ADMM(rho=rho, every=2))
        search = small_search("S5", method=method, **more)
        list(search)
        apart.append(float(distance(search.mixing.detach(), projection(search.mixing.detach(), search.space))))
    assert apart[1] < 0.8 * apart[0]
