"""Text as numbered words: the embedded corpus, Penn Treebank from a directory, and text of one's own."""

import hashlib
import math
import sys

import pytest
import torch

import darts_lab as dl
from darts_lab.data import corpus

SMALL = {"train": "a b a b c", "valid": "b a d", "test": "a a"}


@pytest.fixture(scope="module")
def pydocs():
    return corpus.pydocs()


# --- the embedded corpus ----------------------------------------------------------------------


def test_pydocs_is_english_of_a_limited_vocabulary_in_three_splits(pydocs):
    sizes = [len(split[0]) for split in (pydocs.train, pydocs.valid, pydocs.test)]
    assert sum(sizes) > 100_000 and sizes[0] > 3 * sizes[1] and min(sizes) > 15_000
    assert len(pydocs.words) == len(set(pydocs.words)) == corpus.PYDOCS_WORDS
    for split in (pydocs.train, pydocs.valid, pydocs.test):
        assert split[0].dtype == torch.int64 and 0 <= split[0].min() and split[0].max() < len(pydocs.words)
        assert 0.01 < (split[0] == 0).float().mean() < 0.15, "unknown words"
    often = pydocs.words[2:40]
    assert {"the", "of", "is", "to", "a", "and", "return"} <= set(often)


def test_no_document_of_pydocs_lies_in_two_splits(pydocs):
    texts, known, found = {split: pydocs.text(split, 0, 10**6) for split in dl.data.SPLITS}, set(pydocs.words), []
    for _, text in corpus._documents():
        words = [word if word in known else "<unk>" for word in corpus.tokenise(corpus.prose(text))]
        if len(words) > 300:
            found.append(sum(" ".join(words[100:160]) in text for text in texts.values()))
    assert len(found) > 50 and max(found) == 1
    assert sum(found) > 0.9 * len(found), "but where one paragraph has stood in another document before"


def test_no_paragraph_of_pydocs_stands_in_two_splits(pydocs):
    paragraphs = [
        {text for text in pydocs.text(split, 0, 10**6).split(" <eos> ") if text.count(" ") > 20}
        for split in dl.data.SPLITS
    ]
    assert all(len(of) > 100 for of in paragraphs)
    common = [text for i, j in ((0, 1), (0, 2), (1, 2)) for text in paragraphs[i] & paragraphs[j]]
    assert not [text for text in common if "<unk>" not in text], "which may hide different words"
    assert len(common) < 5


def test_pydocs_is_the_same_every_time_and_runs_nothing_of_what_it_reads(pydocs):
    loaded = set(sys.modules)
    corpus.pydocs.cache_clear()
    again = corpus.pydocs()
    assert again.words == pydocs.words and torch.equal(again.train[0], pydocs.train[0])
    assert not {"this", "antigravity", "turtle"} & (set(sys.modules) - loaded)
    assert dl.data.load("PyDocs") is again and "pydocs" in dl.data.NAMES


def test_prose_leaves_code_and_tables_out():
    text = "This is a sentence about something.\n\n   >>> x = f(1)\n   2\n\n+---+---+\n| a | b |\n\nx = [f(i) for i in y if z]"
    assert corpus.prose(text) == "This is a sentence about something."


def test_words_are_small_marks_stand_alone_and_numbers_are_one_word():
    found = corpus.tokenise("It's 3 o'clock, Ann!\n\n(The end.)")
    assert found == ["it's", "N", "o'clock", ",", "ann", "!", "<eos>", "(", "the", "end", ".", ")", "<eos>"]
    assert corpus.tokenise("") == []


# --- your own text ----------------------------------------------------------------------------


def test_own_text_is_numbered_by_how_often_words_stand_in_train():
    mine = corpus.from_text(**{split: text.split() for split, text in SMALL.items()})
    assert mine.words == ("<unk>", "<eos>", "a", "b", "c")
    assert [split[0].tolist() for split in (mine.train, mine.valid, mine.test)] == [[2, 3, 2, 3, 4], [3, 2, 0], [2, 2]]
    assert mine.text("valid") == "b a <unk>" and mine.name == "own"
    assert corpus.from_text(**SMALL).train[0].tolist() == [2, 3, 2, 3, 4, 1], "a string is cut into words"
    few = corpus.from_text(**{split: text.split() for split, text in SMALL.items()}, vocabulary=3)
    assert few.words == ("<unk>", "<eos>", "a") and few.train[0].tolist() == [2, 0, 2, 0, 0]


PREPARED = {  # train, valid, test
    "of the issue": ("a <unk> b c d " * 100, "a <unk> b " * 60, "a <unk> b " * 60),
    "Penn Treebank": (
        " pierre <unk> N years old will join the board as a nonexecutive director nov. N \n"
        " mr. <unk> is chairman of <unk> n.v. the dutch publishing group \n it 's $ N million & co. \n",
        " consumers may want to move their telephones a little closer to the tv set \n",
        " no it was n't black monday \n",
    ),
    "Penn Treebank without <unk>": (" it was N years ago \n that is N % \n", " N \n", " the N stocks fell \n"),
    "WikiText": (
        " \n = Robert <unk> = \n \n Robert <unk> is an English film @-@ maker , born in 1 @,@ 987 . \n = = Career = = \n",
        " = Du Fu = \n \n Du Fu was a prominent Chinese poet of the Tang dynasty . \n",
        " 2 @.@ 5 of them \n",
    ),
    "headings alone": (" = One = \n Some words , here . \n", " More words . \n", " The last ones . \n"),
    "its own ends": ("a b <eos>\nc d <eos>\n", "a b <eos>\n", "c d"),
}


@pytest.mark.parametrize("texts", PREPARED.values(), ids=PREPARED)
def test_prepared_text_is_the_same_as_a_string_and_from_the_files_of_ptb(texts, tmp_path):
    for split, text in zip(dl.data.SPLITS, texts, strict=True):
        (tmp_path / f"ptb.{split}.txt").write_text(text, encoding="utf-8")
    expected, found = dl.data.load("ptb", folder=tmp_path), dl.corpus.from_text(*texts)
    assert found.words == expected.words and "unk" not in found.words
    for split, text in zip(dl.data.SPLITS, texts, strict=True):
        numbers = getattr(found, split)[0]
        assert torch.equal(numbers, getattr(expected, split)[0])
        if split == "train":  # in which every word is known
            ends = [line.split() + ([] if line.split()[-1:] == ["<eos>"] else ["<eos>"]) for line in text.splitlines()]
            assert found.text("train", 0, 10**6).split() == sum(ends, [])


def test_the_unknown_word_of_a_prepared_text_occurs_in_training():
    mine = dl.corpus.from_text("a <unk> b c d " * 100, "a <unk> b " * 60, "a <unk> b " * 60)
    assert mine.words == ("<unk>", "<eos>", "a", "b", "c", "d")
    assert (mine.train[0] == 0).sum() == 100 and (mine.train[0] == 1).sum() == 1


@pytest.mark.parametrize(
    "text", ["It's the N. of N.", "a text to learn from .", "He said 's' and @-me.", "x = 3 = y\n", "Vitamin N is none"]
)
def test_plain_text_is_not_taken_for_a_prepared_one(text):
    assert not corpus.is_prepared(text)
    mine = dl.corpus.from_text(text, text, text)
    assert mine.text("train", 0, 99).split() == corpus.tokenise(text)


def test_what_a_text_is_can_be_said():
    texts = ["One two , three .\nFour five .\n"] * 3
    assert dl.corpus.from_text(*texts, prepared=True).words[2:] == (".", ",", "Four", "One", "five", "three", "two")
    assert dl.corpus.from_text(*texts, prepared=True).train[0].tolist().count(1) == 2, "a line ends"
    assert dl.corpus.from_text(*texts).train[0].tolist().count(1) == 1, "a paragraph ends"
    plain = dl.corpus.from_text(*["a <unk> b\nc"] * 3, prepared=False)
    assert plain.words == ("<unk>", "<eos>", "a", "b", "c") and plain.train[0].tolist() == [2, 0, 3, 4, 1]
    with pytest.raises(ValueError, match="prepared: 'yes' is not allowed; it must be True, False or None"):
        dl.corpus.from_text(*texts, prepared="yes")


def test_bigram_perplexity_is_that_of_counted_pairs_mixed_with_frequencies():
    mine = corpus.from_text("a b a b a c a b " * 3, "a b c a b a " * 2, "b a b a c c " * 2)
    for split in ("train", "valid", "test"):
        train, text = (getattr(mine, name)[0].tolist() for name in ("train", split))
        surprise = []
        for one, other in zip(text, text[1:]):
            followed = sum(pair == (one, other) for pair in zip(train, train[1:])) / max(train[:-1].count(one), 1)
            alone = (train.count(other) + 1) / (len(train) + len(mine.words))
            surprise.append(-math.log(0.7 * followed + 0.3 * alone))
        assert mine.bigram_perplexity(split) == pytest.approx(math.exp(sum(surprise) / len(surprise)))


def test_unigram_perplexity_is_that_of_word_frequencies():
    mine = corpus.from_text(**{split: text.split() for split, text in SMALL.items()})
    shares = [1 / 10, 1 / 10, 3 / 10, 3 / 10, 2 / 10]  # counts in train, plus one each
    for split in dl.data.SPLITS:
        expected = math.exp(-sum(math.log(shares[n]) for n in getattr(mine, split)[0]) / len(getattr(mine, split)[0]))
        assert mine.unigram_perplexity(split) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": "one"}, None),
        ({"train": ["one"]}, "train: holds 1 words; at least 2 are needed"),
        ({"valid": 7}, "valid: int is no text"),
        ({"test": ["a", 3]}, "test: 3 is no word"),
        ({"vocabulary": 2}, "vocabulary: 2 is not allowed; it must be a whole number of at least 3"),
        ({"vocabulary": True}, "vocabulary: True is not allowed"),
    ],
)
def test_what_is_no_text_is_refused_in_words(change, words):
    if words is None:
        assert len(corpus.from_text(**(SMALL | change)).train[0]) == 2, "a word and the end of its paragraph"
        return
    with pytest.raises(ValueError, match=words):
        corpus.from_text(**(SMALL | change))


def test_splits_of_text_are_cut_and_pooled_like_any_other():
    mine = corpus.from_text(**{split: text.split() for split, text in SMALL.items()})
    assert mine.subset(3, 2).train[0].tolist() == [2, 3, 2] and len(mine.subset(3, 2).valid[0]) == 2
    again = mine.resplit(0.5)
    assert again.train[0].tolist() == [2, 3, 2, 3] and again.valid[0].tolist() == [4, 3, 2, 0]
    with pytest.raises(ValueError, match=r"train: 9 samples asked for; allowed: 1..5"):
        mine.subset(9)
    assert dl.data.load(mine) is mine


# --- Penn Treebank ----------------------------------------------------------------------------


def test_penn_treebank_is_read_from_a_directory_a_sentence_a_line(tmp_path, monkeypatch):
    for split, text in (("train", " a b <unk> \n b N \n"), ("valid", " b q \n"), ("test", " a \n a \n")):
        (tmp_path / f"ptb.{split}.txt").write_text(text)
    found = dl.data.load("ptb", folder=tmp_path)
    assert found.words == ("<unk>", "<eos>", "b", "N", "a") and found.name == "ptb"
    assert found.text("train") == "a b <unk> <eos> b N <eos>" and found.text("valid") == "b <unk> <eos>"
    monkeypatch.setenv("DARTS_LAB_DATA", str(tmp_path))
    assert dl.data.load("ptb").words == found.words


def test_penn_treebank_that_is_not_there_says_which_files_are_missing(tmp_path):
    (tmp_path / "ptb.train.txt").write_text("a b")
    with pytest.raises(
        FileNotFoundError, match="data: 'ptb' was not found in .*put ptb.train.txt, ptb.valid.txt and|put ptb"
    ):
        dl.data.load("ptb", folder=tmp_path)
    for split in dl.data.SPLITS:
        (tmp_path / f"ptb.{split}.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not text"):
        dl.data.load("ptb", folder=tmp_path)


def test_documents_are_split_by_the_hash_of_their_names(monkeypatch):
    names = sorted(name for name, _ in corpus._documents())
    assert len(set(names)) == len(names) > 150
    made = {name: f"Word{chr(97 + number // 26)}{chr(97 + number % 26)}" for number, name in enumerate(names[:100])}
    monkeypatch.setattr(corpus, "_documents", lambda: ((name, f"{word} " * 40) for name, word in made.items()))
    split = corpus.pydocs.__wrapped__()
    order = sorted(made, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert set(split.words[2:]) == {made[name].lower() for name in order[:70]}, "the words of the training split"
    assert [int((part[0] == 0).sum()) for part in (split.train, split.valid, split.test)] == [0, 15 * 40, 15 * 40]
