"""Question to ranking: link, seed, walk, rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graphmem.config import (
    FusionConfig,
    HippoRag2Config,
    HippoRagConfig,
    LinearRagConfig,
    RetrievalConfig,
    SearchConfig,
)
from graphmem.errors import ConfigError, IndexMismatchError
from graphmem.fact_search import FactSearcher, Walk, within_margin
from graphmem.fusion import reciprocal_rank_fusion
from graphmem.linear_search import LinearSearcher
from graphmem.mentions import TokenHasher, find_names
from graphmem.ppr import entity_mass, passage_pagerank
from graphmem.protocols import Embedder, FactFilter
from graphmem.rerank import Candidates, TreeEnsemble, features, load_model, rerank
from graphmem.seeds import Seeds, choose_seeds, top_rows
from graphmem.snapshot import Snapshot
from graphmem.types import Hit, Ranking, Route, Triple


@dataclass(frozen=True, slots=True)
class Reread:
    """What a reranker made of the first passages of a ranking.

    Attributes:
        rows: Their rows in the order before, best first, int64 [n].
        values: The reranker's scores, float32 [n].
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Trace:
    """All that led to one ranking, for whoever explains it.

    Attributes:
        question: The question.
        route: How the passages were scored.
        scores: Score of every passage, float32 [P].
        entities: Rows of the entities that the question names, int64 [a].
        seeds: Where the walk restarted; None where there was no walk.
        pull: How much the walk liked each passage, float32 [P]; None where there was no walk.
        walk: The walk, where it was over another graph than that of names and passages.
        facts: The facts it started from.
        candidates: Rows of the passages that the second stage ordered, int64 [n], in the order of
            the walk; None where there was no second stage.
        evidence: Their features, float32 [n, F].
        reread: What a reranker did after all this; None where there was none.
    """

    question: str
    route: Route
    scores: NDArray[np.float32]
    entities: NDArray[np.int64]
    seeds: Seeds | None = None
    pull: NDArray[np.float32] | None = None
    walk: Walk | None = None
    facts: tuple[Triple, ...] = ()
    candidates: NDArray[np.int64] | None = None
    evidence: NDArray[np.float32] | None = None
    reread: Reread | None = None


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
        self._hasher = TokenHasher()

    def search(self, questions: Sequence[str], k: int, config: SearchConfig) -> list[Ranking]:
        """The best `k` passages for every question (fewer where the index holds fewer).

        Raises:
            ConfigError: k is below 1, or a question is blank.
            IndexMismatchError: The preset needs facts and the index has none.
            ModelError: The embedder or the fact filter failed.
        """
        require_positive(k)
        return [self.ranking(trace, k) for trace in self.trace(questions, config)]

    def ranking(self, trace: Trace, k: int) -> Ranking:
        """The first `k` hits of a trace."""
        rows = top_rows(trace.scores, k)
        hits = tuple(
            Hit(rank, float(trace.scores[row]), self.snapshot.passage(int(row)))
            for rank, row in enumerate(rows, start=1)
        )
        labels = tuple(self.snapshot.labels[int(row)] for row in trace.entities)
        return Ranking(trace.question, trace.route, hits, labels, trace.facts)

    def trace(self, questions: Sequence[str], config: SearchConfig) -> list[Trace]:
        """Score all passages for every question."""
        for question in questions:
            if not question.strip():
                raise ConfigError("the question is empty")
        if isinstance(config, RetrievalConfig) and config.route == "lexical":
            return [Trace(q, "lexical", self._lexical(q), _NO_ROWS) for q in questions]
        vectors = self.embedder.embed(questions, "question")
        if isinstance(config, HippoRag2Config):
            return self._from_facts(questions, vectors, config)
        return [
            self._trace(question, vector, config)
            for question, vector in zip(questions, vectors, strict=True)
        ]

    def _trace(self, question: str, vector: NDArray[np.float32], config: SearchConfig) -> Trace:
        cosine = self._cosine(vector)
        match config:
            case RetrievalConfig():
                return self._from_names(question, vector, cosine, config)
            case FusionConfig():
                both = [cosine, self._lexical(question)]
                fused = reciprocal_rank_fusion(both, config.constant)
                return Trace(question, "fusion", fused, _NO_ROWS)
        searcher = self._linear if isinstance(config, LinearRagConfig) else self._facts
        entities = self.link(question)
        if not entities.size:
            return Trace(question, "dense", cosine, entities)
        match searcher, config:
            case LinearSearcher(), LinearRagConfig():
                walk = searcher.walk(vector, entities, cosine, config)
                return self._walked(question, entities, walk)
            case FactSearcher(), HippoRagConfig():
                names = [self.snapshot.labels[int(row)] for row in entities]
                phrases = searcher.nearest_phrases(self.embedder.embed(names, "passage"))
                scores = searcher.score_by_phrases(phrases, config)
                return Trace(question, "graph", scores, entities)
        raise ConfigError(f"no search is defined for {type(config).__name__}")

    def _from_names(
        self,
        question: str,
        vector: NDArray[np.float32],
        cosine: NDArray[np.float32],
        config: RetrievalConfig,
    ) -> Trace:
        snapshot = self.snapshot
        entities = self.link(question) if config.route == "graph" else _NO_ROWS
        if not entities.size:
            return Trace(question, "dense", cosine, entities)
        facts = None
        if snapshot.facts is not None and config.fact_share > 0:
            facts = self._facts.best_by_passage(vector)
        lexical = self._lexical(question)
        seeds = choose_seeds(entities, snapshot.df, cosine, lexical, config, facts)
        pull = np.exp(np.float32(config.pull) * cosine)
        restart = np.zeros_like(cosine)
        restart[seeds.passages] = seeds.passage_weights
        scores = passage_pagerank(
            snapshot.graph,
            seeds.entities,
            seeds.entity_weights,
            restart,
            pull,
            damping=config.damping,
            tolerance=config.tolerance,
        )
        if config.candidates:
            found = self.candidates(scores, cosine, lexical, entities, config)
            evidence = self.evidence(found)
            scores = rerank(self.model, found, evidence, scores, config.specificity_half)
            return Trace(
                *(question, "graph", scores, entities, seeds, pull),
                candidates=found.rows,
                evidence=evidence,
            )
        return Trace(question, "graph", scores, entities, seeds, pull)

    def candidates(
        self,
        mass: NDArray[np.float32],
        cosine: NDArray[np.float32],
        lexical: NDArray[np.float32],
        entities: NDArray[np.int64],
        config: RetrievalConfig,
    ) -> Candidates:
        """The first passages of a walk, with all that the second stage looks at."""
        snapshot = self.snapshot
        rows = top_rows(mass, config.candidates)
        rows = rows[mass[rows] > 0]
        subjects = snapshot.subjects[rows].astype(np.int64)
        about = np.flatnonzero(subjects >= 0)
        subject_mass = np.zeros(rows.size, dtype=np.float32)
        subject_mass[about] = entity_mass(
            snapshot.graph, subjects[about], mass, damping=config.damping
        )
        return Candidates(
            rows,
            mass[rows],
            cosine[rows],
            lexical[rows],
            snapshot.vectors[rows],
            subjects,
            subject_mass,
            entities,
        )

    def _from_facts(
        self, questions: Sequence[str], vectors: NDArray[np.float32], config: HippoRag2Config
    ) -> list[Trace]:
        searcher = self._facts
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
            cosine = self._cosine(vectors[i])
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

    def evidence(self, found: Candidates) -> NDArray[np.float32]:
        """What the second stage knows of the candidates, float32 [n, len(rerank.FEATURES)]."""
        return features(self.snapshot.graph, self.snapshot.df, found)

    def link(self, question: str) -> NDArray[np.int64]:
        """Rows of the distinct entities that a question names, int64 [a], sorted."""
        columns = self._hasher.columns([question])
        found = find_names(self.snapshot.dictionary, columns, initial_counts=True)
        return np.unique(found.entities)

    @cached_property
    def model(self) -> TreeEnsemble:
        """The second stage's parameters."""
        return load_model()

    @cached_property
    def _facts(self) -> FactSearcher:
        facts = self.snapshot.facts
        if facts is None:
            raise IndexMismatchError(
                f"{self.snapshot.folder.parent}: this index has no facts, which the preset needs: "
                "index the sources with --extractor llm or import:FILE, or choose another preset"
            )
        return FactSearcher(facts, self.snapshot.passages)

    @cached_property
    def _linear(self) -> LinearSearcher:
        return LinearSearcher(self.snapshot, self.embedder)

    def _cosine(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        # Not BLAS: its threads fight with onnxruntime's over the cores (10 ms against 0.1 at 2,000
        # passages), gain nothing on a product that waits for memory, and change the rounding.
        cosine: NDArray[np.float32] = np.einsum("pd,d->p", self.snapshot.vectors, vector)
        return cosine

    def _lexical(self, question: str) -> NDArray[np.float32]:
        return self.snapshot.lexical.scores(question, self.snapshot.passages)


def require_positive(k: int) -> None:
    """Refuse a number of hits below 1.

    Raises:
        ConfigError: It is below 1.
    """
    if k < 1:
        raise ConfigError(f"k must be 1 or more, not {k}")


_NO_ROWS = np.zeros(0, dtype=np.int64)
