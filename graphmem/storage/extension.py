"""Passages that came after a snapshot was assembled, beside it: a few columns of their own.

What is new is linked to the names that are known, and new names are sought in what is new alone:
work in proportion to what came. When it has grown, all is assembled anew (`indexing.extending`).

An extension is a folder like that of a snapshot, whose manifest names the snapshot that it extends.
Passages that were replaced or deleted since are named in it, and are left out of what is read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphmem.base.columns import Chained, Strings, VectorRows, write_strings, write_vectors
from graphmem.graph.entity_dictionary import NO_NAMES, EntityDictionary
from graphmem.graph.entity_graph import ContextEdges, KnowledgeGraph
from graphmem.graph.fact_graph import FactGraph
from graphmem.storage.bm25 import TermCounts
from graphmem.storage.rows import row_key
from graphmem.storage.sentence_columns import (
    SentenceColumns,
    SentenceSource,
    read_sentences,
    write_sentences,
)
from graphmem.storage.snapshot import BASE as BASE
from graphmem.storage.snapshot import (
    Snapshot,
    damaged,
    first_alike,
    id_keys,
    lexical_texts,
    record,
    text_keys,
)
from graphmem.storage.sparse_columns import SparseIndex
from graphmem.types import Passage

_EDGES: Final = ("entities", "passages", "counts", "subjects")
_NAMES: Final = ("prefixes", "names", "rows", "proper", "lettered")
_COUNTS: Final = ("data", "indices", "indptr")


@dataclass(frozen=True, slots=True)
class Extension:
    """What D passages bring to the P passages and E entities of a snapshot.

    Attributes:
        gone: Rows that count no more, of the snapshot or, from P on, of these passages; ascending,
            int64.
        labels: Labels of the new entities, which have the rows from E on.
        names: Dictionary of their names and of what is written otherwise, with such rows.
        edges: Edges of these passages, whose rows are 0 to D - 1 here.
        terms: Their terms.
        id_keys: Hashes of their ids, int64 [D].
        text_keys: Hashes of their texts, uint64 [D].
        records: The passages as lines of JSON.
        vectors: Their unit vectors, float32 [D, d].
        steps: How many came at once, one after the other, int64: names that are new are not sought
            in what came before.
        sentences: Their sentences; None where there are no passages or the index keeps none.
    """

    gone: NDArray[np.int64]
    labels: list[str]
    names: EntityDictionary
    edges: ContextEdges
    terms: TermCounts
    id_keys: NDArray[np.int64]
    text_keys: NDArray[np.uint64]
    records: list[str]
    vectors: NDArray[np.float32]
    steps: NDArray[np.int64]
    sentences: SentenceColumns | None = None

    @classmethod
    def nothing(cls, base: Snapshot) -> Extension:
        """No passages beside a snapshot."""
        number, truth = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.bool_)
        return cls(
            np.zeros(0, dtype=np.int64),
            [],
            NO_NAMES,
            ContextEdges(number, number, number, truth),
            TermCounts.of([]),
            np.zeros(0, dtype=np.int64),
            np.zeros(0, dtype=np.uint64),
            [],
            _no_vectors(base),
            np.zeros(0, dtype=np.int64),
        )

    @classmethod
    def of(
        cls,
        graph: KnowledgeGraph,
        passages: Sequence[Passage],
        vectors: NDArray[np.float32],
        sentences: SentenceColumns | None,
    ) -> Extension:
        """What `graph.extend_graph` and an embedder made of some passages, which come at once."""
        return cls(
            np.zeros(0, dtype=np.int64),
            graph.labels,
            graph.dictionary,
            graph.context,
            TermCounts.of(lexical_texts(passages)),
            id_keys(passages),
            text_keys(passages),
            [record(passage) for passage in passages],
            vectors,
            np.full(min(len(passages), 1), len(passages), dtype=np.int64),
            sentences,
        )

    @classmethod
    def read(cls, files: Snapshot, base: Snapshot) -> Extension:
        """What `write` wrote, mapped from the folder of a snapshot.

        Args:
            files: These.
            base: The snapshot that it extends.

        Raises:
            StorageError: A column is missing, or columns do not fit together.
        """
        array = files.array
        try:
            count, labels = array("id_keys").size, list(_every(files.strings("labels")))
            sizes = {"passages": count, "entities": base.entities + len(labels)}
            terms = list(_every(files.strings("terms")))
            counts = csr_array(
                tuple(array(f"counts_{name}") for name in _COUNTS),
                shape=(count, len(terms)),
            )
            counts.check_format(full_check=True)
            found = cls(
                array("gone"),
                labels,
                EntityDictionary(*(array(f"dictionary_{name}") for name in _NAMES)),
                ContextEdges(*(array(f"context_{name}") for name in _EDGES)),
                TermCounts(terms, counts),
                array("id_keys"),
                array("text_keys"),
                list(_every(files.strings("records"))),
                array("vectors") if count else _no_vectors(base),
                array("steps"),
                read_sentences({**files.manifest, **sizes}, array) if count else None,
            )
            found._check(base)
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(files.folder) from error
        return found

    def _check(self, base: Snapshot) -> None:
        """Refuse columns that do not fit together, or to the snapshot.

        Raises:
            ValueError: They do not.
        """
        count, edges = len(self.records), self.edges
        sizes = {self.id_keys.size, self.text_keys.size, len(self.vectors)}
        sizes_of_edges = {getattr(edges, name).size for name in _EDGES}
        sizes_of_names = {getattr(self.names, name).size for name in _NAMES[1:]}
        if (
            sizes != {count, int(self.steps.sum())}
            or len(sizes_of_edges) > 1
            or len(sizes_of_names) > 1
        ):
            raise ValueError("columns of different lengths")
        if self.steps.size and self.steps.min() < 1:
            raise ValueError("a step without passages")
        if _outside(edges.passages, count) or _outside(self.gone, base.passages + count):
            raise ValueError("a passage that does not exist")
        entities = base.entities + len(self.labels)
        if _outside(edges.entities, entities) or _outside(self.names.rows, entities):
            raise ValueError("an entity that does not exist")
        if self.vectors.shape[1:] != (base.vectors.width,):
            raise ValueError("vectors of another length")

    def write(self, folder: Path) -> None:
        """Write the columns into a folder, which exists and is empty."""
        columns = {
            "gone": self.gone,
            "id_keys": self.id_keys,
            "text_keys": self.text_keys,
            "steps": self.steps,
            **{f"context_{name}": getattr(self.edges, name) for name in _EDGES},
            **{f"dictionary_{name}": getattr(self.names, name) for name in _NAMES},
            **{f"counts_{name}": getattr(self.terms.counts, name) for name in _COUNTS},
        }
        for name, column in columns.items():
            np.save(folder / f"{name}.npy", column, allow_pickle=False)
        write_strings(folder, "labels", self.labels)
        write_strings(folder, "terms", self.terms.terms)
        write_strings(folder, "records", self.records)
        write_vectors(folder / "vectors.npy", self.vectors, len(self.records))
        if self.sentences is not None:
            kept = self.sentences
            every = kept.vectors.take(np.arange(len(kept.vectors)))
            write_sentences(folder, SentenceSource(kept.named, every))

    def counts(self, base: Snapshot) -> dict[str, int]:
        """Passages and entities that are left of a snapshot and these, for the manifest."""
        edges = base.edges.joined(self.edges, base.passages)
        kept = np.isin(edges.passages, self.gone, invert=True)
        named = np.bincount(edges.entities[kept], minlength=1)
        passages = base.passages + len(self.records) - self.gone.size
        return {"entities": int(np.count_nonzero(named)), "passages": passages}

    def joined(self, other: Extension, gone: NDArray[np.int64]) -> Extension:
        """This and one that was made beside it, whose new entities have the rows after these.

        Args:
            other: The other.
            gone: All rows that count no more, ascending.
        """
        return Extension(
            gone,
            [*self.labels, *other.labels],
            self.names.joined(other.names),
            self.edges.joined(other.edges, len(self.records)),
            self.terms.joined(other.terms),
            np.concatenate([self.id_keys, other.id_keys]),
            np.concatenate([self.text_keys, other.text_keys]),
            [*self.records, *other.records],
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.steps, other.steps]),
            _both(self.sentences, other.sentences),
        )


class Stack(Snapshot):
    """A snapshot, and the passages of an extension after its own; those that are gone too.

    `storage.selection` leaves these out, and brings entities and edges into order.
    """

    def __init__(self, base: Snapshot, own: Extension, files: Snapshot | None = None) -> None:
        """Put an extension on a snapshot.

        Args:
            base: The snapshot.
            own: Its extension.
            files: Those of the extension, None where it has none.
        """
        self.base = base
        self.own = own
        self._files = files
        self.folder, self.manifest = self.parts[0].folder, self.parts[0].manifest
        self.passages = base.passages + len(own.records)
        self.entities = base.entities + len(own.labels)
        self.lexical = base.lexical.extended(base.passages, own.terms)

    @classmethod
    def read(cls, base: Snapshot, files: Snapshot | None) -> Stack:
        """Put the extension that is read from some files on a snapshot; None is no passages.

        Raises:
            StorageError: It is damaged.
        """
        if files is None:
            return cls(base, Extension.nothing(base))
        return cls(base, Extension.read(files, base), files)

    @property
    def parts(self) -> tuple[Snapshot, ...]:
        """The snapshots that it is read from, each with a folder and a manifest of its own."""
        return (self.base,) if self._files is None else (self._files, self.base)

    @property
    def left(self) -> NDArray[np.int64]:
        """Rows that count, ascending, int64."""
        counts = np.ones(self.passages, dtype=np.bool_)
        counts[self.own.gone] = False
        return np.flatnonzero(counts)

    def rows_of(self, ids: Collection[str]) -> list[int]:
        """Rows that count of the passages with these ids, ascending."""
        keys = np.concatenate([self.base.array("id_keys"), self.own.id_keys])
        wanted = np.array([row_key(name) for name in ids], dtype=np.int64)
        near = np.setdiff1d(np.flatnonzero(np.isin(keys, wanted)), self.own.gone).tolist()
        return [row for row in near if self.passage(row).id in ids]

    @cached_property
    def vectors(self) -> VectorRows:
        """Unit vectors of the passages."""
        return VectorRows((*self.base.vectors.blocks, self.own.vectors))

    @cached_property
    def labels(self) -> Strings:
        """Entity names as they are most often written, E."""
        return Chained(self.base.labels, self.own.labels)

    @cached_property
    def copied(self) -> NDArray[np.int32]:
        """The first passage that says the same as each, int32 [P]."""
        return first_alike(np.concatenate([self.base.array("text_keys"), self.own.text_keys]))

    @cached_property
    def edges(self) -> ContextEdges:
        """The context edges without their weights: those of the snapshot, then the others."""
        return self.base.edges.joined(self.own.edges, self.base.passages)

    @cached_property
    def dictionary(self) -> EntityDictionary:
        """Finds the entities in any text."""
        return self.base.dictionary.joined(self.own.names)

    @cached_property
    def facts(self) -> FactGraph | None:
        """An index with facts is not extended."""
        return None

    @cached_property
    def sparse(self) -> SparseIndex | None:
        """Nor is one that keeps learned words."""
        return None

    @cached_property
    def sentences(self) -> SentenceColumns | None:
        """The sentences, None where the index does not keep them."""
        return _both(self.base.sentences, self.own.sentences)

    def passage(self, row: int) -> Passage:
        """The passage of one row; those that are gone have one too."""
        if row < self.base.passages:
            return self.base.passage(row)
        try:
            return Passage(**json.loads(self.own.records[row - self.base.passages]))
        except (ValueError, TypeError) as error:
            raise damaged(self.folder / "records_data.npy") from error


def _no_vectors(base: Snapshot) -> NDArray[np.float32]:
    return np.zeros((0, base.vectors.width), dtype=np.float32)


def _both(first: SentenceColumns | None, then: SentenceColumns | None) -> SentenceColumns | None:
    return first.joined(then) if first is not None and then is not None else first or then


def _every(strings: Strings) -> Iterator[str]:
    return (strings[row] for row in range(len(strings)))


def _outside(rows: NDArray[np.integer[Any]], count: int) -> bool:
    return bool(rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < count)
