"""Checkpoints of quark0/darts and its relatives: read into ours and written back, equal in both directions."""

import pickle
from collections import OrderedDict

import pytest
import torch
from reference import textbook
from torch import nn

from darts_lab import spaces
from darts_lab.genotype import uniform_genotype
from darts_lab.interop import official
from darts_lab.networks.images import Supernet

IMAGES = [name for name, space in spaces.SPACES.items() if space.cell_types == spaces.CELL_TYPES]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def supernet_of(space, channels=4, layers=5, seed=0):
    return Supernet(space, channels=channels, layers=layers, generator=seeded(seed))


@torch.no_grad()
def trained(supernet, seed=9):
    """Every weight and running statistic at some value of its own."""
    for tensor in supernet.state_dict().values():
        tensor.uniform_(0.5, 1.5, generator=seeded(seed))
        seed += 1
    return supernet


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def textbook_of(space):
    edges = {cell_type: space.cell(cell_type) for cell_type in spaces.CELL_TYPES}
    return textbook.SupernetTextbook(edges, channels=4, layers=5, nodes=space.nodes)


@pytest.mark.parametrize("name", IMAGES)
def test_ours_written_in_their_form_and_read_back_is_ours(name):
    first, second = trained(supernet_of(spaces.get(name))), supernet_of(spaces.get(name), seed=1)
    official.load_state_dict(second, official.state_dict(first))
    assert equal(first.state_dict(), second.state_dict())


@pytest.mark.parametrize("name", IMAGES)
def test_theirs_read_and_written_back_is_theirs(name):
    space = spaces.get(name)
    theirs = textbook_of(space)
    generator = seeded()
    theirs(torch.randn(4, 3, 8, 8, generator=generator), *torch.rand(space.shape, generator=generator))
    state = theirs.state_dict()  # with num_batches_tracked, which later versions of PyTorch added
    ours = supernet_of(space)
    official.load_state_dict(ours, state)
    back = official.state_dict(ours)
    assert equal(back, {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")})
    missing, surplus = textbook_of(space).load_state_dict(back, strict=False)
    assert not surplus and all(key.endswith("num_batches_tracked") for key in missing)


def test_a_written_state_is_a_copy():
    supernet = trained(supernet_of(spaces.S2))
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    for tensor in official.state_dict(supernet).values():
        tensor.zero_()
    assert equal(supernet.state_dict(), before)


def test_own_operations_with_torchs_batch_norm_are_written_and_read():
    def mine(channels, stride):
        return nn.Sequential(nn.Conv2d(channels, channels, 3, stride, 1), nn.BatchNorm2d(channels))

    space = spaces.same_on_every_edge("own", "skip_connect", "mine", nodes=2, operations={"mine": mine})
    first, second = supernet_of(space), supernet_of(space, seed=1)
    first(torch.randn(2, 3, 8, 8), torch.full(space.shape, 0.5))
    official.load_state_dict(second, official.state_dict(first))
    assert equal(official.state_dict(first), official.state_dict(second))


# --- As others keep them ----------------------------------------------------------------------


def kept(state, alpha):
    """The same weights and alphas in the forms in which code bases save them."""
    normal, reduce = alpha
    beside = {"alphas_normal": normal, "alphas_reduce": reduce}
    inside = {"_arch_parameters.0": normal, "_arch_parameters.1": reduce}
    module = {f"module.{name}": tensor for name, tensor in state.items()}
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in state.items()}
    both = {f"module._orig_mod.{name}": tensor for name, tensor in (state | beside).items()}
    return {
        "plain, with alphas": state | beside,
        "DataParallel": module | {f"module.{name}": tensor for name, tensor in beside.items()},
        "DataParallel, alphas without the prefix": module | inside,
        "torch.compile": {"state_dict": compiled, "epoch": 49, **beside},
        "both": {"model": both, "optimizer": {"state": {}, "param_groups": [{"lr": 0.025}]}},
        "RobustDARTS": {
            "epoch": 50,
            "state_dict": state,
            "genotype": "Genotype(...)",
            "architect": {"state": {}},
            **beside,
        },
        "a list of alphas": {"model": {"state_dict": state}, "alphas": [normal, reduce]},
    }


@pytest.mark.parametrize("form", kept({}, [0, 0]))
def test_a_checkpoint_is_unwrapped_and_its_alphas_are_given_back(form, tmp_path):
    first, second = trained(supernet_of(spaces.S2)), supernet_of(spaces.S2, seed=1)
    alpha = torch.randn(spaces.S2.shape, generator=seeded(3))
    torch.save(kept(official.state_dict(first), alpha)[form], tmp_path / "theirs.pt")
    found = official.load_state_dict(second, official.read(tmp_path / "theirs.pt"))
    assert equal(first.state_dict(), second.state_dict()) and torch.equal(found, alpha)
    weights, again = official.unwrapped(official.read(tmp_path / "theirs.pt"))
    assert equal(weights, official.state_dict(first)) and torch.equal(again, alpha)


@pytest.mark.parametrize(
    "wrap", [lambda s: {f"module.{n}": t for n, t in s.items()}, lambda s: {"state_dict": s}, dict]
)
def test_without_alphas_none_are_given_back(wrap):
    first, second = trained(supernet_of(spaces.S5)), supernet_of(spaces.S5, seed=1)
    assert official.load_state_dict(second, wrap(official.state_dict(first))) is None
    assert equal(first.state_dict(), second.state_dict())


def test_alphas_that_do_not_fit_are_refused_and_nothing_is_changed():
    supernet = trained(supernet_of(spaces.S5))
    before, state = (
        {n: t.clone() for n, t in supernet.state_dict().items()},
        official.state_dict(supernet_of(spaces.S5)),
    )
    for alphas, words in (
        ({"alphas_normal": torch.zeros(2, 3)}, "both cells must have"),
        ({"alphas_normal": torch.zeros(2, 3), "alphas_reduce": torch.zeros(3, 3)}, "both cells must have"),
        (
            dict.fromkeys(("alphas_normal", "alphas_reduce"), torch.zeros(14, 8)),
            r"have the shape \(2, 14, 8\), space 'S5'",
        ),
    ):
        with pytest.raises(ValueError, match=f"state_dict: .*{words}"):
            official.load_state_dict(supernet, state | alphas)
    assert equal(before, supernet.state_dict())


def test_a_state_dict_in_the_wrong_place_says_which_keys_do_not_fit_and_which_space_would():
    supernet = supernet_of(spaces.S3)
    with pytest.raises(
        ValueError,
        match=r"space 'S3' at this size: it lacks 'cells.0._ops.0._ops.2.op.1.weight' and \d+ more; it has no place for 'cells.* it fits space 'S2' with 4 channels, 5 layers and 10 classes",
    ):
        official.load_state_dict(supernet, official.state_dict(supernet_of(spaces.S2)))
    small = official.state_dict(supernet_of(spaces.DARTS.with_nodes(2), layers=3))
    with pytest.raises(
        ValueError, match=r"it fits space 'DARTS'.with_nodes\(2\) with 4 channels, 3 layers and 10 classes"
    ):
        official.load_state_dict(supernet, {"model": {f"module.{name}": tensor for name, tensor in small.items()}})
    with pytest.raises(ValueError, match="has another shape for 'cells.*it fits space 'S3' with 8 channels, 5 layers"):
        official.load_state_dict(supernet, official.state_dict(supernet_of(spaces.S3, channels=8)))
    found = textbook.NetworkTextbook(uniform_genotype(spaces.S2, "skip_connect").to_json(), 4, 5, 10, False)
    with pytest.raises(ValueError, match="it is of a network trained from scratch, with one operation on each edge"):
        official.load_state_dict(supernet, found.state_dict())
    with pytest.raises(ValueError, match="its names are those of darts_lab: supernet.load_state_dict"):
        official.load_state_dict(supernet, supernet.state_dict())
    with pytest.raises(
        ValueError, match="it lacks .*it has no place for 'fc.bias' and 1 more; it is of no network of DARTS"
    ):
        official.load_state_dict(supernet, nn.Sequential(OrderedDict(fc=nn.Linear(2, 2))).state_dict())


# --- The real one -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(shared):
    path = shared / "official_supernet" / "s2_cifar10_randomnas_seed4.pt"
    if not path.exists():
        pytest.skip(f"the official checkpoint is not there: {path}")
    return official.read(path)


def test_the_official_checkpoint_comes_back_bit_for_bit(checkpoint):
    supernet = Supernet(spaces.S2, channels=16, layers=8)
    official.load_state_dict(supernet, checkpoint)
    assert equal(official.state_dict(supernet), dict(checkpoint))


def test_the_official_checkpoint_gives_the_textbooks_logits(checkpoint):
    ours, theirs = Supernet(spaces.S2, channels=16, layers=8), textbook.SupernetTextbook(textbook.SPACES["S2"])
    official.load_state_dict(ours, checkpoint)
    theirs.load_state_dict(checkpoint, strict=True)
    x = torch.randn(4, 3, 32, 32, generator=seeded())
    mixing = torch.randn(spaces.S2.shape, generator=seeded(1)).softmax(-1)
    for mode in ("eval", "train"):
        with torch.no_grad():
            expected = getattr(theirs, mode)()(x, *mixing)
            torch.testing.assert_close(getattr(ours, mode)()(x, mixing), expected, rtol=1e-4, atol=1e-4)
        assert expected.std() > 0.1


@pytest.mark.parametrize(
    ("space", "channels", "layers", "says"),
    [("S3", 16, 8, "lacks"), ("S4", 16, 8, "has no place for"), ("S2", 8, 8, "another shape"), ("S2", 16, 5, "lacks")],
    ids=["S3", "S4", "other width", "other depth"],
)
def test_a_checkpoint_of_another_space_or_size_is_refused_and_changes_nothing(
    checkpoint, space, channels, layers, says
):
    supernet = Supernet(spaces.get(space), channels=channels, layers=layers)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with pytest.raises(ValueError, match=f"state_dict: not a checkpoint of space '{space}' .*{says}"):
        official.load_state_dict(supernet, checkpoint)
    assert equal(supernet.state_dict(), before)


# --- What is no checkpoint --------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [None, [], 5, {}, {"stem.0.weight": 1.0}, {"model": {"a": 3}}, {1: torch.ones(1)}], ids=str
)
def test_what_is_no_state_dict_is_refused(state):
    with pytest.raises(ValueError, match="state_dict: must map names to tensors"):
        official.load_state_dict(supernet_of(spaces.S5), state)


def test_pools_of_one_state_with_different_statistics_are_refused_and_nothing_is_changed():
    supernet = trained(supernet_of(spaces.DARTS.with_nodes(2)))
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    state = {name: value + 1 for name, value in official.state_dict(supernet).items()}
    state["cells.0._ops.2._ops.1.1.running_mean"] += 1  # max-pool from state 0 to node 1
    with pytest.raises(ValueError, match=r"'cells.0._ops.0._ops.1.1.running_mean' and 'cells.0._ops.2._ops.1.1"):
        official.load_state_dict(supernet, state)
    assert equal(supernet.state_dict(), before)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("content", ["text", "empty", "half", "code", "pickled code"])
def test_a_damaged_or_malicious_file_is_refused_and_no_code_in_it_is_run(content, tmp_path):
    path, owned = tmp_path / "theirs.pt", tmp_path / "owned"
    torch.save(official.state_dict(supernet_of(spaces.S5)), path)
    if content == "code":
        torch.save({"stem.0.weight": Malicious(owned)}, path)
    elif content == "pickled code":
        path.write_bytes(pickle.dumps(Malicious(owned), protocol=2))
    else:
        path.write_bytes({"text": b"no checkpoint", "empty": b"", "half": path.read_bytes()[:5000]}[content])
    with pytest.raises(ValueError, match="checkpoint: '.*theirs.pt' cannot be read") as error:
        official.read(path)
    assert not owned.exists() and "weights_only=False" not in str(error.value)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pt"):
        official.read(tmp_path / "none.pt")
