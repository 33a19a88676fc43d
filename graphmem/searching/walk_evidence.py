"""What the walk and the words tell the second stage of every candidate.

What tells the passages apart is mostly the mass of the entity that a passage is about, and who
mentions it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graphmem.graph.entity_graph import ContextGraph
from graphmem.searching.candidates import Candidates, holds, shared_entities

WALK_FEATURES: Final = (
    "walk",  # log of the mass, divided by the largest
    "walk rank",
    "cosine",
    "cosine gap",  # to the best candidate
    "cosine rank",
    "lexical",  # BM25 divided by the best candidate's
    "lexical rank",
    "question entities",  # of the question, how many are in the passage
    "question entity weight",  # sum of their 1/df
    "question cover",  # the same as a share of all the question's entities
    "names question",  # the subject is an entity of the question
    "mentioned",  # mentions of the subject by the first ten, weighted by 1/rank
    "mentioned by cosine",  # the best cosine of a candidate that mentions the subject
    "mentioned by walk",  # the best log mass of one
    "mentioned by first two",
    "mentions cosine",  # the best cosine of a candidate whose subject this one mentions
    "shared with first five",  # idf of entities shared with the first five, a mention
    "bridge",  # largest idf of an entity shared with a better one, not in the question
    "subject",  # log of the mass of the subject entity, divided by the largest
    "subject rank",
    "subject df",  # log of the number of passages that mention the subject
    "has subject",
    "neighbours",  # mean cosine to the other candidates
    "specificity",  # largest 1/df of the question's entities
    "entities of question",
    "entities of passage",
    "own share",  # share of edge weight that goes to entities of this passage alone
)
_FIRST: Final = np.float32(-16)  # log of what has no mass


def walk_evidence(
    graph: ContextGraph,
    df: NDArray[np.int32],
    candidates: Candidates,
    mentions: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Evidence for each candidate, float32 [n, len(WALK_FEATURES)].

    Args:
        graph: The graph that was walked.
        df: Number of passages of every entity, int32 [E].
        candidates: n passages.
        mentions: Their `subject_mentions`, float32 [n, n].
    """
    n = candidates.rows.size
    question_weight = (1 / df[candidates.question]).astype(np.float32)
    held = holds(graph, candidates.rows, candidates.question)
    # Products by einsum, for the reasons given in retriever.py.
    weight_here = np.einsum("na,a->n", held, question_weight)
    log_mass = _log_share(candidates.mass)
    log_subject = _log_share(candidates.subject_mass)
    log_subject[candidates.subjects < 0] = _FIRST
    place, entity = shared_entities(graph, candidates.rows)
    idf = np.log1p(graph.weights.shape[1] / df[entity]).astype(np.float32)
    by_rank = 1 / (1 + np.arange(n, dtype=np.float32))
    by_rank[10:] = 0
    similarity = np.einsum("nd,d->n", candidates.vectors, candidates.vectors.sum(axis=0))
    lexical_best = max(float(candidates.lexical.max(initial=0)), 1e-9)
    subject_df = np.where(candidates.subjects >= 0, df[np.maximum(candidates.subjects, 0)], 1)
    counts = np.maximum(graph.entity_counts[candidates.rows], 1).astype(np.float32)
    shared, bridges = _shared(place, entity, idf, candidates.question, n)
    columns = (
        log_mass,
        np.log1p(np.arange(n)),
        candidates.cosine,
        candidates.cosine - candidates.cosine.max(initial=-1),
        np.log1p(_ranks(candidates.cosine)),
        candidates.lexical / lexical_best,
        np.log1p(_ranks(candidates.lexical)),
        held.sum(axis=1),
        weight_here,
        weight_here / max(float(question_weight.sum()), 1e-9),
        np.isin(candidates.subjects, candidates.question),
        np.einsum("n,nm->m", by_rank, mentions),
        _best(mentions, candidates.cosine[:, None], -0.2, axis=0),
        _best(mentions, log_mass[:, None], float(_FIRST), axis=0),
        mentions[:2].max(axis=0, initial=0),
        _best(mentions, candidates.cosine[None, :], -0.2, axis=1),
        shared / counts,
        bridges,
        log_subject,
        np.log1p(_ranks(log_subject)),
        np.log(subject_df),
        candidates.subjects >= 0,
        (similarity - 1) / max(n - 1, 1),
        np.full(n, question_weight.max(initial=0)),
        np.full(n, candidates.question.size),
        counts,
        graph.own_share[candidates.rows],
    )
    return np.column_stack(columns).astype(np.float32)


def subject_mentions(
    graph: ContextGraph, candidates: Candidates, listed: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Whether candidate a mentions the subject of another candidate b, 0 or 1, float32 [n, n].

    Args:
        graph: The graph that was walked.
        candidates: n passages.
        listed: Those that are `lists` of names; what these mention does not count, bool [n].
    """
    subjects = candidates.subjects
    place, entity = shared_entities(graph, candidates.rows)
    told = ~listed[place]
    mentions = np.zeros((subjects.size, subjects.size), dtype=np.float32)
    pair, subject = np.nonzero(entity[told][:, None] == subjects[None, :])
    mentions[place[told][pair], subject] = 1
    mentions[subjects[:, None] == subjects[None, :]] = 0
    return mentions


def _log_share(mass: NDArray[np.float32]) -> NDArray[np.float32]:
    best = float(mass.max(initial=0))
    if best <= 0:
        return np.full(mass.shape, _FIRST)
    share: NDArray[np.float32] = np.log(np.maximum(mass / best, np.exp(_FIRST)))
    return share


def _ranks(values: NDArray[np.float32]) -> NDArray[np.int64]:
    order = np.argsort(-values, kind="stable")
    ranks = np.empty(order.size, dtype=np.int64)
    ranks[order] = np.arange(order.size)
    return ranks


def _best(
    mentions: NDArray[np.float32], values: NDArray[np.float32], without: float, axis: int
) -> NDArray[np.float32]:
    best: NDArray[np.float32] = np.where(mentions > 0, values, np.float32(without)).max(axis=axis)
    return best


def _shared(
    place: NDArray[np.int64],
    entity: NDArray[np.int32],
    idf: NDArray[np.float32],
    question: NDArray[np.int64],
    n: int,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """What every candidate shares with others, [n] each.

    Returns:
        Sum of the idf of its entities that one of the first five holds; and the largest idf of an
        entity that a better candidate holds and the question does not name.
    """
    distinct, best, number = np.unique(entity, return_index=True, return_inverse=True)
    best_place = place[best]  # pairs are ordered by candidate
    first = (best_place < 5)[number]
    joins = ((best_place[number] < place) & ~np.isin(distinct, question)[number]).nonzero()[0]
    bridges = np.zeros(n, dtype=np.float32)
    np.maximum.at(bridges, place[joins], idf[joins])
    return np.bincount(place, np.where(first, idf, 0), minlength=n).astype(np.float64), bridges
