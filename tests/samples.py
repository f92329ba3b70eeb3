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


def quark0_log(epochs=3, stamp="11/03 07:{:02d}:27 PM", alphas=True, space=dl.spaces.DARTS, old=False):
    """What `cnn/train_search.py` of quark0/darts prints in a search (`alphas` are printed, but not logged; `old` as
    PyTorch 0.3 did), and the mixing weights at the beginning of each epoch."""

    def line(minute, words):
        return f"{stamp.format(minute)} {words}" if stamp else words

    settings = "arch_learning_rate=0.0003, arch_weight_decay=0.001, batch_size=64, cutout=False, data='../data', drop_path_prob=0.3"
    lines = [line(0, "gpu device = 0")]
    lines += [line(0, f"args = Namespace({settings}, epochs={epochs}, seed=2, weight_decay=0.0003)")]
    lines += [line(0, "param size = 1.930618MB")]
    weights = [torch.rand(space.shape, generator=torch.Generator().manual_seed(e)).softmax(-1) for e in range(epochs)]
    for epoch, mixing in enumerate(weights):
        lines += [line(2 * epoch, f"epoch {epoch} lr 2.500000e-02")]
        lines += [line(2 * epoch, f"genotype = {dl.discretize(mixing, space)}")]
        for cell in mixing if alphas else ():
            rows = [[f"{number:.4f}" for number in row] for row in cell.tolist()]
            if old:
                size = "x".join(map(str, cell.shape))
                lines += ["Variable containing:", *(" " + "  ".join(row) for row in rows)]
                lines += [f"[torch.cuda.FloatTensor of size {size} (GPU 0)]", ""]
            else:
                words = ",\n        ".join(f"[{', '.join(row)}]" for row in rows)
                lines += [f"tensor([{words}], device='cuda:0', grad_fn=<SoftmaxBackward>)"]
        lines += [line(2 * epoch, "train 000 2.305000e+00 9.375000 51.562500")]
        lines += [line(2 * epoch, f"train 050 {2 - 0.5 * epoch:e} 25.000000 75.000000")]
        lines += [
            line(2 * epoch + 1, f"train_acc {40 + epoch:f}"),
            line(2 * epoch + 1, "valid 000 1.500000e+00 50.0 90.0"),
        ]
        lines += [line(2 * epoch + 1, f"valid_acc {50 + epoch:f}")]
    return "\n".join(lines) + "\n", weights
