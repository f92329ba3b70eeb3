"""Steps as CUDA graphs: recorded once and replayed with one call, where a GPU would else wait for the host to issue
every operation (docs of PyTorch, "CUDA semantics", section "CUDA Graphs").

A step is a function of tensors and plain values. When it is recorded, it remembers where its tensors lay: those that
are given later are copied there. Plain values are baked in, so others are recorded anew. All else that it reads and
changes (weights, alpha, running statistics, what optimizers remember) must stay where it lies; `forget` says that
something has moved. Numbers are those of the step itself.
"""

import os
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from inspect import ismethod
from typing import Any
from weakref import WeakMethod

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from darts_lab import optimizers, ranks

KINDS = ("cuda",)  # of devices whose steps can be recorded
WARM_UP = 2  # calls of every form that are computed as usual, in which optimizers and libraries make what they keep
_WAITS = "called a synchronizing CUDA operation"  # of PyTorch's warnings in its sync debug mode ...
_KNOWN = ("debug mode", "capturable=True")  # ... and those that this mode, and steps before they are recorded, bring


def number(value: float, device: torch.device) -> float | Tensor:
    """`value`, on a device whose steps can be recorded as a tensor, which a recorded step reads anew every time."""
    return torch.full((), value, device=device) if device.type in KINDS else value


def sgd(weights, learning_rate: float, momentum: float, weight_decay: float) -> optimizers.SGD:
    """SGD that can be recorded where steps can be: its learning rate is then a tensor."""
    weights = list(weights)
    can = weights[0].device.type in KINDS
    rate = number(learning_rate, weights[0].device)
    return optimizers.SGD(
        weights, rate, momentum=momentum, weight_decay=weight_decay, foreach=not can, fused=can or None
    )


def capturable(weights) -> dict[str, Any]:
    """The argument of Adam and ASGD with which they can be recorded."""
    return {"capturable": next(iter(weights)).device.type in KINDS}


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate, in its place where it is a tensor."""
    group = optimizer.param_groups[0]
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Takes over a `state_dict`, also of another kind of device: how the optimizer computes stays as it is here."""
    state = deepcopy(state)  # the optimizer would else share its tensors
    rate = float(state["param_groups"][0]["lr"])
    for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True):
        saved |= {name: own[name] for name in ("lr", "foreach", "fused", "capturable") if name in own}
    optimizer.load_state_dict(state)
    set_rate(optimizer, rate)


class Recorder:
    """The recorded steps of one search or training on `device`, which draw from `generator`.

    `capture` None means what DARTS_LAB_CAPTURE says, 1 or 0 (without it: off). Where recording fails, a warning names
    the reason, and everything goes on unrecorded.
    """

    def __init__(self, device: torch.device, generator: torch.Generator, capture: bool | None = None):
        wanted = os.environ.get("DARTS_LAB_CAPTURE") == "1" if capture is None else capture
        self.on, self.device = wanted and device.type in KINDS and ranks.count() == 1, device
        self.generator = generator
        self.steps: list[Step] = []
        self.graphs: Any = make_graphs(device, generator) if self.on else None

    def step(self, function: Callable) -> "Step":
        """`function` as a step. It gives tensors, in tuples or not; those of a step are copies."""
        self.steps.append(Step(function, self))
        return self.steps[-1]

    def forget(self) -> None:
        """Records everything anew when it is next called."""
        for step in self.steps:
            step.forms.clear()

    def stop(self, reason: str) -> None:
        """Nothing is recorded or replayed from now on."""
        self.on = False
        self.forget()
        warnings.warn(f"capture: steps are not recorded, because {reason}; everything goes on as without", stacklevel=2)


@dataclass
class Form:
    """A step for tensors of certain shapes, and certain plain values."""

    calls: int = 0
    tensors: list[Tensor] = field(default_factory=list)  # those that it reads
    replay: Any = None  # a function, once it is recorded


class Step:
    """A function that is recorded when it has been called `WARM_UP` times with tensors of the same shapes and equal
    plain values, and replayed from then on. A method does not keep its object alive, which keeps the step."""

    def __init__(self, function: Callable, recorder: Recorder):
        self._function = WeakMethod(function) if ismethod(function) else lambda: function
        self.recorder = recorder
        self.forms: dict[tuple, Form] = {}
        self.plain: tuple = ()

    @property
    def function(self) -> Callable:
        function = self._function()
        assert function is not None, "a step does not outlive the object whose method it is"
        return function

    def __call__(self, *arguments):
        if not self.recorder.on:
            return self.function(*arguments)
        leaves, structure = tree_flatten(arguments)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if any(tensor.device.type != self.recorder.device.type for tensor in tensors):
            return self.function(*arguments)  # what lies on the host, the host may have decided by
        plain = tuple(leaf for leaf in leaves if not isinstance(leaf, Tensor))
        if plain != self.plain:  # a setting has changed, which will not come back
            self.forms.clear()
            self.plain = plain
        form = self.forms.setdefault(tuple((tensor.shape, tensor.dtype) for tensor in tensors), Form())
        if form.replay is None and form.calls < WARM_UP:
            form.calls += 1
            return self._watched(arguments)
        if form.replay is None and not self._record(form, leaves, structure):
            return self.function(*arguments)
        for place, tensor in zip(form.tensors, tensors, strict=True):
            place.copy_(tensor)
        return tree_map(_copy, form.replay())

    def _watched(self, arguments):
        """The function as usual; one that waits for the device cannot be recorded."""
        with self.recorder.graphs.watching() as waits:
            result = self.function(*arguments)
        if waits:
            self.recorder.stop(f"one of them waits for the device ({waits[0]})")
        return tree_map(_copy, result)

    def _record(self, form: Form, leaves: list, structure) -> bool:
        """Whether the function could be recorded. Nothing is computed."""
        state = self.recorder.generator.get_state()
        places = [leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        try:
            form.replay = self.recorder.graphs.record(lambda: self.function(*tree_unflatten(places, structure)))
        except Exception as error:  # of whatever kind: it is computed as usual then, where errors have their own words
            self.recorder.stop(" ".join(str(error).split())[:200] or type(error).__name__)
            self.recorder.generator.set_state(state)
            return False
        form.tensors = [place for place in places if isinstance(place, Tensor)]
        return True


def _copy(value):
    return value.detach().clone() if isinstance(value, Tensor) else value


class Graphs:
    """CUDA graphs that share their memory."""

    def __init__(self, device: torch.device, generator: torch.Generator):
        self.device, self.generator = device, generator
        self.stream, self.pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()

    @contextmanager
    def watching(self):
        """Within it the device computes aside, as recording asks for; fills the list that it gives with the reasons for
        which it was waited."""
        waits: list[str] = []
        before = torch.cuda.get_sync_debug_mode()
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                with torch.cuda.stream(self.stream):
                    yield waits
            finally:
                torch.cuda.set_sync_debug_mode(before)
        torch.cuda.current_stream(self.device).wait_stream(self.stream)
        for warning in caught:
            if _WAITS in str(warning.message):
                waits.append(f"{os.path.basename(warning.filename)}, line {warning.lineno}")
            elif not any(words in str(warning.message) for words in _KNOWN):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def record(self, function: Callable) -> Callable:
        """A function that replays `function` and gives what it has computed, in the same memory every time."""
        graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer PyTorch registers generators by itself, and says so
            graph.register_generator_state(self.generator)
        # "thread_local": other threads, such as that of the lab's pictures, may go on meanwhile
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            result = function()

        def replay():
            graph.replay()
            return result

        return replay


make_graphs = Graphs
