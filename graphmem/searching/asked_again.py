"""Asking again with the next name: what a second search says of the candidates of the first.

"Where was the director of Tombstone born?" names a film. The first passages mention a director, and
his name beside "where was the of born" finds his birthplace. So the words of the question outside
its names are put to each of the heaviest names that the walk has reached. Words and names are
embedded apart, in one batch of short texts, and a query is the sum of two vectors: texts of both
find no more, and take half as long again. No language model is asked, and only the candidates are
looked at: work does not grow with the index. Figures are in pipelines/results/ranking.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graphmem.graph.entity_graph import ContextGraph
from graphmem.graph.pagerank import entity_mass
from graphmem.searching.candidates import Candidates, holds, shared_entities

AGAIN_FEATURES: Final = (
    "asked again",  # best cosine with a next name's query, of those names that it mentions
    "asked again by mass",  # the same plus 0.2, times the share of mass of the name
    "asked again anyhow",  # best cosine with a query, whether it mentions the name or not
    "asked again gap",  # to the best candidate of a query, the smallest
    "asked again gain",  # "asked again" less the cosine with the question
    "next name mass",  # share of mass of the name of "asked again"
    "next name df",  # log of the number of passages that mention it
    "next name place",  # log of the place of the first candidate that mentions it
    "next name subject",  # share of mass of its subject, where that is a next name
    "by way of",  # best cosine of another candidate that mentions the name, plus that of the query
    "words lexical",  # BM25 of the words outside the names, divided by the best candidate's
    "words cosine",  # cosine with these words
)
NAMES: Final = 4
"""Names that are asked with."""
_FIRST: Final = 12  # candidates whose names these are
_COMMON: Final = 0.01  # share of passages that makes a name a hub, which leads everywhere
_NEVER: Final = np.float32(-9)  # below every cosine, and every sum or difference of two
_NO_COSINE: Final = np.float32(-0.2)
_NO_CHAIN: Final = 2 * _NO_COSINE


def next_names(
    graph: ContextGraph,
    df: NDArray[np.int32],
    rows: NDArray[np.int64],
    subjects: NDArray[np.int64],
    question: NDArray[np.int64],
    mass: NDArray[np.float32],
    damping: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The heaviest entities of the first candidates that the question does not name.

    Args:
        graph: The graph that was walked.
        df: Number of passages of every entity, int32 [E].
        rows: n candidates, best first.
        subjects: Row of the entity each is about, -1 where there is none, int64 [n].
        question: Rows of the question's entities, int64 [a].
        mass: Mass of every passage after the walk, float32 [P].
        damping: Of the walk.

    Returns:
        At most NAMES entity rows, int64 [m], and the mass of each, float32 [m]; heaviest first.
    """
    _, shared = shared_entities(graph, rows[:_FIRST])
    about = subjects[:_FIRST]
    names = np.unique(np.concatenate([shared, about[about >= 0]])).astype(np.int64)
    hub = df[names] >= _COMMON * mass.size + 3
    names = names[~hub & ~np.isin(names, question)]
    name_mass = entity_mass(graph, names, mass, damping=damping)
    heaviest = np.argsort(-name_mass, kind="stable")[:NAMES]
    return names[heaviest], name_mass[heaviest]


def queries(words: NDArray[np.float32], names: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is asked again: the question's words outside its names, alone and with each next name.

    Args:
        words: Unit vector of the words, float32 [d].
        names: Unit vectors of the next names, float32 [m, d].

    Returns:
        Unit vectors, float32 [1 + m, d]; one of zeros where a name points away from the words.

    >>> queries(np.array([0, 1.0]), np.array([[1.0, 0], [0, 1]])).round(2).tolist()
    [[0.0, 1.0], [0.71, 0.71], [0.0, 1.0]]
    """
    sums = words + names
    length = np.sqrt(np.vecdot(sums, sums))[:, None]
    return np.vstack([words, np.divide(sums, length, out=sums, where=length > 0)])


def again_evidence(
    graph: ContextGraph,
    df: NDArray[np.int32],
    candidates: Candidates,
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What the second search says of each candidate.

    Args:
        graph: The graph that was walked.
        df: Number of passages of every entity, int32 [E].
        candidates: n candidates, and m next names.
        vectors: The `queries`, float32 [1 + m, d].

    Returns:
        Evidence, float32 [n, len(AGAIN_FEATURES)], and the place in `candidates.names` of the name
        whose query each fits best of those that it mentions, -1 where it mentions none, int64 [n].
    """
    n, count = candidates.rows.size, candidates.names.size
    # Products by einsum, for the reasons given in retriever.py.
    cosine = np.einsum("nd,md->mn", candidates.vectors, vectors)
    words = (
        candidates.words / max(float(candidates.words.max(initial=0)), 1e-9),
        cosine[0],
    )
    if not count:
        none = (_NO_COSINE, 0, _NO_COSINE, -2, -1, 0, -1, 5, 0, _NO_CHAIN)
        columns = [np.full(n, value, dtype=np.float32) for value in none]
        return np.column_stack([*columns, *words]).astype(np.float32), np.full(n, -1)
    again = cosine[1:]
    mentions = holds(graph, candidates.rows, candidates.names).T > 0  # [m, n]
    share = candidates.name_mass / max(float(candidates.name_mass.max()), 1e-30)
    any_name = mentions.any(axis=0)
    fitting = np.where(mentions, again, _NEVER)
    best = fitting.argmax(axis=0)
    asked_again = np.where(any_name, fitting.max(axis=0), _NO_COSINE)
    by_mass = np.where(mentions, (again - _NO_COSINE) * share[:, None], _NEVER).max(axis=0)
    subject = (candidates.names[:, None] == candidates.subjects) * share[:, None]
    columns = [
        asked_again,
        np.where(any_name, by_mass, 0),
        again.max(axis=0),
        (again - again.max(axis=1, keepdims=True)).max(axis=0),
        np.where(any_name, asked_again - candidates.cosine, -1),
        np.where(any_name, share[best], 0),
        np.where(any_name, np.log(df[candidates.names[best]]), -1),
        np.where(any_name, np.log1p(mentions.argmax(axis=1))[best], 5),
        subject.max(axis=0),
        _by_way_of(mentions, again, candidates.cosine),
    ]
    evidence = np.column_stack([*columns, *words]).astype(np.float32)
    return evidence, np.where(any_name, best, -1)


def _by_way_of(
    mentions: NDArray[np.bool_], again: NDArray[np.float32], cosine: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The best chain of two to each candidate: another one that shares a next name, then itself."""
    first = np.where(mentions, cosine, _NEVER)
    if cosine.size < 2:
        return np.full(cosine.size, _NO_CHAIN)
    second_best, best = np.sort(first, axis=1)[:, -2:].T
    other = np.where(first >= best[:, None], second_best[:, None], best[:, None])
    chain = np.where(mentions & (other > _NEVER), other + again, _NEVER).max(axis=0)
    joined: NDArray[np.float32] = np.where(chain > _NEVER, chain, _NO_CHAIN)
    return joined
