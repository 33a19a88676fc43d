"""Some passages of a snapshot, as a snapshot of their own.

That is what a filtered search sees, and what is left of an extended one. Entities that no selected
passage mentions, facts that none states, and all that is counted over passages are left out or
counted anew, so that nothing from outside can be a seed, a step of the walk, a reason or a hit. Two
things stay those of the whole: how rare BM25 takes a word to be, and which of an entity's spellings
is shown.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graphmem.base.columns import Picked, Strings, VectorRows, renumbered
from graphmem.graph.entity_dictionary import EntityDictionary
from graphmem.graph.entity_graph import (
    ContextGraph,
    context_graph,
    context_weights,
    select_edges,
    subject_rows,
)
from graphmem.graph.fact_graph import FactGraph, select_facts
from graphmem.storage.filters import Filter, metadata_matcher
from graphmem.storage.sentence_columns import SentenceColumns, select_sentences
from graphmem.storage.snapshot import Snapshot
from graphmem.storage.sparse_columns import SparseIndex
from graphmem.types import Passage


class Selection(Snapshot):
    """P passages of a snapshot of more, with the E entities that they mention.

    Columns are copied when they are first read: memory in proportion to what is selected.
    """

    def __init__(self, whole: Snapshot, rows: NDArray[np.int64]) -> None:
        """Select the passages of `rows`, ascending, int64 [P]."""
        self._whole = whole
        self._rows = rows
        self.folder, self.manifest = whole.folder, whole.manifest
        self.edges, self._left = select_edges(whole.edges, whole.entities, rows, whole.passages)
        self.passages: int = rows.size
        self.entities: int = self._left.size
        self.lexical = whole.lexical.select(rows)

    @property
    def parts(self) -> tuple[Snapshot, ...]:
        """The snapshots that it is read from, each with a folder and a manifest of its own."""
        return self._whole.parts

    @cached_property
    def _new_entities(self) -> NDArray[np.int32]:
        """The row here of each entity of the whole, -1 where it is left out."""
        return renumbered(self._left, self._whole.entities)

    @cached_property
    def vectors(self) -> VectorRows:
        """Unit vectors of the passages; a copy, where these are few."""
        whole = self._whole.vectors
        if 2 * self._rows.size > self._whole.passages:
            return whole.pick(self._rows)
        return VectorRows((whole.take(self._rows),))

    @cached_property
    def labels(self) -> Strings:
        """Entity names as they are most often written, E."""
        return Picked(self._whole.labels, self._left)

    @cached_property
    def df(self) -> NDArray[np.int32]:
        """Number of selected passages of every entity, int32 [E]."""
        return np.bincount(self.edges.entities, minlength=self.entities).astype(np.int32)

    @cached_property
    def subjects(self) -> NDArray[np.int32]:
        """Entity row of the title of every passage, -1 where it has none, int32 [P]."""
        return subject_rows(self.edges, self.passages)

    @cached_property
    def copied(self) -> NDArray[np.int32]:
        """The first selected passage that says the same as each, int32 [P]."""
        same = self._whole.copied[self._rows]
        _, first, place = np.unique(same, return_index=True, return_inverse=True)
        return first[place].astype(np.int32)

    @cached_property
    def context_counts(self) -> NDArray[np.int32]:
        """Number of mentions of every context edge, in the order of `graph.weights`, int32 [M]."""
        return self.edges.counts

    @cached_property
    def dictionary(self) -> EntityDictionary:
        """Finds the entities in any text."""
        return self._whole.dictionary.select(self._new_entities)

    @cached_property
    def graph(self) -> ContextGraph:
        """The context edges, weighted by how rare an entity is among the selected passages."""
        return context_graph(context_weights(self.edges, self.entities, self.passages))

    @cached_property
    def facts(self) -> FactGraph | None:
        """The facts that selected passages state, None where they state none."""
        whole = self._whole
        return whole.facts and select_facts(whole.facts, self._rows, whole.passages)

    @cached_property
    def sentences(self) -> SentenceColumns | None:
        """The sentences, None where the index does not keep them."""
        kept = self._whole.sentences
        if kept is None or not self.passages:
            return None
        return select_sentences(kept, self._rows, self._new_entities)

    @cached_property
    def sparse(self) -> SparseIndex | None:
        """The learned words, None where the index does not keep them."""
        kept = self._whole.sparse
        return None if kept is None else kept.select(self._rows)

    def passage(self, row: int) -> Passage:
        """The passage of one row."""
        return self._whole.passage(int(self._rows[row]))


def select(whole: Snapshot, filter: Filter) -> Snapshot:
    """The passages whose metadata fulfils a filter; the same snapshot where all do.

    Raises:
        ConfigError: It is no filter.
    """
    matches = metadata_matcher(filter)
    fulfil = np.array([matches(metadata) for metadata in whole.metadata], dtype=np.bool_)
    return whole if fulfil.all() else Selection(whole, np.flatnonzero(fulfil))
