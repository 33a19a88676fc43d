import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmem.graph.synonymy import Synonyms, eligible_phrases, find_synonyms


def clustered(count, seed=0, dimensions=32):
    """Unit vectors in families of five: cosines of 0.9 and more inside, near 0 between."""
    random = np.random.default_rng(seed)
    families = random.normal(size=(-(-count // 5), dimensions))
    points = np.repeat(families, 5, axis=0)[:count] + 0.2 * random.normal(size=(count, dimensions))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points[random.permutation(count)].astype(np.float32)


def names(count):
    return [f"{i:05}" for i in range(count)]


def search(points, **options):
    return find_synonyms(names(len(points)), points, np.arange(len(points)), **options).edges


def pairs(edges):
    return set(zip(edges.sources.tolist(), edges.targets.tolist(), strict=True))


def brute_force(points, threshold=0.8):
    cosines = points.astype(np.float64) @ points.T.astype(np.float64)
    left, right = np.nonzero(np.triu(cosines >= threshold, 1))
    return set(zip(left.tolist(), right.tolist(), strict=True))


def test_comparing_all_finds_every_pair():
    points = clustered(1200)
    edges = search(points)
    # What is within the rounding of the threshold may fall on either side.
    assert brute_force(points, 0.8005) <= pairs(edges) <= brute_force(points, 0.7995)
    expected = (points[edges.sources].astype(np.float64) * points[edges.targets]).sum(axis=1)
    np.testing.assert_allclose(edges.weights, expected, atol=6e-4)


def test_buckets_find_nearly_every_pair_and_invent_none():
    points = clustered(5000)
    found, truth = pairs(search(points, exact=0, size=64)), pairs(search(points))
    assert found <= truth
    assert len(found) >= 0.95 * len(truth)


def test_edges_are_sorted_once_and_without_loops():
    edges = search(clustered(500))
    keys = list(zip(edges.sources.tolist(), edges.targets.tolist(), strict=True))
    assert keys == sorted(set(keys))
    assert all(source < target for source, target in keys)
    assert edges.sources.dtype == edges.targets.dtype == np.int32
    assert edges.weights.dtype == np.float32


def test_vectors_are_taken_by_row():
    points = clustered(400)
    rows = np.arange(0, 400, 2)
    some = find_synonyms(names(200), points, rows).edges
    assert pairs(some) == pairs(search(points[rows]))


@pytest.mark.parametrize("exact", [0, 10_000])
def test_a_crowd_of_equals_does_not_give_all_pairs(exact):
    # 3,000 phrases that are all alike ("chapter 1", "chapter 2", ...) have 4.5 million pairs.
    points = np.zeros((3000, 8), dtype=np.float32)
    points[:, 0] = 1
    edges = search(points, most=10, exact=exact, size=64)
    assert 3000 <= edges.sources.size <= 3000 * 10
    assert (edges.weights == 1).all()


def test_of_too_many_the_nearest_are_kept():
    angles = np.linspace(0, 0.5, 21)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    edges = search(points, most=2)
    # An end has no neighbour on one side, so it asks for the two on the other.
    assert pairs(edges) == {(i, i + 1) for i in range(20)} | {(0, 2), (18, 20)}


def test_order_of_summation_does_not_matter():
    # On the grid all sums of products are exact, so a permutation of the dimensions, which makes
    # a matrix product add up in another order, leaves every comparison as it is.
    points = clustered(2000, dimensions=64)
    permuted = np.ascontiguousarray(points[:, np.random.default_rng(1).permutation(64)])
    here, there = search(points), search(permuted)
    assert pairs(here) == pairs(there)
    assert here.weights.tolist() == there.weights.tolist()


# Few enough phrases to draw histories of, with small numbers so that every rule comes into play:
# all compared up to 20, buckets cut at 6, crowds of equal vectors, full lists of 3.
SMALL = {"exact": 20, "size": 6, "most": 3}
POOL = np.concatenate(
    [clustered(60, seed=5, dimensions=16), np.repeat(clustered(2, seed=6, dimensions=16), 15, 0)]
)


def searched(members, known):
    rows = np.array(sorted(members), dtype=np.int64)
    phrases = [f"{row:03}" for row in rows.tolist()]
    return find_synonyms(phrases, POOL, rows, known, **SMALL)


def columns(found):
    return [found.phrases, found.keys.tolist(), *(column.tolist() for column in as_tuple(found))]


def as_tuple(found):
    return found.edges.sources, found.edges.targets, found.edges.weights


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sets(st.integers(0, len(POOL) - 1), max_size=40)),
        min_size=1,
        max_size=6,
    )
)
def test_any_history_gives_what_a_search_from_nothing_gives(steps):
    members, known = set(), None
    for adding, some in steps:
        members = members | some if adding else members - some
        known = searched(members, known)
        assert columns(known) == columns(searched(members, None))


def test_only_new_phrases_are_searched(monkeypatch):
    points = clustered(3000, dimensions=64)
    options = {"exact": 0, "size": 64}
    all_ = names(3000)
    before = find_synonyms(all_[:2900], points, np.arange(2900), None, **options)
    hashed = []
    original = find_synonyms.__globals__["bucket_keys"]

    def bucket_keys(points, phrases):
        hashed.extend(phrases)
        return original(points, phrases)

    monkeypatch.setitem(find_synonyms.__globals__, "bucket_keys", bucket_keys)
    after = find_synonyms(all_, points, np.arange(3000), before, **options)
    assert hashed == all_[2900:]
    # An old pair that the first search is told of, and could not have found, stays as it is told:
    # nothing looks at old pairs again.
    told = before.edges.weights.copy()
    told[:] = np.float32(0.9)
    edges = type(before.edges)(before.edges.sources, before.edges.targets, told)
    fooled = find_synonyms(
        all_, points, np.arange(3000), Synonyms(before.phrases, before.keys, edges), **options
    )
    old = fooled.edges.targets < 2900
    assert (fooled.edges.weights[old] == np.float32(0.9)).all()
    assert (after.edges.weights[~old] == fooled.edges.weights[~old]).all()


def test_nothing_and_one():
    for count in (0, 1):
        points = np.ones((count, 1), dtype=np.float32)
        assert search(points).sources.size == 0
        assert search(points, exact=0).sources.size == 0


def test_progress_ends_at_the_whole():
    for exact in (0, 10_000):
        told = []
        search(clustered(1500), exact=exact, tell=lambda *done, told=told: told.append(done))
        assert told[-1][0] == told[-1][1]
        assert told == sorted(told)


@pytest.mark.parametrize(
    ("phrase", "counts"),
    [("uk", False), ("u k", False), ("ada", True), ("1 9 7", True), ("東 京", True), ("도", False)]
    + [("год", True), ("да", False), ("", False)],
)
def test_what_is_long_enough_in_any_script(phrase, counts):
    assert (eligible_phrases([phrase]).size == 1) == counts
