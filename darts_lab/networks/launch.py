"""A kernel on several threads: phase by phase, each of them for its groups of samples."""

import os
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from queue import SimpleQueue
from threading import Thread

import numpy as np
import torch
from torch import Tensor

from darts_lab.networks.program import Program
from darts_lab.networks.tables import WIDTH, Tables

SMALL = 100_000  # numbers that a pass makes below which a second thread takes longer to wake than it saves


@contextmanager
def _without_subnormals():
    """Numbers nearer to zero than normal ones are zero to this thread. A search that learns nothing is full of them,
    and processors take many times as long over each."""
    before = np.float32(2.0**-140) * np.float32(1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(bool(before))


@_without_subnormals()
def launch(
    name: str, program: Program, tables: Tables, threads: int, samples: int, arrays: list[Tensor | None], *arguments
) -> None:
    """All phases of a program by a kernel, with so many threads, where it is worth it."""
    from darts_lab.networks import kernels

    groups, kernel, (rows, phases, terms) = -(-samples // WIDTH), getattr(kernels, name), tables
    addresses = np.array([(0, 0) if x is None else (x.data_ptr(), x.stride(0)) for x in arrays])
    tables, arguments = (rows, phases, terms, program.buffers), (samples, addresses, *arguments)
    threads = min(threads, groups)
    if threads < 2 or program.kept * groups < SMALL:
        kernel(*tables, 0, len(phases), 0, groups, *arguments)
        return
    workers = _workers(os.getpid(), threads - 1)
    cuts = [groups * thread // threads for thread in range(threads + 1)]
    for phase, once in enumerate(phases[:, 2]):
        if once:
            kernel(*tables, phase, phase + 1, 0, 1, *arguments)
            continue
        # of this call alone, which may be interrupted; what has an address must live until then
        done: SimpleQueue = SimpleQueue()
        for queue, part in zip(workers, pairwise(cuts[1:])):
            queue.put((kernel, (*tables, phase, phase + 1, *part, *arguments), (program, arrays), done))
        kernel(*tables, phase, phase + 1, 0, cuts[1], *arguments)
        for failed in [done.get() for _ in workers]:
            if failed is not None:
                raise failed


def _work(queue: SimpleQueue) -> None:
    torch.set_flush_denormal(True)  # as `_without_subnormals`, which not every system hands on to new threads
    while True:
        kernel, arguments, alive, done = queue.get()
        try:
            kernel(*arguments)
            done.put(None)
        except BaseException as error:
            done.put(error)
        del kernel, arguments, alive, done  # an idle thread keeps nothing alive


@cache
def _workers(process: int, number: int) -> list[SimpleQueue]:
    """Threads that wait for parts of a kernel; those of `concurrent.futures` take longer to wake than kernels take."""
    queues: list[SimpleQueue] = [SimpleQueue() for _ in range(number)]
    for queue in queues:
        Thread(target=_work, args=(queue,), name="fused", daemon=True).start()
    return queues
