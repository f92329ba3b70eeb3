"""What all tests share: one thread, runs below a temporary folder, a small easy data set and small searches on it."""

import copy
from pathlib import Path

import hypothesis
import pytest
import samples
import torch

import darts_lab as dl
from darts_lab.interop import official

torch.set_num_threads(1)  # the sums of one thread come in one order, and test workers do not fight for cores
slow = [hypothesis.HealthCheck.too_slow]  # a busy machine is no fault
hypothesis.settings.register_profile(
    "darts_lab", deadline=None, derandomize=True, database=None, max_examples=60, suppress_health_check=slow
)
hypothesis.settings.load_profile("darts_lab")
LONG = ("browser", "sweeps", "widgets", "fused", "capture", "ranks", "curvature", "cli", "torture")


def pytest_collection_modifyitems(items):
    """The files that take longest come first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)


@pytest.fixture(scope="session", autouse=True)
def runs_below_a_temporary_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARTS_LAB_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture
def plain_form(monkeypatch):
    """Cells are computed by PyTorch's own operations."""
    monkeypatch.setenv("DARTS_LAB_FUSED", "0")


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
    return samples.colours


@pytest.fixture(scope="session")
def small():
    """A scale below `tiny`: the papers' rates, but two batches of eight in an epoch, and two epochs."""
    return samples.SMALL


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
