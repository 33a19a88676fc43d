"""What led to one ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphmem.searching.hipporag import Walk
from graphmem.searching.seeds import Seeds, top_rows
from graphmem.types import Route, Triple


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
        evidence: Their features, float32 [n, len(FEATURES)].
        fact_parts: What facts added to the log-odds of each, float32 [n, len(FACT_FEATURES)].
        next_names: Row of the next name that speaks most for each, -1 where none does, int64 [n].
        phrases: In preset hipporag the phrase that each of `entities` was linked to, int64 [a].
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
    fact_parts: NDArray[np.float32] | None = None
    next_names: NDArray[np.int64] | None = None
    phrases: NDArray[np.int64] | None = None
    reread: Reread | None = None

    def best_rows(self, count: int) -> NDArray[np.int64]:
        """Rows of the `count` best passages, best first.

        Without the passages that share no word with the question, where words alone count, and
        without any where all vectors are at right angles to the question's.
        """
        rows = top_rows(self.scores, count)
        if self.route == "dense" and not self.scores.any():
            return rows[:0]
        return rows[self.scores[rows] > 0] if self.route in ("lexical", "fusion") else rows
