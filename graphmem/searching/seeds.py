"""Where the walk restarts: the entities that a question names, and the passages it resembles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphmem.config import RetrievalConfig


@dataclass(frozen=True, slots=True)
class Seeds:
    """The restart distribution, sparse: all weights together sum to 1.

    Attributes:
        entities: Entity rows, int64 [a].
        entity_weights: float32 [a].
        passages: Passage rows, int64 [b].
        passage_weights: float32 [b].
    """

    entities: NDArray[np.int64]
    entity_weights: NDArray[np.float32]
    passages: NDArray[np.int64]
    passage_weights: NDArray[np.float32]

    def restart_vector(self, entities: int, passages: int) -> NDArray[np.float32]:
        """The restart distribution over all nodes, float32 [entities + passages]."""
        restart = np.zeros(entities + passages, dtype=np.float32)
        restart[self.entities] = self.entity_weights
        restart[self.passages + entities] = self.passage_weights
        return restart


def choose_seeds(
    entities: NDArray[np.int64],
    df: NDArray[np.int32],
    cosine: NDArray[np.float32],
    lexical: NDArray[np.float32],
    config: RetrievalConfig,
    prior: NDArray[np.float32] | None = None,
) -> Seeds:
    """Weigh the entities of a question and the passages it resembles.

    Args:
        entities: Rows of the distinct entities that the question names, int64 [a].
        df: Number of passages of each entity, >= 1, int32 [E].
        cosine: Similarity of every passage to the question, float32 [P], P >= 1.
        lexical: BM25 of every passage, >= 0, float32 [P].
        config: Shares and powers.
        prior: Weight of every passage before anything is asked, > 0, float32 [P]; None is 1.
    """
    share = 0.0
    entity_weights = np.zeros(0, dtype=np.float32)
    if entities.size:
        specificity = 1.0 / df[entities].astype(np.float64)
        best = float(specificity.max())
        share = config.entity_share * best / (best + config.specificity_half)
        powered = specificity**config.entity_power
        entity_weights = (share * powered / powered.sum()).astype(np.float32)
    passage_part = np.zeros_like(cosine)
    lexical_share = config.lexical_share if lexical.max() > 0 else 0.0
    for scores, part, power in (
        (cosine, 1 - lexical_share, config.dense_power),
        (lexical, lexical_share, config.lexical_power),
    ):
        if part > 0:
            rows = top_rows(scores, config.passage_seeds)
            sharpened = min_max(scores, rows) ** np.float32(power)
            if prior is not None:
                sharpened *= prior[rows]
            passage_part[rows] += np.float32(part) * sharpened / sharpened.sum()
    rows = np.flatnonzero(passage_part)
    return Seeds(entities, entity_weights, rows, np.float32(1 - share) * passage_part[rows])


def top_rows(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Rows of the `count` best scores, best first, ties by row.

    >>> top_rows(np.array([1, 3, 2, 3], dtype=np.float32), 3).tolist()
    [1, 3, 2]
    """
    count = min(count, scores.size)
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    # Everything that ties with the last place is kept until the ties are broken.
    bar = np.partition(scores, scores.size - count)[scores.size - count]
    rows = np.flatnonzero(scores >= bar)
    order = np.argsort(-scores[rows], kind="stable")
    return rows[order[:count]]


def min_max(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Scores of `rows` on the scale where the least and greatest of all are 0 and 1.

    Where all scores are equal, all are 1.

    >>> min_max(np.array([2, 4, 3], dtype=np.float32), np.array([1, 2])).tolist()
    [1.0, 0.5]
    """
    low, high = scores.min(), scores.max()
    if high <= low:
        return np.ones(rows.size, dtype=np.float32)
    scaled: NDArray[np.float32] = (scores[rows] - low) / (high - low)
    return scaled
