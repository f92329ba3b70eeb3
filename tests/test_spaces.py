"""Search spaces: the papers' candidate operations, their sizes, and what is no space."""

import pytest
from reference import textbook

import darts_lab as dl
from darts_lab import spaces
from darts_lab.genotype import enumerate_genotypes
from darts_lab.networks.costs import parameter_count
from darts_lab.networks.images import Supernet

SKIP, SEP3 = spaces.SKIP, spaces.SEP3


@pytest.mark.parametrize(
    ("name", "millions"),
    [("S1", 0.405146), ("S2", 0.665466), ("S3", 0.665466), ("S4", 0.624506), ("DARTS", 1.930618)],
)
def test_supernet_of_16_channels_and_8_cells_has_the_published_number_of_parameters(name, millions):
    assert parameter_count(Supernet(spaces.get(name), channels=16, layers=8)) == round(millions * 1e6)


@pytest.mark.parametrize("name", ["S1", "S2", "S3", "S4", "DARTS"])
def test_candidates_of_every_edge_are_those_of_the_textbook(name):
    space = spaces.get(name)
    for cell_type in spaces.CELL_TYPES:
        assert [list(edge) for edge in space.cell(cell_type)] == textbook.SPACES[name][cell_type]


def test_s1_offers_two_operations_on_each_of_28_edges_and_not_the_same_everywhere():
    assert spaces.S1.shape == (2, 14, 2)
    assert len(set(spaces.S1.normal)) > 1 and len(set(spaces.S1.reduce)) > 1
    assert spaces.S1.normal != spaces.S1.reduce


def test_recurrent_cells_have_8_nodes_and_36_edges_one_kept_at_each_node():
    # Liu et al. 2019, section 3.1.2, and quark0/darts, `rnn/genotypes.py`; Zela et al. 2020: ReLU and identity alone
    assert spaces.RNN.shape == (1, 36, 5) and spaces.RNN_S.shape == (1, 36, 2) and spaces.get("rnn-s") is spaces.RNN_S
    assert set(spaces.RNN.cell("recurrent")) == {("none", "tanh", "relu", "sigmoid", "identity")}
    assert set(spaces.RNN_S.cell("recurrent")) == {("relu", "identity")}
    assert (spaces.RNN.nodes, spaces.RNN.inputs) == (8, 1)


def test_s5_has_exactly_81_genotypes():
    found = enumerate_genotypes(spaces.S5)
    assert len(found) == len(set(found)) == len(set(map(str, found))) == 81
    assert all(genotype.mixing(spaces.S5).sum() == 4 for genotype in found)  # one operation on each of 4 edges


def test_only_spaces_of_one_node_are_enumerated():
    with pytest.raises(ValueError, match="space: 'S2' has 4 nodes"):
        enumerate_genotypes(spaces.S2)


def test_edges_run_node_by_node_from_every_earlier_state():
    assert spaces.edges_of(2) == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)]
    assert [len(spaces.edges_of(nodes)) for nodes in (1, 2, 3, 4)] == [2, 5, 9, 14]


@pytest.mark.parametrize("name", spaces.SPACES)
def test_a_space_of_fewer_nodes_keeps_the_first_edges(name):
    space = spaces.get(name)
    for nodes in range(1, space.nodes + 1):
        smaller = space.with_nodes(nodes)
        edges = len(spaces.edges_of(nodes, space.inputs))
        assert (smaller.name, smaller.nodes) == (name, nodes)
        assert smaller.shape == (len(space.cells), edges, space.candidates)
        assert all(smaller.cell(kind) == space.cell(kind)[:edges] for kind in space.cell_types)
    for nodes in (0, -1, space.nodes + 1):
        with pytest.raises(ValueError, match=f"nodes: {nodes} is not possible.*allowed: 1 to {space.nodes}"):
            space.with_nodes(nodes)


def test_own_operations_survive_in_a_space_of_fewer_nodes():
    own = {"mine": lambda channels, stride: None}
    space = spaces.same_on_every_edge("own", SKIP, "mine", operations=own)
    assert space.with_nodes(1).operations == own


@pytest.mark.parametrize("name", ["S1", "s1", "darts", "Darts"])
def test_names_are_found_without_regard_to_case(name):
    assert spaces.get(name).name == name.upper()


def test_a_space_is_its_own_name():
    assert spaces.get(spaces.S3) is spaces.S3


@pytest.mark.parametrize(
    ("normal", "reduce", "says"),
    [
        ([[SKIP]] * 3, [[SKIP]] * 3, ["3 edges", "2, 5, 9, 14"]),
        ([[SKIP]] * 2, [[SKIP]] * 5, ["normal has 2 edges and reduce has 5"]),
        ([], [], ["0 edges"]),
        ([[SKIP], [SKIP, SEP3]], [[SKIP]] * 2, ["same number", "[1, 2]"]),
        ([[], []], [[], []], ["at least one", "[0]"]),
        ([[SKIP], ["conv_9x9"]], [[SKIP]] * 2, ["'conv_9x9'", "edge 1 of the normal cell", SEP3, "operations="]),
        ([[SKIP, SEP3]] * 2, [[SKIP, SEP3], [SKIP, SKIP]], ["edge 1 of the reduce cell", "twice"]),
    ],
    ids=["edges", "unequal cells", "no edges", "unequal edges", "empty edges", "unknown operation", "twice"],
)
def test_what_is_no_space_is_refused_in_words(normal, reduce, says):
    with pytest.raises(ValueError) as error:
        dl.SearchSpace("mine", {"normal": normal, "reduce": reduce})
    assert all(word in str(error.value) for word in ["space 'mine'", *says])


def test_an_own_operation_makes_its_name_known():
    space = dl.spaces.same_on_every_edge(
        "mine", "conv_9x9", nodes=1, operations={"conv_9x9": lambda channels, stride: None}
    )
    assert (space.nodes, space.candidates, space.edges) == (1, 1, [(0, 0), (1, 0)])


def test_the_name_of_an_own_operation_must_be_one_that_a_genotype_can_be_read_with():
    with pytest.raises(ValueError, match="operation name 'my-op' is not allowed; it must be of letters, digits and _"):
        dl.spaces.same_on_every_edge("mine", SKIP, nodes=1, operations={"my-op": lambda channels, stride: None})
