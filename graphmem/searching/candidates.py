"""What the second stage looks at: the first passages of a walk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graphmem.graph.entity_graph import ContextGraph, entries_of_rows

_LONE: Final = 10
"""Lone names in a passage that relates what it names: one in a hundred has more."""
_RARE: Final = 10  # passages; a name of more stands somewhere beside another one
_COMMON: Final = 0.01  # share of passages; a name of as many and _RARE more relates nothing


@dataclass(frozen=True, slots=True)
class Candidates:
    """The first n passages of a walk, best first, with what is known of them.

    Attributes:
        rows: Passage rows, int64 [n].
        mass: Mass of each after the walk, float32 [n].
        cosine: Similarity to the question, float32 [n].
        lexical: BM25, or the sum with learned words, float32 [n].
        vectors: Unit vectors, float32 [n, d].
        subjects: Row of the entity each is about, -1 where there is none, int64 [n].
        subject_mass: Mass of that entity after the walk, float32 [n].
        question: Rows of the question's entities, int64 [a].
        question_weights: Their seed weights, float32 [a].
        asked: The question's words that belong to no name.
        words: The same of these words, float32 [n].
        held: Which of the question's w known words each holds, bool [n, w].
        held_weights: How rare each of these words is, float32 [w].
        names: Rows of the next names to ask with, heaviest first, int64 [m].
        name_mass: Mass of each after the walk, float32 [m].
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
    words: NDArray[np.float32]
    held: NDArray[np.bool_]
    held_weights: NDArray[np.float32]
    names: NDArray[np.int64]
    name_mass: NDArray[np.float32]

    def only(self, kept: NDArray[np.bool_]) -> Candidates:
        """Those that are kept, bool [n], and what is known of the question as it is."""
        return replace(
            self,
            rows=self.rows[kept],
            mass=self.mass[kept],
            cosine=self.cosine[kept],
            lexical=self.lexical[kept],
            vectors=self.vectors[kept],
            subjects=self.subjects[kept],
            subject_mass=self.subject_mass[kept],
            words=self.words[kept],
            held=self.held[kept],
        )


def holds(
    graph: ContextGraph, rows: NDArray[np.int64], entities: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Which of n passages mentions which of a entities, 0 or 1, float32 [n, a]."""
    found = np.zeros((rows.size, entities.size), dtype=np.float32)
    for column, entity in enumerate(entities):
        passages = graph.passages_of(int(entity))[0]  # sorted
        place = np.minimum(np.searchsorted(passages, rows), passages.size - 1)
        found[:, column] = passages[place] == rows
    return found


def shared_entities(
    graph: ContextGraph, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Pairs of passage and entity, of those entities that stand in several passages.

    Args:
        graph: The graph.
        rows: n passages.

    Returns:
        Place of the passage in `rows`, int64 [m], and row of the entity, int32 [m].
    """
    counts, entities = graph.shared.entities_of(rows)
    return np.repeat(np.arange(rows.size), counts), entities


def lists(graph: ContextGraph, df: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which passages list names that have nothing to do with each other, bool [n].

    A rare name is lone in a passage where no other passage has it and another name of this one.
    Texts about something have few of these; one that was stuffed with names has many. A passage
    that shares more than so many names is its copy, and relates none of them.

    Args:
        graph: The graph.
        df: Number of passages of every entity, int32 [E].
        rows: n passages.
    """
    place, entity = shared_entities(graph, rows)
    rare = df[entity] <= _RARE
    many = np.bincount(place[rare], minlength=rows.size) > _LONE
    looked = many[place] & (df[entity] <= _RARE + _COMMON * graph.weights.shape[1])
    place, entity, rare = place[looked], entity[looked], rare[looked]
    if not place.size:
        return many
    counts, places = entries_of_rows(graph.weights.indptr, entity.astype(np.int64))
    lister, other = np.repeat(place, counts), graph.weights.indices[places]
    both = lister * np.int64(graph.weights.shape[1]) + other
    _, pair, names = np.unique(both, return_inverse=True, return_counts=True)
    relates = (names[pair] > 1) & (names[pair] <= _LONE) & (other != rows[lister])
    lone = rare & ~np.logical_or.reduceat(relates, np.cumsum(counts) - counts)
    listed: NDArray[np.bool_] = np.bincount(place[lone], minlength=rows.size) > _LONE
    return listed
