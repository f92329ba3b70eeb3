"""The mathematics of the search, on problems small enough to be differentiated exactly."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from darts_lab.search import bilevel

RATE, DECAY, MOMENTUM = 0.3, 0.02, 0.9


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def problem():
    """(w, alpha, momentum buffers, train loss, valid loss): smooth, and bent in every direction."""
    w, alpha = [draw(4, 3, seed=1), draw(3, seed=2)], draw(2, 3, seed=3).requires_grad_()
    buffers = [0.1 * draw(4, 3, seed=4), 0.1 * draw(3, seed=5)]

    def loss(x, y):
        def of(values, alpha):
            mixed = torch.tanh(x @ values[0] + values[1]) * alpha.softmax(-1)[0] + alpha[1].square()
            return (mixed - y).square().mean()

        return of

    train, valid = (loss(draw(6, 4, seed=seed), draw(6, 3, seed=seed + 1)) for seed in (6, 8))
    return w, alpha, buffers, train, lambda values, alpha: (valid(values, alpha), "beside")


def exact(problem, clip=None):
    """d/d alpha of the validation loss after one step of w, by differentiating through the step."""
    w, alpha, buffers, train, valid = problem
    at = [weight.clone().requires_grad_() for weight in w]
    gradient = torch.autograd.grad(train(at, alpha), at, create_graph=True)
    norm = torch.sqrt(sum(part.square().sum() for part in gradient))
    scale = 1.0 if clip is None else torch.clamp(clip / norm, max=1.0)
    after = [
        weight - RATE * (scale * part + DECAY * weight + MOMENTUM * buffer)
        for weight, part, buffer in zip(at, gradient, buffers)
    ]
    return torch.autograd.grad(valid(after, alpha)[0], alpha)[0], norm


@pytest.mark.parametrize("share", [None, 0.3, 3.0], ids=["not clipped", "too long", "short enough"])
def test_second_order_is_the_derivative_through_one_step_of_the_weights(share, problem):
    w, alpha, buffers, train, valid = problem
    clip = None if share is None else share * float(exact(problem)[1])
    expected, norm = exact(problem, clip)
    options = {"rate": RATE, "decay": DECAY, "momentum": MOMENTUM, "buffers": buffers, "epsilon": 1e-4, "clip": clip}
    found, loss, beside = bilevel.second_order(train, valid, w, alpha, **options)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    first = bilevel.first_order(valid(w, alpha)[0], alpha)
    assert (found - first).norm() > 1e-3 * first.norm(), "so that the second order is seen"
    assert beside == "beside" and not loss.requires_grad and all(not weight.requires_grad for weight in w)


def test_the_unrolled_step_is_the_one_that_sgd_takes(problem):
    w, alpha, _, train, _ = problem
    weights = [torch.nn.Parameter(weight.clone()) for weight in w]
    sgd = torch.optim.SGD(weights, RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for _ in range(2):  # the second has a buffer
        before = [weight.detach().clone() for weight in weights]
        buffers = [sgd.state[weight]["momentum_buffer"].clone() for weight in weights] if sgd.state else None
        gradient = torch.autograd.grad(train(weights, alpha.detach()), weights)
        bilevel.weight_step(train(weights, alpha.detach()), sgd, clip=1e9)
        expected = bilevel.unrolled(list(gradient), before, RATE, DECAY, MOMENTUM, buffers)
        for weight, other in zip(weights, expected):
            torch.testing.assert_close(weight.detach(), other, rtol=1e-12, atol=1e-12)


def test_a_weight_step_is_clipped_and_tells_how_long_its_gradient_was(problem):
    w, alpha, _, train, _ = problem
    weights = [torch.nn.Parameter(weight.clone()) for weight in w]
    norm = bilevel.weight_step(train(weights, alpha.detach()), torch.optim.SGD(weights, 1.0), clip=0.01)
    moved = torch.sqrt(sum((weight.detach() - before).square().sum() for weight, before in zip(weights, w)))
    torch.testing.assert_close(norm, exact(problem)[1].detach(), rtol=1e-12, atol=0)
    assert norm > 0.01 and float(moved) == pytest.approx(0.01, rel=1e-4)


def test_nothing_asks_a_tensor_for_its_value_so_that_no_device_is_waited_for():
    """Fake tensors have no values: whoever asked for one would raise."""
    with FakeTensorMode():
        w, alpha = [torch.randn(4, 3), torch.randn(3)], torch.randn(2, 3, requires_grad=True)
        x = torch.randn(6, 4)

        def loss(values, alpha):
            return (torch.tanh(x @ values[0] + values[1]) * alpha.softmax(-1)[0]).square().mean()

        found, *_ = bilevel.second_order(
            loss,
            lambda *values: (loss(*values), None),
            w,
            alpha,
            rate=0.1,
            decay=0.1,
            momentum=0.9,
            buffers=w,
            clip=0.1,
        )
        assert found.shape == alpha.shape
        weights = [torch.nn.Parameter(weight) for weight in w]
        bilevel.weight_step(
            loss(weights, alpha.detach()), torch.optim.SGD(weights, 0.1, momentum=0.9, foreach=True), 5.0
        )
        with pytest.raises(Exception, match="_local_scalar_dense|data-dependent|item"):
            float(bilevel.first_order(loss(w, alpha), alpha).norm())
