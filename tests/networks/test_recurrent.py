"""The recurrent supernet and the network of one cell against a textbook form in plain loops."""

import pytest
import torch
from torch.nn import functional as F

import darts_lab as dl
from darts_lab import spaces
from darts_lab.networks import recurrent
from darts_lab.networks.assembly import frozen_statistics
from darts_lab.networks.costs import parameter_count
from darts_lab.networks.recurrent import RecurrentNetwork, RecurrentSupernet

WORDS, CHANNELS, STREAMS, WINDOW = 11, 6, 5, 4
LIU = (  # the cell of Liu et al. 2019 (quark0/darts, `rnn/genotypes.py`)
    "Genotype(recurrent=[('relu', 0), ('relu', 1), ('tanh', 2), ('relu', 3), ('relu', 4), ('identity', 1), ('relu', 5), "
    "('relu', 1)], concat=range(1, 9))"
)
FUNCTIONS = {"tanh": torch.tanh, "relu": F.relu, "sigmoid": torch.sigmoid, "identity": lambda h: h}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make_supernet(space=spaces.RNN, dropout=(0.0,) * 5, seed=0, running_statistics=True):
    sizes = {"channels": CHANNELS, "dropout": dropout, "spread": 0.5, "generator": seeded(seed)}
    return RecurrentSupernet(space, WORDS, running_statistics=running_statistics, **sizes).double()


def make_network(genotype=LIU, words=WORDS, channels=CHANNELS, dropout=(0.0,) * 5):
    genotype = dl.Genotype.parse(genotype) if isinstance(genotype, str) else genotype
    sizes = {"channels": channels, "dropout": dropout, "spread": 0.5, "generator": seeded()}
    return RecurrentNetwork(genotype, words, **sizes).double()


def window(streams=STREAMS, length=WINDOW, seed=3):
    words = torch.randint(WORDS, (streams, length), generator=seeded(seed))
    return words, torch.randn(streams, CHANNELS, generator=seeded(seed + 1), dtype=torch.float64)


def random_mixing(space, seed=1):
    return torch.softmax(torch.randn(space.shape, generator=seeded(seed), dtype=torch.float64), -1)


# --- the textbook: word by word, node by node, edge by edge, operation by operation -------------


def norm_of(supernet, training):
    """PyTorch's batch-norm with the running statistics of the supernet's: one for all states, as in quark0/darts."""
    norm = torch.nn.BatchNorm1d(CHANNELS, affine=False).double().train(training)
    norm.load_state_dict(dict(supernet.cell.norm.named_buffers()) | {"num_batches_tracked": torch.tensor(0)})
    return norm


def textbook(model, inputs, weigh, nodes, norm=lambda state: state):
    """Log probabilities and hidden state; `weigh(source, node)` gives the pairs (operation, weight) of an edge."""
    words, hidden = inputs
    said = []
    for place in range(words.shape[1]):
        x = model.embedding[words[:, place]]
        both = torch.cat([x, hidden], 1) @ model.cell.first
        c, h = torch.sigmoid(both[:, :CHANNELS]), torch.tanh(both[:, CHANNELS:])
        first = hidden + c * (h - hidden)
        states = [norm(first)]
        for node in range(nodes):
            total = torch.zeros_like(hidden)
            for source, state in enumerate(states):
                both = state @ model.cell.matrices[node]
                c, h = torch.sigmoid(both[:, :CHANNELS]), both[:, CHANNELS:]
                for name, weight in weigh(source, node):
                    if name != "none":
                        total = total + weight * (state + c * (FUNCTIONS[name](h) - state))
            states.append(norm(total))
        hidden = sum(states[1:]) / nodes
        said.append(torch.log_softmax(hidden @ model.embedding.t() + model.bias, 1))
    return torch.stack(said, 1), hidden


def edges_of(space, mixing):
    def weigh(source, node):
        edge = space.edges.index((source, node))
        return list(zip(space.cell("recurrent")[edge], mixing[0, edge]))

    return weigh


@pytest.mark.parametrize(
    ("training", "running"), [(True, True), (False, True), (False, False)], ids=["train", "running", "eval"]
)
@pytest.mark.parametrize("name", ["RNN", "RNN-S"])
def test_supernet_is_the_textbooks_and_so_is_its_gradient(name, training, running):
    space = spaces.get(name)
    supernet, inputs = make_supernet(space, running_statistics=running), window()
    supernet(inputs, random_mixing(space, 9))  # moves the running statistics
    supernet.train(training)
    found, expected = [], []
    for results, run in ((found, supernet), (expected, None)):
        mixing = random_mixing(space).requires_grad_()
        if run is None:
            norm = norm_of(supernet, training or not running)
            said, hidden = textbook(supernet, inputs, edges_of(space, mixing), space.nodes, norm)
        else:
            said, hidden, _ = run(inputs, mixing)
        loss = said.square().mean() + hidden.square().mean()
        results += [said, hidden, *torch.autograd.grad(loss, [mixing, *supernet.parameters()])]
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 1e-10 * max(1, other.abs().max())
    assert found[2].abs().max() > 1e-6


@pytest.mark.parametrize(("name", "batches"), [("RNN", 60), ("RNN", 3), ("RNN-S", 20)])
def test_running_statistics_and_the_loss_in_evaluation_are_those_of_one_batch_norm_for_all_states(name, batches):
    space = spaces.get(name)
    supernet, mixing = make_supernet(space), random_mixing(space)
    norm = norm_of(supernet, True)
    for seed in range(batches):
        supernet(window(seed=seed), mixing)
        textbook(supernet, window(seed=seed), edges_of(space, mixing), space.nodes, norm)
    for ours, other in (
        (supernet.cell.norm.running_mean, norm.running_mean),
        (supernet.cell.norm.running_var, norm.running_var),
    ):
        assert (ours - other).abs().max() < 1e-12
    said, _ = textbook(supernet, window(), edges_of(space, mixing), space.nodes, norm.eval())
    assert (supernet.eval()(window(), mixing).log_probabilities - said).abs().max() < 1e-12


def test_network_of_a_genotype_is_the_textbooks():
    genotype, network, inputs = dl.Genotype.parse(LIU), make_network(), window()
    kept = {(source, node): [(name, 1.0)] for source, node, name in genotype.edges("recurrent")}
    said, hidden = textbook(network, inputs, lambda source, node: kept.get((source, node), []), 8)
    output = network(inputs)
    assert (output.log_probabilities - said).abs().max() < 1e-12 and (output.hidden - hidden).abs().max() < 1e-12
    assert torch.equal(output.states[:, -1], output.hidden)
    assert output.log_probabilities.exp().sum(2).sub(1).abs().max() < 1e-12


def test_the_cell_of_liu_et_al_has_the_published_number_of_parameters():
    # README of quark0/darts: 22.960 million, for the 10,000 words of Penn Treebank and 850 units
    network = RecurrentNetwork(
        dl.Genotype.parse(LIU), 10_000, channels=850, dropout=(0.0,) * 5, spread=0.04, generator=seeded()
    )
    assert round(parameter_count(network) / 1e6, 3) == 22.960


def test_what_weighs_nothing_is_not_run(monkeypatch):
    calls = []
    for name, function in recurrent.ACTIVATIONS.items():
        monkeypatch.setitem(
            recurrent.ACTIVATIONS, name, lambda h, n=name, f=function: calls.append((n, len(h))) or f(h)
        )
    space, inputs = spaces.RNN, window(length=1)
    supernet = make_supernet().eval()
    one_hot = dl.random_genotype(space, seeded()).mixing(space).double()
    found = supernet(inputs, one_hot)
    assert len(calls) == space.nodes and {edges for _, edges in calls} == {1}, "one operation on one edge for each node"
    said, _ = textbook(supernet, inputs, edges_of(space, one_hot), 8, norm_of(supernet, False))
    assert (found.log_probabilities - said).abs().max() < 1e-10
    calls.clear()
    again = supernet(inputs, one_hot.clone().requires_grad_(), running=(one_hot != 0).tolist())
    assert len(calls) == space.nodes and (again.log_probabilities - found.log_probabilities).abs().max() < 1e-12
    calls.clear()
    supernet(inputs, random_mixing(space))
    assert len(calls) == 4 * space.nodes and sum(edges for _, edges in calls) == 4 * 36


def test_operations_pruned_edge_by_edge_are_left_out():
    space, inputs = spaces.RNN, window()
    supernet = make_supernet()
    mixing = random_mixing(space) * (torch.rand(space.shape, generator=seeded(4)) < 0.4)
    said, _ = textbook(supernet, inputs, edges_of(space, mixing), 8, norm_of(supernet, True))
    assert (supernet(inputs, mixing).log_probabilities - said).abs().max() < 1e-10


def test_a_node_that_receives_nothing_is_zero():
    space = spaces.RNN.with_nodes(2)
    output = make_supernet(space)(window(), torch.zeros(space.shape, dtype=torch.float64))
    assert output.hidden.abs().max() == 0 and output.log_probabilities.exp().sum(2).sub(1).abs().max() < 1e-12


def test_dropout_is_one_mask_for_a_whole_window_and_only_in_training():
    model, (words, hidden) = make_network(dropout=(0.0, 0.0, 0.0, 0.5, 0.0)), window(length=6)
    words[:] = words[:, :1]  # the same word all along, so that the embedding shows the mask
    seen = []
    model.cell.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model((words, hidden), generator=seeded(1))
    x = seen[0]  # (window, streams, channels)
    assert torch.equal(x, x[:1].expand_as(x)), "the same for every word of the window"
    ratio = x[0] / model.embedding[words[:, 0]]
    assert set(ratio.detach().round(decimals=9).unique().tolist()) == {0.0, 2.0}
    model.eval()
    assert torch.equal(model((words, hidden), generator=seeded(1))[0], model((words, hidden), generator=seeded(2))[0])


@pytest.mark.parametrize("which", range(5), ids=["output", "hidden", "input", "embedding", "word"])
def test_every_dropout_acts_and_comes_from_the_generator_that_is_passed(which):
    rates = [0.0] * 5
    rates[which] = 0.4
    model, inputs = make_network(dropout=rates), window()
    state = torch.get_rng_state()
    first, again, other = (model(inputs, generator=seeded(seed)).log_probabilities for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, make_network()(inputs).log_probabilities)


def test_dropped_paths_leave_out_whole_edges_of_a_stream_and_keep_the_mean():
    space = spaces.RNN.with_nodes(1)  # one edge: dropped, it leaves a node of zeros before the batch-norm
    supernet, inputs = make_supernet(space), window(streams=400, length=1)
    seen = []
    supernet.cell.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mixing = random_mixing(space)
    supernet(inputs, mixing)
    supernet(inputs, mixing, drop_path=0.25, generator=seeded())
    plain, dropped = seen[1::2]  # the first of each pair is the first state's
    ratio = (dropped / plain).detach().mean(1)
    assert set(ratio.round(decimals=6).tolist()) == {0.0, round(1 / 0.75, 6)}
    assert float(ratio.mean()) == pytest.approx(1, abs=0.1)
    supernet.eval()(inputs, mixing, drop_path=0.25, generator=seeded())
    assert (seen[-1] != 0).any(1).all()


def test_running_statistics_stay_where_they_are_while_frozen():
    supernet = make_supernet()
    before = [buffer.clone() for buffer in supernet.buffers()]
    with frozen_statistics(supernet):
        supernet(window(), random_mixing(spaces.RNN))
    assert all(torch.equal(one, other) for one, other in zip(before, supernet.buffers(), strict=True))
    supernet(window(), random_mixing(spaces.RNN))
    assert not any(torch.equal(one, other) for one, other in zip(before, supernet.buffers(), strict=True))


def test_mixing_of_another_space_is_refused():
    with pytest.raises(ValueError, match=r"mixing: shape \(1, 36, 2\) does not fit space 'RNN': \(1, 36, 5\)"):
        make_supernet()(window(), torch.zeros(1, 36, 2))


def test_an_operation_of_ones_own_is_used_on_its_edges():
    own = {"sine": lambda channels, stride: type("Sine", (torch.nn.Module,), {"forward": lambda _, h: torch.sin(h)})()}
    kinds = {"nodes": 2, "cell_types": ("recurrent",)}
    space = spaces.same_on_every_edge("mine", "sine", "tanh", operations=own, **kinds)
    plain = spaces.same_on_every_edge("mine", "sigmoid", "tanh", **kinds)
    mixing = torch.tensor([[[1.0, 0.0]] * 3], dtype=torch.float64)
    found, other = (make_supernet(of)(window(), mixing).hidden for of in (space, plain))
    assert not torch.equal(found, other)
    FUNCTIONS["sine"] = torch.sin
    supernet = make_supernet(space)
    assert (
        textbook(supernet, window(), edges_of(space, mixing), 2, norm_of(supernet, True))[1] - found
    ).abs().max() < 1e-12


def test_the_same_generator_gives_the_same_weights():
    one, same, other = make_supernet(), make_supernet(), make_supernet(seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embedding, other.embedding)
    assert one.embedding.detach().abs().max() <= 0.5 and not one.bias.any()
