"""Why a passage came: the seeds its score comes from, the strongest path to it, the sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graphmem.base.text import compatible, normalise_phrase, sentence_spans, token_spans, tokens
from graphmem.config import HippoRagConfig, RetrievalConfig, SearchConfig
from graphmem.graph.entity_dictionary import TokenHasher, find_names
from graphmem.graph.fact_graph import joining_fact
from graphmem.graph.likeliest_paths import strongest_paths
from graphmem.graph.pagerank import seed_contributions
from graphmem.searching.asked_again import AGAIN_FEATURES
from graphmem.searching.fact_evidence import FACT_FEATURES
from graphmem.searching.hipporag import Walk
from graphmem.searching.retriever import Retriever, require_positive
from graphmem.searching.second_stage import FEATURES, parts_of_log_odds
from graphmem.searching.seeds import top_rows
from graphmem.searching.trace import GraphWalk, NameWalk, PhraseWalk, Trace
from graphmem.sources.markup import Reading, read
from graphmem.types import Hit, Ranking

NodeKind = Literal["entity", "passage"]

_PATH_PASSAGES = 500
_PARTS = 4


@dataclass(frozen=True, slots=True)
class Node:
    """An entity or a passage of the graph: entities by name, passages by id and title."""

    kind: NodeKind
    name: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A seed, how much of the restart it holds, and its share of the score of a hit; both 0..1.

    `linked` is what the question calls it, where that was linked to the nearest phrase.
    """

    seed: Node
    restart: float
    share: float
    linked: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One edge of a path, with the sentence of the passage that names the entity.

    `sentence` is "" where only the passage's title names it; between two phrases it is the fact
    that joins them, or "" where they are only alike.
    """

    source: Node
    target: Node
    sentence: str


@dataclass(frozen=True, slots=True)
class Move:
    """What a reranker did: the place before, from 1, and its score."""

    place: int
    score: float


@dataclass(frozen=True, slots=True)
class Part:
    """A feature of the second stage and what it adds to a hit's log-odds.

    `feature` is one of `second_stage.FEATURES` or `fact_evidence.FACT_FEATURES`.
    """

    feature: str
    odds: float


@dataclass(frozen=True, slots=True)
class HitExplanation:
    """Why one hit came.

    Attributes:
        hit: The hit.
        entity_share: Share of its mass in the walk that started at entities of the question, 0..1.
        passage_share: Share that started at passages which resemble the question, 0..1; the two
            sum to 1, or are both 0 where no seed reaches the hit.
        shares: The seeds with the largest shares, best first.
        start: The seed with the largest share, where the path begins; None where there was no
            walk or it did not come here.
        path: The steps of the likeliest walk from there; none where the hit is itself that seed.
        evidence: What moved it most in the second stage, most first; none where there was none.
        asked_again: The name that the question was asked again with and that this hit mentions,
            where that moved it up; else "".
        reread: What a reranker did with it after that; None where it read no such passage.
        weight: What it weighs as one of a large source (`RetrievalConfig.source_size`), in (0, 1];
            below 1 its evidence lifts it above no passage that was before it.
    """

    hit: Hit
    entity_share: float
    passage_share: float
    shares: tuple[Share, ...] = ()
    start: Node | None = None
    path: tuple[Step, ...] = ()
    evidence: tuple[Part, ...] = ()
    asked_again: str = ""
    reread: Move | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """A ranking with the reasons for each of its hits, and the seeds it started from."""

    ranking: Ranking
    seeds: tuple[Share, ...]
    hits: tuple[HitExplanation, ...]


def explain(
    retriever: Retriever, question: str, k: int, config: SearchConfig, seeds: int = 3
) -> Explanation:
    """Rank like `Retriever.search`, with the reasons.

    Args:
        retriever: Over the index.
        question: One question.
        k: How many hits.
        config: How to rank.
        seeds: How many seeds to name for each hit.

    Raises:
        ConfigError: k is below 1, or the question is blank.
    """
    require_positive(k)
    (trace,) = retriever.trace([question], config)
    ranking = retriever.ranking(trace, k)
    if isinstance(trace.walk, PhraseWalk) and isinstance(config, HippoRagConfig):
        found = _explain_phrases(retriever, trace, trace.walk.phrases, config, ranking, seeds)
    else:
        found = _explain_passages(retriever, trace, config, ranking, seeds)
    rows = retriever.hit_rows(trace, k)
    prior = retriever.weighed(config).snapshot.prior
    weights = [1.0 for _ in rows] if prior is None else prior[rows].tolist()
    hits = tuple(
        replace(hit, reread=move, weight=weight)
        for hit, move, weight in zip(found.hits, _moves(trace, rows), weights, strict=True)
    )
    return replace(found, hits=hits)


def _explain_passages(
    retriever: Retriever, trace: Trace, config: SearchConfig, ranking: Ranking, seeds: int
) -> Explanation:
    """The reasons of a ranking by similarity, or by a walk that ends at the passages."""
    walk = _walk_to_passages(retriever, trace, config)
    if walk is None:
        # All of the score is the similarity of question and passage.
        hits = tuple(HitExplanation(hit, 0.0, 1.0) for hit in ranking.hits)
        return Explanation(ranking, (), hits)
    restart = walk.restart
    targets = retriever.hit_rows(trace, len(ranking.hits)) + len(walk.names)
    contributions = seed_contributions(
        walk.adjacency,
        restart,
        walk.preference,
        targets,
        damping=walk.damping,
    )
    starts = contributions.argmax(axis=0).astype(np.int64)
    nodes = _strong_nodes(walk, trace.scores, starts, targets)
    paths = strongest_paths(
        walk.adjacency, walk.preference, nodes, starts, targets, damping=walk.damping
    )
    # A passage that no seed reaches has no score and no path.
    paths = [path if contributions[:, i].any() else [] for i, path in enumerate(paths)]
    moved = _second_stage(retriever, trace, config, targets - len(walk.names))
    reasons = []
    for i, (hit, path) in enumerate(zip(ranking.hits, paths, strict=True)):
        reason = _explain_hit(retriever, walk, hit, contributions[:, i], path, seeds)
        evidence, name = moved[i]
        reasons.append(replace(reason, evidence=evidence, asked_again=name))
    first = top_rows(restart, trace.entities.size + seeds)
    named = tuple(
        Share(_node(retriever, walk, int(n)), float(restart[n]), float(restart[n]))
        for n in first
        if restart[n] > 0
    )
    return Explanation(ranking, named, tuple(reasons))


def _explain_phrases(
    retriever: Retriever,
    trace: Trace,
    phrases: NDArray[np.int64],
    config: HippoRagConfig,
    ranking: Ranking,
    seeds: int,
) -> Explanation:
    """The reasons of a walk over phrases alone: a passage's score is the mass of its phrases."""
    searcher = retriever.facts
    walk = searcher.walk_over_phrases(phrases, config)
    rows = np.flatnonzero(walk.restart)
    # Mass is linear in the restart distribution: one walk from each seed.
    masses = np.stack([walk.restart[row] * _from_one(walk, int(row)) for row in rows])
    targets = retriever.hit_rows(trace, len(ranking.hits))
    context = searcher.context[targets]
    reached = context @ masses.T
    best = reached.argmax(axis=1)
    ends = np.full(targets.size, -1, dtype=np.int64)
    for i in range(targets.size):
        held = context.indices[context.indptr[i] : context.indptr[i + 1]]
        weight = context.data[context.indptr[i] : context.indptr[i + 1]] * masses[best[i], held]
        if weight.any():
            ends[i] = held[weight.argmax()]
    there = np.flatnonzero(ends >= 0)
    strong = np.concatenate([top_rows(masses.sum(axis=0), _PATH_PASSAGES), ends[there], rows])
    nodes = np.unique(np.concatenate([walk.adjacency[strong].indices, strong]))
    found = strongest_paths(
        walk.adjacency, walk.preference, nodes, rows[best[there]], ends[there], damping=walk.damping
    )
    paths: dict[int, list[int]] = dict(zip(there.tolist(), found, strict=True))
    reasons = []
    for i, hit in enumerate(ranking.hits):
        contribution = np.zeros(walk.restart.size, dtype=np.float32)
        contribution[rows] = reached[i] / max(float(reached[i].sum()), 1e-30)
        path = paths.get(i) or []
        path = [*path, len(walk.names) + int(targets[i])] if path else []
        reasons.append(_explain_hit(retriever, walk, hit, contribution, path, seeds))
    names = [retriever.snapshot.labels[int(row)] for row in trace.entities]
    named = tuple(
        Share(
            *(_node(retriever, walk, int(row)), float(walk.restart[row]), float(walk.restart[row])),
            ", ".join(name for name, phrase in zip(names, phrases, strict=True) if phrase == row),
        )
        for row in rows[np.argsort(-walk.restart[rows], kind="stable")]
    )
    return Explanation(ranking, named, tuple(reasons))


def _from_one(walk: Walk, row: int) -> NDArray[np.float32]:
    """Mass of every node where the walk restarts at one."""
    restart = np.zeros_like(walk.restart)
    restart[row] = 1
    return replace(walk, restart=restart).mass()


def _walk_to_passages(retriever: Retriever, trace: Trace, config: SearchConfig) -> Walk | None:
    """The walk; that of the default preset needed no adjacency matrix until now."""
    if isinstance(trace.walk, GraphWalk):
        return trace.walk.walk
    if not isinstance(trace.walk, NameWalk) or not isinstance(config, RetrievalConfig):
        return None
    snapshot = retriever.weighed(config).snapshot
    return Walk(
        snapshot.adjacency,
        trace.walk.seeds.restart_vector(snapshot.entities, snapshot.passages),
        np.concatenate([np.ones(snapshot.entities, dtype=np.float32), trace.walk.preference]),
        snapshot.labels,
        config.damping,
        config.tolerance,
    )


def _explain_hit(
    retriever: Retriever,
    walk: Walk,
    hit: Hit,
    contribution: NDArray[np.float32],
    path: Sequence[int],
    seeds: int,
) -> HitExplanation:
    best = [n for n in top_rows(contribution, seeds) if contribution[n] > 0]
    nodes = [_node(retriever, walk, n) for n in path]
    steps = tuple(
        Step(nodes[i], nodes[i + 1], _link(retriever, walk, path[i : i + 2]))
        for i in range(len(path) - 1)
    )
    from_entities = min(1.0, float(contribution[: len(walk.names)].sum()))
    return HitExplanation(
        hit=hit,
        entity_share=from_entities,
        passage_share=1.0 - from_entities if best else 0.0,
        shares=tuple(
            Share(_node(retriever, walk, int(n)), float(walk.restart[n]), float(contribution[n]))
            for n in best
        ),
        start=nodes[0] if nodes else None,
        path=steps,
    )


def _second_stage(
    retriever: Retriever, trace: Trace, config: SearchConfig, rows: NDArray[np.int64]
) -> list[tuple[tuple[Part, ...], str]]:
    """The features that moved each passage most, and the next name that moved it up."""
    stage = trace.walk.stage if isinstance(trace.walk, NameWalk) else None
    if stage is None or not isinstance(config, RetrievalConfig):
        return [((), "") for _ in rows]
    parts = parts_of_log_odds(retriever.names.model, stage.evidence, config.specificity_half)
    again = parts[:, -len(AGAIN_FEATURES) :].sum(axis=1)
    parts = np.concatenate([parts, stage.fact_parts], axis=1)
    names = FEATURES + FACT_FEATURES
    place = {int(row): i for i, row in enumerate(stage.candidates)}
    moved: list[tuple[tuple[Part, ...], str]] = []
    for row in rows:
        i = place.get(int(row))
        if i is None:
            moved.append(((), ""))
            continue
        most = np.argsort(-np.abs(parts[i]), kind="stable")[:_PARTS]
        name = int(stage.next_names[i]) if again[i] > 0 else -1
        moved.append(
            (
                tuple(Part(names[f], float(parts[i, f])) for f in most),
                retriever.snapshot.labels[name] if name >= 0 else "",
            )
        )
    return moved


def _moves(trace: Trace, rows: NDArray[np.int64]) -> list[Move | None]:
    """What the reranker did with each passage."""
    if trace.reread is None:
        return [None for _ in rows]
    scored = zip(trace.reread.rows.tolist(), trace.reread.values.tolist(), strict=True)
    moves = {row: Move(place, value) for place, (row, value) in enumerate(scored, start=1)}
    return [moves.get(row) for row in rows.tolist()]


def _node(retriever: Retriever, walk: Walk, node: int) -> Node:
    if node < len(walk.names):
        return Node("entity", walk.names[node])
    passage = retriever.snapshot.passage(node - len(walk.names))
    return Node("passage", passage.title or passage.id, passage.id)


def _strong_nodes(
    walk: Walk,
    scores: NDArray[np.float32],
    starts: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The best passages, their entities, and both ends: a path worth telling keeps to these."""
    strong = top_rows(scores, _PATH_PASSAGES) + len(walk.names)
    neighbours = walk.adjacency[strong].indices
    return np.unique(np.concatenate([neighbours, strong, starts, targets]))


def _link(retriever: Retriever, walk: Walk, edge: Sequence[int]) -> str:
    """What carries one step: a sentence, a fact, or nothing between two like phrases."""
    name, node = min(edge), max(edge)
    facts = retriever.snapshot.facts
    if node < len(walk.names):
        return joining_fact(facts.table, name, node) if facts else ""
    if walk.names is retriever.snapshot.labels:
        return _linking_sentence(retriever, edge)
    text = retriever.snapshot.passage(node - len(walk.names)).text
    reading = read(text)
    place = _first_place(reading.text, walk.names[name])
    return _sentence_at(text, reading, place) if place >= 0 else ""


def _linking_sentence(retriever: Retriever, edge: Sequence[int]) -> str:
    """The first sentence of the edge's passage that names the edge's entity."""
    snapshot = retriever.snapshot
    entity, node = min(edge), max(edge)
    passage = snapshot.passage(node - snapshot.entities)
    adjacency = snapshot.adjacency
    neighbours = adjacency.indices[adjacency.indptr[node] : adjacency.indptr[node + 1]]
    reading = read(passage.text)
    columns = TokenHasher().columns([reading.text])
    matches = find_names(snapshot.dictionary, columns, np.sort(neighbours.astype(np.int64)))
    here = matches.starts[matches.entities == entity]
    place = int(here[0]) if here.size else _first_place(reading.text, snapshot.labels[entity])
    return _sentence_at(passage.text, reading, place) if place >= 0 else ""


def _first_place(text: str, name: str) -> int:
    """Number of the token where a name begins, also inside a longer one; -1 where it does not."""
    words, wanted = tokens(text), normalise_phrase(name).split(" ")
    places = range(len(words) - len(wanted) + 1)
    return next((i for i in places if words[i : i + len(wanted)] == wanted), -1)


def _sentence_at(text: str, reading: Reading, token: int) -> str:
    """The sentence of one token of the reading of a text, as written."""
    alike = compatible(reading.text)  # tokens are those of this form
    start = token_spans(alike)[token][0]
    sentences = sentence_spans(alike)
    number = next(i for i, (_, end) in enumerate(sentences) if start < end)
    read_spans = sentence_spans(reading.text)
    if len(read_spans) != len(sentences):
        return alike[slice(*sentences[number])]
    return text[slice(*reading.written(*read_spans[number]))]
