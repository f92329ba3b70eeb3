"""Genotypes: the text of quark0/darts, JSON, discretization and mixing weights."""

import dataclasses
import json
import signal
from collections import Counter

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from reference import textbook

import darts_lab as dl
from darts_lab import spaces
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


def test_concat_of_scattered_states_is_printed_as_a_list():
    pairs = [("skip_connect", 0), ("skip_connect", 1)] * 3
    text = str(dl.Genotype({"normal": pairs, "reduce": pairs}, {"normal": (2, 4), "reduce": (4, 3, 2)}))
    assert "normal_concat=[2, 4]" in text and "reduce_concat=[4, 3, 2]" in text


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
    "double quotes": TEXT.replace("'", '"'),
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_any_other_text_is_refused_and_no_code_in_it_is_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^genotype: .* does not have the form Genotype\(normal=") as error:
        dl.Genotype.parse(text)
    assert len(str(error.value)) < 400
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
        (TEXT.replace("range(2, 3)", "range(3, 2)"), ["normal_concat is ()", "states 2 to 2"]),
        (TEXT.replace("range(2, 3)", "[1]"), ["normal_concat is (1,)", "states 2 to 2"]),
    ],
    ids=[
        "operation",
        "source behind its node",
        "odd number of edges",
        "concat too far",
        "concat empty",
        "concat input",
    ],
)
def test_a_well_formed_text_that_is_no_architecture_is_refused_in_words(text, says):
    with pytest.raises(ValueError) as error:
        dl.Genotype.parse(text)
    assert all(word in str(error.value) for word in ["genotype: ", *says])


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
