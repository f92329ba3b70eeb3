"""Recorded steps, with a stand-in for CUDA graphs (`tape.py`) that a CPU can replay; test_gpu.py has the real ones."""

import copy
import importlib
import warnings
import weakref

import pytest
import torch
from tape import Tapes

import darts_lab as dl
from darts_lab import capture
from darts_lab.methods.monitors import Adaptation, Rule
from darts_lab.methods.schedules import Random
from darts_lab.methods.terms import projection

pytestmark = pytest.mark.usefixtures("plain_form")  # the stand-in sees PyTorch's own operations only
CPU = torch.device("cpu")


@pytest.fixture
def tapes(monkeypatch):
    """Makes a CPU a device whose steps can be recorded, and gives the class of the stand-in."""
    made = type("Counted", (Tapes,), {})
    monkeypatch.setattr(capture, "KINDS", ("cuda", "cpu"))
    monkeypatch.setattr(capture, "make_graphs", made)
    for name in ("adam", "asgd"):
        module = importlib.import_module(f"torch.optim.{name}")
        monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda *_, **__: ["cuda", "cpu"])
    for name in ("assembly", "recurrent"):  # on a CPU alone it looks which operations weigh zero
        module = importlib.import_module(f"darts_lab.networks.{name}")
        monkeypatch.setattr(module, "running_operations", lambda space, mixing, running=None, shape=None: running)
    return made


def same(one, other) -> None:
    """Asserts that two searches or trainings are equal to the last bit."""
    for loop in (one, other):
        assert loop.history
    networks = [loop.supernet if isinstance(loop, dl.Search) else loop.network for loop in (one, other)]
    for (name, first), second in zip(networks[0].state_dict().items(), networks[1].state_dict().values(), strict=True):
        assert torch.equal(first, second), name
    if isinstance(one, dl.Search):
        assert torch.equal(one.alpha, other.alpha)
    for first, second in zip(one.history, other.history, strict=True):
        assert first.to_json()[0] == second.to_json()[0]


def searched(recorded: bool, **given):
    search = dl.Search(**{"scale": "tiny", "path": False, "epochs": 2} | given, capture=recorded)
    for _ in search:
        pass
    return search


QUICK = Rule(window=1, factor=1.001, delta=1, start=0)
SEARCHES = {
    "first order": {},
    "second order": {"order": 2},
    "noise": {"space": "S4"},
    "noise, second order": {"space": "S4", "order": 2},
    "drop path, Cutout": {"method": "R-DARTS(DP)", "epochs": 3},
    "going back": {"method": dl.Method("ADA", monitor=Adaptation(QUICK)), "epochs": 8, "curvature_every": 1},
    "Fisher trace, proximity": {"method": "DARTS-PRIME", "epochs": 3},
    "ADMM": {"method": dl.Method("ADMM", admm=dl.methods.terms.ADMM(every=2), schedule=Random(1)), "epochs": 4},
    "a sample": {"method": dl.Method("drawn", draw=lambda alpha, progress, generator: torch.softmax(alpha + progress * torch.randn(alpha.shape, generator=generator, device=alpha.device), -1))},
    "pruning": {"space": "DARTS", "method": "CRB"},
    "no alpha": {"method": "RS-ws"},
    "parity": {"parity": True},
    "language": {"data": "pydocs", "train_samples": 240, "valid_samples": 240},
    "language, second order, dropout": {"data": "pydocs", "order": 2, "dropout_output": 0.2, "train_samples": 240},
    "disparity": {"data": "stereo"},
    "depth": {"data": "bathymetry"},
}  # fmt: skip


@pytest.mark.parametrize("given", SEARCHES.values(), ids=SEARCHES)
def test_a_recorded_search_is_the_same_to_the_last_bit_and_waits_nowhere(given, tapes):
    recorded = searched(True, **given)
    assert recorded.descent.recorder.on and tapes.recorded and not tapes.waits
    if recorded.method.monitor is not None:
        assert any(record.back_to is not None for record in recorded.history), "it does go back"
    same(searched(False, **given), recorded)


@pytest.mark.parametrize("data", ["digits", "pydocs", "stereo", "bathymetry"])
def test_a_recorded_training_is_the_same_to_the_last_bit(data, tapes):
    if data == "pydocs":  # on a CPU alone, ASGD makes a tensor of a number
        tapes.waiting = tapes.waiting - {"lift_fresh"}
    task = dl.tasks.of(data)
    cell = dl.random_genotype(dl.spaces.get(task.space).with_nodes(2), torch.Generator().manual_seed(0))
    more = {"train_samples": 240, "epochs": 3} if data == "pydocs" else {"drop_path": 0.2, "epochs": 3}
    plain, recorded = (dl.Training(cell, data, "tiny", capture=wanted, **more) for wanted in (False, True))
    results = [[*training, training.result()][-1] for training in (plain, recorded)]
    same(plain, recorded)
    assert recorded.recorder.on and tapes.recorded > 1
    assert results[0].test_loss == results[1].test_loss and results[0].test_error == results[1].test_error


@pytest.mark.parametrize("first", [True, False])
def test_a_run_goes_on_exactly_with_the_other_form(first, tapes, tmp_path):
    search = dl.Search(scale="tiny", path=tmp_path / "run", capture=first)
    next(search)
    search.release()
    search = dl.Search.resume(tmp_path / "run", capture=not first)
    for _ in search:
        pass
    same(searched(True, epochs=3), search)


def test_a_state_that_is_loaded_again_is_gone_on_from(tapes):
    """Its optimizers remember in another place; a step recorded before would read and write the old one."""
    searches = [dl.Search(scale="tiny", path=False, epochs=5, capture=recorded) for recorded in (False, True)]
    for search in searches:
        next(search), next(search)
        state = copy.deepcopy(search.state())
        next(search)
        search.load_state(state)
        del search.history[2:]
        for _ in search:
            pass
    same(*searches)


def test_a_step_copies_what_it_reads_and_gives_and_bakes_in_plain_values(tapes):
    total = torch.zeros(())

    def step(x, factor):
        total.add_(x.sum())
        return {"twice": factor * x, "sum": x.sum()}, None

    recorder = capture.Recorder(CPU, torch.Generator(), True)
    recorded, given, found = recorder.step(step), [], []
    for number in range(8):
        given.append(torch.full((3,), float(number)))
        found.append(recorded(given[-1], 2.0))
        given[-1].mul_(0)  # what is done with it afterwards is the caller's affair
    assert [float(out["sum"]) for out, _ in found] == [3 * number for number in range(8)]
    assert [out["twice"].tolist() for out, _ in found] == [[2.0 * number] * 3 for number in range(8)]
    assert float(total) == 3 * sum(range(8)) and tapes.recorded == 1
    for factor, size, counted in ((2.0, 4, 2), (3.0, 3, 3), (2.0, 3, 4)):  # other shapes, then other plain values
        for _ in range(4):
            assert recorded(torch.ones(size), factor)[0]["twice"].tolist() == [factor] * size
        assert tapes.recorded == counted
    recorder.forget()
    for _ in range(3):
        recorded(torch.ones(3), 2.0)
    assert tapes.recorded == 5


@pytest.mark.parametrize(
    "reason", ["operation not permitted when stream is capturing", "CUDA out of memory.\nTried ..."]
)
def test_where_recording_fails_one_warning_says_why_and_nothing_is_lost(reason, tapes):
    tapes.fails = reason
    with pytest.warns(UserWarning, match="capture: steps are not recorded, because") as warned:
        search = searched(True)
    assert len(warned) == 1 and reason.split("\n")[0] in str(warned[0].message) and "\n" not in str(warned[0].message)
    assert not search.descent.recorder.on and tapes.recorded == 0
    same(searched(False), search)


def test_a_step_that_waits_for_the_device_is_not_recorded(tapes):
    def curious(alpha, mixing, progress, space):
        return mixing.square().sum() * (2.0 if float(mixing.detach().max()) > 0.3 else 1.0)

    method = dl.Method("curious", terms=(curious,))
    with pytest.warns(UserWarning, match="capture: .* waits for the device") as warned:
        search = searched(True, method=method)
    assert len(warned) == 1 and not search.descent.recorder.on
    same(searched(False, method=method), search)


def test_a_search_and_a_training_are_gone_when_nobody_holds_them(tapes):
    search = searched(True)
    training = dl.Training(search.genotype, scale="tiny", capture=True)
    next(training)
    left = [weakref.ref(one) for one in (search, search.descent, training)]
    del search, training
    assert [one() for one in left] == [None] * 3, "without the garbage collector, so that a run is free at once"


def test_it_is_off_unless_asked_for_and_on_a_cpu(monkeypatch):
    monkeypatch.delenv("DARTS_LAB_CAPTURE", raising=False)
    generator = torch.Generator()
    for wanted in (None, False, True):
        assert not capture.Recorder(CPU, generator, wanted).on
    assert capture.number(0.1, CPU) == 0.1
    monkeypatch.setattr(capture, "KINDS", ("cpu",))
    monkeypatch.setattr(capture, "make_graphs", Tapes)
    assert capture.Recorder(CPU, generator, True).on and not capture.Recorder(CPU, generator).on
    monkeypatch.setenv("DARTS_LAB_CAPTURE", "1")
    assert capture.Recorder(CPU, generator).on and not capture.Recorder(CPU, generator, False).on
    monkeypatch.setenv("DARTS_LAB_CAPTURE", "0")
    assert not capture.Recorder(CPU, generator).on


@pytest.mark.parametrize("space", ["S1", "S2", "DARTS", "RNN", "S6"])
def test_the_projection_on_the_device_is_the_discretized_cell_ties_included(space):
    space, generator = dl.spaces.get(space), torch.Generator().manual_seed(0)
    for number in range(50):
        weights = torch.rand(space.shape, generator=generator)
        weights = weights if number % 2 else (3 * weights).round()  # ties, zeros
        assert torch.equal(projection(weights, space), dl.discretize(weights, space).mixing(space)), weights


def test_nothing_is_warned_of_where_everything_can_be_recorded(tapes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searched(True, epochs=1)
