"""The walk against oracles: igraph's prpack, networkx, and dense linear algebra."""

import igraph
import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from graphmem.errors import NotConvergedError
from graphmem.graph.entity_graph import context_graph
from graphmem.graph.pagerank import passage_pagerank, personalized_pagerank, seed_contributions

TOLERANCE = 1e-4


def random_context(random, entities, passages, density):
    """Weighted context edges [E, P], entities of several passages first; some passages isolated."""
    weights = np.where(
        random.random((entities, passages)) < density, random.random((entities, passages)) * 8, 0
    )
    weights[:, random.random(passages) < 0.2] = 0
    weights[0, 0] = 1
    weights = weights[weights.any(axis=1)]  # every entity stands somewhere
    weights = weights[np.argsort(np.count_nonzero(weights, axis=1) == 1, kind="stable")]
    return csr_array(weights.astype(np.float32))


def random_walk(seed, entities=30, passages=40, density=0.06):
    """A graph, a restart distribution with few entities and some passages, and a preference."""
    random = np.random.default_rng(seed)
    graph = context_graph(random_context(random, entities, passages, density))
    entities, passages = graph.weights.shape
    restart = np.zeros(entities + passages, dtype=np.float32)
    restart[random.integers(0, entities, 3)] = random.random(3)
    restart[entities + random.integers(0, passages, 8)] += random.random(8).astype(np.float32)
    preference = np.ones(entities + passages, dtype=np.float32)
    preference[entities:] = np.exp(3 * random.uniform(-0.2, 1, passages))
    return graph, (restart / restart.sum()).astype(np.float32), preference


def transitions(adjacency, preference):
    """Weight of the step from i to j, dense."""
    return adjacency.toarray().astype(np.float64) * preference.astype(np.float64)


def prpack(steps, restart, damping):
    source, target = np.nonzero(steps)
    graph = igraph.Graph(
        n=len(steps), edges=list(zip(source.tolist(), target.tolist(), strict=True)), directed=True
    )
    return np.array(
        graph.personalized_pagerank(
            damping=damping,
            reset=restart.tolist(),
            weights=steps[source, target].tolist(),
            directed=True,
            implementation="prpack",
        )
    )


@pytest.mark.parametrize("damping", [0.0, 0.5, 0.75, 0.95])
@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_prpack(seed, damping):
    graph, restart, preference = random_walk(seed)
    adjacency = graph.adjacency()
    expected = prpack(transitions(adjacency, preference), restart, damping)
    mass = personalized_pagerank(
        adjacency, restart, preference, damping=damping, tolerance=TOLERANCE
    )
    assert np.abs(mass - expected).sum() < TOLERANCE
    assert mass.dtype == np.float32 and mass.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("damping", [0.0, 0.5, 0.75, 0.95])
@pytest.mark.parametrize("seed", range(10))
def test_the_walk_on_passages_alone_is_the_same_walk(seed, damping):
    graph, restart, preference = random_walk(seed)
    entities = graph.weights.shape[0]
    seeds = np.flatnonzero(restart[:entities])
    (scores,) = passage_pagerank(
        *(graph, [seeds], [restart[seeds]], restart[entities:, None], preference[entities:, None]),
        damping=damping,
        tolerance=TOLERANCE,
    )
    expected = prpack(transitions(graph.adjacency(), preference), restart, damping)[entities:]
    assert np.abs(scores - expected).sum() < TOLERANCE


@pytest.mark.parametrize("walks", [2, 3, 8, 33])
@pytest.mark.parametrize("seed", range(5))
def test_walks_side_by_side_are_the_same_bit_by_bit(seed, walks):
    graph, *_ = random_walk(seed)
    entities, passages = graph.weights.shape
    rng = np.random.default_rng(seed)
    restart = rng.random((entities + passages, walks)).astype(np.float32) ** 8
    restart[:, 0] = 0
    restart[entities, 0] = 1  # converges otherwise than the others
    restart /= restart.sum(axis=0)
    preference = np.exp(3 * rng.random((passages, walks))).astype(np.float32)

    def walk(which):
        seeds = [np.flatnonzero(restart[:entities, w]) for w in which]
        weights = [restart[rows, w] for rows, w in zip(seeds, which, strict=True)]
        columns = [
            np.ascontiguousarray(part[:, which]) for part in (restart[entities:], preference)
        ]
        return passage_pagerank(graph, seeds, weights, *columns, damping=0.75, tolerance=1e-3)

    together = walk(list(range(walks)))
    order = rng.permutation(walks)
    assert walk(order)[np.argsort(order)].tobytes() == together.tobytes()
    for which in range(walks):
        assert walk([which])[0].tobytes() == together[which].tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_networkx(seed):
    graph, restart, preference = random_walk(seed, entities=12, passages=15, density=0.2)
    steps = transitions(graph.adjacency(), preference)
    expected = networkx.pagerank(
        networkx.from_numpy_array(steps, create_using=networkx.DiGraph),
        alpha=0.7,
        personalization=dict(enumerate(restart.tolist())),
        dangling=dict(enumerate(restart.tolist())),
        tol=1e-12,
        max_iter=1000,
    )
    mass = personalized_pagerank(
        graph.adjacency(), restart, preference, damping=0.7, tolerance=TOLERANCE
    )
    assert np.abs(mass - np.array([expected[i] for i in range(len(steps))])).sum() < TOLERANCE


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.9), st.sampled_from([0.02, 0.1, 0.4, 1.0]))
def test_agrees_with_a_linear_solve(seed, damping, density):
    graph, restart, preference = random_walk(seed, entities=9, passages=12, density=density)
    expected = solve(graph.adjacency(), restart, preference, damping)
    mass = personalized_pagerank(
        graph.adjacency(), restart, preference, damping=damping, tolerance=TOLERANCE
    )
    assert np.abs(mass - expected / expected.sum()).sum() < TOLERANCE
    assert mass.min() > -1e-6


def solve(adjacency, restart, preference, damping):
    """Mass without the factor that makes its sum 1: linear in `restart`."""
    steps = transitions(adjacency, preference)
    out = steps.sum(axis=1, keepdims=True)
    steps = np.divide(steps, out, out=np.zeros_like(steps), where=out > 0)
    return np.linalg.solve(np.eye(len(steps)) - damping * steps.T, restart.astype(np.float64))


@pytest.mark.parametrize("size", [3, 4, 50])
def test_uniform_on_a_cycle(size):
    ring = np.roll(np.eye(size, dtype=np.float32), 1, axis=1)
    restart = np.full(size, 1 / size, dtype=np.float32)
    mass = personalized_pagerank(csr_array(ring + ring.T), restart, damping=0.85)
    assert mass == pytest.approx(restart, abs=1e-6)


def test_without_edges_the_mass_stays_where_it_starts():
    nothing = csr_array((4, 4), dtype=np.float32)
    restart = np.array([0, 0.25, 0.75, 0], dtype=np.float32)
    assert personalized_pagerank(nothing, restart).tolist() == restart.tolist()


def test_two_nodes_by_hand():
    """x0 = r + d x1, x1 = d x0 with r = 1: x0 = 1 / (1 - d^2), x1 = d x0; d = 1/2."""
    pair = csr_array(np.array([[0, 7], [7, 0]], dtype=np.float32))
    mass = personalized_pagerank(pair, np.array([1, 0], dtype=np.float32), damping=0.5)
    assert mass == pytest.approx([2 / 3, 1 / 3], abs=1e-6)


def test_the_pull_draws_by_its_ratio():
    """A hub with two leaves, one pulled three times as much: 1/4 and 3/4 of what leaves it."""
    star = csr_array(np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], dtype=np.float32))
    mass = personalized_pagerank(
        *(star, np.array([1, 0, 0], dtype=np.float32), np.array([1, 1, 3], dtype=np.float32)),
        damping=0.5,
    )
    assert mass[2] == pytest.approx(3 * mass[1], rel=1e-5)


@pytest.mark.parametrize("damping", [0.5, 0.75])
@pytest.mark.parametrize("seed", range(6))
def test_contributions_are_what_would_be_missing_without_a_seed(seed, damping):
    graph, restart, preference = random_walk(seed)
    adjacency = graph.adjacency()
    targets = np.arange(0, restart.size, 7)
    shares = seed_contributions(adjacency, restart, preference, targets, damping=damping)
    whole = solve(adjacency, restart, preference, damping)[targets]
    for source in np.flatnonzero(restart):
        without = restart.copy()
        without[source] = 0
        lost = whole - solve(adjacency, without, preference, damping)[targets]
        expected = np.divide(lost, whole, out=np.zeros_like(lost), where=whole > 1e-9)
        assert shares[source] == pytest.approx(expected, abs=1e-3)
    assert not shares[restart == 0].any()
    assert shares.sum(axis=0) == pytest.approx((whole > 1e-9).astype(float), abs=1e-5)


def path(size, weights):
    """Passages in a row, each two neighbours with an entity in common, and one passage alone."""
    entities = np.repeat(np.arange(size - 1), 2)
    passages = entities + np.tile([0, 1], size - 1)
    return csr_array((weights(entities.size), (entities, passages)), shape=(size - 1, size + 1))


def nasty(name):
    """Graphs on which a walk forgets slowly where it began, or weights differ by much."""
    random = np.random.default_rng(0)
    if name == "path":
        weights = path(600, lambda count: np.ones(count))
    elif name == "path of uneven steps":
        weights = path(300, lambda count: 10 ** random.uniform(-3, 3, count))
    elif name == "star":
        weights = csr_array(random.random((1, 500)) + 0.01)
    elif name == "two stars with a leaf in common":
        weights = np.zeros((2, 401))
        weights[0, :201] = weights[1, 200:] = 1
    elif name == "islands":
        weights = np.kron(np.eye(60), [[1, 0.01, 0]])
    else:  # two clusters and a thread between them
        weights = np.zeros((41, 41))
        weights[:20, :20] = weights[20:40, 20:40] = random.random((20, 20)) < 0.3
        weights[np.arange(40), np.arange(40)] = 1
        weights[40, [0, 20]] = 1e-4
    weights = csr_array(weights).astype(np.float32)
    alone = np.diff(weights.indptr) == 1
    return context_graph(csr_array(weights[np.argsort(alone, kind="stable")]))


NASTY = (
    *("path", "path of uneven steps", "star", "two stars with a leaf in common", "islands"),
    "two clusters",
)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5])
@pytest.mark.parametrize("damping", [0.9, 0.99, 0.999, 0.9999])
@pytest.mark.parametrize("name", NASTY)
def test_the_bound_holds_near_damping_1(name, damping, tolerance):
    graph = nasty(name)
    entities, passages = graph.weights.shape
    restart = np.zeros(entities + passages, dtype=np.float32)
    restart[[0, entities + passages // 2, -1]] = 0.5, 0.375, 0.125
    preference = np.ones_like(restart)
    preference[entities:] = np.exp(np.linspace(0, 3, passages))
    adjacency = graph.adjacency()
    expected = prpack(transitions(adjacency, preference), restart, damping)
    mass = personalized_pagerank(
        adjacency, restart, preference, damping=damping, tolerance=tolerance
    )
    assert np.abs(mass - expected).sum() < tolerance and mass.dtype == np.float32
    seeds = np.array([0])
    (scores,) = passage_pagerank(
        *(graph, [seeds], [restart[seeds]], restart[entities:, None], preference[entities:, None]),
        damping=damping,
        tolerance=tolerance,
    )
    assert np.abs(scores - expected[entities:]).sum() < tolerance and scores.dtype == np.float32


@pytest.mark.parametrize("name", NASTY)
def test_contributions_near_damping_1(name):
    graph = nasty(name)
    adjacency = graph.adjacency()
    restart = np.full(adjacency.shape[0], 1 / adjacency.shape[0], dtype=np.float32)
    preference, target = np.ones_like(restart), adjacency.shape[0] // 2
    targets = np.array([target])
    shares = seed_contributions(adjacency, restart, preference, targets, damping=0.999)[:, 0]
    steps = transitions(adjacency, preference)
    out = steps.sum(axis=1, keepdims=True)
    steps = np.divide(steps, out, out=np.zeros_like(steps), where=out > 0)
    reached = np.linalg.solve(np.eye(len(steps)) - 0.999 * steps, np.eye(len(steps))[target])
    assert shares == pytest.approx(reached / reached.sum(), abs=1e-5)


def test_a_bound_that_cannot_be_kept_is_an_error():
    graph = nasty("path")
    restart = np.full(graph.adjacency().shape[0], 1 / 1200, dtype=np.float32)
    with pytest.raises(NotConvergedError, match=r"0\.99999999999.*use a damping of 0\.99 or less"):
        personalized_pagerank(graph.adjacency(), restart, damping=1 - 1e-12, tolerance=1e-5)
