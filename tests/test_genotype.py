"""Genotypes: the text of quark0/darts, JSON, discretization and mixing weights."""

import dataclasses
import json
import signal
from collections import Counter, namedtuple

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from reference import textbook

import darts_lab as dl
from darts_lab import notation, spaces
from darts_lab.genotype import random_genotype, uniform_genotype

TEXT = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0)], normal_concat=range(2, 3), "
    "reduce=[('max_pool_3x3', 0), ('none', 1)], reduce_concat=range(2, 3))"
)


@st.composite
def genotypes(draw):
    """Any genotype whose cells have one to five nodes."""

    def cell():
        nodes = draw(st.integers(1, 5))
        sources = [draw(st.integers(0, node + 1)) for node in range(nodes) for _ in range(2)]
        pairs = [(draw(st.sampled_from(spaces.KNOWN_OPERATIONS)), source) for source in sources]
        return pairs, draw(st.lists(st.integers(2, nodes + 1), min_size=1, unique=True))

    cells = {kind: cell() for kind in spaces.CELL_TYPES}
    return dl.Genotype(*({kind: part[i] for kind, part in cells.items()} for i in (0, 1)))


@st.composite
def mixings(draw):
    """A named space for images and mixing weights for it, with ties as often as not."""
    images = [space for space in spaces.SPACES.values() if space.cell_types == spaces.CELL_TYPES]
    space = draw(st.sampled_from(images))
    space = space.with_nodes(draw(st.integers(1, space.nodes)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    mixing = torch.randn(space.shape, generator=generator)
    return space, mixing.round() if draw(st.booleans()) else mixing


# --- Text and JSON ----------------------------------------------------------------------------


@given(genotypes())
def test_text_is_read_back(genotype):
    assert dl.Genotype.parse(str(genotype)) == genotype


@given(genotypes())
def test_json_is_read_back(genotype):
    assert dl.Genotype.from_json(json.loads(json.dumps(genotype.to_json()))) == genotype


def test_all_208_genotypes_of_the_official_logs_print_to_the_same_text(shared):
    def leaves(tree):
        return [tree] if isinstance(tree, str) else [leaf for branch in tree.values() for leaf in leaves(branch)]

    path = shared / "robustdarts_logs" / "search_logs" / "results_arch.yaml"
    if not path.exists():
        pytest.skip(f"the official results are not there: {path}")
    texts = leaves(yaml.safe_load(path.read_text()))
    assert len(texts) == 208
    for text in texts:
        assert str(dl.Genotype.parse(text)) == text


@given(genotypes())
def test_the_canonical_form_keeps_the_edges_and_forgets_their_order(genotype):
    def edges(of):
        return {kind: sorted(of.edges(kind)) for kind in spaces.CELL_TYPES}

    turned = [genotype.normal[i] for j in range(0, len(genotype.normal), 2) for i in (j + 1, j)]
    other = dataclasses.replace(genotype, cells=genotype.cells | {"normal": turned})
    assert edges(genotype.canonical) == edges(genotype)
    assert other.canonical == genotype.canonical == genotype.canonical.canonical


def test_spaces_and_line_breaks_between_the_words_do_not_matter():
    spread = TEXT.replace("(", "( ").replace(",", " ,\n ").replace("[", "[ ").replace("=", " = ")
    assert dl.Genotype.parse(f"\n {spread}\n") == dl.Genotype.parse(TEXT)
    assert dl.Genotype.parse(TEXT.replace("range(2, 3)", "[2]")) == dl.Genotype.parse(TEXT)
    assert dl.Genotype.parse(TEXT.replace(", ", ",\r\n")) == dl.Genotype.parse(TEXT.replace(", ", ",\r"))


def test_concat_of_scattered_states_is_printed_as_a_list():
    pairs = [("skip_connect", 0), ("skip_connect", 1)] * 3
    text = str(dl.Genotype({"normal": pairs, "reduce": pairs}, {"normal": (2, 4), "reduce": (4, 3, 2)}))
    assert "normal_concat=[2, 4]" in text and "reduce_concat=[4, 3, 2]" in text


# --- As others write them ---------------------------------------------------------------------

PAIRS = "[('max_pool_3x3', 0), ('none', 1)]"
WRITTEN = {
    "a comma before the last bracket": TEXT[:-1] + ",)",
    "double quotes": TEXT.replace("'", '"'),
    "a name": f"MY_CELL = {TEXT}",
    "a module": f"best = genotypes.{TEXT}",
    "a log of quark0": f"11/03 07:19:27 PM genotype = {TEXT}",
    "a log of RobustDARTS": f"2019-05-01 10:00:00,123 genotype = {TEXT}\n",
    "a time stamp alone": f"2019-05-01 10:00:00,123 {TEXT}",
    "a logger": f"[2019-05-01 10:00:00] [INFO] search: best genotype: {TEXT}",
    "comments": f"# of seed 3\n\nCELL = \\\n  {TEXT.replace('), (', '),  # first' + chr(10) + '(')}  # 97.2 %",
    "fields in another order": "Genotype(reduce_concat=[2], reduce=" + PAIRS + ", normal_concat=(2,), "
    "normal=[('sep_conv_3x3', 1), ('skip_connect', 0)])",
    "fields by their place": f"Genotype([('sep_conv_3x3', 1), ('skip_connect', 0)], range(2, 3), {PAIRS}, [2])",
    "a list of a range": TEXT.replace("range(2, 3)", "list(range(2, 3))"),
    "a range in brackets": TEXT.replace("range(2, 3)", "[*range(2, 3)]"),
    "tuples": TEXT.replace("[", "(").replace("]", ")"),
    "numbers of NumPy": TEXT.replace("0)", "np.int64(0))"),
    "triples": TEXT.replace("3', 1", "3', 2, 1").replace("t', 0", "t', 2, 0"),
    "triples from and to": TEXT.replace("3', 1", "3', 1, 2").replace("t', 0", "t', 0, 2"),
    "nested by node": f"Genotype(normal=[(('sep_conv_3x3', 1), ('skip_connect', 0))], normal_concat=[2], reduce=[{PAIRS}], "
    "reduce_concat=[2], connectN=None, connects=None)",
    "nested with weights": TEXT.replace("[(", "[((").replace(")]", "))]").replace(", 0)", ", 0, 0.25)"),
    "JSON": json.dumps({"reduce": [["max_pool_3x3", 0], ["none", 1]], "normal": [["sep_conv_3x3", 1], ["skip_connect", 0]]}
    | {"normal_concat": [2], "reduce_concat": [2]}),
    "a compact tuple": f"((('sep_conv_3x3', 1), ('skip_connect', 0)), {PAIRS})",
    "a compact tuple, states first": "(((1, 'sep_conv_3x3'), (0, 'skip_connect')), ((0, 'max_pool_3x3'), (1, 'none')))",
}  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_a_text_as_code_bases_write_it_is_read(text):
    assert dl.Genotype.parse(text) == dl.Genotype.parse(TEXT)
    assert notation.is_text(text)


def test_a_name_of_a_file_is_no_text():
    for name in (
        "cell.txt",
        "runs/S2-digits-R-DARTS(L2)-laptop-seed1-1a2b3c4d",
        "Genotype.json",
        "my genotype (2).txt",
    ):
        assert not notation.is_text(name)


# genotypes.py of xiaomi-automl/FairDARTS: (operation, state it leads to, source); state 3 receives nothing
FAIR_A = (
    "FairDARTS_a = Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('max_pool_3x3', 4, 0), "
    "('sep_conv_3x3', 5, 0)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 2, 0), ('avg_pool_3x3', 2, 1), "
    "('avg_pool_3x3', 3, 0), ('dil_conv_5x5', 3, 1), ('avg_pool_3x3', 4, 0), ('sep_conv_5x5', 4, 1), "
    "('skip_connect', 5, 0), ('skip_connect', 5, 1)], reduce_concat=range(2, 6))"
)
FAIR_C = "[('max_pool_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('dil_conv_3x3', 4, 0), ('dil_conv_5x5', 4, 2), ('skip_connect', 5, 3), ('sep_conv_3x3', 5, 0)]"


def test_a_cell_of_fairdarts_has_as_many_edges_into_a_node_as_it_lists():
    genotype = dl.Genotype.parse(FAIR_A)
    edges = [(0, 0, "sep_conv_3x3"), (1, 0, "sep_conv_5x5"), (0, 2, "max_pool_3x3"), (0, 3, "sep_conv_3x3")]
    assert list(genotype.edges("normal")) == edges
    assert genotype.concat["normal"] == (2, 4, 5), "their network leaves out the node without an edge"
    assert genotype.nodes == genotype.nodes_of("reduce") == 4 and genotype.count("sep_conv_3x3", "normal") == 2
    assert genotype.reduce[0] == ("max_pool_3x3", 0), "pairs where every node takes two"
    assert dl.Genotype.parse(str(genotype)) == dl.Genotype.from_json(genotype.to_json()) == genotype
    assert genotype.canonical.canonical == genotype.canonical
    assert dl.genotype.skip_reductions(genotype).count("skip_connect", "reduce") == 8


def test_an_edge_of_fairdarts_from_a_node_without_an_edge_is_left_out_as_in_their_network():
    text = FAIR_A[: FAIR_A.index("[")] + FAIR_C + FAIR_A[FAIR_A.index("], normal_concat") + 1 :]
    genotype = dl.Genotype.parse(text)
    assert genotype.count("skip_connect", "normal") == 0 and genotype.concat["normal"] == (2, 4, 5)
    with pytest.raises(ValueError, match="normal: all edges into state 5 come from nodes without an edge"):
        dl.Genotype.parse(text.replace("'sep_conv_3x3', 5, 0", "'sep_conv_3x3', 5, 3"))


def test_operations_of_a_compact_tuple_are_numbered_as_in_nasbench301():
    cells = ((0, 3), (1, 4), (0, 3), (1, 2), (2, 0), (3, 1), (0, 5), (4, 6)), ((0, 0), (1, 0)) * 4
    genotype = dl.Genotype.of(cells)
    names = [name for name, _ in genotype.normal]
    assert names[:4] == ["sep_conv_3x3", "sep_conv_5x5", "sep_conv_3x3", "skip_connect"]
    assert names[4:] == ["max_pool_3x3", "avg_pool_3x3", "dil_conv_3x3", "dil_conv_5x5"]
    assert [source for _, source in genotype.normal] == [0, 1, 0, 1, 2, 3, 0, 4]
    assert genotype.concat == {"normal": (2, 3, 4, 5), "reduce": (2, 3, 4, 5)}
    assert dl.Genotype.parse(str(cells)) == genotype
    with pytest.raises(ValueError, match="reduce, edge 1: operation 7 is not known; known: 0 max_pool_3x3, 1 avg"):
        dl.Genotype.of((cells[0], ((0, 0), (1, 7))))


def test_the_namedtuple_of_other_code_is_taken_wherever_a_genotype_is():
    theirs = namedtuple("Genotype", "normal normal_concat reduce reduce_concat")
    pairs = [("skip_connect", np.int64(0)), ("sep_conv_3x3", 1)]
    given = theirs(pairs, range(2, 3), pairs, np.array([2]))
    assert dl.Genotype.of(given).normal == (("skip_connect", 0), ("sep_conv_3x3", 1))
    recurrent = namedtuple("Genotype", "recurrent concat")([("tanh", 0), ("relu", 1)], range(1, 3))
    assert dl.Genotype.of(recurrent) == dl.Genotype.parse("Genotype([('tanh', 0), ('relu', 1)], range(1, 3))")
    assert dl.Training(given, scale="tiny").genotype == dl.Genotype.of(given) == dl.Genotype.of(given._asdict())
    assert len(dl.Network(given, channels=2, layers=3).backbone.cells) == 3
    assert len(dl.figures.cell(given, "normal", ax=Figure().subplots()).patches) == 3


@pytest.mark.parametrize(
    "source",
    [None, 7, ["a"], (), ((1, 2), (3, 4)), object(), {"normal": [], "reduce": []}, {}],
    ids=lambda source: type(source).__name__,
)
def test_what_is_no_genotype_is_refused(source):
    with pytest.raises(ValueError, match="^genotype: "):
        dl.Genotype.of(source)


def test_a_text_that_is_refused_says_where_it_went_wrong():
    says = {
        TEXT.replace("), (", ") (", 1): "line 1, column 18, at .*: a comma is missing behind it",
        "# mine\n" + TEXT.replace(" 0)]", " zero)]", 1): r"line 2, column 56, at .zero\)\], .*: only names in quotes",
        TEXT.replace("'skip_connect', 0", "'skip_connect'"): "normal, edge 1 must be a list, not 'skip_connect'",
        TEXT.replace("('skip_connect', 0)", "('skip_connect', 1, 1)"): "normal, edge",
        TEXT.replace("'none', 1", "'none', 5"): "reduce edge 1 .* comes from state 5; node 0 can take states 0 to 1",
        TEXT[:-1]: r"line 1, column .*: '\(' was never closed",
        f"{TEXT} or 1": "line 1, column 1, at .Genotype.*: nothing but Genotype",
        f"a = {TEXT}\nb = {TEXT}": "line 2, column 5, at .Genotype.*: it holds 2 genotypes; give one of them",
    }
    for text, words in says.items():
        with pytest.raises(ValueError, match=words):
            dl.Genotype.parse(text)


BAD_TEXTS = {
    "empty": "",
    "no text": None,
    "bytes": TEXT.encode(),
    "code": "__import__('os').system('touch owned')",
    "code as operation": TEXT.replace("'skip_connect'", "__import__('os').system('touch owned')"),
    "code in a name": TEXT.replace("skip_connect", "x', __import__('os').system('touch owned'), '"),
    "code as state": TEXT.replace("('skip_connect', 0)", "('skip_connect', open('owned', 'w').write('x'))"),
    "code in range": TEXT.replace("range(2, 3)", "range(2, len([open('owned', 'w')]) + 2)"),
    "code before": f"open('owned', 'w') or {TEXT}",
    "code after": f"{TEXT}; open('owned', 'w')",
    "second line": f"{TEXT}\nopen('owned', 'w')",
    "nested": TEXT.replace("[('sep", "[[('sep"),
    "nested calls": TEXT.replace("range(2, 3)", "range(range(2), 3)"),
    "huge": TEXT.replace("[('sep", "[" + "('skip_connect', 0), " * 10_000 + "('sep"),
    "huge name": TEXT.replace("skip_connect", "x" * 1000),
    "huge number": TEXT.replace("0)", "9" * 1000 + ")"),
    "unicode digit": TEXT.replace("('skip_connect', 0)", "('skip_connect', \N{ARABIC-INDIC DIGIT ZERO})"),
    "unicode digit in concat": TEXT.replace("range(2, 3)", "[\N{FULLWIDTH DIGIT TWO}]"),
    "negative": TEXT.replace("0)", "-1)"),
    "fraction": TEXT.replace("0)", "0.5)"),
    "no comma": TEXT.replace("), (", ") ("),
    "no comma in concat": TEXT.replace("range(2, 3)", "[2 2]"),
    "two commas": TEXT.replace("), (", "),, ("),
    "no reduction cell": TEXT[: TEXT.index(", reduce=")] + ")",
    "a word too many": TEXT.replace("Genotype(", "Genotype(seed=1, "),
    "code before a line": f"import os\n{TEXT}",
    "code in a star": TEXT.replace("range(2, 3)", "[*open('owned', 'w')]"),
    "code in an attribute": TEXT.replace("range(2, 3)", "(2).__class__"),
    "code in a comprehension": TEXT.replace("range(2, 3)", "[open('owned', 'w') for i in (1,)]"),
    "code in a field": TEXT.replace("Genotype(", "Genotype(**open('owned', 'w'), "),
    "many signs": "(" + "-" * 10_000 + "1)",
    "many brackets": "(" * 5_000,
    "lines of a Macintosh": TEXT.replace(", ", ",\r").replace("range", "open"),
    "a null byte": f"Genotype(\0{TEXT}",
    "half a character": TEXT.replace("skip", "\ud800"),
    "an endless range": TEXT.replace("range(2, 3)", "range(2, 9999999999999)"),
    "two genotypes": f"A = {TEXT}\nB = {TEXT}",
    "cut off": TEXT[:80],
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_any_other_text_is_refused_and_no_code_in_it_is_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^genotype: ") as error:
        dl.Genotype.parse(text)
    words = str(error.value)
    assert len(words) < 400 and words.isprintable()
    places = (
        "line ",
        "normal, edge ",
        "normal edge ",
        "normal, place ",
        "field ",
        "lacks ",
        "longer than",
        "read (",
        "no text",
    )
    assert any(place in words for place in places), "where it went wrong"
    assert not list(tmp_path.iterdir())


@given(st.text(max_size=200) | st.text("()[]',= 0123456789Genotypenormalreduce_concatrange", max_size=200))
def test_random_text_is_refused(text):
    with pytest.raises(ValueError, match="^genotype: "):
        dl.Genotype.parse(text)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs Unix signals to end a hanging match")
@pytest.mark.parametrize("between", [" " * 20, " " * 10 + "," + " " * 10])
def test_a_text_of_many_blanks_does_not_take_exponential_time(between):
    def hangs(*_):
        raise TimeoutError("the grammar is ambiguous: blanks are matched in exponentially many ways")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(30)
    try:
        with pytest.raises(ValueError, match="does not have the form"):
            dl.Genotype.parse("Genotype(normal=[" + f"('none', 0){between}" * 200 + "x")
        with pytest.raises(ValueError, match="does not have the form"):
            dl.Genotype.parse(f"a{between} 1:" * 600 + "x or Genotype(")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TEXT.replace("skip_connect", "conv_9x9"), ["'conv_9x9' in the normal cell", "sep_conv_3x3"]),
        (TEXT.replace("'max_pool_3x3', 0", "'max_pool_3x3', 2"), ["reduce edge 0", "state 2", "0 to 1"]),
        (TEXT.replace("('skip_connect', 0)", "('skip_connect', 0), ('none', 1)"), ["normal lists 3 edges", "2"]),
        (TEXT.replace("range(2, 3)", "range(2, 4)"), ["normal_concat is (2, 3)", "states 2 to 2"]),
        (TEXT.replace("range(2, 3)", "range(2, 800)"), ["normal_concat is (2, 3, 4,", "states 2 to 2"]),
        (TEXT.replace("range(2, 3)", "range(3, 2)"), ["normal_concat is ()", "states 2 to 2"]),
        (TEXT.replace("range(2, 3)", "[1]"), ["normal_concat is (1,)", "states 2 to 2"]),
    ],
    ids=[
        "operation",
        "source behind its node",
        "odd number of edges",
        "concat too far",
        "concat far too far",
        "concat empty",
        "concat input",
    ],
)
def test_a_well_formed_text_that_is_no_architecture_is_refused_in_words(text, says):
    with pytest.raises(ValueError) as error:
        dl.Genotype.parse(text)
    assert all(word in str(error.value) for word in ["genotype: ", *says]) and len(str(error.value)) < 400


def test_own_operations_are_read_where_they_are_named():
    text = TEXT.replace("skip_connect", "mine")
    assert dl.Genotype.parse(text, ("mine", *spaces.KNOWN_OPERATIONS)).count("mine", "normal") == 1


FIELDS = dl.Genotype.parse(TEXT).to_json()


BAD_FIELDS = {
    "nothing": None,
    "a list": [],
    "no fields": {},
    "a field too many": FIELDS | {"seed": 1},
    "fields missing": {name: FIELDS[name] for name in ("normal", "reduce")},
    "no list": FIELDS | {"normal": 3},
    "triples": FIELDS | {"normal": [["skip_connect", 0, 0]] * 2},
    "no state": FIELDS | {"normal": [["skip_connect", None]] * 2},
    "half a state": FIELDS | {"normal": [["skip_connect", 0.5]] * 2},
    "infinite state": FIELDS | {"normal": [["skip_connect", float("inf")]] * 2},
    "operation no text": FIELDS | {"normal": [[["skip_connect"], 0]] * 2},
    "half a concat": FIELDS | {"reduce_concat": [2.5]},
    "concat as text": FIELDS | {"reduce_concat": "2"},
    "empty cell": FIELDS | {"reduce": []},
}


@pytest.mark.parametrize("fields", BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_json_that_is_no_genotype_is_refused(fields):
    with pytest.raises(ValueError, match="^genotype: "):
        dl.Genotype.from_json(fields)


# --- Discretization ---------------------------------------------------------------------------


@given(mixings())
def test_discretization_is_the_textbooks(drawn):
    space, mixing = drawn
    found = dl.discretize(mixing, space)
    for weights, cell_type in zip(mixing, spaces.CELL_TYPES, strict=True):
        expected = textbook.discretize(weights, space.cell(cell_type), space.nodes)
        assert list(found.cells[cell_type]) == expected
        assert found.concat[cell_type] == tuple(range(2, space.nodes + 2))


@given(mixings())
def test_discretization_never_chooses_none_and_takes_two_edges_into_every_node(drawn):
    genotype = dl.discretize(*reversed(drawn))
    for cell_type in spaces.CELL_TYPES:
        assert genotype.count("none", cell_type) == 0
        edges = {(source, node) for source, node, _ in genotype.edges(cell_type)}
        assert len(edges) == 2 * drawn[0].nodes


def test_none_is_not_chosen_even_where_it_weighs_most():
    mixing = torch.tensor([0.9, 0.06, 0.04]).expand(2, 14, 3)
    genotype = dl.discretize(mixing, spaces.S3)
    assert genotype == uniform_genotype(spaces.S3, "skip_connect")


@given(mixings())
def test_mixing_weights_of_a_genotype_give_back_its_edges(drawn):
    space, mixing = drawn
    genotype = dl.discretize(mixing, space)
    one_hot = genotype.mixing(space)
    assert one_hot.shape == space.shape and set(one_hot.unique().tolist()) == {0.0, 1.0}
    assert one_hot.sum() == 4 * space.nodes
    again = dl.discretize(one_hot, space)
    for cell_type in spaces.CELL_TYPES:
        assert set(again.edges(cell_type)) == set(genotype.edges(cell_type))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(value):
    mixing = torch.rand(spaces.S2.shape)
    mixing[1, 3, 0] = value
    with pytest.raises(ValueError, match="mixing: holds NaN or infinite"):
        dl.discretize(mixing, spaces.S2)


def test_weights_of_another_space_are_refused():
    with pytest.raises(ValueError, match=r"mixing: shape \(2, 14, 3\) does not fit space 'S2': \(2, 14, 2\)"):
        dl.discretize(torch.rand(spaces.S3.shape), spaces.S2)


def test_a_genotype_of_another_space_has_no_mixing_weights():
    genotype = uniform_genotype(spaces.S4, "noise")
    with pytest.raises(ValueError, match="'noise' is no candidate .* of the normal cell of space 'S2'.*skip_connect"):
        genotype.mixing(spaces.S2)
    with pytest.raises(ValueError, match="has 4 nodes, space 'S4' has 2"):
        genotype.mixing(spaces.S4.with_nodes(2))


# --- Random and uniform genotypes -------------------------------------------------------------


def test_random_genotypes_are_decided_by_their_generator():
    first, second, other = (
        [random_genotype(spaces.DARTS, generator) for _ in range(3)]
        for generator in (torch.Generator().manual_seed(seed) for seed in (5, 5, 6))
    )
    assert first == second != other
    assert len(set(first)) == 3


def test_random_genotypes_are_uniform_over_edges_and_operations():
    generator, space, n = torch.Generator().manual_seed(0), spaces.S3.with_nodes(2), 3000
    pairs, operations = Counter(), Counter()
    for _ in range(n):
        edges = [edge for edge in random_genotype(space, generator).edges("normal") if edge[1] == 1]
        pairs[frozenset(source for source, _, _ in edges)] += 1
        operations.update((source, operation) for source, _, operation in edges)
    assert len(pairs) == 3 and len(operations) == 6  # two of three edges, each with skip or convolution
    assert all(count / n == pytest.approx(1 / 3, abs=0.04) for count in [*pairs.values(), *operations.values()])


def test_the_all_skip_cell_has_skips_wherever_the_space_offers_them():
    genotype = uniform_genotype(spaces.S1, "skip_connect")
    assert genotype.count("skip_connect", "normal") == 8
    for cell_type in spaces.CELL_TYPES:
        for node in range(4):
            names = [spaces.S1.cell(cell_type)[edge] for edge, (_, to) in enumerate(spaces.S1.edges) if to == node]
            offered = sum("skip_connect" in edge for edge in names)
            taken = sum(op == "skip_connect" for _, to, op in genotype.edges(cell_type) if to == node)
            assert taken == min(offered, 2)
    with pytest.raises(ValueError, match="operation: 'noise' is no candidate in space 'S1'"):
        uniform_genotype(spaces.S1, "noise")
