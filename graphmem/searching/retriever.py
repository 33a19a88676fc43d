"""Question to ranking: embed, let the searcher of the preset score all passages, take the best.

A new way of searching is a file with a `Searcher`, its configuration, and a line of `SEARCHERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphmem.base.text import visible
from graphmem.config import (
    FusionConfig,
    HippoRag2Config,
    HippoRagConfig,
    LinearRagConfig,
    RetrievalConfig,
    SearchConfig,
)
from graphmem.embedding.checked import checked_vectors
from graphmem.errors import ConfigError, IndexMismatchError
from graphmem.protocols import Embedder, FactFilter, TextKind
from graphmem.searching.candidates import Candidates
from graphmem.searching.entity_walk import NameSearcher
from graphmem.searching.fact_search import HippoRag2Searcher, HippoRagSearcher
from graphmem.searching.hipporag import FactSearcher
from graphmem.searching.linearrag import LinearRagSearcher, LinearSearcher
from graphmem.searching.searcher import NO_ROWS, Asked, DenseSearcher, Searcher
from graphmem.searching.trace import Trace
from graphmem.searching.word_search import FusionSearcher, LexicalSearcher
from graphmem.storage.snapshot import Snapshot, require_cosines
from graphmem.storage.weighted import weigh_sources
from graphmem.types import Hit, Passage, Ranking

LONGEST_QUESTION: Final = 20_000
"""Characters of a question that are read: who asks more pasted something."""
_EMBEDDED = 128
"""Questions embedded in one call: texts of the same length run together."""
_BLOCK = 32
"""Questions ranked together: they share the reading of vectors and graph."""
_BLOCK_CELLS = 1 << 22
"""Most questions times passages in a block: 16 MB for each number that a passage gets."""
_NEAR = 64
"""Passages whose vectors stay in the processor's cache while a block's questions pass."""


class Retriever:
    """Ranks the passages of one snapshot."""

    def __init__(
        self, snapshot: Snapshot, embedder: Embedder, fact_filter: FactFilter | None = None
    ) -> None:
        """Read `snapshot`, with the embedder that its vectors were made with.

        Args:
            snapshot: The index.
            embedder: Makes the vectors of questions.
            fact_filter: Chooses among the facts of preset hipporag2; None keeps all.
        """
        self.snapshot = snapshot
        self.embedder = embedder
        self.fact_filter = fact_filter
        self._weighed: tuple[int, Retriever] | None = None  # the last `source_size`, and for it

    def search(self, questions: Sequence[str], k: int, config: SearchConfig) -> list[Ranking]:
        """The best `k` passages for every question (fewer where the index holds fewer).

        Raises:
            ConfigError: k is below 1, or a question is blank.
            IndexMismatchError: The preset needs facts and the index has none.
            ModelError: The embedder or the fact filter failed.
        """
        require_positive(k)
        known: dict[int, Passage] = {}  # passages are parsed once, and shared by their hits
        return [self.ranking(trace, k, known) for trace in self.trace(questions, config)]

    def ranking(self, trace: Trace, k: int, known: dict[int, Passage] | None = None) -> Ranking:
        """The first `k` hits of a trace; passages that it reads are added to `known`."""
        known = {} if known is None else known
        rows = self.hit_rows(trace, k)
        for row in rows.tolist():
            if row not in known:
                known[row] = self.snapshot.passage(row)
        hits = tuple(
            Hit(rank, score, known[row], self._copies(row))
            for rank, (row, score) in enumerate(
                zip(rows.tolist(), trace.scores[rows].tolist(), strict=True), start=1
            )
        )
        labels = tuple(self.snapshot.labels[int(row)] for row in trace.entities)
        return Ranking(trace.question, trace.route, hits, labels, trace.facts)

    def hit_rows(self, trace: Trace, k: int) -> NDArray[np.int64]:
        """Rows of the best `k` passages, best first: the best one of those that say the same.

        Fewer, or none, where the question and the passages have nothing in common.
        """
        if not self.snapshot.has_copies:
            return trace.best_rows(k)
        wanted = k
        while True:
            rows = trace.best_rows(wanted)
            first = np.sort(np.unique(self.snapshot.copied[rows], return_index=True)[1])
            if first.size >= k or wanted >= trace.scores.size:
                return rows[first[:k]]
            wanted *= 2

    def _copies(self, row: int) -> tuple[str, ...]:
        """Ids of the other passages that say the same as one."""
        if not self.snapshot.has_copies:
            return ()
        same = np.flatnonzero(self.snapshot.copied == self.snapshot.copied[row])
        return tuple(sorted(self.snapshot.passage(int(r)).id for r in same if r != row))

    def trace(self, questions: Sequence[str], config: SearchConfig) -> Iterator[Trace]:
        """Score all passages for every question.

        Trace by trace, computed block by block, so that memory does not grow with questions. A
        block shares work, never results: what a question gets is the same alone, bit by bit. Of a
        question the first LONGEST_QUESTION characters are read.

        Raises:
            ConfigError: A question is blank.
            IndexMismatchError: The preset needs facts and the index has none.
            ModelError: The embedder or the fact filter failed.
        """
        questions = [question[:LONGEST_QUESTION] for question in questions]
        for question in questions:
            if not question.strip():
                raise ConfigError("the question is empty")
        if not self.snapshot.passages:  # all were deleted
            for question in questions:
                yield Trace(question, "dense", _NO_SCORES, NO_ROWS)
            return
        searcher = self._searcher(config)
        if isinstance(searcher, LexicalSearcher):  # it looks at words alone: nothing is embedded
            for question in questions:
                yield from searcher.trace(Asked([question], _NO_VECTORS, _NO_VECTORS), config)
            return
        size = max(1, min(_BLOCK, _BLOCK_CELLS // max(self.snapshot.passages, 1)))
        for part, vectors in self._embedded(questions):
            for start in range(0, len(part), size):
                block = slice(start, start + size)
                cosines = self._cosines(vectors[block])
                yield from searcher.trace(Asked(part[block], vectors[block], cosines), config)

    def _embedded(
        self, questions: Sequence[str]
    ) -> Iterator[tuple[Sequence[str], NDArray[np.float32]]]:
        """Questions with their vectors; the next ones are embedded while these are ranked."""
        parts = [questions[i : i + _EMBEDDED] for i in range(0, len(questions), _EMBEDDED)]
        if len(parts) == 1:
            yield parts[0], self._embed(parts[0])
            return
        with ThreadPoolExecutor(1) as ahead:
            waiting = [ahead.submit(self._embed, part) for part in parts[:1]]
            for i, part in enumerate(parts):
                vectors = waiting.pop().result()
                if i + 1 < len(parts):
                    waiting.append(ahead.submit(self._embed, parts[i + 1]))
                yield part, vectors

    def _embed(self, texts: Sequence[str], kind: TextKind = "question") -> NDArray[np.float32]:
        return checked_vectors(
            self.embedder, [*map(visible, texts)], kind, self.snapshot.vectors.width
        )

    def _searcher(self, config: SearchConfig) -> Searcher[Any]:
        kind = config.route if isinstance(config, RetrievalConfig) else type(config)
        return SEARCHERS[kind](self.weighed(config))

    def weighed(self, config: SearchConfig) -> Retriever:
        """What scores by a configuration: this, or one of the same rows with sources weighed."""
        size = config.source_size if isinstance(config, RetrievalConfig) else 0
        if not size or not self.snapshot.passages:
            return self
        kept = self._weighed
        if kept is None or kept[0] != size:
            # Threads that meet here make the same.
            snapshot = weigh_sources(self.snapshot, size)
            kept = self._weighed = size, Retriever(snapshot, self.embedder, self.fact_filter)
        return kept[1]

    def candidates(
        self, questions: Sequence[str], config: RetrievalConfig
    ) -> list[Candidates | None]:
        """The first `config.candidates` passages of every walk, None where there is no walk."""
        vectors = self._embed(questions)
        walked = self.names.walks(questions, self._cosines(vectors), config)
        return [candidates for _, candidates in walked]

    def evidence(self, found: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        """What the second stage knows of the candidates of each question, [n, len(FEATURES)].

        Raises:
            ModelError: The embedder failed.
        """
        return self.names.evidence(found)

    @cached_property
    def facts(self) -> FactSearcher:
        """Searches the facts.

        Raises:
            IndexMismatchError: The index has none.
        """
        facts = self.snapshot.facts
        if facts is None:
            raise IndexMismatchError(
                f"{self.snapshot.folder.parent}: this index has no facts, which the preset needs: "
                "index the sources with --extractor llm or import:FILE, or choose another preset"
            )
        return FactSearcher(facts, self.snapshot.passages)

    @cached_property
    def names(self) -> NameSearcher:
        """Searches the graph of names and passages."""
        facts = None if self.snapshot.facts is None else self.facts
        return NameSearcher(self.snapshot, self.embedder, facts)

    @cached_property
    def linear(self) -> LinearSearcher:
        """Spreads activation over sentences."""
        return LinearSearcher(self.snapshot, self.embedder)

    def embedded_names(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of names, as phrases are embedded, float32 [n, d]."""
        return self._embed(names, "passage")

    def _cosines(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of q questions with all passages, [q, P].

        Raises:
            StorageError: A vector of the index is damaged.
        """
        # Pair by pair, not by one product of matrices: BLAS rounds that by its shape and by the
        # number of threads, and its threads fight with onnxruntime's over the cores (10 ms
        # against 0.1 at 2,000 passages).
        found = []
        for passages in self.snapshot.vectors.blocks:
            cosines = np.empty((len(vectors), len(passages)), dtype=np.float32)
            step = _NEAR if len(vectors) > 1 else max(len(passages), 1)
            for start in range(0, len(passages), step):
                near = slice(start, start + step)
                with np.errstate(over="ignore", invalid="ignore"):  # told below
                    np.vecdot(vectors[:, None], passages[None, near], out=cosines[:, near])
            found.append(require_cosines(cosines, self.snapshot.folder / "vectors.npy"))
        every = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
        rows = self.snapshot.vectors.rows
        return every if rows is None else every[:, rows]


def require_positive(k: int) -> None:
    """Refuse a number of hits below 1.

    Raises:
        ConfigError: It is below 1.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ConfigError(f"k must be an integer, not {k!r}")
    if k < 1:
        raise ConfigError(f"k must be 1 or more, not {k}")


_NO_SCORES = np.zeros(0, dtype=np.float32)
_NO_VECTORS = np.zeros((0, 0), dtype=np.float32)

SEARCHERS: Final[Mapping[str | type, Callable[[Retriever], Searcher[Any]]]] = {
    "graph": lambda r: r.names,
    "dense": lambda r: DenseSearcher(r.snapshot),
    "lexical": lambda r: LexicalSearcher(r.snapshot),
    FusionConfig: lambda r: FusionSearcher(r.snapshot),
    LinearRagConfig: lambda r: LinearRagSearcher(r.linear, r.names.link),
    HippoRag2Config: lambda r: HippoRag2Searcher(r.facts, r.fact_filter),
    HippoRagConfig: lambda r: HippoRagSearcher(
        r.facts, r.snapshot.labels, r.names.link, r.embedded_names
    ),
}
"""How each configuration searches; those of `RetrievalConfig` by their route."""
