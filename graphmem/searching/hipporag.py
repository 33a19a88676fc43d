"""Searching by facts: what HippoRAG, versions 1 and 2, do between a question and its ranking."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphmem.base.columns import Strings
from graphmem.base.layout import FACTS
from graphmem.config import HippoRag2Config, HippoRagConfig
from graphmem.graph.fact_graph import (
    FactGraph,
    FactTable,
    fact_adjacency,
    normalise_part,
    passages_per_phrase,
    phrase_adjacency,
)
from graphmem.graph.pagerank import personalized_pagerank
from graphmem.searching.seeds import min_max, top_rows
from graphmem.storage.snapshot import require_cosines

Vector = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk over named nodes, then passages, as whoever explains a ranking needs it.

    Attributes:
        adjacency: Symmetric weights, [n, n].
        restart: Restart distribution, float32 [n].
        preference: How much the walk likes each node, float32 [n].
        names: Names of the nodes that are no passages.
        damping: Probability of going on.
        tolerance: Bound on the L1 error.
    """

    adjacency: csr_array
    restart: Vector
    preference: Vector
    names: Strings
    damping: float
    tolerance: float

    def mass(self) -> Vector:
        """Mass of every node, float32 [n]."""
        return personalized_pagerank(
            self.adjacency,
            self.restart,
            self.preference,
            damping=self.damping,
            tolerance=self.tolerance,
        )


def phrase_seeds(
    table: FactTable, passages: NDArray[np.int32], facts: Rows, scores: Vector, most: int
) -> tuple[Rows, Vector]:
    """Weigh the phrases of facts: score of the fact / passages of the phrase, mean over its facts.

    HippoRAG 2, section 3.3 and its code: where a fact has one phrase at both ends, it counts twice.

    Args:
        table: The facts.
        passages: Number of passages of every phrase, int32 [N].
        facts: Rows of the kept facts, int64 [f].
        scores: Their scores, float32 [f].
        most: So many phrases stay, best first, ties by name.

    Returns:
        Rows and weights of the phrases.
    """
    ends = np.concatenate([table.subjects[facts], table.objects[facts]])
    weighted = np.concatenate([scores, scores]) / passages[ends]
    phrases, place = np.unique(ends, return_inverse=True)
    means = (np.bincount(place, weighted) / np.bincount(place)).astype(np.float32)
    best = top_rows(means, most)
    return phrases[best].astype(np.int64), means[best]


def within_margin(cosines: Vector, margin: float, least: float) -> Rows:
    """The fact filter without a model: positions of what is near the best, and near enough.

    >>> within_margin(np.array([0.7, 0.6, 0.3], dtype=np.float32), 0.2, 0.5).tolist()
    [0, 1]
    """
    if not cosines.size:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero((cosines >= cosines.max() - np.float32(margin)) & (cosines >= least))


class FactSearcher:
    """Searches the facts of an index with P passages; what it derives is kept."""

    def __init__(self, graph: FactGraph, passages: int) -> None:
        """Take the facts."""
        self.graph = graph
        self.table = graph.table
        self._passages = passages

    @cached_property
    def adjacency(self) -> csr_array:
        """Weights of HippoRAG 2 over phrases, then passages."""
        return fact_adjacency(self.graph, self._passages)

    @cached_property
    def passages_per_phrase(self) -> NDArray[np.int32]:
        """Number of passages of every phrase, int32 [N]."""
        return passages_per_phrase(self.table)

    @cached_property
    def _phrase_adjacency(self) -> csr_array:
        return phrase_adjacency(self.graph)

    @cached_property
    def context(self) -> csr_array:
        """How many facts of a passage hold a phrase, [P, N]."""
        edges = self.table.context
        shape = (self._passages, len(self.table.phrases))
        columns = (edges.weights.astype(np.float32), (edges.targets, edges.sources))
        return csr_array(columns, shape=shape)

    @cached_property
    def statements(self) -> csr_array:
        """Which passage states which fact, 0 or 1, [P, F]."""
        edges = self.table.statements
        shape = (self._passages, len(self.table.predicates))
        columns = (np.ones(edges.targets.size, dtype=np.bool_), (edges.targets, edges.sources))
        return csr_array(columns, shape=shape)

    def phrases_named(self, names: Sequence[str]) -> Rows:
        """The phrase that is each name, -1 where there is none, int64 [a]."""
        rows = [self._phrase(normalise_part(name)) for name in names]
        return np.array(rows, dtype=np.int64)

    def _phrase(self, name: str) -> int:
        phrases = self.table.phrases
        row = bisect_left(phrases, name)  # they are sorted
        return row if row < len(phrases) and phrases[row] == name else -1

    def fact_cosines(self, facts: Rows | slice, vector: Vector) -> Vector:
        """Cosine of facts with a question, float32 [f].

        Raises:
            StorageError: The vector of a fact is damaged.
        """
        found = np.einsum("fd,d->f", self.graph.fact_vectors[facts], vector)
        return require_cosines(found, Path(FACTS, "fact_vectors.npy"))

    def best_facts(self, vector: Vector, count: int) -> tuple[Rows, Vector, Vector]:
        """The facts nearest to a question: rows, cosines, and cosines on the scale 0 to 1."""
        cosines = self.fact_cosines(slice(None), vector)
        rows = top_rows(cosines, count)
        return rows, cosines[rows], min_max(cosines, rows)

    def walk_from_facts(
        self, facts: Rows, scores: Vector, cosine: Vector, config: HippoRag2Config
    ) -> Walk:
        """The walk of HippoRAG 2.

        Args:
            facts: Rows of the facts that the filter kept, int64 [f], f > 0.
            scores: Their cosines with the question on the scale 0 to 1, float32 [f].
            cosine: Cosine of the question with every passage, float32 [P].
            config: The preset.
        """
        phrases = len(self.table.phrases)
        restart = np.zeros(phrases + self._passages, dtype=np.float32)
        rows, weights = phrase_seeds(
            self.table, self.passages_per_phrase, facts, scores, config.phrases
        )
        restart[rows] = weights
        scaled = min_max(cosine, np.arange(cosine.size))
        restart[phrases:] = np.float32(config.passage_weight) * scaled
        restart /= restart.sum()
        preference = np.ones_like(restart)
        names = self.table.phrases
        return Walk(self.adjacency, restart, preference, names, config.damping, config.tolerance)

    def nearest_phrases(self, vectors: Vector) -> Rows:
        """The phrase nearest to each vector, int64 [a].

        Raises:
            StorageError: The vector of a phrase is damaged.
        """
        file = Path(FACTS, "phrase_vectors.npy")
        nearest = [
            require_cosines(np.einsum("nd,d->n", self.graph.phrase_vectors, vector), file).argmax()
            for vector in vectors
        ]
        return np.array(nearest, dtype=np.int64)

    def walk_over_phrases(self, phrases: Rows, config: HippoRagConfig) -> Walk:
        """The walk of HippoRAG 1, which knows no passages.

        A phrase's restart weight is 1 / its passages (node specificity, section 3.2 of arXiv
        2405.14831).

        Args:
            phrases: Phrases of the question, int64 [a], a > 0; each counts once.
            config: The preset.
        """
        restart = np.zeros(len(self.table.phrases), dtype=np.float32)
        restart[phrases] = 1.0 / self.passages_per_phrase[phrases]
        restart /= restart.sum()
        preference, names = np.ones_like(restart), self.table.phrases
        return Walk(
            self._phrase_adjacency, restart, preference, names, config.damping, config.tolerance
        )

    def score_by_phrases(self, mass: Vector) -> Vector:
        """Score of every passage in HippoRAG 1: its phrases' mass, once for each of their facts."""
        scores: Vector = self.context @ mass
        return scores
