"""Running text as numbered words: what a language model learns to predict, one word after the other.

`pydocs` is embedded: the English of Python's own documentation. Penn Treebank is read from a directory; text of your own
enters through `from_text`.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from darts_lab.checks import allow, whole
from darts_lab.data.splits import SPLITS, Splits, folder_of

UNKNOWN, END = "<unk>", "<eos>"  # a word outside the vocabulary; the end of a paragraph or line


@dataclass(frozen=True, eq=False)
class Corpus(Splits):
    """Three splits of text, each a tuple of one tensor (length,) int64 of words by their number; `from_text` builds it.

    `words[number]` is the word itself.
    """

    words: tuple[str, ...]

    def text(self, split: str = "train", begin: int = 0, count: int = 60) -> str:
        """`count` words of a split, from word `begin` on, as text."""
        return " ".join(self.words[number] for number in getattr(self, split)[0][begin : begin + count].tolist())

    def unigram_perplexity(self, split: str = "test") -> float:
        """The perplexity on a split of guessing every word by how often it stands in train (plus one), whatever the words
        before it: what any language model must beat."""
        counts = torch.bincount(self.train[0], minlength=len(self.words)).double() + 1
        surprise = (counts.sum() / counts).log()
        return float(surprise[getattr(self, split)[0]].mean().exp())


def from_text(train, valid, test, *, name: str = "own", vocabulary: int = 10_000) -> Corpus:
    """A Corpus from three texts, each a string (cut into words by `tokenise`) or the words themselves.

    The vocabulary is `<unk>`, `<eos>` and the words that stand most often in `train`, `vocabulary` in all at most;
    any other word becomes `<unk>`. Raises ValueError, naming the argument, for what is no text or holds fewer than two
    words, or a `vocabulary` below 3.
    """
    allow("vocabulary", vocabulary, whole(3))
    texts = {split: _words(split, text) for split, text in zip(SPLITS, (train, valid, test), strict=True)}
    counts = Counter(texts["train"])
    often = sorted(counts.keys() - {UNKNOWN, END}, key=lambda word: (-counts[word], word))
    words = (UNKNOWN, END, *often[: vocabulary - 2])
    number = {word: place for place, word in enumerate(words)}
    splits = {split: (torch.tensor([number.get(word, 0) for word in text]),) for split, text in texts.items()}
    return Corpus(name, **splits, words=words)


def _words(split: str, text) -> list[str]:
    if isinstance(text, str):
        text = tokenise(text)
    if not isinstance(text, Iterable):
        raise ValueError(f"{split}: {type(text).__name__} is no text; it must be a string or the words of one")
    text = list(text)
    wrong = next((word for word in text if not isinstance(word, str)), None)
    if wrong is not None:
        raise ValueError(f"{split}: {wrong!r} is no word; words must be strings")
    if len(text) < 2:
        raise ValueError(f"{split}: holds {len(text)} words; at least 2 are needed, one to predict the other")
    return text


_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+|[.,;:!?()]")
_PARAGRAPH = re.compile(r"\n\s*\n")


def tokenise(text: str) -> list[str]:
    """The words of a text in small letters, each mark of punctuation by itself, numbers as `N`, `<eos>` behind every
    paragraph (paragraphs stand apart by empty lines)."""
    tokens = []
    for paragraph in _PARAGRAPH.split(text):
        found = ["N" if token.isdigit() else token for token in _TOKEN.findall(paragraph.lower())]
        tokens += [*found, END] if found else []
    return tokens


_PTB = {split: f"ptb.{split}.txt" for split in SPLITS}


def has_ptb(folder: str | Path | None = None) -> bool:
    """Whether the three files of Penn Treebank lie in `folder` (default as for `data.load`)."""
    return all((folder_of(folder) / file).is_file() for file in _PTB.values())


def ptb(folder: str | Path | None = None) -> Corpus:
    """Penn Treebank as prepared by Mikolov, from ptb.train.txt, ptb.valid.txt and ptb.test.txt in `folder` (default as for
    `data.load`): 10,000 words, a sentence a line.

    Raises FileNotFoundError where one is missing (the text belongs to the LDC, so nothing is downloaded), ValueError where
    one is not text.
    """
    where = folder_of(folder)
    if not has_ptb(folder):
        raise FileNotFoundError(
            f"data: 'ptb' was not found in {where}; put {', '.join(_PTB.values())} there (nothing is downloaded: the text "
            "is licensed by the Linguistic Data Consortium)"
        )
    texts = []
    for file in _PTB.values():
        try:
            lines = (where / file).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"data: {str(where / file)!r} is not text: {error}") from error
        texts.append([word for line in lines for word in (*line.split(), END)])
    return from_text(*texts, name="ptb", vocabulary=sys.maxsize)


PYDOCS_WORDS = 2000  # in the vocabulary
PYDOCS_SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}  # of the words, by whole documents


@lru_cache(maxsize=1)
def pydocs() -> Corpus:
    """The English of Python's documentation: the topics of `pydoc` and the docstrings of the standard library.

    Every topic and every module is one document, and lies in one split as a whole. Code, tables and grammars are left
    out (`prose`), and so is a paragraph that has stood in a document before: topics overlap. Nothing is imported: sources are read and parsed. The same Python version gives the same
    words; another has another text, so results on it compare only within one version. Kept in memory and shared, so
    do not write into it.
    """
    found, documents, known = dict(_documents()), {}, set()
    order = sorted(found, key=lambda name: hashlib.sha256(name.encode()).hexdigest())  # as good as random
    for name in order:
        paragraphs = [" ".join(tokenise(paragraph)) for paragraph in _PARAGRAPH.split(prose(found[name]))]
        new = [paragraph for paragraph in dict.fromkeys(paragraphs) if paragraph not in known]
        known.update(new)
        documents[name] = " ".join(new).split()
    total, seen = sum(map(len, documents.values())), 0
    texts = {split: [] for split in SPLITS}
    ends = {"train": PYDOCS_SHARES["train"], "valid": 1 - PYDOCS_SHARES["test"], "test": 1.0}
    for name in order:
        split = next(split for split in SPLITS if split == "test" or seen < ends[split] * total)
        texts[split] += documents[name]
        seen += len(documents[name])
    return from_text(**texts, name="pydocs", vocabulary=PYDOCS_WORDS)


def _documents() -> Iterator[tuple[str, str]]:
    """(name, text) of every topic of pydoc and every module of the standard library that is one file."""
    library = Path(sysconfig.get_path("stdlib"))
    for node in ast.walk(_parsed(library / "pydoc_data" / "topics.py")):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                yield f"topic {ast.literal_eval(key)}", ast.literal_eval(value)
    for module in sorted(sys.stdlib_module_names):
        path = library / f"{module}.py"
        if path.is_file():
            kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            found = (ast.get_docstring(node) for node in ast.walk(_parsed(path)) if isinstance(node, kinds))
            yield f"module {module}", "\n\n".join(text for text in found if text)


def _parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_bytes())


_PLAIN = re.compile(r"[\"'(*]*[A-Za-z]+(?:['’-][A-Za-z]+)*[\"')*]*[.,;:!?]*\)?")


def prose(text: str) -> str:
    """The paragraphs of a text that are English rather than code, tables or grammars: those of at least five pieces, most
    of which (seven in ten) are plain words."""
    kept = []
    for paragraph in _PARAGRAPH.split(text):
        pieces = paragraph.split()
        plain = sum(_PLAIN.fullmatch(piece) is not None for piece in pieces)
        if len(pieces) >= 5 and plain >= 0.7 * len(pieces) and ">>>" not in paragraph:
            kept.append(paragraph)
    return "\n\n".join(kept)
