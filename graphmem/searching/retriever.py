"""Question to ranking: link, seed, walk, rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

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
from graphmem.searching.hipporag import FactSearcher, Walk, within_margin
from graphmem.searching.linearrag import LinearSearcher
from graphmem.searching.scores import reciprocal_rank_fusion
from graphmem.searching.trace import Trace
from graphmem.storage.snapshot import Snapshot
from graphmem.types import Hit, Passage, Ranking, Triple

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
        block shares work, never results: what a question gets is the same alone, bit by bit.

        Raises:
            ConfigError: A question is blank.
            IndexMismatchError: The preset needs facts and the index has none.
            ModelError: The embedder or the fact filter failed.
        """
        for question in questions:
            if not question.strip():
                raise ConfigError("the question is empty")
        if not self.snapshot.passages:  # all were deleted
            for question in questions:
                yield Trace(question, "dense", _NO_SCORES, _NO_ROWS)
            return
        if isinstance(config, RetrievalConfig) and config.route == "lexical":
            for question in questions:
                yield Trace(question, "lexical", self.names.lexical(question), _NO_ROWS)
            return
        size = max(1, min(_BLOCK, _BLOCK_CELLS // max(self.snapshot.passages, 1)))
        for part, vectors in self._embedded(questions):
            for start in range(0, len(part), size):
                block = slice(start, start + size)
                yield from self._trace_block(part[block], vectors[block], config)

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
            self.embedder, [*map(visible, texts)], kind, self.snapshot.vectors.shape[1]
        )

    def _trace_block(
        self, questions: Sequence[str], vectors: NDArray[np.float32], config: SearchConfig
    ) -> list[Trace]:
        cosines = self._cosines(vectors)
        match config:
            case RetrievalConfig(route="dense"):
                both = zip(questions, cosines, strict=True)
                return [Trace(question, "dense", cosine, _NO_ROWS) for question, cosine in both]
            case RetrievalConfig():
                return self.names.trace(questions, cosines, config)
            case HippoRag2Config():
                return self._from_facts(questions, vectors, cosines, config)
            case FusionConfig():
                return [
                    self._fused(question, cosine, config)
                    for question, cosine in zip(questions, cosines, strict=True)
                ]
        linked = self.names.link(questions)
        if isinstance(config, LinearRagConfig):
            self._linear.prepare([found.entities for found in linked], list(cosines), config)
        return [
            self._trace(question, vector, cosine, found.entities, config)
            for question, vector, cosine, found in zip(
                questions, vectors, cosines, linked, strict=True
            )
        ]

    def _fused(self, question: str, cosine: NDArray[np.float32], config: FusionConfig) -> Trace:
        fused = reciprocal_rank_fusion([cosine, self.names.lexical(question)], config.constant)
        return Trace(question, "fusion", fused, _NO_ROWS)

    def _trace(
        self,
        question: str,
        vector: NDArray[np.float32],
        cosine: NDArray[np.float32],
        entities: NDArray[np.int64],
        config: SearchConfig,
    ) -> Trace:
        searcher = self._linear if isinstance(config, LinearRagConfig) else self.facts
        if not entities.size:
            return Trace(question, "dense", cosine, entities)
        match searcher, config:
            case LinearSearcher(), LinearRagConfig():
                walk = searcher.walk(vector, entities, cosine, config)
                return self._walked(question, entities, walk)
            case FactSearcher(), HippoRagConfig():
                names = [self.snapshot.labels[int(row)] for row in entities]
                phrases = searcher.nearest_phrases(self._embed(names, "passage"))
                scores = searcher.score_by_phrases(
                    searcher.walk_over_phrases(phrases, config).mass()
                )
                return Trace(question, "graph", scores, entities, phrases=phrases)
        raise ConfigError(f"no search is defined for {type(config).__name__}")

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

    def _from_facts(
        self,
        questions: Sequence[str],
        vectors: NDArray[np.float32],
        cosines: NDArray[np.float32],
        config: HippoRag2Config,
    ) -> list[Trace]:
        searcher = self.facts
        found = [searcher.best_facts(vector, config.facts) for vector in vectors]
        near = [within_margin(c, config.margin, config.least_cosine) for _, c, _ in found]
        kept = [rows[n] for (rows, _, _), n in zip(found, near, strict=True)]
        scores = [scaled[n] for (_, _, scaled), n in zip(found, near, strict=True)]
        facts = [tuple(searcher.table.triple(int(row)) for row in rows) for rows in kept]
        if self.fact_filter is not None:
            choices = self.fact_filter.keep(questions, facts)
            chosen = [np.unique(np.array(choice, dtype=np.int64)) for choice in choices]
            kept = [rows[c] for rows, c in zip(kept, chosen, strict=True)]
            scores = [scaled[c] for scaled, c in zip(scores, chosen, strict=True)]
            facts = [tuple(listed[i] for i in c) for listed, c in zip(facts, chosen, strict=True)]
        traces = []
        for i, question in enumerate(questions):
            cosine = cosines[i]
            if kept[i].size:
                walk = searcher.walk_from_facts(kept[i], scores[i], cosine, config)
                traces.append(self._walked(question, _NO_ROWS, walk, facts[i]))
            else:
                traces.append(Trace(question, "dense", cosine, _NO_ROWS))
        return traces

    def _walked(
        self,
        question: str,
        entities: NDArray[np.int64],
        walk: Walk,
        facts: tuple[Triple, ...] = (),
    ) -> Trace:
        scores = walk.mass()[len(walk.names) :]
        return Trace(question, "graph", scores, entities, walk=walk, facts=facts)

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
    def _linear(self) -> LinearSearcher:
        return LinearSearcher(self.snapshot, self.embedder)

    def _cosines(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of q questions with all passages, [q, P]."""
        # Pair by pair, not by one product of matrices: BLAS rounds that by its shape and by the
        # number of threads, and its threads fight with onnxruntime's over the cores (10 ms
        # against 0.1 at 2,000 passages).
        passages = self.snapshot.vectors
        cosines = np.empty((len(vectors), len(passages)), dtype=np.float32)
        step = _NEAR if len(vectors) > 1 else len(passages)
        for start in range(0, len(passages), step):
            near = slice(start, start + step)
            np.vecdot(vectors[:, None], passages[None, near], out=cosines[:, near])
        return cosines


def require_positive(k: int) -> None:
    """Refuse a number of hits below 1.

    Raises:
        ConfigError: It is below 1.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ConfigError(f"k must be an integer, not {k!r}")
    if k < 1:
        raise ConfigError(f"k must be 1 or more, not {k}")


_NO_ROWS = np.zeros(0, dtype=np.int64)
_NO_SCORES = np.zeros(0, dtype=np.float32)
