"""What facts tell the second stage: who states what the question asks, and where facts lead.

Only the facts that the candidates state are looked at: work grows with candidates, not with the
index. Weight and constants were chosen on musique_train100 with GPT-3.5's triples; figures, and
those of other sets with triples by rules, are in pipelines/results/ranking.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from graphmem.graph.pagerank import personalized_pagerank
from graphmem.searching.hipporag import FactSearcher

FACT_FEATURES: Final = (
    "states what is asked",  # cosine of its best fact with the words outside the names
    "facts lead here",  # log of the mass that crosses its best fact, from the question's names
)
_SHARPNESS: Final = np.float32(10)
_LEAST_MASS: Final = np.float32(1e-4)  # what is below it says nothing


def fact_evidence(
    facts: FactSearcher,
    rows: NDArray[np.int64],
    phrases: NDArray[np.int64],
    weights: NDArray[np.float32],
    asked: NDArray[np.float32],
    damping: float,
) -> NDArray[np.float32]:
    """Two features of each candidate, in standard deviations from the mean over the candidates.

    A walk over the phrases of the candidates' facts restarts at the question's names. A fact is an
    edge of weight exp(10 cos), cos its similarity to what is asked; what crosses it in a step
    counts.

    Args:
        facts: The facts of the index.
        rows: n candidates.
        phrases: Rows of the phrases that the question names, int64 [a].
        weights: Their seed weights, float32 [a].
        asked: Unit vector of the question's words outside its names, float32 [d].
        damping: Probability of going on at every step of the walk, in [0, 1).

    Returns:
        float32 [n, len(FACT_FEATURES)]; 0 where all candidates are alike.
    """
    stated = facts.statements[rows]
    if not stated.nnz:
        return np.zeros((rows.size, len(FACT_FEATURES)), dtype=np.float32)
    candidate = np.repeat(np.arange(rows.size), np.diff(stated.indptr))
    distinct, fact = np.unique(stated.indices, return_inverse=True)
    similarity = facts.fact_cosines(distinct, asked)
    crossing = _crossing_mass(facts, distinct, similarity, phrases, weights, damping)
    columns = []
    for values in (similarity, np.log(np.maximum(crossing, _LEAST_MASS))):
        best = np.full(rows.size, values.min(), dtype=np.float32)
        np.maximum.at(best, candidate, values[fact])
        columns.append(_standardised(best))
    return np.stack(columns, axis=1)


def _crossing_mass(
    facts: FactSearcher,
    rows: NDArray[np.int32],
    similarity: NDArray[np.float32],
    phrases: NDArray[np.int64],
    weights: NDArray[np.float32],
    damping: float,
) -> NDArray[np.float32]:
    """Mass that crosses each of these facts in one step of the walk, both ways, float32 [f]."""
    nodes = np.unique(np.concatenate([facts.table.subjects[rows], facts.table.objects[rows]]))
    subjects = np.searchsorted(nodes, facts.table.subjects[rows])
    objects = np.searchsorted(nodes, facts.table.objects[rows])
    place = np.minimum(np.searchsorted(nodes, phrases), nodes.size - 1)
    here = nodes[place] == phrases
    restart = np.bincount(place[here], weights[here], minlength=nodes.size).astype(np.float32)
    if not restart.any():
        return np.zeros(rows.size, dtype=np.float32)
    edge = np.exp(_SHARPNESS * similarity)
    ends = np.concatenate([subjects, objects]), np.concatenate([objects, subjects])
    shape = (nodes.size, nodes.size)
    adjacency = coo_array((np.concatenate([edge, edge]), ends), shape=shape).tocsr()
    mass = personalized_pagerank(
        adjacency,
        restart / restart.sum(),
        np.ones_like(restart),
        damping=damping,
        tolerance=float(_LEAST_MASS),
    )
    a_weight = mass / adjacency.sum(axis=1)  # every node ends a fact: none is 0
    crossing: NDArray[np.float32] = edge * (a_weight[subjects] + a_weight[objects])
    return crossing


def _standardised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    spread = values.std()
    if spread == 0:
        return np.zeros_like(values)
    standard: NDArray[np.float32] = (values - values.mean()) / spread
    return standard
