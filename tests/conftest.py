"""What all tests share: one thread, runs below a temporary folder, a small easy data set and small searches on it."""

import copy
from pathlib import Path

import hypothesis
import pytest
import torch

import darts_lab as dl
from darts_lab import official
from darts_lab.scales import EvaluationSettings, SearchSettings

torch.set_num_threads(1)  # the sums of one thread come in one order, and test workers do not fight for cores
hypothesis.settings.register_profile("darts_lab", deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile("darts_lab")


@pytest.fixture(scope="session", autouse=True)
def runs_below_a_temporary_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARTS_LAB_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="session")
def shared():
    """The folder of official logs and checkpoints beside the repository."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"the official logs and checkpoints are not beside the repository: {path}")
    return path


@pytest.fixture(scope="session")
def colours():
    """A function `(samples, size, name)` that makes a data set of noisy coloured squares: four classes, no crops."""

    def make(samples=16, size=8, name="colours"):
        palette = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])

        def split(seed):
            labels = torch.arange(samples) % 4
            noise = torch.randn(samples, 3, size, size, generator=torch.Generator().manual_seed(seed))
            return palette[labels][:, :, None, None] + 0.5 * noise, labels

        return dl.data.from_tensors(split(1), split(2), split(3), name=name, classes=4)

    return make


@pytest.fixture(scope="session")
def small():
    """A scale below `tiny`: the papers' rates, but two batches of eight in an epoch, and two epochs."""
    sizes = {"channels": 4, "layers": 3, "epochs": 2, "batch_size": 8, "drop_path": 0.0, "cutout": 0}
    paths = {"paths": 6, "path_batches": 1, "finalists": 2}
    search = SearchSettings(nodes=2, order=1, alpha_learning_rate=3e-3, **paths, **sizes)
    return dl.Scale("small", search, EvaluationSettings(auxiliary=0.0, **sizes))


@pytest.fixture(scope="session")
def small_search(colours, small):
    """A function that makes a small Search, with `changes` of its arguments and settings; it writes nothing."""
    data = colours()

    def make(space="S2", **changes):
        return dl.Search(space, **({"data": data, "scale": small, "path": False} | changes))

    return make


@pytest.fixture(scope="session")
def under_their_names():
    """A function that gives one tensor for each parameter of a supernet (gradients, say) the names of quark0/darts."""

    @torch.no_grad()
    def name(supernet, tensors):
        holder = copy.deepcopy(supernet)
        for parameter, tensor in zip(holder.parameters(), tensors, strict=True):
            parameter.copy_(tensor)
        return official.state_dict(holder)

    return name
