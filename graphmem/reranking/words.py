"""The reranker that needs no model: shared words, for tests and for machines without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphmem.base.text import tokens


class WordReranker:
    """Scores a text by the share of the question's distinct words that it holds, 0..1.

    >>> WordReranker().score("Who wrote Ulysses?", ["James Joyce wrote Ulysses.", "Bread."])
    array([0.6666667, 0.       ], dtype=float32)
    """

    fingerprint = "words:1"

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """The shares, float32 [len(texts)]; 0 where the question has no words."""
        asked = set(tokens(question))
        shares = [len(asked & set(tokens(text))) / max(1, len(asked)) for text in texts]
        return np.array(shares, dtype=np.float32)
