"""One search on several processes, its *ranks*: each holds the whole state, and computes its share of every batch.

    torchrun --nproc-per-node 2 -m darts_lab search --space S2
    dl.search_by(2, "S2")

All ranks draw what a single process draws, and take their samples of it. A value is either the same on every rank
(weights, alpha, losses, statistics of a batch) or each rank's own (whatever belongs to its samples). `total` leads from
own values to the same one, `spread` from the same value to own ones, and each is the other's derivative:

    total     y = sum over r of x_r        x_r' = y'
    spread    x_r = y                      y' = sum over r of x_r'

So a loss that is made of them is that of the whole batch on every rank, and so are its derivatives of any order. With
one process both change nothing. Ranks talk through `torch.distributed`: gloo on CPUs, NCCL on GPUs of their own.
"""

from __future__ import annotations

import atexit
import hashlib
import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import cloudpickle
import torch
import torch.distributed as dist
from torch import Tensor
from torch.func import functional_call

PATIENCE = timedelta(minutes=10)  # for a rank that neither answers nor ends: a checkpoint may take long to be written
SHORT = 16384  # numbers: gloo gathers so few of every rank in a third of the time in which it adds them up
MEETING = "DARTS_LAB_MEETING"  # names the file through which the processes of `run` find one another
_GATHER = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # as PyTorch called it before
_count, _rank = 1, 0


class Lost(RuntimeError):
    """Another rank has ended, or does not answer."""


def count() -> int:
    """How many processes compute together."""
    return _count


def rank() -> int:
    """Which of them this one is, from 0 on; 0 writes."""
    return _rank


def join() -> None:
    """Meets the other processes that torchrun, or `run`, has started, the first time it is called; does nothing where
    there are none. On GPUs each takes one of its own as far as there are enough."""
    global _count, _rank
    environ = os.environ
    if _count > 1 or not {"RANK", "WORLD_SIZE"} <= environ.keys() or int(environ["WORLD_SIZE"]) < 2:
        return
    backend, here = "gloo", int(environ.get("LOCAL_RANK", environ["RANK"]))
    if devices := torch.cuda.device_count():
        torch.cuda.set_device(here % devices)
        if int(environ.get("LOCAL_WORLD_SIZE", environ["WORLD_SIZE"])) <= devices:
            backend = "cpu:gloo,cuda:nccl"
    number, size = int(environ["RANK"]), int(environ["WORLD_SIZE"])
    meeting = {"init_method": f"file://{environ[MEETING]}"} if MEETING in environ else {}
    if not dist.is_initialized():
        _ask(dist.init_process_group, backend, rank=number, world_size=size, timeout=PATIENCE, **meeting)
        atexit.register(_part)
    _count, _rank = size, number


def _part() -> None:
    """Ends gloo's threads before Python ends: those that still run would abort the process."""
    with suppress(RuntimeError, ValueError):  # another rank may have ended already
        dist.destroy_process_group()


def _ask(ask: Callable, *arguments, **named):
    """Whatever `ask` gives of the other ranks. Raises Lost where one of them is gone."""
    try:
        return ask(*arguments, **named)
    except (RuntimeError, ValueError) as error:  # gloo and NCCL have errors of their own kinds
        words = " ".join(str(error).split()).rpartition("] ")[2][:120]
        reason = "another process has ended or does not answer, so this one ends too; finished epochs are kept"
        raise Lost(f"ranks: {reason} ({words})") from error


# Values


def total(*tensors: Tensor):
    """The sums of `tensors` over all ranks; one tensor for one, else a tuple. Its derivative is `spread`."""
    return _one_or_all(_apply(_Total, tensors))


def spread(*tensors: Tensor):
    """`tensors`, which are the same on every rank, for use with own samples. The derivative is `total`: gradients are
    summed over all ranks, in one message."""
    return _one_or_all(_apply(_Spread, tensors))


def _apply(function, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return function.apply(*tensors) if _count > 1 else tensors


def _one_or_all(tensors: tuple[Tensor, ...]):
    return tensors[0] if len(tensors) == 1 else tensors


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors):
        ctx.set_materialize_grads(False)
        return tuple(_sums(tensors))

    @staticmethod
    def backward(ctx, *gradients):
        return _of_given(_Spread, gradients)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors):
        ctx.set_materialize_grads(False)  # what nobody used has no gradient, as in a single process
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx, *gradients):
        return _of_given(_Total, gradients)


def _of_given(function, gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """`function` of those gradients that there are."""
    given = [gradient for gradient in gradients if gradient is not None]
    results = iter(function.apply(*given) if given else ())
    return tuple(None if gradient is None else next(results) for gradient in gradients)


def _sums(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The sums over all ranks of tensors of one type, in one message."""
    tensors = list(tensors)
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    if len(flat) > SHORT or flat.is_cuda:
        _ask(dist.all_reduce, flat)
    else:
        rows = flat.new_empty(_count * len(flat))
        _ask(_GATHER, rows, flat)
        flat = rows.view(_count, -1).sum(0)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def gathered(own: Tensor) -> Tensor:
    """(ranks, *shape): the tensor `own`, of one shape everywhere, of every rank; on each the same."""
    rows = [own if number == _rank else torch.zeros_like(own) for number in range(_count)]
    return total(torch.stack(rows))


# Samples


def share(batch):
    """This rank's samples of a batch, a tensor or nested tuples of tensors whose first index is that of the samples."""
    if _count == 1:
        return batch
    if isinstance(batch, tuple):
        return tuple(map(share, batch))
    return batch[len(batch) * _rank // _count : len(batch) * (_rank + 1) // _count]


def samples(own: int) -> int:
    """How many samples a batch has of which `own` are this rank's."""
    return sum(_shares(own))


def drawn(draw: Callable[[int], Tensor], own: int) -> Tensor:
    """This rank's rows of `draw(n)`, random numbers whose first index is that of all n samples of a batch, of which
    `own` are this rank's."""
    shares = _shares(own)
    begin = sum(shares[:_rank])
    return draw(sum(shares))[begin : begin + own]


def _shares(own: int) -> list[int]:
    return [own] if _count == 1 else gathered(torch.tensor(own)).tolist()


def mean(own: Tensor, samples: int) -> Tensor:
    """The mean over the samples of a batch, where `own` is that over the `samples` of this rank, which may be none."""
    if _count == 1:
        return own
    sums, number = own * samples if samples else own.nan_to_num(0.0), own.new_tensor(samples)
    sums, number = total(sums, number)
    return sums / number


def of(network: Any, weights: dict[str, Tensor] | None = None) -> Callable:
    """`network`, with other `weights` by name if given, as a function whose gradients are those of whole batches."""
    if weights is None and _count == 1:
        return network
    weights = dict(network.named_parameters()) if weights is None else weights
    own = dict(zip(weights, _apply(_Spread, tuple(weights.values())), strict=True))
    return lambda *arguments, **more: functional_call(network, own, arguments, more)


@torch.no_grad()
def agree(asked: str, tensors: Iterable[Tensor]) -> None:
    """Raises ValueError where other ranks were asked for something else, or hold other numbers in `tensors`."""
    if _count == 1:
        return
    sums = [float(tensor.double().abs().sum()) for tensor in tensors]
    words = asked, math.fsum(sums).hex()
    numbers = [int(hashlib.sha256(word.encode()).hexdigest()[:12], 16) for word in words]
    by_rank = gathered(torch.tensor(numbers)).tolist()
    for what, of_rank in zip(("were asked for different things", "hold different weights"), zip(*by_rank)):
        if len(set(of_rank)) > 1:
            need = "the same arguments, files, versions and kind of processor"
            raise ValueError(f"ranks: the processes {what}; all need {need}")


# Processes


def run(
    processes: int, function: Callable, *arguments, on_report: Callable[[Any], object] = lambda report: None, **named
):
    """What `function(*arguments, **named)` gives on rank 0, called by so many `processes` of this machine together.

    They are started for it and end with it; functions of a notebook can be sent. `on_report` is called here with
    everything that rank 0 gives to `report`. PyTorch's threads are shared out among the processes. Raises what a rank
    raised, Lost where one was killed, and ValueError for `processes` that are no whole number of at least 1.
    """
    if not isinstance(processes, int) or isinstance(processes, bool) or processes < 1:
        raise ValueError(f"processes: {processes!r} is not allowed; it must be a whole number of at least 1")
    threads = max(torch.get_num_threads() // processes, 1)
    call = cloudpickle.dumps((threads, function, arguments, named))
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")][:1]
    with (
        tempfile.TemporaryDirectory(prefix="darts_lab-") as folder,
        ExitStack() as after,
        ThreadPoolExecutor(processes) as waiting,
    ):
        environ = os.environ | {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        environ |= {MEETING: str(Path(folder, "meeting")), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environ |= dict.fromkeys(["GLOO_SOCKET_IFNAME"] if loopback else [], *loopback)
        code = "from darts_lab.ranks import _answer; _answer()"
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=environ | {"RANK": str(number), "LOCAL_RANK": str(number)},
            )
            for number in range(processes)
        ]  # fmt: skip
        for process in started:
            after.callback(_close, process)
        try:
            answers = [waiting.submit(_ended, process, call, on_report) for process in started]
            for answer in as_completed(answers):
                kind, value = answer.result()
                if kind == "error" and isinstance(value, Lost):  # which other one was it?
                    errors = [error for kind, error in (other.result() for other in answers) if kind == "error"]
                    value = next((error for error in errors if not isinstance(error, Lost)), value)
                if kind == "error":
                    raise value
            return answers[0].result()[1]
        finally:
            for process in started:
                process.kill()


def report(what) -> None:
    """Gives `what` to the `on_report` of the process that has started this one by `run`, if any; of rank 0 alone."""
    if _answers is not None and _rank == 0:
        _send("report", what)


_answers: BinaryIO | None = None  # where a process of `run` writes to


def _send(kind: str, value) -> None:
    assert _answers is not None, "only a process of `run` sends"
    message = cloudpickle.dumps((kind, value))
    _answers.write(len(message).to_bytes(8, "big") + message)
    _answers.flush()


def _close(process: subprocess.Popen) -> None:
    """Waits for the end of a process that was killed, and closes its pipes."""
    process.wait()
    for pipe in filter(None, (process.stdin, process.stdout)):
        with suppress(OSError):  # what was not sent to a process that is gone
            pipe.close()


def _ended(process: subprocess.Popen, call: bytes, on_report: Callable) -> tuple[str, Any]:
    """("value", what the call gave) or ("error", what it raised) of a process that was started."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(len(call).to_bytes(8, "big") + call)
        process.stdin.flush()  # and is not closed, by which the process knows that this one lives
    except OSError:
        pass  # it has ended, and its status says how
    while size := process.stdout.read(8):
        kind, value = pickle.loads(process.stdout.read(int.from_bytes(size, "big")))
        if kind != "report":
            return kind, value
        on_report(value)
    status = process.wait()
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return "error", RuntimeError(f"ranks: a process {how}, so the others end too; finished epochs are kept")


def _answer() -> None:
    """What a process that `run` has started does."""
    global _answers
    _answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed here is no answer
    size = int.from_bytes(sys.stdin.buffer.read(8), "big")
    threads, function, arguments, named = pickle.loads(sys.stdin.buffer.read(size))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        join()
        answer = "value", function(*arguments, **named)
    except Exception as error:
        answer = "error", error
    _send(*(answer if answer[0] == "error" or _rank == 0 else ("value", None)))
    _answers.close()
    os._exit(0)  # the others may be gone, for whom PyTorch would wait


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
