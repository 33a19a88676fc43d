"""Facts as arrays: the distinct phrases and facts of all triples, and where they are stated.

Phrases are nodes 0..N-1, passages nodes N..N+P-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from graphmem.base.columns import Picked, Strings, renumbered
from graphmem.base.text import tokens
from graphmem.types import Extraction, Triple


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges of one kind, sorted by source, then target.

    Attributes:
        sources: int32 [M].
        targets: int32 [M].
        weights: Counts, int32 [M], or similarities, float32 [M].
    """

    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    weights: NDArray[Any]


@dataclass(frozen=True, slots=True)
class FactTable:
    """N phrases and F facts.

    Attributes:
        phrases: Normalised subjects and objects, N, sorted.
        predicates: Normalised predicate of every fact, F.
        subjects: Phrase row of every fact's subject, int32 [F].
        objects: Phrase row of every fact's object, int32 [F].
        statements: Fact to passage; weight 1.
        context: Phrase to passage; weight is how many facts of the passage hold the phrase.
        links: Phrase to phrase, source below target; weight is the number of statements that join
            the two, whichever is the subject.
    """

    phrases: Strings
    predicates: Strings
    subjects: NDArray[np.int32]
    objects: NDArray[np.int32]
    statements: Edges
    context: Edges
    links: Edges

    def triple(self, fact: int) -> Triple:
        """One fact in words."""
        subject, object_ = int(self.subjects[fact]), int(self.objects[fact])
        return Triple(self.phrases[subject], self.predicates[fact], self.phrases[object_])


@dataclass(frozen=True, slots=True)
class FactGraph:
    """Facts with all that a search reads.

    Attributes:
        table: Phrases, facts, and where they are stated.
        synonyms: Phrase to phrase, source below target; weight is the cosine.
        phrase_vectors: Unit vectors, float32 [N, d].
        fact_vectors: Unit vectors of the facts' texts, float32 [F, d].
    """

    table: FactTable
    synonyms: Edges
    phrase_vectors: NDArray[np.float32]
    fact_vectors: NDArray[np.float32]


def select_facts(graph: FactGraph, rows: NDArray[np.int64], passages: int) -> FactGraph | None:
    """The facts that some passages state, and the phrases in them; None where they state none.

    Args:
        graph: The facts of P passages.
        rows: n of the passages, ascending, int64 [n].
        passages: Number of passages P.
    """
    table = graph.table
    place = renumbered(rows, passages)
    stated = np.flatnonzero(place[table.statements.targets] >= 0)
    facts = np.unique(table.statements.sources[stated]).astype(np.int64)
    if not facts.size:
        return None
    phrases = np.unique(np.concatenate([table.subjects[facts], table.objects[facts]]))
    fact_of = renumbered(facts, len(table.predicates))
    phrase_of = renumbered(phrases, len(table.phrases))
    subjects, objects = phrase_of[table.subjects[facts]], phrase_of[table.objects[facts]]
    stated_facts = fact_of[table.statements.sources[stated]]
    ends = subjects[stated_facts], objects[stated_facts]
    apart = ends[0] != ends[1]
    here = np.flatnonzero(place[table.context.targets] >= 0)
    near = np.flatnonzero(
        (phrase_of[graph.synonyms.sources] >= 0) & (phrase_of[graph.synonyms.targets] >= 0)
    )
    return FactGraph(
        FactTable(
            Picked(table.phrases, phrases),
            Picked(table.predicates, facts),
            subjects,
            objects,
            Edges(
                stated_facts,
                place[table.statements.targets[stated]],
                table.statements.weights[stated],
            ),
            Edges(
                phrase_of[table.context.sources[here]],
                place[table.context.targets[here]],
                table.context.weights[here],
            ),
            _counted(np.minimum(*ends)[apart], np.maximum(*ends)[apart]),
        ),
        Edges(
            phrase_of[graph.synonyms.sources[near]],
            phrase_of[graph.synonyms.targets[near]],
            graph.synonyms.weights[near],
        ),
        graph.phrase_vectors[phrases],
        graph.fact_vectors[facts],
    )


def normalise_part(text: str) -> str:
    """Form in which equal phrases, and predicates, are equal.

    Articles stay, unlike in `normalise_phrase`: HippoRAG 2 only lower-cases and drops punctuation.
    It also drops every letter that is not ASCII; here any script is kept.

    >>> normalise_part("The  Müller-Straße"), normalise_part("東京")
    ('the muller strasse', '東 京')
    """
    return " ".join(tokens(text))


def fact_text(triple: Triple) -> str:
    """What is embedded of a fact: a tuple in words, as HippoRAG 2 embeds it.

    >>> fact_text(Triple("ada", "wrote", "notes"))
    "('ada', 'wrote', 'notes')"
    """
    return str((triple.subject, triple.predicate, triple.object))


def assemble_facts(extractions: Sequence[Extraction]) -> FactTable | None:
    """Collect the distinct phrases and facts of P passages; None where there is no fact.

    A triple without a subject or an object is no fact. One that a passage states twice counts once.

    >>> table = assemble_facts([
    ...     Extraction(triples=(Triple("Ada", "wrote", "Notes"), Triple("Ada", "wrote", "notes."))),
    ...     Extraction(triples=(Triple("Notes", "are about", "Ada"),)),
    ... ])
    >>> table.phrases, table.predicates, table.links.weights.tolist()
    (['ada', 'notes'], ['wrote', 'are about'], [2])
    """
    seen: dict[str, str] = {}

    def part(text: str) -> str:
        known = seen.get(text)
        if known is None:
            known = seen[text] = normalise_part(text)
        return known

    stated = sorted(
        {
            (subject, part(triple.predicate), object_, passage)
            for passage, extraction in enumerate(extractions)
            for triple in extraction.triples
            if (subject := part(triple.subject)) and (object_ := part(triple.object))
        }
    )
    if not stated:
        return None
    phrases = sorted({name for subject, _, object_, _ in stated for name in (subject, object_)})
    rows = {name: row for row, name in enumerate(phrases)}
    facts = list(dict.fromkeys(statement[:3] for statement in stated))
    fact_rows = {fact: row for row, fact in enumerate(facts)}
    subjects = np.array([rows[subject] for subject, _, _ in facts], dtype=np.int32)
    objects = np.array([rows[object_] for _, _, object_ in facts], dtype=np.int32)
    stated_facts = np.array([fact_rows[s[:3]] for s in stated], dtype=np.int32)
    stated_in = np.array([s[3] for s in stated], dtype=np.int32)
    ends = subjects[stated_facts], objects[stated_facts]
    apart = ends[0] != ends[1]
    return FactTable(
        phrases,
        [predicate for _, predicate, _ in facts],
        subjects,
        objects,
        _counted(stated_facts, stated_in),
        _counted(
            np.concatenate([ends[0], ends[1][apart]]),
            np.concatenate([stated_in, stated_in[apart]]),
        ),
        _counted(np.minimum(*ends)[apart], np.maximum(*ends)[apart]),
    )


def _counted(sources: NDArray[np.int32], targets: NDArray[np.int32]) -> Edges:
    """The distinct pairs, sorted, with how often each comes."""
    pairs = np.stack([sources, targets], axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    return Edges(
        np.ascontiguousarray(distinct[:, 0]),
        np.ascontiguousarray(distinct[:, 1]),
        counts.astype(np.int32),
    )


def joining_fact(table: FactTable, one: int, other: int) -> str:
    """The first fact between two phrases, in words; "" where there is none."""
    ends = np.stack([table.subjects, table.objects])
    joins = (ends == [[one], [other]]).all(axis=0) | (ends == [[other], [one]]).all(axis=0)
    if not joins.any():
        return ""
    triple = table.triple(int(joins.argmax()))
    return f"{triple.subject} {triple.predicate} {triple.object}"


def passages_per_phrase(table: FactTable) -> NDArray[np.int32]:
    """Number of passages that hold each phrase in a fact, >= 1, int32 [N]."""
    return np.bincount(table.context.sources, minlength=len(table.phrases)).astype(np.int32)


def phrase_adjacency(graph: FactGraph) -> csr_array:
    """Symmetric weights between phrases: count of a fact edge plus cosine of a synonymy edge.

    Returns:
        float32 CSR [N, N].
    """
    count = len(graph.table.phrases)
    return _symmetric(count, [(graph.table.links, 0, 1.0), (graph.synonyms, 0, 1.0)])


def fact_adjacency(graph: FactGraph, passages: int) -> csr_array:
    """Symmetric weights over phrases, then passages, of HippoRAG 2.

    2 * count for a fact edge and 2 * cosine for a synonymy edge, since its code adds both
    directions to an undirected graph, and 1 for a context edge. Where two phrases have both kinds,
    they add up; in its code the synonymy edge replaces the fact edge.

    Args:
        graph: The facts.
        passages: Number of passages P.

    Returns:
        float32 CSR [N + P, N + P].
    """
    table = graph.table
    phrases = len(table.phrases)
    plain = Edges(
        table.context.sources,
        table.context.targets,
        np.ones(table.context.sources.size, dtype=np.float32),
    )
    kinds = [(table.links, 0, 2.0), (graph.synonyms, 0, 2.0), (plain, phrases, 1.0)]
    return _symmetric(phrases + passages, kinds)


def _symmetric(nodes: int, kinds: Sequence[tuple[Edges, int, float]]) -> csr_array:
    """Sum of edges of several kinds: (edges, shift of their targets, factor)."""
    sources = np.concatenate([edges.sources for edges, _, _ in kinds])
    targets = np.concatenate([edges.targets + shift for edges, shift, _ in kinds])
    weights = np.concatenate([edges.weights * np.float32(factor) for edges, _, factor in kinds])
    half = coo_array((weights.astype(np.float32), (sources, targets)), shape=(nodes, nodes))
    upper = half.tocsr()
    both: csr_array = (upper + upper.T).tocsr()
    return both
