"""Separable convolutions in the forms that are fast, held against PyTorch's own convolutions."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from darts_lab.networks import separable
from darts_lab.networks.separable import from_phases, separable_convolution, to_phases

COPIES, CHANNELS, BATCH = 4, 3, 2
# Every form: kernels of one or two strips, larger and smaller than the image, odd and even images, strides, dilation.
FORMS = [
    (kernel, size, stride, dilation)
    for kernel, size, stride, dilation in itertools.product((1, 3, 5), (1, 2, 4, 6, 7, 16), (1, 2), (1, 2))
    if size % stride == 0
]


def plain(inputs, depthwise, pointwise, stride, dilation):
    """The definition, copy by copy."""
    copies, channels = depthwise.shape[:2]
    read = torch.cat(inputs, 1).split(channels, 1)
    outputs = []
    for copy in range(copies):
        x = read[copy * len(read) // copies]
        padding = dilation * (depthwise.shape[-1] // 2)
        x = F.conv2d(
            x, depthwise[copy].view(channels, 1, *depthwise.shape[3:]), None, stride, padding, dilation, channels
        )
        outputs.append(F.conv2d(x, pointwise[copy]))
    return torch.cat(outputs, 1)


def arguments(kernel, size, inputs=2, copies=COPIES, channels=CHANNELS, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    images = [draw(BATCH, channels, size, size).contiguous(memory_format=torch.channels_last) for _ in range(inputs)]
    return images, draw(copies, channels, 1, kernel, kernel), draw(copies, channels, channels, 1, 1)


def flat(function, stride, dilation):
    return lambda depthwise, pointwise, *images: function(images, depthwise, pointwise, stride, dilation)


@pytest.mark.parametrize("inputs", [1, 2, 4])
@pytest.mark.parametrize(("kernel", "size", "stride", "dilation"), FORMS)
def test_values_and_all_gradients_are_those_of_the_plain_form(kernel, size, stride, dilation, inputs):
    images, *kernels = arguments(kernel, size, inputs)
    leaves = [tensor.requires_grad_() for tensor in (*kernels, *images)]
    found = flat(separable_convolution, stride, dilation)(*leaves)
    expected = flat(plain, stride, dilation)(*leaves)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    gradient = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=found.dtype)
    for mine, other in zip(*(torch.autograd.grad(out, leaves, gradient) for out in (found, expected)), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("kernel", "size", "stride", "dilation"), [(3, 4, 1, 1), (5, 4, 2, 1), (5, 4, 1, 2), (3, 3, 1, 2)]
)
def test_second_derivatives_backward_over_backward_and_forward_over_backward(kernel, size, stride, dilation):
    images, *kernels = arguments(kernel, size, 1, copies=2, channels=2)
    leaves = [tensor.requires_grad_() for tensor in (*kernels, *images)]
    function = flat(separable_convolution, stride, dilation)
    assert torch.autograd.gradcheck(function, leaves, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, leaves, check_fwd_over_rev=True)


def test_torch_func_takes_hessians_through_it():
    images, *kernels = arguments(3, 4, 1, copies=2, channels=2)

    def loss(function):
        return lambda pointwise: function(images, kernels[0], pointwise, 1, 1).square().square().sum()

    found, expected = (torch.func.hessian(loss(function))(kernels[1]) for function in (separable_convolution, plain))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_only_what_is_asked_for_is_computed(monkeypatch):
    images, *kernels = arguments(3, 8)
    asked, real = [], separable._gradients
    monkeypatch.setattr(separable, "_gradients", lambda *more: asked.append(more[-1]) or real(*more))
    for tensor in images:
        tensor.requires_grad_()
    torch.autograd.grad(separable_convolution(images, *kernels).sum(), images)
    assert asked == [(True, False), (True, False)]
    asked.clear()
    kernels[0].requires_grad_()
    torch.autograd.grad(separable_convolution([image.detach() for image in images], *kernels).sum(), kernels[0])
    assert asked == [(True, True), (False, True)]


def test_it_keeps_its_arguments_only():
    images, *kernels = arguments(3, 8)
    leaves = [tensor.requires_grad_() for tensor in (*kernels, *images)]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.data_ptr()), lambda _: None):
        separable_convolution(images, *kernels)
    assert sorted(kept) == sorted(tensor.data_ptr() for tensor in leaves)


def test_autocast_computes_in_bfloat16_there_and_back():
    images, *kernels = arguments(3, 8, dtype=torch.float32)
    leaves = [tensor.requires_grad_() for tensor in (*kernels, *images)]
    with torch.autocast("cpu", torch.bfloat16):
        found = separable_convolution(images, *kernels)
    expected = plain(images, *kernels, 1, 1)
    assert found.dtype == torch.bfloat16 and (found - expected).norm() < 0.02 * expected.norm()
    for mine, other in zip(*(torch.autograd.grad(out.float().sum(), leaves) for out in (found, expected)), strict=True):
        assert mine.dtype == torch.float32 and (mine - other).norm() < 0.02 * other.norm()


@pytest.mark.parametrize("d", [2, 3])
def test_phases_are_every_dth_pixel_and_come_back(d):
    x = torch.arange(2 * 3 * 6 * 12.0).view(2, 3, 6, 12)
    phases = to_phases(x, d)
    for i, j in itertools.product(range(d), range(d)):
        assert torch.equal(phases.view(d, d, 2, 3, 6 // d, 12 // d)[i, j], x[:, :, i::d, j::d])
    assert torch.equal(from_phases(phases, d), x)
