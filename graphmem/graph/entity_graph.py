"""The knowledge graph as arrays: which entity stands in which passage, and how that is weighted.

Entities are nodes 0..E-1, passages nodes E..E+P-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray
from scipy.sparse import block_array, csr_array

from graphmem.base.columns import renumbered
from graphmem.base.text import normalise_phrase
from graphmem.graph.entity_dictionary import (
    NO_NAMES,
    EntityDictionary,
    Matches,
    TokenHasher,
    build_dictionary,
    find_names,
)
from graphmem.graph.name_forms import name_forms
from graphmem.graph.small_letters import SmallNames
from graphmem.types import Extraction, Passage

_PARENTHESIS = regex.compile(r"(?:(?<!\s)\s++)?[(（][^()（）]*+[)）]\s*+$")
_CHUNK = 4096
SUBJECT_WEIGHT = 3.0
"""How much more the edge to the entity that a passage is about weighs."""


@dataclass(frozen=True, slots=True)
class ContextEdges:
    """Edges between entities and the passages that mention them, by entity, then passage.

    Attributes:
        entities: Entity row, int32 [M].
        passages: Passage row, int32 [M].
        counts: How often the passage's title and text mention the entity, int32 [M].
        subjects: Whether the passage is about the entity: its title, or without a title the
            name that its text begins with; bool [M].
    """

    entities: NDArray[np.int32]
    passages: NDArray[np.int32]
    counts: NDArray[np.int32]
    subjects: NDArray[np.bool_]

    def joined(self, other: ContextEdges, passages: int) -> ContextEdges:
        """These, then those of another, whose passages come after the `passages` of these."""
        return ContextEdges(
            np.concatenate([self.entities, other.entities]),
            np.concatenate([self.passages, other.passages + np.int32(passages)]),
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.subjects, other.subjects]),
        )


@dataclass(frozen=True, slots=True)
class KnowledgeGraph:
    """Entities, the edges to their passages, and the dictionary.

    Attributes:
        names: Normalised names, E: first those of several passages, sorted, then the others.
        labels: The names as they are most often written, E.
        context: The edges between entities and passages.
        dictionary: Finds the names in any text.
        passages: Number of passages P.
    """

    names: list[str]
    labels: list[str]
    context: ContextEdges
    dictionary: EntityDictionary
    passages: int


def subject_name(title: str) -> str:
    """The name that a title gives its passage, without a parenthesis at the end.

    >>> subject_name("Steve McQueen (director)")
    'Steve McQueen'
    """
    return _PARENTHESIS.sub("", title) or title


def assemble_graph(
    passages: Sequence[Passage], extractions: Sequence[Extraction]
) -> KnowledgeGraph:
    """Build the entity table and the context edges; the same input gives the same arrays.

    Every name of every extraction and every title is looked up again in every passage, longest
    first, which closes the gaps that an extractor leaves. Names that are forms of one name
    (`name_forms`) are one entity.

    Args:
        passages: P passages in their final order.
        extractions: What was extracted from each.
    """
    return _shared_first(extend_graph(passages, extractions, NO_NAMES, 0))


def extend_graph(
    passages: Sequence[Passage],
    extractions: Sequence[Extraction],
    known: EntityDictionary,
    entities: int,
) -> KnowledgeGraph:
    """The entities and edges that passages bring to a graph which stays as it is.

    Known and new names are looked up in these passages; new ones in no others, and forms of one
    name are sought among the names of these passages.

    Args:
        passages: D passages that come to it, rows 0 to D - 1 of the edges.
        extractions: What was extracted from each.
        known: The names of the graph.
        entities: Number of its entities E: new ones have the rows from E on, by name.

    Returns:
        New names, their labels and their dictionary, and the edges of the D passages.
    """
    spelled = [_spellings(p, x) for p, x in zip(passages, extractions, strict=True)]
    forms = name_forms(passages, spelled)
    for row, name, spelling in forms.added:
        spelled[row].setdefault(name, spelling)
    every = sorted({name for names in spelled for name in names} | forms.merged.keys())
    own = build_dictionary(every)
    there = known.find(own.names)
    rows = {
        every[place]: int(known.rows[found])
        for place, found in zip(own.rows.tolist(), there.tolist(), strict=True)
        if found >= 0
    }
    names = [name for name in every if name not in forms.merged and name not in rows]
    labels = _labels(names, spelled)
    rows |= {name: entities + row for row, name in enumerate(names)}
    for name, whole in forms.merged.items():
        rows.setdefault(name, rows[whole])
    for row, name in forms.edges:
        spelled[row].setdefault(name, name)
    entity_of = np.array([rows[name] for name in every], dtype=np.int32)
    new = replace(own, rows=entity_of[own.rows]).pick(np.flatnonzero(there < 0))
    dictionary = known.joined(new)
    written = np.zeros((2, dictionary.names.size), dtype=np.int64)
    hasher = TokenHasher()
    first = np.full(len(passages), -1, dtype=np.int32)
    small = SmallNames()
    edges = [
        _context_chunk(passages, spelled, start, rows, dictionary, hasher, written, first, small)
        for start in range(0, len(passages), _CHUNK)
    ]
    meant, places = small.meant()
    written[1] -= np.bincount(meant, minlength=dictionary.rows.size)
    edges.append(_others(dictionary.rows[meant], places, len(passages), edges))
    edges.append(_unsaid(passages, first, edges))
    proper = (written[0] > written[1])[dictionary.find(new.names)]
    new = replace(new, proper=proper)
    return KnowledgeGraph(names, labels, _merge(edges), new, len(passages))


def _spellings(passage: Passage, extraction: Extraction) -> dict[str, str]:
    """Normalised name -> spelling, for what is known of one passage; its subject comes first.

    Subjects of triples are names too; objects are too often whole clauses (recall@5 on
    musique_train100: 79.5 with neither, 80.5 with subjects, 78.4 with both).
    """
    known: dict[str, str] = {}
    subjects = (triple.subject for triple in extraction.triples)
    for name in (subject_name(passage.title), *extraction.entities, *subjects):
        known.setdefault(normalise_phrase(name), name)
    known.pop("", None)
    return known


def _labels(names: list[str], spelled: Sequence[dict[str, str]]) -> list[str]:
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for known in spelled:
        for name, spelling in known.items():
            if name in counts:  # else it is a form of another
                counts[name][spelling] = counts[name].get(spelling, 0) + 1
    return [min(counts[name].items(), key=lambda item: (-item[1], item[0]))[0] for name in names]


def _context_chunk(
    passages: Sequence[Passage],
    spelled: Sequence[dict[str, str]],
    start: int,
    rows: dict[str, int],
    dictionary: EntityDictionary,
    hasher: TokenHasher,
    written: NDArray[np.int64],
    first: NDArray[np.int32],
    small: SmallNames,
) -> ContextEdges:
    """Edges of the passages from `start`.

    Adds to `written` [2, N] how often they write each name of the dictionary as a name, and how
    often in small letters only; to `first` [P] the entity that each text names first; to `small`
    where they have names in small letters.
    """
    chunk = passages[start : start + _CHUNK]
    entities = dictionary.rows.size  # or less: several names can be one entity
    # Keys passage * E + entity of what is known of each passage; its title and its text are two
    # texts, 2 * passage and 2 * passage + 1.
    extracted = np.array(
        sorted({i * entities + rows[n] for i in range(len(chunk)) for n in spelled[start + i]}),
        dtype=np.int64,
    )
    in_title = extracted + extracted // entities * entities
    columns = hasher.columns([part for p in chunk for part in (p.title, p.text)])
    matches = find_names(
        dictionary, columns, np.sort(np.concatenate([in_title, in_title + entities]))
    )
    for row, places in enumerate((matches.names, matches.small)):
        written[row] += np.bincount(places, minlength=entities)
    small.add(columns, matches, start + np.arange(2 * len(chunk)) // 2)
    text = np.searchsorted(columns.offsets, matches.starts, side="right") - 1
    found = (text // 2) * entities + matches.entities
    titled = {
        i: rows[name]
        for i, p in enumerate(chunk)
        if (name := normalise_phrase(subject_name(p.title)))
    }
    named_first = _first_names(text, matches, dictionary.lettered)
    for i, row in named_first.items():
        first[start + i] = row
    subject = np.array(
        [i * entities + row for i, row in (named_first | titled).items()],
        dtype=np.int64,
    )
    # What the extractor found is an edge even where the text holds it inside a longer name.
    pairs, counts = np.unique(np.concatenate([found, extracted]), return_counts=True)
    counts = np.maximum(counts - np.isin(pairs, extracted), 1)
    return ContextEdges(
        (pairs % entities).astype(np.int32),
        (start + pairs // entities).astype(np.int32),
        counts.astype(np.int32),
        np.isin(pairs, subject),
    )


def _first_names(
    text: NDArray[np.int64], matches: Matches, lettered: NDArray[np.bool_]
) -> dict[int, int]:
    """Passage -> entity that its text names first: what a passage without a title is about.

    Numbers and days alone are no subject: lines of a log begin with them.
    """
    bodies = np.flatnonzero((text % 2 == 1) & lettered[matches.names])
    first, where = np.unique(text[bodies], return_index=True)
    return dict(zip((first // 2).tolist(), matches.entities[bodies[where]].tolist(), strict=True))


def _unsaid(
    passages: Sequence[Passage],
    first: NDArray[np.int32],
    edges: Sequence[ContextEdges],
) -> ContextEdges:
    """Edges from the later pieces of a document to what its first piece names first.

    A piece that says only "she" is about it too; one that names it has the edge already.
    """
    heads = {
        p.document: int(row)
        for p, row in zip(passages, first, strict=True)
        if p.document and p.position == 0 and row >= 0
    }
    later = [
        (heads[p.document], row)
        for row, p in enumerate(passages)
        if p.position > 0 and p.document in heads
    ]
    entities, rows = np.array(later, dtype=np.int64).reshape(-1, 2).T
    return _others(entities, rows, len(passages), edges)


def _others(
    entities: NDArray[np.integer],
    rows: NDArray[np.int64],
    passages: int,
    edges: Sequence[ContextEdges],
) -> ContextEdges:
    """Edges from entities to passages, those that are not there yet, each once; no subjects."""
    known = [e.entities.astype(np.int64) * passages + e.passages for e in edges]
    new = np.unique(entities.astype(np.int64) * passages + rows)
    new = np.setdiff1d(new, np.concatenate(known)) if known else new
    return ContextEdges(
        (new // max(passages, 1)).astype(np.int32),
        (new % max(passages, 1)).astype(np.int32),
        np.ones(new.size, dtype=np.int32),
        np.zeros(new.size, dtype=np.bool_),
    )


def _merge(edges: Sequence[ContextEdges]) -> ContextEdges:
    if not edges:
        empty = np.zeros(0, dtype=np.int32)
        return ContextEdges(empty, empty, empty, np.zeros(0, dtype=np.bool_))
    entities = np.concatenate([edge.entities for edge in edges])
    passages = np.concatenate([edge.passages for edge in edges])
    # A stable sort of what is nearly sorted, as most of this is, takes one pass.
    order = np.argsort(entities.astype(np.int64) << 32 | passages, kind="stable")
    return ContextEdges(
        entities[order],
        passages[order],
        np.concatenate([edge.counts for edge in edges])[order],
        np.concatenate([edge.subjects for edge in edges])[order],
    )


def _shared_first(graph: KnowledgeGraph) -> KnowledgeGraph:
    """Number the entities of several passages before those of one, each part by name."""
    df = np.bincount(graph.context.entities, minlength=len(graph.names))
    order = np.argsort(df == 1, kind="stable")
    new = renumbered(order, order.size)
    return replace(
        graph,
        names=[graph.names[i] for i in order],
        labels=[graph.labels[i] for i in order],
        context=_merge([replace(graph.context, entities=new[graph.context.entities])]),
        dictionary=replace(graph.dictionary, rows=new[graph.dictionary.rows]),
    )


def context_weights(
    edges: ContextEdges,
    entities: int,
    passages: int,
    subject_weight: float = SUBJECT_WEIGHT,
    prior: NDArray[np.float32] | None = None,
) -> csr_array:
    """Weight of every context edge: log(1 + tf) log(1 + N/df), times `subject_weight` for subjects.

    Where passages weigh differently, `prior` of each, float32 [P], the weight of an edge is that of
    its passage times this, and df counts them by weight.

    Returns:
        float32 CSR [entities, passages].
    """
    df = np.bincount(edges.entities, minlength=entities)
    counted = df if prior is None else weighted_df(edges, entities, prior)
    weight = np.log1p(edges.counts) * np.log1p(passages / counted[edges.entities])
    weight = np.where(edges.subjects, weight * subject_weight, weight).astype(np.float32)
    if prior is not None:
        weight *= prior[edges.passages]
    indptr = np.concatenate([[0], np.cumsum(df)]).astype(np.int32)
    return csr_array((weight, edges.passages, indptr), shape=(entities, passages))


def weighted_df(
    edges: ContextEdges, entities: int, prior: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Number of passages of every entity by their weight, rounded, at least 1, int32 [E]."""
    weight = np.bincount(edges.entities, prior[edges.passages], minlength=entities)
    return np.maximum(np.rint(weight), 1).astype(np.int32)


def select_edges(
    edges: ContextEdges, entities: int, rows: NDArray[np.int64], passages: int
) -> tuple[ContextEdges, NDArray[np.int64]]:
    """The edges of some passages, numbered among these, and the entities that they mention.

    Args:
        edges: Of all P passages.
        entities: Number of entities E.
        rows: n of the passages, ascending, int64 [n].
        passages: Number of passages P.

    Returns:
        The edges, and the old row of each entity that is left, those of several passages first,
        else in their order, int64 [E'].

    >>> both = np.array([0, 0, 1], dtype=np.int32), np.array([0, 2, 2], dtype=np.int32)
    >>> edges = ContextEdges(*both, np.ones(3, dtype=np.int32), np.zeros(3, dtype=np.bool_))
    >>> found, left = select_edges(edges, 2, np.array([2]), 3)
    >>> found.entities.tolist(), found.passages.tolist(), left.tolist()
    ([0, 1], [0, 0], [0, 1])
    """
    place = renumbered(rows, passages)
    kept = np.flatnonzero(place[edges.passages] >= 0)
    df = np.bincount(edges.entities[kept], minlength=entities)
    left = np.concatenate([np.flatnonzero(df > 1), np.flatnonzero(df == 1)])
    new = renumbered(left, entities)
    selected = ContextEdges(
        new[edges.entities[kept]],
        place[edges.passages[kept]],
        edges.counts[kept],
        edges.subjects[kept],
    )
    return _merge([selected]), left


def subject_rows(edges: ContextEdges, passages: int) -> NDArray[np.int32]:
    """Entity row that every passage is about, -1 where it names none, int32 [passages]."""
    rows = np.full(passages, -1, dtype=np.int32)
    rows[edges.passages[edges.subjects]] = edges.entities[edges.subjects]
    return rows


@dataclass(frozen=True, slots=True)
class SharedEdges:
    """The edges of the S entities that stand in two passages or more, placed for products.

    Entities and passages are placed by their number of edges. A product takes half as long where
    rows of one length follow each other, as the processor then foresees where each ends.

    Attributes:
        entities: Row of the entity at each place, int32 [S].
        passages: Row of the passage at each place, int64 [P].
        places: Place of each passage, int64 [P].
        to_entities: Weights, float32 CSR [S, P], by place.
        to_passages: The same transposed, [P, S].
    """

    entities: NDArray[np.int32]
    passages: NDArray[np.int64]
    places: NDArray[np.int64]
    to_entities: csr_array
    to_passages: csr_array

    def entities_of(
        self, passages: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """How many of the entities each of n passages mentions, [n], and their rows, one by one."""
        counts, edges = entries_of_rows(self.to_passages.indptr, self.places[passages])
        return counts, self.entities[self.to_passages.indices[edges]]


@dataclass(frozen=True, slots=True)
class ContextGraph:
    """Weighted context edges in the form that walks read.

    Entities are ordered so that the first S stand in two passages or more.

    Attributes:
        weights: Context edges, float32 CSR [E, P].
        shared: Those of the first S entities.
        degrees: Sum of the weights of every passage's edges, float32 [P].
        own_share: Share of this sum that goes to entities of this passage alone, float32 [P].
        entity_counts: Number of entities of every passage, int64 [P].
    """

    weights: csr_array
    shared: SharedEdges
    degrees: NDArray[np.float32]
    own_share: NDArray[np.float32]
    entity_counts: NDArray[np.int64]

    def passages_of(self, entity: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Passages of one entity, and the weights of the edges to them."""
        start, end = self.weights.indptr[entity : entity + 2]
        return self.weights.indices[start:end], self.weights.data[start:end]

    def adjacency(self) -> csr_array:
        """Symmetric adjacency matrix over entities, then passages, float32 [E + P, E + P]."""
        return block_array([[None, self.weights], [self.weights.T, None]], format="csr")


def entries_of_rows(
    indptr: NDArray[Any], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the entries of some rows stand: how many each has, [r], and their places, row by row.

    Row i has the entries indptr[i] to indptr[i + 1], as in a CSR matrix.

    >>> entries_of_rows(np.array([0, 1, 3, 4]), np.array([2, 1]))
    (array([1, 2]), array([3, 1, 2]))
    """
    starts = indptr[rows].astype(np.int64)
    counts = indptr[rows + 1] - starts
    before = np.cumsum(counts) - counts
    return counts, np.repeat(starts - before, counts) + np.arange(int(counts.sum()))


def context_graph(weights: csr_array) -> ContextGraph:
    """Derive what walks read from the weighted context edges, CSR [E, P].

    Raises:
        ValueError: An entity with one passage stands before one with several.
    """
    df = np.diff(weights.indptr)
    shared = int(np.count_nonzero(df > 1))
    if np.any(df[:shared] <= 1):
        raise ValueError("entities of several passages must come first")
    border = int(weights.indptr[shared])
    block = csr_array(
        (weights.data[:border], weights.indices[:border], weights.indptr[: shared + 1]),
        shape=(shared, weights.shape[1]),
    )
    passages = weights.shape[1]
    degrees = np.bincount(weights.indices, weights.data, minlength=passages)
    own = np.bincount(weights.indices[border:], weights.data[border:], minlength=passages)
    own_share = np.divide(own, degrees, out=np.zeros(passages), where=degrees > 0)
    return ContextGraph(
        weights,
        _placed(block),
        degrees.astype(np.float32),
        own_share.astype(np.float32),
        np.bincount(weights.indices, minlength=passages),
    )


def _placed(edges: csr_array) -> SharedEdges:
    """Weights [S, P] of entities of several passages, by their number of edges."""
    by_passage = edges.T.tocsr()
    entities, passages = _by_length(edges), _by_length(by_passage)
    places = renumbered(passages, passages.size)
    return SharedEdges(
        entities.astype(np.int32),
        passages,
        places.astype(np.int64),
        _renamed(edges[entities], places),
        _renamed(by_passage[passages], renumbered(entities, entities.size)),
    )


def _by_length(rows: csr_array) -> NDArray[np.int64]:
    """Rows of a matrix by their number of entries, int64; the longest in their order."""
    counts = np.minimum(np.diff(rows.indptr), np.iinfo(np.uint16).max)
    return np.argsort(counts.astype(np.uint16), kind="stable")  # by radix, ten times faster


def _renamed(rows: csr_array, places: NDArray[np.int32]) -> csr_array:
    """The same rows with each column at its place."""
    return csr_array((rows.data, places[rows.indices], rows.indptr), shape=rows.shape)
