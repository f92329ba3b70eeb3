"""Running text as numbered words: the embedded `pydocs`, Penn Treebank from a directory, your own by `from_text`."""

import ast
import hashlib
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import torch

from darts_lab.checks import allow, whole
from darts_lab.data.splits import SPLITS, Splits, folder_of

UNKNOWN, END = "<unk>", "<eos>"  # a word outside the vocabulary; the end of a paragraph or line


@dataclass(frozen=True, eq=False)
class Corpus(Splits):
    """Three splits of text, each a tuple of one tensor (length,) int64 of numbers; `words[number]` is the word."""

    words: tuple[str, ...]
    ordered: bool = field(default=True, kw_only=True)  # a part of a text is its beginning

    def text(self, split: str = "train", begin: int = 0, count: int = 60) -> str:
        """`count` words of a split, from word `begin` on, as text."""
        return " ".join(self.words[number] for number in getattr(self, split)[0][begin : begin + count].tolist())

    def unigram_perplexity(self, split: str = "test") -> float:
        """The perplexity on a split of guessing words by their counts in train (plus one): a model must be better."""
        counts = torch.bincount(self.train[0], minlength=len(self.words)).double() + 1
        surprise = (counts.sum() / counts).log()
        return float(surprise[getattr(self, split)[0]].mean().exp())

    def bigram_perplexity(self, split: str = "test", weight: float = 0.7) -> float:
        """The perplexity on a split of guessing a word by the one before it: `weight` times how often it followed that
        in train, and the rest by its own frequency. A model that reads further back must be better."""
        size, train, text = len(self.words), self.train[0], getattr(self, split)[0]
        alone = torch.bincount(train, minlength=size).double() + 1
        seen, counts = (train[:-1] * size + train[1:]).unique(return_counts=True)
        asked = text[:-1] * size + text[1:]
        place = torch.searchsorted(seen, asked).clamp(max=len(seen) - 1)
        followed = (counts[place] * (seen[place] == asked)).double()
        share = followed / torch.bincount(train[:-1], minlength=size)[text[:-1]].clamp(min=1)
        return float((-(weight * share + (1 - weight) * (alone / alone.sum())[text[1:]]).log().mean()).exp())


def from_text(
    train, valid, test, *, name: str = "own", vocabulary: int = 10_000, prepared: bool | None = None
) -> Corpus:
    """A Corpus from three texts, each a string or a list of words.

    Strings that were prepared for language models, as Penn Treebank and WikiText are, keep their words as they stand
    (`prepared_words`); others are cut into words by `tokenise`. `prepared` says which they are; without it, they are
    prepared where `is_prepared` says so of one of the three.

    The words known are `<unk>` (any other), `<eos>` and the most frequent ones of `train`, at most `vocabulary` in all.
    Raises ValueError, naming the argument, for what is no text of at least two words, or for a `vocabulary` below 3.
    """
    allow("vocabulary", vocabulary, Annotated[int, whole(3)])
    if prepared not in (None, True, False):
        raise ValueError(f"prepared: {prepared!r} is not allowed; it must be True, False or None")
    given = dict(zip(SPLITS, (train, valid, test), strict=True))
    if prepared is None:
        prepared = any(isinstance(text, str) and is_prepared(text) for text in given.values())
    texts = {split: _words(split, text, prepared) for split, text in given.items()}
    counts = Counter(texts["train"])
    frequent = sorted(counts.keys() - {UNKNOWN, END}, key=lambda word: (-counts[word], word))
    words = (UNKNOWN, END, *frequent[: vocabulary - 2])
    numbers = {word: number for number, word in enumerate(words)}
    train, valid, test = ((torch.tensor([numbers.get(word, 0) for word in texts[split]]),) for split in SPLITS)
    return Corpus(name, train, valid, test, words=words)


def _words(split: str, text, prepared: bool) -> list[str]:
    if isinstance(text, str):
        text = prepared_words(text) if prepared else tokenise(text)
    if not isinstance(text, Iterable):
        raise ValueError(f"{split}: {type(text).__name__} is no text; it must be a string or the words of one")
    words = list(text)
    if others := [word for word in words if not isinstance(word, str)]:
        raise ValueError(f"{split}: {others[0]!r} is no word; words must be strings")
    if len(words) < 2:
        raise ValueError(f"{split}: holds {len(words)} words; at least 2 are needed, one to predict the other")
    return words


_MARK = re.compile(r"(?<!\S)(?:<unk>|<eos>|n't|'s|@[-,.]@)(?!\S)|^ (?:= )+[^=\n]+(?: =)+ *$", re.MULTILINE)
_NUMBER = re.compile(r"(?<!\S)N(?!\S)")
_TOKEN = re.compile(r"<unk>|<eos>|[^\W\d_]+(?:['’][^\W\d_]+)?|\d+|[.,;:!?()]")
_PARAGRAPH = re.compile(r"\n\s*\n")


def is_prepared(text: str) -> bool:
    """Whether a text was prepared for language models: `<unk>`, `<eos>`, `n't`, `'s` or `@-@` stands alone in it, or a
    line is ` = a heading = `, or `N` stands alone and no other letter is a capital."""
    without = _NUMBER.sub("", text)
    return bool(_MARK.search(text)) or (without != text and without == without.lower())


def prepared_words(text: str) -> list[str]:
    """The words of a prepared text, between its blanks, and `<eos>` after every line."""
    words = []
    for line in text.splitlines():
        found = line.split()
        words += found if found[-1:] == [END] else [*found, END]
    return words


def tokenise(text: str) -> list[str]:
    """The words of a text in lower case, punctuation marks too, numbers as `N`, and `<eos>` after every paragraph.
    `<unk>` and `<eos>` in the text stay what they are."""
    words = []
    for paragraph in _PARAGRAPH.split(text):
        tokens = _TOKEN.findall(paragraph.lower())
        words += ["N" if token.isdigit() else token for token in tokens]
        words += [END] * (bool(tokens) and tokens[-1] != END)
    return words


def ptb(folder: str | Path | None = None) -> Corpus:
    """Penn Treebank as prepared by Mikolov (10,000 words, a sentence a line): ptb.train.txt and so on in `folder`.

    Raises FileNotFoundError where a file is missing, ValueError where one is not text.
    """
    files = {split: folder_of(folder) / f"ptb.{split}.txt" for split in SPLITS}
    if not all(file.is_file() for file in files.values()):
        names = ", ".join(file.name for file in files.values())
        reason = "nothing is downloaded: the text is licensed by the Linguistic Data Consortium"
        raise FileNotFoundError(f"data: 'ptb' was not found in {folder_of(folder)}; put {names} there ({reason})")
    texts = {}
    for split, file in files.items():
        try:
            texts[split] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"data: {str(file)!r} is not text: {error}") from error
    return from_text(**texts, name="ptb", vocabulary=sys.maxsize, prepared=True)


PYDOCS_WORDS = 2000  # in the vocabulary
PYDOCS_ENDS = {"train": 0.7, "valid": 0.85}  # shares of all words up to the end of a split; test is the rest


@lru_cache(maxsize=1)
def pydocs() -> Corpus:
    """The English of Python's documentation: the topics of `pydoc` and the docstrings of the standard library.

    Every topic and every module is one document, in one split. Code, tables and grammars are left out (`prose`), and so
    is a paragraph that an earlier document had. Nothing is imported: sources are parsed. Another version of Python has
    another text, so compare results only within one. Kept in memory and shared, so do not write into it.
    """
    texts = dict(_documents())
    names = sorted(texts, key=lambda name: hashlib.sha256(name.encode()).hexdigest())  # as good as random
    documents, known = [], set()
    for name in names:
        paragraphs = [" ".join(tokenise(paragraph)) for paragraph in _PARAGRAPH.split(prose(texts[name]))]
        new = [paragraph for paragraph in dict.fromkeys(paragraphs) if paragraph not in known]
        known.update(new)
        documents.append(" ".join(new).split())
    total, done = sum(map(len, documents)), 0
    splits: dict[str, Any] = {split: [] for split in SPLITS}
    for words in documents:
        split = next((split for split, end in PYDOCS_ENDS.items() if done < end * total), "test")
        splits[split] += words
        done += len(words)
    return from_text(**splits, name="pydocs", vocabulary=PYDOCS_WORDS)


def _documents() -> Iterator[tuple[str, str]]:
    """(name, text) of every topic of pydoc and every module of the standard library that is one file."""
    library = Path(sysconfig.get_path("stdlib"))
    for node in _nodes(library / "pydoc_data" / "topics.py", ast.Dict):
        for key, value in zip(node.keys, node.values):
            yield f"topic {ast.literal_eval(key)}", ast.literal_eval(value)
    for module in sorted(sys.stdlib_module_names):
        path = library / f"{module}.py"
        if path.is_file():
            nodes = _nodes(path, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            yield f"module {module}", "\n\n".join(filter(None, map(ast.get_docstring, nodes)))


def _nodes(path: Path, kinds) -> Iterator[Any]:
    return (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, kinds))


_PLAIN = re.compile(r"[\"'(*]*[A-Za-z]+(?:['’-][A-Za-z]+)*[\"')*]*[.,;:!?]*\)?")


def prose(text: str) -> str:
    """The paragraphs that are English: those of at least five words, at least seven in ten of them plain."""
    kept = []
    for paragraph in _PARAGRAPH.split(text):
        words = paragraph.split()
        plain = sum(_PLAIN.fullmatch(word) is not None for word in words)
        if len(words) >= 5 and plain >= 0.7 * len(words) and ">>>" not in paragraph:
            kept.append(paragraph)
    return "\n\n".join(kept)
