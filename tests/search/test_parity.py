"""`parity=True`: every oddity of the official code that docs/parity.md lists, each against its formula."""

import copy
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples import same
from torch.func import functional_call

import darts_lab as dl
from darts_lab.methods.monitors import Adaptation, EarlyStopping, Rule
from darts_lab.methods.schedules import FisherTrace, StaleFisherTrace, Timing
from darts_lab.networks.operations import BatchNorm, Separable
from darts_lab.plan import Plan, of_job, of_search, of_training
from darts_lab.search import bilevel
from darts_lab.search.training import Training
from darts_lab.studies import verify

CELL = "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=range(2, 3), " \
       "reduce=[('max_pool_3x3', 0), ('dil_conv_5x5', 1)], reduce_concat=range(2, 3))"  # fmt: skip


def in_double(search):
    """The same search in float64."""
    search.supernet.double()
    search.alpha.data = search.alpha.data.double()
    real = search.task.training_batch
    search.task.training_batch = lambda *given: (lambda images, labels: (images.double(), labels))(*real(*given))
    return search


def two_batches(search):
    places = torch.arange(8), torch.arange(8, 16)
    generator = torch.Generator().manual_seed(7)
    return [
        search.task.training_batch(split, place, generator)
        for split, place in zip(("train", "valid"), places, strict=True)
    ]


# --- what the one word turns on ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "code", "parts"),
    [
        ("DARTS", "RobustDARTS", {}),
        ("R-DARTS(L2)", "RobustDARTS", {}),
        ("DARTS-ES", "RobustDARTS", {"monitor": EarlyStopping(at_end=False)}),
        ("DARTS-ADA", "RobustDARTS", {"monitor": Adaptation(keeps=True)}),
        ("DARTS-PRIME", "DARTS-PRIME", {"schedule": FisherTrace(10, start=1.0)}),
        ("PRIME(ADMM)", "DARTS-PRIME", {"schedule": FisherTrace(10, start=1.0), "admm": dl.terms.ADMM(parity=True)}),
        ("CRB", "DARTS-PRIME", {}),
    ],
)
def test_one_word_turns_on_what_the_code_of_a_methods_authors_has(method, code, parts):
    plain, plan = (of_search("S2", "cifar10", method, "paper", 0, **more) for more in ({}, {"parity": True}))
    assert plan.search.parity == code and not plain.search.parity
    assert not plan.search.cutout_rises and plan.search.curvature_parity
    assert {name: getattr(plan.method, name) for name in parts} == parts
    others = {name: value for name, value in vars(plan.method).items() if name not in parts}
    assert others == {name: value for name, value in vars(plain.method).items() if name not in parts}
    assert plan.hash != plain.hash
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_random_search_may_draw_none_as_their_code_does():
    plan, named = of_search("S3", "cifar10", "RS-ws", "paper", 0, parity=True), dl.methods.get("RS-ws(none)")
    assert plan.method.parts() == named.parts()


def test_for_language_the_code_is_that_of_the_recurrent_search():
    plan = of_search("RNN", "pydocs", "DARTS-PRIME", "paper", 0, parity=True)
    assert plan.method.schedule == StaleFisherTrace(10, average=1.0, start=1.0)
    assert type(plan.method.schedule) is StaleFisherTrace and plan.method.train_portion is None


def test_a_setting_that_is_given_stays_as_it_is_given_and_a_code_can_be_named():
    plan = of_search("S2", "digits", "DARTS", "laptop", 0, parity="DARTS-PRIME", cutout_rises=True)
    assert plan.search.parity == "DARTS-PRIME" and plan.search.cutout_rises and plan.search.curvature_parity
    assert of_training(CELL, "digits", "laptop", 0, parity=True).evaluation.parity == "RobustDARTS"
    for wrong in (1, "yes", None):
        with pytest.raises(ValueError, match="parity: .* is not allowed; it must be False or True or 'RobustDARTS' or"):
            of_search("S2", "digits", "DARTS", "laptop", 0, parity=wrong)


def test_a_job_of_a_sweep_takes_it_to_its_training_and_its_row_can_be_done_again(tmp_path):
    plan = of_job({"space": "S2", "scale": "tiny", "parity": True})
    assert plan.evaluation.parity == "RobustDARTS" == plan.search.parity
    assert of_job({"space": "S2", "parity": True, "evaluation": {"parity": False}}).evaluation.parity is False
    jobs = dl.grid(space="S2", scale="tiny", method=["DARTS", "DARTS-PRIME"], seed=0, parity=True, epochs=1)
    for row in dl.sweep(jobs, tmp_path).to_dict("records"):
        assert verify.plan_of(row).search.parity == dl.methods.get(row["method"]).code
        assert verify.verify(row)["equal"].all()


@pytest.mark.parametrize("method", ["DARTS-2nd", "DARTS-PRIME", "RS-ws", "PRIME(ADMM)"])
def test_a_search_goes_on_bit_for_bit(method, small_search, colours, tmp_path):
    whole, half = (
        small_search("S3", method=method, parity=True, epochs=3, drop_path=0.2, cutout=2, path=tmp_path / name)
        for name in ("whole", "half")
    )
    list(whole)
    next(half)
    again = dl.Search.resume(half.run.path, data=colours())
    assert again.plan.hash == half.plan.hash and again.method.parts() == half.method.parts()
    list(again)
    assert same(again.state(), whole.state())


# --- the initial weights of PyTorch 0.3.1 -----------------------------------------------------


@pytest.mark.parametrize("kind", ["supernet", "network"])
def test_initial_weights_are_those_of_pytorch_0_3(kind, small_search, colours, small):
    if kind == "supernet":
        plain, official = (small_search("DARTS", parity=parity, channels=8).supernet for parity in (False, True))
    else:
        plain, official = (
            Training(CELL, colours(), small, channels=8, parity=parity).network for parity in (False, True)
        )
    separable, scales = [], []
    for (name, one), other in zip(plain.named_modules(), official.modules(), strict=True):
        if isinstance(one, Separable):
            separable.append((name, one, other))
        elif isinstance(one, BatchNorm) and one.scale is not None:
            scales.append((one.scale, other.scale))
    assert separable and scales
    for _, one, other in separable:
        channels, kernel = one.depthwise.shape[1], one.depthwise.shape[-1]
        bound = 1 / math.sqrt(channels * kernel**2)
        assert 0.8 * bound < other.depthwise.abs().max() <= bound
        assert one.depthwise.abs().max() > bound, "as PyTorch draws them since 0.4"
        assert torch.equal(one.pointwise, other.pointwise)
    assert all((one == 1).all() for one, _ in scales)
    drawn = torch.cat([other.detach() for _, other in scales])
    assert 0 <= drawn.min() < 0.1 and 0.9 < drawn.max() < 1 and abs(drawn.mean() - 0.5) < 0.15


def test_the_code_of_maile_et_al_begins_with_todays_weights(small_search):
    plain, official = (small_search(method="DARTS-PRIME", parity=parity) for parity in (False, True))
    assert same(plain.supernet.state_dict(), official.supernet.state_dict())


# --- the gradient of alpha --------------------------------------------------------------------


@pytest.mark.parametrize(("space", "drop_path"), [("S4", 0.0), ("S2", 0.3), ("S4", 0.3)])
def test_both_ends_of_the_finite_difference_draw_noise_and_paths_anew(space, drop_path, small_search):
    """The formula of quark0/darts, `cnn/architect.py`, at the states of the generator which its four passes saw."""
    search = in_double(small_search(space, order=2, parity=True))
    descent, states, rate = search.descent, [], 0.1
    outputs = descent.outputs
    descent.outputs = lambda *given, **more: states.append(descent.generator.get_state()) or outputs(*given, **more)
    train, valid = two_batches(search)
    found = descent.alpha_gradient(train, valid, rate, drop_path)
    assert len({bytes(state.tolist()) for state in states}) == 4, "four draws"
    alpha = search.alpha.detach().clone().requires_grad_()
    names, w = list(descent.weights), [weight.detach() for weight in descent.weights.values()]

    def loss(weights, batch, state):
        generator = torch.Generator()
        generator.set_state(state)
        more = {"drop_path": drop_path, "generator": generator}
        logits = functional_call(search.supernet, dict(zip(names, weights)), (batch[0], alpha.softmax(-1)), more)
        return F.cross_entropy(logits, batch[1])

    at = [weight.clone().requires_grad_() for weight in w]
    gradient = torch.autograd.grad(loss(at, train, states[0]), at, materialize_grads=True)
    after = [(weight - rate * (g + 3e-4 * weight)).requires_grad_() for weight, g in zip(w, gradient)]
    outer, *v = torch.autograd.grad(loss(after, valid, states[1]), [alpha, *after], materialize_grads=True)
    h = 0.01 / torch.cat([part.flatten() for part in v]).norm()
    ends = [
        torch.autograd.grad(loss([weight + sign * h * part for weight, part in zip(w, v)], train, state), alpha)[0]
        for sign, state in ((1, states[2]), (-1, states[3]))
    ]
    expected = outer - rate * (ends[0] - ends[1]) / (2 * h)
    assert (found - expected).abs().max() < 1e-9 * expected.abs().max()


@pytest.mark.parametrize("order", [1, 2])
def test_alpha_steps_move_the_running_statistics(order, small_search):
    """Once for every pass through the supernet itself; the unrolled one of second order is thrown away."""
    search, plain = (in_double(small_search("S2", order=order, parity=parity)) for parity in (True, False))
    before = {name: buffer.clone() for name, buffer in search.supernet.named_buffers()}
    for one in (search, plain):
        one.descent.alpha_gradient(*two_batches(one), 0.1)
    assert all(torch.equal(buffer, before[name]) for name, buffer in plain.supernet.named_buffers())
    backbone, seen = search.supernet.backbone, {}
    for name, (images, _) in zip(("train", "valid"), two_batches(search), strict=True):
        seen[name] = F.conv2d(images, backbone.stem, padding=1).mean((0, 2, 3))
    moved = backbone.stem_norm.running_mean
    if order == 1:
        assert (moved - 0.1 * seen["valid"]).abs().max() < 1e-12
    else:  # the two ends lie on either side of w, where the mean of a convolution is as far above as below
        expected = 0.1 * (1 + 0.9 + 0.81) * seen["train"]
        assert (moved - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.parametrize("clip", [0.25, 8.0, 1e4])
def test_the_recurrent_search_clips_as_quark0_does(clip):
    """`rnn/architect.py`: both gradients are clipped, each by itself, and the difference multiplied by clip / norm of the
    first, above 1 or not. For a quadratic loss everything can be written down."""
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(6, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    coupling = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    w, alpha = (torch.randn(n, generator=generator, dtype=torch.float64) for n in (6, 4))
    rate, decay = 0.03, 0.01

    def train_loss(values, alpha):
        (x,) = values
        return 0.5 * x @ (a @ a.T) @ x + x @ coupling @ alpha**2

    def valid_loss(values, alpha):
        (x,) = values
        return 0.5 * x @ (b @ b.T) @ x + 0.1 * alpha.sum() ** 2, "beside"

    alpha.requires_grad_()
    found, loss, beside = bilevel.second_order(
        train_loss, valid_loss, [w], alpha, rate=rate, decay=decay, clip=clip, chain_rule=False
    )

    def clipped(vector):
        return vector * min(1.0, clip / (float(vector.norm()) + 1e-6))

    point = alpha.detach()
    gradient = a @ a.T @ w + coupling @ point**2
    after = w - rate * (clipped(gradient) + decay * w)
    factor = clip / (float(gradient.norm()) + 1e-6)
    expected = 0.2 * point.sum() - rate * factor * 2 * point * (coupling.T @ clipped(b @ b.T @ after))
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max() and beside == "beside"
    assert float(loss) == pytest.approx(float(valid_loss([after], point)[0]), rel=1e-6)


def test_a_recurrent_search_of_second_order_uses_that_form(monkeypatch):
    text = ("a b c d e f g h " * 200).split()
    data, used = dl.corpus.from_text(text, text[:600], text[:600]), []
    real = bilevel.second_order
    monkeypatch.setattr(bilevel, "second_order", lambda *given, **more: used.append(more) or real(*given, **more))
    for parity in (False, True):
        used.clear()
        search = dl.Search("RNN", data, "DARTS-2nd", "tiny", path=False, parity=parity, curvature_every=0, epochs=1)
        list(search)
        assert {more["chain_rule"] for more in used} == {not parity}
        assert np.isfinite(search.history[-1].valid_loss)
    assert used[0]["clip"] == 0.25 and used[0]["rate"] == 5.0


# --- images and steps -------------------------------------------------------------------------


def test_the_one_shot_error_is_that_on_augmented_validation_images(small_search):
    search = small_search("S2", parity=True, drop_path=0.4, cutout=4, epochs=3)
    next(search)
    generator = torch.Generator().manual_seed(search.seed + 2**33 + search.epoch)
    images, labels = search.task.training_batch("valid", torch.arange(16), generator, 1.0)
    search.supernet.eval()
    with torch.no_grad():
        logits = search.supernet(images, search.mixing)
    loss, error = search.one_shot()
    assert loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-6)
    assert error == float((logits.argmax(1) != labels).float().mean())
    plain = search.task.measure(lambda inputs: search.supernet(inputs, search.mixing), "valid")[0]
    assert loss != pytest.approx(plain, rel=1e-6) and search.one_shot() == (loss, error), "the same at every look"


def test_the_test_split_of_a_training_is_never_augmented(colours, small):
    plain, official = (Training(CELL, colours(), small, parity=parity, epochs=1) for parity in (False, "DARTS-PRIME"))
    official.network.load_state_dict(plain.network.state_dict())
    assert plain.test() == official.test()


def test_cutout_is_certain_from_the_first_epoch_on(small_search):
    search, rises = (small_search("S2", drop_path=0.4, parity=parity) for parity in (True, False))
    assert search.strength == 1.0 and rises.strength == 0.0


def test_the_learning_rate_of_maile_et_al_is_one_epoch_ahead(small_search, colours, small):
    more = {"epochs": 4, "learning_rate": 0.025, "learning_rate_min": 0.001, "curvature_every": 0}
    search = small_search("S2", method="DARTS-PRIME", parity=True, **more)
    rates = [record.learning_rate for record in search]
    assert rates == pytest.approx([0.001 + 0.012 * (1 + math.cos(math.pi * (epoch + 1) / 4)) for epoch in range(4)])
    assert rates[-1] == 0.001
    training = Training(CELL, colours(), small, parity="DARTS-PRIME", epochs=3)
    assert [record.learning_rate for record in training][-1] == 0
    darts = [record.learning_rate for record in small_search("S2", parity=True, **more)]
    assert darts[0] == 0.025
    ahead = [
        record.learning_rate
        for record in small_search("S2", method="RS-ws", parity=True, **(more | {"curvature_every": 1}))
    ]
    assert ahead == rates, "random search lowers its rate after the first batch of an epoch"


def test_validation_batches_of_maile_et_al_come_without_replacement(small_search):
    search = small_search("S2", method="DARTS-PRIME", parity=True)
    task, generator = search.task, torch.Generator().manual_seed(0)
    n = task.size("valid")
    task.order(8, generator)
    places = [
        task.next_valid(search.valid_batch_size, generator) for _ in range(4 * math.ceil(n / search.valid_batch_size))
    ]
    each = math.ceil(n / search.valid_batch_size)
    for begin in range(0, len(places), each):
        assert sorted(torch.cat(places[begin : begin + each]).tolist()) == list(range(n))
    task.next_valid(1, generator)
    task.order(8, generator)
    assert task.not_yet == [], "every epoch begins anew"


@pytest.mark.parametrize(("traces", "due"), [([0.5], True), ([2.0], False), ([13.9, 13.9], False)])
def test_the_threshold_of_the_fisher_trace_begins_at_one(traces, due):
    schedule, timing = FisherTrace(10).official(False), Timing()
    for trace in traces:
        timing = schedule.after(timing, False, torch.tensor(trace))
    assert schedule.threshold(timing) == pytest.approx(1.05 ** len(traces))
    assert schedule.due(timing, 0) is due


# --- monitors ---------------------------------------------------------------------------------


class Record:
    def __init__(self, epoch, value, weight_decay=3e-4, back_to=None):
        self.epoch, self.dominant_eigenvalue, self.weight_decay, self.back_to = epoch, value, weight_decay, back_to


def kept_tracker(values, every=2, window=5, delta=4, factor=1.3, start=10):
    """`utils.EVLocalAvg` of Zela et al. in words of our own: `values` are pairs (epoch, eigenvalue) in the order in which
    they were measured. Gives the epoch to go back to after the last one, or None."""
    seen, averages = [], []
    for _, value in values:
        seen.append(value)
        if len(seen) >= math.ceil(window / 2):
            averages.append(np.mean(seen[-window:]))
    last = values[-1][0] - every * (window // 2)
    if last - every * delta >= start and len(averages) > delta and averages[-1] / averages[-1 - delta] > factor:
        return last - every * delta
    return None


@pytest.mark.parametrize("seed", range(6))
def test_the_tracker_of_adaptation_is_kept_after_going_back(seed):
    rng = np.random.default_rng(seed)
    monitor, history, epoch, backs = Adaptation(keeps=True, most=1e9), [], 0, 0
    while epoch < 49 and backs < 6:
        history.append(Record(epoch, float(0.1 + 0.02 * epoch * rng.uniform(0.5, 1.5))))
        expected = kept_tracker([(record.epoch, record.dominant_eigenvalue) for record in history])
        assert monitor.verdict(history, False).back == expected
        epoch += 2
        if expected is not None:
            history[-1].back_to, epoch, backs = expected, expected + 2, backs + 1
    assert backs > 0
    assert Adaptation(most=1e9).verdict(history, False) != monitor.verdict(history, False) or backs < 6


def test_after_going_back_the_unrolled_step_keeps_the_decay_from_before(small_search):
    rule = Rule(window=1, delta=1, factor=1.000001, start=1)
    method = dl.Method("ADA", {"order": 2}, monitor=Adaptation(rule))
    search = small_search(method=method, parity=True, epochs=6, curvature_every=1, alpha_learning_rate=0.1)
    used, real = [], search.descent._unrolled_gradient

    def noted(*given):
        used.append((search.weight_decay, search.descent.unrolled_decay))
        return real(*given)

    search.descent._unrolled_gradient = noted
    list(search)
    backs = [record.weight_decay for record in search.history if record.back_to is not None]
    assert backs, "the rule must fire for this test to say much"
    assert {(decay, before) for decay, before in used} == {
        (decay, None if number == 0 else backs[number - 1])
        for number, decay in enumerate([*backs, search.history[-1].weight_decay])
    }


def test_the_running_code_of_early_stopping_does_not_judge_after_the_last_epoch():
    values = [0.1] * 19 + [0.1 * 1.3**n for n in range(1, 8)]
    epochs = [*range(0, 50, 2), 49]
    history = [Record(epoch, value) for epoch, value in zip(epochs, values, strict=True)]
    known = [EarlyStopping(at_end=False).verdict(history[:count], count == 26).stop for count in range(3, 27)]
    assert known[-1] is None
    assert EarlyStopping().verdict(history, True).stop is not None


# --- random search with weight sharing --------------------------------------------------------


def test_random_search_takes_as_many_steps_as_25000_images_have_whatever_the_data(small_search):
    """50 epochs of 64 at paper scale: 19,531 batches; of the 573 that SVHN has, 34 epochs and 49 batches."""
    search = small_search(method="RS-ws", parity=True, epochs=2, batch_size=8)
    assert search.budget == 2 * 25_000 // 8 and search.epochs == 2, "less data than that: all epochs"
    assert 50 * 25_000 // 64 == 19_531 and divmod(19_531, math.ceil(36_628 / 64)) == (34, 49)
    small = type("Budget", (type(search),), {"budget": 3})  # two batches in an epoch
    search = copy.copy(small_search(method="RS-ws", parity=True, epochs=5, curvature_every=1))
    search.__class__ = small
    search.epochs = search._epochs()
    records = list(search)
    assert [record.epoch for record in records] == [0, 1] and search.descent.timing.batches == 3
    assert search.finished and search.selected is not None
    assert 0 <= records[-1].train_error <= 1


def test_a_supernet_trained_with_fixed_alpha_is_not_taken_for_random_search(small_search):
    budgets = [small_search(method=name, parity=True).budget for name in ("RS-ws", "DARTS-PT(fixed alpha)", "DARTS")]
    assert budgets[0] is not None and budgets[1:] == [None, None]
