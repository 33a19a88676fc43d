"""The second stage: order the first passages of the walk by all the evidence that is at hand.

The walk brings the evidence of a question into the first twenty or so. What tells the passages
apart there is mostly the mass of the entity that a passage is about, and who mentions it. A small
ensemble of trees weighs this; pipelines/train_rerank.py makes its parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphmem.graph.entity_graph import ContextGraph, entries_of_rows
from graphmem.searching.scores import above_rest

FEATURES: Final = (
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


@dataclass(frozen=True, slots=True)
class Candidates:
    """The first n passages of a walk, best first, with what is known of them.

    Attributes:
        rows: Passage rows, int64 [n].
        mass: Mass of each after the walk, float32 [n].
        cosine: Similarity to the question, float32 [n].
        lexical: BM25, float32 [n].
        vectors: Unit vectors, float32 [n, d].
        subjects: Row of the entity each is about, -1 where there is none, int64 [n].
        subject_mass: Mass of that entity after the walk, float32 [n].
        question: Rows of the question's entities, int64 [a].
        question_weights: Their seed weights, float32 [a].
        asked: The question's words that belong to no name.
    """

    rows: NDArray[np.int64]
    mass: NDArray[np.float32]
    cosine: NDArray[np.float32]
    lexical: NDArray[np.float32]
    vectors: NDArray[np.float32]
    subjects: NDArray[np.int64]
    subject_mass: NDArray[np.float32]
    question: NDArray[np.int64]
    question_weights: NDArray[np.float32]
    asked: str


def features(
    graph: ContextGraph, df: NDArray[np.int32], candidates: Candidates
) -> NDArray[np.float32]:
    """Evidence for each candidate, float32 [n, len(FEATURES)].

    Args:
        graph: The graph that was walked.
        df: Number of passages of every entity, int32 [E].
        candidates: n passages.
    """
    found = candidates
    n = found.rows.size
    question_weight = (1 / df[found.question]).astype(np.float32)
    holds = _holds(graph, found)
    # Products by einsum, for the reasons given in retriever.py.
    weight_here = np.einsum("na,a->n", holds, question_weight)
    log_mass = _log_share(found.mass)
    log_subject = _log_share(found.subject_mass)
    log_subject[found.subjects < 0] = _FIRST
    place, entity = _shared_entities(graph, found.rows)
    idf = np.log1p(graph.weights.shape[1] / df[entity]).astype(np.float32)
    mentions = _mentions(place, entity, found.subjects)
    by_rank = 1 / (1 + np.arange(n, dtype=np.float32))
    by_rank[10:] = 0
    likeness = np.einsum("nd,d->n", found.vectors, found.vectors.sum(axis=0))
    lexical_best = max(float(found.lexical.max(initial=0)), 1e-9)
    subject_df = np.where(found.subjects >= 0, df[np.maximum(found.subjects, 0)], 1)
    counts = np.maximum(graph.entity_counts[found.rows], 1).astype(np.float32)
    shared, bridges = _shared(place, entity, idf, found.question, n)
    columns = (
        log_mass,
        np.log1p(np.arange(n)),
        found.cosine,
        found.cosine - found.cosine.max(initial=-1),
        np.log1p(_ranks(found.cosine)),
        found.lexical / lexical_best,
        np.log1p(_ranks(found.lexical)),
        holds.sum(axis=1),
        weight_here,
        weight_here / max(float(question_weight.sum()), 1e-9),
        np.isin(found.subjects, found.question),
        np.einsum("n,nm->m", by_rank, mentions),
        _best(mentions, found.cosine[:, None], -0.2, axis=0),
        _best(mentions, log_mass[:, None], float(_FIRST), axis=0),
        mentions[:2].max(axis=0, initial=0),
        _best(mentions, found.cosine[None, :], -0.2, axis=1),
        shared / counts,
        bridges,
        log_subject,
        np.log1p(_ranks(log_subject)),
        np.log(subject_df),
        found.subjects >= 0,
        (likeness - 1) / max(n - 1, 1),
        np.full(n, question_weight.max(initial=0)),
        np.full(n, found.question.size),
        counts,
        graph.own_share[found.rows],
    )
    return np.column_stack(columns).astype(np.float32)


def _holds(graph: ContextGraph, found: Candidates) -> NDArray[np.float32]:
    """Which candidate holds which entity of the question, 0 or 1, [n, a]."""
    holds = np.zeros((found.rows.size, found.question.size), dtype=np.float32)
    for column, entity in enumerate(found.question):
        passages = graph.passages_of(int(entity))[0]  # sorted
        place = np.minimum(np.searchsorted(passages, found.rows), passages.size - 1)
        holds[:, column] = passages[place] == found.rows
    return holds


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


def _shared_entities(
    graph: ContextGraph, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Pairs of candidate and entity, of those entities that stand in several passages."""
    edges = graph.shared_transposed
    counts, places = entries_of_rows(edges, rows)
    return np.repeat(np.arange(rows.size), counts), edges.indices[places]


def _mentions(
    place: NDArray[np.int64], entity: NDArray[np.int32], subjects: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Whether candidate a mentions the subject of another candidate b, 0 or 1, [n, n]."""
    n = subjects.size
    mentions = np.zeros((n, n), dtype=np.float32)
    pair, subject = np.nonzero(entity[:, None] == subjects[None, :])
    mentions[place[pair], subject] = 1
    mentions[subjects[:, None] == subjects[None, :]] = 0
    return mentions


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


_WALK, _SPECIFICITY = FEATURES.index("walk"), FEATURES.index("specificity")


@dataclass(frozen=True, slots=True)
class TreeEnsemble:
    """A sum of T binary trees of depth D, each a heap: the children of node i are 2i+1 and 2i+2.

    Attributes:
        feature: Feature that an inner node asks for, int64 [T, 2^D - 1].
        threshold: It goes right where the feature is above this, float32 [T, 2^D - 1].
        value: What a node predicts on average, float32 [T, 2^(D+1) - 1].
        base: What all start from.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    value: NDArray[np.float32]
    base: float

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> TreeEnsemble:
        """From the JSON object that pipelines/train_rerank.py writes.

        Raises:
            ValueError: It was made for other features.
        """
        if tuple(data["features"]) != FEATURES:
            raise ValueError("the rerank model was made for other features: train it again")
        return cls(
            np.array(data["feature"], dtype=np.int64),
            np.array(data["threshold"], dtype=np.float32),
            np.array(data["value"], dtype=np.float32),
            float(data["base"]),
        )

    def scores(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-odds that a candidate is relevant, float32 [n]."""
        count, size = self.value.shape
        leaves = self.value.take(np.arange(count) * size + self._walk(evidence)[-1])
        scores: NDArray[np.float32] = leaves.sum(axis=1) + np.float32(self.base)
        return scores

    def contributions(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Part of each feature in the scores, [n, F]; rows sum to the score without the base.

        Every step down a tree is put down to the feature it asks for (Saabas 2014).
        """
        trees = np.arange(self.value.shape[0])
        parts = np.zeros(evidence.shape, dtype=np.float32)
        walk = self._walk(evidence)
        rows = np.broadcast_to(np.arange(len(evidence))[:, None], walk[0].shape)
        for parent, child in zip(walk[:-1], walk[1:], strict=True):
            change = self.value[trees, child] - self.value[trees, parent]
            np.add.at(parts, (rows, self.feature[trees, parent]), change)
        return parts

    def _walk(self, evidence: NDArray[np.float32]) -> list[NDArray[np.int64]]:
        """Node that each candidate is at in each tree, [n, T], from the root to the leaf."""
        count, inner = self.feature.shape
        # Places in flat arrays: taking from these is several times faster than indexing by pairs.
        tree = np.arange(count) * inner
        row = np.arange(len(evidence))[:, None] * evidence.shape[1]
        nodes = [np.zeros((len(evidence), count), dtype=np.int64)]
        while (nodes[-1][0, 0] if len(evidence) else inner) < inner:
            place = tree + nodes[-1]
            asked = evidence.take(row + self.feature.take(place))
            nodes.append(2 * nodes[-1] + 1 + (asked > self.threshold.take(place)))
        return nodes


def mixed_odds(
    log_odds: NDArray[np.float32], evidence: NDArray[np.float32], specificity_half: float
) -> NDArray[np.float32]:
    """(1 - g) log mass + g log-odds, float32 [n].

    g = s / (s + specificity_half) and s is the largest 1/df of the question's entities: where these
    are hubs, as in conversations, the trees were not trained for it and the order of the walk
    counts.

    Args:
        log_odds: What the trees say of each candidate, float32 [n].
        evidence: Their features, float32 [n, F].
        specificity_half: As in the walk's configuration.
    """
    gate = _gate(evidence, specificity_half)
    mixed: NDArray[np.float32] = (1 - gate) * evidence[:, _WALK] + gate * log_odds
    return mixed


def rerank(
    found: Candidates, odds: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores of all passages after the second stage, float32 [P].

    A candidate gets the logistic function of its odds. All other passages keep their order, below
    the candidates.

    Args:
        found: n candidates, best first.
        odds: Their mixed odds, float32 [n].
        scores: Mass of all passages after the walk, float32 [P].
    """
    one = np.float32(1)
    return above_rest(scores, found.rows, one / (one + np.exp(-odds)))


def parts_of_odds(
    model: TreeEnsemble, evidence: NDArray[np.float32], specificity_half: float
) -> NDArray[np.float32]:
    """What each feature adds to the mixed odds, float32 [n, F].

    Rows sum to the log-odds, but for the share of the trees' constant.
    """
    gate = _gate(evidence, specificity_half)
    parts = gate[:, None] * model.contributions(evidence)
    parts[:, _WALK] += (1 - gate) * evidence[:, _WALK]
    return parts


def _gate(evidence: NDArray[np.float32], specificity_half: float) -> NDArray[np.float32]:
    specificity = evidence[:, _SPECIFICITY]
    gate: NDArray[np.float32] = specificity / (specificity + np.float32(specificity_half))
    return gate


def load_model() -> TreeEnsemble:
    """The parameters that come with the package."""
    text = files("graphmem.searching").joinpath("second_stage.json").read_text("utf-8")
    return TreeEnsemble.parse(json.loads(text))
