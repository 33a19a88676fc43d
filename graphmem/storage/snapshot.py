"""The derived, immutable columns that queries read, mapped: *.npy, lexical/ and manifest.json."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphmem.base.columns import (
    StringColumn,
    Strings,
    VectorRows,
    map_array,
    write_strings,
    write_vectors,
)
from graphmem.base.files import read_plain
from graphmem.base.layout import FACTS, LEXICAL, MANIFEST, SENTENCES, is_column
from graphmem.base.text import content_hash
from graphmem.errors import IndexMismatchError, StorageError
from graphmem.graph.entity_dictionary import EntityDictionary
from graphmem.graph.entity_graph import (
    ContextEdges,
    ContextGraph,
    KnowledgeGraph,
    context_graph,
    context_weights,
    subject_rows,
)
from graphmem.graph.fact_graph import FactGraph
from graphmem.sources.markup import as_read
from graphmem.storage.bm25 import LexicalIndex
from graphmem.storage.fact_columns import (
    read_facts,
)
from graphmem.storage.rows import row_key
from graphmem.storage.sentence_columns import (
    SentenceColumns,
    read_sentences,
)
from graphmem.storage.shapes import check_range, check_shapes
from graphmem.storage.sparse_columns import SparseIndex, read_sparse
from graphmem.types import Passage

FORMAT = 6
"""Version of the columns below; another version must be assembled again."""

_OWN_WORDS = 8  # a text of so many tells what it is without its title
BASE = "base"
"""What the manifest of an extension calls the name of the snapshot that it extends."""
_COUNTS: Final = ("entities", "passages", "terms", "missing", "failed")
_NO_WORDS: Final = frozenset({"format", "files", *_COUNTS})
_MADE_WITH: Final = frozenset({"extractor", "embedder"})
"""What a manifest counts, what else in it is no word, and which words each has."""
_MOST_COSINE: Final = 1.01  # rounded
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


class Snapshot:
    """One snapshot, mapped from disk: E entities, P passages, vectors of d dimensions.

    All files are mapped at once, so that it stays whole when a writer removes them.

    Attributes:
        folder: Where it is.
        manifest: What its manifest says.
        entities: Number of entities E.
        passages: Number of passages P.
        lexical: BM25 over the passages.
        prior: What every passage weighs before anything is asked, in (0, 1], float32 [P]; None
            where all weigh 1 (else see `storage.weighted`).
    """

    prior: NDArray[np.float32] | None = None

    def __init__(self, folder: Path) -> None:
        """Map the columns; use `current.open_current` to find the live snapshot.

        Raises:
            IndexMismatchError: The snapshot has another format.
            StorageError: A file is damaged or has another size than it was written with.
            FileNotFoundError: A file is missing.
        """
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.entities: int = self.manifest["entities"]
        self.passages: int = self.manifest["passages"]
        self._arrays: dict[str, NDArray[Any]] = {}
        for name, entry in self.manifest["files"].items():
            file = folder / name
            there = file.stat()
            if not stat.S_ISREG(there.st_mode) or there.st_size != entry["bytes"]:
                raise damaged(file)
            if file.suffix == ".npy" and file.parent.name != LEXICAL:
                self._arrays[name.removesuffix(".npy")] = _map_array(file)
        try:
            sizes = {} if BASE in self.manifest else {"E": self.entities, "P": self.passages}
            self._sizes = check_shapes(self._arrays, sizes, extending=not sizes)
        except ValueError as error:
            raise damaged(folder / f"{error}.npy") from error
        self._read: set[str] = set()  # columns whose rows were looked at
        try:
            words = any(name.startswith(f"{LEXICAL}/") for name in self.manifest["files"])
            self.lexical = (
                LexicalIndex.load(folder / LEXICAL, self.manifest["terms"])
                if words
                else LexicalIndex([], 0)
            )
        except _UNREADABLE as error:
            raise damaged(folder / LEXICAL) from error

    @property
    def parts(self) -> tuple[Snapshot, ...]:
        """The snapshots that it is read from, each with a folder and a manifest of its own."""
        return (self,)

    def array(self, name: str) -> NDArray[Any]:
        """A column by its name.

        Raises:
            StorageError: There is none.
        """
        if name not in self._arrays:
            raise damaged(self.folder / f"{name}.npy")
        array = self._arrays[name]
        if name not in self._read and BASE not in self.manifest:
            try:
                check_range(name, array, self._sizes)
            except ValueError as error:
                raise damaged(self.folder / f"{name}.npy") from error
            self._read.add(name)
        return array

    def strings(self, name: str) -> StringColumn:
        """A column of strings by its name.

        Raises:
            StorageError: There is none.
        """
        return StringColumn(self.array(f"{name}_data"), self.array(f"{name}_offsets"))

    @cached_property
    def vectors(self) -> VectorRows:
        """Unit vectors of the passages."""
        return VectorRows((self.array("vectors"),))

    @cached_property
    def labels(self) -> Strings:
        """Entity names as they are most often written, E."""
        return self.strings("labels")

    @cached_property
    def df(self) -> NDArray[np.int32]:
        """Number of passages of every entity, int32 [E]."""
        return self.array("df")

    @cached_property
    def subjects(self) -> NDArray[np.int32]:
        """Entity row of the title of every passage, -1 where it has none, int32 [P]."""
        return self.array("subjects")

    @cached_property
    def copied(self) -> NDArray[np.int32]:
        """The first passage that says the same as each (`text_keys`), int32 [P]."""
        return self.array("copied")

    @cached_property
    def has_copies(self) -> bool:
        """Whether two passages say the same."""
        return not np.array_equal(self.copied, np.arange(self.passages))

    @cached_property
    def context_counts(self) -> NDArray[np.int32]:
        """Number of mentions of every context edge, in the order of `graph.weights`, int32 [M]."""
        return self.array("context_counts")

    @cached_property
    def edges(self) -> ContextEdges:
        """The context edges without their weights."""
        indptr = self.array("context_indptr")
        entities = np.repeat(np.arange(self.entities, dtype=np.int32), np.diff(indptr))
        return ContextEdges(
            entities,
            self.array("context_passages"),
            self.context_counts,
            self.array("context_subjects"),
        )

    @cached_property
    def dictionary(self) -> EntityDictionary:
        """Finds the entities in any text."""
        return EntityDictionary(
            self.array("dictionary_prefixes"),
            self.array("dictionary_names"),
            self.array("dictionary_rows"),
            self.array("dictionary_proper"),
            self.array("dictionary_lettered"),
        )

    @cached_property
    def graph(self) -> ContextGraph:
        """The weighted context edges, as walks read them."""
        parts = [np.asarray(self.array(f"context_{n}")) for n in ("weights", "passages", "indptr")]
        shape = (self.entities, self.passages)
        try:
            weights = csr_array(tuple(parts), shape=shape, copy=False)
            weights.check_format(full_check=True)
            return context_graph(weights)
        except ValueError as error:
            raise damaged(self.folder / "context_passages.npy") from error

    @cached_property
    def adjacency(self) -> csr_array:
        """Symmetric weights over entities, then passages, float32 [E + P, E + P]."""
        return self.graph.adjacency()

    @cached_property
    def facts(self) -> FactGraph | None:
        """The facts, None where no passage has any."""
        if f"{FACTS}/subjects" not in self._arrays:
            return None
        return read_facts(self.array)

    @cached_property
    def sentences(self) -> SentenceColumns | None:
        """The sentences, None where the index does not keep them or cut them by another rule."""
        if not self.passages:
            return None
        try:
            return read_sentences(self.manifest, self.array)
        except ValueError as error:
            raise damaged(self.folder / SENTENCES) from error

    @cached_property
    def sparse(self) -> SparseIndex | None:
        """The learned words, None where the index does not keep them."""
        return read_sparse(self.manifest, self.array) if self.passages else None

    @cached_property
    def _records(self) -> StringColumn:
        return self.strings("records")

    def passage(self, row: int) -> Passage:
        """The passage of one row."""
        try:
            return Passage(**json.loads(self._records[row]))
        except (ValueError, TypeError) as error:
            raise damaged(self.folder / "records_data.npy") from error

    @cached_property
    def metadata(self) -> list[Mapping[str, Any]]:
        """Metadata of every passage, P; reads all records once."""
        return [self.passage(row).metadata for row in range(self.passages)]

    @cached_property
    def sources(self) -> NDArray[np.int32]:
        """Number of every passage's source (`source_of`), int32 [P]; reads all records once."""
        names = [source_of(self.passage(row)) for row in range(self.passages)]
        places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        return np.array([places[name] for name in names], dtype=np.int32)

    def size(self, under: str = "") -> int:
        """Bytes on disk, of all columns or of those whose names begin with `under`."""
        files = [item for part in self.parts for item in part.manifest["files"].items()]
        return sum(entry["bytes"] for name, entry in files if name.startswith(under))


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the manifest of a snapshot says.

    Raises:
        IndexMismatchError: The snapshot has another format.
        StorageError: The manifest is damaged.
        FileNotFoundError: It is missing.
    """
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(read_plain(file).decode("utf-8"))
        found = manifest.get("format")
        words = {name: said for name, said in manifest.items() if name not in _NO_WORDS}
        counts = [manifest.get(name) for name in _COUNTS[:2]]
        counts += [manifest.get(name, 0) for name in _COUNTS[2:]]
        files = manifest.get("files", {})
        sizes = [entry["bytes"] for entry in files.values()]
        int(manifest.get("pack", "1"))
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise damaged(file) from error
    if found != FORMAT:
        raise IndexMismatchError(
            f"{folder}: format {found}, this version of graphmem reads format {FORMAT}: "
            f"run graphmem verify {folder.parent} --repair, which assembles it anew and extracts "
            "nothing again"
        )
    numbers = all(isinstance(number, int) for number in counts + sizes)
    said = words.keys() >= _MADE_WITH and all(isinstance(word, str) for word in words.values())
    if not sizes or not numbers or not said or not all(map(is_column, files)):
        raise damaged(file)
    return manifest


def _map_array(file: Path) -> NDArray[Any]:
    try:
        return map_array(file)
    except _UNREADABLE as error:
        raise damaged(file) from error


def write_columns(
    folder: Path,
    graph: KnowledgeGraph,
    passages: Sequence[Passage],
    vectors: Iterable[NDArray[np.float32]],
) -> dict[str, int]:
    """Write the columns of P passages into a folder, and what the manifest counts of them.

    Args:
        folder: Exists and is empty.
        graph: The graph over the passages.
        passages: P passages in row order.
        vectors: Their P vectors, float32 [d] each.
    """
    entities, count, edges = len(graph.names), len(passages), graph.context
    weights = context_weights(edges, entities, count)
    keys = text_keys(passages)
    columns = {
        "df": np.bincount(edges.entities, minlength=entities).astype(np.int32),
        "subjects": subject_rows(edges, count),
        "copied": first_alike(keys),
        "context_indptr": weights.indptr,
        "context_passages": edges.passages,
        "context_weights": weights.data,
        "context_counts": edges.counts,
        "context_subjects": edges.subjects,
        "dictionary_prefixes": graph.dictionary.prefixes,
        "dictionary_names": graph.dictionary.names,
        "dictionary_rows": graph.dictionary.rows,
        "dictionary_proper": graph.dictionary.proper,
        "dictionary_lettered": graph.dictionary.lettered,
        "id_keys": id_keys(passages),
        "text_keys": keys,
    }
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column, allow_pickle=False)
    write_strings(folder, "labels", graph.labels)
    write_strings(folder, "records", map(record, passages))
    write_vectors(folder / "vectors.npy", vectors, count)
    lexical = LexicalIndex.build(lexical_texts(passages))
    lexical.save(folder / LEXICAL)
    return {"entities": entities, "passages": count, "terms": lexical.length}


def lexical_texts(passages: Iterable[Passage]) -> list[str]:
    """What BM25 reads of each passage."""
    return [f"{said.title} {said.text}" for said in map(as_read, passages)]


def source_of(passage: Passage) -> tuple[str, str]:
    """Who says it: what its metadata call "source", else its document, else itself.

    >>> source_of(Passage("1", "Ada.", metadata={"source": "a.example"}))
    ('source', '"a.example"')
    >>> source_of(Passage("2#0", "Ada.", document="2")), source_of(Passage("3", "Ada."))
    (('document', '2'), ('document', '3'))
    """
    named = passage.metadata.get("source")
    if named not in (None, ""):
        return "source", json.dumps(named, sort_keys=True)
    return "document", passage.document or passage.id


def id_keys(passages: Sequence[Passage]) -> NDArray[np.int64]:
    """Hashes of the ids, int64 [P]."""
    return np.array([row_key(passage.id) for passage in passages], dtype=np.int64)


def text_keys(passages: Sequence[Passage]) -> NDArray[np.uint64]:
    """The same number for passages that say the same but for blanks, uint64 [P].

    Texts of a few words are the same where their titles are too: "Thanks!" is said by many.

    >>> first, second = text_keys([Passage("1", "So be it. "), Passage("2", "So be  it.")])
    >>> bool(first == second)
    True
    """
    keys = np.empty(len(passages), dtype=np.uint64)
    for row, passage in enumerate(passages):
        words = passage.text.split()
        title = "" if len(words) >= _OWN_WORDS else passage.title
        keys[row] = int(content_hash(title, " ".join(words))[:16], 16)
    return keys


def first_alike(keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    """The first place that has the same key as each, int32 [P].

    >>> first_alike(np.array([7, 9, 7], dtype=np.uint64)).tolist()
    [0, 1, 0]
    """
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    return first[place].astype(np.int32)


def record(passage: Passage) -> str:
    """A passage as a line of JSON, without where it was read."""
    fields = {
        "id": passage.id,
        "text": passage.text,
        "title": passage.title,
        "document": passage.document,
        "position": passage.position,
        "metadata": dict(passage.metadata),
    }
    return json.dumps(fields, ensure_ascii=False, sort_keys=True)


def require_cosines(found: NDArray[np.float32], file: Path) -> NDArray[np.float32]:
    """Products of vectors of length 1 with those that a file has; no others are searched by.

    Raises:
        StorageError: They are no cosines: a vector of the file is damaged.
    """
    if not (np.abs(found) <= _MOST_COSINE).all():
        raise damaged(file)
    return found


def damaged(file: Path) -> StorageError:
    """The error for a file that is not as it was written."""
    return StorageError(
        f"{file}: missing or damaged; run graphmem index on this index again to assemble it anew"
    )
