"""BM25 over passages, by bm25s: exact scores as columns that are mapped from disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import bm25s
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, vstack

from graphmem.base.columns import map_array
from graphmem.base.text import tokens
from graphmem.errors import StorageError

# The usual parameters (Robertson & Zaragoza 2009), and those of the published comparisons.
K1, B = 1.5, 0.75
logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG
_PARTS: Final = ("data", "indices", "indptr")
_STOPWORDS = frozenset(STOPWORDS_EN)
_MOST = 1e6
"""Above every score: a word adds at most the log of the number of passages."""


def terms(text: str) -> list[str]:
    """Index terms: stemmed tokens without stop words and single ASCII characters.

    >>> terms("The directors of 3 films; 映画")
    ['director', 'film', '映', '画']
    """
    words = [w for w in tokens(text) if w not in _STOPWORDS and (len(w) > 1 or not w.isascii())]
    stemmed: list[str] = Stemmer.Stemmer("english").stemWords(words)
    return stemmed


@dataclass(frozen=True, slots=True)
class TermCounts:
    """How often each of P texts has which of V terms.

    Attributes:
        terms: The terms, V, sorted.
        counts: int32 CSR [P, V].
    """

    terms: list[str]
    counts: csr_array

    @classmethod
    def of(cls, texts: Sequence[str]) -> TermCounts:
        """Count the terms of some texts.

        >>> found = TermCounts.of(["Films and a film", "A cat"])
        >>> found.terms, found.counts.toarray().tolist()
        (['cat', 'film'], [[0, 2], [1, 0]])
        """
        split = [terms(text) for text in texts]
        place = _places(word for words in split for word in words)
        columns = np.array([place[word] for words in split for word in words], dtype=np.int32)
        ends = np.cumsum([0, *map(len, split)], dtype=np.int32)
        counts = csr_array(
            (np.ones(columns.size, dtype=np.int32), columns, ends), shape=(len(texts), len(place))
        )
        counts.sum_duplicates()
        return cls(list(place), counts)

    def joined(self, other: TermCounts) -> TermCounts:
        """The texts of both, one after the other.

        >>> TermCounts.of(["cat"]).joined(TermCounts.of(["ape, cat"])).counts.toarray().tolist()
        [[0, 1], [1, 1]]
        """
        place = _places([*self.terms, *other.terms])
        parts = []
        for part in (self, other):
            new = np.array([place[word] for word in part.terms], dtype=np.int32)
            data, columns, ends = part.counts.data, part.counts.indices, part.counts.indptr
            shape = part.counts.shape[0], len(place)
            parts.append(csr_array((data, new[columns], ends), shape=shape))
        return TermCounts(list(place), vstack(parts, format="csr"))


class LexicalIndex:
    """BM25 scores of P passages for any question.

    Attributes:
        length: Number of terms of all passages together.
    """

    def __init__(
        self, models: Sequence[Any], length: int, rows: NDArray[np.int64] | None = None
    ) -> None:
        """Take what is indexed or loaded.

        Args:
            models: `bm25s.BM25` over the first passages, the next and so on; none where no text
                has a word.
            length: Number of terms of all passages together.
            rows: Those of all these passages that count, P of them; None is all.
        """
        self._models = models
        self._rows = rows
        self.length = length

    @classmethod
    def build(cls, texts: Sequence[str]) -> LexicalIndex:
        """Index the texts; the same texts give the same arrays."""
        split = [terms(text) for text in texts]
        # bm25s numbers words in the order of a set, which changes from process to process.
        vocabulary = _places(word for words in split for word in words)
        model = bm25s.BM25(method="lucene", k1=K1, b=B)
        if vocabulary:
            numbers = [[vocabulary[word] for word in words] for words in split]
            model.index((numbers, vocabulary), create_empty_token=False, show_progress=False)
        return cls([model] if vocabulary else [], sum(map(len, split)))

    def save(self, folder: Path) -> None:
        """Write .npy and JSON files of what `build` made into `folder`."""
        folder.mkdir()
        for model in self._models:
            model.save(folder, show_progress=False)

    @classmethod
    def load(cls, folder: Path, length: int) -> LexicalIndex:
        """Map a saved index from disk.

        Raises:
            FileNotFoundError: A file is missing.
            ValueError: One is damaged; or an AttributeError, KeyError, TypeError, OverflowError.
        """
        parts = {name: map_array(folder / f"{name}.csc.index.npy") for name in _PARTS}
        vocabulary = json.loads((folder / "vocab.index.json").read_text("utf-8"))
        said = json.loads((folder / "params.index.json").read_text("utf-8"))
        if not all(type(number) is int for number in vocabulary.values()):
            raise ValueError("a vocabulary without numbers")
        kinds = "".join(parts[name].dtype.kind for name in _PARTS)
        if kinds != "fii" or any(part.ndim != 1 for part in parts.values()):
            raise ValueError("other columns")
        return cls([_model(parts, int(said["num_docs"]), vocabulary)], length)

    def extended(self, passages: int, after: TermCounts) -> LexicalIndex:
        """The same with passages that come after those of `build`, whose scores stay as they are.

        Args:
            passages: Number of those that are there.
            after: Terms of the others.

        >>> texts = ["the cat sat", "a dog", "a cat and a dog"]
        >>> whole, built = LexicalIndex.build(texts), LexicalIndex.build(texts[:2])
        >>> both = built.extended(2, TermCounts.of(texts[2:]))
        >>> bool(whole.scores("cats", 3)[2] == both.scores("cats", 3)[2])
        True
        """
        tf, words = after.counts.astype(np.float32).tocoo(), after.terms
        holding = np.bincount(tf.col, minlength=len(words))
        models = list(self._models) or [_scored(csc_array((passages, 0), dtype=np.float32), {})]
        for place, word in enumerate(words):
            holding[place] += _holding(models[0], word)
        lengths = after.counts.sum(axis=1).astype(np.float32)
        total = passages + lengths.size
        mean = (self.length + int(lengths.sum())) / max(total, 1) or 1.0
        # Lucene's BM25 (Kamphuis et al. 2020), as bm25s has it.
        rare = _rarity(holding, total).astype(np.float32)
        score = rare[tf.col] * tf.data / (K1 * (1 - B + B * lengths[tf.row] / mean) + tf.data)
        shape = lengths.size, len(words)
        scores = csc_array((score.astype(np.float32), (tf.row, tf.col)), shape=shape)
        models.append(_scored(scores, _places(words)))
        return LexicalIndex(models, self.length + int(lengths.sum()))

    def select(self, rows: NDArray[np.int64]) -> LexicalIndex:
        """The same of some passages; how rare a word is stays that of all.

        >>> index = LexicalIndex.build(["the cat sat", "a dog"])
        >>> index.select(np.array([1])).scores("a cat or a dog", 1).tolist() == [
        ...     index.scores("a cat or a dog", 2)[1]
        ... ]
        True
        """
        kept = rows if self._rows is None else self._rows[rows]
        return LexicalIndex(self._models, self.length, kept)

    def known(self, words: Sequence[str]) -> list[str]:
        """Those of the words, each one token, that a passage holds in any form.

        >>> LexicalIndex.build(["the cat sat", "a dog"]).known(["Cats", "Cot"])
        ['Cats']
        """
        stemmed = Stemmer.Stemmer("english").stemWords([" ".join(tokens(w)) for w in words])
        return [word for word, stem in zip(words, stemmed, strict=True) if self._knows(stem)]

    def reachable(self, question: str) -> float:
        """What BM25 comes near in a passage that says nothing but the question's words.

        That is the sum of how rare they are, where words that no passage holds are the rarest.

        >>> index = LexicalIndex.build(["the cat sat", "a dog"])
        >>> index.reachable("cats and apes") > index.reachable("cats") > index.reachable("the")
        True
        """
        texts = sum(int(model.scores["num_docs"]) for model in self._models)
        words = terms(question)
        holding = [sum(_holding(model, word) for model in self._models) for word in words]
        # Within what can be, whatever damage made of it.
        return float(_rarity(np.clip(np.array(holding, dtype=np.int64), 0, texts), texts).sum())

    def held(
        self, question: str, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which of a question's words some passages hold, in any form.

        Args:
            question: Its w different words that any passage holds are looked for.
            rows: n passages.

        Returns:
            bool [n, w], and how rare each word is, float32 [w], > 0.

        >>> index = LexicalIndex.build(["the cat sat", "a dog"])
        >>> held, weights = index.held("Do cats sit beside the dogs?", np.array([1, 0]))
        >>> held.tolist(), bool(weights[0] == weights[1])
        ([[False, True], [True, False]], True)
        """
        rows = rows if self._rows is None else self._rows[rows]
        words = sorted({term for term in terms(question) if self._knows(term)})
        held = np.zeros((rows.size, len(words)), dtype=np.bool_)
        holding, texts = np.zeros(len(words), dtype=np.int64), 0
        for model in self._models:
            for place, word in enumerate(words):
                passages = _passages(model, word)  # sorted
                holding[place] += passages.size
                if passages.size:
                    here = (rows - texts).astype(passages.dtype)  # another type would copy them
                    at = np.minimum(np.searchsorted(passages, here), passages.size - 1)
                    held[:, place] |= passages[at] == here
            texts += int(model.scores["num_docs"])
        # Within what can be, whatever damage made of it.
        return held, _rarity(np.clip(holding, 0, texts), texts).astype(np.float32)

    def _knows(self, term: str) -> bool:
        return any(term in model.vocab_dict for model in self._models)

    def scores(self, question: str, passages: int) -> NDArray[np.float32]:
        """BM25 of every passage, float32 [passages]; zeros where no word of the question is known.

        Raises:
            StorageError: The columns are damaged.

        >>> index = LexicalIndex.build(["the cat sat", "a dog"])
        >>> index.scores("cats?", 2).argmax()
        np.int64(0)
        """
        if not self._models:
            return np.zeros(passages, dtype=np.float32)
        words = terms(question)
        scores = np.concatenate([_scores(model, words) for model in self._models])
        return scores if self._rows is None else scores[self._rows]


def _places(words: Iterable[str]) -> dict[str, int]:
    """The place of each word among all, which are sorted."""
    return {word: place for place, word in enumerate(sorted(set(words)))}


def _scored(scores: csc_array, vocabulary: Mapping[str, int]) -> Any:
    parts = {name: getattr(scores, name) for name in _PARTS}
    return _model(parts, scores.shape[0], vocabulary)


def _model(parts: Mapping[str, NDArray[Any]], texts: int, vocabulary: Mapping[str, int]) -> Any:
    """What bm25s would hold of some texts with these scores, as CSC by text and term."""
    model = bm25s.BM25(method="lucene", k1=K1, b=B)
    model.vocab_dict, model.nonoccurrence_array = vocabulary, None
    model.scores = {**parts, "num_docs": texts}
    return model


def _holding(model: Any, word: str) -> int:
    """How many texts hold a word."""
    return _passages(model, word).size


def _passages(model: Any, word: str) -> NDArray[np.int32]:
    """The texts that hold a word, in order."""
    number, ends = model.vocab_dict.get(word), model.scores["indptr"]
    places = slice(0, 0) if number is None else slice(int(ends[number]), int(ends[number + 1]))
    passages: NDArray[np.int32] = model.scores["indices"][places]
    return passages


def _rarity(holding: NDArray[np.int64], texts: int) -> NDArray[np.float64]:
    """How rare words are that so many of some texts hold: Lucene's idf."""
    rare: NDArray[np.float64] = np.log1p((texts - holding + 0.5) / (holding + 0.5))
    return rare


def _scores(model: Any, words: Sequence[str]) -> NDArray[np.float32]:
    known = [word for word in words if word in model.vocab_dict]
    if not known:
        return np.zeros(model.scores["num_docs"], dtype=np.float32)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            scores: NDArray[np.float32] = model.get_scores(known)
    except (IndexError, ValueError) as error:
        raise damaged_scores("lexical") from error
    return require_scores(scores, "lexical")


def require_scores(scores: NDArray[np.float32], columns: str) -> NDArray[np.float32]:
    """How well words fit, as columns of an index say; sums of what they honestly hold.

    Raises:
        StorageError: They are no such sums: the columns are damaged.
    """
    if not ((scores >= 0) & (scores < _MOST)).all():
        raise damaged_scores(columns)
    return scores


def damaged_scores(columns: str) -> StorageError:
    """The error for columns of words that are not as they were written."""
    return StorageError(f"{columns}: damaged; graphmem verify --repair assembles it anew")
