"""What a network costs: its weights, and the multiply-adds of one sample."""

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

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
    counter, before, handles = _Counter(), {}, []

    def enter(module: nn.Module, _) -> None:
        before[module] = counter.total

    def leave(module: nn.Module, _, outputs: torch.Tensor) -> None:
        weights = sum(weights.numel() for weights in module.parameters() if weights.dim() > 1)
        counter.total = before[module] + weights * outputs[0, 0].numel()

    for module in network.modules():
        if isinstance(module, FactorizedReduce | Separable):
            handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    mode = network.training
    network.eval()
    try:
        with counter:
            network(inputs, **more)
    finally:
        network.train(mode)
        for handle in handles:
            handle.remove()
    return counter.total


class _Counter(TorchDispatchMode):
    """Adds up the multiply-adds of this thread; PyTorch's FlopCounterMode would hear of other threads' modules too."""

    total = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        outputs = function(*arguments, **(named or {}))
        if (formula := flop_registry.get(function.overloadpacket)) is not None:
            self.total += formula(*arguments, **(named or {}), out_val=outputs) // 2  # an addition and a product
        return outputs
