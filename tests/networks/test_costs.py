"""Multiply-adds are those of the definition, whatever form the operations are computed in."""

import pytest
import torch
from reference import textbook
from torch import nn

import darts_lab as dl
from darts_lab import spaces
from darts_lab.genotype import random_genotype
from darts_lab.networks import operations
from darts_lab.networks.costs import multiply_adds, parameter_count
from darts_lab.networks.images import Network

C, SIDE = 6, 8


class Alone(nn.Module):
    """One operation, of one copy, as a network."""

    def __init__(self, name, stride):
        super().__init__()
        self.operation = operations.stack(name, C, stride, 1, search=False, generator=torch.Generator())

    def forward(self, x, generator=None):
        return self.operation([x], [0])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("name", "kernels"),  # of the depthwise convolutions, each followed by a pointwise one
    [("sep_conv_3x3", (3, 3)), ("sep_conv_5x5", (5, 5)), ("dil_conv_3x3", (3,)), ("dil_conv_5x5", (5,))],
)
def test_a_separable_convolution_costs_its_kernels_at_every_pixel(name, kernels, stride):
    pixels = (SIDE // stride) ** 2
    by_hand = sum(pixels * (C * kernel**2 + C * C) for kernel in kernels)
    assert multiply_adds(Alone(name, stride), torch.rand(1, C, SIDE, SIDE)) == by_hand


@pytest.mark.parametrize("side", [2, 4])
def test_what_meets_only_padding_counts_as_published_counts_have_it(side):
    assert multiply_adds(Alone("sep_conv_5x5", 1), torch.rand(1, C, side, side)) == 2 * side**2 * (25 * C + C * C)


def test_a_skip_over_a_reduction_costs_one_pointwise_convolution_of_a_quarter_of_the_pixels():
    assert multiply_adds(Alone("skip_connect", 2), torch.rand(1, C, SIDE, SIDE)) == C * C * (SIDE // 2) ** 2


def test_noise_costs_nothing():
    assert multiply_adds(Alone("noise", 1), torch.rand(1, C, SIDE, SIDE)) == 0


def of_the_textbook(network, x):
    """Those of all convolutions and linear layers of plain PyTorch modules."""
    total, handles = [], []

    def count(module, _, out):
        positions = out[0, 0].numel() if isinstance(module, nn.Conv2d) else 1
        total.append(module.weight.numel() * positions)

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            handles.append(module.register_forward_hook(count))
    network.eval()(x)
    return sum(total)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [8, 16])  # the smallest maps are smaller than the kernels
def test_a_network_costs_what_that_of_the_textbook_does(seed, size):
    genotype = random_genotype(spaces.DARTS, torch.Generator().manual_seed(seed))
    x = torch.rand(1, 3, size, size)
    theirs = textbook.NetworkTextbook(genotype.to_json(), 4, 5, 10, False)
    assert multiply_adds(Network(genotype, channels=4, layers=5), x) == of_the_textbook(theirs, x)


def test_counting_changes_nothing_and_leaves_the_mode():
    network = Network(dl.uniform_genotype(spaces.S2, "sep_conv_3x3"), channels=4, layers=3).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert multiply_adds(network, torch.rand(1, 3, 8, 8)) > 0 and network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_recurrent_network_costs_its_matrices_and_its_decoder_for_every_word():
    cell = "Genotype(recurrent=[('tanh', 0), ('relu', 1), ('identity', 1)], concat=range(1, 4))"
    training = dl.Training(cell, "pydocs", "tiny")
    network, channels = training.network, training.settings.channels
    by_hand = network.embedding.numel() + 2 * channels * 2 * channels + 3 * channels * 2 * channels
    assert training.multiply_adds == by_hand
    assert parameter_count(network) == by_hand + len(network.embedding)  # and a bias of every word
