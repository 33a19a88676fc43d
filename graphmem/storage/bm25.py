"""BM25 over passages, by bm25s: exact scores as columns that are mapped from disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray

from graphmem.base.text import tokens

# The usual parameters (Robertson & Zaragoza 2009), and those of the published comparisons.
K1, B = 1.5, 0.75
logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG
_STOPWORDS = frozenset(STOPWORDS_EN)


def terms(text: str) -> list[str]:
    """Index terms: stemmed tokens without stop words and single ASCII characters.

    >>> terms("The directors of 3 films; 映画")
    ['director', 'film', '映', '画']
    """
    words = [w for w in tokens(text) if w not in _STOPWORDS and (len(w) > 1 or not w.isascii())]
    stemmed: list[str] = Stemmer.Stemmer("english").stemWords(words)
    return stemmed


class LexicalIndex:
    """BM25 scores of P passages for any question."""

    def __init__(self, model: Any, rows: NDArray[np.int64] | None = None) -> None:
        """Take a `bm25s.BM25` that is indexed or loaded, None where no text has a word.

        Args:
            model: Over all passages.
            rows: Those of them that count, P of them; None is all.
        """
        self._model = model
        self._rows = rows

    @classmethod
    def build(cls, texts: Sequence[str]) -> LexicalIndex:
        """Index the texts; the same texts give the same arrays."""
        split = [terms(text) for text in texts]
        # bm25s numbers words in the order of a set, which changes from process to process.
        vocabulary = {w: i for i, w in enumerate(sorted({w for words in split for w in words}))}
        model = bm25s.BM25(method="lucene", k1=K1, b=B)
        if vocabulary:
            numbers = [[vocabulary[word] for word in words] for words in split]
            model.index((numbers, vocabulary), create_empty_token=False, show_progress=False)
        return cls(model if vocabulary else None)

    def save(self, folder: Path) -> None:
        """Write .npy and JSON files into `folder`."""
        folder.mkdir()
        if self._model is not None:
            self._model.save(folder, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Map a saved index from disk.

        Raises:
            FileNotFoundError: A file is missing.
        """
        model = bm25s.BM25.load(folder, mmap=True, load_corpus=False)
        # Plain views of the mappings: numpy's memmap class makes every small access slower.
        model.scores = {name: np.asarray(column) for name, column in model.scores.items()}
        return cls(model)

    def select(self, rows: NDArray[np.int64]) -> LexicalIndex:
        """The same of some passages; how rare a word is stays that of all.

        >>> index = LexicalIndex.build(["the cat sat", "a dog"])
        >>> index.select(np.array([1])).scores("a cat or a dog", 1).tolist() == [
        ...     index.scores("a cat or a dog", 2)[1]
        ... ]
        True
        """
        return LexicalIndex(self._model, rows)

    def known(self, words: Sequence[str]) -> list[str]:
        """Those of the words, each one token, that a passage holds in any form.

        >>> LexicalIndex.build(["the cat sat", "a dog"]).known(["Cats", "Cot"])
        ['Cats']
        """
        if self._model is None:
            return []
        vocabulary = self._model.vocab_dict
        stemmed = Stemmer.Stemmer("english").stemWords([" ".join(tokens(w)) for w in words])
        return [word for word, stem in zip(words, stemmed, strict=True) if stem in vocabulary]

    def scores(self, question: str, passages: int) -> NDArray[np.float32]:
        """BM25 of every passage, float32 [passages]; zeros where no word of the question is known.

        >>> index = LexicalIndex.build(["the cat sat", "a dog"])
        >>> index.scores("cats?", 2).argmax()
        np.int64(0)
        """
        if self._model is None:
            return np.zeros(passages, dtype=np.float32)
        known = [word for word in terms(question) if word in self._model.vocab_dict]
        if not known:
            return np.zeros(passages, dtype=np.float32)
        scores: NDArray[np.float32] = self._model.get_scores(known)
        return scores if self._rows is None else scores[self._rows]
