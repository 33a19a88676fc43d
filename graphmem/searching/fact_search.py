"""Presets hipporag2 and hipporag: questions to rankings by facts and by phrases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from graphmem.base.columns import Strings
from graphmem.config import HippoRag2Config, HippoRagConfig
from graphmem.graph.entity_linking import Linked
from graphmem.protocols import FactFilter
from graphmem.searching.hipporag import FactSearcher, within_margin
from graphmem.searching.searcher import NO_ROWS, Asked
from graphmem.searching.trace import GraphWalk, PhraseWalk, Trace


class HippoRag2Searcher:
    """Walks from the facts that are nearest to a question, as HippoRAG 2 does.

    Where the filter keeps no fact, a question is ranked by vectors, and its trace says so.
    """

    def __init__(self, facts: FactSearcher, fact_filter: FactFilter | None) -> None:
        """Take the facts, and what chooses among the nearest; None keeps all."""
        self._facts = facts
        self._filter = fact_filter

    def trace(self, asked: Asked, config: HippoRag2Config) -> list[Trace]:
        """Rank by a walk for every question; the filter is asked once for all."""
        searcher = self._facts
        found = [searcher.best_facts(vector, config.facts) for vector in asked.vectors]
        near = [within_margin(c, config.margin, config.least_cosine) for _, c, _ in found]
        kept = [rows[n] for (rows, _, _), n in zip(found, near, strict=True)]
        scores = [scaled[n] for (_, _, scaled), n in zip(found, near, strict=True)]
        facts = [tuple(searcher.table.triple(int(row)) for row in rows) for rows in kept]
        if self._filter is not None:
            choices = self._filter.keep(asked.questions, facts)
            chosen = [np.unique(np.array(choice, dtype=np.int64)) for choice in choices]
            kept = [rows[c] for rows, c in zip(kept, chosen, strict=True)]
            scores = [scaled[c] for scaled, c in zip(scores, chosen, strict=True)]
            facts = [tuple(listed[i] for i in c) for listed, c in zip(facts, chosen, strict=True)]
        traces = []
        for i, (question, cosine) in enumerate(zip(asked.questions, asked.cosines, strict=True)):
            if not kept[i].size:
                traces.append(Trace(question, "dense", cosine, NO_ROWS))
                continue
            walk = searcher.walk_from_facts(kept[i], scores[i], cosine, config)
            mass = walk.mass()[len(walk.names) :]
            traces.append(Trace(question, "graph", mass, NO_ROWS, GraphWalk(walk, facts[i])))
        return traces


class HippoRagSearcher:
    """Walks over phrases from those nearest to the names in a question, as HippoRAG 1 does."""

    def __init__(
        self,
        facts: FactSearcher,
        labels: Strings,
        link: Callable[[Sequence[str]], list[Linked]],
        embed: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> None:
        """Take the facts, the names of entities, what links questions to them, and the embedder."""
        self._facts = facts
        self._labels = labels
        self._link = link
        self._embed = embed

    def trace(self, asked: Asked, config: HippoRagConfig) -> list[Trace]:
        """Rank by a walk for every question that names something, else by vectors."""
        linked = self._link(asked.questions)
        both = zip(asked.questions, asked.cosines, linked, strict=True)
        return [self._one(*each, config) for each in both]

    def _one(
        self, question: str, cosine: NDArray[np.float32], linked: Linked, config: HippoRagConfig
    ) -> Trace:
        if not linked.entities.size:
            return Trace(question, "dense", cosine, linked.entities)
        searcher = self._facts
        names = [self._labels[int(row)] for row in linked.entities]
        phrases = searcher.nearest_phrases(self._embed(names))
        mass = searcher.walk_over_phrases(phrases, config).mass()
        scores = searcher.score_by_phrases(mass)
        return Trace(question, "graph", scores, linked.entities, PhraseWalk(phrases))
