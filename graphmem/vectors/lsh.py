"""Buckets of near vectors: a vector's key depends on it alone, a bucket on what is in it.

Cross-polytope hashing (Andoni et al. 2015, arXiv 1509.02897): a vector is turned by a fixed random
matrix, and the axis that it is then nearest to is its code. Near vectors often share it, others
seldom. The next nearest axes are further codes, and bits of a hash of the vector's name end the
key: a bucket that is too full is cut by the next part of the keys, so that no crowd, not even of
equal vectors, is ever compared with itself as a whole.

All is exact: vectors are rounded to multiples of 1/`GRID`, so that every product below is a sum of
whole numbers that float32 holds, whatever the order of summation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphmem.base.text import content_hash

GRID = 4000
"""Steps from 0 to 1: with unit vectors all sums of products stay below 2^24."""
TABLES = 24
"""Keys of a vector: two near ones are candidates when they share the bucket of one of them."""

_AXES = 384  # at most so many axes, so that a code has 10 bits
_CODES = 3
_CODE_BITS, _NAME_BITS = 10, 3
# How many bits of a key count at each level of cutting; at level 0 all are in one bucket.
_LEVELS = (0, *(_CODE_BITS * n for n in (1, 2, 3)), *range(33, 64, _NAME_BITS))
_BLOCK = 4096

Grid = NDArray[np.int16]
Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Buckets:
    """How one table cuts n vectors into B buckets.

    Attributes:
        order: Vectors by bucket, int64 [n].
        starts: Bucket b is order[starts[b] : starts[b + 1]], int64 [B + 1].
        depth: Level at which each vector's bucket was small enough, uint8 [n].
        bucket: Bucket of each vector, int64 [n].
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    depth: NDArray[np.uint8]
    bucket: NDArray[np.int64]


def to_grid(vectors: NDArray[np.float32]) -> Grid:
    """Unit vectors in steps of 1/GRID, int16."""
    return np.round(vectors * np.float32(GRID)).astype(np.int16)


def bucket_keys(points: Grid, names: Sequence[str]) -> Keys:
    """The keys of vectors: what comes first in them counts first.

    Args:
        points: Vectors on the grid, int16 [n, d].
        names: What tells vectors apart that are alike, n.

    Returns:
        uint64 [n, TABLES].

    >>> near = to_grid(np.array([[1, 0], [0.99, 0.14], [0, 1]], dtype=np.float32))
    >>> same = bucket_keys(near, ["a", "b", "c"]) >> np.uint64(54)
    >>> bool((same[0] == same[1]).any())
    True
    """
    keys = np.zeros((len(points), TABLES), dtype=np.uint64)
    if not len(points):
        return keys
    ends = np.array([int(content_hash("bucket", name)[:9], 16) >> 3 for name in names], np.uint64)
    for table in range(TABLES):
        turn = _matrix(points.shape[1], table)
        for start in range(0, len(points), _BLOCK):
            turned = points[start : start + _BLOCK].astype(np.float32) @ turn
            keys[start : start + _BLOCK, table] = _codes(turned)
    return keys << np.uint64(34) | (ends << np.uint64(1))[:, None]


def _codes(turned: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The nearest axes, one after the other, with their signs."""
    here = np.arange(len(turned))
    length = np.abs(turned)
    codes = np.zeros(len(turned), dtype=np.uint64)
    for _ in range(_CODES):
        axis = length.argmax(axis=1)
        code = 2 * axis + (turned[here, axis] < 0)
        codes = codes << np.uint64(_CODE_BITS) | code.astype(np.uint64)
        length[here, axis] = -1
    return codes


def _matrix(dimensions: int, table: int) -> NDArray[np.float32]:
    """A fixed matrix of nearly normal whole numbers of some 37, [d, min(d, _AXES)].

    Made from a hash function, since random generators change between versions.
    """
    axes = min(dimensions, _AXES)
    seed = f"graphmem buckets {dimensions} {table}".encode()
    data = hashlib.shake_256(seed).digest(dimensions * axes * 4)
    total = np.frombuffer(data, dtype=np.uint8).reshape(dimensions, axes, 4).sum(2, dtype=np.int32)
    matrix: NDArray[np.float32] = ((total - 510) // 4).astype(np.float32)
    return matrix


def cut_into_buckets(keys: NDArray[np.uint64], most: int, size: int) -> Buckets:
    """Cut vectors into buckets by one key each: as many bits count as each bucket needs.

    The result depends on the set of keys alone; with more vectors a bucket is cut further, and the
    others stay.

    Args:
        keys: One column of `bucket_keys`, uint64 [n].
        most: So many are not cut at all.
        size: Other buckets have at most so many, but for vectors with the very same key.

    >>> cut = cut_into_buckets(np.array([1 << 60, 2 << 60, 1 << 60], dtype=np.uint64), 0, 2)
    >>> cut.order.tolist(), cut.starts.tolist()
    ([0, 2, 1], [0, 2, 3])
    """
    count = keys.size
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    depth = np.zeros(count, dtype=np.uint8)
    prefix = np.zeros(count, dtype=np.uint64)
    whole = np.full(count, count > most)
    for level, bits in enumerate(_LEVELS[1:], start=1):
        if not whole.any():
            break
        cut = ordered >> np.uint64(64 - bits)
        first = np.flatnonzero(np.concatenate([[True], cut[1:] != cut[:-1]]))
        counts = np.diff(np.append(first, count))
        last = level == len(_LEVELS) - 1
        small = whole & np.repeat((counts <= size) | last, counts)
        depth[small], prefix[small] = level, cut[small]
        whole &= ~small
    new = (prefix[1:] != prefix[:-1]) | (depth[1:] != depth[:-1])
    starts = np.flatnonzero(np.concatenate([[True], new])) if count else np.zeros(0, dtype=np.int64)
    bucket = np.empty(count, dtype=np.int64)
    bucket[order] = np.repeat(np.arange(starts.size), np.diff(np.append(starts, count)))
    by_vector = np.empty(count, dtype=np.uint8)
    by_vector[order] = depth
    return Buckets(order, np.append(starts, count), by_vector, bucket)
