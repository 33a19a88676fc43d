import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.vectors.lsh import GRID, TABLES, bucket_keys, cut_into_buckets, to_grid


def unit(count, dimensions=48, seed=0):
    points = np.random.default_rng(seed).normal(size=(count, dimensions))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_a_key_depends_on_its_vector_and_name_alone():
    points, names = to_grid(unit(40)), [f"n{i}" for i in range(40)]
    keys = bucket_keys(points, names)
    assert keys.shape == (40, TABLES)
    for row in (0, 7, 39):
        assert (bucket_keys(points[[row]], [names[row]]) == keys[row]).all()
    assert bucket_keys(points[:0], []).shape == (0, TABLES)


def test_keys_stay_the_same_between_versions():
    # Indexes keep keys; a change of them needs another synonymy.RULE.
    point = to_grid(np.eye(4, dtype=np.float32)[:1])
    assert bucket_keys(point, ["ada"])[0, :2].tolist() == KEYS


KEYS = [90072100213533572, 90177550250584964]


def test_near_vectors_share_the_first_code_more_often_than_others():
    left = unit(3000, seed=1)
    noise = unit(3000, seed=2)
    near = 0.85 * left + np.sqrt(1 - 0.85**2) * noise
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    names = [""] * 3000
    codes = [bucket_keys(to_grid(p), names) >> np.uint64(54) for p in (left, near, noise)]
    assert (codes[0] == codes[1]).mean() > 0.3
    assert (codes[0] == codes[2]).mean() < 0.05


def test_products_on_the_grid_are_exact():
    points = unit(200, 384, seed=3)
    exact = to_grid(points).astype(np.int64)
    found = to_grid(points).astype(np.float32) @ to_grid(points).astype(np.float32).T
    assert (found == exact @ exact.T).all()
    assert np.abs(found / GRID**2 - points @ points.T).max() < 1e-3


@pytest.mark.parametrize("most", [0, 10])
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 8))
def test_buckets_hold_everything_once_and_are_small(most, codes, size):
    keys = (np.array(codes, dtype=np.uint64) << np.uint64(57)) | np.arange(
        0, 2 * len(codes), 2, dtype=np.uint64
    ) << np.uint64(1)
    cut = cut_into_buckets(keys, most, size)
    assert sorted(cut.order.tolist()) == list(range(len(codes)))
    assert cut.starts[-1] == len(codes)
    sizes = np.diff(cut.starts)
    for bucket, length in enumerate(sizes):
        members = cut.order[cut.starts[bucket] : cut.starts[bucket + 1]]
        assert (cut.bucket[members] == bucket).all()
        assert len(set(cut.depth[members].tolist())) == 1
        assert length <= size or len(codes) <= most
    if len(codes) <= most:
        assert sizes.size == (1 if codes else 0)


@given(st.lists(st.integers(0, 2**20), min_size=2, max_size=60, unique=True), st.data())
def test_with_more_vectors_buckets_are_only_cut_further(codes, data):
    keys = np.array(codes, dtype=np.uint64) << np.uint64(43)
    some = data.draw(st.integers(1, len(codes)))
    few, all_ = cut_into_buckets(keys[:some], 0, 3), cut_into_buckets(keys, 0, 3)
    assert (all_.depth[:some] >= few.depth).all()
    together = all_.bucket[:some, None] == all_.bucket[None, :some]
    assert (few.bucket[:, None] == few.bucket[None, :])[together].all()
