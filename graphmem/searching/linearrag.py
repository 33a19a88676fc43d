"""Searching without relations, as LinearRAG does (arXiv 2510.10114): entities, sentences, passages.

Activation goes from an entity of the question to the sentences that hold it and are nearest to the
question, from these to their other entities, and so on; then a walk over entities and passages
restarts at what was activated.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, csr_array

from graphmem.base.layout import SENTENCES
from graphmem.config import LinearRagConfig
from graphmem.embedding.checked import checked_vectors
from graphmem.graph.entity_dictionary import TokenHasher
from graphmem.graph.entity_linking import Linked
from graphmem.protocols import Embedder
from graphmem.searching.hipporag import Walk
from graphmem.searching.searcher import Asked
from graphmem.searching.seeds import min_max, top_rows
from graphmem.searching.trace import GraphWalk, Trace
from graphmem.storage.sentence_columns import Sentences, cut_sentences, find_entities
from graphmem.storage.snapshot import Snapshot, require_cosines

Vector = NDArray[np.float32]
Rows = NDArray[np.int64]

_KEPT = 5_000
"""Passages whose sentences stay in memory; 1.5 kB a sentence."""


@dataclass(frozen=True, slots=True)
class Activation:
    """Entities by the round in which they were activated last.

    Attributes:
        entities: Entity rows, int64 [a].
        weights: All that came to each, float64 [a]: its seed weight.
        scores: What came last, float64 [a].
        tiers: 1 for the entities of the question, 2 for those one sentence on, and so on; [a].
    """

    entities: Rows
    weights: NDArray[np.float64]
    scores: NDArray[np.float64]
    tiers: NDArray[np.int64]


class LinearSearcher:
    """Searches one snapshot; threads may share it, and find what one of them alone finds.

    Where it holds no sentences, they are embedded when a question first comes near them.
    """

    def __init__(self, snapshot: Snapshot, embedder: Embedder) -> None:
        """Take the snapshot and its embedder."""
        self._snapshot = snapshot
        self._embedder = embedder
        self._hasher = TokenHasher()
        self._sentences: OrderedDict[int, Sentences] = OrderedDict()
        self._lock = threading.Lock()  # held while `_sentences` is read or changed
        self._adjacency: csr_array | None = None

    def walk(self, vector: Vector, entities: Rows, cosine: Vector, config: LinearRagConfig) -> Walk:
        """The walk for one question.

        Args:
            vector: The question's, float32 [d].
            entities: Rows of the entities it names, int64 [a], a > 0.
            cosine: Its cosine with every passage, float32 [P].
            config: The preset.
        """
        active = self.activate(vector, entities, cosine, config)
        snapshot = self._snapshot
        restart = np.zeros(snapshot.entities + snapshot.passages, dtype=np.float32)
        restart[active.entities] = active.weights
        restart[snapshot.entities :] = self._passage_weights(active, cosine, config)
        restart /= restart.sum()
        preference = np.ones_like(restart)
        names = snapshot.labels
        return Walk(self.adjacency, restart, preference, names, config.damping, config.tolerance)

    @property
    def adjacency(self) -> csr_array:
        """Share of a passage's mentions that each entity has, symmetric, [E + P, E + P]."""
        with self._lock:
            if self._adjacency is None:
                shares = self._counts()
                total = np.bincount(shares.indices, shares.data, minlength=shares.shape[1])
                shares.data /= total[shares.indices].astype(np.float32)
                self._adjacency = block_array([[None, shares], [shares.T, None]], format="csr")
            return self._adjacency

    def activate(
        self, vector: Vector, entities: Rows, cosine: Vector, config: LinearRagConfig
    ) -> Activation:
        """Spread activation over sentences; every sentence is used once.

        An entity hands on its activation times the cosine of sentence and question. What comes to
        an entity adds up as its seed weight; what came last is handed on.
        """
        weights = dict.fromkeys(entities.tolist(), 1.0)
        last = {entity: (1.0, 1) for entity in weights}
        current = {entity: 1.0 for entity in weights}
        used: set[tuple[int, int]] = set()
        for tier in range(2, config.rounds + 2):
            # Held by this question: what another one has dropped from memory stays here.
            read = self._prepare(current, cosine, config.nearest_passages)
            reached: dict[int, float] = {}
            for entity, score in current.items():
                for place, similarity in self._nearest(entity, vector, cosine, used, read, config):
                    used.add(place)
                    handed = score * similarity
                    if handed < config.threshold:
                        continue
                    for other in read[place[0]].entities_of(place[1]):
                        weights[other] = weights.get(other, 0.0) + handed
                        reached[other] = handed
            last.update({entity: (score, tier) for entity, score in reached.items()})
            current = reached
        rows = sorted(weights)
        return Activation(
            np.array(rows, dtype=np.int64),
            np.array([weights[row] for row in rows]),
            np.array([last[row][0] for row in rows]),
            np.array([last[row][1] for row in rows], dtype=np.int64),
        )

    def _nearest(
        self,
        entity: int,
        vector: Vector,
        cosine: Vector,
        used: set[tuple[int, int]],
        read: Mapping[int, Sentences],
        config: LinearRagConfig,
    ) -> list[tuple[tuple[int, int], float]]:
        """The unused sentences of an entity that are nearest to the question: (place, cosine)."""
        places = []
        similarity: list[float] = []
        for passage in self._passages_of(entity, cosine, config.nearest_passages).tolist():
            sentences = read[passage]
            near = np.einsum("sd,d->s", sentences.vectors, vector)
            require_cosines(near, Path(SENTENCES, "vectors.npy"))
            for number in sentences.holding(entity):
                if (passage, number) not in used:
                    places.append((passage, number))
                    similarity.append(float(near[number]))
        best = top_rows(np.array(similarity, dtype=np.float32), config.sentences)
        return [(places[i], similarity[i]) for i in best]

    def _passage_weights(
        self, active: Activation, cosine: Vector, config: LinearRagConfig
    ) -> Vector:
        """Seed weights of all passages: their cosine, and the activated entities they mention.

        weight * (ratio * scaled cosine + log(1 + sum of score * log(1 + mentions) / tier))
        """
        counts = self._counts()[active.entities]
        counts.data = np.log1p(counts.data)
        bonus = counts.T @ (active.scores / active.tiers)
        scaled = min_max(cosine, np.arange(cosine.size))
        weights: Vector = (config.passage_ratio * scaled + np.log1p(bonus)).astype(np.float32)
        return np.float32(config.passage_weight) * weights

    def _counts(self) -> csr_array:
        weights = self._snapshot.graph.weights
        counts = self._snapshot.context_counts.astype(np.float32)
        return csr_array((counts, weights.indices, weights.indptr), shape=weights.shape)

    def _passages_of(self, entity: int, cosine: Vector, most: int) -> Rows:
        passages, _ = self._snapshot.graph.passages_of(entity)
        return passages[top_rows(cosine[passages], most)].astype(np.int64)

    def prepare(
        self, entities: Sequence[Rows], cosines: Sequence[Vector], config: LinearRagConfig
    ) -> None:
        """Embed in one call what the first round of many questions reads; saves time only."""
        if self._snapshot.sentences is None:
            self._read_sentences(
                self._passages_of(entity, cosine, config.nearest_passages)
                for rows, cosine in zip(entities, cosines, strict=True)
                for entity in rows.tolist()
            )

    def _prepare(
        self, entities: Iterable[int], cosine: Vector, most: int
    ) -> Mapping[int, Sentences]:
        """The sentences of all passages that these entities lead to, embedded in one call."""
        return self._read_sentences(self._passages_of(entity, cosine, most) for entity in entities)

    def _read_sentences(self, passages: Iterable[Rows]) -> Mapping[int, Sentences]:
        """The sentences of passages, by row; those that are not kept are embedded in one call.

        Two threads that miss the same passage at once both embed it, to the same vectors.
        """
        wanted = np.unique(np.concatenate([*passages, np.zeros(0, dtype=np.int64)])).tolist()
        kept = self._snapshot.sentences
        if kept is not None:
            return {passage: kept.of(passage) for passage in wanted}
        with self._lock:
            read = {row: self._sentences[row] for row in wanted if row in self._sentences}
            for passage in read:
                self._sentences.move_to_end(passage)
        missing = [passage for passage in wanted if passage not in read]
        if not missing:
            return read
        cuts = [cut_sentences(self._snapshot.passage(row)) for row in missing]
        vectors = checked_vectors(self._embedder, [text for cut in cuts for text in cut])
        mentioned = [self._mentioned(row) for row in missing]
        named = find_entities(self._snapshot.dictionary, self._hasher, cuts, mentioned)
        embedded = {
            row: named.of(number, vectors[named.rows(number)]) for number, row in enumerate(missing)
        }
        with self._lock:
            self._sentences.update(embedded)
            while len(self._sentences) > max(_KEPT, len(wanted)):
                self._sentences.popitem(last=False)
        return {**read, **embedded}

    def _mentioned(self, passage: int) -> Rows:
        """Entities of a passage, ascending."""
        snapshot = self._snapshot
        start, end = snapshot.adjacency.indptr[passage + snapshot.entities :][:2]
        return np.sort(snapshot.adjacency.indices[start:end].astype(np.int64))


class LinearRagSearcher:
    """Walks from what sentences activate, for questions that name something."""

    def __init__(
        self, linear: LinearSearcher, link: Callable[[Sequence[str]], list[Linked]]
    ) -> None:
        """Take what spreads activation, and what links questions to entities."""
        self._linear = linear
        self._link = link

    def trace(self, asked: Asked, config: LinearRagConfig) -> list[Trace]:
        """Rank by a walk for every question that names something, else by vectors."""
        entities = [found.entities for found in self._link(asked.questions)]
        self._linear.prepare(entities, list(asked.cosines), config)
        traces = []
        for question, vector, cosine, rows in zip(
            asked.questions, asked.vectors, asked.cosines, entities, strict=True
        ):
            if not rows.size:
                traces.append(Trace(question, "dense", cosine, rows))
                continue
            walk = self._linear.walk(vector, rows, cosine, config)
            mass = walk.mass()[len(walk.names) :]
            traces.append(Trace(question, "graph", mass, rows, GraphWalk(walk)))
        return traces
