"""What led to one ranking: its scores, and for each way of searching where they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphmem.searching.hipporag import Walk
from graphmem.searching.seeds import Seeds, top_rows
from graphmem.types import Route, Triple


@dataclass(frozen=True, slots=True)
class SecondStage:
    """What the second stage knew of n passages, in the order of the walk.

    Attributes:
        candidates: Their rows, int64 [n].
        evidence: Their features, float32 [n, len(FEATURES)].
        fact_parts: What facts added to the log-odds of each, float32 [n, len(FACT_FEATURES)].
        next_names: Row of the next name that speaks most for each, -1 where none does, int64 [n].
    """

    candidates: NDArray[np.int64]
    evidence: NDArray[np.float32]
    fact_parts: NDArray[np.float32]
    next_names: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NameWalk:
    """A walk over names and passages.

    Attributes:
        seeds: Where it restarted.
        preference: How much it liked each passage, float32 [P].
        stage: What ordered the first passages after it; None where nothing did.
    """

    seeds: Seeds
    preference: NDArray[np.float32]
    stage: SecondStage | None = None


@dataclass(frozen=True, slots=True)
class GraphWalk:
    """A walk over another graph that ends at the passages, and the facts it started from."""

    walk: Walk
    facts: tuple[Triple, ...] = ()


@dataclass(frozen=True, slots=True)
class PhraseWalk:
    """A walk over phrases alone: the phrase that each entity was linked to, int64 [a]."""

    phrases: NDArray[np.int64]


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
        walk: The walk; None where the scores are similarities.
        reread: What a reranker did after all this; None where there was none.
    """

    question: str
    route: Route
    scores: NDArray[np.float32]
    entities: NDArray[np.int64]
    walk: NameWalk | GraphWalk | PhraseWalk | None = None
    reread: Reread | None = None

    @property
    def facts(self) -> tuple[Triple, ...]:
        """The facts it started from, where it did."""
        return self.walk.facts if isinstance(self.walk, GraphWalk) else ()

    def best_rows(self, count: int) -> NDArray[np.int64]:
        """Rows of the `count` best passages, best first.

        Without the passages that share no word with the question, where words alone count, and
        without any where all vectors are at right angles to the question's.
        """
        rows = top_rows(self.scores, count)
        if self.route == "dense" and not self.scores.any():
            return rows[:0]
        return rows[self.scores[rows] > 0] if self.route in ("lexical", "fusion") else rows
