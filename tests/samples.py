"""What tests and torture search on: a small easy data set, and a scale below `tiny`."""

import torch

import darts_lab as dl
from darts_lab.settings import EvaluationSettings, SearchSettings

_SIZES = {"channels": 4, "layers": 3, "epochs": 2, "batch_size": 8, "drop_path": 0.0, "cutout": 0}
_PATHS = {"paths": 6, "path_batches": 1, "finalists": 2}

# the papers' rates, but two batches of eight in an epoch, and two epochs
SMALL = dl.Scale(
    "small",
    SearchSettings(nodes=2, order=1, alpha_learning_rate=3e-3, **_PATHS, **_SIZES),
    EvaluationSettings(auxiliary=0.0, **_SIZES),
)


def colours(samples=16, size=8, name="colours"):
    """Noisy coloured squares: four classes, no crops."""
    palette = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])

    def split(seed):
        labels = torch.arange(samples) % 4
        noise = torch.randn(samples, 3, size, size, generator=torch.Generator().manual_seed(seed))
        return palette[labels][:, :, None, None] + 0.5 * noise, labels

    return dl.data.from_tensors(split(1), split(2), split(3), name=name, classes=4)


def same(first, second):
    """Equality of nested states, bit for bit."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second
