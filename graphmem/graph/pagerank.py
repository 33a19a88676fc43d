"""Personalized PageRank with a preference for some nodes, by conjugate gradients.

The walk goes on with probability d (damping), from node i to j with probability
P[i, j] = A[i, j] g[j] / D[i] where D = A g and g is the preference; else it restarts with
distribution r. Its mass x solves (I - d P^T) x = r up to a factor. A is symmetric, so that the walk
is reversible: with C = sqrt(g / D) and x = sqrt(g D) z the system becomes (I - d C A C) z =
r / sqrt(g D), symmetric and positive definite with condition number at most (1 + d) / (1 - d).
Conjugate gradients (Hestenes & Stiefel 1952) need a third of the steps of power iteration, and
the residual bounds the error: the columns of (I - d P^T)^-1 sum to at most 1 / (1 - d).
Rounding is worth as many digits as the condition number has: where float32 would not keep the
bound asked for, the same is computed in float64, and where that would not, it is an error.

Vectors are columns of arrays [n, q], so that q walks share the reading of the graph. A column's
result does not depend on the others, bit by bit: all operations are elementwise, sums included
(`_column_sums`), and a column that has converged stands still.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphmem.errors import NotConvergedError
from graphmem.graph.entity_graph import ContextGraph, entries_of_rows

Vector = NDArray[np.floating[Any]]  # float32, but where a small part of a vector counts
_EXACT = 1e-12
_ROUNDING = 16
"""Rounding errors of a solution, in units of the type's precision times the condition number."""
Step = Callable[[Vector], Vector]


def personalized_pagerank(
    adjacency: csr_array,
    restart: Vector,
    preference: Vector | None = None,
    *,
    damping: float = 0.5,
    tolerance: float = 1e-4,
) -> Vector:
    """Mass of the walk on every node of any graph.

    From a node without edges the walk restarts.

    Args:
        adjacency: Symmetric weights >= 0, [n, n].
        restart: Restart distribution, >= 0, [n], sums to 1.
        preference: How much the walk likes each node, > 0, [n]; None is 1 everywhere.
        damping: Probability of going on, in [0, 1).
        tolerance: Bound on the L1 error, from 1e-6, the rounding of the result.

    Returns:
        float32 [n], sums to 1.

    Raises:
        NotConvergedError: The damping is too near 1 for this tolerance.

    >>> ring = csr_array(np.roll(np.eye(4, dtype=np.float32), 1, axis=1))
    >>> personalized_pagerank(ring + ring.T, np.full(4, 0.25, dtype=np.float32)).round(4).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    preferences = (np.ones_like(restart) if preference is None else preference)[:, None]
    if not _in_single(damping, tolerance):
        adjacency, restart, preferences = (
            v.astype(np.float64) for v in (adjacency, restart, preferences)
        )
    step, root = _symmetric(adjacency, preferences, damping)
    going = restart[np.diff(adjacency.indptr) > 0].sum(keepdims=True)
    solution = _conjugate_gradients(
        step, restart[:, None] / root, root, _residual_bound(tolerance, going, damping), damping
    )
    mass = (root * solution)[:, 0]
    normalised: Vector = (mass / mass.sum()).astype(np.float32, copy=False)
    return normalised


def passage_pagerank(
    graph: ContextGraph,
    entities: Sequence[NDArray[np.int64]],
    entity_restart: Sequence[Vector],
    passage_restart: Vector,
    preference: Vector,
    *,
    damping: float = 0.5,
    tolerance: float = 1e-4,
) -> Vector:
    """Mass of q walks on the passages of a graph with context edges only.

    Every step of such a walk goes from an entity to a passage or back. Without the entities, the
    steps from passage to passage make a system of P unknowns, with d^2 in place of d: fewer and
    cheaper iterations. An entity of one passage only leads back to it; all these are one number
    for each passage, by which its row of the system is divided (Jacobi's preconditioner).

    Args:
        graph: E entities and P passages.
        entities: For each walk the distinct entities where it restarts, int64 [a].
        entity_restart: For each walk the restart weight of each, float32 [a].
        passage_restart: Restart weight of every passage, float32 [P, q]; with those of its
            entities a column sums to 1.
        preference: How much each walk likes each passage, > 0, float32 [P, q].
        damping: Probability of going on, in [0, 1).
        tolerance: Bound on the L1 error, from 1e-6, the rounding of the result.

    Returns:
        float32 [q, P]: the same as the passages' part of `personalized_pagerank` on all nodes.

    Raises:
        NotConvergedError: The damping is too near 1 for this tolerance.
    """
    if not _in_single(damping, tolerance):
        return _on_all_nodes(
            graph, entities, entity_restart, passage_restart, preference, damping, tolerance
        )
    start = passage_restart.copy()
    for walk, (seeds, restart) in enumerate(zip(entities, entity_restart, strict=True)):
        for entity, weight in zip(seeds, restart, strict=True):
            passages, weights = graph.passages_of(int(entity))
            towards = weights * preference[passages, walk]
            start[passages, walk] += np.float32(damping) * weight * towards / towards.sum()
    edges, far = graph.shared, np.float32(damping**2)
    linked = graph.degrees > 0
    # All but what goes to entities of this passage alone, and back.
    leaving = np.float32(1) - far * graph.own_share
    degrees = np.where(linked, graph.degrees, np.float32(1)) * leaving
    degrees, liked, start = (
        values.take(edges.passages, axis=0) for values in (degrees[:, None], preference, start)
    )
    root: Vector = np.sqrt(liked * degrees)
    scale, out = liked / root, far / (edges.to_entities @ liked)

    def step(z: Vector) -> Vector:
        image: Vector = edges.to_passages @ (out * (edges.to_entities @ (scale * z)))
        image *= scale
        return image

    given = np.array([restart.sum() for restart in entity_restart], dtype=np.float32)
    going = given + _column_sums(np.where(linked[:, None], passage_restart, 0))
    bound = _residual_bound(tolerance, going, damping) * np.float32(1 + damping)
    solution = _conjugate_gradients(step, start / root, root, bound, damping)
    mass = (root * solution).take(edges.places, axis=0) / leaving[:, None]
    handed = _column_sums(np.where(linked[:, None], mass, 0))
    everywhere = _column_sums(mass) + given + np.float32(damping) * handed
    normalised: Vector = np.ascontiguousarray((mass / everywhere).T)
    return normalised


def _on_all_nodes(
    graph: ContextGraph,
    entities: Sequence[NDArray[np.int64]],
    entity_restart: Sequence[Vector],
    passage_restart: Vector,
    preference: Vector,
    damping: float,
    tolerance: float,
) -> Vector:
    """What `passage_pagerank` promises, walk by walk; its shared columns are float32 alone."""
    adjacency = graph.adjacency()
    count, walks = passage_restart.shape
    mass = np.empty((walks, count), dtype=np.float32)
    for walk, (seeds, weights) in enumerate(zip(entities, entity_restart, strict=True)):
        restart = np.zeros(adjacency.shape[0], dtype=np.float32)
        restart[seeds] = weights
        restart[-count:] = passage_restart[:, walk]
        preferences = np.ones_like(restart)
        preferences[-count:] = preference[:, walk]
        everywhere = personalized_pagerank(
            adjacency, restart, preferences, damping=damping, tolerance=tolerance
        )
        mass[walk] = everywhere[-count:]
    return mass


def entity_mass(
    graph: ContextGraph, entities: NDArray[np.int64], passage_mass: Vector, *, damping: float
) -> Vector:
    """Mass that a walk leaves on some entities, from its mass on the passages.

    What an entity holds comes from its passages, but for what restarts there, which is left out:
    it says what the question names, not what the walk found.

    Args:
        graph: The graph that was walked.
        entities: int64 [a].
        passage_mass: Result of `passage_pagerank`, float32 [P].
        damping: As in the walk.

    Returns:
        float32 [a].
    """
    weights = graph.weights
    counts, edges = entries_of_rows(weights.indptr, entities)
    starts = np.cumsum(counts) - counts
    passages = weights.indices[edges]
    handed = weights.data[edges] * (passage_mass[passages] / graph.degrees[passages])
    mass: Vector = np.float32(damping) * np.add.reduceat(handed, starts) if starts.size else handed
    return mass


def seed_contributions(
    adjacency: csr_array,
    restart: Vector,
    preference: Vector,
    targets: NDArray[np.int64],
    *,
    damping: float,
) -> Vector:
    """How much of each target's mass started at each node.

    Mass is linear in the restart distribution: that of target t is the sum over s of restart[s]
    h[s], where h = (I - d P)^-1 e_t (Jeh & Widom 2003, section 2). With the symmetric system,
    h = z / sqrt(g D) for z that solves it for e_t sqrt(g D). Solved in float64: what reaches a
    weak target from far away is a small part of z.

    Args:
        adjacency: As for `personalized_pagerank`.
        restart: Restart distribution, [n].
        preference: How much the walk likes each node, [n].
        targets: Nodes, int64 [t].
        damping: Probability of going on, in [0, 1).

    Returns:
        Shares, float32 [n, t]; every column sums to 1, or is 0 where no seed reaches the target.

    Raises:
        NotConvergedError: The damping is too near 1.
    """
    exact = adjacency.astype(np.float64), preference.astype(np.float64)[:, None]
    step, root = _symmetric(*exact, damping)
    shares = np.zeros((restart.size, targets.size), dtype=np.float32)
    for i, target in enumerate(targets):
        start = np.zeros_like(root)
        start[target] = 1
        bound = np.array([_EXACT])
        reached = _conjugate_gradients(step, start, np.ones_like(root), bound, damping)
        share = restart * np.maximum(reached / root, 0)[:, 0]
        shares[:, i] = share / share.sum() if share.any() else 0
    return shares


def _in_single(damping: float, tolerance: float) -> bool:
    """Whether float32 keeps the bound; else float64 does.

    Raises:
        NotConvergedError: Neither does.

    >>> _in_single(0.75, 1e-2), _in_single(0.9999, 1e-2)
    (True, False)
    """
    single, double = (
        float(_ROUNDING * np.finfo(kind).eps * (1 + damping) / (1 - damping))
        for kind in (np.float32, np.float64)
    )
    if double > tolerance:
        raise NotConvergedError(
            f"a damping of {damping} is too near 1 for a tolerance of {tolerance}: at most "
            f"{double:.1g} can be had; use a damping of 0.99 or less, or a larger tolerance"
        )
    return single <= tolerance


def _residual_bound(tolerance: float, going: Vector, damping: float) -> Vector:
    """Residual within which the L1 error is within tolerance after scaling the mass to sum 1.

    The mass sums to T = (1 - g) + g / (1 - d), where the share g of the restart is at nodes with
    edges, [q]. A residual e moves it by e / (1 - d) at most, and its sum by as much again.
    """
    kind = going.dtype.type
    bound: Vector = kind(tolerance / 2) * (going + (1 - going) * kind(1 - damping))
    return bound


def _symmetric(adjacency: csr_array, preference: Vector, damping: float) -> tuple[Step, Vector]:
    """The product with d C A C, and sqrt(g D), which is 1 at nodes without edges; [n, q]."""
    out: Vector = adjacency @ preference
    linked = out > 0
    scale = np.sqrt(np.divide(preference, out, out=np.zeros_like(out), where=linked))
    root: Vector = np.sqrt(np.where(linked, preference * out, np.float32(1)))
    far = root.dtype.type(damping)  # rounded to float32, it would be another walk

    def step(z: Vector) -> Vector:
        image: Vector = far * (scale * (adjacency @ (scale * z)))
        return image

    return step, root


def _conjugate_gradients(
    step: Step, right: Vector, weight: Vector, bound: Vector, damping: float
) -> Vector:
    """Solve z - step(z) = right until the residuals' L1 norms, weighted, are within bounds.

    Args:
        step: A symmetric product, [n, q] -> [n, q].
        right: q right-hand sides, [n, q].
        weight: Weights of the norm, [n, q].
        bound: For each column, [q].
        damping: Of the walk; says how many steps are enough.

    Returns:
        [n, q].

    Raises:
        NotConvergedError: The bounds were not reached.
    """
    solution = np.zeros_like(right)
    residual = right.copy()
    direction = residual.copy()
    square = _column_sums(residual * residual)
    # The error falls by e^2 in as many steps as the root of the condition number.
    most = 200 + 40 * math.ceil(math.sqrt((1 + damping) / (1 - damping)))
    for _ in range(most):
        going = _column_sums(weight * np.abs(residual)) > bound
        if not going.any():
            return solution
        image = direction - step(direction)
        curvature = _column_sums(direction * image)
        length = np.divide(square, curvature, out=np.zeros_like(square), where=going)
        solution += length * direction
        image *= length
        residual -= image
        following = _column_sums(residual * residual)
        direction *= np.divide(following, square, out=np.zeros_like(square), where=going)
        direction += residual
        square = following
    raise NotConvergedError(
        f"the walk did not converge in {most} steps with damping {damping}; use a smaller damping"
    )


def _column_sums(values: Vector) -> Vector:
    """Sum of every column, [n, q] -> [q]; its rounding depends on the column alone.

    Neither BLAS nor numpy's own sums down columns promise that: they add in an order that depends
    on the number of columns or of threads. Halves are folded onto each other as long as that is
    cheap, and the rest is summed as rows.
    """
    while len(values) > 128:
        half = len(values) // 2
        folded = values[:half] + values[half : 2 * half]
        if len(values) % 2:
            folded[0] += values[-1]
        values = folded
    sums: Vector = np.add.reduce(np.ascontiguousarray(values.T), axis=1)
    return sums
