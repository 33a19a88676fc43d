"""The likeliest walks between nodes of a graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra


def strongest_paths(
    adjacency: csr_array,
    preference: NDArray[np.float32],
    nodes: NDArray[np.int64],
    starts: NDArray[np.int64],
    targets: NDArray[np.int64],
    *,
    damping: float,
) -> list[list[int]]:
    """The likeliest walk from starts[i] to targets[i], as nodes, start first; [] where none is.

    A walk's likelihood is the product over its steps of damping times transition probability; as
    sums of negative logarithms these are shortest paths.

    Args:
        adjacency: Symmetric weights, [n, n].
        preference: How much the walk likes each node, [n].
        nodes: Sorted nodes that a path may pass through, both ends among them, int64 [m].
        starts: int64 [t].
        targets: int64 [t].
        damping: Probability of going on, in (0, 1).
    """
    part = adjacency[nodes][:, nodes].tocoo()
    out = adjacency[nodes] @ preference
    likelihood = damping * part.data * preference[nodes][part.col] / out[part.row]
    likelihood = np.maximum(likelihood, np.finfo(np.float32).tiny)
    costs = csr_array((-np.log(likelihood, dtype=np.float64), (part.row, part.col)), part.shape)
    sources, source_of = np.unique(np.searchsorted(nodes, starts), return_inverse=True)
    _, before = dijkstra(costs, indices=sources, return_predecessors=True)
    paths = []
    for source, target in zip(source_of, np.searchsorted(nodes, targets), strict=True):
        path = [int(target)]
        while path[-1] != sources[source] and path[-1] >= 0:
            path.append(int(before[source, path[-1]]))  # negative: there is no way
        paths.append([int(nodes[n]) for n in reversed(path)] if path[-1] >= 0 else [])
    return paths
