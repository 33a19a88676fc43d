"""Synonymy edges: pairs of phrases whose vectors are near; only new phrases are searched for.

Up to `EXACT` phrases every pair is compared, above that every pair that shares a bucket
(buckets.py). What pairs are compared, and which of them become edges, depends on the set of phrases
alone. So the edges of an earlier set can be taken over: a phrase is searched again only where it is
new, or what it was compared with has changed by more than new phrases. Any history of additions and
removals gives the bytes of a search from nothing.

Plain numpy in place of an index library: those that train cells on the data (inverted files) change
old pairs with every new phrase, and a flat index compares all with all. Figures:
pipelines/benchmarks/synonymy.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from graphmem.base.columns import Strings
from graphmem.graph.fact_graph import Edges
from graphmem.vectors.lsh import (
    GRID,
    TABLES,
    Buckets,
    Grid,
    Keys,
    bucket_keys,
    cut_into_buckets,
    to_grid,
)

THRESHOLD = 0.8
MOST = 100
EXACT = 25_000
SIZE = 1024
RULE = f"2:{THRESHOLD}:{MOST}:{EXACT}:{SIZE}:{TABLES}:{GRID}"
"""Changes with whatever decides the edges; those found by another rule are not taken over."""

_BLOCK = 256
_HELD = 2_000_000  # pairs that are held before those too many for their phrases are dropped
_WORD = regex.compile(r"[\p{L}\p{N}]")

Told = Callable[[int, int], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Synonyms:
    """Phrases, and which of them are near each other.

    Attributes:
        phrases: n, sorted, each once.
        keys: In which buckets each is sought, uint64 [n, TABLES]; [n, 0] where all are compared.
        edges: Between places in `phrases`, source below target, every pair once; weights are
            cosines, float32, exact to about 1e-4.
    """

    phrases: Sequence[str]
    keys: Keys
    edges: Edges


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs, each once: left * n + right with left < right, int64 [m], and their products."""

    keys: Rows
    similarity: NDArray[np.float32]


def eligible_phrases(phrases: Strings) -> NDArray[np.int64]:
    """Rows of the phrases with more than two letters or digits.

    HippoRAG 2 counts A-Z and 0-9; here letters and digits of any script count, and those of
    scripts that write words with one or two (Han, Kana, Hangul) count twice.

    >>> eligible_phrases(["uk", "ada", "東 京", "7 8"]).tolist()
    [1, 2]
    """
    return np.array(
        [row for row in range(len(phrases)) if _length(phrases[row]) > 2], dtype=np.int64
    )


def _length(phrase: str) -> int:
    letters = _WORD.findall(phrase)
    return sum(2 if letter >= "\u1100" else 1 for letter in letters)


def find_synonyms(
    phrases: Sequence[str],
    vectors: NDArray[np.float32],
    rows: Rows,
    known: Synonyms | None = None,
    *,
    threshold: float = THRESHOLD,
    most: int = MOST,
    exact: int = EXACT,
    size: int = SIZE,
    tell: Told | None = None,
) -> Synonyms:
    """Pairs of phrases whose vectors are near.

    Args:
        phrases: n phrases, sorted, each once.
        vectors: Unit vectors, float32 [N, d]; may be mapped from disk.
        rows: Row of each phrase's vector, int64 [n].
        known: What this function found for another set, by the same numbers below and the same
            vectors; it saves time and changes nothing.
        threshold: Least cosine, above 0.
        most: Edges that one phrase can ask for, to its nearest; it may get more from others.
        exact: Up to this many phrases every pair is compared.
        size: Phrases in a bucket at most, where there are more.
        tell: Told how many of the tables of buckets are done, and of how many.

    >>> near = np.array([[1, 0], [0.6, 0.8], [0.96, 0.28]], dtype=np.float32)
    >>> edges = find_synonyms(["ada", "bob", "cid"], near, np.arange(3)).edges
    >>> edges.sources.tolist(), edges.targets.tolist(), [f"{w:.2f}" for w in edges.weights]
    ([0, 1], [2, 2], ['0.96', '0.80'])
    """
    # One thread for products: they are small, and threads that wait for each other on a busy
    # machine took ten times as long.
    with threadpool_limits(1, user_api="blas"):
        return _find(phrases, vectors, rows, known, threshold, most, exact, size, tell)


def _find(
    phrases: Sequence[str],
    vectors: NDArray[np.float32],
    rows: Rows,
    known: Synonyms | None,
    threshold: float,
    most: int,
    exact: int,
    size: int,
    tell: Told | None,
) -> Synonyms:
    count = len(phrases)
    points = _points(vectors, rows)
    place = {phrase: i for i, phrase in enumerate(phrases)}
    old = known or Synonyms((), np.zeros((0, 0), dtype=np.uint64), _NO_EDGES)
    now = np.array([place.get(phrase, -1) for phrase in old.phrases], dtype=np.int64)
    dirty = np.ones(count, dtype=np.bool_)
    dirty[now[now >= 0]] = False
    keys = _keys(phrases, points, old, now, exact)
    columns = keys.T if keys.shape[1] else np.zeros((1, count), dtype=np.uint64)
    tables = [cut_into_buckets(column, exact, size) for column in columns]
    dirty |= _merged(tables, old, now, exact, size)
    pairs = _taken_over(tables, old, now, most, dirty)
    least = np.float32(np.ceil(threshold * GRID * GRID))
    for number, table in enumerate(tables, start=1):
        held, more = [pairs], 0
        for found in _near(points, table, dirty, least):
            held.append(found)
            more += found.keys.size
            if more > _HELD:
                held, more = [_asked_for(_joined(held), count, most)], 0
        pairs = _joined(held)
        if tell:
            tell(number, len(tables))
    pairs = _asked_for(pairs, count, most)
    left, right = np.divmod(pairs.keys, max(count, 1))
    weights = pairs.similarity / np.float32(GRID * GRID)
    return Synonyms(phrases, keys, Edges(left.astype(np.int32), right.astype(np.int32), weights))


def _points(vectors: NDArray[np.float32], rows: Rows) -> Grid:
    points = np.empty((rows.size, vectors.shape[1]), dtype=np.int16)
    for start in range(0, rows.size, 8192):
        points[start : start + 8192] = to_grid(vectors[rows[start : start + 8192]])
    return points


def _keys(phrases: Sequence[str], points: Grid, old: Synonyms, now: Rows, exact: int) -> Keys:
    """The keys of all phrases, those of old ones as they were; none where all are compared."""
    count = len(phrases)
    if count <= exact:
        return np.zeros((count, 0), dtype=np.uint64)
    keys = np.zeros((count, TABLES), dtype=np.uint64)
    new = np.ones(count, dtype=np.bool_)
    if old.keys.shape[1]:
        keys[now[now >= 0]] = old.keys[now >= 0]
        new[now[now >= 0]] = False
    keys[new] = bucket_keys(points[new], [phrases[row] for row in np.flatnonzero(new).tolist()])
    return keys


def _merged(
    tables: Sequence[Buckets], old: Synonyms, now: Rows, exact: int, size: int
) -> NDArray[np.bool_]:
    """Which phrases share a bucket with old ones that they did not share before, bool [n].

    Where phrases have gone, buckets that were cut may be whole again.
    """
    merged = np.zeros(tables[0].depth.size, dtype=np.bool_)
    stay = now >= 0
    if stay.all():
        return merged
    for number, column in enumerate(old.keys.T):
        before = cut_into_buckets(column, exact, size).depth
        table = tables[min(number, len(tables) - 1)]
        merged[now[stay]] |= table.depth[now[stay]] < before[stay]
    return merged


def _taken_over(
    tables: Sequence[Buckets], old: Synonyms, now: Rows, most: int, dirty: NDArray[np.bool_]
) -> _Pairs:
    """Old pairs that would be found again; marks as dirty whose list was full and lost one.

    Args:
        tables: The buckets of now.
        old: What was found before.
        now: Place of every old phrase, -1 for what is gone.
        most: Edges that one phrase can ask for.
        dirty: Which phrases are searched, bool [n]; changed here.
    """
    left, right = old.edges.sources, old.edges.targets
    full = np.bincount(np.concatenate([left, right]), minlength=now.size) >= most
    ends = np.sort(np.stack([now[left], now[right]]), axis=0)
    stays = np.flatnonzero(ends[0] >= 0)
    lost = np.ones(left.size, dtype=np.bool_)
    for table in tables:
        one, other = table.bucket[ends[:, stays]]
        lost[stays[one == other]] = False
    for end in (left[lost], right[lost]):
        again = now[end[full[end]]]
        dirty[again[again >= 0]] = True
    keys = ends[0, ~lost] * dirty.size + ends[1, ~lost]
    similarity = np.round(old.edges.weights[~lost] * np.float64(GRID * GRID)).astype(np.float32)
    return _Pairs(keys, similarity)


def _near(
    points: Grid, table: Buckets, dirty: NDArray[np.bool_], least: np.float32
) -> Iterator[_Pairs]:
    """Pairs of one table with a dirty end that are near enough, a few at a time."""
    count = dirty.size
    sizes = np.diff(table.starts)
    for bucket in np.unique(table.bucket[dirty]):
        if sizes[bucket] == 1:
            continue
        members = np.sort(table.order[table.starts[bucket] : table.starts[bucket + 1]])
        keys = points[members].astype(np.float32)
        searched = np.flatnonzero(dirty[members])
        for start in range(0, searched.size, _BLOCK):
            block = searched[start : start + _BLOCK]
            similarity = keys[block] @ keys.T
            np.minimum(similarity, np.float32(GRID * GRID), out=similarity)
            row, column = np.nonzero(similarity >= least)
            here, there = members[block[row]], members[column]
            # Of two that are both searched, the lower one tells; none is its own neighbour.
            counts = (here < there) | (~dirty[there])
            low, high = np.minimum(here, there)[counts], np.maximum(here, there)[counts]
            yield _Pairs(low * count + high, similarity[row[counts], column[counts]])


def _joined(parts: Sequence[_Pairs]) -> _Pairs:
    keys, first = np.unique(np.concatenate([part.keys for part in parts]), return_index=True)
    return _Pairs(keys, np.concatenate([part.similarity for part in parts])[first])


def _asked_for(pairs: _Pairs, count: int, most: int) -> _Pairs:
    """Those that are among the `most` nearest of one of their ends, ties by place."""
    left, right = np.divmod(pairs.keys, max(count, 1))
    ends, others = np.concatenate([left, right]), np.concatenate([right, left])
    if not ends.size or np.bincount(ends).max() <= most:
        return pairs
    order = np.lexsort((others, -np.concatenate([pairs.similarity] * 2), ends))
    starts = np.searchsorted(ends[order], np.arange(count))
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size) - starts[ends[order]]
    kept = (rank < most).reshape(2, -1).any(axis=0)
    return _Pairs(pairs.keys[kept], pairs.similarity[kept])


_NO_ENDS = np.zeros(0, dtype=np.int32)
_NO_EDGES = Edges(_NO_ENDS, _NO_ENDS, np.zeros(0, dtype=np.float32))
