"""What a network costs: its weights, and the multiply-adds of one sample."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from darts_lab.networks.operations import FactorizedReduce, Separable


def parameter_count(network: nn.Module) -> int:
    """Number of trained weights, as papers report it: without those of an auxiliary classifier, which is left out after
    training. Alpha is not one of them."""
    named = network.named_parameters()
    return sum(parameter.numel() for name, parameter in named if not name.startswith("auxiliary."))


@torch.no_grad()
def multiply_adds(network: nn.Module, inputs, **more) -> int:
    """Multiply-adds of one evaluation pass over `inputs`, one sample: those of convolutions and matrix products, which
    is what papers report. Batch-norms, activations, pools and sums count nothing, padding counts as pixels do.

    `more` are further arguments of the network, such as a generator. What the two operations below compute in another
    form than they are defined in (with zeros, or without what meets only padding) counts as it is defined.
    """
    ours = {
        module: name for name, module in network.named_modules() if isinstance(module, FactorizedReduce | Separable)
    }
    pixels, handles = {}, []
    for module in ours:
        handles.append(module.register_forward_hook(lambda one, _, out: pixels.update({one: out[0, 0].numel()})))
    mode = network.training
    network.eval()
    try:
        with FlopCounterMode(display=False) as counter:
            network(inputs, **more)
    finally:
        network.train(mode)
        for handle in handles:
            handle.remove()
    counted, root = counter.get_flop_counts(), type(network).__name__
    total = counter.get_total_flops() // 2
    for module, size in pixels.items():
        defined = size * sum(weights.numel() for weights in module.parameters() if weights.dim() > 1)
        total += defined - sum(counted[f"{root}.{ours[module]}"].values()) // 2
    return total
