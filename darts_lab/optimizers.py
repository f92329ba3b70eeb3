"""PyTorch's optimizers, without its compiler: making one would import that first, which takes seconds."""

from inspect import unwrap

import torch
from torch import optim


class _Plain:
    """What these methods are below the wrappers that keep the compiler out of them, and import it to do so."""

    add_param_group = unwrap(optim.Optimizer.add_param_group)
    state_dict = unwrap(optim.Optimizer.state_dict)
    load_state_dict = unwrap(optim.Optimizer.load_state_dict)
    zero_grad = unwrap(optim.Optimizer.zero_grad)


class SGD(_Plain, optim.SGD):
    step = torch.no_grad()(unwrap(optim.SGD.step))


class Adam(_Plain, optim.Adam):
    step = torch.no_grad()(unwrap(optim.Adam.step))


class ASGD(_Plain, optim.ASGD):
    step = torch.no_grad()(unwrap(optim.ASGD.step))
