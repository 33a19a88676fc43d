"""How well words fit; presets bm25 and rrf, by words alone, and by words and vectors fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.base.text import visible
from graphmem.config import FusionConfig
from graphmem.embedding.sparse import recorded_sparse
from graphmem.searching.scores import reciprocal_rank_fusion
from graphmem.searching.searcher import NO_ROWS, Asked
from graphmem.searching.trace import Trace
from graphmem.storage.snapshot import Snapshot
from graphmem.storage.weighted import weighed


class WordScorer:
    """How well the words of texts fit the passages of an index: what searches by names look at.

    That is BM25, and where the index keeps learned words the sum of both.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        """Take the index."""
        self._snapshot = snapshot
        self._encoder = None if snapshot.sparse is None else recorded_sparse(snapshot.manifest)

    def scores(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Of every passage for each text, >= 0, float32 [P].

        Raises:
            ModelError: The encoder of learned words failed.
        """
        lexical, passages = self._snapshot.lexical, self._snapshot.passages
        found = [lexical.scores(text, passages) for text in texts]
        columns = self._snapshot.sparse
        if columns is None or self._encoder is None:
            return found
        asked = [place for place, text in enumerate(texts) if text.strip()]
        learned = self._encoder.encode([visible(texts[place]) for place in asked])
        for place, words in zip(asked, learned, strict=True):
            found[place] = sum_of_words(found[place], columns.scores(words))
        return found


def sum_of_words(lexical: NDArray[np.float32], learned: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of two kinds of scores >= 0, each divided by its best, times the best of the first.

    Where the first are all 0, the second as they are.

    >>> lexical, learned = np.array([[4, 0, 2], [1, 2, 1]], dtype=np.float32)
    >>> sum_of_words(lexical, learned).tolist()
    [6.0, 4.0, 4.0]
    """
    best, other = float(lexical.max(initial=0)), float(learned.max(initial=0))
    if not best or not other:
        return lexical if best else learned
    return lexical + learned * np.float32(best / other)


class LexicalSearcher:
    """By words alone: the score is that of BM25."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Take the index."""
        self._snapshot = snapshot

    def trace(self, asked: Asked, config: Any) -> list[Trace]:
        """Score all passages; vectors and cosines are not looked at."""
        lexical, passages = self._snapshot.lexical, self._snapshot.passages
        prior = self._snapshot.prior
        scores = (weighed(lexical.scores(q, passages), prior) for q in asked.questions)
        return [
            Trace(q, "lexical", found, NO_ROWS)
            for q, found in zip(asked.questions, scores, strict=True)
        ]


class FusionSearcher:
    """By reciprocal rank fusion of vectors and words."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Take the index."""
        self._snapshot = snapshot

    def trace(self, asked: Asked, config: FusionConfig) -> list[Trace]:
        """Score all passages."""
        lexical, passages = self._snapshot.lexical, self._snapshot.passages
        return [
            Trace(
                question,
                "fusion",
                reciprocal_rank_fusion(
                    [cosine, lexical.scores(question, passages)], config.constant
                ),
                NO_ROWS,
            )
            for question, cosine in zip(asked.questions, asked.cosines, strict=True)
        ]
