"""The derived, immutable, memory-mapped columns that queries read; and the switch to a new one.

    my.index/
      CURRENT              the name of the live snapshot, replaced atomically
      snapshot-000007/     *.npy, lexical/, manifest.json: format, counts, fingerprints, checksums

A snapshot is written under a temporary name, synced, renamed, then CURRENT is replaced. Readers
keep the files that they have mapped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphmem.base.columns import StringColumn, Strings, write_strings, write_vectors
from graphmem.base.files import checked_file, sync_folder, write_text
from graphmem.base.text import content_hash
from graphmem.errors import IndexMismatchError, IndexNotFoundError, StorageError
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
from graphmem.graph.synonymy import RULE, Synonyms
from graphmem.sources.markup import as_read
from graphmem.storage.bm25 import LexicalIndex
from graphmem.storage.fact_columns import FOLDER as FACTS
from graphmem.storage.fact_columns import (
    SYNONYM_FILES,
    FactSource,
    read_facts,
    read_synonyms,
    write_facts,
)
from graphmem.storage.sentence_columns import (
    SentenceColumns,
    SentenceSource,
    read_sentences,
    write_sentences,
)
from graphmem.storage.store import row_key
from graphmem.types import Passage

FORMAT = 5
"""Version of the columns below; another version must be assembled again."""

_OWN_WORDS = 8  # a text of so many tells what it is without its title
_POINTER = "CURRENT"
_MANIFEST = "manifest.json"
# numpy reads the header of an array as Python's tokens, and asks the system for what it says.
_UNREADABLE = (ValueError, EOFError, KeyError, TypeError, SyntaxError, TokenError, OverflowError)
_NAME = regex.compile(r"snapshot-[0-9]{6,12}")


class Snapshot:
    """One snapshot, mapped from disk: E entities, P passages, vectors of d dimensions.

    All files are mapped at once, so that it stays whole when a writer removes them.
    """

    def __init__(self, folder: Path) -> None:
        """Map the columns; use `open_current` to find the live snapshot.

        Raises:
            IndexMismatchError: The snapshot has another format.
            StorageError: A file is damaged or has another size than it was written with.
            FileNotFoundError: A file is missing.
        """
        self.folder = folder
        self.manifest = _read_manifest(folder)
        self.entities: int = self.manifest["entities"]
        self.passages: int = self.manifest["passages"]
        self._arrays: dict[str, NDArray[Any]] = {}
        for name, entry in self.manifest["files"].items():
            file = folder / name
            if file.stat().st_size != entry["bytes"]:
                raise _damaged(file)
            if file.suffix == ".npy" and file.parent.name != "lexical":
                self._arrays[name.removesuffix(".npy")] = _map_array(file)
        try:
            words = any(name.startswith("lexical/") for name in self.manifest["files"])
            self.lexical = LexicalIndex.load(folder / "lexical") if words else LexicalIndex(None)
        except _UNREADABLE as error:
            raise _damaged(folder / "lexical") from error

    def _array(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            raise _damaged(self.folder / f"{name}.npy")
        return self._arrays[name]

    def _strings(self, name: str) -> StringColumn:
        return StringColumn(self._array(f"{name}_data"), self._array(f"{name}_offsets"))

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Unit vectors of the passages, float32 [P, d]."""
        return self._array("vectors")

    @cached_property
    def labels(self) -> Strings:
        """Entity names as they are most often written, E."""
        return self._strings("labels")

    @cached_property
    def df(self) -> NDArray[np.int32]:
        """Number of passages of every entity, int32 [E]."""
        return self._array("df")

    @cached_property
    def subjects(self) -> NDArray[np.int32]:
        """Entity row of the title of every passage, -1 where it has none, int32 [P]."""
        return self._array("subjects")

    @cached_property
    def copied(self) -> NDArray[np.int32]:
        """The first passage that says the same as each (`same_texts`), int32 [P]."""
        return self._array("copied")

    @cached_property
    def has_copies(self) -> bool:
        """Whether two passages say the same."""
        return not np.array_equal(self.copied, np.arange(self.passages))

    @cached_property
    def context_counts(self) -> NDArray[np.int32]:
        """Number of mentions of every context edge, in the order of `graph.weights`, int32 [M]."""
        return self._array("context_counts")

    @cached_property
    def edges(self) -> ContextEdges:
        """The context edges without their weights."""
        indptr = self._array("context_indptr")
        entities = np.repeat(np.arange(self.entities, dtype=np.int32), np.diff(indptr))
        return ContextEdges(
            entities,
            self._array("context_passages"),
            self.context_counts,
            self._array("context_subjects"),
        )

    @cached_property
    def dictionary(self) -> EntityDictionary:
        """Finds the entities in any text."""
        return EntityDictionary(
            self._array("dictionary_prefixes"),
            self._array("dictionary_names"),
            self._array("dictionary_rows"),
            self._array("dictionary_proper"),
        )

    @cached_property
    def graph(self) -> ContextGraph:
        """The weighted context edges, as walks read them."""
        parts = [np.asarray(self._array(f"context_{n}")) for n in ("weights", "passages", "indptr")]
        shape = (self.entities, self.passages)
        try:
            weights = csr_array(tuple(parts), shape=shape, copy=False)
            weights.check_format(full_check=True)
            return context_graph(weights)
        except ValueError as error:
            raise _damaged(self.folder / "context_passages.npy") from error

    @cached_property
    def adjacency(self) -> csr_array:
        """Symmetric weights over entities, then passages, float32 [E + P, E + P]."""
        return self.graph.adjacency()

    @cached_property
    def facts(self) -> FactGraph | None:
        """The facts, None where no passage has any."""
        if f"{FACTS}/subjects" not in self._arrays:
            return None
        return read_facts(self._array)

    @cached_property
    def sentences(self) -> SentenceColumns | None:
        """The sentences, None where the index does not keep them or cut them by another rule."""
        if not self.passages:
            return None
        try:
            return read_sentences(self.manifest, self._array)
        except ValueError as error:
            raise _damaged(self.folder / "sentences") from error

    @cached_property
    def _records(self) -> StringColumn:
        return self._strings("records")

    def passage(self, row: int) -> Passage:
        """The passage of one row."""
        try:
            return Passage(**json.loads(self._records[row]))
        except (ValueError, TypeError) as error:
            raise _damaged(self.folder / "records_data.npy") from error

    @cached_property
    def metadata(self) -> list[Mapping[str, Any]]:
        """Metadata of every passage, P; reads all records once."""
        return [self.passage(row).metadata for row in range(self.passages)]

    def size(self, under: str = "") -> int:
        """Bytes on disk, of all columns or of those whose names begin with `under`."""
        files = self.manifest["files"].items()
        return sum(entry["bytes"] for name, entry in files if name.startswith(under))


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / _MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text("utf-8"))
        found = manifest.get("format")
        counts = [manifest.get(name) for name in ("entities", "passages")]
        sizes = [entry["bytes"] for entry in manifest.get("files", {}).values()]
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise _damaged(file) from error
    if found != FORMAT:
        raise IndexMismatchError(
            f"{folder}: format {found}, this version of graphmem reads format {FORMAT}: "
            f"run graphmem index SOURCE --index {folder.parent} again, which assembles it anew and "
            "extracts nothing again, or says that the extractor has another version by now, and "
            "how to make a new index"
        )
    if not sizes or not all(isinstance(number, int) for number in counts + sizes):
        raise _damaged(file)
    return manifest


def _map_array(file: Path) -> NDArray[Any]:
    try:
        # A plain view of the mapping: numpy's memmap class makes every small access slower.
        array: NDArray[Any] = np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except _UNREADABLE as error:
        raise _damaged(file) from error
    return array


def open_current(index: Path) -> Snapshot:
    """Open the live snapshot of an index.

    Raises:
        IndexNotFoundError: There is no index, or none that was finished; says what to run.
        IndexMismatchError: It has another format.
        StorageError: It is damaged.
    """
    for _ in range(3):
        name = _current(index)
        if name is None:
            break
        try:
            return Snapshot(index / name)
        except FileNotFoundError as error:
            # A writer may have replaced and removed the snapshot since CURRENT was read.
            if _current(index) == name:
                raise _damaged(Path(error.filename or index / name)) from error
        except OSError as error:
            raise StorageError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if (index / "store.sqlite").exists():
        raise IndexNotFoundError(
            f"{index}: this index was never finished; what was committed is kept: "
            f"run the same graphmem index command again to go on"
        )
    raise IndexNotFoundError(f"{index}: no index here; make one: graphmem index SOURCE --index DIR")


def live_folder(index: Path) -> Path | None:
    """The folder of the live snapshot, None where there is none.

    Raises:
        StorageError: What says so is damaged.
    """
    name = _current(index)
    return None if name is None else index / name


def forget_current(index: Path) -> None:
    """Let no snapshot be live, so that the next one is assembled from nothing."""
    (index / _POINTER).unlink(missing_ok=True)


def current_content(index: Path) -> str | None:
    """What the live snapshot was assembled from, None where there is none that can be read."""
    try:
        content: str | None = open_current(index).manifest.get("content")
    except (IndexNotFoundError, IndexMismatchError, StorageError):
        return None
    return content


def known_synonyms(index: Path, embedder: str) -> Synonyms | None:
    """Near phrases of the live snapshot; None where there are none that can be relied on.

    Args:
        index: The index folder.
        embedder: Fingerprint of what made the vectors.
    """
    try:
        live = open_current(index)
        manifest, files = live.manifest, live.manifest["files"]
        if (manifest.get("synonymy"), manifest.get("embedder")) != (RULE, embedder):
            return None
        if any(checked_file(live.folder / name) != files[name] for name in SYNONYM_FILES):
            return None
        return read_synonyms(live._array)
    except (IndexNotFoundError, IndexMismatchError, StorageError, OSError, KeyError):
        return None


def write_snapshot(
    index: Path,
    graph: KnowledgeGraph,
    passages: Sequence[Passage],
    vectors: Iterable[NDArray[np.float32]],
    manifest: dict[str, Any],
    facts: FactSource | None = None,
    sentences: SentenceSource | None = None,
) -> None:
    """Write a snapshot beside the live one, switch to it, and remove the old one.

    Args:
        index: The index folder.
        graph: The graph over the passages.
        passages: P passages in row order.
        vectors: Their P vectors, float32 [d] each.
        manifest: What goes into the manifest beside format, counts and checksums.
        facts: The facts, None where no passage has any.
        sentences: The sentences, None where the index does not keep them.
    """
    name = _next_name(index)
    folder = index / f".{name}.tmp"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _write_columns(folder, graph, passages, vectors)
        if facts:
            write_facts(folder, facts)
            manifest = {**manifest, "synonymy": RULE}
        if sentences:
            write_sentences(folder, sentences)
        files = {
            file.relative_to(folder).as_posix(): checked_file(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        counts = {"format": FORMAT, "entities": len(graph.names), "passages": len(passages)}
        write_text(folder / _MANIFEST, json.dumps({**counts, **manifest, "files": files}, indent=1))
        for inner in filter(Path.is_dir, folder.iterdir()):
            sync_folder(inner)
        sync_folder(folder)
        os.replace(folder, index / name)
        write_text(index / f"{_POINTER}.tmp", name)
        os.replace(index / f"{_POINTER}.tmp", index / _POINTER)
        sync_folder(index)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(f"{folder}: {error.strerror or error}; the old state stays") from error
    remove_leftovers(index)


def remove_leftovers(index: Path) -> None:
    """Remove all snapshots but the live one, half-written ones too; only a writer may do so."""
    live = _current(index)
    half = [path.name for path in index.glob(".snapshot-*.tmp") if path.is_dir()]
    for name in (*_snapshots(index), *half):
        if name != live:
            shutil.rmtree(index / name, ignore_errors=True)


def folder_size(index: Path) -> int:
    """Bytes of all files of an index."""
    return sum(file.stat().st_size for file in index.rglob("*") if file.is_file())


def _write_columns(
    folder: Path,
    graph: KnowledgeGraph,
    passages: Sequence[Passage],
    vectors: Iterable[NDArray[np.float32]],
) -> None:
    entities, count, edges = len(graph.names), len(passages), graph.context
    weights = context_weights(edges, entities, count)
    columns = {
        "df": np.bincount(edges.entities, minlength=entities).astype(np.int32),
        "subjects": subject_rows(edges, count),
        "copied": same_texts(passages),
        "context_indptr": weights.indptr,
        "context_passages": edges.passages,
        "context_weights": weights.data,
        "context_counts": edges.counts,
        "context_subjects": edges.subjects,
        "dictionary_prefixes": graph.dictionary.prefixes,
        "dictionary_names": graph.dictionary.names,
        "dictionary_rows": graph.dictionary.rows,
        "dictionary_proper": graph.dictionary.proper,
        "row_keys": np.array([row_key(passage.id) for passage in passages], dtype=np.int64),
    }
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column, allow_pickle=False)
    write_strings(folder, "names", graph.names)
    write_strings(folder, "labels", graph.labels)
    write_strings(folder, "records", (_record(passage) for passage in passages))
    write_vectors(folder / "vectors.npy", vectors, count)
    LexicalIndex.build([f"{p.title} {p.text}" for p in map(as_read, passages)]).save(
        folder / "lexical"
    )


def same_texts(passages: Sequence[Passage]) -> NDArray[np.int32]:
    """Row of the first passage with the same text but for blanks, int32 [P].

    Texts of a few words are the same where their titles are too: "Thanks!" is said by many.

    >>> same_texts([Passage("1", "So be it. ", "A"), Passage("2", "So be  it.", "A")]).tolist()
    [0, 0]
    """
    first: dict[str, int] = {}
    rows = np.empty(len(passages), dtype=np.int32)
    for row, passage in enumerate(passages):
        words = passage.text.split()
        title = "" if len(words) >= _OWN_WORDS else passage.title
        rows[row] = first.setdefault(content_hash(title, " ".join(words)), row)
    return rows


def _record(passage: Passage) -> str:
    fields = {
        "id": passage.id,
        "text": passage.text,
        "title": passage.title,
        "document": passage.document,
        "position": passage.position,
        "metadata": dict(passage.metadata),
    }
    return json.dumps(fields, ensure_ascii=False, sort_keys=True)


def _current(index: Path) -> str | None:
    try:
        name = (index / _POINTER).read_bytes().strip().decode("ascii")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _damaged(index / _POINTER) from error
    # The pointer is data: it names a snapshot in this folder, nothing else.
    if not _NAME.fullmatch(name):
        raise _damaged(index / _POINTER)
    return name


def _snapshots(index: Path) -> list[str]:
    return [path.name for path in index.glob("snapshot-*") if _NAME.fullmatch(path.name)]


def _next_name(index: Path) -> str:
    numbers = [int(name.removeprefix("snapshot-")) for name in _snapshots(index)]
    return f"snapshot-{max(numbers, default=0) + 1:06d}"


def _damaged(file: Path) -> StorageError:
    return StorageError(
        f"{file}: missing or damaged; run graphmem index on this index again to assemble it anew"
    )
