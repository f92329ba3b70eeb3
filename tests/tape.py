"""A stand-in for CUDA graphs on a CPU: the operations of PyTorch that a step comes to, written down with the memory
that they read and write, and done again on the same memory. Whatever Python decided on the way is baked in, as in a real
graph. Two differences: the first time, a step is computed while it is written down (a real graph is computed when it is
first replayed), and generators need no registration."""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# What waits for a device: numbers that go to the host, tensors that come from there.
WAITS = frozenset({"_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "equal"})


class Tape(TorchDispatchMode):
    def __init__(self, waiting=WAITS):
        super().__init__()
        self.operations, self.waits, self.waiting = [], [], waiting

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        named = named or {}
        outputs = function(*arguments, **named)
        name = function.overloadpacket.__name__
        if name in self.waiting:
            self.waits.append(name)
        known = {memory(tensor) for tensor in tensors((arguments, named))}
        new = [number for number, tensor in enumerate(tensors(outputs)) if memory(tensor) not in known]
        self.operations.append((function, arguments, named, outputs, new))
        return outputs

    def replay(self) -> None:
        for function, arguments, named, outputs, new in self.operations:
            again, before = tensors(function(*arguments, **named)), tensors(outputs)
            for number in new:
                before[number].copy_(again[number])


def tensors(values) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor) and not leaf._is_zerotensor()]


def memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Tapes:
    """As `capture.Graphs`. `fails`, a message, makes recording fail; `recorded` counts."""

    fails, recorded, waits, waiting = None, 0, (), WAITS

    def __init__(self, device, generator):
        pass

    @contextmanager
    def watching(self):
        reasons = []
        with Tape(self.waiting) as tape:
            yield reasons
        reasons += tape.waits
        type(self).waits += tuple(tape.waits)

    def record(self, function):
        if self.fails:
            raise RuntimeError(self.fails)
        type(self).recorded += 1
        with Tape() as tape:
            result = function()
        done = [True]

        def replay():
            if not done or not done.pop():
                with torch.no_grad():
                    tape.replay()
            return result

        return replay
