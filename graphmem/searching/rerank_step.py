"""The first passages of any ranking, read once more by a reranker and put in its order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from graphmem.config import SearchConfig
from graphmem.errors import ConfigError
from graphmem.protocols import Embedder, FactFilter, Reranker
from graphmem.reranking.checked import checked_scores
from graphmem.searching.retriever import Retriever
from graphmem.searching.scores import put_first
from graphmem.searching.trace import Reread, Trace
from graphmem.storage.snapshot import Snapshot
from graphmem.types import Passage, Ranking

RERANK_DEPTH: Final = 30
"""How many passages are read again where nobody says."""


class RereadingRetriever(Retriever):
    """Ranks like `Retriever`; then a reranker orders the first passages, the rest stays below."""

    def __init__(
        self,
        snapshot: Snapshot,
        embedder: Embedder,
        fact_filter: FactFilter | None,
        reranker: Reranker,
        depth: int = RERANK_DEPTH,
    ) -> None:
        """Use `reranker` on the first `depth` passages of every ranking.

        Raises:
            ConfigError: depth is below 1.
        """
        super().__init__(snapshot, embedder, fact_filter)
        self.reranker = reranker
        self.depth = require_depth(depth)

    def trace(self, questions: Sequence[str], config: SearchConfig) -> Iterator[Trace]:
        """Score all passages for every question, and the first ones again.

        Raises:
            ModelError: The embedder, the fact filter or the reranker failed.
        """
        return map(self._reread, super().trace(questions, config))

    def ranking(self, trace: Trace, k: int, known: dict[int, Passage] | None = None) -> Ranking:
        """The first `k` hits of a trace; passages that it reads are added to `known`."""
        count = 0 if trace.reread is None else trace.reread.rows.size
        found = super().ranking(trace, k, known)
        return replace(found, reranker=self.reranker.fingerprint, reranked=count)

    def _reread(self, trace: Trace) -> Trace:
        rows = trace.best_rows(self.depth)
        passages = [self.snapshot.passage(int(row)) for row in rows]
        texts = [f"{p.title}\n{p.text}" if p.title else p.text for p in passages]
        values = checked_scores(self.reranker, trace.question, texts)
        return replace(
            trace, scores=put_first(trace.scores, rows, values), reread=Reread(rows, values)
        )


def require_depth(depth: int) -> int:
    """The same depth.

    Raises:
        ConfigError: It is below 1.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ConfigError(f"rerank depth must be 1 or more, not {depth!r}")
    return depth
