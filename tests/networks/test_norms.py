"""Batch-norms whose second derivatives are cheap, against PyTorch's."""

import pytest
import torch
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn import functional as F

from darts_lab.networks.norms import batch_norm, differentiated_twice


def inputs(shape=(5, 3, 4, 2), others=2, dtype=torch.float64):
    """x, and as many of scale and shift."""
    generator = torch.Generator().manual_seed(1)
    sizes = [shape, *[shape[1:2]] * others]
    return [(1 + torch.randn(size, generator=generator, dtype=dtype)).requires_grad_() for size in sizes]


def normed(x, scale=None, shift=None):
    with differentiated_twice():
        return batch_norm(x, None, None, scale, shift, training=True)


def pytorch(x, scale=None, shift=None):
    return F.batch_norm(x, None, None, scale, shift, training=True)


@pytest.mark.parametrize("others", range(3))
@pytest.mark.parametrize("shape", [(5, 3, 4, 2), (6, 2), (1, 2, 3, 3)])
def test_first_and_second_derivatives_are_those_of_differences(shape, others):
    of = inputs(shape, others)
    assert torch.allclose(normed(*of), pytorch(*of), rtol=0, atol=1e-14)
    assert gradcheck(normed, of) and gradgradcheck(normed, of)


@pytest.mark.parametrize("dtype, off", [(torch.float64, 1e-11), (torch.float32, 1e-3)])
def test_second_derivatives_are_pytorchs_where_all_that_is_scaled_flows_on(dtype, off):
    def second(norm):
        x, scale, shift = inputs((16, 4, 6, 6), dtype=dtype)
        out = norm(norm(x, scale, shift).relu(), scale)
        first = grad(out.pow(3).sum(), [x, scale, shift], create_graph=True)
        return grad(sum(one.pow(2).sum() for one in first), [x, scale, shift])

    for mine, theirs in zip(second(normed), second(pytorch), strict=True):
        assert (mine - theirs).norm() < off * theirs.norm()


def test_running_statistics_move_as_pytorchs():
    of = inputs(others=0)
    moved = [[torch.zeros(3).double(), torch.ones(3).double()] for _ in range(2)]
    with differentiated_twice():
        batch_norm(*of, *moved[0], training=True)
    F.batch_norm(*of, *moved[1], training=True)
    for mine, theirs in zip(*moved, strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-14)


def test_others_are_pytorchs_own():
    def name(**more):
        x, *_ = inputs(others=0)
        return batch_norm(x, torch.zeros(3).double(), torch.ones(3).double(), **more).grad_fn.name()

    assert "NativeBatchNorm" in name(training=True)
    with differentiated_twice():
        assert "NativeBatchNorm" in name(training=False)
        assert "Normed" in name(training=True)
    assert "NativeBatchNorm" in name(training=True)


def test_a_third_derivative_is_refused():
    of = inputs(others=0)
    first = grad(normed(*of).pow(3).sum(), of, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="no third derivative of this form"):
        grad(first.pow(2).sum(), of, create_graph=True)
