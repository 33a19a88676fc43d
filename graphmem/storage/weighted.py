"""A snapshot in which a source that says far more than others weighs less: against floods.

Passages that one source adds to be found would outvote the others: each is a seed, a way of the
walk and a hit, and each makes the names in it less rare. Where a source has more passages than is
fair, each of them weighs less here, and counts as so much where passages are counted.
"""

from __future__ import annotations

from copy import copy
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graphmem.graph.entity_graph import context_graph, context_weights, weighted_df
from graphmem.storage.snapshot import Snapshot

_POWER: Final = 4
"""A copy of a question leads by far where the walk begins: a smaller power leaves it among hits."""
_LEAST: Final = 1e-6
_SHARED: Final = ("vectors", "labels", "subjects", "dictionary", "edges", "facts", "sparse")


def weigh_sources(whole: Snapshot, size: int) -> Snapshot:
    """The same rows, the passages of large sources weighed by `source_weights`.

    What it counts anew is `df`, `graph` and `prior`; all else is shared with the whole.
    """
    for column in _SHARED:  # read before they are shared, so that none is read twice
        getattr(whole, column)
    prior = source_weights(whole.sources, size)
    found = copy(whole)
    found.__dict__.pop("adjacency", None)
    found.prior = prior
    found.df = weighted_df(whole.edges, whole.entities, prior)
    found.graph = context_graph(
        context_weights(whole.edges, whole.entities, whole.passages, prior=prior)
    )
    return found


def source_weights(sources: NDArray[np.int32], size: int) -> NDArray[np.float32]:
    """(f / n)^4 for each passage of a source of n > f passages, 1 for the others, float32 [P].

    f is `size` times the median of the sources' numbers of passages: one source more, of any
    number, hardly moves it, and sources that are all large are fair to each other.

    Args:
        sources: Number of the source of every passage, all from 0 on, int [P].
        size: At least 1.

    >>> source_weights(np.array([0, 1, 2, 2, 2, 2]), 2).tolist()
    [1.0, 1.0, 0.0625, 0.0625, 0.0625, 0.0625]
    """
    counts = np.bincount(sources)
    fair = size * float(np.median(counts))
    weights = np.clip((fair / counts) ** _POWER, _LEAST, 1).astype(np.float32)
    weight: NDArray[np.float32] = weights[sources]
    return weight


def weighed(scores: NDArray[np.float32], prior: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Scores times what their passages weigh, [P]; those below 0 stay. None weighs nothing.

    >>> weighed(np.array([2, -2], dtype=np.float32), np.array([0.5, 0.5], dtype=np.float32))
    array([ 1., -2.], dtype=float32)
    """
    return scores if prior is None else np.where(scores > 0, scores * prior, scores)
