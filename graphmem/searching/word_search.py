"""Presets bm25 and rrf: questions to rankings by words alone, and by words and vectors fused."""

from __future__ import annotations

from typing import Any

from graphmem.config import FusionConfig
from graphmem.searching.scores import reciprocal_rank_fusion
from graphmem.searching.searcher import NO_ROWS, Asked
from graphmem.searching.trace import Trace
from graphmem.storage.snapshot import Snapshot
from graphmem.storage.weighted import weighed


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
