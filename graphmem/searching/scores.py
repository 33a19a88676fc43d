"""Combining rankings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def reciprocal_rank_fusion(
    scores: Sequence[NDArray[np.float32]], constant: float = 60.0
) -> NDArray[np.float32]:
    """Sum over several scorings of 1 / (constant + rank) (Cormack, Clarke & Buettcher 2009).

    Ranks count from 1; equal scores share the best of their ranks, so that the order of rows says
    nothing. Where a scoring has a passage at 0 or below the passage is not in its ranking.

    Args:
        scores: Scorings of the same P passages, float32 [P] each.
        constant: The larger, the less the first ranks stand out.

    Returns:
        float32 [P].

    >>> dense, lexical = np.array([0.9, 0.5, 0.5]), np.array([0.0, 7.0, 0.0])
    >>> reciprocal_rank_fusion([dense, lexical], 1.0).round(3).tolist()
    [0.5, 0.8330000042915344, 0.3330000042915344]
    """
    fused = np.zeros(scores[0].size)
    for scoring in scores:
        below = np.sort(-scoring)
        rank = np.searchsorted(below, -scoring) + 1
        fused += np.where(scoring > 0, 1.0 / (constant + rank), 0.0)
    return fused.astype(np.float32)


def put_first(
    scores: NDArray[np.float32], rows: NDArray[np.int64], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores that rank `rows` by `values`, above all others, which keep their order.

    A row gets the logistic function of its value, or as little less as keeps every score below
    the one ranked before it; equal values keep the order of `rows`. The others are scaled down.

    Args:
        scores: Of all P passages, float32 [P].
        rows: The n best of them, best first, int64 [n].
        values: What to rank these by, finite, float32 [n].

    Returns:
        float32 [P].

    >>> put_first(np.array([4, 3, 2, 1], dtype=np.float32), np.array([0, 1]), np.array([0, 99]))
    array([0.5  , 1.   , 0.25 , 0.125], dtype=float32)
    """
    order = np.argsort(-values, kind="stable")
    # Below -30 the function would leave float32 too little room for what comes after.
    chances = (1 / (1 + np.exp(-np.maximum(values[order], -30.0)))).astype(np.float32)
    # Numbers of one sign stand in the same order as their bits, so that 1 less is the next one.
    bits = chances.view(np.int32) + np.arange(rows.size, dtype=np.int32)
    chances = (np.minimum.accumulate(bits) - np.arange(rows.size, dtype=np.int32)).view(np.float32)
    return above_rest(scores, rows[order], chances)


def above_rest(
    scores: NDArray[np.float32], rows: NDArray[np.int64], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give some passages new scores; the rest keeps its order, with its ties, below them.

    The rest is multiplied by a power of two, which is exact, so that no two scores become one.

    Args:
        scores: Of all P passages, float32 [P].
        rows: Those with new scores, int64 [n].
        values: The new scores, > 0, float32 [n].

    Returns:
        float32 [P].

    >>> above_rest(np.array([4, 3, 2, 1], dtype=np.float32), np.array([1]), np.array([0.5]))
    array([0.25  , 0.5   , 0.125 , 0.0625], dtype=float32)
    """
    rest = np.ones(scores.size, dtype=bool)
    rest[rows] = False
    largest = float(scores[rest].max(initial=0))
    least = float(values.min(initial=1))
    factor = 1.0
    if 0 < least <= 2 * largest:
        factor = 2.0 ** np.floor(np.log2(least / (2 * largest)))
    final: NDArray[np.float32] = scores * np.float32(factor)
    final[rows] = values
    return final
