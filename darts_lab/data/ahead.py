"""Samples of data that are not where batches are made, gathered before they are asked for."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

_gathering = ThreadPoolExecutor(1, "darts_lab-batches")  # starts its thread when it is first needed


class Ahead:
    """The samples at each of `places`, tensors of indices, of the tensors of a split, for batches on `device`.

    While the device computes on one batch, a thread gathers the next from the host's memory, or from a file that is
    mapped into it, and a GPU copies it (from pinned memory). It changes no number.
    """

    def __init__(self, tensors: tuple[Tensor, ...], places: Sequence[Tensor], device: torch.device):
        self.tensors, self.places, self.device = tensors, list(places), device
        self.next, self.coming = 0, self._gather(0)

    def take(self, indices: Tensor) -> Any:
        """The samples at `indices`, on the device of the batches; None where these are not the next of the places."""
        if self.coming is None or indices is not self.places[self.next]:
            return None
        found, self.next = self.coming.result(), self.next + 1
        self.coming = self._gather(self.next)
        return tuple(part.to(self.device, non_blocking=True) for part in found)

    def _gather(self, number: int) -> Future | None:
        return _gathering.submit(self._gathered, number) if number < len(self.places) else None

    def _gathered(self, number: int) -> list[Tensor]:
        indices = self.places[number].cpu()
        parts = [part[indices] for part in self.tensors]
        return [part.pin_memory() for part in parts] if self.device.type == "cuda" else parts
