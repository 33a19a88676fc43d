"""Paired bootstrap: how sure a mean is, and a difference of means on the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_BLOCK = 500  # resamples drawn at once: bounds memory at 500 * Q numbers


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile interval of a mean. `p` is two-sided, for a difference from 0; else 1."""

    mean: float
    low: float
    high: float
    p: float = 1.0


def resampled_means(
    values: NDArray[np.float64], seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Means over questions drawn with replacement.

    The draws depend on Q, `seed` and `resamples` only: two systems on the same questions are
    drawn alike, and the difference of their resampled means is the paired bootstrap.

    Args:
        values: float64 [Q, M], a row for each question.
        seed: Of the draws.
        resamples: How many, B.

    Returns:
        float64 [B, M].

    >>> resampled_means(np.ones((7, 2)), seed=0, resamples=3).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    questions = values.shape[0]
    random = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, _BLOCK):
        rows = min(_BLOCK, resamples - start)
        drawn = random.integers(0, questions, size=(rows, questions))
        drawn += np.arange(rows)[:, None] * questions
        counts = np.bincount(drawn.ravel(), minlength=rows * questions)
        means[start : start + rows] = counts.reshape(rows, questions) @ values / questions
    return means


def interval(mean: float, resampled: NDArray[np.float64], level: float = 0.95) -> Interval:
    """The interval that holds `level` of the resampled means, float64 [B].

    The p-value is twice the smaller share of resamples on either side of 0 (counting 0 on both,
    and one resample more, so that it is never 0).
    """
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    below = (np.count_nonzero(resampled <= 0) + 1) / (resampled.size + 1)
    above = (np.count_nonzero(resampled >= 0) + 1) / (resampled.size + 1)
    return Interval(mean, float(low), float(high), min(1.0, 2 * min(below, above)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the same order.

    The chance that any true null hypothesis among them is below a level is at most that level,
    whatever their dependence.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    least = 0.0
    for done, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - done) * p_values[i]))
        corrected[i] = least
    return corrected
